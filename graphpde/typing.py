"""Type aliases and the one shape check of public doors.

Letters are fixed in the whole library: n nodes, e edges, m cells, d space, c channels, b batch, s saved times.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphpde.errors import ShapeError

Scalar: TypeAlias = float | Tensor
Field: TypeAlias = float | Tensor | Callable[..., Any]
"""A value in space and time: a number, a tensor, or ``f(x, t)`` with x [k, d] and 0-d t."""

State: TypeAlias = Any
"""A tensor [*, n, c] or a (named) tuple of such tensors."""


def check_shape(x: Any, pattern: str, what: str = "tensor", **sizes: int) -> Tensor:
    """Return ``x`` as a tensor if its shape fits ``pattern``, e.g. ``"* n c"`` with ``n=graph.n``.

    Letters with a size must match it, letters without may be anything; a leading ``*`` allows more dimensions.

    Raises:
        ShapeError: wrong number of dimensions or a size that does not match.
    """
    if not isinstance(x, Tensor):
        x = torch.as_tensor(x)
    letters = pattern.split()
    free = letters[0] == "*"
    tail = letters[1:] if free else letters
    fits = x.dim() >= len(tail) if free else x.dim() == len(tail)
    shape = x.shape[x.dim() - len(tail) :] if fits else ()
    if not fits or any(k in sizes and sizes[k] != s for k, s in zip(tail, shape)):
        expected = ", ".join(str(sizes.get(k, k)) for k in letters)
        raise ShapeError(f"{what} has shape {list(x.shape)}, expected [{expected}]")
    return x
