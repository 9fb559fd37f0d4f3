"""Tasks in processes of their own: several at a time, none able to take another one down."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import connection, resource_tracker
from typing import Any, NamedTuple

from graphpde.errors import InputError

_POLL = 0.2  # seconds between two looks at whether somebody asked to stop

Work = Callable[[Any, Callable[[], bool]], Any]
"""work(task, stop) -> value; ``stop()`` is True once somebody asked to end early. Found by its name in each process."""


class Ended(NamedTuple):
    """How a task ended: "ok" with its value, "failed" with the error, or "interrupted"; seconds that it took."""

    status: str
    seconds: float
    value: Any = None
    error: str = ""


@dataclass
class _Worker:
    """A process and the task it is at."""

    process: Any
    pipe: Any
    task: int | None = None
    since: float = field(default_factory=time.monotonic)
    told: bool = False


def in_processes(
    work: Work,
    tasks: Sequence[Any],
    count: int,
    threads: int,
    *,
    done: Callable[[int, Ended], None],
    stop: Callable[[], bool] | None = None,
) -> bool:
    """Carry out tasks in ``count`` processes; False if somebody asked to stop before the last one ended.

    The processes are started anew ("spawn"), so that none inherits locks or threads. One that dies (killed for memory,
    say) fails its own task only.

    Args:
        work: see :data:`Work`. threads: for the sums of each process. done: called with the number of each task that
            ended.
        stop: asked several times a second; True lets running tasks end early.

    Raises:
        InputError: a process cannot find the function by its name.
    """
    waiting = list(range(len(tasks)))[::-1]
    workers: list[_Worker] = []
    stopped = False

    try:
        while True:
            stopped = stopped or (stop is not None and stop())
            if not stopped:
                while waiting and len(workers) < count and all(w.task is not None for w in workers):
                    workers.append(_started(work, threads))
                    _hand_over(workers[-1], waiting, tasks)
                for idle in [w for w in workers if w.task is None and waiting]:
                    _hand_over(idle, waiting, tasks)
            busy = [worker for worker in workers if worker.task is not None]
            if not busy:
                return not stopped and not waiting
            for worker in busy:
                if stopped and not worker.told:
                    worker.process.terminate()  # it ends as soon as it can and keeps what it has
                    worker.told = True
            ready = connection.wait([worker.pipe for worker in busy], timeout=_POLL)
            for worker in busy:
                if worker.pipe in ready:
                    number, ended = worker.task, _ended(worker)
                    worker.task = None
                    assert number is not None
                    done(number, ended)
                    if not worker.process.is_alive():
                        workers.remove(worker)
    finally:
        for worker in workers:
            if worker.task is None:
                _dismiss(worker)
            else:
                worker.process.kill()
            worker.process.join(5)


def _started(work: Work, threads: int) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, threads), daemon=True)
    try:
        with _deaf_to_interrupts():  # which a process inherits, until it can say for itself what it wants to hear
            process.start()
    except Exception as error:  # what cannot be sent is told in as many ways as there are kinds of it
        raise InputError(
            f"processes cannot be given '{getattr(work, '__qualname__', work)}' ({error}); define it at the top of a "
            f"module"
        ) from None
    theirs.close()
    return _Worker(process, ours)


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # its start would open the ears again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_over(worker: _Worker, waiting: list[int], tasks: Sequence[Any]) -> None:
    worker.task = waiting.pop()
    worker.since = time.monotonic()
    with contextlib.suppress(BrokenPipeError, OSError):  # it died; what it says of the task will tell
        worker.pipe.send((tasks[worker.task],))


def _ended(worker: _Worker) -> Ended:
    """What the worker says of its task, or that it died."""
    try:
        return Ended(*worker.pipe.recv())
    except (EOFError, OSError):
        worker.process.join(5)
        code = worker.process.exitcode
        if worker.told and code == -signal.SIGTERM:  # asked to stop before it could listen
            return Ended("interrupted", time.monotonic() - worker.since)
        why = "perhaps the machine ran out of memory" if code == -signal.SIGKILL else "run it alone to see why"
        error = f"its process died (exit code {code}); {why}"
        return Ended("failed", time.monotonic() - worker.since, None, error)


def _dismiss(worker: _Worker) -> None:
    with contextlib.suppress(BrokenPipeError, OSError):
        worker.pipe.send(None)


def _serve(pipe: Any, work: Work, threads: int) -> None:
    """A worker: tasks in, what came of them out, until there are no more or whoever gives them is gone."""
    asked: list[int] = []
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of the group; the one who hands out decides
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    signal.signal(signal.SIGTERM, lambda number, frame: asked.append(number))
    import torch

    torch.set_num_threads(threads)
    while True:
        try:
            given = pipe.recv()
        except (EOFError, OSError):
            return
        if given is None:
            return
        started = time.monotonic()
        try:
            ended = Ended("ok", 0.0, work(given[0], lambda: bool(asked)))
        except Exception as error:
            ended = Ended("failed", 0.0, None, one_line(error))
        try:
            _send(pipe, ended._replace(seconds=time.monotonic() - started))
        except (BrokenPipeError, OSError):
            return


def _send(pipe: Any, ended: Ended) -> None:
    try:
        pipe.send(tuple(ended))
    except OSError:
        raise
    except Exception as error:  # a value that cannot be sent
        pipe.send(
            tuple(ended._replace(status="failed", value=None, error=f"its value cannot be sent: {one_line(error)}"))
        )


def one_line(error: Exception) -> str:
    """The message of an error on one line, or its type."""
    return " ".join(str(error).split()) or type(error).__name__
