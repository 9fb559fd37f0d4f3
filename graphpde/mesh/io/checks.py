"""Cheap looks at a file before a reader trusts it: declared counts against its size, marks that must be there."""

from __future__ import annotations

import mmap
import re
from pathlib import Path

from graphpde.mesh.io.raw import Unreadable

# each number in the group must fit into the file: at least this many bytes per item
_DECLARED: dict[str, tuple[re.Pattern[bytes], int]] = {
    "vtk": (re.compile(rb"^\s*(POINTS|CELLS|CELL_TYPES|POINT_DATA|CELL_DATA|POLYGONS)\s+(\d+)", re.M | re.I), 1),
    "medit": (
        re.compile(rb"^\s*(Vertices|Edges|Triangles|Quadrilaterals|Tetrahedra|Hexahedra|Prisms)\s+(\d+)", re.M),
        2,
    ),
}
_STRUCTURED = re.compile(rb"^\s*DIMENSIONS\s+(\d+)\s+(\d+)\s+(\d+)", re.M | re.I)
_IMPLIED = 10**6  # points that a structured grid may imply without listing them


def check_declared(path: Path, name: str) -> None:
    """Refuse a file that declares more items than it has bytes for, before anything is allocated for them.

    Raises:
        Unreadable: it does.
    """
    size = path.stat().st_size
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        if name == "stl":
            _check_stl(data, size)
            return
        pattern, least = _DECLARED[name]
        for match in pattern.finditer(data):
            if int(match[2]) * least > size:
                raise Unreadable(f"it declares {int(match[2])} {match[1].decode()} and has only {size} bytes")
        if name == "vtk" and (match := _STRUCTURED.search(data, 0, 4096)):
            implied = int(match[1]) * int(match[2]) * int(match[3])
            if implied > max(size, _IMPLIED):
                raise Unreadable(f"its grid of {implied} points is more than a file of {size} bytes can mean")


def _check_stl(data: mmap.mmap, size: int) -> None:
    """A binary STL is 84 bytes and 50 for each triangle; a text one begins with "solid"."""
    count = int.from_bytes(data[80:84], "little") if size >= 84 else 0
    if data[:5].lower() == b"solid" and not (size >= 84 and size == 84 + 50 * count):
        if data.rfind(b"endsolid") < 0:
            raise Unreadable("it is a text STL without 'endsolid'; it seems to be cut off")
        return
    if size < 84 or size < 84 + 50 * count:
        raise Unreadable(f"it declares {count} triangles and has only {size} bytes")


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
