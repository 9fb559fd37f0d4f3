"""Bodies beside a field that swells them, [A, B; C, D] with a small C or none: each part solved, one after the other.

What heats up deforms, and hardly cools by it. With D s = r_s solved first, A u = r_u - B s is left: both are symmetric
and take conjugate gradients with multigrid, each to its own tolerance, however their units differ. Where C is not zero
this is a preconditioner near the operator, and takes a few iterations.
"""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved, interleave, separate
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.solve.automatic import Automatic

_TIGHTER = 0.1  # than the tolerance of the whole


def is_one_way(a: LinearOperator) -> bool:
    """Whether the last channel is a field that the motions which the others hardly feel do not know."""
    if not isinstance(a, BlockSparse) or a.symmetric or a.near_null is None:
        return False
    return not bool(a.near_null[:, -1].any())


class OneWay:
    """Preconditioner z = M r for the interleaved unknowns of displacements and a field, [n c, k] -> [n c, k].

    Args:
        a: with the field as its last channel. rtol: of the whole. transposed: for the transpose of ``a``.
    """

    def __init__(self, a: BlockSparse, rtol: float, *, transposed: bool = False):
        self.a = a.transpose() if transposed else a
        self.channels, self.transposed = a.channels, transposed
        d, near = a.channels - 1, a.near_null
        assert near is not None
        relation, weight, diag = a.relation, a.weight.detach(), a.diag.detach()
        body = BlockSparse(relation, weight[:, :d, :d], diag[:, :d, :d], symmetric=True, near_null=near[:, :d])
        field = Sparse(relation, weight[:, d, d].contiguous(), diag[:, d, d].contiguous(), symmetric=True)
        self._body, self._field = Automatic(Interleaved(body, d), _TIGHTER * rtol), Automatic(field, _TIGHTER * rtol)

    def __call__(self, r: Tensor) -> Tensor:
        """z = M r."""
        r = separate(r, self.channels)
        if self.transposed:
            u = self._moved(r)
            s = self._spread(r - self.a.matvec(torch.nn.functional.pad(u, (0, 1))))
        else:
            s = self._spread(r)
            u = self._moved(r - self.a.matvec(torch.nn.functional.pad(s, (self.channels - 1, 0))))
        return interleave(torch.cat([u, s], -1))

    def _moved(self, r: Tensor) -> Tensor:
        d = self.channels - 1
        return separate(self._body.solve(interleave(r[..., :d]), None).value, d)

    def _spread(self, r: Tensor) -> Tensor:
        return self._field.solve(r[..., -1].mT.contiguous(), None).value.mT[..., None]
