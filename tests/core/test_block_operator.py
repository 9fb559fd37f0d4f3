"""Sparse matrices of blocks: equal to dense ones, closed under sums, solved as one system."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core import BlockDiagonal, BlockSparse, Diagonal, Relation, Sparse, pin
from graphpde.core.combined import Summed
from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import ShapeError
from graphpde.solve.linear import LinearSolver

N, C = 7, 3


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def relation() -> Relation:
    k = torch.arange(N)
    return Relation.from_edges(torch.cat([k, (k + 1) % N]), torch.cat([(k + 1) % N, k]), N, N, coalesce=True)


def operator(relation: Relation, seed: int = 1) -> BlockSparse:
    return BlockSparse(
        relation, random(relation.n_edges, C, C, seed=seed), 8 * torch.eye(C) + random(N, C, C, seed=seed + 1)
    )


def dense(a: LinearOperator) -> Tensor:
    """The matrix by the action on unit vectors, [n c, n c]."""
    eye = torch.eye(N * C, dtype=torch.float64).reshape(N * C, N, C)
    return a(eye).reshape(N * C, N * C).T


def test_action_is_that_of_the_loop(relation: Relation) -> None:
    a, x = operator(relation), random(2, N, C, seed=5)
    y = torch.einsum("npq,bnq->bnp", a.diag, x)
    for e, (i, j) in enumerate(zip(*(s.tolist() for s in relation.pairs()), strict=True)):
        y[:, j] += x[:, i] @ a.weight[e].T
    assert torch.allclose(a(x), y, atol=1e-13)


def test_matrix_transpose_and_diagonal(relation: Relation) -> None:
    a = operator(relation)
    full = dense(a)
    assert torch.allclose(torch.from_numpy(a.to_matrix(C).toarray()), full, atol=1e-14)
    assert torch.allclose(dense(a.transpose()), full.T, atol=1e-14)
    assert torch.equal(a.diagonal().flatten(), full.diagonal())


def test_sums_multiples_and_elimination(relation: Relation) -> None:
    a = operator(relation)
    plain = Sparse(relation, random(relation.n_edges, seed=8), random(N, seed=9))
    per_channel = Sparse(relation, random(relation.n_edges, C, seed=8), random(N, C, seed=9))
    factor = random(C, seed=3)
    others = [
        operator(relation, 20),
        plain,
        per_channel,
        Diagonal(random(N, seed=4)),
        BlockDiagonal(random(N, C, C, seed=6)),
    ]
    for other in others:
        for total in (a + other, other + a):
            assert isinstance(total, BlockSparse)
            assert torch.allclose(dense(total), dense(a) + dense(other), atol=1e-13)
    mixed = plain + BlockDiagonal(random(N, C, C, seed=6))
    assert isinstance(mixed, Summed) and mixed.coupled
    fixed = torch.arange(N) % 3 == 0
    for op in (
        a * 2.5,
        a * factor,
        mixed,
        mixed * factor,
        (mixed * factor).transpose(),
        pin(a, fixed),
        pin(mixed, fixed),
    ):
        assert torch.allclose(torch.from_numpy(op.to_matrix(C).toarray()), dense(op), atol=1e-13)
    assert torch.allclose(dense(a * factor), factor.repeat(N)[:, None] * dense(a), atol=1e-13)


@pytest.mark.parametrize("method", ["direct", "gmres"])
@pytest.mark.parametrize("transposed", [False, True])
def test_solved_as_one_system(relation: Relation, method: str, transposed: bool) -> None:
    a, b = operator(relation), random(2, N, C, seed=7)
    x = LinearSolver(a, method=method, rtol=1e-13).solve(b, transposed=transposed).checked().value
    full = dense(a).T if transposed else dense(a)
    assert torch.allclose(x.reshape(2, -1), torch.linalg.solve(full, b.reshape(2, -1).T).T, atol=1e-11)


def test_conjugate_gradients_see_the_coupling(relation: Relation) -> None:
    full = operator(relation)
    weight, back = full.weight, relation.transpose().own(full.weight)
    a = BlockSparse(relation, (weight + back.mT) / 2, full.diag @ full.diag.mT + 20 * torch.eye(C), symmetric=True)
    assert torch.allclose(dense(a), dense(a).T, atol=1e-13)
    b = random(N, C, seed=7)
    x = LinearSolver(a, method="cg", rtol=1e-13, precondition=lambda r: r / 20).solve(b).checked().value
    assert torch.allclose(dense(a) @ x.flatten(), b.flatten(), atol=1e-11)


def test_gradients_through_action_and_solve(relation: Relation) -> None:
    a = operator(relation)

    def solved(weight: Tensor, diag: Tensor, b: Tensor) -> Tensor:
        op = BlockSparse(relation, weight, diag)
        return LinearSolver(op)(b) + op(b)

    inputs = [x.clone().requires_grad_() for x in (a.weight, a.diag, random(N, C, seed=2))]
    assert torch.autograd.gradcheck(solved, inputs)


def test_blocks_that_do_not_fit_are_refused(relation: Relation) -> None:
    with pytest.raises(ShapeError, match=r"blocks have shapes \[14, 3, 2\] and \[7, 3, 3\], expected \[14, c, c\]"):
        BlockSparse(relation, random(14, 3, 2), random(7, 3, 3))


@pytest.mark.parametrize("c", [1, 2, 3, 4, 6])
def test_every_number_of_channels(relation: Relation, c: int) -> None:
    """Few columns of a block are added one by one, many in one reduction."""
    weight, diag = random(relation.n_edges, c, c, seed=1), random(N, c, c, seed=2)
    a, x = BlockSparse(relation, weight, diag), random(2, 2, N, c, seed=3)
    full = torch.from_numpy(a.to_matrix(c).toarray())
    assert torch.allclose(a(x).flatten(-2), x.flatten(-2) @ full.T, atol=1e-13)
    back = a.transpose()
    assert back.weight.is_contiguous() and back.diag.is_contiguous()
    assert torch.allclose(back(x).flatten(-2), x.flatten(-2) @ full, atol=1e-13)
    single = BlockSparse(relation, weight, diag)(x.float())
    assert single.dtype == torch.float32 and torch.allclose(single, a(x).float(), atol=1e-4)
    assert torch.allclose(torch.vmap(torch.vmap(a))(x), a(x), atol=1e-13)


def test_both_orders_of_the_derivatives(relation: Relation) -> None:
    a = operator(relation)
    inputs = [x.clone().requires_grad_() for x in (a.weight, a.diag, random(N, C, seed=2))]

    def action(weight: Tensor, diag: Tensor, x: Tensor) -> Tensor:
        op = BlockSparse(relation, weight, diag)
        return op(x) + op.transpose()(x)

    assert torch.autograd.gradcheck(action, inputs, check_forward_ad=True, fast_mode=True)
    assert torch.autograd.gradgradcheck(action, inputs, fast_mode=True)


def test_states_that_do_not_fit_are_refused(relation: Relation) -> None:
    with pytest.raises(ShapeError, match=r"x has shape \[7, 2\], expected \[\*, 7, 3\]"):
        operator(relation)(random(N, 2))
