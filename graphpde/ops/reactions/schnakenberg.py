"""Schnakenberg's chemical oscillator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, joined


@REACTIONS.add("schnakenberg")
class Schnakenberg(Kinetics):
    """Schnakenberg: u' = rate (a - u + u^2 v), v' = rate (b - u^2 v); channels (u, v).

    The simplest mass-action system with a limit cycle. With the defaults its one equilibrium is stable alone and
    unstable to patterns where v diffuses more than 8.6 times as fast as u.

    Args:
        a, b: feeds >= 0 and > 0. rate: > 0, in 1/time; the others are in units of u.

    Reference: Schnakenberg 1979, J. Theor. Biol. 81; the analysis of its patterns in Murray 2003, Mathematical Biology
    II, chapter 2.
    """

    channels = ("u", "v")
    constants: ClassVar[Mapping[str, Constant]] = {
        "a": Constant("feed of u", "u", 0.0),
        "b": Constant("feed of v", "u", 0.0, True),
        "rate": Constant("rate of all reactions", "1/time", 0.0, True),
    }

    a: float | Tensor
    b: float | Tensor
    rate: float | Tensor

    def __init__(self, a: float | Tensor = 0.1, b: float | Tensor = 0.9, rate: float | Tensor = 1.0):
        super().__init__(a=a, b=b, rate=rate)

    def equilibria(self) -> list[tuple[float, ...]]:
        """The state (a + b, b / (a + b)^2)."""
        a, b, _ = self.numbers()
        return [(a + b, b / (a + b) ** 2)]

    def forward(self, state: Tensor) -> Tensor:
        u, v = self.species(state)
        uuv = u * u * v
        return joined(self.rate * (self.a - u + uuv), self.rate * (self.b - uuv))
