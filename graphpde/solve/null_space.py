"""Singular systems that have solutions: what they leave open is set to zero."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError, ShapeError
from graphpde.registry import unknown
from graphpde.solve.krylov import Preconditioner
from graphpde.solve.result import Result, Status

_KERNEL = 1e-8  # ||A n|| over ||D n|| up to which n counts as a null vector
_CONSISTENT = 1e-7  # share of a right-hand side along the null space that its own rounding may leave


class NullSpace:
    """The null vectors of a symmetric operator: orthonormal columns [n, q].

    A x = b has solutions only where b is orthogonal to them, and then one that is as well: that one is solved for.

    Args:
        a: the operator. vectors: [n, q], or "constants": one for each connected component of the matrix of ``a`` whose
            rows sum to zero, such as those of a Laplacian that no boundary condition holds.

    Attributes:
        vectors: [n, q]; q may be 0.

    Raises:
        InputError: ``a`` is not symmetric or couples channels, or does not map a vector given to zero.
        ShapeError: vectors of another length. UnknownName: a word other than "constants".
    """

    def __init__(self, a: LinearOperator, vectors: Tensor | str):
        if not a.symmetric or a.channels > 1:
            what = "is not symmetric" if not a.symmetric else "differs from channel to channel"
            raise InputError(f"a null space needs one symmetric operator, {type(a).__name__} {what}")
        if isinstance(vectors, str):
            if vectors != "constants":
                raise unknown("null space", vectors, ("constants",))
            given = _constants(a)
        elif vectors.dim() != 2 or vectors.shape[0] != a.n:
            raise ShapeError(f"the null space has shape {list(vectors.shape)}, expected [{a.n}, q]")
        else:
            given = vectors.detach()
        self.vectors = torch.linalg.qr(given).Q if given.shape[1] else given
        self._check(a)

    @torch.no_grad()
    def _check(self, a: LinearOperator) -> None:
        d = a.diagonal()
        rows = self.vectors if d is None else d[:, None] * self.vectors
        share = a.matvec(self.vectors).norm(dim=0) / rows.norm(dim=0)
        if not bool((share <= _KERNEL).all()):
            worst = int(share.argmax())
            raise InputError(
                f"null vector {worst} is mapped to {float(share[worst]):.1e} of the size of its rows, expected zero; "
                "leave null_space out where the operator is regular"
            )

    def removed(self, x: Tensor) -> Tensor:
        """x [*, n, k] without its part along the null space."""
        v = self.vectors.to(x)
        return x - v @ (v.mT @ x)

    def around(self, precondition: Preconditioner | None) -> Preconditioner | None:
        """The preconditioner between two projections: symmetric where it was."""
        if precondition is None:
            return None
        return lambda r: self.removed(precondition(self.removed(r)))

    def inconsistent(self, b: Tensor) -> Result | None:
        """The result of a right-hand side [n, k] that no x reaches, or None."""
        size = b.norm(dim=0)
        share = torch.where(size > 0, (self.vectors.to(b).mT @ b).norm(dim=0) / size.clamp(min=1e-300), 0.0)
        worst = float(share.max()) if share.numel() else 0.0
        if not worst > max(_CONSISTENT, 100 * torch.finfo(b.dtype).eps):
            return None
        reason = (
            f"the system is singular and {worst:.1e} of the right-hand side lies along its null space: no solution "
            "exists; balance sources and fluxes on every connected component, or add a Dirichlet condition"
        )
        return Result(torch.zeros_like(b), Status.INCONSISTENT, reason, 0, [worst])


def _constants(a: LinearOperator) -> Tensor:
    """Indicators [n, q] of the connected components whose rows sum to zero."""
    from scipy.sparse.csgraph import connected_components

    matrix = a.to_scipy()
    count, labels = connected_components(matrix != 0, directed=False)
    rows, size = np.asarray(matrix.sum(1)).ravel(), np.asarray(abs(matrix).sum(1)).ravel()
    open_ = [k for k in range(count) if np.abs(rows[labels == k]).max() <= _KERNEL * size[labels == k].max() > 0]
    like = a.diagonal()
    vectors = torch.from_numpy(labels[:, None] == np.array(open_, dtype=labels.dtype)).to(torch.float64)
    return vectors if like is None else vectors.to(like.device, like.dtype)
