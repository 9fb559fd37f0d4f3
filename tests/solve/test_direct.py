"""Sparse factors: answers, transposes, channels, and matrices that have no inverse."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.neighbors import complete
from graphpde.core.relation import Relation
from graphpde.errors import SolveError
from graphpde.solve.direct import Factor
from graphpde.solve.result import Status

F64 = torch.float64
N = 12


def random(channels: int | None = None) -> Sparse:
    """A nonsymmetric matrix with a dominant diagonal."""
    rel = complete(N)
    shape = (channels,) if channels else ()
    return Sparse(rel, torch.randn(rel.n_edges, *shape, dtype=F64), 20 + torch.randn(N, *shape, dtype=F64))


def laplacian(n: int, parts: int = 1) -> Sparse:
    """Minus the Laplacian of ``parts`` separate cycles: singular, one constant in each kernel."""
    k = torch.arange(n * parts)
    follow = k // n * n + (k + 1) % n
    rel = Relation.from_edges(torch.cat([k, follow]), torch.cat([follow, k]), n * parts, n * parts)
    weight = rel.own((k.to(F64) + 1).sqrt().repeat(2))
    return -1.0 * Sparse.laplacian(rel, weight)


def matrix(a: LinearOperator, channel: int = 0) -> Tensor:
    return torch.from_numpy(a.to_scipy(channel).toarray())


@pytest.mark.parametrize("transposed", [False, True])
def test_factors_equal_the_dense_solution(transposed: bool) -> None:
    a, b = random(), torch.randn(N, 3, dtype=F64)
    result = Factor(a).solve(b, transposed=transposed)
    dense = matrix(a).T if transposed else matrix(a)
    assert result.status is Status.CONVERGED and result.residual <= 1e-14 and "direct solve" in result.reason
    torch.testing.assert_close(result.value, torch.linalg.solve(dense, b))


@pytest.mark.parametrize("transposed", [False, True])
def test_a_factor_for_each_channel(transposed: bool) -> None:
    a, b = random(3), torch.randn(N, 6, dtype=F64)
    x = Factor(a).solve(b, transposed=transposed).value
    for column in range(6):
        dense = matrix(a, column % 3)
        expected = torch.linalg.solve(dense.T if transposed else dense, b[:, column])
        torch.testing.assert_close(x[:, column], expected)


def test_the_type_follows_the_right_hand_side() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        assert Factor(random().to(dtype=dtype)).solve(torch.ones(N, 1, dtype=dtype)).value.dtype == dtype


def test_a_matrix_that_needs_pivoting_is_solved() -> None:
    """A zero diagonal: the relaxed pivots must give way."""
    a = Sparse(complete(N), torch.randn(N * (N - 1), dtype=F64), torch.zeros(N, dtype=F64))
    b = torch.randn(N, 1, dtype=F64)
    torch.testing.assert_close(Factor(a).solve(b).value, torch.linalg.solve(matrix(a), b), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    "singular",
    [
        Diagonal(torch.tensor([1.0, 0.0, 2.0], dtype=F64)),
        laplacian(5),
        laplacian(40, parts=3),
        laplacian(2000),
        laplacian(100) * 1e-18,
        laplacian(100) * 1e18,
    ],
    ids=["zero on the diagonal", "cycle", "three cycles", "long cycle", "tiny units", "huge units"],
)
def test_singular_matrices_are_refused_although_rounding_hides_the_zero(singular: LinearOperator) -> None:
    with pytest.raises(SolveError, match="singular; add a Dirichlet condition or a reaction term to every") as caught:
        Factor(singular)
    assert caught.value.result.status is Status.SINGULAR


@pytest.mark.parametrize("scale", [1e-18, 1.0, 1e18])
def test_units_and_pinned_rows_do_not_make_a_matrix_singular(scale: float) -> None:
    fixed = torch.zeros(2000, dtype=torch.bool)
    fixed[7] = True
    a = (laplacian(2000) * scale).pinned(fixed)
    b = torch.zeros(2000, 1, dtype=F64)
    b[7] = 4.0
    torch.testing.assert_close(Factor(a).solve(b).value[7], b[7])
    inside = Diagonal(torch.full((2000,), 1e-9 * scale, dtype=F64)) + laplacian(2000) * scale
    assert Factor(inside).solve(b * scale).converged


def test_high_contrast_is_no_reason_to_refuse() -> None:
    a = laplacian(500)
    weight = a.weight * torch.where(torch.rand(a.relation.n_edges) < 0.5, 1e8, 1.0)
    back = a.relation.transpose()
    weight = (weight + back.own(weight)) / 2
    fixed = torch.zeros(500, dtype=torch.bool)
    fixed[0] = True
    total = a.relation.collect(weight[:, None])[:, 0]
    pinned = Sparse(a.relation, weight, -total, symmetric=True).pinned(fixed)
    assert Factor(pinned).solve(torch.rand(500, 2, dtype=F64)).converged


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_never_come_back_as_a_solution(bad: float) -> None:
    b = torch.ones(N, 2, dtype=F64)
    b[3, 1] = bad
    result = Factor(random()).solve(b)
    assert result.status is Status.NON_FINITE and result.reason == "the right-hand side is not finite"
    with pytest.raises(
        SolveError, match="the matrix holds numbers that are not finite; check the coefficients"
    ) as caught:
        Factor(random() * bad)
    assert caught.value.result.status is Status.NON_FINITE


def test_a_zero_right_hand_side_and_no_nodes() -> None:
    assert float(Factor(random()).solve(torch.zeros(N, 2, dtype=F64)).value.abs().max()) == 0.0
    nothing = Sparse(Relation.from_edges([], [], 0, 0), torch.empty(0, dtype=F64), torch.empty(0, dtype=F64))
    assert Factor(nothing).solve(torch.empty(0, 2, dtype=F64)).value.shape == (0, 2)
