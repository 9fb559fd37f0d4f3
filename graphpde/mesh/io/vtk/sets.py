"""Named sets as arrays in the field data of VTK files, which other programs carry along and do not mind.

An array ``set:NAME`` holds the dimension, a width, and then cell or point numbers (width 0) or the corner points of
each facet or edge, padded with -1. ``space_dim`` beside them keeps a flat surface in 3-D apart from a plane mesh.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphpde.mesh.io.raw import CellSet, FacetSet, RawMesh, Unreadable
from graphpde.mesh.mesh import Mesh

_PREFIX = "set:"
_SPACE = "space_dim"


def stored(mesh: Mesh) -> dict[str, np.ndarray]:
    """The arrays that hold the dimension of space and all named sets."""
    arrays = {_SPACE: np.array([mesh.space_dim])}
    for name, tag in mesh.tags.items():
        if tag.dim in (0, mesh.dim):
            head, body = [tag.dim, 0], tag.ids.numpy()
        else:
            nodes = mesh.entities(tag.dim).nodes[tag.ids].numpy()
            head, body = [tag.dim, nodes.shape[1]], nodes.reshape(-1)
        arrays[_PREFIX + name] = np.concatenate([head, body])
    return arrays


def is_stored(name: str) -> bool:
    """Whether an array of that name belongs to the stored sets."""
    return name == _SPACE or name.startswith(_PREFIX)


def restore(raw: RawMesh, arrays: Mapping[str, np.ndarray], sources: list[np.ndarray]) -> None:
    """Add the sets that ``arrays`` hold; those of files that this library did not write are left alone.

    Args:
        sources: for each block the listed cell that each of its cells came from.

    Raises:
        Unreadable: an array that is no set, or that names cells that do not exist.
    """
    if _SPACE not in arrays:
        return
    raw.space_dim = int(_whole(arrays[_SPACE], _SPACE, 1)[0])
    count = max((int(source.max()) + 1 for source in sources if len(source)), default=0)
    block_of, row_of = np.zeros(count, dtype=np.int64), np.zeros(count, dtype=np.int64)
    for number, source in enumerate(sources):
        block_of[source], row_of[source] = number, np.arange(len(source))
    for name, array in arrays.items():
        if not name.startswith(_PREFIX):
            continue
        label = name[len(_PREFIX) :]
        values = _whole(array, label, 2)
        dim, width, body = int(values[0]), int(values[1]), values[2:]
        if width < 0 or (width and len(body) % width):
            raise Unreadable(f"the set '{label}' is damaged")
        if width:
            raw.facet_sets.append(FacetSet(label, dim, body.reshape(-1, width)))
        elif dim == 0:
            raw.point_sets.append((label, body))
        else:
            if len(body) and not 0 <= body.min() <= body.max() < count:
                raise Unreadable(f"the set '{label}' names cells that do not exist")
            members = [row_of[body[block_of[body] == number]] for number in range(len(sources))]
            raw.cell_sets.append(CellSet(label, list(members)))


def _whole(values: np.ndarray, label: str, least: int) -> np.ndarray:
    """The whole numbers of a set."""
    if values.dtype.kind not in "iu" or values.size < least:
        raise Unreadable(f"the set '{label}' is damaged")
    return values.reshape(-1).astype(np.int64)
