r"""\int N_i n over facets: what turns a vector field at the unknowns into its flow through them."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.geometry import facet_normals
from graphpde.mesh.pieces import facet_pieces
from graphpde.mesh.space import Space


class AreaVectors:
    r"""Flows \int u . n of vector fields through sets of boundary facets, exact for curved sides as well.

    Args:
        space: in as many dimensions as its cells. sets: facet numbers of each set; their normals point outwards.
    """

    def __init__(self, space: Space, sets: list[Tensor]):
        node, row, vector = [], [], []
        for k, ids in enumerate(sets):
            for piece in facet_pieces(space.mesh, space.element, ids):
                each = _vectors(space, piece.kind, piece.nodes, facet_normals(space.mesh, piece.ids))
                node.append(space.dof_of_point.cpu()[piece.nodes].reshape(-1))
                row.append(torch.full((piece.nodes.numel(),), k))
                vector.append(each.reshape(-1, space.mesh.space_dim))
        empty = torch.zeros(0, dtype=torch.int64)
        nodes, rows = (torch.cat(parts) if parts else empty for parts in (node, row))
        relation = Relation.from_edges(nodes, rows, space.n, len(sets), coalesce=True)
        flat = torch.cat(vector) if vector else torch.zeros(0, space.mesh.space_dim, dtype=torch.float64)
        self._relation = relation.to(space.device)
        self._weight = relation.own(flat).to(space.device)

    def __call__(self, u: Tensor) -> Tensor:
        """Flows outwards [*, r] of a vector field u [*, n, d], in its unit times length^(d - 1)."""
        return self._relation.propagate(u, weight=self._weight.to(u.dtype)).sum(-1)


def unit_normals(space: Space, ids: Tensor, degree: int) -> list[Tensor]:
    """Unit normals [m, q, d] at the points of each block of ``space.facets(ids, degree)``, also on curved facets.

    They point outwards, on a facet between two cells out of the first.
    """
    return [
        torch.nn.functional.normalize(
            _area_elements(
                space.element.shape(piece.kind, degree).gradients,
                space.mesh.points[piece.nodes],
                facet_normals(space.mesh, piece.ids),
            ),
            dim=-1,
        )
        for piece in facet_pieces(space.mesh, space.element, ids)
    ]


def _vectors(space: Space, kind: str, nodes: Tensor, outward: Tensor) -> Tensor:
    r"""\int N_k n of facets [m, k, d]."""
    shape = space.element.shape(kind, 3 * space.element.degree)
    normal = _area_elements(shape.gradients, space.mesh.points.detach()[nodes], outward)
    return torch.einsum("mqd,qk,q->mkd", normal, shape.values, shape.weights)


def _area_elements(gradients: Tensor, x: Tensor, outward: Tensor) -> Tensor:
    """The normal times the area element [m, q, d] of facets with nodes x [m, k, d], made of the tangents."""
    tangents = torch.einsum("mkd,qkr->mqrd", x, gradients)
    if tangents.shape[-1] == 2:
        normal = torch.stack([tangents[..., 0, 1], -tangents[..., 0, 0]], -1)
    else:
        normal = torch.linalg.cross(tangents[..., 0, :], tangents[..., 1, :])
    return normal * (normal.sum(1) * outward).sum(-1).sign()[:, None, None]
