"""Files that name other files: what they name must lie in their own folder, or reading stops.

A mesh from somebody else must not be able to read what its reader's owner can read.
"""

from __future__ import annotations

import os
from pathlib import Path

from graphpde.mesh.io.raw import Unreadable


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
    """Refuse HDF5 that links to other files or stores its numbers there.

    Raises:
        Unreadable: an external link or external storage. ModuleNotFoundError: h5py is missing.
    """
    if not _is_hdf5(path):
        return
    import h5py

    def walk(group: h5py.Group, depth: int) -> None:
        if depth > 64:
            raise Unreadable("its HDF5 groups go more than 64 levels deep")
        for name in group:
            if isinstance(group.get(name, getlink=True), h5py.ExternalLink):
                raise Unreadable(f"'{name}' links to another file, which is not allowed")
            if isinstance(group.get(name, getlink=True), h5py.SoftLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Group):
                walk(item, depth + 1)
            elif isinstance(item, h5py.Dataset) and (item.external or item.is_virtual):
                raise Unreadable(f"'{name}' stores its numbers in another file, which is not allowed")

    with h5py.File(path, "r") as file:
        walk(file, 0)


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
