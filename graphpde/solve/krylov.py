"""Krylov solvers on node values [n, k]: every column is its own system, all advance together.

Their results carry no gradient; :class:`graphpde.solve.linear.LinearSolver` gives them one, by an adjoint solve.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.registry import Registry
from graphpde.solve.columns import add_to, begun, dots, lengths, plus, scale_and_add
from graphpde.solve.result import Result, Status

Preconditioner = Callable[[Tensor], Tensor]
KRYLOV: Registry[Callable[..., Result]] = Registry("Krylov solver")


@KRYLOV.add("cg")
@torch.no_grad()
def cg(
    a: LinearOperator,
    b: Tensor,
    *,
    x0: Tensor | None = None,
    rtol: float = 1e-10,
    max_iterations: int | None = None,
    precondition: Preconditioner | None = None,
) -> Result:
    """Conjugate gradients for a symmetric positive definite operator, b [n, k].

    Stops when every column has ||b - A x|| <= rtol ||b||, measured anew and not by the recurrence, which goes on
    falling where rounding stops the true residual. A direction of non-positive curvature ends with ``BREAKDOWN``: the
    operator is not positive definite.

    Reference: Hestenes and Stiefel 1952; preconditioned form: Saad 2003, algorithm 9.1.
    """
    limit = max(1000, 10 * b.shape[0]) if max_iterations is None else max_iterations
    precondition = precondition or jacobi(a)
    x, scale = begun(b, x0)
    r = b if x0 is None else b - a.matvec(x)
    z = precondition(r)
    p, rz = z.clone(), dots(r, z)
    left = lengths(r) / scale
    residuals, checked = [_most(left)], float("inf")
    for k in range(limit):
        if not residuals[-1] > rtol:
            r = b - a.matvec(x)
            left = lengths(r) / scale
            residuals[-1] = _most(left)
            if not rtol < residuals[-1] < 0.5 * checked:
                return ended(a, b, x, residuals, k, rtol)
            checked = residuals[-1]
            z = precondition(r)
            p, rz = z.clone(), dots(r, z)
        q = a.matvec(p)
        curvature = dots(p, q)
        active = left > rtol
        if bool((curvature[active] <= 0).any()):
            reason = (
                "conjugate gradients met a direction of non-positive curvature: the operator is not positive definite; "
                "use gmres"
            )
            return Result(x, Status.BREAKDOWN, reason, k, residuals)
        alpha = torch.where(active, rz / torch.where(active, curvature, 1.0), 0.0)
        add_to(x, alpha, p)
        r = plus(r, -alpha, q)  # a new one: the preconditioner may have handed out the old
        left = lengths(r) / scale
        z = precondition(r)
        new = dots(r, z)
        beta = torch.where(rz != 0, new / torch.where(rz != 0, rz, 1.0), 0.0)
        scale_and_add(p, beta, z)
        rz = new
        residuals.append(_most(left))
    residuals[-1] = largest(b - a.matvec(x), scale)
    return ended(a, b, x, residuals, limit, rtol, limit)


@KRYLOV.add("gmres")
@torch.no_grad()
def gmres(
    a: LinearOperator,
    b: Tensor,
    *,
    x0: Tensor | None = None,
    rtol: float = 1e-10,
    max_iterations: int | None = None,
    precondition: Preconditioner | None = None,
    restart: int = 60,
) -> Result:
    """Restarted GMRES with right preconditioning for any operator; all columns of b [n, k] form one system.

    Right preconditioning, so that the residual it minimises is the true one.

    Reference: Saad and Schultz 1986, algorithm 4.
    """
    limit = max(300, 10 * restart) if max_iterations is None else max_iterations
    precondition = precondition or jacobi(a)
    x = torch.zeros_like(b) if x0 is None else x0.clone()
    scale = float(b.norm())
    if scale == 0.0:
        return Result(torch.zeros_like(b), Status.CONVERGED, "zero right-hand side", 0, [0.0])
    residuals: list[float] = []
    done, best, before = 0, x, float("inf")
    while True:
        r = b - a.matvec(x)
        norm = float(r.norm())
        residuals.append(norm / scale)
        if residuals[-1] > before:  # a nearly singular system: the last cycle did harm
            x, residuals[-1] = best, before
        # a cycle without progress would be repeated exactly
        if not rtol < residuals[-1] < 0.999 * before or done >= limit:
            return ended(a, b, x, residuals, done, rtol, limit)
        best, before = x, residuals[-1]
        y, steps, inner = _cycle(a, precondition, r, norm, min(restart, limit - done), rtol * scale)
        residuals += [s / scale for s in inner]
        x, done = x + precondition(y), done + steps


def _cycle(
    a: LinearOperator, precondition: Preconditioner, r: Tensor, norm: float, size: int, target: float
) -> tuple[Tensor, int, list[float]]:
    """One Arnoldi cycle: the correction before preconditioning, its steps and residual norms.

    The small least-squares problem is kept triangular by Givens rotations: cheaper than a library call a step, and the
    same to the last bit on every run, which LAPACK's least squares is not.
    """
    basis = r.new_empty(size + 1, r.numel())
    basis[0] = r.flatten() / norm
    upper: list[list[float]] = []  # columns of the triangular factor
    turned, norms = [norm], list[float]()
    rotations: list[tuple[float, float]] = []
    for j in range(size):
        w = a.matvec(precondition(basis[j].view_as(r))).flatten()
        before = float(w.norm())
        column = torch.zeros(j + 1, dtype=torch.float64)
        for _ in range(2):  # twice is enough: one pass of Gram-Schmidt loses orthogonality on ill-conditioned systems
            overlap = basis[: j + 1] @ w
            column += overlap.to(column)
            w = w - overlap @ basis[: j + 1]
        h, below = column.tolist(), float(w.norm())
        if not all(map(math.isfinite, (*h, below))):
            return torch.full_like(r, float("nan")), j + 1, norms
        full = below <= torch.finfo(r.dtype).eps * before  # the space holds nothing new
        for i, (c, s) in enumerate(rotations):
            h[i], h[i + 1] = c * h[i] + s * h[i + 1], c * h[i + 1] - s * h[i]
        length = math.hypot(h[j], below)
        if length <= torch.finfo(r.dtype).eps * before:  # A maps this direction into the space spanned before: singular
            norms.append(abs(turned[j]))
            break
        rotations.append((h[j] / length, below / length))
        h[j] = length
        upper.append(h)
        turned[j:] = [turned[j] * rotations[j][0], -turned[j] * rotations[j][1]]
        norms.append(abs(turned[j + 1]))
        if norms[-1] <= target or full:
            break
        basis[j + 1] = w / below
    y = _back_substituted(upper, turned)
    return (torch.tensor(y, dtype=torch.float64).to(basis) @ basis[: len(y)]).view_as(r), len(norms), norms


def _back_substituted(upper: list[list[float]], rhs: list[float]) -> list[float]:
    """Solution of the triangular system given by its columns."""
    y = rhs[: len(upper)]
    for j in reversed(range(len(upper))):
        y[j] /= upper[j][j]
        for i in range(j):
            y[i] -= upper[j][i] * y[j]
    return y


def jacobi(a: LinearOperator, *, positive: bool = False) -> Preconditioner:
    """Division by the diagonal, or by its modulus; nothing where none is known."""
    d = a.diagonal()
    if d is None:
        return lambda r: r
    d = (d[:, None] if d.dim() == 1 else d).detach()
    d = d.abs() if positive else d
    inverse = torch.where(d != 0, 1 / torch.where(d != 0, d, torch.ones_like(d)), torch.ones_like(d))
    return lambda r: r * inverse.to(r.dtype)


def largest(r: Tensor, scale: Tensor) -> float:
    """The largest relative residual of the columns; 0 of none."""
    return _most(lengths(r) / scale)


def _most(left: Tensor) -> float:
    return float(left.max()) if left.numel() else 0.0


def ended(
    a: LinearOperator, b: Tensor, x: Tensor, residuals: list[float], k: int, rtol: float, limit: int | None = None
) -> Result:
    """The result with its name and reason, judged by the last residual."""
    last = residuals[-1]
    if not last < float("inf"):
        reason = "the residual became non-finite; check the right-hand side and the coefficients"
        return Result(x, Status.NON_FINITE, reason, k, residuals)
    if last <= rtol:
        return Result(x, Status.CONVERGED, f"relative residual {last:.2e} <= {rtol:.1e}", k, residuals)
    # a singular system makes x explode, and then rounding would explain anything: trust it up to 5e-7, 2e-3 in single
    if last <= min(_rounding(a, b, x), torch.finfo(b.dtype).eps ** 0.4):
        reason = f"relative residual {last:.2e} is all that rounding allows"
        return Result(x, Status.CONVERGED, reason, k, residuals)
    reason = f"relative residual {last:.2e} > {rtol:.1e}"
    if k == limit:
        return Result(x, Status.MAX_ITERATIONS, f"{reason}; allow more iterations or precondition", k, residuals)
    reason = f"{reason} and no progress: the system is singular or too ill-conditioned for {b.dtype}"
    return Result(x, Status.BREAKDOWN, reason, k, residuals)


def _rounding(a: LinearOperator, b: Tensor, x: Tensor) -> float:
    """The relative residual that the rounding of A x alone can leave."""
    d = a.diagonal()
    if d is None or not b.numel():
        return 0.0
    parts = lengths((d[:, None] if d.dim() == 1 else d).to(x.dtype) * x) + lengths(b)
    return 10 * torch.finfo(b.dtype).eps * float((parts / lengths(b).clamp(min=torch.finfo(b.dtype).tiny)).max())
