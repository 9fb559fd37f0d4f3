"""The parts of an Abaqus deck put together: instances placed, set names resolved, surfaces turned into facets."""

from __future__ import annotations

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.abaqus.table import FACES, ORDER, SHELL
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable, listed, positions


class Named:
    """Sets of numbers and of other sets' names; names match in any case and keep the spelling of the first."""

    def __init__(self) -> None:
        self.spelling: dict[str, str] = {}
        self.content: dict[str, list[int | str | range]] = {}
        self.known = np.empty(0, dtype=np.int64)  # the numbers that are defined, sorted
        self.absent: dict[str, int] = {}  # how many that a set generates are not
        self._found: dict[str, np.ndarray] = {}

    def add(self, name: str, members: list) -> None:
        self.spelling.setdefault(name.upper(), name)
        self.content.setdefault(name.upper(), []).extend(members)
        self._found.clear()

    def numbers(self, name: str, seen: tuple[str, ...] = ()) -> np.ndarray:
        """All numbers of a set, sets within sets followed; an unknown name is an error."""
        key = name.rpartition(".")[2].upper()
        if key not in self.content or key in seen:
            raise Unreadable(f"the set '{name}' is {'defined by itself' if key in seen else 'used but not defined'}")
        if key in self._found:
            return self._found[key]
        content = self.content[key]
        plain = np.array([item for item in content if isinstance(item, int)], dtype=np.int64)
        ranges = [self._generated(item) for item in content if isinstance(item, range)]
        self.absent[key] = sum(len(item) for item in content if isinstance(item, range)) - sum(map(len, ranges))
        nested = [self.numbers(item, (*seen, key)) for item in content if isinstance(item, str)]
        self._found[key] = np.unique(np.concatenate([plain, *ranges, *nested]))
        return self._found[key]

    def _generated(self, numbers: range) -> np.ndarray:
        """Those of the numbers that are defined, so that a short line cannot ask for a long array."""
        first, last = np.searchsorted(self.known, [numbers.start, numbers.stop])
        part = self.known[first:last]
        return part[(part - numbers.start) % numbers.step == 0]


class Part:
    """Nodes, elements and sets of one part, in its own numbering."""

    def __init__(self) -> None:
        self.ids: list[np.ndarray] = []
        self.points: list[np.ndarray] = []
        self.space_dim = 1
        self.elements: list[tuple[str, str, np.ndarray, np.ndarray]] = []  # kind, Abaqus name, numbers, nodes
        self.node_sets, self.element_sets = Named(), Named()
        self.from_elements: list[tuple[str, str]] = []  # node sets of all nodes of an element set
        self.surfaces: list[tuple[str, str, list[str]]] = []
        self.internal: set[str] = set()  # element sets that are made for one use

    def add_nodes(self, ids: np.ndarray, points: np.ndarray) -> None:
        """Nodes and their coordinates [k, 1..3]."""
        self.ids.append(ids)
        self.points.append(np.pad(points, ((0, 0), (0, 3 - points.shape[1]))))
        self.space_dim = max(self.space_dim, points.shape[1])

    def add_elements(self, kind: str, name: str, values: np.ndarray) -> None:
        width = 1 + CELLS[kind].nodes
        if len(values) % width:
            raise Unreadable(
                f"the numbers under *ELEMENT, TYPE={name} are no multiple of {width}; the file seems cut off"
            )
        rows = values.reshape(-1, width)
        nodes = rows[:, 1:]
        self.elements.append((kind, name, rows[:, 0], nodes[:, ORDER[kind]] if kind in ORDER else nodes))

    def last_elements(self) -> np.ndarray:
        return self.elements[-1][2]


def assemble(parts: dict[str, Part], instances: list[tuple[str, str, np.ndarray]], notes: list[str]) -> RawMesh:
    """One raw mesh of all instances; parts without an instance are placed as they stand."""
    placed = [(part.upper(), move) for _, part, move in instances]
    for name in (part for part, _ in placed if part not in parts):
        raise Unreadable(f"an instance names the part '{name}', which is not defined")
    placed += [(name, np.zeros(3)) for name in parts if name not in {part for part, _ in placed}]
    raw = RawMesh(np.empty((0, 3)), [], notes=list(dict.fromkeys(notes)))
    for part in parts.values():
        if not part.ids:
            _hand_down(raw, part, parts)
    points, start = [], 0
    for name, move in placed:
        part = parts[name]
        if not part.ids:
            if part.elements:
                raise Unreadable(f"elements stand in a part {name or '(main)'} that has no *NODE")
            continue
        ids, x = np.concatenate(part.ids), np.concatenate(part.points)
        ids, last = np.unique(ids[::-1], return_index=True)  # a node given twice stands where it was given last
        _place(raw, part, ids, start)
        x = x[::-1][last]
        points.append(x + move if move.any() else x)  # adding zero would turn -0.0 around
        start += len(ids)
    if points:
        needed = [CELLS[block.kind].dim for block in raw.blocks] + [
            int(np.flatnonzero(m)[-1]) + 1 for _, m in placed if m.any()
        ]
        raw.points = np.concatenate(points)[:, : max([part.space_dim for part in parts.values()] + needed)]
    for cells in raw.cell_sets:
        cells.members.extend([None] * (len(raw.blocks) - len(cells.members)))
    return raw


def _hand_down(raw: RawMesh, assembly: Part, parts: dict[str, Part]) -> None:
    """Surfaces of the assembly belong to the parts whose sets they name; other sets without an instance are lost."""
    left = [*assembly.node_sets.spelling.values(), *assembly.element_sets.spelling.values()]
    for name, kind, body in assembly.surfaces:
        found = False
        for part in (part for part in parts.values() if part is not assembly):
            sets = part.node_sets if kind.upper() == "NODE" else part.element_sets
            lines = [ln for ln in body if ln.split(",")[0].strip().rpartition(".")[2].upper() in sets.content]
            if lines:
                part.surfaces.append((name, kind, lines))
                found = True
        if not found:
            left.append(name)
    if left:
        raw.notes.append(f"{len(left)} sets of the assembly name no instance and were left out: {listed(left)}")


def _place(raw: RawMesh, part: Part, ids: np.ndarray, start: int) -> None:
    first = len(raw.blocks)
    for kind, _, _, nodes in part.elements:
        raw.blocks.append(Block(kind, positions(ids, nodes, "node") + start))
    numbers = np.concatenate([e[2] for e in part.elements]) if part.elements else np.empty(0, dtype=np.int64)
    block = np.repeat(np.arange(len(part.elements)), [len(e[2]) for e in part.elements])
    row = np.concatenate([np.arange(len(e[2])) for e in part.elements]) if part.elements else numbers
    part.node_sets.known, part.element_sets.known = ids, np.unique(numbers)
    for name, source in part.from_elements:
        rows = np.isin(numbers, part.element_sets.numbers(source))
        own = [part.elements[b][3][row[rows & (block == b)]].reshape(-1) for b in range(len(part.elements))]
        part.node_sets.add(name, np.unique(np.concatenate(own)).tolist())
    for key, name in part.node_sets.spelling.items():
        found = part.node_sets.numbers(key)
        known = np.intersect1d(found, ids)
        absent = len(found) - len(known) + part.node_sets.absent[key]
        if absent:
            raw.notes.append(f"{absent} nodes of set '{name}' are not defined")
        raw.point_sets.append((name, positions(ids, known, "node") + start))
    lines = [line for _, _, body in part.surfaces for line in body]
    of_surfaces = {line.partition(",")[0].strip().rpartition(".")[2].upper() for line in lines}
    for key, name in part.element_sets.spelling.items():
        if key in part.internal & of_surfaces:
            continue
        chosen = np.isin(numbers, part.element_sets.numbers(key))
        members: list[np.ndarray | None] = [None] * first
        raw.cell_sets.append(CellSet(name, members + [row[chosen & (block == b)] for b in range(len(part.elements))]))
    for name, kind, body in part.surfaces:
        if kind.upper() == "NODE":
            named = [part.node_sets.numbers(line.split(",")[0].strip()) for line in body]
            found = np.intersect1d(np.concatenate(named), ids) if named else np.empty(0, dtype=np.int64)
            raw.point_sets.append((name, positions(ids, found, "node") + start))
        else:
            _surface(raw, part, name, body, (numbers, block, row, first))


def _surface(raw: RawMesh, part: Part, name: str, body: list[str], tables: tuple) -> None:
    """Faces such as ``set, S3`` of an element surface as corner points of facets, or cells for the sides of shells."""
    numbers, block, row, first = tables
    sides: list[np.ndarray | None] = [None] * len(raw.blocks)
    lost = 0
    for line in body:
        where, _, face = (word.strip() for word in line.partition(","))
        asked = np.array([int(where)]) if where.isdigit() else part.element_sets.numbers(where)
        chosen = np.isin(numbers, asked)
        for b, (kind, label, _, _) in enumerate(part.elements):
            rows = row[chosen & (block == b)]
            corners = _face(kind, bool(SHELL.match(label)), face.upper())
            if not len(rows):
                continue
            if corners == ():
                known = sides[first + b]
                sides[first + b] = rows if known is None else np.union1d(known, rows)
            elif corners is None:
                lost += len(rows)
            else:
                nodes = raw.blocks[first + b].nodes[rows][:, list(corners)]
                raw.facet_sets.append(FacetSet(name, CELLS[kind].dim - 1, nodes))
    if any(part is not None for part in sides):
        raw.cell_sets.append(CellSet(name, sides))
    if lost:
        raw.notes.append(f"{lost} faces of surface '{name}' have no such face and were left out")


def _face(kind: str, shell: bool, face: str) -> tuple[int, ...] | None:
    """Local corners of a face; () stands for the cell itself, None for none."""
    if shell and face in ("SPOS", "SNEG", "S1", "S2", ""):
        return ()
    table = FACES.get(CELLS[kind].corners, ())
    number = int(face[1:]) if face[1:].isdigit() else 0
    if face[:1] in ("S", "E") and shell and face[:1] == "S":
        number -= 2  # the edges of a CalculiX shell are S3, S4, ...
    return table[number - 1] if face[:1] in ("S", "E") and 1 <= number <= len(table) else None
