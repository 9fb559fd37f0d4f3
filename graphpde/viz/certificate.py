"""A certificate: one number that a run must keep, with its bound."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from graphpde.errors import InputError


@dataclass(frozen=True)
class Certificate:
    """A measured value and what it must satisfy, e.g. relative mass drift <= 1e-12.

    Args:
        name: what was measured, e.g. "mass drift".
        value: the measured number.
        target: its bound; None records the value without judging it.
        relation: "<=" or ">=".
        unit: unit of value and target; None or "1" for pure numbers.
        text: how people call it, where the name is one for machines.

    Raises:
        InputError: the relation is neither "<=" nor ">=", or the target is NaN.
    """

    name: str
    value: float
    target: float | None = None
    relation: str = "<="
    unit: str | None = None
    text: str = ""

    def __post_init__(self) -> None:
        if self.relation not in ("<=", ">="):
            raise InputError(f"certificate '{self.name}' has relation '{self.relation}', expected '<=' or '>='")
        if self.target is not None and math.isnan(self.target):
            raise InputError(f"certificate '{self.name}' has a NaN target, expected a number or None")

    @property
    def passed(self) -> bool:
        """Whether the value keeps its bound; NaN never does, a value without target only has to be finite."""
        if self.target is None:
            return math.isfinite(self.value)
        return self.value <= self.target if self.relation == "<=" else self.value >= self.target

    @property
    def title(self) -> str:
        """For people: the text, or the name."""
        return self.text or self.name

    @property
    def sentence(self) -> str:
        """For people: ``mass drift 3.1e-16 <= 1e-12``."""
        unit = f" {self.unit}" if self.unit not in (None, "", "1") else ""
        if self.target is None:
            return f"{self.title} {self.value:.3g}{unit}"
        relation = self.relation if self.passed else {"<=": "not <=", ">=": "not >="}[self.relation]
        return f"{self.title} {self.value:.3g}{unit} {relation} {self.target:.3g}{unit}"

    def as_dict(self) -> dict[str, Any]:
        """For machines: JSON knows no NaN or infinity, so such a value becomes None."""
        value = self.value if math.isfinite(self.value) else None
        kept = {"value": value, "target": self.target, "relation": self.relation, "unit": self.unit}
        return {**kept, "passed": self.passed}
