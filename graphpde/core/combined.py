"""Operators made of others: multiples, sums and eliminated nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse, columns, let_go, matched, times
from graphpde.errors import ShapeError
from graphpde.typing import Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class Scaled(LinearOperator):
    """factor * A with a number or 0-d tensor, or one factor per channel [c].

    Attributes:
        before: y = A (factor * x) instead of factor * (A x): the transpose, where A may mix the channels.
    """

    def __init__(self, base: LinearOperator, factor: Scalar, *, before: bool = False):
        self.base, self.factor, self.before, self.n = base, factor, before, base.n
        self.symmetric = base.symmetric and (not self._per_channel or isinstance(base, Sparse | Diagonal))
        self.near_null = None if self._per_channel else base.near_null

    @property
    def _per_channel(self) -> bool:
        return isinstance(self.factor, Tensor) and self.factor.dim() > 0

    def matvec(self, x: Tensor) -> Tensor:
        factor = self.factor.to(x.dtype) if isinstance(self.factor, Tensor) else self.factor
        return self.base.matvec(x * factor) if self.before else self.base.matvec(x) * factor

    def transpose(self) -> LinearOperator:
        return Scaled(self.base.transpose(), self.factor, before=self._per_channel and not self.before)

    def diagonal(self) -> Tensor | None:
        d = self.base.diagonal()
        return None if d is None else times(d, self.factor)

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        f = self.factor
        if isinstance(f, Tensor):
            f = float(f.detach().reshape(-1)[channel if f.numel() > 1 else 0])
        return self.base.to_scipy(channel) * f

    @property
    def coupled(self) -> bool:
        return self.base.coupled

    def to_matrix(self, channels: int) -> csr_matrix:
        factor = self.factor
        if not isinstance(factor, Tensor):
            return self.base.to_matrix(channels) * factor
        from scipy.sparse import diags

        each = factor.detach().to("cpu", torch.float64).reshape(-1).expand(channels)
        factors = diags(each.repeat(self.n).numpy())
        matrix = self.base.to_matrix(channels)
        return (matrix @ factors if self.before else factors @ matrix).tocsr()

    def _times(self, factor: Scalar) -> LinearOperator:
        if self.before or (isinstance(factor, Tensor) and factor.requires_grad):
            return Scaled(self, factor)
        return Scaled(self.base, self.factor * factor)

    def assembled(self) -> LinearOperator:
        base = self.base.assembled()
        if isinstance(base, Sparse):  # factors that differ from channel to channel become weights that do
            return base * self.factor
        return self if base is self.base or self.before else base * self.factor

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.base.tensors(), *((self.factor,) if isinstance(self.factor, Tensor) else ()))

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Scaled:
        f = self.factor.to(device=device, dtype=dtype) if isinstance(self.factor, Tensor) else self.factor
        return Scaled(self.base.to(device, dtype), f, before=self.before)

    @property
    def channels(self) -> int:
        own = self.factor.numel() if isinstance(self.factor, Tensor) else 1
        return max(own, self.base.channels)


class Summed(LinearOperator):
    """A + B where the two have no common sparsity."""

    def __init__(self, first: LinearOperator, second: LinearOperator):
        self.first, self.second, self.n = first, second, first.n
        self.symmetric = first.symmetric and second.symmetric
        self.near_null = second.near_null if first.near_null is None else first.near_null

    def matvec(self, x: Tensor) -> Tensor:
        return self.first.matvec(x) + self.second.matvec(x)

    def transpose(self) -> LinearOperator:
        return add(self.first.transpose(), self.second.transpose())

    def diagonal(self) -> Tensor | None:
        a, b = self.first.diagonal(), self.second.diagonal()
        return None if a is None or b is None else matched(a, b) + matched(b, a)

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        return (self.first.to_scipy(channel) + self.second.to_scipy(channel)).tocsr()

    @property
    def coupled(self) -> bool:
        return self.first.coupled or self.second.coupled

    def to_matrix(self, channels: int) -> csr_matrix:
        return (self.first.to_matrix(channels) + self.second.to_matrix(channels)).tocsr()

    def assembled(self) -> LinearOperator:
        return add(self.first.assembled(), self.second.assembled())

    def _times(self, factor: Scalar) -> LinearOperator:
        return add(self.first * factor, self.second * factor)

    def tensors(self) -> tuple[Tensor, ...]:
        return (*self.first.tensors(), *self.second.tensors())

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Summed:
        return Summed(self.first.to(device, dtype), self.second.to(device, dtype))

    @property
    def channels(self) -> int:
        return max(self.first.channels, self.second.channels)


class Pinned(LinearOperator):
    """P A P + (1 - P) with P = 0 on what is ``fixed``, nodes (bool [n]) or entries (bool [n, c]) of the state.

    That is symmetric elimination of any operator.
    """

    def __init__(self, base: LinearOperator, fixed: Tensor):
        self.base, self.fixed, self.n, self.symmetric = base, fixed, base.n, base.symmetric
        self.near_null = let_go(base.near_null, fixed)

    def matvec(self, x: Tensor) -> Tensor:
        fixed = columns(self.fixed)
        y = self.base.matvec(torch.where(fixed, torch.zeros_like(x), x))
        return torch.where(fixed, x, y)

    def transpose(self) -> LinearOperator:
        return Pinned(self.base.transpose(), self.fixed)

    def diagonal(self) -> Tensor | None:
        d = self.base.diagonal()
        if d is None:
            return None
        fixed, d = matched(self.fixed, d), matched(d, self.fixed)
        return torch.where(fixed, torch.ones_like(d), d)

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        fixed = self.fixed if self.fixed.dim() == 1 else self.fixed[:, channel]
        return _eliminated(self.base.to_scipy(channel), fixed)

    @property
    def coupled(self) -> bool:
        return self.base.coupled

    def to_matrix(self, channels: int) -> csr_matrix:
        return _eliminated(self.base.to_matrix(channels), columns(self.fixed).expand(-1, channels).reshape(-1))

    def tensors(self) -> tuple[Tensor, ...]:
        return self.base.tensors()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Pinned:
        return Pinned(self.base.to(device, dtype), self.fixed.to(device))

    @property
    def channels(self) -> int:
        return max(self.base.channels, 1 if self.fixed.dim() == 1 else self.fixed.shape[1])


def _eliminated(matrix: csr_matrix, fixed: Tensor) -> csr_matrix:
    from scipy.sparse import diags

    held = fixed.cpu().numpy().astype(float)
    free = diags(1 - held)
    return (free @ matrix @ free + diags(held)).tocsr()


def pin(operator: LinearOperator, fixed: Tensor | None) -> LinearOperator:
    """The operator with what is ``fixed``, nodes (bool [n]) or entries (bool [n, c]), eliminated symmetrically.

    Sparse operators stay sparse.

    Raises:
        ShapeError: ``fixed`` is not one truth value a node, or one a channel of each.
    """
    if fixed is None:
        return operator
    wide = fixed.dim() == 2 and fixed.shape[1] > 1 and operator.channels in (1, fixed.shape[1])
    if fixed.dtype != torch.bool or len(fixed) != operator.n or not (fixed.dim() == 1 or wide):
        raise ShapeError(
            f"fixed holds {fixed.dtype} {list(fixed.shape)}, expected one truth value a node: [{operator.n}], "
            f"or one for each of its channels"
        )
    if isinstance(operator, BlockSparse) or (isinstance(operator, Sparse) and fixed.dim() == 1):
        return operator.pinned(fixed)
    return Pinned(operator, fixed)


def add(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    """a + b, merged into one sparse operator where the sparsity is shared.

    Raises:
        ShapeError: they act on different numbers of nodes.
    """
    if a.n != b.n:
        raise ShapeError(f"operators act on {a.n} and {b.n} nodes, expected the same")
    for one, other in ((a, b), (b, a)):
        if isinstance(one, BlockSparse):
            merged = one.plus(other)
            return Summed(a, b) if merged is None else merged
    if isinstance(a, Diagonal) and not isinstance(b, Diagonal):
        a, b = b, a
    if isinstance(a, Sparse) and isinstance(b, Sparse) and a.relation is b.relation:
        weight = matched(a.weight, b.weight) + matched(b.weight, a.weight)
        diag = matched(a.diag, b.diag) + matched(b.diag, a.diag)
        return Sparse(a.relation, weight, diag, symmetric=a.symmetric and b.symmetric)
    if isinstance(b, Diagonal) and isinstance(a, Sparse):
        return Sparse(
            a.relation, a.weight, matched(a.diag, b.values) + matched(b.values, a.diag), symmetric=a.symmetric
        )
    if isinstance(a, Diagonal) and isinstance(b, Diagonal):
        return Diagonal(matched(a.values, b.values) + matched(b.values, a.values))
    return Summed(a, b)
