"""Who talks to whom: the only place that holds index pairs and the only place that sums over edges."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from graphpde.core import attention as _attention
from graphpde.core import chunks as _chunks
from graphpde.core import heads as _heads
from graphpde.core import message as _message
from graphpde.core.cached import cached
from graphpde.core.kernels import Plan, index_dtype
from graphpde.core.message import Sides
from graphpde.core.ordering import inverse, node_count, node_numbers, rows_of, sorted_by_row
from graphpde.errors import InputError, ShapeError

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

    _src: Tensor
    _dst: Tensor
    _ptr: Tensor
    _edge_map: Tensor
    _slices: dict[int, tuple[_chunks.Chunk, ...]]

    def __init__(self, src: Tensor, ptr: Tensor, n_src: int, n_dst: int, edge_map: Tensor):
        # own order and index_dtype already; public construction goes through from_edges
        self.__dict__.update(
            _src=src, _ptr=ptr, n_src=n_src, n_dst=n_dst, _edge_map=edge_map, _dst=rows_of(ptr), _slices={}
        )

    def __setattr__(self, key: str, value: Any) -> None:
        raise AttributeError(f"Relation is frozen; build a new one instead of setting '{key}'")

    def __getstate__(self) -> dict[str, Any]:
        return {**{k: v for k, v in vars(self).items() if k != "_elsewhere"}, "_slices": {}}

    def __repr__(self) -> str:
        return f"Relation({self.n_src} -> {self.n_dst}, {self.n_edges} edges)"

    @classmethod
    def from_edges(cls, src: Any, dst: Any, n_src: int, n_dst: int, *, coalesce: bool = False) -> Relation:
        """Relation with an edge from ``src[k]`` to ``dst[k]`` for each k.

        Args:
            src, dst: node numbers [e], any integer type.
            coalesce: merge equal pairs (mesh assembly wants it; a citation graph or parallel pipes do not). Own order
                is then sorted by destination, then source; ``own(ones)`` gives the multiplicity.

        Raises:
            IndexTypeError: indices are not integers. ShapeError: different lengths. GraphError: an index out of range.
        """
        n_src, n_dst = node_count(n_src, "n_src"), node_count(n_dst, "n_dst")
        src, dst = node_numbers(src, "src", n_src), node_numbers(dst, "dst", n_dst)
        if src.shape != dst.shape:
            raise ShapeError(f"src has {src.numel()} entries and dst {dst.numel()}, expected equal lengths")
        if src.device != dst.device:
            raise InputError(f"src is on {src.device} and dst on {dst.device}, expected one device")
        if not coalesce:
            own = sorted_by_row(dst, src, n_dst, n_src)
            return cls(own.columns, own.ptr, n_src, n_dst, inverse(own.order))
        by_src = sorted_by_row(src, dst, n_src, n_dst)
        own = sorted_by_row(by_src.columns, rows_of(by_src.ptr), n_dst, n_src)
        order, rows = by_src.order[own.order], rows_of(own.ptr)
        new = torch.ones_like(rows, dtype=torch.bool)
        new[1:] = (own.columns[1:] != own.columns[:-1]) | (rows[1:] != rows[:-1])
        count = torch.cat([order.new_zeros(1), new.cumsum(0, dtype=order.dtype)])
        return cls(own.columns[new], count[own.ptr], n_src, n_dst, (count[1:] - 1)[inverse(order)])

    # structure

    @property
    def n_edges(self) -> int:
        """Number of own edges e."""
        return self._src.numel()

    @property
    def device(self) -> torch.device:
        return self._src.device

    @cached
    def edge_map(self) -> Tensor:
        """Own position of each given edge [e_given], int64."""
        return self._edge_map.to(torch.int64)

    def pairs(self) -> tuple[Tensor, Tensor]:
        """(src [e], dst [e]) in own order, for bridges to other libraries; int64."""
        return self._pairs

    @cached
    def _pairs(self) -> tuple[Tensor, Tensor]:
        return self._src.to(torch.int64), self._dst.to(torch.int64)

    @cached
    def ptr(self) -> Tensor:
        """Offsets of each destination's edges in own order [n_dst + 1], int64."""
        return self._ptr.to(torch.int64)

    @cached
    def degree(self) -> Tensor:
        """Number of incoming edges of each destination [n_dst], int64."""
        return self.ptr.diff()

    @cached
    def loops(self) -> Tensor:
        """Own edges from a node to itself [k]; meaningful when both node sets are one."""
        return (self._src == self._dst).nonzero()[:, 0]

    @cached
    def sides(self) -> Sides:
        """The two row plans, for kernels."""
        back = sorted_by_row(self._src, self._dst, self.n_src, self.n_dst)
        forward = Plan(self._ptr, self._src, self._dst, None, self.n_src, self.n_dst)
        return Sides(forward, Plan(back.ptr, back.columns, rows_of(back.ptr), back.order, self.n_dst, self.n_src))

    @cached
    def _to_dst(self) -> Sides:
        """Edges -> destinations: a sum over segments one way, a selection the other way."""
        plan = self.sides.forward
        each = torch.arange(self.n_edges, dtype=plan.idx.dtype, device=self.device)
        down = Plan(plan.ptr, each, plan.row, None, self.n_edges, self.n_dst)
        return Sides(down, Plan(None, plan.row, each, None, self.n_dst, self.n_edges))

    @cached
    def _to_src(self) -> Sides:
        """Edges -> sources."""
        plan = self.sides.backward
        assert plan.perm is not None
        each = torch.arange(self.n_edges, dtype=plan.idx.dtype, device=self.device)
        down = Plan(plan.ptr, plan.perm, plan.row, None, self.n_edges, self.n_src)
        return Sides(down, Plan(None, self.sides.forward.idx, each, None, self.n_src, self.n_edges))

    @cached
    def _to_own(self) -> Sides:
        """Given edges -> own edges: a permutation, or sums where edges were coalesced."""
        e, given = self.n_edges, self._edge_map.numel()
        own = self._edge_map.to(index_dtype(given, e))
        each = torch.arange(given, dtype=own.dtype, device=self.device)
        if given == e:
            down = Plan(None, inverse(own), each, None, given, e)
        else:
            rows = sorted_by_row(own, each, e, given)
            down = Plan(rows.ptr, rows.columns, rows_of(rows.ptr), None, given, e)
        return Sides(down, Plan(None, own, each, None, e, given))

    def prepare(self, chunk_edges: int | None = None) -> Relation:
        """Build every plan now (before compilation or timing), also of slices of the edges, and return self.

        :meth:`transpose` is a relation of its own: what compiled code calls on it, it needs prepared as well.
        """
        _ = self.sides, self._to_dst, self._to_src, self._to_own, self._pairs, self.degree, self.edge_map
        _chunks.prepare(self, chunk_edges)
        return self

    def transpose(self) -> Relation:
        """The reversed relation; its own order is sorted by this one's sources, its given order is this own order."""
        return self._transposed

    @cached
    def _transposed(self) -> Relation:
        back = self.sides.backward
        assert back.ptr is not None and back.perm is not None
        return Relation(back.idx, back.ptr, self.n_dst, self.n_src, inverse(back.perm))

    @cached
    def is_symmetric(self) -> bool:
        """Whether every edge i -> j has its partner j -> i, counted with multiplicity."""
        if self.n_src != self.n_dst:
            return False
        back = self.sides.backward  # rows by source, destinations ascending in each; its own transpose is this relation
        assert back.ptr is not None
        again = sorted_by_row(back.idx, back.row, self.n_dst, self.n_src)
        return torch.equal(self._ptr, back.ptr) and torch.equal(again.columns, back.idx)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Relation:
        """The same relation on another device; indices keep their type whatever ``dtype``."""
        target = self.device if device is None else torch.empty(0, device=device).device
        if target == self.device:
            return self
        moved = self._elsewhere.get(target)
        if moved is None:  # the same object every time: operators merge where they share a relation
            moved = self._elsewhere[target] = self._moved_to(target)
        return moved

    @cached
    def _elsewhere(self) -> WeakValueDictionary[torch.device, Relation]:
        return WeakValueDictionary()

    def _moved_to(self, device: torch.device) -> Relation:
        src, ptr, edge_map = (x.to(device) for x in (self._src, self._ptr, self._edge_map))
        return Relation(src, ptr, self.n_src, self.n_dst, edge_map)

    # translation between the caller's and own order

    def own(self, w: Tensor) -> Tensor:
        """Per-edge values [e_given, ...] of the given edges, brought to own order; coalesced edges sum."""
        given = self._edge_map.numel()
        _heads.check_edges(self, w, given, "given")
        y = _message.spmm(self._to_own, None, w.reshape(1, given, math.prod(w.shape[1:])))
        return y.reshape(self.n_edges, *w.shape[1:])

    def given(self, w: Tensor) -> Tensor:
        """Own-order values [e, ...] at the given edges [e_given, ...]."""
        _heads.check_edges(self, w, self.n_edges, "own")
        y = _message.spmm(self._to_own.flip(), None, w.reshape(1, self.n_edges, math.prod(w.shape[1:])))
        return y.reshape(self._edge_map.numel(), *w.shape[1:])

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
        chunk_edges: int | None = None,
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
            reduce: "sum", "mean" (over the edges, whatever their weights), "max" or "min"; a destination without edges
                gets 0.
            chunk_edges: work at most so many edges at a time, and again in the backward pass, so that memory is bounded
                by n c + chunk_edges k for a message that keeps k numbers per edge; :mod:`graphpde.core.chunks` has the
                formula. Every tensor in ``edge`` is cut: [e] or [*, e, k]. Not bounded under torch.func or a compiler.

        Raises:
            ShapeError: sizes that do not fit. InputError: unknown ``reduce``, no tensors, tensors on another device.
        """
        _heads.check_nodes(self, x, self.n_src, "x")
        if block is not None and message is not None:
            raise InputError("block and message exclude each other; multiply by the block inside the message")
        if chunk_edges is not None:
            return _chunks.propagate(self, x, _chunks.Given(message, x_dst, edge, weight, block, reduce), chunk_edges)
        if block is not None:
            return _heads.blocked(self, x, block, weight, reduce)
        if message is None and reduce in ("sum", "mean"):
            if reduce == "sum":
                return self._product(x, weight)
            return self._mean(x, lambda z: self._product(z, weight))
        if message is None and weight is None and reduce in _EXTREMA:
            return _heads.folded(x, lambda z: _attention.extreme(self.sides, z, reduce == "max"))
        m = self.gather(x)
        if message is not None:
            m = message(m, self.gather_dst(self._at_dst(x, x_dst)), edge)
        if weight is not None:
            m = _heads.scaled(m, weight, self.n_edges)
        return self.collect(m, reduce)

    def gather(self, x: Tensor) -> Tensor:
        """Source values at the edges, [*, n_src, c] -> [*, e, c]."""
        _heads.check_nodes(self, x, self.n_src, "x")
        return self._select(self._to_src, x)

    def gather_dst(self, x: Tensor) -> Tensor:
        """Destination values at the edges, [*, n_dst, c] -> [*, e, c]."""
        _heads.check_nodes(self, x, self.n_dst, "x_dst")
        return self._select(self._to_dst, x)

    def collect(self, m: Tensor, reduce: str = "sum") -> Tensor:
        """Reduce edge values at the destinations, [*, e, c] -> [*, n_dst, c]; a destination without edges gets 0.

        Raises:
            InputError: ``reduce`` is not "sum", "mean", "max" or "min".
        """
        _heads.check_place(m, "messages", self._src)
        if m.dim() < 2 or m.shape[-2] != self.n_edges:
            raise ShapeError(f"messages have shape {list(m.shape)}, expected [*, {self.n_edges}, c]")
        if reduce == "sum":
            return _heads.folded(_heads.counted(m), lambda z: _message.spmm(self._to_dst, None, z))
        if reduce == "mean":
            return self._mean(m, lambda z: self.collect(z))
        if reduce in _EXTREMA:
            return _heads.folded(m, lambda z: _attention.extreme(self._to_dst, z, reduce == "max"))
        raise InputError(f"unknown reduce '{reduce}'; known: sum, mean, max, min")

    def dot(self, y: Tensor, x: Tensor, heads: int | None = None) -> Tensor:
        """Dot product per edge <y_dst, x_src>, summed over the batch, y [*, n_dst, c], x [*, n_src, c] -> [e].

        With ``heads`` h, which divides c, one product per head: [e, h].

        Raises:
            ShapeError: sizes that do not fit; batch and channels must be equal.
        """
        _heads.check_nodes(self, y, self.n_dst, "y")
        _heads.check_nodes(self, x, self.n_src, "x")
        if y.shape[:-2] != x.shape[:-2] or y.shape[-1] != x.shape[-1]:
            raise ShapeError(f"y has shape {list(y.shape)} and x {list(x.shape)}, expected equal batch and channels")
        if heads is not None:
            _heads.check_heads(heads, x.shape[-1], "x")
        kind = torch.promote_types(y.dtype, x.dtype)
        y, x = (_heads.grouped(z.to(kind)) for z in (y, x))
        s = _message.sddmm(self.sides, y, x, heads or 1, shared=True)[0]
        return s[:, 0] if heads is None else s

    def softmax(self, s: Tensor) -> Tensor:
        """Softmax of edge scores [*, e, h] (or [e]) over the edges of each destination.

        Raises:
            ShapeError: not one score per own edge. InputError: the scores are not real numbers.
        """
        return _heads.segmented(self, _attention.softmax, s)

    def logsumexp(self, s: Tensor) -> Tensor:
        """log sum exp of edge scores [*, e, h] (or [e]) at each destination, [*, n_dst, h] (or [n_dst]).

        -inf for a destination without edges.

        Raises:
            ShapeError: not one score per own edge. InputError: the scores are not real numbers.
        """
        return _heads.segmented(self, _attention.logsumexp, s)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, *, heads: int = 1, scale: float | None = None
    ) -> Tensor:
        """Attention along the edges: y_i = sum_j softmax_j(scale <q_i, k_j>) v_j, per head.

        No [e, c] tensor is built; one score per edge and head is kept for the gradient. A destination without edges
        gets 0.

        Args:
            query: [*, n_dst, h d]. key: [*, n_src, h d]. value: [*, n_src, h f].
            heads: number h of heads, each with its own consecutive channels.
            scale: factor of the scores; default 1 / sqrt(d).

        Returns:
            [*, n_dst, h f].

        Raises:
            ShapeError: sizes that do not fit. InputError: not real numbers.

        Reference: Vaswani et al. 2017, eq. (1), restricted to edges.
        """
        return _heads.attended(self, query, key, value, heads, scale)

    def _product(self, x: Tensor, weight: Tensor | None) -> Tensor:
        x = _heads.counted(x)
        if weight is None:
            return _heads.folded(x, lambda z: _message.spmm(self.sides, None, z))
        return _heads.product(self.sides, *_heads.matched(x, weight, self.n_edges))

    def _at_dst(self, x: Tensor, x_dst: Tensor | None) -> Tensor:
        if x_dst is None and self.n_src != self.n_dst:
            raise ShapeError(f"x_dst is needed: {self.n_src} sources and {self.n_dst} destinations are two node sets")
        x_dst = x if x_dst is None else x_dst
        _heads.check_nodes(self, x_dst, self.n_dst, "x_dst")
        return x_dst

    def _select(self, down: Sides, x: Tensor) -> Tensor:
        return _heads.folded(x, lambda z: _message.spmm(down.flip(), None, z))

    def _mean(self, x: Tensor, total: Callable[[Tensor], Tensor]) -> Tensor:
        """A sum over edges divided by their number; half precision is added and divided in single."""
        if x.dtype in (torch.float16, torch.bfloat16):
            return self._mean(x.to(torch.float32), total).to(x.dtype)
        y = total(x)
        return y / self.degree.clamp(min=1).to(y.dtype)[:, None]


_EXTREMA = ("max", "min")
