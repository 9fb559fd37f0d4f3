"""Every operation on every backend, layout and number type against extended precision, on graphs that hypothesis finds.

The bound: 4 eps times the sum of the magnitudes of what was added for the compiled kernels; for torch's own plain sums
the same times sqrt(number of terms).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.relation import Relation
from tests.core import extended_oracle as oracle
from tests.core.extended_oracle import Array, wide

F32, F64, BF16 = torch.float32, torch.float64, torch.bfloat16
NAMES = [name for name in kernels.available() if name != "triton"]  # its interpreter has a file of its own
BLOCKED = ("native",)  # sums in blocks, compensated
TYPES = {name: (F32, F64, BF16) if name in BLOCKED else (F32, F64) for name in NAMES}


class Graph(NamedTuple):
    src: list[int]
    dst: list[int]
    n_src: int
    n_dst: int
    seed: int = 0


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Few nodes and up to 80 edges: isolated nodes, loops, duplicates and rows longer than a block of sums."""
    n_src, n_dst = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    e = draw(st.integers(0, 80))
    pick = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))  # drawing every index by itself takes too long
    hub = draw(st.integers(0, n_dst - 1))
    dst = pick.integers(0, n_dst, e)
    dst[: draw(st.integers(0, e))] = hub
    return Graph(pick.integers(0, n_src, e).tolist(), dst.tolist(), n_src, n_dst, draw(st.integers(0, 99)))


def everywhere(test: Callable[..., None]) -> Callable[..., None]:
    """Run on the awkward graphs always and on 12 that hypothesis finds."""
    for graph in (
        Graph([], [], 0, 0),
        Graph([], [], 3, 2),
        Graph([], [], 0, 2),
        Graph([1, 3], [2, 2], 5, 4),  # isolated nodes
        Graph([0, 1, 1, 2], [0, 1, 0, 2], 3, 3),  # loops
        Graph([2, 0, 2, 2, 0], [1, 1, 1, 0, 1], 3, 2),  # duplicates, two node sets
        *(Graph(list(range(n)), [1] * n, n, 3) for n in (31, 32, 33, 64, 65)),  # stars about the length of a block
        Graph([0] * 40, list(range(40)), 1, 40),  # a star outwards
    ):
        test = example(graph)(test)
    return settings(max_examples=12, deadline=None)(given(graphs())(test))


def relations(graph: Graph) -> Iterator[Relation]:
    rel = Relation.from_edges(*graph[:4])
    yield rel
    yield rel.transpose()


def settings_of(graph: Graph) -> Iterator[tuple[str, torch.dtype, Relation]]:
    for name in NAMES:
        with kernels.use(name):
            for dtype in TYPES[name]:
                for rel in relations(graph):
                    yield name, dtype, rel


class Draw:
    def __init__(self, graph: Graph, dtype: torch.dtype):
        self.generator, self.dtype = torch.Generator().manual_seed(graph.seed), dtype

    def __call__(self, *shape: int) -> Tensor:
        return torch.randn(*shape, dtype=F64, generator=self.generator).to(self.dtype)

    def one_of(self, *choices: int) -> int:
        return choices[int(torch.randint(len(choices), (), generator=self.generator))]


def agrees(name: str, found: Tensor, exact: Array, size: Array, terms: Array | int = 1) -> None:
    """The rounding error is within the bound of the backend."""
    assert found.shape == exact.shape
    eps = torch.finfo(found.dtype).eps
    factor = 4 if name in BLOCKED else 4 * np.sqrt(np.maximum(terms, 1))
    mine = wide(found)
    with np.errstate(invalid="ignore"):
        error = np.where(mine == exact, 0, abs(mine - exact))
    assert np.all(error <= factor * eps * size), f"{name}: {np.nanmax(error / (eps * size)):.1f} eps"


def degrees(rel: Relation) -> Array:
    return rel.degree.numpy()[:, None]


def stacked(pairs: Iterator[tuple[Array, Array]]) -> tuple[Array, Array]:
    values, sizes = zip(*pairs)
    return np.stack(values), np.stack(sizes)


@everywhere
def test_sums_means_and_their_gradients(graph: Graph) -> None:
    for name, dtype, rel in settings_of(graph):
        draw = Draw(graph, dtype)
        h, k = draw.one_of(1, 2, 3), draw.one_of(1, 2, 3, 5, 8, 19)
        x, w, g = draw(rel.n_src, h * k), draw(rel.n_edges, h), draw(rel.n_dst, h * k)
        weights = (None, w[:, 0], w)
        for weight in weights:
            full = None if weight is None else wide(weight if weight.dim() == 2 else weight[:, None])
            agrees(name, rel.propagate(x, weight=weight), *oracle.weighted(rel, wide(x), full), degrees(rel))
            found = rel.propagate(x, weight=weight, reduce="mean")
            agrees(name, found, *oracle.mean(rel, wide(x), full), degrees(rel))
            leaf = x.clone().requires_grad_()
            inputs = [leaf] if weight is None else [leaf, weight.clone().requires_grad_()]
            y = rel.propagate(leaf, weight=None if weight is None else inputs[1])
            grads = torch.autograd.grad(y, inputs, g)
            out_degree = np.bincount(oracle.ends(rel)[0], minlength=rel.n_src)[:, None]
            agrees(name, grads[0], *oracle.pulled_back(rel, wide(g), full), out_degree)
            if weight is not None:
                heads = 1 if weight.dim() == 1 else h
                exact, size = (z.reshape(weight.shape) for z in oracle.dots(rel, wide(g), wide(x), heads))
                agrees(name, grads[1], exact, size, h * k)


@everywhere
def test_batches_of_states_and_of_weights(graph: Graph) -> None:
    for name, dtype, rel in settings_of(graph):
        draw = Draw(graph, dtype)
        b, h, k = draw.one_of(2, 3), draw.one_of(1, 2), draw.one_of(1, 3, 4)
        x, w, shared = draw(b, rel.n_src, h * k), draw(b, rel.n_edges, h), draw(rel.n_edges, h)
        for weight in (None, shared[:, 0], shared, w):
            each = [None if weight is None else wide(weight[i] if weight.dim() == 3 else weight) for i in range(b)]
            each = [a[:, None] if a is not None and a.ndim == 1 else a for a in each]
            exact, size = stacked(oracle.weighted(rel, wide(x[i]), each[i]) for i in range(b))
            agrees(name, rel.propagate(x, weight=weight), exact, size, degrees(rel))
        y = draw(b, rel.n_dst, h * k)
        exact, size = (z.sum(0) for z in stacked(oracle.dots(rel, wide(y[i]), wide(x[i]), h) for i in range(b)))
        agrees(name, rel.dot(y, x, heads=h), exact, size, b * k)
        agrees(name, rel.dot(y, x), exact.sum(1), size.sum(1), b * h * k)


@everywhere
def test_extremes_are_exact(graph: Graph) -> None:
    for _, dtype, rel in settings_of(graph):
        draw = Draw(graph, dtype)
        x = (2 * draw(2, rel.n_src, draw.one_of(1, 2, 5, 8, 17))).round()  # few values: ties
        w, m = draw(rel.n_edges), draw(rel.n_edges, 3)
        src, dst = oracle.ends(rel)
        for reduce, sign in (("max", 1), ("min", -1)):
            exact = np.stack([oracle.extreme(rel, wide(one)[src], sign) for one in x])
            assert np.array_equal(wide(rel.propagate(x, reduce=reduce)), exact)
            assert np.array_equal(wide(rel.collect(m, reduce)), oracle.extreme(rel, wide(m), sign))
            messages = wide(x[0][src] * w[:, None])
            assert np.array_equal(
                wide(rel.propagate(x[0], weight=w, reduce=reduce)), oracle.extreme(rel, messages, sign)
            )
            leaf = x[0].clone().requires_grad_()
            rel.propagate(leaf, reduce=reduce).sum().backward()
            expected = np.zeros(leaf.shape)
            for i, j in np.ndindex(rel.n_dst, leaf.shape[1]):
                mine = src[dst == i]  # own order: the first of equal values wins
                if len(mine):
                    expected[mine[np.argmax(sign * leaf.detach().to(F64).numpy()[mine, j])], j] += 1
            assert np.array_equal(leaf.grad.to(F64).numpy(), expected)  # type: ignore[union-attr]


@everywhere
def test_softmax_and_logsumexp(graph: Graph) -> None:
    for name, dtype, rel in settings_of(graph):
        draw = Draw(graph, dtype)
        for s in (
            4 * draw(rel.n_edges, draw.one_of(1, 2, 5)),
            draw(rel.n_edges, 1) + 1000,
            draw(rel.n_edges, 2) - 1000,
        ):
            row_terms = degrees(rel)[oracle.ends(rel)[1]]
            agrees(name, rel.softmax(s), *oracle.softmax(rel, wide(s)), row_terms)
            agrees(name, rel.logsumexp(s), *oracle.logsumexp(rel, wide(s)), degrees(rel))
        batch = draw(2, rel.n_edges, 3)
        for operation in (rel.softmax, rel.logsumexp):
            assert torch.equal(operation(batch)[1], operation(batch[1].contiguous()))
            assert torch.equal(operation(batch[0, :, 0]), operation(batch[0, :, :1])[:, 0])


@everywhere
def test_attention(graph: Graph) -> None:
    for name, dtype, rel in settings_of(graph):
        draw = Draw(graph, dtype)
        h, d, f = draw.one_of(1, 2, 3), draw.one_of(1, 2, 4, 5, 8, 11), draw.one_of(1, 3, 4, 9)
        q, k, v = draw(2, rel.n_dst, h * d), draw(2, rel.n_src, h * d), draw(2, rel.n_src, h * f)
        found = rel.attend(q, k, v, heads=h, scale=0.7)
        each = ([wide(z[i]) for z in (q, k, v)] for i in range(2))
        exact, size = stacked(oracle.attention(rel, a, b, c, h, 0.7) for a, b, c in each)
        agrees(name, found, exact, size, degrees(rel) * d)
        # the queries of one group for all keys of a batch
        agrees(name, rel.attend(q[0], k, v, heads=h, scale=0.7)[0], exact[0], size[0], degrees(rel) * d)
        default = rel.attend(q[0], k[0], v[0], heads=h)
        agrees(name, default, *oracle.attention(rel, wide(q[0]), wide(k[0]), wide(v[0]), h, d**-0.5), degrees(rel) * d)


@everywhere
def test_blocks(graph: Graph) -> None:
    for name, dtype, rel in settings_of(graph):
        draw = Draw(graph, dtype)
        rows, c = draw.one_of(1, 2, 3), draw.one_of(1, 2, 4)
        x, block, w = draw(rel.n_src, c), draw(rel.n_edges, rows, c), draw(rel.n_edges)
        agrees(name, rel.propagate(x, block=block), *oracle.blocked(rel, wide(x), wide(block)), degrees(rel) * c)
        if dtype is not BF16:  # there the product of block and weight is rounded first
            scaled = wide(block) * wide(w)[:, None, None]
            found = rel.propagate(x, block=block, weight=w)
            agrees(name, found, *oracle.blocked(rel, wide(x), scaled), degrees(rel) * c)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", [F32, F64])
def test_a_star_of_a_hundred_thousand_edges(name: str, dtype: torch.dtype) -> None:
    """Random signs and random positive numbers; equal ones make torch's plain sums drift beyond the bound."""
    n = 100_000
    inward = Relation.from_edges(torch.arange(n), torch.full((n,), 1), n, 2)
    draw = Draw(Graph([], [], 0, 0), dtype)
    with kernels.use(name):
        for x in (draw(n, 2), draw(n, 2).abs()):
            w, s, g = draw(n, 2), 3 * draw(n, 2), draw(2, 2)
            agrees(name, inward.propagate(x), *oracle.weighted(inward, wide(x)), n)
            agrees(name, inward.propagate(x, weight=w), *oracle.weighted(inward, wide(x), wide(w)), n)
            agrees(name, inward.propagate(x, reduce="mean"), *oracle.mean(inward, wide(x)), n)
            agrees(name, inward.softmax(s), *oracle.softmax(inward, wide(s)), n)
            agrees(name, inward.logsumexp(s), *oracle.logsumexp(inward, wide(s)), degrees(inward))
            q, k = draw(2, 4), draw(n, 4)
            exact, size = oracle.attention(inward, wide(q), wide(k), wide(x), 2, 0.5)
            agrees(name, inward.attend(q, k, x, heads=2, scale=0.5), exact, size, n)
            for reduce, sign in (("max", 1), ("min", -1)):
                assert np.array_equal(wide(inward.propagate(x, reduce=reduce)), oracle.extreme(inward, wide(x), sign))
            # the other way round: every row has one edge, and the gradient is a sum over a hundred thousand
            outward = inward.transpose()
            y, leaf = draw(n, 2), g.clone().requires_grad_()
            (found,) = torch.autograd.grad(outward.propagate(leaf, weight=outward.own(w)), leaf, y)
            agrees(name, found, *oracle.pulled_back(outward, wide(y), wide(outward.own(w))), n)
