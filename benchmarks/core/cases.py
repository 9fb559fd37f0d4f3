"""Which kernel is timed on which graph, and how one such case is measured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

from benchmarks.core import graphs
from benchmarks.core.contenders import Absent, Preparations, prepared
from benchmarks.core.measure import COPY, Company, copy_bandwidth, interleaved, memory_copy, touch_pool
from benchmarks.core.problem import TOLERANCE, Problem, largest_error, oracle, pose

Row = dict[str, Any]


@dataclass(frozen=True)
class Settings:
    """How a run measures.

    Attributes:
        threads: of torch and of everything that asks torch. rounds: at most, per case. quick: tiny graphs, two rounds.
        limit: wall seconds of timing per case. allocator: "pool" or "default", for the record and to touch the pool.
    """

    threads: int = 1
    rounds: int = 25
    quick: bool = False
    limit: float = 10.0
    allocator: str = "pool"


@dataclass(frozen=True)
class Case:
    """A kernel on a graph; ``compiled`` asks for torch.compile too."""

    work: str
    graph: str
    channels: int
    compiled: bool = False

    @property
    def id(self) -> str:
        return f"{self.work}/{self.graph}/{self.channels}"


CASES = (
    Case("sum", "mesh100k", 1),
    Case("sum", "mesh100k", 4),
    Case("sum", "mesh100k", 16, compiled=True),
    Case("sum", "mesh100k", 64),
    Case("sum", "mesh1M", 1),
    Case("sum", "mesh1M", 16),
    Case("sum", "mesh1M-random", 16),
    Case("fixed", "mesh100k", 16),
    Case("fixed", "power-law", 128),
    Case("learned", "mesh100k", 16),
    Case("learned", "cora", 64),
    Case("attention", "mesh100k", 16, compiled=True),
    Case("attention", "cora", 64, compiled=True),
    Case("max", "mesh100k", 16),
    Case("max", "cora", 64),
    Case("max", "power-law", 128),
)


@cache
def graph(name: str, quick: bool = False) -> graphs.Edges:
    """A graph by name, made once."""
    return (graphs.SMALL_GRAPHS if quick else graphs.GRAPHS)[name]()


def compulsory_bytes(problem: Problem) -> int:
    """What any implementation must move once per pass, float32 values and int32 columns, nothing read twice.

    Forward: every input and output field [n, c] (4nc), the columns (4e), the weights (4e, except max and attention)
    and the offsets (8n). Backward, one more pass over the edges: the cotangent, every input that a wanted gradient
    depends on, every gradient, and again columns, weights and offsets.
    """
    n, e = problem.edges.n, problem.edges.e
    field, columns, offsets = 4 * n * problem.channels, 4 * e, 8 * n
    structure = columns + offsets
    return {
        "sum": 2 * field + 4 * e + structure,
        "max": 2 * field + structure,
        "fixed": 4 * field + 2 * 4 * e + 2 * structure,  # back: cotangent, weights -> gradient of x
        "learned": 5 * field + 3 * 4 * e + 2 * structure,  # back: x as well, and the gradient of the weights
        "attention": 11 * field + 2 * structure,  # q, k, v -> y; cotangent, q, k, v -> three gradients
    }[problem.work]


def checked(problem: Problem, candidates: Preparations) -> tuple[dict[str, Callable[[], Any]], Row]:
    """The calls whose outputs are right, and for every contender its error or why it is not timed."""
    right = oracle(problem)
    calls: dict[str, Callable[[], Any]] = {}
    results: Row = {}
    for name, prepare in candidates.items():
        try:
            call = prepare()
            error = largest_error(call(), right)
        except Absent as why:
            results[name] = {"failed": str(why)}
        except Exception as why:  # whatever another library throws is its row, not the end of the run
            results[name] = {"failed": first_line(why)}
        else:
            if error <= TOLERANCE:
                calls[name] = call
                results[name] = {"error": error}
            else:
                results[name] = {"failed": f"wrong by {error:.1e} of the largest entry"}
    return calls, results


def measure(case: Case, settings: Settings) -> Row:
    """One row: medians, errors, compulsory bytes, bandwidth of a copy in the same rounds."""
    edges = graph(case.graph, settings.quick)
    problem = pose(case.work, edges, case.channels)
    if settings.allocator == "pool":
        touch_pool(6 * 4 * edges.e * case.channels)  # gathered messages, their products and their gradients
    calls, results = checked(problem, prepared(problem, compiled=case.compiled and not settings.quick))
    calls[COPY] = memory_copy()
    with Company() as others:
        found = interleaved(calls, rounds=settings.rounds, limit=settings.limit)
    copied = found.pop(COPY)
    for name, medians in found.items():
        results[name].update(medians)
    clock = "cpu_ms" if settings.threads == 1 else "wall_ms"
    bandwidth = {"copy_bytes_per_s": copy_bandwidth(copied[clock])}
    return described(case, problem) | {"results": results, "others_percent": others.percent} | bandwidth


def described(case: Case, problem: Problem) -> Row:
    """What a row says about its case."""
    return {
        "id": case.id,
        "work": case.work,
        "graph": case.graph,
        "channels": case.channels,
        "nodes": problem.edges.n,
        "edges": problem.edges.e,
        "compulsory_bytes": compulsory_bytes(problem),
    }


def first_line(why: Exception) -> str:
    """An exception in one line."""
    return f"{type(why).__name__}: {(str(why).strip().splitlines() or [''])[0]}"


def note(text: str) -> None:
    """Progress, beside the tables."""
    print(text, file=sys.stderr, flush=True)
