"""Planetoid folders that are small, odd, incomplete or damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from graphpde.data import load
from graphpde.errors import DatasetError
from tests.data.planetoid_folder import CLASSES, KNOWN, TEST, TRAIN, planetoid_parts, write_planetoid


def test_nodes_are_where_the_test_index_says(tmp_path: Path) -> None:
    parts = planetoid_parts()
    data = load("Cora", write_planetoid(tmp_path, parts))
    x = data.x.to_dense()
    expected = np.zeros((KNOWN + TEST, parts["allx"].shape[1]), dtype="f4")
    expected[:KNOWN] = parts["allx"].toarray()
    expected[parts["test.index"]] = parts["tx"].toarray()
    assert np.array_equal(x.numpy(), expected)
    label = np.zeros(KNOWN + TEST, dtype=int)
    label[:KNOWN] = parts["ally"].argmax(1)
    label[parts["test.index"]] = parts["ty"].argmax(1)
    assert np.array_equal(data.y.numpy(), label) and data.classes == CLASSES
    split = data.splits[0]
    assert split.train.nonzero()[:, 0].tolist() == list(range(TRAIN))
    assert split.val.nonzero()[:, 0].tolist() == list(range(TRAIN, TRAIN + 500))
    assert split.test.nonzero()[:, 0].tolist() == sorted(parts["test.index"].tolist())
    pairs = {(a, b) for a, near in parts["graph"].items() for b in near if a != b}
    assert set(zip(*(end.tolist() for end in data.graph.edges.pairs()))) == pairs  # once each, without self-loops
    assert data.graph.edges.n_edges == len(pairs)
    assert any("ind.cora.x' differs from the published file" in note for note in data.notes)
    assert any(f"hold {KNOWN + TEST} nodes, 2708 are published" in note for note in data.notes)


def test_test_nodes_in_no_file_have_no_label(tmp_path: Path) -> None:
    """CiteSeer has 15 of them: torch-geometric gives them class 0, we do not."""
    parts = planetoid_parts(gap=4)
    data = load("CiteSeer", write_planetoid(tmp_path, parts, "citeseer"))
    lost = torch.arange(KNOWN + 10, KNOWN + 14)
    assert data.n == KNOWN + TEST + 4
    assert (data.y[lost] == -1).all() and int((data.y < 0).sum()) == 4
    assert not data.x.to_dense()[lost].any()
    assert not any(mask[lost].any() for mask in data.splits[0])
    assert "4 nodes of 'CiteSeer' have no features and no label in the files" in data.warnings


@pytest.mark.parametrize("protocol", [2, 4])
def test_dense_features_and_other_protocols(tmp_path: Path, protocol: int) -> None:
    parts = planetoid_parts()
    one = load("Cora", write_planetoid(tmp_path / "a", parts))
    for part in ("x", "tx", "allx"):
        parts[part] = parts[part].toarray()
    other = load("Cora", write_planetoid(tmp_path / "b", parts, protocol=protocol))
    assert torch.equal(one.x.to_dense(), other.x.to_dense()) and torch.equal(one.y, other.y)


def edited(part: str, change: Any) -> Any:
    return lambda parts: {**parts, part: change(parts[part])}


def with_edge(a: Any, b: Any) -> Any:
    return edited("graph", lambda graph: {**graph, a: [*graph.get(a, []), b]})


FAULTS = {
    "rows of x": (edited("x", lambda x: x[:-1]), r"ind.cora.x'.*it has 14 rows and there are labels of 15 nodes"),
    "columns of tx": (edited("tx", lambda x: x[:, :-1]), "ind.cora.tx'.*columns or classes are not those of the other"),
    "classes of ty": (edited("ty", lambda y: y[:, :-1]), "ind.cora.tx'.*columns or classes are not those of the other"),
    "labels with one axis": (edited("y", lambda y: y.argmax(1)), "ind.cora.y'.*expected a table of labels"),
    "features that are a list": (edited("allx", lambda x: [1, 2]), "ind.cora.allx'.*expected a matrix of features"),
    "a graph that is an array": (edited("graph", lambda g: np.eye(3)), "ind.cora.graph'.*lists of neighbours by node"),
    "neighbours that are no list": (edited("graph", lambda g: {0: 3}), "ind.cora.graph'.*lists of neighbours by node"),
    "a name among the nodes": (with_edge(0, "a"), "ind.cora.graph'.*lists of neighbours by node"),
    "truth among the nodes": (with_edge(0, True), "ind.cora.graph'.*lists of neighbours by node"),
    "a node beyond": (with_edge(0, 570), r"ind.cora.graph'.*names node 570 and there are 570, counted from 0"),
    "a negative node": (with_edge(-1, 3), "ind.cora.graph'.*names node -1 and there are 570"),
    "a node of many digits": (with_edge(0, 2**70), f"names node {2**70} and there are 570"),
    "one list for all nodes": (
        edited("graph", lambda graph: dict.fromkeys(range(570), [1] * 500)), "one list stands for many nodes in it",
    ),
    "a test node twice": (
        edited("test.index", lambda t: np.where(t == t.max(), t.min(), t)), "expected 30 different nodes from 540 on",
    ),
    "a test node that is known": (
        edited("test.index", lambda t: np.where(t == t.max(), 3, t)), "from 540 on, got 30 from 3 on",
    ),
    "a test node far away": (
        edited("test.index", lambda t: np.where(t == t.max(), 10**8, t)), "node 100000000 is far beyond",
    ),
    "words in the test index": (edited("test.index", lambda t: b"1\ntwo\n"), "expected one node number a line"),
    "an empty test index": (edited("test.index", lambda t: b""), "expected one node number a line"),
    "text that is none": (edited("test.index", lambda t: b"\xff\xfe\n"), "it is no text in UTF-8"),
    "features that are not numbers": (
        edited("allx", lambda x: sp.csr_matrix(np.where(x.toarray() > 0, np.nan, 0).astype("f4"))),
        r"'Cora' in '.*' cannot be used: .*features are not finite",
    ),
    "a cut file": (edited("allx", lambda x: b"\x80\x02c"), "ind.cora.allx'.*cut or damaged"),
    "an empty file": (edited("graph", lambda x: b""), "ind.cora.graph'.*cut or damaged"),
    "a web page": (edited("graph", lambda x: b"<!DOCTYPE html>\n<html></html>"), "ind.cora.graph'.*nothing of it was"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_one_sentence(tmp_path: Path, fault: str) -> None:
    change, says = FAULTS[fault]
    with pytest.raises(DatasetError, match=says):
        load("Cora", write_planetoid(tmp_path, change(planetoid_parts())))


def test_damaged_bytes_never_escape(tmp_path: Path) -> None:
    """Bits flipped in each file: a data set that passes every check, or one DatasetError."""
    rng = np.random.default_rng(1)
    folder = write_planetoid(tmp_path, planetoid_parts())
    for path in sorted(folder.iterdir()):
        content = path.read_bytes()
        for _ in range(12):
            damaged = bytearray(content)
            damaged[rng.integers(len(content))] ^= 1 << rng.integers(8)
            path.write_bytes(damaged)
            try:
                data = load("Cora", folder)
            except DatasetError as error:
                assert "\n" not in str(error)
            else:
                assert data.n < 11 * (KNOWN + TEST)
        path.write_bytes(content)
    assert load("Cora", folder).n == KNOWN + TEST
