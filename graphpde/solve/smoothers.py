"""Polynomial smoothers: a few products with a matrix that wipe out the upper part of its spectrum.

A polynomial is symmetric and the same forwards and backwards, so that a multigrid cycle made of it stays symmetric
positive definite, as conjugate gradients need; and it is made of sparse products alone, so that it runs wherever they
do. Gauss-Seidel is neither: each of its rows waits for the one before, which no product of a matrix can say.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.polynomial import polynomial
from torch import Tensor

from graphpde.errors import InputError

_LANCZOS = 6  # products: they find the largest eigenvalue to some six percent, which a factor of 1.1 covers


def chebyshev(degree: int, low: float, high: float) -> list[float]:
    """Coefficients of q, lowest first, for which x = q(A) b leaves the smallest error on the eigenvalues [low, high].

    1 - t q(t) = T_k((high + low - 2 t) / (high - low)) / T_k((high + low) / (high - low)) with k = ``degree``; degree 1
    is damped Jacobi for a matrix of unit diagonal.

    Raises:
        InputError: no degree, or no interval of positive numbers.

    Reference: Adams, Brezina, Hu and Tuminaro 2003; Saad 2003, section 12.3.
    """
    if degree < 1:
        raise InputError(f"degree = {degree}, expected a whole number >= 1")
    q: Any = np.zeros(1)
    step: Any = np.zeros(1)
    for _, (keep, gain) in zip(range(degree), chebyshev_steps(low, high), strict=False):
        left = polynomial.polysub([1.0], polynomial.polymul([0.0, 1.0], q))  # the residual 1 - t q of b = 1
        step = polynomial.polyadd(keep * step, gain * left)
        q = polynomial.polyadd(q, step)
    return [float(c) for c in q[:degree]]


def chebyshev_steps(low: float, high: float) -> Iterator[tuple[float, float]]:
    """Factors (k, g) of the iteration d <- k d + g (b - A x), x <- x + d from x = d = 0, without end.

    After m steps x = q(A) b with the q of :func:`chebyshev` of that degree.

    Raises:
        InputError: no interval of positive numbers.

    Reference: Saad 2003, algorithm 12.1.
    """
    if not 0 < low <= high:
        raise InputError(f"the interval [{low:.3g}, {high:.3g}] is not one of positive numbers")
    middle, reach = (high + low) / 2, (high - low) / 2
    yield 0.0, 1 / middle
    rho = reach / middle
    while True:
        before, rho = rho, 1 / (2 * middle / reach - rho) if reach else 0.0
        # 2 rho / reach, written so that an interval of one point does not divide by zero
        yield rho * before, 2 / (2 * middle - reach * before)


def largest_eigenvalue(product: Callable[[Tensor], Tensor], like: Tensor) -> float:
    """Largest eigenvalue of a symmetric map [n, 1] -> [n, 1] from below, by Lanczos steps from a fixed start.

    Args:
        like: [n, 1], for size, type and device.

    Reference: Saad 2011, Numerical Methods for Large Eigenvalue Problems, algorithm 6.6.
    """
    start = torch.rand(like.shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64) - 0.5
    v = start.to(like)
    v, before = v / v.norm(), torch.zeros_like(v)
    main, beside = list[float](), [0.0]
    for _ in range(min(_LANCZOS, like.shape[0])):
        w = product(v).sub_(before, alpha=beside[-1])
        main.append(float(torch.dot(w[:, 0], v[:, 0])))
        w = w.sub_(v, alpha=main[-1])
        beside.append(float(w.norm()))
        if not beside[-1] > 1e-6 * abs(main[0]) or not math.isfinite(beside[-1]):
            break
        v, before = w / beside[-1], v
    size = len(main)
    return float(np.linalg.eigvalsh(np.diag(main) + np.diag(beside[1:size], -1))[-1])
