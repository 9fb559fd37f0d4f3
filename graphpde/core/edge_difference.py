"""The Laplacian edge by edge: what leaves one node arrives at the other, bit by bit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.core.incidence import Incidence
from graphpde.core.linear_operator import LinearOperator, Sparse, columns, times
from graphpde.typing import Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class EdgeDifference(LinearOperator):
    """(L x)_i = sum_j w_ij (x_j - x_i) with one flux per undirected edge: what leaves i arrives at j, bit by bit.

    The sum over all nodes changes only by the rounding of the additions, so mass is conserved over any number of steps;
    about twice the cost of :class:`Sparse`.

    Args:
        incidence: the undirected edges.
        weight: one per undirected edge [E] or [E, c].
        matrix: the same map as a :class:`Sparse`, for solvers.
    """

    symmetric = True

    def __init__(self, incidence: Incidence, weight: Tensor, matrix: Sparse):
        self.incidence, self.weight, self.matrix = incidence, weight, matrix
        self.n = incidence.n

    def matvec(self, x: Tensor) -> Tensor:
        downhill = -columns(self.weight).to(x.dtype)  # from much to little
        return self.incidence.divergence(self.incidence.difference(x) * downhill)

    def transpose(self) -> EdgeDifference:
        return self

    def diagonal(self) -> Tensor:
        return self.matrix.diagonal()

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        return self.matrix.to_scipy(channel)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.weight, *self.matrix.tensors()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> EdgeDifference:
        weight = self.weight.to(device=device, dtype=dtype)
        return EdgeDifference(self.incidence.to(device, dtype), weight, self.matrix.to(device, dtype))

    @property
    def channels(self) -> int:
        return self.matrix.channels

    def assembled(self) -> Sparse:
        return self.matrix

    def _times(self, factor: Scalar) -> EdgeDifference:
        return EdgeDifference(self.incidence, times(self.weight, factor), self.matrix._times(factor))
