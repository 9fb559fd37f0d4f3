"""Planetoid's citation graphs (Cora, CiteSeer, PubMed): eight files ``ind.NAME.*``, seven of them pickles.

The pickles are read as data by :mod:`graphpde.data.pickled`; nothing in them is run.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.features import as_features
from graphpde.data.geom_gcn import read_splits, split_urls
from graphpde.data.node_data import NodeData
from graphpde.data.pickled import Csr, Unreadable, read_pickled
from graphpde.data.raw_files import RawFiles, Wanted
from graphpde.nets.features import Features
from graphpde.train.split import Split

PARTS = ("x", "tx", "allx", "y", "ty", "ally", "graph", "test.index")


class _Parts(NamedTuple):
    """The content of the files: x, allx, tx sparse [., f]; y, ally, ty one-hot [., k]; lists of neighbours; numbers."""

    x: Csr
    tx: Csr
    allx: Csr
    y: np.ndarray
    ty: np.ndarray
    ally: np.ndarray
    graph: dict[int, list[int]]
    test: Tensor


def read_planetoid(files: RawFiles, split: str) -> NodeData:
    """Nodes in the order of the graph, every citation in both directions and once, without self-loops.

    Some test nodes of CiteSeer are in no file but the graph: they keep features 0 and have no label (torch-geometric
    gives them class 0). ``split`` is "public" (20 of each class train, the next 500 nodes choose, the test index
    judges; Yang et al. 2016) or "geom-gcn" (the ten of Pei et al. 2020).

    Raises:
        DatasetError: a file is missing, damaged, does not fit the others or names what is neither array nor list.
    """
    name = files.dataset.lower()
    parts = _Parts(*(_part(files, f"ind.{name}.{part}", part) for part in PARTS))
    known = len(parts.ally)
    test, n = parts.test, max(known + len(parts.ty), int(parts.test.max()) + 1)
    _check(files, name, parts, n)
    y = torch.full((n,), -1, dtype=torch.int64)
    y[:known] = _classes(parts.ally)
    y[test] = _classes(parts.ty)
    x = _features(parts, n)
    graph = _graph(files, f"ind.{name}.graph", parts.graph, n)
    data = NodeData(files.dataset, graph, x, y, (), tuple(map(str, range(parts.y.shape[1]))))
    splits = (_public(len(parts.y), n, test),) if split == "public" else read_splits(files, name, y)
    unlabelled = int((y < 0).sum())
    if unlabelled:
        files.notes.append(f"{unlabelled} nodes of '{files.dataset}' have no features and no label in the files")
    return NodeData(data.name, graph, data.x, data.y, splits, data.class_names)


def _part(files: RawFiles, name: str, part: str) -> Any:
    """One file, as what it should be."""
    if part == "test.index":
        words = files.text(name).split()
        if not words or not all(word.isascii() and word.isdigit() and len(word) < 10 for word in words):
            raise files.fault(name, "expected one node number a line")
        return torch.tensor([int(word) for word in words])
    content = files.read(name)
    try:
        value = read_pickled(content)
    except Unreadable as error:
        raise files.fault(name, f"{error}; nothing of it was run") from None
    if part == "graph":
        if not isinstance(value, dict) or not all(isinstance(near, list) for near in value.values()):
            raise files.fault(name, "expected lists of neighbours by node")
        if sum(map(len, value.values())) > len(content):
            raise files.fault(name, "one list stands for many nodes in it, expected a list for each")
        return value
    if part.endswith("x"):
        if isinstance(value, np.ndarray) and value.ndim == 2:
            import scipy.sparse

            matrix = scipy.sparse.csr_matrix(value)
            value = Csr(value.shape, matrix.data, matrix.indices, matrix.indptr)
        if not isinstance(value, Csr):
            raise files.fault(name, "expected a matrix of features")
        return value
    if not isinstance(value, np.ndarray) or value.ndim != 2 or not value.shape[1]:
        raise files.fault(name, "expected a table of labels, one column for each class")
    return value


def _check(files: RawFiles, name: str, parts: _Parts, n: int) -> None:
    """Refuse parts that do not belong together."""
    rows = {"x": (parts.x, parts.y), "tx": (parts.tx, parts.ty), "allx": (parts.allx, parts.ally)}
    for part, (features, labels) in rows.items():
        if features.shape[0] != len(labels):
            raise files.fault(
                f"ind.{name}.{part}", f"it has {features.shape[0]} rows and there are labels of {len(labels)} nodes"
            )
        if features.shape[1] != parts.allx.shape[1] or labels.shape[1] != parts.ally.shape[1]:
            raise files.fault(f"ind.{name}.{part}", "its columns or classes are not those of the other files")
    test, known = parts.test, len(parts.ally)
    if len(test) != len(parts.ty) or len(torch.unique(test)) < len(test) or int(test.min()) < known:
        raise files.fault(
            f"ind.{name}.test.index",
            f"expected {len(parts.ty)} different nodes from {known} on, got {len(torch.unique(test))} from "
            f"{int(test.min())} on",
        )
    if n > known + 10 * len(test):
        raise files.fault(f"ind.{name}.test.index", f"node {n - 1} is far beyond the {known + len(test)} in the files")
    if len(parts.y) + 500 > known:
        raise files.fault(f"ind.{name}.ally", f"{known} nodes are too few for {len(parts.y)} that train and 500 more")


def _classes(one_hot: np.ndarray) -> Tensor:
    """The class of each row [n], -1 where a row names none."""
    largest = torch.from_numpy(one_hot.argmax(1).astype(np.int64))
    return torch.where(torch.from_numpy(one_hot.max(1) > 0), largest, -1)


def _features(parts: _Parts, n: int) -> Features:
    """allx first, then tx at the nodes of the test index."""
    from scipy.sparse import coo_matrix

    row, column, value = parts.allx.entries()
    test_row, test_column, test_value = parts.tx.entries()
    rows = np.concatenate([row, parts.test.numpy()[test_row]])
    entries = np.concatenate([value, test_value]).astype(np.float32)
    shape = (n, parts.allx.shape[1])
    return as_features(coo_matrix((entries, (rows, np.concatenate([column, test_column]))), shape=shape))


def _graph(files: RawFiles, name: str, neighbours: dict[Any, Any], n: int) -> Graph:
    lists = list(neighbours.values())
    nodes = [*neighbours, *(other for near in lists for other in near)]
    if not all(type(node) is int for node in nodes):
        raise files.fault(name, "expected lists of neighbours by node")
    if nodes and not 0 <= min(nodes) <= max(nodes) < n:
        bad = next(node for node in nodes if not 0 <= node < n)
        raise files.fault(name, f"it names node {bad} and there are {n}, counted from 0")
    every = torch.tensor(nodes, dtype=torch.int64)
    count = torch.tensor([len(near) for near in lists], dtype=torch.int64)
    src, dst = every[: len(lists)].repeat_interleave(count), every[len(lists) :]
    other = src != dst
    return Graph(Relation.from_edges(src[other], dst[other], n, n, coalesce=True))


def _public(train: int, n: int, test: Tensor) -> Split:
    masks = [torch.zeros(n, dtype=torch.bool) for _ in range(3)]
    masks[0][:train] = True
    masks[1][train : train + 500] = True
    masks[2][test] = True
    return Split(*masks)


_URL = "https://github.com/kimiyoung/planetoid/raw/master/data"
_CITATION = "Sen et al. 2008, split of Yang et al. 2016"


def _wanted(name: str) -> tuple[Wanted, Wanted]:
    """The eight files, and with them the ten splits."""
    urls = {f"ind.{name.lower()}.{part}": f"{_URL}/ind.{name.lower()}.{part}" for part in PARTS}
    parent = f"Planetoid/{name}"
    return (
        Wanted(name, parent, urls),
        Wanted(name, parent, {**urls, **split_urls(name.lower())}, ("geom-gcn/raw", "raw")),
    )


for _name, _size in (
    ("Cora", Size(2708, 10556, 1433, 7)),
    ("CiteSeer", Size(3327, 9104, 3703, 6)),
    ("PubMed", Size(19717, 88648, 500, 3)),
):
    register(
        Dataset(
            _name,
            "papers, citations, subject",
            _size,
            Origin(_CITATION, _URL, "MIT"),
            read_planetoid,
            _wanted(_name),
            ("public", "geom-gcn"),
        )
    )
