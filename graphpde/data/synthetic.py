"""Labelled graphs drawn from a model, pure functions of the seed: stochastic blocks, also with features, two moons."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.neighbors import knn
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, register
from graphpde.data.features import as_features, as_tensor
from graphpde.data.node_data import NodeData
from graphpde.errors import InputError


def sbm(sizes: Sequence[int], probability: Tensor, *, seed: int = 0) -> tuple[Graph, Tensor]:
    """Stochastic block model: i and j of blocks a and b are joined with probability p_ab, each pair by itself.

    The cost is that of the edges, not of the pairs.

    Args:
        sizes: nodes of each block [k].
        probability: symmetric [k, k] in [0, 1].
        seed: of the draw.

    Returns:
        The graph with both directions of each edge, nodes in random order, and the block of each node [n].

    Raises:
        InputError: no blocks, sizes that are no whole numbers, probabilities that are none, or not symmetric.
    """
    counts = as_tensor(sizes, "sizes", "nodes of each block [k]")
    if counts.dim() != 1 or not len(counts) or counts.is_floating_point() or bool((counts < 0).any()):
        raise InputError(f"sizes = {counts.tolist()}, expected a whole number of nodes >= 0 for each of some blocks")
    sizes = counts.tolist()
    p = torch.as_tensor(probability, dtype=torch.float64)
    k = len(sizes)
    if p.shape != (k, k) or not bool(((p >= 0) & (p <= 1)).all()) or not torch.equal(p, p.T):
        raise InputError(f"expected a symmetric table [{k}, {k}] of probabilities, got {p.tolist()}")
    rng = torch.Generator().manual_seed(int(seed))
    first = [0]
    for size in sizes:
        first.append(first[-1] + size)
    ends = [_block(sizes, first, a, b, float(p[a, b]), rng) for a in range(k) for b in range(a, k)]
    order = torch.randperm(first[-1], generator=rng)
    src, dst = (order[torch.cat(end)] for end in zip(*ends))
    y = torch.empty(first[-1], dtype=torch.int64)
    y[order] = torch.arange(k).repeat_interleave(torch.tensor(sizes))
    edges = Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), first[-1], first[-1])
    return Graph(edges), y


def csbm(
    n: int = 2000,
    classes: int = 5,
    degree: float = 10.0,
    homophily: float = 0.8,
    features: int = 64,
    mu: float = 20.0,
    *,
    seed: int = 0,
) -> NodeData:
    r"""Contextual stochastic block model: edges and features both tell the class, each as clearly as asked.

    Classes of equal size up to one node. A pair of class c of m_c nodes is joined with
    :math:`p_c = d h / (m_c - 1)`, a pair of two classes with :math:`q = d (1 - h) n / (2 P)`, P the number of such
    pairs, so that the expected numbers of edges are d n / 2 in all and h times as many within a class: the mean degree
    is d and the ratio of the two is h, for every h in [0, 1]. The features are
    :math:`x_i = \sqrt{\mu / n}\, u_{y_i} + z_i / \sqrt f` with z standard normal and class vectors u normal of
    variance 1/f, centred; with two classes :math:`u_1 = -u_0`, the model of the reference.

    Args:
        n: nodes. classes: at least 2. degree: d, mean number of neighbours. homophily: h; 1 / classes tells nothing.
        features: f. mu: signal of the features, 0 = none; per node mu / n against noise of size 1.
        seed: of the draw.

    Raises:
        InputError: sizes that are none, or so many edges that a probability exceeds 1.

    Reference: Deshpande et al. 2018, with several classes and mean degree and homophily as parameters.
    """
    _whole(n=n, classes=classes, features=features)
    if classes < 2 or n < 2 * classes or features < 1:
        raise InputError(f"n={n}, classes={classes}, features={features}: expected 2 classes of 2 nodes and a feature")
    if not 0 <= homophily <= 1 or not degree >= 0 or not mu >= 0:
        raise InputError(f"degree={degree}, homophily={homophily}, mu={mu}: expected >= 0, and homophily <= 1")
    sizes = [n // classes + (c < n % classes) for c in range(classes)]
    across = (n * n - sum(size * size for size in sizes)) // 2
    p = torch.full((classes, classes), degree * (1 - homophily) * n / (2 * across), dtype=torch.float64)
    p.diagonal().copy_(torch.tensor([degree * homophily / (size - 1) for size in sizes]))
    if float(p.max()) > 1:
        raise InputError(f"{n} nodes in {classes} classes cannot have {degree:g} neighbours at homophily {homophily:g}")
    graph, y = sbm(sizes, p, seed=seed)
    rng = torch.Generator().manual_seed(int(seed) + 1)
    u = torch.randn(classes, features, generator=rng, dtype=torch.float64) / math.sqrt(features)
    u = (u - u.mean(0)) * math.sqrt(classes / (classes - 1))
    noise = torch.randn(n, features, generator=rng, dtype=torch.float64) / math.sqrt(features)
    x = (math.sqrt(mu / n) * u[y] + noise).to(torch.float32)
    return NodeData("csbm", graph, as_features(x), y, source="Deshpande et al. 2018, contextual block model")


def two_moons(n: int = 500, noise: float = 0.1, k: int = 10, *, seed: int = 0) -> NodeData:
    """Two half circles that reach into each other, joined to the k nearest in either direction; features = positions.

    Args:
        n: points. noise: standard deviation, in radii. k: neighbours. seed: of the draw.

    Raises:
        InputError: no points.
    """
    _whole(n=n)
    rng = torch.Generator().manual_seed(int(seed))
    y = torch.arange(n) % 2
    angle = math.pi * torch.rand(n, generator=rng, dtype=torch.float64)
    sign = 1 - 2 * y
    x = torch.stack([angle.cos() * sign + y, angle.sin() * sign + 0.5 * y], 1)
    x = x + noise * torch.randn(n, 2, generator=rng, dtype=torch.float64)
    data = NodeData("two_moons", Graph(knn(x, k), pos=x), x.to(torch.float32), y, source="two half circles")
    return data.undirected()


def _whole(**given: int) -> None:
    for name, value in given.items():
        if not isinstance(value, Integral) or value < 1:
            raise InputError(f"{name} = {value!r}, expected a whole number >= 1")


def _block(
    sizes: Sequence[int], first: Sequence[int], a: int, b: int, p: float, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """The joined pairs of blocks a <= b, each once: a binomial number of them, all equally likely."""
    m, other = sizes[a], sizes[b]
    pairs = m * (m - 1) // 2 if a == b else m * other
    count = int(
        torch.binomial(
            torch.tensor(float(pairs), dtype=torch.float64), torch.tensor(p, dtype=torch.float64), generator=rng
        )
    )
    chosen = _distinct(pairs, count, rng)
    if a != b:
        return first[a] + chosen // other, first[b] + chosen % other
    later = torch.arange(m - 1, -1, -1)  # partners after each node
    before = later.cumsum(0) - later
    row = torch.searchsorted(before + later, chosen, right=True)
    return first[a] + row, first[a] + row + 1 + chosen - before[row]


def _distinct(population: int, count: int, rng: torch.Generator) -> Tensor:
    """``count`` different numbers below ``population``, every set of them equally likely."""
    if 2 * count > population:
        return torch.randperm(population, generator=rng)[:count]
    drawn = torch.empty(0, dtype=torch.int64)
    while True:
        new = torch.randint(max(population, 1), (count + count // 2 + 16,), generator=rng)
        drawn = torch.cat([drawn, new])
        values, came = np.unique(drawn.numpy(), return_index=True)
        if len(values) >= count:  # in the order in which they came: as if drawn one by one without those before
            return torch.from_numpy(values[came.argsort()[:count]])


_ORIGIN = Origin("Deshpande et al. 2018", "drawn by the package", "Apache-2.0")
register(Dataset("csbm", "block model with features of set homophily", None, _ORIGIN, csbm))
register(Dataset("two_moons", "points, nearest, half circle", None, Origin("", *_ORIGIN[1:]), two_moons))
