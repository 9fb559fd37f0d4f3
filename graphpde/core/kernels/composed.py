"""Kernels made of other kernels, and a backend completed by them."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphpde.core.kernels.plan import Plan


def row_sums(plan: Plan, s: Tensor) -> Tensor:
    """Sums over the slots of each row, s [g, e, h] -> [g, n_out, h]."""
    index = plan.row.to(torch.int64)[None, :, None].expand(s.shape)
    return s.new_zeros(s.shape[0], plan.n_out, s.shape[2]).scatter_add(1, index, s)


def at_slots(plan: Plan, y: Tensor) -> Tensor:
    """Each row's value at its slots, y [g, n_out, h] -> [g, e, h]."""
    return selected(y, plan.row)


def selected(x: Tensor, index: Tensor) -> Tensor:
    """x [g, n, c] at index [e], as [g, e, c].

    gather while compiling: the gradient of index_select is index_add onto fresh zeros, which inductor computes wrongly
    under compile(vmap(grad)) and refuses under compile(jvp) in torch 2.13.
    """
    if torch.compiler.is_compiling():
        return x.gather(1, index.to(torch.int64)[None, :, None].expand(x.shape[0], -1, x.shape[2]))
    return x.index_select(1, index)


def own_order(plan: Plan, slots: Tensor) -> Tensor:
    """Values of the slots [g, e, h] at their edges in own order."""
    assert plan.perm is not None
    out = torch.empty_like(slots)
    out[:, plan.perm.to(torch.int64)] = slots
    return out


def spmm_sddmm(
    kernels: Any, plan: Plan, w: Tensor, x: Tensor, diagonal: Tensor | None, y: Tensor
) -> tuple[Tensor, Tensor]:
    """A weighted sum (with ``diagonal`` * x of a square relation) and the dot products of the same columns with y.

    w [g or 1, e, h] in own order, x [g, n_in, h k], y [g, n_out, h k] -> [g, n_out, h k] and [g or 1, e, h]: both
    gradients of a weighted sum, seen from its other side.
    """
    total = kernels.spmm(plan, w, x)
    if diagonal is not None:
        total = total + (diagonal[:, None] if diagonal.dim() == 1 else diagonal) * x
    return total, kernels.sddmm(plan, y, x, w.shape[2], w.shape[0] == 1)


def attend(
    kernels: Any, plan: Plan, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float
) -> tuple[Tensor, Tensor]:
    """y_i = sum_j p_ij v_j with p = softmax over j of scale <q_i, k_j>, per head.

    q [g, n_out, h c], k [g, n_in, h c], v [g, n_in, h f] -> y [g, n_out, h f] and what the gradient needs, here p.
    """
    p = kernels.softmax(plan, kernels.sddmm(plan, q, k, heads, False).mul_(scale))
    return kernels.spmm(plan, p, v), p


def attend_back(
    kernels: Any,
    plan: Plan,
    grad: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    kept: tuple[Tensor, Tensor],
    heads: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the queries, probabilities p and gradient of the products <q, k>; the rest are sums at the sources.

    ds = scale p (<grad_i, v_j> - sum_j p <grad_i, v_j>), dq = sum_j ds k_j; then dk = sum_i ds q_i and
    dv = sum_i p grad_i.

    Args:
        inputs: (q, k, v) of :func:`attend`. kept: its two results.
    """
    (_, k, v), (_, p) = inputs, kept
    dp = kernels.sddmm(plan, grad, v, heads, False)
    ds = scale * p * (dp - at_slots(plan, row_sums(plan, p * dp)))
    return kernels.spmm(plan, ds, k), p, ds


class Kernels:
    """A backend with every kernel: what its module lacks is composed, or the oracle's."""

    def __init__(self, name: str, module: Any, oracle: Any):
        self.name = name
        self.spmm, self.sddmm = module.spmm, module.sddmm
        self.adds_diagonal = getattr(module, "ADDS_DIAGONAL", False)
        for kernel in ("extreme", "softmax", "logsumexp", "blend", "deviation", "deviation_of_sums"):
            setattr(self, kernel, getattr(module, kernel, getattr(oracle, kernel)))
        self.spmm_sddmm = getattr(module, "spmm_sddmm", partial(spmm_sddmm, self))
        self.attend = getattr(module, "attend", partial(attend, self))
        self.attend_back = getattr(module, "attend_back", partial(attend_back, self))

    extreme: Any
    softmax: Any
    logsumexp: Any
    blend: Any
    deviation: Any
    deviation_of_sums: Any
