"""Reader of Abaqus and CalculiX input decks (.inp): nodes, elements, node, element and surface sets by their names.

Parts are placed as their instances say (translations only). ``*INCLUDE`` is followed inside the folder of the deck.

Source: Abaqus Keywords Reference Guide; CalculiX CrunchiX User's Manual, "Input deck format".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graphpde.mesh.io.abaqus.sets import Part, assemble
from graphpde.mesh.io.abaqus.table import kind_of
from graphpde.mesh.io.raw import RawMesh, Unreadable, integers, numbers, whole_number
from graphpde.mesh.io.references import inside

_DEPTH = 8  # includes within includes
_CLOSED = ("PART", "INSTANCE", "ASSEMBLY")  # what has an end of its own
_GENERATING = ("NGEN", "NFILL", "NCOPY", "NMAP", "ELGEN", "ELCOPY", "SYMMETRIC MODEL GENERATION")
_LINE = 1 << 16  # characters; honest lines have 256 at most
_GENERATED = 10**7  # numbers that one line may generate


class _Deck:
    """The keyword blocks of a deck put into their parts."""

    def __init__(self) -> None:
        self.parts: dict[str, Part] = {}
        self.instances: list[tuple[str, str, np.ndarray]] = []  # name, part, translation
        self.current = ""
        self.notes: list[str] = []

    def part(self, name: str | None = None) -> Part:
        """The part by that name, or the one that lines stand in now."""
        key = (self.current if name is None else self._part_of(name)).upper()
        return self.parts.setdefault(key, Part())

    def _part_of(self, name: str) -> str:
        return next((part for instance, part, _ in self.instances if instance.upper() == name.upper()), name)


def read(path: Path) -> RawMesh:
    """Read an .inp deck.

    Raises:
        Unreadable: undefined nodes, rotated instances, node systems, generated nodes or
            elements, includes outside the folder, no usable element.
    """
    deck = _Deck()
    opened: list[str] = []
    seen: set[str] = set()
    for words, body in _keywords(_lines(path, path.parent, 0)):
        _keyword(deck, words, body)
        name = words[""]
        seen.add(name)
        if name in _CLOSED:
            opened.append(name)
        elif name.startswith("END ") and name[4:] in opened:
            opened.remove(name[4:])
    if opened:
        raise Unreadable(f"*{opened[-1]} is not closed by *END {opened[-1]}; the file seems to be cut off")
    if "PART" in seen and not seen & {"ASSEMBLY", "INSTANCE"}:
        deck.notes.append("it defines parts and no *ASSEMBLY that places them, or is cut off; they are read as drawn")
    return assemble(deck.parts, deck.instances, deck.notes)


def _lines(path: Path, folder: Path, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        raise Unreadable(f"*INCLUDE goes more than {_DEPTH} files deep; a file seems to include itself")
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            if len(line) > _LINE:
                raise Unreadable(f"it has a line of {len(line)} characters, which no deck has")
            line = line.strip()
            if not line.isascii():
                line = _decoded(line)
            if line.startswith("**") or not line:
                continue
            if line.upper().replace(" ", "").startswith("*INCLUDE"):
                name = line.partition("=")[2].strip().strip('"')
                yield from _lines(inside(folder, name, "*INCLUDE"), folder, depth + 1)
            else:
                yield line


def _decoded(line: str) -> str:
    """The line as Latin-1 if it is no UTF-8."""
    data = line.encode("utf-8", "surrogateescape")
    return line if data == line.encode("utf-8", "replace") else data.decode("latin-1")


def _keywords(lines: Iterator[str]) -> Iterator[tuple[dict[str, str], list[str]]]:
    """(keyword and parameters, data lines) of each block; the keyword stands under the empty name."""
    head, body = "", []  # type: str, list[str]
    for line in lines:
        if head.endswith(",") and not body:
            head += line
        elif line.startswith("*"):
            if head:
                yield _parameters(head), body
            head, body = line, []
        else:
            body.append(line)
    if head:
        yield _parameters(head), body


def _parameters(head: str) -> dict[str, str]:
    pieces = head[1:].split('"')  # every second one stands between quotation marks, where a comma is a letter
    text = '"'.join(piece.replace(",", "\0") if k % 2 else piece for k, piece in enumerate(pieces))
    words = [word.replace("\0", ",").strip() for word in text.split(",") if word.strip()]
    out = {"": words[0].upper() if words else ""}
    for word in words[1:]:
        key, _, value = word.partition("=")
        out[key.strip().upper()] = value.strip().strip('"')
    return out


def _keyword(deck: _Deck, words: dict[str, str], body: list[str]) -> None:
    name = words[""]
    if name == "PART":
        deck.current = words.get("NAME", "")
    elif name == "INSTANCE":
        deck.instances.append((words.get("NAME", ""), words.get("PART", ""), _translation(body)))
        deck.current = words.get("PART", "")
    elif name in ("END PART", "END INSTANCE"):
        deck.current = ""
    elif name == "NODE":
        if words.get("SYSTEM", "R").upper()[:1] not in ("R", ""):
            raise Unreadable(f"its nodes stand in system {words['SYSTEM']}; only rectangular coordinates are read")
        ids, points = _nodes(body)
        deck.part().add_nodes(ids, points)
        if "NSET" in words:
            deck.part().node_sets.add(words["NSET"], ids.tolist())
    elif name == "SYSTEM" and body:
        raise Unreadable("it places nodes by *SYSTEM; only global rectangular coordinates are read")
    elif name == "ELEMENT":
        _elements(deck, words, body)
    elif name in ("NSET", "ELSET"):
        part = deck.part(words.get("INSTANCE"))
        sets = part.node_sets if name == "NSET" else part.element_sets
        if name == "NSET" and "ELSET" in words:
            part.from_elements.append((words.get(name, ""), words["ELSET"]))
        sets.add(words.get(name, ""), _members(body, "GENERATE" in words))
        if name == "ELSET" and "INTERNAL" in words:
            part.internal.add(words.get(name, "").upper())
    elif name in _GENERATING:
        raise Unreadable(f"it makes nodes or elements by *{name}, which is not read; write the mesh out in full first")
    elif name == "SURFACE":
        deck.part(words.get("INSTANCE")).surfaces.append((words.get("NAME", ""), words.get("TYPE", "ELEMENT"), body))


def _translation(body: list[str]) -> np.ndarray:
    if len(body) > 1:
        raise Unreadable("an instance is rotated; only translated instances are read")
    if not body:
        return np.zeros(3)
    values = numbers(body[0].replace(",", " "), np.float64, "the translation of an instance")
    return np.concatenate([values, np.zeros(3)])[:3]


def _nodes(body: list[str]) -> tuple[np.ndarray, np.ndarray]:
    rows = [line.rstrip(",").split(",") for line in body]
    width = max((len(row) for row in rows), default=1)
    if width < 2 or any(len(row) < 2 for row in rows):
        raise Unreadable("a line under *NODE has no coordinates")
    text = " ".join(word.strip() or "0" for row in rows for word in (*row, *["0"] * (width - len(row))))
    values = numbers(text, np.float64, "a line under *NODE")
    if len(values) != len(rows) * width:
        raise Unreadable("the lines under *NODE are not node, coordinate, coordinate, ...")
    values = values.reshape(len(rows), width)
    return integers(values[:, 0], "node numbers"), values[:, 1:4]


def _elements(deck: _Deck, words: dict[str, str], body: list[str]) -> None:
    name = words.get("TYPE", "")
    kind = kind_of(name)
    if kind is None:
        deck.notes.append(f"the elements of type {name or '(none)'} have no cell type here and were left out")
        return
    if name.upper().startswith(("CAX", "CGAX", "DCAX", "ACAX", "SAX")):
        deck.notes.append(f"axisymmetric elements {name} are taken as plane cells")
    values = numbers(" ".join(body).replace(",", " "), np.float64, f"a line under *ELEMENT, TYPE={name}")
    deck.part().add_elements(kind, name, integers(values, "element and node numbers"))
    if "ELSET" in words:
        deck.part().element_sets.add(words["ELSET"], deck.part().last_elements().tolist())


def _members(body: list[str], generated: bool) -> list[int | str | range]:
    """Numbers and names of other sets; ``first, last, step`` lines when generated."""
    out: list[int | str | range] = []
    for line in body:
        items = [word.strip().strip('"') for word in line.split(",") if word.strip()]
        if generated:
            first, last, step = (*map(whole_number, items), 1)[:3]
            if step < 1 or (last - first) // step > _GENERATED:
                raise Unreadable(f"the line '{line}' generates no sensible set")
            out.append(range(first, last + 1, step))
        else:
            out.extend(int(item) if item.lstrip("-").isdigit() else item for item in items)
    return out
