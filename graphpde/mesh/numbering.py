"""The order of the unknowns: the mesh's own, or one in which neighbours lie close in memory."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphpde.core.kernels.plan import is_scattered
from graphpde.core.ordering import bandwidth_order
from graphpde.mesh.rows import distinct


def numbered(cells: Sequence[Tensor], n: int, reorder: bool | None) -> Tensor:
    """The point of each unknown; one unknown for each of n points that is a node of a cell.

    Args:
        cells: nodes [m, k] of the cells of each type.
        reorder: False keeps the mesh's order, True reduces the bandwidth, None does so where the order is scattered.
    """
    used = distinct(torch.cat([nodes.reshape(-1) for nodes in cells]), n)
    if reorder is None:
        reorder = any(is_scattered(nodes.flatten()) for nodes in cells)
    if not reorder or len(used) == 0:
        return used
    place = torch.full((n,), -1, dtype=torch.int64)
    place[used] = torch.arange(len(used))
    pairs = [pairs_of(place[nodes]) for nodes in cells]
    rows, columns = (torch.cat([pair[k] for pair in pairs]) for k in range(2))
    return used[bandwidth_order(rows, columns, len(used))]


def pairs_of(dofs: Tensor) -> tuple[Tensor, Tensor]:
    """(src, dst) of every off-diagonal local entry (i, j), row i = destination, in the order of a[:, mask]."""
    k = dofs.shape[1]
    i, j = off_diagonal(k).nonzero(as_tuple=True)
    return dofs[:, j].reshape(-1), dofs[:, i].reshape(-1)


def off_diagonal(k: int) -> Tensor:
    return ~torch.eye(k, dtype=torch.bool)
