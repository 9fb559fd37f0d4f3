"""Sums of multiples of arrays in one pass: as torch adds them one by one, on every backend, with derivatives."""

import math

import pytest
import torch

from graphpde.core import kernels
from graphpde.core.blend import blend

FACTORS = (0.5, -1.25, 3e-3, 2.0)


def given(shape, dtype=torch.float64, count=4):
    rng = torch.Generator().manual_seed(5)
    return [torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype) for _ in range(count + 1)]


def one_by_one(u, factors, terms):
    for factor, term in zip(factors, terms, strict=True):
        u = u + factor * term
    return u


@pytest.mark.parametrize("backend", kernels.available())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.complex128])
@pytest.mark.parametrize("shape", [(0, 3), (1, 1), (7, 3), (129, 5), (40_000, 2)])
def test_the_sum_is_that_of_torch(backend, dtype, shape):
    u, *terms = given(shape, dtype)
    before = [x.clone() for x in (u, *terms)]
    with kernels.use(backend):
        y = blend(u, FACTORS, terms)
    exact = torch.complex128 if dtype.is_complex else torch.float64
    want = one_by_one(u.to(exact), FACTORS, [t.to(exact) for t in terms]).to(dtype)
    torch.testing.assert_close(y, want, rtol=3 * torch.finfo(dtype).eps, atol=8 * torch.finfo(dtype).eps)
    assert y.dtype is dtype
    assert all(torch.equal(a, b) for a, b in zip(before, (u, *terms), strict=True))


def test_types_and_shapes_that_differ_follow_the_rules_of_torch():
    u, a, b = given((6, 2), torch.float32, 2)
    y = blend(u, (2.0, 3.0), (a.double(), b))
    assert y.dtype is torch.float64
    torch.testing.assert_close(y, u + 2.0 * a.double() + 3.0 * b)
    torch.testing.assert_close(blend(u, (2.0, 3.0), (a[:1], b.T.contiguous().T)), u + 2.0 * a[:1] + 3.0 * b)
    assert blend(u, (), ()) is u


def test_numbers_that_are_not_finite_stay_so():
    u, a, b = given((64, 4), torch.float32, 2)
    a[3, 1], b[5, 2] = math.nan, math.inf
    y = blend(u, (1.0, -1.0), (a, b))
    assert y[3, 1].isnan()
    assert y[5, 2] == -math.inf
    assert int(y.isfinite().sum()) == y.numel() - 2


@pytest.mark.grad
def test_every_derivative():
    u, *terms = (x.requires_grad_() for x in given((5, 2)))
    f = lambda u, *terms: blend(u, FACTORS, terms)  # noqa: E731
    assert torch.autograd.gradcheck(f, (u, *terms))
    assert torch.autograd.gradgradcheck(f, (u, *terms))
    _, along = torch.func.jvp(f, (u, *terms), tuple(torch.ones_like(x) for x in (u, *terms)))
    torch.testing.assert_close(along, torch.full_like(along, 1 + sum(FACTORS)))


@pytest.mark.parametrize("backend", kernels.available())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (129, 5), (1000, 67)])
def test_the_deviation_is_the_sum_of_squared_scaled_errors(backend, dtype, shape):
    e, a, b = given(shape, dtype, 2)
    with kernels.use(backend):
        found = kernels.backend(e).deviation(e, a, b, 1e-2, 1e-3)
    want = ((e.double() / (1e-3 + 1e-2 * torch.maximum(a.abs(), b.abs()).double())) ** 2).sum()
    assert found == pytest.approx(float(want), rel=1e-12 if dtype is torch.float64 else 2e-6)


@pytest.mark.parametrize("backend", kernels.available())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("shape", [(1, 1), (7, 3), (129, 5), (1000, 67)])
def test_the_deviation_of_sums_is_that_of_what_they_make(backend, dtype, shape):
    a, *terms = given(shape, dtype)
    errors = (0.01, 0.0, -0.02)  # fewer terms in one sum than in the other
    with kernels.use(backend):
        found = kernels.backend(a).deviation_of_sums(a, FACTORS, errors, terms, 1e-2, 1e-3)
        e = one_by_one(0 * a, errors, terms[:3])
        want = kernels.backend(a).deviation(e, a, one_by_one(a, FACTORS, terms), 1e-2, 1e-3)
    assert found == pytest.approx(want, rel=1e-10 if dtype is torch.float64 else 1e-4)


@pytest.mark.parametrize("backend", kernels.available())
def test_deviations_at_the_edges(backend):
    zero, one = torch.zeros(3), torch.tensor([1.0, math.nan, 2.0])
    with kernels.use(backend):
        chosen = kernels.backend(zero)
        assert chosen.deviation(zero, zero, zero, 1e-3, 0.0) == 0.0  # what is 0 and stays 0 has no relative error
        assert math.isnan(chosen.deviation(one, one, one, 1e-3, 1e-6))
        assert math.isnan(chosen.deviation_of_sums(one, (1.0,), (1.0,), (one,), 1e-3, 1e-6))
        large = torch.full((4,), 1e30)
        assert chosen.deviation(large, zero[:1].expand(4).contiguous(), large * 0, 0.0, 1.0) == pytest.approx(4e60)


@pytest.mark.parametrize("threads", [1, 2])
def test_sums_do_not_depend_on_the_number_of_threads(threads):
    a, *terms = given((70_000, 3), torch.float32)
    before = torch.get_num_threads()
    one = (blend(a, FACTORS, terms), kernels.backend(a).deviation_of_sums(a, FACTORS, FACTORS, terms, 1e-2, 1e-3))
    try:
        torch.set_num_threads(threads)
        two = (blend(a, FACTORS, terms), kernels.backend(a).deviation_of_sums(a, FACTORS, FACTORS, terms, 1e-2, 1e-3))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(one[0], two[0])
    assert one[1] == two[1]
