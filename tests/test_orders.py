"""The table of orders: its quick rows in every run, all of it with ``-m slow``."""

from __future__ import annotations

import pytest

from benchmarks.manufactured import CASES, elements, linear, nonlinear, observed_orders, run, transport
from benchmarks.manufactured.meshes import cube, globe, half_cubes, patch, square
from benchmarks.physics.orders import BECAUSE, measure

SOLID = ("tetrahedra", "hexahedra", "wedges", "pyramids")
# rows that take seconds on their two finest meshes; the others are in the table and under "slow"
SLOW = (*SOLID, "explicit")
QUICK_LINEAR = [case.name for case in linear.rows() if not any(word in case.name for word in SLOW)]
QUICK_EXPLICIT = [
    "heat, quadrilaterals, mixed in time, explicit",
    "heat, triangles, insulated, explicit",
    "heat, sphere, closed, explicit",
    "advection, triangles, inflow given, explicit",
]
QUICK_STEADY = [
    case.name
    for part in (elements, nonlinear, transport)
    for case in part.rows()
    if case.method == "steady" and not any(word in case.name for word in (*SOLID, "averages, two materials"))
]
QUICK_IN_TIME = [
    "heat, triangles, periodic, implicit",
    "heat, quadrilaterals, cell averages, mixed in time, implicit",
    "wave, triangles, free, implicit",
    "wave, triangles, free, leapfrog",
    "advection, triangles, inflow given, streamline upwind",
    "advection, quadrilaterals, cell averages, inflow given, upwind",
]
QUICK_SOLIDS = [
    "Poisson, tetrahedra, mixed Dirichlet and Neumann, steady",
    "heat, tetrahedra, Neumann in time, implicit",
    "Poisson, hexahedra, mixed Dirichlet and Neumann, steady",
    "Poisson, wedges, mixed Dirichlet and Neumann, steady",
    "Poisson, pyramids, mixed Dirichlet and Neumann, steady",
    "Poisson, hexahedra Q2, mixed Dirichlet and Neumann, steady",
    "Poisson, wedges Q2, mixed Dirichlet and Neumann, steady",
    "Poisson, tetrahedra P2, mixed Dirichlet and Neumann, steady",
]


def assert_order(name: str, levels: tuple[int, ...]) -> None:
    case = CASES[name]
    found = run(case, levels)
    errors = [level.error for level in found]
    assert case.order - case.tolerance <= observed_orders(errors)[-1] <= case.order + 0.1
    if case.gradient is not None:
        slopes = [level.gradient for level in found if level.gradient is not None]
        assert observed_orders(slopes)[-1] >= case.gradient - case.tolerance
    assert errors[-1] < 0.02  # an order alone would accept a solution of another problem


@pytest.mark.orders
@pytest.mark.parametrize("name", [*QUICK_LINEAR, *QUICK_EXPLICIT, *QUICK_STEADY, *QUICK_IN_TIME])
def test_order_at_the_last_halving(name: str) -> None:
    assert name not in BECAUSE
    assert_order(name, CASES[name].levels[-2:])


@pytest.mark.orders
@pytest.mark.parametrize("name", QUICK_SOLIDS)
def test_solids_converge_on_the_way(name: str) -> None:
    """On the two coarsest meshes the order is within a tenth; the full halving is slow."""
    case = CASES[name]
    errors = [level.error for level in run(case, case.levels[:2])]
    assert observed_orders(errors)[-1] == pytest.approx(case.order, abs=0.1)


@pytest.mark.slow
@pytest.mark.orders
@pytest.mark.parametrize("name", CASES)
def test_every_row_of_the_table(name: str, request: pytest.FixtureRequest) -> None:
    if name in BECAUSE:
        request.applymarker(pytest.mark.xfail(reason=BECAUSE[name], strict=True))
    found = measure(CASES[name])
    assert found.value >= -CASES[name].tolerance, found


def test_what_is_missed_is_in_the_table() -> None:
    assert set(BECAUSE) <= set(CASES)


def test_the_finest_meshes_are_fine_enough() -> None:
    for mesh, level, least in ((square, 4, 4096), (patch, 4, 4096), (globe, 4, 4096), (cube, 3, 30_000)):
        assert mesh(level).n >= least
    assert half_cubes(3).n >= 30_000


def test_every_boundary_condition_has_its_row_on_every_family() -> None:
    for cells in ("triangles", "quadrilaterals", "tetrahedra"):
        mine = {(case.equation, case.boundary, case.method) for case in CASES.values() if case.cells == cells}
        for boundary in ("Dirichlet fixed", "Dirichlet in time", "Neumann in time", "mixed in time", "insulated"):
            assert ("heat", boundary, "implicit") in mine
        for boundary in ("Dirichlet in time", "Neumann in time", "mixed in time", "insulated"):
            assert ("heat", boundary, "explicit") in mine
        for boundary in ("Dirichlet", "mixed Dirichlet and Neumann", "two materials"):
            assert ("Poisson", boundary, "steady") in mine
        assert ("heat", "two materials", "implicit") in mine
