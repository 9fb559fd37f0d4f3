"""Round solids: the ball and the cylinder in tetrahedra, hexahedra or wedges."""

from __future__ import annotations

import math
from functools import partial
from itertools import permutations

import numpy as np
import torch

from graphpde.errors import MeshError
from graphpde.mesh.annulus import disk_quads
from graphpde.mesh.bends import Bend, edges_of, onto_sphere
from graphpde.mesh.extrude import even_levels, extrude
from graphpde.mesh.geometry import signed_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.planar import disk
from graphpde.mesh.shells import round_block
from graphpde.mesh.surfaces import sphere

_MOST_CELLS = 10_000_000


def ball(size: float = 0.2, radius: float = 1.0, *, cells: str = "tetra") -> Mesh:
    """A ball round the origin; set "outer".

    Tetrahedra: the twenty cones of an icosahedron cut in n parts a side (Freudenthal) and drawn out radially.
    Hexahedra: a bulged cube in the middle, six blocks round it.

    Args:
        size: the longest edge, about. radius: of the ball. cells: "tetra" or "hexahedron".

    Raises:
        MeshError: lengths that are not positive numbers, another kind of cell, too many cells.
    """
    if cells == "hexahedron":
        return round_block(3, size, radius, name="ball")
    if cells != "tetra":
        raise MeshError(f"a ball has no '{cells}' cells, expected 'tetra' or 'hexahedron'")
    if not (math.isfinite(radius) and radius > 0 and math.isfinite(size) and size > 0):
        raise MeshError(f"ball of radius {radius} in edges of {size}: both must be positive numbers")
    n = max(1, math.ceil(1.5 * radius / size * (1 - 1e-9)))
    if 20 * n**3 > _MOST_CELLS:
        raise MeshError(f"the ball would have {20 * n**3:.1e} cells, expected at most {_MOST_CELLS:.0e}")
    hull = sphere(0)
    corners = torch.cat([hull.points, torch.zeros(1, 3, dtype=torch.float64)])
    parts = torch.cat([torch.full((20, 1), 12), hull.cells["triangle"].sort(1).values], 1)
    share, simplices = _parts_of_a_simplex(n)
    # a point is known by how much of each of the thirteen corners it holds
    held = np.zeros((20, len(share), 13), dtype=np.int64)
    np.put_along_axis(held, np.broadcast_to(parts[:, None].numpy(), (20, len(share), 4)), share[None], 2)
    known, number = np.unique(held.reshape(-1, 13), axis=0, return_inverse=True)
    nodes = torch.from_numpy(number.reshape(20, len(share))[:, simplices].reshape(-1, 4))
    points = torch.from_numpy(known).to(torch.float64) / n @ corners
    level = torch.from_numpy(n - known[:, 12]).to(torch.float64)[:, None] / n  # 0 in the middle, 1 on the hull
    length = torch.linalg.vector_norm(points, dim=1, keepdim=True).clamp(min=1e-300)
    mesh = Mesh(radius * level * points / length, {"tetra": nodes}, name="ball")
    turned = signed_measures(mesh) < 0
    nodes[turned] = nodes[turned][:, [0, 2, 1, 3]]
    mesh = Mesh(mesh.points, {"tetra": nodes}, name="ball")
    outer = mesh.make_tag(2, mesh.boundary_facets)
    return mesh.with_tags(outer=outer).with_bends(Bend(edges_of(mesh, outer.ids), partial(onto_sphere, radius)))


def solid_cylinder(size: float = 0.2, radius: float = 0.5, height: float = 2.0, *, cells: str = "tetra") -> Mesh:
    """A cylinder round the z-axis from z = 0; sets "bottom", "top" and "side".

    Args:
        size: the longest edge, about. radius, height: of the cylinder.
        cells: "tetra", "wedge" or "hexahedron".

    Raises:
        MeshError: lengths that are not positive numbers, another kind of cell, too many cells.
    """
    if cells not in ("tetra", "wedge", "hexahedron"):
        raise MeshError(f"a cylinder has no '{cells}' cells, expected 'tetra', 'wedge' or 'hexahedron'")
    base = disk_quads(size, radius) if cells == "hexahedron" else disk(size, radius)
    named = Mesh(base.points, base.cells, tags={"side": base.tags["outer"]}, name="solid_cylinder")
    return extrude(
        named.with_bends(*base.bends), even_levels(height, size), cells="tetra" if cells == "tetra" else None
    )


def _parts_of_a_simplex(n: int) -> tuple[np.ndarray, np.ndarray]:
    """A tetrahedron cut in n parts a side: what each point holds of the corners [k, 4], sum n; tetrahedra [n^3, 4].

    The points are the integer points n >= a >= b >= c >= 0, the tetrahedra those of Kuhn's cubes between them; faces
    with the same order of corners are cut alike.

    Reference: Freudenthal 1942, Ann. Math. 43, 580-582.
    """
    grid = np.stack(np.meshgrid(*[np.arange(n)] * 3, indexing="ij"), -1).reshape(-1, 1, 3)
    paths = np.array([np.cumsum([[0, 0, 0], *np.eye(3, dtype=int)[list(p)]], 0) for p in permutations(range(3))])
    corner = (grid[:, :, None] + paths).reshape(-1, 4, 3)
    a, b, c = np.moveaxis(corner, -1, 0)
    corner = corner[((a >= b) & (b >= c)).all(1)]
    known, number = np.unique(corner.reshape(-1, 3), axis=0, return_inverse=True)
    a, b, c = known.T
    return np.stack([n - a, a - b, b - c, c], 1), number.reshape(-1, 4)
