"""The table of orders: every row by its name."""

from __future__ import annotations

from benchmarks.manufactured import elements, linear, nonlinear, transport
from benchmarks.manufactured.cases import Case

PARTS = {"linear": linear, "elements": elements, "nonlinear": nonlinear, "transport": transport}
CASES: dict[str, Case] = {case.name: case for part in PARTS.values() for case in part.rows()}
