"""What is measured of particles at every saved moment: energy, momentum, angular momentum."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.hamiltonian.balance import Kept, kept, particles_of
from graphpde.hamiltonian.particles import Particles
from graphpde.hamiltonian.sph import Fluid
from graphpde.ops.pair import Central
from graphpde.run.particles.config import ParticleSetup
from graphpde.viz import Certificate

_ROUNDING = 1e-11  # of sums of |p| and |q| |p|: what many steps leave
_PROMISED = ("yes", "constrained")


class ParticleMoment(NamedTuple):
    """Numbers of one saved state.

    Attributes:
        step, t: when. kept: what it holds. dt, rejected: where steps adapt, the last one and how many were refused.
    """

    step: int
    t: float
    kept: Kept
    dt: float | None = None
    rejected: int = 0

    def row(self, fields: Sequence[str] = ()) -> dict[str, Any]:
        """One line of metrics.jsonl."""
        out: dict[str, Any] = {"t": self.t, "step": self.step}
        if self.dt is not None:
            out |= {"dt": self.dt, "rejected": self.rejected}
        out |= {"energy": self.kept.energy, "kinetic": self.kept.kinetic}
        out |= {f"momentum_{axis}": p for axis, p in zip("xyz", self.kept.momentum)}
        if self.kept.angular is not None:
            axes = "z" if len(self.kept.angular) == 1 else "xyz"
            out |= {f"angular_momentum_{axis}": v for axis, v in zip(axes, self.kept.angular, strict=True)}
        return {key: value if math.isfinite(value) else None for key, value in out.items()}  # JSON knows no infinity


class ParticleMeter:
    """Measures states of particles.

    Attributes:
        conserves: whether nothing takes energy out.
        free: whether nothing outside acts on them, so that the total momentum stays.
        central: whether, besides, all forces point from one to the other, so that the angular momentum stays.
    """

    def __init__(self, setup: ParticleSetup):
        self.setup, body = setup, particles_of(setup.term)
        self.conserves = not getattr(body, "dissipates", False)
        self.free = self.central = False
        if isinstance(body, Particles):
            held = bool(torch.isinf(body.masses).any()) or body is not setup.term
            self.free = body.field is None and not held
            self.central = self.free and body.box is None and isinstance(body.pairs, Central | None)
        elif isinstance(body, Fluid):
            self.free = body.gravity is None and body.held is None

    def follow(self, t: float) -> None:
        """Nothing is given from outside."""

    def at(self, step: int, t: float, u: Tensor) -> ParticleMoment:
        """The numbers of the state u [n, c] at time t."""
        return ParticleMoment(step, t, kept(self.setup.term, u))

    def spoilt(self, moments: Sequence[ParticleMoment]) -> float:
        """By what share of its size the energy changed though nothing changes it: where friction takes some, rose."""
        fall, rise = self._changes(moments)
        return max(fall, rise) if self.conserves else rise

    @staticmethod
    def _changes(moments: Sequence[ParticleMoment]) -> tuple[float, float]:
        """How far the energy fell and rose, by the energies at the start."""
        first = moments[0].kept
        scale = max(abs(first.energy), first.kinetic, abs(first.energy - first.kinetic))
        change = [m.kept.energy - first.energy for m in moments]
        return _share(-min(change), scale), _share(max(change), scale)

    def certificates(self, moments: Sequence[ParticleMoment]) -> list[Certificate]:
        """What stays, and by how much it did not; a target where the mathematics promises it to rounding."""
        first = moments[0].kept
        fall, rise = self._changes(moments)
        text = "largest change of the energy"
        if not self.conserves:
            text += f", which friction takes; largest rise {rise:.2g}"
        out = [Certificate("energy", max(fall, rise), text=text)]
        if self.setup.d <= 3:
            size = max(m.kept.size[0] for m in moments)
            off = max(_off(m.kept.momentum, first.momentum) for m in moments)
            out.append(_stays("momentum", _share(off, size), self.free))
        if first.angular is not None:
            size = max(m.kept.size[1] for m in moments)
            off = max(_off(m.kept.angular or [], first.angular) for m in moments)
            kept_exactly = self.central and self.setup.stepper.symplectic in _PROMISED
            out.append(_stays("angular_momentum", _share(off, size), kept_exactly))
        return out


def _stays(name: str, change: float, promised: bool) -> Certificate:
    """A momentum that stays, or one that walls, fields or the stepper change."""
    text = f"largest change of the {name.replace('_', ' ')}" + ("" if promised else ", which need not stay here")
    return Certificate(name, change, _ROUNDING if promised else None, text=text)


def _off(now: Sequence[float], then: Sequence[float]) -> float:
    return math.dist(now, then)


def _share(part: float, whole: float) -> float:
    return part / whole if whole else part
