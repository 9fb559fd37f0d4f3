"""The dual graph: cells as nodes, joined where they share a facet."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import Graph, TagSet
from graphpde.core.relation import Relation
from graphpde.errors import MeshError
from graphpde.mesh.geometry import cell_centroids, cell_measures, facet_measures
from graphpde.mesh.mesh import Mesh


class DualGraph(Graph):
    """Cells as nodes, an edge each way for every facet that two cells share; build it with :func:`dual_graph`.

    Attributes:
        facets: the shared facet of each edge [e], in own order. area: its measure [e].
        distance: between the centroids of the two cells [e].
    """

    facets: Tensor
    area: Tensor
    distance: Tensor

    def __init__(self, edges: Relation, facets: Tensor, area: Tensor, distance: Tensor, **graph: Any):
        super().__init__(edges, **graph)
        self.__dict__.update(facets=facets, area=area, distance=distance)

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> DualGraph:
        plain = super()._moved_to(device, dtype)
        area, distance = (x.to(device=device, dtype=dtype) for x in (self.area, self.distance))
        return DualGraph(
            plain.edges, self.facets.to(device), area, distance,
            pos=plain.pos, weight=plain.weight, measure=plain.measure, tags=plain.tags,
        )  # fmt: skip


def dual_graph(mesh: Mesh) -> DualGraph:
    r"""The cell adjacency of a mesh: symmetric, with centroids as positions and cell measures as node measure.

    Its weights are area / distance of centroids, so that diffusion on it, :math:`|K_i| \dot u_i = \sum_j
    \frac{|f_{ij}|}{|x_i - x_j|} (u_j - u_i)`, is the finite-volume scheme with two-point fluxes (consistent where the
    line of centroids is perpendicular to the facet, as on rectangles; elsewhere take a Space). Its named sets are the
    mesh's sets of cells. A facet with three or more owners joins each two of them; two cells that share two facets have
    two edges, one for each.

    Raises:
        MeshError: two neighbours with one centroid (the same cell twice): the weight would be infinite.

    Reference: Eymard, Gallouet and Herbin 2000, Finite volume methods, Handbook of Numerical Analysis 7, section 9.
    """
    src, dst, facet = _pairs(mesh)
    edges = Relation.from_edges(src, dst, mesh.n_cells, mesh.n_cells)
    facets = edges.own(facet)
    centroids = cell_centroids(mesh)
    distance = torch.linalg.vector_norm(centroids[src] - centroids[dst], dim=1)
    if bool((distance == 0).any()):
        k = int((distance == 0).nonzero()[0, 0])
        raise MeshError(
            f"cells {int(dst[k])} and {int(src[k])} of '{mesh.name}' share a facet and their centroid: they are one "
            f"cell twice; keep one of them"
        )
    distance = edges.own(distance)
    area = facet_measures(mesh, facets)
    tags = {name: TagSet(0, tag.ids, tag.ids) for name, tag in mesh.tags.items() if tag.dim == mesh.dim}
    return DualGraph(
        edges, facets, area, distance, pos=centroids, weight=area / distance, measure=cell_measures(mesh), tags=tags
    )


def _pairs(mesh: Mesh) -> tuple[Tensor, Tensor, Tensor]:
    """Every ordered pair of different cells that share a facet, and that facet, sorted by facet [e]."""
    corners, cells, _ = mesh.local_entities(mesh.dim - 1)
    facet = mesh.find(mesh.dim - 1, torch.from_numpy(corners)).numpy()
    order = np.argsort(facet, kind="stable")
    facet, cells = facet[order], cells[order]
    start = np.flatnonzero(np.append(True, facet[1:] != facet[:-1]))
    count = np.diff(np.append(start, len(facet)))
    src, dst, shared = [], [], []
    for owners in np.unique(count[count > 1]):
        first = start[count == owners]
        group = cells[first[:, None] + np.arange(owners)]
        for i, j in np.argwhere(~np.eye(owners, dtype=bool)):
            other = group[:, i] != group[:, j]  # a collapsed cell may have one facet twice
            src.append(group[other, i])
            dst.append(group[other, j])
            shared.append(facet[first[other]])
    if not src:
        empty = torch.zeros(0, dtype=torch.int64)
        return empty, empty, empty
    pairs = [np.concatenate(part) for part in (src, dst, shared)]
    order = np.argsort(pairs[2], kind="stable")
    return tuple(torch.from_numpy(part[order]) for part in pairs)  # type: ignore[return-value]
