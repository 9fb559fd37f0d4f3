"""STL surfaces: text and binary, several solids, read; binary files written.

A file lists the corners of each triangle by their coordinates; corners that agree in every bit are one point.

Source: 3D Systems, "StereoLithography interface specification", 1988; the attribute of a facet as in its binary form.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.io.labels import flattened
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, listed, numbers
from graphpde.mesh.mesh import Mesh

_FACET = np.dtype([("normal", "<f4", 3), ("corners", "<f4", (3, 3)), ("attribute", "<u2")])
_HEAD = 84  # bytes before the first facet of a binary file: 80 free ones and the number of facets
_SOLID = re.compile(rb"[ \t]*(end[ \t]*)?solid\b[ \t]*([^\n]*)", re.IGNORECASE)
_NORMAL = re.compile(rb"\bfacet\s+normal\s+\S+\s+\S+\s+\S+")
_WORDS = {
    **{0: b"facet", 1: b"outer", 2: b"loop"},
    **{3: b"vertex", 7: b"vertex", 11: b"vertex", 15: b"endloop", 16: b"endfacet"},
}
_PERIOD = 17  # words of a facet without its normal, which are four more
_CHUNK = 1 << 22  # bytes of text taken apart at once


def read(path: Path) -> RawMesh:
    """Read an .stl file; attributes of binary facets become cell data, named solids and several ones become sets.

    Normals are not read, the order of the corners says the same. A text file cut between two solids cannot be told
    from a whole one, all other cuts are found.

    Raises:
        Unreadable: cut or damaged, or a corner that is not finite.
    """
    data = path.read_bytes()
    count = int.from_bytes(data[80:_HEAD], "little")
    fits = len(data) >= _HEAD and len(data) == _HEAD + _FACET.itemsize * count
    head = data[:1024].removeprefix(b"\xef\xbb\xbf").lstrip()
    if not fits and head[:5].lower() == b"solid" and b"\0" not in data[:134]:  # the text of no solid holds zero bytes
        return _text(data.removeprefix(b"\xef\xbb\xbf").replace(b"\r", b"\n"))
    if len(data) < _HEAD:
        raise Unreadable(f"it has {len(data)} bytes and does not begin with 'solid'; a binary file has {_HEAD} or more")
    if not fits:
        expected = _HEAD + _FACET.itemsize * count
        only = "only " if len(data) < expected else ""
        raise Unreadable(f"it declares {count} triangles and has {only}{len(data)} bytes, expected {expected}")
    facets = np.frombuffer(data, _FACET, count, _HEAD)
    raw = _surface(facets["corners"].astype(np.float64))
    if facets["attribute"].any():
        raw.cell_data["attribute"] = [facets["attribute"].astype(np.int32)]
    return raw


def _text(data: bytes) -> RawMesh:
    """The solids of a text file."""
    names: list[str] = []
    solids: list[np.ndarray] = []
    position, name, renamed, total = 0, None, 0, 0
    for match in _lines(data):
        ends, own = match[1] is not None, match[2].decode("utf-8", "replace").strip()
        if ends != (name is not None):
            raise Unreadable(f"it has {'endsolid' if ends else 'solid'} twice in a row, at solid {len(names) + 1}")
        between = data[position : match.start()]
        position = match.end()
        if not ends:
            name = own
            if between.strip():
                raise Unreadable(f"'{_shown(between)}' stands outside of its solids")
            continue
        solids.append(_facets(between, total))
        total += len(solids[-1])
        renamed += bool(own and name) and own != name
        names.append(name or own)
        name = None
    if name is not None or not names:
        raise Unreadable("it is a text STL without 'endsolid'; it seems to be cut off")
    if data[position:].strip():
        raise Unreadable(f"'{_shown(data[position:])}' stands outside of its solids")
    raw = _surface(np.concatenate(solids))
    if renamed:
        raw.notes.append(f"{renamed} of {len(names)} solids end under another name than they begin with")
    if total and (empty := sum(not len(solid) for solid in solids)):
        raw.notes.append(f"{empty} of {len(names)} solids have no facets")
    if total and (len(names) > 1 or names[0]):
        raw.cell_sets = _sets(names, [len(solid) for solid in solids])
    return raw


def _lines(data: bytes) -> Iterator[re.Match[bytes]]:
    """The lines that begin and end a solid."""
    lower, stop = data.lower(), 0
    while (found := lower.find(b"solid", stop)) >= 0:
        if match := _SOLID.match(data, lower.rfind(b"\n", stop, found) + 1 or stop):
            yield match
        stop = lower.find(b"\n", found)
        if stop < 0:
            return


def _sets(names: list[str], sizes: list[int]) -> list[CellSet]:
    """One set for each name; a solid without a name is called by its number in the file."""
    stops = np.cumsum(sizes)
    return [
        CellSet(name or str(number), [np.arange(stop - size, stop)])
        for number, (name, size, stop) in enumerate(zip(names, sizes, stops.tolist()), 1)
    ]


def _facets(text: bytes, before: int) -> np.ndarray:
    """Corners [m, 3, 3] of the facets of a text; ``before`` facets stand ahead of it in the file."""
    parts, position = [np.empty((0, 3, 3))], 0
    text = text.lower().strip()
    while position < len(text):
        stop = text.find(b"endfacet", position + _CHUNK)
        stop = len(text) if stop < 0 else stop + len(b"endfacet")
        parts.append(_corners(text[position:stop], before))
        before, position = before + len(parts[-1]), stop
    return np.concatenate(parts)


def _corners(text: bytes, before: int) -> np.ndarray:
    """Corners [k, 3, 3] of some facets, all with a normal or all without one once the normals are taken out."""
    words = text.split()
    normal = 4
    if words[1 :: _PERIOD + normal] != [b"normal"] * (len(words) // (_PERIOD + normal)):
        words, normal = _NORMAL.sub(b"facet", text).split(), 0
    period = _PERIOD + normal
    count = -(-len(words) // period)
    columns = [words[place + normal * (place > 0) :: period] for place in range(_PERIOD)]
    wrong = [
        (next((k for k, own in enumerate(columns[place]) if own != word), len(columns[place])), place)
        for place, word in _WORDS.items()
        if columns[place] != [word] * count
    ]
    if wrong:
        first, place = min(wrong)
        found = f"'{_shown(columns[place][first])}'" if first < len(columns[place]) else "nothing"
        raise Unreadable(f"facet {before + first + 1} has {found} where '{_WORDS[place].decode()}' is expected")
    own = [numbers(b" ".join(column), np.float64, "a vertex") for k, column in enumerate(columns) if k not in _WORDS]
    return np.stack(own, axis=1).reshape(count, 3, 3)


def _shown(text: bytes) -> str:
    return " ".join(text[:60].decode("latin-1").split())[:40]


def _surface(corners: np.ndarray) -> RawMesh:
    """Triangles from their corners [m, 3, 3], equal ones joined.

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
    points, inverse = _distinct(corners.reshape(-1, 3) + 0.0)  # -0.0 becomes 0.0
    return RawMesh(points, [Block("triangle", inverse.reshape(-1, 3))])


def _distinct(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct rows in the order of their first appearance, and the number of each row among them."""
    key = np.zeros(len(x), dtype=np.uint64)
    for column in x.T.copy().view(np.uint64):  # one sort by a hash instead of three by the columns
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
