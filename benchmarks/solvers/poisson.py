"""Poisson's equation with linear elements, from the operator to a relative residual of 1e-8: CPU seconds, interleaved.

python -m benchmarks.solvers.poisson                # a million unknowns beside pyamg and scipy, and with a gradient
python -m benchmarks.solvers.poisson --scaling      # one solve at each size from 1e4 to 3e6
python -m benchmarks.solvers.poisson --cells 300    # another size
"""

from __future__ import annotations

import argparse
import gc
import math
import resource
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from graphpde.core.combined import pin
from graphpde.core.linear_operator import LinearOperator, as_matrix
from graphpde.mesh import Space, rectangle
from graphpde.ops import Diffusion
from graphpde.solve import LinearSolver

RTOL = 1e-8
SIZES = (100, 180, 316, 562, 1000, 1732)


def problem(cells: int, kappa: Tensor | None = None) -> tuple[LinearOperator, Tensor]:
    """-div(kappa grad u) = 1 with u = 0 all round: the operator with the boundary eliminated, and the load [n, 1]."""
    space = Space(rectangle(cells, cells))
    fixed = torch.zeros(space.n, dtype=torch.bool)
    fixed[space.tag("boundary").nodes] = True
    operator = as_matrix(Diffusion(space, 1.0 if kappa is None else kappa).operator) * -1.0
    return pin(operator, fixed), torch.where(fixed, 0.0, space.measure)[:, None]


def seconds(work: Callable[[], object]) -> float:
    """CPU seconds of one call."""
    gc.collect()
    start = time.process_time()
    work()
    return time.process_time() - start


def beside_others(cells: int, rounds: int) -> None:
    """Set-up and solve, each library from its own matrix."""
    import pyamg
    from scipy.sparse.linalg import cg

    a, b = problem(cells)
    matrix, rhs = a.to_scipy(), b[:, 0].numpy()
    matrix.eliminate_zeros()
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        with torch.no_grad():
            found["graphpde"] = LinearSolver(a, method="auto", rtol=RTOL).solve(b).checked().value[:, 0].numpy()

    def theirs() -> None:
        solver = pyamg.ruge_stuben_solver(matrix)
        found["pyamg, Ruge-Stueben + CG"] = solver.solve(rhs, tol=RTOL, accel="cg")

    def scipy_cg() -> None:
        found["scipy, CG"] = cg(matrix, rhs, rtol=RTOL, maxiter=20_000)[0]

    times: dict[str, list[float]] = {"graphpde": [], "pyamg, Ruge-Stueben + CG": []}
    ours(), theirs()  # imports and caches
    for _ in range(rounds):
        times["graphpde"].append(seconds(ours))
        times["pyamg, Ruge-Stueben + CG"].append(seconds(theirs))
    times["scipy, CG"] = [seconds(scipy_cg)]
    mine = statistics.median(times["graphpde"])
    print(f"{len(rhs):,} unknowns, relative residual {RTOL:g}")
    for name, each in times.items():
        residual = np.linalg.norm(rhs - matrix @ found[name]) / np.linalg.norm(rhs)
        middle = statistics.median(each)
        print(f"  {name:26s} {middle:7.2f} s  {middle / mine:6.2f} of ours  true residual {residual:.1e}")
    print(f"  peak memory of the process {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20:.2f} GiB")


def with_gradient(cells: int, rounds: int) -> None:
    """A solve, and a solve with the gradient of a functional by the conductivity of every cell."""
    kappa = torch.ones(2 * cells * cells, dtype=torch.float64)

    def forward() -> None:
        a, b = problem(cells, kappa)
        with torch.no_grad():
            LinearSolver(a, rtol=RTOL)(b)

    def both() -> None:
        learned = kappa.clone().requires_grad_()
        a, b = problem(cells, learned)
        LinearSolver(a, rtol=RTOL)(b).square().sum().backward()

    forward(), both()
    pairs = [(seconds(forward), seconds(both)) for _ in range(rounds)]
    one, two = (statistics.median(each) for each in zip(*pairs, strict=True))
    print(f"  from the mesh: solve {one:.2f} s, with the gradient by every cell {two:.2f} s: {two / one:.2f} of it")


def scaling(rounds: int) -> None:
    """Set-up and solve against the number of unknowns, and the exponent that fits."""
    sizes, times = [], []
    for cells in SIZES:
        a, b = problem(cells)

        iterations: list[int] = []

        def solve(a: LinearOperator = a, b: Tensor = b, taken: list[int] = iterations) -> None:
            with torch.no_grad():
                taken.append(LinearSolver(a, method="auto", rtol=RTOL).solve(b).checked().iterations)

        solve()
        spent = statistics.median(seconds(solve) for _ in range(rounds))
        sizes.append(a.n)
        times.append(spent)
        print(
            f"  {a.n:>9,} unknowns {spent:8.3f} s  {spent / a.n * 1e6:6.2f} us each  {iterations[-1]} iterations",
            flush=True,
        )
    exponent = np.polyfit(np.log(sizes), np.log(times), 1)[0]
    print(f"  cost ~ unknowns^{exponent:.3f}; largest over smallest cost an unknown {_spread(sizes, times):.2f}")


def _spread(sizes: list[int], times: list[float]) -> float:
    each = [t / n for t, n in zip(times, sizes, strict=True)]
    return max(each) / min(each) if min(each) > 0 else math.inf


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cells", type=int, default=1000, help="cells along a side")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scaling", action="store_true", help="cost against unknowns instead")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.scaling:
        scaling(arguments.rounds)
    else:
        beside_others(arguments.cells, arguments.rounds)
        with_gradient(arguments.cells, arguments.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
