"""Reactions: pointwise rates of the state, the same at every node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.errors import ShapeError
from graphpde.ops.term import Term
from graphpde.registry import Registry

REACTIONS: Registry[type[nn.Module]] = Registry("reaction")


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


@REACTIONS.add("gray-scott")
class GrayScott(nn.Module):
    """Gray-Scott: u' = -u v^2 + F (1 - u), v' = u v^2 - (F + k) v; channels (u, v).

    Defaults give labyrinths. (1, 0) is always an equilibrium.

    Args:
        feed: F, in 1/time. kill: k, in 1/time.

    Reference: Pearson 1993, Science 261, eq. (2).
    """

    channels = ("u", "v")

    def __init__(self, feed: float = 0.037, kill: float = 0.06):
        super().__init__()
        self.feed, self.kill = feed, kill

    def equilibria(self) -> list[tuple[float, float]]:
        """Homogeneous states (u, v) with zero rate; two more than (1, 0) where 1 > 4 (F + k)^2 / F."""
        out = [(1.0, 0.0)]
        root = 1 - 4 * (self.feed + self.kill) ** 2 / self.feed
        if root > 0:
            for sign in (1, -1):
                u = (1 + sign * root**0.5) / 2
                out.append((u, self.feed * (1 - u) / (self.feed + self.kill)))
        return out

    def forward(self, state: Tensor) -> Tensor:
        u, v = _channels(state, 2, "gray-scott")
        uvv = u * v * v
        return torch.stack([self.feed * (1 - u) - uvv, uvv - (self.feed + self.kill) * v], -1)


@REACTIONS.add("decay")
class Decay(nn.Module):
    """First-order decay u' = -rate u on every channel.

    Args:
        rate: in 1/time.
    """

    channels = ("u",)

    def __init__(self, rate: float = 1.0):
        super().__init__()
        self.rate = rate

    def equilibria(self) -> list[tuple[float, ...]]:
        """States with zero rate."""
        return [(0.0,)]

    def forward(self, u: Tensor) -> Tensor:
        return -self.rate * u


@REACTIONS.add("logistic")
class Logistic(nn.Module):
    """Logistic growth u' = rate u (1 - u), the reaction of Fisher's equation.

    Args:
        rate: in 1/time.

    Reference: Fisher 1937, Annals of Eugenics 7, eq. (1).
    """

    channels = ("u",)

    def __init__(self, rate: float = 1.0):
        super().__init__()
        self.rate = rate

    def equilibria(self) -> list[tuple[float, ...]]:
        """States with zero rate."""
        return [(0.0,), (1.0,)]

    def forward(self, u: Tensor) -> Tensor:
        return self.rate * u * (1 - u)


def _channels(state: Tensor, count: int, name: str) -> Any:
    if state.shape[-1] != count:
        raise ShapeError(f"{name} needs {count} channels, the state has {state.shape[-1]}")
    return state.unbind(-1)
