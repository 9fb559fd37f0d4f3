"""Steppers of Hamiltonian systems: declared orders, symplecticity, reversibility, constraints, temperature."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.incidence import Incidence
from graphpde.dynamics import STEPPERS, Baoab, Brownian, Leapfrog, Rattle, Respa, evolve
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.dynamics.symplectic import TURNS, imaginary_extent
from graphpde.errors import InputError, SolveError, StepTooLong
from graphpde.mesh import Space, interval
from graphpde.ops import Force, Reaction, Rigid, Separable, System, Wave, langevin

START = torch.tensor(0.0, dtype=torch.float64)
SPLIT = [name for name, kind in STEPPERS.items() if kind.accepts == "separable"]
ANY = [name for name, kind in STEPPERS.items() if kind.accepts == "any" and not getattr(kind, "stochastic", False)]


def bodies(n: int = 5, d: int = 2) -> tuple[Separable, Tensor]:
    """Bodies of several masses on a ring of anharmonic springs, and a state in motion [n, 2 d]."""
    rng = torch.Generator().manual_seed(1)
    mass = torch.linspace(1, 2, n, dtype=torch.float64)[:, None]
    ring = Incidence.of_pairs(torch.arange(n), (torch.arange(n) + 1) % n, n)

    def pull(tail: Tensor, head: Tensor, edge: None) -> Tensor:
        return -(1 + (head - tail).square().sum(-1, keepdim=True)) * (head - tail)

    def kick(t: Tensor, q: Tensor) -> Tensor:
        return ring.exchange(q, pull) - torch.sin(q)

    state = torch.randn(n, 2 * d, generator=rng, dtype=torch.float64)
    return Separable(kick, lambda t, p: p / mass), state


def stepped(name: str, f: Any, u: Tensor, dt: float, t: float = 0.0) -> Tensor:
    stepper = STEPPERS[name]()
    system, at = System(f, None, START), START + t
    return stepper.step(system, at, dt, u, stepper.init(system, at, u)).u


# what is declared


def form(d: int, n: int) -> Tensor:
    """J of the flattened state [n, 2 d]: q before p in every node."""
    block = torch.zeros(2 * d, 2 * d, dtype=torch.float64)
    block[:d, d:], block[d:, :d] = torch.eye(d), -torch.eye(d)
    return torch.block_diag(*[block] * n)


@pytest.mark.parametrize("name", [*SPLIT, *ANY])
def test_declared_symplecticity(name: str) -> None:
    """|M^T J M - J| of one long step of five bodies: rounding where it is declared, and plainly more elsewhere."""
    f, u = bodies()

    def one(x: Tensor) -> Tensor:
        return stepped(name, f, x.reshape(u.shape), 0.2).flatten()

    m = torch.autograd.functional.jacobian(one, u.flatten(), vectorize=False)
    j = form(2, 5)
    defect = float((m.T @ j @ m - j).abs().max())
    if STEPPERS[name].symplectic == "yes":
        assert defect <= 1e-12
    else:
        assert defect > 1e-9


@pytest.mark.parametrize("name", [name for name in (*SPLIT, *ANY) if name != "rkc2"])  # it takes no steps back
def test_declared_reversibility(name: str) -> None:
    f, u = bodies()
    there = stepped(name, f, u, 0.1)
    back = stepped(name, f, there, -0.1, 0.1)
    off = float((back - u).abs().max())
    if getattr(STEPPERS[name], "reversible", False):
        assert off <= 1e-12
    else:
        assert off > 1e-12


def rotor(t: Tensor, q: Tensor) -> Tensor:
    return -torch.sin(q - 0.3 * torch.sin(t))


def growing(t: Tensor, p: Tensor) -> Tensor:
    return p / (1.2 + torch.sin(t))


@pytest.mark.parametrize("name", [name for name in SPLIT if STEPPERS[name].reversible])
def test_steps_of_what_depends_on_time_can_be_undone(name: str) -> None:
    u = torch.tensor([[0.5, 0.2]], dtype=torch.float64)
    f = Separable(rotor, growing, slow=lambda t, q: torch.cos(t) * q)
    there = stepped(name, f, u, 0.1, 0.3)
    assert float((stepped(name, f, there, -0.1, 0.4) - u).abs().max()) <= 1e-14


RUNS = {1: (1.0, 64), 2: (1.0, 16), 4: (4.0, 8), 6: (8.0, 6), 8: (16.0, 5)}


@pytest.mark.orders
@pytest.mark.parametrize("drift", (None, growing), ids=("constant", "growing"))
@pytest.mark.parametrize("name", SPLIT)
def test_declared_order(name: str, drift: Any) -> None:
    """A driven pendulum, whose force and mass depend on time: kicks and drifts know when they happen."""
    stepper = STEPPERS[name]()
    end, coarse = RUNS[int(stepper.order)]
    u0 = torch.tensor([[0.5, 0.2], [1.0, -0.3]], dtype=torch.float64)
    f = Separable(rotor, drift)
    fine = evolve(f, u0, [0.0, end], stepper="yoshida8", dt=0.01).final
    errors = [
        float((evolve(f, u0, [0.0, end], stepper=stepper, dt=1 / (coarse * 2**k)).final - fine).norm())
        for k in range(3)
    ]
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert orders[-1] == pytest.approx(stepper.order, abs=0.2 if stepper.order == 8 else 0.05)


# what follows from it


def test_coefficients_add_to_one() -> None:
    for turns in (*TURNS.values(), Respa(3).turns):
        for kinds in (("drift",), ("kick", "fast")):
            assert sum(share for kind, share in turns if kind in kinds) == pytest.approx(1.0, abs=1e-14)


def test_energy_oscillates_and_does_not_drift() -> None:
    """A pendulum with h = 0.25 to t = 8000: Verlet keeps 2 %, and the mean of its ends is the same to 1e-5."""
    u0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    times = torch.linspace(0, 8000, 32001, dtype=torch.float64)
    states = evolve(Separable(lambda t, q: -torch.sin(q)), u0, times, stepper="leapfrog", dt=0.25).states[:, 0]
    energy = 0.5 * states[:, 1] ** 2 + 1 - torch.cos(states[:, 0])
    assert float((energy / energy[0] - 1).abs().max()) < 2e-2
    first, last = energy[:8000].mean(), energy[-8000:].mean()
    assert abs(float(last / first) - 1) < 1e-5


@pytest.mark.parametrize("name", SPLIT)
def test_momentum_and_angular_momentum_stay(name: str) -> None:
    """Equal and opposite forces along the edges of a complete graph; linear steps keep both to rounding."""
    n = 4
    everybody = Incidence.of_pairs(*torch.triu_indices(n, n, 1), n)
    mass = torch.linspace(1, 2, n, dtype=torch.float64)[:, None]

    def pull(tail: Tensor, head: Tensor, edge: None) -> Tensor:
        apart = head - tail
        return -apart / (apart.square().sum(-1, keepdim=True) + 0.1) ** 1.5

    f = Separable(lambda t, q: everybody.exchange(q, pull), lambda t, p: p / mass)
    u0 = torch.randn(n, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def kept(u: Tensor) -> Tensor:
        (x, y), (v, w) = u[:, :2].unbind(1), u[:, 2:].unbind(1)
        return torch.stack([v.sum(), w.sum(), (x * w - y * v).sum()])

    run = evolve(f, u0, [0.0, 5.0], stepper=name, dt=0.05)
    assert float((kept(run.final) - kept(u0)).abs().max()) < 2e-13


def test_stability_ends_where_it_is_said_to_end() -> None:
    for name in TURNS:
        extent = imaginary_extent(TURNS[name])
        u0 = torch.tensor([[1.0, 0.5]], dtype=torch.float64)
        sizes = []
        for h in (0.995 * extent, 1.02 * extent):
            run = evolve(Separable(lambda t, q: -q), u0, [0.0, 100 * h], stepper=name, dt=h)
            sizes.append(float(run.final.norm()))
        assert sizes[0] < 30, name
        assert sizes[1] > 1e3, name


def test_the_wave_equation_knows_the_bound_of_every_method() -> None:
    space = Space(interval(20))
    wave = Wave(space)
    u0 = torch.cat([torch.cos(3 * torch.pi * space.pos), torch.zeros_like(space.pos)], 1)
    system = System(wave, None, START)
    for name in SPLIT:
        limit = longest_stable_step(system, STEPPERS[name]())
        assert limit is not None
        with pytest.raises(StepTooLong):
            evolve(wave, u0, [0.0, 10.1 * limit], stepper=name, dt=1.01 * limit)
        final = evolve(wave, u0, [0.0, 300 * limit], stepper=name, dt=0.98 * limit).final
        assert float(final.abs().max()) < 20


def test_a_force_that_stands_at_the_end_serves_the_next_step() -> None:
    f, u = bodies()
    counts = {name: evolve(f, u, [0, 1], stepper=name, dt=0.1).statistics["evaluations"] for name in SPLIT}
    assert counts == {
        "symplectic_euler": 10, "leapfrog": 11, "position_verlet": 10, "mclachlan": 21, "forest_ruth": 30, "pefrl": 40,
        "yoshida4": 31, "yoshida6": 71, "yoshida8": 151, "respa": 41,
    }  # fmt: skip


def test_leapfrog_is_its_formula() -> None:
    f, u = bodies()
    h, (q, p) = 0.1, (u[:, :2], u[:, 2:])
    p = p + h / 2 * f.kick(START, q)
    q = q + h * f.drift(START, p)
    p = p + h / 2 * f.kick(START, q)
    assert torch.allclose(stepped("leapfrog", f, u, h), torch.cat([q, p], 1), rtol=0, atol=1e-15)


def test_a_slow_force_is_asked_for_less_often() -> None:
    asked = {"fast": 0, "slow": 0}

    def fast(t: Tensor, q: Tensor) -> Tensor:
        asked["fast"] += 1
        return -100 * q

    def slow(t: Tensor, q: Tensor) -> Tensor:
        asked["slow"] += 1
        return -torch.sin(q)

    f, u0 = Separable(fast, slow=slow), torch.tensor([[0.1, 1.0]], dtype=torch.float64)
    with_all = evolve(f, u0, [0.0, 2.0], stepper="yoshida8", dt=0.005).final
    errors = []
    for dt in (0.1, 0.05):
        asked.update(fast=0, slow=0)
        errors.append(float((evolve(f, u0, [0.0, 2.0], stepper=Respa(8), dt=dt).final - with_all).norm()))
    assert asked == {"fast": 321, "slow": 41}
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.1)
    plain = Separable(lambda t, q: -100 * q - torch.sin(q))
    one = evolve(plain, u0, [0.0, 1.0], stepper=Respa(2), dt=0.02).final
    assert torch.allclose(one, evolve(plain, u0, [0.0, 1.0], stepper="leapfrog", dt=0.01).final, atol=1e-13)


def test_sums_of_separable_terms_are_one() -> None:
    f, u = bodies()
    field = Separable(lambda t, q: 0.5 * torch.cos(q), lambda t, p: torch.zeros_like(p))
    whole = Separable(lambda t, q: f.kick(t, q) + torch.cos(q), f.drift)
    two = evolve(whole, u, [0.0, 1.0], stepper="yoshida4", dt=0.1).final
    for beside in (field, Force(field.kick), Force(slow=field.kick)):
        one = evolve(f + 2.0 * beside, u, [0.0, 1.0], stepper="yoshida4", dt=0.1).final
        assert torch.allclose(one, two, atol=1e-14)


def test_gradients_through_steps_and_their_checkpoints() -> None:
    k = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    u0 = torch.tensor([[0.4, 0.1]], dtype=torch.float64)

    def final(k: Tensor, grad: str = "direct") -> Tensor:
        return evolve(Separable(lambda t, q: -k * torch.sin(q)), u0, [0, 2], stepper="pefrl", dt=0.1, grad=grad).final

    assert torch.autograd.gradcheck(lambda k: final(k), k)
    one, two = (torch.autograd.grad(final(k, grad).sum(), k)[0] for grad in ("direct", "checkpoint"))
    assert torch.equal(one, two)


def test_what_is_not_separable_is_refused() -> None:
    damped = Reaction(lambda u: torch.stack([u[..., 1], -u[..., 0] - 0.1 * u[..., 1]], -1))
    u0 = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(InputError, match=r"yoshida4 needs q' = v.*Separable"):
        evolve(damped, u0, [0, 1], stepper="yoshida4", dt=0.1)
    with pytest.raises(InputError, match="odd number"):
        evolve(Separable(lambda t, q: -q), torch.ones(1, 3), [0, 1], stepper="pefrl", dt=0.1)
    with pytest.raises(InputError, match="kick is a float, expected a function"):
        Separable(1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Separable and Separable both move the positions .*as Force\(kick\)"):
        evolve(Separable(rotor) + Separable(rotor), u0, [0, 1], stepper="leapfrog", dt=0.1)
    with pytest.raises(InputError, match="a Force has neither kick nor slow"):
        Force()
    with pytest.raises(InputError, match="inner is 0"):
        Respa(0)


# rigid bonds


def double_pendulum(n: int = 3) -> tuple[Rigid, Tensor]:
    """A chain that hangs from node 0, and a state on it that moves."""
    mass = torch.tensor([math.inf, *torch.linspace(1, 2, n - 1)], dtype=torch.float64)
    weight = torch.zeros(n, 2, dtype=torch.float64)
    weight[1:, 1] = -9.81 * mass[1:]
    bonds = torch.stack([torch.arange(n - 1), torch.arange(1, n)], 1)
    lengths = torch.linspace(1, 0.7, n - 1, dtype=torch.float64)
    angles = torch.linspace(1.2, 0.3, n - 1, dtype=torch.float64)
    links = lengths[:, None] * torch.stack([angles.sin(), -angles.cos()], 1)
    q = torch.cat([torch.zeros(1, 2, dtype=torch.float64), links.cumsum(0)])
    f = Rigid(Separable(lambda t, q: weight, lambda t, p: p / mass[:, None]), bonds, lengths, mass)
    kick = torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    p = f.tangent(q, torch.where(torch.isinf(mass)[:, None], 0.0, kick))
    return f, torch.cat([q, p], 1)


def angles_of(u: Tensor) -> Tensor:
    link = u[..., 1:, :2] - u[..., :-1, :2]
    return torch.atan2(link[..., 0], -link[..., 1])


@pytest.mark.parametrize("pace", (lambda t: 1.0, lambda t: 1 / (1 + 0.3 * torch.sin(t))), ids=("constant", "growing"))
def test_a_rigid_pendulum_swings_as_its_angle(pace: Any) -> None:
    """Also with a mass that depends on time."""
    f, u0 = double_pendulum(2)
    weight, mass = f.motion.kick, f.masses
    moves = Separable(weight, lambda t, p: pace(t) * p / mass[:, None])
    f = Rigid(moves, torch.tensor([[0, 1]]), f.lengths, mass)
    angle = angles_of(u0)[0]
    along = torch.stack([angle.cos(), angle.sin()])
    start = torch.stack([angle, u0[1, 2:] @ along])[None]
    angle_alone = Separable(lambda t, q: -9.81 * torch.sin(q), lambda t, p: pace(t) * p)
    exact = evolve(angle_alone, start, [0.0, 1.0], stepper="yoshida8", dt=0.01).final
    errors = [
        float((angles_of(evolve(f, u0, [0.0, 1.0], stepper=Rattle(), dt=dt).final)[0] - exact[0, 0]).abs())
        for dt in (0.02, 0.01)
    ]
    assert errors[1] < 1e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


def test_lengths_and_energy_of_a_chain() -> None:
    f, u0 = double_pendulum(5)
    run = evolve(f, u0, torch.linspace(0, 20, 201, dtype=torch.float64), stepper="rattle", dt=0.005)
    assert float(f.stretch(run.states[..., :2]).abs().max()) <= 1e-10
    rates = f.bonds.difference(f.drift(START, run.states[..., 2:]))
    assert float((rates * f.bonds.difference(run.states[..., :2])).sum(-1).abs().max()) <= 1e-10
    m = f.masses[1:, None]
    q, p = run.states[:, 1:, :2], run.states[:, 1:, 2:]
    energy = (p.square() / (2 * m)).sum((1, 2)) + 9.81 * (m[:, 0] * q[..., 1]).sum(1)
    assert float((energy - energy[0]).abs().max()) < 0.02 * float(energy.abs().max())
    assert float((energy[-50:].mean() - energy[:50].mean()).abs()) < 2e-3 * float(energy.abs().max())


def test_rattle_can_be_undone_and_takes_batches() -> None:
    f, u0 = double_pendulum(4)
    there = stepped("rattle", f, u0, 0.02)
    assert float((stepped("rattle", f, there, -0.02) - u0).abs().max()) <= 1e-12
    other = evolve(f, u0, [0.0, 0.3], stepper="rattle", dt=0.01).final
    both = evolve(f, torch.stack([u0, other]), [0.0, 0.5], stepper="rattle", dt=0.01).final
    for alone, beside in zip((u0, other), both, strict=True):
        assert torch.allclose(evolve(f, alone, [0.0, 0.5], stepper="rattle", dt=0.01).final, beside, atol=1e-11)


def test_rigid_bonds_refuse_what_they_cannot_keep() -> None:
    f, u0 = double_pendulum(3)
    for name in ("leapfrog", "rk4", "implicit_midpoint"):
        with pytest.raises(InputError, match="rattle"):
            evolve(f, u0, [0, 1], stepper=name, dt=0.01)
    with pytest.raises(InputError, match="rattle needs one Rigid"):
        evolve(f.motion, u0, [0, 1], stepper="rattle", dt=0.01)
    with pytest.raises(InputError, match="off its length by"):
        evolve(f, 1.1 * u0, [0, 1], stepper="rattle", dt=0.01)
    with pytest.raises(InputError, match="pull a rigid bond apart"):
        evolve(f, u0 + torch.tensor([0, 0, 0.1, 0.2]), [0, 1], stepper="rattle", dt=0.01)
    with pytest.raises(SolveError, match="take a shorter step"):
        evolve(f, u0, [0, 10], stepper="rattle", dt=2.0)
    field = Separable(lambda t, q: -q, lambda t, p: torch.zeros_like(p))
    with pytest.raises(InputError, match="would leave the rigid bonds"):
        evolve(f + field, u0, [0, 1], stepper="leapfrog", dt=0.01)
    with pytest.raises(InputError, match=r"baoab needs langevin.*Rigid"):
        warm = langevin(f, friction=1.0, temperature=1.0)
        evolve(warm, u0, [0, 1], stepper="baoab", dt=0.01, brownian=Brownian(0))
    far = u0.clone()
    far[1:, 2:] = 0
    far[3 - 1, 2] = 1e6  # the last bond alone is pulled
    with pytest.raises(SolveError, match="bond 1 is off most"):
        f.placed(far[:, :2], far[:, 2:], 1.0, START)
    mass, one = f.masses, torch.ones(1, dtype=torch.float64)
    with pytest.raises(InputError, match="joins two held nodes"):
        Rigid(f.motion, torch.tensor([[0, 1]]), one, torch.full((3,), math.inf, dtype=torch.float64))
    with pytest.raises(InputError, match="lengths reach 0"):
        Rigid(f.motion, torch.tensor([[0, 1]]), 0 * one, mass)


# temperature


def test_langevin_dynamics_keep_the_temperature() -> None:
    """Quadratic wells of several masses: positions kT / k exactly, momenta m kT (1 - (h omega / 2)^2), by z-tests."""
    mass = torch.tensor([1.0, 4.0], dtype=torch.float64)[:, None]
    warm, stiff, h, friction = 0.7, 2.0, 0.4, 1.5
    f = langevin(
        Separable(lambda t, q: -stiff * q, lambda t, p: p / mass), friction=friction, temperature=warm, mass=mass
    )
    u0 = torch.zeros(4000, 2, 2, dtype=torch.float64)
    times = torch.arange(0, 5) * 12.0 + 12.0
    run = evolve(f, u0, torch.cat([torch.zeros(1), times]), stepper=Baoab(), dt=h, brownian=Brownian(3))
    seen = run.states[1:].transpose(0, 1)  # [samples, times, n, 2]
    error = math.sqrt(2 / (4000 * 5))  # of a variance of independent normal numbers
    q2, p2 = seen[..., 0].square().mean((0, 1)), seen[..., 1].square().mean((0, 1))
    wanted = mass[:, 0] * warm * (1 - h**2 * stiff / mass[:, 0] / 4)
    assert float((q2 / (warm / stiff) - 1).abs().max()) < 4 * error
    assert float((p2 / wanted - 1).abs().max()) < 4 * error
    assert float((p2 / (mass[:, 0] * warm) - 1).abs().max()) > 4 * error  # the step shows in the momenta alone


def test_the_thermostat_alone_is_an_ornstein_uhlenbeck_process() -> None:
    f = langevin(Separable(lambda t, q: torch.zeros_like(q)), friction=0.8, temperature=0.5, mass=1.0)
    u0 = torch.cat([torch.zeros(20000, 1, 1), torch.full((20000, 1, 1), 2.0)], -1).double()
    p = evolve(f, u0, [0.0, 1.0], stepper="baoab", dt=0.5, brownian=Brownian(0)).final[..., 1]
    left, spread = math.exp(-0.8), math.sqrt(0.5 * (1 - math.exp(-1.6)))
    assert float(p.mean()) == pytest.approx(2 * left, abs=4 * spread / math.sqrt(20000))
    assert float(p.std()) == pytest.approx(spread, rel=4 / math.sqrt(40000))
    still = langevin(Separable(lambda t, q: -q), friction=0.0, temperature=0.5)
    start = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    run = evolve(still, start, [0.0, 1.0], stepper="baoab", dt=0.1, brownian=Brownian(0)).final
    middle = evolve(Separable(lambda t, q: -q), start, [0.0, 1.0], stepper="leapfrog", dt=0.1).final
    assert torch.allclose(run, middle, atol=1e-14)


def test_the_cold_limit_is_plain_friction() -> None:
    f = langevin(Separable(lambda t, q: -q), friction=0.3, temperature=0.0)
    u0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    damped = Reaction(lambda u: torch.stack([u[..., 1], -u[..., 0] - 0.3 * u[..., 1]], -1))
    exact = evolve(damped, u0, [0.0, 4.0], stepper="rk4", dt=0.01).final
    errors = [
        float((evolve(f, u0, [0.0, 4.0], stepper="baoab", dt=h, brownian=Brownian(0)).final - exact).norm())
        for h in (0.1, 0.05)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


def test_other_equations_with_noise_are_refused() -> None:
    u0, path = torch.ones(1, 2, dtype=torch.float64), Brownian(0)
    f = langevin(Reaction(lambda u: -u), friction=1.0, temperature=1.0)
    with pytest.raises(InputError, match=r"baoab needs langevin\(Separable.*Reaction"):
        evolve(f, u0, [0, 1], stepper="baoab", dt=0.1, brownian=path)
    with pytest.raises(InputError, match="temperature reaches -1"):
        langevin(Separable(lambda t, q: -q), friction=1.0, temperature=-1.0)
    with pytest.raises(InputError, match="mass reaches 0, expected finite numbers > 0"):
        langevin(Separable(lambda t, q: -q), friction=1.0, temperature=1.0, mass=0.0)
    with pytest.raises(InputError, match="knows no noise"):
        evolve(langevin(Separable(lambda t, q: -q), friction=1.0, temperature=1.0), u0, [0, 1], stepper="leapfrog",
               dt=0.1, brownian=path)  # fmt: skip


def test_leapfrog_takes_pairs() -> None:
    _, u = bodies()
    alone = evolve(lambda t, s: (s[1], -s[0]), (u[:, :2], u[:, 2:]), [0, 1], stepper=Leapfrog(), dt=0.1).final
    together = evolve(Separable(lambda t, q: -q), u, [0, 1], stepper=Leapfrog(), dt=0.1).final
    assert torch.allclose(torch.cat(list(alone), 1), together, atol=1e-15)
