"""Edges brought into order: validated node numbers and a stable counting sort."""

from __future__ import annotations

import operator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.kernels.plan import index_dtype
from graphpde.errors import GraphError, IndexTypeError, ShapeError


class Rows(NamedTuple):
    """Edges sorted stably by row, int32 where every number fits.

    Attributes:
        ptr: offsets of the rows [n_rows + 1]. columns: column of each slot [e]. order: given edge in each slot [e].
    """

    ptr: Tensor
    columns: Tensor
    order: Tensor


def sorted_by_row(rows: Tensor, columns: Tensor, n_rows: int, n_columns: int) -> Rows:
    """Stable sort of the pairs (rows [e], columns [e]) by row in O(e + n)."""
    small = index_dtype(n_rows, n_columns, rows.numel())
    rows, columns = rows.to(small), columns.to(small)
    if rows.device.type != "cpu":
        keys, order = torch.sort(rows, stable=True)
        return Rows(_offsets(keys, n_rows), columns[order], order.to(small))
    from scipy.sparse import coo_matrix  # its conversion to compressed rows is a counting sort in C

    slots = np.arange(rows.numel(), dtype=np.int32 if small == torch.int32 else np.int64)
    pairs = coo_matrix((slots, (rows.numpy(), columns.numpy())), shape=(n_rows, n_columns))
    pairs.has_canonical_format = True  # parallel edges stay: without this the slots of equal pairs would be added up
    out = pairs.tocsr()
    return Rows(*(torch.from_numpy(x).to(small) for x in (out.indptr, out.indices, out.data)))


def rows_of(ptr: Tensor) -> Tensor:
    """Row of each slot [e] from the offsets [n + 1]."""
    rows = torch.arange(ptr.numel() - 1, dtype=ptr.dtype, device=ptr.device)
    if ptr.device.type != "cpu":
        return torch.repeat_interleave(rows, ptr.diff())
    return torch.from_numpy(np.repeat(rows.numpy(), ptr.diff().numpy()))  # ten times faster than torch's


def inverse(order: Tensor) -> Tensor:
    """The permutation that undoes ``order``."""
    slots = torch.arange(order.numel(), dtype=order.dtype, device=order.device)
    return torch.empty_like(order).scatter_(0, order.to(torch.int64), slots)


def bandwidth_order(rows: Tensor, columns: Tensor, n: int) -> Tensor:
    """A numbering in which neighbours lie close in memory: the old number of each new node [n], int64.

    Reverse Cuthill-McKee of the symmetric pattern given by the pairs (rows [e], columns [e]).

    Reference: George and Liu 1981, Computer Solution of Large Sparse Positive Definite Systems, section 4.3.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import reverse_cuthill_mckee

    ones = np.ones(rows.numel(), np.int8)
    pattern = coo_matrix((ones, (rows.numpy(), columns.numpy())), shape=(n, n)).tocsr()
    return torch.from_numpy(reverse_cuthill_mckee(pattern, symmetric_mode=True).astype(np.int64))


def node_count(n: Any, what: str) -> int:
    """``n`` as a number of nodes.

    Raises:
        GraphError: not a whole number >= 0.
    """
    try:
        count = operator.index(n)
    except TypeError:
        count = -1
    if count < 0:
        raise GraphError(f"{what} = {n}, expected a whole number of nodes >= 0")
    return count


def node_numbers(x: Any, what: str, n: int) -> Tensor:
    """``x`` as node numbers [e], each in 0..n-1.

    Raises:
        IndexTypeError: not integers. ShapeError: not one dimension. GraphError: out of range, names the first position.
    """
    x = torch.as_tensor(x)
    if x.numel() == 0:
        x = x.to(torch.int64)  # an empty list is a float tensor
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise IndexTypeError(f"{what} has type {x.dtype}, expected integer node numbers")
    if x.dim() != 1:
        raise ShapeError(f"{what} has shape {list(x.shape)}, expected [e]")
    if x.dtype not in (torch.int32, torch.int64):
        if x.dtype == torch.uint64 and bool((x.view(torch.int64) < 0).any()):
            raise GraphError(f"{what} has numbers beyond 2^63, expected 0..{n - 1}")
        x = x.to(torch.int64)
    low, high = (int(v) for v in torch.aminmax(x)) if x.numel() else (0, -1)
    if low < 0 or high >= n:
        bad = int(((x < 0) | (x >= n)).nonzero()[0, 0])
        known = f"expected 0..{n - 1}" if n else "for there are no nodes"
        raise GraphError(f"{what}[{bad}] = {int(x[bad])} is out of range, {known}")
    return x


def _offsets(keys: Tensor, n: int) -> Tensor:
    """Offsets [n + 1] of the values 0..n-1 in sorted ``keys``."""
    return torch.searchsorted(keys, torch.arange(n + 1, dtype=keys.dtype, device=keys.device)).to(keys.dtype)
