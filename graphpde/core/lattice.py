"""The regular grid as a graph: finite differences are diffusion on it."""

from __future__ import annotations

import math

import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import InputError


class Lattice(Graph):
    """Points of a regular grid, each joined to its nearest neighbours along the axes.

    Nodes are numbered with the last axis fastest, so that ``u[:, k].reshape(shape)`` is the field of channel k. With
    the ``weight`` h^(d-2) and the ``measure`` h^d, diffusion on it is the second-order finite-difference Laplacian: the
    five-point one in the plane.

    Args:
        shape: points along each axis. spacing: h, the distance of neighbours. periodic: whether opposite sides are
            joined; otherwise nothing passes the sides.

    Attributes:
        shape, spacing, periodic: as given.

    Raises:
        InputError: no axis, fewer than 3 points along a periodic one (2 along another), or a spacing that is not
            positive.
    """

    shape: tuple[int, ...]
    spacing: float
    periodic: bool

    def __init__(self, *shape: int, spacing: float = 1.0, periodic: bool = True):
        least = 3 if periodic else 2
        for n in shape or (0,):
            if isinstance(n, bool) or not isinstance(n, int) or n < least:
                raise InputError(f"{n!r} points along an axis, expected a whole number >= {least}")
        if not 0 < spacing < math.inf:
            raise InputError(f"spacing = {spacing:g}, expected a finite number > 0")
        n, d = math.prod(shape), len(shape)
        number = torch.arange(n).reshape(shape)
        src, dst = [], []
        for axis in range(d):
            ahead = number.roll(-1, axis)
            stop = shape[axis] if periodic else shape[axis] - 1
            one, other = (x.narrow(axis, 0, stop).reshape(-1) for x in (number, ahead))
            src += [one, other]
            dst += [other, one]
        edges = Relation.from_edges(torch.cat(src), torch.cat(dst), n, n)
        pos = torch.stack(torch.meshgrid(*(torch.arange(k) for k in shape), indexing="ij"), -1).reshape(n, d)
        super().__init__(
            edges,
            pos=pos.to(torch.float64) * spacing,
            weight=torch.full((edges.n_edges,), spacing ** (d - 2), dtype=torch.float64),
            measure=torch.full((n,), spacing**d, dtype=torch.float64),
        )
        self.__dict__.update(shape=tuple(shape), spacing=float(spacing), periodic=periodic)

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> Graph:
        moved = object.__new__(Lattice)
        moved.__dict__.update(vars(super()._moved_to(device, dtype)))
        moved.__dict__.update(shape=self.shape, spacing=self.spacing, periodic=self.periodic)
        return moved

    def eigenvalues(self) -> torch.Tensor:
        """All eigenvalues [n] of minus the Laplacian, rising: sums over the axes of (2 / h)^2 sin^2(theta / 2).

        theta is 2 pi j / n along a periodic axis, pi j / n along another, j = 0 .. n - 1.
        """
        total = torch.zeros((), dtype=torch.float64)
        for n in self.shape:
            turn = 2 * math.pi if self.periodic else math.pi
            angle = turn * torch.arange(n, dtype=torch.float64) / n
            total = total[..., None] + (2 / self.spacing * torch.sin(angle / 2)) ** 2
        return total.reshape(-1).sort().values
