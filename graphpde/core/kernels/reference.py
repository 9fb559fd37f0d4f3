"""The oracle: plain torch gather, multiply, scatter_add. Right under every transform, many times slower than the rest.

Layout of every kernel: groups g lead, then nodes n or edges e, then channels h k: h heads of k consecutive channels.

scatter_add, not index_add onto fresh zeros: the latter gives wrong numbers under compile(jvp) in torch 2.13.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from graphpde.core.kernels import composed
from graphpde.core.kernels.composed import at_slots, row_sums, selected
from graphpde.core.kernels.plan import Plan


def spmm(plan: Plan, w: Tensor | None, x: Tensor, diagonal: Tensor | None = None) -> Tensor:
    """y[g, i, h] = sum over slots s of row i of w[g, perm s, h] x[g, idx s, h].

    w [g or 1, e, h] in own order or None for ones, x [g, n_in, h k] -> [g, n_out, h k]; where n_in = n_out, with a
    ``diagonal`` [n] or [n, h k], diagonal * x is added.
    """
    if diagonal is not None:
        return spmm(plan, w, x) + (diagonal[:, None] if diagonal.dim() == 1 else diagonal) * x
    m = selected(x, plan.idx)
    if w is not None:
        w = w if plan.perm is None else selected(w, plan.perm)
        m = m * w if w.shape[2] in (1, m.shape[2]) else (m.unflatten(2, (w.shape[2], -1)) * w[..., None]).flatten(2)
    if plan.ptr is None:
        return m
    index = plan.row.to(torch.int64)[None, :, None].expand(m.shape)
    return m.new_zeros(m.shape[0], plan.n_out, m.shape[2]).scatter_add(1, index, m)


def sddmm(plan: Plan, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
    """s[g, perm s, h] = <y[g, row s, h], x[g, idx s, h]>: one number per edge and head.

    y [g, n_out, h k], x [g, n_in, h k] -> [g, e, h] in own order, or summed over g [1, e, h] where ``shared``.
    """
    m = selected(y, plan.row) * selected(x, plan.idx)
    slots = m if heads == m.shape[2] else m.unflatten(2, (heads, -1)).sum(-1)
    if shared:
        slots = slots.sum(0, keepdim=True)
    if plan.perm is None:
        return slots
    index = plan.perm.to(torch.int64)[None, :, None].expand(slots.shape)
    return torch.zeros_like(slots).scatter(1, index, slots)


def extreme(plan: Plan, x: Tensor, largest: bool, slots: bool = True) -> tuple[Tensor, Tensor | None]:
    """Largest or smallest x[g, idx s] over the slots s of each row, and the first slot that has it.

    A NaN wins: an extremum of something undefined is undefined. A row without slots: value 0, slot -1.
    x [g, n_in, c] -> values and, where ``slots`` are wanted, slots [g, n_out, c].
    """
    m = selected(x, plan.idx)
    e, shape = m.shape[1], (m.shape[0], plan.n_out, m.shape[2])
    if e == 0:
        return x.new_zeros(shape), torch.full(shape, -1, device=x.device)
    index = plan.row.to(torch.int64)[None, :, None].expand(m.shape)
    best = m.new_zeros(shape).scatter_reduce(1, index, m, "amax" if largest else "amin", include_self=False)
    if not slots:
        return best, None
    each = torch.arange(e, device=m.device)[:, None].expand(m.shape)
    wins = torch.where((m == best.gather(1, index)) | m.isnan(), each, e)
    first = torch.full(shape, e, device=m.device).scatter_reduce(1, index, wins, "amin")
    return best, torch.where(first < e, first, -1)


def logsumexp(plan: Plan, s: Tensor) -> Tensor:
    """log sum over each row's slots of exp s, s [g, e, h] -> [g, n_out, h]; -inf for a row without slots."""
    top = _tops(plan, s)
    total = row_sums(plan, torch.exp(s - at_slots(plan, top)))
    return torch.where(total > 0, total.log() + top, top.masked_fill(top.isfinite(), -torch.inf))


def softmax(plan: Plan, s: Tensor) -> Tensor:
    """exp s over its sum in the row, s [g, e, h] -> [g, e, h]."""
    p = torch.exp(s - at_slots(plan, _tops(plan, s)))
    return p / at_slots(plan, row_sums(plan, p))


def _tops(plan: Plan, s: Tensor) -> Tensor:
    zeros = s.new_zeros(s.shape[0], plan.n_out, s.shape[2])
    index = plan.row.to(torch.int64)[None, :, None].expand(s.shape)
    return zeros.scatter_reduce(1, index, s, "amax", include_self=False)


attend, attend_back, spmm_sddmm = (
    partial(composed.attend, sys.modules[__name__]),
    partial(composed.attend_back, sys.modules[__name__]),
    partial(composed.spmm_sddmm, sys.modules[__name__]),
)


def blend(u: Tensor, factors: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    """u + sum of factor * term, added in their order; all of one shape and type."""
    if not terms:
        return u.clone()
    y = torch.add(u, terms[0], alpha=factors[0])
    for factor, term in zip(factors[1:], terms[1:], strict=True):
        y.add_(term, alpha=factor)
    return y


def deviation(e: Tensor, a: Tensor, b: Tensor, rtol: float, atol: float) -> float:
    """The sum of (e / (atol + rtol max(|a|, |b|)))^2 over all entries; where atol = 0, 0 / 0 counts as 0."""
    allowed = torch.maximum(a.abs(), b.abs()).mul_(rtol).add_(atol)
    ratio = torch.div(e, allowed, out=allowed) if e.dtype == allowed.dtype else e / allowed
    if not atol:  # an entry that is 0 and stays 0 has no relative error: no reason to stop
        ratio = torch.where(e == 0, 0.0, ratio)
    size = float(torch.linalg.vector_norm(ratio))
    if math.isinf(size):  # of finite numbers, perhaps: their squares may not be
        size = float(torch.linalg.vector_norm(ratio, dtype=torch.float64))
    return size**2


def deviation_of_sums(
    a: Tensor, factors: Sequence[float], errors: Sequence[float], terms: Sequence[Tensor], rtol: float, atol: float
) -> float:
    """:func:`deviation` of e = sum of error * term at a and b = a + sum of factor * term."""
    e = blend(terms[0] * errors[0], errors[1:], terms[1 : len(errors)])
    return deviation(e, a, blend(a, factors, terms[: len(factors)]), rtol, atol)
