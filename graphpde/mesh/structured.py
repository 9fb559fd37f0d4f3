"""Intervals, rectangles and boxes in regular cells, and naming parts of a boundary by a predicate."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import permutations

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.mesh import Mesh

_MOST_CELLS = 50_000_000


def tag_boundary(mesh: Mesh, **where: Callable[[Tensor], Tensor]) -> Mesh:
    """The mesh with named parts of its boundary: the boundary facets all of whose vertices satisfy a predicate.

    ``tag_boundary(mesh, inlet=lambda x: x[:, 0] < 1e-9)``

    Args:
        mesh: any mesh.
        where: name -> predicate, points [n, d] -> bool [n].

    Raises:
        MeshError: a predicate returns another shape, or no facet satisfies it.
    """
    facets = mesh.boundary_facets
    nodes = mesh.facets.nodes[facets]
    tags = {}
    for name, predicate in where.items():
        chosen = torch.as_tensor(predicate(mesh.points)).to(torch.bool)
        if tuple(chosen.shape) != (mesh.n,):
            raise MeshError(f"the predicate of '{name}' returned shape {list(chosen.shape)}, expected [{mesh.n}]")
        ids = facets[(chosen[nodes] | (nodes < 0)).all(1)]
        if not len(ids):
            low, high = mesh.points.amin(0).tolist(), mesh.points.amax(0).tolist()
            raise MeshError(f"no boundary facet of '{mesh.name}' satisfies '{name}'; its points span {low} to {high}")
        tags[name] = mesh.make_tag(mesh.dim - 1, ids)
    return mesh.with_tags(**tags)


def interval(n: int, length: float = 1.0, *, origin: float = 0.0) -> Mesh:
    """An interval of ``n`` equal lines from ``origin``; sets "left" and "right"."""
    _check_counts("interval", (n,), (length,))
    points = origin + length * torch.arange(n + 1, dtype=torch.float64)[:, None] / n
    first = torch.arange(n)
    mesh = Mesh(points, {"line": torch.stack([first, first + 1], 1)}, name="interval")
    return mesh.with_tags(left=mesh.make_tag(0, [0]), right=mesh.make_tag(0, [n]))


def rectangle(
    nx: int,
    ny: int,
    *,
    width: float = 1.0,
    height: float = 1.0,
    cells: str = "triangle",
    origin: tuple[float, float] = (0.0, 0.0),
) -> Mesh:
    """A rectangle of ``nx`` x ``ny`` equal cells; sets "left", "right", "bottom" and "top".

    Triangles: every cell is cut along its diagonal from lower left to upper right, so ``refine(rectangle(n, n))`` has
    the cells of ``rectangle(2 * n, 2 * n)``. Points are numbered along x first.

    Args:
        nx, ny: cells along x and y.
        width, height: lengths of the sides. origin: the lower left corner.
        cells: "triangle" (2 a cell) or "quad".

    Raises:
        MeshError: counts below 1, lengths that are not positive, another kind of cell.
    """
    _check_counts("rectangle", (nx, ny), (width, height))
    corner = _corners((nx, ny))
    if cells == "quad":
        nodes = corner[:, [0, 1, 3, 2]]
    elif cells == "triangle":
        nodes = corner[:, [[0, 1, 3], [0, 3, 2]]].flatten(0, 1)
    else:
        raise MeshError(f"a rectangle has no '{cells}' cells, expected 'triangle' or 'quad'")
    mesh = Mesh(_grid((nx, ny), (width, height), origin), {cells: nodes}, name="rectangle")
    return _with_sides(mesh, ("left", "right"), ("bottom", "top"))


def box(
    nx: int,
    ny: int,
    nz: int,
    *,
    lengths: tuple[float, float, float] = (1.0, 1.0, 1.0),
    cells: str = "tetra",
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Mesh:
    """A box of ``nx`` x ``ny`` x ``nz`` equal cells; sets "left"/"right" (x), "front"/"back" (y), "bottom"/"top" (z).

    Tetrahedra: six a cell, all round the diagonal from the lowest to the highest corner (Kuhn 1960), in a node order
    that :func:`~graphpde.mesh.refine.refine` hands down, so that all their descendants have the same shape.

    Args:
        nx, ny, nz: cells along x, y and z. lengths: of the edges. origin: the lowest corner.
        cells: "tetra" or "hexahedron".

    Raises:
        MeshError: counts below 1, lengths that are not positive, another kind of cell.
    """
    _check_counts("box", (nx, ny, nz), lengths)
    corner = _corners((nx, ny, nz))
    if cells == "hexahedron":
        nodes = corner[:, [0, 1, 3, 2, 4, 5, 7, 6]]
    elif cells == "tetra":
        nodes = corner[:, _kuhn_paths()].flatten(0, 1)
    else:
        raise MeshError(f"a box has no '{cells}' cells, expected 'tetra' or 'hexahedron'")
    mesh = Mesh(_grid((nx, ny, nz), lengths, origin), {cells: nodes}, name="box")
    return _with_sides(mesh, ("left", "right"), ("front", "back"), ("bottom", "top"))


def cell_count(length: float, size: float) -> int:
    """The number of equal pieces of ``length`` that are no longer than ``size``.

    Raises:
        MeshError: a size that is not a positive number.
    """
    if not (math.isfinite(size) and size > 0):
        raise MeshError(f"target edge length is {size}, expected a positive number")
    return max(1, math.ceil(length / size * (1 - 1e-9)))


def _kuhn_paths() -> list[list[int]]:
    """The six walks along edges of the unit cube from corner 0 to corner 7 (bits x, y, z), positively oriented."""
    paths = []
    for axes in permutations(range(3)):
        path = [0, 1 << axes[0], 1 << axes[0] | 1 << axes[1], 7]
        if axes not in ((0, 1, 2), (1, 2, 0), (2, 0, 1)):
            path[0], path[2] = path[2], path[0]
        paths.append(path)
    return paths


def _check_counts(what: str, counts: tuple[int, ...], lengths: tuple[float, ...]) -> None:
    if any(int(n) != n or n < 1 for n in counts):
        raise MeshError(f"cells of the {what} are {counts}, expected whole numbers of at least 1")
    if any(not math.isfinite(s) or s <= 0 for s in lengths):
        raise MeshError(f"lengths of the {what} are {tuple(lengths)}, expected positive numbers")
    if math.prod(counts) > _MOST_CELLS:
        raise MeshError(f"the {what} would have {math.prod(counts):.2e} cells, expected at most {_MOST_CELLS:.0e}")


def _grid(counts: tuple[int, ...], lengths: tuple[float, ...], origin: tuple[float, ...]) -> Tensor:
    """Points of a regular grid [n, d], along x first."""
    axes = [o + s * torch.arange(n + 1, dtype=torch.float64) / n for n, s, o in zip(counts, lengths, origin)]
    return torch.stack(torch.meshgrid(*axes[::-1], indexing="ij")[::-1], -1).reshape(-1, len(counts))


def _corners(counts: tuple[int, ...]) -> Tensor:
    """Corner points of every cell of a regular grid [m, 2 ** d]; bit 0 of the corner number is x, bit 1 y, bit 2 z."""
    steps, first = [1], torch.zeros(1, dtype=torch.int64)
    for n in counts:
        first = (torch.arange(n)[:, None] * steps[-1] + first).reshape(-1)
        steps.append(steps[-1] * (n + 1))
    offset = [sum(steps[k] for k in range(len(counts)) if c >> k & 1) for c in range(2 ** len(counts))]
    return first[:, None] + torch.tensor(offset)


def _with_sides(mesh: Mesh, *pairs: tuple[str, str]) -> Mesh:
    def at(axis: int, value: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: x[:, axis] == value

    low, high = mesh.points.amin(0), mesh.points.amax(0)
    where = {}
    for axis, (first, last) in enumerate(pairs):
        where[first], where[last] = at(axis, low[axis]), at(axis, high[axis])
    return tag_boundary(mesh, **where)
