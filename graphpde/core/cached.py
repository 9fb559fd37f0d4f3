"""Lazily computed parts of frozen values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, TypeVar, cast

import torch
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

T = TypeVar("T")


class cached(cached_property[T]):
    """A cached property whose tensors are plain, whatever surrounds its first use.

    Inside jvp, grad, vmap or inference mode every new tensor bears the mark of the transform; kept beyond it, it would
    fail, or be silently wrong, in the next call.
    """

    def __get__(self, instance: Any, owner: Any = None) -> T:  # type: ignore[override]
        with temporarily_clear_interpreter_stack(), torch.inference_mode(False):
            return cast(T, super().__get__(instance, owner))


class Once:
    """A search whose result several values share: made when first asked for, then only what was found is kept."""

    def __init__(self, look: Callable[[], Sequence[str]]):
        self.look: Callable[[], Sequence[str]] | None = look
        self.found: tuple[str, ...] = ()

    def __call__(self) -> tuple[str, ...]:
        if self.look is not None:
            self.found, self.look = tuple(self.look()), None
        return self.found
