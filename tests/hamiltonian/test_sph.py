"""Liquids by particles: momentum, lists against all pairs, rest, decay, exact dam breaks, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core.close_pairs import Box
from graphpde.dynamics import evolve
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.hamiltonian import (
    Fluid,
    JumpViscosity,
    Liquid,
    ShallowWater,
    Smearing,
    Smoothing,
    Start,
    dam_break,
    dam_break_profile,
    pendulum,
    shallow_dam_break,
    taylor_green,
)
from graphpde.hamiltonian.shallow import jump

START = torch.tensor(0.0, dtype=torch.float64)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# liquids


def disordered(**options) -> tuple[Fluid, Tensor]:
    """A periodic liquid of unequal masses with random velocities."""
    flow, u = taylor_green(10, seed=1)
    mass = flow.masses * (1 + 0.2 * torch.rand(flow.n, generator=torch.Generator().manual_seed(2), dtype=torch.float64))
    u = u + torch.cat([torch.zeros(flow.n, 2), 0.3 * noise(flow.n, 2), 0.01 * noise(flow.n, 1, seed=3)], 1)
    everything = {"viscosity": 0.02, "smearing": Smearing(0.3, 0.1, 0.4), "box": flow.box, **options}
    return Fluid(mass, flow.smoothing, flow.law, **everything), u


def by_loops(f: Fluid, u: Tensor) -> Tensor:
    """The rate of every particle by a sum over all others."""
    q, v, rho = f.parts(u)
    apart = q[None] - q[:, None]  # [i, j] = q_j - q_i
    apart = apart - torch.round(apart)
    s = apart.square().sum(-1)
    s.fill_diagonal_(9.0)
    slope, p, volume = f.smoothing.slope(s)[..., None], f.law.pressure(rho), f.masses[:, None] / rho
    grad = -slope * apart  # of W_ij at i
    relative = v[:, None] - v[None]
    both = volume[:, None] * volume[None]
    h, mean = 0.5 * f.smoothing.reach, 0.5 * (rho[:, None] + rho[None])
    approach = (-(relative * apart).sum(-1, keepdim=True)).clamp(max=0) / (s[..., None] + 0.01 * h * h)
    tension = p[:, None] + p[None] - f.smearing.viscosity * f.law.sound * h * mean * approach
    force = (-both * tension * grad + 2 * f.viscosity * mean * both * slope * relative).sum(1)
    squeeze = (relative * grad).sum(-1, keepdim=True)
    gap = rho[None] - rho[:, None]
    smear = -2 * f.smearing.density * h * f.law.sound * gap * slope
    rate = (volume[None] * (rho[:, None] * squeeze + smear)).sum(1)
    shift = -f.smearing.shifting * f.law.sound * f.smoothing.reach * (volume[None] * grad).sum(1)
    return torch.cat([v + shift, force / f.masses[:, None], rate], -1)


@pytest.mark.parametrize("smearing", [Smearing(0.3, 0.1, 0.4), Smearing(density=0.0)])
def test_lists_are_sums_over_all_pairs(smearing: Smearing) -> None:
    f, u = disordered(smearing=smearing)
    wanted = by_loops(f, u)
    assert torch.allclose(f(START, u), wanted, rtol=1e-11, atol=1e-11)
    assert torch.allclose(f.at(START, u)(START, u), wanted, rtol=1e-11, atol=1e-11)


def test_momentum_stays_to_rounding() -> None:
    f, u = disordered()
    final = evolve(f, u, [0.0, 0.1], stepper="heun", dt=f.step_limit(u)).final
    assert f.neighbours.made > 1
    scale = float((f.masses[:, None] * u[:, 2:4]).abs().sum())
    assert float((f.momentum(final) - f.momentum(u)).abs().max()) < 1e-13 * scale
    assert float(f.kinetic(final)) < float(f.kinetic(u))


def test_gradients_of_rates() -> None:
    f, u = disordered()
    u, w = u.requires_grad_(), noise(100, 5, seed=7)
    (found,) = torch.autograd.grad((f(START, u) * w).sum(), u)
    way = noise(100, 5, seed=8)
    with torch.no_grad():
        wanted = ((f(START, u + 1e-6 * way) - f(START, u - 1e-6 * way)) * w).sum() / 2e-6
    assert float((found * way).sum()) == pytest.approx(float(wanted), rel=1e-5)


def test_a_taylor_green_vortex_decays_as_the_exact_one() -> None:
    """Viscosity takes energy at the exact rate, to the square of smoothing width by wave length."""
    f, u = taylor_green(20)
    times = torch.tensor([0.0, 0.1])
    energy = f.kinetic(evolve(f, u, times, stepper="heun", dt=f.step_limit(u)).states)
    rate = -math.log(float(energy[1] / energy[0])) / 0.1
    assert rate == pytest.approx(16 * math.pi**2 / 100, rel=0.1)


def test_water_at_rest_stays() -> None:
    """A hydrostatic tank filled from wall to wall; what moves is slower than a fiftieth of free fall."""
    f, u = dam_break(8, height=1.0, length=1.0)
    states = evolve(f, u, torch.linspace(0, 1, 3), stepper="heun", dt=f.step_limit(u)).states
    speed = states[..., 2:4].norm(dim=-1)
    assert float(speed.max()) < 0.02 * math.sqrt(2)
    q, rho = states[-1, :64, :2], states[-1, :64, 4]
    deep = q[:, 1] < 0.7  # below the surface, where pressures are known
    assert float((f.law.pressure(rho) - (1 - q[:, 1]))[deep].abs().max()) < 0.06
    assert torch.equal(states[-1, 64:], states[0, 64:])


def test_a_dam_breaks() -> None:
    f, u = dam_break(5)
    final = evolve(f, u, [0.0, 1.0], stepper="heun", dt=f.step_limit(u)).final
    water = final[~f.held]
    assert 1.4 < float(water[:, 0].max()) < 2.4
    assert float(water[:, 1].min()) > -0.1
    fall = float((f.masses[~f.held] * (u[~f.held, 1] - water[:, 1])).sum())
    assert 0.6 * fall < float(f.kinetic(final)) < 1.05 * fall


def test_sound_comes_back_after_a_period() -> None:
    """A standing wave in one dimension, to the dispersion of a smoothing of a sixteenth of its length."""
    n, sound = 64, 5.0
    x = (torch.arange(n, dtype=torch.float64)[:, None] + 0.5) / n
    f = Fluid(torch.full((n,), 1 / n), Smoothing(4 / n, 1), Liquid(1.0, sound), smearing=Smearing(density=0.0),
              box=Box([1.0]))  # fmt: skip
    u = f.at_rest(x, 1e-4 * torch.sin(2 * math.pi * x))
    states = evolve(f, u, [0.0, 0.25 / sound, 1 / sound], stepper="rk4", dt=f.step_limit(u)).states
    assert float(states[1, :, 1].abs().max()) < 0.02e-4
    assert torch.allclose(states[2, :, 1], u[:, 1], rtol=0, atol=0.05e-4)


def test_laws_of_pressure() -> None:
    law = Liquid(1000.0, 20.0)
    rho = torch.linspace(990, 1010, 9, dtype=torch.float64)
    assert torch.allclose(law.density_at(law.pressure(rho)), rho, rtol=1e-14)
    near = law.pressure(torch.tensor([999.999, 1000.001], dtype=torch.float64))
    assert float(near[1] - near[0]) / 0.002 == pytest.approx(400.0, rel=1e-6)


# shallow water


def pond() -> Start:
    """Columns in the plane."""
    volume = 0.5 + torch.rand(50, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    return Start(ShallowWater(volume, Smoothing(1.0, 2), gravity=2.0), noise(50, 4))


@pytest.mark.parametrize("start", [lambda: shallow_dam_break(40, 1.0, 0.2, gravity=1.0, reach=6.0), pond])
def test_shallow_water_is_hamiltonian(start) -> None:
    water, u = start()
    u = (u + 0.003 * noise(*u.shape, seed=5)).requires_grad_()
    d = u.shape[1] // 2
    (slope,) = torch.autograd.grad(water.energy(u), u)
    free = torch.isfinite(water.masses)
    assert torch.allclose(water(START, u)[free, d:], -slope[free, :d], rtol=1e-11, atol=1e-12)
    own = 0.5 * water.gravity * water.smoothing.peak * water.volume.square().sum()
    by_depth = 0.5 * water.gravity * (water.volume * water.depth(u[:, :d])[:, 0]).sum()
    assert torch.allclose(water.potential(u[:, :d]) + own, by_depth, rtol=1e-12)


def test_jumps_keep_momentum_and_lose_energy() -> None:
    x = (torch.arange(60, dtype=torch.float64) + 0.5)[:, None] / 60
    volume = 1 / 60 + 0.01 * torch.rand(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    water = ShallowWater(volume, Smoothing(0.1, 1), gravity=1.0, box=Box([1.0]))
    u = torch.cat([x, 0.02 * torch.sin(2 * math.pi * x)], 1)
    final = evolve(water + JumpViscosity(water), u, [0.0, 0.3], stepper="heun", dt=water.step_limit(u) / 2).final
    assert float((water.momentum(final) - water.momentum(u)).abs().max()) < 1e-15 * 60
    assert float(water.energy(final)) < float(water.energy(u)) - 1e-5
    kept = evolve(water, u, [0.0, 0.3], stepper="leapfrog", dt=water.step_limit(u) / 2).final
    assert float(water.energy(kept)) == pytest.approx(float(water.energy(u)), rel=1e-4)


@pytest.mark.parametrize("right", [0.02, 0.1, 0.7])
def test_the_jump_of_a_dam_break_keeps_mass_and_momentum(right: float) -> None:
    """Rankine and Hugoniot's conditions, and the fan's invariant behind the jump."""
    g, left = 9.81, 1.3
    h, v, speed = jump(left, right, g)
    assert speed * (h - right) == pytest.approx(h * v, rel=1e-13)
    assert speed * h * v == pytest.approx(h * v * v + 0.5 * g * (h * h - right * right), rel=1e-12)
    assert v + 2 * math.sqrt(g * h) == pytest.approx(2 * math.sqrt(g * left), rel=1e-12)


@pytest.mark.parametrize("right", [0.0, 0.1])
def test_exact_dam_breaks_keep_water_and_obey_the_equations(right: float) -> None:
    x = torch.linspace(-4, 6, 200001, dtype=torch.float64)
    found = [dam_break_profile(x, t, 1.0, right, 1.0) for t in (0.995, 1.0, 1.005)]
    dx = float(x[1] - x[0])
    assert float(found[1].depth.sum()) * dx == pytest.approx(4 + 6 * right, abs=1e-4)
    h, v = found[1]
    gain = sum(sign * (p.depth * p.velocity).sum() for sign, p in ((-1, found[0]), (1, found[2]))) * dx / 0.01
    assert float(gain) == pytest.approx(0.5 * (1 - right**2), rel=0.02)  # by the pressures at both ends
    fan = (x > -0.9) & (x < 0.0)
    flow = (h * v)[2:] - (h * v)[:-2]
    rise = (found[2].depth - found[0].depth) / 0.01
    assert float((rise[1:-1] + flow / (2 * dx))[fan[1:-1]].abs().max()) < 1e-4


@pytest.mark.parametrize(("right", "stepper"), [(0.0, "leapfrog"), (0.1, "heun")])
def test_shallow_dam_breaks_follow_the_exact_ones(right: float, stepper: str) -> None:
    """To the width of the smoothing, 0.08 here, about the corners and the tip."""
    water, u = shallow_dam_break(150, 1.0, right, gravity=1.0, reach=12.0)
    f = water if right == 0 else water + JumpViscosity(water)
    final = evolve(f, u, [0.0, 0.5], stepper=stepper, dt=water.step_limit(u)).final
    q = final[:, :1]
    assert float(water.velocity(final)[torch.isinf(water.masses)].abs().max()) == 0
    x = q[torch.isfinite(water.masses)]
    wanted = dam_break_profile(x, 0.5, 1.0, right, 1.0).depth
    depth = water.depth(q)[torch.isfinite(water.masses)]
    assert float((depth - wanted).abs().sum() / wanted.sum()) < 0.04


# bad input


def test_bad_input() -> None:
    w, law, one = Smoothing(0.2, 2), Liquid(1.0, 10.0), torch.ones(3, dtype=torch.float64)
    for make, says in (
        (lambda: Fluid([1.0, 0.0], w, law), "mass reaches 0, expected finite numbers > 0"),
        (lambda: Fluid(one, w, law, viscosity=-1.0), "viscosity is -1"),
        (lambda: Fluid(one, w, law, box=Box([0.3, 0.3])), "box has an edge of 0.3, expected at least twice"),
        (lambda: Liquid(1.0, 0.0), "sound is 0"),
        (lambda: law.density_at(torch.tensor([0.0, -100.0])), "pressure reaches -100, expected > -14.2857, that of"),
        (lambda: JumpViscosity(pendulum().system), "water is a Particles, expected a ShallowWater"),
        (lambda: Smearing(density=-0.1), "density is -0.1"),
        (lambda: ShallowWater([1.0, -1.0], w), "volume reaches -1, expected finite numbers > 0"),
        (lambda: ShallowWater(one, w, gravity=0.0), "gravity is 0"),
        (lambda: dam_break_profile(one, 1.0, 1.0, 2.0), "right is 2.0, expected a finite number >= 0 and < 1"),
        (lambda: taylor_green(3), "n is 3, expected a whole number >= 8"),
        (lambda: dam_break(8, gravity=-1.0), "gravity is -1"),
        (lambda: shallow_dam_break(4), "n is 4, expected a whole number >= 16"),
    ):
        with pytest.raises(InputError, match=says):
            make()
    for options, says in (({"gravity": [1.0]}, "gravity has shape"), ({"held": [True]}, "held has shape")):
        with pytest.raises(ShapeError, match=says):
            Fluid(one, w, law, **options)
    f = Fluid(one, w, law)
    with pytest.raises(ShapeError, match=r"state has shape \[3, 4\], expected \[3, 5\]: 2 coordinates"):
        f(START, torch.ones(3, 4))
    with pytest.raises(InputError, match="particles 0 and 1 lie in one place"):
        f(START, f.at_rest(torch.zeros(3, 2, dtype=torch.float64)))


def test_blow_up_is_named() -> None:
    f, u = taylor_green(10)
    with pytest.raises(SolveError, match=r"shorter step"):
        evolve(f, u, [0.0, 1.0], stepper="euler", dt=0.05)


@pytest.mark.parametrize("exponent", (1.0, 7.0))
def test_energy_of_compression_is_the_work_of_the_pressure(exponent: float) -> None:
    law = Liquid(2.0, 3.0, exponent)
    rho = torch.tensor([1.7, 2.0, 2.4], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(law.energy(rho).sum(), rho)
    assert torch.allclose(slope, law.pressure(rho) / rho**2, atol=1e-14) and float(law.energy(rho)[1]) == 0
