"""What became of one damaged file: a mesh, a refusal, or a fault; meshes are checked by code of its own.

The limits: 5 seconds, 64 MB and 32 bytes of memory for each byte of the file, nothing on stdout and stderr, no
exception but ``MeshReadError`` with one sentence.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh

SECONDS = 5.0
MEMORY = 64 << 20  # bytes beside
RATIO = 32  # bytes for each byte of the file
_AIR = 96 << 20  # addresses that are reserved and never touched: stacks, arenas of the allocator, mapped files
GOOD = ("same", "refused", "plausible")
FAULTS = ("lost", "invalid", "exception", "exit", "crash", "hang", "memory", "printed", "sentence", "sample")
_NODES = {
    **{"line": (1, 2), "line3": (1, 3), "line4": (1, 4), "triangle": (2, 3), "triangle6": (2, 6), "triangle7": (2, 7)},
    **{"triangle10": (2, 10), "quad": (2, 4), "quad8": (2, 8), "quad9": (2, 9), "quad16": (2, 16), "tetra": (3, 4)},
    **{"tetra10": (3, 10), "tetra20": (3, 20), "hexahedron": (3, 8), "hexahedron20": (3, 20), "wedge": (3, 6)},
    **{"hexahedron24": (3, 24), "hexahedron27": (3, 27), "hexahedron64": (3, 64), "wedge15": (3, 15)},
    **{"wedge18": (3, 18), "pyramid": (3, 5), "pyramid13": (3, 13), "pyramid14": (3, 14)},
}


class TooLong(BaseException):
    """Raised by the alarm; no reader may catch it, so it is no ``Exception``."""


class Print(NamedTuple):
    """What of a mesh is compared: cells in all, and a hash of points, cells, sets and data."""

    cells: int
    hash: str


@dataclass(frozen=True)
class Verdict:
    """The outcome of reading one file: its kind, one of ``GOOD`` or ``FAULTS``, and a word about it."""

    kind: str
    detail: str = ""


def judged(
    path: Path, whole: Print | None, allowed: int, at_least: int | None = None, *, apart: bool = False
) -> Verdict:
    """Read one file and judge what happens.

    Args:
        path: the file. whole: the print of the undamaged one. allowed: bytes of memory beside what is in use now.
        at_least: cells that a mesh must have; fewer are lost ones.
        apart: whether the reader starts a process, which has limits of its own and would inherit the ones set here.
    """
    base, mesh = reset_peak(), None
    with caught_output() as said:
        try:
            with alarm(), nullcontext() if apart else limited(allowed + _AIR):
                mesh = read_mesh(path)
            verdict = Verdict("plausible")
        except MeshReadError as error:
            verdict = _refusal(error)
        except SystemExit as error:
            verdict = Verdict("exit", f"SystemExit({error.code})")
        except TooLong:
            verdict = Verdict("hang", f"more than {SECONDS:g} s")
        except MemoryError as error:
            verdict = Verdict("memory", f"MemoryError: {error}")
        except BaseException as error:
            verdict = Verdict("exception", f"{type(error).__name__}: {error}"[:200])
    grown = peak() - base
    if verdict.kind in GOOD and grown > allowed:
        return Verdict("memory", f"{grown >> 20} MB, allowed are {allowed >> 20} MB")
    if said:
        return Verdict("printed", repr(bytes(said[:120])))
    if mesh is None:
        return verdict
    if complaints := complaints_of(mesh):
        return Verdict("invalid", complaints[0])
    if at_least is not None and mesh.n_cells < at_least:
        return Verdict("lost", f"{mesh.n_cells} cells of {at_least}")
    return Verdict("same" if print_of(mesh) == whole else "plausible")


def _refusal(error: MeshReadError) -> Verdict:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return Verdict("memory", f"asked for too much: {cause}"[:200])
        cause = cause.__cause__ or cause.__context__
    reason, whole = error.reason, str(error)
    if not whole.isprintable() or reason not in whole:
        return Verdict("sentence", f"the refusal is no sentence: {whole!r}"[:200])
    if not 10 <= len(reason) <= 700 or "Traceback" in reason:
        return Verdict("sentence", f"the refusal is no sentence: {reason!r}"[:200])
    return Verdict("refused", reason)


def print_of(mesh: Any) -> Print:
    """The content of a mesh as one short value."""
    total = blake2b(digest_size=12)
    arrays = [("points", mesh.points), *mesh.cells.items()]
    arrays += [(f"{name}:{tag.dim}", tag.ids) for name, tag in sorted(mesh.tags.items())]
    arrays += [*sorted(mesh.point_data.items()), *sorted(mesh.cell_data.items())]
    for name, values in arrays:
        total.update(f"{name} {list(values.shape)} {values.dtype}".encode("utf-8", "surrogatepass"))
        total.update(np.ascontiguousarray(values.numpy()).tobytes())
    return Print(mesh.n_cells, total.hexdigest())


def complaints_of(mesh: Any) -> list[str]:
    """What makes a mesh unfit for use, found without the checks of the library."""
    out: list[str] = []
    x = np.asarray(mesh.points)
    if x.dtype != np.float64 or x.ndim != 2 or x.shape[1] not in (1, 2, 3) or not len(x):
        return [f"points are {x.dtype} {x.shape}"]
    if not np.isfinite(x).all():
        out.append("points are not finite")
    dims, total = set(), 0
    for kind, nodes in mesh.cells.items():
        rows = np.asarray(nodes)
        dim, width = _NODES.get(kind, (0, 0))
        if rows.dtype != np.int64 or rows.ndim != 2 or rows.shape[1] != width or not len(rows):
            out.append(f"{kind} cells are {rows.dtype} {rows.shape}")
        elif rows.min() < 0 or rows.max() >= len(x):
            out.append(f"{kind} cells name points {rows.min()}..{rows.max()} of {len(x)}")
        dims.add(dim)
        total += len(rows)
    if len(dims) != 1 or not total or min(dims) > x.shape[1]:
        out.append(f"cells of dimensions {sorted(dims)} in {x.shape[1]}-D")
    if out:
        return out
    for name, tag in mesh.tags.items():
        ids, nodes = np.asarray(tag.ids), np.asarray(tag.nodes)
        if not isinstance(name, str) or not 0 <= tag.dim <= max(dims) or not len(ids):
            out.append(f"set {name!r} of dimension {tag.dim} has {len(ids)} members")
            continue
        entities = np.asarray(mesh.entities(tag.dim).nodes) if tag.dim else np.arange(len(x))[:, None]
        for what, values, stop in (("members", ids, len(entities)), ("points", nodes, len(x))):
            if values.dtype != np.int64 or values.min() < 0 or values.max() >= stop or (np.diff(values) <= 0).any():
                out.append(f"set {name!r} has {what} {values.min()}..{values.max()} of {stop}")
        if not out and not np.array_equal(np.setdiff1d(entities[ids], [-1]), nodes):
            out.append(f"set {name!r} has other points than its members")
    for what, data, count in (("point", mesh.point_data, len(x)), ("cell", mesh.cell_data, total)):
        for name, values in data.items():
            if len(values) != count or np.asarray(values).dtype.kind not in "iufb":
                out.append(f"{what} data {name!r} are {values.dtype} {list(values.shape)} for {count}")
    if not all(isinstance(sentence, str) and sentence.strip() for sentence in mesh.warnings):
        out.append("a warning is no sentence")
    return out


# limits


@contextmanager
def alarm(seconds: float = SECONDS) -> Iterator[None]:
    """Raise ``TooLong`` inside the block once the time is over."""

    def ring(*_: object) -> None:
        raise TooLong

    old = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, old)


@contextmanager
def limited(more: int) -> Iterator[None]:
    """Let the process have only so many bytes of addresses more than it has now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + more, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def reset_peak() -> int:
    """Bytes of memory in use now; the peak counts from here if the system allows that."""
    try:
        with open("/proc/self/clear_refs", "w") as file:
            file.write("5")
    except OSError:
        pass
    return _status("VmRSS:")


def peak() -> int:
    """The most bytes of memory in use since ``reset_peak``."""
    return _status("VmHWM:")


def _status(key: str) -> int:
    with open("/proc/self/status") as file:
        line = next(line for line in file if line.startswith(key))
    return int(line.split()[1]) << 10


@contextmanager
def caught_output() -> Iterator[bytearray]:
    """Everything that is written to the descriptors 1 and 2 within the block, by Python or by a library."""
    said = bytearray()
    sys.stdout.flush()
    sys.stderr.flush()
    target = os.memfd_create("output")
    saved = [(number, os.dup(number)) for number in (1, 2)]
    try:
        for number, _ in saved:
            os.dup2(target, number)
        yield said
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, old in saved:
            os.dup2(old, number)
            os.close(old)
        os.lseek(target, 0, os.SEEK_SET)
        said += os.read(target, 4096)
        os.close(target)
