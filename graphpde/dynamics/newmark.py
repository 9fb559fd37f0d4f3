"""Steppers of motions, M u'' = A u + C u' + b(t) + N(t, u, u'), which solve for accelerations: d channels, not 2 d.

The state is [*, n, 2 d], displacements q and then velocities v; from one step to the next accelerations are carried.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.checks import number
from graphpde.core.block_operator import BlockSparse
from graphpde.core.combined import pin
from graphpde.core.jacobian import Action
from graphpde.core.linear_operator import LinearOperator
from graphpde.dynamics.stage import Factored, factored, solve_stage
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.errors import ConditionError, InputError
from graphpde.ops.constraint import Constraint, Fixed
from graphpde.ops.second_order import second_order
from graphpde.ops.separable import halves
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State


class _Carried(NamedTuple):
    """Accelerations at the end of the last step, and what serves the next one of the same length."""

    a: Tensor
    dt: Scalar
    whole: LinearOperator | None  # the operator that was factored
    kept: Factored
    fixed: Fixed | None


@STEPPERS.add("newmark")
class Newmark:
    """Displacements and velocities by Taylor's formula with accelerations a that M a = F(t, q, v) gives at its end.

    q_new = q + dt v + dt^2 ((1/2 - beta) a + beta a_new), v_new = v + dt ((1 - gamma) a + gamma a_new), order 2. With
    beta = 1/4 and gamma = 1/2, the mean acceleration, stable for every step, and the energy of a linear motion without
    damping is kept. beta = 0 is velocity Verlet, stable to dt = 2 / largest frequency.

    Args:
        beta: >= 0. gamma: from 1/2 on; above it high frequencies are damped and the order is 1.
        method: linear solver, see :class:`graphpde.solve.linear.LinearSolver`. rtol: of iterative solves.

    Raises:
        InputError: numbers out of these ranges.

    Reference: Newmark 1959, J. Eng. Mech. Div. 85; Hughes 2000, The Finite Element Method, section 9.1.
    """

    name, implicit, symplectic, stiff, accepts = "newmark", True, "no", "all", "second order"
    order = 2.0
    error_power: float | None = None
    mass_share = force_share = 0.0  # of the state before, in the equation that is solved: alpha_m and alpha_f

    def __init__(self, beta: float = 0.25, gamma: float = 0.5, *, method: str = "auto", rtol: float = 1e-10):
        number("beta", beta)
        number("gamma", gamma, least=0.5)
        self.beta, self.gamma, self.method, self.rtol = beta, gamma, method, rtol
        if gamma > 0.5:
            self.order = 1.0

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        if second_order(f) is None:
            raise InputError(
                f"{self.name} advances M u'' = A u + C u' + f, a state of displacements and velocities, and {f.label} "
                f"is no such term; make it Elastodynamics(body, density) or Wave, or use crank_nicolson"
            )
        d = halves(u)[0].shape[-1]
        with torch.no_grad():
            parts = [x for x in (f.load(t, u), f.rest(t, u)) if x is not None]
            if any(bool(x[..., :d].any()) for x in parts):
                raise InputError(
                    f"something in {f.label} drives displacements past their velocities; give forces and conditions "
                    f"inside Elastodynamics(body + ...)"
                )
        _of_accelerations(f, t, d)
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        q, v = halves(u)
        now, fresh = self._ready(f, t, dt, u, carry)
        a, end = now.a, t + dt
        on = dt * self.beta * dt, dt * self.gamma  # what a unit of a_new adds to both
        q_new = q + dt * v + dt * (0.5 - self.beta) * dt * a
        v_new = v + dt * (1 - self.gamma) * a
        lag = (self.mass_share - self.force_share) * dt  # behind the forces' time by as much as a is behind its own
        if now.fixed is not None:
            told = halves(f.reset(end, torch.zeros_like(u)))
            held = now.fixed.value(end + lag, a)
            q_new, v_new = (
                now.fixed.put(x, now.fixed.take(value) - h * held)
                for x, value, h in zip((q_new, v_new), told, on, strict=True)
            )
        part = self.force_share
        start = torch.cat([part * q + (1 - part) * q_new, part * v + (1 - part) * v_new], -1)
        equation = _Equation(self, f, t + (1 - part) * dt, end + lag, start, dt, now)
        new, solves = solve_stage(equation, end, equation.known(a), a, now.kept)  # type: ignore[arg-type]
        value = f.reset(end, torch.cat([q_new + on[0] * new, v_new + on[1] * new], -1))
        return Step(value, None, now._replace(a=new), {"solves": solves, "factorisations": int(fresh)})

    def _ready(self, f: System, t: Tensor, dt: Scalar, u: Tensor, carry: Carry) -> tuple[_Carried, bool]:
        """What the step needs, and whether something was factored for it."""
        if isinstance(carry, _Carried) and carry.whole is f.operator and _same(carry.dt, dt):
            return carry, False
        a = halves(f.rate(t, u))[1] if carry is None else carry.a
        fixed = _of_accelerations(f, t, a.shape[-1]) if carry is None else carry.fixed
        equation = _Equation(self, f, t, t, u, dt, None, fixed)
        return _Carried(a, dt, f.operator, factored(equation, 1.0, a, self.method, self.rtol), fixed), True  # type: ignore[arg-type]

    def longest_step(self, f: System) -> float | None:
        """None where every step is stable; else by the largest frequency of the terms that know theirs."""
        if 2 * self.beta >= self.gamma:
            return None
        told: list[Any] = [getattr(term, "frequency_bound", None) for _, term in f.linear]
        bounds = [bound() for bound in told if bound is not None]
        return (self.gamma / 2 - self.beta) ** -0.5 / bounds[0] if bounds and bounds[0] else None

    def real_extent(self) -> float:
        return float("inf")


@STEPPERS.add("generalised_alpha")
class GeneralisedAlpha(Newmark):
    """Newmark's method with inertia and forces taken between both ends: order 2, damps what the step cannot resolve.

    Low frequencies are damped least for a given damping of high ones. Loads are taken at t + (1 - alpha_f) dt.

    Args:
        rho_inf: what is left of infinitely high frequencies after a step, from 0 (gone) to 1 (kept).
        method, rtol: as for :class:`Newmark`.

    Raises:
        InputError: rho_inf outside [0, 1].

    Reference: Chung and Hulbert 1993, J. Appl. Mech. 60, eqs. (17) and (25).
    """

    name = "generalised_alpha"

    def __init__(self, rho_inf: float = 0.8, *, method: str = "auto", rtol: float = 1e-10):
        number("rho_inf", rho_inf)
        if rho_inf > 1:
            raise InputError(f"rho_inf is {rho_inf:g}, expected a number from 0 to 1")
        self.rho_inf = rho_inf
        self.mass_share = (2 * rho_inf - 1) / (rho_inf + 1)
        self.force_share = rho_inf / (rho_inf + 1)
        ahead = 1 - self.mass_share + self.force_share
        super().__init__(ahead**2 / 4, ahead - 0.5, method=method, rtol=rtol)
        self.order = 2.0


class _Equation:
    """(1 - alpha_m) M a_new + alpha_m M a = F(t, q, v) as a system in a_new, with q and v linear in it.

    Divided by 1 - alpha_m it has what :func:`~graphpde.dynamics.stage.solve_stage` asks of a system.
    """

    def __init__(
        self,
        stepper: Newmark,
        f: System,
        t: Tensor,
        held_at: Tensor,
        start: Tensor,
        dt: Scalar,
        carried: _Carried | None,
        fixed: Fixed | None = None,
    ):
        self.f, self.t, self.held_at, self.start = f, t, held_at, start
        self.fixed = fixed if carried is None else carried.fixed
        self.mass, self.nonlinear = f.mass, f.nonlinear
        self.mass_share = stepper.mass_share
        self.share = 1 / (1 - stepper.mass_share)
        self.reach = tuple((1 - stepper.force_share) * h for h in (dt * stepper.beta * dt, dt * stepper.gamma))
        parts = second_order(f)
        assert parts is not None
        self.pull, self.damping = parts
        self.operator = self._operator() if carried is None else carried.kept.operator

    def _operator(self) -> LinearOperator:
        by_q, by_v = (self.share * h for h in self.reach)
        total = self.pull * by_q
        return total if self.damping is None else total + self.damping * by_v

    def known(self, a: Tensor) -> Tensor:
        """What does not depend on a_new, but for the loads."""
        q, v = halves(self.start)
        force = self.pull(q) if self.damping is None else self.pull(q) + self.damping(v)
        return self.share * (force if not self.mass_share else force - self.mass_share * times_mass(self.mass, a))

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        load = self.f.load(self.t, self.start)
        return None if load is None else self.share * halves(load)[1]

    def rest(self, t: Tensor, a: Tensor) -> Tensor | None:
        rest = self.f.rest(self.t, self._moved(a))
        return None if rest is None else self.share * halves(rest)[1]

    def linearise(self, t: Tensor, a: Tensor) -> LinearOperator:
        """Of all forces, by a."""
        by_q, by_v = (self.share * h for h in self.reach)
        return _by_accelerations(self.f.linearise(self.t, self._moved(a)), a.shape[-1], by_q, by_v)

    def _moved(self, a: Tensor) -> Tensor:
        return self.start + torch.cat([h * a for h in self.reach], -1)

    def reset(self, t: Tensor, a: Tensor) -> Tensor:
        """Held entries have the acceleration of what holds them."""
        return a if self.fixed is None else self.fixed.put(a, self.fixed.value(self.held_at, a))

    def pin(self, operator: LinearOperator) -> LinearOperator:
        return operator if self.fixed is None else pin(operator, self.fixed.mask)


def _by_accelerations(whole: LinearOperator, d: int, by_q: Scalar, by_v: Scalar) -> LinearOperator:
    """The lower half of a Jacobian of 2 d channels, applied to (by_q a, by_v a)."""
    if isinstance(whole, BlockSparse):
        weight, diag = (by_q * x[:, d:, :d] + by_v * x[:, d:, d:] for x in (whole.weight, whole.diag))
        return BlockSparse(whole.relation, weight, diag)
    back = whole.transpose()

    def product(a: Tensor) -> Tensor:
        return halves(whole.matvec(torch.cat([by_q * a, by_v * a], -1)))[1]

    def transposed(y: Tensor) -> Tensor:
        q, v = halves(back.matvec(torch.cat([torch.zeros_like(y), y], -1)))
        return by_q * q + by_v * v

    return Action(whole.n, product, transposed)


def _of_accelerations(f: System, t: Tensor, d: int) -> Fixed | None:
    """What is held, as accelerations.

    Raises:
        ConditionError: a condition on displacements or velocities alone, or one whose velocities are not the rates.
    """
    if f.fixed is None:
        return None
    return Fixed([_accelerations(c, t, d) for c in f.fixed.constraints], f.fixed.mask.shape[0], t, d)


def _accelerations(held: Constraint, t: Tensor, d: int) -> Constraint:
    upper = None if held.channels is None else held.channels[: len(held.channels) // 2]
    value, rate = held.value(t).detach(), held.rate(t).detach()
    half = value.shape[1] // 2
    paired = upper is None or held.channels == (*upper, *(d + k for k in upper))
    if not paired or not torch.allclose(value[:, half:], rate[:, : max(half, 1)], rtol=1e-6, atol=1e-9):
        raise ConditionError(
            f"{held.label} does not hold velocities at the rate of its displacements; give it inside "
            f"Elastodynamics(body + ...), or as Held beside Wave"
        )
    return Constraint(
        held.nodes,
        lambda at: held.rate(at)[:, half:],
        held.label,
        constant=held.constant,
        override=held.override,
        places=held.places,
        channels=upper,
    )


def _same(a: Scalar, b: Scalar) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b
    return abs(a - b) <= 1e-12 * abs(b)
