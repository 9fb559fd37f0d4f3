"""What is computed: inputs, which gradients are wanted, and the right outputs in float64."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from benchmarks.core.graphs import Edges

TOLERANCE = 1e-5  # float32 sums over rows of 1e4 random terms end near 1e-6 of the largest output

Apply = Callable[..., Tensor]
Outputs = tuple[Tensor, ...]


@dataclass(frozen=True)
class Problem:
    """One kernel on one graph.

    Attributes:
        work: "sum" (y = A x), "fixed" (and the gradient of x), "learned" (and those of x and of the weights), "max",
            "attention" (softmax over incoming edges of <q, k>/sqrt(c), and the gradients of q, k and v).
        edges: the graph. channels: c.
        inputs: what a contender is called with: (x [n, c], weight [e]), (q, k, v) or (x,), float32.
        wanted: the inputs whose gradients are outputs too.
        cotangent: the gradient of the output [n, c] that the backward pass starts from.
    """

    work: str
    edges: Edges
    channels: int
    inputs: tuple[Tensor, ...]
    wanted: tuple[Tensor, ...]
    cotangent: Tensor

    @cached_property
    def src(self) -> Tensor:
        return torch.from_numpy(self.edges.src).to(self.cotangent.device)

    @cached_property
    def dst(self) -> Tensor:
        return torch.from_numpy(self.edges.dst).to(self.cotangent.device)

    @cached_property
    def ptr(self) -> Tensor:
        return torch.from_numpy(self.edges.ptr).to(self.cotangent.device)

    @property
    def weight(self) -> Tensor:
        """The edge weights as numbers, whether or not their gradient is wanted."""
        return self.inputs[1].detach()


def pose(work: str, edges: Edges, channels: int, device: str = "cpu") -> Problem:
    """The problem with random inputs; the same numbers every time and on every device."""
    rng = torch.Generator().manual_seed(channels)
    field = [torch.randn(edges.n, channels, generator=rng).to(device) for _ in range(4)]
    if work == "attention":
        inputs, wanted = tuple(field[:3]), tuple(field[:3])
    elif work == "max":
        inputs, wanted = (field[0],), ()
    else:
        inputs = (field[0], torch.randn(edges.e, generator=rng).to(device))
        wanted = {"sum": (), "fixed": inputs[:1], "learned": inputs}[work]
    for tensor in wanted:
        tensor.requires_grad_()
    return Problem(work, edges, channels, inputs, wanted, field[3])


def calling(problem: Problem, apply: Apply) -> Callable[[], Outputs]:
    """The call that is checked and timed: forward, and backward where gradients are wanted."""
    if not problem.wanted:
        return lambda: (apply(*problem.inputs),)

    def forward_and_backward() -> Outputs:
        y = apply(*problem.inputs)
        return (y, *torch.autograd.grad(y, problem.wanted, problem.cotangent))

    return forward_and_backward


def oracle(problem: Problem) -> list[np.ndarray]:
    """The outputs in float64 (those of "max" are exact in float32)."""
    if problem.work == "attention":
        return _attention(problem)
    x = problem.inputs[0].detach().cpu().numpy()
    if problem.work == "max":
        return [_largest(problem.edges, x)]
    edges, x, g = problem.edges, x.astype(float), problem.cotangent.cpu().numpy().astype(float)
    a = csr_matrix((problem.weight.cpu().numpy().astype(float), edges.src, edges.ptr), (edges.n, edges.n))
    out = [a @ x]
    if problem.wanted:
        out.append(a.T @ g)
    if len(problem.wanted) == 2:
        out.append(np.einsum("ek,ek->e", g[edges.dst], x[edges.src]))
    return out


def _largest(edges: Edges, x: np.ndarray) -> np.ndarray:
    out = np.zeros_like(x)
    filled = np.diff(edges.ptr) > 0
    for low in range(0, x.shape[1], 16):  # in slices, so that [e, c] never exists whole
        part = slice(low, low + 16)
        out[filled, part] = np.maximum.reduceat(x[edges.src, part], edges.ptr[:-1][filled])
    return out


def _attention(problem: Problem) -> list[np.ndarray]:
    q, k, v = (x.detach().cpu().double().requires_grad_() for x in problem.inputs)
    src, dst, n = problem.src.cpu(), problem.dst.cpu(), problem.edges.n
    p = (((q[dst] * k[src]).sum(1)) / problem.channels**0.5).exp()  # inputs are normal: no overflow in float64
    p = p / torch.zeros(n, dtype=p.dtype).index_add(0, dst, p)[dst]
    y = torch.zeros_like(v).index_add(0, dst, p[:, None] * v[src])
    outputs = (y, *torch.autograd.grad(y, (q, k, v), problem.cotangent.cpu().double()))
    return [x.detach().numpy() for x in outputs]


def largest_error(outputs: Sequence[Tensor], right: Sequence[np.ndarray]) -> float:
    """The largest deviation of any output, relative to the largest entry of that output.

    Raises:
        ValueError: a different number of outputs, or another shape.
    """
    shapes = [tuple(x.shape) for x in outputs], [x.shape for x in right]
    if shapes[0] != shapes[1]:
        raise ValueError(f"outputs have shapes {shapes[0]}, expected {shapes[1]}")
    errors = [np.abs(x.detach().cpu().numpy() - r).max() / max(np.abs(r).max(), 1e-300) for x, r in zip(outputs, right)]
    return float(max(errors))
