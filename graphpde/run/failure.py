"""What a run that fails leaves behind, and how somebody can go on from there."""

from __future__ import annotations

import shlex

from graphpde.config import dump
from graphpde.errors import OutputError, SolveError
from graphpde.run.checkpoint import FILE as CHECKPOINT
from graphpde.run.checkpoint import read_checkpoint
from graphpde.run.running import Running


def record_failure(run: Running, error: BaseException) -> None:
    """Say in the folder what went wrong; a run that never began leaves nothing."""
    if isinstance(error, SolveError) and not run.folder.begun:
        run.folder.begin()
        run.folder.write("config.toml", dump(run.setup.config.as_dict()))
        if run.fitted is not None:
            run.fitted.write(run.folder)
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
    if isinstance(error, SolveError):
        error.add_note(_way_on(run, status))


def _way_on(run: Running, status: str) -> str:
    """Where the last good state lies, and what goes on from there."""
    folder = run.folder.path
    kept = folder / CHECKPOINT
    if run.step == 0 or not kept.exists():
        return f"status {status} before the first step was done: '{folder}' keeps what was asked for and the start"
    last = read_checkpoint(kept)
    how, options = "a smaller step", "--dt DT"
    if run.control is not None:
        how, options = "other tolerances or another stepper", "[--rtol R] [--atol A] [--stepper NAME]"
    place = shlex.quote(str(folder))
    return (
        f"status {status}, the last good state (t={last.t:.6g}, step {last.step}) is kept in '{kept}'; go on with "
        f"{how}: graphpde simulate --resume {place}[@TIME] {options}"
    )
