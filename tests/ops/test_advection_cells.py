"""Advection of cell averages, first order and centred, and the centred scheme on spaces and graphs."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import evolve
from graphpde.dynamics.explicit import Euler, Rk4
from graphpde.dynamics.implicit import BackwardEuler
from graphpde.dynamics.steady import steady
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import CellSpace, Mesh, Space, interval, jittered, random_square, rectangle, sphere
from graphpde.mesh.elements import P2
from graphpde.ops import Advection, CentredAdvection, Diffusion, Dirichlet, LimitedAdvection, StreamlineUpwind, System
from graphpde.ops.advection import SCHEMES
from tests.mesh.unit_meshes import KINDS, mapped, unit_mesh

F64 = torch.float64
T0 = torch.tensor(0.0, dtype=F64)
WIND = torch.tensor([1.0, 0.4, -0.3], dtype=F64)


def wind(space: Graph) -> Tensor:
    return WIND[: space.pos.shape[1]]


def matrix(term: Advection) -> np.ndarray:
    return term.operator.to_scipy().toarray()


def linear(x: Tensor, t: object = None) -> Tensor:
    return (x @ torch.arange(1.0, x.shape[1] + 1, dtype=x.dtype))[:, None] + 2


@pytest.mark.parametrize("kind", KINDS)
class TestOnEveryCell:
    def test_column_sums_are_minus_the_outflow(self, kind: str) -> None:
        space = CellSpace(mapped(unit_mesh(kind, 2), seed=1)[0])
        v = wind(space)
        sides = space.sides
        edge = space.boundary_sides
        leaving = torch.relu(sides.area * (sides.normal @ v))[edge].numpy()
        outflow = np.zeros(space.n)
        np.add.at(outflow, sides.cell[edge].numpy(), leaving)
        found = matrix(Advection(space, v))
        assert np.abs(found.sum(0) + outflow).max() <= 1e-13 * np.abs(found).max()
        centred = matrix(CentredAdvection(space, v))
        assert abs(centred.sum() + outflow.sum()) <= 1e-12 * np.abs(centred).max()
        assert (np.triu(matrix(Advection(space, v)), 1) >= 0).all() and (
            np.tril(matrix(Advection(space, v)), -1) >= 0
        ).all()

    def test_constant_inflow_fills_the_domain(self, kind: str) -> None:
        space = CellSpace(unit_mesh(kind, 2))
        for scheme in (Advection, CentredAdvection):
            found = steady(scheme(space, wind(space)) + Dirichlet("boundary", 3.0), torch.zeros(space.n, 1, dtype=F64))
            assert float((found.value - 3).abs().max()) <= 1e-11

    def test_centred_fluxes_are_exact_for_linear_functions(self, kind: str) -> None:
        """-v . grad u times the volume in every cell away from the boundary."""
        warped = kind in ("hexahedron", "wedge", "pyramid", "mixed solid")  # only flat facets have one normal
        space = CellSpace(mapped(unit_mesh(kind, 5, amount=0.0 if warped else 0.2), seed=1)[0])
        rate = CentredAdvection(space, wind(space)).rate(T0, linear(space.pos))[:, 0]
        near = torch.zeros(space.n, 1, dtype=F64)
        near[space.nodes_of("boundary")] = 1
        near = torch.maximum(near, space.edges.propagate(near, reduce="max"))  # which read the cells at the boundary
        inside = near[:, 0] == 0
        slope = float(torch.arange(1.0, space.pos.shape[1] + 1, dtype=F64) @ wind(space))
        assert torch.allclose(rate[inside], torch.full_like(rate[inside], -slope), rtol=1e-11)
        assert bool(inside.any())


def test_one_dimensional_schemes_are_the_textbook_ones() -> None:
    space = CellSpace(interval(4))
    upwind = np.diag([-2.0] * 4) + np.diag([2.0] * 3, -1)
    assert np.abs(matrix(Advection(space, [2.0])) - upwind).max() <= 1e-15
    ring = CellSpace(interval(6), periodic=[("left", "right")])
    assert np.abs(matrix(CentredAdvection(ring, [2.0])) @ np.ones(6)).max() <= 1e-14


@pytest.mark.parametrize("mesh", [interval(5), rectangle(4, 3, cells="quad")], ids=["line", "quads"])
def test_centred_outflow_is_exact_for_linear_functions(mesh: Mesh) -> None:
    """In every cell, with the exact values flowing in: an outflow carries the value at its own facet."""
    space = CellSpace(mesh)
    f = System(CentredAdvection(space, wind(space)) + Dirichlet("boundary", linear), None, T0)
    slope = torch.arange(1.0, space.pos.shape[1] + 1, dtype=F64) @ wind(space)
    assert torch.allclose(f.rate(T0, linear(space.pos)), -slope.expand(space.n, 1), rtol=1e-12)


def test_centred_order_with_an_outflow() -> None:
    """A sine enters at the left and leaves at the right, for half a period."""

    def sine(x: Tensor, t: Tensor | float) -> Tensor:
        return torch.sin(2 * torch.pi * (x - t))

    errors = []
    for n in (16, 32, 64):
        space = CellSpace(interval(n))
        terms = CentredAdvection(space, [1.0]) + Dirichlet("left", sine)
        late = evolve(terms, sine(space.pos, 0.0), [0.0, 0.5], dt=0.2 / n, stepper=Rk4()).states[-1]
        errors.append(float((late - sine(space.pos, 0.5)).abs().mean()))
    assert errors[0] / errors[1] > 3.5 and errors[1] / errors[2] > 3.7


@pytest.mark.parametrize("v", [[1.0, 0.4], [0.3, -1.0]])
def test_nothing_grows_on_its_way_out(v: list[float]) -> None:
    """Also out of corners whose one triangle has one neighbour."""
    space = CellSpace(rectangle(6, 6))
    rates = np.linalg.eigvals(matrix(CentredAdvection(space, v)) / space.measure[:, None].numpy())
    assert rates.real.max() < 0


def test_values_flow_in_as_time_goes_on() -> None:
    """A ramp at the inlet arrives at speed 1; with no condition nothing comes in."""
    space = CellSpace(interval(100))
    inlet = Dirichlet("left", lambda x, t: t)
    run = evolve(Advection(space, [1.0]) + inlet, torch.zeros(100, 1, dtype=F64), [0, 0.8], dt=8e-3, stepper=Rk4())
    behind = space.pos[:, 0] < 0.6
    assert torch.allclose(run.states[-1][behind, 0], (0.8 - space.pos[:, 0])[behind], atol=2e-2)
    dry = evolve(Advection(space, [1.0]), torch.ones(100, 1, dtype=F64), [0, 0.8], dt=8e-3, stepper=Rk4())
    assert float(dry.states[-1][space.pos[:, 0] < 0.4].abs().max()) < 1e-2


def test_mixtures_leave_a_junction() -> None:
    """Two pipes with rates 1 and 3 join into one of rate 4: it gets the mean by rate, and nothing is lost."""
    pipes = Mesh([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [2.0, 0.0]], {"line": [[0, 2], [1, 2], [2, 3]]})
    space = CellSpace(pipes)
    along = torch.tensor([[1.0, 0.0], [0.5**0.5, -(0.5**0.5)], [1.0, 0.0]], dtype=F64)
    term = Advection(space, along * torch.tensor([[1.0], [3.0], [4.0]], dtype=F64))
    inlet = torch.tensor([0, 1])
    found = steady(term + Dirichlet(inlet, torch.tensor([[8.0], [4.0]], dtype=F64)), torch.zeros(3, 1, dtype=F64)).value
    assert found[:, 0].tolist() == pytest.approx([8.0, 4.0, (8 + 3 * 4) / 4])


def whirl(x: Tensor) -> Tensor:
    return torch.stack([0.5 - x[:, 1], x[:, 0] - 0.5], 1)


def test_bounds_and_balance_in_a_whirl() -> None:
    """A rigid rotation has no divergence in the discrete sense either: Gauss points integrate it exactly."""
    space = CellSpace(random_square(6, seed=1))
    term = Advection(space, whirl)
    assert float(term(T0, torch.ones(space.n, 1, dtype=F64))[4:].abs().max()) <= 1
    dt = 0.9 * float((space.measure / term.operator.diagonal().abs()).min())
    u0 = (space.pos[:, :1] > 0.5).double()
    run = evolve(term + Dirichlet("boundary", 0.0), u0, [0.0, 40 * dt], stepper=Euler(), dt=dt, allow_unstable=True)
    assert float(run.states.min()) >= -1e-14 and float(run.states.max()) <= 1 + 1e-13
    ball = CellSpace(sphere(1))
    spin = Advection(ball, lambda x: torch.stack([-x[:, 1], x[:, 0], 0 * x[:, 2]], 1))
    assert np.abs(matrix(spin).sum(0)).max() <= 1e-14


def test_velocity_in_every_form() -> None:
    space = CellSpace(jittered(rectangle(3, 3), 0.2, seed=1))
    v = wind(space)
    expected = matrix(Advection(space, v))
    for other in (v.tolist(), v.expand(space.n, -1), lambda x: v.expand(len(x), -1)):
        assert np.abs(matrix(Advection(space, other)) - expected).max() <= 1e-15
    with pytest.raises(ShapeError, match=r"velocity has shape \[3\], expected \[2\]"):
        Advection(space, torch.ones(3))
    with pytest.raises(InputError, match="not finite"):
        Advection(space, torch.tensor([1.0, float("nan")]))


class TestCentred:
    def test_keeps_the_sum_of_squares(self) -> None:
        """Galerkin with a rotation is skew but for the boundary, where nothing flows on a ring."""
        space = Space(jittered(rectangle(4, 4), 0.2, seed=1), periodic=[("left", "right"), ("bottom", "top")])
        found = matrix(CentredAdvection(space, wind(space)))
        assert np.abs(found + found.T).max() <= 1e-15

    def test_exact_for_linear_functions_inside(self) -> None:
        space = Space(jittered(rectangle(5, 5), 0.2, seed=1))
        rate = CentredAdvection(space, wind(space)).rate(T0, linear(space.pos))[:, 0]
        inside = torch.ones(space.n, dtype=torch.bool)
        inside[space.nodes_of("boundary")] = False
        assert torch.allclose(rate[inside], torch.full_like(rate[inside], -1.8), rtol=1e-12)

    def test_pipes_carry_the_mean_of_their_ends(self) -> None:
        graph = Graph(Relation.from_edges([0, 1], [1, 2], 3, 3))
        found = matrix(CentredAdvection(graph, torch.tensor([2.0, -4.0], dtype=F64)))
        expected = np.zeros((3, 3))
        for i, j, q in ((0, 1, 2.0), (1, 2, -4.0)):
            expected[j, [i, j]] += q / 2
            expected[i, [i, j]] -= q / 2
        assert np.abs(found - expected).max() <= 1e-15

    def test_quadratic_elements(self) -> None:
        """A full period on a ring of P2: third order and better; upwinding refuses them."""
        errors = []
        for n in (8, 16):
            space = Space(interval(n), P2(), periodic=[("left", "right")])
            u0 = torch.sin(2 * torch.pi * space.pos)
            term = CentredAdvection(space, [1.0])
            errors.append(float(space.norm(evolve(term, u0, [0, 0.5], dt=4e-3, stepper=Rk4()).states[-1] + u0)))
        assert errors[1] < 1e-3 and errors[0] / errors[1] > 6
        for scheme in (Advection, LimitedAdvection, StreamlineUpwind):
            with pytest.raises(InputError, match="P2|P1"):
                scheme(space, [1.0])

    def test_one_operator_with_diffusion(self) -> None:
        """On cells both read the same neighbours, so the sum is one matrix, and a steady state one solve."""
        space = CellSpace(jittered(rectangle(6, 6), 0.15, seed=1))
        terms = Diffusion(space, 0.5) + CentredAdvection(space, wind(space)) + Dirichlet("boundary", linear)
        f = System(terms, None, T0)
        assert f.operator is not None and f.operator.relation is space.stencil.wide
        u0 = torch.zeros(space.n, 1, dtype=F64)
        late = evolve(terms, u0, [0.0, 20.0], dt=0.5, stepper=BackwardEuler()).states[-1]
        assert torch.allclose(late, steady(terms, u0).value, atol=1e-6)


class TestGradients:
    mesh = jittered(rectangle(2, 2), 0.2, seed=4)

    @pytest.mark.parametrize("scheme", [Advection, CentredAdvection])
    def test_velocity_values_and_positions(self, scheme: type[Advection]) -> None:
        def f(velocity: Tensor, value: Tensor, points: Tensor) -> Tensor:
            space = CellSpace(self.mesh.with_points(points))
            terms = scheme(space, velocity) + Dirichlet("left", value)
            return evolve(terms, space.pos[:, :1], [0.0, 0.1], stepper=Euler()).states[-1]

        v = torch.randn(8, 2, dtype=F64, generator=torch.Generator().manual_seed(1)).requires_grad_()
        value = torch.tensor([0.7], dtype=F64, requires_grad=True)
        assert torch.autograd.gradcheck(f, (v, value, self.mesh.points.clone().requires_grad_()), fast_mode=True)


def test_table_of_schemes() -> None:
    assert set(SCHEMES) == {"upwind", "centred", "limited", "supg"}
    space = Space(interval(4))
    for scheme in SCHEMES.values():
        assert scheme(space, [1.0])(T0, space.pos).shape == (5, 1)
    with pytest.raises(InputError, match="take Advection"):
        LimitedAdvection(nx.path_graph(3), torch.ones(4))
