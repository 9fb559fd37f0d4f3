"""Picard's iteration and Anderson's acceleration on maps whose fixed points are known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core.jacobian import Action
from graphpde.errors import InputError, SolveError
from graphpde.solve.fixed_point import picard
from graphpde.solve.krylov import gmres
from graphpde.solve.result import Status

F64 = torch.float64
N = 30


def affine(radius: float) -> tuple[Tensor, Tensor, Tensor]:
    """Matrix of this spectral radius, b, and the fixed point of u = G u + b."""
    generator = torch.Generator().manual_seed(0)
    q = torch.linalg.qr(torch.randn(N, N, dtype=F64, generator=generator)).Q
    g = q @ torch.diag(torch.linspace(-0.5, 1, N, dtype=F64) * radius) @ q.T
    b = torch.randn(N, 1, dtype=F64, generator=generator)
    return g, b, torch.linalg.solve(torch.eye(N, dtype=F64) - g, b)


def test_picard_contracts_at_the_rate_of_the_map() -> None:
    g, b, fixed = affine(0.8)
    found = picard(lambda u: g @ u + b, torch.zeros_like(b), rtol=1e-10)
    assert found.status is Status.CONVERGED and found.residual <= 1e-10
    torch.testing.assert_close(found.value, fixed, rtol=1e-8, atol=1e-8)
    rate = (found.residuals[-1] / found.residuals[-11]) ** 0.1
    assert rate == pytest.approx(0.8, abs=0.01)


def test_damping_makes_an_oscillating_map_converge() -> None:
    g = lambda u: 2 - 1.5 * u  # noqa: E731
    u0 = torch.zeros(3, 1, dtype=F64)
    assert picard(g, u0).status is Status.STAGNATION
    damped = picard(g, u0, damping=0.5)  # 1 - 0.5 * 2.5 = -0.25 a step
    assert damped.converged
    assert damped.residuals[5] / damped.residuals[4] == pytest.approx(0.25)
    torch.testing.assert_close(damped.value, torch.full((3, 1), 0.8, dtype=F64))


def test_anderson_is_gmres_on_affine_maps() -> None:
    """Walker and Ni 2011, theorem 2.2: u_{k+1} = g of the k-th iterate of GMRES, while nothing is dropped."""
    g, b, fixed = affine(3.0)  # a map that does not contract: Picard alone diverges
    assert picard(lambda u: g @ u + b, torch.zeros_like(b)).status is Status.STAGNATION
    iterates: list[Tensor] = []

    def seen(u: Tensor) -> Tensor:
        iterates.append(u.clone())
        return g @ u + b

    found = picard(seen, torch.zeros_like(b), depth=N, rtol=1e-9)
    assert found.converged and found.iterations <= N + 2
    torch.testing.assert_close(found.value, fixed, rtol=1e-6, atol=1e-6)
    a = Action(N, lambda x: x - g @ x, lambda x: x - g.T @ x)
    for k in (2, 5, 8):
        by_gmres = gmres(a, b, max_iterations=k, rtol=1e-14, precondition=lambda r: r).value
        torch.testing.assert_close(iterates[k + 1], g @ by_gmres + b, rtol=1e-6, atol=1e-8)


def test_anderson_saves_iterations_on_a_nonlinear_map() -> None:
    """u = cos u at every node, and a discrete Laplacian that makes the map slow."""
    n = 40
    a = 2 * torch.eye(n, dtype=F64) - torch.diag(torch.ones(n - 1, dtype=F64), 1) - torch.diag(torch.ones(n - 1), -1)

    def g(u: Tensor) -> Tensor:
        return u - 0.45 * (a @ u + 0.05 * (u - torch.cos(u)))

    slow = picard(g, torch.zeros(n, 1, dtype=F64), rtol=1e-8, max_iterations=5000)
    fast = picard(g, torch.zeros(n, 1, dtype=F64), depth=8, rtol=1e-8)
    assert slow.converged and fast.converged and fast.iterations < 0.4 * slow.iterations
    torch.testing.assert_close(fast.value, slow.value, rtol=1e-5, atol=1e-6)


def test_batches_and_dependent_iterates() -> None:
    g = lambda u: torch.cos(u)  # noqa: E731
    found = picard(g, torch.zeros(2, 5, 3, dtype=F64), depth=5, rtol=1e-12)  # all nodes alike: differences are parallel
    assert found.converged and found.iterations <= 10
    torch.testing.assert_close(found.value, torch.full((2, 5, 3), 0.7390851332151607, dtype=F64))
    still = picard(g, found.value, depth=2, rtol=1e-3, atol=1e-9)
    assert still.converged and still.iterations == 0


@pytest.mark.parametrize("n", [1, 2])
def test_more_differences_than_unknowns(n: int) -> None:
    """With one unknown and one difference it is the secant method, which needs a handful of steps."""
    found = picard(torch.cos, torch.linspace(0, 1, n, dtype=F64)[:, None], depth=5, rtol=1e-12)
    assert found.converged and found.iterations <= 10
    torch.testing.assert_close(found.value, torch.full((n, 1), 0.7390851332151607, dtype=F64))


def test_endings_are_named() -> None:
    u0 = torch.ones(2, 1, dtype=F64)
    few = picard(lambda u: 0.9 * u + 1, u0, max_iterations=3)
    assert few.status is Status.MAX_ITERATIONS and few.iterations == 3
    grown = picard(lambda u: 3 * u + 1, u0)
    assert grown.status is Status.STAGNATION and "does not contract; use depth, damping or newton" in grown.reason
    bad = picard(lambda u: torch.log(u - 1.5), u0)
    assert bad.status is Status.NON_FINITE and "at iteration 0" in bad.reason
    with pytest.raises(SolveError, match="does not contract"):
        grown.checked()
    for words, options in (
        ("depth = -1", {"depth": -1}),
        ("damping = 0,", {"damping": 0.0}),
        ("damping = 2", {"damping": 2}),
    ):
        with pytest.raises(InputError, match=words):
            picard(lambda u: u, u0, **options)
    assert math.isfinite(few.residual)
