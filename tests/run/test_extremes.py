"""What the equation forbids is warned of: values beyond the data, energy that grows, waves of few edges."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from graphpde.config import Setup, prepare, read_config
from graphpde.errors import ConfigError
from graphpde.run import RunResult, simulate

SIDES = {"left": 0, "right": 1}
QUIET = {"pictures": "none", "report": False}


def ready(pde: str, mesh: dict[str, Any], **more: Any) -> Setup:
    return prepare(read_config({"pde": pde, "mesh": mesh, "output": QUIET, **more}))


def line(size: float) -> dict[str, Any]:
    return {"shape": "interval", "size": size}


def beyond(result: RunResult) -> float:
    return next(c.value for c in result.certificates if c.name == "overshoot")


@pytest.mark.parametrize(("nu", "warned"), [(1e-9, True), (0.05, False)])
def test_a_front_that_the_mesh_does_not_resolve_is_warned_of(tmp_path: Path, nu: float, warned: bool) -> None:
    setup = ready("burgers", line(0.025), coefficients={"nu": nu}, initial={"u": "sin(2*pi*x)"}, time={"end": 0.5})
    result = simulate(setup, tmp_path / "run")
    # the largest value is relative to the range [-1, 1] of the data, at some saved moment
    assert (beyond(result) > 0.01) == warned
    said = [sentence for sentence in result.warnings if "outside of the range [-1, 1]" in sentence]
    assert bool(said) == warned and all("finer mesh or more viscosity" in sentence for sentence in said)


@pytest.mark.parametrize("source", [{}, {"source": 0.0}])
def test_a_centred_layer_names_the_peclet_number_and_other_schemes(tmp_path: Path, source: dict[str, Any]) -> None:
    # N even intervals, no diffusion to speak of: u_{j+1} = u_{j-1} but for 1/Pe, so odd nodes run away
    problem = {
        "scheme": "centred",
        "steady": True,
        "coefficients": {"kappa": 1e-4},
        "boundary": {"left": 0, "right": 1},
    }
    result = simulate(ready("advection-diffusion", line(0.05), **problem, **source), tmp_path / "run")
    assert beyond(result) > 1
    (said,) = result.warnings
    assert "cell Peclet number" in said and "--scheme supg, limited or upwind" in said


@pytest.mark.parametrize("scheme", ["supg", "upwind"])
def test_a_scheme_that_keeps_the_range_is_not_warned_of(tmp_path: Path, scheme: str) -> None:
    problem = {"scheme": scheme, "steady": True, "coefficients": {"kappa": 1e-4}, "boundary": SIDES}
    result = simulate(ready("advection-diffusion", line(0.05), **problem), tmp_path / "run")
    assert beyond(result) < 1e-9 and result.warnings == []


def test_steps_beyond_the_bound_are_not_called_well(tmp_path: Path) -> None:
    problem = {"boundary": {"left": 1}, "solver": {"allow_unstable": True}}
    setup = ready("heat", line(0.05), time={"end": 0.4, "dt": 0.004, "stepper": "rk4"}, **problem)
    result = simulate(setup, tmp_path / "run")
    assert beyond(result) > 1e3 and len(result.warnings) == 2
    assert "beyond the stability bound" in result.warnings[0] and "energy, which can only fall" in result.warnings[1]


@pytest.mark.parametrize(
    ("pde", "start", "bounded"),
    [
        ("allen-cahn", "0.3*sin(9*x)", True),
        ("fisher-kpp", "0.5 + 0.5*sin(9*x)", True),
        ("fisher-kpp", "-0.1*x", False),  # below zero a population falls without end
        ("porous-medium", "max(0, 1 - 9*(x - 0.5)**2)", True),
        ("p-laplacian", "x*(1 - x)", True),
    ],
)
def test_ranges_of_nonlinear_problems(tmp_path: Path, pde: str, start: str, bounded: bool) -> None:
    setup = ready(pde, line(0.05), initial={"u": start}, time={"end": 1e-3, "dt": 1e-4, "frames": 2})
    result = simulate(setup, tmp_path / "run")
    assert ("overshoot" in {c.name for c in result.certificates}) == bounded
    assert not bounded or beyond(result) < 1e-2


@pytest.mark.parametrize(("k", "few"), [(300.0, True), (10.0, False)])
def test_waves_shorter_than_six_edges(k: float, few: bool) -> None:
    setup = ready("helmholtz", line(0.04), coefficients={"k": k})
    assert bool(setup.warnings) == few
    if few:
        apart = 1 / setup.space.n  # the length that each of the nodes has to itself
        assert f"spans {2 * math.pi / k / apart:.2g} edges" in setup.warnings[0]
        assert "expected at least 6, better 10" in setup.warnings[0]


def test_the_content_of_a_steady_state_is_that_of_its_run_in_time(tmp_path: Path) -> None:
    from graphpde.run.rows import read_rows

    problem = {"materials": {"*": "steel"}, "boundary": {"left": 300, "right": 400}}
    out = {"output": {**QUIET, "fluxes": "all"}}
    found = []
    for name, more in (("steady", {"steady": True}), ("time", {"time": {"end": 1e7, "dt": 1e6}})):
        setup = prepare(read_config({"pde": "heat", "mesh": line(0.1), **problem, **more, **out}))
        simulate(setup, tmp_path / name)
        header, values = read_rows(tmp_path / name / "fluxes.csv")
        found.append(float(values[-1, list(header).index("content.u")]))
    capacity = setup.config.materials["*"].capacity
    assert found == pytest.approx([350 * capacity] * 2, rel=1e-9)


def test_tolerances_below_rounding_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"rtol is 1e-18 .* expected at least 1e-13: in float64 rounding"):
        ready("heat", line(0.1), initial={"u": "sin(x)"}, time={"rtol": 1e-18})
    ready("heat", line(0.1), initial={"u": "sin(x)"}, time={"rtol": 1e-18, "atol": 1e-6})  # atol bounds the error


def test_a_periodic_side_carries_no_condition() -> None:
    with pytest.raises(ConfigError, match="'left' is periodic with 'right' and has a condition too"):
        ready("heat", line(0.1), periodic=[["left", "right"]], boundary={"left": 1})


def test_a_step_that_is_shortened_is_said() -> None:
    setup = ready("heat", line(0.1), time={"end": 1.0, "dt": 0.03, "frames": 10})
    assert setup.remarks == ("dt=0.03 is shortened to 0.025 to reach each of the 10 frames: 40 steps in all",)
    with pytest.raises(ConfigError, match="leapfrog advances positions and velocities.*--pde wave"):
        ready("heat", line(0.1), time={"stepper": "leapfrog"})
    with pytest.raises(ConfigError, match="p-laplacian is not offered on averages over cells.*--element p1 or p2"):
        ready("p-laplacian", line(0.1), element="dg0")
