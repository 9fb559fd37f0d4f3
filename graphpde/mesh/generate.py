"""Meshes without files: every generator, and the shapes that the command line knows by name and edge length."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graphpde.errors import MeshError
from graphpde.mesh.annulus import annulus, annulus_sector, disk_quads
from graphpde.mesh.curves import Curve
from graphpde.mesh.extrude import extrude
from graphpde.mesh.irregular import jittered, random_cube, random_square
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.networks import network, star
from graphpde.mesh.obstacles import aerofoil, aerofoil_in_tunnel, channel_with_cylinder
from graphpde.mesh.planar import circle, disk, l_bracket, l_shape, plate_with_holes, polygon
from graphpde.mesh.round_solids import ball, solid_cylinder
from graphpde.mesh.structured import Grading, box, cell_count, interval, rectangle, spacing, tag_boundary
from graphpde.mesh.surfaces import sphere
from graphpde.mesh.torus import cylinder, torus
from graphpde.registry import Registry

__all__ = [
    "SHAPES", "Curve", "aerofoil", "aerofoil_in_tunnel", "annulus", "annulus_sector", "ball", "box",
    "channel_with_cylinder", "circle", "cylinder", "disk", "disk_quads", "extrude", "interval", "jittered", "l_bracket",
    "l_shape", "network", "plate_with_holes", "polygon", "random_cube", "random_square", "rectangle", "solid_cylinder",
    "spacing", "sphere", "star", "tag_boundary", "torus",
]  # fmt: skip

SHAPES: Registry[Callable[..., Mesh]] = Registry("shape")
"""Shape name -> callable with the keyword ``size`` (target edge length, of graded shapes the longest); its docstring's
first line is its help, its other keywords are options of the command line and of problem files."""

for _shape in (
    aerofoil, aerofoil_in_tunnel, channel_with_cylinder, cylinder, disk, disk_quads, l_bracket, l_shape,
    plate_with_holes, sphere, torus,
):  # fmt: skip
    SHAPES.add(_shape.__name__)(_shape)


@SHAPES.add("interval")
def _interval(size: float = 0.05, length: float = 1.0, grading: Grading = 1.0) -> Mesh:
    """An interval from 0 in lines, the unit one by default; sets "left" and "right"."""
    return interval(cell_count(length, size), length, grading=grading)


@SHAPES.add("rectangle")
def _rectangle(
    size: float = 0.05, width: float = 1.0, height: float = 1.0, grading: Sequence[Grading] = (1.0, 1.0)
) -> Mesh:
    """A rectangle in regular triangles, the unit square by default; sets "left", "right", "bottom" and "top"."""
    return _cells_of_a_rectangle("triangle", size, width, height, grading)


@SHAPES.add("rectangle_quads")
def _rectangle_quads(
    size: float = 0.05, width: float = 1.0, height: float = 1.0, grading: Sequence[Grading] = (1.0, 1.0)
) -> Mesh:
    """A rectangle in rectangles, the unit square by default; sets "left", "right", "bottom" and "top"."""
    return _cells_of_a_rectangle("quad", size, width, height, grading)


@SHAPES.add("rectangle_mixed")
def _rectangle_mixed(
    size: float = 0.05, width: float = 1.0, height: float = 1.0, grading: Sequence[Grading] = (1.0, 1.0)
) -> Mesh:
    """A rectangle in triangles and quadrilaterals by turns; sets "left", "right", "bottom" and "top"."""
    return _cells_of_a_rectangle("mixed", size, width, height, grading)


def _cells_of_a_rectangle(cells: str, size: float, width: float, height: float, grading: Sequence[Grading]) -> Mesh:
    counts = cell_count(width, size), cell_count(height, size)
    return rectangle(*counts, width=width, height=height, cells=cells, grading=grading)


@SHAPES.add("annulus")
def _annulus(size: float = 0.1, inner: float = 0.5, outer: float = 1.0) -> Mesh:
    """The ring between two circles in triangles; sets "inner" and "outer"."""
    return annulus(size, inner, outer)


@SHAPES.add("annulus_quads")
def _annulus_quads(size: float = 0.1, inner: float = 0.5, outer: float = 1.0) -> Mesh:
    """The ring between two circles in quadrilaterals; sets "inner" and "outer"."""
    return annulus(size, inner, outer, cells="quad")


@SHAPES.add("annulus_sector")
def _annulus_sector(size: float = 0.1, inner: float = 0.5, outer: float = 1.0, angle: float = 90.0) -> Mesh:
    """A sector of a ring in triangles; sets "inner", "outer", "start" (on the x-axis) and "end"."""
    return annulus_sector(size, inner, outer, angle)


@SHAPES.add("annulus_sector_quads")
def _annulus_sector_quads(size: float = 0.1, inner: float = 0.5, outer: float = 1.0, angle: float = 90.0) -> Mesh:
    """A sector of a ring in quadrilaterals; sets "inner", "outer", "start" (on the x-axis) and "end"."""
    return annulus_sector(size, inner, outer, angle, cells="quad")


@SHAPES.add("ball")
def _ball(size: float = 0.2, radius: float = 1.0) -> Mesh:
    """A ball round the origin in tetrahedra; set "outer"."""
    return ball(size, radius)


@SHAPES.add("ball_hexahedra")
def _ball_hexahedra(size: float = 0.2, radius: float = 1.0) -> Mesh:
    """A ball round the origin in hexahedra; set "outer"."""
    return ball(size, radius, cells="hexahedron")


@SHAPES.add("solid_cylinder")
def _solid_cylinder(size: float = 0.2, radius: float = 0.5, height: float = 2.0) -> Mesh:
    """A cylinder round the z-axis in tetrahedra; sets "bottom", "top" and "side"."""
    return solid_cylinder(size, radius, height)


@SHAPES.add("solid_cylinder_wedges")
def _solid_cylinder_wedges(size: float = 0.2, radius: float = 0.5, height: float = 2.0) -> Mesh:
    """A cylinder round the z-axis in wedges; sets "bottom", "top" and "side"."""
    return solid_cylinder(size, radius, height, cells="wedge")


@SHAPES.add("solid_cylinder_hexahedra")
def _solid_cylinder_hexahedra(size: float = 0.2, radius: float = 0.5, height: float = 2.0) -> Mesh:
    """A cylinder round the z-axis in hexahedra; sets "bottom", "top" and "side"."""
    return solid_cylinder(size, radius, height, cells="hexahedron")


Lengths = tuple[float, float, float]
_CUBE: Lengths = (1.0, 1.0, 1.0)


@SHAPES.add("box")
def _box(size: float = 0.2, lengths: Lengths = _CUBE) -> Mesh:
    """A box in tetrahedra, the unit cube by default; sets "left", "right", "front", "back", "bottom" and "top"."""
    return _cells_of_a_box("tetra", size, lengths)


@SHAPES.add("box_hexahedra")
def _box_hexahedra(size: float = 0.2, lengths: Lengths = _CUBE) -> Mesh:
    """A box in hexahedra, the unit cube by default; sets "left", "right", "front", "back", "bottom" and "top"."""
    return _cells_of_a_box("hexahedron", size, lengths)


@SHAPES.add("box_wedges")
def _box_wedges(size: float = 0.2, lengths: Lengths = _CUBE) -> Mesh:
    """A box in upright wedges; sets as of the box."""
    return _cells_of_a_box("wedge", size, lengths)


@SHAPES.add("box_pyramids")
def _box_pyramids(size: float = 0.2, lengths: Lengths = _CUBE) -> Mesh:
    """A box in pyramids, six round the centre of each block; sets as of the box."""
    return _cells_of_a_box("pyramid", size, lengths)


@SHAPES.add("box_mixed")
def _box_mixed(size: float = 0.2, lengths: Lengths = _CUBE) -> Mesh:
    """A box in wedges, hexahedra, pyramids and tetrahedra from left to right; sets as of the box."""
    return _cells_of_a_box("mixed", size, lengths)


def _cells_of_a_box(cells: str, size: float, lengths: Lengths) -> Mesh:
    if len(lengths) != 3:
        raise MeshError(f"lengths of the box are {tuple(lengths)}, expected three")
    nx, ny, nz = (cell_count(length, size) for length in lengths)
    if cells == "mixed":
        nx = max(nx, 3)
    return box(nx, ny, nz, lengths=lengths, cells=cells)


@SHAPES.add("star")
def _star(size: float = 0.1) -> Mesh:
    """A network of three arms of length 1 in the plane; sets "centre", "end0", ... and "arm0", ..."""
    return star(3, cell_count(1.0, size))


@SHAPES.add("random_square")
def _random_square(size: float = 0.1) -> Mesh:
    """The unit square in triangles between random points; sets "left", "right", "bottom" and "top"."""
    return random_square(cell_count(1.0, size))


@SHAPES.add("random_cube")
def _random_cube(size: float = 0.2) -> Mesh:
    """The unit cube in irregular tetrahedra; sets as of the box."""
    return random_cube(cell_count(1.0, size))
