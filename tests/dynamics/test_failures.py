"""Where a run cannot go on (steps too long, blow-ups, equations without solution) and where implicit steps must."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.dynamics import BackwardEuler, CrankNicolson, Dopri5, Euler, Heun, Rk4, Stepper, evolve
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.errors import ConditionError, Diverged, InputError, SolveError, StepTooLong, UnknownName
from graphpde.mesh import Mesh, Space, interval, jittered, random_square, rectangle
from graphpde.ops import REACTIONS, Advection, Diffusion, Dirichlet, Neumann, Reaction, Source, System

START = torch.tensor(0.0, dtype=torch.float64)


def ring(n: int) -> Graph:
    """A closed ring of an even number of nodes: its largest eigenvalue is exactly 4, the bound."""
    a = torch.arange(n)
    b = (a + 1) % n
    return Graph(Relation.from_edges(torch.cat([a, b]), torch.cat([b, a]), n, n))


def rough(n: int, c: int = 1) -> Tensor:
    return torch.randn(n, c, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


# stability of explicit steps


@pytest.mark.parametrize(("stepper", "extent"), [(Euler(), 2.0), (Heun(), 2.0), (Rk4(), 2.785293563405282)])
def test_a_step_too_long_is_refused(stepper: Stepper, extent: float) -> None:
    heat, limit = Diffusion(ring(10)), extent / 4
    message = (
        rf"step dt={1.1 * limit:.3g} exceeds the stability bound {limit:.3g} of {stepper.name} \(its real extent "
        rf"{extent:.3g} over the bound 4 of Diffusion\); take dt <= {0.9 * limit:.2g}, an implicit stepper such as "
        rf"backward_euler, or allow_unstable=True"
    )
    with pytest.raises(StepTooLong, match=message) as found:
        evolve(heat, rough(10), [0.0, 11 * limit], stepper=stepper, dt=1.1 * limit)
    assert found.value.dt == pytest.approx(1.1 * limit)
    assert found.value.dt_max == pytest.approx(limit, rel=1e-4)  # the extent is tabulated to 1e-4
    evolve(heat, rough(10), [0.0, 11 * limit], stepper=BackwardEuler(), dt=1.1 * limit)


def test_the_longest_step_of_all_intervals_counts() -> None:
    with pytest.raises(StepTooLong, match=r"step dt=0\.7 "):
        evolve(Diffusion(ring(10)), rough(10), [0.0, 0.1, 0.8, 0.9], stepper=Euler())
    # a dt beyond the bound that no interval is long enough for does no harm
    assert evolve(Diffusion(ring(10)), rough(10), [0.0, 0.4, 0.8], stepper=Euler(), dt=7.0).steps == 2


def test_the_bound_counts_every_linear_term_and_factor() -> None:
    graph = ring(10)

    def limit(terms: Any) -> float | None:
        return longest_stable_step(System(terms, None, START), Euler())

    assert limit(Diffusion(graph)) == pytest.approx(0.5, rel=1e-4)
    assert limit(4.0 * Diffusion(graph)) == pytest.approx(0.125, rel=1e-4)
    assert limit(Diffusion(graph, 3.0) + Diffusion(graph)) == pytest.approx(0.125, rel=1e-4)
    assert limit(Diffusion(graph, torch.tensor([[1.0, 5.0]], dtype=torch.float64))) == pytest.approx(0.1, rel=1e-4)
    assert limit(Reaction(lambda u: -u)) is None
    assert longest_stable_step(System(Diffusion(graph), None, START), BackwardEuler()) is None


DOMAINS = {"ring": lambda: ring(24), "rod": lambda: Space(interval(24))}


@pytest.mark.parametrize(("domain", "stepper"), [("ring", Euler()), ("rod", Euler()), ("rod", Rk4())])
@pytest.mark.long
def test_bounded_below_the_bound_and_diverged_above(domain: str, stepper: Stepper) -> None:
    """On both domains the checkerboard is an eigenvector whose eigenvalue meets the bound."""
    place = DOMAINS[domain]()
    heat, u0 = Diffusion(place), rough(place.n)
    limit = longest_stable_step(System(heat, None, START), stepper)
    assert limit is not None
    dt = 0.99 * limit
    run = evolve(heat, u0, [0.0, 2000 * dt], stepper=stepper, dt=dt)
    assert run.steps == 2000
    assert float(place.norm(run.final)) <= float(place.norm(u0))
    assert float(run.final.abs().max()) <= float(u0.abs().max())
    dt = 1.1 * limit
    with pytest.raises(Diverged, match=r"the solution became non-finite at step \d+ .* in Diffusion; largest value"):
        # from there it is not far to the end of float64
        evolve(heat, 1e250 * u0, [0.0, 8000 * dt], stepper=stepper, dt=dt, allow_unstable=True)


# non-finite states


def square(u: Tensor) -> Tensor:
    return u * u


@pytest.mark.parametrize("dt", [0.5, 0.25, 0.1, 0.04])
def test_a_blow_up_is_found_at_its_step(dt: float) -> None:
    """u' = u^2 by Euler steps in a plain loop; the third node starts highest and overflows first."""
    u0 = torch.tensor([[0.5], [0.3], [0.9], [0.2]], dtype=torch.float64)
    u, step = u0, 0
    while bool(torch.isfinite(u).all()):
        last, u, step = u, u + dt * u * u, step + 1
    watched: list[int] = []
    terms = Reaction(square) + Diffusion(ring(4), 0.0)
    with pytest.raises(Diverged) as found:
        evolve(terms, u0, [0.0, 10.0], stepper=Euler(), dt=dt, watch=lambda k, *_: watched.append(k))
    error = found.value
    assert (error.step, error.node, error.term) == (step, 2, "Reaction(square)")
    assert error.t == pytest.approx(step * dt, rel=1e-12)
    assert torch.allclose(error.last, last, rtol=1e-10)  # after an overflow-bound power, not bit by bit
    assert error.largest == pytest.approx(float(last.abs().max()), rel=1e-10)
    assert re.search(
        rf"became non-finite at step {step} \(t={step * dt:.6g}\), first at node 2, in Reaction\(square\); largest "
        rf"value before: .*; take a smaller dt or an implicit stepper, or check the coefficients",
        str(error),
    )
    assert watched[-1] < step + 16  # found within one round of checks


@pytest.mark.parametrize("stepper", [Euler(), Rk4(), Dopri5()], ids=["euler", "rk4", "dopri5"])
@pytest.mark.parametrize("step", [1, 2, 15, 16, 17, 20, 21, 32, 36, 37, 45, 60])
def test_a_nan_of_a_user_function_is_found_at_its_step(stepper: Stepper, step: int) -> None:
    """Steps around the rounds of 16, in the first, second and third interval of 20 steps; the term is named."""
    dt = 0.05
    first_bad = (step - 1) * dt - 1e-6 if stepper.name == "euler" else (step - 0.5) * dt - 1e-6

    def broken(t: Tensor, u: Tensor) -> Tensor:
        return torch.where(t >= first_bad, u * float("nan"), -u)

    def fine(u: Tensor) -> Tensor:
        return 100 * u.cos()

    u0 = torch.ones(3, 2, dtype=torch.float64)
    terms = Reaction(fine) + Reaction(broken, timed=True)
    with pytest.raises(Diverged, match=rf"at step {step} .* first at node 0, in Reaction\(broken\)") as found:
        evolve(terms, u0, [0.0, 1.0, 2.0, 3.0], stepper=stepper, dt=dt)
    assert found.value.t == pytest.approx(step * dt)
    assert found.value.last.isfinite().all()
    if step > 1:
        good = evolve(Reaction(fine) + Reaction(lambda u: -u), u0, [0.0, (step - 1) * dt], stepper=stepper, dt=dt)
        assert torch.allclose(found.value.last, good.final, rtol=1e-9)
    else:
        assert torch.equal(found.value.last, u0)


def test_the_node_is_named_in_a_batch() -> None:
    def poles(u: Tensor) -> Tensor:
        return torch.where(u > 2, u / 0, torch.ones_like(u))

    u0 = torch.zeros(3, 5, 2, dtype=torch.float64)
    u0[1, 3, 1] = 1.95
    with pytest.raises(Diverged, match=r"at step 2 .* first at node 3, in Reaction\(poles\)"):
        evolve(Reaction(poles), u0, [0.0, 1.0], stepper=Euler(), dt=0.1)


def test_a_tuple_state_blows_up_by_name() -> None:
    def poles(t: Tensor, s: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        return s[1], s[0] / torch.where(t < 0.35, 1.0, 0.0)

    u0 = (torch.zeros(2, 1, dtype=torch.float64), torch.tensor([[0.0], [1.0]], dtype=torch.float64))
    with pytest.raises(Diverged, match=r"at step 5 .* first at node 0, in poles") as found:
        evolve(poles, u0, [0.0, 1.0], stepper=Euler(), dt=0.1)
    assert isinstance(found.value.last, tuple)


def test_a_dirichlet_value_that_breaks_is_named() -> None:
    space = Space(interval(5))
    terms = Diffusion(space, 0.01) + Dirichlet("right", lambda x, t: torch.sqrt(0.5 - t))
    with pytest.raises(Diverged, match=r"at step 6 .* first at node 5, in Dirichlet on 'right'"):
        evolve(terms, space.pos, [0.0, 1.0], stepper=Euler(), dt=0.1)


def test_a_function_that_answers_differently_the_second_time() -> None:
    """The bad step is looked for by going over the last steps again; where it hides, its last state speaks."""
    calls = 0

    def moody(t: Tensor, u: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return u * float("nan") if calls == 3 else -u

    with pytest.raises(Diverged, match=r"at step 10 .* first at node 0, in moody"):
        evolve(moody, torch.ones(2, 1), [0.0, 1.0], stepper=Euler(), dt=0.1)


def test_large_is_not_infinite() -> None:
    """Finite values whose sum overflows are finite."""
    u0 = torch.full((8, 1), 1.7e308, dtype=torch.float64)
    final = evolve(lambda t, u: 0 * u, u0, [0.0, 1.0], stepper=Euler(), dt=0.1).final
    assert torch.equal(final, u0)


# implicit steps that have no solution


def no_rest(u: Tensor) -> Tensor:
    return 1 + u * u


@pytest.mark.parametrize("stepper", [BackwardEuler(), CrankNicolson()], ids=["backward_euler", "crank_nicolson"])
def test_newton_without_a_solution_names_the_step(stepper: Stepper) -> None:
    """v = u + dt (1 + v^2) has no real solution once 4 dt (u + dt) > 1; Crank-Nicolson neither at these values."""
    u0 = torch.tensor([[0.0], [2.0]], dtype=torch.float64)
    with pytest.raises(SolveError, match=rf"^step 1 of 5 \(t=0, {stepper.name}\): .*Newton") as found:
        evolve(Reaction(no_rest), u0, [0.0, 1.0], stepper=stepper, dt=0.2)
    assert not isinstance(found.value, Diverged)
    assert found.value.result is not None
    assert not found.value.result.converged


def test_newton_fails_at_the_step_where_the_equation_does() -> None:
    u, step = 0.0, 1
    while 4 * 0.1 * (u + 0.1) <= 1:
        u, step = (1 - (1 - 0.4 * (u + 0.1)) ** 0.5) / 0.2, step + 1
    assert 5 < step < 20
    with pytest.raises(SolveError, match=rf"^step {step} of 20 \(t={0.1 * (step - 1):g}, backward_euler\): "):
        evolve(Reaction(no_rest), torch.zeros(1, 1, dtype=torch.float64), [0.0, 2.0], stepper=BackwardEuler(), dt=0.1)


@pytest.mark.parametrize("step", [1, 7, 20, 21])
def test_a_nan_within_an_implicit_step_names_the_step(step: int) -> None:
    space = Space(interval(4))

    def broken(x: Tensor, t: Tensor) -> Tensor:
        return torch.where(t > (step - 0.5) * 0.05, float("nan"), 1.0) + 0 * x[:, 0]

    heat = Diffusion(space) + Source(space, broken) + Dirichlet("left", 0.0)
    for terms in (heat, heat + Reaction(square)):
        with pytest.raises(SolveError, match=rf"^step {step} of 40 \(t=.*, backward_euler\): .*not finite"):
            evolve(terms, space.pos, [0.0, 1.0, 2.0], stepper=BackwardEuler(), dt=0.05)


def test_an_iterative_solver_that_gives_up_names_the_step() -> None:
    space = Space(random_square(5, seed=1))
    wind = torch.tensor([1.0, 0.0], dtype=torch.float64)
    stepper = BackwardEuler(method="cg")
    with pytest.raises(SolveError, match=r"^step 1 of 1 \(t=0, backward_euler\): "):  # not symmetric
        evolve(Diffusion(space, 1e-6) + 50 * Advection(space, wind), rough(space.n), [0.0, 1.0], stepper=stepper)
    with pytest.raises(UnknownName, match=r"unknown solver 'lu'.*direct"):
        evolve(Diffusion(space), rough(space.n), [0.0, 1.0], stepper=BackwardEuler(method="lu"))


def test_conditions_that_clash_later_are_refused_before_the_first_step() -> None:
    space = Space(rectangle(3, 3))
    called: list[int] = []
    terms = Diffusion(space) + Dirichlet("left", 0.0) + Dirichlet("bottom", lambda x, t: t * torch.ones_like(x[:, 0]))
    with pytest.raises(ConditionError, match=r"Dirichlet on 'left' and Dirichlet on 'bottom' clash on 1 shared nodes"):
        evolve(terms, 0 * space.pos[:, :1], [0.0, 1.0], stepper=BackwardEuler(), watch=lambda k, *_: called.append(k))
    assert called == []


def test_terms_on_two_domains_are_refused() -> None:
    with pytest.raises(InputError, match=r"terms live on two domains, .* and .*; build them on one"):
        Diffusion(ring(4)) + Diffusion(ring(6))


# implicit steps that must be right


def dense(space: Space, kappa: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(mass, stiffness) as the run should see them."""
    mass = np.diag(space.measure.numpy()) if space.lumped else space.consistent_mass.to_scipy().toarray()
    return mass, -kappa * Diffusion(space).operator.to_scipy().toarray()


@pytest.mark.parametrize("nonlinear", [False, True], ids=["linear", "reaction"])
@pytest.mark.parametrize("name", ["backward_euler", "crank_nicolson"])
def test_linear_solvers_agree(name: str, nonlinear: bool) -> None:
    space = Space(random_square(5, seed=1))
    terms: Any = (
        Diffusion(space, 0.1) + Dirichlet("left", lambda x, t: torch.sin(t) + 0 * x[:, 0]) + Neumann("right", 1.0)
    )
    if nonlinear:
        terms = terms + Reaction(REACTIONS["logistic"]())
    kind = {"backward_euler": BackwardEuler, "crank_nicolson": CrankNicolson}[name]
    finals = [
        evolve(terms, rough(space.n, 2), [0.0, 0.5], stepper=kind(method=method, rtol=1e-12), dt=0.1).final
        for method in ("direct", "cg", "gmres", "auto")
    ]
    for final in finals[1:]:
        assert torch.allclose(final, finals[0], atol=1e-9)


@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
@pytest.mark.parametrize("name", ["rk4", "crank_nicolson"])
def test_moving_ends_drag_their_neighbours_through_the_mass(name: str, lumped: bool) -> None:
    """M u' = -A u with u given at the left end, against scipy on the matrices without that row."""
    space = Space(jittered(interval(6), 0.2, seed=1), lumped=lumped)
    mass, stiff = dense(space, 0.05)
    left = int(space.nodes_of("left"))
    free = [i for i in range(space.n) if i != left]
    u0 = torch.cos(3 * space.pos)

    def f(t: float, v: np.ndarray) -> np.ndarray:
        force = (
            -stiff[np.ix_(free, free)] @ v - stiff[free, left] * np.cos(4 * t) + mass[free, left] * 4 * np.sin(4 * t)
        )
        return np.linalg.solve(mass[np.ix_(free, free)], force)

    exact = solve_ivp(f, (0, 1), u0[free, 0].numpy(), method="DOP853", rtol=1e-12, atol=1e-13).y[:, -1]
    terms = Diffusion(space, 0.05) + Dirichlet("left", lambda x, t: torch.cos(4 * t) + 0 * x[:, 0])
    stepper: Stepper = Rk4() if name == "rk4" else CrankNicolson()
    final = evolve(terms, u0, [0.0, 1.0], stepper=stepper, dt=0.02 if name == "rk4" else 0.005).final
    assert float(final[left]) == pytest.approx(np.cos(4), rel=1e-14)
    # (4 dt)^2 / 12 of the second order, 1e-2 of which reaches the inside; far less for the fourth
    assert np.abs(final[free, 0].numpy() - exact).max() <= (1e-6 if name == "rk4" else 5e-5)


@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_one_step_of_two_channels_satisfies_its_equation(lumped: bool) -> None:
    """Gray-Scott with one conductivity a channel: the residual of backward Euler, written down with dense matrices."""
    space = Space(random_square(4, seed=1), lumped=lumped)
    mass, stiff = dense(space)
    kappa = [0.02, 0.005]
    gray_scott = REACTIONS["gray-scott"]()
    terms = Diffusion(space, torch.tensor([kappa], dtype=torch.float64)) + Reaction(gray_scott)
    u = torch.rand(space.n, 2, dtype=torch.float64)
    v = evolve(terms, u, [0.0, 2.0], stepper=BackwardEuler()).final
    rate = gray_scott(v).numpy()
    for c in range(2):
        residual = mass @ (v - u).numpy()[:, c] / 2 + kappa[c] * stiff @ v.numpy()[:, c] - mass @ rate[:, c]
        assert np.abs(residual).max() <= 1e-9 * mass.max()


@pytest.mark.parametrize("stepper", [Euler(), Rk4(), BackwardEuler(), CrankNicolson()], ids=lambda s: s.name)
@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
def test_moving_linear_fields_are_exact(stepper: Stepper, lumped: bool) -> None:
    """u = 3 t + 2 x - y is within reach of order 1; so is u = 3 t + (1 + 2 t)(2 x - y) with the consistent mass."""
    space = Space(random_square(4, seed=1), lumped=lumped)
    grow = 0.0 if lumped else 2.0

    def exact(x: Tensor, t: Tensor | float) -> Tensor:
        return 3 * t + (1 + grow * t) * (2 * x[:, 0] - x[:, 1])

    def inflow(x: Tensor, t: Tensor) -> Tensor:
        return 0.1 * 2 * (1 + grow * t) + 0 * x[:, 0]

    terms = Diffusion(space, 0.1) + Source(space, lambda x, t: 3 + grow * (2 * x[:, 0] - x[:, 1]))
    for side in ("left", "bottom", "top"):
        terms = terms + Dirichlet(side, exact)
    terms = terms + Neumann("right", inflow)
    u0 = exact(space.pos, 0.0)[:, None]
    final = evolve(terms, u0, [0.0, 0.1], stepper=stepper, dt=0.002).final
    assert torch.allclose(final, exact(space.pos, 0.1)[:, None], atol=1e-12)


def test_crank_nicolson_is_exact_for_parabolas_in_time() -> None:
    space = Space(random_square(4, seed=1))

    def exact(x: Tensor, t: Tensor | float) -> Tensor:
        return t * t + x[:, 0]

    terms = Diffusion(space) + Source(space, lambda x, t: 2 * t + 0 * x[:, 0]) + Dirichlet("boundary", exact)
    errors = []
    for stepper in (CrankNicolson(), BackwardEuler()):
        final = evolve(terms, exact(space.pos, 0.0)[:, None], [0.0, 1.0], stepper=stepper, dt=0.1).final
        errors.append(float((final[:, 0] - exact(space.pos, 1.0)).abs().max()))
    assert errors[0] <= 1e-13 < 1e-4 < errors[1]


def test_a_reaction_alone_on_a_mesh_of_one_cell() -> None:
    space = Space(Mesh([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]], {"triangle": [[0, 1, 2]]}))
    run = evolve(
        Diffusion(space) + Reaction(REACTIONS["decay"]()), 1 + 0 * rough(3), [0.0, 1.0], stepper=CrankNicolson()
    )
    assert torch.allclose(run.final, torch.full((3, 1), 1 / 3, dtype=torch.float64), rtol=1e-9)
