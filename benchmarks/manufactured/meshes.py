"""One random coarse mesh for each family, refined uniformly: the orders of fresh random meshes would be noise."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from graphpde.mesh import (
    CELLS,
    Mesh,
    box,
    disk,
    interval,
    jittered,
    network,
    random_cube,
    random_square,
    rectangle,
    refine,
    sphere,
    tag_boundary,
)
from graphpde.mesh.second_order import completed, nodes_of

SEED = 7


def square(level: int) -> Mesh:
    """Random Delaunay triangles; 4225 points at level 4."""
    return refine(random_square(4, seed=SEED), level)


def coarse_square(level: int) -> Mesh:
    """Random Delaunay triangles from a coarser start; 37,249 points at level 6."""
    return refine(random_square(3, seed=SEED), level)


def quads(level: int) -> Mesh:
    """Random convex quadrilaterals; 4225 points at level 4."""
    return refine(jittered(rectangle(4, 4, cells="quad"), 0.25, seed=SEED), level)


def equal(cells: str) -> Callable[[int], Mesh]:
    """Equal triangles or squares; 4225 points at level 4."""

    def mesh(level: int) -> Mesh:
        return rectangle(4 * 2**level, 4 * 2**level, cells=cells)

    return mesh


def cube(level: int) -> Mesh:
    """Random tetrahedra; 35,937 points at level 3."""
    return refine(random_cube(4, seed=SEED, amount=0.15), level)


def halves(level: int) -> Mesh:
    """Random triangles whose edges keep to x = 1/2; cell sets "left_half" and "right_half"."""
    return refine(_mirrored(random_square(3, seed=SEED)), level)


def half_quads(level: int) -> Mesh:
    """Random quadrilaterals that keep to x = 1/2."""
    return refine(_mirrored(jittered(rectangle(2, 4, cells="quad"), 0.2, seed=SEED)), level)


def half_cubes(level: int) -> Mesh:
    """Random tetrahedra whose faces keep to x = 1/2; 35,937 points at level 3."""
    return refine(_mirrored(jittered(box(2, 4, 4), 0.15, seed=SEED)), level)


def mixed(level: int) -> Mesh:
    """Random triangles and quadrilaterals side by side; 4225 points at level 4."""
    return refine(jittered(rectangle(4, 4, cells="mixed"), 0.2, seed=SEED), level)


def solids(cells: str, blocks: tuple[int, int, int] = (3, 3, 3)) -> Callable[[int], Mesh]:
    """Solids of one kind (or "mixed") with their points moved at random; hexahedra have 15,625 points at level 3."""

    def mesh(level: int) -> Mesh:
        return refine(jittered(box(*blocks, cells=cells), 0.12, seed=SEED), level)

    return mesh


def pyramids(level: int) -> Mesh:
    """Random hexahedra refined, each cut into six pyramids round its centre: 5,100 points at level 2."""
    blocks = refine(jittered(box(3, cells="hexahedron"), 0.12, seed=SEED), level)
    ((_, nodes, _),) = blocks.corners()
    tips = torch.arange(blocks.n, blocks.n + len(nodes))
    faces = torch.tensor([[face[k] for k in (0, 3, 2, 1)] for face in CELLS["hexahedron"].facets])
    cells = torch.cat([nodes[:, faces], tips[:, None, None].expand(-1, 6, 1)], 2).reshape(-1, 5)
    mesh = Mesh(torch.cat([blocks.points, blocks.points[nodes].mean(1)]), {"pyramid": cells}, name="pyramids")
    sides = {
        "left": (0, 0.0),
        "right": (0, 1.0),
        "front": (1, 0.0),
        "back": (1, 1.0),
        "bottom": (2, 0.0),
        "top": (2, 1.0),
    }
    return tag_boundary(mesh, **{name: _at(*where) for name, where in sides.items()})


def globe(level: int) -> Mesh:
    """The unit sphere in triangles between random points; 10,242 points at level 4."""
    coarse = sphere(1)
    rng = np.random.default_rng(SEED)
    moved = coarse.points + torch.from_numpy(0.08 * rng.standard_normal((coarse.n, 3)))
    return refine(coarse.with_points(_onto(moved)), level, project=_onto)


def curved_globe(level: int) -> Mesh:
    """The sphere in triangles whose sides are parabolas between points of the sphere."""
    mesh = completed(globe(level))
    return mesh.with_points(_onto(mesh.points))


def round_disk(level: int) -> Mesh:
    """The unit disk in random triangles; 3713 points at level 4."""
    mesh = _random_disk()
    for _ in range(level):
        mesh = _rounded(refine(mesh))
    return mesh


def curved_disk(level: int) -> Mesh:
    """The same, quadratic along the boundary."""
    return _rounded(completed(round_disk(level)))


def _random_disk() -> Mesh:
    coarse = disk(0.5)
    rng = np.random.default_rng(SEED)
    moved = coarse.points + torch.from_numpy(0.04 * rng.standard_normal((coarse.n, 2)))
    moved[coarse.boundary_nodes] = coarse.points[coarse.boundary_nodes]
    return coarse.with_points(moved)


def _rounded(mesh: Mesh) -> Mesh:
    """The mesh with every node of its boundary on the unit circle."""
    tag = mesh.tag("boundary")
    nodes = nodes_of(mesh, tag) if any(kind == "triangle6" for kind in mesh.cells) else tag.nodes
    return mesh.with_points(mesh.points.index_copy(0, nodes, _onto(mesh.points[nodes])))


def patch(level: int) -> Mesh:
    """A piece of the unit sphere bounded by great circles, random triangles inside; 4225 points at level 4."""
    flat = random_square(4, seed=SEED)
    raised = torch.cat([1.4 * (flat.points - 0.5), torch.ones(flat.n, 1, dtype=torch.float64)], 1)
    coarse = Mesh(_onto(raised), flat.cells, name="patch of a sphere")
    return refine(coarse, level, project=_onto)


def line(level: int) -> Mesh:
    """The unit interval in lines of random length; 8193 points at level 10."""
    coarse = jittered(interval(8), 0.3, seed=SEED)
    return refine(coarse, level)


def tripod(level: int) -> Mesh:
    """Three arms of lengths 1, 0.7 and 1.3 in cells of uneven length; cell sets "arm0", "arm1", "arm2"."""
    tips = np.array([[1.0, 0.0], [0.0, 0.7], [-1.2, -0.5]])
    lengths = (0.3, 1.0), (0.4, 1.0), (0.35, 0.8, 1.0)
    points, lines, branches, count = [np.zeros((1, 2))], [], {}, 1
    for arm, (tip, shares) in enumerate(zip(tips, lengths)):
        points.append(np.outer(shares, tip))
        chain = [0, *range(count, count + len(shares))]
        branches[f"arm{arm}"] = list(range(len(lines), len(lines) + len(shares)))
        lines += list(pairwise(chain))
        count += len(shares)
    return refine(network(np.concatenate(points), lines, branches=branches, name="tripod"), level)


def _onto(x: Tensor) -> Tensor:
    return x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def _mirrored(mesh: Mesh) -> Mesh:
    """The mesh squeezed into x < 1/2, and its mirror image in x > 1/2; points at x = 1/2 are shared."""
    n = mesh.n
    left = mesh.points.clone()
    left[:, 0] *= 0.5
    right = left.clone()
    right[:, 0] = 1 - right[:, 0]
    shared = mesh.points[:, 0] == 1
    number = torch.arange(n, 2 * n) - shared.cumsum(0)
    number[shared] = torch.arange(n)[shared]
    cells = {kind: torch.cat([nodes, number[nodes]]) for kind, nodes in mesh.cells.items()}
    joined = Mesh(torch.cat([left, right[~shared]]), cells, name=f"{mesh.name} and its mirror image")
    count = mesh.n_cells
    joined = joined.with_tags(
        left_half=joined.make_tag(mesh.dim, torch.arange(count)),
        right_half=joined.make_tag(mesh.dim, torch.arange(count, 2 * count)),
    )
    return tag_boundary(joined, left=_at(0, 0.0), right=_at(0, 1.0))


def _at(axis: int, value: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x[:, axis] == value
