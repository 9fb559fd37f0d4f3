"""When, how finely and by which stepper: the section ``[time]`` read, and what it leaves open found."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.config.schema import Config, TimePlan
from graphpde.config.section import Section, choice, integer, number
from graphpde.dynamics import STEPPERS, Adaptive
from graphpde.dynamics.evolve import longest_stable_step, refuse_unstable
from graphpde.dynamics.stepper import Stepper
from graphpde.errors import ConfigError, StepTooLong
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.system import System
from graphpde.problems import Pde

MOST_FRAMES = 10_000
STEPS = 100  # of a run whose step nobody gave
SAFETY = 0.9  # of the stability bound, for a step that nobody gave
_ATOL = 1e-3  # of rtol times the largest value at the start, for an atol that nobody gave
MANY = 10_000_000  # steps of a run that nobody waits for
_TIGHTEST = 1e-13  # rtol below which the error asked for drowns in rounding
_FINE = 1e-5  # the rtol below which methods of higher order take fewer evaluations


class Schedule(NamedTuple):
    """How a run advances.

    Attributes:
        stepper: one step. times: to save [s], the start first. dt, steps: of equal steps. control: or who chooses them.
        remarks: what differs from what was asked for. warnings: what may be an oversight; one sentence each.
    """

    stepper: Stepper
    times: Tensor
    dt: float | None
    steps: int | None
    control: Adaptive | None
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def read_time(value: Any, where: str, steppers: Sequence[str] | None = None) -> TimePlan:
    """The section ``[time]``; ``rtol = 0`` stands for equal steps, as without it.

    Args:
        steppers: names that may be given; None: those of problems on meshes.

    Raises:
        ConfigError: an end before the start, or what belongs to adaptive steps without ``rtol``.
    """
    section = Section(value, where)
    plan = TimePlan(
        start=section.take("start", number(), 0.0),
        end=section.take("end", number(), None),
        dt=section.take("dt", number(0.0, above=True), None),
        frames=section.take("frames", integer(1, MOST_FRAMES), TimePlan.frames),
        stepper=section.take("stepper", choice("stepper", simulating() if steppers is None else steppers), None),
        rtol=section.take("rtol", _relative_error, None) or None,
        atol=section.take("atol", number(0.0), None),
        dt_min=section.take("dt_min", number(0.0, above=True), None),
        dt_max=section.take("dt_max", number(0.0, above=True), None),
    )
    section.close()
    if plan.end is not None and plan.end <= plan.start:
        raise ConfigError(f"{where}.end is {plan.end:g}, expected a time after the start at {plan.start:g}")
    for key in ("atol", "dt_min", "dt_max"):
        if plan.rtol is None and getattr(plan, key) is not None:
            raise ConfigError(f"{where}.{key} belongs to adaptive steps; give {where}.rtol (--rtol) too, such as 1e-4")
    return plan


def _relative_error(value: Any, where: str) -> float:
    try:
        return number(0.0)(value, where)
    except ConfigError as error:
        raise ConfigError(str(error).replace(">= 0", "> 0, such as 1e-4")) from None


def plan_time(
    config: Config, pde: Pde, space: Space | CellSpace, system: System, u0: Tensor
) -> tuple[Config, Schedule]:
    """The problem with its end, stepper and step or tolerances filled in, and the schedule that they make.

    Raises:
        ConfigError: frames or steps that do not fit, or a stepper that cannot adapt. StepTooLong: beyond the bound.
    """
    plan = config.time
    name = plan.stepper or (pde.stepper if plan.rtol is None else adaptive_stepper(pde, plan.rtol))
    kind = STEPPERS[name]
    options = {"method": config.solver.method, "rtol": config.solver.rtol} if kind.implicit else {}
    stepper = kind(**options)
    if kind.accepts == "separable" and u0.shape[-1] % 2:
        raise ConfigError(
            f"{name} advances positions and velocities, and {pde.name} has {u0.shape[-1]} "
            f"field{'s' * (u0.shape[-1] > 1)}; it belongs to --pde wave, take another stepper such as {pde.stepper}"
        )
    end = plan.start + pde.duration(space, config.coefficients) if plan.end is None else plan.end
    times = torch.linspace(plan.start, end, plan.frames + 1, dtype=torch.float64)
    if not math.isfinite((end - plan.start) / plan.frames) or not bool((times.diff() > 0).all()):
        raise ConfigError(
            f"{plan.frames} frames from {plan.start:g} to {end:g} do not fit; take fewer or another start"
        )
    plan = replace(plan, end=end, stepper=name)
    if plan.rtol is not None:
        plan, control = tolerances(plan, stepper, u0)
        return replace(config, time=plan), Schedule(stepper, times, None, None, control)
    crossing = pde.crossing_step(space, u0, config.coefficients) if stepper.stiff != "all" else None
    bounds = (pde.longest_step(), crossing)
    bound = min((step for step in bounds if step is not None), default=None)
    dt = _step(plan, end, pde, system, stepper, bound)
    if not config.solver.allow_unstable:
        _refuse_unstable(plan, system, stepper, dt)
    steps = plan.frames * round(float(times[1] - times[0]) / dt)
    schedule = Schedule(stepper, times, dt, steps, None, fitted_step(plan, dt, steps), many_steps(steps))
    return replace(config, time=replace(plan, dt=dt)), schedule


def _refuse_unstable(plan: TimePlan, system: System, stepper: Stepper, dt: float) -> None:
    """Refuse a step beyond the bound, naming the one that was asked for where it is another."""
    try:
        refuse_unstable(system, stepper, dt)
    except StepTooLong as error:
        if plan.dt is not None and abs(plan.dt - dt) > 1e-6 * dt:
            error.args = (f"dt={plan.dt:g}, shortened to fit the {plan.frames} frames: {error}",)
        raise


def fitted_step(plan: TimePlan, dt: float, steps: int) -> tuple[str, ...]:
    """A sentence where the step that was asked for does not fit between the saved moments."""
    if plan.dt is None or abs(plan.dt - dt) <= 1e-6 * dt:
        return ()
    return (f"dt={plan.dt:g} is shortened to {dt:.6g} to reach each of the {plan.frames} frames: {steps} steps in all",)


def many_steps(steps: int) -> tuple[str, ...]:
    """A warning of a run that nobody waits for."""
    return (f"this takes {steps:.3g} steps; a longer dt or adaptive steps (--rtol) take fewer",) if steps > MANY else ()


def _step(plan: TimePlan, end: float, pde: Pde, system: System, stepper: Stepper, bound: float | None) -> float:
    """The step asked for or found, shortened to fit the frames.

    Args:
        bound: on a step that nobody asked for, from the PDE.
    """
    dt = plan.dt
    if dt is None:
        dt = min((end - plan.start) / STEPS, bound or math.inf)
        limit = longest_stable_step(system, stepper)
        # limited fluxes make no new extrema up to half of the bound of their upwind part
        safety = SAFETY / 2 if pde.scheme == "limited" else SAFETY
        if limit is not None and safety * limit < dt:
            dt = safety * limit
    return equal_step(plan, end, dt)


def equal_step(plan: TimePlan, end: float, dt: float) -> float:
    """The step shortened so that a whole number of them fills an interval between frames.

    Raises:
        ConfigError: it is too short to move time on.
    """
    shortest = 4 * math.ulp(max(abs(plan.start), abs(end)))
    if dt < shortest:
        raise ConfigError(
            f"a step of {dt:g} does not move time on from {plan.start:g} to {end:g}, whose rounding is "
            f"{shortest / 4:.2g}; take a longer one (time.dt or --dt), or leave it out"
        )
    interval = (end - plan.start) / plan.frames
    return interval / max(math.ceil(interval / dt * (1 - 1e-12) - 1e-9), 1)


def tolerances(plan: TimePlan, stepper: Stepper, u0: Tensor) -> tuple[TimePlan, Adaptive]:
    """The plan with its absolute tolerance filled in, and the controller."""
    if stepper.error_power is None:
        able = ", ".join(adaptive_steppers())
        raise ConfigError(
            f"{stepper.name} estimates no error, so time.rtol cannot choose its steps; take one of {able}, or leave "
            "rtol out (--rtol 0)"
        )
    rtol, atol = plan.rtol, plan.atol
    assert rtol is not None
    least = _TIGHTEST * torch.finfo(u0.dtype).eps / torch.finfo(torch.float64).eps
    largest = float(u0.abs().max()) if u0.numel() else 0.0
    if atol is None:
        atol = float(f"{_ATOL * rtol * (largest or 1.0):.1e}")
    if rtol < least and atol < least * (largest or 1.0):
        raise ConfigError(
            f"time.rtol is {rtol:g} with atol {atol:g}, expected at least {least:.1g}: in "
            f"{str(u0.dtype).removeprefix('torch.')} rounding is larger than the error asked for; take a larger --rtol"
        )
    return replace(plan, atol=atol), Adaptive(rtol, atol, plan.dt, plan.dt_min, plan.dt_max)


def adaptive_steppers() -> list[str]:
    """Names of the steppers that estimate their error."""
    return [name for name in simulating() if STEPPERS[name]().error_power is not None]


def simulating() -> list[str]:
    """Names of the steppers of problems on meshes: not those for noise, nor those that nothing may decay under."""
    kinds = STEPPERS.items()
    return [n for n, kind in kinds if kind.accepts in ("any", "separable") and not getattr(kind, "stochastic", False)]


def adaptive_stepper(pde: Pde, rtol: float) -> str:
    """The stepper of adaptive steps that nobody named.

    It treats the same part of the equation implicitly as the PDE's own default: nothing, the linear part, or all; of
    higher order for small tolerances, and where the default is undamped. A limited scheme keeps ``heun``, which makes
    no new extrema.
    """
    own = STEPPERS[pde.stepper]
    if pde.algebraic:
        return "esdirk4" if rtol < _FINE else "tr_bdf2"
    if own.stiff == "none":
        return "heun" if pde.scheme == "limited" else ("tsit5" if rtol < _FINE else "bosh3")
    if own.stiff == "linear":
        return "ark4" if rtol < _FINE else "ark3"
    return "esdirk4" if rtol < _FINE or pde.stepper == "crank_nicolson" else "tr_bdf2"
