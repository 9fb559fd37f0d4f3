"""Peak memory of one call, as the growth of the process's largest resident size, in a process of its own.

The process runs under glibc's stock allocator, which hands every large freed tensor back at once, so that the resident
size follows what is alive. The graph, its plan and the inputs exist before the call; a call on a tiny graph beforehand
has loaded all code. ``python -m benchmarks.core.memory NAME`` prints the figures of one contender as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.core.cases import Row, Settings, graph
from benchmarks.core.contenders import OURS, backends, prepared
from benchmarks.core.graphs import mesh
from benchmarks.core.measure import POOL
from benchmarks.core.problem import Problem, pose

MEGABYTE = 1e6
CHANNELS = 16
MEMORY_ROW = f"memory/attention/mesh1M/{CHANNELS}"


def measure_memory(settings: Settings) -> Row:
    """Ours and PyG, attention forward + backward on the 1M mesh."""
    edges = graph("mesh1M", settings.quick)
    names = [*(OURS + name for name in backends()), "PyG MessagePassing"]
    results = {name: _in_a_process_of_its_own(name, settings) for name in names}
    return {"id": MEMORY_ROW, "work": "memory", "nodes": edges.n, "edges": edges.e, "results": results}


def _in_a_process_of_its_own(name: str, settings: Settings) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.core.memory", name, *(["--quick"] if settings.quick else [])]
    environment = {key: value for key, value in os.environ.items() if key not in POOL}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode != 0:
        return {"failed": (done.stderr.strip().splitlines() or ["nothing said"])[-1]}
    return dict(json.loads(done.stdout))


def figures(name: str, problem: Problem) -> dict[str, float]:
    """MB of inputs (with the cotangent), outputs, tensors saved between the passes, and of everything at the peak."""
    prepared(pose("attention", mesh(8, 8), CHANNELS))[name]()()
    call = prepared(problem)[name]()
    gc.collect()
    base = _restart_peak()
    outputs = call()
    growth = _resident("VmHWM") - base
    given = _bytes([*problem.inputs, problem.cotangent])
    made = _bytes(outputs)
    kept = _saved_bytes(call, problem)
    shown = {"inputs_mb": given, "outputs_mb": made, "saved_mb": kept, "peak_mb": given + growth}
    return {k: v / MEGABYTE for k, v in shown.items()} | {"multiple": (given + growth) / (given + made + kept)}


def _bytes(tensors: Iterable[Tensor]) -> float:
    return float(sum(x.untyped_storage().nbytes() for x in tensors))


def _saved_bytes(call: Any, problem: Problem) -> float:
    """Floating-point tensors that autograd keeps for the backward pass and that are neither inputs nor outputs."""
    kept: dict[int, Tensor] = {}

    def keep(x: Tensor) -> Tensor:
        if x.is_floating_point():
            kept[x.untyped_storage().data_ptr()] = x
        return x

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        outputs = call()
    known = {x.untyped_storage().data_ptr() for x in (*problem.inputs, problem.cotangent, *outputs)}
    return _bytes(x for place, x in kept.items() if place not in known)


def _resident(key: str) -> int:
    """VmRSS (now) or VmHWM (largest since the last restart) of this process in bytes."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(f"{key}:"):
            return 1024 * int(line.split()[1])
    raise OSError(f"/proc/self/status has no {key}")


def _restart_peak() -> int:
    """Start the peak anew at what is resident now and return that."""
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    return _resident("VmRSS")


if __name__ == "__main__":
    torch.set_num_threads(1)
    problem = pose("attention", graph("mesh1M", "--quick" in sys.argv), CHANNELS)
    print(json.dumps(figures(sys.argv[1], problem)))
