"""Bratu's problem -Laplace u = p e^u: branches, folds, and Newton's method without a matrix."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import pytest
import torch
from scipy.optimize import brentq
from torch import Tensor

from graphpde.core.combined import pin
from graphpde.core.linear_operator import Diagonal, LinearOperator, as_matrix
from graphpde.errors import InputError, SolveError
from graphpde.mesh import Mesh, Space, interval, rectangle
from graphpde.ops import Diffusion
from graphpde.solve import LinearSolver
from graphpde.solve.continuation import arclength, continuation
from graphpde.solve.derivative import derivative, differences
from graphpde.solve.newton import newton
from graphpde.solve.result import Status

F64 = torch.float64
FOLD_1D, FOLD_2D = 3.513830719, 6.808124423


class Bratu(NamedTuple):
    """A u - p M e^u with u = 0 on the boundary."""

    a: LinearOperator
    free: Tensor  # lumped mass, 0 on the boundary

    def residual(self, u: Tensor, p: Tensor) -> Tensor:
        return self.a.matvec(u) - p * self.free * torch.exp(u)

    def jacobian(self, u: Tensor, p: Tensor) -> LinearOperator:
        return self.a - Diagonal((p * self.free * torch.exp(u))[:, 0])

    @property
    def start(self) -> Tensor:
        return torch.zeros_like(self.free)


@cache
def bratu(dimensions: int, cells: int) -> Bratu:
    mesh: Mesh = interval(cells) if dimensions == 1 else rectangle(cells, cells)
    space = Space(mesh)
    fixed = torch.zeros(space.n, dtype=torch.bool)
    fixed[mesh.boundary_nodes] = True
    a = pin(as_matrix(Diffusion(space).operator) * -1.0, fixed)
    return Bratu(a, torch.where(fixed, 0.0, space.measure)[:, None])


def exact_middle(p: float, upper: bool) -> float:
    """u(1/2) of -u'' = p e^u on (0, 1): 2 log cosh(theta / 4) with theta = sqrt(2 p) cosh(theta / 4)."""
    turn = 4 * 1.1996786402577338  # theta where both solutions meet
    f = lambda x: x - (2 * p) ** 0.5 * torch.tensor(x / 4, dtype=F64).cosh().item()  # noqa: E731
    theta = brentq(f, turn, 40.0) if upper else brentq(f, 0.0, turn)
    return 2 * float(torch.tensor(theta / 4, dtype=F64).cosh().log())


# Newton's method by products


@pytest.mark.parametrize("how", [None, differences], ids=["automatic", "differences"])
def test_newton_needs_products_only(how) -> None:
    problem = bratu(2, 8)
    p = torch.tensor(5.0, dtype=F64)
    near = LinearSolver(problem.a, method="direct")
    f = lambda u: problem.residual(u, p)  # noqa: E731
    slope = None if how is None else (lambda u: how(f, u))
    free = newton(f, slope, problem.start, precondition=lambda r: near.solve(r).value)
    known = newton(f, lambda u: problem.jacobian(u, p), problem.start)
    assert free.converged and free.iterations <= known.iterations + 2
    torch.testing.assert_close(free.value, known.value, rtol=1e-9, atol=1e-10)
    bare = newton(f, slope, problem.start)  # without a preconditioner GMRES takes longer, and arrives
    assert bare.converged
    torch.testing.assert_close(bare.value, known.value, rtol=1e-9, atol=1e-10)


def test_products_with_the_jacobian() -> None:
    problem, p = bratu(2, 6), torch.tensor(4.0, dtype=F64)
    u, v, w = (torch.randn(problem.a.n, 1, dtype=F64) for _ in range(3))
    f = lambda u: problem.residual(u, p)  # noqa: E731
    exact = problem.jacobian(u, p)
    by_rule, by_values = derivative(f, u), differences(f, u)
    torch.testing.assert_close(by_rule.matvec(v), exact.matvec(v))
    for _ in range(2):
        torch.testing.assert_close(by_rule.transpose().matvec(w), exact.transpose().matvec(w))
    torch.testing.assert_close(by_values.matvec(v), exact.matvec(v), rtol=1e-5, atol=1e-5)
    assert float(by_values.matvec(torch.zeros_like(v)).abs().max()) == 0.0
    with pytest.raises(InputError, match="has no transpose; use derivative"):
        by_values.transpose().matvec(w)


# branches


def test_the_lower_branch_is_the_exact_one() -> None:
    problem = bratu(1, 64)
    branch = continuation(problem.residual, problem.start, 0.0, 3.4, jacobian=problem.jacobian).checked()
    assert branch.parameters[0] == 0.0 and branch.parameters[-1] == 3.4 and branch.status is Status.CONVERGED
    assert branch.parameters == sorted(branch.parameters) and not branch.folds
    for p, u in zip(branch.parameters[1:], branch.values[1:], strict=True):
        # second order in h = 1/64, with a factor that grows towards the fold at 3.51
        assert float(u[32]) == pytest.approx(exact_middle(p, upper=False), rel=3e-3)
    small = bratu(1, 16)
    back = continuation(small.residual, branch.values[-1][::4], 3.4, 1.0).checked()  # by automatic differentiation
    assert float(back.values[-1][8]) == pytest.approx(exact_middle(1.0, upper=False), rel=5e-3)


def test_past_the_fold_there_is_nothing() -> None:
    problem = bratu(1, 64)
    branch = continuation(problem.residual, problem.start, 0.0, 5.0, jacobian=problem.jacobian, smallest=1e-4)
    assert branch.status is Status.STAGNATION and "no solution was found beyond p = 3.51" in branch.reason
    assert branch.parameters[-1] == pytest.approx(FOLD_1D, rel=1e-3) and branch.refused > 5
    with pytest.raises(SolveError, match="arclength goes round a fold") as caught:
        branch.checked()
    assert caught.value.result is branch


@pytest.mark.parametrize(("dimensions", "cells", "fold"), [(1, 64, FOLD_1D), (2, 32, FOLD_2D)])
def test_the_fold_of_bratus_problem(dimensions: int, cells: int, fold: float) -> None:
    problem = bratu(dimensions, cells)
    branch = arclength(
        problem.residual, problem.start, 0.0, jacobian=problem.jacobian, step=0.5, until=lambda u, p: float(u.max()) > 4
    ).checked()
    assert len(branch.folds) == 1 and branch.folds[0] == pytest.approx(fold, rel=1e-3)
    assert max(branch.parameters) <= branch.folds[0] * (1 + 1e-6)
    heights = [float(u.max()) for u in branch.values]
    assert heights == sorted(heights), "the maximum of u grows all along the branch"
    for p, u in zip(branch.parameters, branch.values, strict=True):
        left = problem.residual(u, torch.tensor(p, dtype=F64))
        assert float(left.norm()) <= 1e-6 * max(float(problem.free.norm()) * p, 1e-12)


def test_the_upper_branch_is_the_exact_one() -> None:
    problem = bratu(1, 64)
    branch = arclength(
        problem.residual,
        problem.start,
        1.0,
        jacobian=problem.jacobian,
        step=0.3,
        until=lambda u, p: p < 1.0 and float(u.max()) > 2,
    )
    turned = branch.parameters.index(max(branch.parameters))
    for k in range(len(branch.values)):
        p, upper = branch.parameters[k], k > turned
        if abs(p - FOLD_1D) > 0.1:
            assert float(branch.values[k][32]) == pytest.approx(exact_middle(p, upper=upper), rel=5e-3)
    assert branch.checked() is branch and len(branch.values) > turned + 2


def test_the_fold_does_not_depend_on_the_steps() -> None:
    problem = bratu(1, 32)
    folds = []
    for step in (0.1, 0.6):
        walk = arclength(
            problem.residual,
            problem.start,
            1.0,
            jacobian=problem.jacobian,
            step=step,
            until=lambda u, p: bool(u.max() > 2),
        )
        folds += walk.folds
    assert len(folds) == 2 and folds[0] == pytest.approx(folds[1], rel=2e-5)  # three secant steps each


def test_branches_end_by_name() -> None:
    problem = bratu(1, 10)
    few = arclength(problem.residual, problem.start, 0.0, jacobian=problem.jacobian, most=3, until=lambda u, p: False)
    assert few.status is Status.MAX_ITERATIONS and len(few.values) == 3 and "allow more" in few.reason
    with pytest.raises(SolveError, match="3 solutions"):
        few.checked()
    for walk in (
        continuation(problem.residual, problem.start, 9.0, 10.0),
        arclength(problem.residual, problem.start, 9.0),
    ):
        assert walk.status is not Status.CONVERGED and "no solution at p = 9" in walk.reason and not walk.values

    def cliff(u: Tensor, p: Tensor) -> Tensor:  # (u, p) = (p, p) up to p = 1, where the branch has no way on
        return torch.where(p <= 1.0, u - p, u * float("nan"))

    lost = arclength(cliff, torch.zeros(1, 1, dtype=F64), 0.0, step=0.3)
    assert lost.status is Status.STAGNATION and "the branch was lost at p = 1" in lost.reason
    assert lost.parameters[-1] == pytest.approx(1.0, abs=1e-4)


def test_steps_that_lead_nowhere_are_refused() -> None:
    problem = bratu(1, 16)
    for step, stop in ((-0.1, 1.0), (0.1, 0.0)):
        with pytest.raises(InputError, match="does not lead from 0 to"):
            continuation(problem.residual, problem.start, 0.0, stop, step=step)
    with pytest.raises(InputError, match="expected a finite number other than 0"):
        arclength(problem.residual, problem.start, 0.0, step=0.0)
