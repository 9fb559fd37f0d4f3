"""Mixtures: mass that is kept, energy that falls in every step, growth rates, interfaces, and the splitting."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import STEPPERS, BackwardEuler, Sbdf2, TrBdf2, evolve
from graphpde.errors import InputError, ShapeError
from graphpde.mesh import P2, Space, interval, random_square, rectangle
from graphpde.ops import CahnHilliard, System

F64 = torch.float64
NOW = torch.zeros((), dtype=F64)
SPACES = {
    "periodic": lambda: Space(
        rectangle(8, 8, width=12.0, height=12.0), periodic=[("left", "right"), ("bottom", "top")]
    ),
    "triangles": lambda: Space(random_square(6, seed=1)),
    "P2": lambda: Space(random_square(3, seed=1), P2()),
}


def noise(space: Space, mean: float = 0.1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return mean + 0.5 * torch.randn(space.n, 1, dtype=F64, generator=generator)


def total(space: Space, u: Tensor) -> float:
    return float(space.integral(u[..., :1]))


@pytest.mark.parametrize("where", SPACES)
@pytest.mark.parametrize("dt", (0.01, 1.0, 100.0))
def test_split_steps_keep_the_mass_and_lower_the_energy_however_long(where: str, dt: float) -> None:
    space = SPACES[where]()
    form = CahnHilliard(space, kappa=0.01 if where != "periodic" else 1.0, split=True)
    u0 = form.start(noise(space))
    path = evolve(form, u0, [k * dt for k in range(6)], stepper=BackwardEuler(), dt=dt)
    energies = [float(form.energy(u)) for u in path.states]
    assert all(b <= a + 1e-13 * abs(a) for a, b in pairwise(energies))
    assert energies[-1] < energies[0]
    for u in path.states:
        assert total(space, u) == pytest.approx(total(space, u0), rel=1e-12)


TAKING = [name for name in STEPPERS if getattr(STEPPERS[name], "algebraic", False) and name != "projection"]


@pytest.mark.parametrize("name", TAKING)
def test_all_steppers_for_algebraic_parts_take_it(name: str) -> None:
    space = SPACES["periodic"]()
    form = CahnHilliard(space)
    u0 = form.start(0.2 * noise(space))
    stepper: Any = STEPPERS[name]()
    path = evolve(form, u0, [0.0, 0.1, 0.2], stepper=stepper, dt=0.02)
    fine = evolve(form, u0, [0.0, 0.2], stepper=TrBdf2(), dt=0.01).final
    assert float((path.final - fine)[:, 0].abs().max()) <= (2e-2 if stepper.order == 1 else 4e-3)
    assert total(space, path.final) == pytest.approx(total(space, u0), rel=1e-12)
    assert float(form.energy(u0)) > float(form.energy(path.states[1])) > float(form.energy(path.final))


def test_the_pieces_are_the_whole() -> None:
    space = SPACES["triangles"]()
    for split in (False, True):
        form = CahnHilliard(space, 2.0, 0.3, 0.7, wells=(0.1, 0.8), split=split)
        u = torch.cat([noise(space), noise(space, -0.3)], 1)
        f = System(form, None, NOW)
        assert torch.allclose(f(NOW, u), form(NOW, u), atol=1e-13)
        v = u.flip(0)
        assert torch.allclose(f.linearise(NOW, u)(v), form.linearise(NOW, u)(v), atol=1e-13)
        frozen = f.at(NOW, u)
        assert torch.allclose(frozen(NOW, u), form(NOW, u), atol=1e-13)  # there where it was frozen
        assert (frozen is f) == (not split)
        if split:  # the rest of W is convex: its curvature is 12 s^2, not 12 s^2 - 4
            curved = -frozen.linearise(NOW, u)(torch.cat([v[:, :1], 0 * v[:, :1]], 1))[:, 1:] * v[:, :1]
            assert float(curved.sum()) > 0


def test_splitting_is_of_first_order() -> None:
    space = SPACES["periodic"]()
    form, split = CahnHilliard(space), CahnHilliard(space, split=True)
    u0 = form.start(0.2 * noise(space))
    exact = evolve(form, u0, [0.0, 0.5], stepper=TrBdf2(), dt=0.5 / 48).final
    off = [
        float((evolve(split, u0, [0.0, 0.5], stepper=BackwardEuler(), dt=0.5 / n).final - exact)[:, 0].norm())
        for n in (20, 40)
    ]
    assert math.log2(off[0] / off[1]) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("k", (1, 2))
def test_a_mixture_separates_at_the_rate_of_the_linear_analysis(k: int) -> None:
    """c = eps cos(q x): growth M q^2 (1 - kappa q^2)."""
    length, kappa, mobility = 20.0, 1.5, 0.7
    space = Space(interval(40, length), P2(), periodic=[("left", "right")])
    form, q = CahnHilliard(space, mobility, kappa), 2 * math.pi * k / length
    wave = 1e-6 * torch.cos(q * space.pos)
    final = evolve(form, form.start(wave), [0.0, 2.0], stepper=TrBdf2(), dt=0.05).final
    rate = math.log(float(final[:, 0].norm() / wave.norm())) / 2
    assert rate == pytest.approx(mobility * q**2 * (1 - kappa * q**2), rel=1e-3)


@pytest.mark.parametrize("wells", [(-1.0, 1.0), (0.2, 0.7)])
def test_the_interface_is_a_hyperbolic_tangent(wells: tuple[float, float]) -> None:
    """Its energy is the integral of sqrt(2 kappa W) between the wells: 4/3 half sqrt(2 kappa barrier)."""
    low, high = wells
    kappa, barrier, half = 0.8, 0.4, (high - low) / 2
    width = (high - low) * math.sqrt(kappa / (8 * barrier))
    mesh = interval(160, 40 * width)
    space = Space(mesh, P2())
    form = CahnHilliard(space, 1.0, kappa, barrier, wells=wells)
    c = (low + high) / 2 + half * torch.tanh((space.pos - 20 * width) / width)
    u = form.start(c)
    assert float(u[:, 1].abs().max()) <= 3e-3 * 8 * barrier / (high - low)  # its parts; between nodes h^2
    assert float(form.energy(u)) == pytest.approx(4 / 3 * half * math.sqrt(2 * kappa * barrier), rel=1e-4)


def test_a_batch_is_its_members() -> None:
    space = SPACES["periodic"]()
    form = CahnHilliard(space)
    both = torch.stack([form.start(noise(space)), form.start(noise(space, -0.2))])
    path = evolve(form, both, [0.0, 1.0], stepper=Sbdf2(), dt=0.1)
    for u0, final in zip(both, path.final, strict=True):
        alone = evolve(form, u0, [0.0, 1.0], stepper=Sbdf2(), dt=0.1)
        assert torch.allclose(alone.final, final, atol=1e-10)
    assert form.energy(both).shape == (2,)


def test_refusals() -> None:
    space = SPACES["triangles"]()
    with pytest.raises(InputError, match=r"wells = \(1.0, 0.0\), expected two concentrations in ascending order"):
        CahnHilliard(space, wells=(1.0, 0.0))
    with pytest.raises(InputError, match="kappa is 0, expected finite numbers > 0"):
        CahnHilliard(space, kappa=0.0)
    form = CahnHilliard(space)
    with pytest.raises(ShapeError, match=r"the concentration has shape \[49, 2\], expected \[\*, 49, 1\]"):
        form.start(torch.zeros(49, 2, dtype=F64))
    with pytest.raises(InputError, match="mu in CahnHilliard .* has no time derivative, so rk4 cannot advance it"):
        evolve(form, form.start(noise(space)), [0.0, 1.0], stepper="rk4")
