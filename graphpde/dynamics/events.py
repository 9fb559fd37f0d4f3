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

from graphpde.checks import whole
from graphpde.dynamics.control import Leg, Pace
from graphpde.dynamics.control_each import AdaptingEach
from graphpde.dynamics.dense import Between, SaveDense, as_number, between
from graphpde.dynamics.state import tree_map
from graphpde.dynamics.stepper import Step
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import State

_HALVINGS = 60


class Event:
    """A function g(t, u) whose sign is watched: it happens where g becomes zero or passes through it.

    Signs are compared at the ends of the steps. A function that returns to its sign within one step is not seen, as
    zeros in pairs are not: take shorter steps, or look more often.

    Args:
        value: (t, u) -> one number. direction: +1 only where it rises, -1 only where it falls, 0 both.
        terminal: whether the run ends there. looks: how often the sign is asked within each step as well.

    Raises:
        InputError: no function, another direction, or looks below 0.
    """

    def __init__(
        self,
        value: Callable[[Tensor, State], Tensor],
        *,
        direction: int = 0,
        terminal: bool = False,
        looks: int = 0,
    ):
        if not callable(value):
            raise InputError(f"the event is {value!r}, expected a function (t, u) -> one number")
        self.looks = whole("looks", looks, 0)
        if direction not in (-1, 0, 1):
            raise InputError(f"direction is {direction!r}, expected -1 (falling), 0 (both) or 1 (rising)")
        self.value, self.direction, self.terminal = value, direction, terminal

    def at(self, t: Tensor, u: State) -> Tensor:
        """g(t, u), 0-d.

        Raises:
            InputError: not one number, or one that has no sign, such as a truth value.
        """
        g = self.value(t, u)
        if not isinstance(g, Tensor) or g.numel() != 1:
            got = f"shape {list(g.shape)}" if isinstance(g, Tensor) else type(g).__name__
            raise InputError(f"the event returned {got}, expected one number: a 0-d tensor")
        if not g.is_floating_point():
            raise InputError(
                f"the event returned {g.dtype}, expected a number that changes sign: u - level, not u > level"
            )
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
        if not isinstance(events, Event | Sequence):
            raise InputError(f"events is a {type(events).__name__}, expected Event(lambda t, u: ...) or several")
        self.events = (events,) if isinstance(events, Event) else tuple(events)
        for event in self.events:
            if not isinstance(event, Event):
                raise InputError(f"events holds a {type(event).__name__}, expected Event(lambda t, u: ...)")
        self.found: list[Occurrence] = []
        self._last: list[float] = []

    def begin(self, t: Tensor, u: State) -> None:
        """Values at the start."""
        with torch.no_grad():
            self._last = [float(event.at(t, u)) for event in self.events]

    def see(self, t: Tensor, u: State, piece: Callable[[], Between]) -> Occurrence | None:
        """Told of every accepted step with its end; the terminal event that happened first in it, if there is one."""
        here: list[Occurrence] = []
        for number, event in enumerate(self.events):
            low: float | None = None
            for place in [*(_places(piece(), event.looks) if event.looks else ()), None]:
                before = self._last[number]
                with torch.no_grad():
                    g = event.at(t, u) if place is None else event.at(_time(place), piece()(place))
                after = self._last[number] = float(g.detach())
                # zero counts when it is reached, never when it is left; what stays there has happened once
                reached = before * after < 0 or (before != 0 and after == 0)
                if reached and event.direction in (0, 1 if before < 0 else -1):
                    here.append(_located(number, event, piece(), (low, before), (place, after)))
                low = place
        here.sort(key=lambda o: float(o.t.detach()))
        for k, occurrence in enumerate(here):
            if self.events[occurrence.event].terminal:
                self.found += here[: k + 1]
                return occurrence
        self.found += here
        return None


def _places(piece: Between, count: int) -> list[float]:
    """Times that cut a step in count + 1 equal parts."""
    start, end = as_number(piece.start), as_number(piece.end)
    return [start + (end - start) * k / (count + 1) for k in range(1, count + 1)]


def _time(t: float) -> Tensor:
    return torch.tensor(t, dtype=torch.float64)


class Seeing:
    """What looks at every accepted step of a run: its events, and dense output.

    Attributes:
        watching: the events. last: the terminal one that ended the run, or None. evaluations: of F, for polynomials.
    """

    def __init__(self, watching: Watching, dense: SaveDense | None):
        self.watching, self.dense = watching, dense
        self.last: Occurrence | None = None
        self.evaluations = 0

    @classmethod
    def of(
        cls, events: Event | Sequence[Event], save: Any, t: Tensor, u: State, pace: Pace, grad: Any
    ) -> Seeing | None:
        """None where nobody looks.

        Raises:
            InputError: checkpoints, which do not keep the steps.
        """
        watching, dense = Watching(events), save if isinstance(save, SaveDense) else None
        if not watching.events and dense is None:
            return None
        if grad != "direct":
            grad = grad if isinstance(grad, str) else "checkpoint"
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
                self.evaluations += 0 if f.noise is not None else sum(slope is None for slope in step.slopes)
            return made[0]

        if self.dense is not None:
            self.dense.see(piece)
        self.last = self.watching.see(leg.t + leg.dt, step.u, piece)
        if self.last is not None and self.dense is not None:
            self.dense.dense.until = as_number(self.last.t)
        return self.last is not None


def _located(
    number: int, event: Event, piece: Between, low: tuple[float | None, float], high: tuple[float | None, float]
) -> Occurrence:
    """Where an event becomes zero between two times, None = the ends of the step, with its values there."""
    still = Between(*(_detached(x) for x in vars(piece).values()))
    then = _time(_zero(event, still, low, high))
    if torch.is_grad_enabled():
        then = _with_gradient(event, piece, still, then)
    return Occurrence(number, then, piece(then))


def _zero(event: Event, still: Between, begin: tuple[float | None, float], end: tuple[float | None, float]) -> float:
    """The first zero, by the Illinois rule: false position that halves the end which stays.

    A value of 0 at the end is halved towards, for the function may have been there before.
    """
    low, at_low = as_number(still.start) if begin[0] is None else begin[0], begin[1]
    high, at_high = as_number(still.end) if end[0] is None else end[0], end[1]
    before, side = at_low, 0
    with torch.no_grad():
        for _ in range(_HALVINGS):
            if high - low <= 4 * 2.0**-52 * max(abs(high), abs(low)):
                break
            middle = (low * at_high - high * at_low) / (at_high - at_low)
            middle = middle if low < middle < high else (low + high) / 2
            g = float(event.at(_time(middle), still(middle)))
            if g * before > 0:
                low, at_low = middle, g
                at_high, side = (at_high / 2 if side == -1 else at_high), -1
            else:
                high, at_high = middle, g
                at_low, side = (at_low / 2 if side == 1 else at_low), 1
    return high if at_high == 0 else (low + high) / 2


def _with_gradient(event: Event, piece: Between, still: Between, t: Tensor) -> Tensor:
    """t - g(t, u(t)) / (dg/dt), of which the numerator alone is differentiated: its value is 0 but for rounding."""
    free = t.clone().requires_grad_()
    g = event.at(free, still(free))
    (slope,) = torch.autograd.grad(g, free, allow_unused=True) if g.requires_grad else (None,)
    value = event.at(t, piece(t))
    if slope is None or not value.requires_grad or float(slope) == 0:  # nothing to follow, or a touch: no derivative
        return t
    return t - (value - value.detach()) / slope


def _detached(x: State) -> State:
    return x if x is None or isinstance(x, float) else tree_map(lambda y: y.detach(), x)
