"""Lengths, areas, volumes, normals, angles and quality of the cells and facets of a mesh.

Everything is computed from differences of points inside one cell, so a mesh far from the origin loses nothing, and is
differentiable with respect to ``mesh.points`` wherever the quantity itself is (not at degenerate cells).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS, KIND_OF_WIDTH
from graphpde.mesh.mesh import Mesh

# wedges and pyramids are hexahedra with corners that coincide; the trilinear map stays onto, only not one to one
_AS_HEXAHEDRON = {
    "hexahedron": [0, 1, 2, 3, 4, 5, 6, 7],
    "wedge": [0, 1, 2, 2, 3, 4, 5, 5],
    "pyramid": [0, 1, 2, 3, 4, 4, 4, 4],
}


class Components(NamedTuple):
    """Connected parts of a mesh.

    Attributes:
        number: how many parts own cells.
        labels: part of each point [n]; -1 for points that no cell uses.
    """

    number: int
    labels: Tensor


def cell_measures(mesh: Mesh) -> Tensor:
    """Length, area or volume of each cell [m], never negative.

    Quadrilaterals in the plane and all solids are exact for the (bi-, tri-)linear map; a quadrilateral of a surface
    in 3-D is integrated with 2 x 2 Gauss points, exact when it is flat. Quadratic cells count with their vertices.
    """
    return torch.cat([measures(kind, mesh.points[nodes]) for kind, nodes, _ in mesh.corners()])


def signed_measures(mesh: Mesh) -> Tensor:
    """Length, area or volume of each cell with the sign of its orientation [m]: negative = mirrored.

    Raises:
        MeshError: a curve or surface in a higher-dimensional space, where a cell has no sign.
    """
    if mesh.dim != mesh.space_dim:
        raise MeshError(
            f"cells of '{mesh.name}' have dimension {mesh.dim} in {mesh.space_dim}-D space, where a sign means "
            f"nothing; use cell_measures"
        )
    return torch.cat([_signed(kind, mesh.points[nodes]) for kind, nodes, _ in mesh.corners()])


def cell_centroids(mesh: Mesh) -> Tensor:
    """Mean of the vertices of each cell [m, d]: the centroid of simplices, else the image of the reference centre."""
    return torch.cat([_mean(mesh.points[nodes]) for _, nodes, _ in mesh.corners()])


def facet_measures(mesh: Mesh, facet_ids: Tensor | None = None) -> Tensor:
    """Measure of facets [k]: 1 for points, lengths of edges, areas of faces; the boundary when no ids are given."""
    nodes = mesh.facets.nodes[_facet_ids(mesh, facet_ids)]
    width = (nodes >= 0).sum(1)
    out = mesh.points.new_zeros(len(nodes))
    for corners in torch.unique(width).tolist():
        rows = (width == corners).nonzero()[:, 0]
        values = measures(KIND_OF_WIDTH[corners], mesh.points[nodes[rows, :corners]])
        out = out.index_put((rows,), values)
    return out


def facet_normals(mesh: Mesh, facet_ids: Tensor | None = None) -> Tensor:
    """Unit normals of facets [k, d], pointing out of the first cell that owns them; the boundary when no ids are given.

    On a curve or surface in a higher-dimensional space this is the conormal: tangent to the first owner,
    perpendicular to the facet, outward. On an interval it is -1 or +1. Orientation of the cells plays no part.
    """
    ids = _facet_ids(mesh, facet_ids)
    facets, points = mesh.facets, mesh.points
    nodes = facets.nodes[ids]
    used = (nodes >= 0).to(points.dtype)[..., None]
    cells = facets.cells[ids, 0]
    if bool((cells < 0).any()):
        raise MeshError(
            f"point {int(ids[cells < 0][0])} of '{mesh.name}' belongs to no cell and has no normal; leave it out"
        )
    owner = mesh.entities(mesh.dim).nodes[cells]
    inside = (owner >= 0).to(points.dtype)[..., None]
    base = points[nodes[:, :1]]
    centre = ((points[nodes.clamp(min=0)] - base) * used).sum(1) / used.sum(1)
    outward = centre - ((points[owner.clamp(min=0)] - base) * inside).sum(1) / inside.sum(1)
    if mesh.dim == 1:
        return _unit(outward)
    if mesh.dim == 2:
        tangent = _unit(points[nodes[:, 1]] - points[nodes[:, 0]])
        if mesh.space_dim == 3:
            return _unit(outward - (outward * tangent).sum(1, keepdim=True) * tangent)
        normal = torch.stack([tangent[:, 1], -tangent[:, 0]], 1)
    else:
        # half the cross product of the diagonals is the vector area; a triangle has its first corner twice
        last = nodes[:, 3] if nodes.shape[1] == 4 else nodes[:, 0]
        last = torch.where(last >= 0, last, nodes[:, 0])
        normal = _unit(torch.linalg.cross(points[nodes[:, 2]] - base[:, 0], points[last] - points[nodes[:, 1]]))
    return torch.where((normal * outward).sum(1, keepdim=True) < 0, -normal, normal)


def edge_lengths(mesh: Mesh) -> Tensor:
    """Length of each edge [e], numbered as ``mesh.entities(1)``."""
    nodes = mesh.entities(1).nodes
    return measures("line", mesh.points[nodes[:, :2]])


def mesh_size(mesh: Mesh) -> float:
    """The mesh width h: the longest edge."""
    return float(edge_lengths(mesh).detach().max())


def cell_angles(mesh: Mesh) -> Tensor:
    """Angles of each triangle [m, 3] in radians, at its first, second and third vertex.

    Raises:
        MeshError: the mesh has other cells than triangles.
    """
    _only(mesh, ("triangle",), "angles")
    x = torch.cat([mesh.points[nodes] for _, nodes, _ in mesh.corners()])
    one, two = x.roll(-1, 1) - x, x.roll(-2, 1) - x
    return torch.atan2(cross_norm(one, two), (one * two).sum(-1))


def cell_quality(mesh: Mesh) -> Tensor:
    r"""Mean-ratio quality of each cell [m]: 1 for equilateral triangles and tetrahedra and squares, 0 for flat cells.

    Triangles :math:`4\sqrt3 A / \sum l^2`, tetrahedra :math:`12 (3V)^{2/3} / \sum l^2`, quadrilaterals the worst corner
    :math:`2 |a \times b| / (|a|^2 + |b|^2)`, lines 1. The orientation plays no part.

    Raises:
        MeshError: hexahedra, wedges or pyramids.

    Reference: Knupp 2001, SIAM J. Sci. Comput. 23(1), 193-218; Liu and Joe 1994, BIT 34, 268-287.
    """
    _only(mesh, ("line", "triangle", "quad", "tetra"), "quality")
    return torch.cat([quality_of(kind, mesh.points[nodes]) for kind, nodes, _ in mesh.corners()])


def connected_components(mesh: Mesh) -> Components:
    """Parts of the mesh that share no point, numbered by their smallest point."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components as components

    first = np.concatenate([np.repeat(v[:, 0].numpy(), v.shape[1]) for _, v, _ in mesh.corners()])
    other = np.concatenate([v.numpy().reshape(-1) for _, v, _ in mesh.corners()])
    pairs = coo_array((np.ones(len(first), dtype=np.int8), (first, other)), shape=(mesh.n, mesh.n))
    _, found = components(pairs, directed=False)
    labels = np.full(mesh.n, -1, dtype=np.int64)
    used = mesh.used_points.numpy()
    values, start = np.unique(found[used], return_index=True)
    rank = np.empty(len(values), dtype=np.int64)
    rank[np.argsort(start)] = np.arange(len(values))
    labels[used] = rank[np.searchsorted(values, found[used])]
    return Components(len(values), torch.from_numpy(labels))


def _facet_ids(mesh: Mesh, facet_ids: Tensor | None) -> Tensor:
    if facet_ids is None:
        return mesh.boundary_facets
    ids = torch.as_tensor(facet_ids, dtype=torch.int64)
    count = len(mesh.facets.nodes)
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= count):
        raise MeshError(
            f"facet {int(ids.min())}..{int(ids.max())} asked of '{mesh.name}', expected numbers in 0..{count - 1}"
        )
    return ids


def _only(mesh: Mesh, kinds: tuple[str, ...], what: str) -> None:
    for kind, nodes in mesh.cells.items():
        if CELLS[kind].corners not in kinds:
            raise MeshError(
                f"'{mesh.name}' has {len(nodes)} {kind} cells, whose {what} are not defined here; "
                f"expected only {', '.join(kinds)}"
            )


def _mean(x: Tensor) -> Tensor:
    return x[:, 0] + (x - x[:, :1]).mean(1)


def _unit(v: Tensor) -> Tensor:
    return v / torch.linalg.vector_norm(v, dim=-1, keepdim=True)


def _cross2(a: Tensor, b: Tensor) -> Tensor:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]


def cross_norm(a: Tensor, b: Tensor) -> Tensor:
    """Area of the parallelogram of a and b [..., 2] or [..., 3]."""
    return _cross2(a, b).abs() if a.shape[-1] == 2 else torch.linalg.vector_norm(torch.linalg.cross(a, b), dim=-1)


def wedge(*edges: Tensor) -> Tensor:
    """Size of the parallelepiped of one to three edges [..., d], with its sign where there are d of them."""
    if len(edges) == 1:
        (a,) = edges
        return a[..., 0] if a.shape[-1] == 1 else torch.linalg.vector_norm(a, dim=-1)
    if len(edges) == 2:
        return _cross2(*edges) if edges[0].shape[-1] == 2 else cross_norm(*edges)
    one, two, three = (edge.unbind(-1) for edge in edges)
    parts = [three[k] * (one[k - 2] * two[k - 1] - one[k - 1] * two[k - 2]) for k in range(3)]
    return parts[0] + parts[1] + parts[2]


def measures(kind: str, x: Tensor) -> Tensor:
    """Unsigned measure of cells with vertices x [k, w, d] -> [k]."""
    if kind == "vertex":
        return torch.ones_like(x[:, 0, 0])
    if kind == "line":
        return torch.linalg.vector_norm(x[:, 1] - x[:, 0], dim=-1)
    if x.shape[-1] == CELLS[kind].dim:
        return _signed(kind, x).abs()
    if kind == "triangle":
        return 0.5 * cross_norm(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    along, across = (
        x[:, [1, 2]] - x[:, [0, 3]],
        x[:, [3, 2]] - x[:, [0, 1]],
    )  # the four edges as the two tangents of the map
    gauss = _gauss(x)
    area = x.new_zeros(len(x))
    for s in gauss:
        for t in gauss:
            one = along[:, 0] * (1 - t) + along[:, 1] * t
            two = across[:, 0] * (1 - s) + across[:, 1] * s
            area = area + 0.25 * cross_norm(one, two)
    return area


def _signed(kind: str, x: Tensor) -> Tensor:
    """Signed measure of cells of full dimension, x [k, w, d] -> [k]."""
    if kind == "line":
        return x[:, 1, 0] - x[:, 0, 0]
    if kind == "triangle":
        return 0.5 * _cross2(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    if kind == "quad":
        return 0.5 * _cross2(x[:, 2] - x[:, 0], x[:, 3] - x[:, 1])
    if kind == "tetra":
        return wedge(*(x[:, 1:] - x[:, :1]).unbind(1)) / 6
    corners = x[:, _AS_HEXAHEDRON[kind]] - x[:, :1]
    volume = x.new_zeros(len(x))
    for gradients in _trilinear_gradients(_gauss(x)):  # det J has degree 2 in each variable: two points are exact
        volume = volume + wedge(*torch.einsum("na,knd->kad", gradients, corners).unbind(1)) / 8
    return volume


def _gauss(x: Tensor) -> Tensor:
    return x.new_tensor([0.5 - math.sqrt(1 / 12), 0.5 + math.sqrt(1 / 12)])


def _trilinear_gradients(gauss: Tensor) -> Tensor:
    """Gradients of the eight trilinear shape functions at the 2 x 2 x 2 Gauss points of the unit cube [8, 8, 3]."""
    corner = gauss.new_tensor([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]])
    at = torch.cartesian_prod(gauss, gauss, gauss)[:, None]
    factor = corner * at + (1 - corner) * (1 - at)
    slope = (2 * corner - 1).expand_as(factor)
    columns = [slope[..., a] * factor[..., b] * factor[..., c] for a, b, c in ((0, 1, 2), (1, 2, 0), (2, 0, 1))]
    return torch.stack(columns, -1)


def quality_of(kind: str, x: Tensor) -> Tensor:
    if kind == "line":
        return torch.ones_like(x[:, 0, 0])
    if kind == "quad":
        one, two = x.roll(-1, 1) - x, x.roll(1, 1) - x
        return (2 * cross_norm(one, two) / ((one**2).sum(-1) + (two**2).sum(-1))).amin(1)
    pairs = CELLS[kind].edges
    squares = sum(((x[:, a] - x[:, b]) ** 2).sum(-1) for a, b in pairs)
    measure = measures(kind, x)
    if kind == "triangle":
        return 4 * math.sqrt(3) * measure / squares
    return 12 * (3 * measure) ** (2 / 3) / squares
