"""Disks and balls in quadrilaterals and hexahedra: a bulged block in the middle and layers from its sides outward."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.bends import Bend, edges_of, onto_sphere
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.structured import box, rectangle

# half the side of the block and how far its sides bulge towards a sphere (0 flat, 1 round): the best worst corner
_SHAPE = {2: (0.46, 0.3), 3: (0.46, 0.45)}
_MOST_CELLS = 10_000_000


def round_block(dim: int, size: float, radius: float, *, name: str) -> Mesh:
    """A disk (``dim`` 2) or ball (3) round the origin in quadrilaterals or hexahedra; set "outer".

    Args:
        size: the longest edge, about; at least two cells along a quarter of the rim. radius: of the disk or ball.

    Raises:
        MeshError: lengths that are not positive numbers, too many cells.
    """
    if not (math.isfinite(radius) and radius > 0 and math.isfinite(size) and size > 0):
        raise MeshError(f"{name} of radius {radius} in edges of {size}: both must be positive numbers")
    n = max(2, math.ceil(0.5 * math.pi * radius / size * (1 - 1e-9)))
    half, bulge = _SHAPE[dim]
    layers = max(1, round((1 - half) * radius / min(size, 0.5 * math.pi * radius / n)))
    if (n + 2 * dim * layers) * n ** (dim - 1) > _MOST_CELLS:
        raise MeshError(f"{name} would have more than {_MOST_CELLS:.0e} cells; take a larger size than {size:.3g}")
    if dim == 2:
        block = rectangle(n, n, width=2, height=2, cells="quad", origin=(-1, -1))
    else:
        block = box(n, n, n, lengths=(2, 2, 2), cells="hexahedron", origin=(-1, -1, -1))
    inside = block.points
    reach = inside.abs().amax(1, keepdim=True)
    on_cube = inside / reach.clamp(min=1e-300)
    toward = torch.tan(0.25 * math.pi * on_cube)  # equal angles along the rim
    toward = toward / torch.linalg.vector_norm(toward, dim=1, keepdim=True).clamp(min=1e-300)
    flat, round_ = half * on_cube, half * 1.25 * toward
    inside = radius * reach * ((1 - bulge * reach) * flat + bulge * reach * round_)

    rim = block.boundary_nodes
    share = (torch.arange(1, layers + 1, dtype=torch.float64) / layers)[:, None, None]
    shell = (1 - share) * inside[rim] + share * radius * toward[rim]
    number = torch.zeros(block.n, dtype=torch.int64)
    number[rim] = torch.arange(len(rim))
    facets = block.facets.nodes[block.boundary_facets]  # wound outward
    level = [facets] + [block.n + k * len(rim) + number[facets] for k in range(layers)]
    ((kind, nodes),) = block.cells.items()
    cells = torch.cat([nodes, *(_between(a, b) for a, b in pairwise(level))])
    mesh = Mesh(torch.cat([inside, shell.reshape(-1, dim)]), {kind: cells}, name=name)
    outer = mesh.make_tag(dim - 1, mesh.boundary_facets)
    return mesh.with_tags(outer=outer).with_bends(Bend(edges_of(mesh, outer.ids), partial(onto_sphere, radius)))


def _between(below: Tensor, above: Tensor) -> Tensor:
    """Cells between facets wound outward and their copies further out."""
    if below.shape[1] == 2:
        return torch.cat([below[:, :1], above, below[:, 1:]], 1)
    return torch.cat([below, above], 1)
