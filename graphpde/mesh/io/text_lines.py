"""The lines of a text by their bytes: where they begin, how many words they have, the numbers of many of them at once.

They are found by a small function in C (src/numbers.c) where it was built, else by NumPy, with equal results. A reader
that looks at Python strings line by line takes ten times longer.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from graphpde.mesh.io.text import compiled

_ODD = (b"\v", b"\f", b"\x1c", b"\x1d", b"\x1e", b"\x1f", b"\x85", b"\xa0")
_BLANK = re.compile(r"[^\S\t]")
_CHUNK = 1 << 16  # bytes in which letters are looked for first, four times as many after each chunk without any
_DIGITS = 18  # that surely fit int64


def plain(data: bytes, encoding: str = "latin-1") -> bytes:
    """The text with line feeds at the ends of its lines and blanks or tabs between its words, as Python finds both."""
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    wide = encoding != "latin-1" and not data.isascii()
    if wide or any(byte in data for byte in _ODD):
        text = data.decode(encoding, "replace")
        data = "\n".join(_BLANK.sub(" ", line) for line in text.splitlines()).encode(encoding)
    return data


class Lines:
    """The lines of a plain text that have words.

    Args:
        data: the text. comment: the byte that begins a comment; comments become blanks.

    Attributes:
        text: its bytes, which may be changed, and a line feed behind them. start, first, stop: where each line begins,
        its first word begins and its last one ends [k]. words: how many it has [k]. longest: bytes of the longest line.
    """

    def __init__(self, data: bytes, comment: bytes = b""):
        self.text = np.frombuffer(bytearray(data + b"\n"), dtype=np.uint8)
        table = np.empty((data.count(b"\n") + 1, 4), dtype=np.int64)
        find = _compiled()
        if find is None:
            table, self.longest = _by_numpy(self.text, comment)
        else:
            longest = ctypes.c_int64()
            mark = comment[0] if comment else 0
            count = find(self.text.ctypes.data, len(self.text), mark, table.ctypes.data, ctypes.byref(longest))
            table, self.longest = table[:count], longest.value
        self.start, self.first, self.stop, self.words = table.T

    def __len__(self) -> int:
        return len(self.words)

    def drop(self, gone: np.ndarray) -> None:
        """Leave out lines [k], which become blanks."""
        for first, stop in zip(self.first[gone].tolist(), self.stop[gone].tolist()):
            self.text[first:stop] = ord(" ")
        table = np.stack([self.start, self.first, self.stop, self.words], 1)[~gone]
        self.start, self.first, self.stop, self.words = table.T

    def line(self, number: int) -> bytes:
        """One line, from its first word on."""
        return self.text[self.first[number] : self.stop[number]].tobytes()

    def stretch(self, begin: int, end: int) -> bytes:
        """The lines from ``begin`` up to ``end``."""
        return self.text[self.first[begin] : self.stop[end - 1]].tobytes() if begin < end else b""

    def joined(self, numbers: np.ndarray) -> bytes:
        """These lines, in ascending order, one behind the other."""
        if not len(numbers):
            return b""
        turns = np.flatnonzero(np.diff(numbers) != 1) + 1
        starts = self.first[numbers[np.concatenate([[0], turns])]].tolist()
        stops = self.stop[numbers[np.concatenate([turns, [len(numbers)]]) - 1]].tolist()
        view = memoryview(self.text.data)
        return b"\n".join([view[start:stop] for start, stop in zip(starts, stops)])

    def place(self, begin: int, end: int, column: np.ndarray | int) -> np.ndarray:
        """Where word ``column`` (of all or [k]) of the lines from ``begin`` up to ``end`` begins; they must have it."""
        first = int(self.first[begin]) if begin < end else 0
        blank = _blanks(self.text[first : self.stop[end - 1] if begin < end else 0])
        found = np.flatnonzero(blank[:-1] & ~blank[1:]) + (first + 1)
        found = np.concatenate([self.first[begin:end][:1], found])
        words = self.words[begin:end]
        return found[np.cumsum(words) - words + column]

    def leading(self, begin: int, end: int, counts: np.ndarray | int) -> bytes:
        """The first words of the lines from ``begin`` up to ``end``, as many as ``counts`` [k] or one number says.

        No line may have fewer.
        """
        words = self.words[begin:end]
        counts = np.broadcast_to(counts, words.shape)
        longer = np.flatnonzero(words > counts)
        if not len(longer):
            return self.stretch(begin, end)
        offset = np.zeros(len(words), dtype=np.int64)
        offset[longer] = counts[longer]
        edges = np.stack([self.place(begin, end, offset)[longer], self.stop[begin:end][longer]], 1).reshape(-1)
        first, stop = int(self.first[begin]), int(self.stop[end - 1])
        sizes = np.diff(edges, prepend=first, append=stop)
        keep = np.repeat(np.arange(len(sizes)) % 2 == 0, sizes)
        out = self.text[first:stop].copy()
        out[~keep] = ord(" ")
        return out.tobytes()

    def counts(self, begin: int, end: int) -> np.ndarray:
        """The first word of each of these lines as a count [k]; -1 where it is none in plain digits."""
        place = self.first[begin:end].copy()
        value = np.zeros(len(place), dtype=np.int64)
        is_open = np.ones(len(place), dtype=bool)
        for _ in range(_DIGITS):
            digit = self.text[place] - np.uint8(48)  # wraps around below zero
            is_open &= digit < 10
            if not is_open.any():
                break
            value = np.where(is_open, 10 * value + digit, value)
            place += is_open
        plain_word = (place > self.first[begin:end]) & _blanks(self.text[place])
        return np.where(plain_word, value, -1)


def letters(data: bytes, start: int) -> Iterator[int]:
    """Where runs of letters and underscores begin from ``start`` on, those aside that are one letter inside a word.

    So the exponents of numbers are passed over quickly.
    """
    text, size = np.frombuffer(data, dtype=np.uint8), _CHUNK
    while start < len(text):
        part = text[max(start - 1, 0) : start + size + 1]  # one more byte on both sides
        letter = ((part | 32) - np.uint8(97) < 26) | (part == 95)
        if start == 0:
            letter, part = np.concatenate([[False], letter]), np.concatenate([[np.uint8(10)], part])
        if len(letter) < size + 2:
            letter = np.concatenate([letter, [False]])
        begins = np.flatnonzero(letter[1:-1] & ~letter[:-2])
        begins = begins[letter[2:][begins] | _blanks(part[begins])]
        yield from (start + begins).tolist()
        start, size = start + size, 4 * size


def _blanks(text: np.ndarray) -> np.ndarray:
    return (text == 32) | (text - np.uint8(9) < 5)


@cache
def _compiled() -> Any:
    find = compiled("graphpde_lines")
    if find is not None:
        pointer, size = ctypes.c_void_p, ctypes.c_int64
        find.argtypes = [pointer, size, ctypes.c_int, pointer, ctypes.POINTER(size)]
        find.restype = size
    return find


def _by_numpy(text: np.ndarray, comment: bytes) -> tuple[np.ndarray, int]:
    ends = np.flatnonzero(text == 10)
    if comment:
        marks = np.flatnonzero(text == comment[0])
        line = np.searchsorted(ends, marks)
        new = np.diff(line, prepend=-1) > 0  # the first mark of each line
        for first, stop in zip(marks[new].tolist(), ends[line[new]].tolist()):
            text[first:stop] = ord(" ")
    starts = np.concatenate([[0], ends[:-1] + 1])
    blank = np.concatenate([[True], _blanks(text)])  # the last is the line feed behind the text
    begins, stops = np.flatnonzero(blank[:-1] & ~blank[1:]), np.flatnonzero(~blank[:-1] & blank[1:])
    bounds = np.searchsorted(begins, np.concatenate([starts, [len(text)]]))
    words = np.diff(bounds)
    full = np.flatnonzero(words)
    table = np.stack([starts[full], begins[bounds[full]], stops[bounds[full + 1] - 1], words[full]], 1)
    return table, int((ends - starts).max())
