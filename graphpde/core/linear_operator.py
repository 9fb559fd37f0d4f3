"""Linear maps on node values that know their transpose, diagonal, symmetry and sparse matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphpde.core.heads import operated
from graphpde.core.polynomial import Polynomial, in_powers, polynomial
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
        near_null: states [n, c, q] that the map takes to almost nothing, such as rigid motions, or None: a hint to
            multigrid. Sums and multiples keep it.
    """

    n: int
    symmetric: bool = False
    near_null: Tensor | None = None

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

    @property
    def coupled(self) -> bool:
        """Whether a channel of the result depends on other channels of x."""
        return False

    def to_matrix(self, channels: int) -> csr_matrix:
        """The sparse matrix [n c, n c] on all channels at once, those of a node side by side.

        Raises:
            InputError: the map is known only by its action.
        """
        return interleaved([self.to_scipy(k) for k in range(channels)])

    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor the map reads that may need a gradient."""
        return ()

    def powers(self, v: Tensor, count: int) -> list[Tensor]:
        """A^j v for j < count, v [*, n, k]."""
        found = [v]
        while len(found) < count:
            found.append(self.matvec(found[-1]))
        return found

    def polynomial(
        self, u: Tensor, v: Tensor, c: Sequence[float], *, slope: bool = False, known: Sequence[Tensor] = ()
    ) -> Polynomial:
        """y = u + sum_j c_j A^j v and, where ``slope`` is wanted, v + A (y - u); u and v [*, n, k].

        ``known``: the powers, where they have been worked out before.
        """
        if not known or any(x.requires_grad for x in (u, v, *self.tensors())):
            known = self.powers(v, len(c) + slope)
        return in_powers(u, c, known, slope)

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
        from graphpde.core.combined import add

        return add(self, other)

    def __mul__(self, factor: Scalar) -> LinearOperator:
        """Multiple by a number, or by one factor per channel [c]: y = factor * (A x)."""
        return self._times(_checked(factor))

    __rmul__ = __mul__

    def _times(self, factor: Scalar) -> LinearOperator:
        from graphpde.core.combined import Scaled

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

    def polynomial(
        self, u: Tensor, v: Tensor, c: Sequence[float], *, slope: bool = False, known: Sequence[Tensor] = ()
    ) -> Polynomial:
        if u.dim() > 3 or u.shape != v.shape or not u.dtype == v.dtype == self.weight.dtype == self.diag.dtype:
            return super().polynomial(u, v, c, slope=slope, known=known)
        return polynomial(self.relation.sides, (self.weight, self.diag), u, v, c, slope=slope, known=known)

    def transpose(self) -> Sparse:
        if self.symmetric:
            return self
        back = self.relation.transpose()
        return Sparse(back, back.own(self.weight), self.diag)

    def diagonal(self) -> Tensor:
        return with_loops(self.relation, self.weight, self.diag)

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


def let_go(states: Tensor | None, fixed: Tensor) -> Tensor | None:
    """States [n, c, q] with zeros at ``fixed`` nodes (bool [n]) or entries (bool [n, c])."""
    return None if states is None else states.masked_fill(columns(fixed)[..., None], 0.0)


def matched(a: Tensor, like: Tensor) -> Tensor:
    """``a`` [k] or [k, c] with a channel dimension when ``like`` has one."""
    return a[:, None] if a.dim() < like.dim() else a


def with_loops(relation: Relation, weight: Tensor, diag: Tensor) -> Tensor:
    """The diagonal [n] or [n, c] with the weights [e] or [e, c] of the self-loops added."""
    loops = relation.loops
    if loops.numel() == 0:
        return diag
    weight, diag = matched(weight[loops], diag), matched(diag, weight)
    channels = torch.broadcast_shapes(weight.shape[1:], diag.shape[1:])
    return diag.expand(-1, *channels).index_add(0, relation.pairs()[0][loops], weight.expand(-1, *channels))


def interleaved(matrices: Sequence[csr_matrix]) -> csr_matrix:
    """One matrix [n c, n c] from one [n, n] for each channel, the channels of a node side by side."""
    from scipy.sparse import coo_matrix

    c, parts = len(matrices), [m.tocoo() for m in matrices]
    rows = np.concatenate([m.row.astype(np.int64) * c + k for k, m in enumerate(parts)])
    columns = np.concatenate([m.col.astype(np.int64) * c + k for k, m in enumerate(parts)])
    size = parts[0].shape[0] * c
    return coo_matrix((np.concatenate([m.data for m in parts]), (rows, columns)), shape=(size, size)).tocsr()


def _channel(x: Tensor, channel: int) -> Any:
    x = x.detach().to("cpu", torch.float64)
    return (x if x.dim() == 1 else x[:, channel if x.shape[1] > 1 else 0]).numpy()
