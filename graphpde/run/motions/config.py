"""What motions are learned from, as what, and how: a TOML file as checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from graphpde.config.section import Read, Section, choice, integer, number, numbers, table_of, text, truth
from graphpde.dynamics import STEPPERS
from graphpde.errors import ConfigError
from graphpde.hamiltonian.catalogue import PARTICLES
from graphpde.run.motions.kinds import KINDS

SCHEDULES = ("cosine", "constant")
_MOST = 10**9


@dataclass(frozen=True)
class DataChoice:
    """Where trajectories come from.

    Attributes:
        file: of the user's. system: by name in ``PARTICLES``, simulated: starts, their number, spread: how far they
            scatter, as a share of how far the usual motion goes, until: length of each motion; None = 4 usual steps
            of the system between two moments, times: on each, noise: deviation of what is measured, as a share of that
            of the motion.
        holdout: share of the motions, or of the time of a single one, that is not learned from.
    """

    file: str = ""
    system: str = ""
    starts: int = 25
    spread: float = 0.3
    until: float | None = None
    times: int = 50
    noise: float = 0.0
    holdout: float = 0.2


@dataclass(frozen=True)
class ModelChoice:
    """What is learned.

    Attributes:
        hidden, layers: of the network. reach: up to which distance pairs are resolved, in the unit of the data; None =
            what occurs. bumps: functions of the distance. field: whether nodes store energy by their own place.
        stepper: by name. step: of it, in the unit of the data; None = from one time of the data to the next.
    """

    hidden: int = 64
    layers: int = 2
    reach: float | None = None
    bumps: int = 16
    field: bool = False
    stepper: str = "rk4"
    step: float | None = None


@dataclass(frozen=True)
class TrainingChoice:
    """How long, and how.

    Attributes:
        windows: lengths of the motions that are compared with the data, one after the other, in the unit of its time;
            () = 5, then 10 steps of the data. steps: of Adam, rate: of it, schedule: "cosine" to 0 or "constant",
            batch: windows in each. polish: steps of L-BFGS after them. seed: of everything drawn.
    """

    windows: tuple[float, ...] = ()
    steps: int = 200
    polish: int = 100
    batch: int = 64
    rate: float = 1e-2
    schedule: str = "cosine"
    seed: int = 0


@dataclass(frozen=True)
class MotionConfig:
    """A learned motion; ``learn`` is its kind, see ``KINDS``."""

    learn: str
    data: DataChoice
    model: ModelChoice = field(default_factory=ModelChoice)
    training: TrainingChoice = field(default_factory=TrainingChoice)

    @property
    def source(self) -> str:
        """What is learned from, in a word."""
        return self.data.system or Path(self.data.file).name

    def anchored(self) -> MotionConfig:
        """The same with an absolute path."""
        file = self.data.file and str(Path(self.data.file).resolve())
        return replace(self, data=replace(self.data, file=file))

    def as_dict(self) -> dict[str, Any]:
        """Tables that :func:`read_motion` reads back; what was left empty, or does not count, is left out."""
        values = asdict(self)
        for key in _idle(self):
            part, name = key.split(".")
            del values[part][name]
        parts = {part: {k: list(v) if isinstance(v, tuple) else v for k, v in values[part].items()
                        if v not in ("", None, ())} for part in ("data", "model", "training")}  # fmt: skip
        return {"learn": self.learn, **parts}


_DATA: dict[str, Read[Any]] = {
    "file": text,
    "system": choice("system of particles", PARTICLES),
    "starts": integer(2, 1_000_000),
    "spread": number(0.0),
    "until": number(0.0, above=True),
    "times": integer(3, 1_000_000),
    "noise": number(0.0),
    "holdout": number(0.0, above=True),
}
_MODEL: dict[str, Read[Any]] = {
    "hidden": integer(1, 65_536),
    "layers": integer(1, 1000),
    "reach": number(0.0, above=True),
    "bumps": integer(2, 10_000),
    "field": truth,
    "stepper": choice("stepper", STEPPERS),
    "step": number(0.0, above=True),
}
_TRAINING: dict[str, Read[Any]] = {
    "windows": numbers(0.0, above=True),
    "steps": integer(1, _MOST),
    "polish": integer(0, _MOST),
    "batch": integer(1, _MOST),
    "rate": number(0.0, above=True),
    "schedule": choice("schedule", SCHEDULES),
    "seed": integer(0, 2**63 - 1),
}
_TABLES: dict[str, tuple[type, dict[str, Read[Any]]]] = {
    "data": (DataChoice, _DATA),
    "model": (ModelChoice, _MODEL),
    "training": (TrainingChoice, _TRAINING),
}


def read_motion(values: Mapping[str, Any]) -> MotionConfig:
    """The learned motion that nested tables describe; nothing is opened yet.

    Raises:
        UnknownName: a key or name that is not known, with the nearest one. ConfigError: a value of the wrong kind or
            out of range, no data, or a value that has no effect.
    """
    top = Section(values)
    learn = top.take("learn", choice("kind of motion", KINDS), "hamiltonian")
    parts = {name: top.take(name, table_of(kind, rules), kind()) for name, (kind, rules) in _TABLES.items()}
    top.close()
    config = MotionConfig(learn, **parts)
    data = config.data
    if bool(data.file) == bool(data.system):
        raise ConfigError(
            f"{'data.file and data.system are both' if data.file else 'neither data.file nor data.system is'} given, "
            f'expected one of: data.file = "motion.csv" (columns t, q, p), data.system = "pendulum"'
        )
    if data.holdout >= 0.9:
        raise ConfigError(f"data.holdout is {data.holdout:g}, expected a share below 0.9 of the data")
    for key in _idle(config):
        part, name = key.split(".")
        given = getattr(getattr(config, part), name)
        if given != getattr(_TABLES[part][0](), name):
            where = f"learn is '{learn}'" if part == "model" else "data.file is given"
            counts = f"learn = {_listed(name)}" if part == "model" else "data.system"
            raise ConfigError(
                f"{key} is {given!r} and has no effect where {where}; leave it out (it counts with {counts})"
            )
    return config


def _idle(config: MotionConfig) -> list[str]:
    """Keys that do not count."""
    idle = [f"model.{name}" for name in _SOME if name not in KINDS[config.learn].settings]
    if config.data.file:
        idle += [f"data.{name}" for name in ("starts", "spread", "until", "times", "noise")]
    return idle


_SOME = ("reach", "bumps", "field")
"""Settings that only some kinds have."""


def _listed(name: str) -> str:
    return " or ".join(f'"{learn}"' for learn, kind in KINDS.items() if name in kind.settings)
