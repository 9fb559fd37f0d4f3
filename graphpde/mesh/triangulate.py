"""Unstructured triangles in a polygon with holes: place points, relax them by springs, keep every boundary segment.

The boundary is sampled first and never moves. Interior points stay outside the circle that has a boundary segment as
its diameter; that one rule makes Delaunay contain every segment and leaves no obtuse angle facing the boundary, which
is what the discrete maximum principle asks for.

Reference: Persson and Strang 2004, SIAM Review 46(2), 329-345 (springs that only push); Shewchuk 2002, Comput. Geom.
22, 21-74 (empty diametral circles).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from graphpde.errors import MeshError
from graphpde.mesh.outline import Boundary, Onto, checked_corners, inside, sample_boundary, segment_lengths, shortened
from graphpde.mesh.size_field import Size, SizeField

_CLEARANCE = 0.62  # distance kept from the middle of a segment, in segment lengths; 0.5 is the right angle
_SPRING_STEPS = 36
_MOST_POINTS = 2e6


class Triangulation(NamedTuple):
    """Points [n, 2], the boundary's first; counter-clockwise triangles [m, 3]; the sampled boundary."""

    points: np.ndarray
    triangles: np.ndarray
    boundary: Boundary


def triangulate(loops: list[np.ndarray], size: Size, seed: int = 0, onto: Sequence[Onto | None] = ()) -> Triangulation:
    """Triangles of edge length about ``size`` in ``loops[0]`` without ``loops[1:]``, graded towards short sides.

    Args:
        loops: corners [k, 2] of the outline, then of the holes, in either orientation.
        size: target edge length, a number or a function of points [k, 2]. seed: of the tiny shifts that break ties.
        onto: for each loop, what moves points [k, 2] onto the curve that it stands for; None for straight sides.

    Raises:
        MeshError: loops that cross or touch, lie outside, or are too close or too sharp to recover every segment.
    """
    loops = checked_corners(loops)
    width = SizeField.of(size, loops[0])
    expected = width.expected_points(loops[0])
    if expected > _MOST_POINTS:
        raise MeshError(
            f"edge length {width.shortest:.3g} asks for about {expected:.1e} points, expected at most "
            f"{_MOST_POINTS:.0e}; refine a coarser mesh uniformly"
        )
    boundary = sample_boundary(loops, width, onto)
    width = shortened(width, boundary)
    free = _seeded(boundary, width, np.random.default_rng(seed))
    free = _relaxed(boundary, free, width)
    points = np.concatenate([boundary.points, free])
    triangles = _inner_delaunay(boundary, points)
    _refuse_lost_segments(boundary, triangles)
    used = np.unique(triangles)
    if len(used) < len(points):
        number = np.full(len(points), -1)
        number[used] = np.arange(len(used))
        points, triangles = points[used], number[triangles]
    return Triangulation(points, triangles, boundary)


# interior points


def _seeded(boundary: Boundary, width: SizeField, rng: np.random.Generator) -> np.ndarray:
    """Corners of equilateral triangles, quartered where the target length is shorter."""
    low, high = boundary.points.min(0), boundary.points.max(0)
    corners = _lattice(low, high, width.size)
    kept = []
    side = width.size
    while len(corners):
        fine = width(corners.mean(1)) < 0.72 * side
        kept.append(corners[~fine].reshape(-1, 2))
        corners, side = _quartered(corners[fine]), 0.5 * side
    points = np.concatenate(kept)
    scale = 1e-6 * side
    points = points[np.unique(np.round((points - low) / scale), axis=0, return_index=True)[1]]
    points = points[inside(points, boundary.points, boundary.segments)]
    points = points[_clear(boundary, points)]
    return points + 1e-3 * width(points)[:, None] * rng.uniform(-1, 1, points.shape)


def _lattice(low: np.ndarray, high: np.ndarray, side: float) -> np.ndarray:
    """Equilateral triangles that cover a box [k, 3, 2]."""
    row = side * np.sqrt(0.75)
    span = high - low
    nx, ny = int(span[0] / side) + 3, int(span[1] / row) + 2
    origin = 0.5 * (low + high) - 0.5 * np.array([(nx - 0.5) * side, ny * row])
    j, i = np.meshgrid(np.arange(ny + 1), np.arange(nx + 1), indexing="ij")
    grid = origin + np.stack([(i + 0.5 * (j % 2) - 0.5) * side, j * row], -1)
    a, b, c, d = grid[:-1, :-1], grid[:-1, 1:], grid[1:, :-1], grid[1:, 1:]
    even = np.concatenate([np.stack([a, b, c], -2), np.stack([b, d, c], -2)], 1)[::2]
    odd = np.concatenate([np.stack([a, b, d], -2), np.stack([a, d, c], -2)], 1)[1::2]
    return np.concatenate([even.reshape(-1, 3, 2), odd.reshape(-1, 3, 2)])


def _quartered(corners: np.ndarray) -> np.ndarray:
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    ab, bc, ca = 0.5 * (a + b), 0.5 * (b + c), 0.5 * (c + a)
    return np.concatenate([np.stack(t, 1) for t in ((a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca))])


def _clear(boundary: Boundary, points: np.ndarray) -> np.ndarray:
    """Which points keep clear of every segment."""
    from scipy.spatial import cKDTree

    ok = np.ones(len(points), dtype=bool)
    if len(points):
        middle = boundary.points[boundary.segments].mean(1)
        for found in cKDTree(points).query_ball_point(middle, _CLEARANCE * segment_lengths(boundary)):
            ok[found] = False
    return ok


def _pushed(boundary: Boundary, points: np.ndarray, rounds: int = 4) -> np.ndarray:
    """Points moved off the circles over the segments, each along the inner normal of its segment."""
    from scipy.spatial import cKDTree

    start, end = boundary.points[boundary.segments[:, 0]], boundary.points[boundary.segments[:, 1]]
    middle, length = 0.5 * (start + end), segment_lengths(boundary)
    tangent = (end - start) / length[:, None]
    normal = np.stack([-tangent[:, 1], tangent[:, 0]], 1)
    for _ in range(rounds):
        near = cKDTree(points).query_ball_point(middle, _CLEARANCE * (1 - 1e-6) * length)
        count = np.array([len(f) for f in near])
        if not count.any():
            break
        who = np.concatenate([np.array(f, dtype=int) for f in near if f])
        segment = np.repeat(np.arange(len(near)), count)
        offset = points[who] - middle[segment]
        along = (offset * tangent[segment]).sum(1)
        height = np.sqrt((_CLEARANCE * length[segment]) ** 2 - along**2)
        target = middle[segment] + along[:, None] * tangent[segment] + height[:, None] * normal[segment]
        points = points.copy()
        points[who] = target
    return points


def _relaxed(boundary: Boundary, free: np.ndarray, width: SizeField) -> np.ndarray:
    """Springs that only push, a fifth longer than the target on average, spread the points."""
    if not len(free):
        return free
    fixed = len(boundary.points)
    for _ in range(_SPRING_STEPS):
        points = np.concatenate([boundary.points, free])
        triangles = _inner_delaunay(boundary, points)
        force = _spring_force(points, triangles, width)[fixed:]
        limit = 0.3 * width(free) / np.maximum(np.linalg.norm(force, axis=1), 1e-300)
        free = _pushed(boundary, free + force * np.minimum(1, limit)[:, None])
    return free[_clear(boundary, free) & inside(free, boundary.points, boundary.segments)]


def _spring_force(points: np.ndarray, triangles: np.ndarray, width: SizeField) -> np.ndarray:
    bars = np.sort(np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1)
    code = np.unique(bars[:, 0] * len(points) + bars[:, 1])
    a, b = code // len(points), code % len(points)
    vector = points[a] - points[b]
    length = np.linalg.norm(vector, axis=1)
    target = width(0.5 * (points[a] + points[b]))
    target *= 1.2 * np.sqrt((length**2).sum() / (target**2).sum())
    force = 0.3 * (np.maximum(target - length, 0) / length)[:, None] * vector
    return _sum_at(a, force, len(points)) - _sum_at(b, force, len(points))


def _sum_at(index: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    return np.stack([np.bincount(index, column, count) for column in values.T], 1)


def _areas(corner: np.ndarray) -> np.ndarray:
    u, v = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    return 0.5 * (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0])


# triangles


def _inner_delaunay(boundary: Boundary, points: np.ndarray) -> np.ndarray:
    """Counter-clockwise Delaunay triangles of the points that lie inside the boundary."""
    from scipy.spatial import Delaunay, QhullError

    try:
        triangles = Delaunay(points - points.mean(0)).simplices.astype(np.int64)
    except QhullError:
        raise MeshError("the polygon is too flat to triangulate; scale it or give it more height") from None
    area = _areas(points[triangles])
    triangles[area < 0] = triangles[area < 0][:, [0, 2, 1]]
    # only triangles between boundary points can lie outside or be flat: segments fence off the interior points
    doubtful = (triangles < len(boundary.points)).all(1)
    corner = points[triangles[doubtful]]
    longest = ((corner - np.roll(corner, 1, axis=1)) ** 2).sum(-1).max(-1)
    keep = ~doubtful
    keep[doubtful] = np.abs(area[doubtful]) > 1e-9 * longest
    keep[doubtful] &= inside(corner.mean(1), boundary.points, boundary.segments)
    return triangles[keep]


def _refuse_lost_segments(boundary: Boundary, triangles: np.ndarray) -> None:
    directed = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    n = 1 + max(int(boundary.segments.max()), int(triangles.max(initial=0)))
    code = directed[:, 0] * n + directed[:, 1]
    border = code[~np.isin(code, directed[:, 1] * n + directed[:, 0])]
    wanted = boundary.segments[:, 0] * n + boundary.segments[:, 1]
    lost = ~np.isin(wanted, border)
    if lost.any() or len(border) > len(wanted):
        where = boundary.points[boundary.segments[lost][0]].mean(0) if lost.any() else boundary.points[0]
        raise MeshError(
            f"{int(lost.sum())} boundary segments cannot be kept, first near ({where[0]:.4g}, {where[1]:.4g}); "
            f"corners are too sharp or parts too close for this size: take a smaller one"
        )
