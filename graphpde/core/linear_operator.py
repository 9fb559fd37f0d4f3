"""Linear maps on node values that know their transpose, diagonal, symmetry and sparse matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.core.heads import operated
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.typing import Scalar

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


class LinearOperator:
    """A linear map [*, n, c] -> [*, n, c], the same on every channel unless its weights are per channel.

    Subclasses give ``matvec`` and ``transpose``; sums and multiples come for free.

    Attributes:
        n: number of nodes. symmetric: whether the map equals its transpose (declared, tested).
    """

    n: int
    symmetric: bool = False

    def matvec(self, x: Tensor) -> Tensor:
        raise NotImplementedError(f"{type(self).__name__} does not define matvec")

    def transpose(self) -> LinearOperator:
        raise NotImplementedError(f"{type(self).__name__} does not define transpose")

    def diagonal(self) -> Tensor | None:
        """The diagonal [n] or [n, c], or None where it is not known."""
        return None

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        """The sparse matrix acting on one channel.

        Raises:
            InputError: the map is known only by its action.
        """
        raise InputError(f"{type(self).__name__} is known only by its action; use a Krylov solver instead of a matrix")

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor the map reads that may need a gradient."""
        return ()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> LinearOperator:
        """The same map elsewhere."""
        return self

    @property
    def channels(self) -> int:
        """1 when every channel sees the same map, else the number of channels it is made for."""
        return 1

    def __call__(self, x: Tensor) -> Tensor:
        if x.dim() < 2 or x.shape[-2] != self.n:
            raise ShapeError(f"x has shape {list(x.shape)}, expected [*, {self.n}, c]")
        return self.matvec(x)

    def __add__(self, other: LinearOperator) -> LinearOperator:
        return add(self, other)

    def __mul__(self, factor: Scalar) -> LinearOperator:
        """Multiple by a number, or by one factor per channel [c]: y = factor * (A x)."""
        return self._times(_checked(factor))

    __rmul__ = __mul__

    def _times(self, factor: Scalar) -> LinearOperator:
        return Scaled(self, factor)

    def assembled(self) -> LinearOperator:
        """The form with the cheapest sparse matrix."""
        return self

    def __neg__(self) -> LinearOperator:
        return self * -1.0

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        return self + (-other)


class Diagonal(LinearOperator):
    """Multiplication by d [n] or [n, c]."""

    symmetric = True

    def __init__(self, values: Tensor):
        self.values = values
        self.n = values.shape[0]

    def matvec(self, x: Tensor) -> Tensor:
        return columns(self.values).to(x.dtype) * x

    def transpose(self) -> Diagonal:
        return self

    def diagonal(self) -> Tensor:
        return self.values

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        from scipy.sparse import diags

        return diags(_channel(self.values, channel)).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.values,)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Diagonal:
        return Diagonal(self.values.to(device=device, dtype=dtype))

    @property
    def channels(self) -> int:
        return 1 if self.values.dim() == 1 else self.values.shape[1]

    def _times(self, factor: Scalar) -> Diagonal:
        return Diagonal(times(self.values, factor))


class Sparse(LinearOperator):
    """y_i = d_i x_i + sum_{j->i} w_ij x_j; a self-loop adds to d_i.

    Args:
        relation: n -> n.
        weight: [e] in own order, or [e, c] for a map of its own on each channel.
        diag: [n] or [n, c].
        symmetric: declared by the caller.
    """

    def __init__(self, relation: Relation, weight: Tensor, diag: Tensor, *, symmetric: bool = False):
        self.relation, self.weight, self.diag = relation, weight, diag
        self.symmetric = symmetric
        self.n = relation.n_dst

    @classmethod
    def laplacian(cls, relation: Relation, weight: Tensor, *, symmetric: bool = False) -> Sparse:
        """(L x)_i = sum_j w_ij (x_j - x_i): rows sum to zero by construction."""
        total = relation.collect(weight[:, None] if weight.dim() == 1 else weight)
        return cls(relation, weight, -(total[:, 0] if weight.dim() == 1 else total), symmetric=symmetric)

    def matvec(self, x: Tensor) -> Tensor:
        return operated(self.relation.sides, x, self.weight, self.diag, self.relation.n_edges)

    def transpose(self) -> Sparse:
        if self.symmetric:
            return self
        back = self.relation.transpose()
        return Sparse(back, back.own(self.weight), self.diag)

    def diagonal(self) -> Tensor:
        loops = self.relation.loops
        if loops.numel() == 0:
            return self.diag
        weight = _matched(self.weight[loops], self.diag)
        diag = _matched(self.diag, weight).expand(-1, *weight.shape[1:])
        return diag.index_add(0, self.relation.pairs()[0][loops], weight.expand(-1, *diag.shape[1:]))

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        from scipy.sparse import csr_matrix, diags

        src, _ = self.relation.pairs()
        values = _channel(self.weight, channel)
        off = csr_matrix((values, src.cpu().numpy(), self.relation.ptr.cpu().numpy()), shape=(self.n, self.n))
        return (off + diags(_channel(self.diag, channel))).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return self.weight, self.diag

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Sparse:
        return Sparse(
            self.relation.to(device),
            self.weight.to(device=device, dtype=dtype),
            self.diag.to(device=device, dtype=dtype),
            symmetric=self.symmetric,
        )

    @property
    def channels(self) -> int:
        return max(1 if x.dim() == 1 else x.shape[1] for x in (self.weight, self.diag))

    def _times(self, factor: Scalar) -> Sparse:
        return Sparse(self.relation, times(self.weight, factor), times(self.diag, factor), symmetric=self.symmetric)

    def pinned(self, fixed: Tensor) -> Sparse:
        """Rows and columns of the ``fixed`` nodes (bool [n]) replaced by the identity: symmetric elimination."""
        free = (~fixed).to(self.weight.dtype)
        src, dst = self.relation.pairs()
        kept = free[src] * free[dst]
        weight = self.weight * (kept if self.weight.dim() == 1 else kept[:, None])
        diag = torch.where(fixed if self.diag.dim() == 1 else fixed[:, None], torch.ones_like(self.diag), self.diag)
        return Sparse(self.relation, weight, diag, symmetric=self.symmetric)


class Scaled(LinearOperator):
    """factor * A with a number or 0-d tensor, or one factor per channel [c].

    Attributes:
        before: y = A (factor * x) instead of factor * (A x): the transpose, where A may mix the channels.
    """

    def __init__(self, base: LinearOperator, factor: Scalar, *, before: bool = False):
        self.base, self.factor, self.before, self.n = base, factor, before, base.n
        self.symmetric = base.symmetric and not self._per_channel

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
            f = float(f.reshape(-1)[channel if f.numel() > 1 else 0])
        return self.base.to_scipy(channel) * f

    def assembled(self) -> LinearOperator:
        base = self.base.assembled()
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

    def matvec(self, x: Tensor) -> Tensor:
        return self.first.matvec(x) + self.second.matvec(x)

    def transpose(self) -> LinearOperator:
        return add(self.first.transpose(), self.second.transpose())

    def diagonal(self) -> Tensor | None:
        a, b = self.first.diagonal(), self.second.diagonal()
        return None if a is None or b is None else _matched(a, b) + _matched(b, a)

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        return (self.first.to_scipy(channel) + self.second.to_scipy(channel)).tocsr()

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
    """P A P + (1 - P) with P = 0 on the ``fixed`` nodes (bool [n]): symmetric elimination of any operator."""

    def __init__(self, base: LinearOperator, fixed: Tensor):
        self.base, self.fixed, self.n, self.symmetric = base, fixed, base.n, base.symmetric

    def matvec(self, x: Tensor) -> Tensor:
        fixed = self.fixed[:, None]
        y = self.base.matvec(torch.where(fixed, torch.zeros_like(x), x))
        return torch.where(fixed, x, y)

    def transpose(self) -> LinearOperator:
        return Pinned(self.base.transpose(), self.fixed)

    def diagonal(self) -> Tensor | None:
        d = self.base.diagonal()
        return (
            None
            if d is None
            else torch.where(self.fixed if d.dim() == 1 else self.fixed[:, None], torch.ones_like(d), d)
        )

    def to_scipy(self, channel: int = 0) -> csr_matrix:
        from scipy.sparse import diags

        free = diags((~self.fixed).cpu().numpy().astype(float))
        return (free @ self.base.to_scipy(channel) @ free + diags(self.fixed.cpu().numpy().astype(float))).tocsr()

    def tensors(self) -> tuple[Tensor, ...]:
        return self.base.tensors()

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Pinned:
        return Pinned(self.base.to(device, dtype), self.fixed.to(device))

    @property
    def channels(self) -> int:
        return self.base.channels


def pin(operator: LinearOperator, fixed: Tensor | None) -> LinearOperator:
    """The operator with the ``fixed`` nodes (bool [n]) eliminated symmetrically, sparse where it was sparse.

    Raises:
        ShapeError: ``fixed`` is not one truth value a node.
    """
    if fixed is None:
        return operator
    if fixed.dtype != torch.bool or tuple(fixed.shape) != (operator.n,):
        raise ShapeError(
            f"fixed holds {fixed.dtype} {list(fixed.shape)}, expected one truth value a node: [{operator.n}]"
        )
    return operator.pinned(fixed) if isinstance(operator, Sparse) else Pinned(operator, fixed)


def add(a: LinearOperator, b: LinearOperator) -> LinearOperator:
    """a + b, merged into one sparse operator where the sparsity is shared.

    Raises:
        ShapeError: they act on different numbers of nodes.
    """
    if a.n != b.n:
        raise ShapeError(f"operators act on {a.n} and {b.n} nodes, expected the same")
    if isinstance(a, Diagonal) and not isinstance(b, Diagonal):
        a, b = b, a
    if isinstance(a, Sparse) and isinstance(b, Sparse) and a.relation is b.relation:
        weight = _matched(a.weight, b.weight) + _matched(b.weight, a.weight)
        diag = _matched(a.diag, b.diag) + _matched(b.diag, a.diag)
        return Sparse(a.relation, weight, diag, symmetric=a.symmetric and b.symmetric)
    if isinstance(b, Diagonal) and isinstance(a, Sparse):
        return Sparse(
            a.relation, a.weight, _matched(a.diag, b.values) + _matched(b.values, a.diag), symmetric=a.symmetric
        )
    if isinstance(a, Diagonal) and isinstance(b, Diagonal):
        return Diagonal(_matched(a.values, b.values) + _matched(b.values, a.values))
    return Summed(a, b)


def as_matrix(operator: LinearOperator) -> LinearOperator:
    """The form with the cheapest assembled matrix: an edge-difference map gives its sparse twin."""
    return operator.assembled()


def times(values: Tensor, factor: Scalar) -> Tensor:
    """values [k] or [k, c] times a number or one factor per channel [c]."""
    if not isinstance(factor, Tensor):
        return values * factor
    factor = factor.to(values.dtype)
    return columns(values) * factor if factor.dim() else values * factor


def columns(d: Tensor) -> Tensor:
    """d [k] or [k, c] with its channel dimension."""
    return d[:, None] if d.dim() == 1 else d


def _checked(factor: Scalar) -> Scalar:
    if isinstance(factor, Tensor) and factor.dim() > 1:
        raise ShapeError(f"factor has shape {list(factor.shape)}, expected a number or one per channel [c]")
    return factor


def _matched(a: Tensor, like: Tensor) -> Tensor:
    """``a`` [k] or [k, c] with a channel dimension when ``like`` has one."""
    return a[:, None] if a.dim() < like.dim() else a


def _channel(x: Tensor, channel: int) -> Any:
    x = x.detach().to("cpu", torch.float64)
    return (x if x.dim() == 1 else x[:, channel if x.shape[1] > 1 else 0]).numpy()
