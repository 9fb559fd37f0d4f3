"""Error indicators: zero where the solution is exact, of the size of the error elsewhere, and worth refining by."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import steady
from graphpde.errors import InputError
from graphpde.mesh import P2, Mesh, Space, interval, rectangle, refine
from graphpde.ops import Diffusion, Dirichlet, Source
from graphpde.ops.indicators import energy_error, energy_norm, recovery_indicator, residual_indicator

F64 = torch.float64


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


def test_energies_of_what_is_known() -> None:
    space = Space(rectangle(8, 8))
    x = space.pos[:, :1]
    halves = torch.where(space.mesh.points[space.mesh.cells["triangle"]].mean(1)[:, 0] < 0.5, 1.0, 3.0).double()
    assert math.isclose(energy_norm(space, torch.cat([2 * x, x], 1), kappa=halves) ** 2, 5 * 2, rel_tol=1e-12)
    # x^2 and its interpolant: the slope 2 x against its mean over cells of width h, h^2 / 3 after integration
    assert math.isclose(
        energy_error(space, x**2, lambda p: torch.stack([2 * p[..., 0], 0 * p[..., 0]], -1)) ** 2,
        1 / 192,
        rel_tol=1e-12,
    )


def test_one_dimension_and_channels() -> None:
    space = Space(interval(10))
    u = torch.cat([space.pos, space.pos**2], 1)
    both = residual_indicator(space, u, source=-2.0, fixed=None, flux={"left": 0.0})
    assert both.shape == (10,) and bool((both > 0).all())
    assert float(residual_indicator(space, u[:, :1], fixed="boundary").max()) < 1e-12


def test_refusals() -> None:
    space = Space(rectangle(2, 2), P2())
    with pytest.raises(InputError, match="linear elements"):
        recovery_indicator(space, torch.ones(space.n, 1, dtype=F64))
    quads = Space(rectangle(2, 2, cells="quad"))
    with pytest.raises(InputError, match="linear elements"):
        residual_indicator(quads, torch.ones(quads.n, 1, dtype=F64))
