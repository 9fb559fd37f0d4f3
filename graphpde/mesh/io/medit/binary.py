"""Medit binary files (.meshb), versions 1 to 4, both byte orders.

Each section is a code, the position of the next section, a count and rows. Version 1 has single-precision numbers,
versions 1 and 2 positions of 32 bits, version 4 integers of 64 bits.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.medit.table import BY_CODE, REFUSED, Keyword
from graphpde.mesh.io.medit.text import Content, wanted
from graphpde.mesh.io.raw import Unreadable

MAGIC = {b"\1\0\0\0": "<", b"\0\0\0\1": ">"}


class Layout(NamedTuple):
    """NumPy types of a binary file: keyword codes, positions, integers, reals."""

    word: np.dtype
    position: np.dtype
    integer: np.dtype
    real: np.dtype


def layout(order: str, version: int) -> Layout:
    """The types of a version in a byte order ("<" or ">")."""
    return Layout(
        np.dtype(order + "i4"),
        np.dtype(order + ("i8" if version > 2 else "i4")),
        np.dtype(order + ("i8" if version > 3 else "i4")),
        np.dtype(order + ("f8" if version > 1 else "f4")),
    )


def row_type(keyword: Keyword, dim: int, types: Layout) -> np.dtype:
    """Structured type of one row of a section."""
    letters = {"i": types.integer, "r": types.real}
    return np.dtype([(f"f{k}", letters[a], (times,)) for k, (a, times) in enumerate(keyword.fields(dim))])


class _File:
    """A position in the bytes of a file."""

    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def take(self, kind: np.dtype, count: int, what: str) -> np.ndarray:
        if count < 0 or count * kind.itemsize > len(self.data) - self.at:
            raise Unreadable(f"{what} needs more bytes than the file holds; it seems to be cut off")
        out = np.frombuffer(self.data, kind, count, self.at)
        self.at += count * kind.itemsize
        return out

    def number(self, kind: np.dtype, what: str) -> int:
        return int(self.take(kind, 1, what)[0])


def sections(data: bytes) -> Content:
    """The sections of a binary file.

    Raises:
        Unreadable: an unknown version or section, positions that do not fit the sections, a missing end.
    """
    file = _File(data)
    order = MAGIC[data[:4]]
    file.at = 4
    version = file.number(np.dtype(order + "i4"), "the version")
    if not 1 <= version <= 4:
        raise Unreadable(f"it is of version {version}, expected 1 to 4")
    types = layout(order, version)
    rows: dict[str, np.ndarray] = {}
    skipped: dict[str, int] = {}
    dim = 0
    while True:
        code = file.number(types.word, "the code of a section")
        if code not in BY_CODE:
            raise Unreadable(f"it has a section of the unknown code {code}")
        keyword = BY_CODE[code]
        stop = file.number(types.position, f"section {keyword.name}")
        if keyword.name == "End":
            break
        if not file.at < stop < len(data):
            raise Unreadable(f"behind section {keyword.name} it goes on at byte {stop} of {len(data)}, which cannot be")
        if (keyword.name == "Dimension") == bool(dim) or keyword.name in REFUSED:
            raise Unreadable(f"section {keyword.name} is not expected here")
        if keyword.name == "Dimension":
            dim = file.number(types.word, "Dimension")
            if dim not in (2, 3):
                raise Unreadable(f"its Dimension is {dim}, expected 2 or 3")
        elif keyword.name == "FloatingPointPrecision":
            types = types._replace(real=np.dtype(f"{order}f{_bytes(file.number(types.integer, keyword.name))}"))
        else:
            _section(file, keyword, dim, types, rows, skipped, stop)
        if file.at != stop:
            raise Unreadable(f"section {keyword.name} ends at byte {file.at}, but the next one begins at byte {stop}")
    if len(data) != file.at:
        raise Unreadable(f"{len(data) - file.at} bytes stand behind its end")
    return Content(dim, rows, skipped, ended=True)


def _section(
    file: _File,
    keyword: Keyword,
    dim: int,
    types: Layout,
    rows: dict[str, np.ndarray],
    skipped: dict[str, int],
    stop: int,
) -> None:
    if keyword.name in rows or keyword.name in skipped:
        raise Unreadable(f"section {keyword.name} stands twice")
    count = file.number(types.integer, f"section {keyword.name}") if keyword.counted else 1
    if not keyword.fixed:
        skipped[keyword.name] = count
        file.at = stop
        return
    table = file.take(row_type(keyword, dim, types), count, f"section {keyword.name} with {count} rows")
    if not wanted(keyword):
        if keyword.counted:
            skipped[keyword.name] = count
        return
    real = any(letter == "r" for letter, _ in keyword.fields(dim))
    names = table.dtype.names or ()
    parts = [table[name].astype(np.float64 if real else np.int64) for name in names]
    rows[keyword.name] = np.concatenate(parts, axis=1)


def _bytes(bits: int) -> int:
    if bits not in (32, 64):
        raise Unreadable(f"its reals have {bits} bits, expected 32 or 64")
    return bits // 8
