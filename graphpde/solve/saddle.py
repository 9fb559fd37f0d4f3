r"""Saddle points [A, B^T; B, -C], the multiplier (a pressure) as the last channel: a block-triangular preconditioner.

With S = C + B A^-1 B^T,

    z_p = -S^-1 r_p,    z_u = A^-1 (r_u - B^T z_p),

where A^-1 is a V-cycle for the symmetric part of A, and S^-1 the least-squares commutator

    S^-1 ~ L^-1 B Q^-1 A Q^-1 B^T L^-1,    L = B Q^-1 B^T + C,    Q = diag(A),

with V-cycles for L, and L^-1 alone where C is not zero (stabilised elements), with which the commutator is no good
approximation. All parts are read off the matrix: the same code serves Stokes flow, implicit steps and linearised
convection that does not dominate. Iterations grow slowly with the mesh: in the plane by 2 for each halving of h in
steady flow, by less in time and in space (docs/decisions.md).

Reference: Elman, Silvester and Wathen 2014, Finite Elements and Fast Iterative Solvers, section 9.2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.solve.multigrid import Multigrid

_ROUNDING = 1e-12  # of the multiplier's diagonal block, beside what a zero one leaves


def is_saddle(a: LinearOperator) -> bool:
    """Whether the last channel of a coupled operator is a multiplier: its diagonal is nowhere positive, unlike others.

    Eliminated entries, whose diagonal is one, say nothing.
    """
    diagonal = a.diagonal() if a.coupled else None
    if diagonal is None or diagonal.dim() < 2 or diagonal.shape[1] < 2:
        return False
    d = diagonal.detach()
    last = (d[:, -1] <= 0) | (d[:, -1] == 1)
    return bool((d[:, :-1] > 0).all()) and bool(last.all()) and bool((d[:, -1] <= 0).any())


class _Parts(NamedTuple):
    """Rows and columns of the matrix: velocities, multipliers that act, and those that do not (they follow or rest)."""

    u: np.ndarray
    p: np.ndarray
    rest: np.ndarray


class Saddle:
    """Preconditioner z = M r for the interleaved unknowns of a saddle point, [n c, k] -> [n c, k].

    Args:
        matrix: scipy's, of all channels. channels: c, the multiplier last. like: device and dtype of the numbers.
    """

    def __init__(self, matrix: Any, channels: int, like: Tensor):
        k = matrix.tocsr()
        parts = _parts(k, channels)
        a, up, pu = k[parts.u][:, parts.u], k[parts.u][:, parts.p], k[parts.p][:, parts.u]
        c = -k[parts.p][:, parts.p]
        inverse = 1 / a.diagonal()
        scaled = up.multiply(inverse[:, None]).tocsr()
        laplacian = (pu @ scaled + c).tocsr()
        self._n, self._u, self._p, self._rest = k.shape[0], *(torch.from_numpy(x).to(like.device) for x in parts)
        self._velocity = Multigrid(_sparse((a + a.T) / 2, like))
        self._laplacian = Multigrid(_sparse((laplacian + laplacian.T) / 2, like))
        stabilised = abs(c).max() > _ROUNDING * abs(laplacian).max()
        self._a = None if stabilised else _rectangular(a, like)
        self._up, self._pu = _rectangular(up, like), _rectangular(pu, like)
        self._follows = _rectangular(k[parts.rest][:, parts.p], like)
        self._own = torch.from_numpy(k.diagonal()[parts.rest]).to(like)[:, None]
        self._inverse = torch.from_numpy(inverse).to(like)[:, None]

    def __call__(self, r: Tensor) -> Tensor:
        """z = M r."""
        z = torch.zeros_like(r)
        p = -self._schur(r[self._p])
        z[self._p] = p
        z[self._rest] = (r[self._rest] - self._follows(p)) / self._own
        z[self._u] = self._velocity(r[self._u] - self._up(p))
        return z

    def _schur(self, r: Tensor) -> Tensor:
        y = self._laplacian(r)
        if self._a is None:
            return y
        return self._laplacian(self._pu(self._inverse * self._a(self._inverse * self._up(y))))


def _parts(k: Any, channels: int) -> _Parts:
    index = np.arange(k.shape[0])
    velocity = index % channels != channels - 1
    p = index[~velocity]
    acting = np.asarray(abs(k[p][:, index[velocity]]).sum(1)).ravel() > 0
    return _Parts(index[velocity], p[acting], p[~acting])


def _rectangular(matrix: Any, like: Tensor) -> Any:
    """x [columns, k] -> matrix x [rows, k] as a sum over edges."""
    found = matrix.tocoo()
    src, dst = (torch.from_numpy(x.astype(np.int64)) for x in (found.col, found.row))
    relation = Relation.from_edges(src, dst, matrix.shape[1], matrix.shape[0])
    weight = relation.own(torch.from_numpy(found.data)).to(like)
    relation = relation.to(like.device)
    return lambda x: relation.propagate(x, weight=weight)


def _sparse(matrix: Any, like: Tensor) -> Sparse:
    found = matrix.tocoo()
    src, dst = (torch.from_numpy(x.astype(np.int64)) for x in (found.col, found.row))
    relation = Relation.from_edges(src, dst, *matrix.shape)
    weight = relation.own(torch.from_numpy(found.data)).to(like)
    diag = torch.zeros(matrix.shape[0], dtype=like.dtype, device=like.device)
    return Sparse(relation.to(like.device), weight, diag, symmetric=True)
