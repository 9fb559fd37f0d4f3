"""Singular systems that have solutions are solved for the one orthogonal to the null space; others are named."""

from __future__ import annotations

import importlib.util

import pytest
import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.linear_operator import Sparse, as_matrix
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError, SolveError, UnknownName
from graphpde.mesh import Mesh, Space, rectangle
from graphpde.ops import Diffusion
from graphpde.solve import LinearSolver
from graphpde.solve.multigrid import Multigrid
from graphpde.solve.null_space import NullSpace
from graphpde.solve.result import Status

F64 = torch.float64


def bodies(cells: int = 4, count: int = 3) -> Space:
    """Squares that do not touch."""
    square = rectangle(cells, cells)
    points = torch.cat([square.points + torch.tensor([3.0 * k, 0.0]) for k in range(count)])
    cell = square.cells["triangle"]
    return Space(Mesh(points, {"triangle": torch.cat([cell + square.n * k for k in range(count)])}))


def neumann(space: Space, kappa: Tensor | float = 1.0) -> Sparse:
    a = as_matrix(Diffusion(space, kappa).operator) * -1.0
    assert isinstance(a, Sparse)
    return a


def balanced(space: Space, count: int = 3, columns: int = 2) -> Tensor:
    b = torch.randn(count, space.n // count, columns, dtype=F64, generator=torch.Generator().manual_seed(1))
    return (b - b.mean(1, keepdim=True)).flatten(0, 1)


@pytest.mark.parametrize("method", ["auto", "cg", "minres", "gmres", "bicgstab", "chebyshev"])
def test_every_component_loses_its_constant(method: str) -> None:
    space = bodies()
    a, b = neumann(space), balanced(space)
    solver = LinearSolver(a, method=method, null_space="constants", rtol=1e-11)
    x = solver.solve(b).checked().value
    expected = torch.linalg.pinv(torch.from_numpy(a.to_scipy().toarray()), hermitian=True) @ b
    torch.testing.assert_close(x, expected, rtol=1e-8, atol=1e-9)
    assert float(x.view(3, -1, 2).mean(1).abs().max()) <= 1e-13


def test_vectors_given_are_those_found() -> None:
    space = bodies()
    a, b = neumann(space), balanced(space)
    found = NullSpace(a, "constants").vectors
    assert found.shape == (space.n, 3)
    torch.testing.assert_close(found.T @ found, torch.eye(3, dtype=F64))
    given = torch.stack([torch.arange(space.n) // (space.n // 3) == k for k in (2, 0, 1)], 1).to(F64)
    given[:, 0] += given[:, 1]  # any basis will do
    x, y = (LinearSolver(a, null_space=v)(b) for v in ("constants", given))
    torch.testing.assert_close(x, y, rtol=1e-8, atol=1e-9)


def test_only_the_components_that_nothing_holds_count() -> None:
    space = bodies()
    fixed = torch.zeros(space.n, dtype=torch.bool)
    fixed[0] = True
    a = neumann(space).pinned(fixed)
    null = NullSpace(a, "constants")
    assert null.vectors.shape[1] == 2 and float(null.vectors[: space.n // 3].abs().max()) == 0.0
    regular = neumann(space).pinned(torch.arange(space.n) % 5 == 0)
    assert NullSpace(regular, "constants").vectors.shape[1] == 0
    b = torch.randn(space.n, 1, dtype=F64)
    torch.testing.assert_close(
        LinearSolver(regular, null_space="constants", rtol=1e-12)(b), LinearSolver(regular)(b), rtol=1e-8, atol=1e-9
    )


def test_null_vectors_of_coupled_channels() -> None:
    """Springs on a square with both diagonals, as blocks: two shifts and a turn are free."""
    points = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], dtype=F64)
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    rel = Relation.from_edges(torch.tensor([p[0] for p in pairs]), torch.tensor([p[1] for p in pairs]), 4, 4)
    src, dst = rel.pairs()
    way = torch.nn.functional.normalize(points[src] - points[dst], dim=1)
    stiff = way[:, :, None] * way[:, None, :]
    diag = rel.collect(stiff.flatten(1)).view(4, 2, 2)
    a = BlockSparse(rel, -stiff, diag, symmetric=True)
    turn = torch.stack([-points[:, 1], points[:, 0]], 1)
    shifts = torch.eye(2, dtype=F64).expand(4, 2, 2)
    free = torch.cat([shifts.flatten(0, 1), turn.reshape(-1, 1)], 1)
    b = torch.randn(4, 2, dtype=F64)
    basis = torch.linalg.qr(free).Q
    b = (b.flatten() - basis @ (basis.T @ b.flatten())).view(4, 2)
    x = LinearSolver(a, method="cg", null_space=free, rtol=1e-12)(b)
    torch.testing.assert_close(a.matvec(x), b, rtol=1e-9, atol=1e-10)
    assert float((free.T @ x.flatten()).abs().max()) <= 1e-10
    with pytest.raises(InputError, match=r"couples channels is not known; give the null vectors \[8, q\]"):
        LinearSolver(a, method="cg", null_space="constants")


@pytest.mark.skipif(importlib.util.find_spec("pyamg") is None, reason="the extra 'solvers' is absent")
def test_multigrid_between_projections() -> None:
    space = bodies(20)
    a, b = neumann(space), balanced(space, columns=1)
    found = LinearSolver(a, method="cg", precondition=Multigrid(a), null_space="constants", rtol=1e-10).solve(b)
    assert found.converged and found.iterations <= 20
    assert float((b - a.matvec(found.value)).norm() / b.norm()) <= 1e-10


@pytest.mark.parametrize("method", ["auto", "cg", "minres", "gmres"])
def test_a_right_hand_side_out_of_balance_is_named(method: str) -> None:
    space = bodies()
    b = balanced(space)
    b[: space.n // 3, 1] += 0.5
    with pytest.raises(SolveError, match="lies along its null space: no solution exists; balance sources") as caught:
        LinearSolver(neumann(space), method=method, null_space="constants")(b)
    assert caught.value.result.status is Status.INCONSISTENT and caught.value.result.residual > 0.1


@pytest.mark.grad
def test_gradients_are_those_of_the_pseudo_inverse() -> None:
    space = bodies(2, 2)
    b = balanced(space, 2, 1)
    kappa = torch.linspace(0.5, 2, space.mesh.n_cells, dtype=F64).requires_grad_()

    def solved(kappa: Tensor, load: Tensor) -> Tensor:
        load = load.view(2, -1, 1)
        load = (load - load.mean(1, keepdim=True)).flatten(0, 1)
        return LinearSolver(neumann(space, kappa), null_space="constants", rtol=1e-13)(load)

    assert torch.autograd.gradcheck(solved, (kappa, b.requires_grad_()), eps=1e-5, atol=1e-7, nondet_tol=1e-10)


def test_what_is_no_null_space_is_refused() -> None:
    space = bodies()
    a = neumann(space)
    rel = Relation.from_edges([0, 1], [1, 0], 2, 2)
    lopsided = Sparse(rel, torch.tensor([1.0, 2.0], dtype=F64), torch.ones(2, dtype=F64))
    with pytest.raises(InputError, match="needs one symmetric operator, Sparse is not symmetric"):
        LinearSolver(lopsided, method="gmres", null_space="constants")
    with pytest.raises(InputError, match=r"null vector 0 is mapped to .* expected zero"):
        LinearSolver(a, null_space=torch.linspace(0, 1, space.n, dtype=F64)[:, None])
    with pytest.raises(ShapeError, match=rf"the null space has shape \[3, 1\], expected \[{space.n}, q\]"):
        LinearSolver(a, null_space=torch.ones(3, 1, dtype=F64))
    with pytest.raises(UnknownName, match="constants"):
        LinearSolver(a, null_space="constant")
    with pytest.raises(InputError, match="cannot be factored; leave method out"):
        LinearSolver(a, method="direct", null_space="constants")
