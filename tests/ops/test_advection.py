"""Upwind advection: balances, signs, bounds, steady states, pipes, learned velocities, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from scipy.sparse.linalg import spsolve
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import evolve
from graphpde.dynamics.explicit import Euler
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import (
    Mesh,
    Space,
    annulus,
    box,
    interval,
    jittered,
    random_cube,
    random_square,
    rectangle,
    sphere,
)
from graphpde.mesh.elements import P1, P2, Q1
from graphpde.mesh.second_order import completed, nodes_of
from graphpde.ops import Advection, CentredAdvection, Diffusion, Dirichlet, System
from graphpde.ops.advection.velocity import leaving

T0 = torch.tensor(0.0, dtype=torch.float64)
MESHES: dict[str, Callable[[], Mesh]] = {
    "lines": lambda: jittered(interval(8), 0.3, seed=1),
    "triangles": lambda: random_square(5, seed=1),
    "quads": lambda: jittered(rectangle(5, 4, cells="quad"), 0.2, seed=2),
    "tets": lambda: random_cube(3, seed=3),
}
WIND = torch.tensor([1.0, 0.4, -0.3], dtype=torch.float64)


def wind(space: Space) -> Tensor:
    return WIND[: space.mesh.space_dim]


def whirl(x: Tensor) -> Tensor:
    """Free of divergence, and no flow through the sides of the unit square."""
    a, b = torch.pi * x[:, 0], torch.pi * x[:, 1]
    return torch.stack([torch.sin(a) * torch.cos(b), -torch.cos(a) * torch.sin(b)], 1)


def inflow_nodes(space: Space, v: Tensor) -> Tensor:
    """Nodes of the unit box on sides through which a constant velocity enters."""
    x = space.pos
    entering = torch.zeros(space.n, dtype=torch.bool)
    for axis, speed in enumerate(v.tolist()):
        entering |= (x[:, axis] < 1e-12) if speed > 0 else (x[:, axis] > 1 - 1e-12)
    return entering.nonzero()[:, 0]


@pytest.mark.parametrize("name", MESHES)
class TestOnSpaces:
    def test_column_sums_are_minus_the_outflow(self, name: str) -> None:
        r"""d/dt of the mass is minus \int (v.n)^+ u: nothing is lost inside."""
        space = Space(MESHES[name]())
        d = space.mesh.space_dim
        matrix = Advection(space, wind(space)).operator.to_scipy().toarray()
        outflow = np.zeros(space.n)
        sides = [("left", "right"), ("front", "back") if d == 3 else ("bottom", "top"), ("bottom", "top")]
        for speed, (low, high) in zip(wind(space).tolist(), sides):
            one = space.load(lambda x: torch.ones(len(x), 1, dtype=x.dtype), high if speed > 0 else low)
            outflow += abs(speed) * one[:, 0].numpy()
        assert np.abs(matrix.sum(0) + outflow).max() <= 1e-13
        assert (outflow > 0).sum() < space.n

    def test_signs(self, name: str) -> None:
        """Off-diagonal entries are never negative: no node is pushed beyond its neighbours."""
        space = Space(MESHES[name]())
        for v in (wind(space), -wind(space), lambda x: x - 0.3):
            matrix = Advection(space, v).operator.to_scipy().toarray()
            off = matrix - np.diag(np.diag(matrix))
            assert off.min() >= 0

    def test_maximum_principle(self, name: str) -> None:
        """Explicit steps at the positivity bound: with u fixed at the inflow no new extrema appear."""
        space = Space(MESHES[name]())
        term = Advection(space, wind(space))
        diagonal = term.operator.diagonal().abs()
        dt = float((space.measure / diagonal.clamp(min=1e-300)).min())
        u0 = (torch.rand(space.n, 1, dtype=torch.float64) > 0.5).double()
        fixed = inflow_nodes(space, wind(space))
        run = evolve(
            term + Dirichlet(fixed, u0[fixed]),
            u0,
            torch.arange(0, 40, 5, dtype=torch.float64) * dt,
            stepper=Euler(),
            dt=dt,
            allow_unstable=True,  # the spectral bound is sufficient only; positivity asks for less
        )
        assert float(run.states.min()) >= -1e-14 and float(run.states.max()) <= 1 + 1e-14
        assert float((run.states[-1] - u0).abs().max()) > 0.1

    def test_constant_inflow_fills_the_domain(self, name: str) -> None:
        """The steady state under u = 3 at the inflow is u = 3, exactly."""
        space = Space(MESHES[name]())
        matrix = Advection(space, wind(space)).operator.to_scipy()
        fixed = inflow_nodes(space, wind(space)).numpy()
        free = np.setdiff1d(np.arange(space.n), fixed)
        assert np.abs((matrix @ np.ones(space.n))[free]).max() <= 1e-14
        u = spsolve(matrix[free][:, free].tocsc(), -matrix[free][:, fixed] @ np.full(len(fixed), 3.0))
        assert np.abs(u - 3).max() <= 1e-12

    def test_velocity_in_every_form(self, name: str) -> None:
        space = Space(MESHES[name]())
        v = wind(space)
        expected = Advection(space, v).operator
        for other in (
            v.tolist(),
            v.expand(space.mesh.n_cells, -1),
            lambda x: v.expand(len(x), -1),
            lambda x: [v.tolist()] * len(x),
        ):
            found = Advection(space, other).operator
            assert torch.allclose(found.weight, expected.weight, rtol=0, atol=1e-15)
            assert torch.allclose(found.diag, expected.diag, rtol=0, atol=1e-15)


def test_closed_whirl_keeps_mass_and_bounds() -> None:
    space = Space(random_square(8, seed=1))
    term = Advection(space, whirl)
    dt = 0.5 * float((space.measure / term.operator.diagonal().abs()).min())
    u0 = (space.pos[:, :1] > 0.5).double()
    run = evolve(term, u0, torch.linspace(0, 100 * dt, 11, dtype=torch.float64), stepper=Euler(), dt=dt)
    mass = space.integral(run.states)[:, 0]
    assert torch.allclose(mass, mass[:1].expand(11), rtol=1e-13, atol=0)
    assert float((run.states[-1] - u0).abs().max()) > 0.1
    assert float(run.states.min()) >= -1e-14  # positivity needs no discrete divergence-freedom


def test_one_dimensional_scheme_is_the_textbook_upwind() -> None:
    space = Space(interval(4))
    matrix = Advection(space, [2.0]).operator.to_scipy().toarray()
    inner = np.zeros((5, 5))
    for i in range(1, 5):
        inner[i, i - 1], inner[i, i] = 2.0, -2.0
    inner[0, 0] = -2.0
    assert np.abs(matrix - inner).max() <= 1e-15


def test_diffusion_and_advection_share_one_operator() -> None:
    space = Space(random_square(3, seed=1))
    both = System(Diffusion(space, 0.1) + Advection(space, wind(space)), None, T0).operator
    expected = Diffusion(space, 0.1).operator.to_scipy() + Advection(space, wind(space)).operator.to_scipy()
    assert abs(both.to_scipy() - expected).max() <= 1e-15
    assert not both.symmetric


def test_surface_without_boundary_keeps_mass() -> None:
    space = Space(sphere(1))
    spin = Advection(space, lambda x: torch.stack([-x[:, 1], x[:, 0], 0 * x[:, 2]], 1))
    assert np.abs(spin.operator.to_scipy().toarray().sum(0)).max() <= 1e-14


def ring(cells: str, size: float) -> Space:
    """A ring of second order whose boundary nodes all lie on the two circles."""
    mesh = completed(annulus(size, cells=cells))
    points = mesh.points.clone()
    for name, radius in (("inner", 0.5), ("outer", 1.0)):
        on = nodes_of(mesh, mesh.tag(name))
        points[on] *= radius / torch.linalg.vector_norm(points[on], dim=1, keepdim=True)
    return Space(mesh.with_points(points))


@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_curved_boundaries_have_curved_normals(cells: str) -> None:
    """Next to nothing leaves a ring by rotation, and x / |x|^2 carries 2 pi out of it: errors of fourth order."""
    leak, miss = [], []
    for size in (0.2, 0.1):
        space = ring(cells, size)
        assert space.element.degree == 2
        one = torch.ones(space.n, 1, dtype=torch.float64)
        spin = CentredAdvection(space, lambda x: torch.stack([-x[:, 1], x[:, 0]], 1))
        leak.append(abs(float(spin(T0, one).sum())))
        rays = CentredAdvection(space, lambda x: x / x.square().sum(1, keepdim=True))
        miss.append(abs(float(rays(T0, one).sum()) + 2 * torch.pi))
    assert leak[0] < 1e-3 and leak[1] < leak[0] / 6
    assert miss[0] < 1e-5 and miss[1] < max(miss[0] / 10, 1e-9)


def test_outflow_through_points_and_warped_faces() -> None:
    """The end of an interval, and a box with warped faces, through which x carries three times its volume."""
    line = Space(interval(4), P2())
    gone = CentredAdvection(line, [2.0])(T0, torch.ones(line.n, 1, dtype=torch.float64)).sum()
    assert float(gone) == pytest.approx(-2.0, rel=1e-14)
    mesh = box(2, 2, 2, cells="hexahedron")
    bent = mesh.points + 0.1 * torch.sin(4 * mesh.points.roll(1, 1))
    cube = Space(mesh.with_points(bent), Q1())
    out, back = (
        sum(float(each.sum()) for each in leaving(cube, lambda x, sign=sign: sign * x, mesh.boundary_facets)[1])
        for sign in (1, -1)
    )
    assert out - back == pytest.approx(3 * float(cube.measure.sum()), rel=1e-12)


# graphs


class TestOnGraphs:
    def ring(self, n: int = 6) -> Graph:
        nodes = torch.arange(n)
        return Graph(Relation.from_edges(nodes, (nodes + 1) % n, n, n), measure=torch.rand(n, dtype=torch.float64) + 1)

    @pytest.mark.parametrize("q", [2.0, -2.0])
    def test_ring_of_pipes_keeps_mass(self, q: float) -> None:
        ring = self.ring()
        term = Advection(ring, torch.full((6,), q, dtype=torch.float64))
        u = torch.zeros(6, 1, dtype=torch.float64)
        u[2] = 1.0
        f = term(T0, u)[:, 0]
        expected = torch.zeros(6, dtype=torch.float64)
        expected[2], expected[3 if q > 0 else 1] = -2.0, 2.0
        assert torch.equal(f, expected)
        run = evolve(term, u, [0.0, 5.0], stepper=Euler(), dt=0.01)
        assert float(ring.integral(run.final)) == pytest.approx(float(ring.integral(u)), rel=1e-13)
        assert float(run.final.min()) >= 0

    def test_constant_stays_where_flows_balance(self) -> None:
        term = Advection(self.ring(), torch.full((6,), 0.7, dtype=torch.float64))
        assert float(term(T0, torch.ones(6, 2, dtype=torch.float64)).abs().max()) == 0

    def test_the_upstream_node_decides(self) -> None:
        """Edges 0 -> 1 and 2 -> 1 with flow forwards and backwards."""
        relation = Relation.from_edges([0, 2], [1, 1], 3, 3)
        q = relation.own(torch.tensor([3.0, -5.0], dtype=torch.float64))
        matrix = Advection(Graph(relation), q).operator.to_scipy().toarray()
        assert matrix.tolist() == [[-3.0, 0.0, 0.0], [3.0, -5.0, 0.0], [0.0, 5.0, 0.0]]

    def test_mixed_signs_on_a_random_graph_keep_mass(self) -> None:
        graph = nx.gnp_random_graph(30, 0.2, seed=1, directed=True)
        term = Advection(graph, torch.randn(graph.number_of_edges(), dtype=torch.float64))
        matrix = term.operator.to_scipy().toarray()
        assert np.abs(matrix.sum(0)).max() <= 1e-14
        assert (matrix - np.diag(np.diag(matrix))).min() >= 0

    def test_a_pipe_from_a_node_to_itself_does_nothing(self) -> None:
        relation = Relation.from_edges([0, 0], [0, 1], 2, 2)
        q = relation.own(torch.tensor([4.0, 1.0], dtype=torch.float64))
        f = Advection(Graph(relation), q)(T0, torch.ones(2, 1, dtype=torch.float64))
        assert f[:, 0].tolist() == [-1.0, 1.0]

    def test_flow_rates_need_one_value_an_edge(self) -> None:
        with pytest.raises(ShapeError, match=r"velocity has shape \[5\], expected \[6\]"):
            Advection(self.ring(), torch.ones(5))

    def test_a_function_is_no_flow_rate(self) -> None:
        with pytest.raises(InputError, match="the velocity on a graph is a function, expected the flow rate"):
            Advection(self.ring(), lambda x: x)

    def test_flow_rates_are_finite(self) -> None:
        with pytest.raises(InputError, match="the velocity is not finite at 1 of 6 entries"):
            Advection(self.ring(), torch.tensor([1.0, 1, 1, float("nan"), 1, 1]))


# refusals


SPACE = Space(rectangle(2, 2))


@pytest.mark.parametrize("shape", [(3,), (1,), (7, 2), (8, 3), (8, 2, 1), ()])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match=r"velocity has shape .*, expected \[2\], \[8, 2\] or a function of x"):
        Advection(SPACE, torch.ones(shape))


def test_function_of_the_wrong_shape() -> None:
    with pytest.raises(ShapeError, match=r"velocity has shape \[\d+\], expected \[\d+, 2\]"):
        Advection(SPACE, lambda x: x[:, 0])


def test_velocity_that_is_not_finite() -> None:
    with pytest.raises(InputError, match="the velocity is not finite at 1 of 2 entries"):
        Advection(SPACE, torch.tensor([1.0, float("inf")]))
    with pytest.raises(InputError, match="the velocity is not finite at"):
        Advection(SPACE, lambda x: x / 0.0)


# learned velocities


@pytest.mark.grad
def test_gradient_by_finite_differences() -> None:
    space = Space(random_square(2, seed=1))
    u = torch.randn(space.n, 1, dtype=torch.float64)
    for v in (torch.rand(2), torch.randn(space.mesh.n_cells, 2)):
        assert torch.autograd.gradcheck(lambda v: Advection(space, v)(T0, u), v.double().requires_grad_())
    graph = nx.gnp_random_graph(6, 0.5, seed=1, directed=True)
    q = torch.randn(graph.number_of_edges(), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda q: Advection(graph, q)(T0, u[:6]), q)


def test_learned_velocity_is_assembled_anew() -> None:
    u = torch.randn(SPACE.n, 1, dtype=torch.float64)
    network = torch.nn.Linear(2, 2, dtype=torch.float64)
    constant = torch.nn.Parameter(torch.tensor([1.0, 0.5], dtype=torch.float64))
    for velocity, learned in ((constant, [constant]), (network, list(network.parameters()))):
        term = Advection(SPACE, velocity)
        assert list(term.tensors()) == learned
        optimiser = torch.optim.SGD(learned, lr=0.1)
        with torch.no_grad():  # a look without gradients must not freeze the operator
            before = term(T0, u)
        for _ in range(2):
            optimiser.zero_grad()
            term(T0, u).square().sum().backward()
            optimiser.step()
        assert torch.equal(term(T0, u), Advection(SPACE, velocity)(T0, u))
        assert not torch.equal(term(T0, u), before)


def test_fixed_velocity_is_assembled_once() -> None:
    term = Advection(SPACE, [1.0, 0.0])
    assert term.operator is term.operator


@pytest.mark.parametrize("element", [P1(), P2()])
def test_what_flows_out_of_galerkin_is_that_of_the_function(element: Any) -> None:
    """Without divergence u . F(u) is minus half of what |v.n| u^2 takes through the boundary."""
    space = Space(random_square(3, seed=2), element)
    term = CentredAdvection(space, [1.0, 0.5])
    u = torch.randn(space.n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    energy = float((u * term(torch.tensor(0.0, dtype=torch.float64), u)).sum())
    through = 0.0
    for where, speed in (("left", 1.0), ("right", 1.0), ("bottom", 0.5), ("top", 0.5)):
        for block in space.facets(space.facet_ids(where), 2 * element.degree):
            values = torch.einsum("qk,mk->mq", block.values, u[:, 0][block.dofs])
            through += speed * float((block.volume * values**2).sum())
    assert energy == pytest.approx(-through / 2, rel=1e-10)
