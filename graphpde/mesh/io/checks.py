"""Cheap looks at a file before a reader trusts it: declared counts against its size, marks that must be there."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from graphpde.mesh.io.raw import Unreadable

_MEDIT = re.compile(rb"^\s*(Vertices|Edges|Triangles|Quadrilaterals|Tetrahedra|Hexahedra|Prisms)\s+(\d+)", re.M)


def check_medit(path: Path) -> None:
    """Refuse a text file that declares more items than it has bytes for, before anything is allocated for them.

    Raises:
        Unreadable: it does.
    """
    size = path.stat().st_size
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for match in _MEDIT.finditer(data):
            if 2 * int(match[2]) > size:
                raise Unreadable(f"it declares {int(match[2])} {match[1].decode()} and has only {size} bytes")
