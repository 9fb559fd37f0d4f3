"""Who chooses the next step: equal steps, or a controller that keeps the error of each step within a tolerance."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from graphpde.checks import number, positive
from graphpde.core import kernels
from graphpde.dynamics.control_each import EACH, AdaptingEach
from graphpde.dynamics.state import combine, is_finite, largest, leaves
from graphpde.dynamics.stepper import STEPPERS, Foresight, Step, Stepper
from graphpde.errors import InputError, StepUnderflow
from graphpde.ops.system import System
from graphpde.typing import Scalar, State

_SMALL = 0.1  # of the tolerance: the next step then follows from this error alone
_FAR = 0.3  # of the tolerance: below it a longer step is worth looking for
_TRIALS = 12  # lengths that are looked at before a step
_LOOK = 8  # accepted steps from one estimate of stiffness to the next


class Leg(NamedTuple):
    """One step to try.

    Attributes:
        t, dt: start and length. until: its end as a number. number: in its interval, from 0. gone: time of the interval
            behind it. start, end: of the interval.
    """

    t: Tensor
    dt: Scalar
    until: float
    number: int
    gone: float
    start: Tensor
    end: Tensor


class Pace(Protocol):
    """What the loop asks: the next leg, and whether a step may stand."""

    adapts: bool
    evaluations: int  # of F, to choose the first step

    def enter(self, start: Tensor, end: Tensor) -> Leg:
        """The first leg of an interval."""
        ...

    def after(self, leg: Leg) -> Leg | None:
        """The leg after an accepted one, None at the end of the interval."""
        ...

    def accepts(self, f: System, leg: Leg, step: Step | None, u: State) -> bool | Tensor:
        """Whether the step from u stands, or for which entries it does; None: it could not be computed."""
        ...

    def again(self, leg: Leg) -> Leg:
        """A shorter leg in place of a rejected one."""
        ...

    def fit(self, leg: Leg, ahead: Foresight, u: Tensor) -> Leg:
        """The leg whose error is foreseen to be about what is allowed."""
        ...

    def steps_left(self, leg: Leg, after: float) -> int:
        """Steps from the end of the leg to the end of the run, as far as that is known."""
        ...

    def statistics(self) -> Mapping[str, Any]:
        """What it has to tell at the end."""
        ...


class Equal:
    """ceil(interval / dt) equal steps in each interval; one without dt."""

    adapts, evaluations = False, 0

    def __init__(self, times: Tensor, dt: float | None):
        ends = times.detach()
        self.counts = [_steps(float(b - a), dt) for a, b in pairwise(ends)]
        self._entered = 0

    def enter(self, start: Tensor, end: Tensor) -> Leg:
        self._count = self.counts[self._entered]
        self._entered += 1
        return self._leg(start, end, 0)

    def after(self, leg: Leg) -> Leg | None:
        following = leg.number + 1
        return None if following == self._count else self._leg(leg.start, leg.end, following)

    def _leg(self, start: Tensor, end: Tensor, k: int) -> Leg:
        span, count = end - start, self._count
        length = float(span.detach())
        dt: Scalar = span / count if span.requires_grad else length / count
        until = float(start.detach()) + length * (k + 1) / count
        return Leg(start + span * (k / count), dt, until, k, length * k / count, start, end)

    def accepts(self, f: System, leg: Leg, step: Step | None, u: State) -> bool:
        return True

    def again(self, leg: Leg) -> Leg:
        return leg

    def fit(self, leg: Leg, ahead: Foresight, u: Tensor) -> Leg:
        return leg

    def steps_left(self, leg: Leg, after: float) -> int:
        return self._count - leg.number - 1 + sum(self.counts[self._entered :])

    def statistics(self) -> Mapping[str, Any]:
        return {}


def _steps(interval: float, dt: float | None) -> int:
    return 1 if dt is None else max(math.ceil(interval / dt * (1 - 1e-12) - 1e-9), 1)


@dataclass(frozen=True)
class Adaptive:
    """Steps as long as the tolerance allows.

    The error estimate e of a step is measured by the root mean square of e / (atol + rtol max(|u0|, |u1|)) over all
    free entries; the step stands where that is at most 1. The next one is dt safety err^(-0.7/k) err_before^(0.4/k), k
    the power of dt in the estimate, and dt safety err^(-1/k) after an error below a tenth. Steps are fitted to the
    saved times; what the controller would have taken is not forgotten.

    Args:
        rtol, atol: relative and absolute error allowed in one step; atol in units of u.
        dt0: first step; None = found from the size of the first two derivatives.
        dt_min: a controller that asks for less ends the run; None = what rounding in t leaves.
        dt_max: longest step. safety: factor below 1 on what the estimate allows.
        limits: smallest and largest ratio of two steps.
        each: "node", "state" or "graph": every sample of a batch takes steps of its own, see
            :mod:`~graphpde.dynamics.control_each`; None = all take the same.

    Raises:
        InputError: tolerances, steps or factors out of range.

    Reference: Gustafsson 1991, ACM Trans. Math. Softw. 17; Hairer and Wanner 1996, section IV.2; the starting step:
    Hairer, Norsett and Wanner 1993, section II.4.
    """

    rtol: float = 1e-4
    atol: float = 1e-7
    dt0: float | None = None
    dt_min: float | None = None
    dt_max: float | None = None
    safety: float = 0.9
    limits: tuple[float, float] = (0.2, 5.0)
    each: str | None = None

    def __post_init__(self) -> None:
        for name in ("rtol", "atol"):
            number(name, getattr(self, name))
        if self.rtol == 0 and self.atol == 0:
            raise InputError("rtol and atol are both 0, expected one of them > 0")
        for name in ("dt0", "dt_min", "dt_max"):
            if getattr(self, name) is not None:
                positive(name, getattr(self, name), finite=True)
        if self.dt_min is not None and self.dt_max is not None and self.dt_min > self.dt_max:
            raise InputError(f"dt_min = {self.dt_min:g} exceeds dt_max = {self.dt_max:g}")
        if not 0 < self.safety < 1:
            raise InputError(f"safety = {self.safety:g}, expected a factor between 0 and 1")
        if not 0 < self.limits[0] < 1 < self.limits[1]:
            raise InputError(f"limits = {self.limits}, expected a ratio below 1 and one above 1")
        if self.each is not None and self.each not in EACH:
            raise InputError(f"each='{self.each}', expected None or one of: {', '.join(EACH)}")

    def pace(self, f: System, stepper: Stepper, u: State, times: Tensor) -> Adapting | AdaptingEach:
        """The controller of one run.

        Raises:
            InputError: the stepper has no error estimate, or the tolerances are below what rounding allows.
        """
        self._check_reach(u)
        if stepper.error_power is None:
            fit = [n for n, kind in STEPPERS.items() if kind().error_power is not None and kind.accepts == "any"]
            able = ", ".join(fit)
            raise InputError(f"{stepper.name} estimates no error, so nothing can control its step; use one of {able}")
        kind = Adapting if self.each is None else AdaptingEach
        return kind(self, f, stepper, u, times)

    def _check_reach(self, u: State) -> None:
        """Refuse tolerances that rounding alone exceeds: steps would shrink to nothing."""
        for x in leaves(u):
            if x.is_floating_point() and x.numel():
                spacing = torch.finfo(x.dtype).eps
                if self.rtol < spacing and self.atol < spacing * float(x.detach().abs().max()):
                    raise InputError(
                        f"rtol = {self.rtol:g} and atol = {self.atol:g} cannot be reached in {x.dtype}, whose numbers "
                        f"lie {spacing:.1e} of themselves apart; take rtol >= {10 * spacing:.0e}"
                    )

    def factors(self, error: Any, before: Any, power: float) -> tuple[Any, Any]:
        """On the length of a step, from its error alone and with that of the step before: numbers, or tensors of them.

        Reference: Hairer and Wanner 1996, section IV.2 (PI control).
        """
        alone = self.safety * error ** (-1 / power)
        return alone, self.safety * error ** (-0.7 / power) * before ** (0.4 / power)

    def size(self, f: System, error: State, u0: State, u1: State) -> float:
        """The root mean square of the scaled error over all entries that no condition fixes."""
        total, count = 0.0, 0
        for e, a, b in list(zip(leaves(error), leaves(u0), leaves(u1), strict=True))[: f.controlled]:
            if not e.is_floating_point():
                continue
            if f.massless is not None:  # pressures follow, and may jump
                e = e.masked_fill(f.massless, 0.0)
            if f.fixed is not None:
                e, a, b = (f.fixed.free(x) for x in (e, a, b))
            total += kernels.backend(e).deviation(e, a, b, self.rtol, self.atol)
            count += e.numel()
        return math.sqrt(total / max(count, 1))

    def size_ahead(self, ahead: Foresight, dt: float, u: Tensor) -> float:
        """The same of a step of length dt that has not been taken, inf where that overflows."""
        factors, errors = ahead.factors(dt)
        with torch.no_grad():
            total = kernels.backend(u).deviation_of_sums(u, factors, errors, ahead.powers, self.rtol, self.atol)
        return math.sqrt(total / max(u.numel(), 1)) if total < math.inf else math.inf


class Adapting:
    """One run of :class:`Adaptive`: the step it wants, the last error, how often it was refused in a row."""

    adapts = True

    def __init__(self, control: Adaptive, f: System, stepper: Stepper, u: State, times: Tensor):
        self.control, self.stepper, self.power = control, stepper, float(stepper.error_power or 1)
        ends = times.detach()
        self.end = float(ends[-1])
        span = float(ends[-1] - ends[0])
        self.longest = min(control.dt_max or math.inf, span or math.inf)
        self.shortest = control.dt_min or 16 * 2.0**-52 * max(float(ends.abs().max()), span)
        first = control.dt0
        if first is None:
            with torch.no_grad():
                first = _first_step(control, f, stepper.order, ends[0], u)
        self.evaluations = 0 if control.dt0 is not None else 2
        self.wanted = min(max(first, self.shortest), self.longest)
        self.before, self.refused, self.last = _SMALL, 0, 0.0
        self.smallest, self.largest = math.inf, 0.0
        self.errors, self.judged, self.steepest = 0.0, 0, 0.0
        self.foreseen: tuple[float, float] | None = None  # a length and its error

    def enter(self, start: Tensor, end: Tensor) -> Leg:
        return self._leg(start, end, 0, 0.0)

    def after(self, leg: Leg) -> Leg | None:
        if leg.until == float(leg.end.detach()):
            return None
        dt = float(torch.as_tensor(leg.dt, dtype=torch.float64).detach())
        return self._leg(leg.start, leg.end, leg.number + 1, leg.gone + dt)

    def again(self, leg: Leg) -> Leg:
        return self._leg(leg.start, leg.end, leg.number, leg.gone)

    def fit(self, leg: Leg, ahead: Foresight, u: Tensor) -> Leg:
        """Lengths are tried until the error is within the tolerance and not far below it."""
        good: tuple[Leg, float] | None = None
        for _ in range(_TRIALS):
            dt = float(leg.dt)
            error = self.control.size_ahead(ahead, dt, u)
            self.foreseen = dt, error
            if error <= 1:
                good = leg, error
                if error >= _FAR:
                    break
            elif good is not None:  # too long: the one before was short, but stands
                leg = good[0]
                self.wanted, self.foreseen = float(leg.dt), (float(leg.dt), good[1])
                break
            factor = self.control.safety * max(error, 1e-15) ** (-1 / self.power) if math.isfinite(error) else 0.0
            self.wanted = min(max(dt * max(factor, 0.1), self.shortest), self.longest)
            fitted = self.again(leg)
            if abs(float(fitted.dt) - dt) <= 0.05 * dt:
                break
            leg = fitted
        return leg

    def _leg(self, start: Tensor, end: Tensor, number: int, gone: float) -> Leg:
        """The wanted step, shortened so that no short one is left for the end of the interval.

        Of an implicit method all are shortened a little, so that one length, and its factorisation, serves them all.
        """
        left = float(end.detach() - start.detach()) - gone
        count = max(math.ceil(left / self.wanted * (1 - 1e-9)), 1)
        dt = left / count if count <= 2 or self.stepper.implicit else self.wanted
        if abs(dt - self.last) <= 1e-11 * dt:  # the same up to rounding: a factorisation is then still good
            dt = self.last
        t = start + gone
        if count > 1:
            return Leg(t, dt, float(t.detach()) + dt, number, gone, start, end)
        learned = start.requires_grad or end.requires_grad
        return Leg(t, end - t if learned else dt, float(end.detach()), number, gone, start, end)

    def accepts(self, f: System, leg: Leg, step: Step | None, u: State) -> bool:
        """Whether the error is within the tolerance; sets the step that is wanted next.

        Raises:
            StepUnderflow: the wanted step is below the shortest one.
        """
        dt, control = float(torch.as_tensor(leg.dt, dtype=torch.float64).detach()), self.control
        least, most = control.limits
        most = min(most, getattr(self.stepper, "longest_ratio", math.inf))  # where a method of several steps has one
        foreseen = self.foreseen is not None and self.foreseen[0] == dt
        error = self.foreseen[1] if self.foreseen is not None and foreseen else self._error(f, step, u)
        self.foreseen = None
        if not error <= 1:
            shrink = 0.25 if not math.isfinite(error) else max(least, control.safety * error ** (-1 / self.power))
            self.wanted, self.refused = dt * min(shrink, 0.9), self.refused + 1
            if self.wanted < self.shortest:
                raise self._underflow(f, leg, step, u)
            return False
        alone, damped = control.factors(max(error, 1e-10), self.before, self.power)
        factor = alone if error < _SMALL or foreseen else damped  # of a small error there is nothing to damp
        factor = min(max(factor, least), 1.0 if self.refused else most)
        if self.stepper.implicit and 0.95 <= factor < 1.2:
            factor = 1.0  # a new factorisation costs more than a step that is a little longer saves
        following = dt * factor
        if dt < 0.5 * self.wanted:  # cut short by a saved time: the wanted step stays if the estimate allows it
            following = max(following, min(self.wanted, dt * alone))
        self.wanted = min(following, self.longest)
        self.before, self.refused, self.last = max(error, _SMALL), 0, dt
        self.smallest, self.largest = min(self.smallest, dt), max(self.largest, dt)
        self.errors, self.judged = self.errors + error, self.judged + 1
        if step is not None and step.stiffness is not None and self.judged % _LOOK == 1:
            self.steepest = max(self.steepest, step.stiffness())
        return True

    def _error(self, f: System, step: Step | None, u: State) -> float:
        if step is None or step.error is None or not is_finite(step.u):
            return math.inf
        with torch.no_grad():
            return self.control.size(f, step.error(), u, step.u)

    def _underflow(self, f: System, leg: Leg, step: Step | None, u: State) -> StepUnderflow:
        suspect = f.label
        if isinstance(u, Tensor):
            with torch.no_grad():
                bad = u if step is None or step.error is None else step.error()
                if f.fixed is not None:
                    bad = f.fixed.clear(bad)
                flat = torch.nan_to_num(bad.detach().abs(), nan=math.inf).amax(-1)
                node = int(flat.reshape(-1, flat.shape[-1]).amax(0).argmax())
                suspect = f"{f.blame((leg.t, leg.t + leg.dt), u, node)} at node {node}"
        bound = f.spectral_bound() if self.stepper.stiff == "none" else None
        stiff = bound is not None and bound * self.wanted > 0.1 * self.stepper.real_extent()
        return StepUnderflow(float(leg.t), self.wanted, largest(u), suspect, stiff, u)

    def steps_left(self, leg: Leg, after: float) -> int:
        return math.ceil(max(self.end - after, 0.0) / self.wanted * (1 - 1e-9))

    def statistics(self) -> Mapping[str, Any]:
        """Smallest and largest step; the mean error of accepted ones as a share of what is allowed; the largest rate
        seen in 1/time (dt times it beyond about 3: an explicit method is held back by stability), 0 = not estimated.
        """
        if not self.largest:
            return {}
        error = self.errors / self.judged
        seen = {"dt_smallest": self.smallest, "dt_largest": self.largest, "error_mean": error}
        return {**seen, "stiffness": self.steepest} if self.steepest else seen


def _first_step(control: Adaptive, f: System, order: float, t: Tensor, u: State) -> float:
    """A step whose explicit Euler error is a hundredth of the tolerance."""
    slope = f.rate(t, u)
    d0, d1 = control.size(f, u, u, u), control.size(f, slope, u, u)
    h = 1e-6 if not (math.isfinite(d0) and math.isfinite(d1)) or min(d0, d1) < 1e-5 else 0.01 * d0 / d1
    there = f.rate(t + h, f.reset(t + h, combine(u, [h], [slope])))
    d2 = control.size(f, combine(there, [-1.0], [slope]), u, u) / h
    steep = max(d1, d2)
    if not math.isfinite(steep):
        return h
    longer = max(1e-6, 1e-3 * h) if steep <= 1e-15 else (0.01 / steep) ** (1 / (order + 1))
    return min(100 * h, longer)
