"""Fields of MED files: values at nodes or cells of the last step, as data under the name of the field."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphpde.mesh.io.hdf5.tree import data, group, groups, label, number, numbers
from graphpde.mesh.io.raw import RawMesh, Unreadable, listed

NO_PROFILE = "MED_NO_PROFILE_INTERNAL"


def read(raw: RawMesh, parts: Any, fields: Any, mesh: str) -> None:
    """Add the fields on the mesh of this name; what is not one value per node or cell is named in a note.

    Args:
        parts: support and rows of each block. fields: the group of all fields, or None.
    """
    left_out: dict[str, list[str]] = {}
    earlier = []
    for name, field in groups(fields).items() if fields is not None else ():
        if label(field, "MAI") not in ("", mesh):
            left_out.setdefault("on other meshes", []).append(name)
            continue
        steps = groups(field)
        if any(step == "NOE" or "." in step for step in steps):
            left_out.setdefault("in the layout of MED 2", []).append(name)
            continue
        if not steps:
            continue
        last = max(steps.values(), key=lambda step: (number(step, "NDT", -1), number(step, "NOR", -1)))
        if len(steps) > 1:
            earlier.append(name)
        odd = _step(raw, parts, name.strip(), last, number(field, "NCO", 1))
        if odd:
            left_out.setdefault(odd, []).append(name)
    raw.notes += [f"{len(names)} fields {why} were left out: {listed(names)}" for why, names in left_out.items()]
    if earlier:
        raw.notes.append(f"earlier time steps of {len(earlier)} fields were not read: {listed(earlier)}")


def _step(raw: RawMesh, parts: Any, name: str, step: Any, width: int) -> str:
    """Add one field at one step; why some of it was left out, or nothing."""
    odd = ""
    supports = {part.support for part in parts}
    for support, found in groups(step).items():
        profile = label(found, "PFL") or NO_PROFILE
        content = group(found, profile)
        if content is None or data(content, "CO") is None:
            raise Unreadable(f"field '{name}' has no values at its {support}")
        if profile != NO_PROFILE:
            odd = "on a part of the mesh (profiles)"
        elif support == "NOE":
            raw.point_data[name] = _values(content, name, len(raw.points), width)
        elif support not in supports:
            odd = "on cells that were not read, at Gauss points or at the nodes of cells"
        elif number(content, "NGA", 1) > 1:
            odd = "at Gauss points or at the nodes of cells"
        else:
            count = sum(len(part.rows) for part in parts if part.support == support)
            values = _values(content, name, count, width)
            slots = raw.cell_data.setdefault(name, [None] * len(parts))
            for number_, part in enumerate(parts):
                if part.support == support:
                    slots[number_] = values[part.rows]
    return odd


def _values(content: Any, name: str, count: int, width: int) -> np.ndarray:
    """Values [count] or [count, width], stored component by component."""
    values = numbers(content, "CO").reshape(-1)
    if width < 1 or len(values) != count * width:
        raise Unreadable(f"field '{name}' has {len(values)} values for {count} entries of {width} components")
    return values if width == 1 else values.reshape(width, count).T
