"""Probes: the fields at a few named points, followed over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.samples import Samples
from graphpde.mesh.space import Space


class Probes:
    """Values of fields at named points, by the shape functions of the cells that hold them.

    ``Probes(space, {"tip": (0.5, 0.2)})(u)``; linear and differentiable, so that a misfit can be built on it.

    Args:
        space: where the fields live.
        points: name -> coordinates [d], or coordinates [q, d] alone, which are then called p0, p1, ...

    Attributes:
        names: of the points. points: their coordinates [q, d].

    Raises:
        InputError: a point outside of the mesh (with the distance to it), with another number of coordinates than the
            mesh has, or not finite.
    """

    def __init__(
        self, space: Space | CellSpace, points: Mapping[str, Sequence[float]] | Tensor | Sequence[Sequence[float]]
    ):
        if isinstance(points, Mapping):
            named: dict[str, Any] = dict(points)
        else:
            named = {f"p{k}": row for k, row in enumerate(points)}
        d = space.mesh.space_dim
        rows = [placed(x, d, f"probe '{name}'") for name, x in named.items()]
        if not rows:
            raise InputError("there is no probe, expected {name: coordinates}")
        self.names = tuple(named)
        self._samples = Samples(space, torch.stack(rows), labels=[f"probe '{name}'" for name in self.names])
        self.points = self._samples.points

    def __call__(self, u: Tensor) -> Tensor:
        """Values [*, q, c] of u [*, n, c]."""
        return self._samples(u)

    def columns(self, fields: Sequence[str]) -> list[str]:
        """Names of the values in the order of ``self(u).flatten()``: ``tip.u``."""
        return [f"{name}.{field}" for name in self.names for field in fields]


def placed(x: Any, d: int, what: str) -> Tensor:
    """A point [d] of finite coordinates.

    Raises:
        InputError: another number of coordinates, or one that is not finite.
    """
    point = torch.as_tensor(x, dtype=torch.float64).reshape(-1)
    if len(point) != d:
        raise InputError(
            f"{what} has {len(point)} coordinates, expected {d}: the mesh lies in {d} dimension{'s' if d > 1 else ''}"
        )
    if not bool(torch.isfinite(point).all()):
        raise InputError(f"{what} is at {point.tolist()}, expected finite coordinates")
    return point
