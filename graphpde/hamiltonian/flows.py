"""Flows of liquids by name, each with a state to start from."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.checks import positive, whole
from graphpde.core.close_pairs import Box
from graphpde.errors import InputError
from graphpde.hamiltonian.sph import Fluid, Liquid, Smearing
from graphpde.hamiltonian.systems import require_few
from graphpde.ops.smoothing import Smoothing

_DTYPE = torch.float64
_REACH = 2.0  # distances between particles that they have to see


class Flow(NamedTuple):
    """A liquid and a state [n, 2 d + 1] of it."""

    system: Fluid
    state: Tensor


def taylor_green(
    n: int = 50, reynolds: float = 100.0, *, smoothing: float = 4.0, smearing: Smearing | None = None,
    kind: str = "wendland_c2", seed: int | None = None
) -> Flow:  # fmt: skip
    """Four vortices in a periodic square of side 1, fastest 1: u = -cos(2 pi x) sin(2 pi y) and its mate, which decay.

    The energy falls as exp(-16 pi^2 t / reynolds) in an incompressible liquid.

    Args:
        n: particles along a side, on a square lattice. kind: of W.
        smoothing: reach, in distances between particles, at least 2; the square has room for 0.43 n.
        smearing: default a density diffusion of 0.1 and a shifting of 1.
        seed: of displacements by a tenth of the distances; None = none.

    Reference: Taylor and Green 1937; Adami, Hu and Adams 2013, section 4.2.
    """
    n = whole("n", n, 8)
    require_few(f"n = {n}", n * n)
    positive("reynolds", reynolds, finite=True)
    _require_reach(smoothing, n)
    dx = 1.0 / n
    x = (torch.arange(n, dtype=_DTYPE) + 0.5) * dx
    q = torch.cartesian_prod(x, x)
    if seed is not None:
        q = q + 0.1 * dx * torch.randn(q.shape, generator=torch.Generator().manual_seed(seed), dtype=_DTYPE)
    a, b = (2 * math.pi * q).unbind(1)
    v = torch.stack([-a.cos() * b.sin(), a.sin() * b.cos()], 1)
    law = Liquid(1.0, 10.0)
    pressure = -0.25 * ((2 * a).cos() + (2 * b).cos())
    smearing = Smearing(shifting=1.0) if smearing is None else smearing
    system = Fluid(
        torch.full((n * n,), dx * dx, dtype=_DTYPE), Smoothing(smoothing * dx, 2, kind), law,
        viscosity=1 / reynolds, smearing=smearing, box=Box([1.0, 1.0]),
    )  # fmt: skip
    return Flow(system, system.at_rest(q, v, pressure))


def dam_break(
    n: int = 20, *, height: float = 2.0, length: float = 5.0, gravity: float = 1.0, smoothing: float = 4.0,
    smearing: Smearing | None = None,
) -> Flow:  # fmt: skip
    """A column of water of width 1 in the left corner of a tank collapses: walls of held particles below and aside.

    Args:
        n: particles along the width. height: of the column. length: of the tank, >= 1; both to the nearest particle.
        gravity: downwards. smoothing: reach, in distances between particles, 2 to n.
        smearing: default an artificial viscosity of 0.05 and a density diffusion of 0.1.

    The start is hydrostatic; sound is ten times as fast as water that fell from the top, sqrt(2 gravity height).

    Reference: Martin and Moyce 1952, Phil. Trans. R. Soc. Lond. A 244.
    """
    n = whole("n", n, 4)
    for name, value in (("height", height), ("length", length), ("gravity", gravity)):
        positive(name, value, finite=True)
    _require_reach(smoothing, n)
    dx, layers, high, wide = 1.0 / n, math.ceil(smoothing), round(height * n), round(length * n)
    if length < 1 or high < 1:
        raise InputError(
            f"length = {length:g} and height = {height:g}, expected a tank as long as the column, which is 1 wide, "
            f"and a column of at least one particle, 1/{n} high"
        )
    top = round(1.1 * height * n)
    count = n * high + layers * (wide + 2 * layers + 2 * top)
    require_few(f"n = {n} with height = {height:g} and length = {length:g}", count)
    column = _block(0, n, 0, high)
    walls = [
        _block(-layers, wide + layers, -layers, 0), _block(-layers, 0, 0, top), _block(wide, wide + layers, 0, top)
    ]  # fmt: skip
    q = (torch.cat([column, *walls]) + 0.5) * dx
    held = torch.arange(len(q)) >= len(column)
    law = Liquid(1.0, 10 * math.sqrt(2 * gravity * height))
    system = Fluid(
        torch.full((len(q),), dx * dx, dtype=_DTYPE), Smoothing(smoothing * dx, 2), law,
        smearing=Smearing(viscosity=0.05) if smearing is None else smearing, gravity=(0.0, -gravity), held=held,
    )  # fmt: skip
    return Flow(system, system.at_rest(q, pressure=torch.where(held, 0.0, gravity * (height - q[:, 1]))))


def _require_reach(smoothing: float, n: int) -> None:
    """Refuse particles that do not see each other, or see past all others of a side."""
    if not _REACH <= smoothing <= n:
        raise InputError(f"smoothing is {smoothing:g}, expected {_REACH:g} to {n} distances between particles")


def _block(left: int, right: int, low: int, high: int) -> Tensor:
    """Corners of a lattice [k, 2]."""
    return torch.cartesian_prod(torch.arange(left, right, dtype=_DTYPE), torch.arange(low, high, dtype=_DTYPE))
