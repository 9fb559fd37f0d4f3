"""The one implicit solve: M v - h (L v + b(t) + N(t, v)) = known, with Dirichlet values at t."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.core.tracing import KEEPING
from graphpde.ops.system import System, mass_operator
from graphpde.solve.implicit_gradient import implicit
from graphpde.solve.linear import LinearSolver
from graphpde.solve.newton import Corrector, newton
from graphpde.typing import Scalar


class Factored(NamedTuple):
    """The solver of M - h L, kept while h and L stay the same."""

    h: Scalar
    operator: LinearOperator | None
    mass: LinearOperator
    solver: LinearSolver

    def fits(self, f: System, h: Scalar) -> bool:
        """Whether it is the solver for this system and h."""
        return self.operator is f.operator and _same(self.h, h)


class Solved(NamedTuple):
    """A stage value and the linear solves it took."""

    value: Tensor
    solves: int


def factored(f: System, h: Scalar, like: Tensor, method: str, rtol: float) -> Factored:
    """The solver of M - h L for states like ``like``, fixed nodes eliminated symmetrically."""
    mass = mass_operator(f.mass, like)
    a = mass if f.operator is None else mass - as_matrix(f.operator) * h
    return Factored(h, f.operator, mass, LinearSolver(f.pin(a), method=method, rtol=max(rtol, within(like.dtype))))


def solve_stage(
    f: System,
    t: Tensor,
    known: Tensor,
    guess: Tensor,
    kept: Factored,
    *,
    nonlinear: bool | None = None,
    rtol: float = 1e-10,
) -> Solved:
    """v with M v - h (L v + b(t) + N(t, v)) = known, h that of ``kept``.

    Linear systems take one solve. Nonlinear ones take Newton's method, preconditioned by the factored linear part.
    Backward is one adjoint solve, and can be differentiated itself.

    Args:
        known: [*, n, c]. guess: where Newton's method starts; takes the Dirichlet values at t.
        nonlinear: whether N takes part; None = where there is one. rtol: of Newton's method, by its first residual.

    Raises:
        SolveError: no solution found.
    """
    load = f.load(t, guess)
    if load is not None:
        known = known + kept.h * load
    guess = f.reset(t, guess)
    if not (f.nonlinear if nonlinear is None else nonlinear):
        return Solved(_linear(f, known, guess, kept), 1)
    return _nonlinear(f, t, known, guess, kept, rtol)


def _linear(f: System, known: Tensor, guess: Tensor, kept: Factored) -> Tensor:
    h, mass, solver = kept.h, kept.mass, kept.solver
    if f.fixed is None:
        return solver(known, x0=guess)

    def apply(x: Tensor) -> Tensor:
        y = mass.matvec(x)
        return y if f.operator is None else y - h * f.operator.matvec(x)

    values = f.fixed.take(guess)
    free = solver(f.fixed.lift(apply, known, values), x0=f.fixed.clear(guess))
    return f.fixed.put(free, values)


def _nonlinear(f: System, t: Tensor, known: Tensor, guess: Tensor, kept: Factored, rtol: float) -> Solved:
    h, mass, solver, fixed = kept.h, kept.mass, kept.solver, f.fixed

    def residual(v: Tensor) -> Tensor:
        r = mass.matvec(v) - known
        if f.operator is not None:
            r = r - h * f.operator.matvec(v)
        rest = f.rest(t, v)
        if rest is not None:
            r = r - h * rest
        return r if fixed is None else fixed.clear(r)

    def jacobian(v: Tensor) -> LinearOperator:
        return f.pin(mass - f.linearise(t, v) * h)

    def precondition(r: Tensor) -> Tensor:
        return solver.approximately(r)

    with torch.no_grad(), KEEPING:
        parts = known.abs() + _by_diagonal(solver.a, guess).abs()
        if fixed is not None:  # eliminated rows have diagonal 1: beside the masses of a small body they are huge
            parts = fixed.clear(parts)
        scale = parts.norm()
        # the mass alone says nothing about a form: let its Jacobian be factored
        near = None if f.operator is None and f.weak else precondition
        size = float(scale)
        found = newton(residual, jacobian, guess.detach(), rtol=rtol, precondition=near, scale=size).checked()
    value = found.value
    if not torch.is_grad_enabled():
        return Solved(value, found.iterations)

    def equation(v: Tensor) -> Tensor:
        if fixed is None:
            return -residual(v)
        # fixed values enter v directly, and their neighbours through the residual
        return fixed.put(-residual(fixed.put(v, fixed.take(guess))), fixed.take(guess) - fixed.take(v))

    def solve(b: Tensor, *, transposed: bool) -> Tensor:
        a = jacobian(value).transpose() if transposed else jacobian(value)
        near = Corrector(lambda y: solver.approximately(y, transposed=transposed))
        return near.solve(a, b, rtol=max(min(1e-12, rtol), within(b.dtype))).checked().value

    return Solved(implicit(value, equation, solve), found.iterations)


def smoothed(f: System, residual: Tensor, kept: Factored) -> Tensor:
    """(M - h L)^-1 applied to a weak residual at the free nodes: an error estimate that stiff components do not drown.

    Reference: Hairer and Wanner 1996, section IV.8.
    """
    with torch.no_grad():
        return kept.solver.solve(residual if f.fixed is None else f.fixed.clear(residual)).checked().value


def _by_diagonal(a: LinearOperator, u: Tensor) -> Tensor:
    """diag(A) u: how large the parts of A u are that may cancel."""
    diagonal = a.diagonal()
    return u if diagonal is None else Diagonal(diagonal).matvec(u)


def within(dtype: torch.dtype) -> float:
    """The smallest relative residual worth asking for."""
    return 500 * torch.finfo(dtype).eps


def _same(a: Scalar, b: Scalar) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b
    return abs(a - b) <= 1e-12 * abs(b)
