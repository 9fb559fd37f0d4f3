"""The table of orders: its quick rows in every run, all of it with ``-m slow``."""

from __future__ import annotations

import pytest

from benchmarks.manufactured import CASES, observed_orders, run
from benchmarks.manufactured.meshes import cube, globe, half_cubes, patch, square

# rows that take seconds on their two finest meshes; the others are in the table and under "slow"
SLOW = ("tetrahedra", "explicit")
QUICK = [name for name in CASES if not any(word in name for word in SLOW)]
QUICK_SOLIDS = [
    "Poisson, tetrahedra, mixed Dirichlet and Neumann, steady",
    "heat, tetrahedra, Neumann in time, implicit",
]
QUICK_EXPLICIT = [
    "heat, quadrilaterals, mixed in time, explicit",
    "heat, triangles, insulated, explicit",
    "heat, sphere, closed, explicit",
    "advection, triangles, inflow given, explicit",
]


def assert_order(name: str, levels: tuple[int, ...]) -> None:
    case = CASES[name]
    errors = [level.error for level in run(case, levels)]
    assert observed_orders(errors)[-1] == pytest.approx(case.order, abs=0.05)
    assert errors[-1] < 0.02  # an order alone would accept a solution of another problem


@pytest.mark.orders
@pytest.mark.parametrize("name", [*QUICK, *QUICK_EXPLICIT])
def test_order_at_the_last_halving(name: str) -> None:
    assert_order(name, CASES[name].levels[-2:])


@pytest.mark.orders
@pytest.mark.parametrize("name", QUICK_SOLIDS)
def test_solids_converge_on_the_way(name: str) -> None:
    """At 729 and 4913 points the order is within a tenth; the full halving is slow."""
    case = CASES[name]
    errors = [level.error for level in run(case, case.levels[:2])]
    assert observed_orders(errors)[-1] == pytest.approx(case.order, abs=0.1)


@pytest.mark.slow
@pytest.mark.orders
@pytest.mark.parametrize("name", CASES)
def test_every_row_of_the_table(name: str) -> None:
    assert_order(name, CASES[name].levels)


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
