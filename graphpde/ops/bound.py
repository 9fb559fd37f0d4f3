"""How stiff a linear operator is: an upper bound of its spectrum, computed before an explicit run."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.combined import Scaled, Summed
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.ops.term import Mass


def spectral_bound(operator: LinearOperator, mass: Mass, least_mass: float = 0.5 - 0.5 / 3**0.5) -> float | None:
    r"""Upper bound of |eigenvalues| of M^-1 L, or None where none is known.

    For a symmetric Laplacian max over edges of d_u/m_u + d_v/m_v with d_i = \sum_j |w_ij|: unit weights and masses
    give the bound of Anderson and Morley 1985. Otherwise the row sums of Gershgorin. A consistent mass enters as
    ``least_mass``, the share of its diagonal that it is never below, which a space knows of its own cells; the default
    (1 - 1/sqrt 3)/2 = 0.211 holds for P1 (1/2, Wathen 1987, table 1) and on any convex quadrilateral with 2 x 2 Gauss
    points (its worst case: a side of length zero).
    """
    if isinstance(mass, LinearOperator):
        diagonal = mass.diagonal()
        if diagonal is None:
            return None
        mass = diagonal * least_mass
    with torch.no_grad():
        return _bound(operator, mass)


def _bound(operator: LinearOperator, mass: Tensor | None) -> float | None:
    if operator.n == 0:
        return 0.0
    if isinstance(operator, Scaled):
        inner = _bound(operator.base, mass)
        return None if inner is None else inner * float(torch.as_tensor(operator.factor).abs().max())
    if isinstance(operator, Summed):
        first, second = _bound(operator.first, mass), _bound(operator.second, mass)
        return None if first is None or second is None else first + second
    if isinstance(operator, Diagonal):
        return float((_by_channel(operator.values).abs() / _divisor(mass, operator.values)).max())
    if isinstance(operator, Sparse):
        return _sparse_bound(operator, mass)
    if isinstance(operator, BlockSparse) and operator.symmetric:
        rows = operator.diag.abs().sum(-1) + operator.relation.collect(operator.weight.abs().sum(-1))
        return float((rows / _divisor(mass, rows)).max())
    return None


def _sparse_bound(operator: Sparse, mass: Tensor | None) -> float:
    off = operator.relation.collect(_by_channel(operator.weight).abs())
    diagonal = _by_channel(operator.diag).abs()
    m = _divisor(mass, off)
    laplacian = operator.symmetric and bool((diagonal <= off * (1 + 1e-9)).all())
    if not laplacian or operator.relation.n_edges == 0:
        return float(((diagonal + off) / m).max())
    ratio = off / m
    pairs = operator.relation.gather(ratio) + operator.relation.gather_dst(ratio)
    # edges of weight zero (self-loops, right angles) join nothing
    return float(torch.where(_by_channel(operator.weight) == 0, 0.0, pairs).max())


def _by_channel(x: Tensor) -> Tensor:
    return x[:, None] if x.dim() == 1 else x


def _divisor(mass: Tensor | None, like: Tensor) -> Tensor:
    return torch.ones(1, 1, dtype=like.dtype, device=like.device) if mass is None else mass.to(like.dtype)[:, None]
