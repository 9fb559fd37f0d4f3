"""Runs in processes of their own: several at a time, none able to take another one down."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from graphpde.train.processes import Ended, in_processes, one_line


class Job(NamedTuple):
    """One run: its tables, its folder, and the command that is recorded; one that was stopped there goes on."""

    problem: dict[str, Any]
    folder: Path
    command: str


class Outcome(NamedTuple):
    """How a run ended: "ok", "interrupted" or "failed" with the error; seconds that it took."""

    status: str
    seconds: float
    error: str = ""


def run_all(
    jobs: Sequence[Job],
    count: int,
    threads: int,
    *,
    done: Callable[[int, Outcome], None],
    stop: Callable[[], bool] | None = None,
) -> bool:
    """Run jobs in ``count`` processes; False if somebody asked to stop before the last one ended.

    Args:
        threads: for the sums of each process. done: called with the number of each job that ended.
        stop: asked several times a second; True lets running jobs end after their present step.
    """

    def ended(number: int, how: Ended) -> None:
        status, error = how.value if how.status == "ok" else (how.status, how.error)
        done(number, Outcome(status, how.seconds, error))

    return in_processes(carry_out, jobs, count, threads, done=ended, stop=stop)


def carry_out(job: Job, stop: Callable[[], bool]) -> tuple[str, str]:
    """Run one job, or go on with it where it was stopped; its status and error."""
    from graphpde.config import prepare, read_config
    from graphpde.errors import InputError
    from graphpde.run.resume import Stopped, open_run
    from graphpde.run.simulate import simulate

    after: Stopped | None = None
    with contextlib.suppress(InputError):  # nothing to go on from: it starts at the start
        after = open_run(job.folder)
    if after is not None and after.manifest.get("status") == "ok":
        after = None
    try:
        setup = prepare(read_config(job.problem))
        try:
            result = simulate(setup, job.folder, command=job.command, stop=stop, after=after)
        except InputError:
            if after is None:
                raise
            result = simulate(setup, job.folder, command=job.command, stop=stop)
    except Exception as error:
        return "failed", one_line(error)
    return result.status, ""
