"""Limited-memory BFGS directions and a line search for the strong Wolfe conditions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

_DECREASE, _CURVATURE = 1e-4, 0.9  # Nocedal and Wright 2006, section 3.1
_LONGEST = 1e10


class Point(NamedTuple):
    """Parameters [p], the objective and its gradient [p]; ``note`` goes along."""

    x: Tensor
    loss: float
    gradient: Tensor
    note: Any = None

    @property
    def finite(self) -> bool:
        """Whether objective and gradient are numbers."""
        return math.isfinite(self.loss) and bool(torch.isfinite(self.gradient).all())


Evaluate = Callable[[Tensor], Point]


class Lbfgs:
    """Quasi-Newton steps from the last changes of parameters and gradient.

    Args:
        memory: how many. first: length of the first step. trials: evaluations in one line search.

    Attributes:
        not_finite: whether the last search met nothing but values that are not finite.
    """

    def __init__(self, memory: int, first: float, trials: int):
        self.memory, self.first, self.trials = memory, first, trials
        self.not_finite = False
        self.pairs: list[tuple[Tensor, Tensor, float]] = []

    def reset(self) -> None:
        """Forget the past."""
        self.pairs = []

    def step(self, evaluate: Evaluate, here: Point) -> Point | None:
        """The next point, or None where no step lowers the objective, not even along the gradient."""
        found = self._search(evaluate, here)
        if found is None and self.pairs:  # old pairs may point the wrong way
            self.reset()
            found = self._search(evaluate, here)
        if found is not None:
            s, y = found.x - here.x, found.gradient - here.gradient
            curvature = float(s @ y)
            if curvature > 1e-14 * float(s.norm() * y.norm()):
                self.pairs = [*self.pairs, (s, y, 1.0 / curvature)][-self.memory :]
        return found

    def _search(self, evaluate: Evaluate, here: Point) -> Point | None:
        direction = -self.inverse_hessian(here.gradient)
        if float(direction @ here.gradient) >= 0:
            return None
        length = 1.0 if self.pairs else self.first / max(float(direction.norm()), 1e-300)
        search = WolfeSearch(evaluate, here, direction, self.trials)
        found = search.run(length)
        self.not_finite = found is None and search.bad == search.taken
        return found

    def inverse_hessian(self, g: Tensor) -> Tensor:
        """The approximate inverse Hessian times g: the two-loop recursion."""
        q, shares = g.clone(), []
        for s, y, rho in reversed(self.pairs):
            shares.append(rho * float(s @ q))
            q -= shares[-1] * y
        if self.pairs:
            s, y, rho = self.pairs[-1]
            q *= 1.0 / (rho * float(y @ y))
        for (s, y, rho), share in zip(self.pairs, reversed(shares), strict=True):
            q += (share - rho * float(y @ q)) * s
        return q


class WolfeSearch:
    """A length along a direction that lowers the objective enough and flattens its slope enough.

    Args:
        evaluate: the objective. start: where from. direction: downhill [p]. most: evaluations.

    Attributes:
        taken, bad: evaluations made, and those that were not finite.
    """

    def __init__(self, evaluate: Evaluate, start: Point, direction: Tensor, most: int):
        self.evaluate, self.start, self.direction, self.most = evaluate, start, direction, most
        self.slope = float(start.gradient @ direction)
        self.taken = self.bad = 0

    def run(self, length: float) -> Point | None:
        """The point found; None where nothing lowers the objective. After ``most`` evaluations the best one counts."""
        low, low_at, low_slope = 0.0, self.start, self.slope
        high: float | None = None
        high_at: Point | None = None
        while self.taken < self.most:
            trial = self._at(length)
            slope = float(trial.gradient @ self.direction)
            if not trial.finite:
                high, high_at = length, None
            elif trial.loss > self.start.loss + _DECREASE * length * self.slope or (
                low > 0 and trial.loss >= low_at.loss
            ):
                high, high_at = length, trial
            elif abs(slope) <= -_CURVATURE * self.slope:
                return trial
            elif slope > 0 if high is None or high > low else slope < 0:  # beyond the minimum
                high, high_at, low, low_at, low_slope = low, low_at, length, trial, slope
            else:
                low, low_at, low_slope = length, trial, slope
            if high is None:
                length *= 4.0
                if length > _LONGEST:
                    break
            else:
                length = _between(low, low_at.loss, low_slope, high, high_at)
                if abs(high - low) * float(self.direction.abs().max()) <= 1e-15 * float(self.start.x.abs().max() + 1):
                    break
        return low_at if low > 0 else None

    def _at(self, length: float) -> Point:
        self.taken += 1
        trial = self.evaluate(self.start.x + length * self.direction)
        self.bad += not trial.finite
        return trial


def _between(low: float, value: float, slope: float, high: float, at: Point | None) -> float:
    """The minimum of the parabola through both ends, kept away from them; the middle where one end has no value."""
    width = high - low
    if at is None:
        return low + 0.2 * width
    bend = (at.loss - value - slope * width) / width**2
    best = -slope / (2 * bend) if bend > 0 else 0.5 * width
    share = min(max(best / width, 0.1), 0.9)
    return low + share * width
