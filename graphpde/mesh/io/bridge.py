"""The guarded way to meshio: one call in, a raw mesh out; nothing is printed and nothing but an exception escapes.

meshio reports trouble by printing through rich, and ends the process when a known reader gives up; both stop here. Its
table of dimensions lacks a few types that its readers produce; they are lent to it for the time of the call.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable

# integer cell arrays that name sets, in the order of preference; further arrays stay plain data
TAG_ARRAYS = (
    *("gmsh:physical", "medit:ref", "netgen:index", "su2:tag", "nastran:ref", "avsucd:material", "ugrid:ref"),
    *("tetgen:ref", "flac3d:group", "cell_tags", "obj:group_ids", "material", "MaterialIDs", "attribute"),
)
_NO_REASON = "its content is not what the format asks for (meshio's reader gave no reason)"
_PATIENCE = 16  # empty answers at the end of a file before a reader is stopped
_LOCK = threading.Lock()


class _Bytes(io.BufferedReader):
    """A binary file that says so when a reader goes on asking behind its end."""

    idle = 0

    def read(self, size: int | None = -1, /) -> bytes:
        return _counted(self, super().read(size))

    def readline(self, size: int | None = -1, /) -> bytes:
        return _counted(self, super().readline(size))


class _Text(io.TextIOWrapper):
    """The same for a text file."""

    idle = 0

    def read(self, size: int | None = -1, /) -> str:
        return _counted(self, super().read(size))

    def readline(self, size: int = -1, /) -> str:  # type: ignore[override]
        return _counted(self, super().readline(size))


def _counted(file: _Bytes | _Text, part: Any) -> Any:
    file.idle = 0 if part else file.idle + 1
    if file.idle > _PATIENCE:
        raise EOFError
    return part


class _Console:
    """Stands in for rich's console: what meshio says is kept instead of printed."""

    said: list[str] = []  # noqa: RUF012 - replaced for each call, under the lock

    def __init__(self, **_: Any):
        pass

    def print(self, *parts: Any, **_: Any) -> None:
        text = re.sub(r"\[/?[a-z ]+\]", "", " ".join(map(str, parts)))
        _Console.said.append(" ".join(text.replace("Warning:", "").replace("Error:", "").replace("Info:", "").split()))


@contextmanager
def muted() -> Iterator[list[str]]:
    """A stretch in which meshio keeps quiet; yields what it would have said."""
    import meshio._common
    import meshio._mesh

    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        console, table = meshio._common.Console, meshio._mesh.topological_dimension
        lent = {kind: cell.dim for kind, cell in CELLS.items() if kind not in table}
        said: list[str] = []
        _Console.said = said
        meshio._common.Console = _Console
        table.update(lent)
        try:
            yield said
        finally:
            meshio._common.Console = console
            for kind in lent:
                table.pop(kind, None)


# readers that otherwise wait for ever for the rest of a file that was cut
_STREAMS: dict[str, Callable[[Path], Any]] = {
    **{name: lambda path: _Text(io.FileIO(path), encoding="utf-8") for name in ("tecplot", "permas")},
    **{name: lambda path: _Bytes(io.FileIO(path)) for name in ("mdpa", "ansys")},
}


def read(path: Path, name: str, limits: str = "") -> RawMesh:
    """Read a file by meshio's reader of that name.

    Args:
        limits: what meshio reads of this format, said when it gives up.

    Raises:
        Unreadable: meshio gave up. Anything else that its readers let through is left to the caller.
    """
    import meshio
    from meshio._helpers import reader_map

    with muted() as said:
        try:
            if name in _STREAMS:
                with _STREAMS[name](path) as stream:
                    mesh = reader_map[name](stream)
            else:
                mesh = reader_map[name](str(path))
        except (meshio.ReadError, SystemExit) as error:
            text = "" if isinstance(error, SystemExit) else str(error)
            reason = reason_of(text, said)
            raise Unreadable("; ".join(part for part in (limits, reason) if part) or _NO_REASON) from None
    raw = _raw(mesh, said)
    if name == "flac3d":  # its sets count through all blocks
        starts = np.cumsum([0, *(len(block.nodes) for block in raw.blocks)])
        for cells in raw.cell_sets:
            cells.members[:] = [None if m is None else m - first for m, first in zip(cells.members, starts)]
    return raw


def reason_of(text: str, said: list[str]) -> str:
    """What meshio raised or, where that is empty, what it said last."""
    return " ".join((text or "".join(said[-1:])).split()).rstrip(".")


def _raw(mesh: Any, said: list[str]) -> RawMesh:
    blocks = []
    for block in mesh.cells:
        if block.type.startswith("polyhedron"):
            raise Unreadable(f"its cells are general polyhedra ({len(block.data)}), which have no finite element here")
        blocks.append(Block(block.type, np.asarray(np.ma.getdata(block.data))))
    raw = RawMesh(np.asarray(np.ma.getdata(mesh.points)), blocks, notes=[sentence for sentence in said if sentence])
    raw.point_data = {name: np.asarray(np.ma.getdata(values)) for name, values in mesh.point_data.items()}
    for name, parts in mesh.cell_data.items():
        raw.cell_data[name] = [None if part is None else np.asarray(np.ma.getdata(part)) for part in parts]
    for name, ids in mesh.point_sets.items():
        raw.point_sets.append((str(name), np.asarray(ids, dtype=np.int64).reshape(-1)))
    for name, parts in mesh.cell_sets.items():
        if name != "gmsh:bounding_entities" and len(parts) == len(blocks):
            members = [None if part is None else np.asarray(part, dtype=np.int64) for part in parts]
            raw.cell_sets.append(CellSet(str(name), members))
    families = getattr(mesh, "cell_tags", None)
    if isinstance(families, dict):  # MED: a family number stands for any number of groups
        _families(raw, families, getattr(mesh, "point_tags", {}))
    elif array := next((name for name in TAG_ARRAYS if name in raw.cell_data), None):
        pairs = [(key, np.ravel(value)) for key, value in mesh.field_data.items() if np.size(value) == 2]
        named = {(int(pair[0]), int(pair[1])): str(key) for key, pair in pairs}
        raw.cell_sets += tag_sets(raw, array, named)
    return raw


def tag_sets(raw: RawMesh, array: str, named: dict[tuple[int, int], str]) -> list[CellSet]:
    """Sets from an integer cell array; ``named`` maps (number, dimension) to a name, others are called by their number.

    Values that are all zero in one dimension say nothing there and give no set.
    """
    parts = raw.cell_data[array]
    if not all(part is None or (part.ndim == 1 and whole(part)) for part in parts):
        return []
    dims = [dimension(block.kind) for block in raw.blocks]
    telling = {dim for dim, part in zip(dims, parts) if part is not None and part.any()}
    members: dict[str, list[np.ndarray | None]] = {}
    for number, (dim, part) in enumerate(zip(dims, parts)):
        if part is None or dim not in telling:
            continue
        for value in np.unique(part):
            name = named.get((int(value), dim), str(int(value)))
            members.setdefault(name, [None] * len(parts))[number] = np.flatnonzero(part == value)
    return [CellSet(name, slots) for name, slots in members.items()]


def whole(values: np.ndarray) -> bool:
    """Whether an array holds whole numbers."""
    return values.dtype.kind in "iub" or bool((np.isfinite(values) & (values == np.floor(values))).all())


def dimension(kind: str) -> int:
    """Dimension of a cell type by its name, including orders that the library does not know; -1 = unknown."""
    if kind in CELLS:
        return CELLS[kind].dim
    base = kind.rstrip("0123456789")
    return CELLS[base].dim if base in CELLS else 2 if base == "polygon" else -1


def _families(raw: RawMesh, of_cells: dict[int, list[str]], of_points: dict[int, list[str]]) -> None:
    parts = raw.cell_data.get("cell_tags", [None] * len(raw.blocks))
    for name in dict.fromkeys(name for names in of_cells.values() for name in names):
        mine = [family for family, names in of_cells.items() if name in names]
        members = [None if part is None else np.flatnonzero(np.isin(part, mine)) for part in parts]
        raw.cell_sets.append(CellSet(str(name), members))
    points = raw.point_data.get("point_tags", np.zeros(len(raw.points)))
    for name in dict.fromkeys(name for names in of_points.values() for name in names):
        mine = [family for family, names in of_points.items() if name in names]
        raw.point_sets.append((str(name), np.flatnonzero(np.isin(points, mine))))
