"""Two hundred flows through random ground, -div(kappa grad u) = 1, solved one after another with what is kept between.

python -m benchmarks.solvers.recycling
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, Absent, Found, Row, at_most
from graphpde.core.combined import pin
from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.errors import InputError
from graphpde.mesh import Space, rectangle
from graphpde.ops import Diffusion
from graphpde.solve import LinearSolver
from graphpde.solve.krylov import Preconditioner, cg
from graphpde.solve.recycling import Recycling, sorted_sequence

SECTION = "Krylov recycling"
SYSTEMS, CELLS, RTOL = 200, 54, 1e-8
CORRELATION, SPREAD = 0.3, 2.0  # length beside a unit square, and standard deviation of log kappa
FEW = 10  # systems with multigrid, whose hierarchies take most of the time


class Family(NamedTuple):
    """Operators of one mesh with a load [n, 1], and the logarithms of their conductivities [s, n]."""

    operators: list[LinearOperator]
    load: Tensor
    fields: Tensor


class Counted(NamedTuple):
    """One way through the family: products with A, CPU seconds, and the solutions by system."""

    products: int
    seconds: float
    solutions: list[Tensor]


@cache
def family() -> Family:
    """kappa = exp(f) with f = (L + M / length^2)^-1 M (L + M / length^2)^-1 M^1/2 noise, scaled."""
    space = Space(rectangle(CELLS, CELLS))
    fixed = torch.zeros(space.n, dtype=torch.bool)
    fixed[space.tag("boundary").nodes] = True
    measure = space.measure[:, None]
    laplacian = as_matrix(Diffusion(space).operator) * -1.0
    smooth = LinearSolver(laplacian + Diagonal(space.measure / CORRELATION**2), method="direct")
    noise = torch.randn(space.n, SYSTEMS, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    f = smooth(measure * smooth(measure.sqrt() * noise))
    fields = (f * (SPREAD / f.std())).T.contiguous()
    cells = space.mesh.cells["triangle"]
    operators = [pin(as_matrix(Diffusion(space, k.exp()[cells].mean(1)).operator) * -1.0, fixed) for k in fields]
    return Family(operators, torch.where(fixed[:, None], 0.0, measure), fields)


@cache
def plain() -> Counted:
    """Conjugate gradients from zero, each system on its own; the products are one an iteration and one to verify."""
    operators, load, _ = family()
    start = time.process_time()
    found = [cg(a, load, rtol=RTOL).checked() for a in operators]
    seconds = time.process_time() - start
    return Counted(sum(r.iterations + 1 for r in found), seconds, [r.value for r in found])


@cache
def recycled(sort: bool) -> Counted:
    """The same with a space kept, in the order given or sorted."""
    operators, load, fields = family()
    start = time.process_time()
    order = sorted_sequence(fields).tolist() if sort else list(range(SYSTEMS))
    keeper = Recycling(rtol=RTOL)
    solutions = {k: keeper.solve(operators[k], load).checked().value for k in order}
    return Counted(keeper.products, time.process_time() - start, [solutions[k] for k in range(SYSTEMS)])


def by_multigrid(recycle: bool) -> float:
    """Products with A for each of the first few systems in sorted order, under multigrid."""
    from graphpde.solve.multigrid import Multigrid

    operators, load, fields = family()
    keeper, products = Recycling(size=4, rtol=RTOL), 0
    for k in sorted_sequence(fields).tolist()[:FEW]:
        near: Preconditioner = Multigrid(operators[k])
        if recycle:
            keeper.solve(operators[k], load, precondition=near).checked()
        else:
            products += cg(operators[k], load, rtol=RTOL, precondition=near).checked().iterations + 1
    return (keeper.products if recycle else products) / FEW


def rows() -> list[Row]:
    """The promises, and beside them what recycling is worth in time and under a better preconditioner."""
    return [
        Row(SECTION, "products with A, recycled and sorted", "<= 0.6 of plain", at_most(0.6), _ratio(True)),
        Row(SECTION, "products with A, recycled in random order", "<= 0.6 of plain", at_most(0.6), _ratio(False)),
        Row(SECTION, "products with A, sorted beside random order", "<= 1", at_most(1.0), _sorting),
        Row(SECTION, "largest difference of the solutions", "<= 1e-7", at_most(1e-7), _difference),
        Row(SECTION, "CPU time, recycled and sorted", NO_TARGET, at_most(float("inf")), _time),
        Row(SECTION, "products with A under multigrid", NO_TARGET, at_most(float("inf")), _multigrid),
    ]


def _on() -> str:
    return f"{SYSTEMS} systems of {family().load.shape[0]:,} unknowns, conjugate gradients with Jacobi to {RTOL:g}"


def _ratio(sort: bool) -> Callable[[], Found]:
    def measure() -> Found:
        mine, theirs = recycled(sort).products, plain().products
        text = f"{mine / theirs:.3f} ({mine / SYSTEMS:.1f} against {theirs / SYSTEMS:.1f} a system)"
        return Found(mine / theirs, text, _on(), "products that carry the space to the next operator are counted")

    return measure


def _sorting() -> Found:
    value = recycled(True).products / recycled(False).products
    note = "a space of approximate eigenvectors suits any member of a smooth family, so order matters little"
    return Found(value, f"{value:.3f}", _on(), note)


def _difference() -> Found:
    pairs = [*zip(recycled(True).solutions, plain().solutions, strict=True)]
    pairs += zip(recycled(False).solutions, plain().solutions, strict=True)
    worst = max(float((x - y).norm() / y.norm()) for x, y in pairs)
    return Found(worst, f"{worst:.1e}", _on(), "relative, against plain, in both orders")


def _time() -> Found:
    value = recycled(True).seconds / plain().seconds
    note = "each iteration multiplies some forty more vectors: products of seven entries a row are hardly dearer"
    return Found(value, f"{value:.2f} of plain ({recycled(True).seconds:.1f} s)", _on(), note)


def _multigrid() -> Found | Absent:
    try:
        mine, theirs = by_multigrid(True), by_multigrid(False)
    except InputError:
        return Absent("pyamg is not installed")
    note = "nothing is left to gain: a good preconditioner beats recycling, which is for where there is none"
    return Found(mine / theirs, f"{mine:.1f} recycled, {theirs:.1f} plain a system", f"the first {FEW} systems", note)


def main() -> int:
    torch.set_num_threads(1)
    for row in rows():
        found = row.measure()
        if isinstance(found, Absent):
            print(f"  {row.name}: {found.reason}")
            continue
        met = (
            "" if row.target == NO_TARGET else f"  target {row.target}: {'met' if row.check(found.value) else 'MISSED'}"
        )
        print(f"  {row.name}: {found.text}{met}\n    {found.on}; {found.note}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
