"""Interleaved timing: every round calls each candidate once, so that a busy machine slows all of them alike."""

from __future__ import annotations

import gc
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

COPY = "memory copy"
POOL = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**63 - 1)}
COPIED = 1 << 25  # floats: 128 MB each way, four times a large L3
LEAST = 0.004  # seconds of one sample; a shorter call is repeated within it
WARM_CALLS = 12


@dataclass
class Samples:
    """Per call: CPU seconds of the whole process, wall seconds, page faults; one entry per round."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)
    faults: list[float] = field(default_factory=list)

    def medians(self) -> dict[str, float]:
        """Medians over the rounds, times in milliseconds."""
        times = {"cpu_ms": 1e3 * statistics.median(self.cpu), "wall_ms": 1e3 * statistics.median(self.wall)}
        return {**times, "faults": statistics.median(self.faults), "rounds": len(self.cpu)}


def page_faults() -> int:
    """Pages that the kernel has handed to this process so far without reading a disk."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def interleaved(
    calls: Mapping[str, Callable[[], Any]],
    *,
    rounds: int,
    limit: float,
    before: Callable[[str], None] = lambda name: None,
) -> dict[str, dict[str, float]]:
    """Medians of each call, A B C A B C ..., warm.

    Args:
        calls: name -> what is timed; its result is thrown away inside the timed span.
        rounds: how many at most; at least 3 are done. limit: wall seconds after which no further round starts.
        before: called untimed before each sample with its name.
    """
    repeats = {}
    for name, call in calls.items():
        before(name)
        repeats[name] = _warm(call)
    samples = {name: Samples() for name in calls}
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    try:
        for done in range(rounds):
            if done >= 3 and time.perf_counter() - started > limit:
                break
            for name, call in calls.items():
                before(name)
                _sample(call, repeats[name], samples[name])
    finally:
        gc.enable()
    return {name: found.medians() for name, found in samples.items()}


def _warm(call: Callable[[], Any]) -> int:
    """How often a sample repeats the call, after calling until memory is reused, a dozen times or for a second.

    A call of microseconds says nothing about the next one, so that it always gets its dozen.
    """
    started = time.perf_counter()
    for _ in range(WARM_CALLS):
        faults, begun = page_faults(), time.perf_counter()
        call()
        now = time.perf_counter()
        settled = page_faults() - faults < 16 and now - begun > LEAST / 50
        if settled or now - started > 1:
            break
    return max(1, round(LEAST / max(now - begun, 1e-7)))


def _sample(call: Callable[[], Any], repeats: int, into: Samples) -> None:
    call()  # untimed: the caches hold what the call before left there
    faults, wall, cpu = page_faults(), time.perf_counter(), time.process_time()
    for _ in range(repeats):
        call()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    into.cpu.append(cpu / repeats)
    into.wall.append(wall / repeats)
    into.faults.append((page_faults() - faults) / repeats)


def memory_copy() -> Callable[[], Any]:
    """Copy 128 MB to another 128 MB: the bandwidth that the byte floor is measured against."""
    source, target = torch.ones(COPIED), torch.ones(COPIED)
    return lambda: target.copy_(source)


def copy_bandwidth(milliseconds: float) -> float:
    """Bytes read and written per second by one :func:`memory_copy` that took so long."""
    return 2 * 4 * COPIED / (milliseconds / 1e3)


def choose_allocator(name: str) -> None:
    """Make sure that this process runs under the allocator regime, by starting itself anew where it does not.

    glibc reads these variables once, before any Python code. "pool" keeps freed memory in the process (no mmap, no
    trimming), as caching allocators do; "default" gives every large tensor back to the kernel and pays the page faults
    again at the next call.
    """
    wanted = POOL if name == "pool" else {}
    if all(os.environ.get(key) == wanted.get(key) for key in POOL):
        return
    kept = {key: value for key, value in os.environ.items() if key not in POOL}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**kept, **wanted})


_touched = 0


def touch_pool(size: int) -> None:
    """Fault in so many bytes once, so that the pool has them from the first call on; 6 GB at most.

    Without it, blocks of changing sizes go on tearing new pages from the kernel for many rounds.
    """
    global _touched
    size = min(size, 6 << 30)
    if size > _touched:
        torch.zeros(size // 4)
        _touched = size


class Company:
    """How much of the machine other programs use during a ``with`` block: ``percent`` of all cores, steal included."""

    percent = 0.0

    def __enter__(self) -> Company:
        self._begun = _ticks()
        return self

    def __exit__(self, *of: object) -> None:
        busy, total, own = (now - then for now, then in zip(_ticks(), self._begun))
        self.percent = 100 * max(busy - own, 0.0) / total if total > 0 else 0.0


def _ticks() -> tuple[float, float, float]:
    """Seconds since the start that any core was busy, that all cores had, and that this process was busy."""
    own = os.times()
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, idle, wait, *rest = (int(x) for x in file.readline().split()[1:9])
    except (OSError, ValueError):
        return 0.0, 0.0, own.user + own.system
    busy, hertz = user + nice + system + sum(rest), os.sysconf("SC_CLK_TCK")
    return busy / hertz, (busy + idle + wait) / hertz, own.user + own.system


def faults_of_a_fresh_tensor() -> float:
    """Page faults per 40 MB tensor made, written and freed in a warm loop: 0 in a pool, about 10,000 without."""
    counts = []
    for _ in range(5):
        before = page_faults()
        torch.ones(10_000_000)
        counts.append(page_faults() - before)
    return statistics.median(counts)
