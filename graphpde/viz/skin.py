"""What of a mesh can be seen: triangles and lines, fine enough to look smooth and few enough to draw."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphpde.mesh.mesh import Mesh
from graphpde.viz.middles import Middles, cell_centres, faces_in_pieces


class Skin(NamedTuple):
    """The visible faces of a 2-D mesh, surface or solid, as triangles.

    Attributes:
        points: coordinates [n, d].
        triangles: point numbers [k, 3].
        owner: the cell (2-D, surfaces) or the facet number (solids) of each triangle [k].
        outward: normals out of a solid [k, 3]; None where both sides can be seen.
        faces: outlines of the faces as they were, with the middle nodes of quadratic ones [m, 3..8], padded with -1.
    """

    points: np.ndarray
    triangles: np.ndarray
    owner: np.ndarray
    outward: np.ndarray | None
    faces: np.ndarray

    @property
    def lines(self) -> np.ndarray:
        """Their distinct sides [j, 2], without the diagonals of split quadrilaterals."""
        return _sides(self.faces)


def skin(mesh: Mesh) -> Skin:
    """The visible faces of a mesh with two- or three-dimensional cells, quadratic ones cut at their middle nodes."""
    points, middles, centres = mesh.points.numpy(), Middles(mesh), None
    if mesh.dim == 3:
        owner = mesh.boundary_facets.numpy()
        faces = mesh.facets.nodes.numpy()[owner]
    else:
        faces = mesh.entities(2).nodes.numpy()
        owner = np.arange(len(faces))
        centres = cell_centres(mesh)
    cut = faces_in_pieces(faces, middles, centres)
    triangles, piece = split(cut.pieces, points)
    face = cut.face[piece]
    outward = None
    if mesh.dim == 3:
        inside = _centres(mesh)[mesh.facets.cells.numpy()[owner, 0]][face]
        outward = normals(points[triangles])
        away = points[triangles].mean(1) - inside
        outward *= np.where((outward * away).sum(1) < 0, -1.0, 1.0)[:, None]
    return Skin(points, triangles, owner[face], outward, cut.rings)


def _centres(mesh: Mesh) -> np.ndarray:
    points = mesh.points.numpy()
    return np.concatenate([points[nodes.numpy()].mean(1) for _, nodes, _ in mesh.corners()])


def split(faces: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Triangles [k, 3] of polygons [m, 3..4] (-1 padded) and the polygon of each [k].

    A quadrilateral is cut along the diagonal that leaves both halves on its own side, so that dart shapes stay inside.
    """
    if faces.shape[1] == 3:
        return faces, np.arange(len(faces))
    three = faces[:, 3] < 0
    quads = faces[~three]
    one = np.stack([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]], 1)
    other = np.stack([quads[:, [0, 1, 3]], quads[:, [1, 2, 3]]], 1)
    use_other = _worst(one, points) < _worst(other, points)
    cut = np.where(use_other[:, None, None], other, one)
    number = np.arange(len(faces))
    triangles = np.concatenate([faces[three, :3], cut.reshape(-1, 3)])
    owner = np.concatenate([number[three], np.repeat(number[~three], 2)])
    order = np.argsort(owner, kind="stable")
    return triangles[order], owner[order]


def _worst(halves: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The smaller area of the two halves [m], signed by the normal of the whole quadrilateral."""
    both = _area_vectors(points[halves.reshape(-1, 3)]).reshape(-1, 2, 3)
    whole = both.sum(1, keepdims=True)
    length = np.maximum(np.linalg.norm(whole, axis=2), 1e-300)
    return ((both * whole).sum(2) / length).min(1)


def _area_vectors(corners: np.ndarray) -> np.ndarray:
    """Half the cross product of two sides [k, 3] of triangles [k, 3, d]."""
    flat = 3 - corners.shape[2]
    corners = np.pad(corners, ((0, 0), (0, 0), (0, flat)))
    return 0.5 * np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def areas(corners: np.ndarray) -> np.ndarray:
    """Areas [k] of triangles [k, 3, d]."""
    return np.linalg.norm(_area_vectors(corners), axis=1)


def normals(corners: np.ndarray) -> np.ndarray:
    """Unit normals [k, 3] of triangles [k, 3, 3]; zero for degenerate ones."""
    vectors = _area_vectors(corners)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-300)


def _sides(faces: np.ndarray) -> np.ndarray:
    width = (faces >= 0).sum(1)
    last = np.arange(faces.shape[1]) == width[:, None] - 1
    after = np.where(last, faces[:, :1], np.roll(faces, -1, axis=1))
    pairs = np.stack([faces, after], 2).reshape(-1, 2)
    return distinct(np.sort(pairs[(pairs >= 0).all(1)], axis=1))[0]


def distinct(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct rows of numbers >= 0, where each first stood, and its number for each row given.

    As ``numpy.unique`` with ``axis=0``, but several times faster: the rows are compared as single integers.
    """
    key = np.zeros(len(rows), dtype=np.int64)
    for column in rows.T:
        key = key * (int(column.max(initial=0)) + 1) + column
    _, first, inverse = np.unique(key, return_index=True, return_inverse=True)
    return rows[first], first, inverse.reshape(-1)


class Thinned(NamedTuple):
    """A coarser picture.

    Attributes:
        points: means of the old points of each group [g, d].
        triangles: group numbers [k, 3].
        kept: the old triangle that each one was [k].
        group: the group of each old point [n], -1 for points of no triangle.
    """

    points: np.ndarray
    triangles: np.ndarray
    kept: np.ndarray
    group: np.ndarray


def thin_out(points: np.ndarray, triangles: np.ndarray, limit: int) -> Thinned:
    """At most ``limit`` triangles: points in one box of a grid become their mean, triangles that collapse vanish.

    Vertex clustering, Rossignac and Borrel 1993. For pictures only: no guarantee about topology.
    """
    used = np.unique(triangles)
    low = points[used].min(0)
    extent = (points[used].max(0) - low).max()
    size = max(np.sqrt(2.0 * areas(points[triangles]).sum() / limit), 1e-6 * extent, 1e-300)
    while True:
        boxes = np.floor((points[used] - low) / size).astype(np.int64)
        group = np.full(len(points), -1)
        group[used] = distinct(boxes)[2]
        corners = group[triangles]
        a, b, c = corners.T
        alive = np.flatnonzero((a != b) & (b != c) & (c != a))
        kept = alive[np.sort(distinct(np.sort(corners[alive], axis=1))[1])]
        if len(kept) <= limit:
            return Thinned(group_means(group, points), corners[kept], kept, group)
        size *= 1.2


def group_means(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Means [g, d] of values [n, d] over groups [n]; NaN and points without group (-1) do not count."""
    count = int(group.max()) + 1
    out = np.empty((count, values.shape[1]))
    for k in range(values.shape[1]):
        ok = (group >= 0) & ~np.isnan(values[:, k])
        number = np.bincount(group[ok], minlength=count)
        total = np.bincount(group[ok], weights=values[ok, k], minlength=count)
        out[:, k] = np.where(number > 0, total / np.maximum(number, 1), np.nan)
    return out


def refine(corners: np.ndarray, target: int, dim: int) -> np.ndarray:
    """Triangles [k', 3, d] of about equal size, about ``target`` of them, covering the given ones [k, 3, d].

    The first ``dim`` columns are coordinates, further ones values; both are linear on each triangle. Needed because
    matplotlib mixes the colours of the corners, which leaves the colour map, and paints solids face by face from back
    to front, which is right only for small faces.
    """
    size = np.sqrt(4.0 * max(areas(corners[..., :dim]).sum(), 1e-300) / target)
    done: list[np.ndarray] = []
    for _ in range(8):
        places = corners[..., :dim]
        large = np.linalg.norm(places - np.roll(places, -1, axis=1), axis=2).max(1) > size
        if not large.any() or sum(len(d) for d in done) + len(corners) + 3 * int(large.sum()) > 4 * target:
            break
        done.append(corners[~large])
        a, b, c = corners[large].transpose(1, 0, 2)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        parts = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
        corners = np.concatenate([np.stack(p, 1) for p in parts])
    return np.concatenate([*done, corners])


def pieces(ends: np.ndarray, size: float, dim: int, limit: int = 100_000) -> np.ndarray:
    """Segments [k', 2, d] no longer than ``size`` that cover the given ones [k, 2, d].

    The first ``dim`` columns are coordinates, further ones values. There are at most about ``limit`` new segments.
    """
    lengths = np.linalg.norm(ends[:, 1, :dim] - ends[:, 0, :dim], axis=1)
    size = max(size, lengths.sum() / limit, 1e-300)
    count = np.maximum(1, np.ceil(lengths / size)).astype(np.int64)
    which = np.repeat(np.arange(len(ends)), count)
    step = np.arange(len(which)) - np.repeat(np.cumsum(count) - count, count)
    start, end = ((step + k) / count[which] for k in (0, 1))
    a, b = ends[which, 0], ends[which, 1]
    return np.stack([a + start[:, None] * (b - a), a + end[:, None] * (b - a)], 1)
