"""The classic models: each layer against its formula and torch-geometric's, depth, and labels that spread."""

import pytest
import torch
from torch import nn

from graphpde import Graph, Relation
from graphpde.core.normalise import normalised
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion import (
    MODELS,
    Appnp,
    Dropout,
    Gat,
    Gcn,
    Gcnii,
    Known,
    LabelPropagation,
    MlpClassifier,
    Sage,
    propagate_labels,
)
from graphpde.nets import SparseFeatures

N, F, C, K = 15, 6, 8, 3
NONE = Dropout(0.0, 0.0)
EXACT = {"rtol": 1e-10, "atol": 1e-10}  # float64: sums of a few hundred products
LEARNING = ("mlp", "gcn", "gat", "sage", "appnp", "gcnii")


def random_graph(n=N, e=30, *, weighted=True, seed=0):
    """Undirected, no self-loops, the last node isolated."""
    rng = torch.Generator().manual_seed(seed)
    a, b = torch.randint(n - 1, (2, e), generator=rng)
    a, b = a[a != b], b[a != b]
    w = torch.rand(len(a), generator=rng, dtype=torch.float64) if weighted else torch.ones(len(a), dtype=torch.float64)
    edges = Relation.from_edges(torch.cat([a, b]), torch.cat([b, a]), n, n, coalesce=True)
    weight = edges.own(torch.cat([w, w])) if weighted else torch.ones(edges.n_edges, dtype=torch.float64)
    return Graph(edges, weight=weight)


def features(n=N, f=F):
    x = torch.rand(n, f, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return x * (x > 0.3)


def edge_index(graph):
    return torch.stack(graph.edges.pairs())


def dense(graph):
    """The matrix A_ij = w_ij of the edges j -> i."""
    src, dst = graph.edges.pairs()
    matrix = torch.zeros(graph.n, graph.n, dtype=torch.float64)
    matrix[dst, src] = graph.weight
    return matrix


def symmetric(graph):
    """D^-1/2 (W + I) D^-1/2, dense."""
    a = dense(graph) + torch.eye(graph.n, dtype=torch.float64)
    scale = a.sum(1).rsqrt()
    return scale[:, None] * a * scale


# formulas


@pytest.mark.parametrize("channels", [3, 12])  # the product comes before or after the map
def test_gcn_is_its_formula(channels):
    graph, x, model = random_graph(), features(), Gcn(F, channels, K, layers=3, dropout=NONE).double()
    a, u = symmetric(graph), x
    for k, layer in enumerate(model.convolutions):
        nn.init.normal_(layer.bias)
        u = a @ u @ layer.map.weight.t() + layer.bias
        u = torch.relu(u) if k < 2 else u
    torch.testing.assert_close(model(graph, x), u, **EXACT)


def test_gcn_options_are_their_formulas():
    graph, x, a = random_graph(), features(), symmetric(random_graph())
    model = Gcn(F, C, K, layers=4, dropout=NONE, residual="identity", middle="identity").double()
    first, *_, last = model.convolutions
    u = torch.relu(a @ x @ first.map.weight.t())
    for _ in range(2):
        u = u + torch.relu(a @ u)
    torch.testing.assert_close(model(graph, x), a @ u @ last.map.weight.t(), **EXACT)

    model = Gcn(F, C, K, layers=2, dropout=NONE, residual="linear", norm="layer").double()
    first, last = model.convolutions
    (skip,) = model.skips  # the last layer has none
    u = a @ x @ first.map.weight.t() + x @ skip.weight.t() + skip.bias
    u = torch.relu((u - u.mean(1, keepdim=True)) / (u.var(1, keepdim=True, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(model(graph, x), a @ u @ last.map.weight.t(), **EXACT)


def test_batch_norm_centres_each_channel_while_learning():
    model = Gcn(F, C, K, dropout=NONE, norm="batch").double()
    first = next(iter(model.states(model.prepare(random_graph()), features())))
    before = model.convolutions[0](model.prepare(random_graph()), features())
    expected = torch.relu((before - before.mean(0)) / (before.var(0, correction=0) + 1e-5).sqrt())
    torch.testing.assert_close(first, expected, **EXACT)


@pytest.mark.parametrize("middle", ["random", "identity"])
def test_frozen_weights_stay_and_the_ends_learn(middle):
    model = Gcn(F, C, K, layers=5, dropout=NONE, middle=middle).double()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {
        f"convolutions.{k}.{part}" for k in (0, 4) for part in ("map.weight", "bias")
    }
    update = torch.optim.Adam(model.parameters(), lr=0.1, weight_decay=0.1)
    model(random_graph(), features()).square().sum().backward()
    update.step()
    moved = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
    assert moved == {name for name, p in model.named_parameters() if p.requires_grad}


def test_appnp_with_many_steps_is_personalised_pagerank():
    graph, x, model = random_graph(), features(), Appnp(F, C, K, alpha=0.2, steps=200, dropout=NONE).double().eval()
    start = model.decoder(torch.relu(model.encoder(x)))
    wanted = 0.2 * torch.linalg.solve(torch.eye(N, dtype=torch.float64) - 0.8 * symmetric(graph), start)
    torch.testing.assert_close(model(graph, x), wanted, **EXACT)


def test_sage_normalised_states_have_length_one():
    model = Sage(F, C, K, layers=3, dropout=NONE, normalise=True).double()
    states = list(model.states(model.prepare(random_graph()), features()))
    for u in states[:-1]:
        torch.testing.assert_close(u.norm(dim=1), torch.ones(N, dtype=torch.float64), **EXACT)


def test_a_multilayer_perceptron_sees_no_edges():
    model, x = MlpClassifier(F, C, K, layers=3, dropout=NONE).double(), features()
    empty = Graph(Relation.from_edges([], [], N, N))
    assert torch.equal(model(random_graph(), x), model(empty, x))


# torch-geometric, with the same weights


@pytest.mark.parametrize("sparse", [False, True])
def test_gcn_is_that_of_torch_geometric(sparse):
    pyg = pytest.importorskip("torch_geometric.nn")
    graph, x, model = random_graph(), features(), Gcn(F, C, K, dropout=NONE).double()
    theirs = [pyg.GCNConv(F, C).double(), pyg.GCNConv(C, K).double()]
    for layer, other in zip(model.convolutions, theirs):
        nn.init.normal_(layer.bias)
        other.lin.weight.data, other.bias.data = layer.map.weight.data, layer.bias.data
    wanted = theirs[1](torch.relu(theirs[0](x, edge_index(graph), graph.weight)), edge_index(graph), graph.weight)
    got = model(graph, SparseFeatures.from_dense(x) if sparse else x)
    torch.testing.assert_close(got, wanted, **EXACT)


@pytest.mark.parametrize(("heads", "out_heads"), [(1, 1), (4, 2)])
def test_gat_is_that_of_torch_geometric(heads, out_heads):
    pyg = pytest.importorskip("torch_geometric.nn")
    graph, x = random_graph(), features()
    model = Gat(F, C, K, dropout=NONE, heads=heads, out_heads=out_heads, attention_dropout=0.0).double()
    theirs = [
        pyg.GATConv(F, C // heads, heads=heads).double(),
        pyg.GATConv(C, K, heads=out_heads, concat=False).double(),
    ]
    for layer, other in zip(model.attentions, theirs):
        nn.init.normal_(layer.bias)
        other.lin.weight.data, other.bias.data = layer.map.weight.data, layer.bias.data
        other.att_src.data, other.att_dst.data = layer.source.data[None], layer.target.data[None]
    wanted = theirs[1](nn.functional.elu(theirs[0](x, edge_index(graph))), edge_index(graph))
    torch.testing.assert_close(model(graph, x), wanted, **EXACT)


def test_sage_is_that_of_torch_geometric():
    pyg = pytest.importorskip("torch_geometric.nn")
    graph, x, model = random_graph(weighted=False), features(), Sage(F, C, K, dropout=NONE).double()
    theirs = [pyg.SAGEConv(F, C).double(), pyg.SAGEConv(C, K).double()]
    for layer, other in zip(model.convolutions, theirs):
        nn.init.normal_(layer.own.bias)
        other.lin_l.weight.data, other.lin_l.bias.data = layer.neighbours.weight.data, layer.own.bias.data
        other.lin_r.weight.data = layer.own.weight.data
    wanted = theirs[1](torch.relu(theirs[0](x, edge_index(graph))), edge_index(graph))
    torch.testing.assert_close(model(graph, x), wanted, **EXACT)


def test_appnp_is_that_of_torch_geometric():
    pyg = pytest.importorskip("torch_geometric.nn")
    graph, x, model = random_graph(), features(), Appnp(F, C, K, dropout=NONE, edge_dropout=0.0).double()
    start = model.decoder(torch.relu(model.encoder(x)))
    wanted = pyg.APPNP(10, 0.1)(start, edge_index(graph), graph.weight)
    torch.testing.assert_close(model(graph, x), wanted, **EXACT)


def test_gcnii_is_that_of_torch_geometric():
    pyg = pytest.importorskip("torch_geometric.nn")
    graph, x, model = random_graph(), features(), Gcnii(F, C, K, layers=6, dropout=NONE).double()
    u = start = torch.relu(model.encoder(x))
    for k, weight in enumerate(model.weights, 1):
        layer = pyg.GCN2Conv(C, 0.1, theta=0.5, layer=k).double()
        layer.weight1.data = weight.data
        u = torch.relu(layer(u, start, edge_index(graph), graph.weight))
    torch.testing.assert_close(model(graph, x), model.decoder(u), **EXACT)


# depth


def dirichlet(graph, u):
    """Sum of |u_i / sqrt(d_i) - u_j / sqrt(d_j)|^2 over the edges, over |u|^2."""
    a = symmetric(graph)
    return float(((u * u).sum() - (u * (a @ u)).sum()) / (u * u).sum())


def test_a_deep_gcn_smooths_and_one_with_source_does_not():
    torch.manual_seed(0)
    graph, x = random_graph(60, 200), features(60)
    energies = {}
    for name, model in {
        "plain": Gcn(F, C, K, layers=33, dropout=NONE, middle="identity"),
        "random": Gcn(F, C, K, layers=33, dropout=NONE, middle="random"),
        "source": Gcnii(F, C, K, layers=32, dropout=NONE, alpha=0.5),
    }.items():
        model = model.double()
        states = list(model.states(model.prepare(graph), x))[:-1]
        energies[name] = [dirichlet(graph, u.detach()) for u in (states[0], states[-1])]
    assert energies["plain"][1] < 1e-3 * energies["plain"][0]
    assert energies["random"][1] < 0.05 * energies["random"][0]
    assert energies["source"][1] > 0.1 * energies["source"][0]


def test_states_end_with_the_logits():
    graph, x = random_graph(), features()
    for name in LEARNING:
        model = MODELS[name](F, C, K).double().eval()
        states = list(model.states(model.prepare(graph), x))
        assert torch.equal(states[-1], model(graph, x)), name
        assert all(u.shape[0] == N for u in states), name


# learning


@pytest.mark.parametrize("name", LEARNING)
def test_dropout_is_for_learning_only(name):
    graph, x = random_graph(), features()
    model = MODELS[name](F, C, K).double()
    assert not torch.equal(model(graph, x), model(graph, x))
    model.eval()
    assert torch.equal(model(graph, x), model(graph, x))


def test_weights_are_glorots():
    bound = (6 / (400 + 200)) ** 0.5
    for weight in (
        Gcn(400, 200, K).convolutions[0].map.weight,
        Sage(400, 200, K).convolutions[0].neighbours.weight,
        Gat(400, 200, K).attentions[0].map.weight,
        Gcnii(400, 200, K, layers=1).encoder.weight,
    ):
        assert 0.999 * bound < float(weight.detach().abs().max()) <= bound
        assert abs(float(weight.detach().std()) / (bound / 3**0.5) - 1) < 0.02  # 80000 uniform numbers


def test_gcn_learns_the_public_split_of_cora(shared_data):
    """81.5 is published (Kipf and Welling 2017, table 2); 120 epochs of one seed come within 2.5 of it."""
    from graphpde.data import load

    torch.manual_seed(0)
    data = load("Cora", shared_data / "graphs")
    x = data.x if isinstance(data.x, SparseFeatures) else SparseFeatures.from_dense(data.x)
    x, split, y = x.to(dtype=torch.float32).rows_normalised(), data.splits[0], data.y
    model = Gcn(x.shape[1], 16, data.classes)
    first = list(model.convolutions[0].parameters())
    groups = [{"params": first, "weight_decay": 5e-4}, {"params": list(model.convolutions[1].parameters())}]
    update = torch.optim.Adam(groups, lr=0.01)
    for _ in range(120):
        update.zero_grad()
        nn.functional.cross_entropy(model(data.graph, x)[split.train], y[split.train]).backward()
        update.step()
    accuracy = (model.eval()(data.graph, x).argmax(1) == y)[split.test].double().mean()
    assert accuracy > 0.79


# labels


def known(n=N):
    mask = torch.zeros(n, dtype=torch.bool)
    mask[[0, 4, 7, 11]] = True
    return Known(mask, torch.arange(n) % K)


def test_label_propagation_is_the_closed_form():
    graph, k = random_graph(), known()
    a = dense(graph)
    degree = a.sum(1).clamp(min=1e-30)
    s = a / (degree[:, None] * degree).sqrt()
    target = nn.functional.one_hot(k.labels, K).double() * k.mask[:, None]
    for alpha in (0.5, 0.9):
        wanted = (1 - alpha) * torch.linalg.solve(torch.eye(N, dtype=torch.float64) - alpha * s, target)
        got = propagate_labels(graph, k, K, alpha=alpha, tolerance=1e-12)
        torch.testing.assert_close(got, wanted, rtol=0, atol=1e-11)
    assert torch.equal(propagate_labels(graph, k, K, alpha=0.0), target)


def test_clamped_labels_are_harmonic_in_between():
    graph, k = random_graph(e=60), known()
    got = propagate_labels(graph, k, K, clamped=True, tolerance=1e-13)
    p = dense(graph) / dense(graph).sum(1, keepdim=True).clamp(min=1e-30)
    free = ~k.mask
    free[-1] = False  # the isolated node, which no label reaches
    target = nn.functional.one_hot(k.labels, K).double()
    q = p[free][:, free]
    wanted = torch.linalg.solve(torch.eye(len(q), dtype=torch.float64) - q, p[free][:, k.mask] @ target[k.mask])
    torch.testing.assert_close(got[free], wanted, rtol=0, atol=1e-10)
    assert torch.equal(got[k.mask], target[k.mask]) and not got[-1].any()


def both_ways(src, dst, n):
    edges = Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), n, n)
    return Graph(edges, weight=torch.ones(edges.n_edges, dtype=torch.float64))


def test_clamped_labels_on_a_long_path_are_linear():
    n = 2000
    path, k = (
        both_ways(torch.arange(n - 1), torch.arange(1, n), n),
        Known(torch.zeros(n, dtype=torch.bool), torch.ones(n).long()),
    )
    k.mask[[0, -1]], k.labels[0] = True, 0
    got = propagate_labels(path, k, 2, clamped=True)
    wanted = torch.linspace(0, 1, n, dtype=torch.float64)
    torch.testing.assert_close(got, torch.stack([1 - wanted, wanted], 1), rtol=0, atol=1e-6)


def test_clamped_labels_follow_the_direction_and_weights_of_edges():
    edges = Relation.from_edges(torch.tensor([0, 1, 3, 4]), torch.tensor([1, 2, 2, 3]), 6, 6)
    k = Known(torch.tensor([True, *[False] * 5]), torch.zeros(6).long())
    weight = torch.tensor([1.0, 2.0, 6.0, 1.0])
    got = propagate_labels(Graph(edges, weight=edges.own(weight)), k, 1, clamped=True)
    # nothing leads from 0 to 3, 4 and 5; 2 is a mean of 1 and 3
    torch.testing.assert_close(got[:, 0], torch.tensor([1, 1, 0.25, 0, 0, 0], dtype=torch.float64), **EXACT)
    cut = propagate_labels(Graph(edges, weight=edges.own(torch.tensor([0.0, 2.0, 6.0, 1.0]))), k, 1, clamped=True)
    assert cut[:, 0].tolist() == [1, 0, 0, 0, 0, 0]
    assert not propagate_labels(random_graph(), Known(torch.zeros(N).bool(), known().labels), K, clamped=True).any()


@pytest.mark.parametrize("clamped", [False, True])
def test_labels_on_a_batch_are_those_of_its_graphs(clamped):
    ring = torch.arange(300)
    graphs = [both_ways(ring[:n], (ring[:n] + 1) % n, n) for n in (300, 40)] + [random_graph()]
    marks = [Known(torch.arange(g.n) % 13 == 0, torch.arange(g.n) % K) for g in graphs]
    joined = Known(*(torch.cat(parts) for parts in zip(*marks, strict=True)))
    got = propagate_labels(Graph.union(graphs), joined, K, clamped=clamped)
    each = [propagate_labels(g, k, K, clamped=clamped) for g, k in zip(graphs, marks, strict=True)]
    assert torch.equal(got, torch.cat(each))


def test_the_model_gives_the_scores_in_the_type_of_the_features():
    graph, x = random_graph(), features()
    model = LabelPropagation(F, C, K)
    assert not list(model.parameters())
    scores = model(graph, x.float(), known())
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores.double(), propagate_labels(graph, known(), K), rtol=1e-6, atol=1e-7)


def test_labels_that_are_not_known_are_not_read():
    graph, k = random_graph(), known()
    hidden = Known(k.mask, torch.where(k.mask, k.labels, -1))
    assert torch.equal(propagate_labels(graph, hidden, K), propagate_labels(graph, k, K))


# bad input


@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda: Gcn(0, C, K), "got 0 features"),
        (lambda: Gcn(F, C, K, layers=0), "0 layers"),
        (lambda: Gcn(F, C, K, dropout=Dropout(1.0, 0.0)), "dropout = 1.0, expected a probability"),
        (lambda: Gcn(F, C, K, residual="yes"), "residual='yes', expected one of: none, identity, linear"),
        (lambda: Gcn(F, C, K, middle="fixed"), "middle='fixed'"),
        (lambda: Gcn(F, C, K, norm="group"), "norm='group'"),
        (lambda: Gat(F, C, K, heads=3), "got 3 heads of 8 channels"),
        (lambda: Gat(F, C, K, attention_dropout=-0.1), "attention_dropout = -0.1"),
        (lambda: Appnp(F, C, K, alpha=0.0), "alpha = 0 and 10 steps"),
        (lambda: Appnp(F, C, K, edge_dropout=1.5), "edge_dropout = 1.5"),
        (lambda: Gcnii(F, C, K, decay=0.0), "decay = 0, expected"),
        (lambda: LabelPropagation(F, C, 0), "0 classes"),
        (lambda: propagate_labels(random_graph(), known(), K, alpha=1.0), "alpha = 1"),
        (
            lambda: propagate_labels(random_graph(), Known(known().mask, known().labels + 1), K),
            "label of known node [0-9]+ is 3, expected 0..2",
        ),
        (lambda: LabelPropagation(F, C, K)(random_graph(), features()), "no labels to spread"),
    ],
)
def test_bad_input_is_refused(make, match):
    with pytest.raises(InputError, match=match):
        make()


@pytest.mark.parametrize("name", [*LEARNING, "label_propagation"])
def test_features_of_another_graph_are_refused(name):
    model = MODELS[name](F, C, K).double()
    with pytest.raises(ShapeError, match="x has 14 rows, expected one for each of 15 nodes"):
        model(random_graph(), features(14), known())


def test_known_labels_of_another_graph_are_refused():
    with pytest.raises(ShapeError, match="mask \\[14\\]"):
        propagate_labels(random_graph(), known(14), K)


@pytest.mark.parametrize("name", [k for k in LEARNING if k != "mlp"])
def test_the_normalised_graph_is_made_once(name):
    graph, model = random_graph(), MODELS[name](F, C, K).double()
    assert model.prepare(graph) is model.prepare(graph)
    assert model.prepare(graph) is normalised(graph, model.normalisation, loops=model.loops, dtype=torch.float64)
