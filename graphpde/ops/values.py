"""Values in space and time: numbers, tensors or functions f(x, t), evaluated to [k, c]."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.errors import ConditionError
from graphpde.typing import Field


def evaluate(value: Field, x: Tensor, t: Tensor | float, what: str = "value") -> Tensor:
    """``value`` at points x [k, d] and time t as [k, c] (c = 1 for plain numbers).

    A function may return a number, [k] or [k, c]; a tensor may be 0-d, [k] (one per point), [c] or [k, c].

    Raises:
        ConditionError: the shape fits neither, or the numbers are not finite.
    """
    t = t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64, device=x.device)
    given = value(x, t) if callable(value) else value
    v = torch.as_tensor(given, dtype=None if isinstance(given, Tensor) else x.dtype, device=x.device)
    k = x.shape[0]
    if v.dim() == 0:
        return v.expand(k, 1)
    if v.dim() == 1:
        if v.shape[0] == k and (callable(value) or k != 1):
            return v[:, None]
        return v.expand(k, -1)
    if v.dim() == 2 and v.shape[0] in (1, k):
        return v.expand(k, -1)
    raise ConditionError(f"{what} has shape {list(v.shape)} at {k} points, expected one number, [{k}], [c] or [{k}, c]")


def is_constant(value: Field) -> bool:
    """Whether the value cannot change in time."""
    if not callable(value):
        return True
    return getattr(value, "uses_time", True) is False


def require_finite(v: Tensor, what: str) -> Tensor:
    """``v`` if every entry is finite.

    Raises:
        ConditionError: otherwise, with the count and the first index.
    """
    bad = ~torch.isfinite(v)
    if bool(bad.any()):
        first = bad.reshape(bad.shape[0], -1).any(1).nonzero()[0, 0] if v.dim() else torch.tensor(0)
        raise ConditionError(f"{what} is not finite at {int(bad.sum())} places, first at index {int(first)}")
    return v


def spread(v: Tensor, like: Tensor) -> Tensor:
    """[k, 1 or c] with the dtype of ``like`` [*, n, c] and its channels.

    Raises:
        ConditionError: another number of channels.
    """
    c = like.shape[-1]
    if v.shape[-1] not in (1, c):
        raise ConditionError(f"a value has {v.shape[-1]} channels, the state has {c}")
    return v.to(like.dtype).expand(v.shape[0], c)


def describe(value: Any) -> str:
    """A value for messages."""
    return getattr(value, "text", None) or getattr(value, "__name__", None) or repr(value)
