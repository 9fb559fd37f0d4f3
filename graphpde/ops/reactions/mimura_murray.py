"""Mimura and Murray's prey and predators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, joined
from graphpde.ops.reactions.roots import real_roots


@REACTIONS.add("mimura-murray")
class MimuraMurray(Kinetics):
    """Mimura-Murray: u' = ((a + b u - u^2) / c - v) u, v' = (u - 1 - d v) v; channels (u, v).

    u is the prey, which helps itself up to a density (b > 0), v the predator. With the defaults both live together at
    (5, 10), which is stable alone and unstable to patterns where v spreads more than 15.5 times as fast: on networks,
    where some nodes then fill and others empty, the model of Nakao and Mikhailov.

    Args:
        a: growth. b: what prey gains by prey. c: > 0, scale of both. d: > 0, crowding of the predator.

    Reference: Mimura and Murray 1978, J. Theor. Biol. 75; with these constants on networks: Nakao and Mikhailov 2010,
    Nature Physics 6.
    """

    channels = ("u", "v")
    constants: ClassVar[Mapping[str, Constant]] = {
        "a": Constant("growth of the prey, times c"),
        "b": Constant("what prey gains by prey, times c"),
        "c": Constant("scale of growth and saturation", "1", 0.0, True),
        "d": Constant("crowding of the predator", "1", 0.0, True),
    }

    a: float | Tensor
    b: float | Tensor
    c: float | Tensor
    d: float | Tensor

    def __init__(
        self, a: float | Tensor = 35.0, b: float | Tensor = 16.0, c: float | Tensor = 9.0, d: float | Tensor = 0.4
    ):
        super().__init__(a=a, b=b, c=c, d=d)

    def equilibria(self) -> list[tuple[float, ...]]:
        """States with zero rate: both species together first, then prey alone, then nobody."""
        a, b, c, d = self.numbers()
        together = [(u, (u - 1) / d) for u in real_roots([-1.0, b - c / d, a + c / d]) if u > 1]
        alone = [(u, 0.0) for u in real_roots([-1.0, b, a]) if u > 0]
        return [*together, *alone, (0.0, 0.0)]

    def forward(self, state: Tensor) -> Tensor:
        u, v = self.species(state)
        return joined(((self.a + self.b * u - u * u) / self.c - v) * u, (u - 1 - self.d * v) * v)
