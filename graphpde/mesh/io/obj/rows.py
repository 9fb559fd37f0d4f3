"""Wavefront OBJ files taken as a whole: all vertices at once, all faces and lines at once, groups as ranges of them.

What is not plain, and all that is wrong, is left to the reader that goes line by line.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable, numbers
from graphpde.mesh.io.text_lines import Lines, plain

KINDS = {("f", 3): "triangle", ("f", 4): "quad", ("l", 2): "line"}
WIDTHS = (3, 4, 6, 7)  # numbers of a vertex: its place, perhaps a weight, perhaps a colour

_Key = tuple[str, int]  # letter of the line, points of the cell


class _Cells(NamedTuple):
    """Cells of one key: points [m, k], and how many of them stand before each line of faces and behind the last."""

    nodes: np.ndarray
    before: np.ndarray


def whole(data: bytes, longest: int) -> RawMesh | None:
    """The mesh of a file; None where something is unusual or wrong, or a line longer than ``longest`` bytes."""
    lines = Lines(plain(data.removeprefix(b"\xef\xbb\xbf"), "utf-8").replace(b"\\\n", b" "), b"#")
    if lines.longest > longest:
        return None
    head, behind = lines.text[lines.first], lines.text[lines.first + 1]
    if (head >= 128).any():  # what this is, letters say
        return None
    letter = np.where((lines.first + 1 == lines.stop) | (behind == 32) | (behind == 9), head, 0)
    try:
        raw = _vertices(lines, np.flatnonzero(letter == ord("v")))
        if raw is None:
            return None
        of_face = (letter == ord("f")) | (letter == ord("l"))
        rows = np.flatnonzero(of_face & (lines.words > 2))
        known = np.cumsum(letter == ord("v"))[rows]
        nodes = _nodes(lines, rows, known)
        if nodes is None:
            return None
        cells = _cells(nodes, letter[rows] == ord("f"), lines.words[rows] - 1)
        raw.blocks = [Block(KINDS.get(key, "polygon"), own.nodes) for key, own in cells.items()]
        return _groups(raw, lines, np.flatnonzero(letter == ord("g")), rows, list(cells.values()))
    except Unreadable:
        return None


def _blanked(lines: Lines, rows: np.ndarray) -> bytes:
    """Lines without their first letter."""
    lines.text[lines.first[rows]] = ord(" ")
    return lines.joined(rows)


def _vertices(lines: Lines, rows: np.ndarray) -> RawMesh | None:
    widths = lines.words[rows] - 1
    if not np.isin(widths, WIDTHS).all():
        return None
    values = numbers(_blanked(lines, rows), np.float64, "it")
    if len(values) != widths.sum() or not np.isfinite(values).all():
        return None
    if len(rows) and (widths == widths[0]).all():
        table = values.reshape(len(rows), -1)
        raw = RawMesh(table[:, :3], [])
        if widths[0] == 6:
            raw.point_data["colour"] = table[:, 3:]
        return raw
    first = np.cumsum(widths) - widths
    return RawMesh(values[first[:, None] + np.arange(3)], [])


def _nodes(lines: Lines, rows: np.ndarray, known: np.ndarray) -> np.ndarray | None:
    """Points of all faces and lines, one after another; ``known`` of them are defined before each [k]."""
    text = _blanked(lines, rows)
    if b"/" in text:
        text = _without_slashes(text)
    index = numbers(text, np.int64, "it")
    widths = lines.words[rows] - 1
    if len(index) != widths.sum():
        return None
    if not len(index) or (index.min() > 0 and index.max() <= known[0]):
        return index - 1
    count = np.repeat(known, widths)
    if not (((index >= 1) & (index <= count)) | ((index <= -1) & (index >= -count))).all():
        return None
    return np.where(index > 0, index - 1, count + index)


def _without_slashes(text: bytes) -> bytes:
    """The text with blanks for all that stands between a slash and the end of its word."""
    out = np.frombuffer(bytearray(text), dtype=np.uint8)
    marks = np.flatnonzero((out <= 32) | (out == ord("/")))  # whatever stands between two of them has no other
    hidden = np.repeat(out[marks] == ord("/"), np.diff(marks, append=len(out)))
    out[marks[0] :][hidden] = ord(" ")
    return out.tobytes()


def _cells(nodes: np.ndarray, is_face: np.ndarray, widths: np.ndarray) -> dict[_Key, _Cells]:
    """The cells by their keys, in the order in which the keys first appear."""
    offset = np.cumsum(widths) - widths
    found: list[tuple[int, _Key, _Cells]] = []
    for width in np.unique(widths[is_face]).tolist():
        mine = is_face & (widths == width)
        rows = nodes.reshape(-1, width) if mine.all() else nodes[offset[mine][:, None] + np.arange(width)]
        found.append((int(np.argmax(mine)), ("f", width), _Cells(rows, _before(mine))))
    if not is_face.all():
        parts = np.where(is_face, 0, widths - 1)  # of a line of several points
        begins = np.repeat(offset, parts) + np.arange(parts.sum()) - np.repeat(np.cumsum(parts) - parts, parts)
        rows = nodes[begins[:, None] + np.arange(2)]
        found.append((int(np.argmin(is_face)), ("l", 2), _Cells(rows, _before(parts))))
    return {key: own for _, key, own in sorted(found, key=lambda item: item[0])}


def _before(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])


def _groups(raw: RawMesh, lines: Lines, heads: np.ndarray, rows: np.ndarray, cells: list[_Cells]) -> RawMesh | None:
    """Sets from the lines of groups ``heads``; each holds for the faces up to the next."""
    bounds = np.append(np.searchsorted(rows, heads), len(rows))
    ranges: dict[str, list[list[tuple[int, int]]]] = {}
    filled = np.flatnonzero(np.diff(bounds))
    starts = [own.before[bounds[:-1][filled]].tolist() for own in cells]
    stops = [own.before[bounds[1:][filled]].tolist() for own in cells]
    for place, head in enumerate(heads[filled].tolist()):
        names = lines.line(head).decode("utf-8", "replace").split()[1:]
        if len(set(names)) < len(names):
            return None
        for name in names:
            own = ranges.setdefault(name, [[] for _ in cells])
            for part, start, stop in zip(own, starts, stops):
                if stop[place] > start[place]:
                    part.append((start[place], stop[place]))
    for name, parts in ranges.items():
        raw.cell_sets.append(CellSet(name, [_joined(part) if part else None for part in parts]))
    return raw


def _joined(ranges: list[tuple[int, int]]) -> np.ndarray:
    """The numbers of all ranges, one after another."""
    starts, stops = np.array(ranges, dtype=np.int64).T
    sizes = stops - starts
    return np.repeat(starts - np.cumsum(sizes) + sizes, sizes) + np.arange(sizes.sum())
