"""The table of orders: every row by its name."""

from __future__ import annotations

from benchmarks.manufactured import elements, linear
from benchmarks.manufactured.cases import Case

CASES: dict[str, Case] = {case.name: case for case in [*linear.rows(), *elements.rows()]}
