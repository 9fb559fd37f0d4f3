"""Numbers that callers give: each is checked where it comes in, with one sentence for what is no such number."""

from __future__ import annotations

import math
import operator
from typing import Any

from graphpde.errors import InputError


def whole(name: str, value: Any, least: int | None = 1, *, otherwise: str = "") -> int:
    """A whole number, also one of numpy or torch.

    Raises:
        InputError: it is none, or less than ``least``.
    """
    try:
        count = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = None
    if count is None or (least is not None and count < least):
        bound = "" if least is None else f" >= {least}"
        raise InputError(f"{name} is {value!r}, expected a whole number{bound}{otherwise}")
    return count


def number(name: str, value: Any, *, least: float = 0.0, below: float = math.inf) -> None:
    """A finite number with ``least`` <= value < ``below``.

    Raises:
        InputError: it is none.
    """
    if not _fits(value, lambda v: math.isfinite(v) and least <= v < below):
        low = "" if least == -math.inf else f" >= {least:g}"
        high = "" if below == math.inf else f" and < {below:g}"
        raise InputError(f"{name} is {value!r}, expected a finite number{low}{high}")


def positive(name: str, value: Any, *, finite: bool = False) -> None:
    """A number > 0, infinity included where it need not be ``finite``.

    Raises:
        InputError: it is none.
    """
    if not _fits(value, lambda v: v > 0 and (v < math.inf or not finite)):
        raise InputError(f"{name} is {value!r}, expected a {'finite ' if finite else ''}number > 0")


def _fits(value: Any, test: Any) -> bool:
    try:
        return not isinstance(value, bool) and bool(test(value))
    except (TypeError, ValueError, RuntimeError):  # texts, None, tensors of many entries
        return False
