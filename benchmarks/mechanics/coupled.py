"""Coupled problems beside exact solutions: mixtures, heat and stress, currents and heat, water in soil."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.mechanics import large_deformations
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import BackwardEuler, Sbdf2, Staggered, TrBdf2, evolve, steady
from graphpde.mesh import P2, Space, interval, jittered, random_square, rectangle
from graphpde.ops import CahnHilliard, Diffusion, Dirichlet, ElectroThermal, Neumann
from graphpde.ops.elasticity import Elasticity, PoroElasticity, ThermoElasticity

SECTION = "Coupled problems"
SOURCES = (*SOLVING, "benchmarks/mechanics/coupled.py")
F64 = torch.float64
YOUNG, NU, ALPHA = 200.0, 0.3, 0.01
STIFF = YOUNG * (1 - NU) / ((1 + NU) * (1 - 2 * NU))  # of a column that cannot widen


def rows() -> list[Row]:
    """The rows."""
    exact = at_most(0.01)
    rounding = at_most(1e-12)
    return [
        *large_deformations.rows(),
        _row("Cahn-Hilliard: mass over 200 steps that coarsen", "1e-12", rounding, _mass),
        _row("Cahn-Hilliard: rise of the energy in any split step, dt = 0.01 to 100", "0", at_most(0.0), _falls),
        _row("Cahn-Hilliard: growth rates of waves", "1 %", exact, _growth),
        _row("Cahn-Hilliard: energy of an interface", "1 %", exact, _interface),
        _row("Cahn-Hilliard: exponent of coarsening", "1/3 +- 0.05", at_most(0.05), _coarsening),
        _row("heated bar between walls", "1 %", exact, _walls),
        _row("free plate of linear temperature: stress beside E alpha T", "1e-9", at_most(1e-9), _plate),
        _row("thick cylinder, hot inside: radial and hoop stress", "1 %", exact, _cylinder),
        _row("what is stretched cools (Kelvin)", "1 %", exact, _kelvin),
        _row("heat alone, then the body, beside both at once", "1e-10", at_most(1e-10), _one_way),
        _row("order of heat and body one after the other", "1 +- 0.1", at_most(0.1), _heat_order),
        _row("temperature of a wire that carries a current", "1 %", exact, _wire),
        _row("hottest place of a neck with sigma ~ 1 / T (Kohlrausch)", "1 %", exact, _kohlrausch),
        _row("order of current and heat one after the other", "1 +- 0.1", at_most(0.1), _current_order),
        _row("Terzaghi's column, quadratic and linear elements", "1 %", exact, lambda: _terzaghi("p2")),
        _row("Terzaghi's column, linear elements for both", "1 %", exact, lambda: _terzaghi("p1")),
        _row("order of soil and water one after the other", "1 +- 0.1", at_most(0.1), _soil_order),
    ]


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, "", SOURCES)


def _zeros(space: Space, channels: int) -> Tensor:
    return torch.zeros(space.n, channels, dtype=F64)


def _noise(space: Space, size: float, *batch: int) -> Tensor:
    return size * torch.randn(*batch, space.n, 1, dtype=F64, generator=torch.Generator().manual_seed(0))


def _order(f: Any, u0: Tensor, stepper: Callable[[], Any], channel: int, end: float) -> float:
    """Of the error of one channel beside a fine run of the whole."""
    exact = evolve(f, u0, [0.0, end], stepper=TrBdf2(), dt=end / 256).final
    off = [
        float((evolve(f, u0, [0.0, end], stepper=stepper(), dt=end / n).final - exact)[:, channel].norm())
        for n in (32, 64)
    ]
    return math.log2(off[0] / off[1])


def _orders(f: Any, u0: Tensor, channel: int, end: float, first: list[int], then: list[int], on: str) -> Found:
    """Both ways round."""
    found = [_order(f, u0, lambda a=a, b=b: Staggered(a, b), channel, end) for a, b in ((first, then), (then, first))]
    worst = max(abs(order - 1) for order in found)
    return Found(
        worst, " and ".join(f"{order:.3f}" for order in found), on, "either first; beside tr_bdf2 of the whole"
    )


# mixtures


def _square(cells: int) -> Space:
    sides = [("left", "right"), ("bottom", "top")]
    return Space(rectangle(cells, cells, width=float(cells), height=float(cells)), periodic=sides)


def _mass() -> Found:
    space = _square(48)
    form = CahnHilliard(space)
    u0 = form.start(0.2 + _noise(space, 0.1))
    run = evolve(form, u0, torch.linspace(0, 100, 201), stepper=TrBdf2())
    means = torch.stack([space.integral(u[:, :1]) for u in run.states]) / 48**2
    drift = float((means - means[0]).abs().max())
    return Found(drift, f"{drift:.1e}", f"periodic, {space.n} nodes, tr_bdf2, dt = 0.5", "of the mean concentration")


def _falls() -> Found:
    space, worst, count = _square(32), -math.inf, 0
    form = CahnHilliard(space, split=True)
    for dt in (0.01, 0.1, 1.0, 10.0, 100.0):
        run = evolve(form, form.start(_noise(space, 0.5)), dt * torch.arange(21.0), stepper=BackwardEuler())
        energies = [float(form.energy(u)) for u in run.states]
        worst, count = max(worst, *(b - a for a, b in pairwise(energies))), count + run.steps
    on = f"periodic, {space.n} nodes, {count} steps from noise"
    return Found(max(worst, 0.0), f"{max(worst, 0.0):.1g}", on, f"the least fall is {-worst:.1e}")


def _growth() -> Found:
    """M q^2 (1 - kappa q^2) at c = 0."""
    length, kappa, mobility, errors = 20.0, 1.5, 0.7, []
    space = Space(interval(40, length), P2(), periodic=[("left", "right")])
    assert space.pos is not None
    form = CahnHilliard(space, mobility, kappa)
    for k in (1, 2, 3):
        q = 2 * math.pi * k / length
        wave = 1e-6 * torch.cos(q * space.pos)
        final = evolve(form, form.start(wave), [0.0, 2.0], stepper=TrBdf2(), dt=0.02).final
        rate = math.log(float(final[:, 0].norm() / wave.norm())) / 2
        errors.append(abs(rate / (mobility * q**2 * (1 - kappa * q**2)) - 1))
    return Found(max(errors), percent(max(errors)), "P2, 80 nodes, three wavelengths")


def _interface() -> Found:
    """2 sqrt(2) / 3 sqrt(kappa), relaxed from a step."""
    space = Space(random_square(12, seed=1).with_points(random_square(12, seed=1).points * 12), P2())
    assert space.pos is not None
    form = CahnHilliard(space)
    u0 = form.start(torch.tanh(space.pos[:, :1] - 6))
    final = evolve(form, u0, [0.0, 20.0], stepper=TrBdf2(), dt=0.5).final
    error = abs(float(form.energy(final)) / 12 / (2 * math.sqrt(2) / 3) - 1)
    return Found(error, percent(error), f"P2, {space.n} nodes, one cell a unit of length")


def _coarsening() -> Found:
    """Slope of log length over log t, length = area / energy, the energy being that of the interfaces."""
    size, seeds, window = 128, 3, (200.0, 2000.0)
    space = _square(size)
    form = CahnHilliard(space)
    pieces = [(0, 20, 0.25), (20, 100, 0.5), (100, 400, 1.0), (400, 2001, 2.0)]
    times = np.concatenate([np.arange(*piece) for piece in pieces])
    u = form.start(_noise(space, 0.1, seeds))
    run = evolve(form, u, times, stepper=Sbdf2())
    marks = [int(np.searchsorted(times, t)) for t in np.geomspace(*window, 25)]
    lengths = torch.stack([size**2 / form.energy(run.states[k]) for k in marks]).numpy()
    log = np.log(times[marks])
    each = [float(np.polyfit(log, np.log(lengths[:, s]), 1)[0]) for s in range(seeds)]
    found = float(np.polyfit(log, np.log(lengths.mean(1)), 1)[0])
    energies = torch.stack([form.energy(state) for state in run.states[:: len(times) // 50]])
    kept = float((space.integral(run.final[..., :1]) - space.integral(u[..., :1])).abs().max()) / size**2
    falls = "falls" if bool((energies.diff(dim=0) < 0).all()) else "rises"
    note = (
        f"mean of {seeds} seeds ({', '.join(f'{x:.3f}' for x in each)}), t = {window[0]:g} to {window[1]:g} in units "
        f"kappa / M, while area / energy grows from {lengths[0].mean():.1f} to {lengths[-1].mean():.1f}; the mean "
        f"concentration drifts by {kept:.0e} and the energy {falls}"
    )
    on = f"periodic square of {size} by {size} cells, sbdf2, {run.steps} steps of 0.25 to 2"
    return Found(abs(found - 1 / 3), f"{found:.3f}", on, note)


# heat and stress


def _warm(*temperatures: float) -> list[Dirichlet]:
    return [Dirichlet(s, t, channels=[2]) for s, t in zip(("left", "right"), temperatures, strict=True)]


def _rollers(*sides: tuple[str, int]) -> list[Dirichlet]:
    return [Dirichlet(side, 0.0, channels=[k]) for side, k in sides]


WALLS = (("left", 0), ("right", 0), ("bottom", 1))


def _bar() -> tuple[Space, Elasticity]:
    space = Space(rectangle(8, 4), "p2")
    return space, Elasticity(space, YOUNG, NU, kind="plane_stress", expansion=ALPHA)


def _walls() -> Found:
    """sigma = -E alpha T."""
    space, body = _bar()
    term = ThermoElasticity(body, 3.0, 2.0)
    run = evolve(
        sum([*_rollers(*WALLS), *_warm(10.0, 10.0)], term), _zeros(space, 3), [0, 5.0], stepper=TrBdf2(), dt=0.1
    )
    worst = max(float((s[..., 0, 0] / (YOUNG * ALPHA * 10) + 1).abs().max()) for s in term.stress(run.final))
    return Found(worst, f"{worst:.1e}", f"P2, {space.n} nodes, heated for a long time")


def _plate() -> Found:
    space = Space(jittered(rectangle(8, 8), 0.1, seed=1), "p2")
    assert space.pos is not None
    ends = [int((space.pos - torch.tensor(x, dtype=F64)).norm(dim=1).argmin()) for x in ([0.0, 0], [1.0, 0])]
    hold = [
        Dirichlet(torch.tensor([ends[0]]), 0.0, channels=[0, 1]),
        Dirichlet(torch.tensor([ends[1]]), 0.0, channels=[1]),
    ]
    term = ThermoElasticity(Elasticity(space, YOUNG, NU, kind="plane_stress", expansion=ALPHA))
    u = steady(sum([*hold, *_warm(-20.0, 30.0)], term), _zeros(space, 3)).value
    worst = max(float(s.abs().max()) for s in term.stress(u)) / (YOUNG * ALPHA * 50)
    return Found(worst, f"{worst:.1e}", f"P2, {space.n} nodes, three displacements held")


def _cylinder() -> Found:
    """Timoshenko and Goodier 1970, section 151, with T = T_i ln(b/r) / ln(b/a)."""
    a, b, hot = 1.0, 2.0, 40.0
    mesh = rectangle(32, 1, width=b - a, height=0.1)
    space = Space(mesh.with_points(mesh.points + torch.tensor([a, 0.0], dtype=F64)), "p2")
    term = ThermoElasticity(Elasticity(space, YOUNG, NU, kind="axisymmetric", expansion=ALPHA), 5.0)
    terms = sum([*_rollers(("bottom", 1), ("top", 1)), *_warm(hot, 0.0)], term)
    u = steady(terms, _zeros(space, 3)).value
    log, (block,), (stress,) = math.log(b / a), term.points.blocks, term.stress(u)
    r = block.points[..., 0]
    scale, ring = YOUNG * ALPHA * hot / (2 * (1 - NU) * log), a**2 / (b**2 - a**2) * log
    radial = scale * (-(b / r).log() - ring * (1 - b**2 / r**2))
    hoop = scale * (1 - (b / r).log() - ring * (1 + b**2 / r**2))
    worst = max(float((stress[..., 0, 0] - radial).abs().max()), float((stress[..., 2, 2] - hoop).abs().max()))
    worst /= float(hoop.abs().max())
    return Found(worst, percent(worst), f"axisymmetric P2, {space.n} nodes", "over the largest hoop stress")


def _kelvin() -> Found:
    """T = -T_0 E alpha / (1 - 2 nu) tr e / (rho c), insulated."""
    space = Space(random_square(4, seed=1), "p2")
    absolute, capacity, strain = 300.0, 50.0, 1e-3
    term = ThermoElasticity(Elasticity(space, YOUNG, NU, expansion=ALPHA), 1.0, capacity, absolute)
    pulled = term + Dirichlet(torch.arange(space.n), lambda x, t: t * strain * x, channels=[0, 1])
    final = evolve(pulled, _zeros(space, 3), [0.0, 1.0], stepper=BackwardEuler(), dt=0.1).final
    exact = -absolute * YOUNG * ALPHA / (1 - 2 * NU) * 2 * strain / capacity
    worst = float((final[:, 2] / exact - 1).abs().max())
    return Found(worst, f"{worst:.1e}", f"P2, {space.n} nodes", f"temperature {exact:.4f} at a strain of {strain:g}")


def _one_way() -> Found:
    space, body = _bar()
    hold, times, dt = _rollers(*WALLS), [0.0, 0.05, 0.2, 1.0], 0.01
    both = evolve(
        sum([*hold, *_warm(0.0, 10.0)], ThermoElasticity(body, 3.0, 2.0)),
        _zeros(space, 3),
        times,
        stepper=BackwardEuler(),
        dt=dt,
    )
    heat = Diffusion(space, 1.5) + Dirichlet("left", 0.0) + Dirichlet("right", 10.0)
    alone, worst = evolve(heat, _zeros(space, 1), times, stepper=BackwardEuler(), dt=dt), 0.0
    for t, u in zip(alone.states[1:], both.states[1:], strict=True):
        warm = Elasticity(space, YOUNG, NU, kind="plane_stress", expansion=ALPHA, temperature=t)
        v = steady(sum(hold, warm), _zeros(space, 2)).value
        worst = max(worst, float((torch.cat([v, t], 1) - u).abs().max()))
    return Found(
        worst, f"{worst:.1e}", f"P2, {space.n} nodes, backward_euler, 100 steps", "displacements up to 0.1, T to 10"
    )


def _heat_order() -> Found:
    space, body = _bar()
    f = sum([*_rollers(*WALLS), *_warm(0.0, 1.0)], ThermoElasticity(body, 0.5, 2.0, 20.0))
    return _orders(f, _zeros(space, 3), 2, 0.5, [2], [0, 1], f"P2, {space.n} nodes, temperature")


# current and heat


def _held(volt: float, cold: float) -> list[Dirichlet]:
    pairs = (("left", [0.0, cold]), ("right", [volt, cold]))
    return [Dirichlet(side, torch.tensor(value, dtype=F64)) for side, value in pairs]


def _wire() -> Found:
    """T = T_0 + sigma V^2 / (2 k) s (1 - s)."""
    space = Space(interval(16, 2.0), "p2")
    u = steady(sum(_held(4.0, 10.0), ElectroThermal(space, 3.0, 0.5)), _zeros(space, 2)).value
    assert space.pos is not None
    s = space.pos[:, 0] / 2
    worst = float((u[:, 1] - 10 - 48 * s * (1 - s)).abs().max()) / 12
    return Found(worst, f"{worst:.1e}", f"P2, {space.n} nodes")


def _kohlrausch() -> Found:
    """T_max^2 = T_0^2 + V^2 / (4 L), L = k / (sigma T)."""
    volt, cold, k, s0 = 40.0, 300.0, 0.5, 50.0
    mesh = random_square(12, seed=1)
    thin = torch.stack([torch.ones(mesh.n), 0.3 + (mesh.points[:, 0] - 0.5) ** 2], 1)
    space = Space(mesh.with_points(mesh.points * thin), "p2")
    u0 = torch.tensor([volt / 2, cold], dtype=F64).expand(space.n, 2)
    found = steady(sum(_held(volt, cold), ElectroThermal(space, lambda t: s0 / t, k)), u0)
    hot, exact = float(found.value[:, 1].max()), math.sqrt(cold**2 + volt**2 * s0 / (4 * k))
    error = abs((hot - cold) / (exact - cold) - 1)
    note = f"{hot:.3f} from {cold:g}, exact {exact:.3f}, {found.iterations} Newton iterations"
    return Found(error, percent(error), f"P2, {space.n} nodes", note)


def _current_order() -> Found:
    space = Space(interval(16, 2.0), "p2")
    assert space.pos is not None
    f = sum(_held(40.0, 300.0), ElectroThermal(space, lambda t: 50.0 / t, 0.5, 2.0))
    u0 = torch.cat([20 * space.pos, torch.full_like(space.pos, 300.0)], 1)
    return _orders(f, u0, 1, 0.5, [0], [1], f"P2, {space.n} nodes, temperature")


# water in soil


def _column(element: str, storage: float = 0.0) -> tuple[Space, Any]:
    """A column of height 1 under the load 1 on a rigid base, drained at the top."""
    space = Space(rectangle(1, 16, width=0.1), element)
    soil = PoroElasticity(Elasticity(space, YOUNG, NU), 1.0, storage)
    hold = _rollers(("left", 0), ("right", 0), ("bottom", 1), ("top", 2))
    return space, sum([*hold, Neumann("top", torch.tensor([0.0, -1.0, 0.0]))], soil)


def _terzaghi(element: str) -> Found:
    """p = sum 2/m sin(m z) exp(-m^2 c t), m = pi/2, 3 pi/2, ..., z the depth."""
    space, terms = _column(element)
    assert space.pos is not None
    at = (0.05, 0.1, 0.2, 0.5, 1.0)
    run = evolve(terms, _zeros(space, 3), [0.0, *(s / STIFF for s in at)], stepper=TrBdf2(), dt=0.0025 / STIFF)
    odd, top = math.pi / 2 * (2 * torch.arange(200, dtype=F64) + 1), space.nodes_of("top")
    off, settled = [], []
    for s, u in zip(at, run.states[1:], strict=True):
        decay = torch.exp(-(odd**2) * s)
        off.append(float((u[:, 2] - (2 / odd * torch.sin(odd * (1 - space.pos[:, 1:])) * decay).sum(1)).abs().max()))
        settled.append(abs(-float(u[top, 1].mean()) * STIFF / (1 - float((2 / odd**2 * decay).sum())) - 1))
    worst = max(*off, *settled)
    note = f"pressure {percent(max(off))} of the load, settlement {percent(max(settled))}, from c t = 0.05 H^2 on"
    return Found(worst, percent(worst), f"{element}, 16 cells high, tr_bdf2, {run.steps} steps", note)


def _soil_order() -> Found:
    storage = 8 / STIFF
    space, terms = _column("p1", storage)
    on = f"{space.n} nodes, pressure, S M = 8"
    return _orders(terms, _zeros(space, 3), 2, 0.5 / STIFF, [0, 1], [2], on)
