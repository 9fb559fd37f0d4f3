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


def test_data_that_change_in_time_promise_nothing(tmp_path: Path) -> None:
    problem = merge(PROBLEM, {"boundary": {"left": "sin(40*t)"}})
    result = simulate(prepare(read_config(problem)), tmp_path / "run")
    assert "energy increase" not in {c.name for c in result.certificates}
