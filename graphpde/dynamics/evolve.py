"""The one time loop."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.dynamics.state import first_bad_node, is_finite, largest, leaves
from graphpde.dynamics.stepper import Carry, Stepper
from graphpde.dynamics.trajectory import Save, SaveAll, Trajectory, stacked
from graphpde.errors import Diverged, InputError, SolveError, StepTooLong
from graphpde.ops.system import System
from graphpde.typing import Scalar, State

Watch = Callable[[int, int, float, State], None]
_CHECK = 16  # steps between finite checks; the exact step is found by going over them again


def evolve(
    f: Any,
    u0: State,
    times: Tensor | Sequence[float],
    *,
    stepper: Stepper,
    dt: float | None = None,
    domain: Graph | None = None,
    save: Save | None = None,
    grad: str = "direct",
    allow_unstable: bool = False,
    watch: Watch | None = None,
) -> Trajectory:
    """Solve M u' = F(t, u) from ``u0`` and keep the states at ``times``.

    Args:
        f: a Term, a sum of terms and conditions, or any callable (t, u) -> u'; t is a 0-d tensor.
        u0: initial state [*, n, c], or a (named) tuple of tensors for explicit steppers. It is ``states[0]`` as
            given; the first step starts from it with the Dirichlet values put in.
        times: saved times, increasing; ``times[0]`` is the start. A tensor that requires a gradient gets one.
        stepper: for example ``CrankNicolson()``.
        dt: step; None takes one step per interval, a number takes ceil(interval / dt) equal steps in each.
        domain: where the state lives, when no term says so.
        save: a policy; default: keep every one of ``times``.
        grad: "direct": autograd through every step.
        allow_unstable: take explicit steps beyond the stability bound.
        watch: called as watch(step, steps, t, u) after each step, for progress.

    Returns:
        times [s], states [s, *, n, c], and what the stepper counted.

    Raises:
        InputError: times not increasing, dt <= 0 or not finite, a non-finite initial state, unknown ``grad``.
        StepTooLong: an explicit step beyond the bound of the linear part (a bound: half of it is safe, twice may be).
        Diverged: the state became non-finite; names the step, the node and the term, and holds the last good state.
    """
    if grad != "direct":
        raise InputError(f"grad='{grad}' is not available, expected 'direct'")
    times = _times(times)
    _check_inputs(u0, dt)
    t = times[0]
    system = System(f, domain, t.detach())
    system.check_state(u0)
    if system.fixed is not None:
        system.fixed.refuse_clashes(times[-1].detach())
    counts = [_steps(float(b - a), dt) for a, b in zip(times[:-1].detach(), times[1:].detach(), strict=True)]
    if not stepper.implicit and not allow_unstable and counts:
        spans = (times.detach().diff() / torch.tensor(counts, dtype=times.dtype)).tolist()
        refuse_unstable(system, stepper, max(spans))
    save = save or SaveAll()
    save.add(t, u0)
    u = system.reset(t, u0) if isinstance(u0, Tensor) else u0
    loop = _Loop(system, stepper, sum(counts), watch)
    carry = stepper.init(system, t, u)
    for start, end, count in zip(times[:-1], times[1:], counts, strict=True):
        u, carry = loop.interval(start, end, count, u, carry)
        save.add(end, u)
    kept_times, kept = save.kept()
    return Trajectory(torch.stack(kept_times), stacked(kept), system.domain or domain, loop.done)


class _Loop:
    """The counter and the finite check around the steps of one run."""

    def __init__(self, f: System, stepper: Stepper, total: int, watch: Watch | None):
        self.f, self.stepper, self.total, self.watch = f, stepper, total, watch
        self.done = 0

    def interval(self, start: Tensor, end: Tensor, count: int, u: State, carry: Carry) -> tuple[State, Carry]:
        """``count`` equal steps from start to end."""
        span = end - start
        dt: Scalar = span / count if span.requires_grad else float(span) / count
        good = (0, u, carry)
        for k in range(count):
            t = start + span * (k / count)
            u, carry = self._step(t, dt, u, carry)
            self.done += 1
            if self.watch is not None:
                self.watch(self.done, self.total, float(start) + float(span) * (k + 1) / count, u)
            if (k + 1) % _CHECK == 0 or k + 1 == count:
                if not is_finite(u):
                    self._find_divergence(start, span, dt, count, good, k + 1, u)
                good = (k + 1, u, carry)
        return u, carry

    def _step(self, t: Tensor, dt: Scalar, u: State, carry: Carry) -> tuple[State, Carry]:
        f = self.f.at(t, u) if isinstance(u, Tensor) else self.f
        try:
            step = self.stepper.step(f, t, dt, u, carry)
        except SolveError as error:
            where = f"step {self.done + 1} of {self.total} (t={float(t):.6g}, {self.stepper.name})"
            raise SolveError(f"{where}: {error}", error.result) from error
        return step.u, step.carry

    def _find_divergence(
        self,
        start: Tensor,
        span: Tensor,
        dt: Scalar,
        count: int,
        good: tuple[int, State, Carry],
        until: int,
        bad: State,
    ) -> None:
        """Go over the steps since the last check again and name the first bad one."""
        first, u, carry = good
        with torch.no_grad():
            for k in range(first, until):
                t = start + span * (k / count)
                new, carry = self._step(t, dt, u, carry)
                if not is_finite(new) or k + 1 == until:
                    # a function that answers differently the second time hides the step, not the node
                    node = first_bad_node(bad if is_finite(new) else new)
                    term = self.f.blame((t, t + dt), u, node) if isinstance(u, Tensor) else self.f.label
                    number = self.done - until + k + 1
                    raise Diverged(float(t + dt), number, largest(u), node, term, u)
                u = new


def _times(times: Tensor | Sequence[float]) -> Tensor:
    times = torch.as_tensor(times, dtype=torch.float64)
    if times.dim() != 1 or times.numel() == 0:
        raise InputError(
            f"times has shape {list(times.shape)}, expected [s] with s >= 1: the start and the times to save"
        )
    if not bool(torch.isfinite(times).all()):
        raise InputError("times holds non-finite values, expected increasing finite times")
    if times.numel() > 1 and not bool((times.diff() > 0).all()):
        k = int((times.diff() <= 0).nonzero()[0, 0])
        raise InputError(f"times must increase, got {float(times[k]):g} followed by {float(times[k + 1]):g}")
    return times


def _check_inputs(u0: State, dt: float | None) -> None:
    if dt is not None and not isinstance(dt, Real):
        raise InputError(f"dt is a {type(dt).__name__}, expected a number; for a gradient in time let times require it")
    if dt is not None and not (math.isfinite(dt) and dt > 0):
        raise InputError(f"dt = {dt:g}, expected a finite step > 0")
    if not leaves(u0):
        raise InputError("the initial state holds no tensors")
    for x in leaves(u0):
        if not isinstance(x, Tensor) or (not x.is_floating_point() and x is leaves(u0)[0]):
            kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise InputError(f"the initial state has type {kind}, expected a floating-point tensor [*, n, c]")
    if not is_finite(u0):
        bad = sum(int((~torch.isfinite(x)).sum()) for x in leaves(u0))
        raise InputError(f"the initial state has {bad} non-finite values, first at node {first_bad_node(u0)}")


def _steps(interval: float, dt: float | None) -> int:
    return 1 if dt is None else max(math.ceil(interval / dt * (1 - 1e-12) - 1e-9), 1)


def longest_stable_step(f: System, stepper: Stepper) -> float | None:
    """The stability bound of an explicit stepper on the linear part; None where there is none or none is known."""
    bound = f.spectral_bound()
    return None if stepper.implicit or not bound else stepper.real_extent() / bound


def refuse_unstable(f: System, stepper: Stepper, dt: float) -> None:
    """Refuse explicit steps beyond the bound.

    Raises:
        StepTooLong: names the bound and an implicit stepper.
    """
    limit = longest_stable_step(f, stepper)
    if limit is not None and dt > limit * (1 + 1e-9):
        extent = stepper.real_extent()
        raise StepTooLong(
            dt, limit, stepper.name, f"its real extent {extent:.3g} over the bound {extent / limit:.3g} of {f.label}"
        )
