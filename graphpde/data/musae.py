"""Graphs of Rozemberczki et al. 2021 in their own CSV and JSON: Twitch streamers by language, pages of Facebook."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import torch

from graphpde.core.graph import Graph
from graphpde.core.relation import Relation
from graphpde.data.dataset import Dataset, Origin, Size, register
from graphpde.data.features import indicators
from graphpde.data.node_data import NodeData
from graphpde.data.raw_files import RawFiles, Wanted
from graphpde.nets.features import Features

TWITCH = ("edges.csv", "features.json", "target.csv")
FACEBOOK = ("edges_facebook_edges.csv", "features_facebook.json", "target_facebook_target.csv")


def read_twitch(files: RawFiles, split: str) -> NodeData:
    """Streamers who follow each other; class 1 where the stream is for adults."""
    rows = _table(files, TWITCH[2], ("new_id", "mature"))
    classes = {"False": 0, "True": 1}
    return _data(files, TWITCH, [(_number(files, TWITCH[2], a), classes.get(b, -1)) for a, b in rows], ("no", "yes"))


def read_facebook_pages(files: RawFiles, split: str) -> NodeData:
    """Pages that like each other; the class is the kind of page."""
    rows = _table(files, FACEBOOK[2], ("id", "page_type"))
    names = tuple(sorted({kind for _, kind in rows}))
    return _data(files, FACEBOOK, [(_number(files, FACEBOOK[2], a), names.index(b)) for a, b in rows], names)


def _data(files: RawFiles, names: tuple[str, ...], labels: list[tuple[int, int]], classes: tuple[str, ...]) -> NodeData:
    n = len(labels)
    if sorted(node for node, _ in labels) != list(range(n)) or not n:
        raise files.fault(names[2], f"its {n} nodes are not numbered from 0 on, each once")
    y = torch.empty(n, dtype=torch.int64)
    for node, label in labels:
        y[node] = label
    header = (files.text(names[0]).splitlines() or [""])[0].split(",")
    pairs = _table(files, names[0], (header[0], header[-1]))
    edges = torch.tensor([[_number(files, names[0], word, n) for word in pair] for pair in pairs]).reshape(-1, 2)
    x = _features(files, names[1], n)
    graph = Graph(Relation.from_edges(edges[:, 0], edges[:, 1], n, n))
    return NodeData(files.dataset, graph, x, y, class_names=classes).undirected()


def _features(files: RawFiles, name: str, n: int) -> Features:
    """Indicators of the numbers listed for each node [n, largest + 1]; a node without an entry has none."""
    try:
        listed: Any = json.loads(files.text(name))
    except (ValueError, RecursionError) as error:
        raise files.fault(name, f"it is no JSON ({error})") from None
    if not isinstance(listed, dict) or not all(isinstance(numbers, list) for numbers in listed.values()):
        raise files.fault(name, "expected a list of numbers for each node")
    rows = [node for word, numbers in listed.items() for node in [_number(files, name, word, n)] * len(numbers)]
    columns = [number for numbers in listed.values() for number in numbers]
    if not columns or not all(type(number) is int and 0 <= number < 10**6 for number in columns):
        raise files.fault(name, "expected a list of numbers from 0 on for each node")
    return indicators(torch.tensor(rows), torch.tensor(columns), (n, max(columns) + 1))


def _table(files: RawFiles, name: str, wanted: tuple[str, str]) -> list[tuple[str, str]]:
    """Two columns of a CSV file."""
    try:
        rows = list(csv.reader(io.StringIO(files.text(name), newline=""), strict=True))
    except csv.Error as error:
        raise files.fault(name, f"it is no CSV ({error})") from None
    if not rows or any(key not in rows[0] for key in wanted):
        raise files.fault(name, f"it has no columns {wanted[0]} and {wanted[1]}")
    one, other = (rows[0].index(key) for key in wanted)
    for number, row in enumerate(rows, 1):
        if len(row) != len(rows[0]):
            raise files.fault(name, f"row {number} has {len(row)} cells, expected {len(rows[0])}")
    return [(row[one], row[other]) for row in rows[1:]]


def _number(files: RawFiles, name: str, word: str, n: int = 10**9) -> int:
    if not (word.isascii() and word.isdigit() and len(word) < 10 and int(word) < n):
        raise files.fault(name, f"'{word[:20]}' is no node, expected a number from 0 to {n - 1}")
    return int(word)


_URL = "https://github.com/benedekrozemberczki/MUSAE/raw/master/input"
_ORIGIN = Origin("Rozemberczki et al. 2021", "https://github.com/benedekrozemberczki/MUSAE", "GPL-3.0")


def _register_twitch(language: str, size: Size) -> None:
    paths = (f"edges/{language}_edges.csv", f"features/{language}.json", f"target/{language}_target.csv")
    urls = {name: f"{_URL}/{path}" for name, path in zip(TWITCH, paths)}
    name = f"Twitch_{language}"
    wanted = Wanted(name, f"Twitch/{language}", urls, ("raw", ""))
    register(Dataset(name, "streamers, follow each other, adult content", size, _ORIGIN, read_twitch, (wanted,)))


_register_twitch("DE", Size(9498, 306276, 3170, 2))
_register_twitch("ENGB", Size(7126, 70648, 3170, 2))
_register_twitch("ES", Size(4648, 118764, 3170, 2))
_PAGES = ("edges/facebook_edges.csv", "features/facebook.json", "target/facebook_target.csv")
register(
    Dataset(
        "FacebookPagePage",
        "pages, like each other, kind of page",
        Size(22470, 341825, 4714, 4),
        _ORIGIN,
        read_facebook_pages,
        (
            Wanted(
                "FacebookPagePage",
                "FacebookPagePage",
                {name: f"{_URL}/{path}" for name, path in zip(FACEBOOK, _PAGES)},
                ("raw", ""),
            ),
        ),
    )
)
