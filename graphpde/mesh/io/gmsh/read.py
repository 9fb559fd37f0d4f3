"""Reader of gmsh meshes, formats 2.x and 4.1, text and binary, with every physical group kept.

An element in several groups is listed once per group in format 2 and belongs to an entity with several groups in format
4: both come out as one element in several sets. A group is known by its name, or by its number as a string if it has
none; in a file without any group the elementary entities, where there are several, serve as sets ``entity:NUMBER``.

Source: Gmsh reference manual, "MSH file format" and "MSH file format version 2 (Legacy)".
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.gmsh.sections import Content, Elements, read_section
from graphpde.mesh.io.gmsh.table import UNGROUPED, to_vtk
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed, positions
from graphpde.mesh.rows import grouped, repeated


def read(path: Path) -> RawMesh:
    """Read a .msh file of format 2.x or 4.1.

    Raises:
        Unreadable: another format, a section that is cut, counts that do not agree, undefined or doubled numbers.
    """
    data = path.read_bytes()
    version, binary, order, size, position = _header(data)
    content = Content()
    while (start := data.find(b"$", position)) >= 0:
        line_end = data.find(b"\n", start)
        line_end = len(data) if line_end < 0 else line_end
        section = data[start + 1 : line_end].strip().decode("latin-1")
        position = read_section(content, section, data, line_end + 1, (version, binary, order, size))
    for needed in ("Nodes", "Elements"):
        if needed not in content.seen:
            raise Unreadable(f"there is no ${needed} section")
    return _assemble(content)


def _header(data: bytes) -> tuple[int, bool, str, int, int]:
    start = data.find(b"$MeshFormat")
    line_end = data.find(b"\n", start)
    words = data[line_end : data.find(b"\n", line_end + 1)].split() if start >= 0 else []
    if len(words) < 3:
        raise Unreadable("there is no $MeshFormat section")
    version = words[0].decode("latin-1")
    binary, size = words[1] == b"1", int(words[2])
    order = "<"
    if binary:
        first = data.find(b"\n", line_end + 1) + 1
        one = data[first : first + 4]
        if one == b"\x00\x00\x00\x01":
            order = ">"
        elif one != b"\x01\x00\x00\x00":
            raise Unreadable("the binary header does not hold the number one that tells the byte order")
    if not (version.startswith("2") or version in ("4", "4.1")) or size not in (4, 8):
        raise Unreadable(f"format {version} is not supported; save it from gmsh as version 4.1 or 2.2")
    stop = data.find(b"$EndMeshFormat", line_end)
    if stop < 0:
        raise Unreadable("section $MeshFormat is not closed; the file seems to be cut off")
    return int(version[0]), binary, order, size, stop + len(b"$EndMeshFormat")


def _assemble(content: Content) -> RawMesh:
    points = np.concatenate(content.points) if content.points else np.empty((0, 3))
    tags = np.concatenate(content.tags) if content.tags else np.empty(0, dtype=np.int64)
    raw = RawMesh(points, [], notes=content.notes)
    kinds = list(dict.fromkeys(part.element.kind for part in content.elements))
    merged = [_merge(kind, [p for p in content.elements if p.element.kind == kind], tags) for kind in kinds]
    raw.blocks = [block.cells for block in merged]
    again = sum(len(block.new) - len(block.cells.nodes) for block in merged)
    if again:
        raw.notes.append(f"{again} elements are listed more than once; they count once, in all their groups")
    physical, elementary = _members(merged, "groups"), _members(merged, "entities")
    for (dim, group), slots in sorted(physical.items()):
        name = content.names.get((dim, group), str(group))
        if name != UNGROUPED:
            raw.cell_sets.append(CellSet(name, slots))
    dims = [dim for dim, _ in elementary]
    for (dim, entity), slots in sorted(elementary.items()):
        if not physical and dims.count(dim) > 1:
            raw.cell_sets.append(CellSet(f"entity:{entity}", slots))
    raw.cell_data["gmsh:geometrical"] = [_first(block.entities, block) for block in merged]
    if physical:
        raw.cell_data["gmsh:physical"] = [_first(block.groups, block) for block in merged]
    empty = [name for key, name in content.names.items() if key not in physical]
    if empty:
        raw.notes.append(f"{len(empty)} physical groups have no elements: {listed(empty)}")
    _fields(raw, content, tags, merged)
    return raw


class _Merged(NamedTuple):
    """All elements of one type: the distinct cells, and per listed element its new number, tag, entity and groups."""

    cells: Block
    dim: int
    new: np.ndarray
    tags: np.ndarray
    entities: list[np.ndarray]
    groups: list[np.ndarray]


def _merge(kind: str, parts: list[Elements], tags: np.ndarray) -> _Merged:
    rows = np.concatenate([part.nodes for part in parts])
    nodes = to_vtk(kind, positions(tags, rows, "node"))
    kept, new = _distinct(nodes)
    width = max(part.groups.shape[1] for part in parts)
    groups = [np.pad(part.groups, ((0, 0), (0, width - part.groups.shape[1]))) for part in parts]
    return _Merged(
        Block(kind, nodes[kept]),
        parts[0].element.dim,
        new,
        np.concatenate([part.tags for part in parts]),
        [np.concatenate([part.entities for part in parts])],
        list(np.concatenate(groups).T),
    )


def _distinct(nodes: np.ndarray) -> tuple[slice | np.ndarray, np.ndarray]:
    """The first listing of each cell, and for each listed cell its number among those."""
    if not len(repeated(nodes)):
        return slice(None), np.arange(len(nodes))
    first, inverse, _ = grouped(nodes)
    order = np.argsort(first)  # in the order of the file
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[inverse]


def _members(merged: list[_Merged], column: str) -> dict[tuple[int, int], list[np.ndarray | None]]:
    """(dimension, group) -> for each block its members; 0 is no group."""
    out: dict[tuple[int, int], list[np.ndarray | None]] = {}
    for number, block in enumerate(merged):
        for values in getattr(block, column):
            order = np.argsort(values, kind="stable")
            groups, starts = np.unique(values[order], return_index=True)
            for group, rows in zip(groups.tolist(), np.split(block.new[order], starts[1:])):
                if group:
                    slots = out.setdefault((block.dim, group), [None] * len(merged))
                    known = slots[number]
                    slots[number] = rows if known is None else np.concatenate([known, rows])
    return out


def _first(columns: list[np.ndarray], block: _Merged) -> np.ndarray:
    """The first column as one value per cell; an element listed twice keeps its first value."""
    out = np.zeros(len(block.cells.nodes), dtype=np.int64)
    if columns:
        out[block.new[::-1]] = columns[0][::-1]
    return out


def _fields(raw: RawMesh, content: Content, tags: np.ndarray, merged: list[_Merged]) -> None:
    for section, name, ids, values in content.data:
        if section == "NodeData":
            full = np.full((len(raw.points), *values.shape[1:]), np.nan)
            full[positions(tags, ids, "node")] = values
            raw.point_data[name] = full
            continue
        known = np.concatenate([block.tags for block in merged])
        flat = np.full((len(known), *values.shape[1:]), np.nan)
        flat[positions(known, ids, "element")] = values
        per_block: list[np.ndarray | None] = []
        for block, part in zip(merged, np.split(flat, np.cumsum([len(b.tags) for b in merged])[:-1])):
            out = np.full((len(block.cells.nodes), *values.shape[1:]), np.nan)
            out[block.new[::-1]] = part[::-1]
            per_block.append(None if np.isnan(out).all() else out)
        raw.cell_data[name] = per_block
