"""Steppers that take the linear part apart, on nonlinear problems on a mesh: Allen-Cahn, Fisher, Gray-Scott."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import STEPPERS, Adaptive, Dopri5, Etdrk4, ExponentialEuler, Rkc2, Strang, evolve
from graphpde.errors import InputError, SolveError, UnknownName
from graphpde.mesh import Space, random_square
from graphpde.ops import REACTIONS, Diffusion, Dirichlet, Reaction, Source

FINE = Adaptive(rtol=1e-9, atol=1e-11)
# declared order and what must be seen of it from 16 to 32 steps; Dirichlet values move in "fisher"
ORDERS = {
    "etd1": (1.0, 0.9), "etd2rk": (2.0, 1.8), "etdrk4": (4.0, 3.7), "exp_rosenbrock": (2.0, 1.85),
    "ars222": (2.0, 1.85), "ars443": (3.0, 2.7), "ark3": (3.0, 2.6), "ark4": (4.0, 3.3), "sbdf2": (2.0, 1.8),
    "strang": (2.0, 1.8), "lie": (1.0, 0.85), "rkc2": (2.0, 1.6),
}  # fmt: skip


@cache
def problem(name: str, lumped: bool) -> tuple[Any, Tensor, Tensor]:
    """Terms, initial state, and the state at 0.5 by a fine run of another family."""
    space = Space(random_square(4, seed=1), lumped=lumped)
    x, y = space.pos[:, :1], space.pos[:, 1:2]
    terms: Any
    if name == "allen-cahn":
        terms = Diffusion(space, 0.05) + Reaction(lambda u: 5 * (u - u**3))
        u0 = torch.cos(3 * x) * torch.cos(2 * y)
    elif name == "fisher":
        terms = Diffusion(space, 0.05) + Reaction(REACTIONS["logistic"](4.0))
        terms = terms + Dirichlet("left", lambda x, t: 0.5 + 0.2 * torch.sin(3 * t) + 0 * x[:, 0])
        u0 = 0.5 * torch.exp(-3 * x)
    else:
        terms = Diffusion(space, torch.tensor([[0.02, 0.01]], dtype=torch.float64))
        terms = terms + Reaction(REACTIONS["gray-scott"](0.4, 0.3)) * 4
        u0 = torch.cat([1 - 0.5 * torch.exp(-4 * (x * x + y * y)), 0.5 + 0.3 * torch.cos(3 * x)], 1)
    return terms, u0, evolve(terms, u0, [0.0, 0.5], stepper=Dopri5(), control=FINE).final


@pytest.mark.orders
@pytest.mark.parametrize("case", ["allen-cahn", "fisher", "gray-scott"])
@pytest.mark.parametrize("name", ORDERS)
def test_orders_on_a_mesh(name: str, case: str) -> None:
    terms, u0, fine = problem(case, lumped=case != "gray-scott")
    errors = [
        float((evolve(terms, u0, [0.0, 0.5], stepper=STEPPERS[name](), dt=0.5 / n).final - fine).abs().max())
        for n in (16, 32)
    ]
    assert math.log2(errors[0] / errors[1]) > ORDERS[name][1]
    assert errors[1] < 0.05


def test_exponential_steps_are_exact_for_linear_equations() -> None:
    """One long step is the whole evolution, by Krylov and by Chebyshev alike."""
    space = Space(random_square(5, seed=1))
    term = Diffusion(space, 0.3) + Source(space, 1.0) + Dirichlet("left", 0.5)
    u0 = torch.cos(9 * space.pos[:, :1])
    fine = evolve(term, u0, [0.0, 1.0], stepper=Dopri5(), control=FINE).final
    for method in ("krylov", "chebyshev"):
        once = evolve(term, u0, [0.0, 1.0], stepper=ExponentialEuler(method=method)).final
        assert torch.allclose(once, fine, atol=1e-7)


def test_chebyshev_needs_a_bound() -> None:
    space = Space(random_square(3, seed=1), lumped=False)
    with pytest.raises(InputError, match=r"method='chebyshev' needs a symmetric operator .* lumped mass"):
        evolve(Diffusion(space), space.pos[:, :1], [0.0, 0.1], stepper=Etdrk4(method="chebyshev"))
    with pytest.raises(UnknownName, match=r"unknown method for matrix functions 'pade'"):
        Etdrk4(method="pade")


def test_stabilised_steps_go_far_beyond_the_explicit_bound() -> None:
    """The cost grows with the root of the step: 100 bounds of Euler in about 15 stages."""
    space = Space(random_square(6, seed=1))
    term = Diffusion(space) + Reaction(lambda u: u - u**3)
    u0 = torch.cos(3 * space.pos[:, :1])
    fine = evolve(term, u0, [0.0, 0.1], stepper=Dopri5(), control=FINE).final
    run = evolve(term, u0, [0.0, 0.1], stepper=Rkc2(), dt=0.01)
    assert torch.allclose(run.final, fine, atol=2e-3)
    assert run.statistics["evaluations"] < 40 * run.steps


def test_sub_steps_of_the_reaction() -> None:
    """A fast reaction is left to a stepper that takes as many steps as it needs."""
    space = Space(random_square(3, seed=1))
    term = Diffusion(space, 0.01) + Reaction(lambda u: 60 * u * (1 - u))
    u0 = 0.1 + 0 * space.pos[:, :1]
    exact = 1 / (1 + 9 * math.exp(-60 * 0.1))
    for substeps, worst in ((1, 1.0), (32, 1e-5)):
        final = evolve(term, u0, [0.0, 0.1], stepper=Strang(substeps=substeps)).final
        assert float((final - exact).abs().max()) < worst


def test_stabilised_steps_refuse_more_stages_than_allowed() -> None:
    """A stiff nonlinear part has no bound beforehand: too long a step says so instead of going wrong."""
    u0 = torch.ones(4, 1, dtype=torch.float64)
    with pytest.raises(SolveError, match="of rkc2 needs [0-9]+ stages, at most 5 are allowed; take a smaller dt"):
        evolve(Reaction(lambda u: -1e4 * u), u0, [0.0, 1.0], stepper=Rkc2(most=5), dt=0.1)
