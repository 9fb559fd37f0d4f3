"""Two-step backward differentiation, fully implicit and with an extrapolated nonlinear part."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from torch import Tensor

from graphpde.dynamics.imex import Ars222
from graphpde.dynamics.implicit import TrBdf2
from graphpde.dynamics.stage import Factored, factored, solve_stage
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, require_tensor
from graphpde.ops.system import System
from graphpde.ops.term import times_mass
from graphpde.typing import Scalar, State


class _Behind(NamedTuple):
    """What a two-step method remembers: the state one step back, the step, the solver, N one step back."""

    u: Tensor
    dt: Scalar
    kept: Factored | None
    rest: Tensor | None = None


class TwoStepWeights(NamedTuple):
    """u_new = now u + before u_old + dt gamma u'_new for a step ``ratio`` times the last one."""

    now: Scalar
    before: Scalar
    gamma: Scalar

    @classmethod
    def of(cls, ratio: Scalar) -> TwoStepWeights:
        return cls((1 + ratio) ** 2 / (1 + 2 * ratio), -(ratio**2) / (1 + 2 * ratio), (1 + ratio) / (1 + 2 * ratio))


class _TwoStep:
    """What both methods share: coefficients for steps of any ratio, one kept factorisation, a one-step start."""

    implicit, symplectic, accepts, algebraic = True, "no", "any", True
    name: str
    order = 2.0
    longest_ratio = 2.4  # below 1 + sqrt 2, where steps that keep growing lose stability (Grigorieff 1983)

    def __init__(self, *, method: str = "auto", rtol: float = 1e-10):
        self.method, self.rtol = method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        require_tensor(self.name, u)
        return None

    def _kept(self, f: System, h: Scalar, u: Tensor, behind: _Behind) -> tuple[Factored, bool]:
        if behind.kept is not None and behind.kept.fits(f, h):
            return behind.kept, False
        return factored(f, h, u, self.method, self.rtol), True

    def real_extent(self) -> float:
        return float("inf")


@STEPPERS.add("bdf2")
class Bdf2(_TwoStep):
    """Backward differentiation over two steps: order 2, L-stable, one solve a step.

    M (u_new - now u - before u_old) = gamma dt F(t + dt, u_new), with variable coefficients where steps change. The
    first step, and any more than 2.4 times the one before it, is one of ``tr_bdf2``.

    Reference: Curtiss and Hirschfelder 1952; the error estimate by the leapfrog predictor: Gresho, Lee and Sani 1980.
    """

    name, stiff = "bdf2", "all"
    error_power: float | None = 3.0

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        ratio: Any = math.inf if carry is None else dt / carry.dt
        if ratio > self.longest_ratio * (1 + 1e-9):
            first = TrBdf2(method=self.method, rtol=self.rtol).step(f, t, dt, u, None)
            return Step(first.u, first.error, _Behind(u, dt, None if carry is None else carry.kept), first.work)
        weights = TwoStepWeights.of(ratio)
        kept, fresh = self._kept(f, weights.gamma * dt, u, carry)
        known = times_mass(f.mass, weights.now * u + weights.before * carry.u)
        value, solves = solve_stage(f, t + dt, known, u, kept)

        def error() -> Tensor:
            """The share of the difference to u + (1 + r) dt u' - r^2 (u - u_old) that is the method's own."""
            predicted = u + (1 + ratio) * dt * f.rate(t, u) - ratio**2 * (u - carry.u)
            predictor = (1 + 1 / ratio) / 6
            own = (1 + ratio) ** 2 / (6 * ratio * (1 + 2 * ratio))
            return (value - predicted) * (own / (predictor + own))

        return Step(value, error, _Behind(u, dt, kept), {"solves": solves, "factorisations": int(fresh)})


@STEPPERS.add("sbdf2")
class Sbdf2(_TwoStep):
    """BDF2 for the linear part, the nonlinear one extrapolated from two steps: order 2, one linear solve a step.

    M (u_new - now u - before u_old) = gamma dt (L u_new + b + (1 + r) N - r N_old), r the ratio of the steps. The first
    step, and any more than 2.4 times the one before it, is one of ``ars222``.

    Reference: Ascher, Ruuth and Wetton 1995, SIAM J. Numer. Anal. 32; Wang and Ruuth 2008 for steps that change.
    """

    name, stiff = "sbdf2", "linear"
    error_power: float | None = None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        rest = f.rest(t, u)
        ratio: Any = math.inf if carry is None else dt / carry.dt
        if ratio > self.longest_ratio * (1 + 1e-9):
            first = Ars222(method=self.method, rtol=self.rtol).step(f, t, dt, u, None)
            return Step(first.u, None, _Behind(u, dt, None if carry is None else carry.kept, rest), first.work)
        weights = TwoStepWeights.of(ratio)
        h = weights.gamma * dt
        kept, fresh = self._kept(f, h, u, carry)
        known = times_mass(f.mass, weights.now * u + weights.before * carry.u)
        if rest is not None:
            known = known + h * ((1 + ratio) * rest - ratio * carry.rest)
        value = solve_stage(f, t + dt, known, u, kept, nonlinear=False).value
        work = {"solves": 1, "factorisations": int(fresh), "evaluations": int(f.nonlinear)}
        return Step(value, None, _Behind(u, dt, kept, rest), work)
