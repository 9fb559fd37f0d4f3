"""Reactions: pointwise rates of the state, the same at every node."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from graphpde.errors import ShapeError
from graphpde.ops.reactions import REACTIONS, Decay, GrayScott, Logistic
from graphpde.ops.term import Term

__all__ = ["REACTIONS", "Decay", "GrayScott", "Logistic", "Reaction"]


class Reaction(Term):
    """u' = f(u) (or f(t, u) with ``timed=True``), pointwise in nodes; a rate, so it needs no domain.

    Args:
        f: [*, n, c] -> [*, n, c], a function, a module or a member of ``REACTIONS``.
    """

    pointwise = True

    def __init__(self, f: Callable[..., Tensor], *, timed: bool = False):
        super().__init__()
        self.f, self.timed = f, timed

    @property
    def label(self) -> str:
        return f"Reaction({getattr(self.f, '__name__', type(self.f).__name__)})"

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        rate = self.f(t, u) if self.timed else self.f(u)
        if rate.shape != u.shape:
            raise ShapeError(
                f"the reaction returned shape {list(rate.shape)}, expected that of the state: {list(u.shape)}"
            )
        return rate

    def tensors(self) -> tuple[Tensor, ...]:
        learned = self.f.buffers() if isinstance(self.f, nn.Module) else ()
        return (*self.parameters(), *(w for w in learned if w.requires_grad))
