r"""The solution between steps: a polynomial on each, with the values and slopes of both ends.

With p = (t - t_0) / h, u(t) = cubic Hermite interpolation + p^2 (1 - p)^2 h sum_i d_i k_i: order 3 without the last
part, order 4 with it, where the stages k_i of a method allow weights d_i for which the sum is the fourth derivative.
With noise the solution has no slopes, and a straight line is what is known of it: not the path between the steps.

Reference: Hairer, Norsett and Wanner 1993, section II.6.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from graphpde.dynamics.state import tree_map
from graphpde.dynamics.stepper import Step
from graphpde.dynamics.trajectory import SaveAll, stacked
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


@dataclass(frozen=True)
class Between:
    """One step as a polynomial.

    Attributes:
        start, end: its times, tensors where they are differentiated. u0, u1: states there. slope0, slope1: their rates.
        bend: h sum d_i k_i, or None.
    """

    start: Scalar
    end: Scalar
    u0: State
    u1: State
    slope0: State
    slope1: State
    bend: State | None = None

    def __call__(self, t: Scalar) -> State:
        """u(t), also a little outside of the step; differentiable in t."""
        h = self.end - self.start
        p: Any = (t - self.start) / h
        q = 1 - p

        def at(u0: Tensor, u1: Tensor, v0: Tensor, v1: Tensor) -> Tensor:
            if isinstance(p, Tensor):
                a, b = p.to(u0), q.to(u0)
            else:
                a, b = p, q
            return (b * b * (1 + 2 * a)) * u0 + (a * a * (3 - 2 * a)) * u1 + (a * b * h) * (b * v0 - a * v1)

        u = tree_map(at, self.u0, self.u1, self.slope0, self.slope1)
        if self.bend is None:
            return u
        bubble = p * p * q * q
        return tree_map(lambda x, y: x + (bubble.to(x) if isinstance(bubble, Tensor) else bubble) * y, u, self.bend)


def between(f: System, t: Tensor, dt: Scalar, until: float, u: State, step: Step) -> Between:
    """The polynomial of a step from u; rates at its ends that the step does not know are worked out."""
    start, end = (t, t + dt) if t.requires_grad or isinstance(dt, Tensor) else (float(t), until)
    if f.noise is not None:
        secant = tree_map(lambda a, b: (b - a) / dt, u, step.u)
        return Between(start, end, u, step.u, secant, secant)
    slope0, slope1 = step.slopes
    slope0 = f.rate(t, u) if slope0 is None else slope0
    slope1 = f.rate(t + dt, step.u) if slope1 is None else slope1
    return Between(start, end, u, step.u, slope0, slope1, None if step.bend is None else step.bend())


class DenseOutput:
    """The solution at any time of a run.

    Attributes:
        pieces: one for each step, in order. until: the time of the event that ended the run within the last, or None.
    """

    def __init__(self) -> None:
        self.pieces: list[Between] = []
        self.until: float | None = None
        self._starts: list[float] = []

    def add(self, piece: Between) -> None:
        """The next step."""
        self.pieces.append(piece)
        self._starts.append(as_number(piece.start))

    def __call__(self, t: Scalar) -> State:
        """u(t) [*, n, c]; of several times [k] the states [k, *, n, c].

        Raises:
            InputError: a time outside of the run.
        """
        if isinstance(t, Tensor) and t.dim():
            return stacked([self(x) for x in t.unbind()])
        if not self.pieces:
            raise InputError("the run has no steps, so there is nothing between them")
        now, first = as_number(t), self._starts[0]
        last = as_number(self.pieces[-1].end) if self.until is None else self.until
        if not first <= now <= last:
            raise InputError(f"t = {now:g} is outside of the run, expected a time from {first:g} to {last:g}")
        return self.pieces[max(bisect_right(self._starts, now) - 1, 0)](t)


def as_number(t: Scalar) -> float:
    """A time without its gradient."""
    return float(t.detach()) if isinstance(t, Tensor) else float(t)


class SaveDense(SaveAll):
    """Keep the states at ``times`` and, as ``trajectory.dense(t)``, the solution in between: memory of every step."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = DenseOutput()

    def see(self, piece: Callable[[], Between]) -> None:
        """Told of every accepted step."""
        self.dense.add(piece())
