"""Drawn graphs: expected counts, equal chances, features as the formula says, repeatable."""

from __future__ import annotations

import math

import pytest
import torch

from graphpde.data import csbm, digits, load, sbm, two_moons
from graphpde.data.synthetic import _distinct
from graphpde.errors import InputError


@pytest.mark.parametrize(("classes", "homophily"), [(2, 0.1), (3, 0.5), (5, 0.0), (5, 1.0), (7, 0.83)])
def test_degree_and_homophily_are_those_asked_for(classes: int, homophily: float) -> None:
    """2003 nodes, not divisible: 4 deviations of the counts, which are sums of independent pairs."""
    n, degree, draws = 2003, 12.0, 5
    total = same = 0.0
    for seed in range(draws):
        data = csbm(n, classes, degree, homophily, features=4, seed=seed)
        assert data.graph.edges.is_symmetric and len(data.graph.edges.loops) == 0
        edges = data.graph.edges.n_edges / 2
        total += edges
        same += edges * data.homophily()
        sizes = torch.bincount(data.y)
        assert int(sizes.max() - sizes.min()) <= 1 and data.classes == classes
    expected = draws * n * degree / 2
    assert abs(total - expected) < 4 * math.sqrt(expected)
    assert abs(same - homophily * expected) <= 4 * math.sqrt(homophily * expected)


def test_expected_counts_are_exact() -> None:
    """Every probability 0 or 1: complete graphs on the classes, and everything across."""
    data = csbm(12, 3, 3.0, 1.0, features=1)
    assert data.graph.edges.n_edges == 12 * 3 and data.homophily() == 1.0
    data = csbm(12, 3, 8.0, 0.0, features=1)
    assert data.graph.edges.n_edges == 12 * 8 and data.homophily() == 0.0


def test_every_pair_is_equally_likely() -> None:
    """Blocks of 4 and 3 drawn 1200 times: the frequency of each pair within 4.5 deviations (21 pairs)."""
    p = torch.tensor([[0.4, 0.15], [0.15, 0.7]])
    draws = 1200
    count = torch.zeros(7, 7)
    for seed in range(draws):
        graph, y = sbm([4, 3], p, seed=seed)
        order = torch.argsort(y, stable=True)  # nodes come in random order: number them by block and place
        place = torch.empty(7, dtype=torch.int64)
        place[order] = torch.arange(7)
        src, dst = graph.edges.pairs()
        count[place[src], place[dst]] += 1
    assert torch.equal(count, count.T) and not count.diagonal().any()
    block = torch.tensor([0] * 4 + [1] * 3)
    chance = p[block][:, block]
    deviation = (draws * chance * (1 - chance)).sqrt()
    off = ~torch.eye(7, dtype=torch.bool)
    assert float(((count - draws * chance).abs() / deviation)[off].max()) < 4.5


def test_distinct_numbers() -> None:
    rng = torch.Generator().manual_seed(0)
    for population, count in ((10, 0), (10, 10), (10, 4), (10**12, 1000), (1, 1), (0, 0)):
        drawn = _distinct(population, count, rng)
        assert len(torch.unique(drawn)) == count and bool((drawn < population).all())
    seen = torch.zeros(6)
    for _ in range(6000):
        seen[_distinct(6, 2, rng)] += 1
    assert float((seen - 2000).abs().max()) < 4 * math.sqrt(6000 / 3 * 2 / 3)


def test_features_are_class_vectors_and_noise() -> None:
    """mu = 0 is noise of size 1; with two classes the vectors are opposite and the signal is sqrt(mu / n)."""
    n, f = 4000, 50
    noise = csbm(n, 2, 5.0, 0.5, features=f, mu=0.0).x
    assert noise.shape == (n, f)
    assert float(noise.square().sum(1).mean()) == pytest.approx(1, abs=4 * math.sqrt(2 / (n * f)))
    m, wide = 400, 4000
    data = csbm(m, 2, 5.0, 0.5, features=wide, mu=4.0 * m)
    means = torch.stack([data.x[data.y == c].mean(0) for c in range(2)])
    assert float((means[0] + means[1]).norm()) < 4 * math.sqrt(2 / m)  # opposite up to the noise of the means
    length = float(means[0].norm())
    assert length == pytest.approx(2, rel=4 / math.sqrt(2 * wide))  # sqrt(mu / n) |u|, u normal with |u|^2 about 1
    clear = csbm(n, 5, 5.0, 0.5, features=f, mu=100.0 * n)
    centres = torch.stack([clear.x[clear.y == c].mean(0) for c in range(5)])
    assert bool((torch.cdist(clear.x, centres).argmin(1) == clear.y).all())


def test_seeds() -> None:
    one, same, other = csbm(seed=1), csbm(seed=1), csbm(seed=2)
    torch.manual_seed(5)
    assert torch.equal(one.x, same.x) and torch.equal(one.y, same.y)
    assert all(torch.equal(a, b) for a, b in zip(one.graph.edges.pairs(), same.graph.edges.pairs()))
    assert not torch.equal(one.y, other.y)
    before = torch.get_rng_state()
    csbm(seed=3), two_moons(seed=3)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"classes": 1}, "expected 2 classes"),
        ({"n": 8, "classes": 5}, "expected 2 classes of 2 nodes"),
        ({"n": 100.0}, "n = 100.0, expected a whole number >= 1"),
        ({"features": 2.5}, "features = 2.5, expected a whole number >= 1"),
        ({"homophily": 1.2}, "homophily <= 1"),
        ({"degree": -1.0}, "expected >= 0"),
        ({"mu": float("nan")}, "expected >= 0"),
        ({"n": 20, "degree": 15.0, "homophily": 1.0}, "20 nodes in 5 classes cannot have 15 neighbours at homophily 1"),
    ],
)
def test_what_cannot_be_drawn(options: dict[str, float], says: str) -> None:
    with pytest.raises(InputError, match=says):
        csbm(**options)  # type: ignore[arg-type]


def test_blocks_that_are_none() -> None:
    for table in (torch.tensor([[0.1, 0.2], [0.3, 0.1]]), torch.tensor([[1.1, 0.2], [0.2, 0.1]]), torch.zeros(2, 3)):
        with pytest.raises(InputError, match=r"expected a symmetric table \[2, 2\] of probabilities"):
            sbm([3, 3], table)
    for sizes in ([-3, 5], [2.5, 5], []):
        with pytest.raises(InputError, match=r"sizes = \[.*\], expected a whole number of nodes >= 0"):
            sbm(sizes, torch.full((len(sizes), len(sizes)), 0.5))  # type: ignore[arg-type]
    for n in (0, -5, 7.0):
        with pytest.raises(InputError, match=f"n = {n}, expected a whole number >= 1"):
            two_moons(n)  # type: ignore[arg-type]


def test_moons_and_digits() -> None:
    moons = two_moons(300, noise=0.0, k=5)
    assert (
        moons.homophily() == 1.0 and moons.graph.edges.is_symmetric and torch.bincount(moons.y).tolist() == [150, 150]
    )
    first = moons.x[moons.y == 0]
    assert float((first.norm(dim=1) - 1).abs().max()) < 1e-6 and bool((first[:, 1] >= 0).all())
    second = moons.x[moons.y == 1] - torch.tensor([1.0, 0.5])
    assert float((second.norm(dim=1) - 1).abs().max()) < 1e-6 and bool((second[:, 1] <= 0).all())
    pytest.importorskip("sklearn")
    pixels = digits(8)
    assert (pixels.n, pixels.features, pixels.classes) == (1797, 64, 10) and pixels.graph.edges.is_symmetric
    assert int(pixels.graph.edges.degree.min()) >= 8 and pixels.homophily() > 0.95
    assert float(pixels.x.max()) == 1.0 and load("digits").n == 1797
