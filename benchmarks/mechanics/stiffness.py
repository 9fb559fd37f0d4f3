"""A body of 200,000 unknowns at rest, from its mesh to the displacements: CPU seconds, beside pyamg in turns.

python -m benchmarks.mechanics --only "at scale"
"""

from __future__ import annotations

import importlib.util
import statistics
from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, Absent, Found, Row, at_most
from benchmarks.solvers.poisson import seconds
from graphpde.core.linear_operator import LinearOperator
from graphpde.dynamics import steady
from graphpde.mesh import Space, box
from graphpde.ops import Dirichlet, Neumann, Sum, System
from graphpde.ops.elasticity import Elasticity
from graphpde.solve import LinearSolver

F64 = torch.float64
SECTION = "Elasticity at scale"
RTOL = 1e-8
CELLS, ROUNDS = 40, 3  # 41^3 nodes
SIZES = (20, 25, 32, 40, 50)
SOURCES = (
    "graphpde/core", "graphpde/solve", "graphpde/mesh/space.py", "graphpde/mesh/blocks.py", "graphpde/ops/form.py",
    "graphpde/ops/integration.py", "graphpde/ops/constant_gradients.py", "graphpde/ops/point_derivatives.py",
    "graphpde/ops/system.py", "graphpde/ops/elasticity/linear.py", "graphpde/dynamics/steady.py",
    "benchmarks/mechanics/stiffness.py",
)  # fmt: skip


def rows() -> list[Row]:
    """What a large body costs beside another library, from the mesh on, with a gradient, and against its size."""

    def row(name: str, target: str, bound: float, measure: Callable[[], Found | Absent]) -> Row:
        return Row(SECTION, name, target, at_most(bound), measure, "", SOURCES)

    many, nothing = "200,000 unknowns of linear tetrahedra", float("inf")
    beside = "CPU time <= 1.5 of its smoothed aggregation + CG"
    return [
        row(f"a body of {many} beside pyamg", beside, 1.5, _beside_pyamg),
        row(f"a body of {many}, mesh to displacements", NO_TARGET, nothing, _everything),
        row(f"a body of {many}, gradient by the modulus of every cell", NO_TARGET, nothing, _with_gradient),
        row("a body at rest, cost against unknowns", "CPU time ~ unknowns^p, p <= 1.15", 1.15, _scaling),
    ]


class Problem(NamedTuple):
    """K u = f with what is held eliminated, f [n, 3]."""

    a: LinearOperator
    b: Tensor


def _conditions(space: Space, young: float | Tensor) -> Sum:
    """A cube held on one side and pulled down on the opposite one."""
    down = torch.tensor([0.0, 0.0, -1.0], dtype=F64)
    return Sum.of(Elasticity(space, young, 0.3), Dirichlet("left", 0.0), Neumann("right", down))


def problem(cells: int) -> Problem:
    """The matrix and the load."""
    now = torch.zeros((), dtype=F64)
    space = Space(box(cells, cells, cells), "p1")
    system = System(_conditions(space, 200.0), None, now)
    load = system.load(now, torch.zeros(space.n, 3, dtype=F64))
    assert system.operator is not None and system.fixed is not None and load is not None
    return Problem(system.pin(-system.operator), system.fixed.clear(load))


class Beside(NamedTuple):
    """Median CPU seconds, iterations, the largest true residual, and how far the answers lie apart."""

    ours: float
    pyamg: float
    iterations: tuple[int, int]
    residual: float
    apart: float


def _beside_pyamg() -> Found | Absent:
    if importlib.util.find_spec("pyamg") is None:
        return Absent("pyamg is not installed; it comes with graphpde[solvers]")
    found = beside_pyamg(CELLS, ROUNDS)
    ratio = found.ours / found.pyamg if found.apart <= 1e-5 else float("inf")
    on = f"{3 * (CELLS + 1) ** 3:,} unknowns to {RTOL:g}, true residuals up to {found.residual:.1e}"
    note = (
        f"set-up and solve, each from its own matrix, in turns, both with the rigid motions; iterations "
        f"{found.iterations[0]} and {found.iterations[1]}, answers within {found.apart:.0e}"
    )
    return Found(ratio, f"{ratio:.2f} ({found.ours:.2f} s against {found.pyamg:.2f} s)", on, note)


@cache
def beside_pyamg(cells: int, rounds: int) -> Beside:
    """Set-up and solve of both, in turns."""
    import pyamg

    a, b = problem(cells)
    assert a.near_null is not None
    matrix, rhs = a.to_matrix(3), b.reshape(-1).numpy()
    matrix.eliminate_zeros()
    matrix = matrix.tobsr((3, 3))
    motions = a.near_null.flatten(0, 1).numpy()
    answers: dict[str, np.ndarray] = {}
    taken = {"ours": 0, "pyamg": 0}

    def ours() -> None:
        with torch.no_grad():
            found = LinearSolver(a, rtol=RTOL).solve(b).checked()
        answers["ours"], taken["ours"] = found.value.reshape(-1).numpy(), found.iterations

    def theirs() -> None:
        history: list[Any] = []
        solver = pyamg.smoothed_aggregation_solver(matrix, B=motions)
        answers["pyamg"] = solver.solve(rhs, tol=RTOL, accel="cg", residuals=history)
        taken["pyamg"] = len(history) - 1

    for once in (ours, theirs):  # imports and caches
        once()
    pairs = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    mine, other = (statistics.median(each) for each in zip(*pairs, strict=True))
    residual = max(float(np.linalg.norm(rhs - matrix @ x) / np.linalg.norm(rhs)) for x in answers.values())
    apart = float(np.linalg.norm(answers["ours"] - answers["pyamg"]) / np.linalg.norm(answers["pyamg"]))
    return Beside(mine, other, (taken["ours"], taken["pyamg"]), residual, apart)


def _everything() -> Found:
    """Mesh, space, matrix, and the whole of ``steady`` on a body that has not been assembled before."""
    parts: dict[str, list[float]] = {"mesh and space": [], "matrix": [], "all of steady": []}
    spaces: list[Space] = []

    def space() -> None:
        spaces[:] = [Space(box(CELLS, CELLS, CELLS), "p1")]
        _ = spaces[0].edges

    for _ in range(1 + ROUNDS):
        parts["mesh and space"].append(seconds(space))
        bodies = [Elasticity(spaces[0], 200.0, 0.3) for _ in range(2)]
        _ = bodies[0].operator  # caches of the space
        parts["matrix"].append(seconds(partial(getattr, bodies[1], "operator")))
        u0 = torch.zeros(spaces[0].n, 3, dtype=F64)
        parts["all of steady"].append(seconds(partial(_at_rest, spaces[0], 200.0, u0)))
    each = {name: statistics.median(times[1:]) for name, times in parts.items()}
    total = each["mesh and space"] + each["all of steady"]
    told = ", ".join(f"{name} {spent:.2f} s" for name, spent in each.items())
    on = f"{3 * (CELLS + 1) ** 3:,} unknowns to {RTOL:g}"
    return Found(total, f"{total:.1f} s", on, f"{told} (the matrix is in it)")


def _at_rest(space: Space, young: float | Tensor, u0: Tensor) -> Tensor:
    return steady(_conditions(space, young), u0, rtol=RTOL).value


def _with_gradient() -> Found:
    """``steady``, and ``steady`` with the gradient of a functional by Young's modulus of every cell."""
    space = Space(box(CELLS, CELLS, CELLS), "p1")
    young, u0 = torch.full((space.mesh.n_cells,), 200.0, dtype=F64), torch.zeros(space.n, 3, dtype=F64)

    def forward() -> None:
        with torch.no_grad():
            _at_rest(space, young, u0)

    def whole() -> None:
        _at_rest(space, young.clone().requires_grad_(), u0).square().sum().backward()

    for once in (forward, whole):
        once()
    pairs = [(seconds(forward), seconds(whole)) for _ in range(ROUNDS)]
    one, two = (statistics.median(each) for each in zip(*pairs, strict=True))
    on = f"{3 * space.n:,} unknowns, {len(young):,} derivatives"
    return Found(two / one, f"{two / one:.2f} ({two:.1f} s against {one:.1f} s)", on, "over the same without it")


def _scaling() -> Found | Absent:
    """Set-up and solve against the number of unknowns, and the exponent that fits."""
    if importlib.util.find_spec("pyamg") is None:
        return Absent("pyamg is not installed; it comes with graphpde[solvers]")
    sizes, times, taken = [], [], set()
    for cells in SIZES:
        a, b = problem(cells)

        def work(a: LinearOperator = a, b: Tensor = b) -> None:
            with torch.no_grad():
                taken.add(LinearSolver(a, rtol=RTOL).solve(b).checked().iterations)

        work()
        times.append(statistics.median(seconds(work) for _ in range(ROUNDS)))
        sizes.append(b.numel())
    exponent = float(np.polyfit(np.log(sizes), np.log(times), 1)[0])
    told = ", ".join(f"{n:.1e}: {t:.2f} s" for n, t in zip(sizes, times, strict=True))
    on = f"{sizes[0]:,} to {sizes[-1]:,} unknowns, {min(taken)} to {max(taken)} iterations"
    return Found(exponent, f"{exponent:.3f}", on, told)
