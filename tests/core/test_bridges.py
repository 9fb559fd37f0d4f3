"""Structure and fields survive the way to torch-geometric or networkx and back."""

from __future__ import annotations

from typing import Any

import networkx
import pytest
import torch
from torch_geometric.data import Batch, Data

from graphpde.core.bridges import as_graph, from_networkx, from_pyg, to_networkx, to_pyg
from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.errors import GraphError, InputError

F64 = torch.float64


def data(**more: Any) -> Data:
    """Five nodes, six edges in no order, a parallel pair, a self-loop and an isolated node."""
    edges = torch.tensor([[3, 0, 1, 3, 2, 0], [1, 2, 0, 1, 2, 1]])
    return Data(edge_index=edges, x=torch.randn(5, 3), y=torch.arange(5), pos=torch.rand(5, 2), num_nodes=5, **more)


def assert_same_data(a: Data, b: Data) -> None:
    assert sorted(a.keys()) == sorted(b.keys()) and a.num_nodes == b.num_nodes
    for key in sorted(a.keys()):
        left, right = a[key], b[key]
        assert (
            torch.equal(left, right) and left.dtype == right.dtype if isinstance(left, torch.Tensor) else left == right
        )


# torch-geometric


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"edge_attr": torch.randn(6, 4)},
        {"edge_attr": torch.randn(6, 1)},
        {"edge_attr": torch.randn(6)},
        {"edge_attr": torch.arange(6)},
        {"edge_weight": torch.rand(6)},
        {"edge_weight": torch.rand(6), "edge_attr": torch.randn(6, 1)},
        {"edge_attr": torch.randn(6, 1), "edge_weight": torch.rand(6)},
        {"edge_time": torch.arange(6), "train_mask": torch.ones(5, dtype=torch.bool), "name": "five"},
        {"edge_label_index": torch.tensor([[0, 1, 2, 3, 4, 0], [1, 2, 3, 4, 0, 0]])},
        {"edge_label": torch.arange(3)},
        {"heading": torch.randn(6)},
        {"batch": torch.tensor([0, 0, 0, 0, 0])},
    ],
)
def test_a_data_object_returns_as_it_went(more: dict[str, Any]) -> None:
    given = data(**more)
    if "batch" in more:
        given.ptr = torch.tensor([0, 5])
    assert_same_data(to_pyg(*from_pyg(given)), given)


def test_edges_and_their_values_stay_together() -> None:
    given = data(edge_weight=torch.rand(6, dtype=F64), edge_attr=torch.randn(6, 2))
    graph, fields = from_pyg(given)
    src, dst = graph.edges.pairs()
    for k in range(6):
        at = int(fields["edge_map"][k])
        assert (int(src[at]), int(dst[at])) == tuple(given.edge_index[:, k].tolist())
        assert graph.weight[at] == given.edge_weight[k]
        assert torch.equal(fields["edge_attr"][at], given.edge_attr[k])
    assert torch.equal(graph.pos, given.pos) and sorted(fields) == ["edge_attr", "edge_map", "x", "y"]
    y = torch.zeros(5, 3).index_add(0, given.edge_index[1], given.x[given.edge_index[0]])
    torch.testing.assert_close(graph.edges.propagate(given.x), y)


def test_the_weight_is_edge_weight_or_else_one_real_column() -> None:
    column = torch.rand(6, 1)
    assert torch.equal(from_pyg(data(edge_attr=column))[0].weight.sort().values, column.flatten().sort().values)
    both = data(edge_attr=column, edge_weight=torch.full((6,), 2.0))
    graph, fields = from_pyg(both)
    assert graph.weight.tolist() == [2.0] * 6 and fields["edge_attr"].shape == (6, 1)
    assert from_pyg(data(edge_attr=torch.arange(6)))[0].weight.tolist() == [1.0] * 6, "whole numbers are kinds of edges"
    assert from_pyg(data(edge_weight=torch.arange(6)))[0].weight.dtype == F64


def test_a_batch_keeps_its_graphs_even_empty_ones() -> None:
    parts = [Data(edge_index=torch.tensor([[0, 1], [1, 0]]), num_nodes=2, x=torch.randn(2, 1)) for _ in range(2)]
    parts.append(Data(edge_index=torch.empty(2, 0, dtype=torch.int64), num_nodes=0, x=torch.empty(0, 1)))
    graph, _ = from_pyg(Batch.from_data_list(parts))
    assert graph.ptr.tolist() == [0, 2, 4, 4] and graph.batch is not None and graph.batch.tolist() == [0, 0, 1, 1]


def test_nodes_without_edges_and_data_without_nodes() -> None:
    none = torch.empty(2, 0, dtype=torch.int64)
    assert as_graph(Data(edge_index=none, num_nodes=3)).n == 3
    assert as_graph(Data(edge_index=none, num_nodes=0)).n == 0


def test_coalesced_edges_do_not_go_back_twice() -> None:
    rel = Relation.from_edges([0, 0], [1, 1], 2, 2, coalesce=True)
    graph = Graph(rel, weight=rel.own(torch.ones(2)))
    assert to_pyg(graph).edge_index.tolist() == [[0], [1]] and to_pyg(graph).edge_weight.tolist() == [2.0]
    with pytest.raises(GraphError, match="edge_map has 2 entries for 1 edges"):
        to_pyg(graph, {"edge_map": rel.edge_map})


def test_a_data_object_without_edges_is_refused() -> None:
    with pytest.raises(GraphError, match="this Data has no edge_index"):
        from_pyg(Data(x=torch.randn(3, 1)))
    with pytest.raises(GraphError, match=r"src\[1\] = 9 is out of range, expected 0..2"):
        from_pyg(Data(edge_index=torch.tensor([[0, 9], [1, 0]]), num_nodes=3))


# networkx


def kinds() -> list[networkx.Graph]:
    undirected = networkx.Graph([("a", "b"), ("b", "c"), ("c", "c")])
    undirected.add_node("alone")
    weighted = networkx.Graph()
    weighted.add_weighted_edges_from([(0, 1, 0.5), (1, 2, 1.5), (2, 2, 3.0)])
    directed = networkx.DiGraph()
    directed.add_weighted_edges_from([(0, 1, 0.5), (1, 0, 1.5), (2, 0, -1.0), (1, 1, 2.0)])
    parallel = networkx.MultiGraph()
    parallel.add_weighted_edges_from([(0, 1, 0.5), (0, 1, 1.5), (1, 2, 1.0), (2, 2, 1.0), (2, 2, 4.0)])
    arrows = networkx.MultiDiGraph([(0, 1), (0, 1), (1, 2)])
    return [undirected, weighted, directed, parallel, arrows, networkx.Graph(), networkx.path_graph(4)]


def listed(graph: networkx.Graph) -> list[Any]:
    edges = graph.edges(data="weight")
    return sorted((*((a, b) if graph.is_directed() else sorted((a, b))), w) for a, b, w in edges)


@pytest.mark.parametrize("given", kinds(), ids=lambda g: f"{type(g).__name__} {g.number_of_edges()}")
def test_a_networkx_graph_returns_as_it_went(given: networkx.Graph) -> None:
    graph, fields = from_networkx(given)
    back = to_networkx(graph, fields)
    assert list(back.nodes) == list(given.nodes) and back.is_directed() == given.is_directed()
    assert back.is_multigraph() == given.is_multigraph()
    assert [e[:2] for e in listed(back)] == [e[:2] for e in listed(given)]
    assert [e[2] for e in listed(back)] == [e[2] for e in listed(given)]
    adjacency = torch.zeros(graph.n, graph.n, dtype=F64)
    src, dst = graph.edges.pairs()
    adjacency.index_put_((src, dst), graph.weight, accumulate=True)
    expected = networkx.to_numpy_array(given) if graph.n else adjacency.numpy()
    torch.testing.assert_close(adjacency, torch.from_numpy(expected))


def test_node_attributes_become_fields_and_positions() -> None:
    given = networkx.path_graph(3)
    for k in given:
        given.nodes[k].update(pos=(float(k), 0.5), mass=k + 1, label=f"node {k}", velocity=[k, 2.0 * k])
    given.nodes[1]["only_here"] = 1.0
    graph, fields = from_networkx(given)
    assert graph.pos.tolist() == [[0.0, 0.5], [1.0, 0.5], [2.0, 0.5]]
    assert list(fields) == ["names", "mass", "velocity"] and fields["mass"].tolist() == [1.0, 2.0, 3.0]
    back = to_networkx(graph, fields)
    assert back.nodes[2]["pos"] == [2.0, 0.5] and back.nodes[2]["velocity"] == [2.0, 4.0]
    for k in given:
        given.nodes[k]["pos"] = float(k)
    assert from_networkx(given)[0].pos.tolist() == [[0.0], [1.0], [2.0]]


def some(
    edges: list[tuple[int, int, dict[str, Any]]], nodes: dict[int, dict[str, Any]] | None = None
) -> networkx.Graph:
    graph = networkx.Graph()
    graph.add_edges_from(edges)
    networkx.set_node_attributes(graph, nodes or {})
    return graph


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (some([(0, 1, {"weight": 1.0}), (1, 2, {})]), "1 of 2 edges have a weight, expected all or none"),
        (some([(0, 1, {"weight": "heavy"})]), "an edge weight is not a number"),
        (some([(0, 1, {})], {0: {"pos": (0.0, 1.0)}}), "'pos' is missing or not numeric on some nodes"),
        (
            some([(0, 1, {})], {0: {"pos": (0.0, 1.0)}, 1: {"pos": None}}),
            "'pos' is missing or not numeric on some nodes",
        ),
        (
            some([(0, 1, {})], {0: {"pos": (0.0, 1.0)}, 1: {"pos": (0.0,)}}),
            "'pos' is missing or not numeric on some nodes",
        ),
    ],
)
def test_half_given_attributes_are_refused(given: networkx.Graph, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        from_networkx(given)


def test_names_are_one_for_each_node() -> None:
    graph = as_graph(networkx.path_graph(3))
    for names in (["a", "b"], ["a", "b", "a"]):
        with pytest.raises(GraphError, match="got 2 different names for 3 nodes, expected one for each"):
            to_networkx(graph, {"names": names})


# the door


def test_every_kind_of_graph_passes_the_door() -> None:
    graph = as_graph(networkx.path_graph(3))
    assert as_graph(graph) is graph
    assert as_graph(to_pyg(graph)).edges.pairs()[0].tolist() == graph.edges.pairs()[0].tolist()


class Mesh:
    """A name that the door knows."""


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (None, "got NoneType, expected a Graph, a Space, a torch-geometric Data or a networkx graph"),
        (torch.zeros(2, 3), "got Tensor, expected a Graph"),
        ("mesh.msh", "got str, expected a Graph"),
        (Mesh(), r"got Mesh, expected .*; build Space\(mesh\) first"),
    ],
)
def test_anything_else_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_graph(thing)
