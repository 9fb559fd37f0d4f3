"""Reader of CGNS meshes in HDF5: zones as parts of one mesh, boundary conditions as sets, solutions as data.

Source: CGNS, "Standard Interface Data Structures" and "HDF5 Implementation of the CGNS node tree".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.io.cgns import elements as cgns_elements
from graphpde.mesh.io.cgns import sets as cgns_sets
from graphpde.mesh.io.cgns.tree import children, has_values, values, word
from graphpde.mesh.io.hdf5.tree import opened
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable, listed
from graphpde.mesh.io.tag_arrays import dimension
from graphpde.mesh.io.vtk.cells import structured

_ADF = "it is no HDF5 file; older CGNS files (ADF) must be converted with adf2hdf"
_AXES = ("CoordinateX", "CoordinateY", "CoordinateZ")


def read(path: Path) -> RawMesh:
    """Read the first base with zones of a CGNS file.

    Raises:
        Unreadable: no zones, coordinates that are not Cartesian, polyhedra, counts that do not agree, links.
            ModuleNotFoundError: h5py is missing.
    """
    with opened(path, _ADF) as file:
        bases = {name: children(base, "Zone_t") for name, base in children(file, "CGNSBase_t").items()}
        filled = [name for name, zones in bases.items() if zones]
        if not filled:
            raise Unreadable(f"it is an HDF5 file with {len(bases)} CGNS bases and no zone")
        parts = {name: _zone(zone) for name, zone in bases[filled[0]].items()}
        raw = _joined(parts)
        if len(filled) > 1:
            raw.notes.append(f"it holds {len(filled)} bases; '{filled[0]}' is read, not {listed(filled[1:])}")
        links = sum(_connections(zone) for zone in bases[filled[0]].values())
        if links:
            raw.notes.append(
                f"{links} connections of its {len(parts)} zones were left out; the zones stay separate parts"
            )
        return raw


def _connections(zone: Any) -> int:
    folders = children(zone, "ZoneGridConnectivity_t").values()
    return sum(1 for folder in folders for _ in children(folder))


def _zone(zone: Any) -> RawMesh:
    sizes = values(zone)
    name = zone.name.rsplit("/", 1)[-1]
    if sizes.dtype.kind not in "iu" or sizes.ndim != 2 or len(sizes) != 3 or not 1 <= sizes.shape[1] <= 3:
        raise Unreadable(f"zone '{name}' states its size by numbers of shape {list(sizes.shape)}")
    if sizes.min() < 0 or sizes[0].min() < 1:
        raise Unreadable(f"zone '{name}' states sizes of {sizes[0].tolist()} points")
    kind = word(children(zone)["ZoneType"]) if "ZoneType" in children(zone) else "Structured"
    count = int(np.prod(sizes[0].astype(object)))
    points = _points(zone, name, count)
    if kind == "Structured":
        shape = tuple(int(size) for size in sizes[0])
        padded = [*shape, 1, 1][:3]
        _, blocks = structured("STRUCTURED_GRID", padded, points, {}, ([], []))
        raw, ids, found = RawMesh(points, blocks), [np.arange(1, len(blocks[0].nodes) + 1)], []
    else:
        raw, shape = RawMesh(points, []), ()
        found = cgns_elements.sections(zone, raw.notes)
        raw.blocks = [cells.block for cells in found]
        ids = [cells.ids for cells in found]
    cgns_sets.read(raw, zone, ids, shape)
    _sections(raw, found)
    for family in children(zone, "FamilyName_t").values():
        raw.cell_sets.append(_everything(raw, word(family)))
    _solutions(raw, zone, ids)
    return raw


def _points(zone: Any, name: str, count: int) -> np.ndarray:
    grids = children(zone, "GridCoordinates_t")
    if not grids:
        raise Unreadable(f"zone '{name}' has no coordinates")
    axes = children(grids.get("GridCoordinates", next(iter(grids.values()))), "DataArray_t")
    found = [values(axes[axis]).reshape(-1) for axis in _AXES if axis in axes]
    if not found or "CoordinateX" not in axes:
        raise Unreadable(f"zone '{name}' has the coordinates {listed(axes) or '(none)'}, expected CoordinateX, Y, Z")
    if any(len(x) != count or x.dtype.kind != "f" for x in found):
        raise Unreadable(f"zone '{name}' has {len(found[0])} coordinates, expected {count}; rind points are not read")
    return np.stack([x.astype(np.float64) for x in found], 1)


def _everything(raw: RawMesh, name: str) -> CellSet:
    """All cells of the highest dimension."""
    top = max((dimension(block.kind) for block in raw.blocks), default=0)
    return CellSet(
        name, [np.arange(len(block.nodes)) if dimension(block.kind) == top else None for block in raw.blocks]
    )


def _sections(raw: RawMesh, found: list[cgns_elements.Cells]) -> None:
    """Sections as sets: all of them, except one that is the whole interior and those that conditions cover."""
    top = max((dimension(block.kind) for block in raw.blocks), default=0)
    inner = {cells.section for cells in found if dimension(cells.block.kind) == top}
    covered = [np.zeros(len(block.nodes), dtype=bool) for block in raw.blocks]
    for cells_set in raw.cell_sets:
        for mask, rows in zip(covered, cells_set.members):
            if rows is not None:
                mask[rows] = True
    for name in dict.fromkeys(cells.section for cells in found):
        mine = [cells.section == name for cells in found]
        done = all(mask.all() for mask, own in zip(covered, mine) if own)
        if not (done or (name in inner and len(inner) == 1)):
            members: list[np.ndarray | None] = [
                np.arange(len(cells.block.nodes)) if own else None for cells, own in zip(found, mine)
            ]
            raw.cell_sets.append(CellSet(name.strip(), members))


def _solutions(raw: RawMesh, zone: Any, ids: list[np.ndarray]) -> None:
    """Values at vertices and cell centres; the last solution of several that have the same names."""
    top = max((dimension(block.kind) for block in raw.blocks), default=0)
    inner = [number for number, block in enumerate(raw.blocks) if dimension(block.kind) == top]
    order = np.argsort(np.concatenate([np.zeros(0, np.int64), *(ids[number] for number in inner)]), kind="stable")
    left_out = []
    for title, solution in children(zone, "FlowSolution_t").items():
        parts = children(solution)
        place = word(parts["GridLocation"]) if "GridLocation" in parts else "Vertex"
        for name, node in children(solution, "DataArray_t").items():
            array = values(node).reshape(-1) if has_values(node) else np.zeros(0)
            if place == "Vertex" and len(array) == len(raw.points):
                raw.point_data[name] = array
            elif place == "CellCenter" and len(array) == len(order):
                own = np.empty_like(array)
                own[order] = array
                cuts = np.cumsum([len(ids[number]) for number in inner])[:-1]
                slots: list[np.ndarray | None] = [None] * len(raw.blocks)
                for number, part in zip(inner, np.split(own, cuts)):
                    slots[number] = part
                raw.cell_data[name] = slots
            else:
                left_out.append(f"{title}/{name}")
    if left_out:
        raw.notes.append(
            f"{len(left_out)} fields with rind points or at other places were left out: {listed(left_out)}"
        )


def _joined(parts: dict[str, RawMesh]) -> RawMesh:
    """The zones as parts of one mesh; each one a set of cells if there are several."""
    zones = list(parts.values())
    if len({zone.points.shape[1] for zone in zones}) > 1:
        raise Unreadable("its zones have different numbers of coordinates")
    blocks: list[Block] = []
    raw = RawMesh(np.concatenate([zone.points for zone in zones]), blocks)
    total = sum(len(zone.blocks) for zone in zones)
    first = 0
    for name, zone in parts.items():
        if len(parts) > 1:
            zone.cell_sets.append(_everything(zone, name.strip()))
        start = len(blocks)
        blocks += [Block(block.kind, _shifted(block.nodes, first, len(zone.points), name)) for block in zone.blocks]
        for cells in zone.cell_sets:
            members = [None] * start + list(cells.members)
            raw.cell_sets.append(CellSet(cells.name, members + [None] * (total - len(members))))
        raw.facet_sets += [FacetSet(facets.name, facets.dim, facets.corners + first) for facets in zone.facet_sets]
        raw.point_sets += [(title, ids + first) for title, ids in zone.point_sets]
        raw.notes += zone.notes
        first += len(zone.points)
    shared = [name for name in zones[0].point_data if all(name in zone.point_data for zone in zones)]
    raw.point_data = {name: np.concatenate([zone.point_data[name] for zone in zones]) for name in shared}
    for name in dict.fromkeys(name for zone in zones for name in zone.cell_data):
        raw.cell_data[name] = [part for zone in zones for part in zone.cell_data.get(name, [None] * len(zone.blocks))]
    partial = sorted({name for zone in zones for name in zone.point_data} - set(shared))
    if partial:
        raw.notes.append(f"{len(partial)} fields that only some zones have were left out: {listed(partial)}")
    return raw


def _shifted(nodes: np.ndarray, first: int, count: int, name: str) -> np.ndarray:
    """Point numbers of a zone among all points; beyond its own points they would be another zone's."""
    if nodes.size and not 0 <= nodes.min() <= nodes.max() < count:
        raise Unreadable(f"a cell of zone '{name}' names point {nodes.max() + 1}, expected 1..{count}")
    return nodes + first
