"""Meshes without files: every generator, and the shapes that the command line knows by name and edge length."""

from __future__ import annotations

from collections.abc import Callable

from graphpde.mesh.irregular import jittered, random_cube, random_square
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.networks import network, star
from graphpde.mesh.planar import circle, disk, l_bracket, plate_with_holes, polygon
from graphpde.mesh.structured import box, cell_count, interval, rectangle, tag_boundary
from graphpde.mesh.surfaces import sphere
from graphpde.registry import Registry

__all__ = [
    "SHAPES", "box", "circle", "disk", "interval", "jittered", "l_bracket", "network", "plate_with_holes", "polygon",
    "random_cube", "random_square", "rectangle", "sphere", "star", "tag_boundary",
]  # fmt: skip

SHAPES: Registry[Callable[..., Mesh]] = Registry("shape")
"""Shape name -> callable with the keyword ``size`` (target edge length); its docstring's first line is its help."""

for _shape in (disk, plate_with_holes, l_bracket, sphere):
    SHAPES.add(_shape.__name__)(_shape)


@SHAPES.add("interval")
def _interval(size: float = 0.05) -> Mesh:
    """The unit interval in lines; sets "left" and "right"."""
    return interval(cell_count(1.0, size))


@SHAPES.add("rectangle")
def _rectangle(size: float = 0.05) -> Mesh:
    """The unit square in regular triangles; sets "left", "right", "bottom" and "top"."""
    n = cell_count(1.0, size)
    return rectangle(n, n)


@SHAPES.add("rectangle_quads")
def _rectangle_quads(size: float = 0.05) -> Mesh:
    """The unit square in squares; sets "left", "right", "bottom" and "top"."""
    n = cell_count(1.0, size)
    return rectangle(n, n, cells="quad")


@SHAPES.add("box")
def _box(size: float = 0.2) -> Mesh:
    """The unit cube in tetrahedra; sets "left", "right", "front", "back", "bottom" and "top"."""
    n = cell_count(1.0, size)
    return box(n, n, n)


@SHAPES.add("box_hexahedra")
def _box_hexahedra(size: float = 0.2) -> Mesh:
    """The unit cube in cubes; sets "left", "right", "front", "back", "bottom" and "top"."""
    n = cell_count(1.0, size)
    return box(n, n, n, cells="hexahedron")


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
