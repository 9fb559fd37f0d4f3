"""A cone turned once about the centre of a disk: how much of it each advection scheme keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import CrankNicolson, Heun, Stepper, evolve
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import P1, P2, CellSpace, Space, disk
from graphpde.ops import Advection, CentredAdvection, LimitedAdvection, StreamlineUpwind, System

SECTION = "Exact physics"
CENTRE, RADIUS, SIZE, COARSE = (0.0, 0.25), 0.15, 0.012, 0.015
SOURCES = (*SOLVING, "benchmarks/physics/cone.py")
_START = torch.zeros((), dtype=torch.float64)


def rows() -> list[Row]:
    """The best scheme has to keep the cone within 1 %, the others stand beside it."""
    schemes: dict[str, Callable[[], Found]] = {
        "centred, quadratic elements": lambda: _turned(Space(disk(SIZE, 0.5), P2()), CentredAdvection, CrankNicolson()),
        "centred, linear elements": lambda: _turned(
            Space(disk(SIZE, 0.5), P1(), lumped=False), CentredAdvection, CrankNicolson()
        ),
        "streamline upwind, linear elements": lambda: _turned(
            Space(disk(SIZE, 0.5), P1()), StreamlineUpwind, CrankNicolson()
        ),
        "limited, linear elements": lambda: _turned(Space(disk(COARSE, 0.5), P1()), LimitedAdvection, Heun()),
        "limited, cell averages": lambda: _turned(CellSpace(disk(COARSE, 0.5)), LimitedAdvection, Heun()),
        "upwind, linear elements": lambda: _turned(Space(disk(COARSE, 0.5), P1()), Advection, Heun()),
        "upwind, cell averages": lambda: _turned(CellSpace(disk(COARSE, 0.5)), Advection, Heun()),
    }
    out = []
    for k, (name, measure) in enumerate(schemes.items()):
        target, check = ("1 %", at_most(0.01)) if k == 0 else (NO_TARGET, lambda value: True)
        out.append(
            Row(
                SECTION,
                f"cone after one turn, {name}: relative L2 error or loss of the peak",
                target,
                check,
                measure,
                "",
                SOURCES,
            )
        )
    return out


def cone(x: Tensor, t: Any = 0.0) -> Tensor:
    """Height 1 at CENTRE, zero beyond RADIUS."""
    away = torch.linalg.vector_norm(x - torch.tensor(CENTRE, dtype=x.dtype), dim=1)
    return (1 - away / RADIUS).clamp(min=0)


def turning(x: Tensor) -> Tensor:
    """One turn in a unit of time."""
    return 2 * math.pi * torch.stack([-x[:, 1], x[:, 0]], 1)


def _turned(space: Any, scheme: Any, stepper: Stepper) -> Found:
    term = scheme(space, turning)
    u0 = cone(space.pos)[:, None]
    if stepper.implicit:
        size = float((space.measure.max()) ** 0.5)
        dt = 0.25 * size / math.pi  # the rim moves by a quarter of a cell
    else:
        dt = 0.5 * float(longest_stable_step(System(term, None, _START), stepper) or 1e-3)
    steps = math.ceil(1 / dt)
    end = evolve(term, u0, [0.0, 1.0], stepper=stepper, dt=1 / steps).final
    error = math.sqrt(float(space.inner(end - u0, end - u0)) / float(space.inner(u0, u0)))
    peak, dip = float(end.max()) / float(u0.max()), float(end.min())
    on = f"{space.n} unknowns, {space.mesh.n_cells} triangles, {steps} steps of {stepper.name}"
    worst = max(error, abs(1 - peak))
    return Found(
        worst,
        percent(worst),
        on,
        f"L2 error {percent(error)}, peak {100 * peak:.1f} % of its own, least value {dip:.1e}",
    )
