"""Problems that have no answer, or none that can be had: each ends by name, with the reason, and none in silence."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.dynamics import Adaptive, BackwardEuler, Dopri5, Euler, evolve, steady
from graphpde.errors import ConditionError, Diverged, InputError, SolveError, StepTooLong, StepUnderflow
from graphpde.mesh import Mesh, Space, interval, rectangle
from graphpde.ops import Diffusion, Dirichlet, Neumann, Reaction, Source
from graphpde.solve import LinearSolver, Status, eigenpairs, newton, solve
from graphpde.solve.continuation import continuation
from graphpde.solve.fixed_point import picard
from graphpde.solve.krylov import gmres
from graphpde.solve.minres import minres
from graphpde.solve.multigrid import Multigrid
from graphpde.solve.recycling import Recycling

F64 = torch.float64


class Failing(NamedTuple):
    """What is asked, the error that must come, words of its reason, and the status of its result where it has one."""

    ask: Callable[[], object]
    error: type[Exception]
    words: str
    status: Status | None = None


SPACE = Space(rectangle(6, 6))
LINE = Space(interval(20))
LAPLACE = Diffusion(SPACE).operator * -1.0
B = torch.cos(torch.arange(SPACE.n, dtype=F64))[:, None]
ZERO = torch.zeros(SPACE.n, 1, dtype=F64)
ONE = torch.ones(LINE.n, 1, dtype=F64)
HELD = Dirichlet("boundary", 0.0)


def lopsided() -> Sparse:
    rel = Relation.from_edges([0, 1, 2], [1, 2, 0], 3, 3)
    return Sparse(rel, torch.ones(3, dtype=F64), torch.zeros(3, dtype=F64))


def two_squares() -> Space:
    square = rectangle(2, 2)
    away = square.points + torch.tensor([3.0, 0.0])
    cells = square.cells["triangle"]
    return Space(Mesh(torch.cat([square.points, away]), {"triangle": torch.cat([cells, cells + square.n])}))


def one_held() -> object:
    space = two_squares()
    term = Diffusion(space) + Dirichlet(lambda x: x[:, 0] < 1e-9, 1.0)
    return steady(term, torch.zeros(space.n, 1, dtype=F64))


def rootless(f: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], limit: int = 40) -> object:
    def jacobian(u: Tensor) -> LinearOperator:
        return BlockDiagonal(slope(u)[..., None])

    return newton(f, jacobian, torch.full((3, 1), 0.5, dtype=F64), max_iterations=limit).checked()


def late_nan(x: Tensor, t: Tensor) -> Tensor:
    return torch.where(t > 0.55, float("nan"), 1.0).expand(len(x))


def off_limits(u: Tensor) -> Tensor:
    return torch.log(u - 2)


def quarter_turn() -> Sparse:
    rel = Relation.from_edges([1, 0], [0, 1], 2, 2)
    return Sparse(rel, torch.tensor([1.0, -1.0], dtype=F64), torch.zeros(2, dtype=F64))


PROBLEMS = {
    "indefinite, to conjugate gradients": Failing(
        lambda: solve(LAPLACE - Diagonal(50 * SPACE.measure), B, method="cg"),
        SolveError, "not positive definite", Status.BREAKDOWN,
    ),
    "iteration limit": Failing(
        lambda: gmres(LAPLACE + Diagonal(SPACE.measure), B, max_iterations=2).checked(),
        SolveError, "allow more iterations", Status.MAX_ITERATIONS,
    ),
    "singular, factored": Failing(lambda: solve(LAPLACE, B), SolveError, "singular; add a Dirichlet", Status.SINGULAR),
    "inconsistent, to MINRES": Failing(
        lambda: minres(LAPLACE, B + 1).checked(), SolveError, "singular or too ill-conditioned", Status.BREAKDOWN
    ),
    "inconsistent, to GMRES": Failing(
        lambda: gmres(LAPLACE, B + 1).checked(), SolveError, "singular or too ill-conditioned", Status.BREAKDOWN
    ),
    "preconditioner that is not positive": Failing(
        lambda: minres(LAPLACE, B, precondition=lambda r: -r).checked(),
        SolveError, "preconditioner is not positive definite", Status.BREAKDOWN,
    ),
    "NaN in the matrix": Failing(
        lambda: LinearSolver(LAPLACE * float("nan")),
        SolveError, "not finite; check the coefficients", Status.NON_FINITE,
    ),
    "NaN on the right": Failing(
        lambda: solve(LAPLACE + Diagonal(SPACE.measure), B * float("nan")),
        SolveError, "right-hand side is not finite", Status.NON_FINITE,
    ),
    "overflow in a product": Failing(
        lambda: gmres(Action(SPACE.n, lambda x: x * float("inf"), lambda x: x), B).checked(),
        SolveError, "became non-finite", Status.NON_FINITE,
    ),
    "multigrid for what is not symmetric": Failing(
        lambda: Multigrid(lopsided()), InputError, "not symmetric; use gmres"
    ),
    "multigrid for what is not positive": Failing(lambda: Multigrid(LAPLACE * -1.0), InputError, "positive"),
    "eigenvalues cut short": Failing(
        lambda: eigenpairs(LAPLACE, SPACE.measure, k=3, method="lobpcg", max_iterations=1).checked(),
        SolveError, "allow more iterations",
    ),
    "no root": Failing(
        lambda: rootless(lambda u: u**2 + 1, lambda u: 2 * u), SolveError, "no progress", Status.STAGNATION
    ),
    "Newton cut short": Failing(
        lambda: rootless(lambda u: torch.exp(u) - 1e6, torch.exp, 2),
        SolveError, "after 2 Newton iterations", Status.MAX_ITERATIONS,
    ),
    "all sides free, with a source": Failing(
        lambda: steady(Diffusion(SPACE) + Source(SPACE, 1.0), ZERO), ConditionError, "has no Dirichlet condition"
    ),
    "a body that nothing holds": Failing(one_held, ConditionError, "component 1 of 2 .* has no Dirichlet condition"),
    "NaN at a later step": Failing(
        lambda: evolve(Diffusion(LINE) + Source(LINE, late_nan), ONE, [0.0, 1.0], stepper=BackwardEuler(), dt=0.1),
        SolveError, r"step 6 of 10 .*right-hand side is not finite.*; not finite: source at node 0", Status.NON_FINITE,
    ),
    "NaN of one condition, at one node, later": Failing(
        lambda: evolve(
            Diffusion(LINE) + Dirichlet("left", late_nan), ONE, [0.0, 1.0], stepper=BackwardEuler(), dt=0.1
        ),
        SolveError, r"step 6 of 10 .*; not finite: Dirichlet on 'left'", Status.NON_FINITE,
    ),
    "NaN of a flux": Failing(
        lambda: evolve(Diffusion(LINE) + Neumann("right", late_nan), ONE, [0.0, 1.0], stepper=BackwardEuler(), dt=0.1),
        SolveError, r"step 6 of 10 .*; not finite: inflow on 'right' at node 20", Status.NON_FINITE,
    ),
    "logarithm of what is negative": Failing(
        lambda: steady(Diffusion(LINE) + Reaction(off_limits) + Dirichlet("left", 0.0), ONE),
        SolveError, r"initial guess is not finite.*; not finite: Reaction\(off_limits\)", Status.NON_FINITE,
    ),
    "out of balance, told that the level is open": Failing(
        lambda: steady(Diffusion(SPACE) + Source(SPACE, 1.0), ZERO, null_space="constants"),
        SolveError, "along its null space: no solution exists; balance sources", Status.INCONSISTENT,
    ),
    "a null space that is none": Failing(
        lambda: LinearSolver(LAPLACE + Diagonal(SPACE.measure), null_space=ZERO + 1), InputError, "expected zero"
    ),
    "indefinite, recycled": Failing(
        lambda: Recycling().solve(LAPLACE * -1.0, B).checked(), SolveError, "not positive definite", Status.BREAKDOWN
    ),
    "indefinite, to Chebyshev": Failing(
        lambda: solve(LAPLACE * -1.0, B, method="chebyshev"), SolveError, "not positive definite", Status.BREAKDOWN
    ),
    "a right angle, to BiCGStab": Failing(
        lambda: solve(quarter_turn(), torch.ones(2, 1, dtype=F64), method="bicgstab"),
        SolveError, "orthogonal to the image of the direction; use gmres", Status.BREAKDOWN,
    ),
    "a map that does not contract": Failing(
        lambda: picard(lambda u: 3 * u + 1, ONE).checked(), SolveError, "use depth, damping or newton",
        Status.STAGNATION,
    ),
    "beyond a fold": Failing(
        lambda: continuation(
            lambda u, p: u * u + p - 1, ONE, 0.0, 2.0, jacobian=lambda u, p: BlockDiagonal(2 * u[..., None])
        ).checked(),
        SolveError, "no solution was found beyond p = (0.99|1).*arclength goes round a fold", Status.STAGNATION,
    ),
    "blow-up": Failing(
        lambda: evolve(Reaction(lambda u: u**2), ONE, [0.0, 2.0], stepper=Euler(), dt=0.01), Diverged, "Reaction"
    ),
    "blow-up, adaptive": Failing(
        lambda: evolve(Reaction(lambda u: u**2), ONE, [0.0, 2.0], stepper=Dopri5(), control=Adaptive(1e-6, 1e-9)),
        StepUnderflow, "step",
    ),
    "blow-up, implicit": Failing(
        lambda: evolve(Reaction(lambda u: u**2), ONE, [0.0, 2.0], stepper=BackwardEuler(), dt=0.4),
        SolveError, r"step \d+ of 5 .*(no progress|Newton)", Status.STAGNATION,
    ),
    "step beyond the stability bound": Failing(
        lambda: evolve(Diffusion(LINE), ONE, [0.0, 1.0], stepper=Euler(), dt=0.5), StepTooLong, "stability bound"
    ),
    "infinite at the start": Failing(
        lambda: evolve(Diffusion(LINE), ONE / 0, [0.0, 1.0], stepper=BackwardEuler(), dt=0.1), InputError, "finite"
    ),
    "two values at one node": Failing(
        lambda: evolve(
            Diffusion(LINE) + Dirichlet("left", 0.0) + Dirichlet("boundary", 1.0),
            ONE, [0.0, 0.01], stepper=Euler(), dt=0.001,
        ),
        ConditionError, "left",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_each_ends_by_name(name: str) -> None:
    problem = PROBLEMS[name]
    with pytest.raises(problem.error, match=problem.words) as caught:
        problem.ask()
    if problem.status is not None:
        assert isinstance(caught.value, SolveError)
        assert caught.value.result is not None and caught.value.result.status is problem.status


def test_there_are_twenty_of_them() -> None:
    assert len(PROBLEMS) >= 20
