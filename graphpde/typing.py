"""Type aliases and the one shape check of public doors.

Letters are fixed in the whole library: n nodes, e edges, m cells, d space, c channels, b batch, s saved times.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor

from graphpde.errors import InputError, ShapeError

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


def check_spreads(x: Tensor, shape: Sequence[int], what: str) -> Tensor:
    """Return ``x`` if it spreads over the shape: sizes of its own are those of the shape or 1, counted from the right.

    Raises:
        ShapeError: it does not.
    """
    if x.dim() > len(shape) or any(a not in (1, b) for a, b in zip(reversed(x.shape), reversed(shape))):
        raise ShapeError(f"{what} has shape {list(x.shape)}, expected one that fits {list(shape)}")
    return x


def check_same(x: Any, shape: Sequence[int], what: str, expected: str = "") -> Tensor:
    """Return ``x`` if it is a tensor of exactly that shape.

    Args:
        expected: what the shape is that of, in words, for the message.

    Raises:
        InputError: no tensor. ShapeError: another shape.
    """
    if not isinstance(x, Tensor):
        raise InputError(f"{what} is a {type(x).__name__}, expected a tensor of shape {list(shape)}")
    if x.shape != torch.Size(shape):
        raise ShapeError(f"{what} has shape {list(x.shape)}, expected {expected}{list(shape)}")
    return x
