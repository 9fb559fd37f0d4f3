"""BiCGStab on node values [n, k]: any operator in the memory of a few vectors, every column its own system."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.solve.columns import add_to, begun, dots, lengths, plus, scale_and_add
from graphpde.solve.krylov import KRYLOV, Preconditioner, ended, jacobi, largest
from graphpde.solve.result import Result, Status


@KRYLOV.add("bicgstab")
@torch.no_grad()
def bicgstab(
    a: LinearOperator,
    b: Tensor,
    *,
    x0: Tensor | None = None,
    rtol: float = 1e-10,
    max_iterations: int | None = None,
    precondition: Preconditioner | None = None,
) -> Result:
    """Stabilised bi-conjugate gradients for any operator, b [n, k]; two products an iteration.

    The preconditioner stands on the right, so that the residual of the recurrence is the true one but for rounding; it
    is measured anew where it has fallen far enough. The recurrence divides by numbers that may vanish though the system
    is regular: it then starts anew from where it is, and where that does not help either, ends with ``BREAKDOWN`` and
    says which number it was. GMRES has no such breakdowns, and takes a vector of memory an iteration.

    Reference: van der Vorst 1992, SIAM J. Sci. Stat. Comput. 13.
    """
    limit = max(1000, 5 * b.shape[0]) if max_iterations is None else max_iterations
    precondition = precondition or jacobi(a)
    x, scale = begun(b, x0)
    residuals: list[float] = []
    done, before, broken, best = 0, float("inf"), "", x
    while True:
        r = b if x0 is None and not done else b - a.matvec(x)
        residuals.append(largest(r, scale))
        stuck = not residuals[-1] < 0.5 * before
        if stuck and before < residuals[-1] < float("inf"):  # the last sweep did harm
            x = best
            residuals.append(before)
        if broken and stuck and rtol < residuals[-1] < float("inf"):
            reason = f"BiCGStab broke down at relative residual {residuals[-1]:.2e}: {broken}; use gmres"
            return Result(x, Status.BREAKDOWN, reason, done, residuals)
        if not residuals[-1] > rtol or stuck or done >= limit:
            return ended(a, b, x, residuals, done, rtol, limit)
        before, best = residuals[-1], x.clone()
        taken, broken = _sweep(a, precondition, r, x, (rtol * scale, scale, residuals), limit - done)
        done += taken


_GROWN = "the residual grew beyond all digits, as it does where the system is singular"
_TURNED = "the shadow residual became orthogonal to the residual"
_PIVOT = "the shadow residual became orthogonal to the image of the direction"
_STILL = "the stabilising step vanished, as it does where an operator turns every vector by a right angle"


def _sweep(
    a: LinearOperator,
    precondition: Preconditioner,
    r: Tensor,
    x: Tensor,
    measure: tuple[Tensor, Tensor, list[float]],
    limit: int,
) -> tuple[int, str]:
    """Iterations from residual r, x changed in place, until the recurrence has converged or breaks: how many, and why.

    Columns that have converged stand still: their factors are zero.
    """
    target, scale, residuals = measure
    shadow, p = r, r.clone()
    rho, eps = dots(shadow, r), torch.finfo(r.dtype).eps
    active, first = lengths(r) > target, residuals[-1]
    for k in range(limit):
        y = precondition(p)
        v = a.matvec(y)
        pivot = dots(shadow, v)
        if _vanished(pivot, shadow, v, active, eps):
            return k, _PIVOT
        alpha = _quotient(rho, pivot, active)
        s = plus(r, -alpha, v)  # a new one: the operator may have handed out what it was given
        z = precondition(s)
        t = a.matvec(z)
        omega = _quotient(dots(t, s), dots(t, t), active & (lengths(s) > 0))
        add_to(x, alpha, y)
        add_to(x, omega, z)
        r = plus(s, -omega, t)
        left = lengths(r)
        residuals.append(float((left / scale).max()))
        still = active & (left > target)
        if not bool(still.any()) or not residuals[-1] < float("inf"):
            return k + 1, ""
        if residuals[-1] > first / eps**0.5:
            return k + 1, _GROWN
        if _vanished(omega * lengths(t), s, s / lengths(s).clamp(min=eps), still, eps):
            return k + 1, _STILL
        new = dots(shadow, r)
        if _vanished(new, shadow, r, still, eps):
            return k + 1, _TURNED
        beta = _quotient(new, rho, still) * _quotient(alpha, omega, still)
        add_to(p, -omega, v)
        scale_and_add(p, beta, r)
        rho, active = new, still
    return limit, ""


def _quotient(above: Tensor, below: Tensor, active: Tensor) -> Tensor:
    """above / below in the active columns [k], 0 in the others."""
    safe = active & (below != 0)
    return torch.where(safe, above / torch.where(safe, below, 1.0), 0.0)


def _vanished(product: Tensor, x: Tensor, y: Tensor, active: Tensor, eps: float) -> bool:
    """Whether <x, y> of an active column is rounding."""
    return bool((product.abs() <= eps * lengths(x) * lengths(y))[active].any())
