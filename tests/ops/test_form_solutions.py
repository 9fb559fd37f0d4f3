"""Each form against exact solutions: order 2 on refined random meshes, invariants, derivatives of the solution."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import BackwardEuler, CrankNicolson, evolve, steady
from graphpde.mesh import Space, interval, jittered, random_square, rectangle, refine
from graphpde.mesh.elements import P2
from graphpde.ops import Diffusion, Dirichlet, Source
from graphpde.ops.forms import (
    AllenCahn,
    Burgers,
    Helmholtz,
    MinimalSurface,
    NonlinearDiffusion,
    PLaplacian,
    PorousMedium,
    ReactionForm,
    VectorBurgers,
    barenblatt,
)

F64 = torch.float64
Exact = Callable[[Tensor], Tensor]


def zeros(space: Space, c: int = 1) -> Tensor:
    return torch.zeros(space.n, c, dtype=F64)


def l2_error(space: Space, u: Tensor, exact: Exact, degree: int = 5) -> float:
    """sqrt of the integral of (u - exact)^2, exact: [k, d] -> [k] or [k, c]."""
    total = 0.0
    for block in space.blocks(degree):
        there = torch.einsum("qk,mkc->mqc", block.values, u[block.dofs])
        wanted = exact(block.points.flatten(0, 1)).reshape(there.shape)
        total += float((block.volume[..., None] * (there - wanted) ** 2).sum())
    return total**0.5


def source_of(exact: Exact, flux: Callable[[Tensor, Tensor, Tensor], Tensor], rest: Callable[..., Tensor]) -> Any:
    """The f that makes ``exact`` solve div flux(x, u, grad u) = rest(u) + f, by torch.func."""

    def one(x: Tensor) -> Tensor:
        return exact(x[None])[0]

    def along(x: Tensor) -> Tensor:
        return flux(x, one(x), torch.func.grad(one)(x))

    def point(x: Tensor) -> Tensor:
        return torch.func.jacrev(along)(x).diagonal().sum() - rest(one(x))

    return lambda x, t: torch.func.vmap(point)(x)


def wave(x: Tensor) -> Tensor:
    """A smooth positive field without symmetry."""
    return 1.5 + 0.5 * torch.sin(2 * x[:, 0] + 0.3) * torch.cos(1.5 * x[:, 1]) + 0.3 * x[:, 0]


def scherk(x: Tensor) -> Tensor:
    """Scherk 1834: log(cos x / cos y) is a minimal graph."""
    return torch.log(torch.cos(x[:, 0]) / torch.cos(x[:, 1]))


def catenoid(x: Tensor) -> Tensor:
    """arcosh of the distance from an axis outside of the square."""
    return torch.acosh((x + torch.tensor([1.0, 0.8], dtype=F64)).norm(dim=1))


def radial(p: float) -> Exact:
    """-div(|grad u|^(p-2) grad u) = 2 in the plane, about a centre outside of the square."""
    a = p / (p - 1)
    return lambda x: -((x + torch.tensor([0.6, 0.4], dtype=F64)).norm(dim=1) ** a) / a


Case = tuple[Callable[[Space], Any], Exact, Any]
STEADY: dict[str, Case] = {
    "minimal surface of Scherk": (MinimalSurface, scherk, None),
    "minimal surface, catenoid": (MinimalSurface, catenoid, None),
    "p-Laplacian, p = 4": (lambda s: PLaplacian(s, 4.0, slope=1e-8), radial(4.0), 2.0),
    "p-Laplacian, p = 1.5": (lambda s: PLaplacian(s, 1.5, slope=1e-8), radial(1.5), 2.0),
    "p-Laplacian, manufactured": (
        lambda s: PLaplacian(s, 3.0, 0.7, slope=0.5),
        wave,
        source_of(wave, lambda x, u, g: -0.7 * (0.25 + g @ g) ** 0.5 * g, lambda u: 0 * u),
    ),
    "porous medium, u^3 linear": (
        lambda s: PorousMedium(s, 3.0),
        lambda x: (1 + x @ torch.tensor([1.0, 2.0], dtype=F64)) ** (1 / 3),
        None,
    ),
    "nonlinear diffusion 1 + u^2": (
        NonlinearDiffusion,
        wave,
        source_of(wave, lambda x, u, g: -(1 + u * u) * g, lambda u: 0 * u),
    ),
    "diffusion by place and slope": (
        lambda s: NonlinearDiffusion(
            s, lambda x, u, g: (1 + x[..., :1]) * (1 + (g * g).sum(-1)).sqrt(), everywhere=True
        ),
        wave,
        source_of(wave, lambda x, u, g: -(1 + x[0]) * (1 + g @ g).sqrt() * g, lambda u: 0 * u),
    ),
    "Allen-Cahn": (
        lambda s: AllenCahn(s, 0.5, 0.3),
        wave,
        source_of(wave, lambda x, u, g: -0.5 * g, lambda u: 0.3 * (u - u**3)),
    ),
    "reaction with diffusion": (
        lambda s: ReactionForm(s, lambda u: -(u**3)) + Diffusion(s),
        wave,
        source_of(wave, lambda x, u, g: -g, lambda u: -(u**3)),
    ),
    "Helmholtz": (
        lambda s: Helmholtz(s, 3.0),
        wave,
        source_of(wave, lambda x, u, g: -g, lambda u: 9.0 * u),
    ),
    "Burgers across the plane": (
        lambda s: Burgers(s, 0.2, direction=[1.0, 0.5]),
        wave,
        source_of(
            wave,
            lambda x, u, g: u * u / 2 * torch.tensor([1.0, 0.5], dtype=F64) - 0.2 * g,
            lambda u: 0 * u,
        ),
    ),
}


@pytest.mark.parametrize("name", STEADY)
def test_steady_states_of_second_order(name: str) -> None:
    form, exact, source = STEADY[name]
    coarse, errors = random_square(4, seed=7), []
    for level in (1, 2):
        space = Space(refine(coarse, level))
        terms = form(space) + Dirichlet("boundary", lambda x, t: exact(x))
        if source is not None:
            terms = terms + Source(space, source)
        result = steady(terms, zeros(space) + (1.0 if "porous" in name else 0.0))
        assert result.converged and result.iterations <= 20
        errors.append(l2_error(space, result.value, exact))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.2)
    assert errors[1] < 5e-3


@pytest.mark.parametrize(
    "name", ["minimal surface of Scherk", "Allen-Cahn", "nonlinear diffusion 1 + u^2", "Helmholtz"]
)
def test_quadratic_elements_gain_an_order(name: str) -> None:
    form, exact, source = STEADY[name]
    coarse, errors = random_square(3, seed=7), []
    for level in (1, 2):
        space = Space(refine(coarse, level), P2())
        terms = form(space) + Dirichlet("boundary", lambda x, t: exact(x))
        if source is not None:
            terms = terms + Source(space, source)
        errors.append(l2_error(space, steady(terms, zeros(space)).value, exact))
    assert math.log2(errors[0] / errors[1]) > 2.8


def test_degenerate_forms_start_from_nothing() -> None:
    """From zero, where the Jacobian of p = 4 all but vanishes."""
    space = Space(random_square(12, seed=1))
    loaded = PLaplacian(space, 4.0) + Source(space, 1.0) + Dirichlet("boundary", 0.0)
    u = steady(loaded, zeros(space)).value
    assert 0.2 < float(u.max()) < 0.3 and float(u.min()) >= 0
    filled = PorousMedium(space, 3.0) + Source(space, 1.0) + Dirichlet("boundary", 0.0)
    assert float(steady(filled, zeros(space) + 0.5).value.min()) >= 0


# Burgers


def test_a_steady_shock_of_burgers() -> None:
    """u = -U tanh(U x / (2 nu)) stands still."""
    nu, speed, errors = 0.1, 1.0, []
    exact = lambda x: -speed * torch.tanh(speed * x[:, 0] / (2 * nu))  # noqa: E731
    for n in (40, 80):
        space = Space(jittered(interval(n, 2.0, origin=-1.0), 0.2, seed=1))
        terms = Burgers(space, nu) + Dirichlet("boundary", lambda x, t: exact(x))
        u = steady(terms, -space.pos).value
        errors.append(l2_error(space, u, exact))
    assert errors[1] < 0.3 * errors[0] and errors[1] < 2e-3


def test_a_travelling_wave_of_burgers() -> None:
    """u = c - tanh((x - c t) / (2 nu)), by Crank-Nicolson."""
    nu, c = 0.1, 0.5
    wave = lambda x, t: c - torch.tanh((x[:, 0] - c * t) / (2 * nu))  # noqa: E731
    space = Space(interval(160, 4.0, origin=-2.0))
    terms = Burgers(space, nu) + Dirichlet("boundary", wave)
    end = 0.5
    path = evolve(terms, wave(space.pos, 0.0)[:, None], [0.0, end], stepper=CrankNicolson(), dt=0.02)
    assert l2_error(space, path.states[-1], lambda x: wave(x, end)) < 2e-3


def test_vector_burgers_by_cole_and_hopf() -> None:
    """u = -2 nu grad(phi) / phi stands still for harmonic phi (Cole 1951, Hopf 1950)."""
    nu, errors = 0.5, []

    def exact(x: Tensor) -> Tensor:
        a, b = x.unbind(-1)
        phi = 3 + torch.exp(a) * torch.cos(b)
        return -2 * nu * torch.stack([torch.exp(a) * torch.cos(b), -torch.exp(a) * torch.sin(b)], -1) / phi[:, None]

    for level in (1, 2):
        space = Space(refine(random_square(4, seed=7), level))
        terms = VectorBurgers(space, nu) + Dirichlet("boundary", lambda x, t: exact(x))
        errors.append(l2_error(space, steady(terms, zeros(space, 2)).value, exact))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15)


# porous medium


def test_barenblatt_spreads_and_keeps_its_mass() -> None:
    m, start, end = 2.0, 1.0, 3.0
    mesh = jittered(rectangle(24, 24), 0.1, seed=1)
    space = Space(mesh.with_points(14 * mesh.points - 7))
    u0 = barenblatt(space.pos, start, m)[:, None]
    path = evolve(PorousMedium(space, m), u0, [start, end], stepper=BackwardEuler(), dt=0.2)
    u = path.states[-1]
    mass = float(space.integral(u0))
    assert float(space.integral(u)) == pytest.approx(mass, rel=1e-8)
    assert mass == pytest.approx(8 * math.pi, rel=2e-2)  # pi C^2 / (2 q) with q = 1/16
    miss = u - barenblatt(space.pos, end, m)[:, None]
    assert float(space.integral(miss.abs())) < 0.05 * mass
    front = 4 * end**0.25  # |x|^2 = C / q t^(1/2)
    far = space.pos.norm(dim=1) > front + 1.2  # two cells ahead of it
    assert bool(far.any()) and float(u[far].abs().max()) < 5e-3 * float(u.max())


def test_barenblatt_solves_the_equation() -> None:
    for d in (1, 2, 3):
        x = torch.full((1, d), 0.3, dtype=F64)

        def u(x: Tensor, t: Tensor) -> Tensor:
            return barenblatt(x[None], t, 3.0)[0]

        t = torch.tensor(1.3, dtype=F64)
        rate = torch.func.grad(u, argnums=1)(x[0], t)
        spread = torch.func.hessian(lambda y: u(y, t) ** 3)(x[0]).diagonal().sum()  # noqa: B023
        assert float(rate) == pytest.approx(float(spread), rel=1e-10)


# waves of one frequency


def test_a_wave_leaves_through_an_absorbing_end() -> None:
    """e^{ikx} on a rod: given on the left, absorbed on the right, nothing comes back."""
    k, errors = 6.0, []
    exact = lambda x: torch.stack([torch.cos(k * x[:, 0]), torch.sin(k * x[:, 0])], -1)  # noqa: E731
    for n in (40, 80):
        space = Space(jittered(interval(n), 0.2, seed=1))
        terms = Helmholtz(space, k, absorbing="right") + Dirichlet("left", torch.tensor([1.0, 0.0], dtype=F64))
        errors.append(l2_error(space, steady(terms, zeros(space, 2)).value, exact))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.15) and errors[1] < 2e-2


def test_a_duct_absorbs_a_plane_wave_and_reflects_without() -> None:
    k = 3.5  # away from the resonances of the closed duct
    mesh = jittered(rectangle(32, 8), 0.15, seed=1)
    space = Space(mesh.with_points(mesh.points * torch.tensor([2.0, 0.5], dtype=F64)))
    given = Dirichlet("left", torch.tensor([1.0, 0.0], dtype=F64))
    u = steady(Helmholtz(space, k, absorbing="right") + given, zeros(space, 2)).value
    assert float((u.norm(dim=1) - 1).abs().max()) < 0.03  # |e^{ikx}| = 1: no standing wave
    closed = steady(Helmholtz(space, k) + Dirichlet("left", 1.0), zeros(space)).value[:, 0]
    standing = torch.cos(k * (2 - space.pos[:, 0])) / math.cos(2 * k)
    assert float((closed - standing).abs().max()) < 0.03 * float(standing.abs().max())


def test_helmholtz_is_minus_stiffness_plus_mass() -> None:
    space = Space(random_square(4, seed=1))
    u = torch.rand(space.n, 1, dtype=F64)
    now = torch.tensor(0.0, dtype=F64)
    expected = Diffusion(space)(now, u) + 9.0 * space.consistent_mass(u)
    form = Helmholtz(space, 3.0)
    assert torch.allclose(form(now, u), expected, atol=1e-13) and form.operator is form.operator
    per_cell = torch.full((space.mesh.n_cells,), 3.0, dtype=F64)
    assert torch.allclose(Helmholtz(space, per_cell)(now, u), expected, atol=1e-13)


# energies fall


def test_allen_cahn_descends_and_separates() -> None:
    space = Space(random_square(10, seed=1))
    form = AllenCahn(space, 2e-3, 1.0)
    u0 = 0.2 * torch.randn(space.n, 1, dtype=F64, generator=torch.Generator().manual_seed(0))
    path = evolve(form, u0, torch.linspace(0, 10, 6, dtype=F64), stepper=BackwardEuler(), dt=0.5)
    energy = form.energy(path.states)
    assert bool((energy.diff() < 1e-12).all()) and float(energy[-1]) < 0.6 * float(energy[0])
    assert 0.9 < float(path.states[-1].abs().max()) < 1.1  # the layers are a cell wide: no maximum principle


def test_an_interface_of_allen_cahn_has_its_profile() -> None:
    """tanh(x / sqrt(2 D / r)), of energy sqrt(8 D r) / 3 per length."""
    d, r = 0.02, 2.0
    space = Space(interval(80, 2.0, origin=-1.0), P2())
    form = AllenCahn(space, d, r)
    exact = lambda x: torch.tanh(x[:, 0] / math.sqrt(2 * d / r))  # noqa: E731
    u = steady(form + Dirichlet("boundary", lambda x, t: exact(x)), exact(space.pos)[:, None]).value
    assert l2_error(space, u, exact) < 1e-4
    assert float(form.energy(u)) == pytest.approx(math.sqrt(8 * d * r) / 3, rel=1e-3)


# derivatives of steady states

SOLVED: dict[str, Callable[[Space, Tensor], Any]] = {
    "allen-cahn": lambda s, z: AllenCahn(s, 0.2 * z, 0.5),
    "burgers": lambda s, z: Burgers(s, 0.5 * z),
    "vector-burgers": lambda s, z: VectorBurgers(s, 0.5 * z),
    "nonlinear-diffusion": lambda s, z: NonlinearDiffusion(s, lambda u: 1 + z * u * u),
    "helmholtz": lambda s, z: Helmholtz(s, 2 * z),
    "minimal-surface": lambda s, z: MinimalSurface(s) + Source(s, 0.3),
    "p-laplacian": lambda s, z: PLaplacian(s, 3.0, z, slope=0.1) + Source(s, 1.0),
    "porous-medium": lambda s, z: PorousMedium(s, 2.0) + Source(s, 0.5),
    "reaction": lambda s, z: ReactionForm(s, lambda u: -z * u**3) + Diffusion(s),
}


@pytest.mark.parametrize("what", ["coefficient", "boundary values", "node positions"])
@pytest.mark.parametrize("name", SOLVED)
def test_taylor_through_the_steady_state(name: str, what: str) -> None:
    mesh = random_square(3, seed=1)
    c = 2 if name == "vector-burgers" else 1
    nodes = Space(mesh).nodes_of("boundary")
    weight = torch.randn(mesh.n, c, dtype=F64, generator=torch.Generator().manual_seed(1))
    given = 1 + 0.5 * torch.rand(len(nodes), c, dtype=F64, generator=torch.Generator().manual_seed(2))
    one = torch.ones((), dtype=F64)
    at = {"coefficient": one, "boundary values": given, "node positions": mesh.points}[what]
    if what == "coefficient" and name in ("minimal-surface", "porous-medium"):
        pytest.skip("the equation has no coefficient")

    def functional(z: Tensor) -> Tensor:
        space = Space(mesh.with_points(z) if what == "node positions" else mesh)
        terms = SOLVED[name](space, z if what == "coefficient" else one)
        terms = terms + Dirichlet(nodes, z if what == "boundary values" else given)
        return (steady(terms, torch.ones(space.n, c, dtype=F64)).value * weight).sum()

    d = torch.randn(at.shape, dtype=F64, generator=torch.Generator().manual_seed(3))
    z = at.clone().requires_grad_()
    value = functional(z)
    (slope,) = torch.autograd.grad(value, z)
    with torch.no_grad():
        left = [float((functional(at + h * d) - value - h * (slope * d).sum()).abs()) for h in (1e-3, 5e-4)]
    # helmholtz is linear in its boundary values
    linear = name == "helmholtz" and what == "boundary values"
    assert max(left) < 1e-11 if linear else math.log2(left[0] / left[1]) == pytest.approx(2, abs=0.15)


def test_derivatives_through_an_implicit_step_of_a_form() -> None:
    space = Space(random_square(3, seed=1))
    kappa = torch.ones((), dtype=F64, requires_grad=True)

    def end(kappa: Tensor) -> Tensor:
        terms = PLaplacian(space, 4.0, kappa) + Dirichlet("left", 0.0)
        return (
            evolve(terms, space.pos[:, :1] ** 2, [0.0, 5.0], stepper=BackwardEuler(), dt=2.5).states[-1].square().sum()
        )

    (slope,) = torch.autograd.grad(end(kappa), kappa)
    h = 1e-5
    with torch.no_grad():
        difference = (end(kappa + h) - end(kappa - h)) / (2 * h)
    assert float(slope) == pytest.approx(float(difference), rel=1e-6)
