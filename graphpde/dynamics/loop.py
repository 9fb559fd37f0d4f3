"""The steps of one run: counted, checked, and repeated where a controller refuses them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from graphpde.dynamics.blame import blamed
from graphpde.dynamics.control import Leg, Pace
from graphpde.dynamics.state import first_bad_node, is_finite, largest, tree_map
from graphpde.dynamics.stepper import Carry, Step, Stepper
from graphpde.errors import Diverged, SolveError
from graphpde.ops.system import System
from graphpde.typing import State

Watch = Callable[[int, int, float, State], None]


class See(Protocol):
    """What is told of every accepted step from u; a True ends the run."""

    last: Any
    watching: Any
    evaluations: int

    def __call__(self, f: System, leg: Leg, u: State, step: Step) -> bool: ...


Tried = tuple[Leg, "bool | Tensor"]
"""A step that was tried, and whether, or where, it stands."""
_CHECK = 16  # equal steps between finite checks; the exact step is found by going over them again


class Loop:
    """The one loop over time steps.

    Attributes:
        done: steps taken. counted: what they cost, with rejected ones. see: told of every accepted step; a True ends
            the run there.
    """

    def __init__(self, f: System, stepper: Stepper, pace: Pace, watch: Watch | None, see: See | None = None):
        self.f, self.stepper, self.pace, self.watch, self.see = f, stepper, pace, watch, see
        self.done = 0
        self.counted: Counter[str] = Counter(accepted=0, rejected=0)
        if pace.evaluations:
            self.counted["evaluations"] = pace.evaluations

    def interval(self, start: Tensor, end: Tensor, u: State, carry: Carry) -> tuple[State, Carry]:
        """Every step from start to end."""
        leg: Leg | None = self.pace.enter(start, end)
        while leg is not None:
            u, carry, leg = self.some(leg, u, carry)
        return u, carry

    def some(
        self, leg: Leg | None, u: State, carry: Carry, most: float = math.inf, tried: list[Tried] | None = None
    ) -> tuple[State, Carry, Leg | None]:
        """At most so many accepted steps from a leg on, and the leg after them; ``tried`` gets all that were taken."""
        good: tuple[Leg | None, State, Carry] = (leg, u, carry)
        last = self.done + most
        while leg is not None and self.done < last:
            leg, step = self._step(leg, u, carry)
            stands = self.pace.accepts(self.f, leg, step, u)
            if tried is not None:
                tried.append((leg, stands))
            if stands is False:
                self.counted["rejected"] += 1
                leg = self.pace.again(leg)
                continue
            assert step is not None
            ends = self.see is not None and self.see(self.f, leg, u, step)
            u, carry = self._kept(leg, stands, step, u, carry)
            self.done += 1
            self.counted["accepted"] += 1
            if self.watch is not None:
                self.watch(self.done, self.done + self.pace.steps_left(leg, leg.until), leg.until, u)
            following = None if ends else self.pace.after(leg)
            pause = following is None or self.done == last
            if not self.pace.adapts and ((leg.number + 1) % _CHECK == 0 or pause):
                if not is_finite(u):
                    self._find_divergence(*good, leg.number, u)
                good = (following, u, carry)
            leg = following
        return u, carry, leg

    def repeated(self, tried: Sequence[Tried], u: State, carry: Carry) -> tuple[State, Carry]:
        """The steps that were tried before, once more; refused ones too, for they draw numbers and keep tensors."""
        for leg, stands in tried:
            f = self.f.at(leg.t, u) if isinstance(u, Tensor) else self.f
            try:
                step = self.stepper.step(f, leg.t, leg.dt, u, carry)
            except SolveError:
                continue  # refused for that
            if stands is not False:
                u, carry = self._kept(leg, stands, step, u, carry)
        return u, carry

    def _kept(self, leg: Leg, stands: bool | Tensor, step: Step, u: State, carry: Carry) -> tuple[State, Carry]:
        """State and carry after a step that stands, or stands for some entries: the others are as they were.

        Where the others became non-finite, the step is taken again without them: 0 times the slope of infinity, which
        the gradient of the choice would meet, is no 0.
        """
        if not isinstance(stands, Tensor):
            return step.u, step.carry
        if torch.is_grad_enabled() and not is_finite(step.u):
            f = self.f.at(leg.t, u) if isinstance(u, Tensor) else self.f
            step = self.stepper.step(f, leg.t, torch.where(stands, leg.dt, 0.0), u, carry)
            self.counted.update(step.work)
        new = tree_map(lambda a, b: torch.where(stands, a, b), step.u, u)
        if step.carry is None:
            return new, None
        return new, tree_map(lambda a, b: torch.where(stands, a, b), step.carry, step.slopes[0])

    def _step(self, leg: Leg, u: State, carry: Carry) -> tuple[Leg, Step | None]:
        """The step and its leg; None where it has no solution and a controller can try a shorter one."""
        try:
            f = self.f.at(leg.t, u) if isinstance(u, Tensor) else self.f
        except SolveError as error:  # of the state itself, which no shorter step from there mends
            raise self._placed(leg, error) from error
        leg, carry = self._foreseen(f, leg, u, carry)
        try:
            step = self.stepper.step(f, leg.t, leg.dt, u, carry)
        except SolveError as error:
            if self.pace.adapts:
                return leg, None
            named = blamed(f, (leg.t, leg.t + leg.dt), u, error) if isinstance(u, Tensor) else error
            raise self._placed(leg, named) from error
        self.counted.update(step.work)
        return leg, step

    def _placed(self, leg: Leg, error: SolveError) -> SolveError:
        """The error with step and time."""
        total = self.done + 1 + self.pace.steps_left(leg, leg.until)
        where = f"step {self.done + 1} of {total} (t={float(leg.t):.6g}, {self.stepper.name})"
        return SolveError(f"{where}: {error}", error.result)

    def _foreseen(self, f: System, leg: Leg, u: State, carry: Carry) -> tuple[Leg, Carry]:
        """The best leg and what has been worked out for it, where controller and method can tell before the step."""
        foresee = getattr(self.stepper, "foresee", None)
        if foresee is None or not self.pace.adapts or isinstance(leg.dt, Tensor) or not isinstance(u, Tensor):
            return leg, carry
        ahead = foresee(f, leg.t, u, carry)
        return (leg, carry) if ahead is None else (self.pace.fit(leg, ahead, u), ahead.carry)

    def _find_divergence(self, leg: Leg | None, u: State, carry: Carry, until: int, bad: State) -> None:
        """Go over the steps since the last check again and name the first bad one."""
        assert leg is not None
        self.done -= until - leg.number + 1
        with torch.no_grad():
            while leg is not None:
                leg, step = self._step(leg, u, carry)
                self.done += 1
                assert step is not None
                if not is_finite(step.u) or leg.number == until:
                    # a function that answers differently the second time hides the step, not the node
                    node = first_bad_node(bad if is_finite(step.u) else step.u)
                    after = leg.t + leg.dt
                    term = self.f.blame((leg.t, after), u, node) if isinstance(u, Tensor) else self.f.label
                    raise Diverged(float(after), self.done, largest(u), node, term, u)
                u, carry, leg = step.u, step.carry, self.pace.after(leg)
