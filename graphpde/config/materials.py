"""The table [materials]: sets of cells -> named materials or their figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphpde.config.section import Section, number, text
from graphpde.errors import ConfigError
from graphpde.problems import Pde
from graphpde.problems.materials import MATERIALS, Material


def read_materials(value: Any, where: str, pde: Pde, steady: bool) -> dict[str, Material]:
    """Material of every named set of cells; "*" is the rest.

    Raises:
        ConfigError: the PDE reads no materials, or a figure is missing or not positive. UnknownName: no such material.
    """
    if not pde.conducts:
        raise ConfigError(f"[{where}] holds thermal materials, which {pde.name} does not read; leave it out")
    found = {name: _material(part, f"{where}.{name}") for name, part in Section(value, where).values.items()}
    for name, material in found.items():
        missing = [key for key in ("density", "heat_capacity") if getattr(material, key) is None]
        if missing and not steady:
            raise ConfigError(
                f"{where}.{name} says no {' and no '.join(missing)}, which heat in time needs; give it, or ask for the "
                f"steady state"
            )
    return found


def _material(value: Any, where: str) -> Material:
    """A name, or a table of figures that may start from a name: {material = "steel", conductivity = 45}."""
    if isinstance(value, str):
        return MATERIALS[text(value, where)]
    if not isinstance(value, Mapping):
        raise ConfigError(
            f"{where} is {value!r}, expected the name of a material ('graphpde list materials') or a table "
            f"{{conductivity = ..., density = ..., heat_capacity = ...}}"
        )
    section = Section(value, where)
    name = section.take("material", text, "")
    positive = number(0.0, above=True)
    figures = {key: section.take(key, positive, None) for key in ("conductivity", "density", "heat_capacity")}
    section.close()
    given = {key: figure for key, figure in figures.items() if figure is not None}
    if len(given) < 3 and name:
        base = MATERIALS[name]
    elif name in MATERIALS and all(getattr(MATERIALS[name], key) == figure for key, figure in given.items()):
        return MATERIALS[name]  # what a run wrote down
    elif "conductivity" not in given:
        raise ConfigError(f"{where} says no conductivity and names no material; give one of them")
    else:
        base = Material(name or "as given", given["conductivity"])
    if all(getattr(base, key) == figure for key, figure in given.items()):
        return base
    k, rho, c = (given.get(key, getattr(base, key)) for key in figures)
    return Material(base.name, k, rho, c, source="figures as given")
