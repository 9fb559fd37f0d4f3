"""What a solver hands back: the value, how it ended and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from torch import Tensor

from graphpde.errors import SolveError


class Status(enum.Enum):
    """How a solver ended."""

    CONVERGED = "converged"
    MAX_ITERATIONS = "iteration limit reached"
    BREAKDOWN = "breakdown"
    STAGNATION = "no further progress"
    NON_FINITE = "non-finite numbers"
    SINGULAR = "singular system"
    INCONSISTENT = "inconsistent system"


@dataclass(frozen=True)
class Result:
    """Outcome of a solver.

    Attributes:
        value: the answer, or the best so far. status: how it ended. reason: one sentence.
        iterations: iterations (or factorisations for a direct method) used.
        residuals: relative residual norms on the way.
    """

    value: Tensor
    status: Status
    reason: str
    iterations: int
    residuals: list[float] = field(default_factory=list)

    @property
    def converged(self) -> bool:
        return self.status is Status.CONVERGED

    @property
    def residual(self) -> float:
        """Last relative residual; NaN when none was measured."""
        return self.residuals[-1] if self.residuals else float("nan")

    def checked(self) -> Result:
        """Self if converged.

        Raises:
            SolveError: otherwise, holding this result.
        """
        if not self.converged:
            raise SolveError(f"{self.reason} ({self.status.value} after {self.iterations} iterations)", self)
        return self
