"""What a reader found in a file, before it becomes a mesh: points, cell blocks, sets, data and remarks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from graphpde.mesh.io.text import parsed


class Unreadable(ValueError):
    """A reader's refusal; its text is the one sentence that the user gets to see."""


class Block(NamedTuple):
    """Cells of one type: meshio type name (``polygon`` allowed) and point numbers [m, k]."""

    kind: str
    nodes: np.ndarray


class CellSet(NamedTuple):
    """A named set of listed cells: for each block the numbers of its members within that block, or None."""

    name: str
    members: list[np.ndarray | None]


class FacetSet(NamedTuple):
    """A named set of entities of one dimension, given by their corner points [k, w], padded with -1."""

    name: str
    dim: int
    corners: np.ndarray


@dataclass
class RawMesh:
    """The content of a mesh file in the order of the file.

    Attributes:
        points: coordinates [n, 1..3].
        blocks: cells of all dimensions.
        cell_sets, facet_sets: named sets; ``point_sets``: (name, point numbers).
        point_data: name -> [n, ...]. cell_data: name -> one array per block, None where a block has no values.
        notes: what was lost or looks odd, one sentence each.
        space_dim: dimension of the space if the file says so, else None and it is deduced.
    """

    points: np.ndarray
    blocks: list[Block]
    cell_sets: list[CellSet] = field(default_factory=list)
    facet_sets: list[FacetSet] = field(default_factory=list)
    point_sets: list[tuple[str, np.ndarray]] = field(default_factory=list)
    point_data: dict[str, np.ndarray] = field(default_factory=dict)
    cell_data: dict[str, list[np.ndarray | None]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    space_dim: int | None = None


def numbers(text: bytes | str, dtype: Any, what: str) -> np.ndarray:
    """All numbers of a white-space separated text.

    Raises:
        Unreadable: something in the text is no number of that kind.
    """
    data = text.encode("latin-1", "replace") if isinstance(text, str) else text
    try:
        return parsed(data, dtype)
    except ValueError:
        raise Unreadable(f"{what} holds something that is not a number") from None


def real_number(word: str) -> float:
    """The number that a word stands for, without what Python allows beyond: ``1_0`` and digits of other scripts.

    Raises:
        ValueError: it is none.
    """
    if not word.isascii() or "_" in word:
        raise ValueError(word)
    return float(word)


def whole_number(word: str) -> int:
    """The same for a whole number."""
    if not word.isascii() or "_" in word:
        raise ValueError(word)
    return int(word)


def positions(ids: np.ndarray, asked: np.ndarray, what: str) -> np.ndarray:
    """Index of each asked number among distinct ``ids`` [k], any shape.

    Raises:
        Unreadable: ``ids`` repeat, or an asked number is not among them.
    """
    if len(ids) and ids[-1] - ids[0] == len(ids) - 1 and (np.diff(ids) == 1).all():  # numbered through, as most are
        if asked.size and not ids[0] <= asked.min() <= asked.max() <= ids[-1]:
            raise Unreadable(f"{what} {asked[(asked < ids[0]) | (asked > ids[-1])][0]} is used but not defined")
        return asked.astype(np.int64) - int(ids[0])
    order = np.argsort(ids, kind="stable")
    known = ids[order]
    twice = np.flatnonzero(known[1:] == known[:-1])
    if len(twice):
        raise Unreadable(f"{what} {known[twice[0]]} is defined twice")
    if asked.size == 0:
        return np.empty(asked.shape, dtype=np.int64)
    slot = np.searchsorted(known, asked)
    bad = slot == len(known)
    bad |= known[np.minimum(slot, len(known) - 1)] != asked if len(known) else True
    if bad.any():
        raise Unreadable(f"{what} {asked[bad][0]} is used but not defined")
    return order[slot]


def integers(values: np.ndarray, what: str) -> np.ndarray:
    """Floating-point values that must be whole numbers, as int64."""
    whole = np.nan_to_num(values).astype(np.int64)
    if not np.array_equal(whole, values):
        raise Unreadable(f"{what} must be whole numbers, got {values[whole != values][0]}")
    return whole


def listed(items: Any, limit: int = 4) -> str:
    """A short enumeration: the first few items and how many more there are."""
    names = [str(item) for item in items]
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")


def printable(text: str) -> str:
    """A text in one line, without what a terminal would act on; damaged and hostile files are full of that."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in " ".join(text.split()))


def runs(
    values: np.ndarray, count: int, keys: tuple[int, ...], width_of: Callable[..., int], what: str
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Rows of differing width from one long list: (values of the key columns, consecutive equal rows [k, width]).

    Args:
        values: the numbers of ``count`` rows, one after another. keys: columns that decide the width of a row.
        width_of: width from those columns. what: the list in messages.

    Raises:
        Unreadable: the list ends before ``count`` rows, or goes on behind them.
    """
    position = 0
    while count > 0:
        if position + max(keys) >= len(values):
            raise Unreadable(f"{what} ends {count} rows too early; the file seems to be cut off")
        key = tuple(int(values[position + k]) for k in keys)
        width = width_of(*key)
        size = min(count, 64)
        while True:  # look ahead in growing steps: the work stays proportional to the length of the run
            rows = values[position : position + size * width]
            rows = rows[: len(rows) // width * width].reshape(-1, width)
            same = np.logical_and.reduce([rows[:, k] == v for k, v in zip(keys, key)])
            if len(rows) < size or size == count or not same.all():
                break
            size = min(4 * size, count)
        run = len(rows) if same.all() else int(np.argmin(same))
        if run == 0:
            raise Unreadable(f"{what} ends {count} rows too early; the file seems to be cut off")
        yield key, rows[:run]
        position += run * width
        count -= run
    if position != len(values):
        raise Unreadable(f"{what} holds {len(values) - position} numbers more than its counts say")
