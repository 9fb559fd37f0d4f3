"""Langevin dynamics by splitting: kick, drift, thermostat, drift, kick."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.dynamics.state import combine
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.dynamics.stochastic import Orders, moved
from graphpde.errors import InputError
from graphpde.ops.separable import Friction, Separable, Thermal, halves, summed
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


@STEPPERS.add("baoab")
class Baoab:
    """Half a kick, half a drift, the friction and noise of a step exactly, half a drift, half a kick: weak order 2.

    For :func:`~graphpde.ops.separable.langevin`. One force a step. Positions in a quadratic well have the exact
    variance whatever the step; momenta have m kT (1 - dt^2 omega^2 / 4).

    Reference: Leimkuhler and Matthews 2013, Appl. Math. Res. Express; J. Chem. Phys. 138, 174102, eqs. (10) and (11).
    """

    name, order, implicit, symplectic, stiff, accepts = "baoab", 2.0, False, "no", "none", "langevin"
    stochastic, calculus = True, "ito"
    strong, weak = Orders(1.0), Orders(2.0)
    error_power: float | None = None

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        halves(u)
        strange = [
            term.label
            for _, term in _parts(f)
            if not isinstance(term, Separable | Friction) or getattr(term, "constrained", False)
        ]
        if strange or not isinstance(f.noise, Thermal) or f.fixed is not None or f.mass is not None:
            what = f"{strange[0]} in {f.label}" if strange else f.label
            raise InputError(
                f"{self.name} needs langevin(Separable(kick, drift), friction=..., temperature=...) without held "
                f"values, got {what}; use euler_maruyama for other equations with noise"
            )
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        require_tensor(self.name, u)
        assert isinstance(u, Tensor)
        moves = summed([(factor, term) for factor, term in _parts(f) if isinstance(term, Separable)])
        q, p = halves(u)
        p = combine(p, [0.5 * dt], [moves.kick(t, q) if carry is None else carry])
        q = combine(q, [0.5 * dt], [moves.drift(t, p)])
        p = self._thermostat(f, t, dt, u, p)
        q = combine(q, [0.5 * dt], [moves.drift(t + dt, p)])
        force = moves.kick(t + dt, q)
        p = combine(p, [0.5 * dt], [force])
        return Step(torch.cat([q, p], -1), None, force, {"evaluations": 1 + (carry is None)})

    def _thermostat(self, f: System, t: Tensor, dt: Scalar, u: Tensor, p: Tensor) -> Tensor:
        """The momenta after friction and noise of the whole step: an Ornstein-Uhlenbeck process, exact in law."""
        assert isinstance(f.noise, Thermal)
        rate = torch.as_tensor(sum(factor * term.of(p) for factor, term in _parts(f) if isinstance(term, Friction)))
        rate, growth = rate.to(p), f.noise.variance(p)
        slow = rate * dt < 1e-8  # where the formula is 0 by 0
        safe = torch.where(slow, 1.0, rate)
        variance = torch.where(slow, growth * dt, -growth * torch.expm1(-2 * safe * dt) / (2 * safe))
        path = moved(f, t, dt, u).w
        assert path is not None
        return torch.exp(-rate * dt) * p + (variance / dt).sqrt() * halves(path)[1]

    def real_extent(self) -> float:
        """Of squared frequencies nothing is known."""
        return float("inf")


def _parts(f: System) -> list[tuple[Scalar, Any]]:
    return [*f.linear, *f.rates, *f.weak]
