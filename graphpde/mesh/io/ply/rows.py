"""The rows of a PLY file, as one column for each property of each element, in text and in both byte orders.

Rows are found first (where does each begin, how long are its lists), then whole columns are taken at once; the rows of
an element whose lists all have the same lengths lie at equal distances, and nothing is walked through.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.ply.header import Element, header
from graphpde.mesh.io.raw import Unreadable, numbers

_STRUCT = dict(zip(("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8"), "bBhHiIqQ"))
_AHEAD = 1024  # rows looked ahead for a first time, four times as many after each success
_FEW = 32  # rows alike that are not worth it
EXACT = 2**53  # up to here a float holds every whole number


class Lists(NamedTuple):
    """A column of lists: length of each [m], all values one after another [k]."""

    lengths: np.ndarray
    values: np.ndarray


Column = np.ndarray | Lists


def tables(data: bytes) -> dict[str, tuple[int, dict[str, Column]]]:
    """Number of rows and columns of each element of a file.

    Raises:
        Unreadable: no PLY header, rows that are cut, a list whose length is no count, something behind the last row.
    """
    order, elements, position = header(data)
    source = _Bytes(data, position, order) if order else _Text(data, position)
    found: dict[str, tuple[int, dict[str, Column]]] = {}
    for element in elements.values():
        found[element.name] = (element.rows, _columns(source, element))
    source.finish()
    return found


class _Bytes:
    """The rows of a binary file; the unit of all positions is a byte."""

    unit = "bytes"

    def __init__(self, data: bytes, position: int, order: str):
        self.data, self.position, self.order, self.stop = data, position, order, len(data)

    def size(self, kind: str) -> int:
        return int(kind[1])

    def at(self, kind: str) -> Callable[[int], int]:
        """What gives the length of a list at a position."""
        if kind == "u1":
            return self.data.__getitem__
        unpack = struct.Struct(f"{self.order}{_STRUCT[kind]}").unpack_from
        return lambda position: unpack(self.data, position)[0]

    def take(self, places: np.ndarray, kind: str) -> np.ndarray:
        """The numbers at these positions."""
        if not places.size:
            return np.empty(places.shape, dtype=kind)
        every = np.ndarray((self.stop - self.size(kind) + 1,), self.order + kind, self.data, 0, (1,))  # from each byte
        return every[places].astype(kind, copy=False)

    def finish(self) -> None:
        if self.data[self.position :].strip():
            raise Unreadable(f"it goes on for {self.stop - self.position} bytes behind its last row")


class _Text:
    """The rows of a text file; the unit of all positions is a number."""

    unit = "numbers"

    def __init__(self, data: bytes, position: int):
        self.values, self.position = numbers(data[position:], np.float64, "its body"), 0
        self.stop = len(self.values)

    def size(self, kind: str) -> int:
        return 1

    def at(self, kind: str) -> Callable[[int], int]:
        """What gives the length of a list at a position; -1 for what is no length."""
        return lambda position: int(value) if (value := self.values[position]) >= 0 and value % 1 == 0 else -1

    def take(self, places: np.ndarray, kind: str) -> np.ndarray:
        """The numbers at these positions, not yet in their type."""
        return self.values[places]

    def finish(self) -> None:
        if self.position != self.stop:
            raise Unreadable(f"it goes on for {self.stop - self.position} numbers behind its last row")


class _Rows(NamedTuple):
    """Start of each row [m], position of the length and length of each of its lists, both [m, l], end of the rows."""

    starts: np.ndarray
    marks: np.ndarray
    lengths: np.ndarray
    end: int


def _columns(source: _Bytes | _Text, element: Element) -> dict[str, Column]:
    """All columns of the element that begins at the position of the source, which moves behind it."""
    name, rows, properties = element.name, element.rows, element.properties.values()
    least = max(sum(source.size(p.length or p.kind) for p in properties), 1)
    left = source.stop - source.position
    if rows * least > left:
        raise Unreadable(f"it declares {rows} {name[:40]} rows and has only {left} {source.unit} left for them")
    if not rows:
        return {}
    if not properties:
        raise Unreadable(f"its element '{name[:40]}' has no properties")
    found = _rows(source, element)
    columns: dict[str, Column] = {}
    place, column = found.starts, 0
    for own, kind, length in properties:
        what, size = f"the property '{own[:40]}' of '{name[:40]}'", source.size(kind)
        if length is None:
            columns[own] = _declared(source.take(place, kind), kind, what)
            place = place + size
        else:
            lengths, first = found.lengths[:, column], found.marks[:, column] + source.size(length)
            ahead = size * (np.cumsum(lengths) - lengths)
            places = np.repeat(first - ahead, lengths) + size * np.arange(int(lengths.sum()))
            columns[own] = Lists(lengths, _declared(source.take(places, kind), kind, what))
            place, column = first + size * lengths, column + 1
    source.position = found.end
    return columns


def _rows(source: _Bytes | _Text, element: Element) -> _Rows:
    """The rows of an element: many at once as long as their lists have the same lengths, else one after another."""
    begin, left, ahead = source.position, element.rows, _AHEAD
    parts: list[_Rows] = []
    while left:
        one = _walk(source, element, begin, 1)
        part = _like(source, element, one, begin, min(left, ahead))
        ahead = 4 * ahead if len(part.starts) == ahead else _AHEAD
        if left > len(part.starts) <= _FEW:
            part = _walk(source, element, begin, min(left, _AHEAD))
        parts.append(part)
        begin, left = part.end, left - len(part.starts)
    starts, marks, lengths = (np.concatenate([part[k] for part in parts]) for k in range(3))
    return _Rows(starts, marks, lengths, begin)


def _like(source: _Bytes | _Text, element: Element, one: _Rows, begin: int, count: int) -> _Rows:
    """Up to ``count`` rows that follow one another at ``begin`` and have lists as long as those of the row ``one``."""
    step = one.end - begin
    count = min(count, (source.stop - begin) // step)
    shift = step * np.arange(count)
    marks = one.marks + shift[:, None]
    kinds = [p.length for p in element.properties.values() if p.length is not None]
    same = np.ones(count, dtype=bool)
    for j, kind in enumerate(kinds):
        same &= source.take(marks[:, j], kind) == one.lengths[0, j]
    run = count if same.all() else int(np.argmin(same))
    return _Rows(begin + shift[:run], marks[:run], np.repeat(one.lengths, run, axis=0), begin + run * step)


def _walk(source: _Bytes | _Text, element: Element, begin: int, count: int) -> _Rows:
    """The next ``count`` rows, each found at the end of the one before it."""
    # for each list: units before its length, what reads the length, units of the length and of an item
    steps: list[tuple[int, Callable[[int], int], int, int]] = []
    ahead = 0
    for _, kind, length in element.properties.values():
        if length is None:
            ahead += source.size(kind)
        else:
            steps.append((ahead, source.at(length), source.size(length), source.size(kind)))
            ahead = 0
    position, cut = begin, f"its {element.name[:40]} rows end too early; the file seems to be cut off"
    starts, marks, lengths = [], [], []
    try:
        for _ in range(count):
            starts.append(position)
            for before, at, own, size in steps:
                position += before
                items = at(position)
                if items < 0:
                    raise Unreadable(f"a list in the {element.name[:40]} rows has a length that is no count")
                marks.append(position)
                lengths.append(items)
                position += own + items * size
            position += ahead
    except (IndexError, OverflowError, struct.error):  # a position far behind the end
        raise Unreadable(cut) from None
    if position > source.stop:
        raise Unreadable(cut)
    shape = (count, len(steps))
    place, length_of = (np.array(values, dtype=np.int64).reshape(shape) for values in (marks, lengths))
    return _Rows(np.array(starts, dtype=np.int64), place, length_of, position)


def _declared(values: np.ndarray, kind: str, what: str) -> np.ndarray:
    """Numbers of a text in the type that the header declares."""
    if values.dtype == np.dtype(kind):
        return values
    if kind[0] == "f":
        out = values.astype(kind)
        bad = np.isinf(out) & np.isfinite(values)
    else:
        low, high = max(np.iinfo(kind).min, -EXACT), min(np.iinfo(kind).max, EXACT)
        bad = ~((values >= low) & (values <= high) & (values == np.floor(values)))
        out = np.where(bad, 0, values).astype(kind)
    if bad.any():
        raise Unreadable(f"{what} holds {float(values[bad][0])}, which is no {np.dtype(kind).name}")
    return out
