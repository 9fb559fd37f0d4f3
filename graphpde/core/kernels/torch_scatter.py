"""The extra torch-scatter: sums and extrema of gathered messages over sorted rows; the rest as the csr backend."""

from __future__ import annotations

import importlib.util

import torch
from torch import Tensor

from graphpde.core.kernels import csr, reference
from graphpde.core.kernels.plan import Plan

sddmm = csr.sddmm


def missing() -> str | None:
    """Why this backend cannot be used, or None."""
    if importlib.util.find_spec("torch_scatter") is None:
        return "not installed: pip install --no-build-isolation torch-scatter (needs a C++ compiler)"
    return None


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """As :func:`reference.spmm`."""
    if plan.ptr is None or x.numel() == 0 or not x.is_floating_point():
        return reference.spmm(plan, w, x)
    from torch_scatter import segment_csr

    selection = Plan(None, plan.idx, plan.row, plan.perm, plan.n_in, plan.idx.numel())
    m = reference.spmm(selection, w, x)
    return segment_csr(m, plan.ptr.to(torch.int64)[None].expand(m.shape[0], -1), reduce="sum")


def extreme(plan: Plan, x: Tensor, largest: bool, slots: bool = True) -> tuple[Tensor, Tensor | None]:
    """As :func:`reference.extreme`; the library passes over NaN, so those are left to the oracle."""
    if plan.ptr is None or x.numel() == 0 or slots or bool(x.isnan().any()):
        return reference.extreme(plan, x, largest, slots)
    from torch_scatter import segment_csr

    m = x.index_select(1, plan.idx)
    return segment_csr(
        m, plan.ptr.to(torch.int64)[None].expand(m.shape[0], -1), reduce="max" if largest else "min"
    ), None
