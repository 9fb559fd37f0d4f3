"""Recipes: what a model is built and trained with on a data set, from TOML files that say where it is from."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from torch import nn

from graphpde.errors import ConfigError
from graphpde.graph_diffusion.classifier import Classifier, Dropout, Integration
from graphpde.graph_diffusion.coupling import Attention
from graphpde.graph_diffusion.models import MODELS
from graphpde.registry import unknown
from graphpde.train.first_order import Adam, Adamax, FirstOrder, RmsProp, Sgd

FOLDER = Path(__file__).with_name("recipes")
UPDATES: dict[str, type[FirstOrder]] = {"adam": Adam, "adamax": Adamax, "rmsprop": RmsProp, "sgd": Sgd}
FEATURES = ("given", "rows")
CHOICES = ("metric", "loss")


def _require(value: Any, kind: Any, name: str, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ConfigError(f"{name} = {value!r}, expected {what}")


@dataclass(frozen=True)
class Training:
    """How a model is trained.

    Attributes:
        update: "adam", "adamax", "rmsprop" or "sgd". rate: of it. penalty: coupled weight decay. decay: decoupled one.
        groups: rates and penalties of parameters by the beginning of their names.
        epochs: at most. patience: ends after so many epochs without improvement; 0 = never.
        choose: what of the validation nodes says which epoch was best: their "metric", or their "loss".
        features: "given", or "rows" that add to 1; as given where one is negative.
        reveal: share of labels shown to a model that reads them. smoothing: of labels.
    """

    update: str = "adam"
    rate: float = 0.01
    penalty: float = 5e-4
    decay: float = 0.0
    groups: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    epochs: int = 200
    patience: int = 0
    choose: str = "metric"
    features: str = "rows"
    reveal: float = 0.5
    smoothing: float = 0.0
    fanouts: Sequence[int] = ()
    batch: int = 512

    def __post_init__(self) -> None:
        if isinstance(self.fanouts, str) or not isinstance(self.fanouts, Sequence):
            raise ConfigError(
                f"fanouts = {self.fanouts!r}, expected a list with one number for each layer, such as [10, 5]"
            )
        for fanout in self.fanouts:
            if isinstance(fanout, bool) or not isinstance(fanout, int) or fanout < 1:
                raise ConfigError(f"fanouts = {list(self.fanouts)}, expected whole numbers >= 1, such as [10, 5]")
        object.__setattr__(self, "fanouts", tuple(self.fanouts))
        for name in ("rate", "penalty", "decay", "reveal", "smoothing"):
            _require(getattr(self, name), (int, float), name, "a number")
        for name in ("epochs", "patience", "batch"):
            _require(getattr(self, name), int, name, "a whole number")
        if self.update not in UPDATES:
            raise unknown("update rule", self.update, UPDATES)
        for given, known, what in ((self.features, FEATURES, "features"), (self.choose, CHOICES, "choose")):
            if given not in known:
                raise ConfigError(f"{what} = '{given}', expected one of: {', '.join(known)}")
        for name, least in (("epochs", 1), ("patience", 0), ("batch", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} = {getattr(self, name)}, expected at least {least}")

    def rule(self) -> FirstOrder:
        """The update rule."""
        return UPDATES[self.update](rate=self.rate, penalty=self.penalty, decay=self.decay, groups=self.groups)


@dataclass(frozen=True)
class Recipe:
    """A model with everything it needs to be trained.

    Attributes:
        model: its name in ``MODELS``. settings: arguments of its constructor, values of tables as in TOML.
        training: see :class:`Training`. origin: where the numbers come from.
    """

    model: str
    settings: Mapping[str, Any]
    training: Training = Training()
    origin: str = ""

    def build(self, in_channels: int, classes: int) -> nn.Module:
        """The model.

        Raises:
            UnknownName: a setting that the model does not have. ConfigError: a value that it cannot use.
        """
        settings = {"hidden": 64, **self.settings}
        known = {"hidden": 64, **settings_of_model(MODELS[self.model])}
        for name, value in settings.items():
            if name not in known:
                raise unknown(f"setting of the model '{self.model}'", name, known)
            kind, what = _KINDS.get(type(known[name]), (object, ""))
            if not isinstance(value, kind) or (isinstance(value, bool) and kind not in (bool, object)):
                raise ConfigError(f"{name} = {value!r}, expected {what}")
        hidden = settings.pop("hidden")
        try:
            return MODELS[self.model](in_channels, hidden, classes, **{k: _value(k, v) for k, v in settings.items()})
        except TypeError as error:
            raise ConfigError(f"the settings of the model '{self.model}' cannot be used: {error}") from error

    def having(self, settings: Mapping[str, Any], training: Mapping[str, Any] | None = None) -> Recipe:
        """The recipe with other values; tables are merged key by key."""
        merged = dict(self.settings)
        for key, value in settings.items():
            old = merged.get(key)
            merged[key] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        return replace(self, settings=merged, training=replace(self.training, **(training or {})))

    def as_dict(self) -> dict[str, Any]:
        """For manifests."""
        training = {f.name: getattr(self.training, f.name) for f in fields(Training)}
        return {"model": self.model, "settings": dict(self.settings), "training": training, "origin": self.origin}


_TABLES: dict[str, tuple[Any, tuple[str, ...]]] = {
    "attention": (Attention, tuple(f.name for f in fields(Attention))),
    "integration": (Integration, tuple(f.name for f in fields(Integration))),
    "dropout": (Dropout, Dropout._fields),
}
_KINDS: dict[type, tuple[Any, str]] = {
    bool: (bool, "true or false"),
    int: (int, "a whole number"),
    float: ((int, float), "a number"),
    str: (str, "a text"),
}
"""Type of a default -> what may stand in its place."""


def _value(name: str, value: Any) -> Any:
    """What a constructor takes, from what stands in a file."""
    if name not in _TABLES or (name == "attention" and value in (None, "none")):
        return None if name in _TABLES else value
    made, known = _TABLES[name]
    if isinstance(value, made):
        return value
    if isinstance(value, Mapping):
        if not {*value} <= {*known}:
            raise ConfigError(f"{name} = {dict(value)!r}, a table that cannot be used; it may hold: {', '.join(known)}")
        return made(**value)
    if name == "dropout":
        return Dropout(value, value) if isinstance(value, int | float) else Dropout(*value)
    raise ConfigError(f"{name} = {value!r}, expected a table that may hold: {', '.join(known)}")


def settings_of_model(model: type[nn.Module]) -> dict[str, Any]:
    """What a constructor takes by keyword and its defaults, those of its base included."""
    own = inspect.signature(model.__init__).parameters
    found = {name: p.default for name, p in own.items() if p.kind is inspect.Parameter.KEYWORD_ONLY}
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in own.values()):
        found = {**found, **{k: v for k, v in settings_of_model(Classifier).items() if k not in found}}
    return found


def recipe(model: str, dataset: str = "") -> Recipe:
    """The recipe of a model on a data set, or the model's own where the data set has none.

    Raises:
        UnknownName: no such model.
    """
    MODELS[model]
    table: Mapping[str, Any] = {}
    for name in ("default", dataset.lower()):
        file = FOLDER / f"{name}.toml"
        if name and file.is_file():
            table = _read(file).get(model, table)
    return from_table(model, table)


def from_table(model: str, table: Mapping[str, Any]) -> Recipe:
    """A recipe from a table of a TOML file: settings of the model, "training" and "origin".

    Raises:
        UnknownName: a training option that there is not. ConfigError: a value that cannot be used.
    """
    settings = dict(table)
    training, origin = settings.pop("training", {}), settings.pop("origin", "")
    _require(training, Mapping, "training", "a table")
    known = [f.name for f in fields(Training)]
    for name in training:
        if name not in known:
            raise unknown("training option", name, known)
    return Recipe(model, settings, Training(**training), origin)


def recipes_of(model: str) -> list[str]:
    """Names of the files that hold a recipe of a model: data sets, or "reference"."""
    return [file.stem for file in sorted(FOLDER.glob("*.toml")) if file.stem != "default" and model in _read(file)]


def _read(file: Path) -> Mapping[str, Any]:
    with open(file, "rb") as stream:
        return tomllib.load(stream)
