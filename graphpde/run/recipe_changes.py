"""What somebody asks of a recipe: a file of their own, and single values, checked before anything is computed."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any

from graphpde.config import assign, merge
from graphpde.errors import ConfigError
from graphpde.graph_diffusion.models import MODELS
from graphpde.registry import unknown
from graphpde.run.recipe import FOLDER, Recipe, Training, from_table, recipe

_KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a text"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    tuple: ((list, tuple), "a list"),
    dict: ((Mapping,), "a table"),
}


_FIRST = {"attention": "heads = 4", "integration": "stepper = 'rk4'"}


def asked_recipe(
    model: str | None,
    dataset: str = "",
    *,
    file: str | os.PathLike[str] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> Recipe:
    """The recipe of a model on a data set, or of a file, with some values changed.

    Args:
        model: may be None where the file is about one model only. dataset: whose recipe is taken without a file.
        file: TOML with a table for each model, or the table of one; or the name of a file of the package.
        changes: nested tables of other values.

    Raises:
        ConfigError: no model, a file that cannot be read, a value of the wrong kind. UnknownName: names.
    """
    if file is not None:
        name, table = _own_table(file, model)
        base = from_table(name, _checked(table))
    elif model is None:
        raise ConfigError("no model is named; give --model NAME, one of 'graphpde list models', or --recipe FILE")
    else:
        base = recipe(model, dataset)
    found = changed(base, changes or {})
    _check(found)
    return found


def settings_of(texts: Iterable[str]) -> dict[str, Any]:
    """The tables of texts such as ``training.rate=0.01``.

    Raises:
        ConfigError: one of them is no KEY=VALUE.
    """
    out: dict[str, Any] = {}
    for text in texts:
        out = merge(out, assign(text))
    return out


def changed(base: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other values; its origin says that it is not the published one any more.

    Tolerances without a step take the step of the recipe away, so that steps adapt to them.

    Raises:
        UnknownName: a training option that there is not. ConfigError: a value of the wrong kind.
    """
    if not changes:
        return base
    settings = {key: value for key, value in changes.items() if key != "training"}
    training = _checked(changes).get("training", {})
    kept = base.as_dict()
    words = ", ".join(_dotted(changes))
    origin = f"{base.origin}; changed: {words}" if base.origin else ""
    whole = {**base.having(settings).settings, "training": {**kept["training"], **training}, "origin": origin}
    asked = changes.get("integration", {})
    if isinstance(asked, Mapping) and {"rtol", "atol"} & {*asked} and "dt" not in asked:  # steps that adapt are meant
        whole["integration"] = {key: value for key, value in whole["integration"].items() if key != "dt"}
    return from_table(base.model, whole)


def _own_table(file: str | os.PathLike[str], model: str | None) -> tuple[str, Mapping[str, Any]]:
    asked, ours = file, FOLDER / f"{os.fspath(file)}.toml"
    if not os.path.exists(file) and ours.is_file():
        file = ours
    try:
        with open(file, "rb") as stream:
            table = tomllib.load(stream)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(f"cannot read the recipe '{os.fspath(asked)}': {reason}") from None
    named = [name for name in table if name in MODELS and isinstance(table[name], Mapping)]
    if model is not None:
        MODELS[model]
        if not named:
            return model, table
        if model not in named:
            told = f"the recipe '{os.fspath(asked)}' has no settings of '{model}', only of {', '.join(named)}"
            raise ConfigError(f"{told}; leave --recipe out, or name another file")
        return model, table[model]
    if len(named) != 1:
        told = f"of {', '.join(named)}" if named else "of a model that it does not name"
        raise ConfigError(f"'{os.fspath(file)}' holds recipes {told}; say which with --model NAME")
    return named[0], table[named[0]]


def _checked(table: Mapping[str, Any]) -> Mapping[str, Any]:
    """The table, if its training options are of the right kind."""
    training = table.get("training", {})
    if not isinstance(training, Mapping):
        raise ConfigError(f"training = {training!r}, expected a table such as training.rate = 0.01")
    defaults = {f.name: getattr(Training(), f.name) for f in fields(Training)}
    for name, value in training.items():
        if name not in defaults:
            raise unknown("training option", name, defaults)
        allowed, word = _KINDS[type(defaults[name])]
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise ConfigError(f"training.{name} = {value!r}, expected {word}")
    if not isinstance(table.get("origin", ""), str):
        raise ConfigError(f"origin = {table['origin']!r}, expected a text that says where the numbers come from")
    return table


def _check(asked: Recipe) -> None:
    """Refuse values of the settings that most models have and that are of the wrong kind."""
    settings = asked.settings
    for name, allowed, word in (("hidden", int, "a whole number"), ("time", int | float, "a number")):
        value = settings.get(name, 1)
        if not isinstance(value, allowed) or isinstance(value, bool):
            raise ConfigError(f"{name} = {value!r}, expected {word}")
    for name in ("attention", "integration"):
        value = settings.get(name, {})
        if not isinstance(value, Mapping) and (name, value) != ("attention", "none"):
            raise ConfigError(f"{name} = {value!r}, expected a table such as {name}.{_FIRST[name]}")
    shares = settings.get("dropout", 0.0)
    listed = [*shares.values()] if isinstance(shares, Mapping) else shares if isinstance(shares, list) else [shares]
    if any(not isinstance(p, int | float) or not 0 <= p < 1 for p in listed) or len(listed) > 2:
        raise ConfigError(f"dropout = {shares!r}, expected probabilities in [0, 1): one, or of inputs and hidden ones")
    for name, group in asked.training.groups.items():
        if not isinstance(group, Mapping):
            raise ConfigError(
                f"training.groups.{name} = {group!r}, expected a table such as training.groups.{name}.rate"
            )
    asked.training.rule()


def _dotted(table: Mapping[str, Any], before: str = "") -> list[str]:
    out = []
    for key, value in table.items():
        out += _dotted(value, f"{before}{key}.") if isinstance(value, Mapping) else [before + key]
    return out
