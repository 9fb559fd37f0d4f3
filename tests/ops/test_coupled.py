"""Coupled problems: exact bars, plates, cylinders, wires and columns of soil, at once and one part after the other."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from graphpde.dynamics import BackwardEuler, Staggered, TrBdf2, evolve, steady
from graphpde.errors import ConditionError, InputError, SolveError
from graphpde.mesh import Space, interval, jittered, random_square, rectangle
from graphpde.ops import Diffusion, Dirichlet, ElectroThermal, Neumann, Robin, Source, System
from graphpde.ops.elasticity import (
    Elasticity,
    ElasticSupport,
    Orthotropic,
    PoroElasticity,
    PressureLoad,
    Symmetry,
    ThermoElasticity,
)

F64 = torch.float64
NOW = torch.zeros((), dtype=F64)
YOUNG, NU, ALPHA = 200.0, 0.3, 0.01


def plate(**options: Any) -> tuple[Space, Elasticity]:
    space = Space(rectangle(6, 3), "p2")
    return space, Elasticity(space, YOUNG, NU, expansion=ALPHA, **{"kind": "plane_stress", **options})


def warm(*temperatures: float) -> list[Dirichlet]:
    return [Dirichlet(s, t, channels=[2]) for s, t in zip(("left", "right"), temperatures, strict=True)]


WALLS = (
    Dirichlet("left", 0.0, channels=[0]),
    Dirichlet("right", 0.0, channels=[0]),
    Dirichlet("bottom", 0.0, channels=[1]),
)


def zeros(space: Space, channels: int = 3) -> Tensor:
    return torch.zeros(space.n, channels, dtype=F64)


# heat and stress


def test_a_bar_between_walls_pushes_by_its_mean_temperature() -> None:
    space, body = plate()
    term = ThermoElasticity(body, 3.0, 2.0)
    u = steady(sum([*WALLS, *warm(0.0, 10.0)], term), zeros(space)).value
    assert torch.allclose(u[:, 2], 10 * space.pos[:, 0], atol=1e-12)
    for stress in term.stress(u):
        assert torch.allclose(stress[..., 0, 0].mean(), torch.tensor(-YOUNG * ALPHA * 5, dtype=F64), rtol=1e-2)
    u = steady(sum([*WALLS, *warm(10.0, 10.0)], term), zeros(space)).value
    for stress in term.stress(u):
        assert float((stress[..., 0, 0] + YOUNG * ALPHA * 10).abs().max()) <= 1e-10
        assert float(stress[..., 1, 1].abs().max()) <= 1e-10


def test_a_free_plate_of_linear_temperature_bends_without_stress() -> None:
    space = Space(jittered(rectangle(5, 5), 0.1, seed=1), "p2")
    corners = [int((space.pos - torch.tensor(x, dtype=F64)).norm(dim=1).argmin()) for x in ([0.0, 0], [1.0, 0])]
    hold = [
        Dirichlet(torch.tensor(corners[:1]), 0.0, channels=[0, 1]),
        Dirichlet(torch.tensor(corners[1:]), 0.0, channels=[1]),
    ]
    term = ThermoElasticity(Elasticity(space, YOUNG, NU, kind="plane_stress", expansion=ALPHA))
    u = steady(sum([*hold, *warm(-20.0, 30.0)], term), zeros(space)).value
    for stress in term.stress(u):
        assert float(stress.abs().max()) <= 1e-9 * YOUNG * ALPHA * 50
    assert float(u[:, 0].abs().max()) > 0.01


def test_a_thick_cylinder_hot_inside() -> None:
    """Timoshenko and Goodier 1970, Theory of Elasticity, section 151: a long one, T = T_i ln(b/r) / ln(b/a)."""
    a, b, hot = 1.0, 2.0, 40.0
    mesh = rectangle(16, 1, width=b - a, height=0.1)
    space = Space(mesh.with_points(mesh.points + torch.tensor([a, 0.0], dtype=F64)), "p2")
    term = ThermoElasticity(Elasticity(space, YOUNG, NU, kind="axisymmetric", expansion=ALPHA), 5.0)
    slides = [Dirichlet("bottom", 0.0, channels=[1]), Dirichlet("top", 0.0, channels=[1])]
    u = steady(sum([*slides, *warm(hot, 0.0)], term), zeros(space)).value
    log = math.log(b / a)
    assert torch.allclose(u[:, 2], hot * (b / space.pos[:, 0]).log() / log, atol=1e-4 * hot)
    (block,), (stress,) = term.points.blocks, term.stress(u)
    r = block.points[..., 0]
    scale, ring = YOUNG * ALPHA * hot / (2 * (1 - NU) * log), a**2 / (b**2 - a**2) * log
    radial = scale * (-(b / r).log() - ring * (1 - b**2 / r**2))
    hoop = scale * (1 - (b / r).log() - ring * (1 + b**2 / r**2))
    assert float((stress[..., 0, 0] - radial).abs().max()) <= 0.01 * scale
    assert float((stress[..., 2, 2] - hoop).abs().max()) <= 0.01 * scale


def test_heat_that_does_not_feel_the_body_may_be_computed_alone() -> None:
    space, body = plate()
    term, k, rho_c = ThermoElasticity(body, 3.0, 2.0), 3.0, 2.0
    times, dt = [0.0, 0.02, 0.1], 0.01
    heat = Diffusion(space, k / rho_c) + Dirichlet("left", 0.0) + Dirichlet("right", 10.0)
    alone = evolve(heat, zeros(space, 1), times, stepper=BackwardEuler(), dt=dt)
    for stepper in (BackwardEuler(), Staggered([2], [0, 1])):
        both = evolve(sum([*WALLS, *warm(0.0, 10.0)], term), zeros(space), times, stepper=stepper, dt=dt)
        for t, u in list(zip(alone.states, both.states, strict=True))[1:]:
            assert torch.allclose(u[:, 2:], t, atol=1e-11)
            still = Elasticity(space, YOUNG, NU, kind="plane_stress", expansion=ALPHA, temperature=t)
            v = steady(sum(WALLS, still), zeros(space, 2)).value
            assert torch.allclose(u[:, :2], v, atol=1e-12)


@pytest.mark.parametrize("kind", ("plane_strain", "axisymmetric"))
def test_what_stretches_cools(kind: str) -> None:
    """Kelvin: insulated, T = -T_0 b tr e / (rho c) with b = E alpha / (1 - 2 nu)."""
    space = Space(rectangle(3, 3), "p2")
    absolute, rho_c, strain = 300.0, 50.0, 1e-3
    body = Elasticity(space, YOUNG, NU, kind=kind, expansion=ALPHA)
    term = ThermoElasticity(body, 1.0, rho_c, absolute)
    pulled = term + Dirichlet(lambda x: x[:, 0] > -1, lambda x, t: t * strain * x, channels=[0, 1])
    final = evolve(pulled, zeros(space), [0.0, 1.0], stepper=BackwardEuler(), dt=0.25).final
    trace = strain * (2 if kind == "plane_strain" else 3)
    exact = -absolute * YOUNG * ALPHA / (1 - 2 * NU) * trace / rho_c
    assert torch.allclose(final[:, 2], torch.full_like(final[:, 2], exact), rtol=1e-9)


def orders(f: Any, u0: Tensor, stepper: Callable[[], Any], channel: int, end: float) -> tuple[list[float], float]:
    """Errors of 10 and 20 steps beside a fine run of the whole, and their order."""
    exact = evolve(f, u0, [0.0, end], stepper=TrBdf2(), dt=end / 50).final
    off = [
        float((evolve(f, u0, [0.0, end], stepper=stepper(), dt=end / n).final - exact)[:, channel].norm())
        for n in (10, 20)
    ]
    return off, math.log2(off[0] / off[1])


@pytest.mark.parametrize("groups", [([2], [0, 1]), ([0, 1], [2])])
def test_heat_and_body_one_after_the_other_agree_with_both_at_once(groups: Any) -> None:
    space, body = plate()
    f = sum([*WALLS, *warm(0.0, 1.0)], ThermoElasticity(body, 0.5, 2.0, 20.0))
    u0 = zeros(space)
    whole, order = orders(f, u0, BackwardEuler, 2, 0.5)
    assert order == pytest.approx(1, abs=0.1)
    split, order = orders(f, u0, lambda: Staggered(*groups), 2, 0.5)
    assert order == pytest.approx(1, abs=0.1) and split[1] < 1.5 * whole[1]
    run = evolve(f, u0, [0.0, 0.5], stepper=BackwardEuler(), dt=0.05).final
    swept = evolve(f, u0, [0.0, 0.5], stepper=Staggered(*groups, sweeps=30), dt=0.05).final
    assert torch.allclose(swept, run, atol=1e-7)


def test_bodies_of_other_materials_swell_as_well() -> None:
    space = Space(rectangle(3, 3))
    wood = Orthotropic([10.0, 1.0, 1.0], [0.3, 0.3, 0.3], [1.0, 1.0, 0.5])
    term = ThermoElasticity(Elasticity(space, wood, expansion=ALPHA))
    u = torch.cat([0.01 * space.pos, 5 + space.pos[:, :1]], 1)
    alone = Elasticity(space, wood, expansion=ALPHA, temperature=5 + space.pos[:, :1])
    for here, there in zip(term.stress(u), alone.stress(u[:, :2]), strict=True):
        assert torch.allclose(here, there, atol=1e-13)
    springs = Robin("left", torch.tensor([2.0, 2.0, 0.0]), 0.0)
    held = term + springs + Dirichlet("left", 1.0, channels=[2])
    found = steady(held + Dirichlet("right", 1.0, channels=[2]), torch.zeros_like(u)).value  # no motion is left free
    assert bool(torch.isfinite(found).all())


def test_gradients_by_what_the_body_is_made_of() -> None:
    space = Space(rectangle(2, 2))

    def final(k: Tensor, capacity: Tensor, young: Tensor) -> Tensor:
        term = ThermoElasticity(Elasticity(space, young, NU, expansion=ALPHA), k, capacity, 5.0)
        f = term + Dirichlet("left", 0.0, channels=[0, 1]) + Dirichlet("right", 1.0, channels=[2])
        runs = [
            evolve(f, zeros(space), [0.0, 0.3], stepper=stepper, dt=0.1).final
            for stepper in (BackwardEuler(), Staggered([2], [0, 1], sweeps=2))
        ]
        return torch.stack(runs).square().sum()

    at = [torch.tensor(v, dtype=F64, requires_grad=True) for v in (1.0, 2.0, YOUNG)]
    assert torch.autograd.gradcheck(final, at)


# current and heat


def wire(**options: Any) -> tuple[Space, ElectroThermal]:
    space = Space(interval(16, 2.0), "p2")
    return space, ElectroThermal(space, **options)


def ends(low: float, high: float, temperature: float) -> list[Dirichlet]:
    values = ([low, temperature], [high, temperature])
    return [Dirichlet(s, torch.tensor(v, dtype=F64)) for s, v in zip(("left", "right"), values, strict=True)]


def test_a_wire_between_cold_ends_is_a_parabola() -> None:
    space, term = wire(electric=3.0, thermal=0.5)
    u = steady(sum(ends(0.0, 4.0, 10.0), term), zeros(space, 2)).value
    s = space.pos[:, 0] / 2
    assert torch.allclose(u[:, 0], 4 * s, atol=1e-11)
    assert torch.allclose(u[:, 1], 10 + 3.0 / 0.5 * 4**2 / 2 * s * (1 - s), atol=1e-10)


def test_kohlrausch_knows_how_hot_a_contact_gets() -> None:
    """k / sigma = L T (Wiedemann and Franz): T_max^2 = T_0^2 + V^2 / (4 L), whatever the shape."""
    volt, cold, k, s0 = 40.0, 300.0, 0.5, 50.0
    exact = math.sqrt(cold**2 + volt**2 * s0 / (4 * k))
    space, term = wire(electric=lambda t: s0 / t, thermal=k)
    u0 = torch.tensor([volt / 2, cold], dtype=F64).expand(space.n, 2)
    assert float(steady(sum(ends(0.0, volt, cold), term), u0).value[:, 1].max()) == pytest.approx(exact, rel=1e-6)
    neck = random_square(6, seed=1)
    squeezed = neck.points * torch.stack([torch.ones(neck.n), 0.3 + (neck.points[:, 0] - 0.5) ** 2], 1)
    space = Space(neck.with_points(squeezed), "p2")
    term = ElectroThermal(space, lambda t: s0 / t, k)
    u0 = torch.tensor([volt / 2, cold], dtype=F64).expand(space.n, 2)
    hot = steady(sum(ends(0.0, volt, cold), term), u0).value[:, 1]
    assert float(hot.max()) == pytest.approx(exact, rel=1e-3)


@pytest.mark.parametrize("groups", [([0], [1]), ([1], [0])])
def test_current_and_heat_one_after_the_other_agree_with_both_at_once(groups: Any) -> None:
    space, term = wire(electric=lambda t: 50.0 / t, thermal=0.5, capacity=2.0)
    f, v = sum(ends(0.0, 40.0, 300.0), term), 20 * space.pos
    u0 = torch.cat([v, torch.full_like(v, 300.0)], 1)
    _, order = orders(f, u0, lambda: Staggered(*groups), 1, 0.5)
    assert order == pytest.approx(1, abs=0.1)
    run = evolve(f, u0, [0.0, 0.1], stepper=BackwardEuler(), dt=0.05).final
    swept = evolve(f, u0, [0.0, 0.1], stepper=Staggered(*groups, sweeps=8), dt=0.05).final
    assert torch.allclose(swept, run, atol=1e-6)


def test_the_pieces_of_a_wire_are_the_whole() -> None:
    space, term = wire(electric=lambda t: 50.0 / t)
    u = torch.cat([space.pos, 300 + 5 * space.pos**2], 1)
    f = System(term, None, NOW)
    assert torch.allclose(f(NOW, u), term(NOW, u), atol=1e-12)
    assert f.algebraic == ("potential",)


# water in soil


def column(element: str, storage: float = 0.0, load: float = 2.0) -> tuple[Space, Any, float]:
    """A column of height 1 on a rigid base, drained at the top; its stiffness M."""
    space = Space(rectangle(1, 12, width=0.1), element)
    stiff = YOUNG * (1 - NU) / ((1 + NU) * (1 - 2 * NU))
    soil = PoroElasticity(Elasticity(space, YOUNG, NU), 1.0, storage)
    rollers = [Dirichlet(s, 0.0, channels=[k]) for s, k in (("left", 0), ("right", 0), ("bottom", 1))]
    drained = Dirichlet("top", 0.0, channels=[2])
    return space, sum([*rollers, drained, Neumann("top", torch.tensor([0.0, -load, 0.0]))], soil), stiff


@pytest.mark.parametrize("element", ("p1", "p2"))
def test_a_column_of_soil_settles_as_terzaghi_says(element: str) -> None:
    load = 2.0
    space, terms, stiff = column(element, load=load)
    times = [s / stiff for s in (0.0, 0.1, 0.3, 1.0)]
    run = evolve(terms, zeros(space), times, stepper=TrBdf2(), dt=0.005 / stiff)
    odd = math.pi / 2 * (2 * torch.arange(200, dtype=F64) + 1)
    depth, top = 1 - space.pos[:, 1:], space.nodes_of("top")
    for t, u in list(zip(times, run.states, strict=True))[1:]:
        decay = torch.exp(-(odd**2) * t * stiff)
        pressure = load * (2 / odd * torch.sin(odd * depth) * decay).sum(1)
        assert float((u[:, 2] - pressure).abs().max()) <= 0.01 * load
        settled = load / stiff * (1 - float((2 / odd**2 * decay).sum()))
        assert -float(u[top, 1].mean()) == pytest.approx(settled, rel=0.01)


@pytest.mark.parametrize("storage", (0.0, 1 / 300))
def test_water_first_carries_the_load(storage: float) -> None:
    """Undrained, p = b load / (b^2 + S M): all of it where the water does not compress."""
    space, terms, stiff = column("p2", storage)
    u = evolve(terms, zeros(space), [0.0, 1e-9], stepper=BackwardEuler()).final
    deep = space.pos[:, 1] < 0.5
    assert torch.allclose(u[deep, 2], torch.full_like(u[deep, 2], 2 / (1 + storage * stiff)), rtol=1e-4)


def test_the_pressure_is_linear_between_corners() -> None:
    space, terms, stiff = column("p2")
    u = evolve(terms, zeros(space), [0.0, 0.1 / stiff], stepper=BackwardEuler(), dt=0.01 / stiff).final
    block = space.blocks(0)[0]
    for k, (a, b) in enumerate(((0, 1), (1, 2), (2, 0))):
        mean = (u[block.dofs[:, a], 2] + u[block.dofs[:, b], 2]) / 2
        assert torch.allclose(u[block.dofs[:, 3 + k], 2], mean, atol=1e-10)


@pytest.mark.parametrize("element", ("p1", "p2"))
def test_water_that_enters(element: str) -> None:
    """Through a side p = q x / k, from inside p = f (x - x^2 / 2) / k at the corners; leaks need linear elements."""
    space = Space(rectangle(16, 1, height=0.05), element)
    soil = PoroElasticity(Elasticity(space, 1.0, 0.2), 0.5, 1.0) + Dirichlet("left", 0.0)
    corners, x = space.dof_of_point, space.pos[:, 0]
    u = steady(soil + Neumann("right", torch.tensor([0.0, 0.0, 3.0])), zeros(space)).value
    assert torch.allclose(u[:, 2], 6 * x, atol=1e-10)
    u = steady(soil + Source(space, torch.tensor([0.0, 0.0, 3.0])), zeros(space)).value
    assert torch.allclose(u[corners, 2], (6 * (x - x**2 / 2))[corners], atol=4e-3)
    leak = soil + Robin("right", torch.tensor([0.0, 0.0, 1.0]), torch.tensor([0.0, 0.0, 3.0]))
    if element == "p1":
        assert torch.allclose(steady(leak, zeros(space)).value[:, 2], 2 * x, atol=1e-10)
        return
    with pytest.raises(ConditionError, match="exchanges a field of PoroElasticity that is linear on a space of second"):
        steady(leak, zeros(space))


def test_soil_and_water_that_compresses_one_after_the_other() -> None:
    space, terms, stiff = column("p1", 8 / (YOUNG * 1.35))
    end = 0.5 / stiff
    for groups in (([0, 1], [2]), ([2], [0, 1])):
        _, order = orders(terms, zeros(space), lambda groups=groups: Staggered(*groups), 2, end)
        assert order == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("kind", ("plane_strain", "axisymmetric"))
@pytest.mark.parametrize("stiffness", (4.0, torch.tensor([1.0, 4.0]), lambda x, t: 4 + 0 * x[:, 0]))
def test_pressure_and_springs_leave_the_temperature_alone(kind: str, stiffness: object) -> None:
    """A block warmed by T rises on its springs by alpha T p and sinks by p / E; they neither heat nor cool it."""
    space = Space(rectangle(4, 4), "p2")
    body = Elasticity(space, 20.0, 0.0, kind=kind, expansion=0.1)
    heated = ThermoElasticity(body, 5.0, 1.0) + Dirichlet("right", 3.0, channels=(2,)) + Symmetry("left")
    u = steady(
        heated + Symmetry("right") + PressureLoad("top", 2.0) + ElasticSupport("bottom", stiffness), zeros(space)
    ).value
    assert torch.allclose(u[:, 2], torch.full_like(u[:, 2], 3.0))
    y = space.pos[:, 1]
    assert torch.allclose(u[:, 1], -2.0 / 4.0 + (0.3 - 0.1) * y, atol=1e-10)


@pytest.mark.parametrize("sweeps", (1, 3))
@pytest.mark.parametrize("groups", (([0, 1], [2]), ([2], [0, 1])))
def test_groups_that_drive_each_other_apart_are_an_error(groups: Any, sweeps: int) -> None:
    space, terms, stiff = column("p1")
    with pytest.raises(SolveError, match="the groups of staggered drive each other apart: .*; solve them together"):
        evolve(terms, zeros(space), [0.0, 1 / stiff], stepper=Staggered(*groups, sweeps=sweeps), dt=0.1 / stiff)


def test_a_current_without_a_ground_is_an_error() -> None:
    space = Space(rectangle(8, 8))
    loose = ElectroThermal(space) + Neumann("left", torch.tensor([1.0, 0.0])) + Dirichlet("right", 1.0, channels=(1,))
    with pytest.raises(SolveError, match="the unknowns grew to .*; is their level fixed"):
        steady(loose, zeros(space, 2))


# refusals


def test_refusals() -> None:
    space, body = plate()
    with pytest.raises(InputError, match=r"the body is .*, expected Elasticity\(space, E, nu\)"):
        ThermoElasticity(space)
    with pytest.raises(InputError, match="the body has a temperature of its own"):
        ThermoElasticity(Elasticity(space, expansion=1.0, temperature=3.0))
    with pytest.raises(InputError, match="conductivity is 0, expected finite numbers > 0"):
        ThermoElasticity(body, 0.0)
    with pytest.raises(InputError, match="capacity is -1, expected finite numbers >= 0"):
        ThermoElasticity(body, 1.0, -1.0)
    with pytest.raises(InputError, match="absolute = -3, expected a temperature >= 0"):
        ThermoElasticity(body, 1.0, 1.0, -3.0)
    with pytest.raises(InputError, match="biot = 0, expected a number above 0 and at most 1"):
        PoroElasticity(Elasticity(space), biot=0.0)
    with pytest.raises(InputError, match="in plane stress water would leave through the faces"):
        PoroElasticity(body)
    with pytest.raises(InputError, match="the electric conductivity is -1 at 300, expected a finite number > 0"):
        ElectroThermal(space, -1.0)
    with pytest.raises(ConditionError, match="the body can still .* turn about z; hold that by a value"):
        steady(sum(warm(0.0, 1.0), ThermoElasticity(body)), zeros(space))
    for groups in ([[0, 1]], [[0], [2]], [[0], [0, 1]], [[0], []]):
        with pytest.raises(InputError, match="groups of channels are .*, expected two or more that hold each"):
            Staggered(*groups)
    with pytest.raises(InputError, match="sweeps = 0, expected 1 or more"):
        Staggered([0], [1], sweeps=0)
    with pytest.raises(InputError, match="the state has 3 channels and the groups of staggered name 2"):
        evolve(ThermoElasticity(body) + Dirichlet("left", 0.0), zeros(space), [0.0, 1.0], stepper=Staggered([0], [1]))
