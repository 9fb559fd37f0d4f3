"""The activator and inhibitor of Gierer and Meinhardt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, joined
from graphpde.ops.reactions.roots import real_roots


@REACTIONS.add("gierer-meinhardt")
class GiererMeinhardt(Kinetics):
    """Gierer-Meinhardt: u' = u^2 / (v (1 + saturation u^2)) - decay_u u + basal, v' = u^2 - decay_v v; channels (u, v).

    An activator u that makes itself and its inhibitor v: spots where v spreads much faster than u, stripes as well
    where the activation saturates. The defaults form patterns where v diffuses more than 11 times as fast.
    v must stay positive; a state with v = 0 has no rate.

    Args:
        decay_u, decay_v: > 0, in 1/time; decay_v > decay_u keeps the homogeneous state from oscillating.
        basal: production >= 0 of u without activation. saturation: >= 0, in 1/u^2.

    Reference: Gierer and Meinhardt 1972, Kybernetik 12.
    """

    channels = ("u", "v")
    constants: ClassVar[Mapping[str, Constant]] = {
        "decay_u": Constant("decay of the activator", "1/time", 0.0, True),
        "decay_v": Constant("decay of the inhibitor", "1/time", 0.0, True),
        "basal": Constant("production of the activator without activation", "u/time", 0.0),
        "saturation": Constant("saturation of the activation", "1/u^2", 0.0),
    }

    decay_u: float | Tensor
    decay_v: float | Tensor
    basal: float | Tensor
    saturation: float | Tensor

    def __init__(
        self,
        decay_u: float | Tensor = 1.0,
        decay_v: float | Tensor = 1.5,
        basal: float | Tensor = 0.1,
        saturation: float | Tensor = 0.0,
    ):
        super().__init__(decay_u=decay_u, decay_v=decay_v, basal=basal, saturation=saturation)

    def equilibria(self) -> list[tuple[float, ...]]:
        """The state with zero rate: v = u^2 / decay_v and (basal - decay_u u) (1 + saturation u^2) + decay_v = 0.

        That has one positive root: three of them would need a negative decay_v.
        """
        decay, fast, basal, full = self.numbers()
        roots = real_roots([-decay * full, basal * full, -decay, basal + fast])
        return [(u, u * u / fast) for u in roots if u > 0]

    def forward(self, state: Tensor) -> Tensor:
        u, v = self.species(state)
        uu = u * u
        activation = uu / (v * (1 + self.saturation * uu))
        return joined(activation - self.decay_u * u + self.basal, uu - self.decay_v * v)
