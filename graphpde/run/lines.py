"""Fields along straight segments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.samples import Samples
from graphpde.mesh.space import Space
from graphpde.run.probes import placed

POINTS = 200
"""Where a line is sampled, unless somebody says otherwise."""


class Line:
    """Values of fields at equally spaced points of a segment, its ends included.

    Points in holes of the mesh or beyond it carry NaN.

    Args:
        space: where the fields live. start, end: of the segment [d]. count: how many points.
        name: for messages.

    Attributes:
        points: where [count, d]. arc: their distance from the start [count].

    Raises:
        InputError: a segment of zero length or one that misses the mesh, fewer than two points, coordinates that do not
            fit the mesh.
    """

    def __init__(
        self,
        space: Space | CellSpace,
        start: Sequence[float] | Any,
        end: Sequence[float] | Any,
        count: int = POINTS,
        name: str = "",
    ):
        d, what = space.mesh.space_dim, f"line '{name}'" if name else "the line"
        a, b = placed(start, d, f"the start of {what}"), placed(end, d, f"the end of {what}")
        if count < 2:
            raise InputError(f"{what} has {count} points, expected at least 2")
        length = float(torch.linalg.vector_norm(b - a))
        if length <= 1e-12 * float(torch.maximum(a.abs(), b.abs()).max()):
            raise InputError(f"{what} starts and ends at {a.tolist()}; expected a segment with a length")
        share = torch.linspace(0, 1, count, dtype=torch.float64)
        self.name, self.arc = name, share * length
        self.points = a + share[:, None] * (b - a)
        self._samples = Samples(space, self.points, outside="nan")
        if bool((self._samples.cells < 0).all()):
            low, high = space.mesh.points.amin(0).tolist(), space.mesh.points.amax(0).tolist()
            raise InputError(
                f"{what} from {a.tolist()} to {b.tolist()} misses '{space.mesh.name}', which lies between {low} and "
                f"{high}"
            )

    def __call__(self, u: Tensor) -> Tensor:
        """Values [*, count, c] of u [*, n, c]."""
        return self._samples(u)
