"""Where the time of a call goes: the compiled kernels by themselves, and what Python and autograd add to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.core.cases import Row, Settings, compulsory_bytes, graph
from benchmarks.core.measure import COPY, copy_bandwidth, interleaved, memory_copy
from benchmarks.core.problem import calling, pose
from graphpde.core import Relation
from graphpde.core.kernels import native

PROFILED = {"fixed": ("sum", "transposed sum"), "learned": ("sum", "transposed sum", "dot product")}
PROFILE_ROW = "profile/mesh100k/16"


def measure_profile(settings: Settings) -> Row:
    """Forward + backward with fixed and with learned weights: the whole call, its kernels, the rest, the byte floor."""
    edges = graph("mesh100k", settings.quick)
    relation = Relation.from_edges(torch.from_numpy(edges.src), torch.from_numpy(edges.dst), edges.n, edges.n).prepare()
    problems = {work: pose(work, edges, 16) for work in PROFILED}
    calls = _kernels(relation, problems["fixed"]) | {COPY: memory_copy()}
    for work, problem in problems.items():
        calls[work] = calling(problem, lambda x, w: relation.propagate(x, weight=w))
    found = {name: each["cpu_ms"] for name, each in interleaved(calls, rounds=2 * settings.rounds, limit=20).items()}
    bandwidth = copy_bandwidth(found[COPY])
    results = {}
    for work, parts in PROFILED.items():
        kernels = sum(found[part] for part in parts)
        floor = 1e3 * compulsory_bytes(problems[work]) / bandwidth
        results[f"{work} weights, forward + backward"] = {
            "cpu_ms": found[work],
            **{f"{part}, ms": found[part] if part in parts else 0.0 for part in PROFILED["learned"]},
            "Python and autograd, ms": found[work] - kernels,
            "byte floor, ms": floor,
        }
    return {"id": PROFILE_ROW, "work": "profile", "nodes": edges.n, "edges": edges.e, "results": results}


def _kernels(relation: Relation, problem: Any) -> dict[str, Callable[[], Any]]:
    """The native kernels of a forward and a backward pass, called directly."""
    x, w, g = problem.inputs[0].detach()[None], problem.weight[None, :, None], problem.cotangent[None]
    forward, backward = relation.sides.forward, relation.sides.backward
    return {
        "sum": lambda: native.spmm(forward, w, x),
        "transposed sum": lambda: native.spmm(backward, w, g),
        "dot product": lambda: native.sddmm(forward, g, x, 1, True),
    }
