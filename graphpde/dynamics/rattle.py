"""Symplectic steps of systems with rigid bonds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.errors import InputError
from graphpde.ops.rigid import Rigid, checked
from graphpde.ops.separable import halves
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


@STEPPERS.add("rattle")
class Rattle:
    """Velocity Verlet with the tensions of rigid bonds: order 2, symplectic on the positions that the bonds allow.

    Lengths hold to rounding after every drift, and momenta along them after every kick. For ``Rigid`` terms.

    Reference: Andersen 1983, J. Comput. Phys. 52; Hairer, Lubich and Wanner 2006, eq. (VII.1.26).
    """

    name, order, implicit, symplectic, stiff, accepts = "rattle", 2.0, False, "constrained", "none", "rigid"
    error_power: float | None = None
    reversible = True

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        assert isinstance(u, Tensor)
        checked(_bonds(f), u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        assert isinstance(u, Tensor)
        term = _bonds(f)
        q, p = halves(u)
        p = p + (0.5 * dt) * (term.kick(t, q) if carry is None else carry)
        q, p = term.placed(q, p, dt, t + 0.5 * dt)
        force = term.kick(t + dt, q)
        p = term.tangent(q, p + (0.5 * dt) * force)
        return Step(torch.cat([q, p], -1), None, force, {"evaluations": 1 + (carry is None)})

    def real_extent(self) -> float:
        """Of squared frequencies nothing is known."""
        return float("inf")


def _bonds(f: System) -> Rigid:
    parts: list[Any] = [*f.linear, *f.rates, *f.weak]
    if len(parts) != 1 or not isinstance(parts[0][1], Rigid) or parts[0][0] != 1.0 or f.fixed is not None:
        raise InputError(
            f"rattle needs one Rigid(motion, bonds, lengths, mass) and nothing beside it, got {f.label}; without rigid "
            "bonds use leapfrog"
        )
    return parts[0][1]
