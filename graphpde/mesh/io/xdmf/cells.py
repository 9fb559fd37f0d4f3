"""Points and cells of an XDMF grid: listed ones of one type or mixed, and those that a structured grid implies.

Nodes stand in the order of VTK, whose readers copy them as they are; only the axes of structured grids are listed from
the slowest to the fastest.

Source: XDMF Model and Format, "Topology" and "Geometry"; XdmfTopologyType for the codes of mixed topologies.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, Unreadable, listed
from graphpde.mesh.io.vtk.cells import structured
from graphpde.mesh.io.xdmf.arrays import Arrays
from graphpde.mesh.io.xdmf.tree import Element

_BASES = {
    **{"triangle": "triangle", "tri": "triangle", "quadrilateral": "quad", "quad": "quad", "pyramid": "pyramid"},
    **{"tetrahedron": "tetra", "tet": "tetra", "hexahedron": "hexahedron", "hex": "hexahedron", "wedge": "wedge"},
    "edge": "line",
}
CODES = {
    **{4: "triangle", 5: "quad", 6: "tetra", 7: "pyramid", 8: "wedge", 9: "hexahedron", 34: "line3", 35: "quad9"},
    **{36: "triangle6", 37: "quad8", 38: "tetra10", 39: "pyramid13", 40: "wedge15", 41: "wedge18"},
    **{48: "hexahedron20", 49: "hexahedron24", 50: "hexahedron27"},
}
_FREE = {"polyvertex": 1, "polyline": 2, "polygon": 3}  # types whose cells have any number of points, and their codes
_SIZES = {code: CELLS[kind].nodes for code, kind in CODES.items()}
_MESH = re.compile(r"(2d|3d)(s|rect|corect)mesh")


class Cells(NamedTuple):
    """Cell blocks, for each the listed element that its cells came from, and how many elements are listed."""

    blocks: list[Block]
    sources: list[np.ndarray]
    total: int


def points_and_cells(arrays: Arrays, topology: Element, geometry: Element) -> tuple[np.ndarray, Cells]:
    """Points [n, 2..3] and cells of one grid.

    Raises:
        Unreadable: counts that do not agree, unknown types, a cell that names no point.
    """
    name = (topology.get("TopologyType") or topology.get("Type") or "").lower()
    if mesh := _MESH.fullmatch(name):
        points, blocks = _structured(arrays, topology, geometry, mesh[1] == "2d", mesh[2])
        return points, Cells(blocks, [np.arange(len(block.nodes)) for block in blocks], len(blocks[0].nodes))
    points = _points(arrays, geometry)
    items = arrays.items(topology)
    count = _counts(topology.get("NumberOfElements") or topology.get("Dimensions"), "NumberOfElements")
    if topology.get("Order") is not None:
        raise Unreadable("its topology has an order of nodes of its own (Order), which is not read")
    if items:
        values = arrays.whole(items[0], "the point numbers of the topology")
    elif name == "polyvertex":
        values = np.arange(min(len(points), count[0] if count else len(points)))
    else:
        raise Unreadable(f"its topology of type {name[:30] or '(none)'} lists no cells")
    base = _counts(topology.get("BaseOffset", "0"), "BaseOffset")
    values = values - base[0] if base[0] and name != "mixed" else values
    cells = _mixed(values.reshape(-1), base[0]) if name == "mixed" else _equal(name, values, topology, count)
    if count and np.prod(count, dtype=object) != cells.total:
        raise Unreadable(f"its topology declares {count[0]} elements and lists {cells.total}; it may be cut off")
    for block in cells.blocks:
        if block.nodes.size and not 0 <= block.nodes.min() <= block.nodes.max() < len(points):
            bad = block.nodes.min() if block.nodes.min() < 0 else block.nodes.max()
            raise Unreadable(f"a cell names point {bad}, expected 0..{len(points) - 1}")
    arrays.charge(values.nbytes)
    return points, cells


def _counts(text: str | None, what: str) -> list[int]:
    words = (text or "").split()
    if not all(re.fullmatch(r"[0-9]{1,18}", word) for word in words):
        raise Unreadable(f"{what} is '{(text or '')[:40]}', expected counts")
    return [int(word) for word in words]


def _equal(name: str, values: np.ndarray, topology: Element, count: list[int]) -> Cells:
    """Cells that are all of one type."""
    match = re.fullmatch(r"([a-z]+?)_?([0-9]*)", name)
    width = _counts(topology.get("NodesPerElement"), "NodesPerElement")
    code, kind = _FREE.get(name, 0), ""
    if code:
        size = width[0] if width else values.shape[1] if values.ndim == 2 else 0
        size = size or (values.size // count[0] if count and count[0] else 1)
    else:
        kind = f"{_BASES.get(match[1], match[1])}{match[2]}" if match else name
        if kind not in CELLS:
            known = listed([*_BASES, *_FREE, "mixed"], 20)
            raise Unreadable(f"its topology is of type {name[:30] or '(none)'}, expected one of {known}")
        size = CELLS[kind].nodes
        if width and width[0] != size:
            raise Unreadable(f"its {kind} cells declare {width[0]} points each, expected {size}")
        if values.ndim == 2 and values.shape[1] != size:
            raise Unreadable(f"its {kind} cells list {values.shape[1]} points each, expected {size}")
    if size < 1 or values.size % size:
        raise Unreadable(f"its topology lists {values.size} points, which is no multiple of {size}")
    rows = values.reshape(-1, size)
    block, source = _block(code, rows, np.arange(len(rows))) if code else (Block(kind, rows), np.arange(len(rows)))
    return Cells([block], [source], len(rows))


def _mixed(values: np.ndarray, base: int) -> Cells:
    """Cells of any types: each begins with its code, behind which the free types have their number of points."""
    entries = values.tolist()
    codes: list[int] = []
    starts: list[int] = []
    sizes: list[int] = []
    position = 0
    while position < len(entries):
        code, first = entries[position], position + 1
        size = _SIZES.get(code)
        if size is None:
            if code not in (1, 2, 3):
                what = "is a polyhedron" if code == 16 else f"has the type code {code}"
                raise Unreadable(f"cell {len(codes)} of its mixed topology {what}, which has no cell type here")
            size, first = entries[first] if first < len(entries) else 0, first + 1
        if size < 1 or first + size > len(entries):
            raise Unreadable(f"cell {len(codes)} of its mixed topology leaves the list; the file may be cut off")
        codes.append(code)
        starts.append(first)
        sizes.append(size)
        position = first + size
    return _grouped(values, np.array(codes, dtype=np.int64), np.array(starts, dtype=np.int64), np.array(sizes), base)


def _grouped(values: np.ndarray, codes: np.ndarray, starts: np.ndarray, sizes: np.ndarray, base: int) -> Cells:
    """One block for each type and size, in the order of the file."""
    blocks, sources = [], []
    keys = codes * (sizes.max(initial=0) + 1) + sizes
    groups, first = np.unique(keys, return_index=True)
    for key, start in sorted(zip(groups, first), key=lambda pair: pair[1]):
        cells = np.flatnonzero(keys == key)
        rows = values[starts[cells][:, None] + np.arange(sizes[start])] - base
        block, source = _block(int(codes[start]), rows, cells)
        blocks.append(block)
        sources.append(source)
    return Cells(blocks, sources, len(codes))


def _block(code: int, rows: np.ndarray, cells: np.ndarray) -> tuple[Block, np.ndarray]:
    """Cells of one code and size, and the listed element of each; free types come apart into vertices and lines."""
    size = rows.shape[1]
    if code == 1:
        return Block("vertex", rows.reshape(-1, 1)), np.repeat(cells, size)
    if code == 2:
        return Block("line", np.stack([rows[:, :-1], rows[:, 1:]], -1).reshape(-1, 2)), np.repeat(cells, size - 1)
    return Block(CODES.get(code, "polygon"), rows), cells


def _points(arrays: Arrays, geometry: Element) -> np.ndarray:
    name = _geometry_type(geometry)
    values = [arrays.value(item) for item in arrays.items(geometry)]
    if name in ("xyz", "xy"):
        width = len(name)
        if len(values) != 1:
            raise Unreadable(f"its geometry {name.upper()} has {len(values)} data items, expected 1")
        x = values[0]
        if x.size % width or (x.ndim > 1 and x.shape[-1] != width):
            raise Unreadable(f"its geometry {name.upper()} has the shape {list(x.shape)}, expected [n, {width}]")
        return x.reshape(-1, width)
    if name in ("x_y_z", "x_y"):
        axes = name.split("_")
        parts = [part.reshape(-1) for part in (values[0] if len(values) == 1 and values[0].ndim == 2 else values)]
        if len(parts) != len(axes) or len({len(part) for part in parts}) > 1:
            raise Unreadable(f"its geometry {name.upper()} has {len(parts)} lists of {[len(p) for p in parts]} numbers")
        return np.stack(parts, 1)
    raise Unreadable(f"its geometry is of type {name.upper()[:30]}, which gives no listed cells their points")


def _geometry_type(geometry: Element) -> str:
    return (geometry.get("GeometryType") or geometry.get("Type") or "XYZ").lower()


def _structured(
    arrays: Arrays, topology: Element, geometry: Element, plane: bool, kind: str
) -> tuple[np.ndarray, list[Block]]:
    """The grids 2DSMesh to 3DCoRectMesh; ``kind``: s = points listed, rect = axes listed, corect = equal steps."""
    text = topology.get("Dimensions") or topology.get("NumberOfElements")
    counts = _counts(text, "Dimensions")
    d = 2 if plane else 3
    if len(counts) == 3 and plane and counts[0] == 1:
        counts = counts[1:]
    if len(counts) != d or min(counts) < 1:
        raise Unreadable(f"its structured grid has the Dimensions '{(text or '')[:40]}', expected {d} counts")
    dimensions = [*counts[::-1], *[1] * (3 - d)]  # the fastest axis first
    name = _geometry_type(geometry)
    if kind == "s":
        x = _points(arrays, geometry)
        x = np.pad(x, ((0, 0), (0, 3 - x.shape[1])))
        return structured("STRUCTURED_GRID", dimensions, x, {}, ([], []))
    values = [arrays.value(item).reshape(-1).astype(np.float64) for item in arrays.items(geometry)]
    arrays.imply(int(np.prod(counts, dtype=object)))
    if kind == "rect" and name in ("vxvyvz", "vxvy") and len(values) == d:
        sizes = [len(line) for line in values]
        if sorted(sizes) != sorted(counts):  # writers do not agree on the order of the counts; the axes tell
            raise Unreadable(f"its axes have {sizes} coordinates, expected {counts[::-1]}")
        axes = dict(zip("XYZ", [*values, *[np.zeros(1)] * (3 - d)]))
        return structured("RECTILINEAR_GRID", [len(line) for line in axes.values()], None, axes, ([], []))
    if kind == "corect" and name.startswith("origin_dx") and [len(v) for v in values] == [d, d]:
        origin, steps = ([*value[::-1].tolist(), *[0.0] * (3 - d)] for value in values)
        return structured("STRUCTURED_POINTS", dimensions, None, {}, (steps, origin))
    raise Unreadable(f"its structured grid has a geometry of type {name.upper()[:30]}, which does not fit")
