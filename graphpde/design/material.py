"""From design variables to densities, from densities to moduli."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphpde.checks import number, positive
from graphpde.design.filter import DensityFilter
from graphpde.errors import InputError
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.per_cell import cells_of


@dataclass(frozen=True)
class Simp:
    """The share E / E0 = e + (1 - e) x^p of the full modulus at density x: half a density bears far less than half.

    Args:
        penalty: p >= 1; 3 makes grey uneconomic for nu = 0.3. least: e > 0 of a void cell, which keeps the problem
            solvable.

    Reference: Bendsoe 1989; Andreassen et al. 2011, eq. (1).
    """

    penalty: float = 3.0
    least: float = 1e-9

    def __post_init__(self) -> None:
        number("penalty", self.penalty, least=1.0)
        positive("least", self.least)
        number("least", self.least, below=1.0)

    def __call__(self, x: Tensor) -> Tensor:
        return self.least + (1 - self.least) * x**self.penalty


@dataclass(frozen=True)
class Heaviside:
    """A smooth step at ``threshold`` that keeps 0 and 1: it turns filtered greys into black and white.

    Args:
        sharpness: beta > 0; start with 1 and double it from optimum to optimum. threshold: eta in (0, 1).

    Reference: Wang, Lazarov and Sigmund 2011, eq. (9).
    """

    sharpness: float = 1.0
    threshold: float = 0.5

    def __post_init__(self) -> None:
        positive("sharpness", self.sharpness, finite=True)
        _inside("threshold", self.threshold)

    def __call__(self, x: Tensor) -> Tensor:
        b, e = self.sharpness, self.threshold
        low = math.tanh(b * e)
        return (low + torch.tanh(b * (x - e))) / (low + math.tanh(b * (1 - e)))


class Densities:
    """Densities of cells from design variables: filtered, projected, and given where a set of cells says so.

    Args:
        mesh: the body. radius: of the :class:`~graphpde.design.filter.DensityFilter`. projection: such as
            :class:`Heaviside`. solid, void: names of sets of cells that are full or empty whatever the design.

    Raises:
        UnknownName, MeshError: no such set of cells. InputError: a cell that is both, or a bad radius.
    """

    def __init__(
        self,
        mesh: Mesh,
        radius: float,
        *,
        projection: Heaviside | None = None,
        solid: Sequence[str] = (),
        void: Sequence[str] = (),
    ):
        self.filter, self.projection, self.mesh = DensityFilter(mesh, radius), projection, mesh
        self.solid, self.void = (self._mask(names) for names in (solid, void))
        both = self.solid & self.void
        if bool(both.any()):
            raise InputError(
                f"{int(both.sum())} cells of '{mesh.name}' are solid and void, first {int(both.nonzero()[0, 0])}; "
                f"take them out of one of the sets"
            )
        self._shares = self.filter.volumes / self.filter.volumes.sum()

    def _mask(self, names: Sequence[str]) -> Tensor:
        mask = torch.zeros(self.mesh.n_cells, dtype=torch.bool)
        for name in [names] if isinstance(names, str) else names:
            mask[cells_of(self.mesh, name)] = True
        return mask

    def __call__(self, x: Tensor) -> Tensor:
        """Densities [*, m] of design variables [*, m] in [0, 1]; differentiable."""
        rho = self.filter(x)
        rho = rho if self.projection is None else self.projection(rho)
        return torch.where(self.solid, 1.0, torch.where(self.void, 0.0, rho))

    def share(self, rho: Tensor) -> Tensor:
        """The part of the volume that densities [*, m] fill, [*]."""
        return (rho * self._shares.to(rho.dtype)).sum(-1)

    def require(self, volume: float) -> None:
        """Refuse a share of the volume that no design has.

        Raises:
            InputError: not within (0, 1), less than what is solid, or more than what is not void.
        """
        _inside("volume", volume)
        least, most = float(self.share(self.solid.double())), float(self.share((~self.void).double()))
        if not least < volume < most:
            raise InputError(
                f"volume is {volume:g}, but what is solid and void leaves {least:.4g} to {most:.4g}; choose one between"
            )


def _inside(name: str, value: float) -> None:
    number(name, value, below=1.0)
    if value == 0:
        raise InputError(f"{name} is 0, expected a number > 0 and < 1")
