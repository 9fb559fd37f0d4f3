"""What reaction-diffusion systems share: a diffusivity for each species, and scales that follow the domain."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import torch

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.reactions.patterns import jacobian
from graphpde.ops.term import Sum
from graphpde.problems.pde import Box, Coefficient, Pde, Plain, rounded_down, spacing
from graphpde.problems.values import conductivity, per_cell


def diffusivities(*fields: str) -> dict[str, Coefficient]:
    """``kappa_u`` for a species u, and so on."""
    return {f"kappa_{name}": Coefficient(f"diffusivity of {name}", "length^2/time") for name in fields}


def two_digits(x: float) -> float:
    """``x`` rounded to two significant digits, so that defaults read well."""
    return float(f"{x:.2g}")


def scale(space: Graph, across: float, nodes: float) -> float:
    """A length that fits ``across`` times into the domain, but spans at least ``nodes`` node distances."""
    return max(Box.of(space).length / across, nodes * spacing(space))


class ReactionDiffusion(Pde):
    """du_k/dt = div(kappa_k grad u_k) + f_k(u) for every species k; the reaction f is added by name."""

    balanced: ClassVar[bool] = False
    stepper = "ars222"

    @property
    def rest(self) -> tuple[float, ...]:
        """The first equilibrium, a number for each field."""
        found = self.kinetics.equilibria()[0]
        return found if len(found) == len(self.fields) else found[:1] * len(self.fields)

    def longest_step(self) -> float | None:
        """Half the time scale of the reaction near its first equilibrium: explicit steps are then right about it."""
        fastest = float(jacobian(self.kinetics, self.rest).abs().sum(1).max())
        return rounded_down(0.5 / fastest) if fastest > 0 else None

    def terms(self, space: Graph, coefficients: Mapping[str, Plain]) -> Sum:
        each = [conductivity(space, coefficients[name], name) for name in self.coefficients]
        if len(each) == 1:
            return Sum.of(Diffusion(space, each[0]))
        if all(isinstance(k, float | int) for k in each):
            kappa = torch.tensor([each], dtype=torch.float64)
        else:
            if any(isinstance(k, torch.Tensor) and k.dim() > 1 for k in each):
                raise ConfigError(
                    f"{self.name} has several fields and takes no matrices as diffusivities; give numbers"
                )
            assert isinstance(space, Space | CellSpace)
            kappa = torch.stack([per_cell(space, k) for k in each], 1)
        return Sum.of(Diffusion(space, kappa.to(space.device, space.dtype)))
