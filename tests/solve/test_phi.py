"""phi functions on vectors: against dense exponentials, in sub-steps, by Chebyshev, and their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.errors import InputError, SolveError
from graphpde.solve.phi import chebyshev, phi, phi_dense, phi_scalar


def laplacian(n: int, scale: float) -> Tensor:
    a = torch.diag(torch.full((n,), -2.0, dtype=torch.float64))
    off = torch.ones(n - 1, dtype=torch.float64)
    return scale * (a + torch.diag(off, 1) + torch.diag(off, -1))


def skewed(n: int, scale: float) -> Tensor:
    wind = torch.diag(torch.ones(n - 1, dtype=torch.float64), 1)
    return laplacian(n, scale) + 0.7 * scale * (wind - wind.T)


def vector(n: int) -> Tensor:
    return torch.cos(torch.arange(n, dtype=torch.float64) ** 2)


@pytest.mark.parametrize("k", range(4))
def test_scalars_obey_the_recurrence_and_the_limit(k: int) -> None:
    x = torch.tensor([-1e4, -30.0, -1.0001, -0.9999, -1e-3, 0.0, 0.5, 3.0], dtype=torch.float64)
    assert float(phi_scalar(k, x)[5]) == pytest.approx(1 / math.factorial(k), rel=1e-15)
    left, right = x * phi_scalar(k + 1, x), phi_scalar(k, x) - 1 / math.factorial(k)
    assert torch.allclose(left, right, rtol=1e-12, atol=1e-15)
    dense = torch.diagonal(phi_dense(k, torch.diag(x[1:])))
    assert torch.allclose(dense, phi_scalar(k, x[1:]), rtol=1e-11)


@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize("scale", [0.1, 5.0, 300.0])
@pytest.mark.parametrize("make", [laplacian, skewed])
@pytest.mark.parametrize("most", [12, 100])
def test_krylov_is_the_dense_function(k: int, scale: float, make: object, most: int) -> None:
    """With few directions it must take sub-steps, which changes nothing."""
    a = make(60, min(scale, 5.0) if most == 12 else scale)  # type: ignore[operator]
    v = vector(60)
    symmetric = make is laplacian
    found = phi(k, lambda x: a @ x, lambda x: a.T @ x, v, symmetric=symmetric, rtol=1e-11, most=most)
    assert float((found - phi_dense(k, a) @ v).norm()) <= 1e-9 * float(v.norm())


@pytest.mark.parametrize("k", range(4))
def test_chebyshev_is_the_dense_function(k: int) -> None:
    for scale in (0.1, 5.0, 300.0):
        a, v = laplacian(60, scale), vector(60)
        found = chebyshev(k, lambda x, a=a: a @ x, v, 4.2 * scale, rtol=1e-12)
        assert float((found - phi_dense(k, a) @ v).norm()) <= 1e-9 * float(v.norm())
    with pytest.raises(InputError, match=r"a spectrum of length 1e\+09 needs .* Chebyshev terms"):
        chebyshev(0, lambda x: x, vector(3), 1e9)


def test_invariant_spaces_and_zero() -> None:
    a = laplacian(20, 3.0)
    values, vectors = torch.linalg.eigh(a)
    v = vectors[:, 4]
    found = phi(1, lambda x: a @ x, lambda x: a @ x, v, symmetric=True)
    assert torch.allclose(found, phi_scalar(1, values[4:5]) * v, atol=1e-12)
    assert torch.equal(phi(2, lambda x: a @ x, lambda x: a @ x, 0 * v), 0 * v)


@pytest.mark.grad
@pytest.mark.parametrize("k", range(4))
@pytest.mark.parametrize("most", [10, 100])
def test_gradients_of_operator_and_vector(k: int, most: int) -> None:
    """Also along directions that the Krylov space of v alone does not hold: v is an eigenvector here."""
    base = skewed(4, 0.8) if most == 100 else skewed(12, 3.0)

    def run(a: Tensor, v: Tensor) -> Tensor:
        return phi(k, lambda x: a @ x, lambda x: a.T @ x, v, rtol=1e-12, most=most)

    v = torch.linalg.eigh(base)[1][:, 2] if most == 100 else vector(12)
    inputs = (base.requires_grad_(), v.detach().requires_grad_())
    assert torch.autograd.gradcheck(run, inputs, atol=1e-6, fast_mode=True)


def test_what_is_not_finite_is_named() -> None:
    with pytest.raises(SolveError, match=r"the vector of a matrix function is not finite"):
        phi(1, lambda x: x, lambda x: x, vector(3) / 0)
    with pytest.raises(SolveError, match=r"an operator gave non-finite numbers"):
        phi(1, lambda x: x / 0, lambda x: x, vector(3))
