"""What a right-hand side says it reads: the tensors that gradients are taken in where autograd does not see the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.core.tracing import learned_by
from graphpde.dynamics.state import leaves, tree_map
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import State


def read_by(f: Any, grad: str) -> tuple[Tensor, ...]:
    """The tensors that f says it reads and that ask for gradients; one that is read twice is one.

    Args:
        grad: the way to the gradient, for the message.

    Raises:
        InputError: a function that does not say what it reads.
    """
    if not isinstance(f, nn.Module):
        raise InputError(
            f"grad='{grad}' gives gradients in the tensors that a Term or module says it reads, and a plain function "
            "says nothing; make it a Term with tensors(), or use grad='checkpoint'"
        )
    given: Any = getattr(f, "tensors", f.parameters)()
    return tuple({id(w): w for w in given if w.requires_grad}.values())


def require_all_read(f: System, t: Tensor, u: State, read: Sequence[Tensor]) -> None:
    """Refuse what is learned and not told of: its gradient would be missing without a word.

    Raises:
        InputError: the rate depends on a tensor that requires a gradient and that no term says it reads.
    """
    u = tree_map(lambda x: x.detach().requires_grad_(), u)  # it has a gradient anyway, also within the rate
    known = {id(w) for w in (*read, *leaves(u))}
    for leaf in learned_by(leaves(f.rate(t, u)), read):
        if id(leaf) not in known:
            raise InputError(
                f"the rate depends on a tensor of shape {list(leaf.shape)} that requires a gradient and no term says "
                "it reads, such as one in a plain function; make it part of a module, or use grad='checkpoint'"
            )


def undo_detours(read: Sequence[Tensor], found: list[Tensor]) -> None:
    """Take off what reached one tensor through another that is read as well: autograd will send it there again."""
    made = [k for k, w in enumerate(read) if w.grad_fn is not None]
    for k in sorted(made, key=lambda k: -read[k].grad_fn._sequence_nr()):  # type: ignore[union-attr]
        others = [j for j in range(len(read)) if j != k]
        if not others:
            return
        through = torch.autograd.grad(
            read[k], [read[j] for j in others], found[k], retain_graph=True, allow_unused=True
        )
        for j, part in zip(others, through, strict=True):
            if part is not None:
                found[j] = found[j] - part


def once(grad: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A backward pass whose results refuse to be differentiated, instead of passing for constants."""

    def wrap(backward: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(backward)
        def first(ctx: Any, *given: Tensor) -> Any:
            with torch.no_grad():
                found = backward(ctx, *given)
            if not torch.is_grad_enabled():
                return found
            mark = torch.zeros((), requires_grad=True)
            return tuple(x if x is None else _First.apply(x, grad, mark) for x in found)

        return first

    return wrap


class _First(torch.autograd.Function):
    """A first derivative: itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grad: str, mark: Tensor) -> Tensor:  # type: ignore[override]
        ctx.grad = grad
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *given: Tensor) -> Any:
        raise InputError(f"grad='{ctx.grad}' gives first derivatives only; for second ones use grad='checkpoint'")
