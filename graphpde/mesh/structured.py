"""Intervals, rectangles and boxes in regular cells, and naming parts of a boundary by a predicate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.box_cells import box_cells
from graphpde.mesh.mesh import Mesh

_MOST_CELLS = 50_000_000

Grading = float | Sequence[float]
"""Length of each piece over that of the one before it, or a pair: growth away from the two ends."""


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


def spacing(n: int, grading: Grading = 1.0) -> Tensor:
    """Positions 0 .. 1 of the ends of ``n`` pieces [n + 1], each ``grading`` times as long as the one before.

    A pair (a, b) makes boundary layers: pieces grow by a from 0 and by b from 1, the first and last being equal; 1
    makes no layer.

    Raises:
        MeshError: a ratio that is not positive, one of a pair below 1, the shortest piece below 1e-12.
    """
    ratios = grading if isinstance(grading, Sequence) else (grading,)
    if len(ratios) not in (1, 2) or not all(math.isfinite(r) and r > 0 for r in ratios):
        raise MeshError(f"grading is {grading}, expected a positive ratio or a pair of them")
    if len(ratios) == 2 and min(ratios) < 1:
        raise MeshError(f"grading is {grading}, expected ratios of at least 1: pieces grow away from both ends")
    if all(r == 1 for r in ratios):
        return torch.arange(n + 1, dtype=torch.float64) / n
    step = torch.arange(n, dtype=torch.float64)
    rise = step * math.log(ratios[0])
    if len(ratios) == 2 and ratios[1] != 1:
        other = step.flip(0) * math.log(ratios[1])
        rise = other if ratios[0] == 1 else torch.minimum(rise, other)
    length = torch.exp(rise - rise.max())
    if float(length.min() / length.sum()) < 1e-12:
        raise MeshError(
            f"grading {grading} over {n} pieces makes the shortest one {float(length.min()):.1e} of the longest"
        )
    ends = torch.cat([length.new_zeros(1), length.cumsum(0)])
    return ends / ends[-1]


def interval(n: int, length: float = 1.0, *, origin: float = 0.0, grading: Grading = 1.0) -> Mesh:
    """An interval of ``n`` lines from ``origin``; sets "left" and "right".

    Args:
        n: number of lines. length: of all together. origin: the left end.
        grading: length of each line over that of the one before, or a pair for layers at both ends (:func:`spacing`).
    """
    _check_counts("interval", (n,), (length,))
    points = origin + length * spacing(n, grading)[:, None]
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
    grading: Sequence[Grading] = (1.0, 1.0),
) -> Mesh:
    """A rectangle of ``nx`` x ``ny`` cells, equal unless graded; sets "left", "right", "bottom" and "top".

    Triangles: every cell is cut along its diagonal from lower left to upper right, so ``refine(rectangle(n, n))`` has
    the cells of ``rectangle(2 * n, 2 * n)``. Points are numbered along x first.

    Args:
        nx, ny: cells along x and y.
        width, height: lengths of the sides. origin: the lower left corner.
        cells: "triangle" (2 a cell), "quad" or "mixed" (both by turns, as on a chessboard).
        grading: along x and along y, a ratio or a pair each (:func:`spacing`).

    Raises:
        MeshError: counts below 1, lengths or gradings that are not positive, another kind of cell.
    """
    _check_counts("rectangle", (nx, ny), (width, height))
    if len(grading) != 2:
        raise MeshError(f"grading of the rectangle is {grading}, expected one for x and one for y")
    corner = _corners((nx, ny))
    if cells not in ("triangle", "quad", "mixed"):
        raise MeshError(f"a rectangle has no '{cells}' cells, expected 'triangle', 'quad' or 'mixed'")
    black = (torch.arange(nx) + torch.arange(ny)[:, None]).reshape(-1) % 2 == 0
    whole = {"quad": black | True, "triangle": black & False, "mixed": black}[cells]
    blocks = {
        "quad": corner[whole][:, [0, 1, 3, 2]],
        "triangle": corner[~whole][:, [[0, 1, 3], [0, 3, 2]]].flatten(0, 1),
    }
    mesh = Mesh(_grid((nx, ny), (width, height), origin, grading), blocks, name="rectangle")
    return _with_sides(mesh, ("left", "right"), ("bottom", "top"))


def box(
    nx: int,
    ny: int | None = None,
    nz: int | None = None,
    *,
    lengths: tuple[float, float, float] = (1.0, 1.0, 1.0),
    cells: str = "tetra",
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0),
) -> Mesh:
    """A box of ``nx`` x ``ny`` x ``nz`` equal blocks; sets "left"/"right" (x), "front"/"back" (y), "bottom"/"top" (z).

    Tetrahedra: six a block, all round the diagonal from the lowest to the highest corner (Kuhn 1960), in a node order
    that :func:`~graphpde.mesh.refine.refine` hands down, so that all their descendants have the same shape. Pyramids:
    six a block, round its centre. Mixed, from left to right: wedges (a quarter of the blocks along x), hexahedra, one
    layer of pyramids and tetrahedra round the centres of its blocks, tetrahedra (a third), all faces matching.

    Args:
        nx, ny, nz: blocks along x, y and z; None: as many as along x. lengths: of the edges. origin: the lowest corner.
        cells: "tetra", "hexahedron", "wedge" (2 a block, upright), "pyramid" or "mixed" (three or more along x).

    Raises:
        MeshError: counts below 1, lengths that are not positive, another kind of cell.
    """
    counts = (nx, nx if ny is None else ny, nx if nz is None else nz)
    _check_counts("box", counts, lengths)
    nodes, centred = box_cells(cells, _corners(counts), counts)
    points = _grid(counts, lengths, origin)
    if len(centred):
        points = torch.cat([points, points[centred].mean(1)])
    mesh = Mesh(points, nodes, name="box")
    return _with_sides(mesh, ("left", "right"), ("front", "back"), ("bottom", "top"))


def cell_count(length: float, size: float) -> int:
    """The number of equal pieces of ``length`` that are no longer than ``size``.

    Raises:
        MeshError: a size that is not a positive number.
    """
    if not (math.isfinite(size) and size > 0):
        raise MeshError(f"target edge length is {size}, expected a positive number")
    return max(1, math.ceil(length / size * (1 - 1e-9)))


def _check_counts(what: str, counts: tuple[int, ...], lengths: tuple[float, ...]) -> None:
    if any(int(n) != n or n < 1 for n in counts):
        raise MeshError(f"cells of the {what} are {counts}, expected whole numbers of at least 1")
    if any(not math.isfinite(s) or s <= 0 for s in lengths):
        raise MeshError(f"lengths of the {what} are {tuple(lengths)}, expected positive numbers")
    if math.prod(counts) > _MOST_CELLS:
        raise MeshError(f"the {what} would have {math.prod(counts):.2e} cells, expected at most {_MOST_CELLS:.0e}")


def _grid(
    counts: tuple[int, ...],
    lengths: tuple[float, ...],
    origin: tuple[float, ...],
    grading: Sequence[Grading] = (1.0, 1.0, 1.0),
) -> Tensor:
    """Points of a grid [n, d], along x first."""
    axes = [o + s * spacing(n, g) for n, s, o, g in zip(counts, lengths, origin, grading)]
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
