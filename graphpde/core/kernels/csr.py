"""Torch's compressed-row product: no compiler needed, no [e, c] tensor built.

Each row is summed by one worker in slot order, so results do not depend on the number of threads.
"""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from graphpde.core.kernels import reference
from graphpde.core.kernels.plan import Plan

_PRODUCT_TYPES = (torch.float32, torch.float64)
with warnings.catch_warnings():  # torch announces its beta state once per process: let it be said here, unheard
    warnings.simplefilter("ignore")
    torch.sparse_csr_tensor(torch.tensor([0, 1]), torch.tensor([0]), torch.ones(1), (1, 1), check_invariants=False)

_BLOCK = 1 << 22  # entries of a gathered block in sddmm: 32 MB of float64, so that [e, k] never exists whole


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`reference.spmm`; types without a compressed-row product fall back to it."""
    if plan.ptr is None or x.dtype not in _PRODUCT_TYPES or plan.idx.numel() == 0 or x.numel() == 0:
        return reference.spmm(plan, w, x)
    if torch._C._is_any_autocast_enabled():  # it would hand the product a type that compressed rows do not have
        with torch.autocast(x.device.type, enabled=False):
            return spmm(plan, w, x)
    if w is None:
        w = x.new_ones(1, plan.idx.numel()).expand(x.shape[0], -1)
    elif plan.perm is not None:
        w = w.index_select(1, plan.perm)
    if x.shape[0] == 1:
        return _product(plan, w[0], x[0])[None]
    return torch.stack([_product(plan, w[g], x[g]) for g in range(x.shape[0])])


def _product(plan: Plan, w: Tensor, x: Tensor) -> Tensor:
    assert plan.ptr is not None
    # check_invariants=False: the plan is right by construction and checking costs more than the product
    a = torch.sparse_csr_tensor(plan.ptr, plan.idx, w, (plan.n_out, plan.n_in), check_invariants=False)
    return a @ x


def sddmm(plan: Plan, g: Tensor, x: Tensor) -> Tensor:
    """As :func:`reference.sddmm`, in blocks of edges."""
    e, k = plan.idx.numel(), x.shape[-1]
    step = max(_BLOCK // max(k * x.shape[0], 1), 1)
    if e <= step:
        return reference.sddmm(plan, g, x)
    slots = torch.cat([_dots(plan, g, x, slice(s, s + step)) for s in range(0, e, step)], 1)
    if plan.perm is None:
        return slots
    out = torch.empty_like(slots)
    out[:, plan.perm.to(torch.int64)] = slots
    return out


def _dots(plan: Plan, g: Tensor, x: Tensor, part: slice) -> Tensor:
    left, right = g.index_select(1, plan.row[part]), x.index_select(1, plan.idx[part])
    return torch.einsum("gek,gek->ge", left, right)
