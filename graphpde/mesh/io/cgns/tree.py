"""Nodes of a CGNS file as HDF5 holds them: each a group with a label, its content in the data set ``' data'``."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphpde.mesh.io.hdf5.tree import characters, data, groups, label, numbers, text
from graphpde.mesh.io.raw import Unreadable

_DATA = " data"  # the name begins with a blank


def children(node: Any, kind: str = "") -> dict[str, Any]:
    """The nodes below a node, by name; only those with the label ``kind``, if given.

    Raises:
        Unreadable: one of them lies in another file or place.
    """
    found = groups(node)
    for name, child in found.items():
        if label(child, "type") == "LK":
            raise Unreadable(f"'{name}' links to another place, which is not allowed; join the files with cgnscompress")
    return {name: child for name, child in found.items() if not kind or label(child, "label") == kind}


def values(node: Any) -> np.ndarray:
    """The numbers of a node, in the shape of the file: the last index of CGNS comes first."""
    return numbers(node, _DATA)


def word(node: Any) -> str:
    """The text of a node."""
    return text(characters(node, _DATA))


def has_values(node: Any) -> bool:
    """Whether a node has content of its own."""
    return data(node, _DATA) is not None
