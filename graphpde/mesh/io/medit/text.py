"""Medit text files (.mesh): sections of numbers in free layout between keywords.

Numbers need not stand one row a line; comments run from # to the end of the line; keywords are known by name.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np

from graphpde.mesh.io.medit.table import ELEMENTS, KEYWORDS, MARKS, REFUSED, Keyword
from graphpde.mesh.io.raw import Unreadable, numbers
from graphpde.mesh.io.text_lines import letters

_WORD = re.compile(rb"[A-Za-z_][A-Za-z_]\w*")  # two letters: the e of an exponent stands alone
_NOT_FINITE = (b"nan", b"inf", b"infinity")
_FORTRAN = re.compile(rb"(?<=[\d.])[dD](?=[+-]?\d)")
_QUOTED = re.compile(rb"^[ \t]*(?:Identifier|Geometry)\b[ \t\r]*\n?[^\n]*", re.MULTILINE)


class Content(NamedTuple):
    """What a file lists.

    Attributes:
        dim: coordinates per vertex. rows: section -> its rows; vertices as floats with the reference behind them.
        skipped: section -> number of rows that were not read. ended: whether the file says where it ends.
    """

    dim: int
    rows: dict[str, np.ndarray]
    skipped: dict[str, int]
    ended: bool


def wanted(keyword: Keyword) -> bool:
    """Whether the rows of a section mean something for a mesh."""
    name = keyword.name
    return name == "Vertices" or name in ELEMENTS or name in MARKS or name.endswith("Ordering")


def sections(data: bytes) -> Content:
    """The sections of a text file.

    Raises:
        Unreadable: an unknown keyword, a count that does not agree with the numbers, text behind the end.
    """
    text = data.removeprefix(b"\xef\xbb\xbf")
    if b"Identifier" in text or b"Geometry" in text:
        text = _QUOTED.sub(b"", text)
    text = re.sub(rb"#[^\r\n]*", b" ", text) if b"#" in text else text
    bodies: dict[str, bytes] = {}
    match = _next(text, 0)
    if text[: match.start() if match else len(text)].strip():
        raise Unreadable("numbers stand before its first keyword")
    while match:
        following = _next(text, match.end())
        keyword = _known(match[0])
        if keyword.name in bodies:
            raise Unreadable(f"section {keyword.name} stands twice")
        bodies[keyword.name] = text[match.end() : following.start() if following else len(text)]
        if keyword.name == "End" and (following or bodies["End"].strip()):
            raise Unreadable("text stands behind its End")
        match = following
    ended = "End" in bodies
    if not ended and text and not text[-1:].isspace():
        raise Unreadable("it ends in the middle of a line; it seems to be cut off")
    _version(bodies.pop("MeshVersionFormatted", b""))
    dim = _single(bodies.pop("Dimension", b""), "Dimension")
    if dim not in (2, 3):
        raise Unreadable(f"its Dimension is {dim}, expected 2 or 3")
    bodies.pop("End", None)
    rows: dict[str, np.ndarray] = {}
    skipped: dict[str, int] = {}
    for name in list(bodies):
        keyword = KEYWORDS[name.lower()]
        body = bodies.pop(name)
        if wanted(keyword):
            rows[name] = _rows(keyword, body, dim)
        elif keyword.counted:
            skipped[name] = len(_rows(keyword, body, dim)) if keyword.fixed else _count(body, name)
    return Content(dim, rows, skipped, ended)


def _next(text: bytes, position: int) -> re.Match[bytes] | None:
    """The next keyword."""
    for place in letters(text, position):
        match = _WORD.match(text, place)
        if match is None or match[0].lower() in _NOT_FINITE:
            continue
        if match.start() and not text[match.start() - 1 : match.start()].isspace():
            start = max(0, match.start() - 10)
            shown = text[start : match.end()].split()[-1].decode("latin-1")[:40]
            raise Unreadable(f"'{shown}' is neither a number nor a keyword")
        return match
    return None


def _known(word: bytes) -> Keyword:
    name = word.decode("latin-1")
    if name.lower() in (refused.lower() for refused in REFUSED):
        raise Unreadable(f"the section '{name[:40]}' is not read; its cells would be missing")
    if name.lower() not in KEYWORDS:
        raise Unreadable(f"the keyword '{name[:40]}' is unknown")
    return KEYWORDS[name.lower()]


def _version(body: bytes) -> None:
    version = _single(body, "MeshVersionFormatted")
    if not 0 <= version <= 4:
        raise Unreadable(f"it is of version {version}, expected 1 to 4")


def _single(body: bytes, name: str) -> int:
    values = numbers(body, np.int64, f"'{name}'")
    if len(values) != 1:
        raise Unreadable(f"behind {name} stand {len(values)} numbers, expected one")
    return int(values[0])


def _count(body: bytes, name: str) -> int:
    words = body.split(None, 1)
    if not words or not words[0].isdigit() or len(words[0]) > 18:
        raise Unreadable(f"section {name} has no count")
    return int(words[0])


def _rows(keyword: Keyword, body: bytes, dim: int) -> np.ndarray:
    kind: Any = np.float64 if any(letter == "r" for letter, _ in keyword.fields(dim)) else np.int64
    if kind is np.float64 and (b"D" in body or b"d" in body):
        body = _FORTRAN.sub(b"e", body)
    values = numbers(body, kind, f"section {keyword.name}")
    width, count = keyword.width(dim), _count(body, keyword.name)
    if len(values) - 1 != count * width:
        cut = "; it seems to be cut off" if len(values) - 1 < count * width else ""
        raise Unreadable(
            f"section {keyword.name} declares {count} rows of {width} numbers and holds {len(values) - 1} numbers{cut}"
        )
    return values[1:].reshape(count, width)
