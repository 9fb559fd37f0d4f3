"""Node features that are mostly zero, kept as a relation from columns to nodes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import numbers
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError


class SparseFeatures:
    """A feature matrix [n, f] with one value per entry that is not zero: a relation columns -> nodes.

    ``x @ W`` sends row j of W [f, c] along every entry of column j; its gradient in W is the transposed product. The
    1433 columns of Cora are 1.3 % full, so that a first layer costs 1 % of the dense one.

    Args:
        relation: columns -> nodes. values: [e] in own order.

    Raises:
        ShapeError: not one value per entry. InputError: values that are not finite.
    """

    def __init__(self, relation: Relation, values: Tensor):
        if values.shape != (relation.n_edges,):
            raise ShapeError(f"values have shape {list(values.shape)}, expected one per entry: [{relation.n_edges}]")
        if not bool(torch.isfinite(values).all()):
            bad = int((~torch.isfinite(values)).nonzero()[0, 0])
            raise InputError(
                f"{int((~torch.isfinite(values)).sum())} features are not finite, first at node "
                f"{int(relation.pairs()[1][bad])}; fill or remove them"
            )
        self.relation, self.values = relation, values

    @classmethod
    def from_dense(cls, x: Tensor) -> SparseFeatures:
        """The entries of x [n, f] that are not zero."""
        if x.dim() != 2:
            raise ShapeError(f"features have shape {list(x.shape)}, expected [n, f]")
        row, column = x.nonzero(as_tuple=True)
        return cls.from_coo(row, column, x[row, column], (x.shape[0], x.shape[1]))

    @classmethod
    def from_coo(cls, row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> SparseFeatures:
        """Entries given one by one; those given twice are added."""
        relation = Relation.from_edges(column, row, shape[1], shape[0], coalesce=True)
        return cls(relation, relation.own(value))

    @property
    def shape(self) -> tuple[int, int]:
        return self.relation.n_dst, self.relation.n_src

    @property
    def dtype(self) -> torch.dtype:
        return self.values.dtype

    @property
    def device(self) -> torch.device:
        return self.values.device

    def __repr__(self) -> str:
        n, f = self.shape
        return f"SparseFeatures([{n}, {f}], {len(self.values)} entries)"

    def __matmul__(self, weight: Tensor) -> Tensor:
        """The product [n, c] with weight [f, c]."""
        return self.relation.propagate(weight, weight=self.values.to(weight.dtype))

    def to_dense(self) -> Tensor:
        """The matrix [n, f]."""
        column, row = self.relation.pairs()
        dense = self.values.new_zeros(self.shape)
        dense[row, column] = self.values
        return dense

    def rows_normalised(self) -> SparseFeatures:
        """Rows divided by the sums of their entries; rows that sum to zero stay."""
        total = self.relation.collect(self.values[:, None])
        total = torch.where(total == 0, torch.ones_like(total), total)
        return SparseFeatures(self.relation, self.values / self.relation.gather_dst(total)[:, 0])

    def dropout(self, p: float, training: bool = True) -> SparseFeatures:
        """Each entry zero with probability p, the others divided by 1 - p: what dropout does to the dense matrix."""
        if not training or p == 0:
            return self
        dropped = object.__new__(SparseFeatures)  # its values are as finite as these
        dropped.relation, dropped.values = self.relation, dropout(self.values, p)
        return dropped

    def select(self, nodes: Tensor) -> SparseFeatures:
        """The rows of some nodes [k] (numbers or a mask [n]), in their order.

        Raises:
            ConditionError: a mask of another length, numbers that are no integers, or of no node.
        """
        nodes = numbers(nodes, self.shape[0], "node")
        ptr = self.relation.ptr
        count = ptr[nodes + 1] - ptr[nodes]
        row = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), count)
        first = torch.repeat_interleave(ptr[nodes] - (count.cumsum(0) - count), count)
        entry = first + torch.arange(len(row), device=nodes.device)
        column = self.relation.pairs()[0][entry]
        return SparseFeatures.from_coo(row, column, self.values[entry], (len(nodes), self.shape[1]))

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> SparseFeatures:
        """The same features elsewhere."""
        moved = object.__new__(SparseFeatures)
        moved.relation = self.relation.to(device)
        moved.values = self.values.to(device=device, dtype=dtype)
        return moved


Features = Tensor | SparseFeatures


def drop(x: Features, p: float, training: bool) -> Features:
    """Dropout of either kind of features."""
    return x.dropout(p, training) if isinstance(x, SparseFeatures) else dropout(x, p, training)


def dropout(x: Tensor, p: float, training: bool = True) -> Tensor:
    """Each entry zero with probability p, the others divided by 1 - p.

    On a CPU torch's own draws one number of a Bernoulli distribution after the other; this takes a third of that.
    """
    if not 0 <= p <= 1:
        raise InputError(f"dropout = {p:g}, expected a probability in [0, 1]")
    if not training or p == 0:
        return x
    if p == 1:
        return torch.zeros_like(x) * x
    if x.device.type != "cpu":
        return torch.nn.functional.dropout(x, p)
    kept = torch.rand(x.shape, dtype=torch.float32).ge_(p).mul_(1 / (1 - p))
    return x * kept.to(x.dtype)
