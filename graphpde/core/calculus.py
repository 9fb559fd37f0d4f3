"""Derivatives of scalar functions wherever they are asked for: eagerly, in inference mode, under torch.func."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch._C import _functorch

from graphpde.core.tracing import followed, following, learned_by


def slopes(f: Callable[..., Tensor], *xs: Tensor) -> tuple[Tensor, ...]:
    """The derivatives of sum(f(*xs)) by each of its arguments, in their shapes.

    They can be differentiated again where gradients are followed and something in them asks for some: an argument, or
    parameters that f reads. Where nobody asks, no graph is kept.
    """
    if _functorch.maybe_current_level() is not None:
        found = torch.func.grad(lambda *given: f(*given).sum(), argnums=tuple(range(len(xs))))(*xs)
        return tuple(found)
    wanted = torch.is_grad_enabled()
    with following():
        free = [followed(x) for x in xs]
        total = f(*free).sum()
        if not total.requires_grad:
            return tuple(torch.zeros_like(x) for x in xs)
        learned = (w for w in learned_by([total]) if all(w is not x for x in free))
        keep = wanted and (any(x.requires_grad for x in xs) or next(learned, None) is not None)
        found = torch.autograd.grad(total, free, create_graph=keep, allow_unused=True)
    return tuple(
        torch.zeros_like(x) if g is None else g if keep else g.detach() for x, g in zip(xs, found, strict=True)
    )
