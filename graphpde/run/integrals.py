"""Integrals, means and ranges of fields over the domain and over named sets of cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space

DOMAIN = "domain"
"""How the whole domain is called among the regions."""


class Integral(NamedTuple):
    """Numbers of each region and field, each [r, c].

    Attributes:
        integral: of the finite-element function. mean: that over the size of the region.
        low, high: least and largest value at the unknowns of the region's cells.
    """

    integral: Tensor
    mean: Tensor
    low: Tensor
    high: Tensor


class Integrals:
    """Integrals of fields over the whole domain and over named sets of cells.

    Args:
        space: where the fields live. names: sets of cells; None = all there are.

    Attributes:
        names: of the regions, "domain" first. size: their volumes (areas, lengths) [r].

    Raises:
        UnknownName: no such set. MeshError: a set that does not hold cells.
    """

    def __init__(self, space: Space | CellSpace, names: Sequence[str] | None = None):
        mesh = space.mesh
        if names is None:
            names = [name for name, tag in mesh.tags.items() if tag.dim == mesh.dim and len(tag.ids)]
        self.names = (DOMAIN, *(name for name in dict.fromkeys(names) if name != DOMAIN))
        member = torch.zeros(len(self.names), mesh.n_cells, dtype=torch.bool)
        member[0] = True
        for row, name in enumerate(self.names[1:], start=1):
            member[row, space.cells_of(name).cpu()] = True
        regions, nodes, weights = [], [], []
        for cells, dofs, integral in _shape_integrals(space):
            width = dofs.shape[1]
            region, cell = member[:, cells].nonzero(as_tuple=True)
            corner = (cell[:, None] * width + torch.arange(width)).reshape(-1)
            regions.append(region.repeat_interleave(width))
            nodes.append(dofs.reshape(-1)[corner])
            weights.append(integral.reshape(-1)[corner])
        region, node = torch.cat(regions), torch.cat(nodes)
        relation = Relation.from_edges(node, region, space.n, len(self.names), coalesce=True)
        self._relation = relation.to(space.device)
        self._weight = relation.own(torch.cat(weights)).to(space.device)
        ones = torch.ones(space.n, 1, dtype=torch.float64, device=space.device)
        self.size = self._relation.propagate(ones, weight=self._weight)[:, 0]
        self._touched = [torch.unique(node[region == k]).to(space.device) for k in range(len(self.names))]

    def __call__(self, u: Tensor) -> Integral:
        """The numbers of u [n, c]."""
        integral = self._relation.propagate(u.to(self._weight.dtype), weight=self._weight)
        return Integral(
            integral,
            integral / self.size[:, None],
            torch.stack([u[nodes].amin(0) for nodes in self._touched]),
            torch.stack([u[nodes].amax(0) for nodes in self._touched]),
        )

    def columns(self, fields: Sequence[str]) -> list[str]:
        """Names of the numbers in the order of :meth:`row`: ``steel.u.mean``."""
        return [
            f"{name}.{field}.{what}"
            for name in self.names
            for field in fields
            for what in ("integral", "mean", "min", "max")
        ]

    def row(self, u: Tensor) -> list[float]:
        """The numbers of u [n, c], one after the other."""
        return torch.stack([part.double() for part in self(u)], -1).reshape(-1).tolist()


def _shape_integrals(space: Space | CellSpace) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Cells [m], their unknowns [m, k] and the integrals of the shape functions [m, k], by type."""
    if isinstance(space, CellSpace):
        cells = torch.arange(space.n)
        yield cells, cells[:, None], space.measure.double().cpu()[:, None]
        return
    for block in space.blocks(2 * space.element.degree):
        integral = torch.einsum("qk,mq->mk", block.values, block.volume)
        yield block.ids.cpu(), block.dofs.cpu(), integral.double().cpu()
