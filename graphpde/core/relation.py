"""Who talks to whom: the only place that holds index pairs and the only place that sums over edges."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core import message as _message
from graphpde.core.kernels import Plan, index_dtype
from graphpde.core.message import Sides
from graphpde.errors import GraphError, IndexTypeError, InputError, ShapeError

Message = Callable[[Tensor, Tensor, Any], Tensor]


class Relation:
    """Directed edges from ``n_src`` source nodes to ``n_dst`` destination nodes; a value that never changes.

    Every per-edge tensor is in *own order*: the given edges sorted stably by destination. ``edge_map`` [e_given]
    is the own position of each given edge; :meth:`own` and :meth:`given` translate. The row plans (compressed rows,
    transpose) are built on first use, or by :meth:`prepare`.

    Build with :meth:`from_edges`.
    """

    n_src: int
    n_dst: int

    def __init__(self, src: Tensor, dst: Tensor, n_src: int, n_dst: int, edge_map: Tensor | None, ptr: Tensor | None):
        # own order already; public construction goes through from_edges
        self.__dict__.update(_src=src, _dst=dst, n_src=n_src, n_dst=n_dst, _edge_map=edge_map, _ptr=ptr)

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"Relation is frozen; build a new one instead of setting '{key}'")

    def __repr__(self) -> str:
        return f"Relation({self.n_src} -> {self.n_dst}, {self.n_edges} edges)"

    @classmethod
    def from_edges(cls, src: Any, dst: Any, n_src: int, n_dst: int, *, coalesce: bool = False) -> Relation:
        """Relation with an edge from ``src[k]`` to ``dst[k]`` for each k.

        Args:
            src, dst: node numbers [e], any integer type.
            coalesce: merge equal pairs (mesh assembly wants it; a citation graph or parallel pipes do not). Own order is
                then sorted by destination, then source; ``own(ones)`` gives the multiplicity.

        Raises:
            IndexTypeError: indices are not integers. ShapeError: different lengths. GraphError: an index out of range.
        """
        src, dst = _indices(src, "src", n_src), _indices(dst, "dst", n_dst)
        if src.shape != dst.shape:
            raise ShapeError(f"src has {src.numel()} entries and dst {dst.numel()}, expected equal lengths")
        if src.device != dst.device:
            raise InputError(f"src is on {src.device} and dst on {dst.device}, expected one device")
        if not coalesce:
            ptr, order = counting_sort(dst, n_dst)
            return cls(src[order], dst[order], n_src, n_dst, _inverse(order), ptr)
        _, by_src = counting_sort(src, n_src)
        _, by_dst = counting_sort(dst[by_src], n_dst)
        order = by_src[by_dst]
        s, d = src[order], dst[order]
        new = torch.ones_like(s, dtype=torch.bool)
        new[1:] = (s[1:] != s[:-1]) | (d[1:] != d[:-1])
        edge_map = torch.empty_like(order)
        edge_map[order] = new.cumsum(0) - 1
        return cls(s[new], d[new], n_src, n_dst, edge_map, None)

    # structure

    @property
    def n_edges(self) -> int:
        """Number of own edges e."""
        return self._src.numel()

    @property
    def device(self) -> torch.device:
        return self._src.device

    @cached_property
    def edge_map(self) -> Tensor:
        """Own position of each given edge [e_given]."""
        return torch.arange(self.n_edges, device=self.device) if self._edge_map is None else self._edge_map

    def pairs(self) -> tuple[Tensor, Tensor]:
        """(src [e], dst [e]) in own order, for bridges to other libraries; int64."""
        return self._src, self._dst

    @cached_property
    def ptr(self) -> Tensor:
        """Offsets of each destination's edges in own order [n_dst + 1], int64."""
        return _offsets(self._dst, self.n_dst) if self._ptr is None else self._ptr

    @cached_property
    def degree(self) -> Tensor:
        """Number of incoming edges of each destination [n_dst]."""
        return self.ptr.diff()

    @cached_property
    def sides(self) -> Sides:
        """The two row plans, for kernels."""
        small = index_dtype(self.n_src, self.n_dst, self.n_edges)
        src, dst = self._src.to(small), self._dst.to(small)
        ptr_t, perm = counting_sort(self._src, self.n_src)
        forward = Plan(self.ptr.to(small), src, dst, None, self.n_src, self.n_dst)
        backward = Plan(ptr_t.to(small), dst[perm], src[perm], perm.to(small), self.n_dst, self.n_src)
        return Sides(forward, backward)

    @cached_property
    def _to_dst(self) -> Sides:
        """Edges -> destinations: a sum over segments one way, a selection the other way."""
        plan = self.sides.forward
        each = torch.arange(self.n_edges, dtype=plan.idx.dtype, device=self.device)
        down = Plan(plan.ptr, each, plan.row, None, self.n_edges, self.n_dst)
        return Sides(down, Plan(None, plan.row, each, None, self.n_dst, self.n_edges))

    @cached_property
    def _to_src(self) -> Sides:
        """Edges -> sources."""
        plan = self.sides.backward
        each = torch.arange(self.n_edges, dtype=plan.idx.dtype, device=self.device)
        down = Plan(plan.ptr, plan.perm, plan.row, None, self.n_edges, self.n_src)
        return Sides(down, Plan(None, self.sides.forward.idx, each, None, self.n_src, self.n_edges))

    @cached_property
    def _to_own(self) -> Sides:
        """Given edges -> own edges (coalescing sums)."""
        e = self.n_edges
        given = self.edge_map.numel()
        ptr, order = counting_sort(self.edge_map, e)
        small = index_dtype(given, e)
        own, order = self.edge_map.to(small), order.to(small)
        each = torch.arange(given, dtype=small, device=self.device)
        down = Plan(ptr.to(small), order, own[order], None, given, e)
        return Sides(down, Plan(None, own, each, None, e, given))

    def prepare(self) -> Relation:
        """Build every plan now (before compilation or timing) and return self."""
        _ = self.sides, self._to_dst, self._to_src, self._to_own
        return self

    def transpose(self) -> Relation:
        """The reversed relation; its own order is sorted by this one's sources, its given order is this own order."""
        return self._transposed

    @cached_property
    def _transposed(self) -> Relation:
        back = self.sides.backward
        order = torch.empty(0, dtype=torch.int64) if back.perm is None else back.perm.to(torch.int64)
        assert back.ptr is not None
        return Relation(
            self._dst[order], self._src[order], self.n_dst, self.n_src, _inverse(order), back.ptr.to(torch.int64)
        )

    @cached_property
    def is_symmetric(self) -> bool:
        """Whether every edge i -> j has its partner j -> i, counted with multiplicity."""
        if self.n_src != self.n_dst:
            return False
        key = torch.sort(self._dst * self.n_src + self._src).values
        return bool(torch.equal(key, torch.sort(self._src * self.n_src + self._dst).values))

    def to(self, device: Any) -> Relation:
        """The same relation on another device."""
        if torch.device(device if device is not None else self.device) == self.device:
            return self
        moved = [None if x is None else x.to(device) for x in (self._src, self._dst, self._edge_map, self._ptr)]
        src, dst, edge_map, ptr = moved
        assert src is not None and dst is not None
        return Relation(src, dst, self.n_src, self.n_dst, edge_map, ptr)

    # translation between the caller's and own order

    def own(self, w: Tensor) -> Tensor:
        """Per-edge values [e_given, ...] of the given edges, brought to own order; coalesced edges sum."""
        if w.shape[0] != self.edge_map.numel():
            raise ShapeError(f"got {w.shape[0]} edge values, expected one per given edge: {self.edge_map.numel()}")
        flat = w.reshape(1, w.shape[0], -1)
        return _message.spmm(self._to_own, None, flat)[0].reshape(self.n_edges, *w.shape[1:])

    def given(self, w: Tensor) -> Tensor:
        """Own-order values [e, ...] at the given edges [e_given, ...]."""
        if w.shape[0] != self.n_edges:
            raise ShapeError(f"got {w.shape[0]} edge values, expected one per own edge: {self.n_edges}")
        return w[self.edge_map]

    # messages

    def propagate(
        self,
        x: Tensor,
        message: Message | None = None,
        *,
        x_dst: Tensor | None = None,
        edge: Any = None,
        weight: Tensor | None = None,
        block: Tensor | None = None,
        reduce: str = "sum",
    ) -> Tensor:
        """Send messages along the edges and reduce them at the destinations, [*, n_src, c] -> [*, n_dst, c'].

        Without ``message`` and ``block`` and with ``reduce="sum"`` this is a sparse product: no [e, c] tensor is built.

        Args:
            x: source values [*, n_src, c].
            message: ``message(x_src [*, e, c], x_dst [*, e, c], edge) -> [*, e, c']``, pointwise in edges.
            x_dst: destination values [*, n_dst, c] for ``message``; default ``x`` when both node sets are one.
            edge: per-edge data handed to ``message``.
            weight: [e], or [*, e, h] with h heads dividing c, in own order.
            block: dense blocks [*, e, c', c], message = block @ x_src.
            reduce: "sum", "mean", "max" or "min"; a destination without edges gets 0.

        Raises:
            ShapeError: sizes that do not fit. InputError: unknown ``reduce``.
        """
        if x.dim() < 2 or x.shape[-2] != self.n_src:
            raise ShapeError(f"x has shape {list(x.shape)}, expected [*, {self.n_src}, c]: nodes are dimension -2")
        if message is None and block is None and reduce in ("sum", "mean"):
            y = self._product(x, weight)
            return y if reduce == "sum" else y / self._count(y)
        m = self.gather(x)
        if message is not None:
            m = message(m, self._gather_dst(x, x_dst), edge)
        if block is not None:
            m = (block @ m[..., None])[..., 0]
        if weight is not None:
            m = _scale(m, weight, self.n_edges)
        return self.collect(m, reduce)

    def gather(self, x: Tensor) -> Tensor:
        """Source values at the edges, [*, n_src, c] -> [*, e, c]."""
        return self._select(self._to_src, x)

    def gather_dst(self, x: Tensor) -> Tensor:
        """Destination values at the edges, [*, n_dst, c] -> [*, e, c]."""
        return self._select(self._to_dst, x)

    def collect(self, m: Tensor, reduce: str = "sum") -> Tensor:
        """Reduce edge values at the destinations, [*, e, c] -> [*, n_dst, c]; a destination without edges gets 0.

        Raises:
            InputError: ``reduce`` is not "sum", "mean", "max" or "min".
        """
        if m.dim() < 2 or m.shape[-2] != self.n_edges:
            raise ShapeError(f"messages have shape {list(m.shape)}, expected [*, {self.n_edges}, c]")
        if reduce == "sum" or reduce == "mean":
            y = _folded(m, lambda z: _message.spmm(self._to_dst, None, z))
            return y if reduce == "sum" else y / self._count(y)
        if reduce == "max" or reduce == "min":
            return self._extreme(m, reduce)
        raise InputError(f"unknown reduce '{reduce}'; known: sum, mean, max, min")

    def dot(self, y: Tensor, x: Tensor) -> Tensor:
        """Dot product per edge <y_dst, x_src>, y [*, n_dst, c], x [*, n_src, c] -> [e] summed over the batch."""
        return _message.sddmm(self.sides, _channels_last(y)[None], _channels_last(x)[None])[0]

    def _product(self, x: Tensor, weight: Tensor | None) -> Tensor:
        if weight is None or weight.dim() == 1:
            w = None
            if weight is not None:
                if weight.shape[0] != self.n_edges:
                    raise ShapeError(
                        f"weight has shape {list(weight.shape)}, expected [{self.n_edges}] or [*, {self.n_edges}, h]"
                    )
                w = weight.to(x.dtype)[None]
            return _folded(x, lambda z: _message.spmm(self.sides, w, z))
        return _headed(self, x, weight.to(x.dtype))

    def _gather_dst(self, x: Tensor, x_dst: Tensor | None) -> Tensor:
        if x_dst is None:
            if self.n_src != self.n_dst:
                raise ShapeError(
                    f"x_dst is needed: {self.n_src} sources and {self.n_dst} destinations are two node sets"
                )
            x_dst = x
        return self.gather_dst(x_dst)

    def _select(self, down: Sides, x: Tensor) -> Tensor:
        return _folded(x, lambda z: _message.spmm(down.flip(), None, z))

    def _count(self, y: Tensor) -> Tensor:
        return self.degree.clamp(min=1).to(y.dtype)[:, None]

    def _extreme(self, m: Tensor, reduce: str) -> Tensor:
        """Extremum by selecting one winning edge, so that every kind of derivative exists (ties: the first edge)."""
        if self.n_edges == 0:
            return m.new_zeros(*m.shape[:-2], self.n_dst, m.shape[-1])
        index = self._dst[:, None].expand(m.shape)
        shape = (*m.shape[:-2], self.n_dst, m.shape[-1])
        values = m.detach()
        best = values.new_zeros(shape).scatter_reduce(-2, index, values, "a" + reduce, include_self=False)
        each = torch.arange(self.n_edges, device=m.device)[:, None].expand(m.shape)
        wins = torch.where(values == best.gather(-2, index), each, self.n_edges)
        first = torch.full(shape, self.n_edges, device=m.device).scatter_reduce(-2, index, wins, "amin")
        picked = m.gather(-2, first.clamp(max=self.n_edges - 1))
        return torch.where(first < self.n_edges, picked, torch.zeros_like(picked))


def counting_sort(keys: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Stable order of integer keys in 0..n-1 and the offsets of each key: (ptr [n + 1], order [k]), O(k + n)."""
    if keys.device.type != "cpu":
        return _offsets(torch.sort(keys, stable=True).values, n), torch.argsort(keys, stable=True)
    from scipy.sparse import csr_matrix  # its row -> column conversion is a counting sort in C

    k = keys.numel()
    small = np.int32 if max(k, n) < 2**31 - 1 else np.int64
    rows = csr_matrix(
        (np.ones(k, dtype=np.int8), keys.numpy().astype(small), np.arange(k + 1, dtype=small)), shape=(k, max(n, 1))
    )
    columns = rows.tocsc()
    ptr = torch.from_numpy(columns.indptr.astype(np.int64))[: n + 1]
    return ptr, torch.from_numpy(columns.indices.astype(np.int64))


def _indices(x: Any, what: str, n: int) -> Tensor:
    x = torch.as_tensor(x)
    if x.numel() == 0:
        x = x.reshape(-1).to(torch.int64)
    if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
        raise IndexTypeError(f"{what} has type {x.dtype}, expected integer node numbers")
    if x.dim() != 1:
        raise ShapeError(f"{what} has shape {list(x.shape)}, expected [e]")
    x = x.to(torch.int64)
    if x.numel() and (int(x.min()) < 0 or int(x.max()) >= n):
        bad = int(((x < 0) | (x >= n)).nonzero()[0, 0])
        raise GraphError(f"{what}[{bad}] = {int(x[bad])} is out of range, expected 0..{n - 1}")
    return x


def _offsets(sorted_keys: Tensor, n: int) -> Tensor:
    return torch.searchsorted(sorted_keys, torch.arange(n + 1, device=sorted_keys.device))


def _inverse(order: Tensor) -> Tensor:
    inverse = torch.empty_like(order)
    inverse[order] = torch.arange(order.numel(), device=order.device)
    return inverse


def _channels_last(x: Tensor) -> Tensor:
    """[*, n, c] -> [n, * c]."""
    return x if x.dim() == 2 else x.movedim(-2, 0).flatten(1)


def _folded(x: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a map [1, n, k] -> [1, n', k] to [*, n, c] with the batch folded into channels."""
    if x.dim() == 2:
        return product(x[None])[0]
    y = product(_channels_last(x)[None])[0]
    return y.reshape(y.shape[0], *x.shape[:-2], x.shape[-1]).movedim(0, -2)


def _headed(rel: Relation, x: Tensor, weight: Tensor) -> Tensor:
    """Product with weights [*, e, h]: each batch entry and head is a group with its own weights."""
    e, h = weight.shape[-2:]
    c = x.shape[-1]
    if e != rel.n_edges or h == 0 or c % h:
        raise ShapeError(
            f"weight has shape {list(weight.shape)}, expected [{rel.n_edges}] or [*, {rel.n_edges}, h] with h dividing {c}"
        )
    batch = torch.broadcast_shapes(weight.shape[:-2], x.shape[:-2])
    w = weight.expand(*batch, e, h).movedim(-1, -2).reshape(-1, e)
    z = x.expand(*batch, *x.shape[-2:]).unflatten(-1, (h, c // h)).movedim(-2, -3)
    y = _message.spmm(rel.sides, w, z.reshape(-1, *z.shape[-2:]))
    return y.reshape(*batch, h, rel.n_dst, c // h).movedim(-3, -2).flatten(-2)


def _scale(m: Tensor, weight: Tensor, e: int) -> Tensor:
    if weight.dim() == 1:
        return m * weight[:, None]
    h = weight.shape[-1]
    if weight.shape[-2] != e or m.shape[-1] % h:
        raise ShapeError(
            f"weight has shape {list(weight.shape)}, expected [{e}] or [*, {e}, h] with h dividing {m.shape[-1]}"
        )
    return (m.unflatten(-1, (h, -1)) * weight[..., None]).flatten(-2)
