"""Starts out of the last solutions: least residual in each column, and fewer iterations along smooth sequences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core.linear_operator import Diagonal, LinearOperator
from graphpde.mesh import Space, rectangle
from graphpde.ops import Diffusion
from graphpde.run.checkpoint import carry_kind
from graphpde.solve.linear import LinearSolver
from graphpde.solve.recent import Recent

F64 = torch.float64


def filled(matrix: Tensor, values: list[Tensor], size: int = 4) -> Recent:
    recent = Recent(size)
    for x in values:
        recent.add(matrix @ x, x)
    return recent


def definite(n: int = 30) -> Tensor:
    root = torch.randn(n, n, dtype=F64)
    return root @ root.T / n + torch.eye(n, dtype=F64)


def implicit(space: Space) -> LinearOperator:
    """M - 0.01 L: what a time step solves with."""
    return Diagonal(space.measure) - Diffusion(space, 0.01).operator


@pytest.mark.parametrize("columns", [1, 3])
def test_the_start_has_the_least_residual_in_each_column(columns: int) -> None:
    a = definite()
    values = [torch.randn(30, columns, dtype=F64) for _ in range(6)]
    b = a @ (values[3] + values[5]) + 0.1 * torch.randn(30, columns, dtype=F64)
    start = filled(a, values).start(b)
    assert start is not None
    for k in range(columns):
        kept = torch.stack([x[:, k] for x in values[2:]], 1)  # the last four
        best = kept @ torch.linalg.lstsq(a @ kept, b[:, k]).solution
        torch.testing.assert_close(start[:, k], best, rtol=1e-9, atol=1e-9)


def test_what_was_solved_before_is_found_again() -> None:
    a = definite()
    values = [torch.randn(30, 2, dtype=F64) for _ in range(4)]
    start = filled(a, [*values, values[-1]]).start(
        a @ values[2]
    )  # one of them twice: nothing new, and no division by 0
    assert start is not None
    torch.testing.assert_close(start, values[2], rtol=1e-10, atol=1e-10)


def test_a_right_hand_side_of_another_kind_gets_no_start() -> None:
    recent = filled(torch.eye(30, dtype=F64), [torch.eye(30, 1, dtype=F64)])
    other = torch.ones(30, 1, dtype=F64)
    assert recent.start(other) is None
    assert recent.start(other.float()) is None
    assert recent.start(torch.ones(30, 2, dtype=F64)) is None
    assert Recent(0).start(other) is None


def test_smooth_sequences_take_fewer_iterations_and_the_answers_stay() -> None:
    space = Space(rectangle(24, 24))
    a = implicit(space)
    sequences = {}
    for remember in (0, 5):
        solver = LinearSolver(a, method="cg", rtol=1e-10, remember=remember)
        assert solver.remembers == (remember > 0)
        x, taken = None, []
        for step in range(20):
            b = torch.sin(3 * space.pos[:, :1] + 0.05 * step) * math.exp(-0.05 * step) + space.pos[:, 1:2]
            result = solver.solve(b, x0=x).checked()
            assert float((b - a.matvec(result.value)).norm() / b.norm()) < 1.01e-10
            x = result.value
            taken.append(result.iterations)
        sequences[remember] = taken
    assert sum(sequences[5][6:]) < 0.5 * sum(sequences[0][6:])


def test_the_adjoint_solve_starts_on_its_own() -> None:
    space = Space(rectangle(8, 8))
    a = implicit(space)
    b = torch.randn(space.n, 1, dtype=F64)
    fresh = LinearSolver(a, method="cg", remember=0).solve(b, transposed=True)
    used = LinearSolver(a, method="cg")
    used.solve(b)
    again = used.solve(b, transposed=True)
    assert again.iterations == fresh.iterations and torch.equal(again.value, fresh.value)


def test_a_checkpoint_says_that_the_solver_begins_from_its_last_solutions() -> None:
    a = implicit(Space(rectangle(4, 4)))
    assert carry_kind((1.0, LinearSolver(a, method="cg"))) == "starts"
    assert carry_kind((1.0, LinearSolver(a, method="cg", remember=0))) == "cache"
    assert carry_kind((1.0, LinearSolver(a, method="direct"))) == "cache"
    assert carry_kind((torch.ones(2), LinearSolver(a, method="cg"))) == "history"
