"""Operator splitting: the linear part by one stepper, the nonlinear part by another."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

from torch import Tensor

from graphpde.dynamics.explicit import Rk4
from graphpde.dynamics.implicit import TrBdf2
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, Stepper, require_tensor
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


class _Kept(NamedTuple):
    """Both halves of the system it was split from, and what the linear stepper remembers."""

    whole: System
    linear: System
    rest: System
    carry: Any


class _Split:
    """What both splittings share.

    Args:
        linear: advances L u + b(t) with the Dirichlet values; None = ``TrBdf2(method, rtol)``.
        rest: advances N(t, u), node for node as if nothing was fixed. substeps: of it in one step.
        method, rtol: of the default linear stepper.
    """

    implicit, symplectic, stiff, accepts = True, "no", "linear", "any"
    name: str
    order: float
    error_power: float | None = None

    def __init__(
        self,
        linear: Stepper | None = None,
        rest: Stepper | None = None,
        substeps: int = 1,
        *,
        method: str = "auto",
        rtol: float = 1e-10,
    ):
        self.linear: Stepper = TrBdf2(method=method, rtol=rtol) if linear is None else linear
        self.rest: Stepper = Rk4() if rest is None else rest
        self.substeps = substeps

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return None

    def _halves(self, f: System, t: Tensor, u: Tensor, carry: Carry) -> _Kept:
        if isinstance(carry, _Kept) and carry.whole is f:
            return carry
        linear, rest = copy.copy(f), copy.copy(f)
        linear.rates, linear.weak = [], []
        rest.linear, rest.operator, rest.fixed = [], None, None
        rest.__dict__.pop("_mass_solver", None)  # it leaves out the fixed nodes
        return _Kept(f, linear, rest, self.linear.init(linear, t, u))

    def _react(self, f: System, t: Tensor, dt: Scalar, u: Tensor) -> Tensor:
        carry = self.rest.init(f, t, u)
        for k in range(self.substeps):
            step = self.rest.step(f, t + dt * (k / self.substeps), dt / self.substeps, u, carry)
            u, carry = step.u, step.carry
        return u

    def real_extent(self) -> float:
        return float("inf")


@STEPPERS.add("strang")
class Strang(_Split):
    """Half a linear step, a full nonlinear one, half a linear step: order 2.

    Dirichlet values that the nonlinear part moves cost order near the boundary: about 1.25 in the largest error
    is left in the stiff limit (Einkemmer and Ostermann 2015). Reference: Strang 1968.
    """

    name, order = "strang", 2.0

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        kept, half = self._halves(f, t, u, carry), 0.5 * dt
        first = self.linear.step(kept.linear, t, half, u, kept.carry)
        middle = self._react(kept.rest, t, dt, first.u) if f.nonlinear else first.u
        middle = f.reset(t + half, middle)
        second = self.linear.step(kept.linear, t + half, half, middle, first.carry)
        work = {k: first.work.get(k, 0) + second.work.get(k, 0) for k in {*first.work, *second.work}}
        return Step(second.u, None, kept._replace(carry=second.carry), work)


@STEPPERS.add("lie")
class Lie(_Split):
    """A nonlinear step, then a linear one: order 1, and the Dirichlet values hold at the end.

    Reference: Trotter 1959.
    """

    name, order = "lie", 1.0

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        kept = self._halves(f, t, u, carry)
        moved = f.reset(t, self._react(kept.rest, t, dt, u)) if f.nonlinear else u
        second = self.linear.step(kept.linear, t, dt, moved, kept.carry)
        return Step(second.u, None, kept._replace(carry=second.carry), second.work)
