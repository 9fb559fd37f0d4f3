"""Node features of any make, as dense or sparse ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.nets.features import Features, SparseFeatures
from graphpde.typing import check_shape

MOST_COLUMNS = 10**7  # of sparse features, whose columns cost memory even where they are empty
SPARSE_BELOW = 0.1  # share of entries that are not zero below which features are kept as sparse


def as_features(x: Any) -> Features:
    """Features [n, f] of an array, a tensor (dense or sparse) or a scipy matrix, float32 unless they are real already.

    Where less than a tenth of the entries is not zero they become :class:`SparseFeatures`.

    Raises:
        ShapeError: not two dimensions. InputError: entries that are no real numbers or not finite, columns without end.
    """
    if isinstance(x, SparseFeatures):
        return x
    if hasattr(x, "tocoo"):
        coo = x.tocoo()
        row, column = (torch.from_numpy(end.astype("int64")) for end in (coo.row, coo.col))
        return _by_density(
            row, column, _real(as_tensor(coo.data, "x", "[n, f]")), (int(coo.shape[0]), int(coo.shape[1]))
        )
    x = as_tensor(x, "x", "[n, f]")
    if x.layout != torch.strided:
        coo = x.to_sparse_coo().coalesce()
        if coo.dim() != 2:
            raise ShapeError(f"features have shape {list(x.shape)}, expected [n, f]")
        row, column = coo.indices()
        return _by_density(row, column, _real(coo.values()), (coo.shape[0], coo.shape[1]))
    x = _real(check_shape(x, "n f", "x"))
    if int(torch.count_nonzero(x)) >= SPARSE_BELOW * x.numel():
        return x
    return SparseFeatures.from_dense(x)


def indicators(row: Tensor, column: Tensor, shape: tuple[int, int]) -> Features:
    """Features that are 1 at the given entries, however often each is given, and 0 elsewhere."""
    relation = Relation.from_edges(column, row, _bounded(shape)[1], shape[0], coalesce=True)
    sparse = SparseFeatures(relation, torch.ones(relation.n_edges))
    return sparse if relation.n_edges < SPARSE_BELOW * shape[0] * shape[1] else sparse.to_dense()


def _by_density(row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> Features:
    there = value != 0
    sparse = SparseFeatures.from_coo(row[there], column[there], value[there], _bounded(shape))
    return sparse if len(sparse.values) < SPARSE_BELOW * shape[0] * shape[1] else sparse.to_dense()


def as_tensor(given: Any, what: str, shape: str) -> Tensor:
    """Numbers of any make as a tensor.

    Raises:
        InputError: none, text, or lists of different lengths.
    """
    try:
        return torch.as_tensor(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InputError(f"{what} is no array of numbers ({error}); expected {shape}") from None


def _bounded(shape: tuple[int, int]) -> tuple[int, int]:
    if shape[1] > MOST_COLUMNS:
        raise InputError(f"features have {shape[1]} columns, expected at most {MOST_COLUMNS}; leave out empty ones")
    return shape


def _real(x: Tensor) -> Tensor:
    if x.is_complex():
        raise InputError(
            f"features have type {x.dtype}, expected real numbers; take real and imaginary part as columns"
        )
    return x if x.is_floating_point() else x.to(torch.float32)
