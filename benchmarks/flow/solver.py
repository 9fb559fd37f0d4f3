"""Dormand and Prince's method beside torchdiffeq's: the same right-hand side, tolerance and graph, in one run.

python -m benchmarks.flow.solver [--rounds 7]
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Absent, Found, Row, at_most
from graphpde.core import Graph, Relation
from graphpde.dynamics import Adaptive, evolve
from graphpde.ops import Diffusion

SECTION = "Solvers"
SOURCES = (*SOLVING, "benchmarks/flow/solver.py")
N, E, C, END, TOLERANCE = 10_000, 60_000, 32, 10.0, 1e-5
ROUNDS = 7
OURS, OURS_TERM, THEIRS = "evolve, the same function", "evolve, a Diffusion term", "torchdiffeq, the same function"


def problem() -> tuple[Graph, Tensor]:
    """An undirected random graph and a state."""
    rng = torch.Generator().manual_seed(0)
    one, other = torch.randint(0, N, (2, E // 2), generator=rng)
    src, dst = torch.cat([one, other]), torch.cat([other, one])
    return Graph(Relation.from_edges(src, dst, N, N), weight=torch.full((E,), 1 / 6)), torch.randn(N, C, generator=rng)


def contenders() -> dict[str, Callable[[], tuple[Tensor, int]]]:
    """Name -> a solve: the state at the end and the evaluations."""
    from torchdiffeq import odeint

    graph, u0 = problem()
    term = Diffusion(graph)
    matrix = term.operator.to_scipy().astype("float32").tocsr()
    csr = torch.sparse_csr_tensor(
        torch.from_numpy(matrix.indptr).long(), torch.from_numpy(matrix.indices).long(), torch.from_numpy(matrix.data)
    )
    count = [0]

    def f(t: Tensor, u: Tensor) -> Tensor:
        count[0] += 1
        return csr @ u

    def ours(what: Any) -> tuple[Tensor, int]:
        count[0] = 0
        run = evolve(what, u0, [0.0, END], stepper="dopri5", control=Adaptive(rtol=TOLERANCE, atol=TOLERANCE))
        return run.final, int(run.statistics["evaluations"])

    def theirs() -> tuple[Tensor, int]:
        count[0] = 0
        times = torch.tensor([0.0, END])
        return odeint(f, u0, times, method="dopri5", rtol=TOLERANCE, atol=TOLERANCE)[-1], count[0]

    return {OURS: lambda: ours(f), OURS_TERM: lambda: ours(term), THEIRS: theirs}


def measured(rounds: int = ROUNDS) -> dict[str, dict[str, float]]:
    """Median CPU seconds, error against a tight solution (root mean square) and evaluations of each, interleaved."""
    solves, times = contenders(), {}
    with torch.no_grad():
        found = {name: solve() for name, solve in solves.items()}
        for _ in range(rounds):
            for name, solve in solves.items():
                start = time.process_time()
                solve()
                times.setdefault(name, []).append(time.process_time() - start)
        exact = _tight()
    return {
        name: {
            "seconds": statistics.median(times[name]),
            "error": float((u.double() - exact).square().mean().sqrt()),
            "evaluations": evaluations,
        }
        for name, (u, evaluations) in found.items()
    }


def _tight() -> Tensor:
    """The same problem in double precision, to 1e-9."""
    graph, u0 = problem()
    control = Adaptive(rtol=1e-9, atol=1e-10)
    return evolve(Diffusion(graph), u0.double(), [0.0, END], stepper="tsit5", control=control).final


def rows() -> list[Row]:
    """The promise."""
    return [
        Row(SECTION, "dopri5 on 10,000 nodes, 60,000 edges, 32 channels: CPU time by torchdiffeq's", "<= 0.4",
            at_most(0.4), _row, sources=SOURCES),
    ]  # fmt: skip


def _row() -> Found | Absent:
    if find_spec("torchdiffeq") is None:
        return Absent("torchdiffeq is not installed")
    torch.set_num_threads(1)
    found = measured()
    ours, term, theirs = (found[name] for name in (OURS, OURS_TERM, THEIRS))
    evaluations = f"{ours['evaluations']:.0f} and {theirs['evaluations']:.0f} evaluations"
    also = f"a Diffusion term of ours {term['seconds'] / theirs['seconds']:.2f}x, error {term['error']:.1e}"
    note = f"errors {ours['error']:.1e} and {theirs['error']:.1e}, {evaluations}; {also}"
    ratio = ours["seconds"] / theirs["seconds"]
    return Found(ratio, f"{ratio:.2f}x", f"the same CSR product, tolerances {TOLERANCE:g}, T = {END:g}, float32", note)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    torch.set_num_threads(1)
    for name, found in measured(parser.parse_args().rounds).items():
        print(f"{name:32} {found['seconds']:.3f} s  error {found['error']:.1e}  {found['evaluations']:.0f} evaluations")
    return 0


if __name__ == "__main__":
    sys.exit(main())
