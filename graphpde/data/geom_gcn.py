"""The text files and ten splits of Geom-GCN (Pei et al. 2020): Texas, Wisconsin, Cornell, Actor."""

from __future__ import annotations

import re

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.features import as_features, indicators
from graphpde.data.node_data import NodeData
from graphpde.data.npz import read_arrays
from graphpde.data.raw_files import RawFiles, Wanted
from graphpde.nets.features import Features
from graphpde.train.split import Split

NODES, EDGES = "out1_node_feature_label.txt", "out1_graph_edges.txt"

_ROW = re.compile(r"([0-9]{1,9})\t([0-9]{1,9}(?:,[0-9]{1,9})*)\t([0-9]{1,4})")
_PAIR = re.compile(r"([0-9]{1,9})\t([0-9]{1,9})")


_URL = "https://raw.githubusercontent.com/graphdml-uiuc-jlu/geom-gcn/f1fc0d14b3b019c562737240d06ec83b07d16a8f"


def split_urls(stem: str) -> dict[str, str]:
    """The files of the ten splits and where they are published."""
    names = [f"{stem}_split_0.6_0.2_{k}.npz" for k in range(10)]
    return {name: f"{_URL}/splits/{name}" for name in names}


def read_webkb(files: RawFiles, split: str) -> NodeData:
    """Pages of a university: words that occur (0 or 1), kind of page; links as listed, once each.

    The links have a direction and some pages link to themselves; :meth:`NodeData.undirected` makes both directions.

    Raises:
        DatasetError: a file is missing, damaged or does not fit the others.
    """
    rows = _rows(files)
    width = len(rows[0][1])
    for node, values, _ in rows:
        if len(values) != width:
            raise files.fault(NODES, f"node {node} has {len(values)} features and node {rows[0][0]} has {width}")
    x = torch.tensor([values for _, values, _ in rows], dtype=torch.float32)
    return _data(files, files.dataset.lower(), as_features(x), torch.tensor([label for _, _, label in rows]))


def read_actor(files: RawFiles, split: str) -> NodeData:
    """Actors on pages of Wikipedia: words by number, kind of actor; co-occurrence as listed, once each and directed.

    Raises:
        DatasetError: a file is missing, damaged or does not fit the others.
    """
    rows = _rows(files)
    row = torch.tensor([node for node, words, _ in rows for _ in words])
    column = torch.tensor([word for _, words, _ in rows for word in words])
    x = indicators(row, column, (len(rows), int(column.max()) + 1))
    return _data(files, "film", x, torch.tensor([label for _, _, label in rows]))


def read_splits(files: RawFiles, stem: str, y: Tensor) -> tuple[Split, ...]:
    """The ten splits in files ``STEM_split_0.6_0.2_K.npz``: 48/32/20 %, whatever the name says.

    Those of Cora hold the nodes of its largest component, 1192, 796 and 497 of 2708; the others are in no part.

    Nodes of unknown label are taken out of the masks, and a note says so.
    """
    splits, dropped = [], 0
    for name in split_urls(stem):
        arrays = read_arrays(files, name, ("train_mask", "val_mask", "test_mask"))
        masks = []
        for key, values in arrays.items():
            if values.shape != (len(y),):
                raise files.fault(name, f"'{key}' has shape {list(values.shape)}, expected [{len(y)}]")
            if not ((values == 0) | (values == 1)).all():
                raise files.fault(name, f"'{key}' holds other values than 0 and 1")
            mask = torch.from_numpy(values != 0)
            dropped += int((mask & (y < 0)).sum())
            masks.append(mask & (y >= 0))
        splits.append(Split(*masks))
    if dropped:
        files.notes.append(f"{dropped} entries of the masks of '{files.dataset}' are nodes of unknown label, left out")
    return tuple(splits)


def _rows(files: RawFiles) -> list[tuple[int, list[int], int]]:
    """(node, numbers, label) of each line, by node."""
    rows = []
    for number, line in enumerate(files.text(NODES).splitlines()[1:], 2):
        found = _ROW.fullmatch(line)
        if found is None:
            raise files.fault(NODES, f"line {number} is not 'node, numbers, label' with tabs between")
        rows.append((int(found[1]), [int(word) for word in found[2].split(",")], int(found[3])))
    rows.sort(key=lambda row: row[0])
    if [node for node, _, _ in rows] != list(range(len(rows))) or not rows:
        raise files.fault(NODES, f"its {len(rows)} nodes are not numbered from 0 on, each once")
    return rows


def _data(files: RawFiles, stem: str, x: Features, y: Tensor) -> NodeData:
    n = len(y)
    pairs = []
    for number, line in enumerate(files.text(EDGES).splitlines()[1:], 2):
        found = _PAIR.fullmatch(line)
        if found is None:
            raise files.fault(EDGES, f"line {number} is not two nodes with a tab between")
        pairs.append((int(found[1]), int(found[2])))
        if max(pairs[-1]) >= n:
            raise files.fault(EDGES, f"line {number} names node {max(pairs[-1])} and there are {n}, counted from 0")
    edges = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2)
    graph = Graph(Relation.from_edges(edges[:, 0], edges[:, 1], n, n, coalesce=True))
    return NodeData(files.dataset, graph, x, y, read_splits(files, stem, y))


def _register(name: str, stem: str, parent: str, what: str, size: Size) -> None:
    urls = {file: f"{_URL}/new_data/{stem}/{file}" for file in (NODES, EDGES)}
    read = read_actor if stem == "film" else read_webkb
    origin = Origin("Pei et al. 2020", "https://github.com/graphdml-uiuc-jlu/geom-gcn", "none stated")
    wanted = Wanted(name, parent, {**urls, **split_urls(stem)})
    register(Dataset(name, what, size, origin, read, (wanted,), ("geom-gcn",)))


_PAGES = "web pages, links, kind of page"
_register("Texas", "texas", "WebKB/texas", _PAGES, Size(183, 325, 1703, 5))
_register("Wisconsin", "wisconsin", "WebKB/wisconsin", _PAGES, Size(251, 515, 1703, 5))
_register("Cornell", "cornell", "WebKB/cornell", _PAGES, Size(183, 298, 1703, 5))
_register("Actor", "film", "Actor", "actors, pages in common, kind of actor", Size(7600, 30019, 932, 5))
