"""Data sets of HDF5 files that somebody else wrote: plain ones in the file itself, no larger than what is stored."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.io.raw import Unreadable

_RATIO = 1032  # no honest compression of HDF5 expands further
_SLACK = 1 << 16  # bytes that a data set may imply without storing them
_CHUNK = 1 << 26  # bytes of a chunk, which is expanded as a whole, beyond the size of its data set
_LARGEST, _TIMES = 1 << 26, 64  # bytes that a compressed data set may expand to, or for each byte of its file


class DataSets:
    """Data sets by file and path; files stay open until ``close``, numbers are read once."""

    def __init__(self) -> None:
        self._files: dict[Path, Any] = {}
        self._values: dict[tuple[str, str], np.ndarray] = {}
        self._sizes: dict[tuple[str, str], int] = {}

    @property
    def size(self) -> int:
        """Bytes of all data sets that were looked up, each counted once."""
        return sum(self._sizes.values())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def find(self, file: Path, path: str) -> Any:
        """The data set, still on the disc; every link on the way must be a plain one.

        Raises:
            Unreadable: no HDF5, no such data set, a link or numbers in another file, more numbers than are stored.
                ModuleNotFoundError: h5py is missing.
        """
        import h5py

        if file not in self._files:
            try:
                self._files[file] = h5py.File(file, "r")
            except OSError:
                raise Unreadable(f"'{file.name}', which it names, is no intact HDF5 file") from None
        node = self._files[file]
        for part in filter(None, path.split("/")):
            link = node.get(part, getlink=True) if isinstance(node, h5py.Group) and part != "." else None
            if link is None:
                raise Unreadable(f"'{file.name}' holds no {path}")
            if not isinstance(link, h5py.HardLink):
                raise Unreadable(f"{path} of '{file.name}' leads elsewhere by a link, which is not allowed")
            node = node[part]
        if not isinstance(node, h5py.Dataset):
            raise Unreadable(f"{path} of '{file.name}' is a group, expected a data set")
        check_stored(node, f"{path} of '{file.name}'", file.stat().st_size)
        self._sizes[node.file.filename, node.name] = math.prod(node.shape) * node.dtype.itemsize
        return node

    def whole(self, source: Any) -> np.ndarray:
        """All numbers of a data set; an array is returned as it is."""
        if isinstance(source, np.ndarray):
            return source
        key = (source.file.filename, source.name)
        if key not in self._values:
            self._values[key] = np.asarray(source[()])
        return self._values[key]


def check_stored(found: Any, what: str, size: int) -> None:
    """Refuse a data set that lies elsewhere, holds no numbers, or claims more than is stored in a file of ``size``."""
    if found.external or found.is_virtual:
        raise Unreadable(f"{what} stores its numbers in another file, which is not allowed")
    if found.dtype.kind not in "iufb" or found.dtype.itemsize > 8 or found.shape is None:
        raise Unreadable(f"{what} holds no plain numbers")
    stored = min(found.id.get_storage_size(), size)
    needed, chunk = (math.prod(shape) * found.dtype.itemsize for shape in (found.shape, found.chunks or (0,)))
    limit = stored if found.chunks is None else min(_RATIO * stored, max(_LARGEST, _TIMES * size))
    if needed > limit + _SLACK:
        raise Unreadable(f"{what} declares {needed} bytes and stores {stored}")
    if chunk > max(_CHUNK, needed):
        raise Unreadable(f"{what} holds {needed} bytes in chunks of {chunk}, which no honest file does")
