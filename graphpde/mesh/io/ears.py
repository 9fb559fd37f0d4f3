"""Simple polygons cut into triangles without new points, many of one size at a time.

Each polygon is seen in the plane perpendicular to its vector area. Ears are cut off one after the other, the best
shaped first; an ear is a convex corner whose triangle holds no other corner. Points in the middle of a straight side,
and holes that a seam joins to the outline, are cut right as well.

Source: Meisters 1975, Amer. Math. Monthly 82, 648-651 (every simple polygon has two ears); Newell's vector area as in
Sutherland, Sproull, Schumacker 1974, ACM Comput. Surv. 6(1), 1-55.
"""

from __future__ import annotations

import math

import numpy as np

from graphpde.mesh.io.raw import Unreadable

_STRAIGHT = 1e-3  # turn in radians below which a corner is nearly straight, and must not be left for a sliver
_NEAR = 1e-9  # distance relative to the extent of the polygon below which a point lies on a line or on a point
_FLAT = 1e-12  # area relative to the squared extent that counts as zero
_FEW = 32  # corners up to which convex polygons, too, are cut ear by ear for the better shapes
_MOST = 4096  # corners of a polygon that is not convex; the work grows with their square
_SLICE = 1 << 18  # polygons times corners that are treated at once
_NEXT = [1, 2, 0]  # round a triangle


def triangulate(x: np.ndarray) -> np.ndarray:
    """Triangles of polygons x [m, k, 3]: corner numbers [m, k - 2, 3], in the direction of the outline.

    A polygon that crosses itself or has no area gives k - 2 triangles as well; :func:`flawed` tells.

    Raises:
        Unreadable: more than 4096 corners of a polygon that is not convex.
    """
    flat = _flattened(x)
    m, k = flat.shape[:2]
    turns = _turns(flat)
    dull = (turns <= min(_STRAIGHT, 1 / k)) | (turns > np.pi - _STRAIGHT)  # a regular polygon turns by more than 6 / k
    convex = ~dull.any(1)
    out = np.empty((m, k - 2, 3), dtype=np.int64)
    done = np.abs(_cross(flat, np.roll(flat, -1, 1)).sum(1)) <= _FLAT  # without area no cut is better than another
    if k > _FEW:
        done |= convex
    out[done] = _halved(k)
    rest = np.flatnonzero(~done)
    if k > _MOST and len(rest):
        raise Unreadable(f"it has a polygon of {k} corners that is not convex; split it into triangles")
    for some in (*_slices(rest[convex[rest]], k), *_slices(rest[~convex[rest]], k)):
        out[some] = _Clipping(flat[some], dull[some]).run()
    return np.sort(out, axis=2)


def flawed(x: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """Whether a polygon x [m, k, 3] does not go round once, or a triangle of it is flat or turned against it [m]."""
    flat = _flattened(x)
    a, b, c = (np.take_along_axis(flat, triangles[:, :, j, None], axis=1) for j in range(3))
    longest = np.maximum(((b - a) ** 2).sum(2), ((c - a) ** 2).sum(2))
    bad = (_cross(b - a, c - a) <= _FLAT * longest).any(1)
    return np.asarray(bad | (np.abs(_turns(flat).sum(1) - 2 * np.pi) > 1))


def _turns(flat: np.ndarray) -> np.ndarray:
    """Angle by which the outline turns at each corner [m, k], in (-pi, pi]."""
    after = np.roll(flat, -1, 1) - flat
    before = np.roll(after, 1, 1)
    return np.arctan2(_cross(before, after), (before * after).sum(-1))


def _flattened(x: np.ndarray) -> np.ndarray:
    """Polygons of extent 1 in their best-fit planes [m, k, 2], counter-clockwise."""
    x = np.nan_to_num(x - x[:, :1], posinf=0.0, neginf=0.0)
    size = np.abs(x).max((1, 2), keepdims=True)
    x = x / np.where(size > 0, size, 1)
    normal = np.cross(x, np.roll(x, -1, 1)).sum(1)
    length = np.linalg.norm(normal, axis=1, keepdims=True)
    normal = np.where(length > _FLAT, normal / np.where(length > 0, length, 1), [0.0, 0.0, 1.0])
    one = np.cross(np.eye(3)[np.abs(normal).argmin(1)], normal)
    one /= np.linalg.norm(one, axis=1, keepdims=True)
    return x @ np.stack([one, np.cross(normal, one)], 2)


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def _slices(rows: np.ndarray, k: int) -> list[np.ndarray]:
    step = max(1, _SLICE // k)
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _halved(k: int) -> np.ndarray:
    """Triangles of any convex polygon [k - 2, 3]: every other corner is cut off, again and again."""
    ring, out = np.arange(k), []
    while len(ring) > 2:
        cut = np.arange(1, len(ring) if len(ring) > 3 else 2, 2)
        out.append(np.stack([ring[cut - 1], ring[cut], ring[(cut + 1) % len(ring)]], 1))
        ring = ring[::2]
    return np.concatenate(out)


class _Clipping:
    """Polygons of one size that lose their ears one by one.

    Args:
        x: corners in the plane, counter-clockwise [m, k, 2].
        dull: corners that are straight or reflex [m, k]; if any corner lies in an ear, one of these does.
    """

    def __init__(self, x: np.ndarray, dull: np.ndarray):
        m, k = dull.shape
        self.x = x
        self.before = np.tile(np.roll(np.arange(k), 1), (m, 1))
        self.after = np.tile(np.roll(np.arange(k), -1), (m, 1))
        count = int(dull.sum(1).max(initial=0))
        self.others = np.argsort(~dull, axis=1, kind="stable")[:, :count]
        self.slot = np.where(dull, np.cumsum(dull, axis=1) - 1, -1)
        there = np.take_along_axis(np.where(dull[..., None], x, np.nan), self.others[..., None], 1)
        self.across, self.up = there[..., 0].copy(), there[..., 1].copy()  # not a number once cut off: never near
        self.score = np.empty((m, k))
        for some in _slices(np.arange(m * k), max(1, count)):
            self.score.reshape(-1)[some] = self.rate(some // k, some % k)

    def run(self) -> np.ndarray:
        """Corner numbers of the triangles [m, k - 2, 3]."""
        m, k = self.score.shape
        rows = np.arange(m)
        both = np.concatenate([rows, rows])
        out = np.empty((m, k - 2, 3), dtype=np.int64)
        for step in range(k - 2):
            b = self.score.argmax(1)
            a, c = self.before[rows, b], self.after[rows, b]
            out[:, step] = np.stack([a, b, c], 1)
            self.after[rows, a], self.before[rows, c] = c, a
            self.score[rows, b] = -math.inf
            slot = self.slot[rows, b]
            self.across[rows[slot >= 0], slot[slot >= 0]] = np.nan
            ends = np.concatenate([a, c])
            self.score[both, ends] = self.rate(both, ends)
        return out

    def rate(self, rows: np.ndarray, b: np.ndarray) -> np.ndarray:
        """How well the triangles at corners b [r] of polygons rows [r] can be cut off [r].

        The shape in (0, 1] of a true ear. Below 0, in this order: another corner lies close behind the cut; on it; the
        triangle is flat; it holds a corner; it lies outside. A simple polygon with an area needs only the first two.
        """
        numbers = np.stack([self.before[rows, b], b, self.after[rows, b]], 1)
        corners = self.x[rows[:, None], numbers]
        sides = corners[:, _NEXT] - corners
        squares = sides[..., 0] ** 2 + sides[..., 1] ** 2
        turn = _cross(sides[:, 0], sides[:, 1])
        least = _NEAR * np.sqrt(squares[:, 0] * squares[:, 1])
        shape = 2 * math.sqrt(3) * turn / np.maximum(squares.sum(1), np.finfo(float).tiny)
        score = shape - np.where(turn < -least, 8.0, np.where(turn > least, 0.0, 4.0))
        if self.others.shape[1]:
            score -= self._contact(rows, numbers, corners, np.sqrt(np.maximum(squares, np.finfo(float).tiny)))
        return score

    def _contact(self, rows: np.ndarray, numbers: np.ndarray, corners: np.ndarray, lengths: np.ndarray) -> np.ndarray:
        """2, 3 or 6 where a dull corner lies close behind the cut of a triangle, on the cut, in the triangle [r].

        One that coincides with a corner of the triangle, as at the ends of a seam, has its sides outside.
        """
        margin = np.maximum(_STRAIGHT * lengths[:, 2], _NEAR)
        low, high = corners.min(1) - margin[:, None], corners.max(1) + margin[:, None]
        across, up = self.across[rows], self.up[rows]
        near = (across >= low[:, :1]) & (across <= high[:, :1]) & (up >= low[:, 1:]) & (up <= high[:, 1:])
        i, j = near.nonzero()
        owner, other = rows[i], self.others[rows[i], j]
        own = (other[:, None] == numbers[i]).any(1)
        i, owner, other = i[~own], owner[~own], other[~own]
        at, corners, lengths = self.x[owner, other], corners[i], lengths[i]
        twin = (np.abs(at[:, None] - corners).max(2) <= _NEAR).any(1)
        depth = _inward(at, corners, lengths)
        cut = depth[:, 2]
        behind = (depth[:, :2].min(1) >= -_NEAR) & (cut >= -margin[i]) & ~twin
        out = np.zeros(len(rows))
        for value, found in ((2.0, behind), (3.0, behind & (cut >= -_NEAR)), (6.0, depth.min(1) > _NEAR)):
            out[i[found]] = value
        return out


def _inward(at: np.ndarray, corners: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Distances of points [p, 2] from the three sides of triangles [p, 3, 2], positive inside [p, 3]."""
    return _cross(corners[:, _NEXT] - corners, at[:, None] - corners) / lengths
