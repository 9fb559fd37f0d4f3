"""The Brusselator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, joined


@REACTIONS.add("brusselator")
class Brusselator(Kinetics):
    """Brusselator: u' = a - (b + 1) u + u^2 v, v' = b u - u^2 v; channels (u, v), times in units of the decay of u.

    Its equilibrium oscillates for b > 1 + a^2 and forms patterns for b > (1 + a sqrt(kappa_u / kappa_v))^2; with the
    defaults and kappa_v = 8 kappa_u only the latter.

    Args:
        a: feed of u > 0. b: rate > 0 at which u turns into v.

    Reference: Prigogine and Lefever 1968, J. Chem. Phys. 48; the thresholds in Nicolis and Prigogine 1977,
    Self-Organization in Nonequilibrium Systems, chapter 7.
    """

    channels = ("u", "v")
    constants: ClassVar[Mapping[str, Constant]] = {
        "a": Constant("feed of u", "u", 0.0, True),
        "b": Constant("rate at which u turns into v", "1", 0.0, True),
    }

    a: float | Tensor
    b: float | Tensor

    def __init__(self, a: float | Tensor = 4.5, b: float | Tensor = 7.5):
        super().__init__(a=a, b=b)

    def equilibria(self) -> list[tuple[float, ...]]:
        """The state (a, b / a)."""
        a, b = self.numbers()
        return [(a, b / a)]

    def forward(self, state: Tensor) -> Tensor:
        u, v = self.species(state)
        turned = self.b * u - u * u * v
        return joined(self.a - u - turned, turned)
