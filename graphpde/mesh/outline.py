"""The boundary of a polygon with holes: checked, and cut into segments that Delaunay triangles can keep.

Segments are about as long as the target edge length, shorter where parts come close or sides are short. No boundary
point lies in the circle that has another segment as its diameter.

Reference: Ruppert 1995, J. Algorithms 18, 548-585 (encroached segments are split).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from graphpde.errors import MeshError
from graphpde.mesh.size_field import SizeField

Onto = Callable[[np.ndarray], np.ndarray]
"""Moves points [k, 2] onto the curve that a loop of corners stands for."""


class Boundary(NamedTuple):
    """A sampled polygon, interior to the left of every segment.

    Attributes:
        points: [k, 2]. segments: pairs of points [k, 2].
        source: loop and side that each segment comes from [k, 2]; side j joins the given corners j and j + 1.
        onto: for each loop, the curve its points lie on, or None where its sides are straight.
    """

    points: np.ndarray
    segments: np.ndarray
    source: np.ndarray
    onto: Sequence[Onto | None]


class _Loop(NamedTuple):
    """A closed polygon, the domain to its left: corners [k, 2], the given number of each side [k]."""

    corners: np.ndarray
    sides: np.ndarray


def sample_boundary(loops: list[np.ndarray], width: SizeField, onto: Sequence[Onto | None] = ()) -> Boundary:
    """The boundary of ``loops[0]`` minus ``loops[1:]`` (corners [k, 2], either way round) in segments of ``width``.

    The corners of a loop with a curve (``onto``) lie on it; so do the points between them.

    Raises:
        MeshError: fewer than three corners, repeated corners, no area; loops that cross, touch or lie outside.
    """
    whole = _joined(_oriented(checked_corners(loops)))._replace(onto=onto or [None] * len(loops))
    sides, sharp = _shelled(whole, width)
    boundary = _separated(_sampled(sides, sharp, shortened(width, sides)))
    return _separated(_sampled(sides, sharp, shortened(width, boundary)))


def shortened(width: SizeField, boundary: Boundary) -> SizeField:
    """The target length, no longer at a boundary point than its shorter segment, and growing from there."""
    local = np.full(len(boundary.points), width.size)
    np.minimum.at(local, boundary.segments, np.repeat(segment_lengths(boundary)[:, None], 2, 1))
    return width.with_sources(boundary.points, local)


def inside(points: np.ndarray, corners: np.ndarray, segments: np.ndarray) -> np.ndarray:
    """Whether points [k, 2] lie inside closed polygons given by segments between corners (even-odd rule) [k]."""
    start, end = corners[segments[:, 0]], corners[segments[:, 1]]
    slope = (end[:, 0] - start[:, 0]) / np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    odd = np.zeros(len(points), dtype=bool)
    chunk = max(1, 4_000_000 // len(segments))
    for low in range(0, len(points), chunk):
        x, y = points[low : low + chunk, :1], points[low : low + chunk, 1:]
        spans = (start[:, 1] > y) != (end[:, 1] > y)
        right = x < start[:, 0] + (y - start[:, 1]) * slope
        odd[low : low + chunk] = (spans & right).sum(1) % 2 == 1
    return odd


def segment_lengths(boundary: Boundary) -> np.ndarray:
    ends = boundary.points[boundary.segments]
    return np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)


def checked_corners(loops: list[np.ndarray]) -> list[np.ndarray]:
    """The corners of each loop [k, 2] as floats.

    Raises:
        MeshError: fewer than three corners, corners that are not finite or follow upon themselves.
    """
    out = []
    for k, given in enumerate(loops):
        corners = np.asarray(given, dtype=np.float64)
        what = "outline" if k == 0 else f"hole {k - 1}"
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3:
            raise MeshError(f"{what} has shape {list(corners.shape)}, expected at least 3 corners [k, 2]")
        if not np.isfinite(corners).all() or (corners == np.roll(corners, -1, 0)).all(1).any():
            raise MeshError(f"{what} has corners that are not finite or repeat; give each corner once")
        out.append(corners)
    return out


def _oriented(loops: list[np.ndarray]) -> list[_Loop]:
    """The loops with the domain to their left."""
    out = []
    for k, corners in enumerate(loops):
        what = "outline" if k == 0 else f"hole {k - 1}"
        x, y = (corners - corners[0]).T
        area = 0.5 * float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
        if area == 0:
            raise MeshError(f"{what} encloses no area; give its corners in order around it")
        loop = _Loop(corners, np.arange(len(corners)))
        if (area > 0) != (k == 0):
            loop = _Loop(corners[::-1].copy(), np.roll(loop.sides[::-1], -1))
        out.append(loop)
    _refuse_crossings(out)
    return out


def _refuse_crossings(loops: list[_Loop]) -> None:
    whole = _joined(loops)
    points, segments = whole.points, whole.segments
    a, b = points[segments[:, 0]], points[segments[:, 1]]

    def turn(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        u, v = q - p, r - p
        return np.sign(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])

    for k in range(len(segments)):
        later = np.arange(k + 1, len(segments))
        later = later[~np.isin(segments[later], segments[k]).any(1)]
        cross = (turn(a[k], b[k], a[later]) * turn(a[k], b[k], b[later]) <= 0) & (
            turn(a[later], b[later], a[k]) * turn(a[later], b[later], b[k]) <= 0
        )
        low, high = np.minimum(a[k], b[k]), np.maximum(a[k], b[k])
        apart = (np.maximum(a[later], b[later]) < low).any(1) | (np.minimum(a[later], b[later]) > high).any(1)
        hits = later[cross & ~apart]
        if len(hits):
            one, two = (
                f"side {side} of {'the outline' if loop == 0 else f'hole {loop - 1}'}"
                for loop, side in (whole.source[k], whole.source[hits[0]])
            )
            raise MeshError(f"{one} meets {two}; the outline and the holes of a polygon may not cross or touch")
    outline = _joined(loops[:1])
    for k, hole in enumerate(loops[1:]):
        others = [loop for j, loop in enumerate(loops[1:]) if j != k]
        if not inside(hole.corners[:1], outline.points, outline.segments)[0]:
            raise MeshError(f"hole {k} lies outside the outline")
        if others and inside(hole.corners[:1], *_joined(others)[:2])[0]:
            raise MeshError(f"hole {k} lies inside another hole")


def _joined(loops: list[_Loop]) -> Boundary:
    """The loops as they are, one segment a side."""
    segments, source, start = [], [], 0
    for k, (corners, sides) in enumerate(loops):
        ids = np.arange(len(corners))
        segments.append(start + np.stack([ids, np.roll(ids, -1)], 1))
        source.append(np.stack([np.full(len(corners), k), sides], 1))
        start += len(corners)
    points = np.concatenate([loop.corners for loop in loops])
    return Boundary(points, np.concatenate(segments), np.concatenate(source), [None] * len(loops))


def _shelled(whole: Boundary, width: SizeField) -> tuple[Boundary, np.ndarray]:
    """The sides, cut alike on both arms of every corner below 60 degrees, and which segments lie at such corners.

    Unequal segments at a sharp corner would cut each other shorter and shorter without end.
    """
    length, size = segment_lengths(whole), width(whole.points)
    start = np.zeros(len(whole.points))
    for loop in np.unique(whole.source[:, 0]):
        mine = np.flatnonzero(whole.source[:, 0] == loop)
        before = np.roll(mine, 1)
        arms = np.stack([whole.points[whole.segments[mine, 1]], whole.points[whole.segments[before, 0]]], 1)
        arms = (arms - whole.points[whole.segments[mine, :1]]) / np.stack([length[mine], length[before]], 1)[..., None]
        sharp = arms[:, 0, 0] * arms[:, 1, 0] + arms[:, 0, 1] * arms[:, 1, 1] > 0.5
        start[mine] = np.where(sharp, np.minimum(size[mine], np.minimum(length[mine], length[before]) / 3), 0)
    ends = start[whole.segments] * [1, -1] / length[:, None] + [0, 1]
    sides = _cut(whole, [e[(e > 0) & (e < 1)] for e in ends])
    return sides, np.asarray(np.isin(sides.segments, np.flatnonzero(start)).any(1))


def _sampled(sides: Boundary, sharp: np.ndarray, width: SizeField) -> Boundary:
    """Every side, but those at sharp corners, cut into segments of the target length there or a little less."""
    shares = []
    curved = np.array([curve is not None for curve in sides.onto])[sides.source[:, 0]]
    # rounding must not cut two sizes in three, nor sides that already follow a curve in two because the next is shorter
    spare = np.where(curved, 0.15, 1e-9)
    for along, count, keep, less in zip(*_metric(sides, width), sharp, spare):
        pieces = 1 if keep else max(1, int(np.ceil(count[-1] - less)))
        shares.append(np.interp(np.arange(1, pieces) / pieces * count[-1], count, along))
    return _cut(sides, shares)


def _metric(sides: Boundary, width: SizeField) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each side, positions in 0..1 and how many target lengths fit before them.

    Intervals are halved until they are no longer than the target length at their middle; as that length changes slowly,
    no fine part is missed.
    """
    start, end = sides.points[sides.segments[:, 0]], sides.points[sides.segments[:, 1]]
    length = segment_lengths(sides)
    side, low, span = np.arange(len(length)), np.zeros(len(length)), np.ones(len(length))
    done = []
    while len(side):
        middle = (low + 0.5 * span)[:, None]
        local = width((1 - middle) * start[side] + middle * end[side])
        fits = span * length[side] / local
        fine = fits <= 1
        done.append(np.stack([side[fine], low[fine] + span[fine], fits[fine]]))
        side, low, span = (np.repeat(v[~fine], 2) for v in (side, low, span))
        span = 0.5 * span
        low[1::2] += span[1::2]
    owner, reach, fits = np.concatenate(done, 1)
    order = np.lexsort((reach, owner))
    cuts = np.flatnonzero(np.diff(owner[order])) + 1
    along = [np.append(0, part) for part in np.split(reach[order], cuts)]
    return along, [np.append(0, np.cumsum(part)) for part in np.split(fits[order], cuts)]


def _cut(boundary: Boundary, shares: list[np.ndarray]) -> Boundary:
    """Each segment cut at these shares of its length, the new points moved onto its curve."""
    points, segments, source = [boundary.points], [], []
    count = len(boundary.points)
    loop = np.repeat(boundary.source[:, 0], [len(share) for share in shares])
    for (a, b), origin, share in zip(boundary.segments, boundary.source, shares):
        new = np.arange(count, count + len(share))
        points.append(boundary.points[a] + share[:, None] * (boundary.points[b] - boundary.points[a]))
        chain = np.concatenate([[a], new, [b]])
        segments.append(np.stack([chain[:-1], chain[1:]], 1))
        source.append(np.repeat(origin[None], len(share) + 1, 0))
        count += len(share)
    placed = np.concatenate(points)
    for k, curve in enumerate(boundary.onto):
        mine = len(boundary.points) + np.flatnonzero(loop == k)
        if curve is not None and len(mine):
            placed[mine] = curve(placed[mine])
    return Boundary(placed, np.concatenate(segments), np.concatenate(source), boundary.onto)


def _separated(boundary: Boundary, rounds: int = 24) -> Boundary:
    """Halve segments until no boundary point lies inside the circle over another segment."""
    for _ in range(rounds):
        crowded = _crowded(boundary)
        if not crowded.any():
            break
        boundary = _cut(boundary, [np.array([0.5] if c else []) for c in crowded])
    return boundary


def _crowded(boundary: Boundary) -> np.ndarray:
    """Which segments have another boundary point in their circle, or nearly so."""
    from scipy.spatial import cKDTree

    points, segments = boundary.points, boundary.segments
    middle, radius = points[segments].mean(1), 0.5 * segment_lengths(boundary)
    # a tenth more than the circle leaves room for a well shaped triangle between two close parts
    near = cKDTree(points).query_ball_point(middle, 1.1 * radius)
    count = np.array([len(f) for f in near])
    segment = np.repeat(np.arange(len(segments)), count)
    point = np.concatenate([np.array(f, dtype=int) for f in near])
    neighbours = np.full((len(points), 2), -1)
    neighbours[segments[:, 1], 0], neighbours[segments[:, 0], 1] = segments[:, 0], segments[:, 1]
    ends = segments[segment]
    close = (ends != point[:, None]).all(1)
    # the next point round a sharp corner is always near: it counts only inside the circle itself
    adjacent = (neighbours[ends[:, 0], 0] == point) | (neighbours[ends[:, 1], 1] == point)
    outside = np.linalg.norm(points[point] - middle[segment], axis=1) >= radius[segment]
    crowded = np.zeros(len(segments), dtype=bool)
    crowded[segment[close & ~(adjacent & outside)]] = True
    return crowded
