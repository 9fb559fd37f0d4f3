"""Meshes that refine themselves: the optimal order at a corner, a tolerance that is kept, fields and sets handed on."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import Adapted, adapt, steady
from graphpde.errors import InputError, MeshError
from graphpde.mesh import P2, Mesh, Space, disk, l_shape, rectangle
from graphpde.ops import (
    Diffusion,
    Dirichlet,
    NonlinearDiffusion,
    Source,
    energy_error,
    energy_norm,
    recovery_indicator,
    residual_indicator,
)

F64 = torch.float64


def corner(x: Tensor) -> Tensor:
    """r^(2/3) sin(2 phi / 3)."""
    angle = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi)
    return x.norm(dim=-1) ** (2 / 3) * torch.sin(2 * angle / 3)


def corner_slope(x: Tensor) -> Tensor:
    angle, r = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi), x.norm(dim=-1)
    return 2 / 3 * r[..., None] ** (-1 / 3) * torch.stack([-torch.sin(angle / 3), torch.cos(angle / 3)], -1)


def laplace(mesh: Mesh) -> tuple[object, Tensor]:
    space = Space(mesh)
    return Diffusion(space) + Dirichlet("boundary", lambda x, t: corner(x)), torch.zeros(space.n, 1, dtype=F64)


def heated(mesh: Mesh) -> tuple[object, Tensor]:
    space = Space(mesh)
    return Diffusion(space) + Source(space, 1.0) + Dirichlet("boundary", 0.0), torch.zeros(space.n, 1, dtype=F64)


def run(indicator: object, size: int = 3000) -> Adapted:
    error = partial(energy_error, slope=corner_slope)
    return adapt(laplace, l_shape(0.5), tolerance=0.0, indicator=indicator, max_unknowns=size, error=error)  # type: ignore[arg-type]


@pytest.mark.orders
@pytest.mark.parametrize(
    ("indicator", "least", "most"), [(recovery_indicator, 0.97, 1.1), (residual_indicator, 2.8, 4.0)]
)
def test_the_order_at_a_corner_is_the_best_there_is(indicator: object, least: float, most: float) -> None:
    found = run(indicator)
    assert not found.within and found.space.n <= 3000
    assert 0.48 < found.order(300) < 0.56  # uniform meshes: 1/3
    assert 0.48 < found.order(300, of="estimate") < 0.56
    late = [r.effectivity for r in found.rounds if r.unknowns > 100]
    assert all(least < e < most for e in late if e is not None)
    assert float(found.indicators.norm()) == pytest.approx(found.rounds[-1].estimate)
    assert [r.unknowns for r in found.rounds] == sorted({r.unknowns for r in found.rounds})


def test_it_stops_where_the_estimate_suffices() -> None:
    found = adapt(heated, l_shape(0.5), tolerance=lambda space, u: 0.1 * energy_norm(space, u))
    assert found.within and found.rounds[-1].estimate <= found.rounds[-1].allowed
    assert all(r.estimate > r.allowed for r in found.rounds[:-1])
    assert found.rounds[-1].allowed == pytest.approx(0.1 * energy_norm(found.space, found.value))
    better = adapt(heated, l_shape(0.5), tolerance=0.02)
    # Galerkin: |u|^2 - |u_h|^2 = |u - u_h|^2, and what the better one lacks of |u|^2 it estimates itself
    gained = energy_norm(better.space, better.value) ** 2 - energy_norm(found.space, found.value) ** 2
    assert math.sqrt(gained + better.rounds[-1].estimate ** 2) == pytest.approx(found.rounds[-1].estimate, rel=0.05)


def test_a_linear_solution_needs_no_refinement() -> None:
    def plane(mesh: Mesh) -> tuple[object, Tensor]:
        space = Space(mesh)
        return Diffusion(space) + Dirichlet("boundary", lambda x, t: x[:, 0]), torch.zeros(space.n, 1, dtype=F64)

    found = adapt(plane, rectangle(3, 3), tolerance=1e-9)
    assert found.within and len(found.rounds) == 1 and found.rounds[0].effectivity is None


def test_newton_starts_from_the_solution_of_the_round_before() -> None:
    starts = []

    def nonlinear(mesh: Mesh) -> tuple[object, Tensor]:
        space = Space(mesh)
        term = NonlinearDiffusion(space, lambda u: 1 + u**2) + Source(space, 5.0) + Dirichlet("boundary", 0.0)
        return term, torch.zeros(space.n, 1, dtype=F64)

    def solve(term: object, guess: Tensor) -> object:
        starts.append(float(guess.abs().max()))
        return steady(term, guess)

    found = adapt(nonlinear, l_shape(0.5), tolerance=0.08, solve=solve)  # type: ignore[arg-type]
    assert found.within and len(found.rounds) > 3
    assert starts[0] == 0 and starts[-1] == pytest.approx(float(found.value.max()), rel=0.1)


def test_sets_stay_and_rims_are_round() -> None:
    found = adapt(heated, disk(size=0.6), tolerance=0.05)
    rim = found.mesh.points[found.mesh.tags["outer"].nodes].norm(dim=1)
    torch.testing.assert_close(rim, torch.ones_like(rim))
    assert float(found.value.max()) == pytest.approx(0.25, abs=2e-3)  # (1 - r^2) / 4


@pytest.mark.grad
def test_the_last_solve_is_differentiable() -> None:
    kappa = torch.tensor(2.0, dtype=F64, requires_grad=True)

    def scaled(mesh: Mesh) -> tuple[object, Tensor]:
        space = Space(mesh)
        term = Diffusion(space, kappa) + Source(space, 1.0) + Dirichlet("boundary", 0.0)
        return term, torch.zeros(space.n, 1, dtype=F64)

    found = adapt(scaled, l_shape(0.5), tolerance=0.05)
    total = found.space.integral(found.value).sum()
    (slope,) = torch.autograd.grad(total, kappa)
    assert float(slope) == pytest.approx(-float(total.detach()) / 2, rel=1e-9)  # u is proportional to 1 / kappa


def test_refusals() -> None:
    with pytest.raises(MeshError, match="bisection needs triangles"):
        adapt(heated, rectangle(2, 2, cells="quad"), tolerance=0.1)
    with pytest.raises(InputError, match="tolerance is -1, expected a number >= 0"):
        adapt(heated, rectangle(2, 2), tolerance=-1)
    with pytest.raises(InputError, match="stands on no space of the mesh"):
        adapt(lambda mesh: heated(rectangle(2, 2)), l_shape(0.5), tolerance=0.1)
    with pytest.raises(InputError, match="linear elements"):
        adapt(_quadratic, rectangle(2, 2), tolerance=0.1)
    with pytest.raises(InputError, match="expected at least 2"):
        adapt(heated, rectangle(4, 4), tolerance=10.0).order(of="estimate")


def _quadratic(mesh: Mesh) -> tuple[object, Tensor]:
    space = Space(mesh, P2())
    return Diffusion(space) + Source(space, 1.0) + Dirichlet("boundary", 0.0), torch.zeros(space.n, 1, dtype=F64)
