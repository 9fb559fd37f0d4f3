"""How long edges shall be at each point of a plane domain: a number or a function, shorter near fine parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import MeshError

GRADING = 0.25  # growth of the edge length per unit of distance from finer parts
_LEVELS, _MOST_SAMPLES = 30, 1_000_000  # of a size function

Size = float | Callable[[Tensor], Tensor]
"""Target edge length: a number, or a function of points [k, 2] -> [k]."""


class SizeField:
    """Target edge length: at most ``size``, shorter near sources, growing by ``GRADING`` with the distance from them.

    Args:
        size: the longest. background: a function of the place, or None. sources: points [k, 2] and the length at each.
    """

    def __init__(
        self,
        size: float,
        background: _Background | None = None,
        sources: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        self.size, self.background = size, background
        self._parts = _grouped(size, *sources) if sources else []

    @classmethod
    def of(cls, size: Size, corners: np.ndarray) -> SizeField:
        """The field of a number or a function on the box round these corners [k, 2].

        Raises:
            MeshError: a length that is not a positive number.
        """
        if not callable(size):
            if not (np.isfinite(size) and size > 0):
                raise MeshError(f"target edge length is {size}, expected a positive number")
            return cls(float(size))
        background = _Background(size, corners.min(0), corners.max(0))
        return cls(background.longest, background)

    def with_sources(self, points: np.ndarray, local: np.ndarray) -> SizeField:
        """The same field, no longer than ``local`` [k] at ``points`` [k, 2] and growing from there."""
        return SizeField(self.size, self.background, (points, local))

    @property
    def shortest(self) -> float:
        return self.size if self.background is None else self.background.shortest

    def expected_points(self, corners: np.ndarray) -> float:
        """About how many points the box round these corners takes."""
        if self.background is not None:
            return self.background.points
        return float(np.prod(np.ptp(corners, axis=0))) / self.size**2

    def __call__(self, x: np.ndarray) -> np.ndarray:
        out = np.full(len(x), self.size) if self.background is None else self.background(x)
        for length, tree in self._parts:
            shorter = np.flatnonzero(out > length)
            # beyond its reach a source does not matter
            distance = tree.query(x[shorter], distance_upper_bound=(self.size - length) / GRADING)[0]
            out[shorter] = np.minimum(out[shorter], length + GRADING * distance)
        return out


def _grouped(size: float, points: np.ndarray, local: np.ndarray) -> list[tuple[float, Any]]:
    """Points of nearly the same length share a tree, the shortest first: the nearest of them is the one that counts."""
    from scipy.spatial import cKDTree

    fine = np.flatnonzero(local < 0.75 * size)
    group = np.round(4 * np.log2(local[fine] / size))
    return [(float(local[fine[group == g]].mean()), cKDTree(points[fine[group == g]])) for g in np.unique(group)]


class _Background:
    """A function of the place, cut down where it grows faster than ``GRADING``.

    It is sampled in squares that are quartered until they are no longer than half its value, so features much narrower
    than the lengths around them are missed.
    """

    def __init__(self, function: Callable[[Tensor], Tensor], low: np.ndarray, high: np.ndarray):
        from scipy.spatial import cKDTree

        self.function = function
        span = high - low
        axes = [np.linspace(a, b, 33) for a, b in zip(low, high)]
        grid = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
        self.longest = min(float(self._value(grid).max()), float(span.max()))
        centres, sides, values = self._sampled(low, span, self._value)
        parts = _grouped(self.longest, centres, values)
        self.points = float((sides**2 / values**2).sum())
        self.shortest = float(values.min())
        if self.points <= _MOST_SAMPLES:

            def cut_down(x: np.ndarray) -> np.ndarray:
                out = np.minimum(self._value(x), self.longest)
                for length, tree in parts:  # lengths of one group differ: none may be cut down by its own group
                    out = np.minimum(out, 1.2 * length + GRADING * tree.query(x)[0])
                return out

            # once more, as cells beside a jump were too coarse for what comes near them now
            centres, sides, values = self._sampled(low, span, cut_down)
            self.points = float((sides**2 / values**2).sum())
        self._values = values
        self._tree = cKDTree(centres)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        distance, nearest = self._tree.query(x)
        limit = self._values[nearest] + GRADING * distance
        return np.minimum(np.minimum(self._value(x), self.longest), limit)

    def _sampled(
        self, low: np.ndarray, span: np.ndarray, value: Callable[[np.ndarray], np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centres [k, 2] and sides [k] of squares that cover the box, and a function there [k]."""
        side = max(min(self.longest, float(span.max()) / 8), float(np.sqrt(span.prod() / _MOST_SAMPLES)))
        count = np.maximum(np.ceil(span / side).astype(int), 1)
        axes = [a + side * (np.arange(k) + 0.5) for a, k in zip(low, count)]
        centres = np.stack(np.meshgrid(*axes), -1).reshape(-1, 2)
        kept, total = [], len(centres)
        for _ in range(_LEVELS):
            values = value(centres)
            fine = values < 2 * side
            total += 4 * int(fine.sum())
            if total > _MOST_SAMPLES:  # more points than any mesh may have: their number is estimated from here
                fine[:] = False
            kept.append((centres[~fine], np.full((~fine).sum(), side), values[~fine]))
            if not fine.any():
                break
            side = 0.5 * side
            shift = 0.5 * side * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
            centres = (centres[fine][:, None] + shift).reshape(-1, 2)
        centres, sides, values = (np.concatenate(part) for part in zip(*kept))
        return centres, sides, values

    def _value(self, x: np.ndarray) -> np.ndarray:
        found = torch.as_tensor(self.function(torch.from_numpy(np.ascontiguousarray(x))))
        if tuple(found.shape) != (len(x),):
            raise MeshError(
                f"the size function returned shape {list(found.shape)} for points {list(x.shape)}, expected [{len(x)}]"
            )
        values = found.detach().to(torch.float64).numpy()
        bad = ~(np.isfinite(values) & (values > 0))
        if bad.any():
            where = x[bad][0]
            raise MeshError(
                f"the size function is {values[bad][0]:.3g} at ({where[0]:.4g}, {where[1]:.4g}), expected a positive "
                f"number everywhere in the box round the outline"
            )
        return values
