"""Steppers of second order in time: orders, spectral radii, kept energy, gradients, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import STEPPERS, Checkpoints, CrankNicolson, GeneralisedAlpha, Newmark, evolve
from graphpde.errors import ConditionError, InputError, StepTooLong
from graphpde.mesh import Space, interval, jittered, rectangle
from graphpde.ops import Diffusion, Dirichlet, Held, Neumann, Reaction, Source, Wave
from graphpde.ops.elasticity import Elasticity, Elastodynamics

F64 = torch.float64
NAMES = [name for name, kind in STEPPERS.items() if kind.accepts == "second order"]


def test_both_are_registered() -> None:
    assert NAMES == ["newmark", "generalised_alpha"]


def driven_beam(lumped: bool) -> tuple[Any, Tensor]:
    """Everything that moves in time: a shaken end, a component held elsewhere, a traction, a body force, damping."""
    space = Space(jittered(rectangle(3, 2), 0.1, seed=0), lumped=lumped)

    def shaken(x: Tensor, t: Tensor) -> Tensor:
        return torch.stack([0.1 * torch.sin(5 * t) + 0 * x[:, 0], 0.2 * x[:, 1] * torch.sin(3 * t)], 1)

    body = Elasticity(space, 1.0, 0.3) + Source(
        space, lambda x, t: torch.stack([x[:, 0] * torch.cos(2 * t), t + 0 * x[:, 0]], 1)
    )
    motion = Elastodynamics(body, 2.0, rayleigh=(0.3, 0.02)) + Dirichlet("left", shaken)
    motion = motion + Neumann("top", torch.tensor([0.1, -0.2], dtype=F64))
    motion = motion + Dirichlet(torch.tensor([space.n - 1]), 0.05, channels=[1])
    u0 = torch.cat([0.1 * torch.sin(2 * space.pos), 0.1 * torch.cos(space.pos)], 1)
    return motion, u0


@pytest.mark.orders
@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
@pytest.mark.parametrize("name", NAMES)
def test_order_two_with_everything_that_moves(name: str, lumped: bool) -> None:
    motion, u0 = driven_beam(lumped)
    goal = evolve(motion, u0, [0.0, 1.0], stepper="esdirk4", dt=1 / 400).final
    errors = []
    for steps in (40, 80):
        run = evolve(motion, u0, [0.0, 1.0], stepper=STEPPERS[name](), dt=1 / steps)
        assert run.statistics["factorisations"] == 1 and run.statistics["solves"] == steps
        errors.append((run.final - goal).abs().amax(0))
    orders = (errors[0] / errors[1]).log2()
    assert float(orders.min()) > 1.85 and float(orders.max()) < 2.3


def test_the_mean_acceleration_is_the_trapezoidal_rule() -> None:
    space = Space(jittered(rectangle(4, 2), 0.1, seed=0), lumped=False)
    pull = Neumann("right", lambda x, t: torch.stack([torch.sin(4 * t) + 0 * x[:, 0], x[:, 1]], 1))
    motion = Elastodynamics(Elasticity(space, 3.0, 0.3), 2.0, (0.2, 0.05)) + pull + Dirichlet("left", 0.0)
    u0 = torch.zeros(space.n, 4, dtype=F64)
    one, two = (evolve(motion, u0, [0.0, 2.0], stepper=s, dt=0.05).final for s in (Newmark(), CrankNicolson()))
    assert torch.allclose(one, two, atol=1e-12) and float(one.abs().max()) > 0.1


def oscillator(omega: float, damping: float = 0.0) -> Any:
    """u'' = -omega^2 u - damping u' at the free end of a rod of one cell."""
    space = Space(interval(1))
    return Elastodynamics(Diffusion(space, 0.5 * omega**2), 1.0, rayleigh=(damping, 0.0)) + Dirichlet("left", 0.0)


def radius(stepper: Any, omega: float) -> float:
    """The largest factor of one step of length 1 on (u, v, a), from powers of it: accelerations are carried."""
    term, u = oscillator(omega), torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=F64)
    run = evolve(term, u, torch.arange(0.0, 61.0, dtype=F64), stepper=stepper)
    scale = torch.tensor([1.0, 1 / omega], dtype=F64)
    sizes = (run.states[:, 1] * scale).norm(dim=1)
    return float((sizes[60] / sizes[40]) ** (1 / 20))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8, 1.0])
def test_high_frequencies_are_damped_as_asked(rho: float) -> None:
    """A double root of the matrix of a step: its powers fall like k rho^k."""
    found = radius(GeneralisedAlpha(rho), 1e5)
    assert found == pytest.approx(rho * (60 / 40) ** (1 / 20) if 0 < rho < 1 else rho, abs=0.01 if rho else 0.05)
    assert radius(GeneralisedAlpha(rho), 1e-2) == pytest.approx(1.0, abs=1e-4)


def test_newmark_damps_nothing_or_what_gamma_says() -> None:
    assert radius(Newmark(), 1e4) == pytest.approx(1.0, abs=1e-9)
    assert radius(Newmark(0.36, 0.7), 1e4) < 0.9
    assert Newmark(0.36, 0.7).order == 1.0


@pytest.mark.parametrize("damping", [0.0, 0.4])
@pytest.mark.parametrize("name", NAMES)
def test_the_exact_oscillator(name: str, damping: float) -> None:
    omega, end, errors = 3.0, 2.0, []
    slow = math.sqrt(omega**2 - damping**2 / 4)
    phase = slow * end
    exact = math.exp(-damping * end / 2) * (math.cos(phase) + damping / (2 * slow) * math.sin(phase))
    for steps in (100, 200):
        u = torch.tensor([[0.0, 0.0], [1.0, 0.0]], dtype=F64)
        run = evolve(oscillator(omega, damping), u, [0.0, end], stepper=STEPPERS[name](), dt=end / steps)
        errors.append(abs(float(run.final[1, 0]) - exact))
    assert errors[1] < 1e-3 and math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


def test_linear_motions_keep_their_energy() -> None:
    space = Space(rectangle(4, 1, width=4.0), "p2")
    motion = Elastodynamics(Elasticity(space, 100.0, 0.3) + Dirichlet("left", 0.0), 1.0)
    u = torch.cat([torch.zeros_like(space.pos), 0.1 * space.pos], 1)
    u[space.tag("left").nodes] = 0.0
    run = evolve(motion, u, torch.linspace(0, 20, 21, dtype=F64), stepper=Newmark(), dt=0.05)
    energy = motion.energy(run.states)
    assert float((energy / energy[0] - 1).abs().max()) < 1e-11
    lost = motion.energy(evolve(motion, u, [0.0, 20.0], stepper=GeneralisedAlpha(0.5), dt=0.05).final)
    assert float(lost) < float(energy[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_wave_with_a_nonlinear_force(name: str) -> None:
    space = Space(interval(8))
    push = Reaction(lambda u: torch.stack([torch.zeros_like(u[..., 0]), -torch.sin(u[..., 0])], -1))
    term = Wave(space, 0.5, damping=0.1) + push + Held("left", lambda x, t: torch.sin(t) + 0 * x[:, 0])
    u0 = torch.cat([0 * space.pos, torch.cos(space.pos)], 1)
    goal = evolve(term, u0, [0.0, 1.0], stepper="esdirk4", dt=0.01).final
    errors = [
        float((evolve(term, u0, [0.0, 1.0], stepper=STEPPERS[name](), dt=dt).final - goal).abs().max())
        for dt in (0.05, 0.025)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)


@pytest.mark.grad
@pytest.mark.parametrize("name", NAMES)
def test_gradients_against_finite_differences(name: str) -> None:
    space = Space(rectangle(1, 1))

    def run(young: Tensor, density: Tensor, pull: Tensor, moved: Tensor, u: Tensor, end: Tensor) -> Tensor:
        body = Elasticity(space, young, 0.3) + Neumann("right", pull)
        motion = Elastodynamics(body + Dirichlet("left", lambda x, t: moved * torch.sin(3 * t)), density, (0.1, 0.05))
        times = torch.stack([torch.zeros((), dtype=F64), end[0]])
        return evolve(motion, u, times, stepper=STEPPERS[name](), dt=0.2).final

    numbers = ([2.0], [1.5], [0.3, -0.2], [0.1, 0.2])
    parts = [torch.tensor(x, dtype=F64) for x in numbers]
    parts[:2] = [x[0] for x in parts[:2]]
    parts += [torch.sin(torch.arange(16.0, dtype=F64)).reshape(4, 4) * 0.1, torch.tensor([0.5], dtype=F64)]
    inputs = [x.requires_grad_() for x in parts]
    assert torch.autograd.gradcheck(run, inputs, atol=1e-6, nondet_tol=1e-12, fast_mode=True)


@pytest.mark.parametrize("name", NAMES)
def test_checkpoints_and_batches_change_nothing(name: str) -> None:
    motion, u0 = driven_beam(True)
    together = evolve(motion, torch.stack([u0, 0.5 * u0]), [0.0, 0.3], stepper=STEPPERS[name](), dt=0.05).final
    found = []
    for way in ("direct", Checkpoints(3)):
        start = u0.clone().requires_grad_()
        final = evolve(motion, start, [0.0, 0.3], stepper=STEPPERS[name](), dt=0.05, grad=way).final
        found.append(torch.autograd.grad(final.square().sum(), start)[0])
        assert torch.allclose(final, together[0], atol=1e-12)
    assert torch.allclose(*found, atol=1e-13)
    single = evolve(motion, u0.float(), [0.0, 0.3], stepper=STEPPERS[name](), dt=0.05).final
    assert single.dtype == torch.float32 and torch.allclose(single.double(), together[0], atol=1e-4)


def test_velocity_verlet_is_explicit_and_knows_its_bound() -> None:
    space = Space(interval(20))
    term = Wave(space, 3.0) + Held("left", 0.0) + Held("right", 0.0)
    u0 = torch.cat([torch.sin(math.pi * space.pos), 0 * space.pos], 1)
    with pytest.raises(StepTooLong, match=r"stability bound 0\.0167 of newmark"):
        evolve(term, u0, [0.0, 1.0], stepper=Newmark(beta=0.0), dt=0.02)
    one, two = (evolve(term, u0, [0.0, 1.0], stepper=s, dt=0.01).final for s in (Newmark(beta=0.0), "leapfrog"))
    assert torch.allclose(one, two, atol=1e-12)


def test_refusals() -> None:
    space = Space(rectangle(2, 2))
    zero = torch.zeros(space.n, 4, dtype=F64)
    with pytest.raises(InputError, match=r"newmark advances M u'' = .* and Diffusion is no such term; make it Elasto"):
        evolve(Diffusion(space), zero, [0.0, 1.0], stepper="newmark", dt=0.1)
    with pytest.raises(InputError, match=r"gamma is 0\.4, expected a finite number >= 0\.5"):
        Newmark(gamma=0.4)
    with pytest.raises(InputError, match=r"rho_inf is 1\.2, expected a number from 0 to 1"):
        GeneralisedAlpha(1.2)
    with pytest.raises(InputError, match="drives displacements past their velocities"):
        term = Wave(space) + Source(space, 1.0)
        evolve(term, zero[:, :2], [0.0, 1.0], stepper="newmark", dt=0.1)
    with pytest.raises(ConditionError, match="Dirichlet on 'left' does not hold velocities at the rate"):
        evolve(Wave(space) + Dirichlet("left", 1.0), zero[:, :2], [0.0, 1.0], stepper="newmark", dt=0.1)
