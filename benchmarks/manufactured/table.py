"""The table of orders: every row by its name."""

from __future__ import annotations

from benchmarks.manufactured import elements, linear, nonlinear, transport
from benchmarks.manufactured.cases import Case

CASES: dict[str, Case] = {case.name: case for part in (linear, elements, nonlinear, transport) for case in part.rows()}
