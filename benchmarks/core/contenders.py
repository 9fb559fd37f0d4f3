"""Ours and the others: one function per contender and kernel, which prepares itself and returns what is called."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.core.problem import Apply, Problem, calling
from graphpde.core import Relation, kernels

OURS = "graphpde "  # followed by the backend
Preparations = dict[str, Callable[[], Callable[[], Any]]]
SUMS = ("sum", "fixed", "learned")


class Absent(Exception):
    """The contender cannot run here; the text says why."""


def backends(device: str = "cpu") -> list[str]:
    """Our backends that are measured, the one the others are compared with first."""
    return [name for name in kernels.PREFERRED[device] if name in kernels.available()]


def relation(problem: Problem) -> Relation:
    """The graph as a Relation with every plan built; its own order is the order of the edges as they stand."""
    edges = problem.edges
    return Relation.from_edges(problem.src, problem.dst, edges.n, edges.n).prepare()


def ours(problem: Problem, backend: str) -> Callable[[], Any]:
    """Our call on one backend, forward and backward."""
    rel = relation(problem)
    if problem.work in SUMS:
        call = calling(problem, lambda x, w: rel.propagate(x, weight=w))
    elif problem.work == "max":
        call = calling(problem, lambda x: rel.propagate(x, reduce="max"))
    else:
        call = calling(problem, lambda q, k, v: rel.attend(q, k, v))

    def forced() -> Any:
        with kernels.use(backend):
            return call()

    return forced


# weighted sums


def pyg_sum(problem: Problem) -> Apply:
    """The layer that PyG's documentation teaches: gather, multiply, scatter."""
    from torch_geometric.nn import MessagePassing

    class WeightedSum(MessagePassing):
        def forward(self, x: Tensor, edge_index: Tensor, weight: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x, weight=weight)

        def message(self, x_j: Tensor, weight: Tensor) -> Tensor:
            return weight[:, None] * x_j

    layer, edge_index = WeightedSum(aggr="add"), torch.stack([problem.src, problem.dst])
    return lambda x, w: layer(x, edge_index, w)


def pyg_edge_index(problem: Problem) -> Apply:
    """PyG's sorted edges with every cache filled beforehand."""
    from torch_geometric import EdgeIndex

    n = problem.edges.n
    rows = EdgeIndex(torch.stack([problem.dst, problem.src]), sparse_size=(n, n), sort_order="row").fill_cache_()
    return lambda x, w: rows.matmul(x, input_value=w)


def torch_csr(problem: Problem) -> Apply:
    """torch's compressed rows with int32 columns (MKL or cuSPARSE), built beforehand, with torch's own gradients."""
    n = problem.edges.n
    a = torch.sparse_csr_tensor(problem.ptr.int(), problem.src.int(), problem.weight, (n, n))
    return lambda x, w: a @ x


def scipy_csr(problem: Problem) -> Apply:
    """scipy's compressed rows, built beforehand."""
    from scipy.sparse import csr_matrix

    edges = problem.edges
    a = csr_matrix((problem.weight.numpy(), edges.src.astype(np.int32), edges.ptr.astype(np.int32)), (edges.n,) * 2)
    return lambda x, w: torch.from_numpy(a @ x.numpy())


@cache
def _numba_rows(parallel: bool) -> Callable[..., np.ndarray]:
    import numba

    @numba.njit(parallel=parallel, fastmath=True)
    def product(ptr, columns, weight, x):  # type: ignore[no-untyped-def]
        n, c = ptr.size - 1, x.shape[1]
        y = np.zeros((n, c), x.dtype)
        if c == 1:  # a scalar in a register: twice as fast as through y
            for i in numba.prange(n):
                total = np.float32(0)
                for s in range(ptr[i], ptr[i + 1]):
                    total += weight[s] * x[np.uint32(columns[s]), 0]
                y[i, 0] = total
            return y
        for i in numba.prange(n):
            for s in range(ptr[i], ptr[i + 1]):
                a, j = weight[s], np.uint32(columns[s])  # unsigned: no branch for Python's negative indices
                for k in range(c):
                    y[i, k] += a * x[j, k]
        return y

    return product


def numba_csr(problem: Problem) -> Apply:
    """A careful loop in numba, with int32 columns."""
    product = _numba_rows(torch.get_num_threads() > 1)
    ptr, columns, weight = problem.ptr.int().numpy(), problem.src.int().numpy(), problem.weight.numpy()
    return lambda x, w: torch.from_numpy(product(ptr, columns, weight, x.numpy()))


def _index_add(problem: Problem) -> Apply:
    src, dst, n = problem.src, problem.dst, problem.edges.n
    return lambda x, w: x.new_zeros(n, x.shape[1]).index_add(0, dst, x.index_select(0, src) * w[:, None])


def index_add(problem: Problem) -> Apply:
    """Plain torch: gather, multiply, index_add onto sorted destinations."""
    return _index_add(problem)


def compiled_index_add(problem: Problem) -> Apply:
    """The same through torch.compile."""
    return torch.compile(_index_add(problem), dynamic=False)


def segment_csr(problem: Problem) -> Apply:
    """torch_scatter's sum over sorted segments."""
    torch_scatter, src, ptr = _torch_scatter(), problem.src, problem.ptr
    return lambda x, w: torch_scatter.segment_csr(x.index_select(0, src) * w[:, None], ptr, reduce="sum")


def _torch_scatter() -> Any:
    try:
        import torch_scatter
    except ImportError as error:
        raise Absent(f"torch_scatter cannot be imported ({str(error).splitlines()[0]})") from None
    return torch_scatter


# maximum over neighbours


def pyg_max(problem: Problem) -> Apply:
    """PyG's layer with aggr="max"."""
    from torch_geometric.nn import MessagePassing

    class Largest(MessagePassing):
        def forward(self, x: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, x=x)

        def message(self, x_j: Tensor) -> Tensor:
            return x_j

    layer, edge_index = Largest(aggr="max"), torch.stack([problem.src, problem.dst])
    return lambda x: layer(x, edge_index)


def torch_amax(problem: Problem) -> Apply:
    """torch.sparse.mm with reduce="amax" and ones as weights, built beforehand."""
    n = problem.edges.n
    a = torch.sparse_csr_tensor(problem.ptr, problem.src, torch.ones(problem.edges.e), (n, n))
    return lambda x: torch.sparse.mm(a, x, "amax")


def scatter_amax(problem: Problem) -> Apply:
    """Plain torch: gather, scatter_reduce onto sorted destinations."""
    src, n = problem.src, problem.edges.n
    index = problem.dst[:, None].expand(-1, problem.channels)
    return lambda x: x.new_zeros(n, x.shape[1]).scatter_reduce(
        0, index, x.index_select(0, src), "amax", include_self=False
    )


def segment_max(problem: Problem) -> Apply:
    """torch_scatter's maximum over sorted segments."""
    torch_scatter, src, ptr = _torch_scatter(), problem.src, problem.ptr
    return lambda x: torch_scatter.segment_csr(x.index_select(0, src), ptr, reduce="max")


# edge-softmax attention


def pyg_attention(problem: Problem) -> Apply:
    """The layer one writes with PyG: scores, torch_geometric.utils.softmax, weighted sum."""
    from torch_geometric.nn import MessagePassing
    from torch_geometric.utils import softmax

    class Attention(MessagePassing):
        def forward(self, q: Tensor, k: Tensor, v: Tensor, edge_index: Tensor) -> Tensor:
            return self.propagate(edge_index, q=q, k=k, v=v)

        def message(self, q_i: Tensor, k_j: Tensor, v_j: Tensor, index: Tensor, size_i: int | None) -> Tensor:
            score = (q_i * k_j).sum(-1) / math.sqrt(q_i.shape[-1])
            return softmax(score, index, num_nodes=size_i)[:, None] * v_j

    layer, edge_index = Attention(aggr="add"), torch.stack([problem.src, problem.dst])
    return lambda q, k, v: layer(q, k, v, edge_index)


def _index_attention(problem: Problem) -> Apply:
    src, dst, n = problem.src, problem.dst, problem.edges.n

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        score = (q.index_select(0, dst) * k.index_select(0, src)).sum(-1) / math.sqrt(q.shape[1])
        top = score.new_zeros(n).scatter_reduce(0, dst, score.detach(), "amax", include_self=False)
        p = (score - top.index_select(0, dst)).exp()
        p = p / p.new_zeros(n).index_add(0, dst, p).index_select(0, dst)
        return v.new_zeros(n, v.shape[1]).index_add(0, dst, p[:, None] * v.index_select(0, src))

    return attention


def index_attention(problem: Problem) -> Apply:
    """Plain torch: index_select, scatter_reduce, index_add."""
    return _index_attention(problem)


def compiled_attention(problem: Problem) -> Apply:
    """The same through torch.compile, forward and backward."""
    return torch.compile(_index_attention(problem), dynamic=False)


@dataclass(frozen=True)
class Contender:
    """A row of the tables: its name, the works it takes part in, and the function that prepares it."""

    name: str
    works: tuple[str, ...]
    build: Callable[[Problem], Apply]
    devices: tuple[str, ...] = ("cpu",)
    compiled: bool = False  # torch.compile takes up to a minute: only in the cases that ask for it


BOTH = ("cpu", "cuda")


CONTENDERS = (
    Contender("PyG MessagePassing", SUMS, pyg_sum, BOTH),
    Contender("PyG EdgeIndex", SUMS, pyg_edge_index, BOTH),
    Contender("torch CSR", ("sum", "fixed"), torch_csr, BOTH),
    Contender("scipy CSR", ("sum",), scipy_csr),
    Contender("numba CSR", ("sum",), numba_csr),
    Contender("torch index_add", SUMS, index_add, BOTH),
    Contender("torch_scatter segment_csr", SUMS, segment_csr),
    Contender("torch.compile", SUMS, compiled_index_add, compiled=True),
    Contender("PyG MessagePassing", ("max",), pyg_max, BOTH),
    Contender("torch.sparse.mm amax", ("max",), torch_amax),
    Contender("torch scatter_reduce", ("max",), scatter_amax, BOTH),
    Contender("torch_scatter segment_csr", ("max",), segment_max),
    Contender("PyG MessagePassing", ("attention",), pyg_attention, BOTH),
    Contender("torch index ops", ("attention",), index_attention, BOTH),
    Contender("torch.compile", ("attention",), compiled_attention, compiled=True),
)


def _ready(problem: Problem, row: Contender) -> Callable[[], Any]:
    return calling(problem, row.build(problem))


def prepared(problem: Problem, *, compiled: bool = False) -> Preparations:
    """Name -> preparation of the call, ours first; on a CUDA problem those that know the device."""
    device = problem.cotangent.device.type
    found: Preparations = {OURS + name: partial(ours, problem, name) for name in backends(device)}
    for row in CONTENDERS:
        fits = problem.work in row.works and device in row.devices
        if fits and (compiled or not row.compiled):
            found[row.name] = partial(_ready, problem, row)
    return found
