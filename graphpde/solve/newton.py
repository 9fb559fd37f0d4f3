"""Newton's method with a line search; corrections by GMRES, or by factorisation where the Jacobian is a matrix."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import SolveError
from graphpde.solve.derivative import derivative
from graphpde.solve.krylov import Preconditioner, gmres
from graphpde.solve.linear import LinearSolver
from graphpde.solve.result import Result, Status

_SHORTEST = 1e-12  # part of a correction below which rounding decides whether the residual falls
_LITTLE = 1e-3  # of the first residual, down to which rounding must not hide it
_PATIENCE = 20  # GMRES iterations that are still cheaper than a factorisation


class Corrector:
    """Solves A x = b for a sequence of similar operators A, such as the Jacobians along Newton's iteration.

    GMRES with the preconditioner given or, once one was made, with the last factorisation; where that takes long and
    A is a matrix of moderate size, A is factored. Only an A known by its action stays with GMRES to the end.

    Args:
        precondition: approximately A^-1.
    """

    def __init__(self, precondition: Preconditioner | None = None):
        self.precondition = precondition

    def solve(self, a: LinearOperator, b: Tensor, *, rtol: float) -> Result:
        """The solution [*, n, c] with its status."""
        start = None
        if self.precondition is not None:
            tried = gmres(a, b, rtol=rtol, precondition=self.precondition, max_iterations=_PATIENCE)
            if tried.converged or tried.status is Status.NON_FINITE:
                return tried
            start = tried.value
        found = self._by_factor(a, b, rtol)
        if found.converged or found.status is Status.NON_FINITE:
            return found
        return gmres(a, b, x0=start, rtol=rtol, precondition=self.precondition, max_iterations=300)

    def _by_factor(self, a: LinearOperator, b: Tensor, rtol: float) -> Result:
        try:
            solver = LinearSolver(a, rtol=rtol)
        except SolveError as error:
            result: Result = error.result
            return result
        if solver.method == "direct":
            self.precondition = lambda r: solver.solve(r).value
        elif self.precondition is not None:  # no better than what is about to be tried again
            return Result(b, Status.MAX_ITERATIONS, "the operator is no matrix that could be factored", 0)
        return solver.solve(b)


def newton(
    residual: Callable[[Tensor], Tensor],
    jacobian: Callable[[Tensor], LinearOperator] | None,
    u0: Tensor,
    *,
    rtol: float = 1e-10,
    max_iterations: int = 40,
    precondition: Preconditioner | None = None,
    scale: float | None = None,
    noise: Callable[[Tensor], float] | None = None,
) -> Result:
    """Solve residual(u) = 0 for u [n, c] from ``u0``.

    Each correction solves J d = -residual to a tolerance that tightens with the residual (Eisenstat and Walker 1996,
    choice 2) and is shortened until the residual norm falls. Stops at ||residual|| <= max(rtol ||residual(u0)||,
    floor): what the rounding of the parts of the residual leaves, of norm ``scale``, or, when that is not given,
    ``noise(u)``, by default what the residual changes by where every unknown moves by its last digit
    (:func:`rounding`). So it does not depend on units.

    Without a ``jacobian``, GMRES takes its products from :func:`graphpde.solve.derivative.derivative`.
    ``precondition`` is approximately its inverse; :class:`Corrector` says when it is used.

    Returns:
        The result; ``STAGNATION`` where no step along the correction lowers the residual, which points at a singular
        Jacobian or at no root nearby, or where unknowns have run away until their rounding hides it.
    """
    corrector, slope = Corrector(precondition), jacobian or partial(derivative, residual)
    u = u0
    r = residual(u)
    first = float(r.norm())
    eps = torch.finfo(r.dtype).eps
    history = [1.0 if first else 0.0]
    if not first < float("inf"):
        return Result(u, Status.NON_FINITE, "the residual of the initial guess is not finite", 0, [first])
    noise = noise or partial(rounding, residual)
    start = floor = 4 * (noise(u) if scale is None else eps * scale)
    for k in range(max_iterations + 1):
        norm = float(r.norm())
        goal = max(rtol * first, start, min(floor, _LITTLE * first))
        if norm <= goal:
            return Result(u, Status.CONVERGED, f"Newton residual {norm:.1e} <= {goal:.1e}", k, history)
        if norm <= floor:
            reason = f"the unknowns grew to {float(u.abs().max()):.1e} at residual {norm:.1e}; is their level fixed?"
            return Result(u, Status.STAGNATION, reason, k, history)
        if k == max_iterations:
            break
        forcing = min(1e-2, max(0.1 * goal / norm, 0.5 * (norm / first) ** 2))
        step = corrector.solve(slope(u), -r, rtol=max(forcing, 500 * eps))
        if step.status is Status.NON_FINITE:
            reason = f"the Jacobian became non-finite at Newton residual {norm:.1e}; check the coefficients"
            return Result(u, Status.NON_FINITE, reason, k, history)
        u, r, accepted = _line_search(residual, u, step.value, norm)
        history.append(float(r.norm()) / first)
        floor = floor if scale is not None else 4 * noise(u)
        if not accepted:
            return _stagnated(u, float(r.norm()), max(goal, min(floor, _LITTLE * first)), k + 1, history)
    reason = (
        f"residual {norm:.1e} after {max_iterations} Newton iterations; take a smaller step or a better initial guess"
    )
    return Result(u, Status.MAX_ITERATIONS, reason, max_iterations, history)


def _stagnated(u: Tensor, norm: float, goal: float, k: int, history: list[float]) -> Result:
    """The result where no step lowers the residual: converged where rounding keeps it from falling further."""
    if norm <= 100 * goal:
        return Result(u, Status.CONVERGED, f"Newton stagnated at residual {norm:.1e}", k, history)
    reason = f"Newton made no progress at residual {norm:.1e}; take a smaller step or a better initial guess"
    return Result(u, Status.STAGNATION, reason, k, history)


def rounding(residual: Callable[[Tensor], Tensor], u: Tensor) -> float:
    """How much a residual at ``u`` changes where every unknown moves by its last digit, up or down."""
    signs = torch.cos(2.0 * torch.arange(u.numel(), dtype=u.dtype, device=u.device)).sign().reshape(u.shape)
    change = float((residual(u + torch.finfo(u.dtype).eps * signs * u) - residual(u)).norm())
    return change if change < float("inf") else 0.0


def _line_search(
    residual: Callable[[Tensor], Tensor], u: Tensor, step: Tensor, norm: float
) -> tuple[Tensor, Tensor, bool]:
    """The first of shorter and shorter steps whose residual falls.

    Halves at first, then tenths: a nearly singular Jacobian makes steps that are too long by many orders.
    """
    length = 1.0
    while length > _SHORTEST:
        trial = u + length * step
        r = residual(trial)
        if float(r.norm()) < (1 - 1e-4 * length) * norm:  # false for what is not finite
            return trial, r, True
        length *= 0.5 if length > 0.02 else 0.1
    return u, residual(u), False
