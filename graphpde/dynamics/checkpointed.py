"""Gradients through many steps in little memory: states are kept now and then, the steps between are taken again.

n steps are cut into stretches, those into shorter ones, and so on, r times; a stretch keeps where its parts begin, and
only while its gradient is worked out. With m parts each, m^(r+1) = n, about r m states are kept at once, and every
level takes the steps once more.

Reference: Griewank and Walther 2000, ACM Trans. Math. Softw. 26 (schedules that are optimal for a given memory); Chen,
Xu, Zhang and Guestrin 2016, section 4 (levels).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils.checkpoint import checkpoint

from graphpde.checks import whole
from graphpde.dynamics.control import Equal, Leg
from graphpde.dynamics.loop import Loop, Tried
from graphpde.dynamics.state import leaves
from graphpde.dynamics.stepper import Carry
from graphpde.errors import InputError
from graphpde.typing import State

_TENSOR = object()  # stands for one
_FIRST = 16  # steps of the first stretch where nobody knows how many there will be


@dataclass(frozen=True)
class Checkpoints:
    """How many states a run may keep for its gradient: ``evolve(grad=Checkpoints(states=30))``.

    The fewest levels are taken that fit: each costs one more run. States at the saved times are kept anyway and do not
    count, nor do the steps of one innermost stretch, of which autograd keeps everything. Under control, where nobody
    knows the number of steps, stretches grow as the run goes on.

    Args:
        states: the budget; None = about the root of the number of steps, on one level.

    Raises:
        InputError: no whole number >= 1; when a run begins, or under control when it comes to that, too few states.
    """

    states: int | None = None

    def __post_init__(self) -> None:
        if self.states is not None:
            whole("states", self.states)

    def through(self, loop: Loop) -> Callable[..., tuple[State, Carry]]:
        """What takes every step of the loop from one time to another."""
        return _Stretches(self.states, loop).interval


class _Stretches:
    """Those of one run.

    Attributes:
        kept: beginnings of stretches within intervals so far.
    """

    def __init__(self, states: int | None, loop: Loop):
        self.states, self.loop, self.kept = states, loop, 0
        self.fixed: tuple[int, int] | None = None
        if isinstance(loop.pace, Equal):
            steps = max(sum(loop.pace.counts), 1)
            levels, parts = (1, _root(steps, 2)) if states is None else _levels(steps, states)
            self.fixed = levels - 1, parts

    def interval(self, loop: Loop, start: Tensor, end: Tensor, u: State, carry: Carry) -> tuple[State, Carry]:
        """Every step from start to end.

        The steps are taken again in the backward pass, refused ones as well, so that the gradient is that of the run.
        Random numbers of torch's own generator are repeated.
        """
        if not torch.is_grad_enabled():
            return loop.interval(start, end, u, carry)
        leg: Leg | None = loop.pace.enter(start, end)
        plain = 1
        while leg is not None:
            if not _learned(u, carry, start, end):  # as yet there is nothing to keep, and mostly there never is
                u, carry, leg = loop.some(leg, u, carry, plain)
                plain = _FIRST
                continue
            self.kept += leg.number > 0
            stretch = _Stretch(loop, leg, *(self.fixed or self._growing()))
            u, carry = stretch.taken(u, carry)
            leg = stretch.following
        return u, carry

    def _growing(self) -> tuple[int, int]:
        """Levels and parts of the next stretch: as long as there are stretches, or, of a budget, twice the last."""
        if self.states is None:
            return 0, max(_FIRST, self.kept)
        left = self.states - self.kept
        if left < 1:
            raise InputError(
                f"{self.states} states are too few: they are used up after {self.loop.done} steps of a control; take "
                f"Checkpoints(states={2 * self.states}), looser tolerances, or dt="
            )
        length = min(_FIRST * 2**self.kept, max(max(left // r, 1) ** (r + 1) for r in range(1, left + 1)))
        return (0, length) if length <= left else _levels(length, left)


class _Stretch:
    """Some steps of a run, kept by where they begin: a row of legs, or of parts that are stretches themselves.

    Attributes:
        following: the leg after it, None at the end of the interval.
    """

    def __init__(self, loop: Loop, leg: Leg, level: int, parts: int):
        self.loop, self.leg, self.level, self.most = loop, leg, level, parts
        self.following: Leg | None = None
        self.parts: list[_Stretch] = []
        self.tried: list[Tried] = []
        self.random: list[Tensor] = []
        self.done = False

    def taken(self, u: State, carry: Carry) -> tuple[State, Carry]:
        """State and carry after it."""
        given, form = _pytree.tree_flatten((u, carry))
        others = [_TENSOR if isinstance(x, Tensor) else x for x in given]  # those are kept by the stretch around
        run = partial(self._run, form, others)
        tensors = [x for x in given if isinstance(x, Tensor)]
        return checkpoint(run, *tensors, use_reentrant=False, determinism_check="none", preserve_rng_state=False)

    def _run(self, form: Any, others: list[Any], *tensors: Tensor) -> tuple[State, Carry]:
        given = iter(tensors)
        u, carry = _pytree.tree_unflatten([next(given) if x is _TENSOR else x for x in others], form)
        if self.done:  # the backward pass
            return self._again(u, carry)
        if self.level:
            leg: Leg | None = self.leg
            while leg is not None and len(self.parts) < self.most:
                self.parts.append(_Stretch(self.loop, leg, self.level - 1, self.most))
                u, carry = self.parts[-1].taken(u, carry)
                leg = self.parts[-1].following
            self.following = leg
        else:
            before = _random(u)
            u, carry, self.following = self.loop.some(self.leg, u, carry, self.most, self.tried)
            if not all(torch.equal(a, b) for a, b in zip(before, _random(u), strict=True)):
                self.random = before
        self.done = True
        return u, carry

    def _again(self, u: State, carry: Carry) -> tuple[State, Carry]:
        for part in self.parts:
            u, carry = part.taken(u, carry)
        if self.level or not self.random:
            return self.loop.repeated(self.tried, u, carry)
        device = leaves(u)[0].device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.set_rng_state(self.random[0])
            if device.type == "cuda":
                torch.cuda.set_rng_state(self.random[1], device)
            return self.loop.repeated(self.tried, u, carry)


def _learned(*parts: Any) -> bool:
    """Whether a gradient may be asked of any of these."""
    return any(isinstance(x, Tensor) and x.requires_grad for x in _pytree.tree_leaves(parts))


def _random(u: State) -> list[Tensor]:
    """The state of torch's own generators."""
    device = leaves(u)[0].device
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state(device)] if device.type == "cuda" else [])]


def _levels(steps: int, states: int) -> tuple[int, int]:
    """The fewest levels r, and m with m^(r+1) >= steps, for which r m states suffice.

    Raises:
        InputError: none do.
    """
    sizes = [(r, _root(steps, r + 1)) for r in range(1, max(steps, 2).bit_length() + 1)]
    found = next(((r, m) for r, m in sizes if r * m <= states), None)
    if found is None:
        least = min(r * m for r, m in sizes)
        raise InputError(f"{states} states are too few for {steps} steps; take Checkpoints(states={least}) or more")
    return found


def _root(steps: int, power: int) -> int:
    """The least m with m^power >= steps."""
    m = max(round(steps ** (1 / power)), 1)
    while m**power < steps:
        m += 1
    while m > 1 and (m - 1) ** power >= steps:
        m -= 1
    return m
