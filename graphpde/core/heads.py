"""Batches, heads and channels brought to the [groups, n, heads k] layout of the kernels, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphpde.core.attention import attend
from graphpde.core.message import Sides, operate, spmm
from graphpde.errors import InputError, ShapeError

if TYPE_CHECKING:
    from graphpde.core.relation import Relation


def check_place(x: Tensor, what: str, beside: Tensor) -> None:
    """Refuse what is no tensor, or not where ``beside`` is: a kernel takes addresses in memory."""
    if not isinstance(x, Tensor):
        raise InputError(f"{what} must be a tensor, got {type(x).__name__}; torch.as_tensor makes one")
    if x.device != beside.device:
        raise InputError(f"{what} is on {x.device}, expected {beside.device}; move one of them with .to(device)")


def check_nodes(relation: Relation, x: Tensor, n: int, what: str) -> None:
    """Refuse what are no values of n nodes beside this relation."""
    check_place(x, what, relation._src)
    if x.dim() < 2 or x.shape[-2] != n:
        raise ShapeError(f"{what} has shape {list(x.shape)}, expected [*, {n}, c]: nodes are dimension -2")


def check_edges(relation: Relation, w: Tensor, n: int, of: str) -> None:
    """Refuse what are no values of n edges."""
    check_place(w, "edge values", relation._src)
    if w.dim() == 0 or w.shape[0] != n:
        raise ShapeError(f"edge values have shape {list(w.shape)}, expected one per {of} edge: {n}")


def check_heads(heads: int, channels: int, what: str) -> None:
    """Refuse heads that are no whole number or do not divide the channels of ``what``."""
    if not isinstance(heads, int) or heads < 1 or channels % heads:
        raise ShapeError(f"heads = {heads}, expected a divisor of the {channels} channels of {what}")


def counted(x: Tensor) -> Tensor:
    """Truth values and small integers in a type that holds their sum."""
    return x if x.is_floating_point() or x.is_complex() else x.to(torch.int64)


def columns(x: Tensor) -> Tensor:
    """[*, n, c] as [n, * c]."""
    return x if x.dim() == 2 else x.movedim(-2, 0).flatten(1)


def grouped(x: Tensor) -> Tensor:
    """[*, n, c] as [g, n, c]."""
    return x.unsqueeze(0) if x.dim() == 2 else x if x.dim() == 3 else x.flatten(0, -3)


def folded(x: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a map [g, n, c] -> [g, n', c'] to [*, n, c]."""
    if x.dim() == 3:
        return product(x)
    y = product(grouped(x))
    return y.squeeze(0) if x.dim() == 2 else y.reshape(*x.shape[:-2], *y.shape[1:])


def matched(x: Tensor, weight: Tensor, e: int) -> tuple[Tensor, Tensor]:
    """x [*, n, c] and weight [e] or [*, e, h] in one type: that of x, unless only x is integer or only x is real.

    Raises:
        ShapeError: the weights do not fit.
    """
    check_place(weight, "weight", x)
    if weight.dim() != 1 or weight.shape[0] != e:
        _check_weight(x, weight, e)
    if weight.dtype == x.dtype:
        return x, weight
    kind = x.dtype if torch.can_cast(weight.dtype, x.dtype) else torch.promote_types(x.dtype, weight.dtype)
    return x.to(kind), weight.to(kind)


def _check_weight(x: Tensor, weight: Tensor, e: int) -> None:
    c = x.shape[-1]
    if weight.dim() < 2 or weight.shape[-2] != e or weight.shape[-1] == 0 or c % weight.shape[-1]:
        raise ShapeError(f"weight has shape {list(weight.shape)}, expected [{e}] or [*, {e}, h] with h dividing {c}")
    try:
        torch.broadcast_shapes(weight.shape[:-2], x.shape[:-2])
    except RuntimeError:
        raise ShapeError(
            f"weight has batch {list(weight.shape[:-2])}, x {list(x.shape[:-2])}, expected batches that broadcast"
        ) from None


def product(sides: Sides, x: Tensor, weight: Tensor) -> Tensor:
    """Sparse product of matched x [*, n, c] and weight [e] or [*, e, h]; a batch of weights gives each its own."""
    if weight.dim() <= 2 or (weight.shape[:-2].numel() == 1 and x.dim() >= weight.dim()):  # one set for the whole batch
        w = weight if weight.dim() <= 3 else weight.flatten(0, -3)
        return spmm(sides, w, x) if x.dim() <= 3 else folded(x, lambda z: spmm(sides, w, z))
    batch = torch.broadcast_shapes(weight.shape[:-2], x.shape[:-2])
    w = weight.expand(*batch, *weight.shape[-2:]).flatten(0, -3)
    return folded(x.expand(*batch, *x.shape[-2:]), lambda z: spmm(sides, w, z))


def operated(sides: Sides, x: Tensor, weight: Tensor, diag: Tensor, e: int) -> Tensor:
    """y = A x with off-diagonal weights [e] or [e, c] and diagonal [n] or [n, c], in the type of x [*, n, c]."""
    n = sides.forward.n_in
    check_place(x, "x", weight)
    if x.dim() < 2 or x.shape[-2] != n:
        raise ShapeError(f"x has shape {list(x.shape)}, expected [*, {n}, c]: nodes are dimension -2")
    x, weight = matched(x, weight, e)
    diag = diag.to(x.dtype)
    if diag.dim() == 2 and diag.shape[1] not in (1, x.shape[-1]):
        raise ShapeError(f"x has {x.shape[-1]} channels, the operator is made for {diag.shape[1]}")
    return folded(x, lambda z: operate(sides, weight, diag, z))


def scaled(m: Tensor, weight: Tensor, e: int) -> Tensor:
    """Messages [*, e, c] times weight [e] or [*, e, h]."""
    m, weight = matched(m, weight, e)
    if weight.dim() == 1:
        return m * weight[:, None]
    h = weight.shape[-1]
    return (m.unflatten(-1, (h, m.shape[-1] // h)) * weight[..., None]).flatten(-2)


def blocked(relation: Relation, x: Tensor, block: Tensor, weight: Tensor | None, reduce: str) -> Tensor:
    """Dense blocks as heads of one channel: y_p = sum_q (sum over edges of block_pq x_q); no [e, c] tensor for a sum.

    Raises:
        ShapeError: blocks or weights that do not fit.
    """
    e, c = relation.n_edges, x.shape[-1]
    check_place(block, "block", x)
    if block.dim() < 3 or block.shape[-3] != e or block.shape[-1] != c or not block.shape[-2]:
        raise ShapeError(f"block has shape {list(block.shape)}, expected [*, {e}, c', {c}]")
    if weight is not None:
        check_place(weight, "weight", x)
        if (
            weight.dim() == 0
            or weight.shape[-1 if weight.dim() == 1 else -2] != e
            or (weight.dim() > 1 and weight.shape[-1] != 1)
        ):
            raise ShapeError(f"weight has shape {list(weight.shape)}, expected [{e}] or [*, {e}, 1] beside blocks")
        block = block * (weight[:, None, None] if weight.dim() == 1 else weight[..., None])
    if reduce in ("max", "min"):
        kind = torch.promote_types(block.dtype, x.dtype)
        block, x = block.to(kind), x.to(kind)
        return relation.collect((block @ relation.gather(x)[..., None])[..., 0], reduce)
    rows = block.shape[-2]
    return contracted(relation.propagate(widened(x, rows), weight=block.flatten(-2), reduce=reduce), rows)


def operated_blocks(sides: Sides, x: Tensor, weight: Tensor, diag: Tensor, e: int) -> Tensor:
    """y = A x with off-diagonal blocks [e, c, c] and diagonal ones [n, c, c], in the type of x [*, n, c].

    Raises:
        ShapeError: x has other nodes or channels.
    """
    c = diag.shape[-1]
    check_place(x, "x", weight)
    if x.dim() < 2 or x.shape[-1] != c:
        raise ShapeError(
            f"x has shape {list(x.shape)}, expected [*, {sides.forward.n_in}, {c}]: blocks of {c} channels"
        )
    return contracted(operated(sides, widened(x, c), weight.flatten(-2), diag.flatten(-2), e), c)


def widened(x: Tensor, rows: int) -> Tensor:
    """x [*, n, c] beside itself, [*, n, rows c]: a channel for every entry of the blocks that it meets."""
    return torch.cat([x] * rows, -1)  # several times faster than an expansion made contiguous


def contracted(products: Tensor, rows: int) -> Tensor:
    """Sums over the columns of the blocks, [*, n, rows c] -> [*, n, rows]."""
    parts = products.unflatten(-1, (rows, products.shape[-1] // rows))
    if parts.shape[-1] not in (1, 2, 3):
        return parts.sum(-1)
    first, *others = parts.unbind(-1)  # a reduction over so few numbers costs five times as much
    for part in others:
        first = first + part
    return first


def attended(relation: Relation, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float | None) -> Tensor:
    """Attention of [*, n, h c] values: shapes checked, types matched, batches broadcast and grouped."""
    if isinstance(scale, Tensor):
        raise InputError("scale is a tensor, expected a number; multiply the query by what is learned")
    for x, n, name in ((q, relation.n_dst, "query"), (k, relation.n_src, "key"), (v, relation.n_src, "value")):
        check_nodes(relation, x, n, name)
        if not x.is_floating_point():
            raise InputError(f"{name} has type {x.dtype}, expected real numbers")
        check_heads(heads, x.shape[-1], f"the {name}")
        if not x.shape[-1]:
            raise ShapeError(f"{name} has shape {list(x.shape)}, expected at least one channel per head")
    if q.shape[-1] != k.shape[-1]:
        raise ShapeError(f"query has {q.shape[-1]} channels and key {k.shape[-1]}, expected equal numbers")
    if scale is None:
        scale = (q.shape[-1] // heads) ** -0.5
    if not q.dtype == k.dtype == v.dtype:
        kind = torch.promote_types(torch.promote_types(q.dtype, k.dtype), v.dtype)
        q, k, v = q.to(kind), k.to(kind), v.to(kind)
    sides, ends = relation.sides, relation._to_dst
    if q.dim() == k.dim() == v.dim() == 2:
        return attend(sides, ends, q, k, v, heads, scale)
    try:
        batch = torch.broadcast_shapes(q.shape[:-2], k.shape[:-2], v.shape[:-2])
    except RuntimeError:
        raise ShapeError(
            f"query has batch {list(q.shape[:-2])}, key {list(k.shape[:-2])} and value {list(v.shape[:-2])}, "
            "expected batches that broadcast"
        ) from None
    q, k, v = (grouped(x.expand(*batch, *x.shape[-2:])) for x in (q, k, v))
    return attend(sides, ends, q, k, v, heads, scale).unflatten(0, batch)


def segmented(relation: Relation, operation: Callable[[Sides, Tensor], Tensor], s: Tensor) -> Tensor:
    """An operation over the edges of each destination on scores [*, e, h] or [e]."""
    check_place(s, "scores", relation._src)
    if s.dim() == 1:
        return segmented(relation, operation, s[:, None])[:, 0]
    if s.dim() < 2 or s.shape[-2] != relation.n_edges:
        raise ShapeError(f"scores have shape {list(s.shape)}, expected [*, {relation.n_edges}, h]")
    if not s.is_floating_point():
        raise InputError(f"scores have type {s.dtype}, expected real numbers")
    return folded(s, lambda z: operation(relation._to_dst, z))
