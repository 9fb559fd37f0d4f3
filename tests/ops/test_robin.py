"""Exchange with something outside: exact walls and fins, energy, gradients, refusals."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphpde.core import Graph, Relation
from graphpde.dynamics import BackwardEuler, evolve, steady
from graphpde.errors import ConditionError, UnknownName
from graphpde.mesh import P1, P2, Q1, Q2, Mesh, Space, box, interval, random_square, rectangle
from graphpde.mesh.elements import Element
from graphpde.ops import Diffusion, Dirichlet, Neumann, NonlinearDiffusion, PLaplacian, Robin, Source, System

F64 = torch.float64


def zeros(space: Graph, c: int = 1) -> Tensor:
    return torch.zeros(space.n, c, dtype=F64)


SPACES: list[tuple[Mesh, type[Element]]] = [
    (interval(7), P1),
    (random_square(4, seed=1), P1),
    (random_square(4, seed=1), P2),
    (rectangle(3, 3, cells="quad"), Q2),
    (box(2, 2, 2, cells="hexahedron"), Q1),
]


@pytest.mark.parametrize(("mesh", "element"), SPACES)
@pytest.mark.parametrize("lumped", [None, False])
def test_a_wall_between_two_fluids(mesh: Mesh, element: type[Element], lumped: bool | None) -> None:
    """Linear in between: k u' = q with q = (u_l - u_r) / (1/a_l + 1/k + 1/a_r), exact to rounding on every element."""
    k, a, outside = 0.7, (2.0, 5.0), (10.0, -4.0)
    q = (outside[0] - outside[1]) / (1 / a[0] + 1 / k + 1 / a[1])
    space = Space(mesh, element(), lumped=lumped)
    sides = Robin("left", a[0], a[0] * outside[0]) + (Diffusion(space, k) + Robin("right", a[1], a[1] * outside[1]))
    found = steady(sides, zeros(space)).value[:, 0]
    exact = outside[0] - q / a[0] - q / k * space.pos[:, 0]
    assert torch.allclose(found, exact, atol=1e-11)


def test_without_exchange_it_is_an_inflow() -> None:
    space = Space(random_square(4, seed=1))
    inflow = lambda x, t: torch.sin(3 * x[:, 1])  # noqa: E731
    rest = Diffusion(space) + Dirichlet("left", 0.0)
    one = steady(rest + Robin("right", 0.0, inflow), zeros(space)).value
    assert torch.allclose(one, steady(rest + Neumann("right", inflow), zeros(space)).value, atol=1e-12)


def test_much_exchange_holds_the_value() -> None:
    space = Space(random_square(4, seed=1))
    found = steady(Diffusion(space) + Robin("left", 1e9, 3e9) + Robin("right", 1e9, 1e9), zeros(space)).value[:, 0]
    assert torch.allclose(found, 3 - 2 * space.pos[:, 0], atol=1e-7)


def test_what_cools_decays_as_the_eigenvalue_says() -> None:
    """u' = u'' on [0, 1] insulated at 0 with u' + a u = 0 at 1: the slowest rate is m^2 with m tan m = a."""
    a = 1.5
    m = 1.0
    for _ in range(60):
        m -= (m * math.tan(m) - a) / (math.tan(m) + m / math.cos(m) ** 2)
    space = Space(interval(200))
    term = Diffusion(space) + Robin("right", a)
    u0 = torch.cos(m * space.pos)
    found = evolve(term, u0, [0.0, 0.5], stepper=BackwardEuler(), dt=1e-3).final
    assert torch.allclose(found, u0 * math.exp(-m * m * 0.5), atol=1e-3)


def test_the_heat_that_leaves_is_the_exchange() -> None:
    """Discrete balance: source in = a (u - u0) out over the same facets."""
    space = Space(random_square(5, seed=3), P2())
    a, outside = (lambda x, t: 1 + x[:, 0] ** 2), 0.3
    term = Diffusion(space, 2.0) + Source(space, 4.0)
    term = term + Robin("boundary", a, lambda x, t: outside * (1 + x[:, 0] ** 2))
    u = steady(term, zeros(space)).value
    leaving = torch.zeros((), dtype=F64)
    for b in space.facets(space.mesh.boundary_facets, 6):
        at = torch.einsum("qk,mk->mq", b.values, u[b.dofs, 0])
        leaving = leaving + (b.volume * (1 + b.points[..., 0] ** 2) * (at - outside)).sum()
    assert float(leaving) == pytest.approx(4.0, abs=1e-11)


def test_lumped_exchange_brings_no_new_extrema() -> None:
    space = Space(random_square(6, seed=2))
    term = Diffusion(space, 1e-3) + Robin("boundary", 50.0, 50.0)
    u = zeros(space)
    for _ in range(5):
        u = evolve(term, u, [0.0, 0.05], stepper=BackwardEuler()).final
        assert float(u.min()) >= -1e-12 and float(u.max()) <= 1 + 1e-12


def test_channels_and_batches() -> None:
    space = Space(random_square(3, seed=1))
    a = torch.tensor([1.0, 3.0], dtype=F64)
    term = Diffusion(space) + Robin("left", a, 2 * a) + Dirichlet("right", 0.0)
    both = steady(term, zeros(space, 2)).value
    for k in range(2):
        one = Diffusion(space) + Robin("left", float(a[k]), 2 * float(a[k])) + Dirichlet("right", 0.0)
        assert torch.allclose(both[:, [k]], steady(one, zeros(space)).value, atol=1e-12)
    batch = evolve(term, torch.rand(3, space.n, 2, dtype=F64), [0.0, 0.1], stepper=BackwardEuler())
    assert batch.final.shape == (3, space.n, 2)


def test_on_a_graph_it_acts_at_nodes() -> None:
    """Two nodes joined by a pipe of conductance 2, each beside a bath."""
    graph = Graph(Relation.from_edges([0, 1], [1, 0], 2, 2), weight=torch.tensor([2.0, 2.0], dtype=F64))
    term = Diffusion(graph) + Robin(torch.tensor([0]), 1.0, 6.0) + Robin(torch.tensor([1]), 4.0, 0.0)
    found = steady(term, torch.zeros(2, 1, dtype=F64)).value[:, 0]
    q = 6.0 / (1 / 1.0 + 1 / 2.0 + 1 / 4.0)
    assert found.tolist() == pytest.approx([6 - q, q / 4], abs=1e-12)


def test_gradients_for_coefficient_inflow_and_places() -> None:
    mesh = random_square(2, seed=1)

    def solved(a: Tensor, g: Tensor, points: Tensor) -> Tensor:
        space = Space(mesh.with_points(points))
        return steady(Diffusion(space) + Robin("left", a, g) + Robin("right", 1.0), zeros(space)).value

    a, g = (torch.tensor([v], dtype=F64, requires_grad=True) for v in (1.3, 0.4))
    assert torch.autograd.gradcheck(solved, (a, g, mesh.points.clone().requires_grad_()), atol=1e-7)


def test_what_is_refused() -> None:
    space = Space(random_square(3, seed=1))

    def bound(condition: Robin) -> System:
        return System(Diffusion(space) + condition, None, torch.zeros((), dtype=F64))

    with pytest.raises(ConditionError, match="Robin condition on 'left' is -1 somewhere, expected a >= 0"):
        bound(Robin("left", -1.0))
    with pytest.raises(ConditionError, match="changes in time, expected one constant in time; put the time into g"):
        bound(Robin("left", lambda x, t: 1 + t))
    with pytest.raises(ConditionError, match="is not finite"):
        bound(Robin("left", float("nan")))
    with pytest.raises(ConditionError, match="is not finite"):
        bound(Robin("left", 1.0, float("inf")))
    with pytest.raises(UnknownName, match="'lft'"):
        bound(Robin("lft", 1.0))


def test_its_inflow_is_looked_at_when_the_run_begins() -> None:
    space = Space(random_square(3, seed=1))

    def bound(g: Callable[[Tensor, Tensor], Tensor]) -> System:
        return System(Diffusion(space) + Robin("left", 1.0, g), None, torch.ones((), dtype=F64))

    bound(lambda x, t: 1 / t + 0 * x[:, 0])
    with pytest.raises(ConditionError, match="inflow on 'left' at t=1 is not finite"):
        bound(lambda x, t: 1 / (t - 1) + 0 * x[:, 0])


@pytest.mark.parametrize("form", ["nonlinear diffusion", "p-laplacian"])
def test_beside_a_form(form: str) -> None:
    """The exchange alone is singular, and Newton's method goes on without it; exact integrals of the flux."""
    space = Space(interval(60))
    if form == "p-laplacian":
        found = steady(PLaplacian(space, 2.0) + Robin("left", 1.0, 2.0) + Dirichlet("right", 0.0), zeros(space)).value
        assert torch.allclose(found[:, 0], 1 - space.pos[:, 0], atol=1e-9)
        return
    found = steady(NonlinearDiffusion(space) + Robin("left", 1.0, 2.0) + Dirichlet("right", 0.0), zeros(space)).value
    u = found[:, 0]
    left = float(u[space.pos[:, 0].argmin()])
    assert left + left**3 / 3 == pytest.approx(2 - left, abs=1e-3)  # flux on both sides of the left end


def test_periodic_sides_take_no_flux() -> None:
    space = Space(rectangle(4, 4), periodic=[("left", "right")])
    for condition in (Neumann("left", 1.0), Robin("right", 1.0)):
        with pytest.raises(ConditionError, match="acts on 4 facets of periodic sides, which are joined"):
            System(Diffusion(space) + condition, None, torch.zeros((), dtype=F64))
    everywhere = System(Diffusion(space) + Neumann(lambda x: x[:, 0] > -1, 1.0), None, torch.zeros((), dtype=F64))
    assert float(everywhere(torch.zeros((), dtype=F64), zeros(space)).sum()) == pytest.approx(2.0)


def test_rows_are_for_nodes() -> None:
    space = Space(random_square(3, seed=1))
    with pytest.raises(ConditionError, match="has 8 rows, but facets are integrated at points of their own"):
        Neumann("left", torch.ones(8, 1, dtype=F64)).bind(space)
