"""The Gray-Scott reaction-diffusion system."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.formula import Formula
from graphpde.problems.pde import PDES, SPACE, Box, Coefficient, Plain, Value, nearest_node, squared_distance
from graphpde.problems.reaction_diffusion import ReactionDiffusion, diffusivities

SPOTS = 6


@PDES.add("gray-scott")
class GrayScottProblem(ReactionDiffusion):
    """u + 2 v -> 3 v with u fed and v removed: patterns grow from a few spots of v and a little noise.

    The default diffusivities scale with the domain, so that about seven wavelengths fit across it. Heun's method with
    steps of at most 1, the time scale of the reaction.

    Reference: Pearson 1993, Science 261, eq. (2).
    """

    name, title = "gray-scott", "Gray-Scott reaction and diffusion"
    equation = "du/dt = div(kappa_u grad u) - u v^2 + F (1 - u),  dv/dt = div(kappa_v grad v) + u v^2 - (F + k) v"
    fields = ("u", "v")
    units: ClassVar[Mapping[str, str]] = {"u": "1", "v": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = diffusivities("u", "v")
    stepper = "heun"
    noise = 0.01
    reaction = "gray-scott"

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        kappa = float(f"{4e-5 * Box.of(space).length ** 2:.2g}")
        return {"kappa_u": kappa, "kappa_v": kappa / 2}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        box = Box.of(space)
        nearest = ", ".join(squared_distance(spot, box.length) for spot in _spread_out(space, SPOTS))
        radius = float(f"{(0.06 * box.length) ** 2:.3g}")
        inside = f"min({nearest}) < {radius:g}"
        return {"u": Formula(f"0.5 if {inside} else 1", SPACE), "v": Formula(f"0.25 if {inside} else 0", SPACE)}

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        return 4000.0

    def longest_step(self) -> float:
        return 1.0


def _spread_out(space: Graph, count: int) -> list[Tensor]:
    """Positions [d] of nodes far apart: the one nearest to the middle, then always the farthest from all before."""
    assert space.pos is not None
    pos = space.pos.cpu().double()
    spots = [nearest_node(space, Box.of(space).centre)]
    distance = (pos - spots[0]).square().sum(1)
    while len(spots) < min(count, len(pos)):
        spots.append(pos[distance.argmax()])
        distance = torch.minimum(distance, (pos - spots[-1]).square().sum(1))
    return spots
