"""Surfaces of revolution in triangles: the torus and the open cylinder."""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.bends import Bend, onto_sphere, upright
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.structured import cell_count

_MOST_CELLS = 10_000_000


def torus(size: float = 0.15, major: float = 1.0, minor: float = 0.4) -> Mesh:
    r"""A torus round the z-axis in outward triangles; closed, without named sets.

    Rows of triangles in the conformal coordinate of the tube,
    :math:`\tan(\varphi/2) = \sqrt{(R + r)/(R - r)}\,\tan(\psi/2)`, so all triangles have nearly the same shape and
    shrink towards the axis.

    Args:
        size: longest edge, about. major: radius R of the circle in the middle of the tube. minor: radius r of the tube.

    Raises:
        MeshError: radii that are not 0 < minor < major, a size that is not positive, too many cells.
    """
    if not (math.isfinite(major) and 0 < minor < major):
        raise MeshError(f"radii of the torus are {major} and {minor}, expected 0 < minor < major")
    around = max(8, cell_count(2 * math.pi * (major + minor), size))
    height = math.sqrt(0.75) * 2 * math.pi / around  # of a row, in the angle round the axis
    whole = 2 * math.pi * minor / math.sqrt(major**2 - minor**2)
    rows = max(6, 2 * math.ceil(0.5 * whole / height))  # even, as every other row is shifted by half a cell
    theta, psi, cells = _rows(around, rows, closed=True)
    phi = 2 * torch.atan2(
        math.sqrt(major + minor) * torch.sin(0.5 * psi), math.sqrt(major - minor) * torch.cos(0.5 * psi)
    )
    reach = major + minor * phi.cos()
    points = torch.stack([reach * theta.cos(), reach * theta.sin(), minor * phi.sin()], 1)
    return Mesh(points, {"triangle": cells}, name="torus").with_bends(Bend(None, partial(_onto_torus, major, minor)))


def _onto_torus(major: float, minor: float, x: Tensor) -> Tensor:
    along = x[:, :2] / torch.linalg.vector_norm(x[:, :2], dim=1, keepdim=True)
    middle = torch.nn.functional.pad(major * along, (0, 1))
    return middle + onto_sphere(minor, x - middle)


def cylinder(size: float = 0.15, radius: float = 0.5, height: float = 2.0) -> Mesh:
    """The side of a cylinder round the z-axis from z = 0 in outward triangles; sets "bottom" and "top".

    Args:
        size: longest edge, about. radius, height: of the cylinder.

    Raises:
        MeshError: lengths that are not positive numbers, too many cells.
    """
    if not (math.isfinite(radius) and radius > 0 and math.isfinite(height) and height > 0):
        raise MeshError(f"cylinder of radius {radius} and height {height}: both must be positive numbers")
    around = max(8, cell_count(2 * math.pi * radius, size))
    rows = cell_count(height, math.sqrt(0.75) * size)
    theta, level, cells = _rows(around, rows, closed=False)
    z = height * level / (2 * math.pi)
    mesh = Mesh(torch.stack([radius * theta.cos(), radius * theta.sin(), z], 1), {"triangle": cells}, name="cylinder")
    first = torch.arange(around)
    ring = torch.stack([first, (first + 1) % around], 1)
    sides = {"bottom": ring, "top": rows * around + ring}
    tags = {name: mesh.make_tag(1, mesh.find(1, pair)) for name, pair in sides.items()}
    return mesh.with_tags(**tags).with_bends(Bend(None, partial(upright, partial(onto_sphere, radius))))


def _rows(around: int, rows: int, closed: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Angles round the axis and along the rows, both in 0..2 pi, and triangles between rows shifted by half a cell."""
    if around * rows * 2 > _MOST_CELLS:
        raise MeshError(f"the surface would have {around * rows * 2:.1e} cells, expected at most {_MOST_CELLS:.0e}")
    levels = rows if closed else rows + 1
    i, j = torch.arange(around), torch.arange(levels)[:, None]
    theta = math.pi * (2 * i + j % 2).to(torch.float64) / around
    level = (2 * math.pi * j.to(torch.float64) / rows).expand(-1, around)
    below = torch.arange(rows)[:, None] * around
    above = (torch.arange(1, rows + 1) % levels)[:, None] * around
    after = (i + 1) % around
    # the shifted row reaches half a cell further on
    even = [(below + i, below + after, above + i), (below + after, above + after, above + i)]
    odd = [(below + i, below + after, above + after), (below + i, above + after, above + i)]
    shifted = torch.arange(rows)[:, None, None] % 2 == 1
    parts = [torch.where(shifted, torch.stack(b, -1), torch.stack(a, -1)) for a, b in zip(even, odd)]
    return theta.reshape(-1), level.reshape(-1), torch.stack(parts, 2).reshape(-1, 3)
