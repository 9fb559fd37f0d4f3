"""Loads and supports of bodies: pressure, planes of symmetry, springs, bodies about an axis."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import steady
from graphpde.errors import ConditionError, InputError
from graphpde.mesh import CellSpace, Mesh, Space, annulus_sector, box, interval, jittered, rectangle
from graphpde.ops import Diffusion, Dirichlet, Neumann, Robin, Source, Sum, System
from graphpde.ops.elasticity import (
    Elasticity,
    ElasticSupport,
    PointLoad,
    PressureLoad,
    Symmetry,
    ThermoElasticity,
    reactions,
)

F64 = torch.float64
START = torch.zeros((), dtype=F64)


def at_rest(term: Any, space: Space) -> Tensor:
    return steady(term, torch.zeros(space.n, space.mesh.space_dim, dtype=F64)).value


def total_load(term: Any, space: Space) -> Tensor:
    like = torch.zeros(space.n, space.mesh.space_dim, dtype=F64)
    load = System(term, None, START).load(START, like)
    assert load is not None
    return load.sum(0)


def ring(nr: int = 8, nz: int = 3) -> Mesh:
    """Radii 1 to 2, height 0.3."""
    mesh = rectangle(nr, nz)
    return mesh.with_points(mesh.points * torch.tensor([1.0, 0.3]) + torch.tensor([1.0, 0.0]))


@pytest.mark.parametrize(
    ("mesh", "element"),
    [(rectangle(4, 4), "p1"), (rectangle(3, 3, cells="quad"), "q2"), (box(3, 3, 3), "p2"),
     (box(3, 3, 3, cells="hexahedron"), "q1")],
)  # fmt: skip
def test_pressure_all_round_presses_a_body_together_evenly(mesh: Mesh, element: str) -> None:
    space = Space(jittered(mesh, 0.15, seed=0), element)
    d = mesh.space_dim
    planes = ("left", "bottom") if d == 2 else ("left", "front", "bottom")
    others = ("right", "top") if d == 2 else ("right", "back", "top")
    conditions = [*(PressureLoad(side, 2.0) for side in others), *(Symmetry(side) for side in planes)]
    total = Sum.of(Elasticity(space, 100.0, 0.3), *conditions)
    bulk = 100 / (3 * (1 - 0.6)) if d == 3 else 100 / (2 * 1.3 * 0.4)  # of plane strain in the second case
    assert float((at_rest(total, space) + 2 / (d * bulk) * space.pos).abs().max()) <= 1e-14


@pytest.mark.parametrize(("cells", "element", "bound"), [("triangle", "p2", 1e-4), ("quad", "q1", 3e-3)])
def test_a_thick_cylinder_under_pressure(cells: str, element: str, bound: float) -> None:
    """Lame 1852: u = (1 + nu) p a^2 ((1 - 2 nu) r + b^2 / r) / (E (b^2 - a^2))."""
    space = Space(annulus_sector(0.07, 1.0, 2.0, cells=cells), element)
    total = Elasticity(space, 1000.0, 0.3) + PressureLoad("inner", lambda x, t: 10 * x.norm(dim=1) ** 0)
    u = at_rest(total + Symmetry("start") + Symmetry("end"), space)
    r = space.pos.norm(dim=1)
    exact = 1.3 / 1000 * 10 / 3 * (0.4 * r + 4 / r)
    assert float(((u * space.pos).sum(1) / r / exact - 1).abs().max()) <= bound


def test_pressure_is_refused_where_it_means_nothing() -> None:
    space = Space(rectangle(3, 3))
    body = Elasticity(space)
    inner = (space.mesh.facets.cells[:, 1] >= 0).nonzero()[:1, 0]
    with pytest.raises(ConditionError, match="pressure on a node list acts on 1 facets between two cells"):
        System(body + PressureLoad(inner, 1.0), None, START)
    with pytest.raises(ConditionError, match="has 2 components, expected one number a point; Neumann takes tractions"):
        System(body + PressureLoad("left", torch.tensor([1.0, 2.0])), None, START)
    with pytest.raises(InputError, match="needs cells that fill the plane or space"):
        PressureLoad("left", 1.0).bind(Space(interval(3)))
    with pytest.raises(ConditionError, match="PressureLoad on 'left' has no effect"):
        System(body + PressureLoad("left", 1.0) + Dirichlet("left", 0.0), None, START)


def test_symmetry_holds_the_normal_component_of_planes_across_one_axis() -> None:
    space = Space(box(2, 2, 2), "p2")
    held = Symmetry("front").bind(space)
    assert held.channels == (1,)
    assert torch.equal(held.nodes, space.tag("front").nodes)
    with pytest.raises(
        ConditionError, match=r"symmetry on 'boundary' meets a facet with the normal .* expected planes"
    ):
        Symmetry("boundary").bind(space)
    with pytest.raises(ConditionError, match="symmetry on 'inner' meets a facet"):
        Symmetry("inner").bind(Space(annulus_sector(0.3, 1.0, 2.0)))
    with pytest.raises(InputError, match="elasticity is computed with finite elements"):
        System(Diffusion(CellSpace(rectangle(2, 2))) + Symmetry("left"), None, START)
    turned = rectangle(2, 2)
    s = math.sqrt(0.5)
    with pytest.raises(ConditionError, match=r"turn the mesh so that they lie across the axes"):
        Symmetry("left").bind(Space(turned.with_points(turned.points @ torch.tensor([[s, s], [-s, s]], dtype=F64))))


@pytest.mark.parametrize("stiffness", [50.0, torch.tensor([0.0, 50.0], dtype=F64), lambda x, t: 50 + 0 * x[:, 0]])
@pytest.mark.parametrize("element", ["p1", "p2"])
def test_a_block_sinks_into_its_bed(element: str, stiffness: Any) -> None:
    space = Space(jittered(rectangle(4, 4), 0.15, seed=0), element)
    total = Elasticity(space, 200.0, 0.0) + PressureLoad("top", 3.0) + ElasticSupport("bottom", stiffness)
    u = at_rest(total + Symmetry("left"), space)
    exact = torch.stack([torch.zeros(space.n), -3 / 50 - 3 / 200 * space.pos[:, 1]], 1)
    assert float((u - exact).abs().max()) <= 1e-13


def test_bad_springs_are_refused() -> None:
    with pytest.raises(ConditionError, match="stiffness of the elastic support on 'left' is -2, expected numbers >= 0"):
        ElasticSupport("left", torch.tensor([1.0, -2.0]))
    space = Space(rectangle(2, 2))
    with pytest.raises(ConditionError, match="has 3 stiffnesses, expected one, or one for each axis: 2"):
        System(Elasticity(space) + ElasticSupport("left", torch.ones(3)), None, START)


# about an axis


def test_loads_about_an_axis_are_per_area_and_volume_of_the_turned_body() -> None:
    space = Space(ring(), "p2")
    body = Elasticity(space, 1000.0, 0.3, kind="axisymmetric")
    down = torch.tensor([0.0, -1.0], dtype=F64)
    section = (2**2 - 1**2) / 2  # per radian
    assert torch.allclose(total_load(body + Source(space, down), space), section * 0.3 * down)
    assert torch.allclose(total_load(body + Source(space, down.expand(space.n, 2)), space), section * 0.3 * down)
    assert torch.allclose(total_load(body + Neumann("top", down), space), section * down)
    assert torch.allclose(total_load(body + PressureLoad("top", 1.0), space), section * down)
    assert float(total_load(body + PressureLoad("right", 1.0), space)[0]) == pytest.approx(-2 * 0.3)
    for springs in (ElasticSupport("top", 5.0), Robin("top", 5.0)):
        pull = System(body + springs, None, START).operator
        assert pull is not None
        assert torch.allclose(pull(down.expand(space.n, 2)).sum(0), -5 * section * down, atol=1e-9)
    with pytest.raises(InputError, match="Diffusion is integrated over the plane and stands beside a body about the"):
        System(body + Diffusion(space), None, START)
    with pytest.raises(InputError, match=r"reaches x = -0.6, expected x >= 0"):
        Elasticity(Space(ring().with_points(ring().points - 1.6)), kind="axisymmetric")


def test_a_turning_shaft_grows() -> None:
    """Plane strain: u = rho w^2 (1 + nu) (1 - 2 nu) ((3 - 2 nu) b^2 - r^2) r / (8 E (1 - nu))."""
    space = Space(rectangle(8, 2, height=0.2), "p2")
    body = Elasticity(space, 1000.0, 0.3, kind="axisymmetric")
    total = body + Source(space, lambda x, t: torch.stack([5 * x[:, 0], 0 * x[:, 0]], 1))
    u = at_rest(total + Symmetry("bottom") + Symmetry("top") + Symmetry("left"), space)
    r = space.pos[:, 0]
    exact = 5 * 1.3 * 0.4 * (2.4 - r**2) * r / (8 * 1000 * 0.7)
    assert float((u[:, 0] - exact).abs().max()) <= 1e-4 * float(exact.max())


def test_gradients_reach_the_pressure_and_the_bed() -> None:
    space = Space(rectangle(2, 2))

    def sinks(p: Tensor, k: Tensor) -> Tensor:
        total = Elasticity(space, 10.0, 0.3) + PressureLoad("top", p) + ElasticSupport("bottom", k)
        return (at_rest(total, space) ** 2).sum()

    given = (torch.tensor(1.5, dtype=F64, requires_grad=True), torch.tensor([2.0, 3.0], dtype=F64, requires_grad=True))
    assert torch.autograd.gradcheck(sinks, given, atol=1e-7)


def test_gradients_reach_the_places_of_the_nodes() -> None:
    mesh = rectangle(2, 2)

    def sinks(points: Tensor) -> Tensor:
        space = Space(mesh.with_points(points))
        total = Elasticity(space, 10.0, 0.3) + PressureLoad("top", lambda x, t: 1 + x[:, 0]) + Symmetry("left")
        return (at_rest(total + ElasticSupport("bottom", 2.0), space) ** 2).sum()

    assert torch.autograd.gradcheck(sinks, (mesh.points.clone().requires_grad_(),), atol=1e-7)


def test_forces_on_nodes() -> None:
    """They add up to what is given, on a state with a temperature too; half of it on each of two corners is a traction
    on the side between them, where elements are linear."""
    space = Space(rectangle(1, 1))
    held = Elasticity(space, 1.0, 0.0) + Dirichlet("left", 0.0)
    ends = (space.pos[:, 0] > 0.5).nonzero()[:, 0]
    force = torch.tensor([3.0, -1.0], dtype=F64)
    zero = torch.zeros(space.n, 2, dtype=F64)
    one = steady(held + PointLoad(ends, force), zero).value
    assert torch.allclose(one, steady(held + Neumann("right", force), zero).value, atol=1e-12)
    assert torch.allclose(reactions(held + PointLoad(ends, force), one).sum(0), -force, atol=1e-12)
    heated = ThermoElasticity(Elasticity(space, 1.0, 0.0)) + Dirichlet("left", 0.0) + PointLoad(ends, force)
    both = steady(heated, torch.zeros(space.n, 3, dtype=F64)).value
    assert torch.allclose(both[:, :2], one, atol=1e-12) and float(both[:, 2].abs().max()) < 1e-12
    later = held + PointLoad(ends, lambda t: t * force)
    assert torch.allclose(steady(later, zero, t=2.0).value, 2 * one, atol=1e-12)
    for bad, told in (
        (torch.ones(3), r"has shape \[3\], expected \[2\]"),
        (torch.tensor([1.0, math.nan]), "not finite"),
    ):
        with pytest.raises(ConditionError, match=told):
            System(held + PointLoad(ends, bad), None, START)
