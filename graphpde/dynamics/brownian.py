"""Brownian paths that are values: the increment over an interval is the same whenever, and however often, it is asked.

Time is cut into cells of one length. The path over a cell is drawn first, then over its halves, their halves and so on,
each from numbers that depend on the seed and on the place in this tree alone. What is drawn of an interval [a, b] of
length h is

    w = W(b) - W(a) ~ N(0, h)     and     k = (1/h) int_a^b (W(s) - W(a)) ds - w/2 ~ N(0, h/12),

which are independent; those of its halves follow from them and from z ~ N(0, h/16), y ~ N(0, h/12):

    w_1 = w/2 + 3k/2 + z,   w_2 = w - w_1,   k_1 = k/4 - z/2 + y/2,   k_2 = k/4 - z/2 - y/2

Reference: Foster, Lyons and Oberhauser 2020, SIAM J. Numer. Anal. 58, theorem 5.3 (the halves); Jelincic, Foster and
Kidger 2024 (a tree with both). The names there are W and H.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.checks import positive, whole
from graphpde.errors import InputError

_PIECES = 64  # of the tree in the shortest step: its variance is then right to one percent
_KEPT = 2**24  # numbers of the tree that are remembered at most: steps that follow one another share most of their way


class Increment(NamedTuple):
    """What a Brownian path does in an interval [a, b] of length h.

    Attributes:
        w: W(b) - W(a), variance h. area: the integral of W(s) - W(a) over the interval, variance h^3 / 3.
    """

    w: Tensor
    area: Tensor


class _Piece(NamedTuple):
    """w and k of one interval of the tree."""

    w: np.ndarray
    k: np.ndarray


class Brownian:
    """Independent Brownian motions, one for every entry of a state.

    A value: it holds no place in time and draws nothing from anywhere, so that steps that are refused, repeated in a
    backward pass or halved see the same path. The same seed gives the same path in every precision and on every device,
    entry by entry in the order of memory: two states that are driven by one path share their noise.

    Args:
        seed: a whole number >= 0; a ``torch.Generator`` draws one.
        unit: length of a cell of time, best that of a step or a few: whole cells cost one draw each, parts of them go
            down the tree. Runs that shall see one path need the same unit.
        depth: how often cells are halved; what W does in between is replaced by its mean, given its ends and integral,
            so that steps shorter than 64 of these last pieces are refused: they would see too little noise.

    Raises:
        InputError: seed, unit or depth out of range.
    """

    def __init__(self, seed: int | torch.Generator, *, unit: float = 1.0, depth: int = 20):
        if isinstance(seed, torch.Generator):
            seed = int(torch.randint(2**62, (), generator=seed, device=seed.device))
        self.seed = whole("seed", seed, 0, otherwise=" or a torch.Generator")
        positive("unit", unit, finite=True)
        self.unit, self.depth = float(unit), whole("depth", depth, 0)
        if self.seed >= 2**64 or self.depth > 40:
            raise InputError(f"got {self!r} of depth {depth}, expected a seed below 2^64 and a depth <= 40")
        self._kept: OrderedDict[tuple[int, int, int, int], _Piece] = OrderedDict()

    def __repr__(self) -> str:
        return f"Brownian({self.seed}, unit={self.unit:g})"

    def __call__(self, t0: float | Tensor, t1: float | Tensor, like: Tensor) -> Increment:
        """The increments over [t0, t1], one for every entry of ``like``.

        Raises:
            InputError: t1 before t0, a time that is not finite, an interval too short for the tree, or ``like`` is no
                tensor of floating-point numbers.
        """
        if not isinstance(like, Tensor) or not like.is_floating_point():
            kind = like.dtype if isinstance(like, Tensor) else type(like).__name__
            raise InputError(f"the motion has type {kind}, expected a floating-point tensor, one entry for each path")
        a, b = float(t0), float(t1)
        if not (math.isfinite(a) and math.isfinite(b) and a <= b):
            raise InputError(f"the interval from {a:g} to {b:g} is not one; expected finite times in order")
        least = _PIECES * self.unit / 2**self.depth
        if 0 < b - a < least and any(self._place(t)[1] * 2**self.depth % 1 for t in (a, b)):
            raise InputError(
                f"a step of {b - a:g} is too short for {self!r}, whose least is {least:g}: its noise would be lost; "
                f"give the path the length of a step, such as Brownian({self.seed}, unit={b - a:.1g})"
            )
        w, area = self._between(a, b, like.numel())
        return Increment(*(torch.from_numpy(x).reshape(like.shape).to(like) for x in (w, area)))

    def _between(self, a: float, b: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """w and area, cell by cell: over what is left of the first, the whole ones, and the begin of the last."""
        (first, start), (last, end) = self._place(a), self._place(b)
        if first == last:
            return _difference(
                self._up_to(first, start, count), self._up_to(first, end, count), (end - start) * self.unit
            )
        whole = self._up_to(first, 1.0, count)
        w, area = _difference(self._up_to(first, start, count), whole, (1.0 - start) * self.unit)
        for cell in range(first + 1, last):
            w, area = _joined((w, area), self._up_to(cell, 1.0, count), self.unit)
        if end > 0:
            w, area = _joined((w, area), self._up_to(last, end, count), end * self.unit)
        return w, area

    def _place(self, t: float) -> tuple[int, float]:
        """The cell of a time and where in it, from 0 to below 1; times closer than rounding to a boundary are on it."""
        x = t / self.unit
        cell = math.floor(x)
        inside = x - cell
        close = 4 * 2.0**-52 * max(abs(x), 1.0)
        if inside < close:
            return cell, 0.0
        return (cell + 1, 0.0) if inside > 1 - close else (cell, inside)

    def _up_to(self, cell: int, place: float, count: int) -> tuple[np.ndarray, np.ndarray]:
        """w and area from the begin of a cell to a place in it."""
        length, index = self.unit, 0
        w, area = np.zeros(count), np.zeros(count)
        if place == 0:
            return w, area
        piece = self._piece(cell, 0, 0, count)
        for level in range(1, self.depth + 1):
            if place == 1:
                break
            length, place, index = length / 2, place * 2, index * 2
            if place >= 1:
                left = self._piece(cell, level, index, count)
                if place == 1:
                    piece = left
                    break
                w, area = _joined((w, area), (left.w, (left.k + left.w / 2) * length), length)
                place, index = place - 1, index + 1
            piece = self._piece(cell, level, index, count)
        return _joined((w, area), _mean(piece, place, length), place * length)

    def _piece(self, cell: int, level: int, index: int, count: int) -> _Piece:
        """w and k of interval ``index`` of 2^level equal ones of a cell."""
        key = (cell, level, index, count)
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        length = self.unit / 2**level
        if level == 0:
            one, two = self._drawn(cell, 0, 0, count)
            made = {index: _Piece(one * math.sqrt(length), two * math.sqrt(length / 12))}
        else:
            w, k = self._piece(cell, level - 1, index // 2, count)
            one, two = self._drawn(cell, level, index // 2, count)
            z, y = one * math.sqrt(length / 8), two * math.sqrt(length / 6)  # of an interval of twice the length
            left = w / 2 + 1.5 * k + z
            made = {
                index // 2 * 2: _Piece(left, k / 4 - z / 2 + y / 2),
                index // 2 * 2 + 1: _Piece(w - left, k / 4 - z / 2 - y / 2),
            }
        for half, piece in made.items():
            self._kept[cell, level, half, count] = piece
        while len(self._kept) > max(4, min(4 * self.depth, _KEPT // max(2 * count, 1))):
            self._kept.popitem(last=False)
        return made[index]

    def _drawn(self, cell: int, level: int, index: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Standard normal numbers that belong to one interval."""
        place = np.array([0, index, level, cell % 2**64], dtype=np.uint64)
        numbers = np.random.Generator(np.random.Philox(key=self.seed, counter=place)).standard_normal(2 * count)
        return numbers[::2], numbers[1::2]  # what an entry gets does not depend on how many there are


def _mean(piece: _Piece, place: float, length: float) -> tuple[np.ndarray, np.ndarray]:
    """w and area from the begin of an interval to a place in it: their mean, given w and k of the whole."""
    w, k = piece
    bulge = 2 * place**3  # 6 times the integral of s (1 - s) is 3 place^2 - 2 place^3
    return (
        place * w + 6 * place * (1 - place) * k,
        length * (place**2 / 2 * w + (3 * place**2 - bulge) * k),
    )


def _joined(
    one: tuple[np.ndarray, np.ndarray], two: tuple[np.ndarray, np.ndarray], length: float
) -> tuple[np.ndarray, np.ndarray]:
    """w and area over two intervals that follow one another, the second of that length."""
    return one[0] + two[0], one[1] + length * one[0] + two[1]


def _difference(
    begin: tuple[np.ndarray, np.ndarray], end: tuple[np.ndarray, np.ndarray], length: float
) -> tuple[np.ndarray, np.ndarray]:
    """w and area from where the first ends to where the second ends, both of which begin at one place."""
    return end[0] - begin[0], end[1] - begin[1] - length * begin[0]
