"""Implicit one-step methods: backward Euler and Crank-Nicolson."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.dynamics.state import leaves
from graphpde.dynamics.stepper import STEPPERS, Carry, Step
from graphpde.errors import InputError
from graphpde.ops.system import System, mass_operator
from graphpde.ops.term import times_mass
from graphpde.solve.krylov import gmres
from graphpde.solve.linear import LinearSolver, attach
from graphpde.solve.newton import newton
from graphpde.typing import Scalar, State


class _Factored(NamedTuple):
    """The solver of M - theta dt L, kept while dt and L stay the same."""

    dt: Scalar
    operator: LinearOperator | None
    solver: LinearSolver


class Theta:
    """M (v - u) = dt ((1 - theta) F(t, u) + theta F(t + dt, v)).

    Linear systems are factored once for each dt; Dirichlet nodes take their values at t + dt by symmetric elimination.
    Nonlinear terms are solved by Newton's method, preconditioned by the factored linear part. Backward is one
    adjoint solve a step.

    Args:
        method: linear solver, "auto", "direct", "cg" or "gmres". rtol: relative tolerance of iterative solves.
    """

    implicit, symplectic = True, "no"
    name: str
    order: float
    theta: float

    def __init__(self, *, method: str = "auto", rtol: float = 1e-10):
        self.method, self.rtol = method, rtol

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        if not isinstance(u, Tensor):
            raise InputError(
                f"{self.name} advances one tensor [*, n, c], got a tuple of {len(leaves(u))}; use an explicit stepper"
            )
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        after = t + dt
        h = self.theta * dt
        mass = mass_operator(f.mass, u)
        if not (isinstance(carry, _Factored) and carry.operator is f.operator and _same(carry.dt, dt)):
            a = mass if f.operator is None else mass - as_matrix(f.operator) * h
            rtol = max(self.rtol, _within(u.dtype))
            carry = _Factored(dt, f.operator, LinearSolver(f.pin(a), method=self.method, rtol=rtol))
        known = times_mass(f.mass, u)
        if self.theta < 1:
            known = known + (dt - h) * f(t, u)
        load = f.load(after, u)
        if load is not None:
            known = known + h * load
        guess = f.reset(after, u)
        if not f.nonlinear:
            return Step(self._linear(f, mass, h, known, guess, carry.solver), None, carry)
        return Step(self._nonlinear(f, mass, h, after, known, guess, carry.solver), None, carry)

    def _linear(
        self, f: System, mass: LinearOperator, h: Scalar, known: Tensor, guess: Tensor, solver: LinearSolver
    ) -> Tensor:
        if f.fixed is None:
            return solver(known, x0=guess)

        def apply(x: Tensor) -> Tensor:
            y = mass.matvec(x)
            return y if f.operator is None else y - h * f.operator.matvec(x)

        values = guess[..., f.fixed.nodes, :]
        free = solver(f.fixed.lift(apply, known, values), x0=f.fixed.clear(guess))
        return f.fixed.put(free, values)

    def _nonlinear(
        self, f: System, mass: LinearOperator, h: Scalar, t: Tensor, known: Tensor, guess: Tensor, solver: LinearSolver
    ) -> Tensor:
        fixed = f.fixed

        def residual(v: Tensor) -> Tensor:
            r = mass.matvec(v) - known
            if f.operator is not None:
                r = r - h * f.operator.matvec(v)
            rest = f.rest(t, v)
            if rest is not None:
                r = r - h * rest
            return r if fixed is None else r.index_fill(-2, fixed.nodes, 0.0)

        def jacobian(v: Tensor) -> LinearOperator:
            return f.pin(mass - f.linearise(t, v) * h)

        def precondition(r: Tensor) -> Tensor:
            return solver.solve(r).value

        with torch.no_grad():
            parts = known.abs() + _by_diagonal(solver.a, guess).abs()
            if fixed is not None:  # eliminated rows have diagonal 1: beside the masses of a small body they are huge
                parts = parts.index_fill(-2, fixed.nodes, 0.0)
            scale = parts.norm()
            found = newton(residual, jacobian, guess.detach(), precondition=precondition, scale=float(scale))
        value = found.checked().value
        if not torch.is_grad_enabled():
            return value
        r = -residual(value if fixed is None else fixed.put(value, guess[..., fixed.nodes, :]))
        if fixed is not None:  # fixed values enter v directly, and their neighbours through the residual
            r = fixed.put(r, guess[..., fixed.nodes, :] - value[..., fixed.nodes, :])
        if not r.requires_grad:
            return value

        def adjoint(g: Tensor) -> Tensor:
            back = jacobian(value).transpose()
            rtol = max(1e-12, _within(g.dtype))
            found = gmres(back, g, rtol=rtol, precondition=lambda y: solver.solve(y, transposed=True).value)
            return found.checked().value

        return attach(value, r, adjoint)

    def real_extent(self) -> float:
        return float("inf")


def _by_diagonal(a: LinearOperator, u: Tensor) -> Tensor:
    """diag(A) u: how large the parts of A u are that may cancel."""
    diagonal = a.diagonal()
    return u if diagonal is None else Diagonal(diagonal).matvec(u)


def _within(dtype: torch.dtype) -> float:
    """The smallest relative residual worth asking for."""
    return 500 * torch.finfo(dtype).eps


def _same(a: Scalar, b: Scalar) -> bool:
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a is b
    return abs(a - b) <= 1e-12 * abs(b)


@STEPPERS.add("backward_euler")
class BackwardEuler(Theta):
    """Backward Euler: order 1, damps every stiff component, keeps the maximum principle on monotone operators."""

    name, order, theta = "backward_euler", 1.0, 1.0


@STEPPERS.add("crank_nicolson")
class CrankNicolson(Theta):
    """The trapezoidal rule: order 2, A-stable but not damping; rough initial data ring at large steps.

    Reference: Crank and Nicolson 1947.
    """

    name, order, theta = "crank_nicolson", 2.0, 0.5
