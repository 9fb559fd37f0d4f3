"""From what a reader found to a mesh: one dimension of cells, lower cells as sets, points of the right dimension."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.findings import findings
from graphpde.mesh.io.named import Numbering, named_sets
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable, listed, printable
from graphpde.mesh.io.split import split_cells
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.rows import distinct

_PLANAR = 1e-12  # a coordinate that varies less than this times the extent of the mesh is constant
_ORDER = re.compile(r"(line|triangle|quad|tetra|hexahedron|wedge|pyramid)\d+$")


def _warnings(mesh: Mesh, notes: Sequence[str]) -> list[str]:
    """What reading noted, and what looks odd about the mesh."""
    return list(dict.fromkeys(map(printable, [*notes, *findings(mesh)])))


class _Usable(NamedTuple):
    """The raw mesh with known cell types only, and which of its old blocks remain."""

    blocks: list[Block]
    kept: list[int]
    notes: list[str]


def to_mesh(raw: RawMesh, name: str) -> Mesh:
    """A valid mesh from a raw one.

    The cells of the highest dimension become the cells; lower ones become sets of facets, edges or points. Polygons and
    prisms without an element are split. A surface in a plane of constant z becomes a 2-D mesh, a chain of lines along x
    a 1-D mesh; all else keeps its coordinates.

    Raises:
        Unreadable: no cells, coordinates that do not fit the cells.
        MeshError: an index out of range or a point that is not finite.
    """
    points = np.asarray(raw.points, dtype=np.float64)
    points = points if points.size else points.reshape(0, 3)
    if points.ndim != 2 or points.shape[1] not in (1, 2, 3):
        raise Unreadable(f"its points have shape {list(points.shape)}, expected [n, 1..3]")
    raw = split_cells(raw)
    usable = _usable(raw, len(points))
    dims = [CELLS[block.kind].dim for block in usable.blocks]
    dim = max(dims, default=0)
    if dim == 0:
        what = f"only {sum(len(b.nodes) for b in usable.blocks)} vertices" if usable.blocks else "no cells"
        raise Unreadable(f"it holds {len(points)} points and {what}; a mesh needs lines, surfaces or solids")
    if dim > points.shape[1]:
        raise Unreadable(f"it has {dim}-D cells and {points.shape[1]} coordinates per point")
    cells: dict[str, np.ndarray] = {}
    for kind in dict.fromkeys(b.kind for b, d in zip(usable.blocks, dims) if d == dim):
        cells[kind] = np.concatenate([block.nodes for block in usable.blocks if block.kind == kind])
    points, flattened = _dimension(points, cells, dim, raw.space_dim)
    mesh = Mesh(torch.from_numpy(np.ascontiguousarray(points)), cells, name=name)
    numbering = Numbering(mesh, usable.blocks, usable.kept)
    tags, lost = named_sets(raw, numbering)
    point_data, cell_data, odd = _data(raw, mesh, numbering)
    notes = (*raw.notes, *usable.notes, *flattened, *lost, *odd)
    return mesh.with_tags(**tags).with_data(point_data, cell_data).with_warnings(partial(_warnings, mesh, notes))


def _usable(raw: RawMesh, n: int) -> _Usable:
    """Known cell types only: polygons of three and four corners, high orders cut back to their corners."""
    blocks, kept, notes = [], [], []
    left_out: dict[str, int] = {}
    for number, block in enumerate(raw.blocks):
        nodes = np.asarray(block.nodes)
        if nodes.ndim != 2 or not len(nodes):
            continue
        kind, nodes = _kind(block.kind, nodes.astype(np.int64))
        if kind not in CELLS:
            left_out[kind] = left_out.get(kind, 0) + len(nodes)
            continue
        if CELLS[kind].nodes < block.nodes.shape[1]:
            notes.append(f"{len(nodes)} {block.kind} cells of high order are taken at their corners")
        if nodes.shape[1] != CELLS[kind].nodes:
            raise Unreadable(f"its {kind} cells have {nodes.shape[1]} points, expected {CELLS[kind].nodes}")
        low, high = int(nodes.min()), int(nodes.max())
        if low < 0 or high >= n:
            raise Unreadable(f"a {kind} cell names point {low if low < 0 else high}, expected 0..{n - 1}")
        blocks.append(Block(kind, nodes))
        kept.append(number)
    if left_out and not any(CELLS[block.kind].dim for block in blocks):
        named = listed(f"{count} {kind}" for kind, count in left_out.items())
        raise Unreadable(f"its cells are of types without a place here: {named}")
    notes += [f"{count} {kind} cells were left out" for kind, count in left_out.items()]
    return _Usable(blocks, kept, notes)


def _kind(name: str, nodes: np.ndarray) -> tuple[str, np.ndarray]:
    """The type of a block by this library's name, which may be unknown, and its points."""
    kind = name.lower().replace("vtk_lagrange_", "")
    if kind == "polygon":
        return {3: "triangle", 4: "quad"}.get(nodes.shape[1], f"{nodes.shape[1]}-sided"), nodes
    match = _ORDER.match(kind)
    if match and kind not in CELLS:
        return match.group(1), nodes[:, : CELLS[match.group(1)].nodes]
    return kind, nodes


def _dimension(
    points: np.ndarray, cells: dict[str, np.ndarray], dim: int, given: int | None
) -> tuple[np.ndarray, list[str]]:
    """Points without the coordinates that a plane mesh or an interval does not need."""
    if given is not None and dim <= given <= points.shape[1]:
        return points[:, :given], []
    numbers = np.concatenate([nodes.reshape(-1) for nodes in cells.values()])
    known = distinct(torch.from_numpy(numbers), len(points)).numpy()
    used = points if len(known) == len(points) else points[known]
    low, high = torch.from_numpy(used).aminmax(dim=0)
    spread = (high - low).numpy()
    if not np.isfinite(spread).all():
        return points, []
    constant = spread <= _PLANAR * spread.max()
    if dim == 2 and points.shape[1] == 3 and constant[2]:
        return points[:, :2], _height(used)
    if dim == 1 and constant[1:].all() and points.shape[1] > 1 and _is_chain(cells):
        return points[:, :1], _height(used)
    return points, []


def _height(used: np.ndarray) -> list[str]:
    level = float(used[0, -1])
    axis = "xyz"[used.shape[1] - 1]
    return [f"the mesh is planar; its constant coordinate {axis} = {level:g} was dropped"] if level else []


def _is_chain(cells: dict[str, np.ndarray]) -> bool:
    """Whether no point has more than two lines: an interval or several, not a network."""
    ends = np.concatenate([nodes[:, :2].reshape(-1) for nodes in cells.values()])
    return bool(np.bincount(ends).max() <= 2)


def _data(
    raw: RawMesh, mesh: Mesh, numbering: Numbering
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray], list[str]]:
    """Numeric fields of the right length; cell fields of the highest dimension in the order of the cells."""
    notes: list[str] = []
    point_data, cell_data, odd = {}, {}, []
    for name, values in raw.point_data.items():
        if values.dtype.kind in "iufb" and len(values) == mesh.n:
            point_data[name] = _native(values)
        else:
            odd.append(name)
    for name, parts in raw.cell_data.items():
        joined = numbering.join(parts)
        if joined is None:
            if any(parts[b] is not None for b in numbering.top):
                odd.append(name)
        else:
            cell_data[name] = _native(joined)
    if odd:
        notes.append(f"{len(odd)} data arrays do not fit the points or cells and were left out: {listed(odd)}")
    return point_data, cell_data, notes


def _native(values: np.ndarray) -> np.ndarray:
    """The same numbers in a type that torch knows: native byte order, no unsigned types beyond 8 bit."""
    if values.dtype.kind == "u" and values.dtype.itemsize > 1:
        return values.astype(np.int64)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))
