"""The entries of Nastran decks by their bytes: where they begin, where their fields stand, the numbers of many at once.

Small, large and free fields are told apart line by line; the fields of entries that are alike are taken together.
"""

from __future__ import annotations

import numpy as np

from graphpde.mesh.io.raw import numbers
from graphpde.mesh.io.text_lines import Lines

_CHUNK = 1 << 14  # entries taken at once
_LINES = 16  # an entry of more is not plain
_WIDE = 32  # bytes of a field; a wider one is not plain


class Odd(Exception):
    """The deck is not plain: something is unusual or wrong."""


class Entries:
    """The entries of a deck: where each begins, how many lines it has, and where the fields of each line stand."""

    def __init__(self, lines: Lines, begin: int, end: int):
        self.text, self.start, self.stop = lines.text, lines.start[begin:end], lines.stop[begin:end]
        first = lines.first[begin:end]
        if begin == end:
            raise Odd
        low, high = int(self.start[0]), int(self.stop[-1])
        commas, owner = self._marks(b",", low, high)
        self.n_commas = np.bincount(owner, minlength=len(first))
        self.commas = np.append(commas, [0, 0])  # two more, so that each has a next one
        self.first_comma = np.cumsum(self.n_commas) - self.n_commas
        self.free = self.n_commas > 0
        until = np.minimum(self.start + 8, self.stop)
        until[self.free] = self.commas[self.first_comma[self.free]]
        self.large = np.zeros(len(first), dtype=bool)
        stars, owner = self._marks(b"*", low, high)
        self.large[owner[stars < until[owner]]] = True
        head = self.text[first]
        self.heads = np.flatnonzero((first < until) & (head != ord("+")) & (head != ord("*")))
        self.sizes = np.diff(self.heads, append=len(first))
        self.names, self.of_name = self._names(first[self.heads], until[self.heads])

    def _marks(self, mark: bytes, low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a byte stands, and the line of each."""
        places = np.flatnonzero(self.text[low:high] == mark[0]) + low
        return places, np.searchsorted(self.start, places, side="right") - 1

    def _names(self, first: np.ndarray, until: np.ndarray) -> tuple[list[str], np.ndarray]:
        """All names, and which of them each entry has."""
        if not len(first) or (until - first).max() > 8:
            raise Odd
        words = self._bytes(first, until, 8).view(np.uint64)[:, 0]
        known, of_name = np.unique(words, return_inverse=True)
        names = [word.tobytes().decode("latin-1").strip().rstrip("*").upper() for word in known]
        if "GRDSET" in names:
            raise Odd
        return names, of_name

    def alike(self, entries: np.ndarray) -> list[np.ndarray]:
        """These entries, those of one name and layout together."""
        sizes, heads = self.sizes[entries], self.heads[entries]
        if len(entries) and sizes.max() > _LINES:
            raise Odd
        form = 2 * self.free + self.large
        later = np.where(sizes > 1, form[np.minimum(heads + 1, len(form) - 1)], 0)
        for line in range(2, int(sizes.max(initial=0))):
            more = sizes > line
            if (form[heads[more] + line] != later[more]).any():
                raise Odd
        key = ((self.of_name[entries] * (_LINES + 1) + sizes) * 4 + form[heads]) * 4 + later
        order = np.argsort(key, kind="stable")
        return [part for part in np.split(entries[order], np.flatnonzero(np.diff(key[order])) + 1) if len(part)]

    def count(self, entries: np.ndarray) -> int:
        """Fields in the lines of entries that are alike."""
        head, size = self.heads[entries[0]], int(self.sizes[entries[0]])
        return sum(4 if self.large[line] else 8 for line in range(head, head + size))

    def lines(self, entries: np.ndarray) -> list[str]:
        """The lines of some entries."""
        out = []
        for head, size in zip(self.heads[entries].tolist(), self.sizes[entries].tolist()):
            for line in range(head, head + size):
                out.append(self.text[self.start[line] : self.stop[line]].tobytes().decode("latin-1"))
        return out

    def _bounds(self, entries: np.ndarray, field: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a field of entries that are alike begins and ends [k]; nowhere if no line has it."""
        lines = self.heads[entries]
        for _ in range(int(self.sizes[entries[0]])):
            slots = 4 if self.large[lines[0]] else 8
            if field < slots:
                break
            field, lines = field - slots, lines + 1
        else:
            return lines * 0, lines * 0
        stop = self.stop[lines]
        if not self.free[lines[0]]:
            width = 64 // slots
            first = np.minimum(self.start[lines] + 8 + width * field, stop)
            return first, np.minimum(first + width, stop)
        left = self.n_commas[lines] - field
        comma = np.minimum(self.first_comma[lines] + field, len(self.commas) - 2)
        first = np.where(left > 0, self.commas[comma] + 1, stop)
        return first, np.where(left > 1, self.commas[comma + 1], stop)

    def _fields(self, entries: np.ndarray, fields: list[int], spare: int) -> np.ndarray:
        """The bytes of fields of entries that are alike [k, fields, width], at least ``spare`` blanks at the end."""
        bounds = [self._bounds(entries, field) for field in fields]
        width = max(1, *(int((stop - first).max()) for first, stop in bounds))
        if width > _WIDE:
            raise Odd
        return np.stack([self._bytes(first, stop, width + spare) for first, stop in bounds], axis=1)

    def whole(self, entries: np.ndarray, fields: list[int], *, blank: bool = False, sign: bool = True) -> np.ndarray:
        """Whole numbers in fields of entries that are alike [k, fields]; blank ones count as zero where they may be."""
        parts = []
        for begin in range(0, len(entries), _CHUNK):
            text = self._fields(entries[begin : begin + _CHUNK], fields, 1)
            empty = (text == ord(" ")).all(axis=2)
            if (not blank and empty.any()) or (not sign and ((text == ord("+")) | (text == ord("-"))).any()):
                raise Odd
            text[empty, 0] = ord("0")
            parts.append(_one_each(text, np.int64))
        return np.concatenate(parts)

    def real(self, entries: np.ndarray, fields: list[int]) -> np.ndarray:
        """Real numbers in fields of entries that are alike [k, fields]; 1.5-3 means 1.5e-3, blank zero."""
        parts = []
        for begin in range(0, len(entries), _CHUNK):
            text = self._fields(entries[begin : begin + _CHUNK], fields, 2)
            text[(text | 32) == ord("d")] = ord("E")
            text[(text == ord(" ")).all(axis=2), 0] = ord("0")
            digit = (text - np.uint8(48) < 10) | (text == ord("."))
            power = digit[..., :-1] & ((text[..., 1:] == ord("+")) | (text[..., 1:] == ord("-")))
            short = power.any(axis=2)
            if short.any():
                place = power[short].argmax(axis=1) + 1
                column = np.arange(text.shape[2])
                longer = np.take_along_axis(text[short], column - (column > place[:, None]), axis=1)
                longer[column == place[:, None]] = ord("E")
                text[short] = longer
            parts.append(_one_each(text, np.float64))
        values = np.concatenate(parts)
        if not np.isfinite(values).all():
            raise Odd
        return values

    def _bytes(self, first: np.ndarray, stop: np.ndarray, width: int) -> np.ndarray:
        """Some bytes of the text [k, width], filled with blanks."""
        out = np.full((len(first), width), ord(" "), dtype=np.uint8)
        for begin in range(0, len(first), _CHUNK):
            part = slice(begin, begin + _CHUNK)
            place = first[part, None] + np.arange(width)
            inside = place < stop[part, None]
            out[part][inside] = self.text[place[inside]]
        return out


def _one_each(text: np.ndarray, dtype: type) -> np.ndarray:
    """The numbers of fields [k, fields, width], one in each."""
    values = numbers(text.tobytes(), dtype, "it")
    if len(values) != text.shape[0] * text.shape[1]:
        raise Odd
    return values.reshape(text.shape[:2])
