"""Plane domains in unstructured triangles: any polygon with holes, the disk, plates with holes, an L-shaped bracket."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from graphpde.errors import MeshError
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.triangulate import triangulate

_FEWEST_SIDES, _MOST_SIDES = 16, 20_000  # of a polygon that stands for a circle


def polygon(
    outline: Any,
    size: float,
    holes: Sequence[Any] = (),
    *,
    names: Sequence[str | None] | None = None,
    seed: int = 0,
    name: str = "polygon",
) -> Mesh:
    """Triangles of edge length about ``size`` in a polygon with holes; sets "outer", "hole0", "hole1", ...

    Every side is recovered exactly, no obtuse angle faces the boundary, and triangles shrink towards sides or gaps
    shorter than ``size``. The same arguments give the same mesh.

    Args:
        outline: corners [k, 2] in order, either way round, the first not repeated. size: target edge length.
        holes: corners [k, 2] of each hole; :func:`circle` gives round ones.
        names: further set for each side of the outline (side j joins corners j and j + 1); None leaves a side unnamed,
            a name used twice joins its sides.
        seed: of the tiny shifts that break ties. name: of the mesh.

    Raises:
        MeshError: loops that cross, touch or lie outside; a boundary that cannot be kept; the wrong number of names.
    """
    loops = [np.asarray(loop, dtype=np.float64) for loop in (outline, *holes)]
    if names is not None and len(names) != len(loops[0]):
        raise MeshError(f"got {len(names)} names for {len(loops[0])} sides of the outline; give one (or None) for each")
    found = triangulate(loops, size, seed)
    mesh = Mesh(found.points, {"triangle": found.triangles}, name=name)
    facets = mesh.find(1, torch.from_numpy(found.boundary.segments))
    loop, side = torch.from_numpy(found.boundary.source).T
    chosen = {"outer": loop == 0} | {f"hole{k}": loop == k + 1 for k in range(len(holes))}
    for j, label in enumerate(names or ()):
        if label is not None:
            mine = (loop == 0) & (side == j)
            chosen[label] = chosen[label] | mine if label in chosen else mine
    return mesh.with_tags(**{label: mesh.make_tag(1, facets[rows]) for label, rows in chosen.items()})


def circle(x: float, y: float, radius: float, size: float) -> np.ndarray:
    """Corners [k, 2] of a regular polygon inscribed in a circle, sides about ``size``, at least 16 of them."""
    if not (np.isfinite(radius) and radius > 0 and np.isfinite(size) and size > 0):
        raise MeshError(f"circle of radius {radius} in sides of {size}: both must be positive numbers")
    sides = max(_FEWEST_SIDES, int(np.ceil(2 * np.pi * radius / size)))
    if sides > _MOST_SIDES:
        raise MeshError(f"circle of radius {radius} in sides of {size} has {sides}, expected at most {_MOST_SIDES}")
    angle = 2 * np.pi * np.arange(sides) / sides
    return np.stack([x + radius * np.cos(angle), y + radius * np.sin(angle)], 1)


def disk(size: float = 0.1, radius: float = 1.0) -> Mesh:
    """A disk round the origin in triangles; set "outer"."""
    return polygon(circle(0, 0, radius, size), size, name="disk")


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
    rings = [circle(a, b, r, size) for a, b, r in holes]
    return polygon(outline, size, rings, names=("bottom", "right", "top", "left"), name="plate_with_holes")


def l_bracket(size: float = 0.05, length: float = 1.0, thickness: float = 0.4, bolt: float = 0.1) -> Mesh:
    """An L-shaped bracket in triangles; sets "bottom", "right", "inner", "top", "left", "outer" and "hole0" (its bolt).

    Args:
        size: target edge length. length: of both legs. thickness: of both legs. bolt: radius of the hole in the corner.
    """
    a, b = length, thickness
    outline = [(0, 0), (a, 0), (a, b), (b, b), (b, a), (0, a)]
    sides = ("bottom", "right", "inner", "inner", "top", "left")
    return polygon(outline, size, [circle(b / 2, b / 2, bolt, size)], names=sides, name="l_bracket")
