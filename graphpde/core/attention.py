"""Softmax, log-sum-exp, attention and extrema over the edges of each destination.

Reverse mode has kernels of its own; under every other transform the same is composed of sums over edges, which have
all derivatives. ``ends`` are the two orientations of edges -> destinations.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.kernels import Plan, reference
from graphpde.core.message import Sides, apply, sddmm, spmm
from graphpde.core.tracing import Route, route


def extreme(sides: Sides, x: Tensor, largest: bool) -> Tensor:
    """Largest or smallest neighbour, x [g, n_in, c] -> [g, n_out, c]; 0 without neighbours.

    Differentiated as the selection of the first winner, so that every kind of derivative exists; a NaN wins.
    """
    plan, way = sides.forward, route(x)
    if plan.idx.numel() == 0:
        return spmm(sides, None, x)
    if way is Route.DIRECT:
        return kernels.backend(x).extreme(plan, x, largest, False)[0]
    if way is Route.TRACED:
        return kernels.extreme(plan, x, largest)[0]
    with torch.no_grad():
        slot = _winners(plan, x.detach(), largest, way)
    nodes = plan.idx.to(torch.int64)[slot.clamp(min=0)]
    return torch.where(slot >= 0, x.gather(1, nodes), 0.0)


def _winners(plan: Plan, x: Tensor, largest: bool, way: Route) -> Tensor:
    if way is not Route.REVERSE:
        return reference.extreme(plan, x, largest)[1]  # type: ignore[return-value]
    if route(x) is Route.DIRECT:
        return kernels.backend(x).extreme(plan, x, largest)[1]
    return kernels.extreme(plan, x, largest)[1]


def softmax(ends: Sides, s: Tensor) -> Tensor:
    """Softmax over the edges of each destination, s [g, e, h]."""
    way = route(s)
    if way is Route.DIRECT:
        return kernels.backend(s).softmax(ends.forward, s)
    if way is Route.REVERSE and not torch.compiler.is_compiling():
        return apply(_Softmax, ends, s)
    p = torch.exp(s - _spread(ends, _shift(ends, s)))
    return p / _spread(ends, spmm(ends, None, p))


def logsumexp(ends: Sides, s: Tensor) -> Tensor:
    """Log of the sum of exp over the edges of each destination, s [g, e, h] -> [g, n_out, h]; -inf without edges."""
    way = route(s)
    if way is Route.DIRECT:
        return kernels.backend(s).logsumexp(ends.forward, s)
    if way is Route.REVERSE and not torch.compiler.is_compiling():
        return apply(_LogSumExp, ends, s)
    top = _shift(ends, s)
    top = torch.where(top.isfinite(), top, 0.0)
    total = spmm(ends, None, torch.exp(s - _spread(ends, top)))
    empty = total == 0  # its logarithm would have no derivative
    return torch.where(empty, -torch.inf, torch.log(torch.where(empty, 1.0, total)) + top)


def attend(sides: Sides, ends: Sides, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float) -> Tensor:
    """y_i = sum_j softmax_j(scale <q_i, k_j>) v_j per head.

    q [g, n_out, h c], k [g, n_in, h c], v [g, n_in, h f] -> [g, n_out, h f], all with g or, where it is 1, without;
    0 without edges.
    """
    way = route(q, k, v)
    if way is Route.REVERSE and not torch.compiler.is_compiling():
        return apply(_Attend, sides, ends, q, k, v, heads, scale)
    if way is Route.DIRECT:
        return _fused(kernels.backend(q), sides, q, k, v, heads, scale)[0]
    p = softmax(ends, scale * sddmm(sides, q, k, heads))
    return spmm(sides, p, v)


def _shift(ends: Sides, s: Tensor) -> Tensor:
    """The largest of each destination, a constant: it drops out of what it is taken off from."""
    with torch.no_grad():
        return extreme(ends, s.detach(), True)


def _spread(ends: Sides, y: Tensor) -> Tensor:
    """Each destination's value at its edges."""
    return spmm(ends.flip(), None, y)


def _centred(ends: Sides, p: Tensor, g: Tensor) -> Tensor:
    """p (g - sum p g): the derivative of softmax, symmetric, so that it serves both modes."""
    t = p * g
    return t - p * _spread(ends, spmm(ends, None, t))


def _fused(
    chosen: Any, sides: Sides, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float
) -> tuple[Tensor, Tensor]:
    if q.dim() == 3:
        return chosen.attend(sides.forward, q, k, v, heads, scale)
    y, kept = chosen.attend(sides.forward, q.unsqueeze(0), k.unsqueeze(0), v.unsqueeze(0), heads, scale)
    return y.squeeze(0), kept


def _fused_back(
    chosen: Any,
    sides: Sides,
    g: Tensor,
    inputs: tuple[Tensor, Tensor, Tensor],
    kept: tuple[Tensor, Tensor],
    heads: int,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    if g.dim() == 3:
        return chosen.attend_back(sides.forward, g, inputs, kept, heads, scale)
    q, k, v = (x.unsqueeze(0) for x in inputs)
    kept = kept[0].unsqueeze(0), kept[1]
    dq, p, ds = chosen.attend_back(sides.forward, g.unsqueeze(0), (q, k, v), kept, heads, scale)
    return dq.squeeze(0), p, ds


class _Softmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ends: Sides, s: Tensor) -> Tensor:  # type: ignore[override]
        ctx.ends = ends
        p = (kernels.backend(s) if route(s) is Route.DIRECT else reference).softmax(ends.forward, s)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (p,) = ctx.saved_tensors
        return None, _centred(ctx.ends, p, g)


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, ends: Sides, s: Tensor) -> Tensor:  # type: ignore[override]
        ctx.ends = ends
        y = (kernels.backend(s) if route(s) is Route.DIRECT else reference).logsumexp(ends.forward, s)
        ctx.save_for_backward(s, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        s, y = ctx.saved_tensors
        top = torch.where(y == -torch.inf, 0.0, y)  # where nothing adds up, nothing has a gradient
        return None, _spread(ctx.ends, g) * torch.exp(s - _spread(ctx.ends, top))


class _Attend(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, sides: Sides, ends: Sides, q: Tensor, k: Tensor, v: Tensor, heads: int, scale: float
    ) -> Tensor:
        ctx.sides, ctx.ends, ctx.heads, ctx.scale = sides, ends, heads, scale
        # what is kept is the backend's own: the same one must finish, whatever is in force by then
        ctx.chosen = kernels.backend(q) if route(q, k, v) is Route.DIRECT else reference
        y, kept = _fused(ctx.chosen, sides, q, k, v, heads, scale)
        ctx.save_for_backward(q, k, v, y, kept)
        return y

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (q, k, v, y, kept), sides, heads, scale = ctx.saved_tensors, ctx.sides, ctx.heads, ctx.scale
        _, _, want_q, want_k, want_v, *_ = ctx.needs_input_grad
        if route(g, q, k, v) is Route.DIRECT:
            dq, p, ds = _fused_back(ctx.chosen, sides, g, (q, k, v), (y, kept), heads, scale)
        else:  # somebody differentiates the gradient: by operations that have derivatives
            p = softmax(ctx.ends, scale * sddmm(sides, q, k, heads))
            ds = scale * _centred(ctx.ends, p, sddmm(sides, g, v, heads))
            dq = spmm(sides, ds, k)
        dk = spmm(sides.flip(), ds, q) if want_k else None
        dv = spmm(sides.flip(), p, g) if want_v else None
        return None, None, dq if want_q else None, dk, dv, None, None
