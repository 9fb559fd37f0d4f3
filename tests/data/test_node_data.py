"""What a labelled graph is checked for, where it can come from, and what its parts keep."""

from __future__ import annotations

from typing import Any

import networkx
import numpy as np
import pytest
import scipy.sparse as sp
import torch
from torch_geometric.data import Data

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data import NodeData, adjusted_homophily, edge_homophily, largest_component, node_homophily
from graphpde.data.features import as_features, indicators
from graphpde.errors import GraphError, InputError, ShapeError, UnknownName
from graphpde.nets import SparseFeatures
from graphpde.train.split import Split


def graph(pairs: list[tuple[int, int]], n: int, weight: list[float] | None = None) -> Graph:
    src, dst = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).unbind(1)
    edges = Relation.from_edges(src, dst, n, n)
    return Graph(edges, weight=None if weight is None else edges.own(torch.tensor(weight, dtype=torch.float64)))


PATH = graph([(0, 1), (1, 0), (1, 2), (2, 1), (2, 3), (3, 2)], 4)
X, Y = torch.arange(8.0).reshape(4, 2), torch.tensor([0, 1, 1, 0])


def mask(*nodes: int, n: int = 4) -> torch.Tensor:
    out = torch.zeros(n, dtype=torch.bool)
    out[list(nodes)] = True
    return out


def pairs(data: NodeData) -> list[tuple[int, int]]:
    return sorted(zip(*(end.tolist() for end in data.graph.edges.pairs())))


NAN = torch.tensor([[1.0, 2], [3, 4], [float("nan"), 5], [6, float("inf")]])
REFUSED = {
    "rows": ({"x": X[:3]}, ShapeError, r"x has shape \[3, 2\], expected \[4, f\]: one row for each node"),
    "a vector": ({"x": X[:, 0]}, ShapeError, r"x has shape \[4\], expected \[4, f\]"),
    "labels": ({"y": Y[:3]}, ShapeError, r"y has shape \[3\], expected \[4\]"),
    "one-hot labels": ({"y": torch.eye(4)}, ShapeError, r"y has shape \[4, 4\], expected \[4\]"),
    "not finite": ({"x": NAN}, InputError, "features of 2 nodes are not finite, first of node 2"),
    "a label below": ({"y": torch.tensor([0, 1, -2, 0])}, InputError, "node 2 has label -2, expected 0 to"),
    "a label beyond": ({"class_names": ("a",)}, InputError, "node 1 has label 1, expected 0 to 0, one for each class"),
    "halves": ({"y": torch.tensor([0.5, 1, 0, 0])}, InputError, "expected whole numbers, -1 = unknown"),
    "a label without end": ({"y": torch.tensor([0, 1, 2**60, 0])}, InputError, f"label {2**60}, .* at most 100000"),
    "infinity": ({"y": torch.tensor([0, 1, torch.inf, 0])}, InputError, "expected whole numbers, -1 = unknown"),
    "truth": ({"y": Y == 1}, InputError, "y has type torch.bool"),
    "nothing known": ({"y": Y * 0 - 1}, InputError, "no node has a known label"),
    "a long mask": ({"splits": (Split(mask(0, n=5), mask(1), mask(2)),)}, ShapeError, "train mask of split 0 has"),
    "two columns": (
        {"splits": (Split(*[mask(0)[:, None]] * 3),)}, ShapeError, r"shape \[4, 1\], expected \[4\]: a truth value",
    ),
    "numbers of nodes": (
        {"splits": (Split(torch.arange(4), mask(1), mask(2)),)}, InputError, "has type torch.int64, expected truth",
    ),
    "overlap": (
        {"splits": (Split(mask(0, 1, 2), mask(3), mask(1, 2)),)}, InputError,
        "split 0 has 2 nodes in both train and test, first node 1; the parts must not overlap",
    ),
    "unknown in a part": (
        {"y": torch.tensor([0, -1, 1, 0]), "splits": (Split(mask(0), mask(2), mask(1, 3)),)}, InputError,
        "the test mask of split 0 holds 1 nodes of unknown label",
    ),
    "three classes by ROC-AUC": (
        {"y": torch.tensor([0, 1, 2, 0]), "metric": "roc_auc"}, InputError, "judges two classes and 'a' has 3",
    ),
    "no such metric": ({"metric": "acuracy"}, UnknownName, "did you mean 'accuracy'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", REFUSED)
def test_what_is_refused(fault: str) -> None:
    change, error, says = REFUSED[fault]
    with pytest.raises(error, match=says):
        NodeData(**{"name": "a", "graph": PATH, "x": X, "y": Y, **change})


def test_it_is_frozen_and_says_what_it_is() -> None:
    data = NodeData("a", PATH, X, Y)
    with pytest.raises(AttributeError):
        data.name = "b"  # type: ignore[misc]
    assert repr(data) == "NodeData('a', 4 nodes, 6 edges, 2 features, 2 classes, 0 splits)"


def test_warnings() -> None:
    y = torch.tensor([0, 1, 2, 0])
    one = Split(mask(0), mask(1), mask(2, 3))
    data = NodeData("a", PATH, X, y, (one,), notes=("read",))
    assert data.warnings == ("read", "the split of 'a': no training node of class 1, 2")
    two = NodeData("a", PATH, X, y, (one, Split(mask(0, 1, 2), mask(), mask(3))))
    assert two.warnings == ("1 of 2 splits (0) of 'a': no training node of class 1, 2",)
    empty = NodeData("a", PATH, X, y, (Split(mask(), mask(), mask()),) * 2)
    assert empty.warnings == ("every split of 'a': no train nodes", "every split of 'a': no test nodes")
    assert NodeData("a", PATH, X, y).warnings == ()
    many = NodeData("a", PATH, X, torch.tensor([0, 1, 99_999, 0]), (one,))
    says = "the split of 'a': no training node of class 1, 2, 3, 4, 5, 6, 7, 8 and 99991 more"
    assert many.warnings == (says,) and many.homophily() == edge_homophily(PATH, many.y) == 0.0


def test_from_torch_geometric() -> None:
    edge_index = torch.tensor([[0, 0, 1, 3], [1, 1, 2, 3]])  # directed, a duplicate, a self-loop, no isolated node
    base = {"edge_index": edge_index, "x": X, "y": Y}
    data = NodeData.from_pyg(Data(**base), "mine")
    assert pairs(data) == [(0, 1), (0, 1), (1, 2), (3, 3)] and data.splits == ()
    assert pairs(data.undirected()) == [(0, 1), (1, 0), (1, 2), (2, 1), (3, 3)]
    one = NodeData.from_pyg(Data(**base, train_mask=mask(0), val_mask=mask(1), test_mask=mask(2)))
    assert [part.tolist() for part in one.splits[0]] == [mask(0).tolist(), mask(1).tolist(), mask(2).tolist()]
    many = {f"{part}_mask": torch.stack([mask(k), mask(k + 1)], 1) for k, part in enumerate(("train", "val", "test"))}
    both = NodeData.from_pyg(Data(**base, **many))
    assert len(both.splits) == 2 and both.splits[1].test.tolist() == mask(3).tolist()
    assert NodeData.from_pyg(Data(**base, **{k: v.to(torch.uint8) for k, v in many.items()})).splits[1].val[2]
    alone = NodeData.from_pyg(Data(**{**base, "y": torch.tensor([0, 1, -1, 1])}, train_mask=mask(0))).splits[0]
    assert not alone.val.any() and alone.test.tolist() == mask(1, 3).tolist()  # the rest judges, unknown left out
    assert NodeData.from_pyg(Data(**{**base, "y": Y[:, None]})).y.tolist() == Y.tolist()
    with pytest.raises(InputError, match=r"different numbers of splits \(train 2, val 3, test 2\)"):
        NodeData.from_pyg(Data(**base, **{**many, "val_mask": torch.zeros(4, 3, dtype=torch.bool)}))
    shared = NodeData.from_pyg(Data(**base, **{**many, "test_mask": mask(3)})).splits  # as WikiCS has it
    assert [split.train.tolist() for split in shared] == [mask(0).tolist(), mask(1).tolist()]
    assert all(split.test.tolist() == mask(3).tolist() for split in shared)
    with pytest.raises(ShapeError, match=r"train_mask has shape \[2\], expected \[4\] or \[4, k\]"):
        NodeData.from_pyg(Data(**base, train_mask=mask(0)[:2]))
    with pytest.raises(InputError, match="this Data has no features x; without any, take x = torch.eye"):
        NodeData.from_pyg(Data(edge_index=edge_index, y=Y, num_nodes=4))
    with pytest.raises(InputError, match="this Data has no labels y"):
        NodeData.from_pyg(Data(edge_index=edge_index, x=X))
    with pytest.raises(InputError, match="a mask has type torch.float32, expected truth values"):
        NodeData.from_pyg(Data(**base, train_mask=mask(0).float()))


def test_from_arrays_and_networkx() -> None:
    club = networkx.karate_club_graph()
    y = [int(club.nodes[k]["club"] == "Officer") for k in club]
    data = NodeData.of(club, np.eye(34), np.array(y), name="club")
    assert data.n == 34 and data.graph.edges.is_symmetric and data.x.dtype == torch.float64
    edges = np.array([[0, 1, 2], [1, 2, 3]])
    split = ([True, False, False, False], [0, 1, 0, 0], np.array([0, 0, 1, 1]))
    data = NodeData.of(edges, X.numpy(), Y.numpy(), [split])
    assert pairs(data) == [(0, 1), (1, 2), (2, 3)] and data.splits[0].test.tolist() == mask(2, 3).tolist()
    assert pairs(NodeData.of(edges.tolist(), sp.csr_matrix(X.numpy()), Y)) == pairs(data)
    with pytest.raises(GraphError, match="names node|out of range|expected"):
        NodeData.of(np.array([[0, 9], [1, 2]]), X, Y)
    with pytest.raises(ShapeError, match=r"edges has shape \[3, 4\], expected \[2, e\]"):
        NodeData.of(np.zeros((3, 4), dtype=int), X, Y)


PAIRS = [[0, 1], [1, 2]]
UNUSABLE = {
    "ragged edges": ([[0, 1], [1]], X, Y, (), r"edges is no array of numbers \(.*\); expected \[2, e\]"),
    "no features": (PAIRS, None, Y, (), r"x is no array of numbers \(.*\); expected \[n, f\]"),
    "words as features": (PAIRS, [["a"]] * 4, Y, (), "x is no array of numbers"),
    "complex features": (PAIRS, X + 1j, Y, (), "features have type torch.complex64, expected real numbers"),
    "columns without end": (PAIRS, sp.csr_matrix((4, 10**12)), Y, (), "1000000000000 columns, expected at most"),
    "words as labels": (PAIRS, X, ["a", "b", "a", "b"], (), r"y is no array of numbers \(.*\); expected whole numbers"),
    "one triple": (PAIRS, X, Y, (mask(0), mask(1), mask(2)), r"give a single split as \[\(train, val, test\)\]"),
    "a pair": (PAIRS, X, Y, [(mask(0), mask(1))], r"split 0 has 2 parts of shapes \[4\], \[4\], expected three masks"),
}


@pytest.mark.parametrize("fault", UNUSABLE)
def test_what_no_graph_is_made_of(fault: str) -> None:
    edges, x, y, splits, says = UNUSABLE[fault]
    with pytest.raises(InputError, match=says):
        NodeData.of(edges, x, y, splits)


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_features_of_any_make(share: float) -> None:
    matrix = sp.random(50, 40, share, "csr", dtype=np.float32, rng=np.random.default_rng(0))
    dense = torch.from_numpy(matrix.toarray())
    for x in (dense, dense.numpy(), dense.to_sparse(), dense.to_sparse_csr(), matrix, matrix.tocoo(),
              as_features(dense)):  # fmt: skip
        found = as_features(x)
        assert isinstance(found, SparseFeatures) == (share < 0.1) and found.dtype == torch.float32
        assert torch.equal(found.to_dense() if isinstance(found, SparseFeatures) else found, dense)
    assert as_features(np.eye(3, dtype=int)).dtype == torch.float32
    row, column = torch.tensor([0, 0, 2, 0]), torch.tensor([1, 1, 3, 0])
    twice = indicators(row, column, (30, 9)).to_dense()
    assert twice.sum() == 3 and twice[0, 1] == twice[0, 0] == twice[2, 3] == 1
    with pytest.raises(InputError, match="not finite"):
        as_features(sp.csr_matrix(np.diag([1.0] * 19 + [np.nan])))


def test_undirected_keeps_weights_of_an_undirected_graph() -> None:
    data = NodeData("a", graph([(0, 1), (1, 0), (1, 2), (0, 1), (3, 3)], 4, [1.0, 3.0, 5.0, 2.0, 7.0]), X, Y)
    both = data.undirected()
    assert pairs(both) == [(0, 1), (1, 0), (1, 2), (2, 1), (3, 3)]
    weight = dict(zip(zip(*(end.tolist() for end in both.graph.edges.pairs())), both.graph.weight.tolist()))
    assert weight == {(0, 1): 2.0, (1, 0): 2.0, (1, 2): 5.0, (2, 1): 5.0, (3, 3): 7.0}
    again = both.undirected()
    assert torch.equal(again.graph.weight, both.graph.weight) and pairs(again) == pairs(both)


def test_a_part_keeps_edges_labels_masks_and_classes() -> None:
    split = Split(mask(0, 3), mask(1), mask(2))
    sparse = SparseFeatures.from_dense(X)
    data = NodeData("a", graph([(0, 1), (1, 2), (2, 3), (3, 1)], 4, [1.0, 2, 3, 4]), sparse, Y + 1, (split,))
    part = data.select(torch.tensor([3, 1, 2]))
    assert pairs(part) == [(0, 1), (1, 2), (2, 0)]
    weight = dict(zip(zip(*(end.tolist() for end in part.graph.edges.pairs())), part.graph.weight.tolist()))
    assert weight == {(1, 2): 2.0, (2, 0): 3.0, (0, 1): 4.0}
    assert torch.equal(part.x.to_dense(), X[[3, 1, 2]]) and part.y.tolist() == [1, 2, 2]
    assert part.splits[0].train.tolist() == [True, False, False] and part.classes == data.classes == 3
    assert data.select(mask(0)).classes == 3  # whose only label is 1
    assert data.select(mask(1)).classes == 3 and data.select(mask(1)).graph.edges.n_edges == 0
    for nodes in (torch.tensor([1, 1]), torch.tensor([], dtype=torch.int64)):
        with pytest.raises(InputError, match="at least one node and each of them once"):
            data.select(nodes)
    assert pairs(data.select([3, 1])) == [(0, 1)]  # type: ignore[arg-type]
    for nodes, says in (
        (torch.tensor([0, -4]), "names node -4, expected 0..3"),
        (torch.tensor([9]), "names node 9, expected 0..3"),
        (torch.tensor([0.9, 2.7]), "expected whole numbers or a mask"),
        (torch.tensor([True, True]), "a mask of 2 nodes was given, expected 4"),
    ):
        with pytest.raises(InputError, match=says):
            data.select(nodes)


def test_the_largest_component_against_networkx() -> None:
    rng = np.random.default_rng(3)
    for _ in range(20):
        n, e = 30, 18
        ends = rng.integers(0, n, (2, e))  # directed, with self-loops and isolated nodes
        data = NodeData.of(ends, np.arange(2.0 * n).reshape(n, 2) + 1, rng.integers(0, 3, n))
        whole = networkx.MultiDiGraph()
        whole.add_nodes_from(range(n))
        whole.add_edges_from(ends.T.tolist())
        size = max(len(part) for part in networkx.weakly_connected_components(whole))
        part = largest_component(data)
        kept = ((part.x[:, 0] - 1) / 2).long().tolist()
        assert len(kept) == size and set(kept) in list(networkx.weakly_connected_components(whole))
        assert part.graph.edges.n_edges == whole.subgraph(kept).number_of_edges()


def counted(src: Any, dst: Any, y: Any) -> list[tuple[bool, int, int]]:
    return [(y[a] == y[b], a, b) for a, b in zip(src, dst) if y[a] >= 0 and y[b] >= 0]


def test_homophily_against_counting() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        n = 12
        src, dst = rng.integers(0, n, (2, 30))
        y = rng.integers(-1, 3, n)
        g = graph(list(zip(src.tolist(), dst.tolist())), n)
        edges = counted(src, dst, y)
        same = [s for s, _, _ in edges]
        assert edge_homophily(g, torch.tensor(y)) == pytest.approx(np.mean(same), abs=1e-14)
        by_node = [[s for s, _, b in edges if b == k] for k in range(n)]
        expected = np.mean([np.mean(near) for near in by_node if near])
        assert node_homophily(g, torch.tensor(y)) == pytest.approx(expected, abs=1e-14)
        share = np.array([sum(y[b] == c for _, _, b in edges) for c in range(3)]) / len(edges)
        expected = (np.mean(same) - (share**2).sum()) / (1 - (share**2).sum())
        assert adjusted_homophily(g, torch.tensor(y)) == pytest.approx(expected, abs=1e-13)
        spread = torch.tensor(np.where(y < 0, y, y * 2**58))  # names of classes cost nothing
        assert adjusted_homophily(g, spread) == adjusted_homophily(g, torch.tensor(y))


def test_homophily_of_nothing() -> None:
    none = graph([], 3)
    for measure in (edge_homophily, node_homophily, adjusted_homophily):
        with pytest.raises(InputError, match="no edge joins two nodes of known label"):
            measure(none, torch.tensor([0, 1, 1]))
    with pytest.raises(InputError, match="all edges end in one class"):
        adjusted_homophily(PATH, torch.zeros(4, dtype=torch.int64))


def test_to_device_is_a_value() -> None:
    data = NodeData("a", PATH, X, Y, (Split(mask(0), mask(1), mask(2)),)).to("cpu")
    assert data.n == 4 and data.splits[0].train.tolist() == mask(0).tolist()
