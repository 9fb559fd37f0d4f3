"""Batches, heads and channels brought to the [groups, n, k] layout of the kernels, and back."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.core.message import Sides, spmm
from graphpde.errors import ShapeError


def columns(x: Tensor) -> Tensor:
    """[*, n, c] as [n, * c]."""
    return x if x.dim() == 2 else x.movedim(-2, 0).flatten(1)


def folded(x: Tensor, product: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a map [1, n, k] -> [1, n', k] to [*, n, c] with the batch folded into channels."""
    if x.dim() == 2:
        return product(x[None])[0]
    y = product(columns(x)[None])[0]
    return y.reshape(y.shape[0], *x.shape[:-2], x.shape[-1]).movedim(0, -2)


def matched(x: Tensor, weight: Tensor, e: int) -> tuple[Tensor, Tensor]:
    """x [*, n, c] and weight [e] or [*, e, h] in one type: that of x, unless only x is integer or only x is real.

    Raises:
        ShapeError: the weights do not fit.
    """
    if tuple(weight.shape) != (e,):
        _check_heads(x, weight, e)
    if weight.dtype == x.dtype:
        return x, weight
    kind = x.dtype if torch.can_cast(weight.dtype, x.dtype) else torch.promote_types(x.dtype, weight.dtype)
    return x.to(kind), weight.to(kind)


def _check_heads(x: Tensor, weight: Tensor, e: int) -> None:
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
    """Sparse product of matched x [*, n, c] and weight [e] or [*, e, h]; each set of weights is one group."""
    if weight.dim() == 1:
        return folded(x, lambda z: spmm(sides, weight[None], z))
    e, h = weight.shape[-2:]
    k = x.shape[-1] // h
    split = x.unflatten(-1, (h, k))
    if weight.dim() == 2:  # one set of heads for all: the batch goes into channels
        z = split.movedim((-3, -2), (1, 0))  # [h, n, *, k]
        y = spmm(sides, weight.mT, z.flatten(2))
        return y.reshape(h, y.shape[1], *x.shape[:-2], k).movedim((0, 1), (-2, -3)).flatten(-2)
    batch = torch.broadcast_shapes(weight.shape[:-2], x.shape[:-2])
    groups = math.prod(batch) * h
    w = weight.expand(*batch, e, h).mT.reshape(groups, e)
    z = split.expand(*batch, *split.shape[-3:]).movedim(-2, -3)
    y = spmm(sides, w, z.reshape(groups, *z.shape[-2:]))
    return y.reshape(*batch, h, y.shape[1], k).movedim(-3, -2).flatten(-2)


def scaled(m: Tensor, weight: Tensor, e: int) -> Tensor:
    """Messages [*, e, c] times weight [e] or [*, e, h]."""
    m, weight = matched(m, weight, e)
    if weight.dim() == 1:
        return m * weight[:, None]
    h = weight.shape[-1]
    return (m.unflatten(-1, (h, m.shape[-1] // h)) * weight[..., None]).flatten(-2)
