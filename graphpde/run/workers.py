"""Runs in processes of their own: several at a time, none able to take another one down."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection
from pathlib import Path
from typing import Any, NamedTuple

_POLL = 0.2  # seconds between two looks at whether somebody asked to stop


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


@dataclass
class _Worker:
    """A process and the job it is at."""

    process: Any
    pipe: Any
    job: int | None = None
    since: float = field(default_factory=time.monotonic)
    told: bool = False


def run_all(
    jobs: Sequence[Job],
    count: int,
    threads: int,
    *,
    done: Callable[[int, Outcome], None],
    stop: Callable[[], bool] | None = None,
) -> bool:
    """Run jobs in ``count`` processes; False if somebody asked to stop before the last one ended.

    The processes are started anew ("spawn"), so that none inherits locks or threads. One that dies (killed for memory,
    say) fails its own job only.

    Args:
        threads: for the sums of each process. done: called with the number of each job that ended.
        stop: asked several times a second; True lets running jobs end after their present step.
    """
    waiting = list(range(len(jobs)))[::-1]
    workers: list[_Worker] = []
    stopped = False

    try:
        while True:
            stopped = stopped or (stop is not None and stop())
            if not stopped:
                while waiting and len(workers) < count and all(w.job is not None for w in workers):
                    workers.append(_started(threads))
                    _hand_over(workers[-1], waiting, jobs)
                for idle in [w for w in workers if w.job is None and waiting]:
                    _hand_over(idle, waiting, jobs)
            busy = [worker for worker in workers if worker.job is not None]
            if not busy:
                return not stopped and not waiting
            for worker in busy:
                if stopped and not worker.told:
                    worker.process.terminate()  # it ends after its step and keeps what it has
                    worker.told = True
            ready = connection.wait([worker.pipe for worker in busy], timeout=_POLL)
            for worker in busy:
                if worker.pipe in ready:
                    number, outcome = worker.job, _outcome(worker)
                    worker.job = None
                    assert number is not None
                    done(number, outcome)
                    if not worker.process.is_alive():
                        workers.remove(worker)
    finally:
        for worker in workers:
            if worker.job is None:
                _dismiss(worker)
            else:
                worker.process.kill()
            worker.process.join(5)


def _started(threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, threads), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _hand_over(worker: _Worker, waiting: list[int], jobs: Sequence[Job]) -> None:
    worker.job = waiting.pop()
    worker.since = time.monotonic()
    worker.pipe.send(jobs[worker.job]._asdict())


def _outcome(worker: _Worker) -> Outcome:
    """What the worker says of its job, or that it died."""
    try:
        return Outcome(*worker.pipe.recv())
    except (EOFError, OSError):
        worker.process.join(5)
        code = worker.process.exitcode
        if worker.told and code == -signal.SIGTERM:  # asked to stop before it could listen
            return Outcome("interrupted", time.monotonic() - worker.since)
        why = "perhaps the machine ran out of memory" if code == -signal.SIGKILL else "run it alone to see why"
        return Outcome("failed", time.monotonic() - worker.since, f"its process died (exit code {code}); {why}")


def _dismiss(worker: _Worker) -> None:
    with contextlib.suppress(BrokenPipeError, OSError):
        worker.pipe.send(None)


def _serve(pipe: Any, threads: int) -> None:
    """A worker: jobs in, outcomes out, until there are no more or whoever gives them is gone."""
    asked: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of the group; the one who hands out jobs decides
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            job = pipe.recv()
        except (EOFError, OSError):
            return
        if job is None:
            return
        started = time.monotonic()
        status, error = carry_out(Job(**job), lambda: bool(asked))
        try:
            pipe.send((status, time.monotonic() - started, error))
        except (BrokenPipeError, OSError):
            return


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
        return "failed", " ".join(str(error).split()) or type(error).__name__
    return result.status, ""
