"""Fields and sets of an XDMF grid: attributes of nodes and cells, functions that FEniCS stores by their unknowns, sets.

A checkpoint of FEniCS lists the unknowns of each cell; of continuous linear elements they are the values at the corners
of the cell, of constants the value in it, one component after another.

Source: XDMF Model and Format, "Attribute" and "Set"; DOLFIN 2019.1, XDMFFile::write_checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from graphpde.mesh.io.raw import FacetSet, Unreadable
from graphpde.mesh.io.xdmf.arrays import Arrays, Unsupported
from graphpde.mesh.io.xdmf.cells import Cells
from graphpde.mesh.io.xdmf.sets import read_set
from graphpde.mesh.io.xdmf.tree import Element


@dataclass
class Fields:
    """What a grid carries.

    Attributes:
        point: name -> [n] or [n, c]. cell: name -> [m] or [m, c] over the listed elements.
        point_sets, cell_sets: name -> numbers of points or listed elements. facet_sets: name -> faces or edges.
        notes: what was left out.
    """

    point: dict[str, np.ndarray] = field(default_factory=dict)
    cell: dict[str, np.ndarray] = field(default_factory=dict)
    point_sets: dict[str, np.ndarray] = field(default_factory=dict)
    cell_sets: dict[str, np.ndarray] = field(default_factory=dict)
    facet_sets: dict[str, FacetSet] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_fields(arrays: Arrays, attributes: list[Element], sets: list[Element], n: int, cells: Cells) -> Fields:
    """The attributes and sets of a grid with ``n`` points.

    Raises:
        Unreadable: the numbers of one are damaged; what merely does not fit is left out with a note.
    """
    out = Fields()
    for node in attributes:
        name = node.get("Name") or "unnamed"
        try:
            place, values = _attribute(arrays, node, n, cells)
        except Unsupported as reason:
            out.notes.append(f"the field '{name}' was left out: {reason}")
            continue
        arrays.charge(values.nbytes)
        (out.point if place == "node" else out.cell)[name] = values
    for node in sets:
        name, place = node.get("Name") or "unnamed", (node.get("SetType") or "Node").lower()
        items = arrays.items(node)
        if place in ("face", "edge"):
            try:
                out.facet_sets[name] = read_set(arrays, node, name, cells)
            except Unsupported as reason:
                out.notes.append(f"the set '{name}' of type {place} was left out: {reason}")
            continue
        if place not in ("node", "cell") or len(items) != 1:
            out.notes.append(f"the set '{name}' of type {place[:20]} was left out")
            continue
        ids = arrays.whole(items[0], f"the numbers of set '{name}'").reshape(-1)
        limit = n if place == "node" else cells.total
        if ids.size and not 0 <= ids.min() <= ids.max() < limit:
            raise Unreadable(f"the set '{name}' names {ids.max()} or {ids.min()}, expected 0..{limit - 1}")
        (out.point_sets if place == "node" else out.cell_sets)[name] = ids
    return out


def _attribute(arrays: Arrays, node: Element, n: int, cells: Cells) -> tuple[str, np.ndarray]:
    """Where the values of an attribute stand, "node" or "cell", and the values."""
    items = arrays.items(node)
    place = (node.get("Center") or "Node").lower()
    if (node.get("ItemType") or "").lower() == "finiteelementfunction":
        return _function(arrays, node, items, n, cells)
    if place not in ("node", "cell"):
        raise Unsupported(f"its values stand at '{place[:20]}', expected Node or Cell")
    if len(items) != 1:
        raise Unsupported(f"it has {len(items)} data items, expected 1")
    values, count = arrays.value(items[0]), n if place == "node" else cells.total
    if not count or values.size % count or not values.size:
        raise Unsupported(f"it has {values.size} values for {count} {'points' if place == 'node' else 'cells'}")
    return place, _rows(values, count)


def _rows(values: np.ndarray, count: int) -> np.ndarray:
    out = values.reshape(count, -1)
    return out[:, 0] if out.shape[1] == 1 else out


def _function(arrays: Arrays, node: Element, items: list[Element], n: int, cells: Cells) -> tuple[str, np.ndarray]:
    """The values of a finite element function at the points or in the cells."""
    family, degree = (node.get("ElementFamily") or "").upper(), node.get("ElementDegree") or ""
    space = f"{family[:20]}{degree[:10]}"
    if space not in ("CG1", "LAGRANGE1", "P1", "Q1", "DG0"):
        raise Unsupported(f"it is of {space or 'an unknown space'}, read are CG1 and DG0; interpolate it there")
    if len(items) != 4 or len(cells.blocks) != 1 or len(cells.blocks[0].nodes) != cells.total:
        raise Unreadable(f"a finite element function has {len(items)} data items and {len(cells.blocks)} cell types")
    unknowns = arrays.whole(items[0], "the unknowns of a function").reshape(-1)
    vector = arrays.value(items[1]).reshape(-1)
    stops = arrays.whole(items[2], "the offsets of a function").reshape(-1)
    order = arrays.whole(items[3], "the cells of a function").reshape(-1)
    nodes, m = cells.blocks[0].nodes, cells.total
    if len(stops) != m + 1 or len(order) != m or not np.array_equal(np.sort(order), np.arange(m)):
        raise Unreadable(f"a finite element function lists {len(order)} cells, expected each of the {m} once")
    width = len(unknowns) // m if m else 0
    if not width or not np.array_equal(stops, np.arange(m + 1) * width) or len(unknowns) != m * width:
        raise Unsupported("its cells have different numbers of unknowns")
    if not 0 <= unknowns.min() <= unknowns.max() < len(vector):
        raise Unreadable(f"a finite element function names unknown {unknowns.max()} of {len(vector)}")
    corners = 1 if space == "DG0" else nodes.shape[1]
    if width % corners:
        raise Unsupported(f"its cells have {width} unknowns and {nodes.shape[1]} points")
    table = np.empty((m, width // corners, corners), dtype=np.int64)
    table[order] = unknowns.reshape(m, -1, corners)
    if space == "DG0":
        return "cell", _rows(vector[table[:, :, 0]], m)
    of_point = np.full((n, table.shape[1]), -1)
    of_point[nodes] = np.swapaxes(table, 1, 2)
    if not np.array_equal(of_point[nodes], np.swapaxes(table, 1, 2)):
        raise Unsupported("its cells do not agree on the unknowns of their points")
    if (of_point < 0).any():
        raise Unsupported("some points have no unknown")
    return "node", _rows(vector[of_point], n)
