"""Materials: the table, what problem files make of it, and heat that keeps its joules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from graphpde.cli.options import overrides
from graphpde.config import Setup, load, merge, prepare, read_config
from graphpde.dynamics import evolve, steady
from graphpde.errors import ConfigError, InputError, UnknownName
from graphpde.problems import MATERIALS, Material

BAR = str(Path(__file__).resolve().parents[2] / "meshes" / "mixed_boundaries.msh")


def ready(**more: Any) -> Setup:
    return prepare(read_config({"pde": "heat", "mesh": BAR, **more}))


@pytest.mark.parametrize("name", sorted(MATERIALS))
def test_figures_are_those_of_matter(name: str) -> None:
    """Within what is known: diamond conducts 2300, aerogel 0.013; osmium weighs 22600; hydrogen takes 14300."""
    m = MATERIALS[name]
    assert m.name == name and 0.01 < m.conductivity < 2400 and 0.05 < (m.density or 0) < 22600
    assert 100 < (m.heat_capacity or 0) < 14400 and 250 < (m.temperature or 0) < 320 and "table A." in m.source
    assert m.diffusivity == m.conductivity / (m.density * m.heat_capacity) and 1e-8 < m.diffusivity < 2e-4
    assert "W/(m K)" in m.text and m.source in m.text


def test_what_a_material_does_not_know() -> None:
    with pytest.raises(InputError, match="material 'felt' has no density, which heat in time needs"):
        _ = Material("felt", 0.04).capacity
    with pytest.raises(InputError, match="has no heat_capacity"):
        _ = Material("felt", 0.04, 330.0).diffusivity


def test_heat_content_rises_by_the_power_put_in() -> None:
    """rho c du/dt = q in each metal: an insulated bar takes q t in all, shared by conduction."""
    setup = ready(materials={"steel": "steel", "*": "copper"}, source=1e5, initial=300.0)
    assert setup.units["u"] == "K" and setup.config.time.end == pytest.approx(11000, rel=0.2)
    with torch.no_grad():
        states = evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, dt=setup.dt).states
    content = (setup.space.mass[:, None] * states).sum((1, 2))
    area = float(setup.space.measure.sum())
    assert torch.allclose(content - content[0], 1e5 * area * setup.times, rtol=1e-9, atol=1e-6 * float(content[0]))
    steel, copper = MATERIALS["steel"], MATERIALS["copper"]
    mean = (steel.capacity + copper.capacity) / 2  # half of the cells each
    assert float(setup.space.mass.sum()) == pytest.approx(mean * area, rel=1e-9)
    assert float(states[-1].mean()) == pytest.approx(300 + 1e5 * float(setup.times[-1]) / mean, rel=1e-2)


def test_a_step_in_temperature_spreads_with_the_diffusivity_of_the_material() -> None:
    """A half space of copper: u = erfc(x / (2 sqrt(alpha t))) before the far end is felt."""
    bar = {"shape": "interval", "size": 0.005}
    end = 0.15**2 / (4 * MATERIALS["copper"].diffusivity)
    setup = ready(mesh=bar, materials={"*": "copper"}, boundary={"left": 1.0}, time={"end": end, "dt": end / 400})
    with torch.no_grad():
        final = evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, dt=setup.dt).states[-1]
    exact = torch.special.erfc(setup.space.pos / 0.15)
    assert float((final - exact).abs().max()) < 3e-3


def test_a_wall_of_two_materials_in_series() -> None:
    """Steady flux through steel then copper: the drops of temperature are as the resistances."""
    setup = ready(
        materials={"steel": "steel", "copper": "copper"}, boundary={"heater": 400.0, "cooler": 300.0}, steady=True
    )
    assert setup.space.density is None
    u = steady(setup.term, setup.u0).value
    assert float(u.min()) >= 300 - 1e-9 and float(u.max()) <= 400 + 1e-9
    metals = {"steel": {"conductivity": 60.5}, "*": "copper"}
    plain = ready(pde="poisson", materials=metals, boundary={"heater": 400.0, "cooler": 300.0})
    assert torch.allclose(steady(plain.term, plain.u0).value, u, rtol=1e-10)


def test_numbers_in_a_table_and_back() -> None:
    changed = {
        "steel": {"material": "steel", "conductivity": 45},
        "*": {"conductivity": 1, "density": 2, "heat_capacity": 3},
    }
    config = read_config({"pde": "heat", "mesh": BAR, "materials": changed})
    steel = MATERIALS["steel"]._replace(conductivity=45.0, source="figures as given")
    assert config.materials["steel"] == steel
    assert config.materials["*"].capacity == 6 and config.materials["*"].name == "as given"
    written = config.as_dict()
    assert written["materials"]["steel"] == {
        "material": "steel", "conductivity": 45.0, "density": 7854.0, "heat_capacity": 434.0,
        "young": 2.07e11, "poisson": 0.3, "expansion": 1.17e-5, "yield_strength": 2.5e8,
    }  # fmt: skip
    assert read_config(written) == config
    named = read_config({"pde": "heat", "mesh": BAR, "materials": {"*": "Steel".lower()}})
    assert read_config(named.as_dict()) == named and named.materials["*"].temperature == 300.0
    setup = ready(materials={"*": "steel"})
    assert "coefficients" not in setup.config.as_dict()


def test_options_and_layers() -> None:
    from graphpde.cli.main import build_parser  # type: ignore[attr-defined]

    args = build_parser().parse_args(["simulate", "--material", "steel=brass", "*=ice", "--robin", "air=10:y+290"])
    given = overrides(args)
    assert given["materials"] == {"steel": "brass", "*": "ice"}
    assert given["boundary"]["air"] == {"robin": {"coefficient": 10.0, "ambient": "y+290"}}
    file = {"coefficients": {"kappa": 2.0}, "boundary": {"air": 5.0}}
    assert (
        merge(file, given)["coefficients"] == {} and merge(file, given)["boundary"]["air"] == given["boundary"]["air"]
    )
    assert "materials" not in merge(given, {"coefficients": {"kappa": 1.0}})
    assert merge(given, {"boundary": {"air": {"value": 1}}})["boundary"]["air"] == {"value": 1}


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            {"materials": {"steel": "stele"}},
            UnknownName,
            "unknown material 'stele'; known: air, .*; did you mean 'steel'",
        ),
        ({"materials": {"steel": 3}}, ConfigError, "materials.steel is 3, expected the name of a material"),
        ({"materials": {"*": {}}}, ConfigError, "says no conductivity and names no material"),
        ({"materials": {"*": {"conductivity": 1}}}, ConfigError, "says no density and no heat_capacity"),
        ({"materials": {"*": {"conductivity": -1}}}, ConfigError, "materials.*conductivity is -1, expected .* > 0"),
        ({"materials": {"*": {"conductivty": 1}}}, UnknownName, "did you mean 'conductivity'"),
        ({"materials": {"*": "steel"}, "coefficients": {"kappa": 1}}, ConfigError, "both .materials. and coefficients"),
        ({"pde": "schnakenberg", "materials": {"*": "steel"}}, ConfigError, "which schnakenberg does not read"),
    ],
)
def test_what_is_refused(change: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        read_config({"pde": "heat", "mesh": BAR, **change})


def test_sets_that_leave_cells_out_or_are_not_there() -> None:
    with pytest.raises(InputError, match="800 of 1600 cells of 'mixed_boundaries.msh' have no density"):
        ready(materials={"steel": "steel"})
    with pytest.raises(InputError, match="unknown set of cells of 'mixed_boundaries.msh' 'steal'"):
        ready(materials={"steal": "steel", "*": "copper"})


def test_the_problem_files_beside_the_examples() -> None:
    folder = Path(__file__).resolve().parents[2] / "examples" / "problems"
    for file in sorted(folder.glob("*.toml")):
        setup = prepare(read_config(load(file)))
        assert read_config(setup.config.as_dict()).as_dict() == setup.config.as_dict(), file.name
