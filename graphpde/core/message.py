"""The differentiable pair: weighted sum over edges and dot product per edge, in both orientations.

With own-order weights w [g, e] and y_i = sum_{e: j->i} w_e x_j (``spmm``), s_e = <g_i, x_j> (``sddmm``):

    d spmm:   dx = spmm^T(w, g),     dw = sddmm(g, x)
    d sddmm:  dg = spmm(ds, x),      dx = spmm^T(ds, g)

where ^T is the same relation seen from its sources. Backward, jvp and vmap call the public pair again, so every order
of derivative exists. The leading dimension g holds groups (heads, batched weights), each with its own weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch
from torch.autograd import forward_ad

from graphpde.core import kernels
from graphpde.core.kernels import Plan


class Sides:
    """The two orientations of one relation: ``forward`` sums at destinations, ``backward`` at sources."""

    __slots__ = ("backward", "forward")

    def __init__(self, forward: Plan, backward: Plan):
        self.forward, self.backward = forward, backward

    def flip(self) -> Sides:
        return Sides(self.backward, self.forward)


def spmm(sides: Sides, w: Tensor | None, x: Tensor) -> Tensor:
    """Weighted sum over edges, w [g, e] or None, x [g, n_in, k] -> [g, n_out, k]; differentiable in w and x."""
    if not _traced(x, w):
        return kernels.backend().spmm(sides.forward, w, x)
    if _plain():
        return kernels.plain_spmm(sides.forward, w, x)
    if w is None:
        return _Sum.apply(sides, x)
    return _Spmm.apply(sides, w, x)


def sddmm(sides: Sides, g: Tensor, x: Tensor) -> Tensor:
    """Dot product per edge, g [g, n_out, k], x [g, n_in, k] -> [g, e]; differentiable in both."""
    if not _traced(g, x):
        return kernels.backend().sddmm(sides.forward, g, x)
    if _plain():
        return kernels.plain_sddmm(sides.forward, g, x)
    return _Sddmm.apply(sides, g, x)


def _traced(a: Tensor, b: Tensor | None) -> bool:
    """Whether anybody watches; if not, the kernel is called directly, at a third of the cost."""
    if torch.compiler.is_compiling() or _functorch.maybe_current_level() or forward_ad._current_level >= 0:
        return True
    if torch.is_grad_enabled() and (a.requires_grad or (b is not None and b.requires_grad)):
        return True
    # gradients of a batch (is_grads_batched) come in the old kind of vmap, which has no level
    return _functorch.is_legacy_batchedtensor(a) or (b is not None and _functorch.is_legacy_batchedtensor(b))


def _plain() -> bool:
    """Whether only the plain path is right: compiling, or forward mode inside forward mode.

    jvp(jvp) through any autograd.Function with a jvp gives a zero tangent in torch 2.13, and Dynamo refuses such
    Functions.
    """
    if torch.compiler.is_compiling():
        return True
    if forward_ad._current_level < 0 and not _functorch.maybe_current_level():
        return False
    stack = _functorch.get_interpreter_stack()
    return stack is not None and sum(i.key() == _functorch.TransformType.Jvp for i in stack) > 1


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
        w, x = ctx.saved_tensors
        _, want_w, want_x = ctx.needs_input_grad
        grad_w = sddmm(ctx.sides, g, x.conj()) if want_w else None
        grad_x = spmm(ctx.sides.flip(), w.conj(), g) if want_x else None
        return None, grad_w, grad_x

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
        if w_dim is None:  # one set of weights: fold the batch into channels
            x = x.movedim(x_dim, 0)
            return _unfold(spmm(sides, w, _fold_channels(x)), b), 0
        w, x = _batch(w, w_dim, b), _batch(x, x_dim, b)
        return spmm(sides, w.flatten(0, 1), x.flatten(0, 1)).unflatten(0, (b, -1)), 0


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
        return _unfold(spmm(sides, None, _fold_channels(x.movedim(in_dims[1], 0))), info.batch_size), 0


class _Sddmm(torch.autograd.Function):
    @staticmethod
    def forward(sides: Sides, g: Tensor, x: Tensor) -> Tensor:
        return kernels.sddmm(sides.forward, g, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.sides, g, x = inputs
        ctx.save_for_backward(g, x)
        ctx.save_for_forward(g, x)

    @staticmethod
    def backward(ctx: Any, s: Tensor) -> Any:
        g, x = ctx.saved_tensors
        _, want_g, want_x = ctx.needs_input_grad
        grad_g = spmm(ctx.sides, s, x.conj()) if want_g else None
        grad_x = spmm(ctx.sides.flip(), s, g.conj()) if want_x else None
        return None, grad_g, grad_x

    @staticmethod
    def jvp(ctx: Any, _: Any, dg: Tensor | None, dx: Tensor | None) -> Any:
        g, x = ctx.saved_tensors
        parts = [] if dg is None else [sddmm(ctx.sides, dg, x)]
        if dx is not None:
            parts.append(sddmm(ctx.sides, g, dx))
        return sum(parts[1:], parts[0])

    @staticmethod
    def vmap(info: Any, in_dims: Any, sides: Sides, g: Tensor, x: Tensor) -> Any:
        b = info.batch_size
        g, x = _batch(g, in_dims[1], b), _batch(x, in_dims[2], b)
        return sddmm(sides, g.flatten(0, 1), x.flatten(0, 1)).unflatten(0, (b, -1)), 0


def _fold_channels(x: Tensor) -> Tensor:
    """[b, g, n, k] -> [g, n, b k]."""
    return x.movedim(0, 2).flatten(2)


def _unfold(y: Tensor, b: int) -> Tensor:
    """[g, n, b k] -> [b, g, n, k]."""
    return y.unflatten(2, (b, -1)).movedim(2, 0)
