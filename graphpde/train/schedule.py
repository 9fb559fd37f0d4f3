"""How the rate changes over a fit: the factor of step k = 0, 1, ..., a pure function, so that nothing is to be kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graphpde.checks import number, positive, whole
from graphpde.errors import InputError

Schedule = Callable[[int], float]
"""k -> factor of the rate in step k, counted from 0."""


@dataclass(frozen=True)
class _Fall:
    """A linear rise over ``warmup`` steps, (k + 1) / w, then from 1 to ``last``, where it is at step ``steps``."""

    steps: int
    warmup: int = 0
    last: float = 0.0

    def __post_init__(self) -> None:
        whole("warmup", self.warmup, 0)
        number("last", self.last)
        if whole("steps", self.steps) <= self.warmup:
            raise InputError(f"the rate rises for {self.warmup} of {self.steps} steps, expected fewer")

    def __call__(self, k: int) -> float:
        if k < self.warmup:
            return (k + 1) / self.warmup
        share = min((k - self.warmup) / (self.steps - self.warmup), 1.0)
        return self.last + (1 - self.last) * self._height(share)

    def _height(self, share: float) -> float:
        raise NotImplementedError


class Cosine(_Fall):
    r"""Half a cosine: :math:`\ell + (1 - \ell) (1 + \cos \pi s) / 2` with s = (k - w) / (K - w).

    Args:
        steps: K, where it ends. warmup: w, steps of a linear rise. last: l, the factor at the end.

    Reference: Loshchilov and Hutter 2017, eq. (5), without restarts.
    """

    def _height(self, share: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * share))


class Linear(_Fall):
    """A straight line from 1 to ``last`` over ``steps``, after a linear rise over ``warmup`` steps."""

    def _height(self, share: float) -> float:
        return 1 - share


@dataclass(frozen=True)
class Exponential:
    """``factor`` to the power of k / ``every``; in stairs with ``stairs=True``."""

    factor: float
    every: int = 1
    stairs: bool = False

    def __post_init__(self) -> None:
        positive("factor", self.factor)
        whole("every", self.every)

    def __call__(self, k: int) -> float:
        return self.factor ** (k // self.every if self.stairs else k / self.every)


@dataclass(frozen=True)
class Stepwise:
    """``factor`` more at each of the steps ``at``."""

    at: tuple[int, ...]
    factor: float = 0.1

    def __post_init__(self) -> None:
        positive("factor", self.factor)
        if not isinstance(self.at, Sequence):
            raise InputError(f"at is {self.at!r}, expected steps, such as (100, 150)")

    def __call__(self, k: int) -> float:
        return self.factor ** sum(k >= step for step in self.at)
