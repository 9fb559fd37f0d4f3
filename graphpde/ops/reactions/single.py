"""Reactions of one species: decay, logistic growth, two stable phases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.ops.reactions.kinetics import REACTIONS, Constant, Kinetics, per_species


@REACTIONS.add("decay")
class Decay(Kinetics):
    """First-order decay u' = -rate u on every channel.

    Args:
        rate: >= 0, in 1/time.
    """

    channels = ("u",)
    constants: ClassVar[Mapping[str, Constant]] = {"rate": Constant("rate of decay", "1/time", 0.0)}

    rate: float | Tensor

    def __init__(self, rate: float | Tensor = 1.0):
        super().__init__(rate=rate)

    def equilibria(self) -> list[tuple[float, ...]]:
        """States with zero rate."""
        return [(0.0,)]

    def forward(self, u: Tensor) -> Tensor:
        return -per_species(self.rate) * u


@REACTIONS.add("logistic")
class Logistic(Kinetics):
    """Logistic growth u' = rate u (1 - u / capacity), the reaction of Fisher's equation.

    With diffusion kappa, fronts of u = capacity invade u = 0 (unstable) with the speed 2 sqrt(kappa rate).

    Args:
        rate: >= 0, in 1/time. capacity: > 0, in units of u.

    Reference: Fisher 1937, Annals of Eugenics 7; Kolmogorov, Petrovsky and Piskunov 1937 (the speed).
    """

    channels = ("u",)
    constants: ClassVar[Mapping[str, Constant]] = {
        "rate": Constant("rate of growth", "1/time", 0.0),
        "capacity": Constant("level at which growth ends", "u", 0.0, True),
    }

    rate: float | Tensor
    capacity: float | Tensor

    def __init__(self, rate: float | Tensor = 1.0, capacity: float | Tensor = 1.0):
        super().__init__(rate=rate, capacity=capacity)

    def equilibria(self) -> list[tuple[float, ...]]:
        """States with zero rate."""
        return [(0.0,), (self.numbers()[1],)]

    def forward(self, u: Tensor) -> Tensor:
        return per_species(self.rate) * u * (1 - u / per_species(self.capacity))


@REACTIONS.add("allen-cahn")
class AllenCahn(Kinetics):
    r"""Two stable phases u = -1 and u = 1: u' = rate (u - u^3), the downward gradient of rate (1 - u^2)^2 / 4.

    With diffusion kappa, phases meet in layers tanh(x / (sqrt(2) l)), l = sqrt(kappa / rate), that shrink by their
    curvature; the mesh must resolve l.

    Args:
        rate: > 0, in 1/time. A negative one would make the mixture u = 0 stable and let the phases blow up.

    Reference: Allen and Cahn 1979, Acta Metallurgica 27.
    """

    channels = ("u",)
    constants: ClassVar[Mapping[str, Constant]] = {"rate": Constant("rate of separation", "1/time", 0.0, True)}

    rate: float | Tensor

    def __init__(self, rate: float | Tensor = 1.0):
        super().__init__(rate=rate)

    def equilibria(self) -> list[tuple[float, ...]]:
        """States with zero rate; 0 is unstable."""
        return [(-1.0,), (0.0,), (1.0,)]

    def forward(self, u: Tensor) -> Tensor:
        return per_species(self.rate) * (u - u * u * u)

    def energy(self, u: Tensor) -> Tensor:
        """The density rate (1 - u^2)^2 / 4 whose downward gradient this is, [*, n, c] -> [*, n, c]."""
        return per_species(self.rate) * (1 - u * u).square() / 4

    @property
    def concavity(self) -> float:
        """How far the energy is from convex: its second derivative rate (3 u^2 - 1) is nowhere below minus this."""
        return self.numbers()[0]
