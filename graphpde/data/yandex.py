"""The heterophilous graphs of Platonov et al. 2023 in their .npz files, and the Wikipedia graphs that they cleaned."""

from __future__ import annotations

import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.features import as_features
from graphpde.data.node_data import NodeData
from graphpde.data.npz import read_arrays
from graphpde.data.raw_files import RawFiles, Wanted
from graphpde.train.split import Split

_KEYS = ("node_features", "node_labels", "edges", "train_masks", "val_masks", "test_masks")


def read_undirected(files: RawFiles, split: str) -> NodeData:
    """Each listed edge in both directions and once."""
    return _read(files).undirected()


def read_directed(files: RawFiles, split: str) -> NodeData:
    """Edges in the direction listed."""
    return _read(files)


def file_name(dataset: str) -> str:
    """The file of a data set."""
    return f"{dataset.lower().replace('-', '_')}.npz"


def _read(files: RawFiles) -> NodeData:
    name = file_name(files.dataset)
    arrays = read_arrays(files, name, _KEYS)
    features, labels, edges, *masks = (torch.from_numpy(arrays[key]) for key in _KEYS)
    if features.dim() != 2 or labels.shape != features.shape[:1] or edges.dim() != 2 or edges.shape[1] != 2:
        raise files.fault(
            name,
            f"features, labels and edges have shapes {list(features.shape)}, {list(labels.shape)} and "
            f"{list(edges.shape)}, expected [n, f], [n] and [e, 2]",
        )
    n = len(features)
    if edges.is_floating_point() or (len(edges) and (int(edges.min()) < 0 or int(edges.max()) >= n)):
        raise files.fault(name, f"an edge names a node outside 0 to {n - 1}")
    shapes = {tuple(mask.shape) for mask in masks}
    if len(shapes) > 1 or masks[0].dim() != 2 or masks[0].shape[1] != n or masks[0].dtype != torch.bool:
        raise files.fault(name, f"the masks have shapes {sorted(shapes)}, expected truth values [splits, {n}]")
    graph = Graph(Relation.from_edges(edges[:, 0], edges[:, 1], n, n))
    splits = tuple(Split(*parts) for parts in zip(*masks))
    return NodeData(files.dataset, graph, as_features(features), labels, splits)


_URL = "https://github.com/yandex-research/heterophilous-graphs/raw/main/data"


def _register(name: str, what: str, size: Size, metric: str = "accuracy", directed: bool = False) -> None:
    file = file_name(name)
    wanted = Wanted(name, f"HeterophilousGraphDataset/{file.removesuffix('.npz')}", {file: f"{_URL}/{file}"})
    origin = Origin("Platonov et al. 2023", "https://github.com/yandex-research/heterophilous-graphs", "MIT")
    read = read_directed if directed else read_undirected
    register(Dataset(name, what, size, origin, read, (wanted,), ("yandex",), metric))


_WIKIPEDIA = "pages of Wikipedia, links, traffic"
_register("Roman-empire", "words, syntax, role", Size(22662, 65854, 300, 18))
_register("Amazon-ratings", "products, bought together, rating", Size(24492, 186100, 300, 5))
_register("Minesweeper", "cells of a grid, neighbours, mine", Size(10000, 78804, 7, 2), "roc_auc")
_register("Tolokers", "workers, tasks in common, banned", Size(11758, 1038000, 10, 2), "roc_auc")
_register("Questions", "users, answers, active", Size(48921, 307080, 301, 2), "roc_auc")
_register("Chameleon_filtered", _WIKIPEDIA, Size(890, 17708, 2325, 5))
_register("Squirrel_filtered", _WIKIPEDIA, Size(2223, 93996, 2089, 5))
_register("Chameleon", _WIKIPEDIA + "; many nodes are copies", Size(2277, 62742, 2325, 5))
_register("Chameleon_directed", _WIKIPEDIA + "; many nodes are copies", Size(2277, 36101, 2325, 5), directed=True)
_register("Texas_4_classes", "web pages, links, kind of page; none is of class 1", Size(183, 558, 1703, 5))
