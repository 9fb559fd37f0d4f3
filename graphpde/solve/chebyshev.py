"""Chebyshev iteration on node values [n, k]: no scalar products but those that find the ends of the spectrum."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.solve.columns import add_to, begun, dots, lengths, plus, scale_and_add
from graphpde.solve.krylov import KRYLOV, Preconditioner, ended, jacobi, largest
from graphpde.solve.result import Result, Status
from graphpde.solve.smoothers import chebyshev_steps

_PATIENCE = 3  # looks at the spectrum in a row that gain nothing
_KEPT_WORD = 0.2  # of the residual before a cycle: if more is left, the ends of the spectrum are not where they seemed
_INDEFINITE = (
    "the Chebyshev iteration met a direction of non-positive curvature: the operator is not positive definite; "
    "use gmres"
)
_PROBE = 12  # Lanczos steps a look at the spectrum takes
_CYCLE = 1e-2  # reduction after which the residual is looked at
_MARGIN = 1.05  # the largest Ritz value lies below the largest eigenvalue, beyond which errors grow


@KRYLOV.add("chebyshev")
@torch.no_grad()
def chebyshev(
    a: LinearOperator,
    b: Tensor,
    *,
    x0: Tensor | None = None,
    rtol: float = 1e-10,
    max_iterations: int | None = None,
    precondition: Preconditioner | None = None,
) -> Result:
    """The Chebyshev semi-iteration for a symmetric positive definite operator, b [n, k].

    The ends of the spectrum of M^-1 A come from a few steps of conjugate gradients, whose coefficients are Lanczos's.
    The iteration goes on from there without a scalar product; where the residual falls more slowly than the ends
    promise, it is made of what lies outside, and a new look at the spectrum from it moves them. All columns share one
    interval. Conjugate gradients need fewer products; this needs none of their sums over all nodes.

    Reference: Golub and Varga 1961; Saad 2003, algorithm 12.1; the ends: Manteuffel 1977 adapts them likewise.
    """
    limit = max(3000, 10 * b.shape[0]) if max_iterations is None else max_iterations
    precondition = precondition or jacobi(a)
    x, scale = begun(b, x0)
    r = b if x0 is None else b - a.matvec(x)
    residuals = [largest(r, scale)]
    low, high, done, idle, look = math.inf, 0.0, 0, 0, True
    best, kept = residuals[0], x.clone()
    while rtol < residuals[-1] < math.inf and idle < _PATIENCE and done < limit:
        before = residuals[-1]
        if look:
            found = _probe(a, precondition, r, x, rtol * scale, min(_PROBE, limit - done))
            if found is None:
                return Result(x, Status.BREAKDOWN, _INDEFINITE, done, residuals)
            low, high, count = min(low, found.low), max(high, _MARGIN * found.high), found.steps
            if not low > 4 * torch.finfo(b.dtype).eps * high:  # a null vector: no polynomial lessens it
                idle = _PATIENCE
        else:
            slow = (math.sqrt(high) - math.sqrt(low)) / (math.sqrt(high) + math.sqrt(low))
            goal = max(_CYCLE, 0.5 * rtol / before)
            count = min(math.ceil(math.log(goal / 2) / math.log(slow)) if slow > 0 else 1, limit - done)
            _cycle(a, precondition, r, x, (low, high, count))
        done += count
        r = b - a.matvec(x)
        residuals.append(largest(r, scale))
        if residuals[-1] < 0.5 * best and idle < _PATIENCE:
            idle = 0
        elif look:
            idle += 1
        look = not look and not residuals[-1] <= _KEPT_WORD * before
        if residuals[-1] < best:
            best, kept = residuals[-1], x.clone()
    if best < residuals[-1] < math.inf:  # the last look did harm
        x = kept
        residuals.append(best)
    return ended(a, b, x, residuals, done, rtol, limit)


class _Ends(NamedTuple):
    """The smallest and largest Ritz value, and the steps that found them."""

    low: float
    high: float
    steps: int


def _probe(
    a: LinearOperator, precondition: Preconditioner, r: Tensor, x: Tensor, target: Tensor, count: int
) -> _Ends | None:
    """Conjugate gradients from residual r, x changed in place; None where the operator is not positive definite."""
    z = precondition(r)
    p, rz = z.clone(), dots(r, z)
    alphas, betas = list[Tensor](), list[Tensor]()
    for _ in range(count):
        q = a.matvec(p)
        curvature = dots(p, q)
        active = lengths(r) > target
        if not bool(active.any()):
            break
        if bool((curvature[active] <= 0).any()):
            return None
        alpha = torch.where(active, rz / torch.where(active, curvature, 1.0), 0.0)
        add_to(x, alpha, p)
        r = plus(r, -alpha, q)
        z = precondition(r)
        new = dots(r, z)
        beta = torch.where(active, new / torch.where(active, rz, 1.0), 0.0)
        scale_and_add(p, beta, z)
        alphas, betas, rz = [*alphas, alpha], [*betas, beta], new
    columns = zip(*(torch.stack(c, 1).tolist() for c in (alphas, betas)), strict=True) if alphas else ()
    ends = [e for e in (_ritz(*pair) for pair in columns) if e is not None]
    if not ends:
        return _Ends(1.0, 1.0, len(alphas))
    return _Ends(min(e[0] for e in ends), max(e[1] for e in ends), len(alphas))


def _ritz(alpha: list[float], beta: list[float]) -> tuple[float, float] | None:
    """Ends of the spectrum of the tridiagonal matrix that conjugate gradients make: Saad 2003, equation 6.103."""
    size = alpha.index(0.0) if 0.0 in alpha else len(alpha)  # from there on the column stood still
    if not size or not all(map(math.isfinite, (*alpha, *beta))):
        return None
    matrix = np.zeros((size, size))
    for j in range(size):
        matrix[j, j] = 1 / alpha[j] + (beta[j - 1] / alpha[j - 1] if j else 0.0)
        if j + 1 < size:
            matrix[j, j + 1] = matrix[j + 1, j] = math.sqrt(beta[j]) / alpha[j]
    values = np.linalg.eigvalsh(matrix)
    return float(values[0]), float(values[-1])


def _cycle(
    a: LinearOperator, precondition: Preconditioner, r: Tensor, x: Tensor, plan: tuple[float, float, int]
) -> None:
    """So many steps on the interval (low, high) from residual r, x changed in place."""
    low, high, count = plan
    step = torch.zeros_like(r)
    for k, (keep, gain) in zip(range(count), chebyshev_steps(low, high), strict=False):
        step = step * keep + precondition(r) * gain
        x += step
        if k + 1 < count:
            r = r - a.matvec(step)
