"""A raw mesh, or why there is none, as two plain files between processes: JSON for names, bare numbers for arrays.

The process that writes may have been taken over by the file it read, so nothing of what it wrote is believed: no
pickle, and every shape, type and index is checked before it is used.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh, Unreadable

NAMES, NUMBERS, FAILURE = "names.json", "numbers.bin", "failure.json"
_TYPES = {f"{order}{kind}{size}" for order in "<>" for kind in "iu" for size in (2, 4, 8)}
_TYPES |= {f"{order}f{size}" for order in "<>" for size in (2, 4, 8)} | {"|i1", "|u1", "|b1"}
_FOREIGN = "what was read of it does not fit together; the file is probably damaged"


class _Out:
    """Arrays behind each other in one file; each is described by type, shape and place."""

    def __init__(self, file: Any):
        self.file = file

    def __call__(self, values: Any) -> Any:
        if values is None:
            return None
        array = np.asarray(values)
        if array.dtype.kind == "f" and array.dtype.itemsize > 8:
            array = array.astype(np.float64)
        if array.dtype.str not in _TYPES:
            array = np.empty(0)  # text and the like: its name arrives and is told as left out
        place = self.file.tell()
        self.file.write(np.ascontiguousarray(array).data)
        self.file.write(b"\0" * (-array.nbytes % 8))
        return [array.dtype.str, list(array.shape), place]


def save(raw: RawMesh, folder: Path) -> None:
    """Write a raw mesh into a folder."""
    with open(folder / NUMBERS, "wb") as file:
        put = _Out(file)
        names = {
            "points": put(raw.points),
            "blocks": [[block.kind, put(block.nodes)] for block in raw.blocks],
            "cell_sets": [[cells.name, [put(m) for m in cells.members]] for cells in raw.cell_sets],
            "facet_sets": [[facets.name, facets.dim, put(facets.corners)] for facets in raw.facet_sets],
            "point_sets": [[name, put(ids)] for name, ids in raw.point_sets],
            "point_data": [[str(name), put(values)] for name, values in raw.point_data.items()],
            "cell_data": [[str(name), [put(part) for part in parts]] for name, parts in raw.cell_data.items()],
            "notes": raw.notes,
            "space_dim": raw.space_dim,
        }
    (folder / NAMES).write_text(json.dumps(names), encoding="utf-8")


def load(folder: Path) -> RawMesh:
    """The raw mesh that ``save`` left in a folder.

    Raises:
        Unreadable: anything about it is not as ``save`` writes it, or an index has nothing to point at.
    """
    try:
        names = json.loads((folder / NAMES).read_text(encoding="utf-8"))
        return _checked(names, np.fromfile(folder / NUMBERS, dtype=np.uint8))
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise Unreadable(str(error) if isinstance(error, Unreadable) else _FOREIGN) from None


class _In:
    """The arrays of one file by their descriptions."""

    def __init__(self, content: np.ndarray):
        self.content = content

    def __call__(self, described: Any) -> np.ndarray:
        kind, shape, place = described
        if kind not in _TYPES or not all(type(size) is int and size >= 0 for size in [*shape, place]):
            raise Unreadable(_FOREIGN)
        stop = place + math.prod(shape) * np.dtype(kind).itemsize
        if place % 8 or stop > len(self.content):
            raise Unreadable(_FOREIGN)
        return self.content[place:stop].view(kind).reshape(shape)

    def ids(self, described: Any, low: int, high: int | None, dims: int = 1) -> np.ndarray:
        """Whole numbers from ``low`` to below ``high``."""
        values = self(described)
        if values.dtype.kind not in "iu" or values.ndim != dims:
            raise Unreadable(_FOREIGN)
        values = values.astype(np.int64)
        if values.size and (values.min() < low or (high is not None and values.max() >= high)):
            raise Unreadable(f"one of its sets names entry {values.max()}, expected {low}..{(high or 0) - 1}")
        return values


def _checked(names: dict[str, Any], content: np.ndarray) -> RawMesh:
    take = _In(content)
    points = take(names["points"])
    blocks = [Block(_text(kind), take(nodes)) for kind, nodes in names["blocks"]]
    raw = RawMesh(points, blocks, notes=[_text(note) for note in names["notes"]])
    n = len(points)
    for block in blocks:
        if block.nodes.dtype.kind not in "iu" or (block.nodes.size and block.nodes.ndim != 2):
            raise Unreadable(f"its {block.kind} cells are no table of whole numbers")
    for name, members in names["cell_sets"]:
        if len(members) > len(blocks):
            raise Unreadable(_FOREIGN)
        counted = [None if m is None else take.ids(m, 0, len(block.nodes)) for m, block in zip(members, blocks)]
        raw.cell_sets.append(CellSet(_text(name), counted))
    for name, dim, corners in names["facet_sets"]:
        if dim not in (0, 1, 2):
            raise Unreadable(_FOREIGN)
        raw.facet_sets.append(FacetSet(_text(name), dim, take.ids(corners, -1, n, 2)))
    raw.point_sets = [(_text(name), take.ids(ids, 0, None)) for name, ids in names["point_sets"]]
    raw.point_data = {_text(name): take(values) for name, values in names["point_data"]}
    for name, parts in names["cell_data"]:
        if len(parts) > len(blocks):
            raise Unreadable(_FOREIGN)
        raw.cell_data[_text(name)] = [None if part is None else take(part) for part in parts]
    if names["space_dim"] not in (None, 1, 2, 3):
        raise Unreadable(_FOREIGN)
    raw.space_dim = names["space_dim"]
    return raw


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unreadable(_FOREIGN)
    return value


def save_failure(error: BaseException, folder: Path) -> None:
    """Write down an exception: its kind, its text and what its sentence needs besides."""
    kind = next((base.__name__ for base in type(error).__mro__ if base.__name__ in _KINDS), "ValueError")
    detail: Any = None
    if isinstance(error, ModuleNotFoundError):
        detail = error.name
    elif isinstance(error, FileNotFoundError):
        detail = str(error.filename)
    elif isinstance(error, UnicodeDecodeError):
        detail = error.start
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    (folder / FAILURE).write_text(json.dumps([kind, text[:2000], detail]), encoding="utf-8")


def load_failure(folder: Path) -> Exception:
    """The exception that ``save_failure`` wrote down, as one of the kinds that are expected."""
    try:
        kind, text, detail = json.loads((folder / FAILURE).read_text(encoding="utf-8"))
        return _KINDS[kind](str(text), detail)
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return Unreadable(_FOREIGN)


_KINDS: dict[str, Any] = {
    "Unreadable": lambda text, _: Unreadable(text),
    "MemoryError": lambda text, _: MemoryError(text),
    "RecursionError": lambda text, _: RecursionError(text),
    "EOFError": lambda text, _: EOFError(text),
    "KeyError": lambda text, _: KeyError(text),
    "PermissionError": lambda text, _: PermissionError(text),
    "FileNotFoundError": lambda text, detail: FileNotFoundError(2, text, str(detail)),
    "ModuleNotFoundError": lambda text, detail: ModuleNotFoundError(text, name=str(detail)),
    "UnicodeDecodeError": lambda text, detail: UnicodeDecodeError("utf-8", b"", int(detail), int(detail) + 1, text),
    "OSError": lambda text, _: OSError(text),
    "ValueError": lambda text, _: ValueError(text),
}
