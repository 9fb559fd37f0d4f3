"""MINRES on node values [n, k]: symmetric operators that need not be definite, every column its own system."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.solve.columns import add_to, begun, dots, plus
from graphpde.solve.krylov import KRYLOV, Preconditioner, ended, jacobi, largest
from graphpde.solve.result import Result, Status


@KRYLOV.add("minres")
@torch.no_grad()
def minres(
    a: LinearOperator,
    b: Tensor,
    *,
    x0: Tensor | None = None,
    rtol: float = 1e-10,
    max_iterations: int | None = None,
    precondition: Preconditioner | None = None,
) -> Result:
    """Minimal residuals for a symmetric operator, definite or not, b [n, k].

    The recurrence knows the residual in the norm of the preconditioner, which must be symmetric and positive definite
    (default: Jacobi with |d|); the true one is measured where that has fallen far enough, and the rest is solved for
    anew until ||b - A x|| <= rtol ||b|| in every column or nothing more is gained. Consistent singular systems have a
    solution; of an inconsistent one the residual stays, and is named.

    Reference: Paige and Saunders 1975, SIAM J. Numer. Anal. 12; preconditioned: Elman, Silvester and Wathen 2014,
    algorithm 4.1.
    """
    limit = max(1000, 5 * b.shape[0]) if max_iterations is None else max_iterations
    precondition = precondition or jacobi(a, positive=True)
    x, scale = begun(b, x0)
    residuals: list[float] = []
    done, before = 0, float("inf")
    while True:
        r = b if x0 is None and not done else b - a.matvec(x)
        residuals.append(largest(r, scale))
        # a sweep that gains nothing would be repeated
        if not rtol < residuals[-1] < 0.5 * before or done >= limit:
            return ended(a, b, x, residuals, done, rtol, limit)
        before = residuals[-1]
        try:
            taken = _sweep(a, precondition, r, x, residuals, limit - done, rtol / residuals[-1])
        except _Indefinite:
            reason = "the preconditioner is not positive definite; MINRES needs one that is: leave it out, or use gmres"
            return Result(x, Status.BREAKDOWN, reason, done, residuals)
        done += taken


_FLAT = 0.6  # power of the rounding unit: where ||A r|| / (||A|| ||r||) is less, no step lessens the residual


class _Indefinite(Exception):
    """<z, v> < 0 for z = M v."""


def _sweep(
    a: LinearOperator,
    precondition: Preconditioner,
    r: Tensor,
    x: Tensor,
    residuals: list[float],
    limit: int,
    target: float,
) -> int:
    """Add to x what one run of the recurrence gains on A y = r; its iterations."""
    z = precondition(r)
    gamma = _root(dots(z, r))
    first, start = gamma, residuals[-1]
    v, v_old = r, torch.zeros_like(r)
    w, w_old = torch.zeros_like(r), torch.zeros_like(r)
    eta, gamma_old = gamma, torch.ones_like(gamma)
    s, s_old = torch.zeros_like(gamma), torch.zeros_like(gamma)
    c, c_old = torch.ones_like(gamma), torch.ones_like(gamma)
    flat = torch.finfo(r.dtype).eps ** _FLAT
    square = torch.zeros_like(gamma)  # of the Frobenius norm of the tridiagonal matrix
    for j in range(limit):
        z = z * _inverse(gamma)
        p = a.matvec(z)
        delta = dots(p, z)
        p = plus(p, -delta * _inverse(gamma), v)  # a new one: the operator may have handed out z
        add_to(p, -gamma * _inverse(gamma_old), v_old)
        v, v_old = p, v
        z_new = precondition(v)
        gamma_new = _root(dots(z_new, v))
        # the new column of the tridiagonal matrix, turned by the last two rotations and a new one
        a0 = c * delta - c_old * s * gamma
        a1 = (a0 * a0 + gamma_new * gamma_new).sqrt()
        square += delta * delta + gamma_new * gamma_new + (gamma * gamma if j else 0)
        steep = (a0 * a0 + (c * gamma_new) ** 2).sqrt()  # ||A r|| / ||r|| of the residual before this step
        if bool(((steep <= flat * square.sqrt()) | (first == 0)).all()):
            return j + 1
        a2 = s * delta + c_old * c * gamma
        a3 = s_old * gamma
        c_old, s_old = c, s
        c, s = a0 * _inverse(a1), gamma_new * _inverse(a1)
        direction = z.clone()
        add_to(direction, -a3, w_old)
        add_to(direction, -a2, w)
        w, w_old = direction * _inverse(a1), w
        add_to(x, c * eta, w)
        eta = -s * eta
        z, gamma, gamma_old = z_new, gamma_new, gamma
        left = float((eta.abs() * _inverse(first)).max())
        residuals.append(start * left)
        if not left > 0.5 * target or not bool((gamma > 0).any()):
            return j + 1
    return limit


def _root(square: Tensor) -> Tensor:
    if bool((square < 0).any()):
        raise _Indefinite
    return square.sqrt()


def _inverse(x: Tensor) -> Tensor:
    return torch.where(x != 0, 1 / torch.where(x != 0, x, 1.0), 0.0)
