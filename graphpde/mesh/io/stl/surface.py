"""STL surfaces: text and binary, several solids, read; binary files written.

A file lists the corners of each triangle by their coordinates; corners that agree in every bit are one point.

Source: 3D Systems, "StereoLithography interface specification", 1988; the attribute of a facet as in its binary form.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed
from graphpde.mesh.io.stl.text import Solids
from graphpde.mesh.mesh import Mesh

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEAD = 84  # bytes before the first facet of a binary file: 80 free ones and the number of facets
_HEAD_OF_TEXT = 1024  # bytes within which it begins
_MARK = b"\xef\xbb\xbf"  # of UTF-8


def read(path: Path) -> RawMesh:
    """Read an .stl file; attributes of binary facets become cell data, named solids and several ones become sets.

    Normals are not read, the order of the corners says the same. A text file cut between two solids cannot be told
    from a whole one, all other cuts are found.

    Raises:
        Unreadable: cut or damaged, or a corner that is not finite.
    """
    with open(path, "rb") as file:
        start, size = file.read(_HEAD_OF_TEXT), path.stat().st_size
        count = int.from_bytes(start[80:_HEAD], "little")
        expected = _HEAD + _FACET.itemsize * count
        fits = size >= _HEAD and size == expected
        head = start.removeprefix(_MARK).lstrip()
        if not fits and head[:5].lower() == b"solid" and b"\0" not in start[:134]:  # no solid's text holds zero bytes
            file.seek(len(_MARK) if start.startswith(_MARK) else 0)
            return _text(file)
    if size < _HEAD:
        raise Unreadable(f"it has {size} bytes and does not begin with 'solid'; a binary file has {_HEAD} or more")
    if not fits:
        only = "only " if size < expected else ""
        raise Unreadable(f"it declares {count} triangles and has {only}{size} bytes, expected {expected}")
    facets = np.frombuffer(path.read_bytes(), _FACET, count, _HEAD)
    raw = _surface(facets["corners"].astype(np.float64))
    if facets["attribute"].any():
        raw.cell_data["attribute"] = [facets["attribute"].astype(np.int32)]
    return raw


def _text(file: BinaryIO) -> RawMesh:
    solids = Solids(file)
    names, sizes = solids.names, solids.sizes
    corners = np.concatenate(solids.corners)
    solids.corners.clear()
    raw = _surface(corners)
    if solids.renamed:
        raw.notes.append(f"{solids.renamed} of {len(names)} solids end under another name than they begin with")
    if solids.total and (empty := sizes.count(0)):
        raw.notes.append(f"{empty} of {len(names)} solids have no facets")
    if solids.total and (len(names) > 1 or names[0]):
        raw.cell_sets = _sets(names, sizes)
    return raw


def _sets(names: list[str], sizes: list[int]) -> list[CellSet]:
    """One set for each name; a solid without a name is called by its number in the file."""
    stops = np.cumsum(sizes)
    return [
        CellSet(name or str(number), [np.arange(stop - size, stop)])
        for number, (name, size, stop) in enumerate(zip(names, sizes, stops.tolist()), 1)
    ]


def _surface(corners: np.ndarray) -> RawMesh:
    """Triangles from their corners [m, 3, 3], which may be changed, equal ones joined.

    Raises:
        Unreadable: a corner is not finite.
    """
    bad = ~np.isfinite(corners).all(axis=(1, 2))
    if bad.any():
        raise Unreadable(
            f"facet {int(np.argmax(bad)) + 1} has a corner that is not finite ({int(bad.sum())} of {len(bad)} facets)"
        )
    if not len(corners):
        return RawMesh(np.empty((0, 3)), [])
    corners += 0.0  # -0.0 becomes 0.0
    points, inverse = _distinct(corners.reshape(-1, 3))
    return RawMesh(points, [Block("triangle", inverse.reshape(-1, 3))])


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows in the order of their first appearance, and the number of each row among them."""
    key = np.zeros(len(x), dtype=np.uint64)
    for k in range(x.shape[1]):  # one sort by a hash instead of three by the columns
        column = x[:, k].copy().view(np.uint64)
        key = (key ^ column ^ (column >> np.uint64(32))) * np.uint64(0x9E3779B97F4A7C15)
        key ^= key >> np.uint64(29)
    order = np.argsort(key, kind="stable")
    new = _changes(x[order])
    if (new[1:] & (key[order][1:] == key[order][:-1])).any():  # two rows of one hash
        order = np.lexsort(x.T)
        new = _changes(x[order])
    first = order[new]
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    inverse = np.empty(len(x), dtype=np.int64)
    inverse[order] = rank[np.cumsum(new) - 1]
    return x[np.sort(first)], inverse


def _changes(x: np.ndarray) -> np.ndarray:
    """Whether each row differs from the one before it [n]."""
    return np.concatenate([[True], (x[1:] != x[:-1]).any(axis=1)])


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh of triangles in binary form: single precision, normals by the right-hand rule.

    Raises:
        OutputError: other cells, or triangles that have no extent in single precision.
    """
    if other := [f"{len(nodes)} {kind}" for kind, nodes in mesh.cells.items() if kind != "triangle"]:
        raise OutputError(
            f"cannot write '{path.name}': STL holds triangles only, not {listed(other)}; write a .vtu file instead"
        )
    x = np.zeros((mesh.n, 3))
    x[:, : mesh.space_dim] = mesh.points.detach().cpu().numpy()
    corners = x[mesh.cells["triangle"].numpy()]
    normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    facets = np.zeros(len(corners), dtype=_FACET)
    with np.errstate(over="ignore"):
        facets["corners"] = corners
    facets["normal"] = np.divide(normals, length, out=np.zeros_like(normals), where=length > 0)
    lost = _collapsed(facets["corners"]) & ~_collapsed(corners)
    lost |= ~np.isfinite(facets["corners"]).all(axis=(1, 2))
    if lost.any():
        raise OutputError(
            f"cannot write '{path.name}': in the single precision of STL, {int(lost.sum())} of {len(lost)} triangles "
            f"lose a corner; write a .vtu file instead"
        )
    head = b"binary STL written by graphpde".ljust(80)
    path.write_bytes(head + len(facets).to_bytes(4, "little") + facets.tobytes())
    return flattened(mesh)


def _collapsed(corners: np.ndarray) -> np.ndarray:
    """Whether two corners of each triangle coincide [m]."""
    return (corners == np.roll(corners, 1, axis=1)).all(axis=2).any(axis=1)
