"""Block Jacobi: the inverses of small dense blocks of an operator, all at once."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError, ShapeError

_LARGEST = 256  # unknowns of a group: beyond, dense inverses are no cheap preconditioner


class BlockJacobi:
    """Preconditioner z = B^-1 r with B the blocks of ``a`` on groups of unknowns, and nothing between the groups.

    Without ``groups``, the blocks of a :class:`graphpde.core.block_operator.BlockSparse` couple the channels of each
    node, r [*, n, c]. With ``groups`` the unknowns of one label belong together, r [*, n, k], and the matrix of ``a``
    must be known. Symmetric positive definite where ``a`` is, so that conjugate gradients may use it.

    Args:
        groups: labels [n], whole numbers; at most 256 unknowns share one.

    Raises:
        InputError: no blocks to take, a group that is too large, or a block that is singular, with its node or label.
        ShapeError: ``groups`` does not hold one whole number an unknown.

    Reference: Saad 2003, section 4.1.1.
    """

    def __init__(self, a: LinearOperator, groups: Tensor | None = None):
        if groups is None:
            if not isinstance(a, BlockSparse):
                raise InputError(f"{type(a).__name__} has no blocks at its nodes; give groups [{a.n}] of its unknowns")
            self.members, self._labels = None, torch.arange(a.n)
            self.inverse = self._inverted(_at_nodes(a), "node")
            return
        if groups.dtype.is_floating_point or tuple(groups.shape) != (a.n,):
            raise ShapeError(f"groups holds {groups.dtype} {list(groups.shape)}, expected whole numbers [{a.n}]")
        if a.coupled or a.channels > 1:
            raise InputError("groups need one map for all channels; give Interleaved(a, channels), or leave them out")
        self._labels, group, size = torch.unique(groups.cpu(), return_inverse=True, return_counts=True)
        if len(size) and int(size.max()) > _LARGEST:
            worst = int(size.argmax())
            raise InputError(
                f"group {int(self._labels[worst])} holds {int(size[worst])} unknowns, expected at most {_LARGEST}; "
                "split it"
            )
        order = torch.argsort(group, stable=True)
        self._place = torch.empty_like(order)  # of an unknown in its group
        self._place[order] = torch.arange(a.n) - (size.cumsum(0) - size)[group[order]]
        blocks = self._gathered(a, group, int(size.max()) if len(size) else 0)
        self.inverse = self._inverted(blocks, "group")
        # a place that no unknown has reads one more row, of zeros
        self.members = torch.full(blocks.shape[:2], a.n)
        self.members[group, self._place] = torch.arange(a.n)
        self._back = group * max(blocks.shape[1], 1) + self._place
        self.members, self._back = self.members.to(groups.device), self._back.to(groups.device)

    def __call__(self, r: Tensor) -> Tensor:
        """z, of the shape of r."""
        inverse = self.inverse.to(r)
        if self.members is None:
            return (inverse @ r[..., None])[..., 0]
        padded = torch.cat([r, torch.zeros_like(r[..., :1, :])], -2)
        return (inverse @ padded[..., self.members, :]).flatten(-3, -2)[..., self._back, :]

    def _gathered(self, a: LinearOperator, group: Tensor, largest: int) -> Tensor:
        """Blocks [g, m, m], those of smaller groups filled up with the identity."""
        matrix = a.to_scipy().tocoo()
        row, column = (torch.from_numpy(x).long() for x in (matrix.row, matrix.col))
        inside = group[row] == group[column]
        row, column = row[inside], column[inside]
        like = a.diagonal()
        values: Any = torch.from_numpy(matrix.data)[inside]
        blocks = torch.eye(largest, dtype=values.dtype).repeat(len(self._labels), 1, 1)
        blocks[group, self._place, self._place] = 0.0
        blocks[group[row], self._place[row], self._place[column]] = values
        return blocks if like is None else blocks.to(like.device, like.dtype)

    def _inverted(self, blocks: Tensor, what: str) -> Tensor:
        inverse, failed = torch.linalg.inv_ex(blocks.detach())
        bad = (failed != 0) | ~torch.isfinite(inverse).flatten(1).all(1)
        if bool(bad.any()):
            raise InputError(
                f"the block of {what} {int(self._labels[int(bad.nonzero()[0])])} is singular or not finite; "
                "choose other groups, or another preconditioner"
            )
        return inverse


def _at_nodes(a: BlockSparse) -> Tensor:
    """The diagonal blocks [n, c, c], those of the self-loops added."""
    loops = a.relation.loops
    if not loops.numel():
        return a.diag
    weight = torch.zeros_like(a.weight)
    weight[loops] = a.weight[loops]
    return a.diag + a.relation.collect(weight.flatten(1)).view_as(a.diag)
