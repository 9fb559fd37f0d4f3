"""An epoch of our GCN on Cora beside torch-geometric's: a step of Adam and an evaluation, interleaved, one thread.

python -m benchmarks.graph.gcn_speed --root FOLDER [--epochs 200] [--hidden 16 64]

Beside it stand the two-layer network of torch-geometric's own example and its ready-made model, both with dense
features, as there, and with the normalisation cached; and our own with dense features, which tells how much of the
difference the sparse ones make.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.physics.rows import Absent, Found, Row, at_most
from graphpde.data import NodeData, load
from graphpde.errors import DatasetError
from graphpde.graph_diffusion import Dropout, Gcn
from graphpde.nets import SparseFeatures

SECTION = "Speed"
SOURCES = ("graphpde/core", "graphpde/nets", "graphpde/graph_diffusion/gcn.py", "benchmarks/graph/gcn_speed.py")
ROOT = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "graphs"
EPOCHS = 200
HIDDEN = (16, 64)
OURS, OURS_DENSE, EXAMPLE, READY = "ours", "ours, dense features", "PyG example", "PyG model"


def contenders(data: NodeData, hidden: int) -> dict[str, Callable[[], Any]]:
    """Name -> an epoch of it."""
    from torch_geometric.nn import GCNConv
    from torch_geometric.nn.models import GCN

    class Example(nn.Module):
        """The network of torch-geometric's ``examples/gcn.py``."""

        def __init__(self) -> None:
            super().__init__()
            self.first = GCNConv(data.x.shape[1], hidden, cached=True)
            self.second = GCNConv(hidden, data.classes, cached=True)

        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            x = nn.functional.dropout(x, 0.5, self.training)
            x = torch.relu(self.first(x, edge_index))
            return self.second(nn.functional.dropout(x, 0.5, self.training), edge_index)

    sparse = data.x if isinstance(data.x, SparseFeatures) else SparseFeatures.from_dense(data.x)
    sparse = sparse.to(dtype=torch.float32).rows_normalised()
    dense, edge_index = sparse.to_dense(), torch.stack(data.graph.edges.pairs())
    f, k = sparse.shape[1], data.classes
    ready = GCN(f, hidden, num_layers=2, out_channels=k, dropout=0.5, cached=True)
    # the ready-made model drops nothing of its input, so it is given less to do than the others
    return {
        OURS: _epoch(Gcn(f, hidden, k, dropout=Dropout(0.5, 0.5)), data, (data.graph, sparse)),
        OURS_DENSE: _epoch(Gcn(f, hidden, k, dropout=Dropout(0.5, 0.5)), data, (data.graph, dense)),
        EXAMPLE: _epoch(Example(), data, (dense, edge_index)),
        READY: _epoch(ready, data, (dense, edge_index)),
    }


def _epoch(model: nn.Module, data: NodeData, inputs: tuple[Any, ...]) -> Callable[[], list[float]]:
    """One step and the accuracies after it; everything but the model is the same for all."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=5e-4)
    split, y = data.splits[0], data.y

    def epoch() -> list[float]:
        model.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(*inputs)[split.train], y[split.train]).backward()
        optimizer.step()
        model.eval()
        with torch.no_grad():
            right = model(*inputs).argmax(1) == y
        return [float(right[mask].float().mean()) for mask in split]

    return epoch


def seconds(root: str | os.PathLike[str], hidden: int, epochs: int = EPOCHS) -> dict[str, float]:
    """Median CPU seconds of an epoch of each contender, in one interleaved run on one thread."""
    data, threads = load("Cora", root), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        calls = contenders(data, hidden)
        spent: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(epochs):
            for name, call in calls.items():
                start = time.process_time()
                call()
                spent[name].append(time.process_time() - start)
    finally:
        torch.set_num_threads(threads)
    return {name: statistics.median(times) for name, times in spent.items()}


def ratios(root: str | os.PathLike[str], hidden: int, epochs: int = EPOCHS) -> dict[str, float]:
    """Our epoch divided by each other one."""
    found = seconds(root, hidden, epochs)
    return {name: found[OURS] / spent for name, spent in found.items() if name != OURS}


def rows() -> list[Row]:
    """The ratio to the faster of torch-geometric's two, for each width."""
    return [
        Row(SECTION, f"our GCN's epoch on Cora, hidden {h}, by torch-geometric's", "<= 0.5", at_most(0.5),
            partial(_row, h), sources=SOURCES)
        for h in HIDDEN
    ]  # fmt: skip


def _row(hidden: int) -> Found | Absent:
    if find_spec("torch_geometric") is None:
        return Absent("torch-geometric is not installed")
    try:
        found = ratios(ROOT, hidden)
    except DatasetError as error:
        return Absent(str(error))
    value = max(found[EXAMPLE], found[READY])
    others = "; ".join(f"{ratio:.2f}x {name}" for name, ratio in found.items())
    return Found(value, f"{value:.2f}x", "Cora, 2 layers, one thread", others)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", default=ROOT)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--hidden", type=int, nargs="+", default=list(HIDDEN))
    given = parser.parse_args()
    for hidden in given.hidden:
        found = seconds(given.root, hidden, given.epochs)
        for name, spent in found.items():
            print(f"hidden {hidden:3d}  {name:22s} {1e3 * spent:8.2f} ms CPU  ours / it = {found[OURS] / spent:.3f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
