"""The FitzHugh-Nagumo model of excitable tissue."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, joined
from graphpde.ops.reactions.roots import real_roots


@REACTIONS.add("fitzhugh-nagumo")
class FitzHughNagumo(Kinetics):
    """FitzHugh-Nagumo: u' = u - u^3 / 3 - w + current, w' = eps (u + a - b w); channels (u, w).

    u is the excitation (a membrane potential), w the recovery. Without current the defaults rest at (-1.03, -0.67)
    and answer a push with one pulse; with a current of 0.5 they oscillate. Where u diffuses, pulses travel and broken
    ones wind up to spirals; with the b = 0.8 of FitzHugh broken ones shrink instead.

    Args:
        a, b: of the recovery, b >= 0. eps: > 0, recovery over excitation; small means stiff. current: what is fed in.

    Reference: FitzHugh 1961, Biophys. J. 1; Nagumo, Arimoto and Yoshizawa 1962, Proc. IRE 50; in the form of Izhikevich
    and FitzHugh 2006, Scholarpedia 1(9); a and b as in Winfree 1991, Chaos 1, whose epsilon^2 is eps.
    """

    channels = ("u", "w")
    constants: ClassVar[Mapping[str, Constant]] = {
        "a": Constant("offset of the recovery"),
        "b": Constant("decay of the recovery", "1", 0.0),
        "eps": Constant("rate of recovery over rate of excitation", "1", 0.0, True),
        "current": Constant("current fed in"),
    }

    a: float | Tensor
    b: float | Tensor
    eps: float | Tensor
    current: float | Tensor

    def __init__(
        self,
        a: float | Tensor = 0.7,
        b: float | Tensor = 0.5,
        eps: float | Tensor = 0.08,
        current: float | Tensor = 0.0,
    ):
        super().__init__(a=a, b=b, eps=eps, current=current)

    def equilibria(self) -> list[tuple[float, ...]]:
        """States (u, w) with zero rate, ascending in u: one to three roots of b (u - u^3 / 3 + current) = u + a."""
        a, b, _, current = self.numbers()
        roots = real_roots([-b / 3, 0.0, b - 1, b * current - a])
        return [(u, u - u**3 / 3 + current) for u in roots]

    def forward(self, state: Tensor) -> Tensor:
        u, w = self.species(state)
        return joined(u - u * u * u / 3 - w + self.current, self.eps * (u + self.a - self.b * w))
