"""Steady states: exact where they can be, refused where they are not unique, and their derivatives."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import BackwardEuler, evolve, steady
from graphpde.errors import ConditionError, InputError, ShapeError, SolveError
from graphpde.mesh import Mesh, Space, interval, jittered, random_cube, random_square, rectangle, star
from graphpde.ops import REACTIONS, Advection, Diffusion, Dirichlet, Neumann, Reaction, Source, System
from graphpde.solve.result import Result, Status

MESHES = {
    "lines": lambda: jittered(interval(7), 0.2, seed=1),
    "triangles": lambda: random_square(5, seed=1),
    "quads": lambda: jittered(rectangle(4, 5, cells="quad"), 0.2, seed=1),
    "tets": lambda: random_cube(3, seed=1),
}


def zeros(space: Graph, c: int = 1) -> Tensor:
    return torch.zeros(space.n, c, dtype=torch.float64)


def linear(x: Tensor) -> Tensor:
    return 1 + x @ torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)[: x.shape[1]]


@pytest.mark.parametrize("method", ["direct", "cg", "gmres", "auto"])
@pytest.mark.parametrize("name", MESHES)
def test_linear_fields_are_exact(name: str, method: str) -> None:
    space = Space(MESHES[name]())
    terms = Diffusion(space, 0.3) + Dirichlet("boundary", lambda x, t: linear(x))
    result = steady(terms, zeros(space), method=method)
    assert result.converged
    # cg and gmres stop at a relative residual of 1e-12
    assert torch.allclose(result.value[:, 0], linear(space.pos), atol=1e-13 if method in ("direct", "auto") else 1e-10)


def test_a_flux_through_one_side_is_exact() -> None:
    """u = 1 + 2 x - y with kappa = 0.3: inflow 0.6 on the right, -0.6 on the left, 0.3 at the bottom, u at the top."""
    space = Space(random_square(5, seed=1))
    terms = Diffusion(space, 0.3) + Dirichlet("top", lambda x, t: linear(x))
    terms = terms + Neumann("right", 0.6) + Neumann("left", -0.6) + Neumann("bottom", 0.3)
    assert torch.allclose(steady(terms, zeros(space)).value[:, 0], linear(space.pos), atol=1e-13)


def test_a_source_on_a_rod_is_exact_at_the_nodes() -> None:
    """-u'' = 2, u(0) = u(1) = 0: linear elements meet x (1 - x) at their nodes."""
    space = Space(jittered(interval(9), 0.3, seed=1))
    terms = Diffusion(space) + Source(space, 2.0) + Dirichlet("boundary", 0.0)
    x = space.pos
    assert torch.allclose(steady(terms, zeros(space)).value, x * (1 - x), atol=1e-14)


def test_what_the_result_says() -> None:
    space = Space(random_square(5, seed=1))
    terms = Diffusion(space) + Source(space, 1.0) + Dirichlet("left", 0.0)
    direct, krylov = (steady(terms, zeros(space), method=m) for m in ("direct", "cg"))
    assert isinstance(direct, Result)
    assert direct.status is Status.CONVERGED is krylov.status
    assert direct.iterations == 1 < krylov.iterations
    assert direct.residual <= 1e-13
    assert krylov.residual <= 1e-12 < krylov.residuals[0]
    assert "direct solve, relative residual" in direct.reason
    assert "residual" in krylov.reason
    newton = steady(terms + Reaction(REACTIONS["logistic"]()), zeros(space))
    assert newton.converged
    assert "Newton residual" in newton.reason
    assert len(newton.residuals) == newton.iterations + 1


def test_it_is_where_a_long_run_ends() -> None:
    space = Space(random_square(4, seed=1))
    wind = torch.tensor([1.0, 0.5], dtype=torch.float64)
    for rest in (Source(space, 1.0), Source(space, 1.0) + Reaction(REACTIONS["decay"]())):
        terms = Diffusion(space) + Advection(space, wind) + rest + Dirichlet("left", 1.0)
        run = evolve(terms, zeros(space), [0.0, 200.0], stepper=BackwardEuler(), dt=10.0)
        assert torch.allclose(steady(terms, zeros(space)).value, run.final, atol=1e-10)


def test_loads_and_values_are_taken_at_the_time_asked_for() -> None:
    space = Space(interval(4))
    terms = (
        Diffusion(space) + Dirichlet("boundary", lambda x, t: 3 * t + 0 * x[:, 0]) + Source(space, lambda x, t: 2 * t)
    )
    x = space.pos
    for t in (0.0, 1.5):
        assert torch.allclose(steady(terms, zeros(space), t=t).value, 3 * t + t * x * (1 - x), atol=1e-14)


def test_channels_have_their_own_conductivity() -> None:
    space = Space(random_square(4, seed=1))
    kappa = torch.tensor([[1.0, 4.0]], dtype=torch.float64)
    both = steady(Diffusion(space, kappa) + Source(space, 1.0) + Dirichlet("left", 0.0), zeros(space, 2)).value
    assert torch.allclose(both[:, 0], 4 * both[:, 1], rtol=1e-12)


def test_a_graph_is_a_network_of_resistors() -> None:
    """Three unit resistors in a row and 6 volts across: 6, 4, 2, 0, by the callable's domain or the term's."""
    a = torch.arange(3)
    graph = Graph(Relation.from_edges(torch.cat([a, a + 1]), torch.cat([a + 1, a]), 4, 4))
    terms = Diffusion(graph) + Dirichlet([0], 6.0) + Dirichlet([3], 0.0)
    assert torch.allclose(steady(terms, zeros(graph)).value[:, 0], torch.tensor([6.0, 4, 2, 0], dtype=torch.float64))


# what has no steady state, or many


def two_squares() -> Mesh:
    """A square of 9 points and, apart from it, one of 16."""
    one, two = rectangle(2, 2), rectangle(3, 3, origin=(5.0, 0.0))
    points = torch.cat([one.points, two.points])
    return Mesh(points, {"triangle": torch.cat([one.cells["triangle"], two.cells["triangle"] + one.n])}, name="two")


def test_a_floating_component_is_named_with_its_size() -> None:
    space = Space(two_squares())
    terms = Diffusion(space) + Source(space, 1.0) + Dirichlet(lambda x: x[:, 0] < 1e-9, 0.0)
    message = (
        r"component 1 of 2 \(16 unknowns, for example node 9 at \[5\.0, 0\.0\]\) has no Dirichlet condition, so its "
        r"solution is only known up to a constant; give one there"
    )
    with pytest.raises(ConditionError, match=message):
        steady(terms, zeros(space))
    with pytest.raises(ConditionError, match=r"component 0 of 2 \(9 unknowns, for example node 0 at \[0\.0, 0\.0\]\)"):
        steady(Diffusion(space) + Dirichlet(lambda x: x[:, 0] > 5.9, 0.0), zeros(space))
    with pytest.raises(ConditionError, match=r"component 0 of 1 \(31 unknowns, for example node 0"):
        steady(Diffusion(Space(star(3, 10))), torch.zeros(31, 1, dtype=torch.float64))


def test_both_components_held_is_fine() -> None:
    space = Space(two_squares())
    terms = Diffusion(space) + Dirichlet(lambda x: x[:, 0] < 1, 1.0) + Dirichlet(lambda x: x[:, 0] > 5.9, 7.0)
    value = steady(terms, zeros(space)).value[:, 0]
    assert torch.allclose(value, torch.where(space.pos[:, 0] < 2, 1.0, 7.0).double(), atol=1e-12)


def test_a_graph_without_positions_names_the_node_alone() -> None:
    graph = Graph(Relation.from_edges(torch.tensor([0, 1, 2, 3]), torch.tensor([1, 0, 3, 2]), 4, 4))
    with pytest.raises(ConditionError, match=r"component 1 of 2 \(2 unknowns, for example node 2\) has no Dirichlet"):
        steady(Diffusion(graph) + Dirichlet([0], 1.0), zeros(graph))


def test_loads_alone_have_no_steady_state() -> None:
    space = Space(interval(4))
    with pytest.raises(ConditionError, match=r"a steady state needs an operator such as Diffusion; got only loads"):
        steady(Source(space, 1.0) + Dirichlet("left", 0.0), zeros(space))


def test_the_shape_of_the_guess_is_checked() -> None:
    space = Space(interval(4))
    with pytest.raises(ShapeError, match=r"the state has shape \[3, 1\], expected \[\*, 5, c\]"):
        steady(Diffusion(space) + Dirichlet("left", 0.0), torch.zeros(3, 1, dtype=torch.float64))


def test_a_nonlinear_equation_without_solution_is_an_error() -> None:
    """u'' + 20 exp(u) = 0 with u = 0 at both ends has no solution (Bratu: the limit is 3.51)."""
    space = Space(interval(20))
    terms = Diffusion(space) + Reaction(lambda u: 20 * torch.exp(u)) + Dirichlet("boundary", 0.0)
    with pytest.raises(SolveError, match=r"Newton"):
        steady(terms, zeros(space))


# nonlinear


@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_logistic_growth_between_cold_ends(lumped: bool) -> None:
    space = Space(random_square(5, seed=1), lumped=lumped)
    terms = Diffusion(space, 0.02) + Reaction(REACTIONS["logistic"]()) + Dirichlet("boundary", 0.2)
    u = steady(terms, torch.full((space.n, 1), 0.5, dtype=torch.float64)).value
    f = System(terms, None, torch.tensor(0.0, dtype=torch.float64))
    residual = f(torch.tensor(0.0), u)
    held = space.nodes_of("boundary")
    residual[held] = 0
    assert float(residual.abs().max()) <= 1e-12
    assert torch.equal(u[held], torch.full_like(u[held], 0.2))
    inside = np.setdiff1d(np.arange(space.n), held.numpy())
    assert 0.2 < float(u[inside].min()) <= float(u[inside].max()) < 1
    # by hand: dense Newton from the same guess, on the same matrices
    a = Diffusion(space, 0.02).operator.to_scipy().toarray()
    m = np.diag(space.measure.numpy()) if lumped else space.consistent_mass.to_scipy().toarray()
    v = np.full(space.n, 0.5)
    v[held.numpy()] = 0.2
    for _ in range(20):
        jacobian = (a + m @ np.diag(1 - 2 * v))[np.ix_(inside, inside)]
        v[inside] -= np.linalg.solve(jacobian, (a @ v + m @ (v * (1 - v)))[inside])
    assert np.abs(u[:, 0].numpy() - v).max() <= 1e-10


def test_two_channels_settle_at_an_equilibrium() -> None:
    gray_scott = REACTIONS["gray-scott"](0.037, 0.03)
    high = torch.tensor(gray_scott.equilibria()[2], dtype=torch.float64)
    space = Space(random_square(4, seed=1))
    terms = Diffusion(space, 1.0) + Reaction(gray_scott) + Dirichlet("boundary", high)
    guess = high + 0.01 * torch.rand(space.n, 2, dtype=torch.float64)
    assert torch.allclose(steady(terms, guess).value, high.expand(space.n, 2), atol=1e-9)


# derivatives

CHECK = {"eps": 1e-5, "atol": 1e-7, "rtol": 1e-6, "nondet_tol": 1e-12}


@pytest.mark.grad
@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_gradients_of_a_linear_steady_state(lumped: bool) -> None:
    space = Space(random_square(2, seed=1), lumped=lumped)

    def solve(kappa: Tensor, source: Tensor, value: Tensor, inflow: Tensor) -> Tensor:
        terms: Any = Diffusion(space, kappa) + Source(space, lambda x, t: source[0] + source[1] * x[:, 0])
        terms = terms + Dirichlet("left", value) + Neumann("right", inflow)
        return steady(terms, zeros(space)).value

    kappa = (1 + torch.rand(space.mesh.n_cells, dtype=torch.float64)).requires_grad_()
    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.7, -0.2], [0.4], [0.3])]
    assert torch.autograd.gradcheck(solve, (kappa, *values), **CHECK)


@pytest.mark.grad
def test_gradients_with_a_matrix_that_is_not_symmetric() -> None:
    space = Space(random_square(3, seed=1))
    wind = torch.tensor([3.0, 1.0], dtype=torch.float64)

    def solve(kappa: Tensor, source: Tensor) -> Tensor:
        terms = Diffusion(space, kappa) + Advection(space, wind) + Source(space, source) + Dirichlet("boundary", 1.0)
        return steady(terms, zeros(space)).value

    kappa, source = torch.tensor([0.5], dtype=torch.float64), torch.rand(space.n, dtype=torch.float64)
    assert torch.autograd.gradcheck(solve, (kappa.requires_grad_(), source.requires_grad_()), fast_mode=True, **CHECK)


@pytest.mark.grad
@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_gradients_of_a_nonlinear_steady_state(lumped: bool) -> None:
    space = Space(random_square(2, seed=1), lumped=lumped)
    wind = torch.tensor([1.0, 0.5], dtype=torch.float64)

    def solve(kappa: Tensor, rate: Tensor, source: Tensor, value: Tensor) -> Tensor:
        terms = Diffusion(space, kappa) + Advection(space, wind) + Source(space, source)
        terms = terms + Reaction(lambda u: rate * u * (1 - u)) + Dirichlet("left", value)
        return steady(terms, zeros(space)).value

    values = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in ([0.7], [0.4], [0.3], [0.6])]
    assert torch.autograd.gradcheck(solve, tuple(values), **CHECK)


def test_nothing_is_recorded_without_need() -> None:
    space = Space(random_square(2, seed=1))
    for rest in (Source(space, 1.0), Reaction(REACTIONS["logistic"]())):
        assert not steady(Diffusion(space) + rest + Dirichlet("left", 0.5), zeros(space)).value.requires_grad


# levels that nothing fixes


def test_an_open_level_is_that_of_the_guess_where_the_caller_says_so() -> None:
    """-u'' = cos(2 pi x) between insulated ends: cos(2 pi x) / (2 pi)^2 and any constant."""
    space = Space(interval(64))
    assert space.pos is not None
    exact = torch.cos(2 * torch.pi * space.pos) / (2 * torch.pi) ** 2
    terms = Diffusion(space) + Source(space, lambda x, t: torch.cos(2 * torch.pi * x[:, 0]))
    with pytest.raises(ConditionError, match="null_space='constants'"):
        steady(terms, zeros(space))
    found = steady(terms, zeros(space) + 3.0, null_space="constants")
    assert found.converged
    mean = (space.measure[:, None] * found.value).sum() / space.measure.sum()
    assert float(mean) == pytest.approx(3.0, abs=1e-12)
    torch.testing.assert_close(found.value, 3.0 + exact, rtol=0, atol=1e-4)
    with pytest.raises(SolveError, match="balance sources and fluxes on every connected component"):
        steady(terms + Neumann("left", 1.0), zeros(space), null_space="constants")
    with pytest.raises(InputError, match="null_space is for linear problems"):
        steady(terms + Reaction(lambda u: -(u**3)), zeros(space), null_space="constants")


@pytest.mark.grad
def test_gradients_where_the_level_is_open() -> None:
    space = Space(random_square(2, seed=1))
    pos = space.pos
    assert pos is not None

    def solve(kappa: Tensor, level: Tensor) -> Tensor:
        f = pos[:, 0] - (space.measure * pos[:, 0]).sum() / space.measure.sum()
        return steady(Diffusion(space, kappa) + Source(space, f), zeros(space) + level, null_space="constants").value

    kappa = (1 + torch.rand(space.mesh.n_cells, dtype=torch.float64)).requires_grad_()
    level = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(solve, (kappa, level), **CHECK)
