"""What a kernel needs to know about a relation seen from one side: rows, columns, and where each edge's weight lies."""

from __future__ import annotations

import itertools
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

_numbers = itertools.count()
_plans: WeakValueDictionary[int, Any] = WeakValueDictionary()


class Plan:
    """One orientation of a relation as compressed rows.

    Attributes:
        ptr: row offsets [n_out + 1], or None when every row holds exactly one edge (a selection).
        idx: input node of each slot [e].
        row: output node of each slot [e].
        perm: own-order edge of each slot [e], or None when slots are in own order.
        n_in, n_out: numbers of input and output nodes.
        native: what the native backend made of this plan, kept for the next call.
        key: its number in this process, by which a registered operator finds it again.

    Index tensors are int32 where they fit: measured faster, and MKL would convert int64 on every call.
    """

    __slots__ = ("__weakref__", "idx", "key", "n_in", "n_out", "native", "perm", "ptr", "row")

    native: Any

    def __init__(self, ptr: Tensor | None, idx: Tensor, row: Tensor, perm: Tensor | None, n_in: int, n_out: int):
        self.ptr, self.idx, self.row, self.perm, self.n_in, self.n_out = ptr, idx, row, perm, n_in, n_out
        self.native = None
        self.key = next(_numbers)
        _plans[self.key] = self

    def __reduce__(self) -> tuple[Any, ...]:
        # a copy has tensors elsewhere in memory: neither its number nor what the native backend keeps is this one's
        return Plan, (self.ptr, self.idx, self.row, self.perm, self.n_in, self.n_out)

    def parts(self) -> tuple[Tensor | None, Tensor, Tensor, Tensor | None, int, int, int]:
        """The arguments of the registered operators, which take tensors and numbers only."""
        return self.ptr, self.idx, self.row, self.perm, self.n_in, self.n_out, self.key

    @classmethod
    def of(
        cls, ptr: Tensor | None, idx: Tensor, row: Tensor, perm: Tensor | None, n_in: int, n_out: int, key: int
    ) -> Plan:
        """The plan with these :meth:`parts`: the one that lives, or a copy."""
        known = _plans.get(key)
        if known is not None and known.idx.data_ptr() == idx.data_ptr():
            return known
        return cls(ptr, idx, row, perm, n_in, n_out)


_FAR = 1 << 14  # numbers between successive nodes, on average, beyond which a cache no longer holds both


def is_scattered(nodes: Tensor) -> bool:
    """Whether successive node numbers [e] lie far apart, judged by a sample."""
    step = max(nodes.numel() // 20_000, 1)
    jumps = nodes[1::step].to(torch.float64) - nodes[:-1:step].to(torch.float64)
    return jumps.numel() > 0 and float(jumps.abs().mean()) > _FAR


def index_dtype(*sizes: int) -> torch.dtype:
    """int32 where every size fits, int64 beyond."""
    return torch.int32 if max(sizes, default=0) < 2**31 - 1 else torch.int64
