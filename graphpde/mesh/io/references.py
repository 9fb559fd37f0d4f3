"""Files that name other files: what they name must lie in their own folder, or reading stops.

A mesh from somebody else must not be able to read what its reader's owner can read.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from graphpde.mesh.io.raw import Unreadable

_ITEM = re.compile(rb"<DataItem\b([^>]*)>([^<]*)", re.IGNORECASE)


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


def check_xdmf(path: Path) -> None:
    """Refuse XDMF that reads files elsewhere, raw side files (meshio looks for them in the working folder), entities.

    Raises:
        Unreadable: see above, or a side file is missing.
    """
    data = path.read_bytes()
    if b"<!ENTITY" in data or (b"xi:include" in data.lower() and b"xpointer" not in data.lower()):
        raise Unreadable("it defines entities or includes other files, which is not allowed")
    grids = len(re.findall(rb"<Grid\b[^>]*GridType\s*=\s*[\"']Uniform", data, re.IGNORECASE))
    if b"CollectionType" in data or grids > 1:
        raise Unreadable("it is a collection of grids (a time series or checkpoint); save a single one")
    for attributes, text in _ITEM.findall(data):
        form = re.search(rb"Format\s*=\s*[\"'](\w+)", attributes, re.IGNORECASE)
        kind = form.group(1).lower() if form else b"xml"
        if kind == b"binary":
            raise Unreadable("it stores numbers in a raw side file; save it with HDF5 or inline XML numbers")
        if kind in (b"hdf", b"hdf5") and text.strip():
            check_hdf5(inside(path.parent, text.strip().decode("utf-8", "replace").partition(":")[0], "XDMF"))


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
