"""Stokes and Navier-Stokes: exact flows, orders, invariants, one channel held alone, forces and flow rates."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.dynamics import Bdf2, Heun, Sbdf2, evolve, steady
from graphpde.errors import ConditionError, ConfigError, Diverged, InputError, SolveError
from graphpde.mesh import Mesh, Space, box, channel_with_cylinder, random_square, rectangle, refine
from graphpde.mesh.area_vectors import AreaVectors
from graphpde.ops import Convection, Diffusion, Dirichlet, Neumann, Pressure, Source, Stokes, Velocity
from graphpde.ops.incompressible import corner_means, corner_nodes, level_is_free, lowest_corner
from graphpde.ops.integration import Integration
from graphpde.ops.system import System
from graphpde.ops.term import Sum
from graphpde.run.flow_forces import FlowForces, Reference

F64 = torch.float64
Exact = Callable[[Tensor], Tensor]


def space_of(element: str, n: int = 4) -> Space:
    if element == "q2":
        return Space(rectangle(n, n, cells="quad"), "q2")
    return Space(random_square(n), element)


def zero(space: Space) -> Tensor:
    return torch.zeros(space.n, space.mesh.space_dim + 1, dtype=F64)


def solved(flow: Sum, space: Space) -> Tensor:
    with torch.no_grad():
        return steady(flow, zero(space), method="direct").value


def poiseuille(x: Tensor) -> Tensor:
    """Velocity y (1 - y) and the pressure that drives it to zero at x = 1, for viscosity 1."""
    return torch.stack([x[:, 1] * (1 - x[:, 1]), torch.zeros_like(x[:, 0]), 2 * (1 - x[:, 0])], 1)


def whirl(x: Tensor) -> Tensor:
    """A flow that rests on the unit square's boundary, and a pressure."""
    a, b = math.pi * x[..., 0], math.pi * x[..., 1]
    u = 2 * math.pi * torch.sin(a) ** 2 * torch.sin(b) * torch.cos(b)
    v = -2 * math.pi * torch.sin(b) ** 2 * torch.sin(a) * torch.cos(a)
    return torch.stack([u, v, torch.cos(a) * torch.sin(b)], -1)


def whirl_force(x: Tensor, t: Tensor) -> Tensor:
    """grad p - laplace u of it."""
    pi, a, b = math.pi, math.pi * x[:, 0], math.pi * x[:, 1]

    def laplace(a: Tensor, b: Tensor) -> Tensor:
        across = torch.sin(b) * torch.cos(b)
        return 4 * pi**3 * (torch.cos(2 * a) - 2 * torch.sin(a) ** 2) * across

    px, py = -pi * torch.sin(a) * torch.sin(b), pi * torch.cos(a) * torch.cos(b)
    return torch.stack([px - laplace(a, b), py + laplace(b, a), torch.zeros_like(a)], 1)


def errors(space: Space, u: Tensor, exact: Exact) -> tuple[float, float]:
    """L2 errors of velocity and pressure, whose level is free."""
    fine = Integration(space, 6)
    (value, _), block = fine.fields(u)[0], fine.blocks[0]
    off = value - exact(block.points)
    d = space.mesh.space_dim
    level = (off[..., d] * block.volume).sum() / block.volume.sum()
    square = torch.cat([off[..., :d], (off[..., d] - level)[..., None]], -1) ** 2
    each = (square * block.volume[..., None]).sum((0, 1))
    return float(each[:d].sum().sqrt()), float(each[d].sqrt())


# exactness


@pytest.mark.parametrize("element", ["p2", "q2"])
def test_developed_flow_is_exact_and_leaves_an_open_end_unchanged(element: str) -> None:
    space = space_of(element)
    flow = Stokes(space, 1.0) + Convection(space) + Velocity("bottom") + Velocity("top")
    flow = flow + Velocity("left", lambda x, t: poiseuille(x)[:, :2])
    torch.testing.assert_close(solved(flow, space), poiseuille(space.pos), atol=1e-11, rtol=0)


def test_developed_flow_in_space() -> None:
    space = Space(box(2, 2, 2), "p2")

    def exact(x: Tensor) -> Tensor:
        flat = poiseuille(x[:, :2])
        return torch.cat([flat[:, :2], torch.zeros_like(flat[:, :1]), flat[:, 2:]], 1)

    flow = Stokes(space, 1.0) + Convection(space) + Velocity("boundary", lambda x, t: exact(x)[:, :3])
    flow = flow + Pressure(lambda x: (x - torch.tensor([1.0, 0, 0])).norm(dim=1) < 1e-9, 0.0)
    torch.testing.assert_close(solved(flow, space), exact(space.pos), atol=1e-11, rtol=0)


@pytest.mark.parametrize("element", ["p1", "p2", "q2"])
def test_a_fluid_at_rest_carries_its_own_weight(element: str) -> None:
    space = space_of(element)
    weight = Source(space, torch.tensor([0.0, -2.0, 0.0], dtype=F64))
    flow = Stokes(space, 0.1) + weight + Velocity("boundary") + Pressure([lowest_corner(space)], 2.0)
    u = solved(flow, space)
    if element == "p1":  # the stabilisation resists pressure gradients by O(h)
        assert float(u[:, :2].abs().max()) < 0.2
        return
    torch.testing.assert_close(u[:, :2], torch.zeros_like(u[:, :2]), atol=1e-11, rtol=0)
    torch.testing.assert_close(u[:, 2], 2 - 2 * space.pos[:, 1], atol=1e-10, rtol=0)


@pytest.mark.parametrize(("element", "wanted"), [("p2", (2.9, 1.9)), ("q2", (2.9, 1.9)), ("p1", (1.9, 1.0))])
def test_orders(element: str, wanted: tuple[float, float]) -> None:
    found = []
    mesh = rectangle(6, 6, cells="quad") if element == "q2" else random_square(6)
    for _ in range(3):
        space = Space(mesh, element)
        flow = Stokes(space, 1.0) + Source(space, whirl_force) + Velocity("boundary")
        flow = flow + Pressure([lowest_corner(space)], 0.0)
        found.append(errors(space, solved(flow, space), whirl))
        mesh = refine(mesh)
    orders = [math.log2(a / b) for a, b in zip(found[-2], found[-1], strict=True)]
    assert orders[0] > wanted[0], orders
    assert orders[1] > wanted[1], orders


def test_the_same_matrix_as_scikit_fem() -> None:
    skfem = pytest.importorskip("skfem")
    from skfem.helpers import ddot, div, grad

    mesh = random_square(3)
    space = Space(mesh, "p2")
    flow = Stokes(space, 0.7)
    found = flow.operator.to_matrix(3).toarray().reshape(space.n, 3, space.n, 3)
    other = skfem.MeshTri(mesh.points.numpy().T, mesh.cells["triangle"].numpy().T)
    velocity = skfem.Basis(other, skfem.ElementVector(skfem.ElementTriP2()), intorder=4)
    pressure = velocity.with_element(skfem.ElementTriP1())
    a = skfem.BilinearForm(lambda u, v, w: 0.7 * ddot(grad(u), grad(v))).assemble(velocity).toarray()
    b = skfem.BilinearForm(lambda u, q, w: div(u) * q).assemble(velocity, pressure).toarray()
    place = velocity.doflocs.T[::2]  # both components of a node lie side by side
    mine = torch.cdist(torch.from_numpy(np.ascontiguousarray(place)), space.pos).argmin(1).numpy()
    corner = torch.cdist(torch.from_numpy(np.ascontiguousarray(other.p.T)), space.pos).argmin(1).numpy()
    for i in range(2):
        np.testing.assert_allclose(found[np.ix_(mine, [i], mine, [i])].squeeze(), -a[i::2, i::2], atol=1e-13)
        np.testing.assert_allclose(found[np.ix_(corner, [2], mine, [i])].squeeze(), b[:, i::2], atol=1e-13)
        np.testing.assert_allclose(found[np.ix_(mine, [i], corner, [2])].squeeze(), b[:, i::2].T, atol=1e-13)


# structure


@pytest.mark.parametrize("element", ["p1", "p2", "q2"])
def test_symmetric_but_for_the_pressure_between_corners(element: str) -> None:
    space = space_of(element, 3)
    matrix = Stokes(space, 0.3).operator.to_matrix(3).toarray()
    keep = torch.ones(space.n, 3, dtype=torch.bool)
    keep[:, 2] = corner_nodes(space)
    free = keep.reshape(-1).numpy()
    np.testing.assert_allclose(matrix[np.ix_(free, free)], matrix[np.ix_(free, free)].T, atol=1e-13)
    means = corner_means(space)
    linear = 3 * space.pos[:, :1] - space.pos[:, 1:]
    torch.testing.assert_close(means(linear), torch.zeros_like(linear), atol=1e-13, rtol=0)
    assert int(corner_nodes(space).sum()) == len(torch.unique(torch.cat([c.nodes for c in _corners(space.mesh)])))


def _corners(mesh: Mesh) -> list[Tensor]:
    class Part:
        def __init__(self, nodes: Tensor) -> None:
            self.nodes = nodes.reshape(-1)

    return [Part(nodes) for _, nodes, _ in mesh.corners()]  # type: ignore[misc]


def test_the_stabilisation_is_what_pressures_differ_by_from_their_means() -> None:
    space = space_of("p1")
    p = torch.randn(space.n, dtype=F64, generator=torch.Generator().manual_seed(2))
    u = zero(space)
    u[:, 2] = p
    found = float((u * Stokes(space, 0.25).operator(u)).sum())
    fine = Integration(space, 2)
    (value, _), block = fine.fields(u)[0], fine.blocks[0]
    mean = (value[..., 2] * block.volume).sum(1, keepdim=True) / block.volume.sum(1, keepdim=True)
    assert found == pytest.approx(float(((value[..., 2] - mean) ** 2 * block.volume).sum()) / 0.25, rel=1e-12)


def test_convection_and_its_derivative() -> None:
    space = space_of("p2", 3)
    term, t = Convection(space, density=2.0), torch.zeros((), dtype=F64)
    u, v = torch.randn(2, space.n, 3, dtype=F64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        exact = term.linearise(t, u)(v)
    torch.testing.assert_close(exact, torch.func.jvp(lambda w: term(t, w), (u,), (v,))[1])
    assert float(exact[:, 2].abs().max()) == 0.0
    turning = torch.stack([-space.pos[:, 1], space.pos[:, 0], space.pos[:, 0]], 1)  # (u . grad) u = -(x, y)
    carried = Source(space, lambda x, t: torch.cat([2 * x, torch.zeros_like(x[:, :1])], 1))
    torch.testing.assert_close(term(t, turning), carried.load(t, turning), atol=1e-13, rtol=0)


def test_one_component_is_held_alone() -> None:
    space = space_of("p2")
    flow = Stokes(space, 1.0) + Velocity("left", lambda x, t: poiseuille(x)[:, :2]) + Velocity("bottom")
    half = flow + Dirichlet("top", 0.0, channels=[1])  # a line of symmetry: nothing crosses, it slides
    u = solved(half, space)
    top = space.tag("top").nodes
    inner = top[(space.pos[top, 0] > 0.1)]
    assert float(u[top, 1].abs().max()) == 0.0
    assert float(u[inner, 0].min()) > 0.0
    f = System(half, None, torch.zeros((), dtype=F64))
    assert f.fixed is not None
    x = torch.randn(2, space.n, 3, dtype=F64)
    assert torch.equal(f.fixed.put(x, f.fixed.take(x)), x)
    assert torch.equal(f.fixed.put(f.fixed.clear(x), f.fixed.take(x)), x)
    assert f.fixed.free(x).shape[-1] + f.fixed.take(x).shape[-1] == 3 * space.n


def test_conditions_on_the_same_channel_clash_and_on_others_do_not() -> None:
    space = space_of("p2", 2)
    fine = Stokes(space) + Dirichlet("left", 0.0, channels=[0]) + Dirichlet("left", 1.0, channels=[1])
    f = System(fine, None, torch.zeros((), dtype=F64))
    assert f.fixed is not None
    left = space.tag("left").nodes
    assert f.reset(torch.zeros(()), zero(space))[left].tolist() == [[0.0, 1.0, 0.0]] * len(left)
    with pytest.raises(ConditionError, match=r"Dirichlet on 'left' and Dirichlet on 'boundary' clash"):
        System(fine + Velocity("boundary", 0.0), None, torch.zeros(()))
    with pytest.raises(ConditionError, match=r"holds channel 3, expected 0 to 2"):
        System(Stokes(space) + Dirichlet("left", 0.0, channels=[3]), None, torch.zeros(()))
    with pytest.raises(ConditionError, match="no term says how many"):
        System(Diffusion(space) + Dirichlet("left", 0.0, channels=[0]), None, torch.zeros(()))
    with pytest.raises(ConditionError, match="in ascending order"):
        Dirichlet("left", 0.0, channels=[1, 0])


def test_the_level_of_the_pressure() -> None:
    space = space_of("p2", 2)
    closed, open_ = Stokes(space) + Velocity("boundary"), Stokes(space) + Velocity("left")
    assert level_is_free(closed, space)
    assert not level_is_free(open_, space)
    assert not level_is_free(closed + Pressure([lowest_corner(space)], 0.0), space)
    assert space.pos[lowest_corner(space)].tolist() == [0.0, 0.0]
    between = int((~corner_nodes(space)).nonzero()[0])
    with pytest.raises(ConditionError, match=rf"node {between} between corners"):
        System(closed + Pressure([between], 0.0), None, torch.zeros(()))


def test_what_a_flow_refuses() -> None:
    with pytest.raises(InputError, match="build a Space with P2"):
        Stokes("nothing")
    with pytest.raises(InputError, match=r"take the second-order element: Space\(mesh, 'q2'\)"):
        Stokes(Space(rectangle(2, 2, cells="quad"), "q1"))
    with pytest.raises(InputError, match=r"density = -1, expected a positive number"):
        Stokes(space_of("p2", 2), density=-1.0)


# in time


def vortices(x: Tensor, t: float | Tensor, nu: float = 0.05) -> Tensor:
    a, b = math.pi * x[:, 0], math.pi * x[:, 1]
    fade = torch.exp(torch.as_tensor(-2 * math.pi**2 * nu * t, dtype=F64))
    p = -(torch.cos(2 * a) + torch.cos(2 * b) - 2) / 4 * fade**2
    return torch.stack([-torch.cos(a) * torch.sin(b) * fade, torch.sin(a) * torch.cos(b) * fade, p], 1)


def decaying(space: Space, nu: float = 0.05) -> Sum:
    flow = Stokes(space, nu) + Convection(space) + Velocity("boundary", lambda x, t: vortices(x, t)[:, :2])
    return flow + Pressure([lowest_corner(space)], 0.0)


@pytest.mark.parametrize("stepper", [Bdf2, Sbdf2])
def test_second_order_in_time(stepper: type) -> None:
    space = Space(rectangle(8, 8, cells="quad"), "q2")
    u0, times = vortices(space.pos, 0.0), torch.tensor([0.0, 0.5], dtype=F64)
    with torch.no_grad():
        ends = [evolve(decaying(space), u0, times, stepper=stepper(), dt=0.5 / k).states[-1] for k in (5, 10, 40)]
    coarse, fine = (float((u - ends[2])[:, :2].norm()) for u in ends[:2])
    assert math.log2(coarse / fine) > 1.8
    assert errors(space, ends[2], lambda x: vortices(x.flatten(0, 1), 0.5).unflatten(0, x.shape[:2]))[0] < 2e-3


def test_the_flow_stays_free_of_divergence_and_explicit_steps_are_refused() -> None:
    space = space_of("p2", 3)
    flow, times = decaying(space), torch.tensor([0.0, 0.1], dtype=F64)
    with torch.no_grad():
        u = evolve(flow, vortices(space.pos, 0.0), times, stepper=Sbdf2(), dt=0.05).states[-1]
    rest = Stokes(space).operator(u)[:, 2]
    free = torch.ones(space.n, dtype=torch.bool)
    free[lowest_corner(space)] = False  # that equation is given up for the level
    assert float(rest[free].abs().max()) < 1e-11
    with pytest.raises(InputError, match="pressure in .* has no time derivative, so heun cannot advance it"):
        evolve(flow, vortices(space.pos, 0.0), times, stepper=Heun(), dt=0.05)
    with pytest.raises(InputError, match=r"so crank_nicolson cannot .* backward_euler, "):
        evolve(flow, vortices(space.pos, 0.0), times, stepper="crank_nicolson", dt=0.05)


def test_steps_that_are_too_long_are_named() -> None:
    space = space_of("p2", 4)
    flow = Stokes(space, 1e-3) + Convection(space) + Velocity("bottom") + Velocity("top")
    flow = flow + Velocity("left", torch.tensor([20.0, 0.0], dtype=F64), override=True)
    with torch.no_grad(), pytest.raises((Diverged, SolveError), match=r"step \d+ of 100 .*not finite"):
        evolve(flow, zero(space), [0.0, 10.0], stepper=Sbdf2(), dt=0.1)


def test_rates_leave_the_pressure_out() -> None:
    space = space_of("p2", 3)
    flow = Stokes(space, 1.0, density=2.0) + Source(space, torch.tensor([2.0, 0.0, 0.0], dtype=F64))
    rate = System(flow, None, torch.zeros((), dtype=F64)).rate(torch.zeros((), dtype=F64), zero(space))
    expected = torch.tensor([1.0, 0.0, 0.0], dtype=F64).expand(space.n, 3)
    torch.testing.assert_close(rate, expected, atol=1e-10, rtol=0)


# gradients


def test_gradients_through_a_steady_flow() -> None:
    space = space_of("p2", 3)
    nu = torch.tensor(0.05, dtype=F64, requires_grad=True)

    def energy(nu: Tensor) -> Tensor:
        lid = Velocity("top", torch.tensor([1.0, 0.0], dtype=F64))
        flow = Stokes(space, nu) + Convection(space) + lid + Pressure([lowest_corner(space)], 0.0)
        for name in ("left", "right", "bottom"):
            flow = flow + Velocity(name, override=True)
        u = steady(flow, zero(space), method="direct").value
        return space.integral(u[:, :2] ** 2).sum()

    (slope,) = torch.autograd.grad(energy(nu), nu)
    h = 1e-5
    with torch.no_grad():
        difference = (energy(nu + h) - energy(nu - h)) / (2 * h)
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)


# what a flow does to its boundary


def test_area_vectors_of_curved_sides_and_of_the_divergence() -> None:
    mesh = channel_with_cylinder(0.1, 0.02)
    space = Space(mesh, "p2")
    names = ["cylinder", "inlet", "outlet", "walls"]
    flows = AreaVectors(space, [space.facet_ids(name) for name in names])
    out = flows(space.pos)  # x . n is twice the area inside, with the other sign for a hole
    assert float(-out[0] / 2) == pytest.approx(math.pi * 0.05**2, rel=1e-4)  # 16 straight sides: 3e-2
    fine = Integration(space, 4)
    u = torch.randn(space.n, 2, dtype=F64, generator=torch.Generator().manual_seed(1))
    inside = sum(
        float((grad.diagonal(dim1=-2, dim2=-1).sum(-1) * block.volume).sum())
        for block, (_, grad) in zip(fine.blocks, fine.fields(u), strict=True)
    )
    assert float(flows(u).sum()) == pytest.approx(inside, rel=1e-10)


@pytest.mark.parametrize("cells", ["tetra", "hexahedron"])
def test_area_vectors_point_outwards_in_space(cells: str) -> None:
    mesh = box(2, 2, 1, cells=cells)
    for element in ("p1", "p2") if cells == "tetra" else ("q1", "q2"):
        space = Space(mesh, element)
        names = list(mesh.tags)
        out = AreaVectors(space, [space.facet_ids(name) for name in (*names, "boundary")])(space.pos)
        volume = float(space.measure.sum())
        assert float(out[-1]) == pytest.approx(3 * volume, rel=1e-12)
        assert float(out[:-1].sum()) == pytest.approx(3 * volume, rel=1e-12)


def test_forces_in_a_channel() -> None:
    space = Space(rectangle(6, 3, width=2.0), "p2")
    flow = Stokes(space, 0.5, density=3.0) + Convection(space, 3.0) + Velocity("bottom") + Velocity("top")
    flow = flow + Velocity("left", lambda x, t: poiseuille(x)[:, :2])
    u, system = solved(flow, space), System(flow, None, torch.zeros((), dtype=F64))
    found = FlowForces(system, None, Reference(2.0, 0.5))(0.0, u, torch.zeros_like(u))
    assert found["bottom.force_x"] == pytest.approx(0.5 * 2.0, rel=1e-9)  # shear mu du/dy over a length of 2
    assert found["bottom.drag_coefficient"] == pytest.approx(2 * 1.0 / (3.0 * 4.0 * 0.5), rel=1e-9)
    assert found["left.outflow"] == pytest.approx(-1 / 6, rel=1e-12)
    assert found["right.outflow"] == pytest.approx(1 / 6, rel=1e-10)
    assert found["left.pressure"] == pytest.approx(2.0, rel=1e-9)  # 2 mu length
    assert found["top.pressure"] == pytest.approx(1.0, rel=1e-9)  # along the wall it falls from there to 0
    assert found["right.force_x"] == pytest.approx(0.0, abs=1e-12)
    with pytest.raises(ConfigError, match="forces on the boundary belong to flows"):
        FlowForces(System(Diffusion(space) + Dirichlet("left", 0.0), None, torch.zeros(())))


def test_a_pressure_drives_a_flow_as_a_traction() -> None:
    space = Space(rectangle(4, 4), "p2")
    flow = Stokes(space, 1.0) + Velocity("bottom") + Velocity("top")
    flow = flow + Neumann("left", torch.tensor([2.0, 0.0, 0.0], dtype=F64)) + Dirichlet("left", 0.0, channels=[1])
    torch.testing.assert_close(solved(flow, space), poiseuille(space.pos), atol=1e-10, rtol=0)
