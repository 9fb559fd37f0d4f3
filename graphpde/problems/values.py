"""Plain values (numbers, formulas, a number per material) as tensors and fields on a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.geometry import cell_centroids
from graphpde.mesh.space import Space
from graphpde.ops.values import evaluate


class FieldsAt:
    """Several scalar values as one field f(x [k, d], t) -> [k, c]."""

    def __init__(self, parts: Sequence[float | Formula]):
        self.parts = tuple(parts)

    @property
    def uses_time(self) -> bool:
        """Whether any part mentions t."""
        return any(isinstance(part, Formula) and part.uses_time for part in self.parts)

    @property
    def text(self) -> str:
        """For messages: the parts in a row."""
        return ", ".join(part.text if isinstance(part, Formula) else f"{part:g}" for part in self.parts)

    def __call__(self, x: Tensor, t: Tensor) -> Tensor:
        return torch.cat([evaluate(part, x, t) for part in self.parts], 1)


class Vector:
    """A vector field f(x [k, d]) -> [k, d] of numbers and formulas in x, y, z."""

    def __init__(self, parts: Sequence[float | Formula]):
        self.parts = tuple(parts)

    @property
    def constant(self) -> bool:
        """Whether it is the same everywhere."""
        return all(not isinstance(part, Formula) or part.constant for part in self.parts)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.cat([evaluate(part, x, 0.0) for part in self.parts], 1)


def as_field(values: Mapping[str, float | Formula], fields: Sequence[str]) -> float | Formula | FieldsAt:
    """Values by field name as one field; what is missing is zero."""
    parts = [values.get(name, 0.0) for name in fields]
    return parts[0] if len(parts) == 1 else FieldsAt(parts)


def initial_state(
    values: Mapping[str, float | Formula], fields: Sequence[str], space: Graph, t: float, noise: float, seed: int
) -> Tensor:
    """The state [n, c] at the start, with uniform noise in [-noise, noise] drawn from ``seed``.

    The noise does not depend on the device.

    Raises:
        ConfigError: the graph has no positions for formulas to stand on.
    """
    if space.pos is None:
        raise ConfigError("the domain has no positions, so initial values cannot be evaluated on it")
    state = torch.cat([evaluate(values[name], space.pos, t, f"initial {name}") for name in fields], 1)
    if noise:
        drawn = torch.rand(state.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        state = state + (noise * (2 * drawn - 1)).to(state)
    return state.contiguous()


def conductivity(space: Graph, value: Any, what: str = "kappa") -> Any:
    """What :class:`~graphpde.ops.diffusion.Diffusion` takes: a number, {material: number} or one value per cell [m].

    A formula is evaluated at the centroids of the cells, which keeps second order.

    Raises:
        ConfigError: a formula on a domain without cells, or one that is negative or not finite somewhere.
    """
    if isinstance(value, Formula) and value.constant:
        value = float(value(torch.zeros(1, 1, dtype=torch.float64)))
    if not isinstance(value, Formula):
        return value
    if not isinstance(space, Space):
        raise ConfigError(f"{what} = {value.text} is a formula and needs a mesh; give a number")
    at_cells = value(cell_centroids(space.mesh))
    bad = ~(torch.isfinite(at_cells) & (at_cells >= 0))
    if bool(bad.any()):
        first = int(bad.nonzero()[0, 0])
        raise ConfigError(
            f"{what} = {value.text} is {float(at_cells[first]):g} in cell {first} ({int(bad.sum())} cells are negative "
            f"or not finite), expected >= 0 everywhere"
        )
    return at_cells


def per_cell(space: Space, kappa: Any) -> Tensor:
    """What :func:`conductivity` returned as one number per cell [m].

    Raises:
        ConfigError: cells of no material.
    """
    if isinstance(kappa, Tensor):
        return kappa
    if not isinstance(kappa, Mapping):
        return torch.full((space.mesh.n_cells,), float(kappa), dtype=torch.float64)
    out = torch.full((space.mesh.n_cells,), float(kappa.get("*", "nan")), dtype=torch.float64)
    for name, number in kappa.items():
        if name != "*":
            out[space.cells_of(name)] = float(number)
    if bool(out.isnan().any()):
        raise ConfigError(f"{int(out.isnan().sum())} of {len(out)} cells have no material; name them or give '*'")
    return out


def typical(space: Graph, value: Any) -> float:
    """The mean of a conductivity over the cells, for scales of time."""
    kappa = conductivity(space, value)
    if isinstance(space, Space):
        return float(per_cell(space, kappa).mean())
    return float(kappa)
