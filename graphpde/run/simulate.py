"""One run from a prepared problem to a folder that says what happened, however it ends."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from graphpde.config import Setup, dump
from graphpde.dynamics import SaveTo, evolve, steady
from graphpde.errors import InputError, OutputError, SolveError
from graphpde.run.certificates import certify
from graphpde.run.estimate import estimate
from graphpde.run.folder import RunFolder
from graphpde.run.frames import Frames
from graphpde.run.manifest import describe, now
from graphpde.run.measure import Meter
from graphpde.run.pictures import draw, write_page
from graphpde.solve.result import Result
from graphpde.viz import Certificate, Picture

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RunResult:
    """What a run came to.

    Attributes:
        status: "ok" or "interrupted". folder: where everything lies.
        unknowns, steps, seconds: its size and cost, steps as taken.
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

    def as_dict(self) -> dict[str, Any]:
        """For machines; paths are absolute."""
        return {
            "status": self.status,
            "unknowns": self.unknowns,
            "steps": self.steps,
            "seconds": self.seconds,
            "certificates": {c.name: c.as_dict() for c in self.certificates},
            "final": self.final,
            "files": [str(file.resolve()) for file in self.files],
            "folder": str(self.folder.resolve()),
            "warnings": list(self.warnings),
        }


class _Stopped(Exception):
    """Somebody asked to stop; the last state is saved."""


@dataclass
class _Run:
    """What is known of a run while it goes on."""

    setup: Setup
    folder: RunFolder
    manifest: dict[str, Any]
    frames: Frames
    timings: dict[str, float]
    step: int = 0
    warnings: list[str] = field(default_factory=list)

    def record(self, status: str, **more: Any) -> None:
        """Bring the manifest up to date."""
        self.manifest.update(status=status, finished=now(), steps=self.step, timings=self.timings, **more)
        self.folder.write_manifest(self.manifest)


def simulate(
    setup: Setup,
    path: str | os.PathLike[str],
    *,
    command: str = "",
    progress: Progress | None = None,
    stop: Callable[[], bool] | None = None,
) -> RunResult:
    """Run a prepared problem and write everything into the folder ``path``.

    Args:
        setup: from :func:`~graphpde.config.prepare`. path: a free folder, or one of an older run, which it replaces.
        command: recorded as the way to do it again. progress: called as progress(step, steps).
        stop: asked after every step; True ends the run, what it has is kept and the status is "interrupted".

    Raises:
        OutputError: the folder cannot be used; said before anything is computed.
        InputError: the problem cannot be run as it stands; nothing is written.
        SolveError: a solver failed or the solution blew up; the folder keeps what was saved and says so.
    """
    started = time.perf_counter()
    folder = RunFolder(path, estimate(setup).disk)
    meter = Meter(setup)
    manifest = describe(setup, command)

    def begin() -> None:
        folder.begin()
        folder.write("config.toml", dump(setup.config.as_dict()))
        folder.write_manifest(manifest)

    run = _Run(setup, folder, manifest, Frames(folder, setup, meter, begin), dict(setup.timings))
    status, result = "ok", None
    try:
        with torch.no_grad():
            result = _compute(run, progress, stop)
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
    finally:
        run.frames.close()


def _compute(run: _Run, progress: Progress | None, stop: Callable[[], bool] | None) -> Result | None:
    """Advance to the end, or solve for the steady state; every saved moment is written at once."""
    setup, frames = run.setup, run.frames
    start = float(setup.times[0])
    if setup.stepper is None:
        solver = setup.config.solver
        result = steady(setup.term, setup.u0, t=start, method=solver.method, rtol=min(solver.rtol, 1e-10))
        run.step = 1
        frames.add(1, start, result.value)
        return result

    def watch(step: int, steps: int, t: float, u: Tensor) -> None:
        run.step = step
        frames.meter.follow(t)
        if progress is not None:
            progress(step, steps)
        if stop is not None and stop():
            if bool(torch.isfinite(u).all()) and t > frames.moments[-1].t:
                frames.add(step, t, u)
            raise _Stopped

    evolve(
        setup.term,
        setup.u0,
        setup.times.to(setup.u0.device),
        stepper=setup.stepper,
        dt=setup.dt,
        save=SaveTo(lambda t, u: frames.add(run.step, t, u)),
        allow_unstable=setup.config.solver.allow_unstable,
        watch=watch,
    )
    return None


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
        run.frames.close()
        run.record(status, error=sentence)
    except OutputError:
        pass  # the disk that broke the run cannot take its obituary either; the first error is the one to tell


def _finish(run: _Run, status: str, result: Result | None, meter: Meter, started: float) -> RunResult:
    setup, frames = run.setup, run.frames
    certificates = certify(setup, meter, frames.moments, result)
    last = frames.moments[-1]
    final = {
        name: {"min": last.low[k], "max": last.high[k], "integral": last.mass[k]}
        for k, name in enumerate(setup.pde.fields)
    }
    warnings = [*setup.space.warnings, *_remarks(frames)]
    numbers = {"certificates": {c.name: c.as_dict() for c in certificates}, "final": final}
    run.record(status, **numbers)  # before the pictures, which somebody may not wait for
    clock = time.perf_counter()
    frames.pack()
    pictures: list[Picture] = []
    try:
        pictures = draw(frames, run.folder.path / "figures")
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
        write_page(run.folder.path / "report.html", setup, pictures, certificates, facts, summary)
    frames.close()
    run.record(status, seconds=seconds, warnings=warnings)
    return RunResult(
        status, run.folder.path, unknowns, run.step, seconds, certificates, final, run.folder.files(), warnings
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
    ranges = "; ".join(
        f"{name} between {v['min']:.4g} and {v['max']:.4g}, integral {v['integral']:.4g}" for name, v in final.items()
    )
    stopped = "" if status == "ok" else f" Interrupted after {run.step} of {setup.steps} steps."
    return f"{run.manifest['unknowns']} unknowns, {took}: {ranges} at the end.{stopped}"
