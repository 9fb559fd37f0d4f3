"""Neighbour samples: what they hold, that all edges give the whole graph's logits, and their mean where some do."""

import pickle
from collections import Counter

import pytest
import torch

from graphpde import Graph, Relation
from graphpde.core.normalise import normalised
from graphpde.errors import ConditionError, InputError, ShapeError
from graphpde.graph_diffusion import Dropout, Gat, Gcn, NeighbourSampler, Sage
from graphpde.nets import SparseFeatures
from graphpde.train import Adam, Epochs, fit

DROPOUT = Dropout(0.0, 0.0)


def random_graph(n=40, e=300, seed=0):
    """Directed, with weights, self-loops, edges given twice, and four nodes without any edge."""
    rng = torch.Generator().manual_seed(seed)
    src, dst = torch.randint(n - 4, (2, e), generator=rng)
    return Graph(Relation.from_edges(src, dst, n, n), weight=torch.rand(e, generator=rng, dtype=torch.float64))


def features(n=40, f=6, seed=1):
    return torch.rand(n, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


MODELS = {
    "gcn": lambda: Gcn(6, 8, 3, dropout=DROPOUT).double(),
    "sage": lambda: Sage(6, 8, 3, dropout=DROPOUT).double(),
    "gat": lambda: Gat(6, 8, 3, dropout=DROPOUT, heads=2, attention_dropout=0.0).double(),
}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("sparse", [False, True])
def test_all_edges_give_the_logits_of_the_whole_graph(name, sparse):
    torch.manual_seed(0)
    graph, x, model = random_graph(), features(), MODELS[name]()
    x = SparseFeatures.from_dense(x * (x > 0.5)) if sparse else x
    whole = model(graph, x)
    sampler = NeighbourSampler(graph, x, (None, None), batch_size=7, model=model)
    seen = []
    for part in sampler.drawn(torch.Generator().manual_seed(0)):
        seeds = part.nodes[part.seeds]
        torch.testing.assert_close(model(part.graph, part.x)[part.seeds], whole[seeds], rtol=1e-12, atol=1e-12)
        seen += seeds.tolist()
    assert sorted(seen) == list(range(graph.n)) and len(sampler) == 6


def test_a_fanout_above_every_degree_is_all_edges():
    graph, x = random_graph(), features()
    all_, many = (NeighbourSampler(graph, x, k, model=Gcn).sample(torch.arange(5)) for k in ((None,) * 2, (99, 99)))
    for a, b in zip(all_.graph.edges.pairs(), many.graph.edges.pairs()):
        assert torch.equal(a, b)
    assert torch.equal(all_.graph.weight, many.graph.weight) and torch.equal(all_.nodes, many.nodes)


def edges_by_number(part):
    src, dst = (part.nodes[k] for k in part.graph.edges.pairs())
    return list(zip(src.tolist(), dst.tolist()))


def test_edges_are_those_of_the_graph_each_at_most_once_and_no_more_than_the_fanout():
    graph, x = random_graph(e=800), features()
    sampler = NeighbourSampler(graph, x, (3, 2), model=Gcn)
    seeds = torch.tensor([3, 39, 11, 0])
    part = sampler.sample(seeds, torch.Generator().manual_seed(2))
    assert torch.equal(part.nodes[part.seeds], seeds) and len(part.nodes.unique()) == len(part.nodes)
    assert torch.equal(part.x, x[part.nodes])
    held = Counter(zip(*(k.tolist() for k in sampler.graph.edges.pairs())))
    assert not Counter(edges_by_number(part)) - held
    into = Counter(d for s, d in edges_by_number(part) if s != d)
    fanout = {int(k): 3 for k in seeds}
    assert into and all(count <= fanout.get(node, 2) for node, count in into.items())
    degree = Counter(d for s, d in held.elements() if s != d)
    assert all(into[int(k)] == min(3, degree[int(k)]) for k in seeds)
    for node in into:  # all self-loops of whoever got edges
        assert Counter(edges_by_number(part))[node, node] == held[node, node]


def test_a_sum_over_sampled_neighbours_has_the_mean_of_all():
    graph, x = random_graph(n=12, e=120), features(12)
    sampler = NeighbourSampler(graph, x, (3,), model=Gcn)
    exact = sampler.graph.edges.propagate(x, weight=sampler.graph.weight)
    rng, draws = torch.Generator().manual_seed(0), []
    for _ in range(200):
        part = sampler.sample(torch.arange(12), rng)
        draws.append(part.graph.edges.propagate(part.x, weight=part.graph.weight)[:12])
    draws = torch.stack(draws)
    error = (draws.mean(0) - exact).abs()
    spread = draws.std(0) / 200**0.5
    assert spread.max() > 1e-3  # there is something random
    assert bool((error <= 4.5 * spread + 1e-12).all())  # 72 numbers: 4.5 sigma is passed with probability 5e-4


def test_the_generator_decides_everything():
    sampler = NeighbourSampler(random_graph(), features(), (2, 2), batch_size=9, model=Gcn)
    passes = [list(sampler.drawn(torch.Generator().manual_seed(s))) for s in (5, 5, 6)]
    for a, b in zip(passes[0], passes[1]):
        assert torch.equal(a.nodes, b.nodes) and torch.equal(a.graph.weight, b.graph.weight)
    assert any(not torch.equal(a.nodes, b.nodes) for a, b in zip(passes[0], passes[2]))


def test_seeds_without_edges_and_graphs_without_any():
    x = features(5)
    empty = Graph(Relation.from_edges([], [], 5, 5))
    for model in (Sage(6, 4, 2).double().eval(), Gcn(6, 4, 2).double().eval()):
        part = NeighbourSampler(empty, x, (2, 2), model=model).sample(torch.tensor([4, 1]))
        assert part.nodes.tolist() == [4, 1]
        torch.testing.assert_close(model(part.graph, part.x), model(empty, x)[[4, 1]], rtol=1e-13, atol=1e-13)


def test_a_part_stays_normalised_when_copied_or_cast():
    torch.manual_seed(0)
    graph, x, model = random_graph(), features(), MODELS["gcn"]()
    part = NeighbourSampler(graph, x, (None, None), model=model).sample(torch.arange(6))
    wanted = model(graph, x)[:6]
    copy = pickle.loads(pickle.dumps(part.graph))
    torch.testing.assert_close(model(copy, part.x)[:6], wanted, rtol=1e-12, atol=1e-12)
    single = model.float()(part.graph.to(dtype=torch.float32), part.x.float())[:6]
    torch.testing.assert_close(single.double(), wanted, rtol=1e-4, atol=1e-5)
    assert normalised(part.graph, "symmetric", loops=1.0, dtype=torch.float64).edges is part.graph.edges


def test_it_is_a_source_of_batches_for_fit():
    torch.manual_seed(0)
    n = 200
    y = torch.arange(n) % 2
    rng = torch.Generator().manual_seed(3)
    src, dst = torch.randint(n // 2, (2, 1500), generator=rng) * 2 + torch.randint(2, (1, 1500), generator=rng)
    graph = Graph(Relation.from_edges(src, dst, n, n))  # edges within the classes only
    x = torch.randn(n, 4, generator=rng) + 0.5 * y[:, None]
    model = Gcn(4, 8, 2, dropout=DROPOUT)
    sampler = NeighbourSampler(graph, x, (5, 5), torch.arange(100), 25, model=model)

    def objective(model, batch, rng):
        logits = model(batch.graph, batch.x)[batch.seeds]
        return {"loss": torch.nn.functional.cross_entropy(logits, y[batch.nodes[batch.seeds]])}

    def run():
        torch.manual_seed(1)
        fresh = Gcn(4, 8, 2, dropout=DROPOUT)
        history = fit(
            fresh, objective, sampler, update=Adam(0.02), steps=Epochs(15), rng=torch.Generator().manual_seed(7)
        )
        return fresh, history

    first, history = run()
    second, _ = run()
    assert len(history) == 15 * 4
    for a, b in zip(first.parameters(), second.parameters()):
        assert torch.equal(a, b)
    connected = graph.edges.degree > 0
    hit = (first(graph, x).argmax(1) == y)[100:][connected[100:]]
    assert hit.double().mean() > 0.95


def test_a_mask_names_the_seeds():
    mask = torch.zeros(40, dtype=torch.bool)
    mask[[2, 30]] = True
    sampler = NeighbourSampler(random_graph(), features(), (2,), mask, model=Gcn)
    (part,) = sampler.drawn(torch.Generator().manual_seed(0))
    assert sorted(part.nodes[part.seeds].tolist()) == [2, 30]
    assert sampler.sample(mask).nodes[:2].tolist() == sampler.sample([2, 30]).nodes[:2].tolist() == [2, 30]


@pytest.mark.parametrize(
    ("seeds", "match"), [([1, 1, 2], "1 seeds occur more than once"), ([-1], "names node -1"), ([0.5], "whole numbers")]
)
def test_a_part_is_around_distinct_nodes(seeds, match):
    with pytest.raises(InputError, match=match):
        NeighbourSampler(random_graph(), features(), (2,), model=Gcn).sample(torch.tensor(seeds))


@pytest.mark.parametrize(
    ("error", "match", "change"),
    [
        (ShapeError, "x has 39 rows", {"x": features(39)}),
        (InputError, "fanouts = \\[0\\]", {"fanouts": (0,)}),
        (InputError, "fanouts = \\[\\]", {"fanouts": ()}),
        (InputError, "1 seeds occur more than once", {"seeds": [1, 2, 1]}),
        (InputError, "fanouts = 5, expected one for each layer", {"fanouts": 5}),
        (InputError, "fanouts = \\[2.5\\], expected .* whole number", {"fanouts": (2.5,)}),
        (InputError, "batches of 2.5, expected whole numbers", {"batch_size": 2.5}),
        (InputError, "got 0 seeds", {"seeds": []}),
        (InputError, "batches of 0", {"batch_size": 0}),
        (ConditionError, "names node 40", {"seeds": [40]}),
    ],
)
def test_bad_input_is_refused(error, match, change):
    given = {"graph": random_graph(), "x": features(), "fanouts": (2, 2), "model": Gcn, **change}
    with pytest.raises(error, match=match):
        NeighbourSampler(**given)


def test_a_model_with_another_normalisation_is_refused():
    part = NeighbourSampler(random_graph(), features(), (2, 2), model=Gcn).sample(torch.arange(3))
    with pytest.raises(InputError, match="'incoming' with loops 0 of a part that was sampled with 'symmetric' and 1"):
        Sage(6, 4, 2).double()(part.graph, part.x)
