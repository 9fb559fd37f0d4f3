"""The tree of an HDF5 file that somebody else wrote: its groups, numbers, texts and attributes, each checked."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.mesh.io.hdf5.data_sets import check_stored
from graphpde.mesh.io.raw import Unreadable
from graphpde.mesh.io.references import check_hdf5

_NO_NAME = "a name in it is no UTF-8 text; the file is probably damaged"
_LONGEST = 1 << 24  # bytes of names in one data set


@contextmanager
def opened(path: Path, otherwise: str) -> Iterator[Any]:
    """The root of a file that leads to no other one.

    Args:
        otherwise: what to say of a file that is no HDF5.

    Raises:
        Unreadable: it is none, or leads elsewhere. ModuleNotFoundError: h5py is missing.
    """
    import h5py

    try:
        check_hdf5(path)
        file = h5py.File(path, "r")
    except UnicodeDecodeError:
        raise Unreadable(_NO_NAME) from None
    except (OSError, RuntimeError, KeyError) as error:  # what h5py raises on damaged structure
        if "signature" in str(error):
            raise Unreadable(otherwise) from None
        raise Unreadable(f"it is no intact HDF5 file ({_brief(error)})") from None
    with file:
        try:
            yield file
        except UnicodeDecodeError:
            raise Unreadable(_NO_NAME) from None
        except (OSError, RuntimeError) as error:
            raise Unreadable(f"its HDF5 structure is damaged ({_brief(error)})") from None


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:120].rstrip(".")


def groups(node: Any) -> dict[str, Any]:
    """The groups in a group, by name.

    Raises:
        Unreadable: one of its members is reached by a link.
    """
    found = {name: _member(node, name) for name in node}
    return {name: child for name, child in found.items() if hasattr(child, "keys")}


def group(node: Any, *names: str) -> Any:
    """A group below a group, or None."""
    for name in names:
        node = _member(node, name)
        if not hasattr(node, "keys"):
            return None
    return node


def _member(node: Any, name: str) -> Any:
    """What a group holds under a name, or None."""
    import h5py

    link = node.get(name, getlink=True)
    if link is not None and not isinstance(link, h5py.HardLink):
        raise Unreadable(f"'{name}' leads elsewhere by a link, which is not allowed")
    return None if link is None else node[name]


def data(node: Any, name: str) -> Any:
    """A data set in a group, still on the disc, or None.

    Raises:
        Unreadable: it is a link or no data set.
    """
    found = _member(node, name)
    if found is not None and not hasattr(found, "chunks"):
        raise Unreadable(f"'{name}' in '{node.name}' is no data set")
    return found


def numbers(node: Any, name: str) -> np.ndarray:
    """The numbers of a data set, in the shape they are stored in.

    Raises:
        Unreadable: as ``data``, or it is missing.
    """
    found = data(node, name)
    if found is None:
        raise Unreadable(f"'{node.name}' holds no '{name.strip()}'")
    check_stored(found, f"'{found.name}'", Path(node.file.filename).stat().st_size)
    return np.asarray(found[()])


def characters(node: Any, name: str) -> bytes:
    """The bytes of a data set of characters, however they are typed; none if it is missing.

    Raises:
        Unreadable: as ``data``, or it holds no characters of fixed length.
    """
    found = data(node, name)
    if found is None:
        return b""
    base = found.dtype.base
    size = math.prod(found.shape or ()) * found.dtype.itemsize
    if base.kind not in "iuS" or (base.kind != "S" and base.itemsize != 1) or size > _LONGEST:
        raise Unreadable(f"'{found.name}' holds no text")
    if found.external or found.is_virtual or size > 1032 * found.id.get_storage_size() + 1024:
        raise Unreadable(f"'{found.name}' declares {size} bytes and stores {found.id.get_storage_size()}")
    return np.asarray(found[()]).tobytes()


def text(raw: bytes) -> str:
    """A text of fixed length without what fills it up."""
    return raw.split(b"\0")[0].decode("utf-8", "replace").strip()


def number(node: Any, name: str, default: int) -> int:
    """An attribute that is one whole number."""
    value = node.attrs.get(name)
    if value is None:
        return default
    if np.size(value) != 1 or np.asarray(value).dtype.kind not in "iu":
        raise Unreadable(f"{name} of '{node.name}' is no whole number")
    return int(np.ravel(value)[0])


def label(node: Any, name: str) -> str:
    """An attribute that is a text; empty if it is missing or something else."""
    value = node.attrs.get(name)
    if isinstance(value, str):
        return value.strip("\0 ")
    return text(bytes(value)) if isinstance(value, bytes) else ""
