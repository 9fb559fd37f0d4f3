"""Events: times at which a function of the state passes through zero, found between the steps.

The time t* of an event is located on the polynomial of the step. It is differentiable, by the implicit function
theorem: with g(t*, u(t*)) = 0, dt*/dw = -(dg/dw) / (dg/dt along the solution), one Newton step whose denominator holds
no gradient.

Reference: Shampine and Thompson 2000, Computers & Mathematics with Applications 39 (location); Chen, Amos and Nickel
2021 (gradients).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.dynamics.control import Leg, Pace
from graphpde.dynamics.control_each import AdaptingEach
from graphpde.dynamics.dense import Between, SaveDense, between
from graphpde.dynamics.state import tree_map
from graphpde.dynamics.stepper import Step
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import State

_HALVINGS = 60


class Event:
    """A function g(t, u) whose sign is watched.

    Args:
        value: (t, u) -> one number. direction: +1 only where it rises, -1 only where it falls, 0 both.
        terminal: whether the run ends there.

    Raises:
        InputError: another direction.
    """

    def __init__(self, value: Callable[[Tensor, State], Tensor], *, direction: int = 0, terminal: bool = False):
        if direction not in (-1, 0, 1):
            raise InputError(f"direction is {direction!r}, expected -1 (falling), 0 (both) or 1 (rising)")
        self.value, self.direction, self.terminal = value, direction, terminal

    def at(self, t: Tensor, u: State) -> Tensor:
        """g(t, u), 0-d.

        Raises:
            InputError: not one number.
        """
        g = self.value(t, u)
        if not isinstance(g, Tensor) or g.numel() != 1:
            got = f"shape {list(g.shape)}" if isinstance(g, Tensor) else type(g).__name__
            raise InputError(f"the event returned {got}, expected one number: a 0-d tensor")
        return g.reshape(())


class Occurrence(NamedTuple):
    """That an event happened.

    Attributes:
        event: its number in the list that was given. t: when, 0-d. u: the state then.
    """

    event: int
    t: Tensor
    u: State


class Watching:
    """The events of one run.

    Attributes:
        found: all occurrences, in order of time.
    """

    def __init__(self, events: Event | Sequence[Event]):
        self.events = (events,) if isinstance(events, Event) else tuple(events)
        for event in self.events:
            if not isinstance(event, Event):
                raise InputError(f"events holds a {type(event).__name__}, expected Event(lambda t, u: ...)")
        self.found: list[Occurrence] = []
        self._last: list[float] = []

    def begin(self, t: Tensor, u: State) -> None:
        """Signs at the start."""
        with torch.no_grad():
            self._last = [float(event.at(t, u)) for event in self.events]

    def see(self, t: Tensor, u: State, piece: Callable[[], Between]) -> Occurrence | None:
        """Told of every accepted step with its end; the terminal event that happened first in it, if there is one."""
        made: Between | None = None
        here: list[Occurrence] = []
        for number, event in enumerate(self.events):
            with torch.no_grad():
                before, after = self._last[number], float(event.at(t, u))
            self._last[number] = after if after != 0 else self._last[number]
            if before * after < 0 and event.direction in (0, 1 if after > 0 else -1):
                made = made or piece()
                here.append(_located(number, event, made, before))
            elif before != 0 and after == 0 and event.direction in (0, 1 if before < 0 else -1):
                here.append(Occurrence(number, t, u))
                self._last[number] = -before  # it has passed
            elif before == 0:
                self._last[number] = after
        here.sort(key=lambda o: float(o.t))
        for k, occurrence in enumerate(here):
            if self.events[occurrence.event].terminal:
                self.found += here[: k + 1]
                return occurrence
        self.found += here
        return None


class Seeing:
    """What looks at every accepted step of a run: its events, and dense output.

    Attributes:
        watching: the events. last: the terminal one that ended the run, or None.
    """

    def __init__(self, watching: Watching, dense: SaveDense | None):
        self.watching, self.dense = watching, dense
        self.last: Occurrence | None = None

    @classmethod
    def of(
        cls, events: Event | Sequence[Event], save: Any, t: Tensor, u: State, pace: Pace, grad: str
    ) -> Seeing | None:
        """None where nobody looks.

        Raises:
            InputError: checkpoints, which do not keep the steps.
        """
        watching, dense = Watching(events), save if isinstance(save, SaveDense) else None
        if not watching.events and dense is None:
            return None
        if grad != "direct":
            raise InputError(f"grad='{grad}' does not keep the steps that events and dense output need; use 'direct'")
        if isinstance(pace, AdaptingEach):
            raise InputError("events and dense output need one time for all; take a control without each=")
        watching.begin(t, u)
        return cls(watching, dense)

    def __call__(self, f: System, leg: Leg, u: State, step: Step) -> bool:
        made: list[Between] = []

        def piece() -> Between:
            if not made:
                made.append(between(f, leg.t, leg.dt, leg.until, u, step))
            return made[0]

        if self.dense is not None:
            self.dense.see(piece)
        self.last = self.watching.see(leg.t + leg.dt, step.u, piece)
        return self.last is not None


def _located(number: int, event: Event, piece: Between, before: float) -> Occurrence:
    low, high = piece.start, piece.end
    with torch.no_grad():
        still = Between(*(_detached(x) for x in vars(piece).values()))
        at_low, at_high, side = before, float(event.at(torch.tensor(high, dtype=torch.float64), still(high))), 0
        for _ in range(_HALVINGS):  # the Illinois rule: false position that halves the end which stays
            if high - low <= 4 * 2.0**-52 * max(abs(high), abs(low)):
                break
            middle = (low * at_high - high * at_low) / (at_high - at_low)
            middle = middle if low < middle < high else (low + high) / 2
            g = float(event.at(torch.tensor(middle, dtype=torch.float64), still(middle)))
            if g == 0:
                low = high = middle
            elif g * before > 0:
                low, at_low = middle, g
                at_high, side = (at_high / 2 if side == -1 else at_high), -1
            else:
                high, at_high = middle, g
                at_low, side = (at_low / 2 if side == 1 else at_low), 1
    then = torch.tensor((low + high) / 2, dtype=torch.float64)
    if torch.is_grad_enabled():
        then = _with_gradient(event, piece, still, then)
    return Occurrence(number, then, piece(then))


def _with_gradient(event: Event, piece: Between, still: Between, t: Tensor) -> Tensor:
    """t - g(t, u(t)) / (dg/dt), of which the numerator alone is differentiated: its value is 0 but for rounding."""
    free = t.clone().requires_grad_()
    g = event.at(free, still(free))
    (slope,) = torch.autograd.grad(g, free, allow_unused=True) if g.requires_grad else (None,)
    value = event.at(t, piece(t))
    if slope is None or not value.requires_grad or float(slope) == 0:
        return t
    return t - (value - value.detach()) / slope


def _detached(x: State) -> State:
    return x if x is None or isinstance(x, float) else tree_map(lambda y: y.detach(), x)
