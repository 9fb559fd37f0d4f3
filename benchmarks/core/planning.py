"""How long it takes from index pairs to everything that a product and its gradients need."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from benchmarks.core.cases import Row, Settings, graph
from benchmarks.core.contenders import OURS, backends
from benchmarks.core.graphs import Edges
from benchmarks.core.measure import interleaved
from graphpde.core import Relation, kernels


def measure_plan(given: str, settings: Settings) -> Row:
    """Rows, columns, transpose and permutations of the 1M mesh, its edges given "sorted" or "shuffled"."""
    edges = graph("mesh1M", settings.quick)
    order = np.arange(edges.e) if given == "sorted" else np.random.default_rng(0).permutation(edges.e)
    calls = planners(Edges(edges.n, edges.src[order], edges.dst[order]))
    found = interleaved(calls, rounds=min(settings.rounds, 5), limit=2 * settings.limit)
    shown = {name: {"cpu_ms": each["cpu_ms"], "wall_ms": each["wall_ms"]} for name, each in found.items()}
    return {"id": f"plan/mesh1M/{given}", "work": "plan", "nodes": edges.n, "edges": edges.e, "results": shown}


def planners(edges: Edges) -> dict[str, Callable[[], Any]]:
    """Ours, PyG's sorted edges with both caches, scipy's rows with their transpose."""
    from scipy.sparse import coo_matrix
    from torch_geometric import EdgeIndex

    src, dst, n = torch.from_numpy(edges.src), torch.from_numpy(edges.dst), edges.n
    small, ones = (edges.dst.astype(np.int32), edges.src.astype(np.int32)), np.ones(edges.e, np.float32)

    def ours(backend: str) -> Any:
        with kernels.use(backend):
            return Relation.from_edges(src, dst, n, n).prepare()

    def pyg() -> Any:
        pairs = EdgeIndex(torch.stack([dst, src]), sparse_size=(n, n))
        return pairs.sort_by("row").values.fill_cache_()

    def scipy() -> Any:
        rows = coo_matrix((ones, small), (n, n)).tocsr()
        return rows, rows.T.tocsr()

    found: dict[str, Callable[[], Any]] = {OURS + name: partial(ours, name) for name in backends()[:1]}
    return found | {"PyG EdgeIndex": pyg, "scipy CSR": scipy}
