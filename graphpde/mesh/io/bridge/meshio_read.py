"""Reading through meshio, in a process of its own: one call in, a raw mesh out.

Its readers trust the file: they loop for ever at the end of a cut one, allocate what it declares and end the process.
The process in which this runs is limited by ``sandbox``; what can be said better from inside is said here.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import meshio
import numpy as np
from meshio._helpers import reader_map

from graphpde.mesh.io.bridge.quiet import muted, reason_of
from graphpde.mesh.io.raw import Block, CellSet, RawMesh, Unreadable
from graphpde.mesh.io.references import check_hdf5
from graphpde.mesh.io.tag_arrays import TAG_ARRAYS, tag_sets

_NO_REASON = "its content is not what the format asks for (meshio's reader gave no reason)"
_PATIENCE = 16  # empty answers at the end of a file before a reader is stopped


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


# readers that otherwise wait for ever for the rest of a file that was cut
_STREAMS: dict[str, Callable[[Path], Any]] = {
    **{name: lambda path: _Text(io.FileIO(path), encoding="utf-8") for name in ("tecplot", "permas")},
    **{name: lambda path: _Bytes(io.FileIO(path)) for name in ("mdpa", "ansys")},
}


def read(path: Path, name: str) -> RawMesh:
    """Read a file by meshio's reader of that name.

    Raises:
        Unreadable: meshio gave up, or HDF5 that leads to other files. Anything else that its readers let through is
            left to the caller.
    """
    check_hdf5(path)
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
            if reason and " " not in reason:  # the bare word that it stumbled over
                reason = f"its content is not what the format asks for, at '{reason}'"
            raise Unreadable(reason or _NO_REASON) from None
    raw = _raw(mesh, said)
    if name == "flac3d":  # its sets count through all blocks
        starts = np.cumsum([0, *(len(block.nodes) for block in raw.blocks)])
        for cells in raw.cell_sets:
            cells.members[:] = [None if m is None else m - first for m, first in zip(cells.members, starts)]
    return raw


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
    if array := next((name for name in TAG_ARRAYS if name in raw.cell_data), None):
        pairs = [(key, np.ravel(value)) for key, value in mesh.field_data.items() if np.size(value) == 2]
        named = {(int(pair[0]), int(pair[1])): str(key) for key, pair in pairs}
        raw.cell_sets += tag_sets(raw, array, named)
    return raw
