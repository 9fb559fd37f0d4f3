"""The graphs of the benchmarks as index pairs, sorted by destination and then source; seeded."""

from __future__ import annotations

import pickle
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

CORA = (
    Path(__file__).resolve().parents[3] / "shared" / "data" / "graphs" / "Planetoid" / "Cora" / "raw" / "ind.cora.graph"
)
CORA_NODES, CORA_LINKS = 2708, 5278


@dataclass(frozen=True)
class Edges:
    """A directed graph in which every edge i -> j has its partner j -> i.

    Attributes:
        n: number of nodes. src, dst: node numbers [e], int64, sorted by (dst, src).
    """

    n: int
    src: np.ndarray
    dst: np.ndarray

    @property
    def e(self) -> int:
        """Number of directed edges."""
        return self.src.size

    @cached_property
    def ptr(self) -> np.ndarray:
        """Offsets of each destination's edges [n + 1], int64."""
        return np.concatenate([[0], np.cumsum(np.bincount(self.dst, minlength=self.n))])


def symmetric(n: int, a: np.ndarray, b: np.ndarray) -> Edges:
    """Both directions of the links a - b, each once, without loops."""
    apart = a != b
    a, b = a[apart], b[apart]
    keys = _distinct(np.concatenate([a * n + b, b * n + a]))
    dst = keys // n
    return Edges(n, keys - dst * n, dst)


def _distinct(keys: np.ndarray) -> np.ndarray:
    """Sorted, each once; np.unique is twenty times slower on millions of them."""
    keys = np.sort(keys)
    return keys[np.concatenate([[True], keys[1:] != keys[:-1]])]


def mesh(rows: int, columns: int, *, shuffled: bool = False) -> Edges:
    """The edges of a triangulated rectangle of rows x columns nodes, each square halved along a random diagonal.

    About six directed edges per node, degrees 2 to 8. Natural order is row by row; ``shuffled`` numbers at random.
    """
    rng = np.random.default_rng(rows * columns)
    node = np.arange(rows * columns).reshape(rows, columns)
    falling = rng.random((rows - 1, columns - 1)) < 0.5
    sides = [(node[:, :-1], node[:, 1:]), (node[:-1], node[1:])]
    diagonals = [(node[:-1, :-1][falling], node[1:, 1:][falling]), (node[:-1, 1:][~falling], node[1:, :-1][~falling])]
    a = np.concatenate([pair[0].ravel() for pair in sides + diagonals])
    b = np.concatenate([pair[1].ravel() for pair in sides + diagonals])
    if shuffled:
        number = rng.permutation(node.size)
        a, b = number[a], number[b]
    return symmetric(node.size, a, b)


def power_law(n: int, links: int, *, exponent: float = 2.5, seed: int = 0) -> Edges:
    """Chung-Lu graph: both ends of a link are drawn with probability ~ (rank + 1)^(-1/(exponent - 1)).

    Loops and repeated links are drawn again until exactly ``links`` are there (2 links directed edges); the nodes are
    then numbered at random, as those of a crawl are.
    """
    rng = np.random.default_rng(seed)
    up_to = np.cumsum((np.arange(n) + 1.0) ** (-1 / (exponent - 1)))
    up_to /= up_to[-1]
    keys = np.empty(0, np.int64)
    while keys.size < links:
        ends = np.minimum(np.searchsorted(up_to, rng.random((2, links - keys.size + 1000))), n - 1)
        low, high = ends.min(0), ends.max(0)
        keys = _distinct(np.concatenate([keys, (low * n + high)[low != high]]))
    keys = rng.permutation(keys)[:links]
    number = rng.permutation(n)
    return symmetric(n, number[keys // n], number[keys % n])


class _PlainLists(pickle.Unpickler):
    """Reads a dictionary of lists and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        known = {("collections", "defaultdict"): defaultdict, ("builtins", "list"): list, ("__builtin__", "list"): list}
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"{CORA.name} asks for {module}.{name}, expected a dictionary of lists")
        return known[module, name]


def cora() -> Edges:
    """The Cora citation graph where its file lies beside the checkout, else a power-law graph of the same counts."""
    if not CORA.is_file():
        return power_law(CORA_NODES, CORA_LINKS)
    with CORA.open("rb") as file:
        cited = _PlainLists(file, encoding="latin1").load()
    a = np.repeat(list(cited), [len(others) for others in cited.values()])
    b = np.concatenate([np.asarray(others, np.int64) for others in cited.values()])
    return symmetric(CORA_NODES, a.astype(np.int64), b)


GRAPHS: dict[str, Callable[[], Edges]] = {
    "mesh100k": lambda: mesh(250, 400),
    "mesh1M": lambda: mesh(1000, 1000),
    "mesh1M-random": lambda: mesh(1000, 1000, shuffled=True),
    "cora": cora,
    "power-law": lambda: power_law(170_000, 1_150_000),
}

# the same shapes at sizes that run in milliseconds: to try the harness, not to measure
SMALL_GRAPHS: dict[str, Callable[[], Edges]] = {
    "mesh100k": lambda: mesh(10, 20),
    "mesh1M": lambda: mesh(20, 20),
    "mesh1M-random": lambda: mesh(20, 20, shuffled=True),
    "cora": lambda: power_law(270, 500),
    "power-law": lambda: power_law(200, 900),
}
