"""Operators that mix the channels of a node: sparse matrices of small dense blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.core.heads import operated_blocks
from graphpde.core.jacobian import BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse, columns, let_go, with_loops
from graphpde.core.relation import Relation
from graphpde.errors import ShapeError
from graphpde.typing import Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class BlockSparse(LinearOperator):
    """y_i = D_i x_i + sum_{j->i} W_ij x_j with a block on the channels for every node and edge, x [*, n, c].

    Args:
        relation: n -> n; a self-loop adds to its node's block.
        weight: [e, c, c] in own order.
        diag: [n, c, c].
        symmetric: declared by the caller. near_null: see :class:`~graphpde.core.linear_operator.LinearOperator`.

    Raises:
        ShapeError: blocks that are not square or do not fit the relation; near_null is not [n, c, q].
    """

    @property
    def coupled(self) -> bool:
        return True

    def __init__(
        self,
        relation: Relation,
        weight: Tensor,
        diag: Tensor,
        *,
        symmetric: bool = False,
        near_null: Tensor | None = None,
    ):
        c = diag.shape[-1]
        if tuple(weight.shape) != (relation.n_edges, c, c) or tuple(diag.shape) != (relation.n_dst, c, c):
            raise ShapeError(
                f"blocks have shapes {list(weight.shape)} and {list(diag.shape)}, "
                f"expected [{relation.n_edges}, c, c] and [{relation.n_dst}, c, c]"
            )
        if near_null is not None and (near_null.dim() != 3 or near_null.shape[:2] != (relation.n_dst, c)):
            raise ShapeError(f"near_null has shape {list(near_null.shape)}, expected [{relation.n_dst}, {c}, q]")
        self.relation, self.weight, self.diag = relation, weight, diag
        self.symmetric, self.n, self.near_null = symmetric, relation.n_dst, near_null

    def _with(self, weight: Tensor, diag: Tensor, *, symmetric: bool = True, near_null: Tensor | None) -> BlockSparse:
        """Other blocks of the same sparsity; symmetric where this one is too."""
        both = symmetric and self.symmetric
        return BlockSparse(self.relation, weight, diag, symmetric=both, near_null=near_null)

    def matvec(self, x: Tensor) -> Tensor:
        return operated_blocks(self.relation.sides, x, self.weight, self.diag, self.relation.n_edges)

    def transpose(self) -> BlockSparse:
        if self.symmetric:
            return self
        back = self.relation.transpose()
        return BlockSparse(back, _swapped(back.own(self.weight)), _swapped(self.diag))

    def diagonal(self) -> Tensor:
        return with_loops(self.relation, *(x.diagonal(dim1=-2, dim2=-1) for x in (self.weight, self.diag)))

    def to_matrix(self, channels: int) -> csr_matrix:
        from scipy.sparse import bsr_matrix

        c = self.channels
        src, _ = self.relation.pairs()
        shape = (self.n * c, self.n * c)
        off = bsr_matrix((_array(self.weight), src.cpu().numpy(), self.relation.ptr.cpu().numpy()), shape=shape)
        return (off.tocsr() + BlockDiagonal(self.diag).to_matrix(c)).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return self.weight, self.diag

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> BlockSparse:
        weight, diag = (x.to(device=device, dtype=dtype) for x in (self.weight, self.diag))
        near = None if self.near_null is None else self.near_null.to(device=device, dtype=dtype)
        return BlockSparse(self.relation.to(device), weight, diag, symmetric=self.symmetric, near_null=near)

    @property
    def channels(self) -> int:
        return self.diag.shape[-1]

    def _times(self, factor: Scalar) -> LinearOperator:
        factor = factor.to(self.diag.dtype) if isinstance(factor, Tensor) else factor
        if not isinstance(factor, Tensor) or not factor.dim():
            return self._with(self.weight * factor, self.diag * factor, near_null=self.near_null)
        return BlockSparse(self.relation, self.weight * factor[:, None], self.diag * factor[:, None])

    def plus(self, other: LinearOperator) -> BlockSparse | None:
        """The sum where it has the same sparsity, else None."""
        weight = diag = None
        if isinstance(other, BlockSparse) and other.relation is self.relation:
            weight, diag = other.weight, other.diag
        elif isinstance(other, Sparse) and other.relation is self.relation:
            weight, diag = (self._spread(x) for x in (other.weight, other.diag))
        elif isinstance(other, Diagonal):
            diag = self._spread(other.values)
        elif isinstance(other, BlockDiagonal) and other.blocks.dim() == 3:
            diag = other.blocks
        if diag is None:
            return None
        near = other.near_null if self.near_null is None else self.near_null
        weight = self.weight if weight is None else self.weight + weight
        return self._with(weight, self.diag + diag, symmetric=other.symmetric, near_null=near)

    def _spread(self, values: Tensor) -> Tensor:
        """[k] or [k, c] as diagonal blocks [k, c, c]."""
        return torch.diag_embed(columns(values).expand(-1, self.channels))

    def pinned(self, fixed: Tensor) -> BlockSparse:
        """Rows and columns of ``fixed`` nodes (bool [n]) or entries (bool [n, c]) replaced by the identity."""
        free = (~fixed).to(self.weight.dtype)
        src, dst = self.relation.pairs()
        one = torch.eye(self.channels, dtype=self.diag.dtype, device=self.diag.device)
        if fixed.dim() == 1:
            weight = self.weight * (free[src] * free[dst])[:, None, None]
            diag = torch.where(fixed[:, None, None], one, self.diag)
        else:
            weight = self.weight * (free[dst][:, :, None] * free[src][:, None, :])
            diag = self.diag * (free[:, :, None] * free[:, None, :]) + one * (1 - free)[:, :, None]
        return self._with(weight, diag, near_null=let_go(self.near_null, fixed))


class Interleaved(LinearOperator):
    """A map that couples c channels as one on n c unknowns, [n c, k] -> [n c, k]: what solvers work on.

    Attributes:
        each: c, how many unknowns of a node lie side by side.
    """

    def __init__(self, base: LinearOperator, channels: int):
        self.base, self.each = base, channels
        self.n, self.symmetric = base.n * channels, base.symmetric
        self.near_null = None if base.near_null is None else base.near_null.flatten(0, 1)[:, None]

    def matvec(self, x: Tensor) -> Tensor:
        return interleave(self.base.matvec(separate(x, self.each)))

    def transpose(self) -> Interleaved:
        return Interleaved(self.base.transpose(), self.each)

    def diagonal(self) -> Tensor | None:
        d = self.base.diagonal()
        return None if d is None else columns(d).expand(-1, self.each).reshape(-1)

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        return self.base.to_matrix(self.each)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.base.tensors()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Interleaved:
        return Interleaved(self.base.to(device, dtype), self.each)


def interleave(x: Tensor) -> Tensor:
    """[*, b, n, c] as columns [*, n c, b]."""
    return x.flatten(-2).mT


def separate(x: Tensor, channels: int) -> Tensor:
    """Columns [*, n c, b] as [*, b, n, c]."""
    return x.mT.unflatten(-1, (-1, channels))


def _swapped(blocks: Tensor) -> Tensor:
    """Transposed blocks [k, c, c], contiguous: else every product would copy them."""
    if blocks.shape[-1] > 3:
        return blocks.mT.contiguous()
    return torch.stack(blocks.unbind(-2), -1)  # copies few long columns, not many small blocks


def _array(x: Tensor) -> Any:
    return x.detach().to("cpu", torch.float64).numpy()
