"""The oracle: plain torch gather, multiply, scatter_add. Right under every transform, several times slower than csr.

scatter_add, not index_add onto fresh zeros: the latter gives wrong numbers under compile(jvp) in torch 2.13.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.kernels.plan import Plan


def spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    """y[g, i] = sum over slots s of row i of w[g, perm s] x[g, idx s].

    w [g, e] in own order or None for ones, x [g, n_in, k] -> [g, n_out, k].
    """
    m = x.index_select(1, plan.idx)
    if w is not None:
        m = m * (w if plan.perm is None else w.index_select(1, plan.perm))[..., None]
    if plan.ptr is None:
        return m
    index = plan.row.to(torch.int64)[None, :, None].expand(m.shape)
    return m.new_zeros(m.shape[0], plan.n_out, m.shape[2]).scatter_add(1, index, m)


def sddmm(plan: Plan, g: Tensor, x: Tensor) -> Tensor:
    """s[g, perm s] = <g[g, row s], x[g, idx s]>: one number per edge.

    g [g, n_out, k], x [g, n_in, k] -> [g, e] in own order.
    """
    slots = (g.index_select(1, plan.row) * x.index_select(1, plan.idx)).sum(-1)
    if plan.perm is None:
        return slots
    index = plan.perm.to(torch.int64)[None].expand(slots.shape)
    return torch.zeros_like(slots).scatter(1, index, slots)
