"""How many whole cells a text lists, for the formats that have no end mark: a cut of them may go unseen, a cell not.

Everything else must notice every cut. OBJ, Abaqus decks, FLAC3D and Nastran decks without their ENDDATA end wherever
they end; a text STL may end behind any of its solids, a surface in legacy VTK and a Kratos file behind any of their
sections.
"""

from __future__ import annotations

import re
from collections.abc import Callable


def obj(data: bytes) -> int:
    """Faces on lines that end, with their continuations; lines are no cells beside faces."""
    return sum(line.startswith(b"f ") for line in _complete(data.replace(b"\\\n", b" ")))


def abaqus(data: bytes) -> int:
    """Data lines that end under *ELEMENT; the sample has one element a line."""
    count, inside = 0, False
    for line in _complete(data):
        if line.startswith(b"*"):
            inside = line.upper().startswith(b"*ELEMENT")
        else:
            count += inside
    return count


def nastran(data: bytes) -> int:
    """Element entries that another line follows, so that they have all their continuations."""
    if b"ENDDATA" in data:
        return len(re.findall(rb"(?m)^C(TETRA|HEXA|QUAD4|TRIA3)", data))
    entries = [line for line in _complete(data) if line[:1].isalpha()]
    return max(sum(line[:1] == b"C" and line[:3] != b"COR" for line in entries[:-1]), 0)


def polydata(data: bytes) -> int:
    """Polygons, and triangles of strips, of the sections that are whole."""
    count = 0
    for match in re.finditer(rb"(POLYGONS|TRIANGLE_STRIPS) (\d+) (\d+)\n", data):
        lines = data[match.end() :].split(b"\n")
        words = b" ".join(lines[: int(match[2])]).split()
        if len(lines) > int(match[2]) and len(words) == int(match[3]):
            count += int(match[2]) if match[1] == b"POLYGONS" else int(match[3]) - 3 * int(match[2])
    return count


def flac3d(data: bytes) -> int:
    """Zones on lines that end."""
    return sum(line.startswith(b"Z ") for line in _complete(data))


def medit(data: bytes) -> int:
    """Solids of the sections that are whole; a file may lack its ``End``, which a note says."""
    count = 0
    for match in re.finditer(rb"(?m)^(Tetrahedra|Hexahedra|Prisms|Pyramids)\s+(\d+)\s*\n", data):
        rows = [line for line in data[match.end() :].split(b"\n")[:-1] if line.strip()]
        count += int(match[2]) if len(rows) >= int(match[2]) else 0
    return count


def mdpa(data: bytes) -> int:
    """Elements of the blocks that end."""
    blocks = re.findall(rb"(?ms)^Begin Elements[^\n]*\n(.*?)^End Elements", data)
    return sum(len(block.splitlines()) for block in blocks)


def stl(data: bytes) -> int:
    """Facets of the solids that end."""
    stop = [match.end() for match in re.finditer(rb"endsolid[^\n]*\n", data)]
    return data[: stop[-1]].count(b"endfacet") if stop else 0


def _complete(data: bytes) -> list[bytes]:
    return [line.strip() for line in data.split(b"\n")[:-1]]


LISTED: dict[str, Callable[[bytes], int]] = {
    **{
        "obj": obj,
        "abaqus": abaqus,
        "nastran": nastran,
        "flac3d": flac3d,
        "mdpa": mdpa,
        "medit": medit,
        "stl": stl,
        "polydata": polydata,
    }
}
