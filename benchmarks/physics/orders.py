"""Observed orders of convergence in h: every element, form and family of meshes beside what it declares."""

from __future__ import annotations

from benchmarks.manufactured import CASES, Case, observed_orders, run
from benchmarks.physics.rows import SOLVING, Found, Row

SECTION = "Orders in h"
SOURCES = (*SOLVING, "benchmarks/manufactured")
BECAUSE: dict[str, str] = {}
"""Name of a row -> why it stays below."""


def rows() -> list[Row]:
    """One row for each case of the table of orders."""
    return [_row(case) for case in CASES.values()]


def _row(case: Case) -> Row:
    target = f"{case.order:g}" + ("" if case.gradient is None else f", gradient {case.gradient:g}")
    return Row(
        SECTION,
        case.name,
        f"{target} (- {case.tolerance:g})",
        lambda value: value >= -case.tolerance,
        lambda: measure(case),
        BECAUSE.get(case.name, ""),
        SOURCES,
    )


def measure(case: Case) -> Found:
    """How far the observed orders of the last halving are above the declared ones, the worse of both."""
    levels = run(case)
    errors = [level.error for level in levels]
    order = observed_orders(errors)[-1]
    text, value = f"{order:.3f}", order - case.order
    note = "errors " + ", ".join(f"{error:.2e}" for error in errors)
    slopes = [level.gradient for level in levels if level.gradient is not None]
    if case.gradient is not None:
        slope = observed_orders(slopes)[-1]
        text, value = f"{text}, gradient {slope:.3f}", min(value, slope - case.gradient)
    return Found(value, text, ", ".join(str(level.unknowns) for level in levels) + " unknowns", note)
