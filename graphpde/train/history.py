"""What a fit went through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from graphpde.registry import missing

_ALWAYS = ("step", "loss", "gradient", "evaluations", "seconds")


class Evaluation(NamedTuple):
    """The objective at one place.

    Attributes:
        loss: the weighted sum that is minimised. terms: its parts by name, without weights. gradient: Euclidean norm of
            the gradient of the loss by all parameters. failure: why there is no value, where there is none.
    """

    loss: float
    terms: Mapping[str, float]
    gradient: float
    failure: str = ""


@dataclass
class History:
    """One row a step, and why it ended.

    Attributes:
        rows: "step", "loss", every term, "gradient", "evaluations" so far and "seconds" since the start; a term that
            could not be evaluated is nan. The place is the one that a step of Adam or gradient descent starts from, and
            the one that a step of L-BFGS arrives at.
        reason: why it stopped, one sentence. converged: whether that was because nothing is left to gain.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    reason: str = ""
    converged: bool = False

    def add(self, step: int, found: Evaluation, evaluations: int, seconds: float) -> None:
        """One more row."""
        terms = {name: math.nan for name in self.columns if name not in _ALWAYS} | dict(found.terms)
        for row in self.rows:
            for name in terms:
                row.setdefault(name, math.nan)
        row = {"step": step, "loss": found.loss, **terms, "gradient": found.gradient}
        self.rows.append(row | {"evaluations": evaluations, "seconds": seconds})

    def __getitem__(self, column: str) -> list[float]:
        """A column by name.

        Raises:
            UnknownName: there is none of that name.
        """
        if column not in self.columns:
            raise missing("the history", "column", column, self.columns)
        return [row[column] for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> Sequence[str]:
        """Names of the columns."""
        return list(self.rows[0]) if self.rows else []

    @property
    def seconds(self) -> float:
        """Wall time of all steps."""
        return self.rows[-1]["seconds"] if self.rows else 0.0
