"""The Gray-Scott autocatalysis."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, joined


@REACTIONS.add("gray-scott")
class GrayScott(Kinetics):
    """Gray-Scott: u' = -u v^2 + F (1 - u), v' = u v^2 - (F + k) v; channels (u, v).

    Defaults give labyrinths where u diffuses twice as fast as v. (1, 0) is always an equilibrium, and a stable one:
    patterns need a push.

    Args:
        feed: F > 0, in 1/time. kill: k >= 0, in 1/time.

    Reference: Pearson 1993, Science 261, eq. (2).
    """

    channels = ("u", "v")
    constants: ClassVar[Mapping[str, Constant]] = {
        "feed": Constant("rate F at which u is fed", "1/time", 0.0, True),
        "kill": Constant("rate k at which v is removed beside F", "1/time", 0.0),
    }

    feed: float | Tensor
    kill: float | Tensor

    def __init__(self, feed: float | Tensor = 0.037, kill: float | Tensor = 0.06):
        super().__init__(feed=feed, kill=kill)

    def equilibria(self) -> list[tuple[float, ...]]:
        """Homogeneous states (u, v) with zero rate; two more than (1, 0) where 1 > 4 (F + k)^2 / F."""
        feed, kill = self.numbers()
        out: list[tuple[float, ...]] = [(1.0, 0.0)]
        root = 1 - 4 * (feed + kill) ** 2 / feed
        if root > 0:
            for sign in (1, -1):
                u = (1 + sign * root**0.5) / 2
                out.append((u, feed * (1 - u) / (feed + kill)))
        return out

    def remark(self) -> str:
        feed, kill = self.numbers()
        root = 1 - 4 * (feed + kill) ** 2 / feed
        if root >= 0:
            return ""
        return (
            f"no homogeneous state has v > 0, since 1 - 4 (F + k)^2 / F = {root:.3f} < 0: patterns that a push starts "
            f"are of finite amplitude, not Turing's"
        )

    def forward(self, state: Tensor) -> Tensor:
        u, v = self.species(state)
        uvv = u * v * v
        return joined(self.feed - self.feed * u - uvv, uvv - (self.feed + self.kill) * v)
