"""SU2 meshes: points, elements, zones and markers by their names, read and written.

Source: SU2 documentation, "Mesh File" (type codes and node orders as in VTK; NZONE and IZONE).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import OutputError
from graphpde.mesh.cells import KIND_OF_WIDTH
from graphpde.mesh.io.labels import labels
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, integers, listed, numbers, runs
from graphpde.mesh.io.vtk.cells import WEDGE
from graphpde.mesh.mesh import Mesh

_KINDS = {
    1: ("vertex", 1),
    3: ("line", 2),
    5: ("triangle", 3),
    9: ("quad", 4),
    10: ("tetra", 4),
    12: ("hexahedron", 8),
    13: ("wedge", 6),
    14: ("pyramid", 5),
}
_LISTS = ("NPOIN", "NELEM", "MARKER_ELEMS")
_MESH = ("IZONE", "NDIME", "NMARK", "MARKER_TAG", *_LISTS)  # where the mesh goes on behind sections of another kind

_Parts = list[tuple[str, np.ndarray]]  # type and point numbers of elements


@dataclass
class _Zone:
    """What the sections of one zone say."""

    number: int = 1
    dim: int = 0
    points: np.ndarray | None = None
    elements: _Parts | None = None
    markers: list[tuple[str, _Parts]] = field(default_factory=list)
    declared: int | None = None  # number of markers


def read(path: Path) -> RawMesh:
    """Read a .su2 file; each marker becomes a set of its own name, each of several zones a set "zone 1", "zone 2", ...

    Zones have points of their own, also where they touch.

    Raises:
        Unreadable: a section that is cut, an unknown element code, a count of zones or markers that does not agree.
    """
    lines = [line.partition("%")[0].strip() for line in _text(path.read_bytes()).splitlines()]
    lines = [line for line in lines if line]
    zones: list[_Zone] = []
    declared, position = 1, 0
    while position < len(lines):
        name, equals, value = (word.strip() for word in lines[position].partition("="))
        position += 1
        if not equals:
            raise Unreadable(f"the line '{lines[position - 1][:40]}' belongs to no section")
        if name == "NZONE":
            declared = _number(value, name)
        elif name == "IZONE":
            zones.append(_Zone(_number(value, name)))
        elif name == "NPERIODIC" or name.startswith("FFD"):  # no mesh, in layouts of their own
            while position < len(lines) and lines[position].partition("=")[0].strip() not in _MESH:
                position += 1
        else:
            zones = zones or [_Zone()]
            body: list[str] = []
            if name in _LISTS:
                count = _number(value, name)
                body = lines[position : position + count]
                position += count
                if len(body) < count:
                    raise Unreadable(
                        f"section {name} ends {count - len(body)} lines too early; the file seems to be cut off"
                    )
            _section(zones[-1], name, value, body)
    if sorted(zone.number for zone in zones) != list(range(1, declared + 1)):
        found = listed(zone.number for zone in zones) or "none"
        raise Unreadable(f"it declares {declared} zones and has these: {found}; the file seems to be cut off")
    return _assemble(zones)


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _number(value: str, name: str) -> int:
    words = value.split()
    if not words or not words[0].isascii() or not words[0].isdigit() or len(words[0]) > 18:
        raise Unreadable(f"behind {name}= stands '{value[:20]}', expected a count")
    return int(words[0])


def _section(zone: _Zone, name: str, value: str, body: list[str]) -> None:
    """Take in one line of the form NAME= VALUE with the lines that belong to it."""
    if {"NDIME": zone.dim or None, "NPOIN": zone.points, "NELEM": zone.elements}.get(name) is not None:
        raise Unreadable(f"section {name} stands twice in a zone")
    if name == "NDIME":
        zone.dim = _number(value, name)
    elif name == "NMARK":
        zone.declared = _number(value, name)
    elif name == "MARKER_TAG":
        zone.markers.append((value, []))
    elif name == "NPOIN":
        zone.points = _points(body, zone.dim)
    elif name == "NELEM":
        zone.elements = _elements(body, "section NELEM")
    elif name == "MARKER_ELEMS":
        if not zone.markers:
            raise Unreadable("MARKER_ELEMS stands before any MARKER_TAG")
        zone.markers[-1][1].extend(_elements(body, f"marker '{zone.markers[-1][0]}'"))


def _points(body: list[str], dim: int) -> np.ndarray:
    if dim not in (2, 3):
        raise Unreadable(f"NDIME is {dim}, expected 2 or 3 before the points")
    if not body:
        return np.empty((0, dim))
    width = len(body[0].split())
    values = numbers(" ".join(body), np.float64, "section NPOIN")
    if width < dim or len(values) != width * len(body):
        raise Unreadable(
            f"section NPOIN has {len(values)} numbers on {len(body)} lines, expected {dim} coordinates each"
        )
    return values.reshape(-1, width)[:, :dim]


def _elements(body: list[str], what: str) -> _Parts:
    if not body:
        return []
    first = body[0].split()
    extra = len(first) - 1 - _width(int(first[0])) if first[0].isdigit() else -1
    if extra not in (0, 1):
        raise Unreadable(f"{what} begins with '{body[0][:40]}', which is no element")
    values = integers(numbers(" ".join(body), np.float64, what), f"the numbers of {what}")
    parts = runs(values, len(body), (0,), lambda code: 1 + _width(code) + extra, what)
    found: dict[int, list[np.ndarray]] = {}
    for (code,), rows in parts:
        found.setdefault(code, []).append(rows[:, 1 : 1 + _width(code)])
    joined = [(_KINDS[code][0], np.concatenate(rows)) for code, rows in found.items()]
    return [(kind, rows[:, WEDGE] if kind == "wedge" else rows) for kind, rows in joined]


def _width(code: int) -> int:
    if code not in _KINDS:
        raise Unreadable(f"element code {code} is not one of {', '.join(map(str, _KINDS))}")
    return _KINDS[code][1]


def _assemble(zones: list[_Zone]) -> RawMesh:
    """The zones behind one another in one mesh."""
    blocks: list[Block] = []
    owners: list[tuple[str, ...]] = []
    parts: list[np.ndarray] = []
    notes: list[str] = []
    start = 0
    for zone in zones:
        label = f"zone {zone.number}: " if len(zones) > 1 else ""
        if zone.points is None or not zone.elements:
            raise Unreadable(f"{label}it has no NPOIN or no NELEM section")
        if zone.points.shape[1] != zones[0].dim:
            raise Unreadable(f"zone {zone.number} has {zone.dim} dimensions and zone {zones[0].number} {zones[0].dim}")
        if zone.declared is not None and zone.declared != len(zone.markers):
            raise Unreadable(
                f"{label}it declares {zone.declared} markers and has {len(zone.markers)}; the file seems to be cut off"
            )
        if zone.declared is None:
            notes.append(f"{label}it has no NMARK section: its boundary has no names")
        groups = [(f"zone {zone.number}" if label else None, zone.elements), *zone.markers]
        for name, elements in groups:
            if not elements:
                notes.append(f"{label}marker '{name}' has no elements")
            for kind, rows in elements:
                if rows.size and not 0 <= rows.min() <= rows.max() < len(zone.points):
                    bad = rows.min() if rows.min() < 0 else rows.max()
                    raise Unreadable(f"{label}a {kind} cell names point {bad}, expected 0..{len(zone.points) - 1}")
                blocks.append(Block(kind, rows + start))
                owners.append((name,) if name is not None else ())
        parts.append(zone.points)
        start += len(zone.points)
    raw = RawMesh(np.concatenate(parts), blocks, notes=notes, space_dim=zones[0].dim)
    for name in dict.fromkeys(name for own in owners for name in own):
        members = [np.arange(len(b.nodes)) if name in own else None for b, own in zip(blocks, owners)]
        raw.cell_sets.append(CellSet(name, members))
    several = [name for name in dict.fromkeys(n for z in zones for n, _ in z.markers) if _zones_of(zones, name) > 1]
    if several:
        raw.notes.append(f"{len(several)} markers stand in several zones and are joined: {listed(several)}")
    return raw


def _zones_of(zones: list[_Zone], name: str) -> int:
    return sum(any(own == name for own, _ in zone.markers) for zone in zones)


def write(path: Path, mesh: Mesh, point_data: dict[str, Any], cell_data: dict[str, Any]) -> list[str]:
    """Write a mesh of dimension 2 or 3; sets of facets become markers.

    Returns:
        A sentence if names had to change: they hold no percent signs, line breaks or double blanks.

    Raises:
        OutputError: cells that SU2 does not know, or a surface in 3-D.
    """
    codes = {kind: code for code, (kind, _) in _KINDS.items()}
    if mesh.dim != mesh.space_dim or mesh.dim < 2 or any(kind not in codes for kind in mesh.cells):
        raise OutputError(f"cannot write '{path.name}': SU2 knows linear cells of plane and solid meshes only")
    with open(path, "w", encoding="utf-8", newline="\n") as out:
        out.write(f"NDIME= {mesh.dim}\nNELEM= {mesh.n_cells}\n")
        for kind, nodes in mesh.cells.items():
            rows = nodes[:, WEDGE] if kind == "wedge" else nodes
            out.writelines(f"{codes[kind]} {' '.join(map(str, row))}\n" for row in rows.tolist())
        out.write(f"NPOIN= {mesh.n}\n")
        out.writelines(" ".join(map(repr, row)) + "\n" for row in mesh.points.tolist())
        markers = {name: tag for name, tag in mesh.tags.items() if tag.dim == mesh.dim - 1}
        names, told = labels(markers, _label)
        out.write(f"NMARK= {len(markers)}\n")
        for name, tag in markers.items():
            out.write(f"MARKER_TAG= {names[name]}\nMARKER_ELEMS= {len(tag.ids)}\n")
            for row in mesh.facets.nodes[tag.ids].tolist():
                corners = [node for node in row if node >= 0]
                out.write(f"{codes[KIND_OF_WIDTH[len(corners)]]} {' '.join(map(str, corners))}\n")
    return told


def _label(name: str) -> str:
    plain = name.encode("utf-8", "replace").decode().replace("%", "_")
    return "".join(letter if letter.isprintable() else "_" for letter in " ".join(plain.split())) or "unnamed"
