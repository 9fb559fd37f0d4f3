"""The end of a run: certificates, pictures and the page."""

from __future__ import annotations

import time

from graphpde.errors import InputError, OutputError
from graphpde.run.adapt import draw_adapted
from graphpde.run.certificates import certify
from graphpde.run.extremes import energy_warning, overshoot_warning
from graphpde.run.frames import Frames
from graphpde.run.measure import Meter
from graphpde.run.pictures import draw, write_page
from graphpde.run.record_pictures import draw_records
from graphpde.run.run_result import RunResult
from graphpde.run.running import Running
from graphpde.solve.result import Result
from graphpde.viz import Picture, Section


def finish(run: Running, status: str, result: Result | None, meter: Meter, started: float) -> RunResult:
    """Judge and draw what was computed since ``started``, and write it down.

    Raises:
        OutputError: something cannot be written.
    """
    setup, frames = run.setup, run.frames
    certificates = [*certify(setup, meter, frames.moments, result), *frames.records.certificates()]
    last = frames.moments[-1]
    final = {
        name: {"min": last.low[k], "max": last.high[k], "integral": last.mass[k]}
        for k, name in enumerate(setup.pde.fields)
    }
    judged = [*overshoot_warning(setup, meter, frames.moments[-1:] if setup.stepper is None else frames.moments)]
    judged += energy_warning(setup, certificates)
    warnings = [*setup.warnings, *run.notes, *judged, *_remarks(frames)]
    numbers = {"certificates": {c.name: c.as_dict() for c in certificates}, "final": final}
    run.record(status, **numbers)  # before the pictures, which somebody may not wait for
    clock = time.perf_counter()
    frames.pack()
    pictures: list[Picture] = []
    sections: list[Section] = []
    try:
        pictures = draw(frames, run.folder.path / "figures")
        sections = draw_records(frames, run.folder.path / "figures")
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
        summary = " ".join([_summary(run, status, final), *(f"Warning: {sentence}." for sentence in judged)])
        write_page(run.folder.path / "report.html", setup, pictures, certificates, facts, summary, sections)
    run.close(status)
    run.record(status, seconds=seconds, warnings=warnings)
    files = run.folder.files()
    return RunResult(
        status, run.folder.path, unknowns, run.step, seconds, certificates, final, files, warnings, run.rhythm,
        run.adapted,
    )  # fmt: skip


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


def _summary(run: Running, status: str, final: dict[str, dict[str, float]]) -> str:
    setup = run.setup
    took = "a steady state" if setup.stepper is None else f"{run.step} steps of {setup.stepper.name}"
    if run.rhythm is not None:
        took += f" ({run.rhythm.text} {setup.units['time']})"
    ranges = "; ".join(
        f"{name} between {v['min']:.4g} and {v['max']:.4g}, integral {v['integral']:.4g}" for name, v in final.items()
    )
    of = f"{run.step} of {run.steps} steps" if run.control is None else f"{run.step} steps"
    stopped = "" if status == "ok" else f" Interrupted after {of}, at t = {run.frames.moments[-1].t:.4g}."
    if stopped and (setup.stepper is None or (run.fitted is not None and run.fitted.interrupted)):
        stopped = f" Interrupted before the {'mesh' if run.fitted is None else 'fit'} was as good as was asked for."
    return f"{run.manifest['unknowns']} unknowns, {took}: {ranges} at the end.{stopped}"
