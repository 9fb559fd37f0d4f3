"""Meshes that refine themselves on the L, whose solution r^(2/3) sin(2 theta / 3) is known: orders and effectivity.

python -m benchmarks.solvers --only adaptive
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most
from graphpde.dynamics import Adapted, adapt
from graphpde.mesh import Mesh, Space, l_shape
from graphpde.ops import Diffusion, Dirichlet, energy_error, recovery_indicator, residual_indicator

SECTION = "Adaptivity"
INDICATORS = {"residual": residual_indicator, "recovery": recovery_indicator}
MOST, FROM = 30_000, 500  # unknowns of the largest mesh, and of the least one in the fits
SOURCES = (*SOLVING, "benchmarks/solvers/adaptivity.py")


def rows() -> list[Row]:
    """Orders by both indicators, how far they are from the error, and what uniform meshes do."""

    def row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
        return Row(SECTION, f"L-shape, {name}", target, check, measure, sources=SOURCES)

    optimal = "error in H1 ~ unknowns^-p, p >= 0.49"
    return [
        *(row(f"adaptive by {k}", optimal, lambda p: p >= 0.49, partial(_order, k, 0.5)) for k in INDICATORS),
        row("uniform", NO_TARGET, at_most(math.inf), partial(_order, "recovery", 1.0)),
        row("adaptive, recovered estimate / error", "within 5 % of 1", at_most(0.05), _asymptotically_exact),
        row("adaptive, residual estimate / error", "largest / smallest <= 1.2", at_most(1.2), _bounded),
    ]


def exact(x: Tensor, t: Tensor | None = None) -> Tensor:
    theta = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi)
    return x.norm(dim=-1) ** (2 / 3) * torch.sin(2 * theta / 3)


def slope(x: Tensor) -> Tensor:
    theta, r = torch.remainder(torch.atan2(x[..., 1], x[..., 0]), 2 * math.pi), x.norm(dim=-1)
    return 2 / 3 * r[..., None] ** (-1 / 3) * torch.stack([-torch.sin(theta / 3), torch.cos(theta / 3)], -1)


def problem(mesh: Mesh) -> tuple[Any, Tensor]:
    space = Space(mesh)
    return Diffusion(space) + Dirichlet("boundary", exact), torch.zeros(space.n, 1, dtype=torch.float64)


@cache
def refined(indicator: str, theta: float) -> Adapted:
    """The run of one indicator."""
    error = partial(energy_error, slope=slope)
    by = INDICATORS[indicator]
    return adapt(problem, l_shape(0.5), tolerance=0.0, indicator=by, theta=theta, max_unknowns=MOST, error=error)


def _order(indicator: str, theta: float) -> Found:
    found = refined(indicator, theta)
    first, last = found.rounds[0], found.rounds[-1]
    on = f"linear elements, {len(found.rounds)} meshes of {first.unknowns} to {last.unknowns:,} unknowns"
    how = "every cell marked" if theta == 1 else f"newest-vertex bisection, bulk {theta:g}"
    note = f"{how}; error {first.error:.3f} to {last.error:.2e}; fit from {FROM} unknowns"
    return Found(found.order(FROM), f"{found.order(FROM):.3f}", on, note)


def _effectivities(indicator: str) -> list[float]:
    return [r.effectivity or math.nan for r in refined(indicator, 0.5).rounds if r.unknowns >= FROM]


def _asymptotically_exact() -> Found:
    each = _effectivities("recovery")
    worst = max(abs(e - 1) for e in each)
    return Found(worst, f"{min(each):.3f} to {max(each):.3f}", f"{len(each)} meshes from {FROM} unknowns on")


def _bounded() -> Found:
    each = _effectivities("residual")
    text = f"{max(each) / min(each):.3f} ({min(each):.2f} to {max(each):.2f})"
    return Found(
        max(each) / min(each), text, f"{len(each)} meshes from {FROM} unknowns on", "an upper bound, up to shapes"
    )
