"""A run of particles: tables as checked values, and from them a system, a state and a schedule."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from graphpde.config.schedule import equal_step, fitted_step, many_steps, read_time, simulating, tolerances
from graphpde.config.schema import Output, Solver, TimePlan
from graphpde.config.section import Section, choice, integer, number, truth
from graphpde.dynamics import STEPPERS, Adaptive
from graphpde.dynamics.stepper import Stepper
from graphpde.errors import ConfigError, InputError
from graphpde.hamiltonian.balance import kept
from graphpde.hamiltonian.catalogue import PARTICLES, Known

FRAMES = 100
_MOST = 10**7  # particles
_FAR = 1e100  # whose squares and products are numbers still


@dataclass(frozen=True)
class ParticleConfig:
    """A run of particles, completely; what was left out is filled in by :func:`prepare_particles`.

    Attributes:
        pde: name of the system. system: its numbers by name. seed: of what is drawn.
    """

    pde: str
    system: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    time: TimePlan = field(default_factory=lambda: TimePlan(frames=FRAMES))
    output: Output = field(default_factory=Output)
    solver: Solver = field(default_factory=Solver)
    dtype: str = "float64"
    device: str = "cpu"
    steady: bool = False
    adapt: None = None

    def as_dict(self) -> dict[str, Any]:
        """Nested plain values, as a problem file writes them."""
        said = ("pictures", "npz", "report", "animation")
        return {
            "pde": self.pde,
            "seed": self.seed,
            "system": {k: list(v) if isinstance(v, tuple) else v for k, v in self.system.items()},
            "time": {k: v for k, v in vars(self.time).items() if v is not None},
            "output": {k: getattr(self.output, k) for k in said},
            "solver": {"allow_unstable": self.solver.allow_unstable},
        }


@dataclass(frozen=True)
class ParticleSetup:
    """Particles ready to run.

    Attributes:
        config: everything said, defaults included. known: what the system is.
        term: the system. u0: its state [n, c], whose first ``d`` columns are positions.
        The others: see :class:`~graphpde.config.Setup`.
    """

    config: ParticleConfig
    known: Known
    term: Any
    u0: Tensor
    stepper: Stepper
    times: Tensor
    dt: float | None
    steps: int | None
    timings: Mapping[str, float]
    control: Adaptive | None = None
    remarks: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``nbody-100``."""
        return f"{self.config.pde}-{len(self.u0)}"

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the channels, none of which has a table of its own."""
        return ()

    @property
    def units(self) -> dict[str, str]:
        """Of length and time."""
        return dict(zip(("length", "time"), self.known.unit, strict=True))

    @property
    def d(self) -> int:
        """Number of coordinates."""
        return getattr(self.term, "d", None) or self.u0.shape[1] // 2

    @property
    def q(self) -> Tensor:
        """Positions at the start [n, d]."""
        return self.u0[:, : self.d]


def read_particles(values: Mapping[str, Any]) -> ParticleConfig:
    """The run that nested tables describe.

    Raises:
        UnknownName: a key or name that is not known. ConfigError: a value of the wrong kind or out of range.
    """
    top = Section(values)
    name = top.take("pde", choice("system of particles", PARTICLES), "")
    for key in ("mesh", "boundary", "source", "initial", "coefficients"):
        if key in values:
            raise ConfigError(
                f"{name} has no {key}: it is a system of particles, whose numbers stand in [system] (--set "
                f"system.KEY=VALUE): {', '.join(usual_numbers(name)) or 'none'}"
            )
    plan = top.take("time", _time, TimePlan())
    if "frames" not in (values.get("time") or {}):
        plan = replace(plan, frames=_frames(plan, PARTICLES[name]))
    config = ParticleConfig(
        pde=name,
        seed=top.take("seed", integer(0, 2**63 - 1), 0),
        system=top.take("system", lambda v, where: _system(v, where, name), {}),
        time=plan,
        output=top.take("output", _output, Output()),
        solver=top.take("solver", _solver, Solver()),
    )
    top.close()
    return config


def _time(value: Any, where: str) -> TimePlan:
    return read_time(value, where, [*simulating(), "rattle"])


def _frames(plan: TimePlan, known: Known) -> int:
    """Saved moments that nobody said: no more than there are steps of a given length."""
    span = known.end if plan.end is None else plan.end - plan.start
    steps = FRAMES if plan.dt is None else round(min(span / plan.dt, FRAMES))
    return max(min(FRAMES, steps), 1)


def _output(value: Any, where: str) -> Output:
    section = Section(value, where)
    out = Output(
        pictures=section.take("pictures", choice("pictures", ("none", "summary")), Output.pictures),
        npz=section.take("npz", truth, Output.npz),
        report=section.take("report", truth, Output.report),
        animation=section.take("animation", truth, Output.animation),
    )
    section.close()
    return out


def _solver(value: Any, where: str) -> Solver:
    section = Section(value, where)
    allowed = section.take("allow_unstable", truth, False)
    section.close()
    return Solver(allow_unstable=allowed)


def usual_numbers(name: str) -> dict[str, Any]:
    """The numbers that a system takes, with their usual values; ``seed`` stands at the top."""
    found = inspect.signature(PARTICLES[name].make).parameters
    plain = (int, float, tuple)
    return {k: p.default for k, p in found.items() if k != "seed" and isinstance(p.default, plain)}


def _system(value: Any, where: str, name: str) -> dict[str, Any]:
    section, usual = Section(value, where), usual_numbers(name)
    found = {key: section.take(key, _like(default), None) for key, default in usual.items()}
    section.close()
    return {key: value for key, value in found.items() if value is not None}


def _like(default: Any) -> Any:
    """Reads a value of the kind of the usual one."""
    if isinstance(default, tuple):
        return lambda value, where: _numbers(value, where, default)
    return integer(1, _MOST) if isinstance(default, int) else number()


def _numbers(value: Any, where: str, default: tuple[Any, ...]) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple) or (isinstance(default[0], float) and len(value) != len(default)):
        raise ConfigError(f"{where} is {value!r}, expected a list of {len(default)} numbers such as {list(default)}")
    return tuple(_like(default[0])(x, f"{where}[{k}]") for k, x in enumerate(value))


def prepare_particles(config: ParticleConfig) -> ParticleSetup:
    """Make the system and its schedule.

    Raises:
        InputError: numbers that make no system. ConfigError: a step or stepper that does not fit.
    """
    known, clock = PARTICLES[config.pde], time.perf_counter()
    system = {**usual_numbers(config.pde), **config.system}
    seeded = "seed" in inspect.signature(known.make).parameters
    term, u0, step = _made(known, {**system, **({"seed": config.seed} if seeded else {})})
    plan = config.time
    end = plan.start + known.end if plan.end is None else plan.end
    times = torch.linspace(plan.start, end, plan.frames + 1, dtype=torch.float64)
    if not math.isfinite(end) or not bool((times.diff() > 0).all()):
        raise ConfigError(
            f"{plan.frames} frames from {plan.start:g} to {end:g} do not fit; take fewer or another start"
        )
    name = plan.stepper or (known.stepper if plan.rtol is None else "tsit5")
    stepper = STEPPERS[name]()
    if (stepper.accepts == "rigid") != bool(getattr(term, "constrained", False)):
        raise ConfigError(f"{name} does not suit {config.pde}; take {known.stepper}, which is meant for it")
    plan = replace(plan, end=end, stepper=name)
    took = {"make the system": time.perf_counter() - clock}
    config = replace(config, system=system, time=plan)
    if plan.rtol is not None:
        plan, control = tolerances(plan, stepper, u0)
        return ParticleSetup(replace(config, time=plan), known, term, u0, stepper, times, None, None, took, control)
    dt = equal_step(plan, end, plan.dt or min(step, end - plan.start))
    steps = plan.frames * round(float(times[1] - times[0]) / dt)
    said = (fitted_step(plan, dt, steps), many_steps(steps))
    config = replace(config, time=replace(plan, dt=dt))
    return ParticleSetup(config, known, term, u0, stepper, times, dt, steps, took, None, *said)


def _made(known: Known, numbers: Mapping[str, Any]) -> tuple[Any, Tensor, float]:
    """The system, its state, and the step that is usual, or that it takes also where flows become faster.

    Raises:
        InputError: numbers that make none, or so large or small that no run could work with them.
    """
    energy = size = step = math.inf
    try:
        term, u0 = known.make(**numbers)
        energy, size = abs(kept(term, u0).energy), float(u0.abs().max())
        step = known.step if math.isfinite(known.step) else 0.8 * float(term.step_limit(u0))
    except ArithmeticError:  # told below
        pass
    beyond = [x for x in (size, energy, step) if not x < _FAR]
    if beyond:
        told = ", ".join(f"{name} = {value}" for name, value in numbers.items())
        raise InputError(
            f"{told} make a start whose numbers reach {beyond[0]:.3g}, expected less than {_FAR:g}; take "
            "numbers nearer to the usual ones"
        )
    return term, u0, step
