"""Newton's method with a line search, the linear systems by GMRES."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.solve.krylov import Preconditioner, gmres
from graphpde.solve.result import Result, Status


def newton(
    residual: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], LinearOperator],
    u0: Tensor,
    *,
    rtol: float = 1e-10,
    atol: float = 1e-13,
    max_iterations: int = 40,
    precondition: Preconditioner | None = None,
) -> Result:
    """Solve residual(u) = 0 for u [n, c] from ``u0``.

    Each correction solves J d = -residual to a tolerance that tightens with the residual (Eisenstat and Walker 1996,
    choice 2) and is halved until the residual norm falls. Stops at ||residual|| <= max(rtol ||residual(u0)||, atol scale),
    scale = the largest |u|.
    """
    u = u0
    r = residual(u)
    first = float(r.norm())
    size = r.numel() ** 0.5
    history = [1.0 if first else 0.0]
    if not first < float("inf"):
        return Result(u, Status.NON_FINITE, "the residual of the initial guess is not finite", 0, [first])
    for k in range(max_iterations):
        norm = float(r.norm())
        goal = max(rtol * first, atol * size * max(1.0, float(u.abs().max()) if u.numel() else 1.0))
        if norm <= goal:
            return Result(u, Status.CONVERGED, f"Newton residual {norm:.1e} <= {goal:.1e}", k, history)
        forcing = min(1e-2, max(0.1 * goal / norm, 0.5 * (norm / first) ** 2))
        step = gmres(jacobian(u), -r, rtol=max(forcing, 1e-13), precondition=precondition, max_iterations=300)
        u, r, accepted = _line_search(residual, u, step.value, norm)
        history.append(float(r.norm()) / first)
        if not accepted:
            if float(r.norm()) <= 100 * goal:  # rounding keeps the residual from falling further
                return Result(
                    u, Status.CONVERGED, f"Newton stagnated at residual {float(r.norm()):.1e}", k + 1, history
                )
            reason = f"Newton made no progress at residual {float(r.norm()):.1e}; take a smaller step or a better initial guess"
            return Result(u, Status.BREAKDOWN, reason, k + 1, history)
    reason = f"Newton residual {float(r.norm()):.1e} after {max_iterations} iterations; take a smaller step or a better initial guess"
    return Result(u, Status.MAX_ITERATIONS, reason, max_iterations, history)


def _line_search(
    residual: Callable[[Tensor], Tensor], u: Tensor, step: Tensor, norm: float
) -> tuple[Tensor, Tensor, bool]:
    length = 1.0
    for _ in range(12):
        trial = u + length * step
        r = residual(trial)
        if bool(torch.isfinite(r).all()) and float(r.norm()) < (1 - 1e-4 * length) * norm:
            return trial, r, True
        length /= 2
    return u, residual(u), False
