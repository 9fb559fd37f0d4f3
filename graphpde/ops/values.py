"""Values in space and time: numbers, tensors or functions f(x, t), evaluated to [k, c]."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.errors import ConditionError, InputError
from graphpde.typing import Field


def evaluate(value: Field, x: Tensor, t: Tensor | float, what: str = "value") -> Tensor:
    """``value`` at points x [k, d] and time t as [k, c] (c = 1 for plain numbers).

    A function may return a number, [k] or [k, c], and may leave t out; a tensor may be 0-d, [c] or [k, c].

    Raises:
        ConditionError: the shape fits neither.
    """
    t = t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64, device=x.device)
    try:
        given = value if not callable(value) else value(x) if of_places(value) else value(x, t)  # type: ignore[call-arg]
    except IndexError:
        if x.shape[1]:
            raise
        raise ConditionError(f"{what} is a function of position and the graph has none; give node positions") from None
    v = torch.as_tensor(given, dtype=None if isinstance(given, Tensor) else x.dtype, device=x.device)
    v = at_least(v, x.dtype)
    k = x.shape[0]
    if v.dim() == 0:
        return v.expand(k, 1)
    if v.dim() == 1 and callable(value):
        if v.shape[0] == k:
            return v[:, None]
    elif v.dim() == 1 or (v.dim() == 2 and v.shape[0] in (1, k)):
        return v.expand(k, -1)
    row = f"[{k}] (one a point)" if callable(value) else "[c]"
    raise ConditionError(f"{what} has shape {list(v.shape)} at {k} points, expected one number, {row} or [{k}, c]")


def at_least(v: Tensor, dtype: torch.dtype) -> Tensor:
    """In this precision or better: data in single precision must not spoil what is computed in double."""
    return v.to(torch.promote_types(v.dtype, dtype))


def positions(domain: Graph, nodes: Tensor | None = None) -> Tensor:
    """Positions [k, d] of nodes (None: all); [k, 0] in double precision on a graph that has none."""
    if domain.pos is not None:
        return domain.pos if nodes is None else domain.pos[nodes]
    return torch.zeros(domain.n if nodes is None else len(nodes), 0, dtype=torch.float64, device=domain.device)


def is_constant(value: Field) -> bool:
    """Whether the value cannot change in time."""
    if not callable(value):
        return True
    return getattr(value, "uses_time", True) is False or of_places(value)


def of_places(value: Any) -> bool:
    """Whether a function takes one argument, the places, and no time."""
    if not isinstance(value, FunctionType):
        return False
    code = value.__code__
    return code.co_argcount == 1 and not code.co_flags & inspect.CO_VARARGS


def is_learned(value: Any) -> bool:
    """Whether the value is a tensor that asks for gradients, so that nothing computed from it may be kept."""
    return isinstance(value, Tensor) and value.requires_grad


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


def require_each(name: str, value: Any, cells: Tensor, fine: Callable[[Tensor], Tensor], expected: str) -> None:
    """Refuse values, a number or [m, ...] on these cells [m], that are not fine.

    Raises:
        InputError: what, the first cell, the value there, what was expected.
    """
    v = torch.as_tensor(value, dtype=torch.float64).detach()
    bad = ~(fine(v) & torch.isfinite(v))
    if not bool(bad.any()):
        return
    first = bad.reshape(len(v), -1).any(1).nonzero()[0, 0] if v.dim() else 0
    where = f" in cell {int(cells[first])}" if v.dim() and len(v) == len(cells) > 1 else ""
    raise InputError(f"{name} is {float(v[bad][0]):g}{where}, expected {expected}")


def spread(v: Tensor, like: Tensor, what: str) -> Tensor:
    """[k, 1 or c] with the dtype of ``like`` [*, n, c] and its channels.

    Raises:
        ConditionError: another number of channels.
    """
    c = like.shape[-1]
    if v.shape[-1] not in (1, c):
        raise ConditionError(
            f"{what} has {v.shape[-1]} channels, the state has {c}; one value a point is written [k, 1]"
        )
    return v.to(like.dtype).expand(v.shape[0], c)
