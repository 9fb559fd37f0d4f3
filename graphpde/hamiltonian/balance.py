"""What particles keep, and whether they still do: energy, momentum, angular momentum."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.errors import InputError, SolveError


class Kept(NamedTuple):
    """What a state of particles holds.

    Attributes:
        energy, kinetic: numbers. momentum: [d]. angular: [1] in the plane, [3] in space, None elsewhere and of liquids.
        size: sums of |p|, and of |q| |p|: below 1e-16 of them there is only rounding.
    """

    energy: float
    kinetic: float
    momentum: list[float]
    angular: list[float] | None
    size: tuple[float, float]


def particles_of(system: Any) -> Any:
    """The particles of a system, also behind its rigid bonds.

    Raises:
        InputError: it has no energy to speak of.
    """
    inner = getattr(system, "motion", system)
    if not all(hasattr(inner, name) for name in ("energy", "kinetic", "momentum", "phase")):
        raise InputError(
            f"a {type(inner).__name__} has no energy and momentum, expected Particles or rigid bonds of some"
        )
    return inner


@torch.no_grad()
def kept(system: Any, u: Tensor) -> Kept:
    """The numbers of a state u [n, c]."""
    body = particles_of(system)
    q, p = body.phase(u)
    turns = q.shape[-1] in (2, 3) and hasattr(body, "angular_momentum")
    angular = body.angular_momentum(u).double().tolist() if turns else None
    size = (float(p.norm(dim=-1).sum()), float((q.norm(dim=-1) * p.norm(dim=-1)).sum()))
    return Kept(float(body.energy(u)), float(body.kinetic(u)), body.momentum(u).double().tolist(), angular, size)


class EnergyGuard:
    """Ends a run whose energy blows up: given to ``evolve`` as ``watch``, called after each step.

    The energy is worked out only where the kinetic energy is suspicious, so that it costs next to nothing.

    Args:
        system: particles. u0: their first state. factor: of its energies that the total may change by.

    Raises:
        SolveError: the energy changed by more; names the step and the fastest particle.
    """

    def __init__(self, system: Any, u0: Tensor, factor: float = 10.0):
        self.body, start = particles_of(system), kept(system, u0)
        self.start = start.energy
        self.most = factor * max(abs(start.energy), start.kinetic, abs(start.energy - start.kinetic))

    @torch.no_grad()
    def __call__(self, step: int, steps: int, t: float, u: Tensor) -> None:
        kinetic = float(self.body.kinetic(u))
        if kinetic <= self.most or self.most == 0 or not bool(torch.isfinite(u).all()):  # of which the loop tells
            return
        energy = float(self.body.energy(u))
        if not abs(energy - self.start) <= self.most:  # nor where it is beyond all numbers
            speed = self.body.phase(u)[1].norm(dim=-1) / self.body.masses.to(u)
            worst = int(speed.argmax())
            raise SolveError(
                f"the energy blew up from {self.start:.4g} to {energy:.4g} at step {step}, t = {t:.6g}, where particle "
                f"{worst} is the fastest; take a shorter step (dt), or check that the energy has a least value"
            )
