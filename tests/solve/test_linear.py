"""The one door to linear solves: the stated choice of method, batches, channels and gradients through the solution."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.combined import pin
from graphpde.core.edge_difference import EdgeDifference
from graphpde.core.graph import Graph
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.neighbors import complete, knn
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError, SolveError, UnknownName
from graphpde.mesh import Q2, Space, box, rectangle
from graphpde.ops import Diffusion
from graphpde.solve.krylov import KRYLOV
from graphpde.solve.linear import LinearSolver, solve
from graphpde.solve.result import Result, Status

F64 = torch.float64
N = 8
METHODS = ("direct", *KRYLOV)


def relation(n: int = N) -> Relation:
    k = torch.arange(n - 1)
    return Relation.from_edges(torch.cat([k, k + 1]), torch.cat([k + 1, k]), n, n)


def symmetric(channels: int | None = None) -> Sparse:
    rel = relation()
    w = torch.rand(N - 1, channels or 1, dtype=F64) + 0.5
    w = rel.own(torch.cat([w, w]))
    diag = rel.collect(w) + 1
    return Sparse(rel, -w if channels else -w[:, 0], diag if channels else diag[:, 0], symmetric=True)


def matrix(a: LinearOperator, channel: int = 0) -> Tensor:
    return torch.from_numpy(a.to_scipy(channel).toarray())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("shape", [(N, 1), (N, 3), (4, N, 2), (2, 3, N, 1)])
def test_any_batch_equals_the_dense_solution(method: str, shape: tuple[int, ...]) -> None:
    a, b = symmetric(), torch.randn(*shape, dtype=F64)
    expected = torch.linalg.solve(matrix(a), b)
    solver = LinearSolver(a, method=method, rtol=1e-12)
    torch.testing.assert_close(solver(b), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(solver(b, x0=expected), expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(solver.solve(b, transposed=True).value, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(solve(a, b, method=method), expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("method", ["direct", "gmres"])
def test_the_transposed_system(method: str) -> None:
    rel = complete(N)
    a = Sparse(rel, torch.randn(rel.n_edges, dtype=F64), torch.full((N,), 12.0, dtype=F64))
    b = torch.randn(3, N, 2, dtype=F64)
    result = LinearSolver(a, method=method, rtol=1e-13).solve(b, transposed=True)
    torch.testing.assert_close(result.value, torch.linalg.solve(matrix(a).T, b))


@pytest.mark.parametrize("method", METHODS)
def test_every_channel_has_its_own_operator(method: str) -> None:
    a, b = symmetric(3), torch.randn(N, 3, dtype=F64)
    expected = torch.stack([torch.linalg.solve(matrix(a, k), b[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(LinearSolver(a, method=method, rtol=1e-12)(b), expected, rtol=1e-9, atol=1e-9)


def test_a_batch_for_operators_of_their_own_needs_the_direct_method() -> None:
    a, b = symmetric(3), torch.randn(2, N, 3, dtype=F64)
    x = LinearSolver(a, method="direct")(b)
    for k in range(3):
        torch.testing.assert_close(x[..., k], torch.linalg.solve(matrix(a, k), b[..., k].T).T)
    with pytest.raises(InputError, match="a batched solve with 3 per-channel operators needs method='direct'"):
        LinearSolver(a, method="cg")(b)


def test_the_method_is_chosen_by_the_stated_rule() -> None:
    assert LinearSolver(symmetric()).method == "direct"
    big = relation(500_000)
    w = torch.full((big.n_edges,), -1.0, dtype=F64)
    for known in (True, False):
        a = Sparse(big, w, torch.full((big.n_dst,), 3.0, dtype=F64), symmetric=known)
        assert LinearSolver(a).method == ("cg" if known else "gmres")
    blind = Action(N, lambda x: 2 * x, lambda x: 2 * x)
    assert LinearSolver(blind).method == "gmres"
    assert LinearSolver(Action(N, lambda x: 2 * x, lambda x: 2 * x, symmetric=True)).method == "cg"
    dense = Sparse(
        complete(400), torch.ones(400 * 399, dtype=F64), torch.full((400,), 500.0, dtype=F64), symmetric=True
    )
    assert LinearSolver(dense).method == "cg", "a full matrix fills in"


def test_the_edge_difference_form_is_solved_by_its_sparse_twin() -> None:
    src, dst = knn(torch.rand(20, 2), 3).pairs()
    graph = Graph(Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), 20, 20, coalesce=True))
    found = graph.incidence
    laplacian = Sparse.laplacian(graph.edges, graph.weight)
    edges = EdgeDifference(found, graph.weight[found.edge], laplacian)
    a = Diagonal(torch.ones(20, dtype=F64)) + edges * -0.5
    solver = LinearSolver(a)
    assert isinstance(solver.a, Sparse) and solver.method == "direct"
    b = torch.randn(20, 2, dtype=F64)
    torch.testing.assert_close(a(solver(b)), b)
    fixed = torch.arange(20) < 3
    torch.testing.assert_close(pin(a, fixed)(LinearSolver(pin(a, fixed))(b)), b)


# gradients


@pytest.mark.grad
@pytest.mark.parametrize("method", METHODS)
def test_gradients_reach_the_right_hand_side_and_the_weights(method: str) -> None:
    rel, half = relation(5), torch.rand(4, dtype=F64).requires_grad_()
    b = torch.randn(2, 5, 2, dtype=F64).requires_grad_()
    reaction = torch.tensor(1.5, dtype=F64).requires_grad_()

    def solution(b: Tensor, half: Tensor, reaction: Tensor) -> Tensor:
        laplacian = Sparse.laplacian(rel, rel.own(torch.cat([half, half])))
        a = Diagonal(torch.ones(5, dtype=F64) * reaction) + laplacian * -1.0
        return LinearSolver(a, method=method, rtol=1e-14)(b)

    assert torch.autograd.gradcheck(solution, (b, half, reaction))


@pytest.mark.grad
@pytest.mark.parametrize("method", ["direct", "gmres"])
def test_gradients_of_nonsymmetric_systems_use_the_transpose(method: str) -> None:
    rel = complete(5)
    weight = torch.randn(rel.n_edges, dtype=F64).requires_grad_()
    diag = (8 + torch.randn(5, dtype=F64)).requires_grad_()
    b = torch.randn(5, 1, dtype=F64).requires_grad_()
    f = lambda w, d, b: LinearSolver(Sparse(rel, w, d), method=method, rtol=1e-14)(b)  # noqa: E731
    assert torch.autograd.gradcheck(f, (weight, diag, b))


@pytest.mark.grad
def test_gradients_of_a_tensor_for_each_channel() -> None:
    rel = complete(4)
    weight = torch.randn(rel.n_edges, 2, dtype=F64).requires_grad_()
    diag = (8 + torch.randn(4, 2, dtype=F64)).requires_grad_()
    b = torch.randn(3, 4, 2, dtype=F64)
    assert torch.autograd.gradcheck(lambda w, d: LinearSolver(Sparse(rel, w, d), method="direct")(b), (weight, diag))


@pytest.mark.grad
def test_a_map_known_by_its_action_gives_gradients_to_what_it_closes_over() -> None:
    b = torch.randn(4, 2, dtype=F64)
    base = torch.eye(4, dtype=F64) * 4

    def solution(m: Tensor) -> Tensor:
        a = Action(4, lambda x: (base + m) @ x, lambda x: (base + m).T @ x)
        return LinearSolver(a, rtol=1e-14)(b)

    assert torch.autograd.gradcheck(solution, (torch.randn(4, 4, dtype=F64).requires_grad_(),))


@pytest.mark.grad
def test_blocks_at_the_nodes() -> None:
    b = torch.randn(5, 2, dtype=F64).requires_grad_()
    blocks = (torch.randn(5, 2, 2, dtype=F64) + 4 * torch.eye(2)).requires_grad_()
    f = lambda blocks, b: LinearSolver(BlockDiagonal(blocks), rtol=1e-14)(b)  # noqa: E731
    torch.testing.assert_close(f(blocks, b), torch.linalg.solve(blocks, b))
    assert torch.autograd.gradcheck(f, (blocks, b))


def test_nothing_is_recorded_without_need() -> None:
    b = torch.randn(N, 1, dtype=F64)
    assert not LinearSolver(symmetric())(b).requires_grad
    with torch.no_grad():
        assert not LinearSolver(symmetric())(b.clone().requires_grad_()).requires_grad


# refusals


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: LinearSolver(symmetric(), method="cgs"),
            UnknownName,
            "unknown solver 'cgs'; known: .*; did you mean 'cg'",
        ),
        (lambda: solve(symmetric(), torch.ones(3, 1)), ShapeError, r"b has shape \[3, 1\], expected \[\*, 8, c\]"),
        (lambda: solve(symmetric(), torch.ones(N)), ShapeError, r"b has shape \[8\], expected \[\*, 8, c\]"),
        (
            lambda: solve(symmetric(3), torch.ones(3, N, 1)),
            ShapeError,
            r"b has shape \[3, 8, 1\], expected \[\*, 8, 3\]",
        ),
    ],
)
def test_what_does_not_fit_is_refused(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("method", METHODS)
def test_no_unusable_answer_is_handed_out(method: str) -> None:
    singular = symmetric() + Diagonal(torch.full((N,), -1.0, dtype=F64))
    b = torch.ones(N, 1, dtype=F64)
    with pytest.raises(SolveError) as caught:
        LinearSolver(singular, method=method)(b)
    assert caught.value.result.status in (Status.SINGULAR, Status.BREAKDOWN)
    with pytest.raises(SolveError) as caught:
        LinearSolver(symmetric(), method=method)(b * float("nan"))
    assert caught.value.result.status is Status.NON_FINITE


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_solve_for_is_solved(method: str) -> None:
    assert LinearSolver(symmetric(), method=method)(torch.ones(2, N, 0, dtype=F64)).shape == (2, N, 0)
    nothing = Sparse(Relation.from_edges([], [], 0, 0), torch.empty(0, dtype=F64), torch.empty(0, dtype=F64))
    assert LinearSolver(nothing, method=method)(torch.ones(0, 2, dtype=F64)).shape == (0, 2)


def test_quadratic_bricks_are_factored() -> None:
    """Many entries in each row, few unknowns: the rule counts both."""
    space = Space(box(6, 6, 6, cells="hexahedron"), Q2())
    assert space.edges.n_edges / space.n > 50
    a = space.consistent_mass - Diffusion(space).operator
    assert space.n * (space.edges.n_edges / space.n + 1) ** 2 > 4e6
    assert LinearSolver(a).method == "direct"


def test_an_indefinite_system_goes_on_with_minres(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphpde.solve.linear._choose", lambda a: "cg")  # as beyond the size that is factored
    space = Space(rectangle(20, 20))
    fixed = torch.zeros(space.n, dtype=torch.bool)
    fixed[space.tag("boundary").nodes] = True
    a = pin(Diffusion(space).operator + Diagonal(60.0 * space.measure), fixed)
    solver, b = LinearSolver(a, rtol=1e-10), torch.randn(space.n, 2, dtype=F64)
    for _ in range(2):
        torch.testing.assert_close(solver(b), torch.linalg.solve(matrix(a), b), rtol=1e-6, atol=1e-6)
        assert solver.method == "minres"


def test_multigrid_is_taken_up_where_it_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyamg")
    monkeypatch.setattr("graphpde.solve.linear._choose", lambda a: "cg")  # as beyond the size that is factored
    space = Space(rectangle(60, 60))
    fixed = torch.zeros(space.n, dtype=torch.bool)
    fixed[space.tag("boundary").nodes] = True
    a = pin(Diffusion(space).operator * -1.0, fixed)

    def solved(operator: LinearOperator) -> tuple[Result, LinearSolver]:
        solver, b = LinearSolver(operator, rtol=1e-10), torch.randn(space.n, 1, dtype=F64)
        found = solver.solve(b).checked()
        assert float((b - operator.matvec(found.value)).norm() / b.norm()) < 1.01e-10
        return found, solver

    at_once, solver = solved(a)  # rows without a sum promise nothing
    assert at_once.iterations < 20 and solver._automatic.hierarchy is not None
    later, solver = solved(a + Diagonal(0.03 * a.diagonal()))
    assert 60 < later.iterations < 80 and len(later.residuals) == later.iterations + 1
    assert solver.solve(torch.randn(space.n, 1, dtype=F64)).iterations < 20
    never, solver = solved(a + Diagonal(a.diagonal()))
    assert never.iterations < 60 and solver._automatic.hierarchy is None


def test_multigrid_is_left_out_where_it_cannot_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graphpde.solve.linear._choose", lambda a: "cg")
    monkeypatch.setitem(sys.modules, "pyamg", None)
    space = Space(rectangle(30, 30))
    a = Diffusion(space).operator * -1.0 + Diagonal(0.01 * space.measure)
    b = torch.randn(space.n, 1, dtype=F64)
    found = LinearSolver(a, rtol=1e-8).solve(b).checked()
    assert found.iterations > 60
    assert float((b - a.matvec(found.value)).norm() / b.norm()) < 1.01e-8
