"""The unit of length, of the state or of time changes no simulation: no tolerance may hide one."""

from __future__ import annotations

from functools import cache

import pytest
import torch

from graphpde.dynamics import BackwardEuler, CrankNicolson, Rk4, Stepper, evolve, steady
from graphpde.mesh import Space, random_cube, random_square
from graphpde.ops import Diffusion, Dirichlet, Reaction

STEPPERS: list[Stepper] = [BackwardEuler(), CrankNicolson(), Rk4()]


@cache
def growth(stepper: Stepper, length: float, size: float, solid: bool) -> torch.Tensor:
    """Logistic growth with diffusion on a body of this length, states measured in units of ``size``."""
    mesh = random_cube(2, seed=1) if solid else random_square(4, seed=1)
    space = Space(mesh.with_points(length * mesh.points))
    x = space.pos[:, :1] / length
    terms = Diffusion(space, 0.01 * length**2) + Reaction(lambda u: u * (1 - u / size))
    terms = terms + Dirichlet("left", 0.2 * size)
    run = evolve(terms, size * (0.2 + 0.5 * x), [0.0, 1.0], stepper=stepper, dt=0.05)
    return run.final / size


@pytest.mark.parametrize("stepper", STEPPERS, ids=lambda s: s.name)
@pytest.mark.parametrize("solid", [False, True], ids=["plane", "solid"])
@pytest.mark.parametrize(
    ("length", "size"), [(1e-3, 1.0), (1e-6, 1.0), (1e4, 1.0), (1.0, 1e-9), (1.0, 1e6), (1e-6, 1e-9)]
)
def test_units_do_not_matter(stepper: Stepper, solid: bool, length: float, size: float) -> None:
    """A body of a micrometre has masses of 1e-13: a residual below some absolute number is no answer there."""
    reference = growth(stepper, 1.0, 1.0, solid)
    assert float(reference.max()) > 0.8  # from 0.7 at the start: it did move
    assert torch.allclose(growth(stepper, length, size, solid), reference, rtol=1e-9)


@cache
def warmed(length: float, method: str) -> tuple[torch.Tensor, torch.Tensor]:
    """A cold solid held at 300 and 350, after a while and in the end."""
    mesh = random_cube(3, seed=1)
    space = Space(mesh.with_points(length * mesh.points))
    heat = Diffusion(space, 0.05 * length**2) + Dirichlet("left", 300.0) + Dirichlet("right", 350.0)
    u0 = torch.full((space.n, 1), 300.0, dtype=torch.float64)
    later = evolve(heat, u0, [0.0, 1.0], stepper=BackwardEuler(method=method), dt=0.1).final
    return later, steady(heat, u0, method=method).value


@pytest.mark.parametrize("method", ["direct", "cg", "gmres"])
@pytest.mark.parametrize("length", [1.0, 1e-2, 1e-6, 1e4])
def test_iterative_solvers_see_the_free_nodes(length: float, method: str) -> None:
    """Fixed values of 350 beside interior entries of 1e-9: a residual relative to both would be met without a step."""
    for found, reference in zip(warmed(length, method), warmed(1.0, "direct")):
        assert float(reference.max() - reference.min()) > 40
        # rtol is 1e-10 of the right-hand side, the condition number and ten steps cost some digits
        assert torch.allclose(found, reference, rtol=0, atol=1e-5)


@pytest.mark.parametrize("length", [1.0, 1e-2, 1e-6])
def test_explicit_steps_with_a_consistent_mass(length: float) -> None:
    """Their solves with the mass see moving boundary values beside masses of any size."""
    mesh = random_cube(2, seed=1)
    finals = []
    for size in (1.0, length):
        space = Space(mesh.with_points(size * mesh.points), lumped=False)
        heat = Diffusion(space, 0.01 * size**2) + Dirichlet("left", lambda x, t: 300 + 50 * t)
        u0 = torch.full((space.n, 1), 300.0, dtype=torch.float64)
        finals.append(evolve(heat, u0, [0.0, 1.0], stepper=Rk4(), dt=0.05).final)
    assert torch.allclose(finals[0], finals[1], rtol=0, atol=1e-8)
