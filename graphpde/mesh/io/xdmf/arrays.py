"""Numbers of an XDMF file: written in the XML, in HDF5 or raw files beside it, and selections from them.

What an item declares is held against what is there (length of the text, size of the file, stored size of the data set)
before anything is allocated. Of HDF5 only plain links inside the one file are followed.

Source: XDMF Model and Format, "DataItem"; the attributes of version 2 (NumberType, Type) and 3 (DataType, ItemType).
"""

from __future__ import annotations

import math
import re
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from graphpde.mesh.io.hdf5.data_sets import DataSets
from graphpde.mesh.io.raw import Unreadable, integers, numbers
from graphpde.mesh.io.references import inside
from graphpde.mesh.io.vtk.cells import IMPLIED
from graphpde.mesh.io.xdmf.tree import Element, Tree

_LETTERS = {"float": "f", "int": "i", "uint": "u", "char": "i", "uchar": "u", "short": "i", "ushort": "u"}
_SIZES = {"char": 1, "uchar": 1, "short": 2, "ushort": 2}
_FREE = 1 << 25  # bytes that may be made in any case, and
_COPIES = 4  # how often beyond that the bytes that were read; honest files use each number once or twice
_JOIN = re.compile(r"\s*JOIN\s*\(\s*\$[0-9]{1,3}(\s*[,;]\s*\$[0-9]{1,3})*\s*\)\s*", re.IGNORECASE)
_DAMAGED = (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError, EOFError)  # what h5py raises


class Unsupported(Unreadable):
    """An honest item of a sort that is not read; a field of it is left out with a note."""


class Arrays:
    """The items of one file, each read once; a context that closes the files beside it.

    Args:
        tree: the elements. folder: where the file lies; the files that it names must lie there too.
    """

    def __init__(self, tree: Tree, folder: Path):
        self.tree, self.folder = tree, folder
        self._known: dict[int, np.ndarray] = {}
        self._under_way: set[int] = set()
        self._stored_sets = DataSets()
        self._given = self._made = self._implied = 0

    def __enter__(self) -> Arrays:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stored_sets.close()

    def charge(self, size: int) -> None:
        """Count bytes that are made from what was read; a short file must not ask for the same numbers again and again.

        Raises:
            Unreadable: far more are made than were read.
        """
        self._made += size
        if self._made > _FREE + _COPIES * (self._given + self._stored_sets.size):
            raise Unreadable("it uses the same numbers over and over; no honest file does")

    def imply(self, count: int) -> None:
        """Count points that structured grids imply without listing them.

        Raises:
            Unreadable: more than are read.
        """
        self._implied += count
        if self._implied > IMPLIED:
            raise Unreadable(f"its grids imply {self._implied} points, more than the {IMPLIED} that are read")

    def items(self, node: Element) -> list[Element]:
        """The data items of an element."""
        return self.tree.children(node, "DataItem")

    def value(self, item: Element) -> np.ndarray:
        """The numbers of a data item in its declared shape; several calls give the same array.

        Raises:
            Unreadable: the item is damaged, its sizes do not agree, or it lies elsewhere.
        """
        key = id(item)
        if key not in self._known:
            if key in self._under_way:
                raise Unreadable("a data item is made from itself")
            self._under_way.add(key)
            try:
                self._known[key] = self._value(item)
            except Unreadable:
                raise
            except _DAMAGED as error:
                where, reason = (item.text or "").strip()[:60], str(error).partition("\n")[0][:80]
                raise Unreadable(f"'{where}' cannot be read; the file seems to be damaged ({reason})") from None
            finally:
                self._under_way.discard(key)
        return self._known[key]

    def whole(self, item: Element, what: str) -> np.ndarray:
        """The numbers of an item as int64.

        Raises:
            Unreadable: some are no whole numbers.
        """
        values = self.value(item)
        if values.dtype.kind == "u" and values.size and values.max() > np.iinfo(np.int64).max:
            raise Unreadable(f"{what} hold the number {values.max()}, which is too large")
        return values.astype(np.int64) if values.dtype.kind in "iu" else integers(values, what)

    def _value(self, item: Element) -> np.ndarray:
        kind = (item.get("ItemType") or item.get("Type") or "Uniform").lower()
        if kind == "uniform":
            return self._stored_sets.whole(self._source(item))
        parts = self.items(item)
        if kind == "hyperslab" and len(parts) == 2:
            out = _slab(self._source(parts[1]), self.whole(parts[0], "the numbers of a hyperslab"))
        elif kind == "coordinates" and len(parts) == 2:
            out = _picked(self.value(parts[1]), self.whole(parts[0], "the numbers of a list of coordinates"))
        elif kind == "function" and _JOIN.fullmatch(item.get("Function", "")):
            order = [int(number) for number in re.findall(r"[0-9]+", item.get("Function", ""))]
            out = _together([self.value(parts[k]) for k in order if k < len(parts)], len(order))
        else:
            what = f"a function ({item.get('Function', '')[:40]})" if kind == "function" else f"ItemType {kind[:20]}"
            raise Unsupported(f"a data item is of {what}, which is not read")
        self.charge(out.nbytes)
        shape = _declared(item)
        return out if shape is None else _shaped(out, shape, "a data item")

    def _source(self, item: Element) -> Any:
        """Something to index in the declared shape: an array, or a data set that is still on the disc."""
        if (item.get("ItemType") or item.get("Type") or "Uniform").lower() != "uniform":
            return self.value(item)
        form = item.get("Format", "XML").lower()
        shape, text = _declared(item), (item.text or "").strip()
        if form == "xml":
            kind = np.float64 if _letter(item) == "f" else np.int64
            values = numbers(self.tree.numbers_of(item), kind, "a data item")
            self._given += values.nbytes
            return _shaped(_narrowed(values, item), shape if shape is not None else (len(values),), "a data item")
        if form in ("hdf", "hdf5", "h5"):
            return self._stored(text, shape)
        if form == "binary":
            return self._raw(item, text, shape)
        raise Unsupported(f"a data item has the format {form[:20]}, expected XML, HDF or Binary")

    def _raw(self, item: Element, name: str, shape: tuple[int, ...] | None) -> np.ndarray:
        """Numbers from a file of nothing but numbers."""
        path = inside(self.folder, name, "XDMF")
        if shape is None:
            raise Unreadable(f"a data item in '{name}' does not declare its Dimensions")
        if item.get("Compression", "raw").lower() not in ("raw", "none"):
            raise Unsupported(f"'{name}' is compressed, which is not read")
        end = item.get("Endian", "native").lower()
        order = {"big": ">", "little": "<"}.get(end, "<" if sys.byteorder == "little" else ">")
        kind = np.dtype(order + _code(item))
        seek = item.get("Seek", "0").strip()
        if not re.fullmatch(r"[0-9]{1,18}", seek):
            raise Unreadable(f"a data item seeks to '{seek[:20]}', expected a number of bytes")
        left, needed = path.stat().st_size - int(seek), math.prod(shape) * kind.itemsize
        if needed > max(left, 0):
            raise Unreadable(f"a data item asks for {needed} bytes of '{name}', which has {max(left, 0)}")
        self._given += needed
        values = np.fromfile(path, kind, math.prod(shape), offset=int(seek))
        return values.astype(kind.newbyteorder("="), copy=False).reshape(shape)

    def _stored(self, text: str, shape: tuple[int, ...] | None) -> Any:
        """A data set of an HDF5 file, ``FILE:/PATH`` with perhaps ``|start|stride|count|size`` behind it."""
        address, *selection = text.split("|")
        name, colon, path = (word.strip() for word in address.partition(":"))
        if not colon or not name or not path:
            raise Unreadable(f"a data item names '{text[:60]}', expected FILE:/PATH of a data set")
        found = self._stored_sets.find(inside(self.folder, name, "XDMF"), path)
        if selection:
            if len(selection) != 4:
                raise Unreadable(f"the selection in '{text[:60]}' has {len(selection)} parts, expected 4")
            found = _slab(found, np.concatenate([numbers(part, np.int64, "a selection") for part in selection[:3]]))
        if shape is None or found.shape == shape:
            return found
        if math.prod(shape) != math.prod(found.shape):
            raise Unreadable(f"{path} of '{name}' has the shape {list(found.shape)}, expected {list(shape)}")
        return self._stored_sets.whole(found).reshape(shape)


def _declared(item: Element) -> tuple[int, ...] | None:
    text = item.get("Dimensions")
    if text is None:
        return None
    words = text.split()
    if not words or len(words) > 16 or not all(re.fullmatch(r"[0-9]{1,18}", word) for word in words):
        raise Unreadable(f"a data item has the Dimensions '{text[:40]}', expected counts")
    return tuple(map(int, words))


def _letter(item: Element) -> str:
    name = (item.get("NumberType") or item.get("DataType") or "Float").lower()
    if name not in _LETTERS:
        raise Unsupported(f"a data item holds {name[:20]}, expected one of {', '.join(_LETTERS)}")
    return _LETTERS[name]


def _code(item: Element) -> str:
    """The NumPy type of an item as letter and size; four bytes where the file does not say."""
    letter, name = _letter(item), (item.get("NumberType") or item.get("DataType") or "").lower()
    size = item.get("Precision") or str(_SIZES.get(name, 4))
    if size.strip() not in (("4", "8") if letter == "f" else ("1", "2", "4", "8")):
        raise Unreadable(f"a data item of {letter}{size[:10]} has no such precision")
    return letter + size.strip()


def _narrowed(values: np.ndarray, item: Element) -> np.ndarray:
    """Numbers from text in the type that the item declares, where it does and they fit."""
    if item.get("Precision") is None:
        return values
    with np.errstate(over="ignore"):
        out = values.astype(_code(item))
    same = np.array_equal(np.isinf(out), np.isinf(values)) if out.dtype.kind == "f" else np.array_equal(out, values)
    return out if same else values


def _shaped(values: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    if values.size != math.prod(shape):
        raise Unreadable(f"{what} declares {math.prod(shape)} numbers and holds {values.size}; it may be cut off")
    return values.reshape(shape)


def _slab(source: Any, table: np.ndarray) -> np.ndarray:
    """A regular selection: rows of start, stride and count, one column per dimension."""
    table = table.reshape(3, -1) if table.size % 3 == 0 else np.empty((3, 0), dtype=np.int64)
    if table.shape[1] != len(source.shape):
        raise Unreadable(f"a hyperslab has {table.shape[1]} columns for {len(source.shape)} dimensions")
    slices = []
    for start, stride, count, size in zip(*table.tolist(), source.shape):
        stride = stride or 1
        if start < 0 or stride < 0 or count < 0 or (count and start + (count - 1) * stride >= size):
            raise Unreadable(f"a hyperslab takes {count} from {start} by {stride} of {size}")
        slices.append(slice(start, start + (count - 1) * stride + 1 if count else start, stride))
    return np.asarray(source[tuple(slices)])


def _picked(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Single numbers, one row of indices each."""
    if values.ndim == 0 or table.size % values.ndim:
        raise Unreadable(f"a list of coordinates has {table.size} numbers for {values.ndim} dimensions")
    rows = table.reshape(-1, values.ndim)
    if ((rows < 0) | (rows >= values.shape)).any():
        raise Unreadable(f"a list of coordinates leaves the shape {list(values.shape)}")
    return values[tuple(rows.T)]


def _together(parts: list[np.ndarray], count: int) -> np.ndarray:
    """Components side by side."""
    if len(parts) != count or any(part.size != parts[0].size for part in parts):
        sizes = ", ".join(str(part.size) for part in parts) or "no"
        raise Unreadable(f"{count} components are joined from parts of {sizes} numbers")
    return np.stack([part.reshape(-1) for part in parts], 1)
