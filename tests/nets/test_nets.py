"""Sparse features, weights of edges, and graphs with normalised weights."""

import networkx
import pytest
import torch

from graphpde import Graph, Relation
from graphpde.core import normalise
from graphpde.core.bridges import from_networkx
from graphpde.errors import GraphError, InputError, ShapeError
from graphpde.nets import EdgeAttention, Linear, Mlp, SparseFeatures
from graphpde.nets.features import dropout


def features(rows=9, columns=5, full=0.4, dtype=torch.float64):
    rng = torch.Generator().manual_seed(0)
    x = torch.rand(rows, columns, generator=rng, dtype=dtype)
    return x * (torch.rand(rows, columns, generator=rng) < full)


def test_sparse_features_are_the_matrix():
    x = features()
    s = SparseFeatures.from_dense(x)
    assert s.shape == (9, 5) and len(s.values) == int((x != 0).sum())
    torch.testing.assert_close(s.to_dense(), x)
    w = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(s @ w, x @ w)
    torch.testing.assert_close(
        torch.autograd.grad((s @ w).square().sum(), w)[0], torch.autograd.grad((x @ w).square().sum(), w)[0]
    )
    rows = torch.tensor([7, 0, 7])
    torch.testing.assert_close(s.select(rows).to_dense(), x[rows])
    mask = torch.tensor([True, False] * 4 + [True])
    torch.testing.assert_close(s.select(mask).to_dense(), x[mask])
    total = x.sum(1, keepdim=True)
    torch.testing.assert_close(s.rows_normalised().to_dense(), x / torch.where(total == 0, 1.0, total))


def test_entries_given_twice_are_added():
    row, column = torch.tensor([1, 1, 0]), torch.tensor([2, 2, 1])
    s = SparseFeatures.from_coo(row, column, torch.tensor([1.0, 2.0, 5.0]), (2, 3))
    torch.testing.assert_close(s.to_dense(), torch.tensor([[0.0, 5.0, 0.0], [0.0, 0.0, 3.0]]))


def test_dropout_of_entries_keeps_the_mean_and_the_zeros():
    torch.manual_seed(0)
    s = SparseFeatures.from_dense(torch.ones(200, 50))
    dropped = s.dropout(0.25).values
    torch.testing.assert_close(dropped.unique(), torch.tensor([0.0, 4 / 3]))
    assert float(dropped.mean()) == pytest.approx(1.0, abs=4 * (1 / 3 / 10_000) ** 0.5)
    assert s.dropout(0.25, training=False) is s


@pytest.mark.parametrize("make", [lambda: Linear(5, 4), lambda: Mlp(5, 6, 4)])
def test_layers_do_not_care_how_features_are_kept(make):
    layer, x = make().double(), features()
    torch.testing.assert_close(layer(SparseFeatures.from_dense(x)), layer(x))
    with pytest.raises(ShapeError, match="x has 3 features, this model was made for 5"):
        layer(torch.ones(2, 3, dtype=torch.float64))


def test_features_that_are_not_finite_are_refused():
    x = features()
    x[4, 1] = torch.nan
    with pytest.raises(InputError, match="1 features are not finite, first at node 4"):
        SparseFeatures.from_dense(x)


def directed():
    src, dst = torch.tensor([0, 1, 2, 3, 1, 4, 2]), torch.tensor([1, 2, 0, 1, 1, 2, 3])
    return Relation.from_edges(src, dst, 5, 5)


@pytest.mark.parametrize("kind", ["scaled_dot", "cosine", "distance"])
@pytest.mark.parametrize("over", ["incoming", "outgoing"])
def test_attention_is_the_softmax_of_similarities(kind, over):
    torch.manual_seed(0)
    edges, u = directed(), torch.randn(5, 6, dtype=torch.float64)
    attention = EdgeAttention(6, heads=2, dim=8, kind=kind, over=over).double()
    for p in attention.parameters():
        torch.nn.init.normal_(p, std=0.4)
    found = attention(edges, u)
    q, k = (layer(u).reshape(5, 2, 4) for layer in (attention.query, attention.key))
    src, dst = edges.pairs()
    if kind == "cosine":
        scores = torch.cosine_similarity(q[dst], k[src], dim=-1)
    elif kind == "distance":
        scores = -(q[dst] - k[src]).square().sum(-1) / 8
    else:
        scores = (q[dst] * k[src]).sum(-1) / 2
    by = dst if over == "incoming" else src
    for node in range(5):
        at = by == node
        torch.testing.assert_close(found[at], torch.softmax(scores[at], 0))


def test_attention_starts_as_the_random_walk():
    edges = directed()
    weights = EdgeAttention(3, heads=1, dim=4)(edges, torch.randn(5, 3))
    _, dst = edges.pairs()
    torch.testing.assert_close(weights[:, 0], 1 / edges.degree[dst].float(), rtol=1e-4, atol=0.0)


@pytest.mark.parametrize(
    "settings, message",
    [({"heads": 3, "dim": 8}, "3 heads of 8"), ({"kind": "dot"}, "kind='dot'"), ({"over": "all"}, "over='all'")],
)
def test_unusable_attention_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        EdgeAttention(4, **settings)


def dense(graph):
    src, dst = graph.edges.pairs()
    a = torch.zeros(graph.n, graph.n, dtype=graph.weight.dtype)
    return a.index_put((dst, src), graph.weight, accumulate=True)


def test_normalised_weights_are_the_matrices_of_the_field():
    graph = from_networkx(networkx.gnp_random_graph(10, 0.3, seed=1))[0]
    graph = Graph(graph.edges, weight=torch.rand(graph.edges.n_edges, dtype=torch.float64))
    a = dense(graph) + 0.5 * torch.eye(10)
    d_in, d_out = a.sum(1), a.sum(0)
    wanted = {
        "none": a,
        "incoming": a / d_in[:, None],
        "outgoing": a / d_out[None],
        "symmetric": a / (d_in[:, None] * d_out[None]).sqrt(),
    }
    for kind, matrix in wanted.items():
        made = normalise.normalised(graph, kind, loops=0.5)
        torch.testing.assert_close(dense(made), matrix)
        assert normalise.normalised(graph, kind, loops=0.5) is made


def test_loops_are_added_only_where_there_is_none_and_lonely_nodes_stay_finite():
    graph = Graph(Relation.from_edges([0, 1, 1], [1, 0, 1], 3, 3))
    torch.testing.assert_close(dense(normalise.normalised(graph, "none", loops=1.0)).diagonal(), torch.ones(3).double())
    for kind in normalise.KINDS:
        assert bool(torch.isfinite(normalise.normalised(graph, kind).weight).all())


def test_weights_without_degrees_are_refused():
    graph = Graph(directed(), weight=torch.tensor([1.0, -1.0, 1.0, torch.nan, 1.0, 1.0, 1.0]))
    with pytest.raises(GraphError, match="2 edge weights are negative or not finite"):
        normalise.normalised(graph)
    with pytest.raises(InputError, match="normalisation 'rows'"):
        normalise.normalised(Graph(directed()), "rows")


def test_weights_that_are_learned_are_normalised_anew():
    weight = torch.nn.Parameter(torch.rand(7, dtype=torch.float64) + 0.5)
    graph = Graph(directed(), weight=weight)
    for _ in range(2):
        normalise.normalised(graph, "incoming").weight.square().sum().backward()
    before = normalise.normalised(graph, "incoming").weight.detach().clone()
    with torch.no_grad():
        weight.mul_(torch.arange(1.0, 8.0))
    assert not torch.allclose(normalise.normalised(graph, "incoming").weight, before)


def test_a_first_call_in_inference_mode_does_not_spoil_the_graph():
    graph, layer = Graph(directed()), torch.nn.Parameter(torch.rand(5, 2, dtype=torch.float64))
    with torch.inference_mode():
        normalise.normalised(graph, "symmetric", loops=1.0)
    made = normalise.normalised(graph, "symmetric", loops=1.0)
    made.edges.propagate(layer, weight=made.weight).sum().backward()


@pytest.mark.parametrize("p", [-0.1, 1.5])
def test_dropout_is_a_probability(p):
    with pytest.raises(InputError, match=r"expected a probability in \[0, 1\]"):
        dropout(torch.ones(3), p)


def test_everything_may_be_dropped():
    assert torch.equal(dropout(torch.ones(3), 1.0), torch.zeros(3))


def test_rows_are_selected_in_their_order_and_only_those_there_are():
    x = torch.rand(6, 4) * (torch.rand(6, 4) < 0.5)
    s = SparseFeatures.from_dense(x)
    for nodes in (torch.tensor([4, 0, 4]), torch.tensor([], dtype=torch.int64), x[:, 0] > 0):
        torch.testing.assert_close(s.select(nodes).to_dense(), x[nodes])
    for nodes, said in (
        (torch.tensor([0, 6]), "names node 6, expected 0..5"),
        (torch.tensor([-1]), "names node -1, expected 0..5"),
        (torch.tensor([1.0]), "expected whole numbers or a mask"),
        (torch.ones(5, dtype=torch.bool), "a mask of 5 nodes was given, expected 6"),
    ):
        with pytest.raises(InputError, match=said):
            s.select(nodes)
