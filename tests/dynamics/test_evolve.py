"""The one time loop: what it accepts, how many steps it takes, what it hands over, and derivatives through it."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import BackwardEuler, CrankNicolson, Euler, Rk4, Stepper, evolve
from graphpde.errors import ConditionError, InputError, ShapeError, UnknownName
from graphpde.mesh import Space, interval, jittered, random_square
from graphpde.ops import Advection, Diffusion, Dirichlet, Neumann, Reaction, Source
from graphpde.ops.term import Sum, Term


def decay(t: Tensor, u: Tensor) -> Tensor:
    return -u


def one() -> Tensor:
    return torch.ones(1, 1, dtype=torch.float64)


def path_graph(n: int) -> Graph:
    """0 - 1 - ... - n-1 with unit weights, at 0, 1, ... on a line."""
    a = torch.arange(n - 1)
    edges = Relation.from_edges(torch.cat([a, a + 1]), torch.cat([a + 1, a]), n, n)
    return Graph(edges, pos=torch.arange(n, dtype=torch.float64)[:, None])


# what it accepts


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], r"times has shape \[0\], expected \[s\] with s >= 1"),
        (0.5, r"times has shape \[\], expected \[s\] with s >= 1"),
        ([[0.0, 1.0]], r"times has shape \[1, 2\], expected \[s\]"),
        ([0.0, float("nan")], r"times holds non-finite values, expected increasing finite times"),
        ([0.0, float("inf")], r"times holds non-finite values"),
        ([0.0, 1.0, 1.0], r"times must increase, got 1 followed by 1"),
        ([0.0, 2.0, 1.0, 0.5], r"times must increase, got 2 followed by 1"),
    ],
)
def test_times_are_checked(times: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evolve(decay, one(), times, stepper=Euler())


@pytest.mark.parametrize(
    ("dt", "message"),
    [
        (0.0, r"dt = 0, expected a finite step > 0"),
        (-0.1, r"dt = -0\.1, expected a finite step > 0"),
        (float("nan"), r"dt = nan, expected a finite step > 0"),
        (float("inf"), r"dt = inf, expected a finite step > 0"),
        (torch.tensor(0.1), r"dt is a Tensor, expected a number; for a gradient in time let times require it"),
        ("0.1", r"dt is a str, expected a number"),
    ],
)
def test_dt_is_checked(dt: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evolve(decay, one(), [0.0, 1.0], stepper=Euler(), dt=dt)


def with_nan() -> Tensor:
    u = torch.ones(4, 2, dtype=torch.float64)
    u[2, 1] = float("nan")
    u[3, 0] = float("inf")
    return u


@pytest.mark.parametrize(
    ("u0", "message"),
    [
        (torch.ones(1, 1, dtype=torch.int64), r"the initial state has type torch\.int64, expected a floating-point"),
        (torch.ones(1, 1, dtype=torch.bool), r"the initial state has type torch\.bool, expected a floating-point"),
        (with_nan(), r"the initial state has 2 non-finite values, first at node 2"),
        ((), r"the initial state holds no tensors"),
        ((1.0, 2.0), r"the initial state has type float, expected a floating-point tensor"),
    ],
)
def test_initial_states_are_checked(u0: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        evolve(decay, u0, [0.0, 1.0], stepper=Euler())


@pytest.mark.parametrize("shape", [(4, 1), (5,), (5, 6, 1)])
def test_one_row_for_each_node(shape: tuple[int, ...]) -> None:
    heat = Diffusion(path_graph(5))
    with pytest.raises(ShapeError, match=r"the state has shape \[.*\], expected \[\*, 5, c\]: one row per node of"):
        evolve(heat, torch.zeros(shape, dtype=torch.float64), [0.0, 0.1], stepper=Euler())


def test_as_many_channels_as_coefficients() -> None:
    heat = Diffusion(path_graph(5), torch.ones(1, 3, dtype=torch.float64))
    with pytest.raises(ShapeError, match=r"the coefficients have 3 channels, the state has 2"):
        evolve(heat, torch.zeros(5, 2, dtype=torch.float64), [0.0, 0.1], stepper=BackwardEuler())


def test_a_stepper_by_name_is_the_one_with_its_defaults() -> None:
    for name, stepper in (("backward_euler", BackwardEuler()), ("rk4", Rk4())):
        named, given = (evolve(decay, one(), [0.0, 1.0], stepper=s, dt=0.25) for s in (name, stepper))
        assert torch.equal(named.states, given.states)


@pytest.mark.parametrize(
    ("stepper", "error", "message"),
    [
        ("backward_eular", UnknownName, r"unknown stepper 'backward_eular'; known: .*did you mean 'backward_euler'\?"),
        (
            BackwardEuler,
            InputError,
            r"stepper is the class BackwardEuler, expected an object such as CrankNicolson\(\)",
        ),
        (0.1, InputError, r"stepper is 0\.1, expected an object such as CrankNicolson\(\) or a name: 'crank_nicolson'"),
        (None, InputError, r"stepper is None, expected an object"),
    ],
)
def test_what_is_no_stepper_is_refused(stepper: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        evolve(decay, one(), [0.0, 1.0], stepper=stepper)


# the steps it takes


def test_without_a_step_length_each_interval_is_one_step() -> None:
    """As documented, and counted: u = 1 / (1 + t) for backward Euler, not exp(-t)."""
    run = evolve(decay, one(), [0.0, 2.0], stepper=BackwardEuler())
    assert run.statistics["accepted"] == 1 and float(run.final) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("times", "dt", "steps"),
    [
        ([0.0], 0.1, 0),
        ([0.0, 1.0], None, 1),
        ([0.0, 1.0, 1.5], None, 2),
        ([0.0, 1.0], 0.1, 10),  # although 1 / 0.1 rounds upwards for some tenths, no eleventh step
        ([0.0, 0.3], 0.1, 3),
        ([0.0, 1.0], 0.3, 4),
        ([0.0, 0.1, 0.35], 0.1, 4),  # each interval on its own: 1 + 3
        ([0.0, 1.0], 5.0, 1),
        ([2.0, 2.0 + 7 * 0.1], 0.1, 7),
        ([1e6, 1e6 + 1.0], 0.01, 100),
        ([0.0, 1.0], 1 / 3, 3),
    ],
)
def test_number_of_steps(times: list[float], dt: float | None, steps: int) -> None:
    seen: list[float] = []

    def f(t: Tensor, u: Tensor) -> Tensor:
        seen.append(float(t))
        return -u

    run = evolve(f, one(), times, stepper=Euler(), dt=dt)
    assert run.steps == steps == len(seen)
    assert run.times.tolist() == times
    expected = 1.0
    for a, b in itertools.pairwise(times):
        count = 1 if dt is None else math.ceil((b - a) / dt - 1e-9)
        expected *= (1 - (b - a) / count) ** count
    assert float(run.final) == pytest.approx(expected, rel=1e-12)


def test_steps_are_equal_and_start_where_they_should() -> None:
    seen: list[float] = []

    def f(t: Tensor, u: Tensor) -> Tensor:
        seen.append(float(t))
        return torch.ones_like(u)

    run = evolve(f, 0 * one(), [1.0, 2.0, 2.5], stepper=Euler(), dt=0.3)
    assert seen == pytest.approx([1.0, 1.25, 1.5, 1.75, 2.0, 2.25], rel=1e-15)
    assert run.states.flatten().tolist() == pytest.approx([0.0, 1.0, 1.5], rel=1e-15)


def test_time_is_a_0d_tensor_in_double_precision() -> None:
    seen: list[Tensor] = []

    def f(t: Tensor, u: Tensor) -> Tensor:
        seen.append(t)
        return -u

    evolve(f, one().float(), [0, 1], stepper=Rk4(), dt=0.5)
    assert all(t.shape == () and t.dtype == torch.float64 for t in seen)


# bare callables and domains


def test_a_callable_needs_no_domain() -> None:
    u0 = torch.tensor([[1.0], [2.0]], dtype=torch.float64)
    run = evolve(decay, u0, [0.0, 1.0], stepper=Rk4(), dt=0.01)
    assert run.domain is None
    assert torch.allclose(run.final, u0 * math.exp(-1), rtol=1e-9)


@pytest.mark.parametrize("stepper", [Rk4(), CrankNicolson()], ids=["rk4", "crank_nicolson"])
def test_a_callable_on_a_domain_returns_a_rate(stepper: Stepper) -> None:
    """u' = -u on a space: the mass cancels, nodes stay independent of their size, and conditions bind."""
    space = Space(jittered(interval(6), 0.2, seed=1))
    u0 = 1 + space.pos
    run = evolve(decay, u0, [0.0, 1.0], stepper=stepper, dt=0.01, domain=space)
    assert run.domain is space
    assert torch.allclose(run.final, u0 * math.exp(-1), rtol=1e-4)
    held = evolve(Sum.of(decay, Dirichlet("left", 3.0)), u0, [0.0, 1.0], stepper=stepper, dt=0.01, domain=space).final
    left = space.nodes_of("left")
    assert held[left].flatten().tolist() == [3.0]
    free = torch.ones(space.n, dtype=torch.bool)
    free[left] = False
    assert torch.allclose(held[free], run.final[free], rtol=1e-9)


def test_a_callable_on_a_domain_is_checked_against_it() -> None:
    with pytest.raises(ShapeError, match=r"expected \[\*, 5, c\]"):
        evolve(decay, one(), [0.0, 1.0], stepper=Euler(), domain=path_graph(5))


def test_conditions_need_a_domain() -> None:
    with pytest.raises(ConditionError, match=r"the condition on 'left' needs a domain; add a term that has one or"):
        evolve(Reaction(lambda u: -u) + Dirichlet("left", 0.0), one(), [0.0, 1.0], stepper=Euler())


def test_the_domain_of_the_terms_wins() -> None:
    graph, other = path_graph(5), path_graph(7)
    run = evolve(Diffusion(graph), torch.ones(5, 1, dtype=torch.float64), [0.0, 0.1], stepper=Euler(), domain=other)
    assert run.domain is graph


def test_what_is_no_term_is_refused() -> None:
    with pytest.raises(InputError, match=r"got float, expected a Term, a condition or a callable \(t, u\)"):
        evolve(3.0, one(), [0.0, 1.0], stepper=Euler())


# every run builds its system anew


@pytest.mark.parametrize("stepper", [Rk4(), BackwardEuler()], ids=["rk4", "backward_euler"])
def test_a_changed_parameter_changes_the_next_run(stepper: Stepper) -> None:
    graph = path_graph(5)
    u0 = torch.eye(5, 1, dtype=torch.float64)
    kappa = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
    heat = Diffusion(graph, kappa)

    def final() -> Tensor:
        return evolve(heat, u0, [0.0, 1.0], stepper=stepper, dt=0.1).final.detach()

    before = final()
    with torch.no_grad():
        kappa.mul_(2)
    after = final()
    fresh = evolve(Diffusion(graph, 1.0), u0, [0.0, 1.0], stepper=stepper, dt=0.1).final
    assert torch.allclose(after, fresh, rtol=1e-13)
    assert float((after - before).abs().max()) > 0.05


class Lagged(Term):
    """u' = -rate u, the rate being frozen at the mean of the state before each step."""

    def __init__(self, rate: Tensor | None = None):
        super().__init__()
        self.frozen = rate

    def at(self, t: Tensor, u: Tensor) -> Term:
        return Lagged(u.mean())

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        assert self.frozen is not None, "used before it was frozen"
        return -self.frozen * u


@pytest.mark.parametrize("stepper", [Euler(), BackwardEuler()], ids=["euler", "backward_euler"])
def test_terms_are_frozen_once_a_step(stepper: Stepper) -> None:
    u = torch.tensor([[1.0], [3.0]], dtype=torch.float64)
    run = evolve(Lagged(), u, [0.0, 0.4], stepper=stepper, dt=0.1)
    for _ in range(4):
        rate = u.mean()
        u = u * (1 - 0.1 * rate) if isinstance(stepper, Euler) else u / (1 + 0.1 * rate)
    assert torch.allclose(run.final, u, rtol=1e-9)


# derivatives by finite differences

STEPPERS = {"backward_euler": BackwardEuler, "crank_nicolson": CrankNicolson, "rk4": Rk4}
# Newton's method stops at 1e-10 of a step, which central differences over 2e-5 turn into 5e-6 at worst
CHECK = {"eps": 1e-5, "atol": 1e-6, "rtol": 1e-5, "nondet_tol": 1e-10, "fast_mode": True}


def parameter(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, requires_grad=True)


def reaction(u: Tensor) -> Tensor:
    return u - u**3


def everything(space: Space, kappa: Tensor, value: Tensor, inflow: Tensor, source: Tensor, nonlinear: bool) -> Any:
    terms = Diffusion(space, kappa) + Source(space, lambda x, t: source * torch.cos(t) * x.sum(1))
    terms = terms + Dirichlet("left", lambda x, t: value * (1 + t) + 0 * x[:, 0])
    terms = terms + Neumann("right", lambda x, t: inflow * (1 + t) * (1 + x[:, 0]))
    return terms + Reaction(reaction) if nonlinear else terms


@pytest.mark.grad
@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.parametrize("nonlinear", [False, True], ids=["linear lumped", "reaction consistent"])
def test_gradients_with_everything_at_once(name: str, nonlinear: bool) -> None:
    space = Space(jittered(interval(4), 0.2, seed=1), lumped=not nonlinear)
    kappa = torch.tensor([0.02, 0.05, 0.03, 0.04], dtype=torch.float64, requires_grad=True)
    u0 = torch.sin(2 * space.pos).requires_grad_()

    def run(u: Tensor, times: Tensor, k: Tensor, value: Tensor, inflow: Tensor, source: Tensor) -> Tensor:
        terms = everything(space, k, value, inflow, source, nonlinear)
        return evolve(terms, u, times, stepper=STEPPERS[name](), dt=0.12).states

    inputs = (u0, parameter(0.0, 0.2, 0.3), kappa, parameter(0.4), parameter(0.3), parameter(0.7))
    assert torch.autograd.gradcheck(run, inputs, **CHECK)


@pytest.mark.grad
@pytest.mark.parametrize("name", STEPPERS)
@pytest.mark.parametrize("nonlinear", [False, True], ids=["linear", "reaction"])
def test_gradients_of_constant_tensors(name: str, nonlinear: bool) -> None:
    """Dirichlet, Neumann and source given as tensors, two channels, a factor on a term, and a square."""
    space = Space(random_square(2, seed=1))
    u0 = torch.cat([space.pos[:, :1], space.pos[:, 1:] ** 2], 1).requires_grad_()

    def run(u: Tensor, factor: Tensor, value: Tensor, inflow: Tensor, source: Tensor) -> Tensor:
        terms = factor * Diffusion(space, 0.02) + Source(space, source) + Neumann("right", inflow)
        terms = terms + Dirichlet("left", value)
        if nonlinear:
            terms = terms + Reaction(reaction)
        return evolve(terms, u, [0.0, 0.2], stepper=STEPPERS[name](), dt=0.1).final

    inputs = (u0, torch.tensor(1.3, dtype=torch.float64, requires_grad=True))
    assert torch.autograd.gradcheck(
        run, (*inputs, parameter(0.4, 0.1), parameter(0.3, 0.2), parameter(0.7, -0.1)), **CHECK
    )


@pytest.mark.grad
@pytest.mark.parametrize("name", STEPPERS)
def test_gradients_on_a_graph(name: str) -> None:
    """Conductivities of both directions of an edge are one parameter; loads are given node by node."""
    graph = path_graph(5)
    src, dst = graph.edges.pairs()
    line = torch.minimum(src, dst)
    u0 = torch.tensor([[0.3], [-0.2], [0.9], [0.1], [0.5]], dtype=torch.float64, requires_grad=True)

    def run(u: Tensor, kappa: Tensor, value: Tensor, source: Tensor) -> Tensor:
        terms = Diffusion(graph, kappa[line]) + Source(graph, source) + Reaction(reaction)
        terms = terms + Dirichlet([0, 4], value[:, None])
        return evolve(terms, u, [0.0, 0.3], stepper=STEPPERS[name](), dt=0.1).final

    inputs = (u0, parameter(0.3, 0.6, 0.2, 0.5), parameter(0.2, 0.7), parameter(0.1, 0.2, 0.3, 0.4, 0.5))
    assert torch.autograd.gradcheck(run, inputs, **CHECK)


@pytest.mark.grad
@pytest.mark.parametrize("name", STEPPERS)
def test_gradients_with_a_matrix_that_is_not_symmetric(name: str) -> None:
    """The adjoint of an implicit step solves with the transpose, which advection tells from the matrix itself."""
    space = Space(random_square(3, seed=1))
    wind = torch.tensor([0.5, 0.2], dtype=torch.float64)
    u0 = space.pos[:, :1].clone().requires_grad_()

    def run(u: Tensor, kappa: Tensor) -> Tensor:
        terms = Diffusion(space, kappa) + Advection(space, wind) + Dirichlet("left", 1.0) + Reaction(reaction)
        return evolve(terms, u, [0.0, 0.2], stepper=STEPPERS[name](), dt=0.1).final

    assert torch.autograd.gradcheck(run, (u0, parameter(0.05)), **CHECK)


@pytest.mark.grad
@pytest.mark.parametrize("method", ["direct", "cg", "gmres"])
@pytest.mark.parametrize("nonlinear", [False, True], ids=["linear", "reaction"])
def test_gradients_do_not_depend_on_the_linear_solver(method: str, nonlinear: bool) -> None:
    space = Space(random_square(4, seed=1))

    def gradient(method: str) -> Tensor:
        kappa = parameter(0.05)
        terms: Any = Diffusion(space, kappa) + Dirichlet("left", 1.0)
        if nonlinear:
            terms = terms + Reaction(reaction)
        stepper = CrankNicolson(method=method, rtol=1e-13)
        run = evolve(terms, space.pos[:, 1:], [0.0, 1.0], stepper=stepper, dt=0.4)
        return torch.autograd.grad((run.final**2).sum(), kappa)[0]

    assert torch.allclose(gradient(method), gradient("auto"), rtol=1e-9)


@pytest.mark.grad
def test_second_derivatives_through_explicit_steps() -> None:
    graph = path_graph(4)

    def run(kappa: Tensor, u: Tensor) -> Tensor:
        terms = Diffusion(graph, kappa) + Reaction(reaction) + Dirichlet([0], 0.3)
        return evolve(terms, u, [0.0, 0.2], stepper=Rk4(), dt=0.1).final

    u0 = torch.tensor([[0.3], [-0.2], [0.9], [0.1]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(run, (parameter(0.3), u0), atol=1e-6, nondet_tol=1e-10)


def test_no_gradient_is_kept_where_none_is_asked_for() -> None:
    space = Space(random_square(3, seed=1))
    terms = Diffusion(space) + Reaction(reaction) + Dirichlet("left", lambda x, t: torch.sin(t))
    for stepper in (Rk4(), BackwardEuler()):
        final = evolve(terms, space.pos[:, :1], [0.0, 0.01], stepper=stepper, dt=0.001).final
        assert not final.requires_grad
