"""Mass and bounds over whole runs, and independence of the numbering."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from benchmarks.manufactured import meshes, structure
from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.dynamics import BackwardEuler, CrankNicolson, Heun, Rk4, evolve
from graphpde.dynamics.evolve import longest_stable_step
from graphpde.mesh import CellSpace, Mesh, Space, jittered, rectangle, refine
from graphpde.ops import Advection, CentredAdvection, Diffusion, LimitedAdvection, System

SECTION = "Conservation, bounds, numbering"
LONG, CARRIED = 100_000, 1000
SOURCES = (*SOLVING, "benchmarks/manufactured", "benchmarks/physics/conservation.py")
_START = torch.zeros((), dtype=torch.float64)
_PERIODIC = (("left", "right"), ("bottom", "top"))


def rows() -> list[Row]:
    """The rows."""
    small = at_most(1e-12)
    out = [
        _row(
            "mass drift on a closed surface, diffusion by edge differences",
            "1e-12",
            small,
            lambda: _long(structure.closed_surface),
        ),
        _row(
            "mass drift on an insulated plate, diffusion by edge differences",
            "1e-12",
            small,
            lambda: _long(structure.insulated_plate),
        ),
    ]
    for name, scheme in (("upwind", Advection), ("centred", CentredAdvection), ("limited", LimitedAdvection)):
        for where, space in (("elements", _elements), ("cell averages", _averages)):
            run: Callable[[], Found] = lambda s=scheme, d=space: _carried(s, d())  # noqa: E731
            out.append(_row(f"mass drift of {name} advection round a periodic square, {where}", "1e-12", small, run))
    run = lambda: _averaged_heat()  # noqa: E731
    out.append(_row("mass drift of diffusion between cell averages, insulated", "1e-12", small, run))
    out.append(_row("violation of the maximum principle by backward Euler", "1e-13", at_most(1e-13), _bounded))
    for where, space in (("elements", _elements), ("cell averages", _averages)):
        for given, bounds in (("", None), (", bounds given", (0.0, 1.0))):
            run = lambda d=space, b=bounds: _new_extrema(d(), b)  # noqa: E731
            what = f"overshoot of limited advection of a square pulse{given}, {where}"
            out.append(_row(f"{what}, steps of 1/2 of the positivity bound", "1e-12", small, run))
    out.append(_row("largest change by renumbering points and cells", "1e-12", small, _renumbered))
    return out


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, sources=SOURCES)


def _long(mesh: Callable[[], Mesh]) -> Found:
    found = structure.conservation(mesh(), LONG)
    energy = "energy never rises" if found.rise == 0 else f"energy rises by {found.rise:.1e}"
    worst = found.drift if found.rise == 0 else float("inf")
    return Found(
        worst, f"{found.drift:.1e}", f"{found.unknowns} unknowns, {found.steps} steps of forward Euler", energy
    )


def _square() -> Mesh:
    return refine(jittered(rectangle(6, 6, cells="mixed"), 0.2, seed=4), 1)


def _elements() -> Space:
    return Space(_square(), periodic=_PERIODIC)


def _averages() -> CellSpace:
    return CellSpace(_square(), periodic=_PERIODIC)


def _turning(x: Tensor) -> Tensor:
    """A periodic velocity free of divergence."""
    wave = 2 * torch.pi * x
    return torch.stack([1 + 0.3 * torch.sin(wave[:, 1]), 0.5 + 0.3 * torch.sin(wave[:, 0])], 1)


def _carried(scheme: Any, space: Any) -> Found:
    """Total mass after many steps of a positive field."""
    term = scheme(space, _turning if scheme is not CentredAdvection else torch.tensor([1.0, 0.5], dtype=torch.float64))
    stepper = Rk4() if scheme is CentredAdvection else Heun()
    x = space.pos
    u0 = (1.5 + torch.sin(2 * torch.pi * x[:, :1]) * torch.cos(2 * torch.pi * x[:, 1:])).contiguous()
    dt = 0.5 * float(longest_stable_step(System(term, None, _START), stepper) or 1e-3)
    steps = CARRIED if scheme is not CentredAdvection else 200
    end = evolve(term, u0, [0.0, steps * dt], stepper=stepper, dt=dt).final
    drift = abs(float(space.integral(end) - space.integral(u0))) / abs(float(space.integral(u0)))
    return Found(drift, f"{drift:.1e}", f"{space.n} unknowns, {steps} steps of {stepper.name}")


def _averaged_heat() -> Found:
    space = CellSpace(_square())
    u0 = 1 + space.pos[:, :1] ** 2  # type: ignore[index]
    term = Diffusion(space, 0.3)
    dt = 0.5 * float(longest_stable_step(System(term, None, _START), Heun()) or 1e-3)
    end = evolve(term, u0, [0.0, CARRIED * dt], stepper=Heun(), dt=dt).final
    drift = abs(float(space.integral(end) - space.integral(u0))) / float(space.integral(u0))
    return Found(drift, f"{drift:.1e}", f"{space.n} unknowns, {CARRIED} steps of heun")


def _new_extrema(space: Any, bounds: tuple[float, float] | None) -> Found:
    """How far a pulse of height 1 leaves [0, 1]; the bound: the longest Euler step with weights >= 0 when upwind."""
    velocity = torch.tensor([1.0, 0.5], dtype=torch.float64)
    term, upwind = LimitedAdvection(space, velocity, bounds), Advection(space, velocity).operator.diagonal()
    assert upwind is not None
    dt = 0.5 * float((space.measure / -upwind).min())
    u0 = ((space.pos - 0.4).abs() < 0.2).all(1).to(torch.float64)[:, None]
    run = evolve(term, u0, torch.linspace(0, 4, 41, dtype=torch.float64), stepper=Heun(), dt=dt)
    worst = max(0.0, float((-run.states).max()), float((run.states - 1).max()))
    return Found(worst, f"{worst:.1e}", f"{space.n} unknowns, random cells of both kinds, {run.steps} steps of heun")


def _bounded() -> Found:
    worst = max(structure.bounds_violation(structure.insulated_plate(), dt) for dt in (1e-6, 1e-4, 1e-2, 1.0, 100.0))
    return Found(worst, f"{worst:.1e}", "plate with two holes, 200 steps each of dt = 1e-6 to 100")


def _renumbered() -> Found:
    steppers = (BackwardEuler(), CrankNicolson(), Rk4())
    grids = (meshes.square(2), meshes.quads(2))
    worst = max(structure.numbering_difference(mesh, stepper) for mesh in grids for stepper in steppers)
    return Found(worst, f"{worst:.1e}", "diffusion, transport, reaction, source and all conditions to t = 0.5")
