"""Quadrilaterals cut into triangles, hexahedra, wedges and pyramids into tetrahedra that meet face to face.

The diagonal of a quadrilateral face starts at its corner of the lowest number, a choice on which both cells at the face
agree without knowing each other. A solid is then the cone from its own lowest corner over the triangles of the faces
that do not touch this corner: 6 tetrahedra for a hexahedron, 3 for a wedge, 2 for a pyramid.

Reference: Dompierre, Labbe, Vallet and Camarero 1999, "How to subdivide pyramids, prisms, and hexahedra into
tetrahedra", 8th International Meshing Roundtable, 195-204.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.mesh.cells import CELLS
from graphpde.mesh.repair.traced import Block, TracedCells

SIMPLEX_OF = {"quad": "triangle", "hexahedron": "tetra", "wedge": "tetra", "pyramid": "tetra"}
_EVEN = 1e-9  # difference in quality below which both diagonals of a quadrilateral are equally good


def into_simplices(cells: TracedCells, points: Tensor) -> TracedCells:
    """Every quadrilateral as two triangles, every hexahedron, wedge and pyramid as tetrahedra; simplices stay.

    Quadrilaterals are cut where the worse triangle is better, which for one that is not convex is the diagonal inside.
    Pieces that name a point twice (of cells that do) are left out. Quadratic types stay as well.
    """
    parts = []
    for kind, nodes, origin in cells.blocks:
        if kind not in SIMPLEX_OF:
            parts.append(Block(kind, nodes, origin))
            continue
        rows, pieces = _triangles(nodes, points) if kind == "quad" else _tetrahedra(kind, nodes)
        ordered = pieces.sort(1).values
        whole = (ordered[:, 1:] != ordered[:, :-1]).all(1)
        order = torch.argsort(rows[whole], stable=True)
        parts.append(Block(SIMPLEX_OF[kind], pieces[whole][order], origin[rows[whole][order]]))
    return TracedCells.joined(parts, cells.kinds)


def along_lowest(faces: Tensor) -> tuple[Tensor, Tensor]:
    """The two triangles [k, 3] of quadrilaterals [k, 4], their diagonal from the corner of the lowest number."""
    places = (faces.argmin(1, keepdim=True) + torch.arange(4)) % 4
    ring = faces.gather(1, places)
    return ring[:, [0, 1, 2]], ring[:, [0, 2, 3]]


def _tetrahedra(kind: str, nodes: Tensor) -> tuple[Tensor, Tensor]:
    """The cell that each tetrahedron is a piece of [k], and its corners [k, 4]."""
    rows, pieces = [], []
    lowest = nodes.argmin(1)
    for corner in range(nodes.shape[1]):
        mine = (lowest == corner).nonzero()[:, 0]
        for facet in CELLS[kind].facets:
            if corner in facet or not len(mine):
                continue
            face = nodes[mine][:, list(facet)]
            for triangle in (face,) if len(facet) == 3 else along_lowest(face):
                rows.append(mine)
                pieces.append(torch.cat([nodes[mine, corner, None], triangle], 1))  # faces wind outward: positive
    return torch.cat(rows), torch.cat(pieces)


def _triangles(nodes: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
    """The quadrilateral that each triangle is a half of [2 m], and its corners [2 m, 3]."""
    x = points.detach()[nodes]
    normal = _cross(x[:, 2] - x[:, 0], x[:, 3] - x[:, 1])
    first, second = ((0, 1, 2), (0, 2, 3)), ((0, 1, 3), (1, 2, 3))
    good, other = (torch.stack([_quality(x[:, list(t)], normal) for t in cut]).amin(0) for cut in (first, second))
    even = (good - other).abs() <= _EVEN
    take = torch.where(even, nodes.argmin(1) % 2 == 0, good > other)
    halves = [torch.where(take[:, None], nodes[:, list(a)], nodes[:, list(b)]) for a, b in zip(first, second)]
    return torch.arange(len(nodes)).repeat(2), torch.cat(halves)


def _quality(x: Tensor, normal: Tensor) -> Tensor:
    """Area over the sum of squared sides [k], negative where a triangle [k, 3, d] looks against the normal."""
    area = _cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    squares = ((x - x.roll(1, 1)) ** 2).sum((1, 2)).clamp(min=1e-300)
    return torch.sign((area * normal).sum(1)) * torch.linalg.vector_norm(area, dim=1) / squares


def _cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of vectors in the plane [k, 1] or in space [k, 3]."""
    if a.shape[1] == 2:
        return a[:, :1] * b[:, 1:] - a[:, 1:] * b[:, :1]
    return torch.linalg.cross(a, b)
