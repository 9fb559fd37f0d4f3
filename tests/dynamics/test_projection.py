"""Pressure correction: its order, flows it must keep, boundary values in time, what it refuses."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import Projection, evolve
from graphpde.errors import InputError
from graphpde.mesh import Space, random_square, rectangle
from graphpde.ops import Convection, Diffusion, Dirichlet, Neumann, Pressure, Source, Stokes, Velocity
from graphpde.ops.incompressible import lowest_corner
from graphpde.ops.term import Sum

F64 = torch.float64


def vortices(x: Tensor, t: float | Tensor, nu: float = 0.05) -> Tensor:
    """Taylor's decaying vortices, whose pressure is 0 at the origin."""
    a, b = math.pi * x[:, 0], math.pi * x[:, 1]
    fade = torch.exp(torch.as_tensor(-2 * math.pi**2 * nu * t, dtype=F64))
    p = -(torch.cos(2 * a) + torch.cos(2 * b) - 2) / 4 * fade**2
    return torch.stack([-torch.cos(a) * torch.sin(b) * fade, torch.sin(a) * torch.cos(b) * fade, p], 1)


def decaying(space: Space) -> Sum:
    flow = Stokes(space, 0.05) + Convection(space) + Velocity("boundary", lambda x, t: vortices(x, t)[:, :2])
    return flow + Pressure([lowest_corner(space)], 0.0)


def test_second_order_and_the_exact_flow() -> None:
    space = Space(rectangle(8, 8, cells="quad"), "q2")
    u0, times = vortices(space.pos, 0.0), [0.0, 0.5]
    with torch.no_grad():
        ends = [evolve(decaying(space), u0, times, stepper=Projection(), dt=0.5 / k).final for k in (8, 16, 64)]
    coarse, fine = (float((u - ends[2])[:, :2].norm()) for u in ends[:2])
    assert math.log2(coarse / fine) > 1.8
    off = ends[2] - vortices(space.pos, 0.5)
    assert float(off[:, :2].abs().max()) < 5e-3
    assert float(off[:, 2].abs().max()) < 5e-2


@pytest.mark.parametrize("element", ["p2", "p1"])
def test_a_developed_flow_stays_with_an_open_end(element: str) -> None:
    space = Space(random_square(5), element)
    y, x = space.pos[:, 1], space.pos[:, 0]
    exact = torch.stack([y * (1 - y), 0 * y, 2 * (1 - x)], 1)
    flow = Stokes(space, 1.0) + Velocity("bottom") + Velocity("top")
    flow = flow + Velocity("left", lambda x, t: torch.stack([x[:, 1] * (1 - x[:, 1]), 0 * x[:, 1]], 1))
    with torch.no_grad():
        u = evolve(flow, exact, [0.0, 0.5], stepper=Projection(), dt=0.05).final
    if element == "p2":
        torch.testing.assert_close(u, exact, atol=1e-7, rtol=0)
    else:  # linear elements do not hold a parabola: it settles by O(h^2)
        torch.testing.assert_close(u[:, :2], exact[:, :2], atol=0.04, rtol=0)


def test_the_weight_of_a_fluid_at_rest_ends_in_its_pressure() -> None:
    space = Space(random_square(4), "p2")
    weight = Source(space, torch.tensor([0.0, -2.0, 0.0], dtype=F64))
    flow = Stokes(space, 0.1) + weight + Velocity("boundary") + Pressure([lowest_corner(space)], 2.0)
    with torch.no_grad():
        u = evolve(flow, torch.zeros(space.n, 3, dtype=F64), [0.0, 6.0], stepper=Projection(), dt=0.1).final
    torch.testing.assert_close(u[:, 2], 2 - 2 * space.pos[:, 1], atol=2e-3, rtol=0)
    assert float(u[:, :2].abs().max()) < 1e-4


def test_the_pressure_it_starts_from_is_forgotten_and_symmetry_is_no_open_end() -> None:
    space = Space(rectangle(4, 2, height=0.5), "p2")
    y, x = space.pos[:, 1], space.pos[:, 0]
    exact = torch.stack([y * (1 - y), 0 * y, 2 * (1 - x)], 1)
    flow = Stokes(space, 1.0) + Velocity("bottom") + Dirichlet("top", 0.0, channels=[1])
    flow = flow + Velocity("left", lambda x, t: torch.stack([x[:, 1] * (1 - x[:, 1]), 0 * x[:, 1]], 1))
    flow = flow + Dirichlet("right", 0.0, channels=[1])  # leaves straight
    start = torch.zeros(space.n, 3, dtype=F64)
    start[:, 2] = 5.0
    with torch.no_grad():
        u = evolve(flow, start, [0.0, 5.0], stepper=Projection(), dt=0.05).final
    torch.testing.assert_close(u, exact, atol=2e-3, rtol=0)


def test_gradients_through_its_steps() -> None:
    space = Space(random_square(3), "p2")
    nu = torch.tensor(0.05, dtype=F64, requires_grad=True)

    def energy(nu: Tensor) -> Tensor:
        flow = Stokes(space, nu) + Convection(space) + Velocity("boundary", lambda x, t: vortices(x, 0.0)[:, :2])
        flow = flow + Pressure([lowest_corner(space)], 0.0)
        u = evolve(flow, vortices(space.pos, 0.0), [0.0, 0.1], stepper=Projection(rtol=1e-13), dt=0.05).final
        return space.integral(u[:, :2] ** 2).sum()

    (slope,) = torch.autograd.grad(energy(nu), nu)
    with torch.no_grad():
        difference = (energy(nu + 1e-5) - energy(nu - 1e-5)) / 2e-5
    assert float(slope) == pytest.approx(float(difference), rel=1e-5)


def test_what_it_refuses() -> None:
    space = Space(random_square(3), "p2")
    with pytest.raises(InputError, match="projection advances flows, and Diffusion is none"):
        evolve(
            Diffusion(space) + Dirichlet("left", 0.0),
            torch.zeros(space.n, 1, dtype=F64),
            [0.0, 1.0],
            stepper="projection",
        )
    varying = Stokes(space, lambda x, t: 1 + x[:, 0]) + Velocity("boundary")
    with pytest.raises(InputError, match="a viscosity that is the same everywhere"):
        evolve(varying, torch.zeros(space.n, 3, dtype=F64), [0.0, 1.0], stepper="projection")
    pushed = Stokes(space) + Velocity("top") + Neumann("left", torch.tensor([1.0, 0.0, 0.0], dtype=F64))
    with pytest.raises(InputError, match="open ends without traction"):
        evolve(pushed, torch.zeros(space.n, 3, dtype=F64), [0.0, 1.0], stepper="projection")
    with pytest.raises(InputError, match="nothing fixes the pressure"):
        closed = Stokes(space) + Velocity("boundary")
        evolve(closed, torch.zeros(space.n, 3, dtype=F64), [0.0, 1.0], stepper="projection", dt=0.5)
