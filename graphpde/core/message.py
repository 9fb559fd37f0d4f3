"""The differentiable pair: weighted sum over edges and dot product per edge, in both orientations.

With own-order weights w [g, e, h] and y_i = sum_{e: j->i} w_e x_j (``spmm``), s_e = <y_i, x_j> (``sddmm``), per head h:

    d spmm:   dx = spmm^T(w, g),     dw = sddmm(g, x)
    d sddmm:  dy = spmm(ds, x),      dx = spmm^T(ds, y)

where ^T is the same relation seen from its sources. Backward, jvp and vmap call the public pair again, so every order
of derivative exists. Groups g (a batch) share their weights where w has one group only; dw is then summed over them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.kernels import Plan, reference
from graphpde.core.tracing import Route, route


class Sides:
    """The two orientations of one relation: ``forward`` sums at destinations, ``backward`` at sources."""

    __slots__ = ("backward", "forward")

    def __init__(self, forward: Plan, backward: Plan):
        self.forward, self.backward = forward, backward

    def flip(self) -> Sides:
        return Sides(self.backward, self.forward)


def spmm(sides: Sides, w: Tensor | None, x: Tensor) -> Tensor:
    """Weighted sum over edges, x [g, n_in, h k] -> [g, n_out, h k]; differentiable in w and x.

    w is [g or 1, e, h] or None for ones; where g = 1, x may be [n_in, h k], and w may be [e, h] or [e].
    """
    way = route(x, w)
    if way is Route.REVERSE:  # takes flat values as they are: every view would be a node of autograd's graph
        return apply(_SpmmReverse, sides, w, x)
    if x.dim() == 2:
        return _spmm(way, sides, _lifted(w), x.unsqueeze(0)).squeeze(0)
    return _spmm(way, sides, _lifted(w), x)


def operate(sides: Sides, w: Tensor, d: Tensor, x: Tensor) -> Tensor:
    """Weighted sum plus diagonal, x [g, n, c] or [n, c], w as in :func:`spmm`, d [n] or [n, c] of the type of x.

    One pass over the values where the backend can, forward and in reverse mode.
    """
    way = route(x, w, d)
    if way in (Route.DIRECT, Route.REVERSE) and x.dtype == w.dtype == d.dtype and not torch.compiler.is_compiling():
        chosen = kernels.backend(x)
        if chosen.adds_diagonal:
            return apply(_Operate, sides, w, d, x) if way is Route.REVERSE else _fused(chosen, sides, w, d, x)
    return spmm(sides, w, x) + (d[:, None] if d.dim() == 1 else d) * x


def gradients(sides: Sides, w: Tensor, d: Tensor | None, x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """(dw, dx) of :func:`operate`, or without d of :func:`spmm`, g the gradient of its result; differentiable.

    One pass over the values where the backend can and nobody watches.
    """
    alike = x.dtype == w.dtype == g.dtype and (d is None or d.dtype == x.dtype) and not x.is_complex()
    if alike and route(w, d, x, g) is Route.DIRECT:
        grouped = x.dim() == 3
        given, seen = (g, x) if grouped else (g.unsqueeze(0), x.unsqueeze(0))
        weights = _lifted(w)
        assert weights is not None
        dx, dw = kernels.backend(x).spmm_sddmm(sides.backward, weights, given, d, seen)
        return dw.view(w.shape), dx if grouped else dx.squeeze(0)
    dw = _weight_gradient(sides, w, x, g)
    back = sides.flip()
    return dw, spmm(back, w.conj(), g) if d is None else operate(back, w.conj(), d.conj(), g)


def _weight_gradient(sides: Sides, w: Tensor, x: Tensor, g: Tensor) -> Tensor:
    heads, shared = (w.shape[-1], w.shape[0] == 1) if w.dim() == 3 else (1 if w.dim() == 1 else w.shape[1], True)
    return sddmm(sides, g, x.conj(), heads, shared).view(w.shape)


def _fused(chosen: Any, sides: Sides, w: Tensor, d: Tensor, x: Tensor) -> Tensor:
    if x.dim() == 2:
        return chosen.spmm(sides.forward, _lifted(w), x.unsqueeze(0), d).squeeze(0)
    return chosen.spmm(sides.forward, _lifted(w), x, d)


def _spmm(way: Route, sides: Sides, w: Tensor | None, x: Tensor) -> Tensor:
    if way is Route.DIRECT:
        return kernels.backend(x).spmm(sides.forward, w, x)
    if way is Route.FULL:
        return _Sum.apply(sides, x) if w is None else _Spmm.apply(sides, w, x)
    if way is Route.TRACED:
        return kernels.spmm(sides.forward, w, x)
    return reference.spmm(sides.forward, w, x)


def sddmm(sides: Sides, y: Tensor, x: Tensor, heads: int = 1, shared: bool = False) -> Tensor:
    """Dot product per edge and head, y [g, n_out, h k], x [g, n_in, h k] -> [g, e, h]; differentiable in both.

    ``shared``: summed over the groups, [1, e, h]. Where g = 1, y and x may be without it.
    """
    if sides.forward.perm is not None:  # the other side has the edges in own order
        sides, y, x = sides.flip(), x, y
    way = route(y, x)
    if way is Route.REVERSE:
        return apply(_SddmmReverse, sides, y, x, heads, shared)
    if x.dim() == 2:
        y, x = y.unsqueeze(0), x.unsqueeze(0)
    if way is Route.DIRECT:
        return kernels.backend(x).sddmm(sides.forward, y, x, heads, shared)
    if way is Route.FULL:
        return _Sddmm.apply(sides, y, x, heads, shared)
    if way is Route.TRACED:
        return kernels.sddmm(sides.forward, y, x, heads, shared)
    return reference.sddmm(sides.forward, y, x, heads, shared)


def _lifted(w: Tensor | None) -> Tensor | None:
    """Weights with all three dimensions."""
    if w is None or w.dim() == 3:
        return w
    return w.unsqueeze(0) if w.dim() == 2 else w.view(1, -1, 1)


def apply(function: Any, *args: Any) -> Tensor:
    """``function.apply`` without torch's binding of signatures, which costs more than a small product."""
    if torch.compiler.is_compiling():  # where no tensor may stand twice among the arguments, as in dot(x, x)
        twice = [isinstance(a, Tensor) and any(a is b for b in args[:i]) for i, a in enumerate(args)]
        return function.apply(*(a.view_as(a) if t else a for a, t in zip(args, twice)))
    return super(torch.autograd.Function, function).apply(*args)


def _spmm_backward(ctx: Any, g: Tensor, want_w: bool, want_x: bool) -> tuple[Tensor | None, Tensor | None]:
    w, x = ctx.saved_tensors
    if want_w and want_x:
        return gradients(ctx.sides, w, None, x, g)
    grad_w = _weight_gradient(ctx.sides, w, x, g) if want_w else None
    grad_x = spmm(ctx.sides.flip(), None if w is None else w.conj(), g) if want_x else None
    return grad_w, grad_x


def _sddmm_backward(ctx: Any, s: Tensor, want_y: bool, want_x: bool) -> tuple[Tensor | None, Tensor | None]:
    y, x = ctx.saved_tensors
    grad_y = spmm(ctx.sides, s, x.conj()) if want_y else None
    grad_x = spmm(ctx.sides.flip(), s, y.conj()) if want_x else None
    return grad_y, grad_x


class _SpmmReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sides: Sides, w: Tensor | None, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.sides = sides
        ctx.save_for_backward(w, x if ctx.needs_input_grad[1] else None)
        return _raw_spmm(sides.forward, w, x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return None, *_spmm_backward(ctx, g, *ctx.needs_input_grad[1:])


class _Operate(torch.autograd.Function):
    """Weighted sum plus diagonal."""

    @staticmethod
    def forward(ctx: Any, sides: Sides, w: Tensor, d: Tensor, x: Tensor) -> Tensor:  # type: ignore[override]
        ctx.sides = sides
        ctx.save_for_backward(w, d, x)
        if route(w, d, x) is Route.DIRECT:
            return _fused(kernels.backend(x), sides, w, d, x)
        return spmm(sides, w, x) + (d[:, None] if d.dim() == 1 else d) * x

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        w, d, x = ctx.saved_tensors
        _, want_w, want_d, want_x = ctx.needs_input_grad
        grad_w = grad_d = grad_x = None
        if want_w and want_x:
            grad_w, grad_x = gradients(ctx.sides, w, d, x, g)
        elif want_w:
            grad_w = _weight_gradient(ctx.sides, w, x, g)
        elif want_x:
            grad_x = operate(ctx.sides.flip(), w.conj(), d.conj(), g)
        if want_d:
            grad_d = (g * x.conj()).sum_to_size(d[:, None].shape if d.dim() == 1 else d.shape).view(d.shape)
        return None, grad_w, grad_d, grad_x


class _SddmmReverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, sides: Sides, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:  # type: ignore[override]
        ctx.sides = sides
        ctx.save_for_backward(y, x)
        return _raw_sddmm(sides.forward, y, x, heads, shared)

    @staticmethod
    def backward(ctx: Any, s: Tensor) -> Any:
        return None, *_sddmm_backward(ctx, s, *ctx.needs_input_grad[1:3]), None, None


def _raw_spmm(plan: Plan, w: Tensor | None, x: Tensor) -> Tensor:
    if x.dim() == 2:
        return _raw_spmm(plan, w, x.unsqueeze(0)).squeeze(0)
    w = _lifted(w)
    if route(w, x) is Route.DIRECT:  # no gradient inside a Function, but perhaps a compiler or a dispatch mode
        return kernels.backend(x).spmm(plan, w, x)
    return kernels.spmm(plan, w, x)


def _raw_sddmm(plan: Plan, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
    if x.dim() == 2:
        y, x = y.unsqueeze(0), x.unsqueeze(0)
    if route(y, x) is Route.DIRECT:
        return kernels.backend(x).sddmm(plan, y, x, heads, shared)
    return kernels.sddmm(plan, y, x, heads, shared)


def _batch(x: Tensor, dim: int | None, size: int) -> Tensor:
    """Move a vmapped dimension to the front, or add it by expansion."""
    return x.expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


class _Spmm(torch.autograd.Function):
    @staticmethod
    def forward(sides: Sides, w: Tensor, x: Tensor) -> Tensor:
        return kernels.spmm(sides.forward, w, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.sides, w, x = inputs
        ctx.save_for_backward(w, x)
        ctx.save_for_forward(w, x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return None, *_spmm_backward(ctx, g, *ctx.needs_input_grad[1:])

    @staticmethod
    def jvp(ctx: Any, _: Any, dw: Tensor | None, dx: Tensor | None) -> Any:
        w, x = ctx.saved_tensors
        parts = [] if dw is None else [spmm(ctx.sides, dw, x)]
        if dx is not None:
            parts.append(spmm(ctx.sides, w, dx))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, sides: Sides, w: Tensor, x: Tensor) -> Any:
        b = info.batch_size
        _, w_dim, x_dim = in_dims
        x = _batch(x, x_dim, b)
        if w_dim is not None or w.shape[0] > 1:  # else one set of weights for all
            w = _batch(w, w_dim, b).expand(-1, x.shape[1], -1, -1).flatten(0, 1)
        return spmm(sides, w, x.flatten(0, 1)).unflatten(0, (b, -1)), 0


class _Sum(torch.autograd.Function):
    """spmm with unit weights: linear in x."""

    @staticmethod
    def forward(sides: Sides, x: Tensor) -> Tensor:
        return kernels.spmm(sides.forward, None, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.sides = inputs[0]

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        return None, spmm(ctx.sides.flip(), None, g)

    @staticmethod
    def jvp(ctx: Any, _: Any, dx: Tensor) -> Tensor:
        return spmm(ctx.sides, None, dx)

    @staticmethod
    def vmap(info: Any, in_dims: Any, sides: Sides, x: Tensor) -> Any:
        x = x.movedim(in_dims[1], 0)
        return spmm(sides, None, x.flatten(0, 1)).unflatten(0, (info.batch_size, -1)), 0


class _Sddmm(torch.autograd.Function):
    @staticmethod
    def forward(sides: Sides, y: Tensor, x: Tensor, heads: int, shared: bool) -> Tensor:
        return kernels.sddmm(sides.forward, y, x, heads, shared)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.sides, y, x, ctx.heads, ctx.shared = inputs
        ctx.save_for_backward(y, x)
        ctx.save_for_forward(y, x)

    @staticmethod
    def backward(ctx: Any, s: Tensor) -> Any:
        return None, *_sddmm_backward(ctx, s, *ctx.needs_input_grad[1:3]), None, None

    @staticmethod
    def jvp(ctx: Any, _: Any, dy: Tensor | None, dx: Tensor | None, *rest: Any) -> Any:
        y, x = ctx.saved_tensors
        parts = [] if dy is None else [sddmm(ctx.sides, dy, x, ctx.heads, ctx.shared)]
        if dx is not None:
            parts.append(sddmm(ctx.sides, y, dx, ctx.heads, ctx.shared))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, sides: Sides, y: Tensor, x: Tensor, heads: int, shared: bool) -> Any:
        b = info.batch_size
        y, x = _batch(y, in_dims[1], b), _batch(x, in_dims[2], b)
        s = sddmm(sides, y.flatten(0, 1), x.flatten(0, 1), heads).unflatten(0, (b, -1))
        return s.sum(1, keepdim=True) if shared else s, 0
