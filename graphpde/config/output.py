"""The ``[output]`` part of a problem file: pictures, files, and what is measured beside the fields."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from graphpde.config.schema import Output, Point, Segment
from graphpde.config.section import Section, choice, number, text, truth
from graphpde.errors import ConfigError
from graphpde.problems import Pde

PICTURES = ("none", "summary", "all")
SERIES = ("vtu", "xdmf", "both")
ALL = "all"
_FILE_NAME = re.compile(r"\w[\w.+ -]*")


def read_output(value: Any, where: str, pde: type[Pde] | Pde) -> Output:
    """The table ``[output]``, checked; whether sets and points lie in the mesh is said once there is one.

    Raises:
        UnknownName: a key or choice that is not known. ConfigError: a value of the wrong kind.
    """
    section = Section(value, where)

    def units(table: Any, at: str) -> dict[str, str]:
        inner = Section(table, at)
        found = {
            name: inner.take(name, text, "") for name in dict.fromkeys((*pde.fields, *pde.units, "length", "time"))
        }
        inner.close()
        return {name: unit for name, unit in found.items() if unit}

    out = Output(
        pictures=section.take("pictures", choice("pictures", PICTURES), Output.pictures),
        npz=section.take("npz", truth, Output.npz),
        report=section.take("report", truth, Output.report),
        units=section.take("units", units, {}),
        series=section.take("series", choice("series", SERIES), Output.series),
        animation=section.take("animation", truth, Output.animation),
        probes=section.take("probes", _points, {}),
        lines=section.take("lines", _segments, {}),
        integrals=section.take("integrals", _sets, None),
        fluxes=section.take("fluxes", _sets, None),
        forces=section.take("forces", _sets, None),
        reference=section.take("reference", _reference, {}),
    )
    section.close()
    if out.forces is not None and "pressure" not in pde.fields:
        raise ConfigError(f"{where}.forces belongs to flows, and {pde.name} is none; fluxes give what passes a set")
    if out.reference and out.forces is None:
        raise ConfigError(f"{where}.reference makes forces coefficients; give {where}.forces (--forces) too")
    return out


def _reference(value: Any, where: str) -> dict[str, float]:
    """``{ speed = 1.0, area = 0.1 }``."""
    section = Section(value, where)
    found = {name: section.take(name, number(0.0, above=True), None) for name in ("speed", "area")}
    section.close()
    missing = [name for name, part in found.items() if part is None]
    if missing:
        raise ConfigError(f"{where} has no {missing[0]}, expected a speed and an area (in the plane a length)")
    return {name: float(part) for name, part in found.items() if part is not None}


def _point(value: Any, where: str) -> Point:
    """``[0.5, 0.2]``; on a line a number alone."""
    parts = value if isinstance(value, list | tuple) else [value]
    if not 1 <= len(parts) <= 3 or any(isinstance(part, bool | str | Mapping) for part in parts):
        raise ConfigError(f"{where} is {value!r}, expected the coordinates of a point, such as [0.5, 0.2]")
    return tuple(number()(part, where) for part in parts)


def _points(value: Any, where: str) -> dict[str, Point]:
    return {str(name): _point(x, f"{where}.{name}") for name, x in Section(value, where).values.items()}


def _segments(value: Any, where: str) -> dict[str, Segment]:
    out: dict[str, Segment] = {}
    for name, ends in Section(value, where).values.items():
        place = f"{where}.{name}"
        if not _FILE_NAME.fullmatch(str(name)):
            raise ConfigError(f"{where} has the name '{name}', which becomes that of a file; use letters and digits")
        if not isinstance(ends, list | tuple) or len(ends) != 2:
            raise ConfigError(f"{place} is {ends!r}, expected its two ends, such as [[0.0, 0.5], [1.0, 0.5]]")
        start, end = (_point(x, place) for x in ends)
        if len(start) != len(end):
            raise ConfigError(
                f"{place} has ends with {len(start)} and {len(end)} coordinates, expected as many in both"
            )
        if start == end:
            raise ConfigError(f"{place} starts and ends at {list(start)}, expected a segment with a length")
        out[str(name)] = (start, end)
    return out


def _sets(value: Any, where: str) -> str | tuple[str, ...] | None:
    """``"all"``, ``true``, or names of sets; false = none."""
    if isinstance(value, bool):
        return ALL if value else None
    if value == ALL:
        return ALL
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ConfigError(f'{where} is {value!r}, expected "all" or names of sets, such as ["inlet", "outlet"]')
    return tuple(dict.fromkeys(names))
