"""The ``[adapt]`` part of a problem file: how far the mesh refines itself, and where it can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from graphpde.config.schema import Adapt, Config
from graphpde.config.section import Section, choice, integer, number
from graphpde.errors import ConfigError
from graphpde.mesh.space import Space
from graphpde.problems.values import conductivity

INDICATORS = ("recovery", "residual")
_LINEAR = ("heat", "poisson")  # what the residual indicator knows the residual of


def read_adapt(value: Any, where: str) -> Adapt:
    """The table ``[adapt]``, or the tolerance alone.

    Raises:
        UnknownName: a key or indicator that is not known. ConfigError: a value out of range, no tolerance.
    """
    section = Section(value if isinstance(value, Mapping) else {"tolerance": value}, where)
    if "tolerance" not in section.values:
        raise ConfigError(
            f"[{where}] names no tolerance; give {where}.tolerance = 0.02 for an error of about 2 percent"
        )
    out = Adapt(
        tolerance=section.take("tolerance", number(0.0, above=True), 0.0),
        indicator=section.take("indicator", choice("indicator", INDICATORS), None),
        theta=section.take("theta", _share, Adapt.theta),
        max_unknowns=section.take("max_unknowns", integer(1, 10**9), Adapt.max_unknowns),
    )
    section.close()
    return out


def _share(value: Any, where: str) -> float:
    found = number(0.0, above=True)(value, where)
    if found > 1:
        raise ConfigError(f"{where} is {found:g}, expected a share above 0 and up to 1")
    return found


def choose_indicator(config: Config, space: Any) -> Config:
    """The configuration with its indicator said: "residual" where the conductivity jumps, "recovery" elsewhere.

    Raises:
        ConfigError: adaptivity is asked for where there is none.
    """
    asked = config.adapt
    if asked is None:
        return config
    if not config.steady:
        raise ConfigError(
            f"a mesh adapts to a steady state, and this {config.pde} problem runs in time; give steady = true "
            "(--steady) or leave adapt out"
        )
    if config.element not in (None, "p1"):
        raise ConfigError("adaptivity estimates the error of linear elements; take element p1, or leave adapt out")
    kinds = set(space.mesh.cells)
    if kinds != {"triangle"}:
        raise ConfigError(
            f"adaptivity halves triangles, and '{space.mesh.name}' has {', '.join(sorted(kinds))} cells; give a mesh "
            "of triangles, or leave adapt out"
        )
    if config.periodic:
        raise ConfigError("adaptivity does not keep periodic sides alike; leave out either periodic or adapt")
    refused = _why_no_residual(config, space)
    if asked.indicator == "residual" and refused:
        raise ConfigError(f'the residual indicator {refused}; take adapt.indicator = "recovery"')
    jumps = isinstance(config.coefficients.get("kappa"), Mapping)
    chosen = asked.indicator or ("residual" if jumps and not refused else "recovery")
    return replace(config, adapt=replace(asked, indicator=chosen))


def _why_no_residual(config: Config, space: Space) -> str:
    if config.pde not in _LINEAR or config.reaction is not None:
        return f"knows heat and poisson without a reaction, not this {config.pde} problem"
    kappa = conductivity(space, config.coefficients["kappa"])
    if isinstance(kappa, Tensor) and kappa.dim() == 3:
        return "knows a conductivity that is the same in all directions"
    return ""
