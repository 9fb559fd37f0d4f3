"""Cells without an element here become cells with one: polygons triangles, pentagonal and hexagonal prisms wedges.

Pieces that meet must meet face to face. A triangulation therefore belongs not to one polygon but to its corners, and
for prisms to the stack of prisms above one another: corners joined by an upright edge carry one label, and whatever has
the same ring of labels (prisms of a stack, faces between them, facets of named sets) is cut alike.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.ears import flawed, triangulate
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable, listed

_PRISMS = {"penta_prism": ("pentagonal prisms", 5), "hexa_prism": ("hexagonal prisms", 6)}
_POLYGONS, _FACETS = "polygons", "facets of named sets"


class _Rings(NamedTuple):
    """Outlines of one size from one place of the file.

    Attributes:
        place: number of the block or facet set. kind: what they are called in a note. rows: which of its rows [m].
        base, top: corners [m, k]; equal for polygons, the two ends of prisms else.
        leads: whether they are cells, which decide how a ring is cut, or follow cells where those have the same ring.
    """

    place: int
    kind: str
    rows: np.ndarray
    base: np.ndarray
    top: np.ndarray
    leads: bool


class _Cut(NamedTuple):
    """Triangles [m, k - 2, 3] as places in the ring, and which rings [m] were cut at all."""

    rings: _Rings
    local: np.ndarray
    known: np.ndarray


def split_cells(raw: RawMesh) -> RawMesh:
    """The same content with polygons of more than four corners and prisms cut into triangles and wedges.

    Pieces stand in the order of their origins, are in the sets of their origins and carry the same values. Beside
    solids, polygons are faces: they are cut where they are faces of prisms, and left as they are else.

    Raises:
        Unreadable: a corner that is no point, a prism with the wrong number of points, a polygon that is too large.
    """
    rings = [*_of_blocks(raw), *_of_facets(raw)]
    if not any(ring.leads for ring in rings):
        return raw
    given = np.asarray(raw.points, dtype=np.float64)
    points = np.zeros((len(given), 3))
    points[:, : given.shape[1]] = given
    prisms = [ring for ring in rings if ring.kind not in (_POLYGONS, _FACETS)]
    labels, twisted = _labels(len(points), prisms)
    cuts: list[_Cut] = []
    bad = 0
    for size in sorted({ring.base.shape[1] for ring in rings if ring.leads}):
        new, count = _cut([ring for ring in rings if ring.base.shape[1] == size], points, labels)
        cuts, bad = cuts + new, bad + count
    notes = [_counted(cuts)]
    if bad:
        notes.append(f"{bad} of the cells that were split have no area or fold back; pieces may be flat or overlap")
    if twisted:
        notes.append(f"{twisted} of the prisms that were split close a twisted ring; pieces may not meet face to face")
    return _replaced(raw, cuts, notes)


def _of_blocks(raw: RawMesh) -> list[_Rings]:
    """The outlines of all cells to be split."""
    solid = any(_is_solid(block.kind) for block in raw.blocks if len(block.nodes))
    out = []
    for number, block in enumerate(raw.blocks):
        nodes, kind = np.asarray(block.nodes), block.kind.lower()
        if nodes.ndim != 2 or not len(nodes) or (kind not in _PRISMS and (kind != "polygon" or nodes.shape[1] < 5)):
            continue
        nodes = nodes.astype(np.int64)
        name, size = _PRISMS.get(kind, (_POLYGONS, nodes.shape[1]))
        if kind in _PRISMS and nodes.shape[1] != 2 * size:
            raise Unreadable(f"its {name} have {nodes.shape[1]} points, expected {2 * size}")
        low, high = int(nodes.min()), int(nodes.max())
        if low < 0 or high >= len(raw.points):
            wrong = low if low < 0 else high
            raise Unreadable(f"one of its {name} names point {wrong}, expected 0..{len(raw.points) - 1}")
        leads = kind in _PRISMS or not solid
        out.append(_Rings(number, name, np.arange(len(nodes)), nodes[:, :size], nodes[:, -size:], leads))
    return out


def _is_solid(name: str) -> bool:
    kind = name.lower().replace("vtk_lagrange_", "").rstrip("0123456789")
    return kind in _PRISMS or (kind in CELLS and CELLS[kind].dim == 3)


def _of_facets(raw: RawMesh) -> list[_Rings]:
    """The outlines of all faces of named sets with more than four corners; corners that are no points stay."""
    out = []
    for number, facets in enumerate(raw.facet_sets):
        corners = np.asarray(facets.corners, dtype=np.int64)
        if facets.dim != 2 or corners.ndim != 2:
            continue
        sizes = ((corners >= 0) & (corners < len(raw.points))).sum(1)
        for size in np.unique(sizes[sizes > 4]).tolist():
            rows = np.flatnonzero((sizes == size) & (corners[:, size:] < 0).all(1))
            ring = corners[rows, :size]
            out.append(_Rings(number, _FACETS, rows, ring, ring, False))
    return out


def _labels(n: int, prisms: list[_Rings]) -> tuple[np.ndarray, int]:
    """The same number for points that upright edges of prisms join [n], and how many prisms have a label twice."""
    if not prisms:
        return np.arange(n), 0
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    ends = []
    for ring in prisms:
        whole = ~_repeats(ring.base) & ~_repeats(ring.top)  # an end that is drawn to a point joins nothing
        ends.append(np.stack([ring.base[whole].reshape(-1), ring.top[whole].reshape(-1)]))
    low, high = np.concatenate(ends, 1)
    _, labels = connected_components(coo_array((np.ones(len(low)), (low, high)), shape=(n, n)), directed=False)
    labels = labels.astype(np.int64)
    return labels, sum(int((_repeats(labels[_end(ring)]) & ~_repeats(_end(ring))).sum()) for ring in prisms)


def _repeats(rows: np.ndarray) -> np.ndarray:
    """Whether a row [m, k] holds a number twice [m]."""
    ordered = np.sort(rows, axis=1)
    return (ordered[:, 1:] == ordered[:, :-1]).any(1)


def _end(ring: _Rings) -> np.ndarray:
    """The end of each prism that names it [m, k]: the base, unless that is drawn to a point or a line."""
    return np.where(_repeats(ring.base)[:, None], ring.top, ring.base)


def _cut(rings: list[_Rings], points: np.ndarray, labels: np.ndarray) -> tuple[list[_Cut], int]:
    """Outlines of one size cut into triangles, and how many cells gave a bad one."""
    rings = sorted(rings, key=lambda ring: not ring.leads)
    lead = np.concatenate([(points[ring.base] + points[ring.top]) / 2 for ring in rings if ring.leads])
    keys = np.concatenate([labels[_end(ring)] for ring in rings])
    order = _from_the_least(keys)
    rows = np.ascontiguousarray(np.take_along_axis(keys, order, 1)).view(np.dtype((np.void, 8 * keys.shape[1])))
    _, first, group = np.unique(rows[:, 0], return_index=True, return_inverse=True)
    known = first < len(lead)
    patterns = np.zeros((len(first), keys.shape[1] - 2, 3), dtype=np.int64)
    chosen = first[known]
    patterns[known] = triangulate(np.take_along_axis(lead[chosen], order[chosen][..., None], 1))
    pieces = patterns[group]
    local = np.sort(np.take_along_axis(order, pieces.reshape(len(order), -1), 1).reshape(pieces.shape), axis=2)
    stops = np.cumsum([len(ring.base) for ring in rings])[:-1]
    parts = zip(rings, np.split(local, stops), np.split(known[group], stops))
    return [_Cut(*part) for part in parts], int(flawed(lead, local[: len(lead)]).sum())


def _from_the_least(keys: np.ndarray) -> np.ndarray:
    """Places [m, k] that go round each ring from its least label on, toward the lesser of the two beside it."""
    rows, k = np.arange(len(keys)), keys.shape[1]
    start = keys.argmin(1)
    backward = keys[rows, start - 1] < keys[rows, (start + 1) % k]
    return (start[:, None] + np.where(backward, -1, 1)[:, None] * np.arange(k)) % k


def _replaced(raw: RawMesh, cuts: list[_Cut], notes: list[str]) -> RawMesh:
    """The content with the pieces in the place of what was cut."""
    blocks, sources = list(raw.blocks), {}
    facets: dict[int, list[tuple[np.ndarray, np.ndarray]]] = {}
    for cut in cuts:
        ring, at = cut.rings, np.flatnonzero(cut.known)
        if not len(at):
            continue
        pieces = ring.base[at[:, None, None], cut.local[at]]
        if ring.kind == _FACETS:
            facets.setdefault(ring.place, []).append((ring.rows[at], pieces))
            continue
        kind = "triangle"
        if ring.kind != _POLYGONS:
            kind, pieces = "wedge", np.concatenate([pieces, ring.top[at[:, None, None], cut.local[at]]], 2)
        blocks[ring.place] = Block(kind, pieces.reshape(-1, pieces.shape[2]))
        sources[ring.place] = np.repeat(ring.rows[at], pieces.shape[1])
        if len(at) < len(ring.base):
            notes.append(f"{len(ring.base) - len(at)} {ring.base.shape[1]}-sided cells were left out")
    return replace(
        raw,
        blocks=blocks,
        cell_sets=[CellSet(old.name, _members(raw, sources, old.members)) for old in raw.cell_sets],
        facet_sets=[_with_pieces(old, facets.get(place, [])) for place, old in enumerate(raw.facet_sets)],
        cell_data={name: _values(raw, sources, parts) for name, parts in raw.cell_data.items()},
        notes=[*raw.notes, *notes],
    )


def _members(raw: RawMesh, sources: dict[int, np.ndarray], members: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """The pieces of the cells of a set, block by block."""
    out = list(members)
    for number, source in sources.items():
        rows = members[number] if number < len(members) else None
        if rows is not None:
            inside = np.zeros(len(raw.blocks[number].nodes), dtype=bool)
            inside[np.asarray(rows, dtype=np.int64)] = True
            out[number] = np.flatnonzero(inside[source])
    return out


def _values(raw: RawMesh, sources: dict[int, np.ndarray], parts: list[np.ndarray | None]) -> list[np.ndarray | None]:
    """The values of the pieces, block by block; values that did not fit the cells fit the pieces no better."""
    out = list(parts)
    for number, source in sources.items():
        values = parts[number] if number < len(parts) else None
        if values is not None:
            out[number] = values[source] if len(values) == len(raw.blocks[number].nodes) else values[:0]
    return out


def _with_pieces(old: FacetSet, pieces: list[tuple[np.ndarray, np.ndarray]]) -> FacetSet:
    """A facet set with triangles behind its other facets in the place of what was cut."""
    if not pieces:
        return old
    corners = np.asarray(old.corners, dtype=np.int64)
    left = np.ones(len(corners), dtype=bool)
    for rows, _ in pieces:
        left[rows] = False
    new = np.concatenate([part.reshape(-1, 3) for _, part in pieces])
    padded = np.pad(new, ((0, 0), (0, corners.shape[1] - 3)), constant_values=-1)
    return FacetSet(old.name, old.dim, np.concatenate([corners[left], padded]))


def _counted(cuts: list[_Cut]) -> str:
    """The one sentence that says how many of what became what."""
    whole: dict[str, int] = {}
    parts: dict[str, int] = {}
    for cut in cuts:
        count = int(cut.known.sum())
        whole[cut.rings.kind] = whole.get(cut.rings.kind, 0) + count
        parts[cut.rings.kind] = parts.get(cut.rings.kind, 0) + count * cut.local.shape[1]
    pieces = {_POLYGONS: "triangles", _FACETS: "triangles"}
    named = (f"{whole[kind]} {kind} into {parts[kind]} {pieces.get(kind, 'wedges')}" for kind in whole if whole[kind])
    return f"without an element here and split: {listed(named)}"
