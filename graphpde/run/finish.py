"""The end of a run: certificates, pictures and the page."""

from __future__ import annotations

import time

from graphpde.errors import InputError, OutputError
from graphpde.run.adapt import draw_adapted
from graphpde.run.run_result import RunResult
from graphpde.run.running import Running
from graphpde.solve.result import Result
from graphpde.viz import Picture, Section


def finish(run: Running, status: str, result: Result | None, started: float) -> RunResult:
    """Judge and draw what was computed since ``started``, and write it down.

    Raises:
        OutputError: something cannot be written.
    """
    setup, frames, kit = run.setup, run.frames, run.frames.kit
    certificates = kit.certificates(frames.moments, result)
    final, judged = kit.final(frames.moments[-1]), kit.doubts(frames.moments, certificates)
    warnings = [*setup.warnings, *run.notes, *judged, *kit.remarks(frames.moments)]
    units = dict(setup.units)
    numbers = {"certificates": {c.name: c.as_dict() for c in certificates}, "final": final, "units": units}
    run.record(status, **numbers)  # before the pictures, which somebody may not wait for
    clock = time.perf_counter()
    frames.pack()
    pictures: list[Picture] = []
    sections: list[Section] = []
    try:
        pictures, sections = kit.draw(frames, run.folder.path / "figures")
        if run.adapted is not None and setup.config.output.pictures != "none":
            sections.append(draw_adapted(run.adapted, run.folder.path / "figures"))
        if run.fitted is not None:
            sections.insert(0, run.fitted.draw(run.folder.path / "figures"))
    except OutputError:
        raise
    except InputError as error:
        warnings.append(f"the pictures could not be drawn: {error}")
    run.timings["pictures"] = time.perf_counter() - clock
    seconds = time.perf_counter() - started
    unknowns = run.manifest["unknowns"]
    if setup.config.output.report:
        facts = {"timings": run.timings, "command": run.manifest["command"]}
        said = [f"{kit.summary(run, final)}.{_stopped(run, status)}", *(f"Warning: {sentence}." for sentence in judged)]
        kit.write_page(run.folder.path / "report.html", pictures, certificates, facts, " ".join(said), sections)
    run.close(status)
    run.record(status, seconds=seconds, warnings=warnings)
    files = run.folder.files()
    return RunResult(
        status, run.folder.path, unknowns, run.step, seconds, certificates, final, files, warnings, run.rhythm,
        run.adapted, units,
    )  # fmt: skip


def _stopped(run: Running, status: str) -> str:
    """Where a run ended that did not come to its end."""
    if status == "ok":
        return ""
    if run.setup.stepper is None and run.step < run.steps:
        return f" Interrupted after {run.step} of {run.steps} steps."
    if run.setup.stepper is None or (run.fitted is not None and run.fitted.interrupted):
        return f" Interrupted before the {'mesh' if run.fitted is None else 'fit'} was as good as was asked for."
    of = f"{run.step} of {run.steps} steps" if run.control is None else f"{run.step} steps"
    return f" Interrupted after {of}, at t = {run.frames.moments[-1].t:.4g}."
