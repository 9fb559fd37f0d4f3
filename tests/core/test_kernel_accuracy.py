"""The kernels: every width of a register, long rows, any number of threads, not-a-number and far addresses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.kernels import Plan, native, reference
from graphpde.core.relation import Relation
from tests.core import extended_oracle as oracle
from tests.core.extended_oracle import Array, wide

F32, F64 = torch.float32, torch.float64
NAMES = [name for name in kernels.available() if name != "triton"]
needs_native = pytest.mark.skipif(kernels.missing("native") is not None, reason="the native kernels are not built")


@pytest.fixture(params=NAMES)
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use(request.param):
        yield request.param


@pytest.fixture(params=["baseline", "avx2", "avx512"])
def instructions(request: pytest.FixtureRequest) -> Iterator[str]:
    if native.instructions(request.param) is None:
        pytest.skip(f"{request.param} is not here")
    try:
        with kernels.use("native"):
            yield request.param
    finally:
        native.instructions("best")


def within(found: Tensor, exact: Array, size: Array) -> None:
    """|error| <= 4 eps times the sum of the magnitudes."""
    assert found.shape == exact.shape
    eps, error = torch.finfo(found.dtype).eps, abs(wide(found) - exact)
    assert np.all(error <= 4 * eps * size), f"{np.max(error / (eps * size)):.1f} eps"


def mixed(n_src: int = 23, n_dst: int = 19) -> Relation:
    """Rows of 0 to 5 edges beside one of 41, so that a register of scores holds several rows."""
    generator = torch.Generator().manual_seed(3)
    dst = torch.cat([torch.randint(1, n_dst, (50,), generator=generator), torch.full((41,), 7)])
    return Relation.from_edges(torch.randint(n_src, dst.shape, generator=generator), dst, n_src, n_dst)


# every width


@pytest.mark.parametrize("dtype", [F32, F64])
def test_sums_over_any_number_of_channels(instructions: str, dtype: torch.dtype) -> None:
    assert native.instructions() == instructions
    rel = mixed()
    for c in (*range(1, 41), 48, 63, 64, 65, 127, 128, 131):
        x, g = torch.randn(rel.n_src, c).to(dtype), torch.randn(rel.n_dst, c).to(dtype)
        for h in {1, c, 2 if c % 2 == 0 else 1, 3 if c % 3 == 0 else 1}:
            w = torch.randn(rel.n_edges, h).to(dtype)
            inputs = x.clone().requires_grad_(), w.clone().requires_grad_()
            y = rel.propagate(inputs[0], weight=inputs[1])
            within(y, *oracle.weighted(rel, wide(x), wide(w)))
            dx, dw = torch.autograd.grad(y, inputs, g)
            within(dx, *oracle.pulled_back(rel, wide(g), wide(w)))
            within(dw, *oracle.dots(rel, wide(g), wide(x), h))
        within(rel.propagate(x), *oracle.weighted(rel, wide(x)))
        within(rel.transpose().propagate(g), *oracle.pulled_back(rel, wide(g)))
        src = oracle.ends(rel)[0]
        assert np.array_equal(wide(rel.propagate(x, reduce="max")), oracle.extreme(rel, wide(x)[src], 1))


@pytest.mark.parametrize("dtype", [F32, F64])
def test_attention_of_any_number_of_channels_and_heads(instructions: str, dtype: torch.dtype) -> None:
    assert native.instructions() == instructions
    rel = mixed()
    for h, d, f in [(1, c, c) for c in range(1, 20)] + [(1, 64, 3), (2, 32, 5), (3, 4, 16), (5, 1, 2), (40, 3, 1)]:
        q, k, v = (torch.randn(n, h * c).to(dtype) for n, c in ((rel.n_dst, d), (rel.n_src, d), (rel.n_src, f)))
        inputs = [z.clone().requires_grad_() for z in (q, k, v)]
        y = rel.attend(*inputs, heads=h, scale=0.3)
        within(y, *oracle.attention(rel, wide(q), wide(k), wide(v), h, 0.3))
        g = torch.randn(rel.n_dst, h * f).to(dtype)
        found = torch.autograd.grad(y, inputs, g)
        with kernels.use("reference"):
            exact = [z.detach().double().requires_grad_() for z in inputs]
            expected = torch.autograd.grad(rel.attend(*exact, heads=h, scale=0.3), exact, g.double())
        for mine, theirs in zip(found, expected):
            tolerance = 200 * torch.finfo(dtype).eps
            torch.testing.assert_close(mine.double(), theirs, rtol=tolerance, atol=tolerance * max(d, f) ** 0.5)
        s = 3 * torch.randn(rel.n_edges, h).to(dtype)
        within(rel.softmax(s), *oracle.softmax(rel, wide(s)))
        full = rel.degree.numpy() > 0
        within(rel.logsumexp(s)[full], *(z[full] for z in oracle.logsumexp(rel, wide(s))))


# rows of any length


@pytest.mark.parametrize("n", [7, 8, 9, 16, 31, 32, 33, 64, 1000])
@pytest.mark.parametrize("c", [1, 3, 4, 8, 19])
def test_many_small_terms_count_beside_a_large_one(instructions: str, n: int, c: int) -> None:
    """Each term is less than half a unit in the last place of the first: added one by one, all of them are lost."""
    assert native.instructions() == instructions
    star = Relation.from_edges(torch.arange(n), torch.zeros(n, dtype=torch.int64), n, 1)
    x = torch.full((n, c), 0.49 * torch.finfo(F32).eps)
    x[0] = 1
    within(star.propagate(x), *oracle.weighted(star, wide(x)))
    within(star.propagate(x, weight=torch.ones(n, c)), *oracle.weighted(star, wide(x)))
    (gradient,) = torch.autograd.grad(star.transpose().propagate(y := torch.ones(1, c).requires_grad_()), y, x)
    within(gradient, *oracle.weighted(star, wide(x)))
    equal = torch.full((n, c), 0.1)
    within(star.propagate(equal), *oracle.weighted(star, wide(equal)))


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("n", [5, 9, 300])
def test_a_sum_that_is_infinite_says_so(backend: str, n: int, dtype: torch.dtype) -> None:
    """Carried rounding errors are not numbers there: inf - inf."""
    star = Relation.from_edges(torch.arange(n), torch.zeros(n, dtype=torch.int64), n, 1)
    weights = torch.linspace(0.5, 2, n, dtype=dtype)
    for c in (1, 3, 4, 8, 19, 64):
        x = torch.ones(n, c, dtype=dtype)
        x[n // 2] = torch.inf
        x[n // 2, 0] = -torch.inf
        expected = [-torch.inf] + [torch.inf] * (c - 1)
        assert star.propagate(x)[0].tolist() == expected
        assert star.propagate(x, weight=weights)[0].tolist() == expected
        assert star.propagate(x, weight=weights[:, None].expand(n, c))[0].tolist() == expected
        x[-1, 0] = torch.inf
        assert star.propagate(x)[0].isnan().tolist() == [True] + [False] * (c - 1)
        large = torch.full((n, c), torch.finfo(dtype).max / 2, dtype=dtype)
        assert star.propagate(large)[0].tolist() == [torch.inf] * c


@pytest.mark.parametrize("c", [2, 8, 16])
def test_an_infinite_channel_leaves_the_others_accurate(instructions: str, c: int) -> None:
    n = 100_000
    star = Relation.from_edges(torch.arange(n), torch.zeros(n, dtype=torch.int64), n, 1)
    x = torch.full((n, c), 0.1)
    x[5, 0] = torch.inf
    y = star.propagate(x)
    assert y[0, 0] == torch.inf
    within(y[:, 1:], *oracle.weighted(star, wide(x[:, 1:])))


@pytest.mark.parametrize("groups", [2, 64, 1000])
@pytest.mark.parametrize(("h", "k"), [(1, 1), (1, 16), (3, 1), (2, 5), (1100, 1)])
def test_gradients_of_weights_are_accurate_over_many_groups(instructions: str, groups: int, h: int, k: int) -> None:
    """Equal terms, so that plain addition errs in one direction: a thousand groups would be off by 80 eps."""
    rel = Relation.from_edges([0, 1, 1], [0, 0, 1], 2, 2)
    groups = min(groups, 100) if h > 100 else groups
    x, g = torch.full((groups, 2, h * k), 0.1), torch.ones(groups, 2, h * k)
    w = torch.zeros(3, h, requires_grad=True)
    (found,) = torch.autograd.grad(rel.propagate(x, weight=w), w, g)
    exact = np.full((3, h), groups * k * float(np.float32(0.1)))
    within(found, exact, exact)
    x[0, 1, 0] = torch.inf
    (found,) = torch.autograd.grad(rel.propagate(x, weight=w), w, g)
    assert found[1:, 0].tolist() == [torch.inf] * 2 and bool(found[0].isfinite().all())


def test_the_size_of_the_scores_does_not_matter(backend: str) -> None:
    rel = mixed()
    s = torch.randn(rel.n_edges, 2, dtype=F64)
    p, total = rel.softmax(s), rel.logsumexp(s)
    for shift in (1e4, -1e4):
        torch.testing.assert_close(rel.softmax(s + shift), p, rtol=1e-10, atol=0)
        torch.testing.assert_close(rel.logsumexp(s + shift), total + shift, rtol=1e-15, atol=0)
    # the smallest shares vanish without a trace, and nothing overflows
    far = torch.tensor([[0.0], [-800.0], [800.0], [-80.0]], dtype=F64)
    star = Relation.from_edges([0, 0, 0, 0], [0, 0, 1, 1], 1, 2)
    assert star.softmax(far).flatten().tolist() == [1.0, 0.0, 1.0, 0.0]
    assert star.softmax(far.float()).flatten().tolist() == [1.0, 0.0, 1.0, 0.0]


# threads


def everything(rel: Relation, h: int, c: int, dtype: torch.dtype) -> list[Tensor]:
    """Values and gradients of every operation, from the same numbers each time."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator).to(dtype).requires_grad_()

    x, y, v = draw(rel.n_src, h * c), draw(rel.n_dst, h * c), draw(rel.n_src, h * 3)
    w, s = draw(rel.n_edges, h), draw(rel.n_edges, h)
    cases = [
        (rel.propagate(x), [x]),
        (rel.propagate(x, weight=w), [x, w]),
        (rel.propagate(x, weight=w, reduce="mean"), [x, w]),
        (rel.propagate(x, reduce="max"), [x]),
        (rel.collect(w, "min"), [w]),
        (rel.collect(w), [w]),
        (rel.dot(y, x, heads=h), [y, x]),
        (rel.softmax(s), [s]),
        (rel.logsumexp(s)[rel.degree > 0], [s]),
        (rel.attend(y, x, v, heads=h), [y, x, v]),
    ]
    found = []
    for value, inputs in cases:
        g = torch.randn(value.shape, generator=generator).to(dtype)
        found += [value.detach(), *torch.autograd.grad(value, inputs, g)]
    return found


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize(("h", "c"), [(1, 5), (2, 4)])
def test_results_do_not_depend_on_threads_nor_on_the_deterministic_mode(
    backend: str, h: int, c: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: each row is reduced by one worker in a fixed order, wherever the shares of the workers end."""
    n, e = 4000, 30_000
    generator = torch.Generator().manual_seed(1)
    dst = (n * torch.rand(e, generator=generator) ** 2).long()  # rows of 0 to some 500
    rel = Relation.from_edges(torch.randint(n, (e,), generator=generator), dst, n, n).prepare()
    watched = SimpleNamespace(threads=[])
    if backend == "native":
        library = native.compiled()
        run = library.graphpde_run  # type: ignore[union-attr]

        def noted(operation: int, twice: bool, threads: int, job: bytes) -> None:
            watched.threads.append(threads)
            run(operation, twice, threads, job)

        monkeypatch.setattr(native, "compiled", lambda: SimpleNamespace(graphpde_run=noted))
    one = everything(rel, h, c, dtype)
    for threads in (2, 3):
        torch.set_num_threads(threads)
        try:
            many = everything(rel, h, c, dtype)
        finally:
            torch.set_num_threads(1)
        assert [torch.equal(a, b) for a, b in zip(one, many)] == [True] * len(one)
        assert backend != "native" or threads in watched.threads
    torch.use_deterministic_algorithms(True)
    try:
        again = everything(rel, h, c, dtype)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(one, again))


# not a number


@pytest.mark.parametrize("h", [1, 2])
@pytest.mark.usefixtures("backend")
def test_not_a_number_stays_in_its_own_row_and_head(h: int) -> None:
    rel = mixed()
    dst = rel.pairs()[1]
    for bad in (0, 1, 20, 45, 60, rel.n_edges - 1):
        s = torch.randn(rel.n_edges, h)
        clean = s.clone()
        s[bad, h - 1] = torch.nan
        hit = torch.zeros(rel.n_dst, h, dtype=torch.bool)
        hit[dst[bad], h - 1] = True
        for found, expected, where in (
            (rel.softmax(s), rel.softmax(clean), hit[dst]),
            (rel.logsumexp(s), rel.logsumexp(clean), hit),
            (rel.collect(s, "mean"), rel.collect(clean, "mean"), hit),
            (rel.propagate(torch.ones(23, h), weight=s, reduce="mean"), rel.collect(clean, "mean"), hit),
        ):
            assert torch.equal(found.isnan(), where)
            torch.testing.assert_close(found[~where], expected[~where])


@pytest.mark.usefixtures("backend")
def test_attention_to_not_a_number_reaches_its_neighbours_alone() -> None:
    rel, h = mixed(), 2
    src, dst = rel.pairs()
    q, k, v = (torch.randn(n, h * 3) for n in (rel.n_dst, rel.n_src, rel.n_src))
    clean = rel.attend(q, k, v, heads=h)
    for which, node in ((1, 4), (2, 9), (0, 7)):
        given = [q.clone(), k.clone(), v.clone()]
        given[which][node, 3] = torch.nan  # the first channel of the second head
        found = rel.attend(*given, heads=h)
        near = torch.zeros(rel.n_dst, dtype=torch.bool)
        near[dst[src == node] if which else torch.tensor([node])] = True
        bad = torch.zeros_like(found, dtype=torch.bool)
        bad[near, 3 : 4 if which == 2 else None] = True
        assert torch.equal(found.isnan(), bad)
        torch.testing.assert_close(found[~bad], clean[~bad])


@pytest.mark.parametrize("dtype", [F32, F64])
def test_infinite_scores_count_as_in_the_oracle(backend: str, dtype: torch.dtype) -> None:
    star = Relation.from_edges([0] * 8, [0, 0, 1, 1, 2, 2, 4, 4], 1, 5)
    inf = torch.inf
    s = torch.tensor([1.0, -inf, -inf, -inf, inf, 0.0, inf, inf], dtype=dtype)
    assert star.logsumexp(s).tolist() == [1.0, -inf, inf, -inf, inf]
    p = star.softmax(s)
    assert p[:2].tolist() == [1.0, 0.0] and bool(p[[2, 3, 4, 6, 7]].isnan().all())
    x = torch.tensor([[inf], [-inf], [1.0]], dtype=dtype)
    rel = Relation.from_edges([0, 2, 1, 2, 1, 0], [0, 0, 1, 1, 2, 2], 3, 3)
    assert rel.propagate(x, reduce="max").flatten().tolist() == [inf, 1.0, inf]
    assert rel.propagate(x, reduce="min").flatten().tolist() == [1.0, -inf, -inf]


def test_a_registered_extremum_agrees_with_the_oracle_in_slots(backend: str) -> None:
    plan = mixed().sides.forward
    for dtype, c in ((F32, 1), (F32, 19), (F64, 7)):
        x = torch.randn(2, plan.n_in, c).mul(2).round().to(dtype)  # ties, also between 0 and -0
        x[0, 3], x[1, 5] = torch.nan, -torch.inf
        for largest in (True, False):
            found, exact = kernels.extreme(plan, x, largest), reference.extreme(plan, x, largest)
            torch.testing.assert_close(found, exact, rtol=0, atol=0, equal_nan=True)


# far addresses


@needs_native
def test_values_beyond_two_to_the_31_are_found(tmp_path: Path) -> None:
    """A sparse file of 10 GB stands for node values of 2.4e9 entries; a few pages of it exist."""
    n, c = 1 << 28, 9
    path = tmp_path / "values"
    with path.open("wb") as file:
        file.truncate(4 * n * c)
    values = np.memmap(path, np.float32, "r+", shape=(1, n, c))
    sources = torch.tensor([n - 1, 3, n - 2, n // 2], dtype=torch.int32)
    rows = np.random.default_rng(0).standard_normal((4, c)).astype(np.float32)
    values[0, sources.numpy()] = rows
    ptr, row = torch.tensor([0, 3, 4], dtype=torch.int32), torch.tensor([0, 0, 0, 1], dtype=torch.int32)
    far = Plan(ptr, sources, row, None, n, 2)
    near = Plan(ptr, torch.arange(4, dtype=torch.int32), row, None, 4, 2)
    x, small = torch.from_numpy(values), torch.from_numpy(rows)[None]
    w, y = torch.randn(1, 4, 1), torch.randn(1, 2, c)
    calls: list[Callable[[Plan, Tensor], Any]] = [
        lambda plan, z: native.spmm(plan, w, z),
        lambda plan, z: native.spmm(plan, w.expand(1, 4, 9).contiguous(), z),
        lambda plan, z: native.sddmm(plan, y, z, 3, False),
        lambda plan, z: native.extreme(plan, z, True),
        lambda plan, z: native.attend(plan, y, z, z, 3, 0.5),
        lambda plan, z: native.attend_back(plan, y, (y, z, z), native.attend(plan, y, z, z, 3, 0.5), 3, 0.5),
    ]
    for call in calls:
        found, expected = call(far, x), call(near, small)
        for a, b in zip(*((z,) if isinstance(z, Tensor) else z for z in (found, expected))):
            assert torch.equal(a, b)


# unusual tensors


@pytest.mark.usefixtures("backend")
def test_a_lazy_sign_is_not_forgotten() -> None:
    """The imaginary part of a conjugate is a view with a flag that says "negative": memory holds the other sign."""
    one = Relation.from_edges([0], [0], 1, 1)
    minus = torch.tensor([[1 + 2j]]).conj().imag
    assert minus.is_neg() and one.propagate(minus).item() == -2.0
    assert one.propagate(torch.ones(1, 1), weight=minus[0]).item() == -2.0
    assert one.propagate(minus, reduce="max").item() == -2.0
    assert one.dot(minus, torch.ones(1, 1)).item() == -2.0
    assert one.logsumexp(minus).item() == -2.0
    assert one.attend(minus, minus, minus).item() == -2.0
