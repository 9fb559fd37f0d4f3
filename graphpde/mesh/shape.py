"""The shape of cells, in numbers by which meshes are judged: corner Jacobians, quality, angles, Laplacian weights."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import quality_of
from graphpde.mesh.mesh import Mesh

# at each corner its neighbours, in the order of a positive volume, and what an ideal cell has there
_CORNERS: dict[str, tuple[tuple[tuple[int, ...], ...], float]] = {
    "triangle": (((0, 1, 2), (1, 2, 0), (2, 0, 1)), math.sqrt(3) / 2),
    "quad": (((0, 1, 3), (1, 2, 0), (2, 3, 1), (3, 0, 2)), 1.0),
    "tetra": (((0, 1, 2, 3), (1, 2, 0, 3), (2, 0, 1, 3), (3, 2, 1, 0)), math.sqrt(0.5)),
    "hexahedron": (
        (
            *((0, 1, 3, 4), (1, 2, 0, 5), (2, 3, 1, 6), (3, 0, 2, 7)),
            *((4, 7, 5, 0), (5, 4, 6, 1), (6, 5, 7, 2), (7, 6, 4, 3)),
        ),
        1.0,
    ),
    "wedge": (
        ((0, 1, 2, 3), (1, 2, 0, 4), (2, 0, 1, 5), (3, 5, 4, 0), (4, 3, 5, 1), (5, 4, 3, 2)),
        math.sqrt(3) / 2,
    ),
    "pyramid": (((0, 1, 3, 4), (1, 2, 0, 4), (2, 3, 1, 4), (3, 0, 2, 4)), math.sqrt(0.5)),
}


def corner_jacobians(mesh: Mesh) -> tuple[Tensor, Tensor] | None:
    """Smallest and largest scaled Jacobian over the corners of each cell, [m] each; None where a cell has no sign.

    The determinant of the unit vectors along the edges that meet at a corner: 1 for a right angle, 0 flat, negative
    turned over.

    Reference: Knupp 2000, Int. J. Numer. Meth. Engng. 48, 1165-1185.
    """
    if mesh.dim == 1 or mesh.dim != mesh.space_dim:
        return None
    values = [_scaled(kind, mesh.points[nodes]) for kind, nodes, _ in mesh.corners()]
    return torch.cat([v.amin(1) for v in values]), torch.cat([v.amax(1) for v in values])


def _scaled(kind: str, x: Tensor) -> Tensor:
    """Scaled Jacobian at each corner, x [k, w, d] -> [k, corners]; 0 where an edge has no length."""
    corners = []
    for here, *others in _CORNERS[kind][0]:
        edges = x[:, others] - x[:, here, None]
        edges = edges / torch.linalg.vector_norm(edges, dim=-1, keepdim=True).clamp(min=1e-300)
        corners.append(torch.linalg.det(edges))
    return torch.stack(corners, 1)


def quality_measures(mesh: Mesh) -> dict[str, Tensor]:
    """Quality [m], aspect ratio [m], smallest and largest angles in degrees [k] and edge lengths [e], by name.

    Quality: mean ratio for triangles, quadrilaterals and tetrahedra (1 equilateral or square, 0 flat), smallest scaled
    Jacobian over that of the ideal cell for the other solids. Angles: at the corners of surfaces, between the faces of
    tetrahedra.
    """
    quality, aspect, angles = [], [], []
    for kind, nodes, _ in mesh.corners():
        x = mesh.points[nodes]
        ends = torch.tensor(CELLS[kind].edges)
        length = torch.linalg.vector_norm(x[:, ends[:, 0]] - x[:, ends[:, 1]], dim=-1)
        aspect.append(length.amax(1) / length.amin(1).clamp(min=1e-300))
        if kind in ("triangle", "quad", "tetra"):
            quality.append(torch.nan_to_num(quality_of(kind, x)))
        elif kind != "line":
            quality.append((_scaled(kind, x).abs().amin(1) / _CORNERS[kind][1]).clamp(max=1))
        if kind in ("triangle", "quad"):
            angles.append(_angles(x))
        elif kind == "tetra":
            angles.append(_dihedral(x))
    out = {}
    if quality:
        out["quality"], out["aspect ratio"] = torch.cat(quality), torch.cat(aspect)
    if angles:
        what = "angle" if mesh.dim == 2 else "dihedral angle"
        out[f"smallest {what}"] = torch.rad2deg(torch.cat([a.amin(1) for a in angles]))
        out[f"largest {what}"] = torch.rad2deg(torch.cat([a.amax(1) for a in angles]))
    ends = mesh.entities(1).nodes[:, :2] if mesh.dim > 1 else torch.cat([nodes for _, nodes, _ in mesh.corners()])
    out["edge length"] = torch.linalg.vector_norm(mesh.points[ends[:, 0]] - mesh.points[ends[:, 1]], dim=-1)
    return out


def _angles(x: Tensor) -> Tensor:
    """Angle at each corner of a face, x [k, w, d] -> [k, w]."""
    return _between(x.roll(-1, 1) - x, x.roll(1, 1) - x)


def _dihedral(x: Tensor) -> Tensor:
    """Angle between the faces at each edge of tetrahedra, [k, 4, 3] -> [k, 6]."""
    out = []
    for a, b, c, d in ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (1, 2, 0, 3), (1, 3, 0, 2), (2, 3, 0, 1)):
        axis = x[:, b] - x[:, a]
        one, two = torch.linalg.cross(axis, x[:, c] - x[:, a]), torch.linalg.cross(axis, x[:, d] - x[:, a])
        out.append(_between(one, two))
    return torch.stack(out, 1)


def _between(a: Tensor, b: Tensor) -> Tensor:
    """Angle between vectors, accurate for small ones: 2 atan2(|a |b| - b |a||, |a |b| + b |a||) (Kahan)."""
    one, two = a * b.norm(dim=-1, keepdim=True), b * a.norm(dim=-1, keepdim=True)
    return 2 * torch.atan2((one - two).norm(dim=-1), (one + two).norm(dim=-1))


def negative_couplings(mesh: Mesh, cells: Tensor) -> tuple[Tensor, int] | None:
    """Edges [k, 2] whose weight in the Laplacian of linear elements is negative, and how many edges there are.

    Only the masked ``cells`` [m] count. None where not all cells are triangles or tetrahedra. On a triangulation the
    weight is the sum of the cotangents of the angles opposite to the edge, over 2.

    Reference: Pinkall and Polthier 1993, Experimental Mathematics 2(1), 15-36, eq. (8).
    """
    if any(kind not in ("triangle", "tetra") for kind, _, _ in mesh.corners()):
        return None
    ends, weights = [], []
    for kind, nodes, start in mesh.corners():
        nodes = nodes[cells[start : start + len(nodes)]]
        x = mesh.points[nodes]
        edges = x[:, 1:] - x[:, :1]
        metric = edges @ edges.transpose(1, 2)
        size = torch.linalg.det(metric).clamp(min=0).sqrt()
        inverse = torch.linalg.inv(metric)
        low = -inverse.sum(2, keepdim=True)
        products = torch.cat(
            [torch.cat([-low.sum(1, keepdim=True), low.transpose(1, 2)], 2), torch.cat([low, inverse], 2)], 1
        )
        for a, b in CELLS[kind].edges:
            ends.append(nodes[:, [a, b]].sort(1).values.numpy())
            weights.append((-products[:, a, b] * size).numpy())
    pairs, weight = np.concatenate(ends), np.concatenate(weights)
    edges_, inverse_ = np.unique(pairs, axis=0, return_inverse=True)
    total = np.bincount(inverse_.reshape(-1), weight, len(edges_))
    scale = np.bincount(inverse_.reshape(-1), np.abs(weight), len(edges_))
    return torch.from_numpy(edges_[total < -1e-10 * scale]), len(edges_)
