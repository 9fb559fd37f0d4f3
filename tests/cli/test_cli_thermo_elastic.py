"""``graphpde simulate --pde thermo-elastic``: heat and the stresses that it makes, against bars and gradients."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

BAR = """pde = "thermo-elastic"
steady = true
mesh = { shape = "rectangle", size = 0.25, width = 2.0, height = 0.5 }
[coefficients]
young = 200.0
poisson = 0.3
expansion = 0.01
conductivity = 3.0
capacity = 2.0
state = "plane_stress"
[boundary]
left = { symmetry = true }
right = { symmetry = true }
bottom = { symmetry = true }
top = { temperature = 10.0 }
"""
WARMED = BAR.replace("steady = true\n", "").replace("top = { temperature = 10.0 }", "top = { inflow = 4.0 }")
QUIET = ("--pictures", "none", "--json")
SPACE = BAR.replace('state = "plane_stress"\n', "").replace(
    'shape = "rectangle", size = 0.25, width = 2.0, height = 0.5', 'shape = "box", size = 0.5'
)


def written(text: str, name: str = "problem.toml") -> str:
    Path(name).write_text(text)
    return name


@pytest.fixture
def here(graphpde, tmp_path: Path) -> Path:
    return tmp_path


def test_a_warm_bar_between_walls(graphpde, here: Path) -> None:
    meshio = pytest.importorskip("meshio")
    done = graphpde("simulate", written(BAR), "-o", "run", "--json").json
    final = done["final"]
    assert final["von_mises"]["min"] == pytest.approx(200 * 0.01 * 10, rel=1e-9)
    assert final["reaction on left"]["x"] == pytest.approx(200 * 0.01 * 10 * 0.5, rel=1e-9)
    assert final["reaction on right"]["x"] == pytest.approx(-200 * 0.01 * 10 * 0.5, rel=1e-9)
    assert final["reaction on bottom"] == {"x": 0.0, "y": 0.0}
    assert "reaction on top" not in final  # it holds a temperature, and no body
    assert done["certificates"]["equilibrium"]["value"] < 1e-10
    (file,) = (here / "run" / "fields").glob("*.vtu")
    data = meshio.read(file).point_data
    assert np.allclose(data["stress_xx"], -20.0, rtol=1e-9) and np.abs(data["stress_yy"]).max() < 1e-10
    assert np.allclose(data["temperature"], 10.0) and data["displacement"].shape[1] == 3
    page = (here / "run" / "report.html").read_text()
    assert "von Mises" in page and "temperature between 10 and 10 K" in page


def test_the_same_in_space_and_with_materials(graphpde, here: Path) -> None:
    text = SPACE.replace("top = {", "back = { symmetry = true }\nfront = { symmetry = true }\ntop = {")
    final = graphpde("simulate", written(text), *QUIET).json["final"]  # free along one axis alone
    assert final["von_mises"]["max"] == pytest.approx(200 * 0.01 * 10 / 0.7, rel=1e-9)
    given = re.sub(r"young.*capacity = 2.0\n", "", BAR, flags=re.S).replace(
        "[coef", '[materials]\n"*" = "steel"\n[coef'
    )
    final = graphpde("simulate", written(given), *QUIET).json["final"]
    assert final["von_mises"]["max"] == pytest.approx(2.07e11 * 11.7e-6 * 10, rel=1e-9)


def test_a_steady_gradient_bends_nothing_that_is_free(graphpde, here: Path) -> None:
    """A linear temperature strains without stress: T = 10 x, u_x = alpha 5 (x^2 - y^2), u_y = alpha 10 x y."""
    text = BAR.replace("left = { symmetry = true }", "left = { displacement_x = '-0.05 * y**2', temperature = 0.0 }")
    text = text.replace("right = { symmetry = true }", "right = { temperature = 20.0 }").replace("top = { temp", "# {")
    final = graphpde("simulate", written(text), *QUIET).json["final"]
    assert final["displacement_x"]["max"] == pytest.approx(0.05 * 4, rel=1e-9)
    assert final["displacement_y"]["max"] == pytest.approx(0.1 * 2 * 0.5, rel=1e-9)
    assert final["temperature"]["integral"] == pytest.approx(10.0, rel=1e-9)
    assert final["von_mises"]["max"] < 1e-9


def test_heat_that_enters_stays_and_pushes(graphpde, here: Path) -> None:
    done = graphpde("simulate", written(WARMED + "[time]\nend = 3.0\nframes = 3\n"), *QUIET).json
    final = done["final"]
    assert final["temperature"]["integral"] == pytest.approx(4.0 * 2 * 3 / 2, rel=1e-8)
    # the resultant of -E alpha T over the section, whatever T is across it
    assert final["reaction on left"]["x"] == pytest.approx(200 * 0.01 * 12 / 2, rel=2e-3)
    assert done["certificates"]["equilibrium"]["value"] < 1e-8


def test_what_stretches_cools(graphpde, here: Path) -> None:
    """Nothing enters, so capacity T + absolute alpha E tr(e) / (1 - nu) stays 0 in plane stress."""
    text = WARMED.replace("right = { symmetry = true }", "right = { traction = [2.0, 0.0] }").replace(
        "inflow = 4.0", "inflow = 0.0"
    )
    text = text.replace("capacity = 2.0", "capacity = 2.0\nabsolute = 1.5")
    final = graphpde("simulate", written(text + "[time]\nend = 1.0\n"), *QUIET).json["final"]
    beta, free = 200 * 0.01 / 0.7, 2.0 * 0.7 / 200  # tr(e) = 2 (1 - nu) / E + 2 alpha T
    expected = -1.5 * beta * free / (2.0 + 1.5 * beta * 0.02)
    assert final["temperature"]["max"] == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    ("rule", "moved"),
    [
        ("pressure = 3.0", -3.0 / 200 * 2),
        ("force = [1.5, 0.0]", 3.0 / 200 * 2),
        ('traction = ["3 + 0 * t", 0.0]', 3.0 / 200 * 2),
        ("displacement_x = 0.02", 0.02),
        ("robin = { coefficient = 2.0, ambient = 0.0 }", 0.0),
    ],
)
def test_what_a_side_may_carry(graphpde, here: Path, rule: str, moved: float) -> None:
    text = BAR.replace("right = { symmetry = true }", f"right = {{ {rule} }}").replace("= 10.0 }", "= 0.0 }")
    done = graphpde("simulate", written(text), "-o", "run", *QUIET).json
    found = done["final"]["displacement_x"]
    assert found["min" if moved < 0 else "max"] == pytest.approx(moved, rel=1e-9, abs=1e-12)
    assert done["certificates"]["equilibrium"]["value"] < 1e-8


def test_hot_gas_presses_and_heats(graphpde, here: Path) -> None:
    """A plate cooled from one side: the heat h (T_gas - T) that enters is 3 T_x, and the pressure is carried on."""
    text = BAR.replace("left = { symmetry = true }", "left = { symmetry = true, temperature = 0.0 }")
    text = text.replace("top = { temperature = 10.0 }\n", "").replace(
        "right = { symmetry = true }", "right = { pressure = 4.0, robin = { coefficient = 1.5, ambient = 30.0 } }"
    )
    written(text)
    final = graphpde("simulate", "problem.toml", *QUIET).json["final"]
    assert final["temperature"]["max"] == pytest.approx(30 * 1.5 / (1.5 + 3 / 2), rel=1e-9)
    assert final["reaction on left"]["x"] == pytest.approx(4.0 * 0.5, rel=1e-9)
    written(graphpde("simulate", "problem.toml", "--show-code").out, "script.py")
    u = runpy.run_path("script.py")["u"]
    assert float(u[:, 2].max()) == pytest.approx(final["temperature"]["max"], rel=1e-12)
    assert float(u[:, 0].max()) == pytest.approx(final["displacement_x"]["max"], rel=1e-12)


def test_a_spring_holds_and_a_script_does_the_same(graphpde, here: Path) -> None:
    text = BAR.replace("right = { symmetry = true }", "right = { spring = 50.0 }")
    final = graphpde("simulate", written(text), "-o", "run", *QUIET).json["final"]
    pushed = 0.01 * 10 / (1 / 200 + 1 / (2 * 50))  # strain of the heat over the compliances of bar and spring
    assert final["reaction on right"]["x"] / 0.5 == pytest.approx(-pushed, rel=2e-2)
    states = np.load(here / "run" / "fields" / "run.npz")["states"]
    written(graphpde("simulate", "problem.toml", "--show-code").out, "script.py")
    assert np.array_equal(runpy.run_path("script.py")["u"].numpy(), states[-1])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("left = { symmetry = true }\nright = { symmetry = true }\n", "", "the body can still move along x"),
        ("top = { temperature = 10.0 }", "", "needs a value somewhere.*--set boundary.NAME.temperature=VALUE"),
        ("poisson = 0.3", "poisson = 0.5", "poisson is 0.5, expected"),
        ("conductivity = 3.0", "conductivity = 0.0", "conductivity is 0"),
        ("[coefficients]", '[materials]\n"*" = "brick"\n[coefficients]', "nothing is known of the young of 'brick'"),
        ("top = { temperature = 10.0 }", "top = { traction = [1.0, 2.0, 3.0] }", "has 3 components, expected 2"),
        ('shape = "rectangle", size = 0.25, width = 2.0, height = 0.5', 'shape = "sphere"', "needs cells that fill"),
    ],
)  # fmt: skip
def test_refused_in_a_sentence(graphpde, here: Path, old: str, new: str, says: str) -> None:
    done = graphpde("simulate", written(BAR.replace(old, new)))
    assert done.code == 2
    assert len(done.err.strip().splitlines()) == 1
    assert re.search(says, done.err), done.err


def test_a_free_body_is_refused_in_time_too(graphpde, here: Path) -> None:
    text = WARMED.replace("left = { symmetry = true }\nright = { symmetry = true }\n", "")
    done = graphpde("simulate", written(text))
    assert done.code == 2 and "the body can still move along x" in done.err


def test_heat_in_time_needs_a_capacity(graphpde, here: Path) -> None:
    material = "{ young = 1e9, poisson = 0.3, expansion = 1e-5, conductivity = 1.0 }"
    text = re.sub(r"young.*capacity = 2.0\n", "", WARMED, flags=re.S).replace(
        "[coef", f'[materials]\n"*" = {material}\n[coef'
    )
    done = graphpde("simulate", written(text))
    assert done.code == 2 and "says no density and no heat_capacity" in done.err
