"""Saddle points by blocks: recognised, solved to the same answer as directly, in few iterations, transposed too."""

from __future__ import annotations

import pytest
import torch

from graphpde.core.block_operator import BlockSparse, Interleaved
from graphpde.core.linear_operator import LinearOperator, as_matrix
from graphpde.mesh import Space, box, random_square, rectangle
from graphpde.ops import Diffusion, Pressure, Stokes, System, Velocity, Wave
from graphpde.ops.incompressible import lowest_corner
from graphpde.ops.system import mass_operator
from graphpde.solve.krylov import gmres
from graphpde.solve.linear import LinearSolver, is_small
from graphpde.solve.saddle import Saddle, is_saddle

F64 = torch.float64


def stokes(space: Space, h: float | None = None) -> tuple[System, LinearOperator]:
    """The matrix of slow flow in a box, or of an implicit step."""
    flow = Stokes(space, 1.0) + Velocity("boundary") + Pressure([lowest_corner(space)], 0.0)
    f = System(flow, None, torch.zeros((), dtype=F64))
    assert f.operator is not None and f.fixed is not None
    a = -as_matrix(f.operator)
    return f, f.pin(a if h is None else f.mass + a * h)  # type: ignore[operator]


def load(f: System, n: int, c: int) -> torch.Tensor:
    b = torch.randn(n, c, dtype=F64, generator=torch.Generator().manual_seed(0))
    b[:, -1] = 0
    assert f.fixed is not None
    return f.fixed.clear(b)


SPACES = {
    "P2": lambda: Space(random_square(8), "p2"),
    "P1": lambda: Space(random_square(16), "p1"),
    "Q2": lambda: Space(rectangle(8, 8, cells="quad"), "q2"),
    "P2 in space": lambda: Space(box(3, 3, 3), "p2"),
}


@pytest.mark.parametrize("step", [None, 1e-2], ids=["steady", "step"])
@pytest.mark.parametrize("name", SPACES)
def test_the_same_answer_as_directly_in_few_iterations(name: str, step: float | None) -> None:
    space = SPACES[name]()
    f, a = stokes(space, step)
    assert is_saddle(a)
    c, b = space.mesh.space_dim + 1, load(f, space.n, space.mesh.space_dim + 1)
    exact = LinearSolver(a, method="direct").solve(b).value
    found = LinearSolver(a, method="gmres", rtol=1e-10).solve(b)
    assert found.converged and found.iterations <= 90, found.reason
    torch.testing.assert_close(found.value, exact, atol=1e-6 * float(exact.abs().max()), rtol=0)
    plain = gmres(Interleaved(a, c), b.reshape(-1, 1), rtol=1e-10, max_iterations=300)
    assert not plain.converged or plain.iterations > 2 * found.iterations


def test_iterations_grow_slowly_in_space() -> None:
    counts = []
    for n in (3, 6):
        space = Space(box(n, n, n), "p2")
        f, a = stokes(space)
        counts.append(LinearSolver(a, method="gmres", rtol=1e-8).solve(load(f, space.n, 4)).iterations)
    assert counts[1] <= 2.2 * counts[0]  # 8 times the unknowns


def test_transposed_and_with_gradient() -> None:
    space = Space(random_square(5), "p2")
    f, a = stokes(space)
    b = load(f, space.n, 3)
    solver = LinearSolver(a, method="gmres", rtol=1e-12)
    back = solver.solve(b, transposed=True)
    torch.testing.assert_close(a.transpose().matvec(back.value), b, atol=1e-9, rtol=0)
    g = b.clone().requires_grad_()
    (slope,) = torch.autograd.grad((solver(g) ** 2).sum(), g)
    twice = LinearSolver(a, method="direct")
    (expected,) = torch.autograd.grad((twice(g) ** 2).sum(), g)
    torch.testing.assert_close(slope, expected, atol=1e-7 * float(expected.abs().max()), rtol=0)


def test_what_is_a_saddle() -> None:
    space = Space(random_square(4), "p2")
    _, a = stokes(space)
    assert is_saddle(a) and is_small(a)
    assert not is_saddle(-as_matrix(Diffusion(space).operator))
    wave = as_matrix(Wave(Space(random_square(4))).operator)
    assert isinstance(wave, BlockSparse) and not is_saddle(mass_operator(None, torch.zeros(wave.n, 1)) - wave * 0.1)
    again = Saddle(a.to_matrix(3), 3, torch.zeros(1, dtype=F64))
    r = torch.randn(3 * space.n, 2, dtype=F64)
    torch.testing.assert_close(again(2 * r[:, :1] + r[:, 1:]), 2 * again(r)[:, :1] + again(r)[:, 1:])
