"""What a kernel needs to know about a relation seen from one side: rows, columns, and where each edge's weight lies."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Plan(NamedTuple):
    """One orientation of a relation as compressed rows.

    Attributes:
        ptr: row offsets [n_out + 1], or None when every row holds exactly one edge (a selection).
        idx: input node of each slot [e].
        row: output node of each slot [e].
        perm: own-order edge of each slot [e], or None when slots are in own order.
        n_in, n_out: numbers of input and output nodes.

    Index tensors are int32 where they fit: measured faster, and MKL would convert int64 on every call.
    """

    ptr: Tensor | None
    idx: Tensor
    row: Tensor
    perm: Tensor | None
    n_in: int
    n_out: int


def index_dtype(*sizes: int) -> torch.dtype:
    """int32 where every size fits, int64 beyond."""
    return torch.int32 if max(sizes, default=0) < 2**31 - 1 else torch.int64
