"""What a flow is learned from, by what and how: a TOML file as checked values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from graphpde.config.section import Read, Section, choice, integer, number, table_of, text
from graphpde.data.planar import PLANAR
from graphpde.errors import ConfigError
from graphpde.flow.coupling import COUPLINGS
from graphpde.flow.path import PATHS
from graphpde.run.flows.effect import check_effect

PLACES = ("space", "sphere", "torus", "particles", "surface", "fields")
METHODS = ("matching", "likelihood")
UNITS = ("degrees", "radians")
SCHEDULES = ("cosine", "constant")
_MOST = 10**9
_TIGHTEST = 1e-6  # states are in single precision


@dataclass(frozen=True)
class DataChoice:
    """Where samples come from.

    Attributes:
        name: a law in ``PLANAR``. file: samples of the user's. mode: of a surface, whose positive part is the density.
        mesh: of a surface, or of fields. holdout: share of the samples of a file that is not learned from. unit: of
            angles.
    """

    name: str = ""
    file: str = ""
    mode: int = 0
    mesh: str = ""
    holdout: float = 0.1
    unit: str = "degrees"


@dataclass(frozen=True)
class ModelChoice:
    """What is learned.

    Attributes:
        on: where samples live, see ``PLACES``. hidden, layers: of the network. frequencies: of time.
        waves: of the place that the network sees beside it; None = 128 on spheres and tori, none elsewhere.
        modes: of a mesh that are worked out. features, fields: of them that a network on a surface sees, and that give
            directions. length: typical of fields, in the unit of the mesh. blocks: of their network.
        reach: up to which distance particles see each other, in the unit of the data; None = all that occur.
        in_distance, in_time: how many functions of the distance and of time.
    """

    on: str = "space"
    hidden: int = 64
    layers: int = 3
    frequencies: int = 0
    waves: int | None = None
    modes: int = 100
    features: int = 32
    fields: int = 8
    length: float = 1.0
    blocks: int = 2
    reach: float | None = None
    in_distance: int = 50
    in_time: int = 10


@dataclass(frozen=True)
class FlowChoice:
    """How it is a flow.

    Attributes:
        method: "matching" or "likelihood". path, sigma, coupling: of matching; sigma in deviations of the data.
            probes, kinetic, jacobian: of the likelihood. steps: of the ways on a surface. tolerance: of the integration
            of samples and densities, relative and absolute, not below 1e-6.
    """

    method: str = "matching"
    path: str = "linear"
    sigma: float = 0.0
    coupling: str = "independent"
    probes: int = 0
    kinetic: float = 0.0
    jacobian: float = 0.0
    steps: int = 50
    tolerance: float = 1e-5


@dataclass(frozen=True)
class TrainingChoice:
    """How long, and how.

    Attributes:
        steps: of the fit. batch: samples in each. rate: of Adam. schedule: "cosine" to 0 or "constant".
        average: of the parameters over steps, the share that is kept in each; 0 = none. seed: of everything drawn.
    """

    steps: int = 2000
    batch: int = 256
    rate: float = 5e-3
    schedule: str = "cosine"
    average: float = 0.0
    seed: int = 0


@dataclass(frozen=True)
class FlowConfig:
    """A learned flow."""

    data: DataChoice
    model: ModelChoice = field(default_factory=ModelChoice)
    flow: FlowChoice = field(default_factory=FlowChoice)
    training: TrainingChoice = field(default_factory=TrainingChoice)

    def anchored(self) -> FlowConfig:
        """The same with absolute paths, which mean one file wherever they are read."""
        file, mesh = (str(Path(path).resolve()) if path else "" for path in (self.data.file, self.data.mesh))
        return replace(self, data=replace(self.data, file=file, mesh=mesh))

    def as_dict(self) -> dict[str, dict[str, Any]]:
        """Tables that :func:`read_flow` reads back; what was left empty is left out."""
        return {part: {k: v for k, v in values.items() if v not in ("", None) and (k, v) != ("mode", 0)}
                for part, values in asdict(self).items()}  # fmt: skip


def read_flow(values: Mapping[str, Any]) -> FlowConfig:
    """The flow that nested tables describe; nothing is opened yet.

    Raises:
        UnknownName: a key or name that is not known, with the nearest one. ConfigError: a value of the wrong kind or
            out of range, or no data.
    """
    top = Section(values)
    config = FlowConfig(
        data=top.take("data", table_of(DataChoice, _READ[DataChoice]), DataChoice()),
        model=top.take("model", table_of(ModelChoice, _READ[ModelChoice]), ModelChoice()),
        flow=top.take("flow", table_of(FlowChoice, _READ[FlowChoice]), FlowChoice()),
        training=top.take("training", table_of(TrainingChoice, _READ[TrainingChoice]), TrainingChoice()),
    )
    top.close()
    _check(config)
    return config


_READ: dict[type, dict[str, Read[Any]]] = {
    DataChoice: {
        "name": choice("law in the plane", PLANAR),
        "file": text,
        "mode": integer(1, 10_000),
        "mesh": text,
        "holdout": number(0.0, above=True),
        "unit": choice("unit", UNITS),
    },
    ModelChoice: {
        "on": choice("place", PLACES),
        "hidden": integer(0, 65_536),
        "layers": integer(1, 1000),
        "frequencies": integer(0, 1000),
        "waves": integer(0, 100_000),
        "modes": integer(2, 100_000),
        "features": integer(1, 100_000),
        "fields": integer(1, 1000),
        "length": number(0.0, above=True),
        "blocks": integer(1, 1000),
        "reach": number(0.0, above=True),
        "in_distance": integer(2, 10_000),
        "in_time": integer(1, 1000),
    },
    FlowChoice: {
        "method": choice("method", METHODS),
        "path": choice("path", PATHS),
        "sigma": number(0.0),
        "coupling": choice("coupling", [name for name in COUPLINGS if name != "data"]),
        "probes": integer(0, 10_000),
        "kinetic": number(0.0),
        "jacobian": number(0.0),
        "steps": integer(2, 100_000),
        "tolerance": number(_TIGHTEST),
    },
    TrainingChoice: {
        "steps": integer(1, _MOST),
        "batch": integer(1, _MOST),
        "rate": number(0.0, above=True),
        "schedule": choice("schedule", SCHEDULES),
        "average": number(0.0),
        "seed": integer(0, 2**63 - 1),
    },
}


def _check(config: FlowConfig) -> None:
    """Refuse what does not go together."""
    data, on = config.data, config.model.on
    given = [name for name in ("name", "file", "mode") if getattr(data, name)]
    if len(given) != 1:
        said = " and ".join(f"data.{name}" for name in given) or "nothing"
        raise ConfigError(
            f'{said} given, expected one of: data.name = "moons" (a law in the plane), data.file = "samples.csv", or, '
            f"on a surface, data.mode = 10 (the positive part of a mode)"
        )
    if data.name and on != "space":
        raise ConfigError(f"data.name is a law in the plane, and model.on is '{on}'; give data.file")
    if data.mode and on != "surface":
        raise ConfigError(f"data.mode is of a surface, and model.on is '{on}'; give data.file")
    if on in ("surface", "fields") and not data.mesh:
        raise ConfigError(f"model.on is '{on}', which needs data.mesh: the file of its mesh")
    if data.mesh and on not in ("surface", "fields"):
        raise ConfigError(f'data.mesh is given, and model.on is \'{on}\'; leave it out, or say "surface" or "fields"')
    if data.holdout >= 0.9:
        raise ConfigError(f"data.holdout is {data.holdout:g}, expected a share below 0.9 of the samples")
    if config.training.average >= 1:
        raise ConfigError(f"training.average is {config.training.average:g}, expected a share below 1, such as 0.999")
    if config.flow.method == "likelihood" and on in ("surface", "fields"):
        raise ConfigError(f'flows on {on} are trained by matching; leave out flow.method = "likelihood"')
    if config.model.hidden == 0 and on != "fields":
        raise ConfigError("model.hidden is 0, expected at least 1 (only fields have a linear part beside the network)")
    check_effect(config)
