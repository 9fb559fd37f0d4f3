"""Stiff bodies of little material: a published optimum, gradients through the solver, a hole that evens stresses."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import graphpde.solve.linear
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.design import (
    Compliance,
    Densities,
    DensityFilter,
    FreeBoundary,
    Heaviside,
    Simp,
    Topology,
    minimise_compliance,
    minimise_shape,
)
from graphpde.dynamics import steady
from graphpde.mesh import Mesh, Space, circle, jittered, polygon, rectangle
from graphpde.ops import Dirichlet, Neumann, Source
from graphpde.ops.elasticity import Elasticity

SECTION = "Topology and shape optimisation"
SOURCES = (*SOLVING, "graphpde/design", "graphpde/train/shape.py", "benchmarks/mechanics/topology.py")
F64 = torch.float64

PUBLISHED = 233.7146
"""Compliance by top71(60, 20, 0.5, 3, 2.4, 2) of Andreassen et al. 2011 (density filter), as listed in the readme of
github.com/xwpken/topax; :func:`by_numpy` ends there as well."""

NX, NY, VOLUME, PENALTY, RADIUS, LEAST = 60, 20, 0.5, 3.0, 2.4, 1e-9


def rows() -> list[Row]:
    """The rows."""
    second = "2 (at least 1.95)", lambda v: v >= 1.95
    return [
        _row("MBB beam of 60 x 20 cells: compliance beside the published one", "2 %", at_most(0.02), _published),
        _row("MBB beam: compliance beside the same method in numpy", "1e-3 relative", at_most(1e-3), _by_numpy),
        _row("MBB beam: time of an iteration, times that of numpy and scipy", "2", at_most(2.0), _speed),
        _row("compliance by densities: order of the remainder of the gradient", *second, _taylor_of_densities),
        _row("factorisations for a compliance and its gradient", "1", at_most(1.0), _factorisations),
        _row("density filter: constants, and volumes inside", "1e-12", at_most(1e-12), _filter),
        _row("compliance by node positions: order of the remainder of the gradient", *second, _taylor_of_shapes),
        _row("hole in a sheet pulled 2 : 1 becomes the ellipse of constant stress", "3 %", at_most(0.03), _ellipse),
    ]


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, "", SOURCES)


# the beam


def beam() -> tuple[Mesh, Any]:
    """Half of it: smooth wall on the left, roller at the lower right, unit force at the upper left, unit cells."""
    mesh = rectangle(NX, NY, width=float(NX), height=float(NY), cells="quad")
    space = Space(mesh)
    force = torch.zeros(space.n, 2, dtype=F64)
    force[NY * (NX + 1), 1] = -1.0
    body = Elasticity(space, 1.0, 0.3, kind="plane_stress") + Source(space, force / space.measure[:, None])
    return mesh, body + Dirichlet("left", 0.0, channels=(0,)) + Dirichlet(torch.tensor([NX]), 0.0, channels=(1,))


class Timed(NamedTuple):
    """A history of compliances with CPU seconds per iteration."""

    compliance: tuple[float, ...]
    steps: int
    seconds: float


@cache
def ours() -> tuple[Topology, Timed]:
    mesh, total = beam()
    body, densities = Compliance(total), Densities(mesh, RADIUS)
    minimise_compliance(body, VOLUME, densities, steps=2)  # warms caches
    clock = time.process_time()
    found = minimise_compliance(body, VOLUME, densities, material=Simp(PENALTY, LEAST), steps=1000)
    spent = time.process_time() - clock
    return found, Timed(found.compliance, found.steps, spent / len(found.compliance))


@cache
def by_numpy() -> Timed:
    """The same method written down once more with numpy and scipy alone, from the equations of the paper.

    Eqs. (1), (3), (5), (6), (9) and (10); the multiplier is found to rounding.
    """
    from scipy.sparse import coo_matrix, csr_matrix, diags
    from scipy.sparse.linalg import spsolve
    from scipy.spatial import cKDTree

    clock = time.process_time()
    unit, node = unit_stiffness(0.3), np.arange((NX + 1) * (NY + 1)).reshape(NX + 1, NY + 1)
    corners = np.stack([node[:-1, :-1], node[1:, :-1], node[1:, 1:], node[:-1, 1:]], -1).reshape(-1, 4)
    dofs = np.stack([2 * corners, 2 * corners + 1], -1).reshape(-1, 8)
    places = np.repeat(dofs, 8, 1).ravel(), np.tile(dofs, 8).ravel()
    f, u = np.zeros(2 * node.size), np.zeros(2 * node.size)
    f[2 * node[0, -1] + 1] = -1.0
    free = np.setdiff1d(np.arange(len(f)), [*(2 * node[0]), 2 * node[-1, 0] + 1])
    tree = cKDTree(np.stack(np.divmod(np.arange(NX * NY), NY), 1))
    i, j = tree.query_pairs(RADIUS, output_type="ndarray").T
    hat = RADIUS - np.linalg.norm(tree.data[i] - tree.data[j], axis=1)
    h = csr_matrix((hat, (i, j)), (NX * NY, NX * NY))
    h = h + h.T + RADIUS * diags(np.ones(NX * NY))
    h = diags(1 / np.asarray(h.sum(1)).ravel()) @ h
    x, history, change, weight = np.full(NX * NY, VOLUME), [], 1.0, h.T @ np.ones(NX * NY)
    rho = h @ x
    while change > 0.01:
        moduli = LEAST + rho**PENALTY * (1 - LEAST)
        k = coo_matrix(((moduli[:, None] * unit.ravel()).ravel(), places), (len(f), len(f))).tocsc()
        u[free] = spsolve(k[free][:, free], f[free])
        energy = np.einsum("ei,ij,ej->e", u[dofs], unit, u[dofs])
        history.append(float(moduli @ energy))
        slope = h.T @ (PENALTY * rho ** (PENALTY - 1) * (1 - LEAST) * energy)
        low, high = 0.0, 1e9
        while high - low > 1e-12 * high:
            middle = 0.5 * (low + high)
            new = np.clip(x * np.sqrt(slope / weight / middle), np.maximum(0, x - 0.2), np.minimum(1, x + 0.2))
            rho = h @ new
            low, high = (middle, high) if rho.mean() > VOLUME else (low, middle)
        change, x = float(np.abs(new - x).max()), new
    return Timed(tuple(history), len(history), (time.process_time() - clock) / len(history))


def unit_stiffness(nu: float) -> np.ndarray:
    """Of a bilinear square in plane stress, E = 1 [8, 8], by 2 x 2 Gauss points."""
    law = np.array([[1, nu, 0], [nu, 1, 0], [0, 0, (1 - nu) / 2]]) / (1 - nu**2)
    out, g = np.zeros((8, 8)), 1 / math.sqrt(3)
    for a in (-g, g):
        for b in (-g, g):
            strain = np.zeros((3, 8))
            strain[0, 0::2] = strain[2, 1::2] = np.array([b - 1, 1 - b, 1 + b, -1 - b]) / 2
            strain[1, 1::2] = strain[2, 0::2] = np.array([a - 1, -1 - a, 1 + a, 1 - a]) / 2
            out += strain.T @ law @ strain / 4
    return out


def _published() -> Found:
    found, timed = ours()
    error = abs(found.compliance[-1] / PUBLISHED - 1)
    text = f"{found.compliance[-1]:.2f} ({percent(error)} from {PUBLISHED})"
    on = f"Q1, plane stress, E = 1, nu = 0.3, volume {VOLUME}, p = {PENALTY:g}, density filter of radius {RADIUS} cells"
    note = f"Andreassen et al. 2011; {found.steps} steps to a change of 0.01, {1e3 * timed.seconds:.0f} ms each"
    return Found(error, text, on, f"{note}; start {found.compliance[0]:.2f}, volume {found.volume[-1]:.10f}")


def _by_numpy() -> Found:
    (found, _), theirs = ours(), by_numpy()
    both = zip(found.compliance, theirs.compliance, strict=False)
    worst = max(abs(a / b - 1) for a, b in both)
    note = f"largest difference of one iteration; theirs ends at {theirs.compliance[-1]:.4f} after {theirs.steps} steps"
    return Found(worst, f"{worst:.1e}", f"{found.steps} and {theirs.steps} iterations from the same start", note)


def _speed() -> Found:
    ours.cache_clear()
    by_numpy.cache_clear()
    (_, mine), theirs = ours(), by_numpy()
    ratio = mine.seconds / theirs.seconds
    text = f"{ratio:.2f} ({1e3 * mine.seconds:.1f} ms beside {1e3 * theirs.seconds:.1f} ms)"
    note = "CPU time; half of it is the factorisation, which both leave to SuperLU"
    return Found(ratio, text, f"{2 * (NX + 1) * (NY + 1)} unknowns, {mine.steps} and {theirs.steps} iterations", note)


# gradients


def _remainder(value: Callable[[Tensor], Tensor], at: Tensor, way: Tensor, first: float) -> tuple[float, str]:
    """Order of value(at + h way) - value(at) - h slope . way as h is halved."""
    at = at.clone().requires_grad_()
    start = value(at)
    (slope,) = torch.autograd.grad(start, at)
    with torch.no_grad():
        sizes = [first * 0.5**k for k in range(5)]
        rest = [abs(float(value(at + h * way) - start - h * (slope * way).sum())) for h in sizes]
    return math.log2(rest[-2] / rest[-1]), ", ".join(f"{r:.1e}" for r in rest)


def _taylor_of_densities() -> Found:
    mesh, total = beam()
    body, densities, simp = Compliance(total), Densities(mesh, RADIUS, projection=Heaviside(8.0)), Simp()
    rng = torch.Generator().manual_seed(0)
    x = 0.3 + 0.4 * torch.rand(mesh.n_cells, generator=rng, dtype=F64)
    way = torch.randn(mesh.n_cells, generator=rng, dtype=F64)
    order, note = _remainder(lambda y: body(simp(densities(y))), x, way, 1e-2)
    on = f"{mesh.n_cells} variables through filter, projection, moduli and solver"
    return Found(order, f"{order:.3f}", on, f"remainders {note}")


def _taylor_of_shapes() -> Found:
    mesh = pierced(0.1, 3.0)
    boundary = FreeBoundary(mesh, "hole0")
    way = torch.randn(boundary.start().shape, generator=torch.Generator().manual_seed(0), dtype=F64)
    order, note = _remainder(lambda d: stretched(boundary(d)), boundary.start(), way, 0.01)
    return Found(
        order, f"{order:.3f}", f"{way.numel()} coordinates of a hole, P1, {mesh.n} points", f"remainders {note}"
    )


def _factorisations() -> Found:
    _, total = beam()
    body, counts = Compliance(total), {"factored": 0, "solved": 0}
    plain = graphpde.solve.linear.Factor

    class Counted(plain):  # type: ignore[misc, valid-type]
        def __init__(self, a: Any):
            counts["factored"] += 1
            super().__init__(a)

        def solve(self, b: Tensor, *, transposed: bool = False) -> Any:
            counts["solved"] += 1
            return super().solve(b, transposed=transposed)

    graphpde.solve.linear.Factor = Counted  # type: ignore[misc]
    try:
        body(torch.full((NX * NY,), 0.5, dtype=F64, requires_grad=True)).backward()
    finally:
        graphpde.solve.linear.Factor = plain  # type: ignore[misc]
    note = f"{counts['solved']} pairs of triangular solves: the compliance is its own adjoint, its factors serve again"
    return Found(float(counts["factored"]), str(counts["factored"]), "the beam", note)


def _filter() -> Found:
    uneven = jittered(rectangle(30, 20, width=1.5, cells="mixed"), 0.2, seed=0)
    ones = torch.ones(uneven.n_cells, dtype=F64)
    constants = float((DensityFilter(uneven, 0.12)(ones) - 1).abs().max())
    even = rectangle(NX, NY, width=float(NX), height=float(NY), cells="quad")
    inside = torch.zeros(NY, NX, dtype=F64)
    inside[6:-6, 6:-6] = torch.rand(NY - 12, NX - 12, generator=torch.Generator().manual_seed(0), dtype=F64)
    volume = abs(float(DensityFilter(even, RADIUS)(inside.reshape(-1)).sum() / inside.sum()) - 1)
    on = f"constants on {uneven.n_cells} uneven triangles and quadrilaterals, volume on {NX} x {NY} squares"
    worst = max(constants, volume)
    return Found(worst, f"{worst:.1e}", on, f"constants {constants:.1e}, volume {volume:.1e}")


# a hole


def pierced(size: float, half: float) -> Mesh:
    """A square with a round hole of radius 1/2, finer there."""
    return polygon(
        [(-half, -half), (half, -half), (half, half), (-half, half)],
        lambda x: size + 0.3 * (x.norm(dim=1) - 0.5).clamp(min=0),
        [circle(0.0, 0.0, 0.5, size)],
        names=["bottom", "right", "top", "left"],
    )


def stretched(mesh: Mesh) -> Tensor:
    """The compliance of a sheet pulled by 2 along x and 1 along y, held at a corner and kept from turning."""
    space = Space(mesh, "p1")
    x = space.pos
    assert x is not None
    total: Any = Elasticity(space, 1.0, 0.3, kind="plane_stress")
    body = total
    for side, pull in {"right": (2.0, 0.0), "left": (-2.0, 0.0), "top": (0.0, 1.0), "bottom": (0.0, -1.0)}.items():
        total = total + Neumann(side, torch.tensor(pull, dtype=F64))
    left, right = x.sum(1).argmin()[None], (x[:, 1] - x[:, 0]).argmin()[None]
    total = total + Dirichlet(left, 0.0) + Dirichlet(right, 0.0, channels=(1,))
    return 2 * body.energy(steady(total, torch.zeros(space.n, 2, dtype=F64)).value)


def _ellipse() -> Found:
    """Its axes are as the pulls: the hoop stress is 3 everywhere then; Cherepanov 1974, J. Appl. Math. Mech. 38."""
    mesh = pierced(0.05, 5.0)
    found = minimise_shape(mesh, "hole0", stretched, least=0.3, change=1e-6)
    wide, high = found.mesh.points[mesh.tag("hole0").nodes].abs().amax(0).tolist()
    error = abs(wide / high / 2 - 1)
    spread = max(abs(v / found.volume[0] - 1) for v in found.volume)
    gain = 1 - found.objective[-1] / found.objective[0]
    falls = all(b < a for a, b in zip(found.objective, found.objective[1:], strict=False))
    note = f"{found.steps} steps, compliance lower by {percent(gain)}{'' if falls else ' but not in each step'}, "
    note += f"volume within {spread:.0e}, worst cell {found.quality[0]:.2f} to {min(found.quality):.2f}, not below 0.3"
    on = f"P1, {mesh.n} points, a hole of radius 0.5 in a square of side 10"
    return Found(error if falls else math.inf, f"axes {wide / high:.3f} : 1", on, note)
