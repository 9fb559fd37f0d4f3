"""Cells and their facets as finite volumes see them: centroids, and every facet from each cell that owns it."""

from __future__ import annotations

from itertools import product
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import KIND_OF_WIDTH, SIMPLICES
from graphpde.mesh.geometry import cell_measures, wedge
from graphpde.mesh.mesh import Mesh

# wedges and pyramids are hexahedra with corners that coincide; the trilinear map stays onto, only not one to one
_AS_BOX = {
    "quad": [0, 1, 2, 3],
    "hexahedron": [0, 1, 2, 3, 4, 5, 6, 7],
    "wedge": [0, 1, 2, 2, 3, 4, 5, 5],
    "pyramid": [0, 1, 2, 3, 4, 4, 4, 4],
}
_BOX = {4: [[0, 0], [1, 0], [1, 1], [0, 1]]}
_BOX[8] = [[*corner, z] for z in (0, 1) for corner in _BOX[4]]


class Sides(NamedTuple):
    """Facets as their cells see them: one side for each cell that owns a facet, sorted by facet.

    Attributes:
        cell, facet: whose side of what [s]; facets in the numbering of ``mesh.facets``.
        area: measure of the facet [s]; of a warped quadrilateral that of its vector area.
        normal: unit normal out of the cell [s, d]; on curves and surfaces in space the conormal.
        distance: from the centroid of the cell to the plane of the facet [s], positive.
        centre: centroid of the facet [s, d].
    """

    cell: Tensor
    facet: Tensor
    area: Tensor
    normal: Tensor
    distance: Tensor
    centre: Tensor


def vertex_shares(kind: str, x: Tensor) -> Tensor:
    r"""Shares :math:`\int N_k / |K|` of the vertices in the mean of a (multi)linear function, x [m, k, d] -> [m, k].

    They sum to one, and the centroid is the same mean of the vertices. Two Gauss points a direction are exact: the
    Jacobian of a hexahedron times a shape function has degree three in each of them.
    """
    m, k = x.shape[:2]
    if kind in SIMPLICES:
        return x.new_full((m, k), 1 / k)
    nodes = _AS_BOX[kind]
    corner = x.new_tensor(_BOX[len(nodes)])
    directions = corner.shape[1]
    near, far = 0.5 - 0.5 / 3**0.5, 0.5 + 0.5 / 3**0.5
    at = x.new_tensor(list(product((near, far), repeat=directions)))[:, None]
    factor = corner * at + (1 - corner) * (1 - at)
    slope = (2 * corner - 1).expand_as(factor)
    others = [[b for b in range(directions) if b != a] for a in range(directions)]
    gradient = torch.stack([slope[..., a] * prod(factor[..., b] for b in rest) for a, rest in enumerate(others)], -1)
    box = x[:, nodes] - x[:, :1]
    tangents = torch.einsum("qka,mkd->mqad", gradient, box)
    volume = wedge(*tangents.unbind(2))
    share = torch.einsum("qk,mq->mk", factor.prod(-1), volume) / volume.sum(1, keepdim=True)
    to_corner = x.new_zeros(len(nodes), k)
    to_corner[torch.arange(len(nodes)), nodes] = 1
    return share @ to_corner


def centroids(mesh: Mesh) -> Tensor:
    """Centre of mass of each cell [m, d], which a mean of vertices is on simplices only."""
    return torch.cat([_centre(kind, mesh.points[nodes]) for kind, nodes, _ in mesh.corners()])


def sides_of(mesh: Mesh, centre: Tensor) -> Sides:
    """Every facet from each of its cells; ``centre`` are the centroids of the cells [m, d].

    Raises:
        MeshError: cells without size, or a centroid that lies on or beyond the plane of one of the cell's facets.
    """
    sizes = cell_measures(mesh).detach()
    flat = (~(sizes > 0)).nonzero()[:, 0]
    if len(flat):
        raise MeshError(
            f"{len(flat)} of {mesh.n_cells} cells of '{mesh.name}' have no size, first {flat[:3].tolist()}; repair the "
            f"mesh first"
        )
    corners, owner, _ = mesh.local_entities(mesh.dim - 1)
    found = mesh.find(mesh.dim - 1, torch.from_numpy(corners)).numpy()
    order = np.argsort(found, kind="stable")
    facet, cell = torch.from_numpy(found[order]), torch.from_numpy(owner[order])
    middle = _facet_centres(mesh)[facet]
    arm = middle - centre[cell]
    area, normal = _outward(mesh, facet, arm)
    distance = (arm * normal).sum(1)
    behind = torch.unique(cell[~(distance.detach() > 0)])
    if len(behind):
        raise MeshError(
            f"{len(behind)} of {mesh.n_cells} cells of '{mesh.name}' have their centroid on or beyond the plane of a "
            f"facet of theirs, first {behind[:3].tolist()}; finite volumes need cells that are not folded: remesh them"
        )
    return Sides(cell, facet, area, normal, distance, middle)


def tangents_of(mesh: Mesh) -> Tensor | None:
    """Projection onto the tangent space of each cell [m, d, d]; None where the cells fill the space."""
    if mesh.dim == mesh.space_dim:
        return None
    parts = []
    for _, nodes, _ in mesh.corners():
        x = mesh.points[nodes]
        if mesh.dim == 1:
            along = _unit(x[:, 1] - x[:, 0])
            parts.append(along[:, :, None] * along[:, None])
        else:
            last = x[:, 3] if x.shape[1] == 4 else x[:, 0]
            normal = _unit(torch.linalg.cross(x[:, 2] - x[:, 0], last - x[:, 1]))
            parts.append(torch.eye(3, dtype=x.dtype) - normal[:, :, None] * normal[:, None])
    return torch.cat(parts)


def runs(start: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    """Every number from start[k] to start[k] + count[k] - 1, with its k: (k [j], number [j])."""
    which = torch.repeat_interleave(torch.arange(len(count)), count)
    return which, torch.arange(len(which)) - (count.cumsum(0) - count)[which] + start[which]


def pairs_within(group: Tensor, groups: int) -> tuple[Tensor, Tensor]:
    """All ordered pairs of members of one group, each with itself as well; group numbers [k] -> ([j], [j])."""
    order = torch.argsort(group, stable=True)
    count = torch.bincount(group, minlength=groups)
    start = count.cumsum(0) - count
    which, place = runs(start[group], count[group])
    return which, order[place]


def _outward(mesh: Mesh, facet: Tensor, arm: Tensor) -> tuple[Tensor, Tensor]:
    """Area [s] and unit normal out of the cell [s, d]; ``arm`` leads from the cell's centroid to the facet's."""
    if mesh.dim == 1:
        return torch.ones_like(arm[:, 0]), _unit(arm)
    nodes = mesh.facets.nodes[facet]
    x = mesh.points
    if mesh.dim == 2:
        edge = x[nodes[:, 1]] - x[nodes[:, 0]]
        area = torch.linalg.vector_norm(edge, dim=1)
        along = edge / area[:, None]
        if mesh.space_dim == 3:
            return area, _unit(arm - (arm * along).sum(1, keepdim=True) * along)
        normal = torch.stack([along[:, 1], -along[:, 0]], 1)
    else:
        # half the cross product of the diagonals is the vector area; a triangle has its first corner twice
        last = nodes[:, 3] if nodes.shape[1] == 4 else nodes[:, 0]
        last = torch.where(last >= 0, last, nodes[:, 0])
        vector = torch.linalg.cross(x[nodes[:, 2]] - x[nodes[:, 0]], x[last] - x[nodes[:, 1]]) / 2
        area = torch.linalg.vector_norm(vector, dim=1)
        normal = vector / area[:, None]
    return area, torch.where((normal * arm).sum(1, keepdim=True) < 0, -normal, normal)


def _facet_centres(mesh: Mesh) -> Tensor:
    nodes = mesh.facets.nodes
    width = (nodes >= 0).sum(1)
    out = mesh.points.new_zeros(len(nodes), mesh.space_dim)
    for k in torch.unique(width).tolist():
        rows = (width == k).nonzero()[:, 0]
        out = out.index_put((rows,), _centre(KIND_OF_WIDTH[k], mesh.points[nodes[rows, :k]]))
    return out


def _centre(kind: str, x: Tensor) -> Tensor:
    return x[:, 0] + (vertex_shares(kind, x)[..., None] * (x - x[:, :1])).sum(1)


def _unit(v: Tensor) -> Tensor:
    return v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)
