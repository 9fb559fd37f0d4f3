"""Adaptive steps of a run: chosen from the problem file, told by the folder, and gone on with."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.config import Setup, dump, load, merge, prepare, read_config
from graphpde.config.schedule import adaptive_stepper, adaptive_steppers
from graphpde.dynamics import STEPPERS, evolve
from graphpde.errors import ConfigError, InputError, StepUnderflow
from graphpde.problems import PDES
from graphpde.run import resume, simulate
from graphpde.run.checkpoint import read_checkpoint
from graphpde.run.rhythm import Followed
from graphpde.run.show_code import show_code

QUIET = {"pictures": "none", "report": False}
HEAT = {
    "pde": "heat", "mesh": {"shape": "rectangle", "size": 0.25}, "initial": "sin(7*x)*y", "source": "x*sin(3*t)",
    "boundary": {"left": {"value": "0.1*sin(9*t)"}}, "time": {"end": 0.3, "frames": 5, "rtol": 1e-3}, "output": QUIET,
}  # fmt: skip
BLOW_UP = {
    "pde": "heat", "mesh": {"shape": "rectangle", "size": 0.5}, "initial": -1.0, "reaction": {"name": "logistic"},
    "time": {"end": 1.0, "frames": 10, "rtol": 1e-4, "stepper": "bosh3"}, "output": QUIET,
}  # fmt: skip
SINGULAR = math.log(2.0)  # u' = u - u^2 from u = -1 is 1 / (1 - 2 exp(-t))


def ready(base: dict[str, Any], *more: dict[str, Any], **top: Any) -> Setup:
    for tables in (*more, top):
        base = merge(base, tables)
    return prepare(read_config(base))


def metrics(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


def same_files(a: Path, b: Path) -> bool:
    names = [
        {f.relative_to(p) for p in (p,) for f in p.rglob("*") if f.suffix in (".vtu", ".jsonl", ".csv")} for p in (a, b)
    ]
    return names[0] == names[1] and all((a / n).read_bytes() == (b / n).read_bytes() for n in names[0])


def test_the_folder_tells_the_steps(tmp_path: Path) -> None:
    """It computes what ``evolve`` does under the same control, and says with which steps."""
    setup = ready(HEAT)
    assert setup.control is not None and setup.stepper is not None and setup.dt is None and setup.steps is None
    seen: list[tuple[int, int | None, float]] = []
    result = simulate(setup, tmp_path / "run", progress=lambda *at: seen.append(at))
    direct = evolve(setup.term, setup.u0, setup.times, stepper=setup.stepper, control=setup.control)
    with np.load(tmp_path / "run/fields/run.npz") as kept:
        assert np.array_equal(kept["states"], direct.states.numpy())
    assert result.rhythm is not None and result.steps == result.rhythm.accepted == direct.statistics["accepted"]
    assert manifest(tmp_path / "run")["adaptive"] == result.rhythm.as_dict() == {
        "accepted": direct.statistics["accepted"], "rejected": direct.statistics["rejected"],
        "dt_smallest": direct.statistics["dt_smallest"], "dt_largest": direct.statistics["dt_largest"],
    }  # fmt: skip
    rows = metrics(tmp_path / "run")
    assert "dt" not in rows[0] and all(0 < row["dt"] <= 0.06 for row in rows[1:])
    assert [at[0] for at in seen] == list(range(1, result.steps + 1)) and seen[0][1] is None
    assert seen[-1][2] == 1.0 and all(a[2] < b[2] for a, b in pairwise(seen))


def test_smaller_tolerances_give_smaller_errors(tmp_path: Path) -> None:
    """Logistic growth from 1/2 is 1 / (1 + exp(-t)) everywhere; the error goes with the tolerance."""
    errors = []
    for rtol in (1e-2, 1e-4, 1e-6):
        setup = ready(BLOW_UP, initial=0.5, time={"rtol": rtol, "frames": 1})
        result = simulate(setup, tmp_path / f"{rtol}")
        errors.append(abs(result.final["u"]["max"] - 1 / (1 + math.exp(-1))))
    assert errors[2] < errors[1] / 10 < errors[0] / 100 and errors[2] < 1e-6


def test_what_is_left_open_is_found_and_repeated(tmp_path: Path) -> None:
    setup = ready(HEAT, initial="5*sin(7*x)*y")
    plan = setup.config.time
    assert (plan.stepper, plan.dt, plan.rtol) == ("tr_bdf2", None, 1e-3)
    largest = float(setup.u0.abs().max())
    assert plan.atol == pytest.approx(1e-6 * largest, rel=0.05)
    (tmp_path / "again.toml").write_text(dump(setup.config.as_dict()))
    again = prepare(read_config(load(tmp_path / "again.toml")))
    assert again.control == setup.control and again.config.time == plan
    first = ready(HEAT, time={"dt": 1e-3, "dt_min": 1e-5, "dt_max": 0.01}).control
    assert first is not None and (first.dt0, first.dt_min, first.dt_max) == (1e-3, 1e-5, 0.01)


def test_dt_max_and_first_step_are_kept(tmp_path: Path) -> None:
    result = simulate(ready(HEAT, time={"dt": 1e-3, "dt_max": 0.01, "rtol": 1e-2}), tmp_path / "run")
    assert result.rhythm is not None and result.rhythm.largest <= 0.01 and result.rhythm.smallest <= 1e-3


@pytest.mark.parametrize("name", sorted(name for name, pde in PDES.items() if not pde.stationary))
@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
def test_the_default_stepper_adapts_and_treats_the_same_part_implicitly(name: str, rtol: float) -> None:
    pde = PDES[name]()
    found = adaptive_stepper(pde, rtol)
    assert found in adaptive_steppers()
    if pde.algebraic:  # the pressure asks for more
        assert STEPPERS[found].stiff == "all" and STEPPERS[found].algebraic
    else:
        assert STEPPERS[found].stiff == STEPPERS[pde.stepper].stiff
    assert STEPPERS[found].order > 1


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ({"stepper": "rk4", "rtol": 1e-3}, "rk4 estimates no error.*take one of heun, ralston, bosh3.*--rtol 0"),
        ({"rtol": 1e-3, "dt_min": 2.0, "dt_max": 1.0}, "dt_min = 2 exceeds dt_max = 1"),
        ({"rtol": -1.0}, "time.rtol is -1.0, expected"),
        ({"rtol": 0, "atol": 1e-3}, r"time.atol belongs to adaptive steps; give time.rtol \(--rtol\) too"),
        ({"rtol": 0, "dt_max": 1e-3}, "time.dt_max belongs to adaptive steps"),
    ],
)
def test_refusals(time: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ready(HEAT, {"time": {"rtol": 0}}, time=time)


def test_rtol_0_takes_equal_steps_again() -> None:
    adaptive = merge(HEAT, {"time": {"rtol": 1e-4, "atol": 1e-6, "dt_min": 1e-9, "dt_max": 1e-2}})
    setup = ready(adaptive, time={"rtol": 0, "dt": 0.01})
    assert setup.control is None and setup.steps == 30
    with pytest.raises(ConfigError, match="atol belongs"):
        ready({**HEAT, "time": {"end": 0.3, "atol": 1e-3}})


def test_the_code_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = ready(HEAT, time={"dt": 1e-3})
    code = show_code(setup)
    assert f"control=Adaptive(rtol=0.001, atol={setup.config.time.atol!r}, dt0=0.001)" in code and ", dt=" not in code
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(compile(code, "shown.py", "exec"), names)
    result = simulate(setup, tmp_path / "run")
    assert float(names["u"].max()) == result.final["u"]["max"]


@pytest.mark.parametrize("stepper", ["tr_bdf2", "esdirk4", "bosh3", "backward_euler"])
def test_from_a_saved_moment_it_goes_on_bit_by_bit(tmp_path: Path, stepper: str) -> None:
    """The controller's step and error are in the checkpoint, so the steps to come are those of a whole run."""
    setup = ready(HEAT, time={"stepper": stepper}, output={"probes": {"p": [0.3, 0.4]}})
    whole = simulate(setup, tmp_path / "whole")
    step = metrics(tmp_path / "whole")[2]["step"]
    seen: list[int] = []
    part = simulate(setup, tmp_path / "part", progress=lambda k, *_: seen.append(k), stop=lambda: len(seen) == step)
    assert part.status == "interrupted" and read_checkpoint(tmp_path / "part/checkpoint.npz").t == setup.times[2]
    done = resume(tmp_path / "part")
    assert (
        done.final == whole.final and done.rhythm == whole.rhythm and same_files(tmp_path / "whole", tmp_path / "part")
    )
    (entry,) = manifest(tmp_path / "part")["resumed"]
    assert entry["exact"] and entry["changed"] == {}


@pytest.mark.parametrize("stepper", ["tr_bdf2", "bdf2"])
def test_between_moments_it_goes_on_with_the_last_step(tmp_path: Path, stepper: str) -> None:
    setup = ready(HEAT, time={"stepper": stepper})
    whole = simulate(setup, tmp_path / "whole")
    seen: list[int] = []
    middle = metrics(tmp_path / "whole")[2]["step"] + 2
    simulate(setup, tmp_path / "part", progress=lambda k, *_: seen.append(k), stop=lambda: len(seen) == middle)
    kept = read_checkpoint(tmp_path / "part/checkpoint.npz").rhythm
    assert kept is not None and kept.accepted == middle and kept.wanted > 0 and kept.last > 0
    done = resume(tmp_path / "part")
    assert done.final["u"]["integral"] == pytest.approx(whole.final["u"]["integral"], rel=1e-3)
    assert done.rhythm is not None and abs(done.rhythm.accepted - whole.steps) <= 3
    assert any("between two saved moments" in sentence for sentence in done.warnings)
    assert not manifest(tmp_path / "part")["resumed"][0]["exact"]
    early = resume(f"{tmp_path / 'part'}@0.12")
    assert early.final["u"]["integral"] == pytest.approx(whole.final["u"]["integral"], rel=1e-3)


def test_the_start_of_a_controller_that_goes_on() -> None:
    """The first step it takes is the one it wanted, without a search, up to fitting it to the saved times."""
    setup = ready(HEAT)
    first = Followed.of(setup)
    assert first is not None and setup.stepper is not None
    evolve(setup.term, setup.u0, setup.times[:2], stepper=setup.stepper, control=first)
    second = Followed.of(setup, first.rhythm)
    assert second is not None
    pace = second.pace(setup.system, setup.stepper, setup.u0, setup.times[1:])
    leg = pace.enter(setup.times[1], setup.times[2])
    left = float(setup.times[2] - setup.times[1])
    assert leg.dt == pytest.approx(left / math.ceil(left / first.rhythm.wanted * (1 - 1e-9)), rel=1e-10)


def test_a_blow_up_is_named_and_what_led_to_it_kept(tmp_path: Path) -> None:
    """The step falls to nothing at the pole of the solution, whose time is known; the values there are kept."""
    setup = ready(BLOW_UP)
    with pytest.raises(StepUnderflow, match="the step fell to dt=.*and the error is still too large") as caught:
        simulate(setup, tmp_path / "run")
    assert caught.value.t == pytest.approx(SINGULAR, abs=1e-3)
    (note,) = caught.value.__notes__
    assert (
        f"--resume {tmp_path / 'run'}[@TIME] [--rtol R]" in note
        and "status failed, the last good state (t=0.69" in note
    )
    assert f"is kept in '{tmp_path / 'run' / 'checkpoint.npz'}'" in note
    said, rows = manifest(tmp_path / "run"), metrics(tmp_path / "run")
    assert said["status"] == "failed" and said["error"].startswith("the step fell to dt=")
    assert said["adaptive"]["accepted"] == rows[-1]["step"] and said["adaptive"]["rejected"] > 0
    assert rows[-2]["t"] == pytest.approx(0.6) and rows[-1]["t"] == pytest.approx(SINGULAR, abs=1e-3)
    assert rows[-2]["min"] == pytest.approx(1 / (1 - 2 * math.exp(-0.6)), rel=1e-3) and rows[-1]["min"] < -1e3
    kept = read_checkpoint(tmp_path / "run/checkpoint.npz")
    assert kept.frames == 7 and kept.t == rows[-1]["t"] and float(kept.state.min()) == rows[-1]["min"]
    assert (tmp_path / "run/fields/run.npz").exists()


def test_a_jump_is_gone_on_with_by_another_tolerance(tmp_path: Path) -> None:
    """A smallest step that is too long for a source that jumps: another tolerance gets across."""
    jump = {**HEAT, "source": "1000 if t > 0.1 else 0", "time": {**HEAT["time"], "dt_min": 1e-4, "rtol": 1e-5}}
    with pytest.raises(StepUnderflow):
        simulate(ready(jump), tmp_path / "run")
    stopped = read_checkpoint(tmp_path / "run/checkpoint.npz")
    assert 0.06 < stopped.t < 0.1
    done = resume(tmp_path / "run", {"time": {"rtol": 0.02, "dt_min": 1e-8}})
    assert done.status == "ok" and done.rhythm is not None and done.rhythm.accepted == done.steps > stopped.step
    (entry,) = manifest(tmp_path / "run")["resumed"]
    assert entry["changed"]["time.rtol"] == [1e-5, 0.02] and not entry["exact"] and entry["t"] == stopped.t
    assert [row["t"] for row in metrics(tmp_path / "run")] == pytest.approx(torch.linspace(0, 0.3, 6).tolist())


def test_equal_steps_after_adaptive_ones(tmp_path: Path) -> None:
    seen: list[int] = []
    simulate(ready(HEAT), tmp_path / "run", progress=lambda k, *_: seen.append(k), stop=lambda: len(seen) == 5)
    done = resume(tmp_path / "run", {"time": {"rtol": 0, "dt": 0.01, "stepper": "crank_nicolson"}})
    assert done.status == "ok" and done.rhythm is None


@pytest.mark.parametrize(("stepper", "exact"), [("backward_euler", True), ("tr_bdf2", False)])
def test_probes_and_fluxes_at_every_accepted_step(tmp_path: Path, stepper: str, exact: bool) -> None:
    """The amounts of backward Euler are exact for steps of any length; those of other steppers are measured."""
    asked = {"probes": {"p": [0.3, 0.4]}, "fluxes": "all"}
    result = simulate(ready(HEAT, output=asked, time={"stepper": stepper, "rtol": 3e-3}), tmp_path / "run")
    by_name = {c.name: c for c in result.certificates}
    assert by_name["flux balance"].passed
    assert (by_name["amount balance"].target is not None) == exact
    assert by_name["amount balance"].passed if exact else by_name["amount balance"].value < 1e-2
    times = [
        [line.split(",")[0] for line in (tmp_path / f"run/{name}.csv").read_text().splitlines()[1:]]
        for name in ("probes", "fluxes")
    ]
    assert times[0] == times[1] and len(times[0]) == result.steps + 1
    assert result.rhythm is not None and result.rhythm.smallest < result.rhythm.largest / 2  # steps do differ
