"""The solids of a text STL file, read block by block: a text takes far more memory than what it says.

Source: 3D Systems, "StereoLithography interface specification", 1988.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from graphpde.mesh.io.raw import Unreadable, numbers

_SOLID = re.compile(rb"[ \t]*(end[ \t]*)?solid\b[ \t]*([^\n]*)", re.IGNORECASE)
_NORMAL = re.compile(rb"\bfacet\s+normal\s+\S+\s+\S+\s+\S+")
_WORDS = {
    **{0: b"facet", 1: b"outer", 2: b"loop"},
    **{3: b"vertex", 7: b"vertex", 11: b"vertex", 15: b"endloop", 16: b"endfacet"},
}
_PERIOD = 17  # words of a facet without its normal, which are four more
_CHUNK = 1 << 22  # bytes of text taken apart at once


class Solids:
    """The solids of a file.

    Args:
        file: open, at the begin of its text.

    Attributes:
        names, sizes: name and number of facets of each. corners: of all facets, in parts [k, 3, 3]. total: all facets.
        renamed: how many solids end under another name than they begin with.

    Raises:
        Unreadable: cut or damaged.
    """

    def __init__(self, file: BinaryIO):
        self.names: list[str] = []
        self.sizes: list[int] = []
        self.corners: list[np.ndarray] = [np.empty((0, 3, 3))]
        self.name: str | None = None  # of the solid that is open
        self.left = b""  # the facet of it that is not yet complete
        self.total = self.renamed = 0
        for block in _blocks(file):
            self._take(block)
        if self.name is not None or not self.names:
            raise Unreadable("it is a text STL without 'endsolid'; it seems to be cut off")

    def _take(self, block: bytes) -> None:
        """The next lines of the file."""
        position = 0
        for match in _lines(block):
            ends, own = match[1] is not None, match[2].decode("utf-8", "replace").strip()
            if ends != (self.name is not None):
                raise Unreadable(
                    f"it has {'endsolid' if ends else 'solid'} twice in a row, at solid {len(self.names) + 1}"
                )
            self._between(block[position : match.start()], complete=True)
            position = match.end()
            if not ends:
                self.name = own
                self.sizes.append(-self.total)
                continue
            self.sizes[-1] += self.total
            self.renamed += bool(own and self.name) and own != self.name
            self.names.append(self.name or own)
            self.name = None
        self._between(block[position:], complete=False)

    def _between(self, text: bytes, complete: bool) -> None:
        """Lines between those that begin and end a solid; ``complete`` if no more of them follow."""
        if self.name is None:
            if text.strip():
                raise Unreadable(f"'{_shown(text)}' stands outside of its solids")
            return
        text = self.left + text.lower()
        last = text.rfind(b"endfacet") + len(b"endfacet")
        stop = 0 if last < len(b"endfacet") else last
        if complete or (not stop and len(text) > _CHUNK):  # what is so long is no facet
            stop = len(text)
        self.left = text[stop:]
        if text[:stop].strip():
            self.corners.append(_corners(text[:stop], self.total))
            self.total += len(self.corners[-1])


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file, many at once."""
    parts: list[bytes] = []  # of a line that is not complete
    while block := file.read(_CHUNK):
        block = block.replace(b"\r", b"\n")
        stop = block.rfind(b"\n") + 1
        if stop:
            yield b"".join([*parts, block[:stop]])
            parts.clear()
        parts.append(block[stop:])
    yield b"".join(parts)


def _lines(data: bytes) -> Iterator[re.Match[bytes]]:
    """The lines that begin and end a solid."""
    lower, stop = data.lower(), 0
    while (found := lower.find(b"solid", stop)) >= 0:
        if match := _SOLID.match(data, lower.rfind(b"\n", stop, found) + 1 or stop):
            yield match
        stop = lower.find(b"\n", found)
        if stop < 0:
            return


def _corners(text: bytes, before: int) -> np.ndarray:
    """Corners [k, 3, 3] of some facets, all with a normal or all without one once the normals are taken out."""
    words = text.split()
    normal = 4
    if words[1 :: _PERIOD + normal] != [b"normal"] * (len(words) // (_PERIOD + normal)):
        words, normal = _NORMAL.sub(b"facet", text).split(), 0
    period = _PERIOD + normal
    count = -(-len(words) // period)
    columns = [words[place + normal * (place > 0) :: period] for place in range(_PERIOD)]
    wrong = [
        (next((k for k, own in enumerate(columns[place]) if own != word), len(columns[place])), place)
        for place, word in _WORDS.items()
        if columns[place] != [word] * count
    ]
    if wrong:
        first, place = min(wrong)
        found = f"'{_shown(columns[place][first])}'" if first < len(columns[place]) else "nothing"
        raise Unreadable(f"facet {before + first + 1} has {found} where '{_WORDS[place].decode()}' is expected")
    own = [numbers(b" ".join(column), np.float64, "a vertex") for k, column in enumerate(columns) if k not in _WORDS]
    return np.stack(own, axis=1).reshape(count, 3, 3)


def _shown(text: bytes) -> str:
    return " ".join(text[:60].decode("latin-1").split())[:40]
