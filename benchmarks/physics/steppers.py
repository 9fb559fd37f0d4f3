"""Observed orders in dt of every registered stepper on a nonlinear equation in space, not on one ordinary equation."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row
from graphpde.dynamics import STEPPERS, Stepper, Tsit5, evolve
from graphpde.mesh import Space, interval, jittered
from graphpde.ops import REACTIONS, Diffusion, Reaction, Sum, Wave

SECTION = "Orders in dt"
CELLS, END = 8, 2.0
COARSEST = 32  # steps of the first of the runs
RUNS = 9
SETTLED = 0.02  # two orders that differ by less have settled
FLOOR = 3e-12  # errors below this are rounding


def rows() -> list[Row]:
    """One row a stepper."""
    return [
        Row(
            SECTION,
            f"{name}, {_title(name)}",
            f"{STEPPERS[name]().order:g} (- 0.05)",
            lambda v: v >= -0.05,
            _measured(name),
            "",
            SOLVING,
        )
        for name in STEPPERS
    ]


def _title(name: str) -> str:
    return "sine-Gordon waves" if _separable(name) else "Brusselator with diffusion"


def _separable(name: str) -> bool:
    return STEPPERS[name]().accepts in ("separable", "second order")


def _measured(name: str) -> Any:
    return lambda: measure(STEPPERS[name](), separable=_separable(name))


def problem(separable: bool) -> tuple[Sum, Tensor]:
    """The Brusselator on its limit cycle with diffusion, insulated; or u'' = 0.04 u_xx - sin u, state (u, u')."""
    space = Space(jittered(interval(CELLS), 0.2, seed=3))
    assert space.pos is not None
    x = space.pos
    if not separable:
        u0 = torch.cat([1.0 + 0.5 * torch.sin(2 * x), 3.0 - 0.5 * x], 1)
        return Diffusion(space, 0.01) + Reaction(REACTIONS["brusselator"](1.0, 3.0)), u0
    force = Reaction(lambda u: torch.stack([torch.zeros_like(u[..., 0]), -torch.sin(u[..., 0])], -1))
    return Wave(space, 0.2) + force, torch.cat([torch.cos(math.pi * x), torch.sin(2 * x)], 1)


@cache
def reference(separable: bool) -> Tensor:
    """The end of the same system by steps so short that only rounding is left."""
    terms, u0 = problem(separable)
    return evolve(terms, u0, [0.0, END], stepper=Tsit5(), dt=END / 3000).final


def measure(stepper: Stepper, *, separable: bool) -> Found:
    """Halve dt until the order settles, rounding shows or the steps are too many; the best-resolved halving counts."""
    terms, u0 = problem(separable)
    goal, steps = reference(separable), COARSEST
    errors: list[float] = []
    orders: list[float] = []
    for _ in range(RUNS):
        final = evolve(terms, u0, [0.0, END], stepper=stepper, dt=END / steps).final
        error = float((final - goal).norm() / goal.norm())
        if error < FLOOR or (errors and error > errors[-1] / 1.2):
            break
        errors.append(error)
        orders = [math.log2(a / b) for a, b in pairwise(errors)]
        if len(orders) > 1 and abs(orders[-1] - orders[-2]) < SETTLED:
            break
        steps *= 2
    on = f"{len(goal)} nodes, {COARSEST} to {COARSEST * 2 ** (len(errors) - 1)} steps"
    return Found(
        orders[-1] - stepper.order, f"{orders[-1]:.3f}", on, "errors " + ", ".join(f"{e:.1e}" for e in errors[-3:])
    )
