"""The one time loop."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.dynamics.adjoint import by_adjoint
from graphpde.dynamics.brownian import Brownian
from graphpde.dynamics.checkpointed import Checkpoints
from graphpde.dynamics.control import Adaptive, Equal, Pace
from graphpde.dynamics.dense import SaveDense
from graphpde.dynamics.events import Event, Seeing
from graphpde.dynamics.loop import Loop, Watch
from graphpde.dynamics.state import first_bad_node, is_finite, leaves
from graphpde.dynamics.stepper import STEPPERS, Stepper, stepper_named
from graphpde.dynamics.trajectory import Save, Trajectory, saving, stacked
from graphpde.dynamics.ways import check_way, through, way_of
from graphpde.errors import InputError, StepTooLong
from graphpde.ops.system import System
from graphpde.typing import State


def evolve(
    f: Any,
    u0: State,
    times: Tensor | Sequence[float],
    *,
    stepper: Stepper | str,
    dt: float | None = None,
    control: Adaptive | None = None,
    brownian: Brownian | None = None,
    domain: Graph | None = None,
    save: Save | None = None,
    grad: str | Checkpoints = "auto",
    allow_unstable: bool = False,
    watch: Watch | None = None,
    events: Event | Sequence[Event] = (),
) -> Trajectory:
    """Solve M u' = F(t, u) from ``u0`` and keep the states at ``times``.

    Args:
        f: a Term, a sum of terms and conditions, an SDE, or any callable (t, u) -> u', t 0-d, under each= [*, n, 1].
        u0: initial state [*, n, c], or a (named) tuple of such for explicit steppers; held values are put into it.
        times: saved times, increasing; ``times[0]`` is the start. A tensor that requires a gradient gets one.
        stepper: for example ``CrankNicolson()``, or its name in ``STEPPERS`` for its defaults: "crank_nicolson".
        dt: step; a number takes ceil(interval / dt) equal steps in each interval. None takes ONE step from each of
            ``times`` to the next, for [0, T] a single one to T: give ``dt`` or ``control`` unless ``times`` are dense.
        control: chooses the steps by the stepper's own error estimate; gradients hold their lengths fixed.
        brownian: the path that drives the noise of an SDE. domain: where the state lives, when no term says so.
        save: a policy, new for each run; default: every one of ``times``.
        grad: "direct", autograd through every step; "checkpoint" or ``Checkpoints(states)``, the same in less memory;
            "auto", the first, or the second for long runs; "adjoint"; "reversible": :mod:`~graphpde.dynamics.ways`.
        allow_unstable: take explicit steps beyond the stability bound. watch: called as watch(step, steps, t, u) after
            each step, under control of about ``steps``. events: looked for between all steps.

    Returns:
        times [s], states [s, *, n, c], ``states[0]`` = u0, and what was counted: steps "accepted" and "rejected",
        "evaluations" of F, linear "solves", "factorisations"; under control what it saw of steps, errors, stiffness.

    Raises:
        InputError: times not increasing, dt <= 0 or not finite, a non-finite initial state, a ``grad`` that cannot
            serve here, dt and control, control of a stepper without error estimate, an explicit one for pressures,
            noise without a path or a stepper that knows it, events without steps to keep, a ``save`` used before.
        StepTooLong: an explicit step beyond the bound of the linear part (a bound: half of it is safe, twice may be).
        Diverged: the state became non-finite; names step, node and term, and holds the last good state.
        StepUnderflow: the control asked for steps too short to move time on.
    """
    stepper, times = stepper_named(stepper), _times(times)
    _check_inputs(u0, dt)
    _check_noise(f, stepper, brownian, grad, times)
    check_way(grad, stepper, control, save, events)
    if grad == "adjoint":
        how = {"stepper": stepper, "dt": dt, "control": control, "allow_unstable": allow_unstable}
        return _by_adjoint(f, u0, times, how, {"domain": domain, "watch": watch})
    system = System(f, domain, times[0].detach(), brownian=brownian)
    u = _start(system, times[0], u0)
    pace = _pace(system, stepper, u, times, dt, control, allow_unstable)
    (save := saving(save)).add(times[0], u0)
    grad = way_of(grad, pace, looks=bool(events) or isinstance(save, SaveDense))
    loop = Loop(system, stepper, pace, watch, Seeing.of(events, save, times[0], u, pace, grad))
    _advance(loop, u, times, save, through(grad, loop, f, times))
    return _left_behind(save, loop, system.domain or domain)


def _by_adjoint(f: Any, u0: State, times: Tensor, how: Mapping[str, Any], here: Mapping[str, Any]) -> Trajectory:
    """By the adjoint equation, evolved ``how`` the equation is; ``here`` is what concerns the equation alone."""
    return by_adjoint(f, u0, times, lambda g, u, at: evolve(g, u, at, **how, **(here if g is f else {})))


def _start(f: System, t: Tensor, u0: State) -> State:
    """The initial state with the values that are held."""
    f.check_state(u0)
    if f.algebraic:  # what has no inertia must be held at every moment
        f.refuse_free()
    return f.reset(t, u0) if isinstance(u0, Tensor) else u0


def _advance(loop: Loop, u: State, times: Tensor, save: Save, over: Any) -> None:
    """From each of the times to the next."""
    carry = loop.stepper.init(loop.f, times[0], u)
    for start, end in pairwise(times):
        u, carry = over(loop, start, end, u, carry)
        last = None if loop.see is None else loop.see.last
        if last is not None:  # the run ends there
            save.add(last.t, last.u)
            return
        save.add(end, u)


def _check_noise(f: Any, stepper: Stepper, brownian: Brownian | None, grad: str | Checkpoints, times: Tensor) -> None:
    """Refuse to evolve an equation with noise as if it had none.

    Raises:
        InputError: a stepper that knows none, no path or one without noise, the adjoint equation, times to learn.
    """
    if getattr(f, "noise", None) is None:
        if brownian is not None:
            raise InputError("the equation has no noise for a Brownian path to drive; make it SDE(f, noise)")
        return
    if not getattr(stepper, "stochastic", False):
        able = ", ".join(name for name, kind in STEPPERS.items() if getattr(kind, "stochastic", False))
        raise InputError(f"{stepper.name} knows no noise, and the equation has some; use one of {able}")
    if brownian is None:
        raise InputError("an equation with noise needs a path that drives it: give brownian=Brownian(seed)")
    if not callable(brownian):
        raise InputError(f"brownian is {brownian!r}, expected a path: Brownian(seed)")
    if times.requires_grad:
        raise InputError("a path with noise has no derivative in time, so times cannot require a gradient; detach them")
    if grad == "adjoint":
        raise InputError("the adjoint equation is that of an equation without noise; use grad='checkpoint'")


def _refuse_algebraic(f: System, stepper: Stepper) -> None:
    """Refuse to advance by rates what has none.

    Raises:
        InputError: a state with algebraic parts, and a stepper whose new state does not solve their equations.
    """
    if f.algebraic and not getattr(stepper, "algebraic", False):
        able = ", ".join(name for name, kind in STEPPERS.items() if getattr(kind, "algebraic", False))
        raise InputError(
            f"{', '.join(f.algebraic)} in {f.label} has no time derivative, so {stepper.name} cannot advance it; "
            f"take one of {able}"
        )


def _left_behind(save: Save, loop: Loop, domain: Graph | None) -> Trajectory:
    times, states = save.kept()
    statistics = {**loop.counted, **loop.pace.statistics()}
    if loop.see is not None and loop.see.evaluations:
        statistics["evaluations"] = statistics.get("evaluations", 0) + loop.see.evaluations
    seen = () if loop.see is None else tuple(loop.see.watching.found)
    return Trajectory(
        torch.stack(times), stacked(states), domain, loop.done, statistics, seen, getattr(save, "dense", None)
    )


def _pace(
    f: System,
    stepper: Stepper,
    u: State,
    times: Tensor,
    dt: float | None,
    control: Adaptive | None,
    allow_unstable: bool,
) -> Pace:
    """Who chooses the steps; refuses what cannot go well."""
    _refuse_algebraic(f, stepper)
    if f.fixed is not None:
        f.fixed.refuse_clashes(times[-1].detach())
    if control is not None:
        if not hasattr(control, "pace"):
            raise InputError(f"control is {control!r}, expected None or Adaptive(rtol, atol)")
        if dt is not None:
            raise InputError(f"got dt = {dt:g} and a control, expected one of them; give control its first step as dt0")
        return control.pace(f, stepper, u, times)
    pace = Equal(times, dt)
    if not allow_unstable and pace.counts:
        spans = times.detach().diff() / torch.tensor(pace.counts, dtype=times.dtype)
        refuse_unstable(f, stepper, float(spans.max()))
    return pace


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
        raise InputError(
            f"times must increase, got {float(times[k]):g} followed by {float(times[k + 1]):g}; to go back in time, "
            "evolve (s, u) -> -f(t - s, u) forwards"
        )
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


def longest_stable_step(f: System, stepper: Stepper) -> float | None:
    """The stability bound of an explicit stepper on the linear part; None where there is none or none is known."""
    own = getattr(stepper, "longest_step", None)
    if own is not None:
        return own(f)
    if math.isinf(stepper.real_extent()):
        return None
    bound = f.spectral_bound()
    return stepper.real_extent() / bound if bound else None


def refuse_unstable(f: System, stepper: Stepper, dt: float) -> None:
    """Refuse explicit steps beyond the bound.

    Raises:
        StepTooLong: names the bound and an implicit stepper.
    """
    limit = longest_stable_step(f, stepper)
    if limit is None or dt <= limit * (1 + 1e-9):
        return
    extent = stepper.real_extent()
    why = f"2 over the largest frequency of {f.label}"
    if math.isfinite(extent):
        why = f"its real extent {extent:.3g} over the bound {extent / limit:.3g} of {f.label}"
    raise StepTooLong(dt, limit, stepper.name, why)
