"""The table [materials]: sets of cells -> named materials or their figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphpde.config.section import Section, number, text
from graphpde.errors import ConfigError
from graphpde.problems import Pde
from graphpde.problems.materials import FIGURES, MATERIALS, Material
from graphpde.problems.units import Units, units_of_bodies


def read_materials(value: Any, where: str, pde: Pde, steady: bool, units: Mapping[str, str]) -> dict[str, Material]:
    """Material of every named set of cells; "*" is the rest. Those of bodies are told in ``units``, figures as given.

    Raises:
        ConfigError: the PDE reads no materials, or a figure is missing or not positive. UnknownName: no such material.
    """
    if not (pde.conducts or pde.elastic):
        raise ConfigError(f"[{where}] holds materials, which {pde.name} does not read; leave it out")
    told = units_of_bodies(units) if pde.elastic else Units()
    parts = Section(value, where).values.items()
    found = {name: _material(part, f"{where}.{name}", pde.figures, told) for name, part in parts}
    for name, material in found.items():
        missing = [key for key in ("density", "heat_capacity") if getattr(material, key) is None]
        if missing and not steady:
            raise ConfigError(
                f"{where}.{name} says no {' and no '.join(missing)}, which heat in time needs; give it, or ask for the "
                f"steady state"
            )
    return found


def _material(value: Any, where: str, needed: Sequence[str], units: Units) -> Material:
    """A name, or a table of figures that may start from a name: {material = "steel", conductivity = 45}."""
    if isinstance(value, str):
        return _complete(MATERIALS[text(value, where)].in_units(units), where, needed)
    if not isinstance(value, Mapping):
        shown = ", ".join(f"{key} = ..." for key in (*needed, "density"))
        raise ConfigError(
            f"{where} is {value!r}, expected the name of a material ('graphpde list materials') or a table {{{shown}}}"
        )
    section = Section(value, where)
    name = section.take("material", text, "")
    read = {key: section.take(key, _READ.get(key, _POSITIVE), None) for key in FIGURES}
    section.close()
    given: dict[str, Any] = {key: figure for key, figure in read.items() if figure is not None}
    if name in MATERIALS or (name and any(key not in given for key in needed)):
        base = MATERIALS[name].in_units(units)
    else:
        base = Material(name or "as given")
    if any(getattr(base, key) != figure for key, figure in given.items()):
        base = base._replace(**given, source="figures as given")
    return _complete(base, where, needed)


def _complete(material: Material, where: str, needed: Sequence[str]) -> Material:
    missing = [key for key in needed if getattr(material, key) is None]
    if not missing:
        return material
    if material.name in MATERIALS:
        raise ConfigError(
            f"{where}: nothing is known of the {missing[0]} of '{material.name}'; give {missing[0]} = ..."
        )
    raise ConfigError(f"{where} says no {missing[0]} and names no material that has one; give one of them")


def _ratio(value: Any, where: str) -> float:
    found = number()(value, where)
    if not -1 < found < 0.5:
        raise ConfigError(f"{where} is {found:g}, expected a number between -1 and 1/2")
    return found


_POSITIVE = number(0.0, above=True)
_READ: dict[str, Any] = {"poisson": _ratio, "expansion": number()}
