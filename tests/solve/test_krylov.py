"""Conjugate gradients and GMRES against dense solutions, and every way they can end."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import Action
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import SolveError
from graphpde.solve.bicgstab import bicgstab
from graphpde.solve.chebyshev import chebyshev
from graphpde.solve.krylov import KRYLOV, cg, gmres
from graphpde.solve.minres import minres
from graphpde.solve.result import Result, Status

F64 = torch.float64
N = 30


def ring(n: int = N, shift: float = 0.5, channels: int | None = None) -> Sparse:
    """Minus the Laplacian of a cycle with uneven weights, plus a shift: symmetric, positive definite for shift > 0."""
    a, b = torch.arange(n), (torch.arange(n) + 1) % n
    w = torch.linspace(1, 3, n, dtype=F64)
    if channels:
        w = w[:, None] * torch.arange(1, channels + 1)
    rel = Relation.from_edges(torch.cat([a, b]), torch.cat([b, a]), n, n)
    weight = rel.own(torch.cat([w, w]))
    total = rel.collect(weight if channels else weight[:, None])
    return Sparse(rel, -weight, (total if channels else total[:, 0]) + shift, symmetric=True)


def wind(n: int = N) -> Sparse:
    """A nonsymmetric convection operator."""
    rel = Relation.from_edges(torch.arange(n), (torch.arange(n) + 1) % n, n, n)
    return Sparse(rel, -torch.linspace(0.5, 1, n, dtype=F64), torch.full((n,), 1.5, dtype=F64))


def matrix(a: LinearOperator, channel: int = 0) -> Tensor:
    return torch.from_numpy(a.to_scipy(channel).toarray())


def true_residual(a: LinearOperator, b: Tensor, x: Tensor) -> float:
    return float((b - a.matvec(x)).norm() / b.norm())


@pytest.fixture(params=sorted(KRYLOV))
def method(request: pytest.FixtureRequest) -> Callable[..., Result]:
    return KRYLOV[request.param]


# answers


@pytest.mark.parametrize("columns", [1, 4])
def test_symmetric_positive_systems_equal_the_dense_solution(method: Callable[..., Result], columns: int) -> None:
    a, b = ring(), torch.randn(N, columns, dtype=F64) * 10.0 ** torch.arange(columns)
    result = method(a, b, rtol=1e-12)
    assert result.status is Status.CONVERGED and result.converged and result.residual <= 1e-12
    torch.testing.assert_close(result.value, torch.linalg.solve(matrix(a), b), rtol=1e-10, atol=1e-10)
    assert "relative residual" in result.reason and 0 < result.iterations <= 4 * N


def test_every_column_of_cg_converges_on_its_own_scale() -> None:
    a, b = ring(), torch.randn(N, 3, dtype=F64) * torch.tensor([1e-8, 1.0, 1e8])
    result = cg(a, b, rtol=1e-11)
    expected = torch.linalg.solve(matrix(a), b)
    assert float(((result.value - expected).norm(dim=0) / expected.norm(dim=0)).max()) <= 1e-9


def test_operators_of_their_own_on_each_channel(method: Callable[..., Result]) -> None:
    a, b = ring(channels=3), torch.randn(N, 3, dtype=F64)
    expected = torch.stack([torch.linalg.solve(matrix(a, k), b[:, k]) for k in range(3)], 1)
    torch.testing.assert_close(method(a, b, rtol=1e-12).value, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("restart", [5, 60])
def test_gmres_solves_what_is_neither_symmetric_nor_definite(restart: int) -> None:
    b = torch.randn(N, 2, dtype=F64)
    for a in (wind(), -1.0 * ring(), ring() + Diagonal(torch.tensor([1.0, -9.0], dtype=F64).repeat(N // 2))):
        result = gmres(a, b, rtol=1e-11, restart=restart, max_iterations=3000)
        assert result.converged, result.reason
        torch.testing.assert_close(result.value, torch.linalg.solve(matrix(a), b), rtol=1e-8, atol=1e-8)


def test_a_start_and_a_preconditioner_help(method: Callable[..., Result]) -> None:
    a, b = ring(), torch.randn(N, 1, dtype=F64)
    x = torch.linalg.solve(matrix(a), b)
    assert method(a, b, x0=x, rtol=1e-10).iterations == 0
    plain = method(a, b, rtol=1e-10)
    near = method(a, b, x0=x + 1e-6 * torch.randn_like(x), rtol=1e-10)
    exact = method(a, b, rtol=1e-10, precondition=lambda r: torch.linalg.solve(matrix(a), r))
    assert near.iterations < plain.iterations and exact.iterations <= 2
    torch.testing.assert_close(exact.value, x, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_preconditioner_may_hand_back_what_it_was_given(columns: int) -> None:
    a, b = ring(), torch.randn(N, columns, dtype=F64)
    kept = b.clone()
    same, copied = (cg(a, b, rtol=1e-12, precondition=p) for p in (lambda r: r, lambda r: r.clone()))
    assert torch.equal(same.value, copied.value) and torch.equal(b, kept)
    assert same.iterations <= N + 2  # exact after N directions, but for rounding


def test_gmres_knows_maps_by_their_action_only() -> None:
    dense = torch.eye(6, dtype=F64) * 3 + torch.randn(6, 6, dtype=F64) * 0.3
    a = Action(6, lambda x: dense @ x, lambda x: dense.T @ x)
    b = torch.randn(6, 2, dtype=F64)
    torch.testing.assert_close(gmres(a, b, rtol=1e-13).value, torch.linalg.solve(dense, b))


def test_a_zero_right_hand_side_has_the_zero_solution_from_any_start(method: Callable[..., Result]) -> None:
    b = torch.zeros(N, 2, dtype=F64)
    result = method(ring(), b, x0=torch.ones_like(b))
    assert result.converged and float(result.value.abs().max()) == 0.0 and result.iterations == 0
    b[:, 1] = 1.0
    result = method(ring(), b, x0=torch.ones_like(b), rtol=1e-12)
    assert result.converged and float(result.value[:, 0].abs().max()) <= 1e-12


def test_nothing_to_solve(method: Callable[..., Result]) -> None:
    assert method(ring(), torch.zeros(N, 0, dtype=F64)).converged


def test_single_precision_converges_as_far_as_rounding_allows(method: Callable[..., Result]) -> None:
    a, b = ring(shift=1e-2).to(dtype=torch.float32), torch.randn(N, 2)
    result = method(a, b, rtol=1e-10)
    assert result.converged and "all that rounding allows" in result.reason
    assert true_residual(a.to(dtype=F64), b.double(), result.value.double()) <= 1e-4


def test_the_reported_residual_is_the_true_one() -> None:
    """The recurrence of conjugate gradients goes on falling where the true residual stands still."""
    a = ring(400, shift=1e-7)
    b = torch.ones(400, 1, dtype=F64) + torch.randn(400, 1, dtype=F64)
    result = cg(a, b, rtol=1e-14)
    assert result.residual == pytest.approx(true_residual(a, b, result.value), rel=1e-6)


def test_the_same_numbers_on_every_run(method: Callable[..., Result]) -> None:
    """Whatever lies where in memory: library least squares, for one, does not keep this."""
    a, b = ring(), torch.randn(N, 3, dtype=F64)
    first = method(a, b, rtol=1e-11)
    kept = []
    for k in range(12):
        kept.append(torch.empty(k + 1))
        again = method(a, b, rtol=1e-11)
        assert torch.equal(again.value, first.value) and again.residuals == first.residuals


def test_gmres_hands_back_the_best_it_had() -> None:
    a = ring(10, shift=0.0)
    b = torch.ones(10, 2, dtype=F64)
    b[:, 1] = torch.randn(10)
    for restart in (3, 9, 10, 30):
        result = gmres(a, b, restart=restart)
        assert not result.converged and true_residual(a, b, result.value) <= 1.0 + 1e-12


# other endings


def endings() -> dict[str, tuple[str, LinearOperator, dict[str, Any], Status, str]]:
    nan = float("nan")
    return {
        "indefinite": ("cg", ring() * -1.0, {}, Status.BREAKDOWN, "not positive definite; use gmres"),
        "too few iterations, cg": ("cg", ring(), {"max_iterations": 3}, Status.MAX_ITERATIONS, "allow more iterations"),
        "no iterations at all": ("cg", ring(), {"max_iterations": 0}, Status.MAX_ITERATIONS, r"1.00e\+00 > 1.0e-10"),
        "too few iterations": ("gmres", ring(), {"max_iterations": 3}, Status.MAX_ITERATIONS, "allow more iterations"),
        "singular, cg": ("cg", ring(shift=0.0), {}, Status.BREAKDOWN, "not positive definite|singular"),
        "singular": ("gmres", ring(shift=0.0), {}, Status.BREAKDOWN, "no progress: the system is singular"),
        "zero operator": ("gmres", Diagonal(torch.zeros(N, dtype=F64)), {}, Status.BREAKDOWN, "singular"),
        "nan in the operator, cg": ("cg", ring() * nan, {}, Status.NON_FINITE, "check the right-hand side and the"),
        "nan in the operator": ("gmres", ring() * nan, {}, Status.NON_FINITE, "check the right-hand side and the"),
        "nan from an action": (
            "gmres",
            Action(N, lambda x: x * float("inf"), lambda x: x),
            {},
            Status.NON_FINITE,
            "became non-finite",
        ),
    }


@pytest.mark.parametrize("name", endings())
def test_every_ending_is_named(name: str) -> None:
    method, a, options, status, reason = endings()[name]
    b = torch.ones(N, 1, dtype=F64) + torch.randn(N, 1, dtype=F64)
    result = KRYLOV[method](a, b, **options)
    assert result.status is status, result.reason
    with pytest.raises(SolveError, match=reason) as caught:
        result.checked()
    assert caught.value.result is result and status.value in str(caught.value)
    assert result.iterations <= options.get("max_iterations", 10 * N)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_right_hand_side_that_is_not_finite_ends_at_once(method: Callable[..., Result], bad: float) -> None:
    b = torch.ones(N, 2, dtype=F64)
    b[4, 1] = bad
    result = method(ring(), b)
    assert result.status is Status.NON_FINITE and result.iterations == 0


def test_a_consistent_singular_system_has_a_solution(method: Callable[..., Result]) -> None:
    a, b = ring(shift=0.0), torch.randn(N, 2, dtype=F64)
    b = b - b.mean(0)
    result = method(a, b, rtol=1e-10)
    assert result.converged and true_residual(a, b, result.value) <= 1e-10


@pytest.mark.parametrize("columns", [1, 3])
def test_minres_solves_indefinite_systems(columns: int) -> None:
    a, b = ring(60, shift=-1.3), torch.randn(60, columns, dtype=F64)
    eigenvalues = torch.linalg.eigvalsh(matrix(a))
    assert eigenvalues[0] < -0.1 < 0.1 < eigenvalues[-1]
    result = minres(a, b, rtol=1e-12)
    assert result.status is Status.CONVERGED
    torch.testing.assert_close(result.value, torch.linalg.solve(matrix(a), b), rtol=1e-9, atol=1e-9)
    assert result.iterations <= 2 * 60


def test_the_residual_of_minres_never_grows() -> None:
    a, b = ring(60, shift=-1.3), torch.randn(60, 1, dtype=F64)
    found = minres(a, b, rtol=1e-10, precondition=lambda r: r)
    assert all(later <= earlier * (1 + 1e-12) for earlier, later in pairwise(found.residuals[:-1]))


def test_minres_takes_a_positive_preconditioner_and_refuses_another() -> None:
    a, b = ring(60, shift=-1.3), torch.randn(60, 1, dtype=F64)
    root = torch.linalg.eigh(matrix(a))
    modulus = root.eigenvectors @ torch.diag(1 / root.eigenvalues.abs()) @ root.eigenvectors.T
    exact = minres(a, b, rtol=1e-10, precondition=lambda r: modulus @ r)
    assert exact.status is Status.CONVERGED and exact.iterations <= 4  # eigenvalues 1 and -1 only
    refused = minres(a, b, precondition=lambda r: -r)
    assert refused.status is Status.BREAKDOWN and "not positive definite" in refused.reason


def test_an_inconsistent_singular_system_is_named_by_minres() -> None:
    result = minres(ring(shift=0.0), torch.ones(N, 1, dtype=F64) + torch.randn(N, 1, dtype=F64))
    assert result.status is Status.BREAKDOWN and "singular" in result.reason


@pytest.mark.parametrize("columns", [1, 2])
def test_learned_operators_are_solved_without_a_gradient(method: Callable[..., Result], columns: int) -> None:
    a = ring()
    learned = Sparse(a.relation, a.weight.clone().requires_grad_(), a.diag.clone().requires_grad_(), symmetric=True)
    b = torch.randn(N, columns, dtype=F64, requires_grad=True)
    result = method(learned, b, rtol=1e-11)
    assert result.converged and not result.value.requires_grad
    assert torch.equal(result.value, method(a, b.detach(), rtol=1e-11).value)


# BiCGStab and Chebyshev


@pytest.mark.parametrize("columns", [1, 3])
def test_bicgstab_solves_what_is_not_symmetric(columns: int) -> None:
    b = torch.randn(N, columns, dtype=F64) * 10.0 ** torch.arange(columns)
    for a in (wind(), -1.0 * wind(), -1.0 * ring()):
        found = bicgstab(a, b, rtol=1e-12)
        assert found.status is Status.CONVERGED and found.residual <= 1e-12, found.reason
        torch.testing.assert_close(found.value, torch.linalg.solve(matrix(a), b), rtol=1e-9, atol=1e-9)
        left = (b - a.matvec(found.value)).norm(dim=0) / b.norm(dim=0)
        assert float(left.max()) == pytest.approx(found.residual, rel=1e-6)


def turning(n: int = 4) -> Sparse:
    """Turns every pair of unknowns by a right angle: <x, A x> = 0 for every x, though A is regular."""
    k = torch.arange(n)
    return Sparse(
        Relation.from_edges(k ^ 1, k, n, n), torch.tensor([1.0, -1.0], dtype=F64).repeat(n // 2), torch.zeros(n)
    )


def test_the_breakdowns_of_bicgstab_are_named() -> None:
    a, b = turning(), torch.randn(4, 1, dtype=F64)
    found = bicgstab(a, b, precondition=lambda r: r)
    assert found.status is Status.BREAKDOWN and found.iterations == 0
    assert "orthogonal to the image of the direction; use gmres" in found.reason
    # s = r - alpha v is turned by a right angle: there is no stabilising step
    mixed = torch.zeros(4, 4, dtype=F64)
    mixed[:2, :2] = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    mixed[2:, 2:] = torch.tensor([[0.0, 1.0], [-1.0, 0.0]])
    mixed[:2, 2:] = mixed[2:, :2] = 0.0
    odd = Action(4, lambda x: mixed @ x, lambda x: mixed.T @ x)
    b = torch.tensor([1.0, 0.0, 1.0, 0.0], dtype=F64)[:, None]
    again = bicgstab(odd, b, precondition=lambda r: r, max_iterations=50)
    assert again.converged or "BiCGStab broke down" in again.reason or "no progress" in again.reason
    for broken, status in ((wind() * float("nan"), Status.NON_FINITE), (ring(shift=0.0), Status.BREAKDOWN)):
        b = torch.ones(N, 1, dtype=F64) + torch.randn(N, 1, dtype=F64)
        assert bicgstab(broken, b).status is status
    few = bicgstab(wind(), torch.randn(N, 1, dtype=F64), max_iterations=2)
    assert few.status is Status.MAX_ITERATIONS and few.iterations == 2


def test_the_stabilising_step_of_bicgstab_may_vanish() -> None:
    """[[1, 1], [-1, 1]] after one step of exact arithmetic leaves s with <A s, s> = |s|^2; a turn leaves none."""
    skew = torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 2.0], [0.0, -2.0, 0.0]], dtype=F64)
    shifted = skew + 1e-17 * torch.eye(3, dtype=F64)
    b = torch.tensor([[1.0], [0.0], [1.0]], dtype=F64)
    found = bicgstab(Action(3, lambda x: shifted @ x, lambda x: shifted.T @ x), b, precondition=lambda r: r)
    assert found.status is Status.BREAKDOWN and "BiCGStab broke down" in found.reason


def test_chebyshev_needs_what_the_condition_number_says() -> None:
    """T_k of Chebyshev falls by (sqrt(c) - 1) / (sqrt(c) + 1) a step, c the condition of D^-1 A."""
    for shift in (0.5, 0.02):
        a, b = ring(200, shift=shift), torch.randn(200, 2, dtype=F64)
        found = chebyshev(a, b, rtol=1e-9)
        assert found.status is Status.CONVERGED and found.residual <= 1e-9
        torch.testing.assert_close(found.value, torch.linalg.solve(matrix(a), b), rtol=1e-6, atol=1e-6)
        root = a.diag.rsqrt()
        values = torch.linalg.eigvalsh(root[:, None] * matrix(a) * root)
        c = float(values[-1] / values[0]) ** 0.5
        ideal = math.log(2e9) / math.log((c + 1) / (c - 1))
        assert 0.3 * ideal < found.iterations < 2 * ideal + 60  # conjugate gradients may need fewer than the bound


def test_chebyshev_names_its_endings() -> None:
    b = torch.randn(N, 1, dtype=F64)
    indefinite = chebyshev(ring() * -1.0, b)
    assert indefinite.status is Status.BREAKDOWN and "not positive definite; use gmres" in indefinite.reason
    few = chebyshev(ring(), b, max_iterations=5, rtol=1e-12)
    assert few.status is Status.MAX_ITERATIONS and few.iterations == 5
    assert chebyshev(ring() * float("nan"), b).status is Status.NON_FINITE
    inconsistent = chebyshev(ring(shift=0.0), b - b.mean() + 1)
    assert inconsistent.status in (Status.BREAKDOWN, Status.NON_FINITE, Status.MAX_ITERATIONS), inconsistent.reason


def test_chebyshev_finds_an_eigenvalue_that_the_start_hid() -> None:
    """A right-hand side without the top of the spectrum: rounding brings it in, and the ends move."""
    d = torch.linspace(1, 2, N, dtype=F64)
    d[-1] = 300.0
    b = torch.ones(N, 1, dtype=F64)
    b[-1] = 1e-9
    found = chebyshev(Diagonal(d), b, rtol=1e-12, precondition=lambda r: r)
    assert found.converged, found.reason
    torch.testing.assert_close(found.value, b / d[:, None], rtol=1e-9, atol=1e-14)
