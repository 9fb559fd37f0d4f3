"""Gradients through many steps in little memory: states are kept now and then, the steps between are taken again."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from graphpde.dynamics.control import Equal, Leg
from graphpde.dynamics.loop import Loop, Tried
from graphpde.dynamics.stepper import Carry
from graphpde.typing import State

_UNKNOWN = 16  # steps between kept states where nobody knows how many there will be


def interval(loop: Loop, start: Tensor, end: Tensor, u: State, carry: Carry) -> tuple[State, Carry]:
    """Every step from start to end; only about sqrt(steps) states of them are kept for the gradient.

    The steps in between, refused ones as well, are taken once more in the backward pass, so that the gradient is that
    of the run. Random numbers of torch's own generator are repeated.

    Reference: Griewank and Walther 2000, ACM Trans. Math. Softw. 26 (schedules that are optimal for a given memory).
    """
    leg: Leg | None = loop.pace.enter(start, end)
    while leg is not None:
        u, carry, leg = _chunk(loop, leg, u, carry)
    return u, carry


def _chunk(loop: Loop, leg: Leg, u: State, carry: Carry) -> tuple[State, Carry, Leg | None]:
    most = _UNKNOWN
    if isinstance(loop.pace, Equal):
        most = max(math.ceil(math.sqrt(sum(loop.pace.counts))), 1)
    tried: list[Tried] = []
    ends: list[Any] = []

    def run(u: State, carry: Carry) -> tuple[State, Carry]:
        if tried:  # the backward pass
            return loop.repeated(tried, u, carry)
        u, carry, following = loop.some(leg, u, carry, most, tried)
        ends.append(following)
        return u, carry

    if not torch.is_grad_enabled():
        return (*run(u, carry), ends[0])
    u, carry = checkpoint(run, u, carry, use_reentrant=False, determinism_check="none")
    return u, carry, ends[0]
