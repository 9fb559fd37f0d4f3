"""Undirected edges with signs: what leaves one node arrives at the other, whatever the flux."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from graphpde.core import Graph, Incidence, Relation, kernels, knn
from graphpde.errors import GraphError, InputError, ShapeError

F64 = torch.float64
EPS = torch.finfo(F64).eps


@pytest.fixture(params=kernels.available())
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with kernels.use(request.param):
        yield request.param


def both_ways(pairs: list[tuple[int, int]], n: int) -> Relation:
    """Every pair in both directions, loops once, in a scrambled order."""
    directed = torch.tensor([p for i, j in pairs for p in ([(i, j)] if i == j else [(i, j), (j, i)])]).reshape(-1, 2)
    directed = directed[torch.randperm(len(directed))]
    return Relation.from_edges(directed[:, 0], directed[:, 1], n, n)


def dense(found: Incidence, relation: Relation) -> Tensor:
    """D [E, n] from the directed edges that the undirected ones were taken from."""
    src, dst = relation.pairs()
    d = torch.zeros(len(found.edge), relation.n_src, dtype=F64)
    for k, edge in enumerate(found.edge.tolist()):
        d[k, src[edge]] -= 1
        d[k, dst[edge]] += 1
    return d


PAIRS = [(0, 1), (1, 0), (1, 2), (4, 0), (2, 2), (2, 4), (5, 1), (5, 5), (0, 5)]  # 0=1 twice, two loops, 3 and 6 alone
MESHED = both_ways(PAIRS, 7)
FOUND = Incidence.of(MESHED)
AWKWARD = {"mixed": MESHED, "no edges": both_ways([], 3), "no nodes": both_ways([], 0), "loops": both_ways([(1, 1)], 2)}


def burgers(tail: Tensor, head: Tensor, edge: Tensor | None) -> Tensor:
    """Not antisymmetric, not linear."""
    flux = (tail.square() + head.square()) / 4 - (head - tail).abs() * head
    return flux if edge is None else flux * edge


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("name", AWKWARD)
def test_differences_and_inflows_are_the_dense_incidence_and_its_transpose(name: str) -> None:
    relation = AWKWARD[name]
    found = Incidence.of(relation)
    d = dense(found, relation)
    assert found.n == relation.n_src and found.n_edges == len(found.edge) == len(d)
    for batch in ((), (3,)):
        u, f = torch.randn(*batch, relation.n_src, 2, dtype=F64), torch.randn(*batch, len(d), 2, dtype=F64)
        torch.testing.assert_close(found.difference(u), d @ u, rtol=0, atol=2 * EPS)
        torch.testing.assert_close(found.divergence(f), d.T @ f, rtol=0, atol=30 * EPS)
        torch.testing.assert_close((found.difference(u) * f).sum(), (u * found.divergence(f)).sum())
        src, dst = (end[found.edge] for end in relation.pairs())
        weight = torch.rand(len(d), 1, dtype=F64)
        expected = d.T @ burgers(u[..., src, :], u[..., dst, :], weight)
        torch.testing.assert_close(found.exchange(u, burgers, weight), expected, rtol=0, atol=1e-13)


def test_there_is_one_undirected_edge_for_each_pair_with_the_tail_below_the_head() -> None:
    src, dst = (end[FOUND.edge].tolist() for end in MESHED.pairs())
    assert sorted(zip(src, dst)) == sorted((min(p), max(p)) for p in PAIRS if p[0] != p[1])
    assert FOUND.relation.degree.tolist() == [2] * 7 and FOUND.sign.tolist() == [-1.0, 1.0] * 7


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.tuples(*[st.integers(0, n - 1)] * 2)))))
def test_on_any_symmetric_graph_a_flux_in_whole_numbers_adds_up_to_nothing(graph: tuple[int, list]) -> None:
    n, pairs = graph
    relation = both_ways(pairs, n)
    found = Incidence.of(relation)
    u = torch.randint(-50, 50, (n, 2)).to(F64)
    gained = found.exchange(u, lambda a, b, edge: a * a * b - 3 * b + 7)
    assert gained.sum(0).tolist() == [0.0, 0.0]
    d = dense(found, relation)
    assert torch.equal(found.divergence(found.difference(u)), d.T @ (d @ u))


@pytest.mark.usefixtures("backend")
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_total_of_any_flux_is_zero_but_for_the_rounding_of_the_sums(dtype: torch.dtype) -> None:
    n = 200
    relation = both_ways([(0, k) for k in range(1, n)] + torch.randint(n, (600, 2)).tolist(), n)
    found = Incidence.of(relation)
    u = torch.randn(n, 1, dtype=dtype)
    gained = found.exchange(u, burgers)
    src, dst = (end[found.edge] for end in relation.pairs())
    size = 2 * float(burgers(u[src], u[dst], None).abs().sum())
    # each node adds its d fluxes with an error below (d - 1) eps times their sizes; the hub has d > n, others a few
    assert abs(math.fsum(gained.flatten().tolist())) <= n * torch.finfo(dtype).eps * size / 4
    backward = Incidence.of(relation.transpose()).exchange(u, burgers)
    torch.testing.assert_close(backward, gained)
    assert torch.equal(found.exchange(u, burgers), gained), "and the sums have a fixed order"


def test_an_antisymmetric_flux_does_not_depend_on_the_numbering() -> None:
    u, rename = torch.randn(7, 2, dtype=F64), torch.randperm(7)
    moved = torch.empty_like(u)
    moved[rename] = u
    renamed = Incidence.of(both_ways([(int(rename[i]), int(rename[j])) for i, j in PAIRS], 7))

    def flux(a: Tensor, b: Tensor, edge: None) -> Tensor:
        return torch.sinh(a - b) * (a * b).cos()

    torch.testing.assert_close(renamed.exchange(moved, flux)[rename], FOUND.exchange(u, flux))


@pytest.mark.long
def test_the_total_stays_over_ten_thousand_explicit_steps_of_a_nonlinear_scheme() -> None:
    points = torch.rand(120, 2, dtype=F64)
    src, dst = knn(points, 5).pairs()
    relation = Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), 120, 120, coalesce=True)
    found = Incidence.of(relation)
    u = torch.rand(120, 1, dtype=F64) + 0.5
    start, before = u.clone(), math.fsum(u.flatten().tolist())
    with torch.no_grad():
        for _ in range(10_000):  # porous-medium diffusion with a flux that the numbering biases: a lasting current
            u = u + 1e-3 * found.exchange(u, lambda a, b, edge: a**3 - b**3 + 0.01 * a * b)
    assert float((u - start).abs().max()) > 0.1, "it did move"
    assert abs(math.fsum(u.flatten().tolist()) - before) <= 1e-13 * before


# derivatives


@pytest.mark.grad
def test_derivatives_of_every_kind() -> None:
    u = torch.randn(7, 2, dtype=F64, requires_grad=True)
    weight = torch.rand(7, 1, dtype=F64, requires_grad=True)

    def smooth(tail: Tensor, head: Tensor, edge: Tensor) -> Tensor:
        return torch.sinh(tail - head) * edge * head

    def f(u: Tensor, weight: Tensor) -> Tensor:
        return FOUND.exchange(u, smooth, weight)

    assert torch.autograd.gradcheck(f, (u, weight), check_forward_ad=True, check_batched_grad=True)
    assert torch.autograd.gradgradcheck(f, (u, weight), check_fwd_over_rev=True)
    for linear, x in ((FOUND.difference, u), (FOUND.divergence, torch.randn(7, 2, dtype=F64, requires_grad=True))):
        assert torch.autograd.gradcheck(linear, (x,), check_forward_ad=True)
        assert torch.autograd.gradgradcheck(linear, (x,))


@pytest.mark.grad
@pytest.mark.usefixtures("backend")
def test_transforms_see_the_dense_function() -> None:
    d = dense(FOUND, MESHED)
    src, dst = (end[FOUND.edge] for end in MESHED.pairs())
    u, du, many = torch.randn(7, 2, dtype=F64), torch.randn(7, 2, dtype=F64), torch.randn(4, 7, 2, dtype=F64)

    def ours(u: Tensor) -> Tensor:
        return FOUND.exchange(u, burgers)

    def oracle(u: Tensor) -> Tensor:
        return d.T @ burgers(u[..., src, :], u[..., dst, :], None)

    for found, expected in zip(torch.func.jvp(ours, (u,), (du,)), torch.func.jvp(oracle, (u,), (du,))):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.vmap(ours)(many), oracle(many))
    slopes = [torch.func.grad(lambda u, f=f: f(u).sin().sum())(u) for f in (ours, oracle)]
    torch.testing.assert_close(*slopes)
    twice = [torch.func.jvp(lambda v, f=f: torch.func.jvp(f, (v,), (du,))[1], (u,), (du,))[1] for f in (ours, oracle)]
    torch.testing.assert_close(*twice)


@pytest.mark.grad
def test_a_compiled_exchange_is_the_same() -> None:
    found = Incidence.of(MESHED).prepare()
    u = torch.randn(7, 2, dtype=F64, requires_grad=True)
    torch._dynamo.reset()
    y = torch.compile(lambda u: found.exchange(u, burgers), fullgraph=True, backend="aot_eager")(u)
    expected = found.exchange(u, burgers)
    torch.testing.assert_close(y, expected)
    g = torch.randn_like(y)
    torch.testing.assert_close(torch.autograd.grad(y, u, g)[0], torch.autograd.grad(expected, u, g)[0])


# the value and its refusals


def test_an_incidence_is_frozen_and_moves() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        FOUND.sign = FOUND.sign  # type: ignore[misc]
    single = FOUND.to(dtype=torch.float32)
    assert single.sign.dtype == torch.float32 and single.edge.dtype == torch.int64 and FOUND.sign.dtype == F64
    u = torch.randn(7, 2)
    assert torch.equal(single.exchange(u, burgers), FOUND.exchange(u, burgers))
    graph = Graph(MESHED, weight=torch.ones(MESHED.n_edges))
    assert graph.incidence is graph.incidence and graph.incidence.sign.dtype == torch.float32


@pytest.mark.parametrize(
    ("src", "dst", "message"),
    [
        ([0, 2, 1, 1], [1, 0, 0, 2], "edge 2 -> 0 has no partner 0 -> 2: add the reverse edges"),
        ([0, 1, 0], [1, 0, 1], "edge 0 -> 1 stands 2 times and 1 -> 0 1 times"),
        ([2], [0], "every edge in both directions; edge 2 -> 0 has no partner 0 -> 2"),
    ],
)
def test_the_first_edge_without_a_partner_is_named(src: list[int], dst: list[int], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        Incidence.of(Relation.from_edges(src, dst, 3, 3))


def test_two_node_sets_and_fluxes_of_another_size_are_refused() -> None:
    with pytest.raises(InputError, match="needs one node set, got a relation from 2 to 3 nodes"):
        Incidence.of(Relation.from_edges([0], [1], 2, 3))
    with pytest.raises(ShapeError, match=r"x has shape \[6, 1\], expected \[\*, 7, c\]"):
        FOUND.difference(torch.ones(6, 1))
    with pytest.raises(
        ShapeError, match=r"flux has shape \[6, 1\], expected one row per undirected edge: \[\*, 7, c\]"
    ):
        FOUND.divergence(torch.ones(6, 1))
    with pytest.raises(ShapeError, match="one row per undirected edge"):
        FOUND.exchange(torch.ones(7, 1), lambda a, b, edge: (a - b).sum(0))
