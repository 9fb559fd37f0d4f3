"""Sums of multiples of arrays, each array read once: the arithmetic between two evaluations of a rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.message import apply
from graphpde.core.tracing import Route, route


def blend(u: Tensor, factors: Sequence[float], terms: Sequence[Tensor]) -> Tensor:
    """u + sum of factor * term, added in their order; every derivative exists."""
    if len(terms) > 1 and not torch.compiler.is_compiling():
        way = route(u, *terms)
        if way in (Route.DIRECT, Route.REVERSE) and all(t.dtype is u.dtype and t.shape == u.shape for t in terms):
            if way is Route.REVERSE:
                return apply(_Blend, u, factors, *terms)
            return kernels.backend(u).blend(u, factors, terms)
    for factor, term in zip(factors, terms, strict=True):
        u = torch.add(u, term, alpha=factor)
    return u


class _Blend(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, u: Tensor, factors: Sequence[float], *terms: Tensor) -> Tensor:  # type: ignore[override]
        ctx.factors = factors
        return kernels.backend(u).blend(u, factors, terms)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        wanted = ctx.needs_input_grad
        parts = (g * factor if want else None for factor, want in zip(ctx.factors, wanted[2:], strict=True))
        return g if wanted[0] else None, None, *parts
