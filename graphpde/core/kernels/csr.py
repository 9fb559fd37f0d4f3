"""Torch's compressed-row product: no compiler needed, no [e, c] tensor built.

Each row is summed by one worker in slot order, so results do not depend on the number of threads.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from graphpde.core.kernels import composed, reference
from graphpde.core.kernels.plan import Plan

_PRODUCT_TYPES = (torch.float32, torch.float64)
with warnings.catch_warnings():  # torch announces its beta state once per process: let it be said here, unheard
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1), check_invariants=False)

_BLOCK = 1 << 22  # entries of a gathered block in sddmm: 32 MB of float64, so that [e, k] never exists whole
_NARROW = 8  # channels below which groups that share their weights go side by side into one product


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`reference.spmm`; types without a compressed-row product fall back to it."""
    if x.dtype not in _PRODUCT_TYPES or plan.idx.numel() == 0 or x.numel() == 0:
        return reference.spmm(plan, w, x)
    if plan.ptr is None:
        return _selection(plan, w, x)
    if torch._C._is_any_autocast_enabled():  # it would hand the product a type that compressed rows do not have
        with torch.autocast(x.device.type, enabled=False):
            return spmm(plan, w, x)
    if w is None:
        w = x.new_ones(1, plan.idx.numel(), 1)
    elif plan.perm is not None:
        w = w.index_select(1, plan.perm)
    g, n, c = x.shape
    if g > 1 and w.shape[0] == 1 and w.shape[2] == 1 and c < _NARROW:
        y = _product(plan, w[0, :, 0], x.movedim(0, 1).reshape(n, g * c))
        return y.unflatten(1, (g, c)).movedim(1, 0).contiguous()
    if g == 1 and w.shape[2] == 1:
        return _product(plan, w[0, :, 0], x[0])[None]
    return torch.stack([_heads(plan, w[i if w.shape[0] > 1 else 0], x[i]) for i in range(g)])


def _selection(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    y = x[0].index_select(0, plan.idx)[None] if x.shape[0] == 1 else x.index_select(1, plan.idx)
    if w is None:
        return y
    w = w if plan.perm is None else w.index_select(1, plan.perm)
    return y * w if w.shape[2] == 1 else (y.unflatten(2, (w.shape[2], -1)) * w[..., None]).flatten(2)


def _heads(plan: Plan, w: Tensor, x: Tensor) -> Tensor:
    """w [e, h], x [n, h k]: one product per head."""
    if w.shape[1] == 1:
        return _product(plan, w[:, 0], x)
    return torch.cat([_product(plan, a, b) for a, b in zip(w.T.contiguous(), x.chunk(w.shape[1], 1))], 1)


def _product(plan: Plan, w: Tensor, x: Tensor) -> Tensor:
    return _matrix(plan, w) @ x


def _matrix(plan: Plan, w: Tensor) -> Tensor:
    """Torch's compressed rows with values w [e]."""
    assert plan.ptr is not None
    # check_invariants=False: the plan is right by construction and checking costs more than the product;
    # device: the default one may be another
    size = plan.n_out, plan.n_in
    return torch.sparse_csr_tensor(plan.ptr, plan.idx, w, size, device=w.device, check_invariants=False)


def extreme(plan: Plan, x: Tensor, largest: bool, slots: bool = True) -> tuple[Tensor, Tensor | None]:
    """As :func:`reference.extreme`; the values from torch's compressed rows, then the slots in blocks of edges."""
    if x.dtype not in _PRODUCT_TYPES or plan.ptr is None or plan.idx.numel() == 0 or x.numel() == 0 or x.is_cuda:
        return reference.extreme(plan, x, largest, slots)
    a = _matrix(plan, x.new_ones(plan.idx.numel()))
    values = torch.stack([torch.sparse.mm(a, z, "amax" if largest else "amin") for z in x])
    return values, _first_slots(plan, x, values) if slots else None


def _first_slots(plan: Plan, x: Tensor, best: Tensor) -> Tensor:
    """The first slot of each row that has its best value (or a NaN), -1 without any."""
    e, step = plan.idx.numel(), max(_BLOCK // max(x[0].shape[1] * x.shape[0], 1), 1)
    first = torch.full(best.shape, e, device=best.device)
    for s in range(0, e, step):
        m, rows = x.index_select(1, plan.idx[s : s + step]), plan.row[s : s + step]
        wins = (m == best.index_select(1, rows)) | m.isnan()
        each = torch.arange(s, s + m.shape[1], device=best.device)[:, None].expand(m.shape)
        index = rows.to(torch.int64)[None, :, None].expand(m.shape)
        first.scatter_reduce_(1, index, torch.where(wins, each, e), "amin")
    return torch.where(first < e, first, -1)


def sddmm(plan: Plan, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
    """As :func:`reference.sddmm`, in blocks of edges."""
    if torch._C._is_any_autocast_enabled():  # as in spmm
        with torch.autocast(x.device.type, enabled=False):
            return sddmm(plan, y, x, heads, shared)
    e, c = plan.idx.numel(), x.shape[-1]
    step = max(_BLOCK // max(c * x.shape[0], 1), 1)
    parts = [_dots(plan, y, x, slice(s, s + step), heads, shared) for s in range(0, max(e, 1), step)]
    slots = parts[0] if len(parts) == 1 else torch.cat(parts, 1)
    return slots if plan.perm is None else composed.own_order(plan, slots)


def _dots(plan: Plan, y: Tensor, x: Tensor, part: slice, heads: int, shared: bool) -> Tensor:
    left, right = y.index_select(1, plan.row[part]), x.index_select(1, plan.idx[part])
    if heads == x.shape[2]:
        dots = left * right
        return dots.sum(0, keepdim=True) if shared else dots
    left, right = left.unflatten(2, (heads, -1)), right.unflatten(2, (heads, -1))
    if shared:
        return torch.einsum("gehk,gehk->eh", left, right)[None]
    return torch.einsum("gehk,gehk->geh", left, right)
