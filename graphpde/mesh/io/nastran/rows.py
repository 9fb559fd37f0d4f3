"""Nastran decks taken as a whole: for all entries of one name and layout at once, one field after another.

What is not plain, and all that is wrong, is left to the reader that goes entry by entry.
"""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.nastran.fields import Entries, Odd
from graphpde.mesh.io.nastran.table import ELEMENTS, HIGHER, ORDER, Deck, can_be_higher, is_lost
from graphpde.mesh.io.raw import Unreadable
from graphpde.mesh.io.text_lines import Lines, plain


class _Part(NamedTuple):
    """Cells of one type: the number of the entry [m], points [m, k], property number [m] of each."""

    entries: np.ndarray
    nodes: np.ndarray
    groups: np.ndarray


def at_once(data: bytes, longest: int) -> Deck | None:
    """What a deck lists; None where something is unusual or wrong, or a line longer than ``longest`` bytes."""
    text = plain(data)
    lines = Lines(text.expandtabs(8) if b"\t" in text else text, b"$")
    if lines.longest > longest:
        return None
    try:
        begin, end = _bulk(lines)
        return _deck(Entries(lines, begin, end))
    except (Odd, Unreadable):
        return None


def _bulk(lines: Lines) -> tuple[int, int]:
    """The first line of the bulk data and the one behind the last."""
    letter = lines.text[lines.first] | 32  # in lower case

    def first(word: bytes, begin: int) -> int | None:
        for number in (np.flatnonzero(letter[begin:] == word[0]) + begin).tolist():
            place = lines.first[number]
            if lines.text[place : place + len(word)].tobytes().lower() == word:
                return int(number)
        return None

    head = first(b"begin bulk", 0)
    begin = 0 if head is None else head + 1
    end = first(b"enddata", begin)
    include = first(b"include", begin)
    if include is not None and (end is None or include < end):
        raise Odd
    return begin, len(lines) if end is None else end


def _deck(found: Entries) -> Deck:
    """What the entries say."""
    wanted = np.array([name == "GRID" or name in ELEMENTS for name in found.names])
    mass = np.flatnonzero(wanted[found.of_name])
    points, parts = [], {}  # type: list[tuple[np.ndarray, ...]], dict[str, list[_Part]]
    for entries in found.alike(mass):
        name = found.names[found.of_name[entries[0]]]
        if name == "GRID":
            number, system = found.whole(entries, [0])[:, 0], found.whole(entries, [1], blank=True)[:, 0]
            points.append((entries, number, system, found.real(entries, [2, 3, 4])))
        else:
            for kind, part in _cells(found, entries, name):
                parts.setdefault(kind, []).append(part)
    ids, systems, x = _in_order(points) if points else (np.empty(0, int), np.empty(0, int), np.empty((0, 3)))
    ordered = sorted(parts.items(), key=lambda item: min(part.entries[0] for part in item[1]))
    cells = {kind: _in_order(own) for kind, own in ordered}
    rows, groups = ({kind: part[k] for kind, part in cells.items()} for k in range(2))
    left = np.array([name.startswith("CORD2") for name in found.names])
    return Deck(ids, x, systems, rows, groups, _lost(found), found.lines(np.flatnonzero(left[found.of_name])))


def _cells(found: Entries, entries: np.ndarray, name: str) -> list[tuple[str, _Part]]:
    """Linear and quadratic cells of entries that are alike."""
    element = ELEMENTS[name]
    count = CELLS[element.kind].nodes
    corners = found.whole(entries, list(range(element.first, element.first + count)))
    groups = np.zeros(len(entries), dtype=np.int64)
    if element.group >= 0:
        groups = found.whole(entries, [element.group], blank=True)[:, 0]
    if not can_be_higher(name, element.kind):
        return [(element.kind, _Part(entries, corners, groups))]
    kind, full = HIGHER[element.kind]
    if found.count(entries) < element.first + full:  # some stand in no line
        return [(element.kind, _Part(entries, corners, groups))]
    middle = found.whole(entries, list(range(element.first + count, element.first + full)), blank=True, sign=False)
    higher = (middle > 0).all(axis=1)
    nodes = np.concatenate([corners, middle], axis=1)[higher]
    parts = [
        (element.kind, _Part(entries[~higher], corners[~higher], groups[~higher])),
        (kind, _Part(entries[higher], nodes[:, ORDER[kind]] if kind in ORDER else nodes, groups[higher])),
    ]
    return [part for part in parts if len(part[1].entries)]


def _lost(found: Entries) -> Counter[str]:
    """Elements without a cell type here."""
    lost: Counter[str] = Counter()
    known, first, counts = np.unique(found.of_name, return_index=True, return_counts=True)
    for place in np.argsort(first).tolist():
        if is_lost(name := found.names[known[place]]):
            lost[name] += int(counts[place])
    return lost


def _in_order(parts: list) -> tuple[np.ndarray, ...]:
    """The columns of all parts behind the first, which orders them."""
    if len(parts) == 1:
        return tuple(parts[0][1:])
    entries, *columns = (np.concatenate(column) for column in zip(*parts))
    order = np.argsort(entries)
    return tuple(column[order] for column in columns)
