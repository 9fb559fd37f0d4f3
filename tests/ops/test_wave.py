"""The wave equation: exact vibrations, kept energy, damping, and the bound of leapfrog."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import CrankNicolson, Esdirk4, Leapfrog, evolve
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.errors import InputError, StepTooLong
from graphpde.mesh import Space, interval, random_square
from graphpde.ops import Diffusion, Held, System, Wave

START = torch.tensor(0.0, dtype=torch.float64)


def plucked(space: Space) -> Tensor:
    return torch.cat([torch.sin(math.pi * space.pos[:, :1]), 0 * space.pos[:, :1]], 1)


@pytest.mark.parametrize("lumped", [True, False], ids=["lumped", "consistent"])
@pytest.mark.parametrize("stepper", [CrankNicolson(), Leapfrog()], ids=lambda s: s.name)
def test_a_string_vibrates_with_its_frequency(stepper: CrankNicolson | Leapfrog, lumped: bool) -> None:
    """u = sin(pi x) cos(pi c t): order 2 in mesh and step together."""
    errors = []
    for n in (10, 20):
        space = Space(interval(n), lumped=lumped)
        term = Wave(space, 2.0) + Held("left", 0.0) + Held("right", 0.0)
        run = evolve(term, plucked(space), [0.0, 0.7], stepper=stepper, dt=0.15 / n)
        exact = torch.sin(math.pi * space.pos[:, 0]) * math.cos(2 * math.pi * 0.7)
        errors.append(float((run.final[:, 0] - exact).abs().max()))
    assert math.log2(errors[0] / errors[1]) > 1.9


@pytest.mark.parametrize("steps", [500, pytest.param(10_000, marks=pytest.mark.slow)])
def test_energy_over_many_steps(steps: int) -> None:
    """Kept to rounding by the trapezoidal rule; by leapfrog within the square of half dt times the frequency."""
    space = Space(interval(6))
    wave = Wave(space)
    term = wave + Held("left", 0.0) + Held("right", 0.0)
    bound = wave.frequency_bound()
    assert bound is not None
    dt = 0.2 / bound
    for stepper, allowed in ((CrankNicolson(), 1e-10), (Leapfrog(), 0.02)):
        energies: list[Tensor] = []
        u0 = plucked(space) + torch.tensor([[0.0, 0.3]], dtype=torch.float64)
        evolve(term, u0, [0.0, steps * dt], stepper=stepper, dt=dt, watch=lambda k, n, t, u, e=energies: e.append(u))
        series = wave.energy(torch.stack(energies))
        assert float((series / series[0] - 1).abs().max()) < allowed
        early, late = series[: steps // 2].mean(), series[-steps // 2 :].mean()
        assert float((late / early - 1).abs()) < 1e-3  # bounded, not drifting


def test_leapfrog_beyond_its_bound_is_refused() -> None:
    space = Space(interval(20))
    term = Wave(space, 3.0) + Held("left", 0.0)
    limit = longest_stable_step(System(term, None, START), Leapfrog())
    assert limit == pytest.approx(1 / 20 / 3, rel=1e-6)  # h / c: the classical bound of a lumped line
    with pytest.raises(StepTooLong, match=r"2 over the largest frequency of Wave"):
        evolve(term, plucked(space), [0.0, 1.0], stepper=Leapfrog(), dt=1.1 * limit)
    run = evolve(term, plucked(space), [0.0, 500 * limit], stepper=Leapfrog(), dt=0.99 * limit)
    assert float(run.final.abs().max()) < 50


def test_a_moving_end_gives_its_rate_too() -> None:
    space = Space(interval(8))
    term = Wave(space) + Held("left", lambda x, t: torch.sin(5 * t) + 0 * x[:, 0]) + Held("right", 0.25)
    for stepper in (CrankNicolson(), Leapfrog()):
        final = evolve(term, 0 * plucked(space), [0.0, 0.6], stepper=stepper, dt=0.01).final
        left, right = space.nodes_of("left"), space.nodes_of("right")
        assert final[left].flatten().tolist() == pytest.approx([math.sin(3.0), 5 * math.cos(3.0)], rel=1e-12)
        assert final[right].flatten().tolist() == [0.25, 0.0]


def test_damping_takes_energy_and_leapfrog_refuses_it() -> None:
    """The mean of a free string obeys v' = -d v."""
    space = Space(random_square(3, seed=1))
    wave = Wave(space, damping=1.5)
    u0 = torch.cat([torch.cos(math.pi * space.pos[:, :1]), torch.ones(space.n, 1, dtype=torch.float64)], 1)
    final = evolve(wave, u0, [0.0, 1.0], stepper=Esdirk4(), dt=0.05).final
    mean = space.integral(final) / space.integral(torch.ones_like(u0))
    assert float(mean[1]) == pytest.approx(math.exp(-1.5), rel=1e-5)
    assert float(wave.energy(final)) < float(wave.energy(u0))
    with pytest.raises(InputError, match=r"leapfrog needs q' = v, v' = a\(q\).*damping.*crank_nicolson"):
        evolve(wave, u0, [0.0, 1.0], stepper=Leapfrog(), dt=0.001)
    with pytest.raises(InputError, match=r"leapfrog needs q' = v"):
        evolve(Diffusion(space), u0, [0.0, 1e-4], stepper=Leapfrog())


@pytest.mark.grad
def test_gradients_of_the_speed() -> None:
    space = Space(interval(5))

    def run(speed: Tensor) -> Tensor:
        term = Wave(space, speed) + Held("left", 0.0)
        return evolve(term, plucked(space), [0.0, 0.3], stepper=CrankNicolson(), dt=0.1).final

    speed = torch.linspace(0.8, 1.2, 5, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(run, (speed,), atol=1e-6)


def test_bad_speeds_and_dampings_are_refused() -> None:
    space = Space(interval(3))
    with pytest.raises(InputError, match=r"speed is negative"):
        Wave(space, -1.0)
    with pytest.raises(InputError, match=r"damping = -1, expected a finite number >= 0"):
        Wave(space, damping=-1.0)
