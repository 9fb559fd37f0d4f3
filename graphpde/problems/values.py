"""Plain values (numbers, formulas, a number per material) as tensors and fields on a space."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConfigError
from graphpde.formula import Formula
from graphpde.mesh.cell_space import CellSpace
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
    """What :class:`~graphpde.ops.diffusion.Diffusion` takes, from what a problem file says.

    Numbers and {set of cells: number} stay what they are; formulas, tensors [[..], [..]] of numbers and formulas, and
    tables that hold such become one value per cell, [m] or [m, d, d], taken at the centroids, which keeps second order.

    Raises:
        ConfigError: a formula or tensor on a domain without cells, one that is negative or not finite somewhere, a
            tensor of another size than the space.
    """
    if isinstance(value, Tensor):  # values per cell, or one that is being learned
        return value
    if isinstance(value, Formula) and value.constant:
        value = float(value(torch.zeros(1, 1, dtype=torch.float64)))
    parts = list(value.values()) if isinstance(value, Mapping) else [value]
    if all(isinstance(part, float | int | Tensor) for part in parts):
        return value
    if not isinstance(space, Space | CellSpace):
        raise ConfigError(f"{what} = {_text(value)} varies in space or by direction and needs a mesh; give a number")
    if not isinstance(value, Mapping):
        return _at_cells(space, value, what)
    owner = space.cell_values({name: float(k) for k, name in enumerate(value)}, what).long()
    found = [_at_cells(space, part, f"{what}.{name}", owner == k) for k, (name, part) in enumerate(value.items())]
    if any(part.dim() == 3 for part in found):
        one = torch.eye(space.mesh.space_dim, dtype=torch.float64)
        found = [part if part.dim() == 3 else part[:, None, None] * one for part in found]
    return torch.stack(found, 1)[torch.arange(len(owner)), owner]


def _at_cells(space: Space | CellSpace, value: Any, what: str, where: Tensor | None = None) -> Tensor:
    """A number, formula or tensor of such at the centroids, [m] or [m, d, d]; checked in the cells ``where`` [m]."""
    x = cell_centroids(space.mesh)
    inside = torch.ones(len(x), dtype=torch.bool) if where is None else where
    if isinstance(value, list | tuple):
        d = x.shape[1]
        if len(value) != d or any(not isinstance(row, list | tuple) or len(row) != d for row in value):
            raise ConfigError(f"{what} is no matrix of {d} rows and {d} columns, as a mesh in {d} dimensions needs")
        rows = [torch.stack([evaluate(part, x, 0.0, what)[:, 0] for part in row], 1) for row in value]
        at_cells = torch.stack(rows, 1)
        bad = inside & ~torch.isfinite(at_cells).all(-1).all(-1)
    else:
        at_cells = evaluate(value, x, 0.0, what)[:, 0]
        bad = inside & ~(torch.isfinite(at_cells) & (at_cells >= 0))
    if bool(bad.any()):
        first = int(bad.nonzero()[0, 0])
        shown = f"{float(at_cells[first]):g}" if at_cells.dim() == 1 else "not finite"
        raise ConfigError(
            f"{what} = {_text(value)} is {shown} in cell {first} ({int(bad.sum())} cells are negative or not finite), "
            f"expected >= 0 everywhere"
        )
    return at_cells


def _text(value: Any) -> str:
    if isinstance(value, Formula):
        return value.text
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{name} = {_text(part)}" for name, part in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_text(part) for part in value) + "]"
    return f"{value:g}"


def per_cell(space: Space | CellSpace, kappa: Any) -> Tensor:
    """What :func:`conductivity` returned as one number per cell [m]; of a tensor a third of its trace (half in the
    plane).

    Raises:
        InputError: cells in no set or in two. UnknownName: no such set.
    """
    if isinstance(kappa, Tensor) and kappa.dim() == 3:
        return kappa.diagonal(dim1=1, dim2=2).mean(1)
    return space.cell_values(kappa, "conductivity")


def typical(space: Graph, value: Any) -> float:
    """The mean of a conductivity over the cells, for scales of time."""
    kappa = conductivity(space, value)
    if isinstance(space, Space | CellSpace):
        return float(per_cell(space, kappa).mean())
    return float(kappa)
