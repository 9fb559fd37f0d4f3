"""Both gradients of a weighted sum in one pass: as the two kernels give them, and as autograd asks for them."""

import pytest
import torch

from graphpde import Relation
from graphpde.core import kernels
from graphpde.core.kernels import composed, reference
from graphpde.core.message import gradients, operate, spmm

N, E = 30, 200


def relation(seed=0, square=True):
    rng = torch.Generator().manual_seed(seed)
    m = N if square else N + 9
    src, dst = torch.randint(m, (E,), generator=rng), torch.randint(N - 2, (E,), generator=rng)  # two rows are empty
    src[:90], dst[:90] = torch.arange(90) % 7, 3  # one is long
    return Relation.from_edges(src, dst, m, N)


def given(channels, heads, dtype, square=True, groups=1):
    rng = torch.Generator().manual_seed(1)
    r = relation(square=square)
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64).to(dtype)  # noqa: E731
    x, g = draw(groups, r.n_src, channels), draw(groups, r.n_dst, channels)
    return r, draw(1, r.n_edges, heads), draw(r.n_src), x, g


@pytest.mark.parametrize("backend", kernels.available())
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (3, 1), (8, 1), (37, 1), (80, 1), (12, 3), (4, 4)])
@pytest.mark.parametrize("side", ["forward", "backward"])
@pytest.mark.parametrize("square", [True, False])
def test_it_is_the_sum_and_the_products(backend, dtype, channels, heads, side, square):
    r, w, d, x, g = given(channels, heads, dtype, square)
    plan = getattr(r.sides, side)
    columns, rows = (x, g) if side == "forward" else (g, x)
    diagonal = d if square else None
    with kernels.use(backend):
        total, s = kernels.backend(x).spmm_sddmm(plan, w, columns, diagonal, rows)
    exact = [t.double() for t in (w, columns, rows)]
    want = composed.spmm_sddmm(reference, plan, exact[0], exact[1], None if diagonal is None else d.double(), exact[2])
    sizes = composed.spmm_sddmm(
        reference, plan, *(t.abs() for t in exact[:2]), d.double().abs() if square else None, exact[2].abs()
    )
    for found, right, size in zip((total, s), want, sizes, strict=True):
        assert found.dtype is dtype and found.shape == right.shape
        assert bool(((found.double() - right).abs() <= 12 * torch.finfo(dtype).eps * size + 1e-30).all())


def test_infinite_and_undefined_values_reach_their_neighbours_alone():
    r, w, d, x, g = given(5, 1, torch.float32)
    g[0, 4, 2], g[0, 5, 3] = torch.inf, torch.nan
    for side, columns, rows in (("forward", x, g), ("backward", g, x)):
        plan = getattr(r.sides, side)
        found = kernels.backend(x).spmm_sddmm(plan, w, columns, d, rows)
        want = composed.spmm_sddmm(reference, plan, w, columns, d, rows)
        for a, b in zip(found, want, strict=True):
            torch.testing.assert_close(a, b, equal_nan=True, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", ["flat", "one group", "two groups"])
@pytest.mark.parametrize("weights", ["flat", "one head", "heads"])
def test_the_gradients_are_those_of_autograd(shape, weights):
    r, w, d, x, g = given(6, 3 if weights == "heads" else 1, torch.float64, groups=2 if shape == "two groups" else 1)
    w = w[0, :, 0] if weights == "flat" else w[0]
    if shape == "flat":
        x, g = x[0], g[0]
    dense = torch.zeros(3 if weights == "heads" else 1, N, N, dtype=torch.float64)
    src, dst = r.pairs()
    each = w.view(E, -1).T.clone().requires_grad_()
    x2, d2 = x.clone().requires_grad_(), d.clone()
    blocks = dense.index_put((torch.arange(len(dense))[:, None], dst[None], src[None]), each, accumulate=True)
    parts = x2.unflatten(-1, (len(dense), -1))
    y = torch.einsum("hij,...jhc->...ihc", blocks, parts).flatten(-2)
    for diagonal in (None, d):
        out = y if diagonal is None else y + d2[:, None] * x2
        dw, dx = torch.autograd.grad(out, (each, x2), g, retain_graph=True)
        mine = gradients(r.sides, w, diagonal, x, g)
        torch.testing.assert_close(mine[0], dw.T.reshape(w.shape))
        torch.testing.assert_close(mine[1], dx)


@pytest.mark.grad
def test_gradients_of_gradients_are_there():
    r, w, d, x, _ = given(2, 1, torch.float64)
    inputs = [t.requires_grad_() for t in (w[0, :, 0].clone(), d.clone(), x[0].clone())]
    assert torch.autograd.gradgradcheck(lambda w, d, x: operate(r.sides, w, d, x), inputs)
    assert torch.autograd.gradgradcheck(lambda w, x: spmm(r.sides, w, x), [inputs[0], inputs[2]])
