r"""Optimal transport between two sets of points: exact plans and entropic ones, and the distances they define.

For weights a [n], b [k] and costs C [n, k] a plan P >= 0 has row sums a and column sums b; its cost is sum P C. The
Wasserstein distance of order 2 is the root of the least cost for C_ij = |x_i - y_j|^2.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.checks import number, whole
from graphpde.errors import InputError, ShapeError, SolveError

WARM_FROM, BLURS, SWEEPS = 100, (0.32, 0.08, 0.02, 0.005), 6
"""Points from which rough potentials pay, blurs relative to the mean of the costs left, sweeps at each (by trial)."""


class Plan(NamedTuple):
    """An entropic plan.

    Attributes:
        plan: P [n, k]; its columns sum up exactly. cost: sum of P C. error: largest departure of a row sum, as a share
            of its weight. iterations: sweeps taken.
    """

    plan: Tensor
    cost: Tensor
    error: float
    iterations: int


def squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """|x_i - y_j|^2 as [n, k], from x [n, d] and y [k, d]; without cancellation for points close to each other."""
    _check_points(x, y)
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square()


def assignment(cost: Tensor) -> Tensor:
    """The permutation s [n] with the least sum of cost[i, s[i]], for a square matrix [n, n]; exact.

    Raises:
        ShapeError: not square. InputError: costs that are not finite.

    From ``WARM_FROM`` points on the search starts from dual potentials of an entropic plan, which change no optimum and
    leave it a quarter of the work or less.

    Reference: Jonker and Volgenant 1987, by scipy; O(n^3) at worst.
    """
    from scipy.optimize import linear_sum_assignment

    if cost.dim() != 2 or cost.shape[0] != cost.shape[1]:
        raise ShapeError(f"the costs have shape {list(cost.shape)}, expected [n, n]: as many points on both sides")
    _check_costs(cost)
    exact = cost.detach().to("cpu", torch.float64)
    _, column = linear_sum_assignment((exact if len(exact) < WARM_FROM else _reduced(exact)).numpy())
    return torch.from_numpy(np.asarray(column, dtype=np.int64)).to(cost.device)


def _reduced(cost: Tensor) -> Tensor:
    """C - f - g with nearly optimal dual potentials: as good as 0 along the optimal pairs, hardly below 0 elsewhere.

    Subtracting a number from a row or a column moves the costs of all assignments alike, so rough potentials are
    enough: those of entropic plans in single precision, each of which starts from the one before.
    """
    cost = cost - cost.min(1, keepdim=True).values
    cost = cost - cost.min(0).values
    rough = cost.float()  # at least one 0 in every row and column: no sum below underflows
    scale = float(rough.mean())
    f, g = torch.zeros_like(rough[:, 0]), torch.zeros_like(rough[0])
    for blur in BLURS:
        kernel = torch.exp((f[:, None] + g - rough) / (blur * scale))
        v = torch.ones_like(g)
        for _ in range(SWEEPS):
            u = 1 / (kernel @ v)
            v = 1 / (u @ kernel)
        f, g = f + blur * scale * u.log(), g + blur * scale * v.log()
    reduced = cost - f.double()[:, None] - g.double()
    return reduced if bool(torch.isfinite(reduced).all()) else cost


def wasserstein(x: Tensor, y: Tensor, *, order: int = 2) -> float:
    """The exact Wasserstein distance of two sets of as many points, x and y [n, d].

    Args:
        order: 1 or 2: of the distances that are averaged.

    Raises:
        ShapeError: not as many points, or of another dimension. InputError: another order.
    """
    if order not in (1, 2):
        raise InputError(f"order is {order!r}, expected 1 or 2")
    with torch.no_grad():
        cost = squared_distances(x, y)
        cost = cost if order == 2 else cost.sqrt()
        chosen = cost.gather(1, assignment(cost)[:, None]).double().mean()
    return float(chosen) ** (1 / order)


def sinkhorn(
    cost: Tensor,
    a: Tensor | None = None,
    b: Tensor | None = None,
    *,
    blur: float,
    tolerance: float = 1e-6,
    most: int = 10_000,
) -> Plan:
    r"""The plan with the least sum of P C + blur \* P (log P - 1), by sweeps in the logarithm.

    As blur -> 0 it is an exact plan, and the number of sweeps grows like 1 / blur. The plan is without gradient; that
    of ``cost`` in the costs is P.

    Args:
        cost: [n, k], finite, worked with in double precision. a, b: weights > 0 that sum up to 1; None = equal ones.
        blur: in units of the cost, > 0.
        tolerance: of the row sums, in shares of their weight. most: sweeps.

    Raises:
        ShapeError, InputError: what does not fit. SolveError: not converged after so many sweeps.

    Reference: Cuturi 2013; Peyre and Cuturi 2019, Computational Optimal Transport, section 4.4.
    """
    if cost.dim() != 2:
        raise ShapeError(f"the costs have shape {list(cost.shape)}, expected [n, k]")
    _check_costs(cost)
    number("blur", blur)
    if blur == 0:
        raise InputError("blur is 0, expected a number > 0; exact plans are made by assignment(cost)")
    whole("most", most)
    exact = cost.detach().double()  # sums are off by eps * cost / blur: too much in float32
    log_a, log_b = (_log_weights(w, n, exact) for w, n in zip((a, b), cost.shape, strict=True))
    scaled, f = -exact / blur, torch.zeros_like(log_a)
    g = rows = torch.zeros_like(log_b)
    off, sweeps = math.inf, 0
    while sweeps < most and not off <= tolerance:
        sweeps += 1
        f = f if sweeps == 1 else log_a - rows
        g = log_b - torch.logsumexp(scaled + f[:, None], 0)
        rows = torch.logsumexp(scaled + g, 1)
        off = float((torch.exp(f + rows - log_a) - 1).abs().max())
    if not off <= tolerance:
        raise SolveError(
            f"the plan has row sums off by {off:.2g} after {most} sweeps, expected {tolerance:g}; take a larger blur "
            f"(costs are up to {float(cost.max()):.3g}, blur is {blur:g}) or more sweeps"
        )
    plan = torch.exp(scaled + f[:, None] + g).to(cost)
    return Plan(plan, (plan * cost).sum(), off, sweeps)


def sinkhorn_divergence(x: Tensor, y: Tensor, *, blur: float) -> Tensor:
    """OT(x, y) - OT(x, x)/2 - OT(y, y)/2 with squared distances and entropy: 0 for equal sets, smooth in the points.

    Reference: Feydy et al. 2019, eq. (3).
    """
    parts = [(1.0, x, y), (-0.5, x, x), (-0.5, y, y)]
    total = x.new_zeros(())
    for factor, p, q in parts:
        found = sinkhorn(squared_distances(p, q), blur=blur)
        entropy = torch.xlogy(found.plan, found.plan * (len(p) * len(q))).sum()
        total = total + factor * (found.cost + blur * entropy)
    return total


def _log_weights(w: Tensor | None, n: int, cost: Tensor) -> Tensor:
    if w is None:
        return cost.new_full((n,), -math.log(n))
    if w.shape != (n,):
        raise ShapeError(f"the weights have shape {list(w.shape)}, expected [{n}]")
    if not bool((w > 0).all()) or abs(float(w.sum()) - 1) > 1e-4:
        raise InputError(f"the weights sum up to {float(w.sum()):g}, least {float(w.min()):g}; expected > 0 and 1")
    return w.detach().to(cost).log()


def _check_costs(cost: Tensor) -> None:
    if not bool(torch.isfinite(cost).all()):
        raise InputError(f"{int((~torch.isfinite(cost)).sum())} costs are not finite")
    if not cost.numel():
        raise ShapeError(f"the costs have shape {list(cost.shape)}, expected at least one point on either side")


def _check_points(x: Tensor, y: Tensor) -> None:
    if x.dim() != 2 or y.dim() != 2 or x.shape[1] != y.shape[1]:
        raise ShapeError(f"the points have shapes {list(x.shape)} and {list(y.shape)}, expected [n, d] and [k, d]")
