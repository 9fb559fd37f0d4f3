"""Rings and sectors of rings in triangles or quadrilaterals, and the disk in quadrilaterals."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.bends import Bend, onto_sphere
from graphpde.mesh.curves import Curve
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.planar import filled
from graphpde.mesh.shells import round_block
from graphpde.mesh.structured import cell_count

_MOST_CELLS = 10_000_000


def annulus(size: float = 0.1, inner: float = 0.5, outer: float = 1.0, *, cells: str = "triangle") -> Mesh:
    """The ring between two circles round the origin; sets "inner" and "outer".

    Quadrilaterals lie on rays and on circles whose radii grow by one factor, so all are nearly square.

    Args:
        size: target edge length, of quadrilaterals the longest. inner, outer: radii.
        cells: "triangle" or "quad".

    Raises:
        MeshError: radii that are not 0 < inner < outer, a size that is not positive, another kind of cell.
    """
    _check_radii(inner, outer)
    if cells == "triangle":
        loops = [Curve.circle(0, 0, outer, size), Curve.circle(0, 0, inner, size)]
        return filled(loops, size, {"inner": [(1, None)], "outer": [(0, None)]}, name="annulus")
    if cells != "quad":
        raise MeshError(f"an annulus has no '{cells}' cells, expected 'triangle' or 'quad'")
    around = max(8, cell_count(2 * math.pi * outer, size))
    return _quads(around, inner, outer, 2 * math.pi)


def annulus_sector(
    size: float = 0.1, inner: float = 0.5, outer: float = 1.0, angle: float = 90.0, *, cells: str = "triangle"
) -> Mesh:
    """A sector of a ring from the x-axis anticlockwise; sets "inner", "outer", "start" (on the x-axis) and "end".

    Args:
        size: target edge length, of quadrilaterals the longest. inner, outer: radii. angle: of the sector in degrees.
        cells: "triangle" or "quad".

    Raises:
        MeshError: radii that are not 0 < inner < outer, an angle outside 1..359, another kind of cell.
    """
    _check_radii(inner, outer)
    if not (math.isfinite(angle) and 1 <= angle <= 359):
        raise MeshError(f"angle of the sector is {angle} degrees, expected 1 to 359")
    turn = math.radians(angle)
    around = cell_count(turn * outer, size)
    if cells == "quad":
        return _quads(max(around, math.ceil(turn / (math.pi / 8))), inner, outer, turn)
    if cells != "triangle":
        raise MeshError(f"a sector has no '{cells}' cells, expected 'triangle' or 'quad'")
    arcs = [max(cell_count(turn * r, size), math.ceil(turn / (math.pi / 8))) for r in (outer, inner)]
    out, back = (np.linspace(0, turn, k + 1) for k in arcs)
    rays = np.concatenate([out, back[::-1]])
    radii = np.concatenate([np.full(len(out), outer), np.full(len(back), inner)])
    corners = radii[:, None] * np.stack([np.cos(rays), np.sin(rays)], 1)

    first, second = arcs
    sets = {
        "inner": [(0, first + 1 + j) for j in range(second)],
        "outer": [(0, j) for j in range(first)],
        "start": [(0, first + second + 1)],
        "end": [(0, first)],
    }
    return filled([Curve(corners, partial(_onto_sector, inner, outer, turn))], size, sets, name="annulus_sector")


def _onto_sector(inner: float, outer: float, turn: float, x: np.ndarray) -> np.ndarray:
    """Points between two arcs lie on a straight side; those nearer to an arc than any such point, on the arc."""
    radius = np.linalg.norm(x, axis=1)
    phi = np.arctan2(x[:, 1], x[:, 0]) % (2 * math.pi)
    straight = np.minimum(np.minimum(phi, 2 * math.pi - phi), np.abs(phi - turn)) < 1e-9
    nearest = np.where(radius - inner < outer - radius, inner, outer)
    return x * np.where(straight, 1.0, nearest / radius)[:, None]


def disk_quads(size: float = 0.1, radius: float = 1.0) -> Mesh:
    """A disk round the origin in quadrilaterals: a square in the middle and four blocks round it; set "outer".

    Args:
        size: the longest edge, about. radius: of the disk.

    Raises:
        MeshError: lengths that are not positive numbers.
    """
    return round_block(2, size, radius, name="disk_quads")


def _quads(around: int, inner: float, outer: float, turn: float) -> Mesh:
    whole = turn == 2 * math.pi
    layers = max(1, round(math.log(outer / inner) * around / turn))
    if around * layers > _MOST_CELLS:
        raise MeshError(f"the ring would have {around * layers:.1e} cells, expected at most {_MOST_CELLS:.0e}")
    phi = turn * torch.arange(around + (0 if whole else 1), dtype=torch.float64) / around
    radius = inner * (outer / inner) ** (torch.arange(layers + 1, dtype=torch.float64) / layers)
    radius[-1] = outer
    points = (radius[:, None, None] * torch.stack([phi.cos(), phi.sin()], -1)).reshape(-1, 2)
    width = len(phi)
    low = torch.arange(layers)[:, None] * width
    here, there = torch.arange(around), torch.arange(1, around + 1) % width
    nodes = torch.stack([low + here, low + width + here, low + width + there, low + there], -1).reshape(-1, 4)
    mesh = Mesh(points, {"quad": nodes}, name="annulus" if whole else "annulus_sector")

    def side(start: Tensor, end: Tensor) -> Tensor:
        return mesh.find(1, torch.stack([start, end], 1))

    sets = {"inner": side(here, there), "outer": side(layers * width + here, layers * width + there)}
    if not whole:
        rows = low[:, 0]
        sets |= {"start": side(rows, rows + width), "end": side(rows + around, rows + width + around)}
    rims = (
        Bend(mesh.facets.nodes[sets[name]], partial(onto_sphere, r)) for name, r in (("inner", inner), ("outer", outer))
    )
    return mesh.with_tags(**{name: mesh.make_tag(1, ids) for name, ids in sets.items()}).with_bends(*rims)


def _check_radii(inner: float, outer: float) -> None:
    if not (math.isfinite(outer) and 0 < inner < outer):
        raise MeshError(f"radii of the ring are {inner} and {outer}, expected 0 < inner < outer")
