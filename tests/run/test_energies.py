"""Energies of nonlinear gradient flows: measured as what they are, certified where the stepper promises it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from graphpde.config import merge, prepare, read_config
from graphpde.ops.forms import PLaplacian
from graphpde.run import simulate
from graphpde.run.measure import Meter

PROBLEM = {
    "pde": "p-laplacian", "mesh": {"shape": "rectangle", "size": 0.25}, "time": {"end": 0.05, "dt": 0.01, "frames": 5},
    "output": {"pictures": "none", "report": False},
}  # fmt: skip


def run(folder: Path, **more: Any) -> tuple[Any, list[float]]:
    problem: dict[str, Any] = merge(PROBLEM, more)
    result = simulate(prepare(read_config(problem)), folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {c.name: c for c in result.certificates}["energy increase"], [row["energy"] for row in rows]


def test_the_energy_is_that_of_the_form(tmp_path: Path) -> None:
    """With a constant source f the flow descends E(u) - int f u, both measured by quadrature here."""
    setup = prepare(read_config(merge(PROBLEM, {"source": 2.0, "coefficients": {"exponent": 3.0}})))
    meter, (_, form) = Meter(setup), setup.system.weak[0]
    assert isinstance(form, PLaplacian) and "can only fall" in meter.energy_text
    u = torch.rand_like(setup.u0)
    own = PLaplacian(setup.space, 3.0, 1.0, slope=setup.config.coefficients["slope"])
    expected = float(own.energy(u)) - 2 * float(setup.space.integral(u))
    assert meter.energy(0.0, u) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("more", [{}, {"source": 1.0}, {"time": {"rtol": 1e-2}}, {"boundary": {"left": 1.0}}])
def test_backward_euler_goes_downhill(tmp_path: Path, more: dict[str, Any]) -> None:
    certificate, energies = run(tmp_path / "run", **merge({"time": {"stepper": "backward_euler"}}, more))
    assert certificate.target is not None and certificate.passed
    assert energies[-1] < energies[0] and all(b <= a for a, b in pairwise(energies))


@pytest.mark.parametrize("stepper", ["crank_nicolson", "tr_bdf2"])
def test_other_steppers_are_measured(tmp_path: Path, stepper: str) -> None:
    certificate, _ = run(tmp_path / "run", time={"stepper": stepper})
    assert certificate.target is None


def test_linear_flows_under_steppers_that_promise_nothing(tmp_path: Path) -> None:
    linear: dict[str, Any] = {"pde": "heat", "initial": "sin(3*x)"}
    assert run(tmp_path / "a", **linear, time={"stepper": "esdirk4", "rtol": 1e-3})[0].target is not None
    assert run(tmp_path / "b", **linear, time={"stepper": "bdf2"})[0].target is None
    assert run(tmp_path / "c", **linear, time={"stepper": "bosh3", "rtol": 1e-3})[0].target is None


SEPARATION = {
    "pde": "allen-cahn", "mesh": {"shape": "rectangle", "size": 0.05}, "coefficients": {"kappa": 0.002}, "seed": 3,
    "time": {"end": 4.0, "dt": 0.25, "frames": 8}, "output": {"pictures": "none", "report": False},
}  # fmt: skip


def separation(folder: Path, **more: Any) -> tuple[Any, list[float]]:
    problem: dict[str, Any] = merge(SEPARATION, more)
    result = simulate(prepare(read_config(problem)), folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {c.name: c for c in result.certificates}, [row["energy"] for row in rows]


@pytest.mark.parametrize("element", ["p1", "dg0"])
def test_phases_lose_ginzburg_landau_energy(tmp_path: Path, element: str) -> None:
    """E = kappa/2 |grad u|^2 + r/4 (1 - u^2)^2 falls in every step of backward Euler with dt <= 2 / r."""
    shape = "rectangle" if element == "p1" else "rectangle_quads"
    more = {"time": {"stepper": "backward_euler"}, "element": element, "mesh": {"shape": shape}}
    found, energies = separation(tmp_path / "run", **more)
    certificate = found["Ginzburg-Landau energy increase"]
    assert certificate.target is not None and certificate.passed
    assert energies[-1] < 0.9 * energies[0] and all(b <= a for a, b in pairwise(energies))


def test_the_energy_of_uniform_phases_and_of_a_layer(tmp_path: Path) -> None:
    """The mixture u = 0 has r/4 a unit of area, a pure phase none, a straight layer 2 sqrt(2) / 3 sqrt(kappa r)."""
    setup = prepare(read_config(merge(SEPARATION, {"mesh": {"size": 0.01}, "reaction": {"rate": 2.0}})))
    meter = Meter(setup)
    assert "Ginzburg-Landau" in meter.energy_text
    assert meter.energy(0.0, torch.zeros_like(setup.u0)) == pytest.approx(0.5)
    assert meter.energy(0.0, -torch.ones_like(setup.u0)) == pytest.approx(0.0, abs=1e-14)
    width = (2 * 0.002 / 2.0) ** 0.5
    layer = torch.tanh((setup.space.pos[:, :1] - 0.5) / width)
    assert meter.energy(0.0, layer) == pytest.approx(2 * 2**0.5 / 3 * (0.002 * 2.0) ** 0.5, rel=0.02)


def test_the_rate_is_minus_the_gradient_of_the_energy() -> None:
    """M u' = -dE/du, so that what the certificate claims is a property of the equations that are solved."""
    setup = prepare(read_config(merge(SEPARATION, {"source": 0.3})))
    meter, u = Meter(setup), setup.u0 + 0.3
    t, step = torch.zeros((), dtype=u.dtype), 1e-5
    force, along = setup.system(t, u), torch.randn(u.shape, generator=torch.Generator().manual_seed(1), dtype=u.dtype)
    slope = (meter.energy(0.0, u + step * along) - meter.energy(0.0, u - step * along)) / (2 * step)
    assert slope == pytest.approx(-float((force * along).sum()), rel=1e-6)


def test_adaptive_and_other_steps_promise_nothing_about_phases(tmp_path: Path) -> None:
    name = "Ginzburg-Landau energy increase"
    adaptive = {"time": {"rtol": 1e-2, "stepper": "backward_euler"}}  # its steps may grow beyond 2 / r
    assert separation(tmp_path / "a", **adaptive)[0][name].target is None
    default = separation(tmp_path / "b")[0][name]
    assert default.target is None and default.value == 0
    consistent, _ = separation(tmp_path / "c", element="p2", mesh={"size": 0.2})
    assert name not in consistent and "energy increase" not in consistent


def test_data_that_change_in_time_promise_nothing(tmp_path: Path) -> None:
    problem = merge(PROBLEM, {"boundary": {"left": "sin(40*t)"}})
    result = simulate(prepare(read_config(problem)), tmp_path / "run")
    assert "energy increase" not in {c.name for c in result.certificates}
