"""From one saved moment to the next until the end, and everything that happens on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from graphpde.dynamics import SaveTo, evolve
from graphpde.errors import StepUnderflow
from graphpde.run.checkpoint import Keeper
from graphpde.run.resume import Leg
from graphpde.run.running import Running

Progress = Callable[[int, int | None, float], None]
"""Called with the steps taken, those of the whole run where that is known, and the share of the time that is over."""


class StopAsked(Exception):
    """Somebody asked to stop; the last state is saved."""


def advance(run: Running, leg: Leg, progress: Progress | None, stop: Callable[[], bool] | None, every: float) -> None:
    """Advance to the end; every saved moment is written at once, and with it the state to go on from.

    Raises:
        StopAsked: ``stop`` said so. SolveError: a solver failed; what there is has been saved.
    """
    setup, way = run.setup, _Way(run, leg, progress, stop, every)
    try:
        evolve(
            setup.term,
            leg.u0,
            leg.times.to(setup.u0.device),
            stepper=leg.stepper,
            dt=setup.dt,
            control=leg.control,
            save=SaveTo(way.save),
            allow_unstable=setup.config.solver.allow_unstable,
            watch=way.watch,
        )
    except StepUnderflow as error:  # what led here is the last thing worth a look, and to go on from otherwise
        way.end_with(error.last)
        raise


class _Way:
    """The hooks of the time loop: ``watch`` after every step, then ``save`` where a moment is saved."""

    def __init__(
        self,
        run: Running,
        leg: Leg,
        progress: Progress | None,
        stop: Callable[[], bool] | None,
        every: float,
    ):
        self._run, self._leg, self._progress, self._stop = run, leg, progress, stop
        self._keeper = Keeper(run.folder.path, run.frames.kit, leg.origin, every)
        run.control = leg.control
        times = run.setup.times
        self._start, self._span = float(times[0]), float(times[-1] - times[0])
        self._named, self._t, self._stopping = 0, leg.origin.t, False

    def save(self, t: float, u: Any) -> None:
        """A moment that was asked for; those that a stopped run has saved already are not saved again."""
        run = self._run
        self._named += 1
        if self._named <= self._leg.known:
            return
        run.frames.add(run.step, t, u, run.rhythm)
        run.planned += 1
        self._keep(t, u, self._leg.stepper.carry)
        if self._stopping:
            raise StopAsked

    def watch(self, step: int, steps: int, now: float, u: Tensor) -> None:
        """A step: measure, tell, and stop where somebody asks for it."""
        run, leg = self._run, self._leg
        self._t = now
        run.frames.meter.follow(now)
        if step <= leg.skip:
            return
        run.frames.kit.check(step, steps, now, u)
        run.step, run.steps = leg.origin.step + step, leg.origin.step + steps
        run.frames.records.step(now, u, None if run.rhythm is None else run.rhythm.last)
        self._tell(now)
        asked = self._stop is not None and self._stop()
        if bool((abs(leg.times - now) <= 1e-12 * self._span).any()):  # it is saved next, and kept with that
            self._stopping = asked
            return
        kept = False
        if asked or self._keeper.due:
            run.frames.records.flush()  # before the checkpoint: whoever goes on from it counts on them
            kept = self._keep(now, u, leg.stepper.carry)
        if asked:
            if kept:
                self._add_last(u)
            raise StopAsked

    def end_with(self, u: Any) -> None:
        """The last good state of a run that cannot go on."""
        self._run.frames.records.flush()
        if self._keep(self._t, u, None):
            self._add_last(u)

    def _tell(self, now: float) -> None:
        run = self._run
        if self._progress is not None:
            steps = run.steps if run.setup.control is None else None
            self._progress(run.step, steps, (now - self._start) / self._span)

    def _keep(self, t: float, u: Any, carry: Any) -> bool:
        run = self._run
        return self._keeper.keep(t, run.step, run.planned, u, carry, run.rhythm)

    def _add_last(self, u: Any) -> None:
        """A moment that nobody asked for, where the run ends before its end."""
        run = self._run
        if self._t > run.frames.moments[-1].t:
            run.frames.add(run.step, self._t, u, run.rhythm)
