"""Flows through named boundaries: exact for steady linear heat, conservative to rounding for everything else."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import BackwardEuler, CrankNicolson, evolve, steady
from graphpde.errors import ConditionError, InputError, UnknownName
from graphpde.mesh import Mesh, Space, box, interval, rectangle
from graphpde.mesh.elements import P2
from graphpde.mesh.generate import SHAPES
from graphpde.ops import Advection, Diffusion, Dirichlet, Neumann, Reaction, Robin, Source
from graphpde.run.fluxes import BoundaryFluxes, boundary_flux, boundary_sets

D = torch.float64
KAPPA = 3.0


def solved(f: Any, n: int) -> Tensor:
    return steady(f, torch.zeros(n, 1, dtype=D)).value


SLABS: dict[str, Callable[[], Space]] = {
    "interval": lambda: Space(interval(7)),
    "triangles": lambda: Space(rectangle(6, 5), reorder=True),
    "quads": lambda: Space(SHAPES["rectangle_quads"]()),
    "tets": lambda: Space(box(3, 2, 2)),
    "quadratic": lambda: Space(rectangle(4, 3), P2()),
    "quadratic tets": lambda: Space(box(2, 2, 2), P2()),
    "consistent mass": lambda: Space(rectangle(4, 4), lumped=False),
}


@pytest.mark.parametrize("name", SLABS)
@pytest.mark.parametrize("sides", ["insulated", "held"])
def test_steady_heat_through_a_slab(name: str, sides: str) -> None:
    """k A dT / L, also where the sides are held at the linear profile and share their edges with the ends."""
    space = SLABS[name]()
    f: Any = Diffusion(space, KAPPA) + Dirichlet("left", 1.0) + Dirichlet("right", 0.0)
    if sides == "held":
        f = Diffusion(space, KAPPA) + Dirichlet("boundary", lambda x, t: 1 - x[:, 0])
    u = solved(f, space.n)
    found = BoundaryFluxes(f).at(0.0, u, torch.zeros_like(u))
    names = BoundaryFluxes(f).names
    expected = {"left": KAPPA, "right": -KAPPA}
    assert found.through[:, 0].tolist() == pytest.approx([expected.get(k, 0.0) for k in names], abs=1e-10)
    assert found.elsewhere.abs().item() < 1e-10 and found.defect.abs().item() < 1e-10
    assert boundary_flux(f, u, "left", rate=torch.zeros_like(u)).item() == pytest.approx(KAPPA, rel=1e-10)


def harmonic(x: Tensor, t: Tensor) -> Tensor:
    return torch.sinh(math.pi * x[:, 0]) * torch.sin(math.pi * x[:, 1])


def test_the_flux_converges_faster_than_the_gradient() -> None:
    """u = sinh(pi x) sin(pi y): the flow through the right side is 2 cosh(pi), of order 2 with linear elements."""
    errors = []
    for n in (8, 16, 32):
        space = Space(rectangle(n, n))
        f = Diffusion(space) + Dirichlet(
            "boundary", lambda x, t: torch.sinh(math.pi * x[:, 0]) * torch.sin(math.pi * x[:, 1])
        )
        u = solved(f, space.n)
        found = boundary_flux(f, u, "right", rate=torch.zeros_like(u)).item()
        errors.append(abs(found - 2 * math.cosh(math.pi)))
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert errors[-1] < 0.02 and min(orders) > 1.8


def problem(space: Space) -> Any:
    """Everything at once: held values that move, an inflow, a source, a sink."""
    return (
        Diffusion(space, KAPPA)
        + Dirichlet("left", lambda x, t: torch.sin(5 * t) + x[:, 1])
        + Neumann("right", lambda x, t: x[:, 1] * t)
        + Source(space, 2.0)
        + Reaction(lambda u: -0.5 * u**2)
    )


@pytest.mark.parametrize(("stepper", "theta"), [(BackwardEuler(), 1.0), (CrankNicolson(), 0.5)])
@pytest.mark.parametrize("lumped", [True, False])
def test_what_crosses_the_boundary_in_a_step_is_what_the_content_changes_by(
    stepper: Any, theta: float, lumped: bool
) -> None:
    space = Space(rectangle(5, 4), lumped=lumped)
    f = problem(space)
    fluxes = BoundaryFluxes(f)
    u0 = fluxes.system.reset(torch.zeros((), dtype=D), torch.zeros(space.n, 1, dtype=D))
    seen: list[tuple[float, Tensor]] = [(0.0, u0)]
    evolve(f, u0, [0.0, 0.5], stepper=stepper, dt=0.05, watch=lambda k, n, t, u: seen.append((t, u)))
    amount = torch.zeros(1, dtype=D)
    for before, after in pairwise(seen):
        mean = fluxes.over_step((before[0], after[0]), (before[1], after[1]), theta)
        assert (mean.defect.abs() / mean.scale).item() < 1e-10
        amount = amount + (after[0] - before[0]) * (mean.total + mean.sources)
        assert torch.allclose(mean.through.sum(0) + mean.elsewhere, mean.total)
    gained = fluxes.content(seen[-1][1]) - fluxes.content(u0)
    assert (amount - gained).abs().item() < 1e-10 and abs(gained.item()) > 0.1


@pytest.mark.parametrize("lumped", [True, False])
def test_the_balance_of_a_moment(lumped: bool) -> None:
    """With the rate that the equations give nothing is lost, whatever the state; inflows are what they say."""
    space = Space(rectangle(5, 4), lumped=lumped)
    fluxes = BoundaryFluxes(problem(space))
    u = torch.rand(space.n, 1, generator=torch.Generator().manual_seed(3), dtype=D)
    u = fluxes.system.reset(torch.tensor(0.3, dtype=D), u)
    found = fluxes.at(0.3, u)
    assert (found.defect.abs() / found.scale).item() < 1e-13
    assert found.through[fluxes.names.index("right")].item() == pytest.approx(0.15, rel=1e-12)
    assert found.storage.item() == pytest.approx((found.total + found.sources).item(), rel=1e-10)
    batch = fluxes.at(0.3, torch.stack([u, u]))
    assert torch.allclose(batch.through[1], found.through) and batch.through.shape == (2, 4, 1)


def test_outflow_of_advection() -> None:
    space = Space(rectangle(8, 8))
    f = Advection(space, torch.tensor([1.0, 0.5], dtype=D)) + Dirichlet("left", 2.0) + Dirichlet("bottom", 2.0)
    fluxes = BoundaryFluxes(f)
    found = fluxes.at(0.0, torch.full((space.n, 1), 2.0, dtype=D))
    got = dict(zip(fluxes.names, found.through[:, 0].tolist(), strict=True))
    assert got == pytest.approx({"left": 2.0, "bottom": 1.0, "right": -2.0, "top": -1.0}, abs=1e-12)
    assert found.sources.item() == 0 and found.elsewhere.abs().item() < 1e-12


def test_sets_may_overlap_and_the_rest_is_elsewhere() -> None:
    space = Space(rectangle(6, 5))
    f = Diffusion(space, KAPPA) + Dirichlet("left", 1.0) + Dirichlet("right", 0.0)
    u = solved(f, space.n)
    rest = torch.zeros_like(u)
    both = BoundaryFluxes(f, ["left", "boundary"]).at(0.0, u, rest)
    assert both.through[:, 0].tolist() == pytest.approx([KAPPA, 0.0], abs=1e-12)
    one = BoundaryFluxes(f, ["left"]).at(0.0, u, rest)
    assert one.elsewhere.item() == pytest.approx(-KAPPA) and one.total.abs().item() < 1e-12


def test_a_held_point_inside_supplies_what_it_takes() -> None:
    space = Space(rectangle(6, 6))
    middle = (space.pos - 0.5).abs().sum(1).argmin()[None]
    f = Diffusion(space, KAPPA) + Dirichlet(middle, 1.0) + Dirichlet("boundary", 0.0)
    u = solved(f, space.n)
    found = BoundaryFluxes(f).at(0.0, u, torch.zeros_like(u))
    assert found.elsewhere.item() > 1 and found.through.sum().item() == pytest.approx(-found.elsewhere.item())


def test_two_fields_and_gradients() -> None:
    space = Space(rectangle(4, 4))
    kappa = torch.tensor(2.0, dtype=D, requires_grad=True)
    f = Diffusion(space, kappa) + Dirichlet("left", torch.tensor([1.0, 5.0], dtype=D)) + Dirichlet("right", 0.0)
    u = steady(f, torch.zeros(space.n, 2, dtype=D)).value
    flow = boundary_flux(f, u, "left", rate=torch.zeros_like(u))
    assert flow.tolist() == pytest.approx([2.0, 10.0])
    (slope,) = torch.autograd.grad(flow[1], kappa)
    assert slope.item() == pytest.approx(5.0)


def test_what_fluxes_refuse() -> None:
    mesh = rectangle(4, 4)
    x = mesh.points[mesh.facets.nodes][:, :, 0]
    mesh = mesh.with_tags(
        cut=mesh.make_tag(1, (x == 0.5).all(1).nonzero()[:, 0]), half=mesh.make_tag(2, torch.arange(8))
    )
    space = Space(mesh)
    f = Diffusion(space) + Dirichlet("left", 0.0)
    assert boundary_sets(space) == ["left", "right", "bottom", "top"]
    with pytest.raises(ConditionError, match=r"4 of 4 facets of 'cut' lie inside of .* choose among left"):
        BoundaryFluxes(f, ["cut"])
    with pytest.raises(ConditionError, match=r"'half' has dimension 2, a flux through it needs facets"):
        BoundaryFluxes(f, ["half"])
    with pytest.raises(UnknownName, match="inlet"):
        BoundaryFluxes(f, ["inlet"])
    with pytest.raises(InputError, match=r"measured on a Space"):
        BoundaryFluxes(lambda t, u: u)


def test_a_mesh_of_one_cell_can_be_balanced() -> None:
    """No node belongs to one side alone: shares by length are all there is."""
    space = Space(Mesh([[0, 0], [1, 0], [0, 1]], {"triangle": [[0, 1, 2]]}))
    f = Diffusion(space) + Dirichlet("boundary", lambda x, t: x[:, 0])
    u = solved(f, space.n)
    found = BoundaryFluxes(f, ["boundary"]).at(0.0, u, torch.zeros_like(u))
    assert found.through.abs().item() < 1e-15 and found.defect.abs().item() < 1e-15


def test_exchange_with_something_outside() -> None:
    """A wall between two fluids: k (u0 - u1) / (L + k/a0 + k/a1) flows through each side."""
    space = Space(rectangle(5, 3))
    f = Diffusion(space, KAPPA) + Robin("left", 2.0, 2.0 * 10.0) + Robin("right", 5.0, 0.0)
    u = solved(f, space.n)
    fluxes = BoundaryFluxes(f)
    found = fluxes.at(0.0, u, torch.zeros_like(u))
    exact = 10.0 / (1 / KAPPA + 1 / 2 + 1 / 5)
    assert found.through[:2, 0].tolist() == pytest.approx([exact, -exact], rel=1e-12)
    assert found.sources.item() == 0 and found.elsewhere.abs().item() < 1e-12
