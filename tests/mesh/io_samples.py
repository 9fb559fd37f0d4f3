"""Small meshes and hand-made files that the tests of reading and writing share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from graphpde.core.graph import TagSet
from graphpde.mesh.mesh import Mesh

POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]])
PLANE = POINTS[:, :2]
SQUARE_POINTS = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
SQUARE_CELLS = {"triangle": np.array([[0, 1, 2], [0, 2, 3]])}


def square(**more: object) -> Mesh:
    """The unit square in two triangles with overlapping cell sets, a facet set and a point set."""
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS, **more)
    bottom = mesh.find(1, torch.tensor([[1, 0]]))
    right = mesh.find(1, torch.tensor([[1, 2]]))
    return mesh.with_tags(
        all=mesh.make_tag(2, [0, 1]),
        steel=mesh.make_tag(2, [1]),
        bottom=mesh.make_tag(1, bottom),
        wall=mesh.make_tag(1, torch.cat([bottom, right])),
        corner=TagSet(0, torch.tensor([2]), torch.tensor([2])),
    )


def solid() -> Mesh:
    """A hexahedron, a wedge on its side and a pyramid on top, with sets of faces of both widths and of edges."""
    points = [[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    points += [[2, 0, 0], [2, 0, 1], [0.5, 0.5, 2]]
    cells = {"hexahedron": [[0, 1, 3, 2, 4, 5, 7, 6]], "wedge": [[1, 8, 3, 5, 9, 7]], "pyramid": [[4, 5, 7, 6, 10]]}
    mesh = Mesh(points, cells)
    faces = mesh.find(2, torch.tensor([[0, 1, 3, 2], [1, 8, 3, -1], [4, 5, 10, -1]]))
    edges = mesh.find(1, torch.tensor([[0, 1], [8, 9]]))
    return mesh.with_tags(**{"mantle": mesh.make_tag(2, faces), "rim:1d": mesh.make_tag(1, edges)})


def assert_same(a: Mesh, b: Mesh, numbers: bool = True) -> None:
    """The same points, cells and sets; ``numbers=False`` where the cells may come back in another order."""
    assert torch.equal(a.points, b.points)
    assert {k: v.shape for k, v in a.cells.items()} == {k: v.shape for k, v in b.cells.items()}
    assert set(a.tags) == set(b.tags)
    for name, tag in a.tags.items():
        assert tag.dim == b.tags[name].dim
        assert torch.equal(tag.nodes, b.tags[name].nodes)
        assert len(tag.ids) == len(b.tags[name].ids)
        if numbers:
            assert torch.equal(tag.ids, b.tags[name].ids)
    if numbers:
        assert all(torch.equal(a.cells[kind], b.cells[kind]) for kind in a.cells)


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def sets(mesh: Mesh) -> dict[str, tuple[int, list[int]]]:
    """Dimension and points of each named set."""
    return {name: (tag.dim, tag.nodes.tolist()) for name, tag in mesh.tags.items()}
