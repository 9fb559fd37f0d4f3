"""Error indicators: zero where the solution is exact, of the size of the error elsewhere, and worth refining by."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import steady
from graphpde.errors import InputError
from graphpde.mesh import P2, Mesh, Space, interval, rectangle, refine
from graphpde.mesh.bisection import bisect, bulk, newest_first
from graphpde.ops import Diffusion, Dirichlet, Source
from graphpde.ops.indicators import cell_gradients, recovery_indicator, residual_indicator

F64 = torch.float64


def energy_error(space: Space, u: Tensor, gradient: Callable[[Tensor], Tensor]) -> float:
    """||grad u - grad u_h|| by a rule of degree 6."""
    (block,) = space.blocks(6)
    there = cell_gradients(space, u)[:, :, 0]
    return float((block.volume * ((gradient(block.points) - there[:, None]) ** 2).sum(-1)).sum().sqrt())


def bump(x: Tensor) -> Tensor:
    return torch.sin(math.pi * x[..., 0]) * torch.sin(math.pi * x[..., 1])


def slope(x: Tensor) -> Tensor:
    p, q = math.pi * x[..., 0], math.pi * x[..., 1]
    return math.pi * torch.stack([torch.cos(p) * torch.sin(q), torch.sin(p) * torch.cos(q)], -1)


def solved(mesh: Mesh) -> tuple[Space, Tensor]:
    space = Space(mesh)
    term = Diffusion(space) + Source(space, lambda x, t: 2 * math.pi**2 * bump(x)) + Dirichlet("boundary", 0.0)
    return space, steady(term, torch.zeros(space.n, 1, dtype=F64)).value


def test_the_exact_solution_leaves_nothing() -> None:
    space = Space(rectangle(5, 4))
    u = 1 + 2 * space.pos[:, :1] - space.pos[:, 1:2]
    flux = {"right": 2.0, "left": -2.0, "top": -1.0, "bottom": 1.0}
    assert float(residual_indicator(space, u, fixed=None, flux=flux).max()) < 1e-12
    assert float(recovery_indicator(space, u).max()) < 1e-12
    wrong = residual_indicator(space, u, fixed=None)
    rim = torch.isin(torch.arange(space.mesh.n_cells), space.mesh.facets.cells[space.mesh.boundary_facets, 0])
    assert bool(((wrong > 1e-6) == rim).all())


@pytest.mark.parametrize("indicator", ["residual", "recovery"])
def test_the_estimate_follows_the_error(indicator: str) -> None:
    ratios, mesh = [], rectangle(6, 6)
    for _ in range(3):
        space, u = solved(mesh)
        if indicator == "residual":
            eta = residual_indicator(space, u, source=lambda x, t: 2 * math.pi**2 * bump(x))
        else:
            eta = recovery_indicator(space, u)
        ratios.append(float(eta.norm()) / energy_error(space, u, slope))
        mesh = refine(mesh)
    assert max(ratios) / min(ratios) < 1.15
    if indicator == "recovery":
        assert abs(ratios[-1] - 1) < 0.02  # asymptotically exact on uniform meshes


def test_jumping_coefficients_leave_nothing_where_the_flow_is_continuous() -> None:
    space = Space(rectangle(8, 4))
    kappa = torch.where(space.mesh.points[space.mesh.cells["triangle"]].mean(1)[:, 0] < 0.5, 1.0, 100.0).double()
    x = space.pos[:, :1]
    u = torch.where(x < 0.5, x, 0.5 + (x - 0.5) / 100)
    flux = {"right": 1.0, "left": -1.0}
    assert float(residual_indicator(space, u, kappa=kappa, fixed=None, flux=flux).max()) < 1e-12
    assert float(residual_indicator(space, u, fixed=None, flux=flux).max()) > 1e-3


def test_one_dimension_and_channels() -> None:
    space = Space(interval(10))
    u = torch.cat([space.pos, space.pos**2], 1)
    both = residual_indicator(space, u, source=-2.0, fixed=None, flux={"left": 0.0})
    assert both.shape == (10,) and bool((both > 0).all())
    assert float(residual_indicator(space, u[:, :1], fixed="boundary").max()) < 1e-12


def test_refining_by_it_recovers_the_optimal_order_at_a_corner() -> None:
    """u = r^(2/3) sin(2 phi / 3) on the L: N^-1/3 on uniform meshes, N^-1/2 on adapted ones."""

    def exact(x: Tensor) -> Tensor:
        angle = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi)
        return (x.norm(dim=-1) ** (2 / 3) * torch.sin(2 * angle / 3))[..., None]

    def exact_slope(x: Tensor) -> Tensor:
        angle, r = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi), x.norm(dim=-1)
        size = 2 / 3 * r ** (-1 / 3)
        return torch.stack([-size * torch.sin(angle / 3), size * torch.cos(angle / 3)], -1)

    def error(mesh: Mesh) -> tuple[int, float, Tensor]:
        space = Space(mesh)
        term = Diffusion(space) + Dirichlet("boundary", lambda x, t: exact(x))
        u = steady(term, torch.zeros(space.n, 1, dtype=F64)).value
        return space.n, energy_error(space, u, exact_slope), residual_indicator(space, u)

    coarse = corner()
    uniform = [error(refine(coarse, k))[:2] for k in (2, 3, 4)]
    adapted, mesh = [], newest_first(coarse)
    while True:
        n, wrong, eta = error(mesh)
        adapted.append((n, wrong))
        if n > 4000:
            break
        mesh = bisect(mesh, bulk(eta, 0.5)).mesh
    rate = lambda one, other: -math.log(other[1] / one[1]) / math.log(other[0] / one[0])  # noqa: E731
    middle = next(pair for pair in adapted if pair[0] > 400)
    assert 0.3 < rate(uniform[0], uniform[-1]) < 0.38
    assert 0.46 < rate(middle, adapted[-1]) < 0.56
    assert adapted[-1][1] < 0.4 * uniform[-1][1]


def corner() -> Mesh:
    """The square (-1, 1)^2 without its lower right quarter."""
    square = rectangle(8, 8, width=2.0, height=2.0, origin=(-1.0, -1.0))
    centre = square.points[square.cells["triangle"]].mean(1)
    kept = square.cells["triangle"][~((centre[:, 0] > 0) & (centre[:, 1] < 0))]
    used, renumbered = torch.unique(kept, return_inverse=True)
    return Mesh(square.points[used], {"triangle": renumbered})


def test_refusals() -> None:
    space = Space(rectangle(2, 2), P2())
    with pytest.raises(InputError, match="linear elements"):
        recovery_indicator(space, torch.ones(space.n, 1, dtype=F64))
    quads = Space(rectangle(2, 2, cells="quad"))
    with pytest.raises(InputError, match="linear elements"):
        residual_indicator(quads, torch.ones(quads.n, 1, dtype=F64))
