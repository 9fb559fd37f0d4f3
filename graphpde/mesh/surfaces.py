"""Closed surfaces of triangles in space: the sphere."""

from __future__ import annotations

from functools import partial
from itertools import combinations

import torch

from graphpde.errors import MeshError
from graphpde.mesh.bends import Bend, onto_sphere
from graphpde.mesh.geometry import mesh_size
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.refine import refine

_FINEST = 8  # 655 362 points


def sphere(level: int | None = None, *, size: float = 0.2, radius: float = 1.0) -> Mesh:
    """A sphere round the origin in outward triangles: an icosahedron, refined and pushed onto the sphere.

    Args:
        level: rounds of refinement, 10 * 4 ** level + 2 points; None: as many as ``size`` needs.
        size: longest edge allowed when no level is given. radius: of the sphere.

    Raises:
        MeshError: a negative level, a radius or size that is not positive, more than 8 rounds.
    """
    if not (radius > 0 and size > 0):
        raise MeshError(f"sphere of radius {radius} in edges of {size}: both must be positive numbers")
    if level is not None and not 0 <= level <= _FINEST:
        raise MeshError(f"level of the sphere is {level}, expected 0..{_FINEST}")

    if level is None and size * 2**_FINEST < 1.33 * radius:  # the longest edge tends to 1.322 radius / 2 ** level
        raise MeshError(f"edge length {size:.3g} needs more than {_FINEST} rounds on a sphere of radius {radius:.3g}")

    onto = partial(onto_sphere, radius)
    mesh, rounds = _icosahedron(radius), 0
    while rounds < level if level is not None else mesh_size(mesh) > size:
        mesh, rounds = refine(mesh, project=onto), rounds + 1
    return mesh.with_bends(Bend(None, onto))


def _icosahedron(radius: float) -> Mesh:
    golden = (1 + 5**0.5) / 2
    corners = [(0.0, a, b) for a in (-1.0, 1.0) for b in (-golden, golden)]
    points = torch.tensor([(p[-k], p[1 - k], p[2 - k]) for k in range(3) for p in corners], dtype=torch.float64)
    near = torch.cdist(points, points) < 2.1  # the edges have length 2
    faces = [f for f in combinations(range(12), 3) if all(near[i, j] for i, j in combinations(f, 2))]
    triangles = torch.tensor(faces)
    inward = torch.linalg.det(points[triangles]) < 0
    triangles[inward] = triangles[inward][:, [0, 2, 1]]
    return Mesh(radius * points / torch.linalg.vector_norm(points[0]), {"triangle": triangles}, name="sphere")
