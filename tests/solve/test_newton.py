"""Newton's method on systems with known roots, its speed, and every way it can end."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import SolveError
from graphpde.solve.newton import Corrector, newton
from graphpde.solve.result import Status

F64 = torch.float64
N = 20


def chain(n: int = N) -> Sparse:
    """Minus the second difference with fixed ends: positive definite."""
    k = torch.arange(n - 1)
    rel = Relation.from_edges(torch.cat([k, k + 1]), torch.cat([k + 1, k]), n, n)
    return Sparse(rel, torch.full((2 * n - 2,), -1.0, dtype=F64), torch.full((n,), 2.0, dtype=F64), symmetric=True)


Parts = tuple[Callable[[Tensor], Tensor], Callable[[Tensor], LinearOperator]]


def cubic(root: Tensor) -> Parts:
    """A u + u^3 = b with b made for the root."""
    a = chain(len(root))
    b = a.matvec(root) + root**3
    return lambda u: a.matvec(u) + u**3 - b, lambda u: a + BlockDiagonal(torch.diag_embed(3 * u**2))


def scalar(f: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor]) -> Parts:
    return f, lambda u: BlockDiagonal(slope(u)[..., None])


def test_a_known_root_is_found_quadratically() -> None:
    root = torch.sin(torch.linspace(0, 3, N, dtype=F64))[:, None] * torch.tensor([1.0, -2.0])
    result = newton(*cubic(root), torch.zeros(N, 2, dtype=F64))
    assert result.status is Status.CONVERGED and "Newton residual" in result.reason
    torch.testing.assert_close(result.value, root, rtol=1e-9, atol=1e-9)
    history = result.residuals
    assert history[0] == 1.0 and history[-1] <= 1e-10 and result.iterations == len(history) - 1 <= 9
    # the exponent of the last steps: at least superlinear
    steps = [history[k + 1] / history[k] ** 1.5 for k in range(len(history) - 1) if 1e-8 < history[k] < 1e-1]
    assert steps and max(steps) < 10


def test_channels_that_are_coupled() -> None:
    """x^2 + y^2 = 4 and x y = 1 at every node."""

    def residual(u: Tensor) -> Tensor:
        x, y = u.unbind(-1)
        return torch.stack([x * x + y * y - 4, x * y - 1], -1)

    def jacobian(u: Tensor) -> LinearOperator:
        x, y = u.unbind(-1)
        return BlockDiagonal(torch.stack([torch.stack([2 * x, 2 * y], -1), torch.stack([y, x], -1)], -2))

    u = newton(residual, jacobian, torch.tensor([[2.0, 0.3]], dtype=F64).repeat(3, 1)).checked().value
    big = (6**0.5 + 2**0.5) / 2
    torch.testing.assert_close(u, torch.tensor([[big, 1 / big]], dtype=F64).repeat(3, 1))


def test_linear_systems_take_one_step_and_a_root_none() -> None:
    a, b = chain(), torch.randn(N, 1, dtype=F64)
    f = lambda u: a.matvec(u) - b  # noqa: E731
    exact = torch.linalg.solve(torch.from_numpy(a.to_scipy().toarray()), b)
    result = newton(f, lambda u: a, torch.zeros_like(b), precondition=lambda r: torch.linalg.solve(matrix(a), r))
    assert result.converged and result.iterations == 1
    assert newton(f, lambda u: a, torch.zeros_like(b), max_iterations=1, rtol=1e-2).converged, (
        "judged after the last step"
    )
    result = newton(f, lambda u: a, exact)
    assert result.converged and result.iterations <= 1
    zero = newton(lambda u: u * 0, lambda u: a, b)
    assert zero.converged and zero.iterations == 0 and torch.equal(zero.value, b)


def matrix(a: LinearOperator) -> Tensor:
    return torch.from_numpy(a.to_scipy().toarray())


def test_a_far_start_is_brought_home_by_the_line_search() -> None:
    """Full steps for arctan diverge from |u| > 1.39."""
    parts = scalar(torch.atan, lambda u: 1 / (1 + u**2))
    result = newton(*parts, torch.tensor([[20.0]], dtype=F64))
    assert result.converged and abs(float(result.value)) <= 1e-8


def test_single_precision_stops_at_its_rounding() -> None:
    root = torch.linspace(0.5, 2, N)[:, None]
    a = chain().to(dtype=torch.float32)
    b = a.matvec(root) + root**3
    result = newton(
        lambda u: a.matvec(u) + u**3 - b,
        lambda u: a + BlockDiagonal(torch.diag_embed(3 * u**2)),
        torch.zeros(N, 1),
        scale=float(b.norm()) * 2,
    )
    assert result.converged, result.reason
    torch.testing.assert_close(result.value, root, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("parts", "start", "limit", "status", "reason"),
    [
        (
            scalar(lambda u: u**2 + 1, lambda u: 2 * u),
            1.0,
            40,
            Status.STAGNATION,
            "Newton made no progress at residual",
        ),
        (scalar(lambda u: u**2 + 1, lambda u: 0 * u), 1.0, 40, Status.STAGNATION, "a better initial guess"),
        (scalar(torch.exp, torch.exp), 0.0, 5, Status.MAX_ITERATIONS, "after 5 Newton iterations; take a smaller step"),
        (scalar(lambda u: u - 1, lambda u: u / 0), 2.0, 40, Status.NON_FINITE, "the Jacobian became non-finite"),
        (
            scalar(torch.log, lambda u: 1 / u),
            -1.0,
            40,
            Status.NON_FINITE,
            "residual of the initial guess is not finite",
        ),
        (scalar(lambda u: 1 / u, lambda u: -1 / u**2), 0.0, 40, Status.NON_FINITE, "the initial guess is not finite"),
    ],
    ids=["no root", "flat", "root at infinity", "bad slope", "nan at the start", "infinite at the start"],
)
def test_every_ending_is_named(parts: Parts, start: float, limit: int, status: Status, reason: str) -> None:
    result = newton(*parts, torch.full((2, 1), start, dtype=F64), max_iterations=limit)
    assert result.status is status, result.reason
    with pytest.raises(SolveError, match=reason) as caught:
        result.checked()
    assert caught.value.result is result and result.iterations <= limit


def test_a_jacobian_known_by_its_action_is_enough() -> None:
    root = torch.linspace(0.1, 1, N, dtype=F64)[:, None]
    residual, _ = cubic(root)

    def jacobian(u: Tensor) -> LinearOperator:
        forward = lambda v: torch.func.jvp(residual, (u,), (v,))[1]  # noqa: E731
        return Action(N, forward, lambda v: torch.func.vjp(residual, u)[1](v)[0])

    torch.testing.assert_close(newton(residual, jacobian, torch.ones_like(root)).checked().value, root)


# corrections


def test_a_matrix_is_factored_where_nothing_is_known_of_its_inverse() -> None:
    """A chain of 400 nodes takes GMRES as many iterations as it has nodes; factored it takes one."""
    a, b = chain(400), torch.randn(400, 2, dtype=F64)
    found = Corrector().solve(a, b, rtol=1e-12)
    assert found.converged and found.iterations == 1 and "direct" in found.reason
    torch.testing.assert_close(a.matvec(found.value), b)


def test_the_last_factorisation_serves_the_next_matrix() -> None:
    corrector, b = Corrector(), torch.randn(400, 1, dtype=F64)
    corrector.solve(chain(400), b, rtol=1e-12)
    near = corrector.solve(chain(400) + Diagonal(torch.full((400,), 1e-6, dtype=F64)), b, rtol=1e-12)
    assert near.converged and near.iterations > 1 and "direct" not in near.reason
    far = corrector.solve(chain(400) + Diagonal(torch.linspace(1, 1e4, 400, dtype=F64)), b, rtol=1e-12)
    assert far.converged and "direct" in far.reason


@pytest.mark.parametrize("poor", [lambda r: r, lambda r: r * torch.linspace(1, 1e6, 400, dtype=F64)[:, None]])
def test_a_poor_preconditioner_is_given_up(poor: Callable[[Tensor], Tensor]) -> None:
    a, b = chain(400), torch.randn(400, 1, dtype=F64)
    found = Corrector(poor).solve(a, b, rtol=1e-12)
    assert found.converged and "direct" in found.reason


def test_a_poor_preconditioner_of_an_action_is_all_there_is() -> None:
    a, b = chain(), torch.randn(N, 1, dtype=F64)
    found = Corrector(lambda r: r).solve(Action(N, a.matvec, a.matvec), b, rtol=1e-12)
    assert found.converged and "direct" not in found.reason


def test_a_singular_matrix_still_gives_a_step() -> None:
    """Two nodes joined to nothing and a right-hand side that does not ask about them."""
    a = chain() * torch.ones((), dtype=F64)
    free = Diagonal(torch.tensor([0.0] + [1.0] * (N - 1), dtype=F64))
    b = torch.ones(N, 1, dtype=F64)
    b[0] = 0
    found = Corrector().solve(free, b, rtol=1e-10)
    assert found.converged and torch.allclose(found.value[1:], b[1:])
    assert Corrector().solve(a * float("nan"), b, rtol=1e-10).status is Status.NON_FINITE


def test_steps_too_long_by_orders_are_shortened() -> None:
    """u^3 = 1 from 1e-5: the first correction is 3e9 times the root."""
    result = newton(*scalar(lambda u: u**3 - 1, lambda u: 3 * u**2), torch.full((2, 1), 1e-5, dtype=F64))
    assert result.converged and torch.allclose(result.value, torch.ones(2, 1, dtype=F64))
