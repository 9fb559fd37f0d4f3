"""A small folder in Planetoid's layout, written with Python's own pickle."""

from __future__ import annotations

import pickle
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

CLASSES, TRAIN, KNOWN, TEST, FEATURES = 3, 15, 540, 30, 40


def planetoid_parts(seed: int = 0, gap: int = 0) -> dict[str, Any]:
    """What the files of a small Planetoid folder hold; ``gap`` nodes in the middle of the test nodes are in none."""
    rng = np.random.default_rng(seed)
    one_hot = np.eye(CLASSES, dtype=np.int32)
    allx = sp.random(KNOWN, FEATURES, 0.05, "csr", dtype=np.float32, rng=rng)
    tx = sp.random(TEST, FEATURES, 0.05, "csr", dtype=np.float32, rng=rng)
    ally = one_hot[np.arange(KNOWN) % CLASSES]
    numbers = np.arange(KNOWN, KNOWN + TEST + gap)
    numbers = rng.permutation(np.delete(numbers, np.arange(10, 10 + gap)))
    n = KNOWN + TEST + gap
    graph: defaultdict[int, list[int]] = defaultdict(list)
    for a, b in rng.integers(0, n, (2 * n, 2)).tolist():
        graph[a].append(b)
        graph[b].append(a)
    return {
        "x": allx[:TRAIN], "tx": tx, "allx": allx, "y": ally[:TRAIN], "ty": one_hot[rng.integers(0, CLASSES, TEST)],
        "ally": ally, "graph": graph, "test.index": numbers,
    }  # fmt: skip


def write_planetoid(folder: Path, parts: dict[str, Any], name: str = "cora", protocol: int = 2) -> Path:
    """The eight files; bytes are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    for part, value in parts.items():
        if part == "test.index" and not isinstance(value, bytes):
            value = "".join(f"{number}\n" for number in value).encode()
        content = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
        (folder / f"ind.{name}.{part}").write_bytes(content)
    return folder
