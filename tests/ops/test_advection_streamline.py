"""Streamline upwinding: exact cases, consistency of every part of the residual, order, layers, gradients."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import evolve
from graphpde.dynamics.implicit import BackwardEuler, CrankNicolson
from graphpde.dynamics.steady import steady
from graphpde.errors import InputError
from graphpde.mesh import CellSpace, Space, interval, jittered, random_square, rectangle, refine
from graphpde.ops import (
    CentredAdvection,
    Diffusion,
    Dirichlet,
    Neumann,
    Reaction,
    Source,
    StreamlineUpwind,
    Sum,
    System,
)

F64 = torch.float64
T0 = torch.tensor(0.0, dtype=F64)
WIND = torch.tensor([0.8, 0.5], dtype=F64)


def zeros(space: Space) -> Tensor:
    return torch.zeros(space.n, 1, dtype=F64)


@pytest.mark.parametrize("kappa", [1e-4, 1e-2, 0.3])
def test_exact_at_the_nodes_of_an_interval(kappa: float) -> None:
    """The boundary layer exp((x - 1)/kappa) at any Peclet number: what the optimal tau is made for."""
    space = Space(interval(10))
    term = StreamlineUpwind(space, [1.0], kappa) + Dirichlet("left", 0.0) + Dirichlet("right", 1.0)
    x = space.pos[:, 0]
    exact = (torch.exp((x - 1) / kappa) - math.exp(-1 / kappa)) / (1 - math.exp(-1 / kappa))
    assert torch.allclose(steady(term, zeros(space)).value[:, 0], exact, atol=1e-13)


@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_linear_solutions_are_exact_in_space_and_time(cells: str) -> None:
    """u = 2 t + 3 x - y solves with f = 2 + v . (3, -1): rate, flow and source are all tested alike."""
    space = Space(jittered(rectangle(5, 5, cells=cells), 0.2, seed=1))

    def exact(x: Tensor, t: Any) -> Tensor:
        return (2 * t + 3 * x[:, 0] - x[:, 1])[:, None]

    term = StreamlineUpwind(space, WIND, 1e-3, source=2 + 3 * 0.8 - 0.5) + Dirichlet("boundary", exact)
    run = evolve(term, exact(space.pos, 0.0), [0.0, 0.4], dt=0.1, stepper=CrankNicolson())
    assert torch.allclose(run.states[-1], exact(space.pos, 0.4), atol=1e-11)


def test_density_weighs_the_rate() -> None:
    """rho u' + v . grad u = f with the same linear solution, exact; the mass of all is that of the space."""
    space = Space(jittered(rectangle(5, 5), 0.2, seed=1), density=3.0)

    def exact(x: Tensor, t: Any) -> Tensor:
        return (2 * t + 3 * x[:, 0] - x[:, 1])[:, None]

    term = StreamlineUpwind(space, WIND, 1e-3, source=3 * 2 + 3 * 0.8 - 0.5)
    assert float(term.mass.matvec(zeros(space) + 1).sum()) == pytest.approx(float(space.mass.sum()), rel=1e-13)
    run = evolve(term + Dirichlet("boundary", exact), exact(space.pos, 0.0), [0, 0.4], dt=0.1, stepper=CrankNicolson())
    assert torch.allclose(run.states[-1], exact(space.pos, 0.4), atol=1e-11)
    half = rectangle(4, 4)
    half = Space(half.with_tags(heavy=half.make_tag(2, range(16))), density={"heavy": 5.0, "*": 1.0})
    still = StreamlineUpwind(half, torch.zeros(2), 1.0).mass.matvec(zeros(half) + 1)[:, 0]
    assert torch.allclose(still, half.mass)


def test_its_mass_is_that_of_the_sum() -> None:
    """A reaction beside it is weighted by the same test functions; two such masses exclude each other."""
    space = Space(random_square(4, seed=1))
    term = StreamlineUpwind(space, WIND)
    decay = Reaction(lambda u: -u)
    for f in (decay + term, term + decay):
        assert System(f, None, T0).mass is term.mass and Sum.of(f).mass is term.mass
    assert System(Diffusion(space) + term, None, T0).mass is term.mass
    assert not torch.allclose(term.mass.matvec(zeros(space) + 1), space.measure[:, None])
    with pytest.raises(InputError, match="each bring a mass"):
        System(term + StreamlineUpwind(space, 2 * WIND), None, T0)


def test_without_flow_it_is_diffusion() -> None:
    space = Space(random_square(4, seed=1))
    still = StreamlineUpwind(space, torch.zeros(2), 0.7).operator.to_scipy()
    assert abs(still - Diffusion(space, 0.7).operator.to_scipy()).max() <= 1e-15


def test_all_of_it_moves() -> None:
    term = StreamlineUpwind(Space(random_square(3, seed=1)), WIND, 0.1, source=lambda x, t: t * x[:, :1])
    double = term(T0 + 1, term.domain.pos[:, :1])
    u = term.to(torch.float32).domain.pos[:, :1]
    assert u.dtype == term.operator.weight.dtype == term.mass.weight.dtype == term.mass.diag.dtype == torch.float32
    assert term.load(T0 + 1, u).dtype == term._rule.weight.dtype == torch.float32
    assert torch.allclose(term(torch.tensor(1.0), u).double(), double, atol=1e-6)


@pytest.mark.parametrize("by_set", [False, True])
def test_learned_coefficients_are_never_kept(by_set: bool) -> None:
    """Single precision, first seen without gradients: the gradient arrives, and an update is noticed."""
    space = Space(random_square(3, seed=1))
    kappa = torch.nn.Parameter(torch.tensor(0.1))
    with torch.no_grad():
        term = StreamlineUpwind(space, WIND, {"*": kappa} if by_set else kappa, source=1.0)
        before = term(T0, space.pos[:, :1].square())
    assert len(term.tensors()) == 2 and any(w is kappa for w in term.tensors())
    for _ in range(2):
        term(T0, space.pos[:, :1].square()).square().sum().backward()
    assert kappa.grad is not None and float(kappa.grad.abs()) > 0
    with torch.no_grad():
        kappa += 1
    fresh = StreamlineUpwind(space, WIND, kappa.detach(), source=1.0)(T0, space.pos[:, :1].square())
    assert torch.allclose(term(T0, space.pos[:, :1].square()), fresh, atol=1e-14) and not torch.allclose(before, fresh)


def test_a_learned_network_is_among_its_tensors() -> None:
    flow = torch.nn.Linear(2, 2, dtype=F64)
    term = StreamlineUpwind(Space(rectangle(2, 2)), flow, 0.1)
    assert {id(w) for w in term.tensors()} == {id(w) for w in flow.parameters()}


def wave(x: Tensor, t: Any = None) -> Tensor:
    return torch.sin(2 * x[:, :1] + x[:, 1:])


def wave_source(kappa: float) -> Any:
    return lambda x, t: 2.1 * torch.cos(2 * x[:, :1] + x[:, 1:]) + 5 * kappa * wave(x)


@pytest.mark.orders
@pytest.mark.parametrize("kappa", [1e-4, 1.0])
@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_order_two(cells: str, kappa: float) -> None:
    """Second order less a tenth, dominated by the flow or by diffusion, on a random mesh refined uniformly."""
    mesh, errors = jittered(rectangle(4, 4, cells=cells), 0.2, seed=2), []
    for _ in range(5 if cells == "triangle" else 4):
        space = Space(mesh)
        term = StreamlineUpwind(space, WIND, kappa, source=wave_source(kappa)) + Dirichlet("boundary", wave)
        errors.append(float(space.norm(steady(term, zeros(space)).value - wave(space.pos))))
        mesh = refine(mesh)
    assert math.log2(errors[-2] / errors[-1]) >= 1.9
    assert errors[-1] < 2e-3


def test_layers_do_not_ring() -> None:
    """Flow against a wall at cell Peclet number 50: Galerkin rings through the domain, this stays within 15 %."""
    space = Space(rectangle(16, 16))
    ends = {}
    for name, term in (
        ("supg", StreamlineUpwind(space, [1.0, 0.0], 1e-3)),
        ("galerkin", CentredAdvection(space, [1.0, 0.0]) + Diffusion(space, 1e-3)),
    ):
        u = steady(term + Dirichlet("left", 1.0) + Dirichlet("right", 0.0), zeros(space)).value
        ends[name] = float((u - 1)[space.pos[:, 0] < 0.9].abs().max())
    assert ends["supg"] < 0.15 < 0.5 < ends["galerkin"]


def test_materials_and_sources_in_time() -> None:
    mesh = rectangle(4, 4)
    mesh = mesh.with_tags(hot=mesh.make_tag(2, [0, 1]))
    space = Space(mesh)
    assert StreamlineUpwind(space, WIND, {"hot": 2.0, "*": 1.0}).kappa[:3].tolist() == [2.0, 2.0, 1.0]
    ramp = StreamlineUpwind(space, WIND, 1.0, source=lambda x, t: t + 0 * x[:, 0])
    assert torch.allclose(ramp.load(T0 + 3, zeros(space)), 3 * ramp.load(T0 + 1, zeros(space)))
    total = ramp.load(T0 + 1, zeros(space)).sum()
    assert float(total) == pytest.approx(1.0)  # the streamline parts of all test functions sum to zero


def test_gradients() -> None:
    mesh = jittered(rectangle(2, 2), 0.2, seed=4)

    def f(velocity: Tensor, kappa: Tensor, source: Tensor, points: Tensor) -> Tensor:
        space = Space(mesh.with_points(points))
        terms = StreamlineUpwind(space, velocity, kappa, source=source) + Dirichlet("left", 1.0)
        return evolve(terms, space.pos[:, :1], [0.0, 0.1], stepper=BackwardEuler()).states[-1]

    rng = torch.Generator().manual_seed(1)
    given = (
        torch.randn(8, 2, dtype=F64, generator=rng),
        torch.rand(8, dtype=F64, generator=rng) + 0.01,
        T0[None] + 0.7,
    )
    inputs = (*(x.clone().requires_grad_() for x in given), mesh.points.clone().requires_grad_())
    assert torch.autograd.gradcheck(f, inputs, fast_mode=True)


def test_a_source_beside_it_is_refused() -> None:
    space = Space(rectangle(3, 3))
    term, plain = StreamlineUpwind(space, WIND, 0.1), Source(space, 1.0)
    for f in (term + plain, 2 * plain + term):
        with pytest.raises(InputError, match=r"give it as StreamlineUpwind\(\.\.\., source=f\)"):
            System(f + Dirichlet("left", 0.0), None, T0)
    System(term + Neumann("right", 1.0) + Dirichlet("left", 0.0), None, T0)  # through the boundary is another matter
    System(Diffusion(space) + plain, None, T0)


def test_refusals() -> None:
    with pytest.raises(InputError, match="take LimitedAdvection"):
        StreamlineUpwind(CellSpace(interval(3)), [1.0])
    with pytest.raises(InputError, match="kappa is negative or not finite in 3 cells"):
        StreamlineUpwind(Space(interval(3)), [1.0], -1.0)
