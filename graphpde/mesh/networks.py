"""Networks: line cells that meet in points, in any dimension."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from graphpde.errors import MeshError
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.structured import cell_count


def network(
    points: Any,
    lines: Any,
    *,
    size: float | None = None,
    names: Mapping[str, Sequence[int]] | None = None,
    branches: Mapping[str, Sequence[int]] | None = None,
    name: str = "network",
) -> Mesh:
    """A network of straight lines between points, each cut into equal cells no longer than ``size``.

    Open ends are the built-in set "boundary". Given points keep their numbers; new ones follow, line by line.

    Args:
        points: [n, d]. lines: pairs of point numbers [k, 2]; two lines may join the same points.
        size: longest cell allowed; None leaves every line one cell.
        names: set of points -> their numbers. branches: set of cells -> numbers of the lines they come from.
        name: of the mesh.

    Raises:
        MeshError: lines that name a point that is not there, lines without length, a set that names what is not there.
    """
    x = np.asarray(points, dtype=np.float64)
    ends = np.asarray(lines, dtype=np.int64)
    if x.ndim != 2 or ends.ndim != 2 or ends.shape[1] != 2 or not len(ends):
        raise MeshError(f"points {list(x.shape)} and lines {list(ends.shape)}, expected [n, d] and [k, 2] with k >= 1")
    _check_numbers("lines", ends, len(x), "points")
    length = np.linalg.norm(x[ends[:, 1]] - x[ends[:, 0]], axis=1)
    if not (length > 0).all():
        raise MeshError(f"line {int(np.argmin(length > 0))} has no length; join two different points")
    pieces = np.array([1 if size is None else cell_count(s, size) for s in length])
    new, cells, count = [x], [], len(x)
    for (a, b), k in zip(ends, pieces):
        share = (np.arange(1, k) / k)[:, None]
        new.append((1 - share) * x[a] + share * x[b])
        chain = np.concatenate([[a], np.arange(count, count + k - 1), [b]])
        cells.append(np.stack([chain[:-1], chain[1:]], 1))
        count += k - 1
    mesh = Mesh(np.concatenate(new), {"line": np.concatenate(cells)}, name=name)
    line_of_cell = torch.from_numpy(np.repeat(np.arange(len(ends)), pieces))
    tags = {}
    for label, ids in (names or {}).items():
        _check_numbers(f"set '{label}'", np.asarray(ids), len(x), "points")
        tags[label] = mesh.make_tag(0, list(ids))
    for label, ids in (branches or {}).items():
        _check_numbers(f"set '{label}'", np.asarray(ids), len(ends), "lines")
        if label in tags:
            raise MeshError(f"set '{label}' is given for points and for branches; use two names")
        chosen = torch.isin(line_of_cell, torch.as_tensor(list(ids)))
        tags[label] = mesh.make_tag(1, chosen.nonzero()[:, 0])
    return mesh.with_tags(**tags)


def star(arms: int = 3, n: int = 10, length: float = 1.0) -> Mesh:
    """Equal arms of ``n`` lines that meet at the origin of the plane; sets "centre", "end0", ... and "arm0", ...

    Raises:
        MeshError: no arms, no cells or no length.
    """
    if arms < 1 or n < 1 or not length > 0:
        raise MeshError(f"a star of {arms} arms of {n} cells and length {length}: all must be positive")
    angle = np.pi / 2 + 2 * np.pi * np.arange(arms) / arms
    tips = length * np.stack([np.cos(angle), np.sin(angle)], 1)
    ends = {f"end{k}": [k + 1] for k in range(arms)}
    return network(
        np.concatenate([np.zeros((1, 2)), tips]),
        [(0, k + 1) for k in range(arms)],
        size=length / n,
        names={"centre": [0], **ends},
        branches={f"arm{k}": [k] for k in range(arms)},
        name="star",
    )


def _check_numbers(what: str, given: np.ndarray, count: int, of: str) -> None:
    wrong = given[(given < 0) | (given >= count)]
    if wrong.size:
        raise MeshError(f"{what} of the network names {int(wrong.flat[0])}, expected {of} 0..{count - 1}")
