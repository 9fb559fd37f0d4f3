"""Waves of one frequency, in closed rooms and where they leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.ops.forms import Helmholtz
from graphpde.ops.term import Sum
from graphpde.problems.pde import PDES, Box, Coefficient, Pde, Plain, Value, spacing
from graphpde.problems.reaction_diffusion import scale, two_digits
from graphpde.problems.shapes import bump
from graphpde.problems.values import conductivity

_FEWEST, _GOOD = 6, 10  # edges in a wavelength: below the first a piecewise linear wave has no shape left
_WAVE = Coefficient("wave number, omega / c", "1/length")


@PDES.add("helmholtz")
class HelmholtzProblem(Pde):
    """-laplace u - k^2 u = f: standing waves of one frequency between hard walls (insulated) or given values.

    Near the eigenvalues of the domain the answer is a resonance, whose size says little. The default k fits about five
    waves into the domain, fewer where the mesh has not ten nodes for each; where nothing else is given a source of
    amplitude k^2 stands in the left half.

    Reference: Ihlenburg 1998, Finite Element Analysis of Acoustic Scattering.
    """

    name, title = "helmholtz", "Helmholtz equation"
    equation = "-laplace u - k^2 u = f"
    units: ClassVar[Mapping[str, str]] = {"u": "1"}
    coefficients: ClassVar[Mapping[str, Coefficient]] = {"k": _WAVE}
    stationary = True
    levelled = True
    continuous = True

    def default_coefficients(self, space: Graph) -> dict[str, Plain]:
        return {"k": two_digits(2 * math.pi / scale(space, 5, 10))}

    def default_source(self, space: Graph, coefficients: Mapping[str, Plain]) -> dict[str, Value]:
        box = Box.of(space)
        left = box.centre.clone()
        left[0] -= 0.25 * box.length
        return {self.fields[0]: bump(space, 0.04, "smooth", left)}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(Helmholtz(space, conductivity(space, coefficients["k"], "k")))

    def doubts(self, space: Graph, coefficients: Mapping[str, Plain]) -> list[str]:
        k, apart = _largest(space, coefficients["k"]), spacing(space)
        if not k * apart * _FEWEST > 2 * math.pi * (1 + 1e-9):
            return []
        length = 2 * math.pi / k
        return [
            f"the wavelength 2 pi/k = {length:.3g} spans {length / apart:.2g} edges (nodes are about {apart:.2g} "
            f"apart), expected at least {_FEWEST}, better {_GOOD}: the wave is not resolved; take a mesh of "
            f"size {length / _GOOD:.2g} or a smaller k"
        ]


def _largest(space: Graph, k: Plain) -> float:
    """The largest wave number."""
    found = conductivity(space, k, "k")
    if isinstance(found, Mapping):
        return max(float(part) for part in found.values())
    return float(found.max()) if isinstance(found, Tensor) else float(found)


@PDES.add("helmholtz-open")
class OpenHelmholtzProblem(HelmholtzProblem):
    """-laplace u - k^2 u = f where waves leave through the whole boundary: du/dn = i k u there, to first order.

    The fields are the real and the imaginary part of u e^{-i omega t}. A set with a value keeps the value.

    Reference: Engquist and Majda 1977, Math. Comp. 31.
    """

    name, title = "helmholtz-open", "Helmholtz equation with open boundary"
    equation = "-laplace u - k^2 u = f,  du/dn = i k u on the boundary"
    fields = ("real", "imaginary")
    units: ClassVar[Mapping[str, str]] = {"real": "1", "imaginary": "1"}

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        return Sum.of(Helmholtz(space, conductivity(space, coefficients["k"], "k"), absorbing="boundary"))
