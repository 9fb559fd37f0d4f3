"""A space kept between similar systems saves products, changes no solution, and fails by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.solve.krylov import cg
from graphpde.solve.recycling import Recycling, sorted_sequence
from graphpde.solve.result import Status

F64 = torch.float64
N = 300


def chain(weights: Tensor, shift: float = 0.0) -> Sparse:
    """-(w u')' with fixed ends on N nodes, weights [N + 1]: condition about N^2."""
    n = len(weights) - 1
    k = torch.arange(n - 1)
    rel = Relation.from_edges(torch.cat([k, k + 1]), torch.cat([k + 1, k]), n, n)
    weight = rel.own(torch.cat([weights[1:-1], weights[1:-1]]))
    return Sparse(rel, -weight, weights[1:] + weights[:-1] + shift, symmetric=True)


def family(count: int, size: float = 0.3) -> list[Sparse]:
    x = torch.linspace(0, 1, N + 1, dtype=F64)
    return [chain(torch.exp(size * torch.sin(2 * torch.pi * x + 0.3 * k))) for k in range(count)]


class Counting(LinearOperator):
    """An operator that counts the columns it was applied to."""

    def __init__(self, base: LinearOperator):
        self.base, self.n, self.symmetric, self.count = base, base.n, base.symmetric, 0

    def matvec(self, x: Tensor) -> Tensor:
        self.count += x.shape[1]
        return self.base.matvec(x)

    def diagonal(self) -> Tensor | None:
        return self.base.diagonal()


def rhs(columns: int = 1, seed: int = 0) -> Tensor:
    return torch.randn(N, columns, dtype=F64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("columns", [1, 3])
def test_solutions_are_those_of_plain_conjugate_gradients_for_less(columns: int) -> None:
    keeper, products, plain = Recycling(10, window=40, rtol=1e-10), 0, 0
    for k, a in enumerate(family(10)):
        counting, b = Counting(a), rhs(columns, k)
        found = keeper.solve(counting, b)
        alone = cg(a, b, rtol=1e-10)
        assert found.status is Status.CONVERGED
        left = (b - a.matvec(found.value)).norm(dim=0) / b.norm(dim=0)
        assert float(left.max()) <= 1e-10 and found.residual == pytest.approx(float(left.max()))
        # both residuals are small: the solutions differ by at most the condition number times that
        assert float((found.value - alone.value).norm() / alone.value.norm()) <= 1e-7
        products += counting.count
        plain += columns * alone.iterations
    assert keeper.products == products, "every product is counted"
    assert products < 0.75 * plain  # the first system learns, the others gain


def test_the_space_holds_the_smallest_eigenvectors() -> None:
    """After a few solves with one operator, the directions that are left belong to the others: as deflation by them."""
    a = family(1)[0]
    keeper = Recycling(8, window=80, solutions=0, rtol=1e-10)
    taken = [keeper.solve(a, rhs(seed=k)).iterations for k in range(8)]
    root = a.diag.rsqrt()
    matrix = root[:, None] * torch.from_numpy(a.to_scipy().toarray()) * root
    values = torch.linalg.eigvalsh(matrix)
    ideal = float((values[-1] / values[8]).sqrt() / (values[-1] / values[0]).sqrt())
    assert ideal < 0.2 and taken[-1] < 0.7 * taken[0] == 0.7 * N  # the first ends by the number of directions alone
    assert keeper._kept is not None
    z = keeper._kept / root[:, None]  # eigenvectors of D^-1 A as those of the symmetric form
    basis = torch.linalg.qr(z).Q
    found = torch.linalg.eigvalsh(basis.T @ matrix @ basis)
    torch.testing.assert_close(found[:4], values[:4], rtol=1e-2, atol=0.0)


def test_the_last_solution_is_a_start_that_never_does_harm() -> None:
    a = family(1)[0]
    b = rhs()
    keeper = Recycling(0, solutions=1, rtol=1e-8)
    first = keeper.solve(a, b)
    assert keeper.solve(a, 3 * b).iterations == 0  # a multiple of what was solved
    strange = rhs(seed=5)
    alone = Recycling(0, solutions=0, rtol=1e-8).solve(a, strange)
    kept = keeper.solve(a, strange)
    assert kept.iterations <= alone.iterations + 2 and first.iterations > 100


def test_dependent_solutions_are_dropped() -> None:
    """Twelve times almost the same system: the last solutions are one vector but for rounding."""
    x = torch.linspace(0, 1, N + 1, dtype=F64)
    keeper, b = Recycling(6, window=40, solutions=10, rtol=1e-10), rhs()
    for k in range(12):
        a = chain(torch.exp(0.3 * torch.sin(2 * torch.pi * x + 1e-9 * k)))
        assert keeper.solve(a, b).converged


def test_a_zero_right_hand_side_a_start_and_single_precision() -> None:
    a = family(1)[0]
    keeper = Recycling(4, rtol=1e-9)
    zero = keeper.solve(a, torch.zeros(N, 2, dtype=F64), x0=torch.ones(N, 2, dtype=F64))
    assert zero.converged and zero.iterations == 0 and float(zero.value.abs().max()) == 0.0
    b = rhs()
    x = keeper.solve(a, b).value
    assert Recycling(4, rtol=1e-8).solve(a, b, x0=x).iterations == 0
    small = keeper.solve(a.to(dtype=torch.float32), b.float())
    assert small.value.dtype == torch.float32 and (small.converged or "no progress" in small.reason)


def test_an_exact_preconditioner_leaves_nothing_to_recycle() -> None:
    a, b = family(1)[0], rhs()
    matrix = torch.from_numpy(a.to_scipy().toarray())
    found = Recycling(4).solve(a, b, precondition=lambda r: torch.linalg.solve(matrix, r))
    assert found.converged and found.iterations <= 2


def endings() -> dict[str, tuple[LinearOperator, dict[str, Any], Status, str]]:
    a = family(1)[0]
    return {
        "indefinite": (a * -1.0, {}, Status.BREAKDOWN, "not positive definite; use gmres"),
        "too few iterations": (a, {"max_iterations": 3}, Status.MAX_ITERATIONS, "allow more iterations"),
        "not finite": (a * float("nan"), {}, Status.NON_FINITE, "became non-finite"),
    }


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("name", endings())
def test_every_ending_is_named(name: str, warm: bool) -> None:
    a, options, status, reason = endings()[name]
    keeper = Recycling(4, window=10)
    if warm:  # with a space, whose vectors meet the operator first
        keeper.solve(family(1)[0], rhs())
    keeper.max_iterations = options.get("max_iterations")
    result = keeper.solve(a, rhs(seed=3))
    assert result.status is status and reason in result.reason
    keeper.max_iterations = None
    assert keeper.solve(family(1)[0], rhs(seed=4)).converged, "and it goes on afterwards"


def test_what_cannot_be_recycled_is_refused() -> None:
    rel = Relation.from_edges([0, 1], [1, 0], 2, 2)
    blocks = BlockSparse(rel, torch.zeros(2, 2, 2, dtype=F64), torch.eye(2, dtype=F64).repeat(2, 1, 1), symmetric=True)
    lopsided = Sparse(rel, torch.tensor([0.1, 0.2], dtype=F64), torch.ones(2, dtype=F64))
    for a, words in ((lopsided, "not declared symmetric; use gmres"), (blocks, "solve them one by one")):
        with pytest.raises(InputError, match=words):
            Recycling().solve(a, torch.ones(2, 1, dtype=F64))
    keeper = Recycling()
    with pytest.raises(ShapeError, match=r"b has shape \[3, 1\], expected \[300, k\]"):
        keeper.solve(family(1)[0], torch.ones(3, 1, dtype=F64))
    keeper.solve(family(1)[0], rhs())
    with pytest.raises(ShapeError, match="has 2 unknowns, those before it 300"):
        keeper.solve(Diagonal(torch.ones(2, dtype=F64)), torch.ones(2, 1, dtype=F64))
    for bad in ({"size": -1}, {"window": 0}, {"solutions": 0.5}):
        with pytest.raises(InputError, match=next(iter(bad))):
            Recycling(**bad)  # type: ignore[arg-type]


def test_a_sorted_sequence_walks_along_a_line() -> None:
    t = torch.randperm(30, generator=torch.Generator().manual_seed(0)).to(F64)
    points = torch.stack([t, 2 * t, 0 * t], 1)
    order = sorted_sequence(points)
    assert sorted(order.tolist()) == list(range(30))
    steps = (points[order][1:] - points[order][:-1]).norm(dim=1)
    assert float(steps.sum()) <= 1.6 * 29 * 5**0.5  # from the middle to one end, then over to the other half
    assert int((steps > 1.01 * 5**0.5).sum()) <= 1
    assert float(t[order[0]]) in (14.0, 15.0)


def test_a_sorted_sequence_shortens_the_way_through_random_fields() -> None:
    fields = torch.randn(50, 2, 3, dtype=F64, generator=torch.Generator().manual_seed(1))
    order = sorted_sequence(fields)
    way = lambda f: float((f[1:] - f[:-1]).flatten(1).norm(dim=1).sum())  # noqa: E731
    assert way(fields[order]) < 0.8 * way(fields)
    assert sorted_sequence(torch.zeros(0, 3)).tolist() == [] and sorted_sequence(torch.ones(1)).tolist() == [0]
    with pytest.raises(ShapeError, match="one row a system"):
        sorted_sequence(torch.tensor(1.0))
