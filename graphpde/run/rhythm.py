"""Adaptive steps of a run: what the controller did, and what it must know to go on."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from torch import Tensor

from graphpde.dynamics.control import Adapting, Adaptive, Leg
from graphpde.dynamics.stepper import Step, Stepper
from graphpde.errors import StepUnderflow
from graphpde.ops.system import System
from graphpde.typing import State


class Rhythm(NamedTuple):
    """A step controller between two steps.

    Attributes:
        wanted: the step it would take; 0: not known, it finds a first one. before: error of the last step in units of
            the tolerance. last: the last step. accepted, rejected: steps so far. smallest, largest: of the accepted
            ones; inf and 0 where there is none.
    """

    wanted: float = 0.0
    before: float = 1e-4
    last: float = 0.0
    accepted: int = 0
    rejected: int = 0
    smallest: float = math.inf
    largest: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For people and machines."""
        taken = {"dt_smallest": self.smallest, "dt_largest": self.largest} if self.largest else {}
        return {"accepted": self.accepted, "rejected": self.rejected, **taken}

    def at_moment(self, dt: float | None, step: int) -> Rhythm:
        """What is known at an earlier saved moment: the last step and how many there were."""
        return self._replace(wanted=dt or 0.0, before=1e-4, last=0.0, accepted=step)

    @property
    def text(self) -> str:
        """``3 rejected, dt from 1e-05 to 0.02``."""
        taken = f", dt from {self.smallest:.3g} to {self.largest:.3g}" if self.largest else ""
        return f"{self.rejected} rejected{taken}"


class _Counting(Adapting):
    """A controller that counts and that goes on where another one stopped.

    Args:
        past: where. The others: see :class:`~graphpde.dynamics.control.Adapting`.
    """

    def __init__(self, control: Adaptive, f: System, stepper: Stepper, u: State, times: Tensor, past: Rhythm):
        if past.wanted:  # no search for a first step, which costs evaluations
            control = replace(control, dt0=past.wanted)
        super().__init__(control, f, stepper, u, times)
        self.past, self.accepted, self.rejected = past, past.accepted, past.rejected
        if past.wanted:
            self.wanted, self.before, self.last = past.wanted, past.before, past.last

    def accepts(self, f: System, leg: Leg, step: Step | None, u: State) -> bool:
        try:
            stands = super().accepts(f, leg, step, u)
        except StepUnderflow:
            self.rejected += 1
            raise
        self.accepted += stands
        self.rejected += not stands
        return stands

    @property
    def rhythm(self) -> Rhythm:
        extremes = min(self.past.smallest, self.smallest), max(self.past.largest, self.largest)
        return Rhythm(self.wanted, self.before, self.last, self.accepted, self.rejected, *extremes)


@dataclass(frozen=True)
class Followed(Adaptive):
    """A control whose state can be read while it runs.

    Args:
        times: all saved times of the run, whatever part of them the loop is given. past: where it goes on.
    """

    times: Tensor | None = None
    past: Rhythm = field(default_factory=Rhythm)
    paces: list[_Counting] = field(default_factory=list)

    @classmethod
    def of(cls, setup: Any, past: Rhythm | None = None) -> Followed | None:
        """The control of a prepared problem; None where its steps are equal."""
        given = setup.control
        if given is None:
            return None
        return cls(**vars(given), times=setup.times, past=past or Rhythm())

    def pace(self, f: System, stepper: Stepper, u: State, times: Tensor) -> Adapting:
        made = _Counting(self, f, stepper, u, times if self.times is None else self.times, self.past)
        self.paces.append(made)
        return made

    @property
    def rhythm(self) -> Rhythm:
        """Where the controller is."""
        return self.paces[-1].rhythm if self.paces else self.past
