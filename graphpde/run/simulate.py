"""One run from a prepared problem to a folder that says what happened, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphpde.config import Setup, dump, prepare, read_config
from graphpde.dynamics import SaveTo, evolve, steady
from graphpde.errors import InputError, OutputError, SolveError, StepUnderflow
from graphpde.run.certificates import certify
from graphpde.run.checkpoint import EVERY, Keeper
from graphpde.run.checkpoint import FILE as CHECKPOINT
from graphpde.run.estimate import estimate
from graphpde.run.folder import RunFolder
from graphpde.run.frames import Frames
from graphpde.run.manifest import describe, now
from graphpde.run.measure import Meter
from graphpde.run.pictures import draw, write_page
from graphpde.run.record_pictures import draw_records
from graphpde.run.records import Past, Records
from graphpde.run.resume import Leg, Stopped, changes, open_run, remaining_leg, whole_leg
from graphpde.run.rhythm import Followed, Rhythm
from graphpde.run.spool import reopen
from graphpde.solve.result import Result
from graphpde.viz import Certificate, Picture, Section

Progress = Callable[[int, int | None, float], None]
"""Called with the steps taken, those of the whole run where that is known, and the share of the time that is over."""


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        status: "ok" or "interrupted". folder: where everything lies.
        unknowns, steps, seconds: its size and cost, steps as taken. rhythm: what the step control did; None for equal
            steps.
        certificates: what was promised and kept. final: field -> its range and integral at the last saved moment.
        warnings: about the mesh and the run, one sentence each.
    """

    status: str
    folder: Path
    unknowns: int
    steps: int
    seconds: float
    certificates: Sequence[Certificate]
    final: dict[str, dict[str, float]]
    files: Sequence[Path]
    warnings: Sequence[str] = ()
    rhythm: Rhythm | None = None

    def as_dict(self) -> dict[str, Any]:
        """For machines; paths are absolute."""
        return {
            "status": self.status,
            "unknowns": self.unknowns,
            "steps": self.steps,
            **_adaptive(self.rhythm),
            "seconds": self.seconds,
            "certificates": {c.name: c.as_dict() for c in self.certificates},
            "final": self.final,
            "files": [str(file.resolve()) for file in self.files],
            "folder": str(self.folder.resolve()),
            "warnings": list(self.warnings),
        }


def _adaptive(rhythm: Rhythm | None) -> dict[str, Any]:
    return {} if rhythm is None else {"adaptive": rhythm.as_dict()}


class _Stopped(Exception):
    """Somebody asked to stop; the last state is saved."""


@dataclass
class _Run:
    """What is known of a run while it goes on; ``planned`` counts the saved moments without that of a stop.

    ``steps`` of the whole run is an estimate where they adapt, as ``control`` says.
    """

    setup: Setup
    folder: RunFolder
    manifest: dict[str, Any]
    frames: Frames
    timings: dict[str, float]
    step: int = 0
    steps: int = 0
    planned: int = 0
    notes: list[str] = field(default_factory=list)
    control: Followed | None = None

    @property
    def rhythm(self) -> Rhythm | None:
        """What the step control did so far; None for equal steps."""
        return None if self.control is None else self.control.rhythm

    def record(self, status: str, **more: Any) -> None:
        """Bring the manifest up to date."""
        numbers = {"steps": self.step, **_adaptive(self.rhythm), "timings": self.timings}
        self.manifest.update(status=status, finished=now(), **numbers, **more)
        self.folder.write_manifest(self.manifest)

    def close(self, status: str) -> None:
        """Remove the raw states, unless they are the only ones that a stopped run can go on with."""
        if status == "ok" or self.setup.config.output.npz:
            self.frames.close()


def simulate(
    setup: Setup,
    path: str | os.PathLike[str],
    *,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
    every: float = EVERY,
    after: Stopped | None = None,
) -> RunResult:
    """Run a prepared problem and write everything into the folder ``path``.

    Args:
        setup: from :func:`~graphpde.config.prepare`. path: a free folder, or one of an older run, which it replaces.
        command: recorded as the way to do it again. progress: see :data:`Progress`.
        stop: asked after every step; True ends the run, what it has is kept and the status is "interrupted".
        every: seconds of wall time after which the last good state is kept, beside that of each saved moment.
        after: the stopped run that lies in ``path`` and goes on, from :func:`~graphpde.run.resume.open_run`.

    Raises:
        OutputError: the folder cannot be used; said before anything is computed.
        InputError: the problem cannot be run as it stands; nothing is written.
        SolveError: a solver failed or the solution blew up; the folder keeps what was saved and says so.
    """
    started = time.perf_counter()
    records = Records(setup)
    folder = RunFolder(path, estimate(setup).disk)
    meter = Meter(setup)
    manifest = describe(setup, command)

    def begin() -> None:
        folder.begin()
        folder.write("config.toml", dump(setup.config.as_dict()))
        folder.write_manifest(manifest)

    run = _Run(setup, folder, manifest, Frames(folder, setup, meter, begin, records), dict(setup.timings))
    leg = None
    if after is not None:
        leg = _go_on(run, after)
    elif setup.stepper is not None:
        leg = whole_leg(setup)
    status, result = "ok", None
    try:
        with torch.no_grad():
            if leg is None:
                result = _solve(run)
            else:
                _advance(run, leg, progress, stop, every)
    except _Stopped:
        status = "interrupted"
    except BaseException as error:
        _record_failure(run, error)
        raise
    run.timings["solve and save"] = time.perf_counter() - started
    try:
        return _finish(run, status, result, meter, started)
    except KeyboardInterrupt:
        run.record("interrupted")
        raise


def resume(
    place: str | os.PathLike[str],
    changed: Mapping[str, Any] | None = None,
    *,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Go on with the run in the folder ``place``, or from its saved moment ``place@time``.

    Args:
        changed: tables over those of its config.toml, such as ``{"time": {"dt": 1e-4}}``. The others: see
            :func:`simulate`.

    Raises:
        InputError: there is nothing to go on from, or the problem or its mesh is another one; the rest see
            :func:`simulate`.
    """
    after = open_run(Path(place))
    setup = prepare(read_config(after.with_changes(changed or {})))
    return simulate(setup, after.path, command=command, progress=progress, stop=stop, after=after)


def _go_on(run: _Run, after: Stopped) -> Leg:
    """Take up what a stopped run left; its manifest stays and tells of the new start."""
    setup, at = run.setup, after.checkpoint
    if setup.stepper is None:
        raise InputError(f"'{after.path}' is a steady state, which has no steps to go on with; run it again")
    found = changes(after, setup)
    leg = remaining_leg(after, setup, found)
    run.folder.go_on()
    reopen(run.frames, at.frames)
    run.frames.records.open(run.folder.path, Past(at.t, at.state.to(setup.u0), run.frames.moments[-1].t))
    run.planned, run.step = at.frames, at.step
    run.notes = [leg.note] if leg.note and not found else []
    entry = {
        "at": run.manifest["started"], "command": run.manifest["command"], "t": at.t, "step": at.step,
        "changed": found, "exact": leg.exact, "versions": run.manifest["versions"],
    }  # fmt: skip
    old = {key: value for key, value in after.manifest.items() if key not in ("error", "finished")}
    fresh = {key: run.manifest[key] for key in ("status", "host", "pid", "threads", "device", "warnings")}
    run.manifest = {**old, **fresh, "resumed": [*after.manifest.get("resumed", []), entry]}
    run.folder.write("config.toml", dump(setup.config.as_dict()))
    run.folder.write_manifest(run.manifest)
    return leg


def _solve(run: _Run) -> Result:
    """Solve for the steady state and save it."""
    setup, solver = run.setup, run.setup.config.solver
    start = float(setup.times[0])
    result = steady(setup.term, setup.u0, t=start, method=solver.method, rtol=min(solver.rtol, 1e-10))
    run.step = run.steps = 1
    run.frames.add(1, start, result.value)
    return result


def _advance(run: _Run, leg: Leg, progress: Progress | None, stop: Callable[[], bool] | None, every: float) -> None:
    """Advance to the end; every saved moment is written at once, and with it the state to go on from."""
    setup, frames = run.setup, run.frames
    keeper = Keeper(run.folder.path, setup, leg.origin, every)
    run.control, named, t, stopping = leg.control, 0, leg.origin.t, False
    start, span = float(setup.times[0]), float(setup.times[-1] - setup.times[0])

    def keep(t: float, u: Any, carry: Any) -> bool:
        return keeper.keep(t, run.step, run.planned, u, carry, run.rhythm)

    def save(t: float, u: Any) -> None:
        nonlocal named
        named += 1
        if named <= leg.known:
            return
        frames.add(run.step, t, u, run.rhythm)
        run.planned += 1
        keep(t, u, leg.stepper.carry)
        if stopping:
            raise _Stopped

    def watch(step: int, steps: int, now: float, u: Tensor) -> None:
        nonlocal t, stopping
        t = now
        frames.meter.follow(t)
        if step <= leg.skip:
            return
        run.step, run.steps = leg.origin.step + step, leg.origin.step + steps
        frames.records.step(t, u, None if run.rhythm is None else run.rhythm.last)
        if progress is not None:
            progress(run.step, run.steps if setup.control is None else None, (t - start) / span)
        asked = stop is not None and stop()
        if bool((abs(leg.times - t) <= 1e-12 * span).any()):  # it is saved next, and kept with that
            stopping = asked
            return
        if asked or keeper.due:
            frames.records.flush()  # before the checkpoint: whoever goes on from it counts on them
        kept = (asked or keeper.due) and keep(t, u, leg.stepper.carry)
        if asked:
            if kept and t > frames.moments[-1].t:
                frames.add(run.step, t, u, run.rhythm)
            raise _Stopped

    try:
        evolve(
            setup.term,
            leg.u0,
            leg.times.to(setup.u0.device),
            stepper=leg.stepper,
            dt=setup.dt,
            control=leg.control,
            save=SaveTo(save),
            allow_unstable=setup.config.solver.allow_unstable,
            watch=watch,
        )
    except StepUnderflow as error:  # what led here is the last thing worth a look, and to go on from otherwise
        frames.records.flush()
        if keep(t, error.last, None) and t > frames.moments[-1].t:
            frames.add(run.step, t, error.last, run.rhythm)
        raise


def _record_failure(run: _Run, error: BaseException) -> None:
    """Say in the folder what went wrong; a run that never began leaves nothing."""
    if isinstance(error, SolveError) and not run.folder.begun:
        run.folder.begin()
        run.folder.write("config.toml", dump(run.setup.config.as_dict()))
    if not run.folder.begun:
        run.folder.abandon()
        return
    status = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
    sentence = str(error) or type(error).__name__
    try:
        run.frames.pack()
        run.close(status)
        run.record(status, error=sentence)
    except OutputError:
        pass  # the disk that broke the run cannot take its obituary either; the first error is the one to tell
    if isinstance(error, SolveError) and run.step > 0 and (run.folder.path / CHECKPOINT).exists():
        how, options = "a smaller step", "--dt DT"
        if run.control is not None:
            how, options = "other tolerances or another stepper", "[--rtol R] [--atol A] [--stepper NAME]"
        error.add_note(f"what was saved can go on with {how}: --resume {run.folder.path}[@TIME] {options}")


def _finish(run: _Run, status: str, result: Result | None, meter: Meter, started: float) -> RunResult:
    setup, frames = run.setup, run.frames
    certificates = [*certify(setup, meter, frames.moments, result), *frames.records.certificates()]
    last = frames.moments[-1]
    final = {
        name: {"min": last.low[k], "max": last.high[k], "integral": last.mass[k]}
        for k, name in enumerate(setup.pde.fields)
    }
    warnings = [*setup.warnings, *run.notes, *_remarks(frames)]
    numbers = {"certificates": {c.name: c.as_dict() for c in certificates}, "final": final}
    run.record(status, **numbers)  # before the pictures, which somebody may not wait for
    clock = time.perf_counter()
    frames.pack()
    pictures: list[Picture] = []
    sections: list[Section] = []
    try:
        pictures = draw(frames, run.folder.path / "figures")
        sections = draw_records(frames, run.folder.path / "figures")
    except OutputError:
        raise
    except InputError as error:
        warnings.append(f"the pictures could not be drawn: {error}")
    run.timings["pictures"] = time.perf_counter() - clock
    seconds = time.perf_counter() - started
    unknowns = run.manifest["unknowns"]
    if setup.config.output.report:
        facts = {"timings": run.timings, "command": run.manifest["command"]}
        summary = _summary(run, status, final)
        write_page(run.folder.path / "report.html", setup, pictures, certificates, facts, summary, sections)
    run.close(status)
    run.record(status, seconds=seconds, warnings=warnings)
    files = run.folder.files()
    return RunResult(
        status, run.folder.path, unknowns, run.step, seconds, certificates, final, files, warnings, run.rhythm
    )


def _remarks(frames: Frames) -> list[str]:
    """What looks like an oversight in the result."""
    alike = all(
        low == high == first
        for m in frames.moments
        for low, high, first in zip(m.low, m.high, frames.moments[0].low, strict=True)
    )
    if not alike:
        return []
    return ["the solution is the same everywhere and at all times: nothing drives it; give --initial, --bc or --source"]


def _summary(run: _Run, status: str, final: dict[str, dict[str, float]]) -> str:
    setup = run.setup
    took = "a steady state" if setup.stepper is None else f"{run.step} steps of {setup.stepper.name}"
    if run.rhythm is not None:
        took += f" ({run.rhythm.text} {setup.units['time']})"
    ranges = "; ".join(
        f"{name} between {v['min']:.4g} and {v['max']:.4g}, integral {v['integral']:.4g}" for name, v in final.items()
    )
    of = f"{run.step} of {run.steps} steps" if run.control is None else f"{run.step} steps"
    stopped = "" if status == "ok" else f" Interrupted after {of}, at t = {run.frames.moments[-1].t:.4g}."
    return f"{run.manifest['unknowns']} unknowns, {took}: {ranges} at the end.{stopped}"
