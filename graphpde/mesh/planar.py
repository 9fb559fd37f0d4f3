"""Plane domains in unstructured triangles: any polygon with holes, the disk, plates with holes, brackets, the L."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.bends import Bend, in_numpy
from graphpde.mesh.curves import Curve, circle
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.size_field import GRADING, Size
from graphpde.mesh.triangulate import triangulate

__all__ = ["circle", "disk", "filled", "l_bracket", "l_shape", "plate_with_holes", "polygon"]


def polygon(
    outline: Any,
    size: Size,
    holes: Sequence[Any] = (),
    *,
    names: Sequence[str | None] | None = None,
    seed: int = 0,
    name: str = "polygon",
) -> Mesh:
    """Triangles of edge length about ``size`` in a polygon with holes; sets "outer", "hole0", "hole1", ...

    Every side is recovered exactly, no obtuse angle faces the boundary, and triangles shrink towards sides or gaps
    shorter than ``size``. The same arguments give the same mesh.

    ``polygon(corners, lambda x: 0.01 + 0.2 * x.norm(dim=1))`` is graded towards the origin.

    Args:
        outline: corners [k, 2] in order, either way round, the first not repeated; or a
            :class:`~graphpde.mesh.curves.Curve`, on which every boundary point comes to lie.
        size: target edge length, a number or a function of points [k, 2] -> [k] for the whole box round the outline.
            Where the function grows by more than a quarter of the distance it is cut down.
        holes: corners [k, 2] or curve of each hole; :func:`circle` gives round ones.
        names: further set for each side of the outline (side j joins corners j and j + 1); None leaves a side unnamed,
            a name used twice joins its sides.
        seed: of the tiny shifts that break ties. name: of the mesh.

    Raises:
        MeshError: loops that cross, touch or lie outside; a boundary that cannot be kept; the wrong number of names;
            a size that is not positive.
    """
    sets: dict[str, list[tuple[int, int | None]]] = {"outer": [(0, None)]}
    sets |= {f"hole{k}": [(k + 1, None)] for k in range(len(holes))}
    sides = len(outline.corners if isinstance(outline, Curve) else outline)
    if names is not None and len(names) != sides:
        raise MeshError(f"got {len(names)} names for {sides} sides of the outline; give one (or None) for each")
    for j, label in enumerate(names or ()):
        if label is not None:
            sets.setdefault(label, []).append((0, j))
    return filled((outline, *holes), size, sets, seed=seed, name=name)


def filled(
    loops: Sequence[Any],
    size: Size,
    sets: Mapping[str, Sequence[tuple[int, int | None]]],
    *,
    seed: int = 0,
    name: str,
) -> Mesh:
    """Triangles in ``loops[0]`` without ``loops[1:]``, with named sets of sides; second-order cells follow the curves.

    Args:
        loops: corners [k, 2] or :class:`~graphpde.mesh.curves.Curve`. size, seed, name: as of :func:`polygon`.
        sets: name -> (loop, side) for each of its sides, None for all sides of a loop.
    """
    corners = [np.asarray(one.corners if isinstance(one, Curve) else one, dtype=np.float64) for one in loops]
    found = triangulate(corners, size, seed, [one.onto if isinstance(one, Curve) else None for one in loops])
    mesh = Mesh(found.points, {"triangle": found.triangles}, name=name)
    facets = mesh.find(1, torch.from_numpy(found.boundary.segments))
    loop, side = torch.from_numpy(found.boundary.source).T
    tags = {}
    for label, members in sets.items():
        mine = torch.zeros(len(facets), dtype=torch.bool)
        for k, j in members:
            mine |= (loop == k) if j is None else (loop == k) & (side == j)
        tags[label] = mesh.make_tag(1, facets[mine])
    segments = torch.from_numpy(found.boundary.segments)
    bends = [Bend(segments[loop == k], partial(in_numpy, c.onto)) for k, c in enumerate(loops) if isinstance(c, Curve)]
    return mesh.with_tags(**tags).with_bends(*bends)


def disk(size: float = 0.1, radius: float = 1.0) -> Mesh:
    """A disk round the origin in triangles; set "outer"."""
    return polygon(Curve.circle(0, 0, radius, size), size, name="disk")


def plate_with_holes(
    size: float = 0.05,
    width: float = 2.0,
    height: float = 1.0,
    holes: Sequence[tuple[float, float, float]] = ((0.5, 0.5, 0.2), (1.4, 0.5, 0.15)),
    *,
    origin: tuple[float, float] = (0.0, 0.0),
) -> Mesh:
    """A rectangular plate with round holes in triangles; sets "left", "right", "bottom", "top", "outer", "hole0", ...

    Args:
        size: target edge length. width, height: of the plate. origin: its lower left corner.
        holes: centre x, centre y and radius of each hole, in the coordinates of the plate.
    """
    x, y = origin
    outline = [(x, y), (x + width, y), (x + width, y + height), (x, y + height)]
    rings = [Curve.circle(a, b, r, size) for a, b, r in holes]
    return polygon(outline, size, rings, names=("bottom", "right", "top", "left"), name="plate_with_holes")


def l_bracket(size: float = 0.05, length: float = 1.0, thickness: float = 0.4, bolt: float = 0.1) -> Mesh:
    """An L-shaped bracket in triangles; sets "bottom", "right", "inner", "top", "left", "outer" and "hole0" (its bolt).

    Args:
        size: target edge length. length: of both legs. thickness: of both legs. bolt: radius of the hole in the corner.
    """
    a, b = length, thickness
    outline = [(0, 0), (a, 0), (a, b), (b, b), (b, a), (0, a)]
    sides = ("bottom", "right", "inner", "inner", "top", "left")
    return polygon(outline, size, [Curve.circle(b / 2, b / 2, bolt, size)], names=sides, name="l_bracket")


def l_shape(size: float = 0.1, corner: float | None = None, quadrant: int = 4) -> Mesh:
    """The square [-1, 1]^2 without one quadrant in triangles; sets "reentrant" (the sides at the origin) and "outer".

    Args:
        size: target edge length. corner: the same at the re-entrant corner, growing from there; None: ``size``.
        quadrant: the missing one, 1..4, counted anticlockwise from x, y > 0. Without the fourth, r^(2/3) sin(2/3 theta)
            is harmonic and 0 on "reentrant", theta being the angle from the positive x-axis.

    Raises:
        MeshError: lengths that are not positive numbers, another quadrant.
    """
    if quadrant not in (1, 2, 3, 4):
        raise MeshError(f"quadrant is {quadrant}, expected 1, 2, 3 or 4")
    if not (np.isfinite(size) and size > 0 and (corner is None or (np.isfinite(corner) and corner > 0))):
        raise MeshError(f"edge lengths of the L are {size} and {corner} at its corner, expected positive numbers")
    outline = np.array([(0, 0), (1, 0), (1, 1), (-1, 1), (-1, -1), (0, -1)], dtype=np.float64)
    for _ in range(quadrant % 4):
        outline = np.stack([-outline[:, 1], outline[:, 0]], 1)

    def towards_corner(x: Tensor) -> Tensor:
        return (min(corner or size, size) + GRADING * torch.linalg.vector_norm(x, dim=1)).clamp(max=size)

    sets = {"reentrant": [(0, 0), (0, 5)], "outer": [(0, j) for j in range(1, 5)]}
    return filled([outline], size if corner is None else towards_corner, sets, name="l_shape")
