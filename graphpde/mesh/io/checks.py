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


def check_stl(path: Path) -> None:
    """Refuse an STL file that is shorter than it says: 84 bytes and 50 for each triangle, or text up to "endsolid".

    Raises:
        Unreadable: it is.
    """
    size = path.stat().st_size
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        count = int.from_bytes(data[80:84], "little") if size >= 84 else -1
        if data[:5].lower() == b"solid" and size != 84 + 50 * count:
            if data.rfind(b"endsolid") < 0:
                raise Unreadable("it is a text STL without 'endsolid'; it seems to be cut off")
        elif size < 84 + 50 * max(count, 0):
            raise Unreadable(f"it declares {max(count, 0)} triangles and has only {size} bytes")


def check_ply(path: Path) -> None:
    """Refuse a PLY file whose header does not end.

    Raises:
        Unreadable: no ``end_header`` in the first part of the file.
    """
    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if not head.startswith(b"ply"):
        raise Unreadable("it does not begin with 'ply'")
    if b"end_header" not in head:
        raise Unreadable("its header does not end; it seems to be cut off")
    declared = re.findall(rb"^element\s+(\w+)\s+(\d+)", head.partition(b"end_header")[0], re.M)
    for name, count in declared:
        if int(count) > path.stat().st_size:
            raise Unreadable(f"it declares {int(count)} {name.decode()} and has only {path.stat().st_size} bytes")
    if {name for name, count in declared if int(count)} < {b"vertex", b"face"}:
        raise Unreadable("it has no vertices or no faces")
