"""Jacobians as operators: blocks at the nodes, or only their action."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.core.tracing import followed, following, plain
from graphpde.errors import InputError
from graphpde.typing import Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class BlockDiagonal(LinearOperator):
    """A dense block on the channels of each node, y_i = B_i x_i, blocks [*, n, c, c]: Jacobians of pointwise terms."""

    @property
    def coupled(self) -> bool:
        return True

    def __init__(self, blocks: Tensor):
        self.blocks, self.n = blocks, blocks.shape[-3]

    def matvec(self, x: Tensor) -> Tensor:
        return (self.blocks.to(x.dtype) @ x[..., None])[..., 0]

    def transpose(self) -> BlockDiagonal:
        return BlockDiagonal(self.blocks.mT)

    def diagonal(self) -> Tensor | None:
        return self.blocks.diagonal(dim1=-2, dim2=-1) if self.blocks.dim() == 3 else None

    def to_matrix(self, channels: int) -> csr_matrix:
        from scipy.sparse import bsr_matrix

        if self.blocks.dim() != 3:
            raise InputError(f"blocks have shape {list(self.blocks.shape)}: a batch of maps has no single matrix")
        blocks = self.blocks.detach().to("cpu", torch.float64).numpy()
        return bsr_matrix((blocks, np.arange(self.n), np.arange(self.n + 1))).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.blocks,)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> BlockDiagonal:
        return BlockDiagonal(self.blocks.to(device=device, dtype=dtype))

    @property
    def channels(self) -> int:
        return self.blocks.shape[-1]

    def _times(self, factor: Scalar) -> BlockDiagonal:
        if not isinstance(factor, Tensor):
            return BlockDiagonal(self.blocks * factor)
        factor = factor.to(self.blocks.dtype)
        return BlockDiagonal(self.blocks * (factor[:, None] if factor.dim() else factor))  # a factor per row


class Action(LinearOperator):
    """A map known only by its action and that of its transpose (Jacobians by automatic differentiation)."""

    def __init__(
        self,
        n: int,
        matvec: Callable[[Tensor], Tensor],
        rmatvec: Callable[[Tensor], Tensor],
        *,
        symmetric: bool = False,
    ):
        self.n, self._matvec, self._rmatvec, self.symmetric = n, matvec, rmatvec, symmetric

    def matvec(self, x: Tensor) -> Tensor:
        return self._matvec(x)

    def transpose(self) -> Action:
        return Action(self.n, self._rmatvec, self._matvec, symmetric=self.symmetric)


def by_reverse_mode(f: Callable[[Tensor], Tensor], u: Tensor) -> Action:
    """The Jacobian of f at u by reverse mode alone: for functions that take derivatives themselves.

    A product with the transpose is one pass back, w^T J; one with J is a pass back through that, which is linear in w.
    Products can be differentiated, in u and in what f reads, where gradients are followed when they are asked for.
    """
    with following():
        x = followed(u)
        y = f(x)
        w = torch.zeros_like(y).requires_grad_()
        pulled = torch.autograd.grad(y, x, w, create_graph=True, allow_unused=True)[0] if y.requires_grad else None

    def product(of: Tensor, by: Tensor, v: Tensor) -> Tensor:
        keep = torch.is_grad_enabled()
        if pulled is None:
            return torch.zeros_like(by)
        with following():
            found = torch.autograd.grad(of, by, plain(v), retain_graph=True, create_graph=keep)[0]
        return found if keep else found.detach()

    def jvp(v: Tensor) -> Tensor:
        return product(pulled if pulled is not None else y, w, v)

    def vjp(v: Tensor) -> Tensor:
        return product(y, x, v)

    return Action(u.shape[-2], jvp, vjp)
