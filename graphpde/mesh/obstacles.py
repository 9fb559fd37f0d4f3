"""Domains of flow problems, graded towards what stands in the flow: a cylinder in a channel, aerofoils."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.curves import Curve
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.planar import filled

_BOX = {"walls": ((0, 0), (0, 2)), "outlet": ((0, 1),), "inlet": ((0, 3),)}  # bottom, right, top, left


def channel_with_cylinder(
    size: float = 0.05, near: float | None = None, wake: float | None = None, *, length: float = 2.2
) -> Mesh:
    """The channel past a cylinder of Schaefer and Turek in triangles; sets "inlet", "outlet", "walls" and "cylinder".

    Height 0.41, the cylinder of radius 0.05 round (0.2, 0.2): a little below the middle.

    Args:
        size: target edge length far from the cylinder. near: the same on it; None: a quarter.
        wake: the same behind it, from where it grows downstream; None: as everywhere.
        length: of the channel.

    Raises:
        MeshError: lengths that are not positive numbers, a channel that ends before the cylinder does.

    Reference: Schaefer and Turek 1996, Benchmark computations of laminar flow around a cylinder, section 2.2.
    """
    near = _near(size, near, 0.25, "cylinder")
    if not (math.isfinite(length) and length > 0.3):
        raise MeshError(f"length of the channel is {length}, expected more than 0.3: the cylinder ends at 0.25")
    outline = [(0, 0), (length, 0), (length, 0.41), (0, 0.41)]
    sets, target = {**_BOX, "cylinder": ((1, None),)}, size if wake is None else _behind(size, near, wake)
    return filled([outline, Curve.circle(0.2, 0.2, 0.05, near)], target, sets, name="channel_with_cylinder")


def _behind(size: float, near: float, wake: float) -> Callable[[Tensor], Tensor]:
    """Target edge lengths that are short on the cylinder and in its wake, a strip as wide as two cylinders."""
    wake = _near(size, wake, 1.0, "wake")

    def target(x: Tensor) -> Tensor:
        away = (x - x.new_tensor([0.2, 0.2])).norm(dim=1) - 0.05
        behind, beside = (x[:, 0] - 0.2).clamp(min=0), ((x[:, 1] - 0.2).abs() - 0.1).clamp(min=0)
        strip = wake + 0.03 * behind + 0.25 * beside + 0.5 * (0.15 - x[:, 0]).clamp(min=0)
        return torch.minimum(near + 0.25 * away.clamp(min=0), strip).clamp(near, size)

    return target


def aerofoil(
    size: float = 0.8, near: float | None = None, digits: int = 12, *, angle: float = 0.0, far: float = 6.0
) -> Mesh:
    """A NACA aerofoil of chord 1 in a round far field in triangles; sets "aerofoil" and "far".

    The nose is the origin; the tail (1, 0) is sharp.

    Args:
        size: target edge length in the far field. near: the same on the aerofoil; None: a twentieth of ``size``, at
            most a twentieth of the chord. digits: 12 for NACA 0012, 2412, ...
        angle: of attack in degrees, by which the aerofoil is turned. far: radius of the far field round (0.5, 0).

    Raises:
        MeshError: lengths that are not positive numbers, digits that name no aerofoil, a far field that cuts it.
    """
    near = _near(size, near, 0.05, "aerofoil")
    if not (math.isfinite(far) and far >= 1.5):
        raise MeshError(f"radius of the far field is {far}, expected at least 1.5 chords")
    loops = [Curve.circle(0.5, 0, far, size), Curve.naca(digits, near, angle=angle)]
    return filled(loops, size, {"aerofoil": ((1, None),), "far": ((0, None),)}, name=f"aerofoil_{digits:04d}")


def aerofoil_in_tunnel(
    size: float = 0.4,
    near: float | None = None,
    digits: int = 12,
    *,
    angle: float = 0.0,
    length: float = 6.0,
    height: float = 4.0,
) -> Mesh:
    """A NACA aerofoil of chord 1 in a wind tunnel in triangles; sets "inlet", "outlet", "walls" and "aerofoil".

    The nose is the origin, a third of the tunnel lies before it, the walls are ``height`` / 2 above and below.

    Args:
        size: target edge length far away. near: the same on the aerofoil; None: a tenth of ``size``, at most a
            twentieth of the chord. digits: 12 for NACA 0012, 2412, ... angle: of attack in degrees.
        length, height: of the tunnel in chords.

    Raises:
        MeshError: lengths that are not positive numbers, digits that name no aerofoil, a tunnel that is too small.
    """
    near = _near(size, near, 0.1, "aerofoil")
    if not (math.isfinite(length) and length >= 2 and math.isfinite(height) and height >= 1):
        raise MeshError(f"the tunnel is {length} x {height} chords, expected at least 2 x 1")
    left, right, side = -length / 3, 2 * length / 3, height / 2
    loops = [[(left, -side), (right, -side), (right, side), (left, side)], Curve.naca(digits, near, angle=angle)]
    return filled(loops, size, {**_BOX, "aerofoil": ((1, None),)}, name=f"aerofoil_{digits:04d}_in_tunnel")


def _near(size: float, near: float | None, share: float, what: str) -> float:
    if not (math.isfinite(size) and size > 0):
        raise MeshError(f"target edge length is {size}, expected a positive number")
    if near is None:
        return min(share * size, 0.05)
    if not (math.isfinite(near) and near > 0):
        raise MeshError(f"target edge length on the {what} is {near}, expected a positive number")
    return min(near, size)
