"""Problems of the engineer's table that have exact answers: walls, fins, a turning cone, a drum."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.manufactured import meshes
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import CrankNicolson, Leapfrog, TrBdf2, evolve, steady
from graphpde.mesh import P1, P2, Mesh, Space, interval, rectangle, refine
from graphpde.ops import Diffusion, Dirichlet, Held, ReactionForm, Robin, Sum, Wave

SECTION = "Exact physics"
PERCENT = at_most(0.01)
SOURCES = (*SOLVING, "benchmarks/manufactured/meshes.py", "benchmarks/physics/engineering.py")


class Layer(NamedTuple):
    """Thickness in m, conductivity in W/(m K), heat capacity in J/(m^3 K)."""

    thickness: float
    kappa: float
    capacity: float


PLASTER, BRICK, WOOL = Layer(0.015, 0.7, 1.4e6), Layer(0.24, 0.5, 1.5e6), Layer(0.12, 0.035, 5e4)
WALL = (PLASTER, BRICK, WOOL, PLASTER)
INSIDE, OUTSIDE = (7.7, 20.0), (25.0, -10.0)  # exchange in W/(m^2 K) and air in degrees C


def rows() -> list[Row]:
    """The rows."""
    return [
        _row("heat through a wall of four layers, Robin sides, 1-D", lambda: _wall(_wall_line())),
        _row("heat through a wall of four layers, Robin sides, random triangles", lambda: _wall(_wall_plane())),
        _row("slowest cooling rate of that wall", lambda: _cooling(_wall_line())),
        _row("straight fin, 1-D with a reaction term: heat at the base and temperature", _fin_line),
        _row("straight fin, plane strip with Robin sides: heat at the base", _fin_plane),
        _row(
            "period of a drum, quadratic elements with curved sides",
            lambda: _drum(Space(meshes.curved_disk(3), P2()), "P2"),
        ),
        _row("period of a drum, linear elements", lambda: _drum(Space(meshes.round_disk(4), P1()), "P1")),
    ]


def _row(name: str, measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, "1 %", PERCENT, measure, "", SOURCES)


# walls


def _ends() -> list[float]:
    return [0.0, *np.cumsum([layer.thickness for layer in WALL]).tolist()]


def _named(mesh: Mesh) -> Mesh:
    """The mesh with a set of cells for each layer."""
    x = torch.cat([mesh.points[nodes].mean(1) for nodes in mesh.cells.values()])[:, 0]
    ends = _ends()
    sets = {f"layer{k}": ((x > ends[k]) & (x < ends[k + 1])).nonzero()[:, 0] for k in range(len(WALL))}
    return mesh.with_tags(**{name: mesh.make_tag(mesh.dim, ids) for name, ids in sets.items()})


def _through(pieces: int) -> Tensor:
    """Points across the wall, ``pieces`` to a layer."""
    ends = _ends()
    inner = [a + (b - a) * np.arange(pieces) / pieces for a, b in pairwise(ends)]
    return torch.from_numpy(np.concatenate([*inner, ends[-1:]]))


def _wall_line() -> Space:
    x = _through(12)
    mesh = interval(len(x) - 1)
    return _space(_named(mesh.with_points(x[:, None])))


def _wall_plane() -> Space:
    x = _through(4)
    mesh = rectangle(len(x) - 1, 6, height=0.2)
    at = mesh.points.clone()
    at[:, 0] = x[(mesh.points[:, 0] * (len(x) - 1)).round().long()]
    rng = np.random.default_rng(0)
    free = torch.ones(mesh.n, dtype=torch.bool)
    free[mesh.boundary_nodes] = False
    at[free, 1] += torch.from_numpy(rng.uniform(-0.01, 0.01, int(free.sum())))  # along the layers only
    return _space(_named(mesh.with_points(at)))


def _space(mesh: Mesh) -> Space:
    return Space(mesh, density={f"layer{k}": layer.capacity for k, layer in enumerate(WALL)})


def _terms(space: Space, inside: float, outside: float) -> Sum:
    kappa = {f"layer{k}": layer.kappa for k, layer in enumerate(WALL)}
    (a, _), (b, _) = INSIDE, OUTSIDE
    return Sum.of(Diffusion(space, kappa), Robin("left", a, a * inside), Robin("right", b, b * outside))


def _wall(space: Space) -> Found:
    """Resistances in series: 1/a + sum L/kappa + 1/b; compared are all temperatures, over their span, and the heat."""
    (a, warm), (b, cold) = INSIDE, OUTSIDE
    u = steady(_terms(space, warm, cold), torch.zeros(space.n, 1, dtype=torch.float64)).value
    assert space.pos is not None
    resistance = [1 / a, *(layer.thickness / layer.kappa for layer in WALL), 1 / b]
    flow = (warm - cold) / sum(resistance)
    levels = warm - flow * np.cumsum(resistance)[:-1]
    exact = torch.from_numpy(np.interp(space.pos[:, 0].numpy(), _ends(), levels))
    error = float((u[:, 0] - exact).abs().max()) / (warm - cold)
    left = space.tag("left").nodes
    heat = float((a * (warm - u[left, 0])).mean())
    worst = max(error, abs(heat / flow - 1))
    return Found(worst, f"{worst:.1e}", f"{space.n} unknowns", f"{heat:.4f} W/m^2, exact {flow:.4f}")


def _rate() -> float:
    """The slowest rate of the wall in 1/s, the first root of the flux that is left over on the outside."""
    from scipy.optimize import brentq

    def left_over(rate: float) -> float:
        value, flux = 1.0, INSIDE[0]  # kappa u' = a u at the inner side
        for layer in WALL:
            k = math.sqrt(rate * layer.capacity / layer.kappa)
            c, s = math.cos(k * layer.thickness), math.sin(k * layer.thickness)
            value, flux = value * c + flux * s / (layer.kappa * k), -layer.kappa * k * value * s + flux * c
        return flux + OUTSIDE[0] * value

    low, step = 1e-9, 1.02
    while left_over(low * step) > 0:
        low *= step
    return float(brentq(left_over, low, low * step, xtol=1e-18, rtol=1e-14))


def _cooling(space: Space) -> Found:
    """From 1 everywhere to air of 0: after a while one mode is left, whose rate the simulation shows."""
    rate = _rate()
    times = [0.0, 4 / rate, 5 / rate]
    run = evolve(
        _terms(space, 0.0, 0.0), torch.ones(space.n, 1, dtype=torch.float64), times, stepper=TrBdf2(), dt=0.02 / rate
    )
    kept = [float(space.integral(state)) for state in run.states]
    found = math.log(kept[1] / kept[2]) * rate
    error = abs(found / rate - 1)
    return Found(
        error,
        f"{error:.1e}",
        f"{space.n} unknowns, tr_bdf2, 50 steps a time constant",
        f"time constant {1 / found / 3600:.3f} h, exact {1 / rate / 3600:.3f} h",
    )


# fins

FIN_LENGTH, FIN_WIDTH, FIN_KAPPA, FIN_EXCHANGE = 0.1, 0.004, 40.0, 60.0


def _fin_line() -> Found:
    """kappa u'' = (2 a / width) u, 1 at the base, no heat through the tip: cosh(m (L - x)) / cosh(m L)."""
    space = Space(interval(40, FIN_LENGTH), P2())
    loss = 2 * FIN_EXCHANGE / FIN_WIDTH
    terms = Sum.of(Diffusion(space, FIN_KAPPA), loss * ReactionForm(space), Dirichlet("left", 1.0))
    u = steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value
    m = math.sqrt(loss / FIN_KAPPA)
    assert space.pos is not None
    exact = torch.cosh(m * (FIN_LENGTH - space.pos)) / math.cosh(m * FIN_LENGTH)
    heat, right = loss * float(space.integral(u)), FIN_KAPPA * m * math.tanh(m * FIN_LENGTH)
    worst = max(float((u - exact).abs().max()), abs(heat / right - 1))
    return Found(
        worst,
        f"{worst:.1e}",
        f"P2, {space.n} unknowns",
        f"heat {heat:.2f} W/m^2, exact {right:.2f}; m L = {m * FIN_LENGTH:.2f}",
    )


def _fin_plane() -> Found:
    """The plane strip loses heat through its sides; the 1-D formula takes the temperature across it as constant."""
    space = Space(refine(rectangle(50, 2, width=FIN_LENGTH, height=FIN_WIDTH), 1), P2())
    sides = [Robin("bottom", FIN_EXCHANGE), Robin("top", FIN_EXCHANGE)]
    terms = Sum.of(Diffusion(space, FIN_KAPPA), *sides, Dirichlet("left", 1.0))
    u = steady(terms, torch.zeros(space.n, 1, dtype=torch.float64)).value
    rim = sum(
        float(space.load(lambda x: torch.ones(len(x), 1, dtype=x.dtype), where=s).mul(u).sum())
        for s in ("bottom", "top")
    )
    heat = FIN_EXCHANGE * rim / FIN_WIDTH
    m = math.sqrt(2 * FIN_EXCHANGE / (FIN_WIDTH * FIN_KAPPA))
    right = FIN_KAPPA * m * math.tanh(m * FIN_LENGTH)
    error = abs(heat / right - 1)
    biot = FIN_EXCHANGE * FIN_WIDTH / 2 / FIN_KAPPA
    note = f"{heat:.2f} W/m^2, 1-D formula {right:.2f}: what the model itself neglects is about Bi / 6 = {biot / 6:.1e}"
    return Found(error, f"{error:.1e}", f"P2, {space.n} unknowns", note)


# drums


def _drum(space: Space, element: str) -> Found:
    """u = J_0(j r) released at rest, speed 1: period 2 pi / j with J_0(j) = 0, j = 2.4048, from zero crossings."""
    from scipy.special import j0, jn_zeros

    assert space.pos is not None
    zero = float(jn_zeros(0, 1)[0])
    shape = torch.from_numpy(j0(zero * torch.linalg.vector_norm(space.pos, dim=1).numpy()))[:, None]
    term = Wave(space)
    period, each = 2 * math.pi / zero, 60
    times = torch.linspace(0, 4 * period, 4 * each + 1, dtype=torch.float64)
    explicit = space.lumped
    stepper: Any = Leapfrog() if explicit else CrankNicolson()
    dt = 1.0 / float(term.frequency_bound() or 1.0) if explicit else period / 240
    u0 = torch.cat([shape, torch.zeros_like(shape)], 1)
    run = evolve(term + Held("boundary", 0.0), u0, times, stepper=stepper, dt=dt)
    swing = np.array([float(space.inner(state[:, :1], shape)) for state in run.states])
    crossings = []
    for k in np.flatnonzero(swing[:-1] * swing[1:] < 0):
        crossings.append(float(times[k]) + float(times[k + 1] - times[k]) * swing[k] / (swing[k] - swing[k + 1]))
    found = 2 * (crossings[-1] - crossings[0]) / (len(crossings) - 1)
    error = abs(found / period - 1)
    on = f"{element}, {space.n} unknowns, {stepper.name}, dt = {dt:.2e}"
    return Found(error, percent(error), on, f"period {found:.5f} from {len(crossings)} crossings, exact {period:.5f}")
