"""Whole simulations against what must hold whatever the mesh: mass, energy, bounds, numbering, a reference solution."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.manufactured import meshes, structure
from graphpde.dynamics import BackwardEuler, CrankNicolson, Rk4, Stepper
from graphpde.mesh import Mesh, Space

CLOSED = {"sphere": structure.closed_surface, "insulated plate": structure.insulated_plate}


@pytest.mark.long
@pytest.mark.parametrize("name", CLOSED)
def test_mass_stays_and_energy_falls_over_many_steps(name: str) -> None:
    found = structure.conservation(CLOSED[name](), 20_000)
    assert found.steps == 20_000
    assert found.drift <= 1e-12
    assert found.rise == 0


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("name", CLOSED)
def test_mass_stays_over_a_hundred_thousand_steps(name: str) -> None:
    found = structure.conservation(CLOSED[name](), 100_000)
    assert found.steps == 100_000
    assert found.drift <= 1e-12
    assert found.rise == 0


@pytest.mark.parametrize("dt", [1e-6, 1e-4, 1e-2, 1.0, 100.0])
def test_backward_euler_keeps_its_bounds_on_delaunay_triangles(dt: float) -> None:
    mesh = structure.insulated_plate()
    assert float(Space(mesh).weight.min()) >= 0  # no obtuse angle faces the boundary: the matrix is monotone
    assert structure.bounds_violation(mesh, dt) <= 1e-13


def test_obtuse_triangles_leave_the_bounds() -> None:
    """The bounds above are not kept by accident: they need the angles."""
    mesh = structure.flat_triangles()
    assert float(Space(mesh).weight.min()) < -0.1
    assert structure.bounds_violation(mesh, 1e-4) > 1e-3


@pytest.mark.parametrize("stepper", [BackwardEuler(), CrankNicolson(), Rk4()], ids=lambda s: s.name)
@pytest.mark.parametrize("mesh", [meshes.square, meshes.quads], ids=["triangles", "quads"])
def test_numbering_changes_nothing(mesh: Callable[[int], Mesh], stepper: Stepper) -> None:
    assert structure.numbering_difference(mesh(2), stepper) <= 1e-12


def test_renumbering_renumbers() -> None:
    mesh = meshes.square(1)
    other, new = structure.renumbered(mesh)
    assert torch.equal(other.points[new], mesh.points)
    assert not torch.equal(other.points, mesh.points)
    assert not torch.equal(Space(other).edges.pairs()[0], Space(mesh).edges.pairs()[0])


def test_square_with_four_holes_against_the_reference(shared_data: Path) -> None:
    table = shared_data / "pde" / "pinnacle" / "poisson_classic.dat"
    if not table.is_file():
        pytest.skip("the reference solution poisson_classic.dat is absent")
    unknowns, error = structure.classic_poisson(table, size=0.02)
    assert unknowns > 2000
    assert error <= 0.01
