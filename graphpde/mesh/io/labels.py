"""Names and fields as a format can hold them, and what is said about all that had to change or to stay behind."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from graphpde.core.graph import TagSet
from graphpde.mesh.io.raw import listed
from graphpde.mesh.io.vtk.vtu_write import field_values
from graphpde.mesh.mesh import Mesh

_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PLANAR = 1e-12  # a coordinate that varies less than this times the extent of the mesh is constant to the reader
_EXACT = 1 << 53  # whole numbers up to here are doubles


def labels(
    names: Iterable[str], rule: Callable[[str], str], *, fold: Callable[[str], str] = str, limit: int = 1 << 16
) -> tuple[dict[str, str], list[str]]:
    """The label of each name: the name by the rule of a format, with a number behind it where two would agree.

    Args:
        rule: name -> label. fold: labels that it maps to one text count as equal. limit: most letters of a label.

    Returns:
        Name -> label, and a sentence if some differ. Names that may stay as they are come before those that may not.
    """
    names = list(names)
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in sorted(names, key=lambda name: rule(name)[:limit] != name):
        label = base = rule(name)[:limit]
        number = 1
        while fold(label) in taken:
            number += 1
            label = base[: limit - len(str(number)) - 1] + f"_{number}"
        taken.add(fold(label))
        found[name] = label
    changed = [f"'{_short(name)}' is '{_short(found[name])}'" for name in names if found[name] != name]
    told = f"{len(changed)} names cannot be kept as they are: {listed(changed)}"
    return {name: found[name] for name in names}, [told] if changed else []


def xml_label(name: str) -> str:
    """A name that may stand in XML; an attribute of a start tag must not be empty for all readers."""
    return _NO_XML.sub("_", name) or "unnamed"


def filled(mesh: Mesh) -> tuple[dict[str, TagSet], list[str]]:
    """The named sets with members, and a sentence about those without."""
    empty = [name for name, tag in mesh.tags.items() if not len(tag.ids)]
    told = [f"{len(empty)} named sets are empty and were left out: {listed(empty)}"] if empty else []
    return {name: tag for name, tag in mesh.tags.items() if len(tag.ids)}, told


def fields(data: dict[str, Any], count: int, where: str) -> tuple[dict[str, np.ndarray], list[str]]:
    """Fields [n] or [n, c] as numbers, and a sentence about those without components.

    Args:
        count: number of points or cells. where: "PointData" or "CellData".

    Raises:
        ShapeError: values that do not fit.
    """
    arrays = {name: field_values(name, values, count, where) for name, values in data.items()}
    none = [name for name, values in arrays.items() if values.ndim == 2 and not values.shape[1]]
    told = [f"{len(none)} fields have no components and were left out: {listed(none)}"] if none else []
    return {name: values for name, values in arrays.items() if name not in none}, told


def rounded(arrays: dict[str, np.ndarray]) -> list[str]:
    """A sentence about the whole numbers that are no doubles, for formats that store doubles only."""
    large = [
        name
        for name, values in arrays.items()
        if values.dtype.kind in "iu" and values.size and (values.max() > _EXACT or values.min() < -_EXACT)
    ]
    return [f"whole numbers beyond 2^53 are rounded: {listed(large)}"] if large else []


def flattened(mesh: Mesh) -> list[str]:
    """A sentence about a mesh that is read in fewer dimensions where a file does not say how many it has."""
    if mesh.space_dim == mesh.dim or mesh.dim == 0:
        return []
    x = mesh.points.detach().cpu().numpy()
    spread = np.ptp(x[np.unique(np.concatenate([nodes.reshape(-1) for nodes in mesh.cells.values()]))], axis=0)
    if not (spread[mesh.dim :] <= _PLANAR * spread.max()).all():
        return []
    return ["where the mesh lies in space is lost when it is read again: its constant coordinates are dropped"]


def _short(name: str) -> str:
    text = name.encode("unicode_escape").decode() if not name.isprintable() else name
    return text if len(text) <= 24 else text[:21] + "..."
