"""Rows of point numbers as keys: sorting, grouping and looking up cells, faces and edges by their corners."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

_NETWORKS = {  # comparisons that sort rows of few entries (Knuth, The Art of Computer Programming 3, section 5.3.4)
    1: (),
    2: ((0, 1),),
    3: ((0, 1), (1, 2), (0, 1)),
    4: ((0, 1), (2, 3), (0, 2), (1, 3), (1, 2)),
}


def distinct(numbers: Tensor, n: int) -> Tensor:
    """The distinct numbers in ascending order; all lie in 0..n - 1 or are negative, which stands for none."""
    flat = numbers.reshape(-1)
    seen = torch.zeros(n + 1, dtype=torch.bool)
    seen[flat] = True  # -1 marks the slot behind the last
    return seen[:n].nonzero()[:, 0]


def sorted_rows(rows: np.ndarray) -> np.ndarray:
    """Each row of integers [m, w] in ascending order."""
    network = _NETWORKS.get(rows.shape[1])
    if network is None:
        return np.sort(rows, axis=1)
    columns = list(rows.T)
    for a, b in network:
        columns[a], columns[b] = np.minimum(columns[a], columns[b]), np.maximum(columns[a], columns[b])
    out = np.empty_like(rows, order="C")
    for k, column in enumerate(columns):
        out[:, k] = column
    return out


def lexicographic(rows: np.ndarray) -> np.ndarray:
    """The stable order [m] that sorts rows [m, w] of integers by their first, then second, ... entry."""
    keys = _keys(rows)
    return np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")


def _keys(rows: np.ndarray) -> list[np.ndarray]:
    """Numbers [m] that compare, one after another, as the rows do: two entries in one where they fit."""
    keys = list(rows.T)
    scale = int(rows.max(initial=0)) + 2
    if len(keys) > 1 and scale < 1 << 31 and int(rows.min(initial=0)) >= -1:
        keys = [(keys[0] + 1) * scale + (keys[1] + 1), *keys[2:]]
    return keys


class Groups(NamedTuple):
    """Equal rows behind one another.

    Attributes:
        order: the row at each place [m], equal ones in the order given. starts: the first place of each group [k].
        sizes: how many rows are in each group [k].
    """

    order: np.ndarray
    starts: np.ndarray
    sizes: np.ndarray


def groups(rows: np.ndarray) -> Groups:
    """Rows [m, w] of integers grouped by equality, groups in lexicographic order."""
    keys = _keys(rows)
    order = np.lexsort(keys[::-1]) if len(keys) > 1 else np.argsort(keys[0], kind="stable")
    new = np.zeros(len(rows), dtype=bool)
    new[:1] = True
    for key in keys:
        in_order = key[order]
        new[1:] |= in_order[1:] != in_order[:-1]
    starts = np.flatnonzero(new)
    return Groups(order, starts, np.diff(np.append(starts, len(rows))))


def grouped(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First index, group of each row and size of each group of equal rows, groups in lexicographic order."""
    order, starts, count = groups(rows)
    inverse = np.empty(len(rows), dtype=np.int64)
    inverse[order] = np.repeat(np.arange(len(starts)), count)
    return order[starts], inverse, count  # the order is stable: the first of each group is the first given


def repeated(rows: np.ndarray, *, any_order: bool = False) -> np.ndarray:
    """The rows [k] that are equal to an earlier one, up to the order of their entries if ``any_order``.

    Rows are compared by a 64-bit hash first, which tells nearly always that there are none.
    """
    words = np.ascontiguousarray(rows).view(np.uint64) if rows.dtype.itemsize == 8 else rows.astype(np.uint64)
    mixed = np.zeros(len(rows), dtype=np.uint64)
    for k in range(rows.shape[1]):
        mixed += _mixed(words[:, k] if any_order else words[:, k] + np.uint64(_ODD * (k + 1) % 2**64))
    in_order = np.sort(mixed)
    if not (in_order[1:] == in_order[:-1]).any():
        return np.empty(0, dtype=np.int64)
    keys = sorted_rows(rows) if any_order else rows
    order = np.lexsort(keys.T[::-1])
    keys = keys[order]
    same = np.logical_and.reduce([column[1:] == column[:-1] for column in keys.T])
    return np.sort(order[1:][same])


_ODD = 0x9E3779B97F4A7C15


def _mixed(words: np.ndarray) -> np.ndarray:
    """A hash of 64-bit words (the finaliser of SplitMix64; Steele, Lea, Flood 2014)."""
    words = (words ^ (words >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    words = (words ^ (words >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return words ^ (words >> np.uint64(31))


class RowTable:
    """Distinct rows in lexicographic order, in which others are looked up.

    Args:
        rows: entries of at least -1 [m, w], each row ascending, rows in lexicographic order.
    """

    def __init__(self, rows: np.ndarray):
        self.scale = int(rows.max(initial=0)) + 2
        self.levels: list[np.ndarray] = []  # the distinct prefixes of each length as keys: rank of the shorter, entry
        rank = np.zeros(len(rows), dtype=np.int64)
        for column in rows.T:
            keys = rank * self.scale + (column + 1)
            new = np.ones(len(keys), dtype=bool)
            new[1:] = keys[1:] != keys[:-1]
            self.levels.append(keys[new])
            rank = np.cumsum(new) - 1

    def find(self, rows: np.ndarray) -> np.ndarray:
        """Number of each row [k, w], each ascending, in the table; -1 for none."""
        if rows.shape[1] != len(self.levels) or not len(self.levels[0]):
            return np.full(len(rows), -1)
        rank = np.zeros(len(rows), dtype=np.int64)
        known = np.ones(len(rows), dtype=bool)
        for column, level in zip(rows.T, self.levels, strict=True):
            keys = rank * self.scale + (column + 1)
            rank = np.minimum(np.searchsorted(level, keys), len(level) - 1)
            known &= (level[rank] == keys) & (column < self.scale - 1)
        return np.where(known, rank, -1)
