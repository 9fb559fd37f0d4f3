"""Observed orders in dt of every registered stepper on a nonlinear equation in space, not on one ordinary equation."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row
from graphpde.dynamics import STEPPERS, Stepper, Tsit5, evolve
from graphpde.mesh import Space, interval, jittered
from graphpde.ops import REACTIONS, Diffusion, Reaction, Sum, Wave

SECTION = "Orders in dt"
CELLS, END = 12, 1.0
COARSEST = 12  # steps of the first of the runs; a stepper of high order reaches rounding soon
HALVINGS = 9
FLOOR = 3e-12  # errors below this are rounding


def rows() -> list[Row]:
    """One row a stepper."""
    return [
        Row(SECTION, f"{name}, {_title(name)}", f"{STEPPERS[name]().order:g} (- 0.05)", lambda v: v >= -0.05, _measured(name), "", SOLVING)
        for name in STEPPERS
    ]


def _title(name: str) -> str:
    return "nonlinear wave" if _separable(name) else "Allen-Cahn"


def _separable(name: str) -> bool:
    return STEPPERS[name]().accepts == "separable"


def _measured(name: str) -> Any:
    return lambda: measure(STEPPERS[name](), separable=_separable(name))


def problem(separable: bool) -> tuple[Sum, Tensor]:
    """u' = 0.01 u_xx + 2 (u - u^3), insulated; or u'' = u_xx - sin u, free: the state is (u, u')."""
    space = Space(jittered(interval(CELLS), 0.2, seed=3))
    assert space.pos is not None
    x = space.pos
    if not separable:
        return Diffusion(space, 0.01) + Reaction(REACTIONS["allen-cahn"](2.0)), 0.4 * torch.sin(4 * x) + 0.1 * x
    force = Reaction(lambda u: torch.stack([torch.zeros_like(u[..., 0]), -torch.sin(u[..., 0])], -1))
    return Wave(space, 0.2) + force, torch.cat([torch.cos(math.pi * x), torch.sin(2 * x)], 1)


@cache
def reference(separable: bool) -> Tensor:
    """The end of the same system by steps so short that only rounding is left."""
    terms, u0 = problem(separable)
    return evolve(terms, u0, [0.0, END], stepper=Tsit5(), dt=END / 2000).final


def measure(stepper: Stepper, *, separable: bool) -> Found:
    """Halve dt until the order settles, rounding shows or the steps are too many; the best-resolved halving counts."""
    terms, u0 = problem(separable)
    goal, errors, steps = reference(separable), [], COARSEST
    for _ in range(HALVINGS):
        final = evolve(terms, u0, [0.0, END], stepper=stepper, dt=END / steps).final
        error = float((final - goal).norm() / goal.norm())
        if error < FLOOR or (errors and error > errors[-1] / 1.2):
            break
        errors.append(error)
        steps *= 2
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:])]
    on = f"{len(goal)} nodes, dt = 1/{COARSEST} to 1/{COARSEST * 2 ** (len(errors) - 1)}"
    return Found(orders[-1] - stepper.order, f"{orders[-1]:.3f}", on, "errors " + ", ".join(f"{e:.1e}" for e in errors[-3:]))
