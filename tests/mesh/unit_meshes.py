"""The unit interval, square or cube in cells of any one type, or of several, with the interior points moved."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.mesh import Mesh, box, cell_centroids, interval, jittered, rectangle
from graphpde.mesh.cells import CELLS

FLAT = ("line", "triangle", "quad", "mixed plane")
SOLID = ("tetra", "hexahedron", "wedge", "pyramid", "mixed solid")
KINDS = (*FLAT, *SOLID)


def unit_mesh(kind: str, n: int = 3, seed: int = 0, amount: float = 0.2) -> Mesh:
    """``n`` bricks along each axis, cut into cells of the type; sets as of the generators where they give any."""
    if kind == "line":
        return jittered(interval(n), amount, seed)
    if kind in ("triangle", "quad"):
        return jittered(rectangle(n, n, cells=kind), amount, seed)
    if kind in ("tetra", "hexahedron"):
        return jittered(box(n, n, n, cells=kind), amount, seed)
    if kind == "mixed plane":
        whole = rectangle(n, n, cells="quad")
        quads, left = whole.cells["quad"], cell_centroids(whole)[:, 0] < 0.5
        cut = quads[~left]
        cells = {"quad": quads[left], "triangle": torch.cat([cut[:, [0, 1, 2]], cut[:, [0, 2, 3]]])}
        return jittered(Mesh(whole.points, cells), amount, seed)
    whole = box(n, n, n, cells="hexahedron")
    bricks, column = whole.cells["hexahedron"], (cell_centroids(whole)[:, 0] * n).long()
    middles = cell_centroids(whole)
    if kind == "mixed solid":  # columns of different types share whole faces
        chosen = [column % 3 == k for k in range(3)]
    else:
        chosen = [torch.full_like(column, k) == ["hexahedron", "wedge", "pyramid"].index(kind) for k in range(3)]
    wedges = torch.cat([bricks[chosen[1]][:, [0, 1, 2, 4, 5, 6]], bricks[chosen[1]][:, [0, 2, 3, 4, 6, 7]]])
    apex = torch.arange(whole.n, whole.n + int(chosen[2].sum()))[:, None]
    inward = [list(face)[::-1] for face in CELLS["hexahedron"].facets]
    pyramids = torch.cat([torch.cat([bricks[chosen[2]][:, face], apex], 1) for face in inward])
    points = torch.cat([whole.points, middles[chosen[2]]])
    cells = {"hexahedron": bricks[chosen[0]], "wedge": wedges, "pyramid": pyramids}
    return jittered(Mesh(points, {k: v for k, v in cells.items() if len(v)}), amount, seed)


def mapped(mesh: Mesh, seed: int = 0, dim: int | None = None) -> tuple[Mesh, Tensor, Tensor]:
    """The mesh moved by a random affine map into ``dim`` dimensions, with its matrix [dim, d] and shift [dim]."""
    rng = torch.Generator().manual_seed(seed)
    d = mesh.space_dim
    matrix = torch.eye(dim or d, d, dtype=torch.float64)
    matrix = matrix + 0.4 * torch.rand(matrix.shape, generator=rng, dtype=torch.float64) - 0.2
    shift = 3 * torch.randn(dim or d, generator=rng, dtype=torch.float64)
    return mesh.with_points(mesh.points @ matrix.T + shift), matrix, shift
