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
    scale: float | None = None,
) -> Result:
    """Solve residual(u) = 0 for u [n, c] from ``u0``.

    Each correction solves J d = -residual to a tolerance that tightens with the residual (Eisenstat and Walker 1996,
    choice 2) and is halved until the residual norm falls. Stops at ||residual|| <= max(rtol ||residual(u0)||, floor):
    what the rounding of the parts of the residual leaves, of norm ``scale``, or, when that is not given, atol times
    the largest |u| (at least 1) for each unknown.
    """
    u = u0
    r = residual(u)
    first = float(r.norm())
    size = r.numel() ** 0.5
    eps = torch.finfo(r.dtype).eps
    history = [1.0 if first else 0.0]
    if not first < float("inf"):
        return Result(u, Status.NON_FINITE, "the residual of the initial guess is not finite", 0, [first])
    for k in range(max_iterations + 1):
        norm = float(r.norm())
        floor = atol * size * max(1.0, float(u.abs().max()) if u.numel() else 1.0) if scale is None else 4 * eps * scale
        goal = max(rtol * first, floor)
        if norm <= goal:
            return Result(u, Status.CONVERGED, f"Newton residual {norm:.1e} <= {goal:.1e}", k, history)
        if k == max_iterations:
            break
        forcing = min(1e-2, max(0.1 * goal / norm, 0.5 * (norm / first) ** 2))
        step = gmres(jacobian(u), -r, rtol=max(forcing, 500 * eps), precondition=precondition, max_iterations=300)
        if step.status is Status.NON_FINITE:
            reason = f"the Jacobian became non-finite at Newton residual {norm:.1e}; check the coefficients"
            return Result(u, Status.NON_FINITE, reason, k, history)
        u, r, accepted = _line_search(residual, u, step.value, norm)
        history.append(float(r.norm()) / first)
        if not accepted:
            last = f"at residual {float(r.norm()):.1e}"
            if float(r.norm()) <= 100 * goal:  # rounding keeps the residual from falling further
                return Result(u, Status.CONVERGED, f"Newton stagnated {last}", k + 1, history)
            reason = f"Newton made no progress {last}; take a smaller step or a better initial guess"
            return Result(u, Status.BREAKDOWN, reason, k + 1, history)
    reason = (
        f"residual {norm:.1e} after {max_iterations} Newton iterations; take a smaller step or a better initial guess"
    )
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
