"""Observed orders of convergence in h: every element, form and family of meshes beside what it declares."""

from __future__ import annotations

from benchmarks.manufactured import Case, observed_orders, run
from benchmarks.manufactured.table import PARTS
from benchmarks.physics.rows import SOLVING, Found, Row

SECTION = "Orders in h"
COMMON = ("cases", "derived", "equations", "families", "fields", "fronts", "meshes", "networks")
SOURCES = (*SOLVING, *(f"benchmarks/manufactured/{name}.py" for name in COMMON))
_GROWS = (
    "The semi-discrete operator has eigenvalues with positive real parts that grow as h falls (3 with 288 cells, 10 "
    "with 1152): centred reconstruction by least squares is not stable on irregular triangles. Limited advection is."
)
_EXTREMUM = (
    "A limiter that admits no new extrema flattens smooth ones: where the wave passes its maximum the scheme is of "
    "first order. The rows without an extremum and with bounds given show the order elsewhere."
)
BECAUSE: dict[str, str] = {
    "Poisson, pyramids refined into pyramids and tetrahedra, mixed Dirichlet and Neumann, steady": (
        "Refinement leaves a quarter of each pyramid to tetrahedra, so the meshes of the row are not similar: pyramids "
        "fill 3/4, 9/16, 27/64 of the box, and the error's constant grows as that settles. The order rises from level "
        "to level (1.88, 1.91, 1.93); pyramids alone have 2."
    ),
    "Poisson, tetrahedra, cell averages, mixed Dirichlet and Neumann, steady": (
        "Only Neumann facets cost it: with Dirichlet values all round the same meshes give 2.30 and 2.17, and regular "
        "tetrahedra of a box behave as the random ones do (1.92)."
    ),
    "advection, triangles, cell averages, inflow given, centred": _GROWS,
    **{
        f"advection, {cells}{kind}, inflow given, limited": _EXTREMUM
        for cells in ("interval", "triangles", "quadrilaterals")
        for kind in ("", ", cell averages")
    },
}
"""Name of a row -> why it stays below."""


def rows() -> list[Row]:
    """One row for each case of the table of orders."""
    return [_row(case, name) for name, part in PARTS.items() for case in part.rows()]


def _row(case: Case, part: str) -> Row:
    target = f"{case.order:g}" + ("" if case.gradient is None else f", gradient {case.gradient:g}")
    return Row(
        SECTION,
        case.name,
        f"{target} (- {case.tolerance:g})",
        lambda value: value >= -case.tolerance,
        lambda: measure(case),
        BECAUSE.get(case.name, ""),
        (*SOURCES, f"benchmarks/manufactured/{part}.py"),
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
