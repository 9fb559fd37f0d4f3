"""Certificates tell the truth about good and bad runs; folders belong to one run; estimates are of the right size."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from graphpde.config import Setup, prepare, read_config
from graphpde.dynamics.implicit import Theta
from graphpde.dynamics.stepper import Step
from graphpde.errors import OutputError
from graphpde.run import RunFolder, RunResult, estimate, next_folder, simulate
from graphpde.run.measure import Meter, Moment
from graphpde.viz import Certificate

QUIET = {"pictures": "none", "report": False}


def ready(pde: str = "heat", **more: Any) -> Setup:
    problem = {"pde": pde, "mesh": {"shape": "rectangle", "size": 0.125}, "output": QUIET}
    return prepare(read_config({**problem, **more}))


def certificates(result: RunResult) -> dict[str, Certificate]:
    return {c.name: c for c in result.certificates}


def test_energy_and_mass_against_their_integrals() -> None:
    setup = ready(initial={"u": "x**2"}, source=2.0, boundary={"left": {"inflow": 3.0}}, coefficients={"kappa": 5.0})
    x = setup.space.pos[:, :1]
    moment = Meter(setup).at(0, 0.0, x)
    # 5/2 |grad x|^2 - 2 int x - 3 int x over the left side, where x = 0
    assert moment.energy == pytest.approx(2.5 - 1.0, rel=1e-12)
    assert moment.mass == pytest.approx([0.5]) and (moment.low, moment.high) == ([0.0], [1.0])
    other = Meter(ready("advection")).at(0, 0.0, torch.ones_like(x))
    assert other.energy == pytest.approx(0.5)


def test_rows_of_metrics_are_json() -> None:
    row = Moment(3, 0.5, [1.0, 2.0], [0.0, 0.0], [1.0, math.inf], math.nan).row(("u", "v"))
    assert row == {
        "t": 0.5, "step": 3, "energy": None, "mass_u": 1.0, "mass_v": 2.0, "min_u": 0.0, "min_v": 0.0, "max_u": 1.0,
        "max_v": None,
    }  # fmt: skip
    json.dumps(row, allow_nan=False)


@pytest.mark.parametrize("stepper", ["backward_euler", "crank_nicolson", "euler", "rk4"])
def test_an_insulated_run_keeps_its_mass_and_goes_downhill(tmp_path: Path, stepper: str) -> None:
    setup = ready(initial={"u": "sin(5*x) + y"}, time={"end": 0.1, "stepper": stepper})
    kept = certificates(simulate(setup, tmp_path / "run"))
    assert kept["mass drift"].value < 1e-13 and kept["energy increase"].passed
    # what keeps the order of values is backward Euler, and Euler within half its bound
    assert (kept["overshoot"].target is not None) == (stepper in ("backward_euler", "euler"))


def test_boundary_values_that_change_bound_the_solution(tmp_path: Path) -> None:
    setup = ready(boundary={"left": "1 - exp(-10*t)", "right": "-t"}, time={"end": 0.5})
    kept = certificates(simulate(setup, tmp_path / "run"))
    assert set(kept) == {"overshoot"} and kept["overshoot"].target is not None and kept["overshoot"].passed


def test_data_that_change_promise_no_decay(tmp_path: Path) -> None:
    setup = ready(source="sin(t)", time={"end": 0.1})
    assert certificates(simulate(setup, tmp_path / "run")) == {}


def test_a_stepper_that_loses_mass_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Theta.step

    def leaking(self: Theta, *args: Any) -> Step:
        done = step(self, *args)
        return done._replace(u=done.u * 0.9999)

    monkeypatch.setattr(Theta, "step", leaking)
    kept = certificates(simulate(ready(initial={"u": "1 + x"}), tmp_path / "run"))
    assert not kept["mass drift"].passed and kept["mass drift"].value == pytest.approx(0.01, rel=0.01)


def test_a_stepper_that_overshoots_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Theta.step

    def overshooting(self: Theta, f: Any, t: Any, dt: Any, u: Any, carry: Any) -> Step:
        done = step(self, f, t, dt, u, carry)
        return done._replace(u=done.u + 0.1 * (done.u - done.u.mean()))

    monkeypatch.setattr(Theta, "step", overshooting)
    kept = certificates(simulate(ready(initial={"u": "cos(pi*x)"}, time={"end": 1e-3}), tmp_path / "run"))
    assert not kept["overshoot"].passed and not kept["energy increase"].passed and kept["mass drift"].passed


def test_a_mesh_with_obtuse_angles_promises_nothing(tmp_path: Path) -> None:
    points, cells = [[0, 0], [4, 0], [2, 0.3]], [[0, 1, 2]]
    from graphpde.mesh import Mesh, write_mesh

    write_mesh(tmp_path / "obtuse.vtu", Mesh(points, {"triangle": cells}))
    setup = prepare(read_config({"pde": "heat", "mesh": str(tmp_path / "obtuse.vtu"), "initial": "x", "output": QUIET}))
    assert certificates(simulate(setup, tmp_path / "run"))["overshoot"].target is None


def test_progress_counts_steps_and_stop_is_obeyed(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None, float]] = []
    result = simulate(
        ready(boundary={"left": 1.0}),
        tmp_path / "run",
        progress=lambda *at: seen.append(at),
        stop=lambda: len(seen) == 7,
    )
    assert result.status == "interrupted" and result.steps == 7
    assert seen == [(k, 100, pytest.approx(k / 100)) for k in range(1, 8)]
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "interrupted"


def test_memory_holds_one_state(tmp_path: Path) -> None:
    """Frames are handed on as they come: nothing of a run refers to a state once the next one is saved."""
    import gc
    import weakref

    from graphpde.run.frames import Frames

    alive: list[int] = []
    states: list[weakref.ref[torch.Tensor]] = []
    add = Frames.add

    def counted(self: Frames, step: int, t: float, u: torch.Tensor, *more: object) -> None:
        add(self, step, t, u)
        states.append(weakref.ref(u))
        gc.collect()
        alive.append(sum(ref() is not None for ref in states))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Frames, "add", counted)
        simulate(ready(boundary={"left": 1.0}, time={"frames": 6}), tmp_path / "run")
    assert len(alive) == 7 and max(alive) <= 3


def test_a_folder_belongs_to_one_run(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "manifest.json").write_text('{"name": "a web app"}')
    with pytest.raises(OutputError, match="holds files that no run wrote"):
        RunFolder(foreign)
    with pytest.raises(OutputError, match=r"would write about 1e\+06 GB"):
        RunFolder(tmp_path / "deep" / "run", 10**15)
    assert not (tmp_path / "deep").exists()
    folder = RunFolder(tmp_path / "deep" / "run")
    assert folder.path.is_dir()
    folder.abandon()
    assert not (tmp_path / "deep").exists()


def test_next_folder(tmp_path: Path) -> None:
    assert next_folder("heat-plate", tmp_path).name == "heat-plate-1"
    (tmp_path / "heat-plate-1").mkdir()
    assert next_folder("heat-plate", tmp_path) == tmp_path / "heat-plate-2"
    assert next_folder("heat-../a b", tmp_path).name == "heat-..-a-b-1"
    assert next_folder("..", tmp_path).name == "run-1"


def test_estimates_are_of_the_right_size(tmp_path: Path) -> None:
    setup = ready(boundary={"left": 1.0}, mesh={"shape": "rectangle", "size": 0.02})
    guess = estimate(setup)
    result = simulate(setup, tmp_path / "run")
    written = sum(file.stat().st_size for file in result.files)
    assert written / 4 < guess.disk < 10e6 + 4 * written
    states = 21 * setup.u0.numel() * 8
    assert 10 * setup.u0.numel() * 8 < guess.memory < 100e6 and guess.memory > states / 21


def test_a_wave_keeps_its_energy_and_says_so(tmp_path: Path) -> None:
    """Certified under the trapezoidal rule, measured without a promise under another method, absent with damping."""

    def found(**more: Any) -> dict[str, Certificate]:
        setup = ready("wave", boundary={"boundary": 0.0}, initial={"u": "sin(pi*x)*sin(pi*y)"}, **more)
        return certificates(simulate(setup, tmp_path / "run"))

    kept = found()["energy drift"]
    assert kept.value < 1e-10 and kept.target is not None
    assert found(time={"stepper": "sdirk2"})["energy drift"].target is None
    assert "energy drift" not in found(coefficients={"damping": 0.5})
