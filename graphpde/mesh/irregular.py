"""Random meshes for convergence studies: refine one of these uniformly rather than drawing a new one for each size."""

from __future__ import annotations

import numpy as np
import torch

from graphpde.core.relation import Relation
from graphpde.errors import MeshError
from graphpde.mesh.geometry import edge_lengths, signed_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.shape import corner_jacobians
from graphpde.mesh.structured import box, tag_boundary


def random_square(n: int, seed: int = 0) -> Mesh:
    """The unit square in a Delaunay triangulation of random points; sets "left", "right", "bottom" and "top".

    Each side has ``n`` segments of uneven length; up to (n - 1)**2 points are thrown into the square, none nearer to
    another than half of 1 / n, none in the circle over a boundary segment.

    Raises:
        MeshError: ``n`` below 1.
    """
    from scipy.spatial import Delaunay

    if n < 1:
        raise MeshError(f"random_square needs at least 1 segment a side, got {n}")
    rng = np.random.default_rng(seed)
    # corners stay, the other points of a side move by up to 0.15 / n along it
    along = (np.arange(n) + np.where(np.arange(n) > 0, rng.uniform(-0.15, 0.15, (4, n)), 0)) / n
    zero, one = np.zeros(n), np.ones(n)
    sides = (along[0], zero), (one, along[1]), (1 - along[2], one), (zero, 1 - along[3])
    points = np.concatenate([np.stack(side, 1) for side in sides])
    wanted = len(points) + (n - 1) ** 2
    # a segment is at most 1.3 / n long: 0.66 / n keeps clear of its circle
    for trial in rng.uniform(0.66 / n, 1 - 0.66 / n, (40 * n * n, 2)) if n > 1 else ():
        if len(points) == wanted:
            break
        if np.linalg.norm(points - trial, axis=1).min() > 0.5 / n:
            points = np.concatenate([points, trial[None]])
    triangles = Delaunay(points).simplices.astype(np.int64)
    corner = points[triangles]
    u, v = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    triangles[area < 0] = triangles[area < 0][:, [0, 2, 1]]
    mesh = Mesh(points, {"triangle": triangles[np.abs(area) > 1e-12]}, name="random_square")
    return tag_boundary(
        mesh,
        left=lambda x: x[:, 0] == 0,
        right=lambda x: x[:, 0] == 1,
        bottom=lambda x: x[:, 1] == 0,
        top=lambda x: x[:, 1] == 1,
    )


def random_cube(n: int, seed: int = 0, amount: float = 0.2) -> Mesh:
    """The unit cube in tetrahedra: ``box(n, n, n)`` with its interior points moved at random; sets as of the box.

    Random points in space would give slivers under Delaunay; moved grid points do not.
    """
    return jittered(box(n, n, n), amount, seed)


def jittered(mesh: Mesh, amount: float = 0.2, seed: int = 0) -> Mesh:
    """The mesh with every interior point moved at random within a ball; its boundary stays.

    Args:
        mesh: of full dimension (no surface, no network in a plane).
        amount: radius of the ball in shortest edges at the point. seed: the same seed moves the same way.

    Raises:
        MeshError: a surface; an amount that turns a cell over.
    """
    if mesh.dim != mesh.space_dim:
        raise MeshError(
            f"'{mesh.name}' is {mesh.dim}-D in {mesh.space_dim}-D space; its points would leave the surface"
        )
    ends = mesh.entities(1).nodes[:, :2].reshape(-1)
    at_points = Relation.from_edges(torch.arange(len(ends)), ends, len(ends), mesh.n)
    lengths = edge_lengths(mesh).repeat_interleave(2)
    shortest = at_points.propagate(lengths[:, None], reduce="min")[:, 0]  # 0 at points of no cell
    shortest[mesh.boundary_nodes] = 0
    rng = np.random.default_rng(seed)
    way = rng.standard_normal((mesh.n, mesh.space_dim))
    way *= rng.uniform(0, 1, (mesh.n, 1)) ** (1 / mesh.space_dim) / np.linalg.norm(way, axis=1, keepdims=True)
    moved = mesh.with_points(mesh.points + amount * shortest[:, None] * torch.from_numpy(way))
    turned = _turned(mesh, moved)
    if turned:
        raise MeshError(f"amount {amount} turns over {turned} cells of '{mesh.name}'; take a smaller one")
    return moved


def _turned(before: Mesh, after: Mesh) -> int:
    """How many cells changed sign, as a whole or at a corner."""
    sign = signed_measures(before).sign()
    bad = signed_measures(after) * sign <= 0
    corners = corner_jacobians(after)
    if corners is not None:
        low, high = corners
        bad |= torch.where(sign > 0, low, -high) <= 0
    return int(bad.sum())
