"""Polynomials of a sparse map: what an explicit method does to a linear system in one step.

    y = u + sum_{j <= m} c_j A^j v,     (A x)_i = d_i x_i + sum_{e: j->i} w_e x_j

Horner's rule backward, g the gradient of y:

    G_m = c_m g,   G_j = c_j g + A^T G_{j+1},   du = g,   dv = G_0,
    dw = sum_j sddmm(G_{j+1}, A^j v),           dd = sum_j sum over channels of G_{j+1} (A^j v)

so that no multiple of a power is ever kept, only the powers themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.core.message import Sides, apply, operate, sddmm
from graphpde.core.tracing import Route, route

Coefficients = tuple[float, ...]


def polynomial(
    sides: Sides, w: Tensor, d: Tensor, u: Tensor, v: Tensor, c: Coefficients
) -> tuple[Tensor, Sequence[Tensor]]:
    """(y, [A^j v for j <= m] without gradients), u and v [n, k] or [g, n, k], w [e] or [e, k], d [n] or [n, k].

    Every derivative exists; in reverse mode alone it is one node of the graph of autograd.
    """
    way = route(w, d, u, v)
    if way is Route.REVERSE and not torch.compiler.is_compiling():
        kept: list[Tensor] = []
        return apply(_Polynomial, sides, w, d, u, v, c, kept), kept
    powers = _powers(sides, w, d, v, len(c))
    if way is Route.DIRECT:
        return _sum(u, c, powers), powers
    y = u
    for factor, power in zip(c, powers, strict=True):
        y = torch.add(y, power, alpha=factor)
    return y, [p.detach() for p in powers]


def _powers(sides: Sides, w: Tensor, d: Tensor, v: Tensor, count: int) -> list[Tensor]:
    powers = [v]
    while len(powers) < count:
        powers.append(operate(sides, w, d, powers[-1]))
    return powers


def _sum(u: Tensor, c: Coefficients, powers: Sequence[Tensor]) -> Tensor:
    y = torch.add(u, powers[0], alpha=c[0])
    for factor, power in zip(c[1:], powers[1:], strict=True):
        y.add_(power, alpha=factor)
    return y


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, sides: Sides, w: Tensor, d: Tensor, u: Tensor, v: Tensor, c: Coefficients, kept: list[Tensor]
    ) -> Tensor:
        powers = _powers(sides, w, d, v, len(c))
        ctx.sides, ctx.c = sides, c
        ctx.save_for_backward(w, d, *powers)
        kept.extend(power.detach() for power in powers)
        return _sum(u, c, powers)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        w, d, *powers = ctx.saved_tensors
        sides, c = ctx.sides, ctx.c
        if torch.is_grad_enabled():  # somebody will differentiate this: the powers must hang on what they came from
            powers = _powers(sides, w, d, powers[0], len(c))
        _, want_w, want_d, want_u, want_v, _, _ = ctx.needs_input_grad
        grad_w = grad_d = None
        back, turned, conjugate = sides.flip(), w.conj(), d.conj()
        backwards = g * c[-1]
        for factor, power in zip(c[-2::-1], powers[-2::-1]):
            if want_w:
                part = sddmm(sides, backwards, power.conj(), 1 if w.dim() == 1 else w.shape[-1], shared=True)
                grad_w = part if grad_w is None else grad_w + part
            if want_d:
                part = (backwards * power.conj()).sum_to_size(d[:, None].shape if d.dim() == 1 else d.shape)
                part = part.view(d.shape)
                grad_d = part if grad_d is None else grad_d + part
            product = operate(back, turned, conjugate, backwards)
            backwards = torch.add(product, g, alpha=factor) if product.requires_grad else product.add_(g, alpha=factor)
        grad_w = None if grad_w is None else grad_w.view(w.shape)
        return None, grad_w, grad_d, g if want_u else None, backwards if want_v else None, None, None
