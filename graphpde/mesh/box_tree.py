"""Which boxes lie round or near a point: a tree of boxes in boxes, walked by many points at once.

The boxes are put in an order in which neighbours lie close in space; every four in turn make a larger box, every four
of those the next, up to one. Depth and cost of a question grow with the logarithm of the number of boxes, also where
their sizes and shapes differ by orders of magnitude, as in boundary layers: bins of equal size would hold either one
large cell or thousands of small ones.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

_FAN = 4  # boxes in a box
_POINTS = 1 << 13  # points that walk together,
_PAIRS = 1 << 19  # unless they meet more boxes than this in one level: with the corners of cells some 200 MB
_BITS = 20  # of each direction in the order of the boxes: three of them fit an integer


class BoxTree:
    """Boxes given by their lowest and highest corners [m, d]."""

    def __init__(self, low: np.ndarray, high: np.ndarray):
        self._order = _along_a_curve(low + high)
        # a level holds low and -high, direction first: one rule for both ends, contiguous to gather from
        self._levels = [np.concatenate([low, -high], 1)[self._order].T.copy()]
        while self._levels[0].shape[1] > 1:
            below = self._levels[0]
            starts = np.arange(0, below.shape[1], _FAN)
            self._levels.insert(0, np.minimum.reduceat(below, starts, axis=1))

    def near(self, x: np.ndarray, radius: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(point, box, squared distance) of every box at most radius [q] away from x [q, d], all of a point together.

        A point is 0 away from a box that it lies in.
        """
        waiting = [np.arange(start, min(start + _POINTS, len(x))) for start in range(0, len(x), _POINTS)][::-1]
        while waiting:
            rows = waiting.pop()
            pairs = self._walk(x[rows].T.copy(), radius[rows] ** 2, len(rows) == 1)
            if pairs is None:
                middle = len(rows) // 2
                waiting += [rows[middle:], rows[:middle]]
            else:
                yield rows[pairs[0]], self._order[pairs[1]], pairs[2]

    def _walk(self, x: np.ndarray, limit: np.ndarray, always: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """(point, place of the box, squared distance), or None where there are too many on the way down."""
        point, box = np.arange(x.shape[1]), np.zeros(x.shape[1], dtype=np.int64)
        for depth, level in enumerate(self._levels):
            if depth:
                point = np.repeat(point, _FAN)
                box = (box[:, None] * _FAN + np.arange(_FAN)).reshape(-1)
                if box.size and box.max() >= level.shape[1]:
                    real = box < level.shape[1]
                    point, box = point[real], box[real]
            if len(point) > _PAIRS and not always:
                return None
            point, box, square = _kept(x, limit, level, point, box)
        return point, box, square


def _kept(
    x: np.ndarray, limit: np.ndarray, level: np.ndarray, point: np.ndarray, box: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The pairs whose squared distance is within the limit; each direction throws some out before the next is read."""
    d = len(x)
    square = np.zeros(len(point))
    for axis in range(d):
        place = x[axis][point]
        gap = np.maximum(level[axis][box] - place, level[d + axis][box] + place)
        square += np.maximum(gap, 0.0) ** 2
        kept = np.flatnonzero(square <= limit[point])
        point, box, square = point[kept], box[kept], square[kept]
    return point, box, square


def _along_a_curve(places: np.ndarray) -> np.ndarray:
    """An order in which neighbours lie close: by the interleaved bits of each direction's rank (Morton 1966)."""
    m, d = places.shape
    code = np.zeros(m, dtype=np.int64)
    bits = min(_BITS, max(int(m - 1).bit_length(), 1))
    for axis in range(d):
        # ranks instead of coordinates: boxes crowded in one place are told apart as well as any
        _, rank = np.unique(places[:, axis], return_inverse=True)
        scaled = (rank * ((1 << bits) - 1)) // max(int(rank.max()), 1)
        for bit in range(bits):
            code |= ((scaled >> bit) & 1) << (bit * d + axis)
    return np.argsort(code, kind="stable")
