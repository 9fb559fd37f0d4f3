"""Files that name other files: what they name must lie in their own folder, or reading stops.

A mesh from somebody else must not be able to read what its reader's owner can read.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

from graphpde.mesh.io.raw import Unreadable

_LINK = 16  # bytes that an entry of a group takes at least
_LARGEST, _TIMES = 1 << 26, 64  # bytes that a data set may unpack to, or for each byte of its file


def inside(folder: Path, name: str, what: str) -> Path:
    """The named file, which must lie in the folder or below it, links resolved.

    Raises:
        Unreadable: it does not, or it is missing.
    """
    root = os.path.realpath(folder)
    target = os.path.realpath(os.path.join(root, name))
    if os.path.commonpath([root, target]) != root:
        raise Unreadable(f"{what} names '{name}', which is outside the folder of the mesh")
    if not os.path.isfile(target):
        raise Unreadable(f"{what} names '{name}', which is not there; keep it beside the mesh")
    return Path(target)


def check_hdf5(path: Path) -> None:
    """Refuse HDF5 that links to other files, stores its numbers there, or unpacks to far more than it is.

    Raises:
        Unreadable: an external link or external storage, a data set that claims too much.
        ModuleNotFoundError: h5py is missing.
    """
    if not _is_hdf5(path):
        return
    import h5py

    left = path.stat().st_size // _LINK
    most = max(_LARGEST, _TIMES * path.stat().st_size)

    def walk(group: h5py.Group, depth: int) -> None:
        nonlocal left
        if depth > 64:
            raise Unreadable("its HDF5 groups go more than 64 levels deep")
        for name in group:
            left -= 1
            if left < 0:  # a group in itself has more ways through it than anyone can walk
                raise Unreadable("its HDF5 groups lead to each other in circles")
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                raise Unreadable(f"'{name}' links to another file, which is not allowed")
            if isinstance(group.get(name, getlink=True), h5py.SoftLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                walk(item, depth + 1)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise Unreadable(f"'{name}' stores its numbers in another file, which is not allowed")
            elif isinstance(item, h5py.Dataset) and item.shape is not None and not _is_bare(item):
                size = math.prod(item.shape) * item.dtype.itemsize
                if size > most:
                    raise Unreadable(f"'{name}' holds {size} bytes, far more than a file of this size should")

    with h5py.File(path, "r") as file:
        walk(file, 0)


def _is_bare(item: Any) -> bool:
    """Whether a data set only marks a dimension of netCDF: it has a length and never numbers."""
    name = item.attrs.get("NAME")
    return isinstance(name, bytes) and name.startswith(b"This is a netCDF dimension but not a netCDF variable")


def _is_hdf5(path: Path) -> bool:
    """Whether the signature stands at byte 0, 512, 1024, 2048, ...; found without h5py, which may be missing."""
    position, size = 0, path.stat().st_size
    with open(path, "rb") as file:
        while position < size:
            file.seek(position)
            if file.read(8) == b"\x89HDF\r\n\x1a\n":
                return True
            position = 2 * position or 512
    return False
