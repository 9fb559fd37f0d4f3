"""One thread against two: ours toggled call by call in one process, and a case again in a process of two threads."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from benchmarks.core.cases import Case, Row, Settings, compulsory_bytes, graph
from benchmarks.core.contenders import OURS, Absent, backends, ours
from benchmarks.core.measure import COPY, Company, copy_bandwidth, interleaved, memory_copy
from benchmarks.core.problem import pose

TOGGLED = (
    Case("sum", "mesh100k", 1),
    Case("sum", "mesh100k", 16),
    Case("sum", "mesh100k", 64),
    Case("sum", "mesh1M", 1),
    Case("sum", "mesh1M", 16),
    Case("sum", "mesh1M-random", 16),
    Case("fixed", "mesh100k", 16),
    Case("fixed", "power-law", 128),
    Case("learned", "mesh100k", 16),
    Case("attention", "mesh100k", 16),
)
AT_TWO_THREADS = Case("attention", "mesh100k", 16, compiled=True)


def measure_speedup(case: Case, settings: Settings) -> Row:
    """Wall time of each of our backends with one and with two threads, in turn."""
    edges = graph(case.graph, settings.quick)
    problem = pose(case.work, edges, case.channels)
    copy = memory_copy()
    results: Row = {}
    calls, threads = {COPY: copy}, {COPY: 1}
    for name in backends():
        try:
            call = ours(problem, name)
            call()
        except Absent as why:
            results[OURS + name] = {"failed": str(why)}
            continue
        for count in (1, 2):
            calls[f"{name} {count}"], threads[f"{name} {count}"] = call, count

    def ready(name: str) -> None:
        torch.set_num_threads(threads[name])
        calls[name]()  # wakes or starts the second thread, which is no part of the work

    before = torch.get_num_threads()
    try:
        with Company() as others:
            found = interleaved(calls, rounds=settings.rounds, limit=settings.limit, before=ready)
    finally:
        torch.set_num_threads(before)
    for name in backends():
        if f"{name} 1" in found:
            one, two = found[f"{name} 1"], found[f"{name} 2"]
            results[OURS + name] = {
                "cpu_ms": one["cpu_ms"],
                "wall_ms_1": one["wall_ms"],
                "wall_ms_2": two["wall_ms"],
                "cpu_ms_2": two["cpu_ms"],
                "speedup": one["wall_ms"] / two["wall_ms"],
                "others_percent": others.percent,
            }
    return {
        "id": f"threads/{case.id}",
        "work": "threads",
        "nodes": edges.n,
        "edges": edges.e,
        "results": results,
        "compulsory_bytes": compulsory_bytes(problem),
        "copy_bytes_per_s": copy_bandwidth(found[COPY]["cpu_ms"]),
    }


def measure_at_two_threads(case: Case, settings: Settings) -> Row:
    """The same row measured by a process of two threads: compiled code depends on their number."""
    with tempfile.TemporaryDirectory() as folder:
        kept = Path(folder) / "rows.json"
        command = [
            sys.executable,
            "-m",
            "benchmarks.core",
            "--threads",
            "2",
            "--allocator",
            settings.allocator,
            "--only",
            case.id,
        ]
        command += [
            "--json",
            str(kept),
            "--rounds",
            str(min(settings.rounds, 7)),
            *(["--quick"] if settings.quick else []),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            said = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            results = {OURS + backends()[0]: {"failed": said}}
            found = {"work": case.work, "graph": case.graph, "channels": case.channels, "results": results}
        else:
            found = json.loads(kept.read_text(encoding="utf-8"))["rows"][case.id]
    return found | {"id": f"{case.id}@2", "threads": 2}
