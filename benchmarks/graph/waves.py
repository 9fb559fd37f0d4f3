"""Excitable waves of FitzHugh and Nagumo: the speed of a pulse beside a fine solution, spirals that keep turning."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most, percent
from graphpde.core import Graph, Lattice
from graphpde.dynamics import Rk4, evolve
from graphpde.mesh import Space, annulus
from graphpde.ops import Diffusion, Reaction
from graphpde.ops.reactions import FitzHughNagumo

SECTION = "Excitable waves"
SOURCES = (*SOLVING, "benchmarks/graph/waves.py")
SIDE, SPACING = 100, 0.8  # of the grid; a front is about three wide
FINE = (0.25, 0.125)
KINETICS = FitzHughNagumo()
REST = torch.tensor(KINETICS.equilibria()[0], dtype=torch.float64)
TURNS, SETTLED = 10, 2  # what is asked for, and the first ones that still find their way


class Spiral(NamedTuple):
    """Turns of a spiral: how many the slowest of all probes has seen, their mean length and its relative spread."""

    turns: int
    period: float
    spread: float
    where: str


def crossings(domain: Graph, u0: Tensor, probes: Tensor, end: float, dt: float) -> list[list[float]]:
    """The times at which u passes zero upwards at each of the probes [p], interpolated between steps."""
    times: list[list[float]] = [[] for _ in probes]
    before = [0.0, u0[probes, 0]]

    def watch(step: int, steps: int | None, t: Tensor, u: Tensor) -> None:
        now = u[probes, 0]
        t0, then = before
        for k in ((then < 0) & (now >= 0)).nonzero()[:, 0].tolist():
            times[k].append(t0 + (float(t) - t0) * float(then[k] / (then[k] - now[k])))
        before[:] = [float(t), now]

    spread = Diffusion(domain, torch.tensor([[1.0, 0.0]], dtype=torch.float64))
    evolve(spread + Reaction(KINETICS), u0, [0.0, end], stepper=Rk4(), dt=dt, watch=watch)
    return times


def speed(domain: Lattice, start: float, first: float, second: float) -> float:
    """Of a pulse that starts in x < ``start``, between two positions on a line along x."""
    assert domain.pos is not None
    u0 = REST.repeat(domain.n, 1)
    u0[domain.pos[:, 0] < start, 0] = 2.0
    h = domain.spacing
    row = domain.shape[1] // 2 if len(domain.shape) > 1 else 0
    at = torch.tensor([round(x / h) * (domain.shape[1] if len(domain.shape) > 1 else 1) + row for x in (first, second)])
    here = domain.pos[at, 0]
    a, b = (times[0] for times in crossings(domain, u0, at, 1.2 * second, min(0.1, 0.35 * h * h)))
    return float(here[1] - here[0]) / (b - a)


@cache
def reference() -> float:
    """The speed in one dimension, extrapolated from two spacings at the second order of the differences."""
    coarse, fine = (speed(Lattice(round(90 / h), spacing=h, periodic=False), 8.0, 40.0, 75.0) for h in FINE)
    return fine + (fine - coarse) / 3


def broken_wave(domain: Graph) -> Tensor:
    """The left half excited, the lower half tired: the front that moves right has an end in the middle."""
    assert domain.pos is not None
    x, y = (domain.pos - (domain.pos.amin(0) + domain.pos.amax(0)) / 2).T
    u0 = REST.repeat(domain.n, 1)
    u0[x < 0, 0] = 2.0
    u0[y < 0, 1] += 1.0
    return u0


def spiral(domain: Graph, radius: float, end: float, dt: float) -> Spiral:
    """Turns seen by eight probes round the middle, from the third passage on."""
    assert domain.pos is not None
    middle = (domain.pos.amin(0) + domain.pos.amax(0)) / 2
    angle = torch.arange(8, dtype=torch.float64) * math.pi / 4
    places = middle + radius * torch.stack([angle.cos(), angle.sin()], 1)
    probes = torch.cdist(places, domain.pos).argmin(1)
    passages = [np.array(t[SETTLED:]) for t in crossings(domain, broken_wave(domain), probes, end, dt)]
    lengths = [np.diff(t) for t in passages]
    turns = min(len(x) for x in lengths)
    every = np.concatenate(lengths) if turns else np.array([math.nan])
    return Spiral(turns, float(every.mean()), float(every.std() / every.mean()), f"{domain.n} nodes, t = {end:g}, Rk4")


@cache
def on_the_grid() -> Spiral:
    """On 100 x 100 points."""
    return spiral(Lattice(SIDE, SIDE, spacing=SPACING, periodic=False), 20.0, 650.0, 0.1)


@cache
def round_a_hole() -> Spiral:
    """On triangles between two circles: the wave has the hole as its core."""
    return spiral(Space(annulus(inner=8.0, outer=40.0, size=1.2)), 24.0, 950.0, 0.05)


def rows() -> list[Row]:
    """Speed, persistence and steadiness."""

    def row(name: str, target: str, check, measure) -> Row:
        return Row(SECTION, name, target, check, measure, sources=SOURCES)

    return [
        row("speed of a FitzHugh-Nagumo pulse in the plane", "<= 2 % off", at_most(0.02), _speed),
        row("turns of a FitzHugh-Nagumo spiral", f">= {TURNS}", lambda x: x >= TURNS, _turns),
        row("spread of the period of that spiral", "<= 3 %", at_most(0.03), _spread),
        row("spiral round a hole in a triangle mesh", NO_TARGET, at_most(math.inf), _hole),
    ]


def _speed() -> Found:
    found = speed(Lattice(SIDE, SIDE, spacing=SPACING, periodic=False), 8.0, 30.0, 65.0)
    error = abs(found / reference() - 1)
    on = f"{SIDE} x {SIDE} points, spacing {SPACING}"
    return Found(error, percent(error), on, f"{found:.4f} against {reference():.4f} from h = {FINE[0]} and {FINE[1]}")


def _turns() -> Found:
    found = on_the_grid()
    note = f"{found.where}; counted at eight probes after the first {SETTLED} passages"
    return Found(found.turns, str(found.turns), f"{SIDE} x {SIDE} points", note)


def _spread() -> Found:
    found = on_the_grid()
    return Found(found.spread, percent(found.spread), f"{SIDE} x {SIDE} points", f"mean period {found.period:.2f}")


def _hole() -> Found:
    found = round_a_hole()
    text = f"{found.turns} turns, period {found.period:.2f}, spread {percent(found.spread)}"
    return Found(found.spread, text, found.where, "hole of radius 8 in a disk of radius 40")
