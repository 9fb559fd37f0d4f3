"""Random networks, the lattice and connected parts: counts, symmetry, seeds, spectra, refusals."""

from __future__ import annotations

import math

import networkx
import numpy as np
import pytest
import torch

from graphpde.core import (
    Graph,
    Lattice,
    Relation,
    barabasi_albert,
    components,
    erdos_renyi,
    layout,
    stochastic_block,
    to_networkx,
    watts_strogatz,
)
from graphpde.errors import InputError, ShapeError
from graphpde.ops import Diffusion

MAKERS = {
    "ba": lambda seed: barabasi_albert(120, 3, seed),
    "ws": lambda seed: watts_strogatz(50, 4, 0.18, seed),
    "er": lambda seed: erdos_renyi(80, 0.1, seed),
    "sb": lambda seed: stochastic_block([20, 30], 0.4, 0.05, seed),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_network_is_simple_undirected_and_repeatable(name: str) -> None:
    one, again, other = MAKERS[name](3), MAKERS[name](3), MAKERS[name](4)
    src, dst = one.edges.pairs()
    assert bool((src != dst).all()) and one.edges.is_symmetric
    assert len({*zip(src.tolist(), dst.tolist(), strict=True)}) == one.edges.n_edges
    assert all(torch.equal(a, b) for a, b in zip(one.edges.pairs(), again.edges.pairs(), strict=True))
    assert {*zip(*map(torch.Tensor.tolist, one.edges.pairs()), strict=True)} != {
        *zip(*map(torch.Tensor.tolist, other.edges.pairs()), strict=True)
    }
    Diffusion(one)  # refuses what is not symmetric


def test_counts_of_links() -> None:
    assert barabasi_albert(200, 3).edges.n_edges == 2 * (3 + 196 * 3)  # a star of 4, then 196 nodes with 3 links each
    ring = watts_strogatz(50, 4, 0.18)
    assert ring.edges.n_edges == 2 * 50 * 2 and int(components(ring).max()) == 0
    n, p = 400, 0.05
    links, expected = erdos_renyi(n, p, 1).edges.n_edges / 2, p * n * (n - 1) / 2
    assert abs(links - expected) < 4 * math.sqrt(expected * (1 - p))  # four standard deviations of a binomial


def test_groups_are_denser_inside() -> None:
    graph = stochastic_block([60, 60], 0.3, 0.02, 1)
    src, dst = graph.edges.pairs()
    assert graph.tag("group1").nodes.tolist() == list(range(60, 120))
    assert int(((src < 60) == (dst < 60)).sum()) > 10 * int(((src < 60) != (dst < 60)).sum())


def test_hubs_of_a_scale_free_network() -> None:
    degree = barabasi_albert(1000, 3, 0).edges.degree
    assert int(degree.min()) >= 1 and int(degree.max()) > 40  # 3 sqrt(1000) = 95 is typical, an exponential tail has 25


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: barabasi_albert(5, 5), "m = 5 links of each new node among 5 nodes, expected 1 <= m < n"),
        (lambda: barabasi_albert(5.0, 2), "n = 5.0, expected a whole number >= 1"),
        (lambda: barabasi_albert(5, 2, -1), "seed = -1, expected a whole number >= 0"),
        (lambda: watts_strogatz(10, 1), "k = 1 neighbours among 10 nodes"),
        (lambda: watts_strogatz(10, 4, 1.5), "p = 1.5, expected a probability"),
        (lambda: erdos_renyi(10, -0.1), "p = -0.1"),
        (lambda: stochastic_block([3, 0], 0.5, 0.1), r"sizes\[1\] = 0"),
        (lambda: stochastic_block([3, 3], 0.5, 2.0), "between = 2.0"),
        (lambda: Lattice(2, 8), "2 points along an axis, expected a whole number >= 3"),
        (lambda: Lattice(), "0 points"),
        (lambda: Lattice(8, spacing=0.0), "spacing = 0"),
    ],
)
def test_what_cannot_be_drawn(make, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()


def test_a_small_world_that_never_connects(monkeypatch: pytest.MonkeyPatch) -> None:
    def give_up(*_: object, **__: object) -> None:
        raise networkx.NetworkXError("Maximum number of tries exceeded")

    monkeypatch.setattr(networkx, "connected_watts_strogatz_graph", give_up)
    with pytest.raises(InputError, match="no connected network with n = 90, k = 2, p = 1 in 100 draws; raise k"):
        watts_strogatz(90, 2, 1.0)


def test_a_layout_brings_neighbours_together() -> None:
    graph = stochastic_block([20, 20], 0.5, 0.01, 2)
    at = layout(graph, 1)
    assert torch.equal(at, layout(graph, 1)) and at.shape == (40, 2) and bool(torch.isfinite(at).all())
    apart = torch.cdist(at, at)
    assert float(apart[:20, 20:].mean()) > 1.5 * float(apart[:20, :20].mean())
    assert layout(Graph(Relation.from_edges([], [], 1, 1))).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("periodic", [True, False])
@pytest.mark.parametrize("shape", [(7,), (5, 4), (4, 3, 5)])
def test_the_lattice_is_finite_differences(shape: tuple[int, ...], periodic: bool) -> None:
    h = 0.5
    graph = Lattice(*shape, spacing=h, periodic=periodic)
    u = torch.randn(graph.n, 1, dtype=torch.float64)
    field = np.pad(u.numpy().reshape(shape), 1, mode="wrap" if periodic else "edge")
    inner = (slice(1, -1),) * len(shape)
    by_hand = -2 * len(shape) * field[inner]
    for axis in range(len(shape)):
        for step in (-1, 1):
            by_hand = by_hand + np.roll(field, step, axis)[inner]
    found = Diffusion(graph).rate(torch.tensor(0.0), u).numpy().reshape(shape)
    np.testing.assert_allclose(found, by_hand / h**2, rtol=1e-12, atol=1e-12)
    stiffness = (-Diffusion(graph).operator).to_scipy().toarray() / h ** len(shape)
    np.testing.assert_allclose(np.linalg.eigvalsh(stiffness), graph.eigenvalues().numpy(), atol=1e-12)
    assert graph.integral(torch.ones_like(u)).item() == pytest.approx(h ** len(shape) * graph.n)


def test_a_lattice_stays_one_elsewhere() -> None:
    moved = Lattice(4, 5, spacing=2.0).to(dtype=torch.float32)
    assert isinstance(moved, Lattice) and moved.shape == (4, 5) and moved.spacing == 2.0 and moved.periodic
    assert moved.weight.dtype == torch.float32 and moved.pos is not None
    with pytest.raises(AttributeError, match="frozen"):
        moved.shape = (1, 1)


def test_components_against_networkx() -> None:
    graph = erdos_renyi(150, 0.008, 5)
    among = torch.rand(graph.n, generator=torch.Generator().manual_seed(1)) < 0.8
    bare = to_networkx(graph)
    for mask in (None, among):
        kept = range(graph.n) if mask is None else mask.nonzero()[:, 0].tolist()
        expected = sorted(sorted(part) for part in networkx.connected_components(bare.subgraph(kept)))
        labels = components(graph, mask)
        found = [(labels == k).nonzero()[:, 0].tolist() for k in range(int(labels.max()) + 1)]
        assert found == expected  # parts in the order of their smallest nodes
        assert mask is None or bool((labels[~mask] == -1).all())
    assert components(graph, torch.zeros(graph.n, dtype=torch.bool)).tolist() == [-1] * graph.n


def test_directed_edges_join_as_well() -> None:
    graph = Graph(Relation.from_edges([0, 3], [1, 2], 5, 5))
    assert components(graph).tolist() == [0, 0, 1, 1, 2]


@pytest.mark.parametrize("among", [torch.ones(3, dtype=torch.bool), torch.ones(4)])
def test_components_of_no_mask(among: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="expected one truth value a node"):
        components(Graph(Relation.from_edges([0], [1], 4, 4)), among)
