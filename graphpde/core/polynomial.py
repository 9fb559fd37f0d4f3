"""Polynomials of a sparse map: what an explicit method does to a linear system in one step.

    y = u + sum_{j < m} c_j A^j v,     s = v + A (y - u) = v + sum_{j < m} c_j A^{j+1} v,
    (A x)_i = d_i x_i + sum_{e: j->i} w_e x_j

s is the slope at y where v is that at u. Horner's rule backward, g and h the gradients of y and s:

    G_m = c_{m-1} h,   G_j = c_j g + c_{j-1} h + A^T G_{j+1} with c_{-1} = 1,   du = g,   dv = G_0,
    dw = sum_j sddmm(G_{j+1}, A^j v),           dd = sum_j sum over channels of G_{j+1} (A^j v)

so that no multiple of a power is ever kept, only the powers themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.blend import blend
from graphpde.core.message import Sides, apply, gradients, operate
from graphpde.core.tracing import Route, route


class Polynomial(NamedTuple):
    """What a step makes of a linear system.

    Attributes:
        value: y. slope: s, where it was asked for. powers: A^j v without gradients.
    """

    value: Tensor
    slope: Tensor | None
    powers: Sequence[Tensor]


def polynomial(
    sides: Sides,
    weights: tuple[Tensor, Tensor],
    u: Tensor,
    v: Tensor,
    c: Sequence[float],
    *,
    slope: bool = False,
    known: Sequence[Tensor] = (),
) -> Polynomial:
    """y and, where ``slope`` is wanted, s; u and v [n, k] or [g, n, k], weights w [e] or [e, k], d [n] or [n, k].

    Every derivative exists; in reverse mode alone it is one node of the graph of autograd. ``known``: the powers, where
    they have been worked out before.
    """
    way = route(*weights, u, v)
    if way is Route.REVERSE and not torch.compiler.is_compiling():
        kept: list[Tensor] = []
        y, *rest = apply(_Polynomial, sides, *weights, u, v, tuple(c), slope, known, kept)
        return Polynomial(y, rest[0] if slope else None, kept)
    if way is not Route.DIRECT or not known:
        known = powers(sides, weights, v, len(c) + slope)
    return in_powers(u, c, known, slope)


def in_powers(u: Tensor, c: Sequence[float], known: Sequence[Tensor], slope: bool) -> Polynomial:
    """The polynomial from the powers A^j v, j up to m where ``slope`` is wanted, else to m - 1."""
    m = len(c)
    s = blend(known[0], c, known[1 : m + 1]) if slope else None
    return Polynomial(blend(u, c, known[:m]), s, [p.detach() for p in known])


def powers(sides: Sides, weights: tuple[Tensor, Tensor], v: Tensor, count: int) -> list[Tensor]:
    """A^j v for j < count."""
    found = [v]
    while len(found) < count:
        found.append(operate(sides, *weights, found[-1]))
    return found


class _Polynomial(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        sides: Sides,
        w: Tensor,
        d: Tensor,
        u: Tensor,
        v: Tensor,
        c: tuple[float, ...],
        slope: bool,
        known: Sequence[Tensor],
        kept: list[Tensor],
    ) -> tuple[Tensor, ...]:
        found = known or powers(sides, (w, d), v, len(c) + slope)
        ctx.sides, ctx.c = sides, c
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(w, d, v, *found[1 : len(c) - 1 + slope])
        y, s, same = in_powers(u, c, found, slope)
        kept.extend(same)
        return (y,) if s is None else (y, s)

    @staticmethod
    def backward(ctx: Any, g: Tensor | None, h: Tensor | None = None) -> Any:
        w, d, *found = ctx.saved_tensors
        sides, c = ctx.sides, ctx.c
        if torch.is_grad_enabled():  # somebody will differentiate this: the powers must hang on what they came from
            found = powers(sides, (w, d), found[0], len(found))
        _, want_w, want_d, want_u, want_v = ctx.needs_input_grad[:5]
        grad_w = grad_d = None
        back, turned, conjugate = sides.flip(), w.conj(), d.conj()
        degree = len(c) if h is not None else len(c) - 1
        backwards = h * c[-1] if h is not None else None if g is None else g * c[-1]
        if backwards is None:
            return (None,) * 9
        for j in range(degree - 1, -1, -1):
            if want_d:
                part = (backwards * found[j].conj()).sum_to_size(d[:, None].shape if d.dim() == 1 else d.shape)
                part = part.view(d.shape)
                grad_d = part if grad_d is None else grad_d + part
            added = [(c[j], g), (c[j - 1] if j else 1.0, h)]
            if want_w:
                part, product = gradients(sides, w, d, found[j], backwards)
                grad_w = part if grad_w is None else grad_w + part
            else:
                product = operate(back, turned, conjugate, backwards)
            backwards = blend(product, [f for f, x in added if x is not None], [x for _, x in added if x is not None])
        return None, grad_w, grad_d, g if want_u else None, backwards if want_v else None, None, None, None, None
