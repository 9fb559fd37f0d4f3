"""Several XDMF grids as one mesh: pieces on points of their own, repeated ones, and grids that only label others.

FEniCS writes markers of facets and cells as further grids on the points of the mesh. Their cells are no new ones: the
numbers that they carry name sets.
"""

from __future__ import annotations

import zlib
from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, listed
from graphpde.mesh.io.tag_arrays import TAG_ARRAYS, dimension, tag_sets, whole
from graphpde.mesh.io.xdmf.cells import Cells
from graphpde.mesh.io.xdmf.fields import Fields

MOST_SETS = 4096  # different numbers beyond which an array counts, rather than names
_TAGS = (*TAG_ARRAYS, "name_to_read")  # the last one is what the tutorials of FEniCS call it


class Part(NamedTuple):
    """One grid: its name, points [n, d], cells and fields."""

    name: str
    points: np.ndarray
    cells: Cells
    fields: Fields


class _Kept(NamedTuple):
    """A part that became cells: the number of its points' copy among all copies, its first block."""

    part: Part
    copy: int
    first: int


def join(parts: list[Part], tagged: bool = True) -> RawMesh:
    """One raw mesh from all parts; equal points are shared, equal grids merged.

    Args:
        tagged: whether the usual integer arrays of cells name sets.
    """
    parts = sorted(parts, key=lambda part: -_top(part.cells))  # so that markers come behind the cells that they mark
    copies: list[np.ndarray] = []
    known: dict[tuple[tuple[int, ...], int], list[int]] = {}
    of_part = [_copy(copies, known, part.points) for part in parts]
    shifts = np.cumsum([0, *map(len, copies)])
    d = max(x.shape[1] for x in copies)
    raw = RawMesh(np.concatenate([np.pad(x, ((0, 0), (0, d - x.shape[1]))) for x in copies]), [])
    kept: dict[int, list[_Kept]] = {}
    labelled: set[tuple[int, str]] = set()
    for part, copy in zip(parts, of_part):
        raw.notes += part.fields.notes
        others = kept.setdefault(copy, [])
        twin = next((other for other in others if _same_cells(other.part.cells, part.cells)), None)
        if twin is not None:
            _merge(raw, twin.part, part)
        elif others and (places := _places(raw, part, int(shifts[copy]), others)) is not None:
            _label(raw, part, places, labelled)
            of_points = Fields(point=part.fields.point, point_sets=part.fields.point_sets)
            _merge(raw, others[0].part, part._replace(fields=of_points))
        else:
            others.append(_Kept(part, copy, len(raw.blocks)))
            raw.blocks += [Block(block.kind, block.nodes + shifts[copy]) for block in part.cells.blocks]
    every = [one for others in kept.values() for one in others]
    every.sort(key=lambda one: one.first)
    _fields(raw, every, copies, shifts)
    if tagged:
        _tags(raw)
    _sets(raw, every, shifts)
    return raw


def _top(cells: Cells) -> int:
    """The highest dimension of the cells."""
    return max((dimension(block.kind) for block in cells.blocks), default=-1)


def _copy(copies: list[np.ndarray], known: dict[tuple[tuple[int, ...], int], list[int]], points: np.ndarray) -> int:
    """The number of these points among the copies, which they join if they are new."""
    key = (points.shape, zlib.crc32(points.tobytes()))
    for number in known.setdefault(key, []):
        if np.array_equal(copies[number], points):
            return number
    known[key].append(len(copies))
    copies.append(points)
    return len(copies) - 1


def _same_cells(a: Cells, b: Cells) -> bool:
    return a is b or (
        len(a.blocks) == len(b.blocks)
        and all(x.kind == y.kind and np.array_equal(x.nodes, y.nodes) for x, y in zip(a.blocks, b.blocks))
    )


def _merge(raw: RawMesh, first: Part, again: Part) -> None:
    """Add the fields and sets of a repeated grid; of two fields of one name the first stays."""
    for mine, more in (
        (first.fields.point, again.fields.point),
        (first.fields.cell, again.fields.cell),
        (first.fields.point_sets, again.fields.point_sets),
        (first.fields.cell_sets, again.fields.cell_sets),
    ):
        for name, values in more.items():
            if not np.array_equal(mine.setdefault(name, values), values):
                raw.notes.append(f"a second field or set of the name '{name}' was left out")
    for name, found in again.fields.facet_sets.items():
        kept = first.fields.facet_sets.setdefault(name, found)
        if kept.dim != found.dim or not np.array_equal(kept.corners, found.corners):
            raw.notes.append(f"a second field or set of the name '{name}' was left out")


def _places(raw: RawMesh, part: Part, shift: int, others: list[_Kept]) -> list[tuple[int, np.ndarray]] | None:
    """For each block of a part (block, row) of its cells among those that stand on the same points.

    Lower cells become blocks of their own. None if the part is of other cells than these.
    """
    top = max(_top(other.part.cells) for other in others)
    dims = {dimension(block.kind) for block in part.cells.blocks}
    if not dims or max(dims) > top or (top in dims and len(dims) > 1):
        return None
    if top not in dims:
        raw.blocks += [Block(block.kind, block.nodes + shift) for block in part.cells.blocks]
        first = len(raw.blocks) - len(part.cells.blocks)
        return [(first + k, np.arange(len(block.nodes))) for k, block in enumerate(part.cells.blocks)]
    numbers = [o.first + k for o in others for k in range(len(o.part.cells.blocks))]
    found: list[tuple[int, np.ndarray]] = []
    for block in part.cells.blocks:
        same = [number for number in numbers if raw.blocks[number].kind == block.kind]
        known = [raw.blocks[number].nodes for number in same]
        rows = np.sort(np.concatenate([*known, block.nodes + shift]), axis=1)
        _, group = np.unique(rows, axis=0, return_inverse=True)
        group, total = group.reshape(-1), len(rows) - len(block.nodes)
        slot = np.full(len(rows), -1)
        slot[group[:total]] = np.arange(total)
        cells = slot[group[total:]]
        starts = np.cumsum([0, *map(len, known)])
        owner = np.searchsorted(starts, cells, side="right") - 1
        if (cells < 0).any() or (owner != owner[:1]).any():
            return None
        found.append((same[owner[0]] if len(owner) else -1, cells - starts[owner]))
    return found


def _label(raw: RawMesh, part: Part, places: list[tuple[int, np.ndarray]], labelled: set[tuple[int, str]]) -> None:
    """Sets from a grid of markers: one for each number of its integer attributes, else one of its name."""
    used = False
    for values in part.fields.cell.values():
        if values.ndim == 1 and whole(values) and len(np.unique(values)) <= MOST_SETS:
            used = True
            _by_number(raw, part, places, values.astype(np.int64), labelled)
    for name, ids in part.fields.cell_sets.items():
        used = True
        chosen = np.isin(np.arange(part.cells.total), ids)
        _add(raw, name, [(b, rows[chosen[source]]) for (b, rows), source in zip(places, part.cells.sources)])
    if not used:
        _add(raw, part.name or "unnamed", places)


def _by_number(
    raw: RawMesh, part: Part, places: list[tuple[int, np.ndarray]], values: np.ndarray, labelled: set[tuple[int, str]]
) -> None:
    dim = _top(part.cells)
    found = np.unique(values).tolist()
    clash = any((dim, str(value)) in labelled for value in found)
    slots: dict[int, list[tuple[int, np.ndarray]]] = {value: [] for value in found}
    for (number, rows), source in zip(places, part.cells.sources):
        mine = values[source]
        order = np.argsort(mine, kind="stable")
        cuts = np.flatnonzero(np.diff(mine[order])) + 1
        for group in np.split(order, cuts):
            if len(group):
                slots[int(mine[group[0]])].append((number, rows[group]))
    for value, pieces in slots.items():
        labelled.add((dim, str(value)))
        _add(raw, f"{part.name}:{value}" if clash else str(value), pieces)


def _add(raw: RawMesh, name: str, pieces: list[tuple[int, np.ndarray]]) -> None:
    members: list[np.ndarray | None] = [None] * len(raw.blocks)
    for number, rows in pieces:
        if len(rows):
            known = members[number]
            members[number] = rows if known is None else np.concatenate([known, rows])
    raw.cell_sets.append(CellSet(name, members))


def _fields(raw: RawMesh, every: list[_Kept], copies: list[np.ndarray], shifts: np.ndarray) -> None:
    """Point fields that all copies of points have, and cell fields of any part."""
    lost = []
    of_copy: list[dict[str, np.ndarray]] = [{} for _ in copies]
    for one in every:
        for name, values in one.part.fields.point.items():
            of_copy[one.copy].setdefault(name, values)
        for name, values in one.part.fields.cell.items():
            slots = raw.cell_data.setdefault(name, [None] * len(raw.blocks))
            for k, source in enumerate(one.part.cells.sources):
                slots[one.first + k] = values[source]
    for name in dict.fromkeys(name for fields in of_copy for name in fields):
        pieces = [fields[name] for fields in of_copy if name in fields]
        if len(pieces) == len(copies) and len({piece.shape[1:] for piece in pieces}) == 1:
            raw.point_data[name] = np.concatenate(pieces)
        else:
            lost.append(name)
    if lost:
        raw.notes.append(f"{len(lost)} fields are not given on all pieces and were left out: {listed(lost)}")


def _tags(raw: RawMesh) -> None:
    """The sets that the first of the usual integer arrays names."""
    array = next((name for name in _TAGS if name in raw.cell_data), None)
    if array is not None:
        given = [part for part in raw.cell_data[array] if part is not None]
        if len(np.unique(np.concatenate([part.reshape(-1) for part in given]))) <= MOST_SETS:
            raw.cell_sets += tag_sets(raw, array, {})


def _sets(raw: RawMesh, every: list[_Kept], shifts: np.ndarray) -> None:
    """The listed sets, and where several named parts were joined one set for each."""
    points: dict[str, list[np.ndarray]] = {}
    cells: dict[str, list[tuple[int, np.ndarray]]] = {}
    names = [one.part.name for one in every]
    apart = len(every) > 1 and all(names) and len(set(names)) == len(names)
    for one in every:
        for name, ids in one.part.fields.point_sets.items():
            points.setdefault(name, []).append(ids + shifts[one.copy])
        for name, ids in one.part.fields.cell_sets.items():
            chosen = np.isin(np.arange(one.part.cells.total), ids)
            for k, source in enumerate(one.part.cells.sources):
                cells.setdefault(name, []).append((one.first + k, np.flatnonzero(chosen[source])))
        if apart:
            blocks = enumerate(one.part.cells.blocks, one.first)
            cells.setdefault(one.part.name, []).extend((k, np.arange(len(block.nodes))) for k, block in blocks)
    raw.point_sets += [(name, np.unique(np.concatenate(parts))) for name, parts in points.items()]
    for name, pieces in cells.items():
        _add(raw, name, pieces)
    for one in every:
        for name, dim, corners in one.part.fields.facet_sets.values():
            moved = np.where(corners >= 0, corners + shifts[one.copy], -1)
            raw.facet_sets.append(FacetSet(name, dim, moved))
