"""Flows through named boundaries on cell averages: the fluxes of the scheme itself, conservative to rounding."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import BackwardEuler, CrankNicolson, evolve, steady
from graphpde.errors import InputError
from graphpde.mesh import CellSpace, box, interval, rectangle
from graphpde.mesh.generate import SHAPES
from graphpde.mesh.mesh import Mesh
from graphpde.ops import (
    Advection,
    CentredAdvection,
    Diffusion,
    Dirichlet,
    LimitedAdvection,
    Neumann,
    Reaction,
    Robin,
    Source,
)
from graphpde.run.fluxes import BoundaryFluxes

D = torch.float64
KAPPA = 3.0


def bent(mesh: Mesh) -> Mesh:
    """The same mesh with its inner points moved, so that two points across a facet are not enough."""
    x = mesh.points.clone()
    inner = torch.ones(mesh.n, dtype=torch.bool)
    inner[mesh.boundary_nodes] = False
    shift = torch.rand(x.shape, generator=torch.Generator().manual_seed(4), dtype=D) - 0.5
    size = float((x.amax(0) - x.amin(0)).amin()) / mesh.n**0.5
    x[inner] += 0.4 * size * shift[inner]
    return mesh.with_points(x)


MESHES: dict[str, Callable[[], Mesh]] = {
    "interval": lambda: interval(7),
    "triangles": lambda: bent(rectangle(6, 5)),
    "quads": lambda: bent(SHAPES["rectangle_quads"]()),
    "tets": lambda: box(3, 2, 2),
}


def by_name(fluxes: BoundaryFluxes, found: Any) -> dict[str, float]:
    return dict(zip(fluxes.names, found.through[:, 0].tolist(), strict=True))


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("sides", ["insulated", "held"])
def test_steady_heat_through_a_slab(name: str, sides: str) -> None:
    """k A dT / L, on skew cells as well: linear temperatures are exact."""
    space = CellSpace(MESHES[name]())
    f: Any = Diffusion(space, KAPPA) + Dirichlet("left", 1.0) + Dirichlet("right", 0.0)
    if sides == "held":
        f = Diffusion(space, KAPPA) + Dirichlet("boundary", lambda x, t: 1 - x[:, 0])
    u = steady(f, torch.zeros(space.n, 1, dtype=D)).value
    fluxes = BoundaryFluxes(f)
    found = fluxes.at(0.0, u, torch.zeros_like(u))
    expected = {"left": KAPPA, "right": -KAPPA}
    assert by_name(fluxes, found) == pytest.approx({k: expected.get(k, 0.0) for k in fluxes.names}, abs=1e-9)
    assert found.elsewhere.abs().item() < 1e-12 and (found.defect.abs() / found.scale.clamp(min=1)).item() < 1e-9


def test_a_wall_between_two_fluids() -> None:
    space = CellSpace(bent(rectangle(5, 3)))
    f = 0.5 * Diffusion(space, 2 * KAPPA) + Robin("left", 2.0, 20.0) + Robin("right", 5.0, 0.0)
    u = steady(f, torch.zeros(space.n, 1, dtype=D)).value
    fluxes = BoundaryFluxes(f)
    found = fluxes.at(0.0, u, torch.zeros_like(u))
    exact = 10.0 / (1 / KAPPA + 1 / 2 + 1 / 5)
    assert by_name(fluxes, found) == pytest.approx({"left": exact, "right": -exact, "bottom": 0, "top": 0}, abs=1e-9)


def everything(space: CellSpace, transport: type) -> Any:
    """Held values that move, an inflow, an exchange, transport, a source and a sink."""
    v = torch.ones(space.mesh.space_dim, dtype=D)
    return (
        Diffusion(space, KAPPA)
        + transport(space, v)
        + Dirichlet("left", lambda x, t: torch.sin(5 * t) + x[:, 1])
        + Neumann("right", lambda x, t: x[:, 1] * t)
        + Robin("top", 2.0, 1.0)
        + Source(space, 2.0)
        + Reaction(lambda u: -0.5 * u**2)
    )


@pytest.mark.parametrize("transport", [Advection, CentredAdvection, LimitedAdvection])
def test_fluxes_and_sources_are_what_the_total_changes_by(transport: type) -> None:
    space = CellSpace(bent(rectangle(5, 4)), density={"*": 2.5})
    fluxes = BoundaryFluxes(everything(space, transport))
    u = torch.rand(3, space.n, 2, generator=torch.Generator().manual_seed(3), dtype=D)
    found = fluxes.at(0.3, u)
    rate = fluxes.system.rate(torch.tensor(0.3, dtype=D), u)
    total = (space.mass[:, None] * rate).sum(-2)
    gained = found.through.sum(-2) + found.elsewhere + found.sources
    assert torch.allclose(gained, total, rtol=0, atol=1e-12 * float(found.scale.max()))
    assert float((found.defect.abs() / found.scale).max()) < 1e-12 and float(total.abs().min()) > 0.1
    # alone, one state is what it is in a batch
    assert torch.allclose(fluxes.at(0.3, u[1]).through, found.through[1], rtol=1e-13)
    # the source is made inside, and what is made by transport is nothing
    made = (2.0 * space.measure[:, None] - 0.5 * space.mass[:, None] * u**2).sum(-2)
    assert torch.allclose(found.sources, made, rtol=1e-12)


@pytest.mark.parametrize(("stepper", "theta"), [(BackwardEuler(), 1.0), (CrankNicolson(), 0.5)])
def test_what_crosses_the_boundary_in_a_step_is_what_the_content_changes_by(stepper: Any, theta: float) -> None:
    space = CellSpace(bent(rectangle(5, 4)))
    f = everything(space, CentredAdvection)
    fluxes = BoundaryFluxes(f)
    u0 = torch.zeros(space.n, 1, dtype=D)
    seen: list[tuple[float, Tensor]] = [(0.0, u0)]
    evolve(f, u0, [0.0, 0.2], stepper=stepper, dt=0.05, watch=lambda k, n, t, u: seen.append((t, u)))
    for before, after in pairwise(seen):
        mean = fluxes.over_step((before[0], after[0]), (before[1], after[1]), theta)
        assert (mean.defect.abs() / mean.scale).item() < 1e-10


@pytest.mark.parametrize("transport", [Advection, CentredAdvection, LimitedAdvection])
def test_a_uniform_field_is_carried_through(transport: type) -> None:
    """What enters on the left and below leaves on the right and above; with no condition nothing comes in."""
    space = CellSpace(bent(rectangle(8, 8)))
    term = transport(space, torch.tensor([1.0, 0.5], dtype=D))
    u = torch.full((space.n, 1), 2.0, dtype=D)
    fluxes = BoundaryFluxes(term + Dirichlet("left", 2.0) + Dirichlet("bottom", 2.0))
    found = fluxes.at(0.0, u)
    assert by_name(fluxes, found) == pytest.approx({"left": 2.0, "bottom": 1.0, "right": -2.0, "top": -1.0}, abs=1e-12)
    assert found.sources.item() == 0 and found.storage.abs().item() < 1e-12
    alone = BoundaryFluxes(term)
    bare = alone.at(0.0, u)
    assert by_name(alone, bare) == pytest.approx({"left": 0.0, "bottom": 0.0, "right": -2.0, "top": -1.0}, abs=1e-12)
    assert (bare.defect.abs() / bare.scale).item() < 1e-12


def test_held_cells_supply_what_they_give() -> None:
    mesh = bent(rectangle(6, 6))
    space = CellSpace(mesh.with_tags(hot=mesh.make_tag(2, torch.tensor([30, 31]))))
    f = Diffusion(space, KAPPA) + Dirichlet("hot", 1.0) + Dirichlet("left", 0.0)
    u = steady(f, torch.zeros(space.n, 1, dtype=D)).value
    found = BoundaryFluxes(f).at(0.0, u, torch.zeros_like(u))
    assert found.elsewhere.item() > 0.1 and found.through.sum().item() == pytest.approx(-found.elsewhere.item())


def test_periodic_sides_are_no_boundary_and_gradients_reach_the_conductivity() -> None:
    space = CellSpace(bent(rectangle(6, 5)), periodic=[("bottom", "top")])
    kappa = torch.tensor(2.0, dtype=D, requires_grad=True)
    f = Diffusion(space, kappa) + Dirichlet("left", 1.0) + Dirichlet("right", 0.0)
    u = steady(f, torch.zeros(space.n, 1, dtype=D)).value
    fluxes = BoundaryFluxes(f)
    assert fluxes.names[:2] == ("left", "right") and "top" not in fluxes.names
    flow = fluxes.at(0.0, u, torch.zeros_like(u)).through[0, 0]
    assert flow.item() == pytest.approx(2.0)
    assert torch.autograd.grad(flow, kappa)[0].item() == pytest.approx(1.0)


def test_a_bare_graph_has_no_boundary() -> None:
    with pytest.raises(InputError, match=r"measured on a Space or a CellSpace"):
        BoundaryFluxes(Diffusion(Graph(Relation.from_edges(torch.tensor([0, 1]), torch.tensor([1, 0]), 2, 2))))
