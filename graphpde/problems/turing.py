"""Systems whose homogeneous state breaks up into patterns: Schnakenberg, Brusselator, Gierer-Meinhardt."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from graphpde.core.graph import Graph
from graphpde.ops.reactions import fastest_mode
from graphpde.problems.pde import PDES, Coefficient, Plain, Value, rounded_down
from graphpde.problems.reaction_diffusion import ReactionDiffusion, diffusivities, scale, two_digits
from graphpde.problems.values import typical


class Turing(ReactionDiffusion):
    """Two species, the second of which spreads faster: patterns grow out of noise on the homogeneous state.

    The default diffusivities scale with the domain, so that about eight wavelengths of the fastest mode fit across it,
    fewer where the mesh could not resolve them (eight nodes a wavelength). A run takes 40 times the growth time of that
    mode, long enough for the pattern to settle.

    Attributes:
        ratio: default kappa_v / kappa_u.

    Reference: Turing 1952, Phil. Trans. R. Soc. B 237.
    """

    fields = ("u", "v")
    units: ClassVar[Mapping[str, str]] = {"u": "1", "v": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = diffusivities("u", "v")
    noise = 0.02
    ratio: ClassVar[float]

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        alone = fastest_mode(self.kinetics, self.rest, (1.0, self.ratio)).wavelength
        length = scale(space, 8, 8)
        kappa = two_digits((length / (alone if math.isfinite(alone) else 2 * math.pi)) ** 2)
        return {"kappa_u": kappa, "kappa_v": two_digits(self.ratio * kappa)}

    def default_initial(self, space: Graph, coefficients: Mapping[str, Plain], driven: bool) -> dict[str, Value]:
        return dict(zip(self.fields, self.rest, strict=True))

    def duration(self, space: Graph, coefficients: Mapping[str, Plain]) -> float:
        kappa = [typical(space, coefficients[name]) for name in self.coefficients]
        rate = fastest_mode(self.kinetics, self.rest, kappa).rate
        return rounded_down(40 / rate) if rate > 0 else 100.0


@PDES.add("schnakenberg")
class SchnakenbergProblem(Turing):
    """Schnakenberg's system: stripes and spots.

    Reference: Schnakenberg 1979, J. Theor. Biol. 81.
    """

    name, title = "schnakenberg", "Schnakenberg patterns"
    equation = "du/dt = div(kappa_u grad u) + r (a - u + u^2 v),  dv/dt = div(kappa_v grad v) + r (b - u^2 v)"
    reaction = "schnakenberg"
    ratio = 20.0


@PDES.add("brusselator")
class BrusselatorProblem(Turing):
    """The Brusselator below its oscillations.

    Reference: Prigogine and Lefever 1968, J. Chem. Phys. 48.
    """

    name, title = "brusselator", "Brusselator patterns"
    equation = "du/dt = div(kappa_u grad u) + a - (b + 1) u + u^2 v,  dv/dt = div(kappa_v grad v) + b u - u^2 v"
    reaction = "brusselator"
    ratio = 8.0


@PDES.add("gierer-meinhardt")
class GiererMeinhardtProblem(Turing):
    """An activator and the inhibitor that it makes: spots.

    Reference: Gierer and Meinhardt 1972, Kybernetik 12.
    """

    name, title = "gierer-meinhardt", "Gierer-Meinhardt spots"
    equation = (
        "du/dt = div(kappa_u grad u) + u^2 / (v (1 + s u^2)) - d_u u + basal,  "
        "dv/dt = div(kappa_v grad v) + u^2 - d_v v"
    )
    reaction = "gierer-meinhardt"
    ratio = 30.0
