"""Steps that lower an energy: implicit in its convex part, explicit in the concave rest, with momentum if wanted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics.stage import Factored, factored, solve_stage
from graphpde.dynamics.stepper import Carry, Step, Stepper, require_tensor
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State


class ConvexSplit:
    """M (v - u) = dt (L v + b(t + dt) + N(t, u)): backward Euler for the linear part, Euler for the rest.

    For the descent of an energy whose linear part is convex and whose rest is concave, the energy falls at every step,
    by at least |v - u|^2 / dt, for every dt; and v is all that one factorisation and one solve make.

    Args:
        method: linear solver, "auto", "direct", "cg" or "gmres". rtol: relative tolerance of iterative solves.

    Reference: Eyre 1998, MRS Proceedings 529.
    """

    name, order, implicit, symplectic, stiff, accepts = "convex_split", 1.0, True, "no", "linear", "any"
    error_power: float | None = None

    def __init__(self, *, method: str = "auto", rtol: float = 1e-12):
        self.method, self.rtol = method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        fresh = not (isinstance(carry, Factored) and carry.fits(f, dt))
        kept = factored(f, dt, u, self.method, self.rtol) if fresh else carry
        known, rest = times_mass(f.mass, u), f.rest(t, u)
        if rest is not None:
            known = known + dt * rest
        value, solves = solve_stage(f, t + dt, known, u, kept, nonlinear=False)
        work = {"solves": solves, "factorisations": int(fresh), "evaluations": int(f.nonlinear)}
        return Step(value, None, kept, work)

    def real_extent(self) -> float:
        return float("inf")


class _Moving(NamedTuple):
    """The state one step back, steps since the momentum was last dropped [*, 1, 1], and the carry of the plain step."""

    before: Tensor
    age: Tensor
    inner: Any


class Accelerated:
    """Steps from y = u + k / (k + 3) (u - u_before), k counting the steps: Nesterov's momentum, one state per node.

    With an energy it is monotone: where a step with momentum would raise the energy by more than rounding, it is taken
    again from u itself and k starts at 0; each member of a batch on its own.

    Args:
        stepper: the plain step. energy: u [*, n, c] -> [*], or None to keep the momentum whatever happens.

    Reference: Beck and Teboulle 2009 (FISTA); O'Donoghue and Candes 2015 (restart by function values).
    """

    order, implicit, symplectic, stiff, accepts = 1.0, True, "no", "linear", "any"
    error_power: float | None = None

    def __init__(self, stepper: Stepper, energy: Callable[[Tensor], Tensor] | None = None):
        self.stepper, self.energy = stepper, energy
        self.name = f"accelerated_{stepper.name}"

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return _Moving(u, u.new_zeros(*u.shape[:-2], 1, 1), self.stepper.init(f, t, u))

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        ahead = u + carry.age / (carry.age + 3) * (u - carry.before)
        moved = self.stepper.step(f, t, dt, ahead, carry.inner)
        value, age, inner, work = moved.u, carry.age + 1, moved.carry, dict(moved.work)
        if self.energy is not None and bool((carry.age > 0).any()):
            with torch.no_grad():
                now = self.energy(u)
                rounding = 100 * torch.finfo(u.dtype).eps * now.abs()
                worse = (self.energy(value) > now + rounding)[..., None, None]
            if bool(worse.any()):
                plain = self.stepper.step(f, t, dt, u, inner)
                value, age, inner = torch.where(worse, plain.u, value), age.masked_fill(worse, 1.0), plain.carry
                work = {name: work.get(name, 0) + count for name, count in plain.work.items()}
        return Step(value, None, _Moving(u, age, inner), work)

    def real_extent(self) -> float:
        return self.stepper.real_extent()
