"""Poisson's equation with linear elements, from the operator to a relative residual of 1e-8: CPU seconds, interleaved.

python -m benchmarks.solvers --only Poisson
"""

from __future__ import annotations

import gc
import importlib.util
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.record import ROOT
from benchmarks.physics.rows import NO_TARGET, Absent, Found, Row, at_most
from graphpde.core.combined import pin
from graphpde.core.linear_operator import LinearOperator, as_matrix
from graphpde.mesh import Space, rectangle
from graphpde.ops import Diffusion
from graphpde.solve import LinearSolver

SECTION = "Poisson at scale"
RTOL = 1e-8
CELLS, ROUNDS = 999, 3  # a million unknowns
SIZES = (100, 180, 316, 562, 999, 1732)
SOURCES = (
    "graphpde/core", "graphpde/solve", "graphpde/mesh/space.py", "graphpde/ops/diffusion.py",
    "benchmarks/solvers/poisson.py",
)  # fmt: skip


class Beside(NamedTuple):
    """Median CPU seconds of each library, and the largest true residual of their answers."""

    unknowns: int
    ours: float
    pyamg: float
    scipy: float
    residual: float


def rows() -> list[Row]:
    """What a million unknowns cost, beside others, with a gradient, in memory, and against their number."""
    many, linear = "a million linear elements", "CPU time ~ unknowns^p, p <= 1.1"

    def row(name: str, target: str, bound: float, measure: Callable[[], Found | Absent]) -> Row:
        return Row(SECTION, f"Poisson, {many}, {name}", target, at_most(bound), measure, sources=SOURCES)

    return [
        row("beside pyamg", "CPU time <= 1.2 of its Ruge-Stueben + CG", 1.2, _beside_pyamg),
        row("beside scipy", "CPU time <= 1/8 of its CG", 1 / 8, _beside_scipy),
        row("with the gradient by every cell", "CPU time <= 2.5 of the solve", 2.5, _with_gradient),
        row("memory", NO_TARGET, float("inf"), _memory),
        Row(SECTION, "Poisson, cost against unknowns", linear, at_most(1.1), _scaling, sources=SOURCES),
    ]


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


def _beside_pyamg() -> Found | Absent:
    if importlib.util.find_spec("pyamg") is None:
        return Absent("pyamg is not installed; it comes with graphpde[solvers]")
    found = beside_others(CELLS, ROUNDS)
    text = f"{found.ours / found.pyamg:.2f} ({found.ours:.2f} s against {found.pyamg:.2f} s)"
    return Found(found.ours / found.pyamg, text, _on(found), "set-up and solve, each from its own matrix, in turns")


def _beside_scipy() -> Found | Absent:
    if importlib.util.find_spec("pyamg") is None:
        return Absent("pyamg is not installed; it comes with graphpde[solvers]")
    found = beside_others(CELLS, ROUNDS)
    text = f"1/{found.scipy / found.ours:.1f} ({found.ours:.2f} s against {found.scipy:.1f} s)"
    return Found(found.ours / found.scipy, text, _on(found), "without a preconditioner, as it comes")


def _on(found: Beside) -> str:
    return f"{found.unknowns:,} unknowns to {RTOL:g}, true residuals up to {found.residual:.1e}"


@cache
def beside_others(cells: int, rounds: int) -> Beside:
    """Set-up and solve, each library from its own matrix."""
    import pyamg
    from scipy.sparse.linalg import cg

    a, b = problem(cells)
    matrix, rhs = a.to_scipy(), b[:, 0].numpy()
    matrix.eliminate_zeros()
    answers: dict[str, np.ndarray] = {}

    def ours() -> None:
        with torch.no_grad():
            answers["ours"] = LinearSolver(a, method="auto", rtol=RTOL).solve(b).checked().value[:, 0].numpy()

    def theirs() -> None:
        answers["pyamg"] = pyamg.ruge_stuben_solver(matrix).solve(rhs, tol=RTOL, accel="cg")

    def scipy_cg() -> None:
        answers["scipy"] = cg(matrix, rhs, rtol=RTOL, maxiter=20_000)[0]

    ours(), theirs()  # imports and caches
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(each) for each in zip(*pairs, strict=True))
    alone = seconds(scipy_cg)
    residual = max(float(np.linalg.norm(rhs - matrix @ x) / np.linalg.norm(rhs)) for x in answers.values())
    return Beside(len(rhs), mine, other, alone, residual)


def _with_gradient() -> Found:
    """A solve, and a solve with the gradient of a functional by the conductivity of every cell."""
    kappa = torch.ones(2 * CELLS * CELLS, dtype=torch.float64)

    def forward() -> None:
        a, b = problem(CELLS, kappa)
        with torch.no_grad():
            LinearSolver(a, rtol=RTOL)(b)

    def both() -> None:
        learned = kappa.clone().requires_grad_()
        a, b = problem(CELLS, learned)
        LinearSolver(a, rtol=RTOL)(b).square().sum().backward()

    forward(), both()
    pairs = [(seconds(forward), seconds(both)) for _ in range(ROUNDS)]
    one, two = (statistics.median(each) for each in zip(*pairs, strict=True))
    text = f"{two / one:.2f} ({two:.2f} s against {one:.2f} s)"
    return Found(two / one, text, f"{(CELLS + 1) ** 2:,} unknowns, {len(kappa):,} derivatives", "from the mesh on")


def _memory() -> Found | Absent:
    """Asked of a process of its own, since the peak is that of its whole life."""
    if importlib.util.find_spec("pyamg") is None:
        return Absent("pyamg is not installed; it comes with graphpde[solvers]")
    said = subprocess.run([sys.executable, "-m", __name__, str(CELLS)], cwd=ROOT, capture_output=True, check=True)
    empty, peak = json.loads(said.stdout)
    spent, n = peak - empty, (CELLS + 1) ** 2
    text = f"{spent / 2**30:.2f} GiB, {spent / n / 1000:.2f} kB an unknown"
    return Found(spent, text, f"{n:,} unknowns, mesh, assembly and solve", "beside the libraries themselves")


def peaks(cells: int) -> tuple[int, int]:
    """Largest resident size in bytes after a small problem, and after this one."""
    importlib.import_module("pyamg")
    out = []
    for size in (30, cells):
        a, b = problem(size)
        with torch.no_grad():
            LinearSolver(a, method="auto", rtol=RTOL).solve(b).checked()
        out.append(_peak())
    return out[0], out[1]


def _peak() -> int:
    """Largest resident size of this program so far, in bytes; Linux's ru_maxrss would count what started it, too."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _scaling() -> Found:
    """Set-up and solve against the number of unknowns, and the exponent that fits."""
    sizes, times, iterations = [], [], []
    for cells in SIZES:
        a, b = problem(cells)
        spent, taken = [], 0
        for _ in range(1 + ROUNDS):
            start = time.process_time()
            with torch.no_grad():
                taken = LinearSolver(a, method="auto", rtol=RTOL).solve(b).checked().iterations
            spent.append(time.process_time() - start)
        sizes.append(a.n)
        times.append(statistics.median(spent[1:]))
        iterations.append(taken)
    exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    each = ", ".join(f"{n:.1e}: {t:.2f} s" for n, t in zip(sizes, times, strict=True))
    on = f"{sizes[0]:,} to {sizes[-1]:,} unknowns, {min(iterations)} to {max(iterations)} iterations"
    return Found(exponent, f"{exponent:.3f}", on, each)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps(peaks(int(sys.argv[1]))))
