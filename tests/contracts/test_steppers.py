"""Every registered stepper: its declared order on nonlinear problems, its stability interval, gradients and batches."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from graphpde.dynamics import STEPPERS, Event, SaveDense, Stepper, evolve
from graphpde.dynamics.explicit import TABLEAUS, RungeKutta, _bend
from graphpde.dynamics.exponential import Exponential
from graphpde.dynamics.imex import PAIRS
from graphpde.errors import InputError
from graphpde.mesh import Space, interval, jittered, random_square
from graphpde.ops import Diffusion, Dirichlet, Neumann, Reaction, Source, System

ANY = [name for name, stepper in STEPPERS.items() if stepper.accepts == "any"]
EXPLICIT = [name for name in ANY if math.isfinite(STEPPERS[name]().real_extent())]
STIFF = [name for name in ANY if STEPPERS[name].stiff == "all"]
SPLIT = ("strang", "lie")  # without a linear part they are the method of their nonlinear part
UNDAMPED = ("crank_nicolson", "implicit_midpoint")
KRYLOV = [name for name, stepper in STEPPERS.items() if issubclass(stepper, Exponential)]
RUNGE_KUTTA = [name for name, stepper in STEPPERS.items() if issubclass(stepper, RungeKutta)]
START = torch.tensor(0.0, dtype=torch.float64)


def last_orders(errors: list[float]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(errors)]


# declared order


def rotation(t: Tensor, u: Tensor) -> Tensor:
    """Nonlinear, two channels, and time on its own: u' = (1 + cos(t) / 2) |u|^2 J u, a quarter turn ahead at J u."""
    x, y = u.unbind(-1)
    speed = (1 + 0.5 * torch.cos(t)) * (x * x + y * y)
    return torch.stack([-speed * y, speed * x], -1)


def turned(angles: np.ndarray, t: float) -> np.ndarray:
    """The unit circle stays, and the angle grows by t + sin(t) / 2."""
    now = angles + t + 0.5 * math.sin(t)
    return np.stack([np.cos(now), np.sin(now)], 1)


def rotation_error(stepper: Stepper, end: float, steps_a_unit: int) -> float:
    angles = np.linspace(0, 6, 8)
    u0 = torch.from_numpy(turned(angles, 0.0))
    term = Reaction(rotation, timed=True)  # pointwise, which spares implicit steppers a Krylov solve
    final = evolve(term, u0, [0.0, end], stepper=stepper, dt=1 / steps_a_unit).final
    return float(np.linalg.norm(final.numpy() - turned(angles, end)))


# end of the run and coarsest steps a unit of time: high orders reach rounding at once, so a long run lets their error
# grow well above it; methods of two steps, and one whose stages follow the step, come to their order later
RUNS = {1: (0.25, 64), 2: (0.25, 32), 3: (3.0, 48), 4: (3.0, 32), 5: (15.0, 48)}
RUNS_OF = {
    "bdf2": (0.5, 64),
    "sbdf2": (0.5, 64),
    "rkc2": (0.25, 256),
    "esdirk4": (0.5, 16),
    "ark3": (2.0, 64),
    "ark4": (1.0, 48),
}


@pytest.mark.orders
@pytest.mark.parametrize("name", ANY)
def test_declared_order_on_a_nonlinear_problem(name: str) -> None:
    stepper = STEPPERS[name]()
    end, coarse = RUNS_OF.get(name, RUNS[int(stepper.order)])
    orders = last_orders([rotation_error(stepper, end, coarse * 2**k) for k in range(3)])
    if name in SPLIT:
        assert min(orders) > stepper.order - 0.05
    else:
        assert orders == pytest.approx(
            [stepper.order] * 2, abs=0.1 if name in ("rkc2", "ark3", "ark4", "esdirk4") else 0.05
        )


def driven_rod() -> tuple[Any, Space, Tensor]:
    """Five unknowns with everything that moves in time: Dirichlet, Neumann and source, diffusion and a reaction."""
    space = Space(jittered(interval(5), 0.2, seed=1))
    terms = (
        Diffusion(space, 0.02)
        + Source(space, lambda x, t: 12 * x[:, 0] * torch.sin(12 * t))
        + Reaction(lambda u: u - u**3)
    )
    conditions = (
        Dirichlet("left", lambda x, t: 0.5 + torch.sin(12 * t)),
        Neumann("right", lambda x, t: torch.cos(12 * t)),
    )
    return terms + conditions[0] + conditions[1], space, torch.sin(2 * space.pos)


@cache
def rod_at_one() -> np.ndarray:
    """The same system of ordinary differential equations, written down anew for scipy."""
    _, space, u0 = driven_rod()
    h = np.diff(space.pos[:, 0].numpy())
    n = len(h) + 1
    x = np.concatenate([[0.0], np.cumsum(h)])
    a, mass = np.zeros((n, n)), np.zeros(n)
    for k, length in enumerate(h):
        a[k : k + 2, k : k + 2] += 0.02 / length * np.array([[1, -1], [-1, 1]])
        mass[k : k + 2] += length / 2
    load = np.zeros(n)  # the integral of x N_i, exact for two Gauss points
    for k, length in enumerate(h):
        load[k] += length * (2 * x[k] + x[k + 1]) / 6
        load[k + 1] += length * (x[k] + 2 * x[k + 1]) / 6

    def f(t: float, free: np.ndarray) -> np.ndarray:
        u = np.concatenate([[0.5 + math.sin(12 * t)], free])
        rate = -a @ u + 12 * load * math.sin(12 * t) + mass * (u - u**3)
        rate[-1] += math.cos(12 * t)
        return (rate / mass)[1:]

    free = solve_ivp(f, (0, 1), u0[1:, 0].numpy(), method="DOP853", rtol=1e-13, atol=1e-14).y[:, -1]
    return np.concatenate([[0.5 + math.sin(12)], free])


@pytest.mark.orders
@pytest.mark.parametrize("name", ANY)
def test_conditions_that_move_cost_no_order(name: str) -> None:
    stepper = STEPPERS[name]()
    terms, _, u0 = driven_rod()
    errors = []
    coarse = {"ark4": 256, "ark3": 128, "sbdf2": 128, "lie": 256}.get(name, 32 if stepper.implicit else 64)
    for steps in (coarse, 2 * coarse):
        final = evolve(terms, u0, [0.0, 1.0], stepper=stepper, dt=1 / steps).final
        errors.append(float(np.abs(final[:, 0].numpy() - rod_at_one()).max()))
    assert last_orders(errors)[0] > stepper.order - (
        0.1 if name in ("ark4", "lie") else 0.05
    )  # these two are still on their way


def test_declarations() -> None:
    for name, kind in STEPPERS.items():
        stepper = kind()
        assert stepper.name == name
        assert stepper.order > 0
        assert isinstance(stepper.implicit, bool)
        assert stepper.symplectic in ("no", "yes", "extended", "constrained")
        assert "Order" in (kind.__doc__ or "") or "order" in (kind.__doc__ or "")


# stiff decay


@pytest.mark.parametrize("name", STIFF)
def test_damping_of_infinitely_stiff_modes(name: str) -> None:
    """|R(-inf)|: 1 for the trapezoidal and the midpoint rule, 0 for the methods called L-stable."""
    stepper = STEPPERS[name]()
    expected = 1.0 if name in UNDAMPED else 0.0
    assert amplification(stepper, complex(-1e9)) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("name", [n for n in ANY if STEPPERS[n].stiff != "none"])
def test_stiff_diffusion_is_damped(name: str) -> None:
    """The linear part may be as stiff as it likes: rough data decay to their mean in ten long steps."""
    space = Space(interval(40))
    u0 = torch.cos(torch.arange(space.n, dtype=torch.float64) ** 2)[:, None]
    run = evolve(Diffusion(space), u0, [0.0, 20.0], stepper=STEPPERS[name](), dt=2.0)
    mean = space.integral(u0)
    if name in UNDAMPED:
        assert float(space.norm(run.final)) <= float(space.norm(u0))
    else:
        assert torch.allclose(run.final, mean.expand_as(run.final), atol=1e-3)


PROTHERO_ROBINSON = {  # order seen at dt lambda = -1e4 .. of the error at t = 1
    "backward_euler": 1.0, "crank_nicolson": 2.0, "sdirk2": 1.0, "tr_bdf2": 2.0, "bdf2": 2.0,
    "exp_rosenbrock": 1.0, "esdirk4": 2.0, "implicit_midpoint": 2.0,
}  # fmt: skip


@pytest.mark.orders
@pytest.mark.parametrize("name", STIFF)
def test_order_left_under_stiffness(name: str) -> None:
    """Prothero and Robinson 1974: u' = lambda (u - g(t)) + g'(t), u = g = sin(t): a method keeps its stage order."""
    rate = -1e6

    def pull(t: Tensor, u: Tensor) -> Tensor:
        return rate * (u - torch.sin(t)) + torch.cos(t)

    def error(steps: int) -> float:
        u0 = torch.zeros(1, 1, dtype=torch.float64)
        return abs(
            float(evolve(Reaction(pull, timed=True), u0, [0.0, 1.0], stepper=STEPPERS[name](), dt=1 / steps).final)
            - math.sin(1.0)
        )

    errors = [error(10), error(20), error(40)]
    assert last_orders(errors)[-1] > PROTHERO_ROBINSON[name] - 0.15


# between the steps


@pytest.mark.orders
@pytest.mark.parametrize("name", [*ANY, "reversible_heun"])
def test_dense_output_and_events_between_the_steps(name: str) -> None:
    """A turn by t + sin(t) / 2: its order at all times, and the times at which x = 0 as exact as x is."""

    def turn(t: Tensor, u: Tensor) -> Tensor:
        x, y = u.unbind(-1)
        return (1 + 0.5 * torch.cos(t)) * torch.stack([-y, x], -1)

    u0, errors, stepper = torch.tensor([[1.0, 0.0]], dtype=torch.float64), [], STEPPERS[name]()
    for steps in (48, 96):
        event = Event(lambda t, u: u[0, 0])
        how: Any = {"stepper": stepper, "dt": 4 / steps, "save": SaveDense(), "events": event}
        run = evolve(Reaction(turn, timed=True), u0, [0.0, 4.0], **how)
        at = [4 * (k + 0.37) / steps for k in range(steps)]
        exact = torch.from_numpy(np.stack([turned(np.zeros(1), t) for t in at]))
        errors.append(float((run.dense(torch.tensor(at, dtype=torch.float64)) - exact).abs().max()))
        passed = [float(o.t) for o in run.events]
        angles = [t + 0.5 * math.sin(t) for t in passed]  # the speed is at least 1/2
        assert angles == pytest.approx([math.pi / 2], abs=4 * errors[-1] + 1e-12)
    least = min(stepper.order, 4.0 if name in RUNGE_KUTTA and _bend(name) else 3.0)
    assert last_orders(errors)[-1] > least - 0.2


# algebraic order conditions by rooted trees


def rooted_trees(order: int) -> list[tuple[Any, ...]]:
    """Rooted trees with ``order`` vertices, a tree being the sorted tuple of its branches (Hairer et al., II.2)."""

    def forests(size: int, largest: tuple[Any, ...] | None) -> list[tuple[Any, ...]]:
        if size == 0:
            return [()]
        out = []
        for first in range(1, size + 1):
            for tree in rooted_trees(first):
                if largest is None or tree <= largest:
                    out += [(tree, *rest) for rest in forests(size - first, tree)]
        return out

    return forests(order - 1, None)


def density(tree: tuple[Any, ...]) -> int:
    return size(tree) * math.prod(density(branch) for branch in tree)


def size(tree: tuple[Any, ...]) -> int:
    return 1 + sum(size(branch) for branch in tree)


def elementary_weight(tree: tuple[Any, ...], a: list[list[Fraction]], b: list[Fraction]) -> Fraction:
    def stages(t: tuple[Any, ...]) -> list[Fraction]:
        out = [Fraction(1)] * len(b)
        for branch in t:
            inner = stages(branch)
            out = [o * sum(w * x for w, x in zip(row, inner)) for o, row in zip(out, a)]
        return out

    return sum((w * x for w, x in zip(b, stages(tree))), Fraction(0))


def rational(values: tuple[float, ...], width: int = 0) -> list[Fraction]:
    return [Fraction(v) for v in values] + [Fraction(0)] * (width - len(values))


def defects(order: int, name: str, b: list[Fraction]) -> list[float]:
    """How far the conditions of one order are missed by the coefficients as stored, in exact arithmetic."""
    a = [rational(row, len(b)) for row in TABLEAUS[name].a]
    return [abs(float(elementary_weight(t, a, b) - Fraction(1, density(t)))) for t in rooted_trees(order)]


STORED = 2e-14  # a coefficient is stored to 1.1e-16 of itself, and those of tsit5 reach 13


def test_there_are_as_many_trees_as_there_should_be() -> None:
    assert [len(rooted_trees(k)) for k in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_order_conditions(name: str) -> None:
    b = rational(TABLEAUS[name].b)
    order = int(STEPPERS[name].order)
    assert order == TABLEAUS[name].order
    for k in range(1, order + 1):
        assert max(defects(k, name, b)) <= STORED
    assert max(defects(order + 1, name, b)) > 1e-5  # no better than declared


@pytest.mark.parametrize("name", [n for n in RUNGE_KUTTA if TABLEAUS[n].error is not None])
def test_order_conditions_of_the_embedded_method(name: str) -> None:
    table = TABLEAUS[name]
    b = [Fraction(x) - Fraction(e) for x, e in zip(table.b, table.error or ())]
    order = table.order - 1
    for k in range(1, order + 1):
        assert max(defects(k, name, b)) <= STORED
    assert max(defects(order + 1, name, b)) > 1e-5


@pytest.mark.parametrize("name", [n for n in RUNGE_KUTTA if TABLEAUS[n].error is not None])
def test_error_estimate_has_the_order_of_the_embedded_method(name: str) -> None:
    stepper, f = STEPPERS[name](), System(rotation, None, START)
    u = torch.tensor([[0.9, -0.3]], dtype=torch.float64)
    sizes = []
    for dt in (0.1, 0.05, 0.025):
        error = stepper.step(f, START, dt, u, None).error
        assert error is not None
        sizes.append(float(error().norm()))
    assert last_orders(sizes)[-1] == pytest.approx(stepper.order, abs=0.15)


@pytest.mark.parametrize("name", PAIRS)
def test_coupling_conditions_of_implicit_explicit_pairs(name: str) -> None:
    """Every tree with each vertex drawn from either tableau, to order 3 (and 4 where declared: chains and bushes)."""
    pair = PAIRS[name]
    size_ = len(pair.b)
    both = [np.zeros((size_, size_)) for _ in range(2)]
    for a, table in zip(both, (pair.implicit, pair.explicit)):
        for i, row in enumerate(table):
            a[i, : len(row)] = row
    c = np.array(pair.c)
    for a in both:
        assert np.abs(a.sum(1) - c).max() <= STORED or (name == "ars222" or name == "ars443")
    order = int(STEPPERS[name].order)
    starts = [a.sum(1) for a in both]
    for b in (np.array(pair.implicit[-1]), np.array(pair.b)):
        assert abs(b.sum() - 1) <= STORED
        for x in starts:
            assert abs(b @ x - 1 / 2) <= STORED or order < 2
            if order >= 3:
                assert abs(b @ x**2 - 1 / 3) <= STORED
                assert all(abs(b @ a @ x - 1 / 6) <= STORED for a in both)
            if order >= 4:
                assert abs(b @ x**3 - 1 / 4) <= STORED
                assert all(abs((b * x) @ a @ x - 1 / 8) <= STORED for a in both)
                assert all(abs(b @ a @ x**2 - 1 / 12) <= STORED for a in both)
                assert all(abs(b @ a @ e @ x - 1 / 24) <= STORED for a in both for e in both)


# first same as last


class Counted:
    """A right-hand side that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, t: Tensor, u: Tensor) -> Tensor:
        self.calls += 1
        return rotation(t, u)


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_reuse_of_the_last_stage_changes_nothing(name: str) -> None:
    stepper, f = STEPPERS[name](), Counted()
    u0 = torch.tensor([[0.9, -0.3]], dtype=torch.float64)
    reused = evolve(f, u0, [0.0, 1.0], stepper=stepper, dt=0.1).final
    stages = len(TABLEAUS[name].b)
    spared = stages - 1 if TABLEAUS[name].first_same_as_last else stages
    assert f.calls == 10 * spared + (stages - spared)
    u, system = u0, System(rotation, None, START)
    for k in range(10):
        u = stepper.step(system, START + 0.1 * k, 0.1, u, None).u
    assert torch.allclose(reused, u, rtol=1e-14, atol=1e-15)  # stage times differ by rounding


def test_tableaus_that_allow_reuse_are_seen() -> None:
    assert {name for name, t in TABLEAUS.items() if t.first_same_as_last} == {"bosh3", "dopri5", "tsit5"}


# stability


def amplification(stepper: Stepper, z: complex) -> float:
    """|R(z)| from one step of length 1 on u' = z u, as a rotation of two channels."""
    block = torch.tensor([[z.real, -z.imag], [z.imag, z.real]], dtype=torch.float64)
    system = System(Reaction(lambda u: u @ block.T), None, START)
    u = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    return float(stepper.step(system, START, 1.0, u, stepper.init(system, START, u)).u.norm())


@pytest.mark.parametrize("name", EXPLICIT)
def test_real_extent_is_the_stability_interval(name: str) -> None:
    stepper = STEPPERS[name]()
    extent = stepper.real_extent()
    for y in np.linspace(0.01, 0.999, 40) * extent:
        assert amplification(stepper, complex(-y)) <= 1 + 1e-12
    assert amplification(stepper, complex(-1.002 * extent)) > 1


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_the_disc_over_the_stability_interval_is_stable(name: str) -> None:
    """Upwind operators have their eigenvalues in the disc that Gershgorin draws, not on the real axis."""
    stepper = STEPPERS[name]()
    radius = 0.998 * stepper.real_extent() / 2
    for angle in np.linspace(0, np.pi, 60):
        assert amplification(stepper, radius * (np.exp(1j * angle) - 1)) <= 1 + 1e-9


@pytest.mark.parametrize("name", STIFF)
def test_implicit_steppers_are_stable_for_all_steps(name: str) -> None:
    stepper = STEPPERS[name]()
    assert stepper.real_extent() == float("inf")
    for y in np.logspace(-3, 6, 10):
        assert amplification(stepper, complex(-y)) <= 1 + 1e-9
        assert amplification(stepper, complex(-y, y)) <= 1 + 1e-9


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_real_extent_beyond_which_heat_grows(name: str) -> None:
    """2 percent below the largest eigenvalue's limit heat decays, 2 percent above it grows."""
    stepper, space = STEPPERS[name](), Space(random_square(4, seed=1))
    heat = Diffusion(space)
    dense = heat.operator.to_scipy().toarray() / space.measure.numpy()[:, None]
    largest = float(-np.linalg.eigvals(dense).real.min())
    u0 = torch.from_numpy(np.random.default_rng(0).standard_normal((space.n, 1)))
    limit = stepper.real_extent() / largest
    for factor, grows in ((0.98, False), (1.02, True)):
        end = 400 * factor * limit
        run = evolve(heat, u0, [0.0, end], stepper=stepper, dt=factor * limit, allow_unstable=True)
        assert (float(space.norm(run.final)) > float(space.norm(u0))) is grows


# gradients, batches, states


@pytest.mark.grad
@pytest.mark.parametrize("name", ANY)
def test_gradients_against_finite_differences(name: str) -> None:
    stepper = STEPPERS[name]()
    u0 = torch.tensor([[0.9, -0.3], [0.1, 0.4]], dtype=torch.float64, requires_grad=True)
    times = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64, requires_grad=True)

    def run(u: Tensor, t: Tensor) -> Tensor:
        return evolve(rotation, u, t, stepper=stepper, dt=0.5).states

    # vector instructions sum in an order that depends on where memory lies: two backward runs agree to rounding only
    assert torch.autograd.gradcheck(run, (u0, times), atol=1e-6, nondet_tol=1e-12, fast_mode=True)


@pytest.mark.grad
@pytest.mark.parametrize("nonlinear", [False, True])
@pytest.mark.parametrize("name", ANY)
def test_gradients_through_conditions_and_coefficients(name: str, nonlinear: bool) -> None:
    """A fixed value moves its free neighbours as well, which an adjoint solve can easily forget."""
    stepper, space = STEPPERS[name](), Space(jittered(interval(4), 0.2, seed=1))

    def run(value: Tensor, inflow: Tensor, source: Tensor, kappa: Tensor) -> Tensor:
        terms = Diffusion(space, kappa) + Source(space, source) + Neumann("right", inflow)
        terms = terms + Dirichlet("left", lambda x, t: value * (1 + torch.sin(t)))
        if nonlinear:
            terms = terms + Reaction(lambda u: u - u**3)
        return evolve(terms, torch.sin(2 * space.pos), [0.0, 0.2], stepper=stepper, dt=0.1).final

    parts = [torch.tensor([v], dtype=torch.float64, requires_grad=True) for v in (0.7, 0.4, 0.3, 0.1)]
    # Newton's method stops at 1e-10 of a step, which a difference quotient of 1e-6 turns into 1e-5
    assert torch.autograd.gradcheck(run, parts, atol=2e-5, nondet_tol=1e-12, fast_mode=True)


@pytest.mark.parametrize("name", ANY)
def test_a_batch_is_its_single_runs(name: str) -> None:
    stepper = STEPPERS[name]()
    terms, space, u0 = driven_rod()
    batch = torch.stack([u0, 0.3 * u0, -u0])
    together = evolve(terms, batch, [0.0, 0.2], stepper=stepper, dt=0.05).final
    assert together.shape == (3, space.n, 1)
    for one, all_ in zip(batch, together):
        alone = evolve(terms, one, [0.0, 0.2], stepper=stepper, dt=0.05).final
        # Newton's method stops a batch by its common residual: 1e-10 of one step
        assert torch.allclose(alone, all_, atol=1e-14 if name in RUNGE_KUTTA else 1e-9)


@pytest.mark.parametrize("name", ANY)
def test_channels_are_independent_where_the_equation_says_so(name: str) -> None:
    stepper = STEPPERS[name]()
    space = Space(random_square(3, seed=1))
    kappa = torch.tensor([[0.01, 0.03]], dtype=torch.float64)
    u0 = torch.cat([space.pos[:, :1], space.pos[:, 1:] ** 2], 1)
    both = evolve(Diffusion(space, kappa), u0, [0.0, 0.2], stepper=stepper, dt=0.02).final
    for c in range(2):
        alone = evolve(Diffusion(space, float(kappa[0, c])), u0[:, c : c + 1], [0.0, 0.2], stepper=stepper, dt=0.02)
        assert torch.allclose(alone.final[:, 0], both[:, c], atol=1e-13)


@pytest.mark.parametrize("name", ANY)
def test_total_mass_is_kept(name: str) -> None:
    space = Space(random_square(3, seed=1))
    u0 = torch.rand(space.n, 2, dtype=torch.float64)
    run = evolve(Diffusion(space, 0.01), u0, [0.0, 1.0], stepper=STEPPERS[name](), dt=0.05)
    # a Krylov space meets the constants only to its tolerance
    assert torch.allclose(space.integral(run.final), space.integral(u0), rtol=1e-9 if name in KRYLOV else 1e-13)


@pytest.mark.parametrize("name", ANY)
def test_constants_are_steady(name: str) -> None:
    space = Space(random_square(3, seed=1))
    u0 = torch.full((space.n, 1), 3.25, dtype=torch.float64)
    run = evolve(Diffusion(space, 0.01), u0, [0.0, 1.0], stepper=STEPPERS[name](), dt=0.05)
    assert torch.allclose(run.final, u0, rtol=1e-13)


@pytest.mark.parametrize("name", ANY)
def test_states_keep_their_type(name: str) -> None:
    terms, _, u0 = driven_rod()
    single, double = (
        evolve(terms, u0.to(dtype), [0.0, 0.5], stepper=STEPPERS[name](), dt=0.05).final
        for dtype in (torch.float32, torch.float64)
    )
    assert single.dtype == torch.float32 and double.dtype == torch.float64
    # float32 keeps seven digits; ten steps and the tolerance of Newton's method cost one or two
    assert torch.allclose(single.double(), double, atol=1e-5)


def swing(t: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    q, p = state
    return p, -torch.sin(q)


@pytest.mark.parametrize("name", ANY)
def test_tuple_states(name: str) -> None:
    stepper: Stepper = STEPPERS[name]()
    pair = (torch.tensor([[0.9], [0.2]], dtype=torch.float64), torch.zeros(2, 1, dtype=torch.float64))
    if name not in RUNGE_KUTTA:
        with pytest.raises(InputError, match=rf"{name} advances one tensor \[\*, n, c\], got a tuple of 2"):
            evolve(swing, pair, [0.0, 1.0], stepper=stepper, dt=0.1)
        return
    q, p = evolve(swing, pair, [0.0, 1.0], stepper=stepper, dt=0.1).final

    def joined(t: Tensor, u: Tensor) -> Tensor:
        return torch.stack([u[..., 1], -torch.sin(u[..., 0])], -1)

    as_one = evolve(joined, torch.cat(pair, 1), [0.0, 1.0], stepper=stepper, dt=0.1).final
    assert torch.allclose(torch.cat([q, p], 1), as_one, rtol=1e-14)


def gives_one_step(stepper: Stepper, f: Callable[..., Tensor]) -> Tensor:
    return evolve(f, torch.ones(1, 1, dtype=torch.float64), [0.0, 0.5], stepper=stepper).final


@pytest.mark.parametrize("name", ANY)
def test_one_step_an_interval_without_dt(name: str) -> None:
    """Without dt, an interval is one step: exactly R(z) for u' = -u."""
    stepper = STEPPERS[name]()
    assert float(gives_one_step(stepper, lambda t, u: -u)) == pytest.approx(
        amplification(stepper, complex(-0.5)), rel=1e-9
    )
