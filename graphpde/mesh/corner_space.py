"""One unknown a corner of each simplex: linear functions that may jump between cells."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import MeshError
from graphpde.mesh.dual import dual_graph
from graphpde.mesh.geometry import cell_measures
from graphpde.mesh.mesh import Mesh

_SIMPLICES = ("line", "triangle", "tetra")


class CornerSpace(Graph):
    """Functions linear on each simplex without continuity (DG1) as a graph: nodes are the corners of all cells.

    Corner k of cell i is node i (d + 1) + k; an edge each way joins the two corners of neighbouring cells at each
    vertex of the facet between them. ``weight`` is the share of the facet that a vertex has in nodal quadrature,
    |F| / d; ``measure`` is |T| / (d + 1), the lumped mass.

    Args:
        mesh: lines, triangles or tetrahedra only.

    Raises:
        MeshError: other cells, or several types.

    Attributes:
        mesh: as given. corners: points of the mesh at the nodes of each cell [m, d + 1]. facets: of each edge [e].
    """

    mesh: Mesh
    corners: Tensor
    facets: Tensor

    def __init__(self, mesh: Mesh):
        blocks = mesh.corners()
        kinds = [kind for kind, _, _ in blocks]
        if len(kinds) != 1 or kinds[0] not in _SIMPLICES:
            raise MeshError(
                f"'{mesh.name}' has cells of type {', '.join(kinds)}, expected lines, triangles or tetrahedra alone"
            )
        corners = blocks[0][1]
        k = corners.shape[1]
        dual = dual_graph(mesh)
        src, dst = dual.edges.pairs()
        vertices = mesh.facets.nodes[dual.facets][:, : k - 1]
        edges = Relation.from_edges(
            _corner(corners, src, vertices), _corner(corners, dst, vertices), mesh.n_cells * k, mesh.n_cells * k
        )
        facets = edges.own(dual.facets.repeat_interleave(k - 1))
        weight = edges.own((dual.area / (k - 1)).repeat_interleave(k - 1))
        measure = (cell_measures(mesh) / k).repeat_interleave(k)
        super().__init__(edges, pos=mesh.points[corners.reshape(-1)], weight=weight, measure=measure)
        self.__dict__.update(mesh=mesh, corners=corners, facets=facets)

    def _moved_to(self, device: torch.device, dtype: torch.dtype) -> CornerSpace:
        plain = super()._moved_to(device, dtype)
        moved = copy.copy(self)
        for key in ("incidence", "ptr", "weight", "measure", "_elsewhere"):
            moved.__dict__.pop(key, None)
        moved.__dict__.update(plain.__dict__, corners=self.corners.to(device), facets=self.facets)
        return moved

    def from_points(self, values: Tensor) -> Tensor:
        """The continuous function with these point values, [*, mesh.n, c] -> [*, n, c]."""
        return values[..., self.corners.reshape(-1).to(values.device), :]

    def from_cells(self, values: Tensor) -> Tensor:
        """The function constant on each cell, [*, m, c] -> [*, n, c]."""
        return values.repeat_interleave(self.corners.shape[1], -2)


def _corner(corners: Tensor, cell: Tensor, vertices: Tensor) -> Tensor:
    """The node of each cell [e] at each of the vertices [e, d], in one row [e d]."""
    place = (corners[cell][:, None] == vertices[..., None]).to(torch.int64).argmax(-1)
    return (cell[:, None] * corners.shape[1] + place).reshape(-1)
