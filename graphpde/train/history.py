"""What a fit went through."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch

from graphpde.errors import InputError
from graphpde.registry import missing

ALWAYS = ("step", "loss", "gradient", "evaluations", "seconds")
"""Columns that every history has; the terms of an objective have other names, but for "loss"."""


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
        row = dict.fromkeys(self.columns, math.nan)  # the same order in every row
        self._complete([name for name in found.terms if name not in row])
        row.update({"step": step, "loss": found.loss, **found.terms, "gradient": found.gradient})
        row.update({"loss": found.loss, "evaluations": evaluations, "seconds": seconds})  # not a term of that name
        self.rows.append(row)

    def record(self, values: Mapping[str, float]) -> None:
        """More columns of the last row, such as what a hook measured; nan where nothing is said.

        Raises:
            InputError: a column that is there already by another hand, or no row yet.
        """
        if not self.rows:
            raise InputError("the history has no row yet; record what was measured after a step")
        row = self.rows[-1]
        self._complete([name for name in values if name not in row])
        for name, value in values.items():
            if name in ALWAYS or not math.isnan(row.get(name, math.nan)):
                raise InputError(f"the history has a column '{name}' already; give the measured value another name")
            try:
                row[name] = float(value)
            except (TypeError, ValueError, RuntimeError):
                raise InputError(f"the value measured as '{name}' is {value!r}, expected a number") from None

    def followed_by(self, later: History) -> History:
        """Both as one: that of a fit that went on with another rule; it ended as the later one."""
        rows = [dict(row) for row in self.rows]
        last = rows[-1] if rows else dict.fromkeys(("step", "evaluations", "seconds"), 0)
        for row in later.rows:
            rows.append(dict(row) | {name: row[name] + last[name] for name in ("step", "evaluations", "seconds")})
        both = History(rows, later.reason, later.converged)
        columns = list(dict.fromkeys(name for row in rows for name in row))
        both.rows = [{name: row.get(name, math.nan) for name in columns} for row in rows]
        return both

    def _complete(self, names: Sequence[str]) -> None:
        """New columns in the rows of before."""
        for row in self.rows if names else ():
            for name in names:
                row.setdefault(name, math.nan)

    def state(self) -> dict[str, Any]:
        """For checkpoints: the columns, and all numbers exactly [s, k]."""
        columns = list(self.columns)
        rows = torch.tensor([[row[name] for name in columns] for row in self.rows], dtype=torch.float64)
        return {"columns": columns, "rows": rows, "reason": self.reason, "converged": self.converged}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> History:
        """What :meth:`state` kept."""
        whole = {"step", "evaluations"}
        columns, rows = state["columns"], state["rows"].tolist()
        made = [{name: int(v) if name in whole else v for name, v in zip(columns, row)} for row in rows]
        return cls(made, state["reason"], state["converged"])

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
