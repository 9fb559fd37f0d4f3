"""Settings that would have no effect: a value given for nothing is a misunderstanding, and is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphpde.errors import ConfigError

if TYPE_CHECKING:
    from graphpde.run.flows.config import FlowConfig

_PERCEPTRON = ("space", "sphere", "torus", "surface")
ON: dict[str, tuple[str, ...]] = {
    "data.unit": ("sphere", "torus"),
    "model.hidden": (*_PERCEPTRON, "fields"),
    "model.layers": _PERCEPTRON,
    "model.frequencies": _PERCEPTRON,
    "model.waves": ("space", "sphere", "torus"),
    "model.modes": ("surface", "fields"),
    "model.features": ("surface",),
    "model.fields": ("surface",),
    "model.length": ("fields",),
    "model.blocks": ("fields",),
    "model.reach": ("particles",),
    "model.in_distance": ("particles",),
    "model.in_time": ("particles",),
    "flow.path": ("space", "particles", "fields"),
    "flow.sigma": ("space", "particles", "fields"),
    "flow.coupling": ("space", "sphere", "torus", "particles", "surface", "fields"),
    "flow.steps": ("surface",),
    "flow.tolerance": ("space", "sphere", "torus", "particles", "fields"),
}
"""Places on which a setting counts; those that are not here count everywhere."""

BY = {
    "flow.path": "matching",
    "flow.sigma": "matching",
    "flow.coupling": "matching",
    "flow.probes": "likelihood",
    "flow.kinetic": "likelihood",
    "flow.jacobian": "likelihood",
}
"""The method by which a setting counts."""


def check_effect(config: FlowConfig) -> None:
    """Refuse values other than the usual ones where they have no effect.

    Raises:
        ConfigError: the first such setting, and where it would count.
    """
    on, method = config.model.on, config.flow.method
    for key in [*ON, *(key for key in BY if key not in ON)]:
        value, usual = _value(config, key)
        if value == usual:
            continue
        if on not in ON.get(key, (on,)):
            raise _without(key, value, f"model.on is '{on}'", " or ".join(ON[key]))
        if method != BY.get(key, method):
            raise _without(key, value, f"flow.method is '{method}'", f'flow.method = "{BY[key]}"')
    holdout, usual = _value(config, "data.holdout")
    if holdout != usual and not config.data.file:
        raise _without("data.holdout", holdout, "samples are drawn anew from a law", "data.file")


def _without(key: str, value: Any, why: str, counts: str) -> ConfigError:
    return ConfigError(f"{key} is {value!r} and has no effect where {why}; leave it out (it counts with {counts})")


def _value(config: FlowConfig, key: str) -> tuple[Any, Any]:
    """What is given and what is usual."""
    part, name = key.split(".")
    given = getattr(config, part)
    return getattr(given, name), getattr(type(given)(), name)
