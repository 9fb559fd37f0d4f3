"""The unit of length, of the state or of time changes no simulation: no tolerance may hide one."""

from __future__ import annotations

import pytest
import torch

from graphpde.dynamics import BackwardEuler, CrankNicolson, Rk4, Stepper, evolve
from graphpde.mesh import Space, random_cube, random_square
from graphpde.ops import Diffusion, Dirichlet, Reaction

STEPPERS: list[Stepper] = [BackwardEuler(), CrankNicolson(), Rk4()]


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
