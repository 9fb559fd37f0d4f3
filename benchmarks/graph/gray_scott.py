"""Gray-Scott patterns told apart by numbers on a grid and on a sphere; the step beside finite differences."""

from __future__ import annotations

import math
from collections import Counter
from functools import cache, partial

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most
from graphpde.core import Graph, Lattice
from graphpde.dynamics import Euler, evolve
from graphpde.mesh import Space, sphere
from graphpde.ops import Diffusion, Reaction
from graphpde.ops.patterns import Pattern, classify
from graphpde.ops.reactions import GrayScott

SECTION = "Gray-Scott patterns"
SOURCES = (*SOLVING, "benchmarks/graph/gray_scott.py")
KAPPA = torch.tensor([[0.16, 0.08]], dtype=torch.float64)
SIDE, STEPS, SEEDS, SQUARES = 128, 6000, 5, 20
MOMENTS = (5000.0, 5500.0, 6000.0)  # over these a pattern may move
PRESETS = {  # feed, kill -> class
    (0.030, 0.062): "spots",
    (0.029, 0.057): "labyrinth",
    (0.039, 0.058): "holes",
    (0.060, 0.045): "uniform",
    (0.039, 0.065): "spots",
}


def squares(graph: Graph, seed: int, side: float = SIDE) -> Tensor:
    """(1, 0) with twenty squares (caps on a surface) of (0.5, 0.25), half widths 4 to 9, and noise of 0.02: [n, 2]."""
    rng = np.random.default_rng(seed)
    assert graph.pos is not None
    u0 = torch.tensor([1.0, 0.0], dtype=torch.float64).repeat(graph.n, 1)
    for _ in range(SQUARES):
        middle, half = graph.pos[rng.integers(graph.n)], float(rng.integers(4, 10))
        apart = (graph.pos - middle).abs()
        if isinstance(graph, Lattice):
            inside = torch.minimum(apart, side - apart).amax(1) <= half
        else:
            inside = apart.norm(dim=1) <= half
        u0[inside] = torch.tensor([0.5, 0.25], dtype=torch.float64)
    return u0 + 0.02 * torch.from_numpy(rng.standard_normal((graph.n, 2)))


def pattern(graph: Graph, feed: float, kill: float, seed: int) -> Pattern:
    """The class after 6000 steps of Euler's method with dt = 1."""
    term = Diffusion(graph, KAPPA) + Reaction(GrayScott(feed, kill))
    run = evolve(term, squares(graph, seed), [0.0, *MOMENTS], stepper=Euler(), dt=1.0)
    return classify(graph, run.states[1:, :, 1])


def difference(steps: int, side: int = SIDE) -> float:
    """The largest difference from the same steps in numpy with shifted arrays, values being of size 1."""
    graph = Lattice(side, side)
    feed, kill = 0.039, 0.058
    u0 = squares(graph, 0, side)
    term = Diffusion(graph, KAPPA) + Reaction(GrayScott(feed, kill))
    ours = evolve(term, u0, [0.0, float(steps)], stepper=Euler(), dt=1.0).final.numpy()
    u, v = (u0[:, k].numpy().reshape(side, side) for k in (0, 1))

    def laplacian(a: np.ndarray) -> np.ndarray:
        return np.roll(a, 1, 0) + np.roll(a, -1, 0) + np.roll(a, 1, 1) + np.roll(a, -1, 1) - 4 * a

    for _ in range(steps):
        uvv = u * v * v
        u, v = u + 0.16 * laplacian(u) - uvv + feed * (1 - u), v + 0.08 * laplacian(v) + uvv - (feed + kill) * v
    return float(max(np.abs(ours[:, 0].reshape(u.shape) - u).max(), np.abs(ours[:, 1].reshape(v.shape) - v).max()))


@cache
def ball() -> Space:
    """A sphere with the area of the grid, its nodes 1.3 apart."""
    return Space(sphere(level=5, radius=SIDE / math.sqrt(4 * math.pi)))


def rows() -> list[Row]:
    """Each preset on the grid over five seeds and once on the sphere, and the step itself."""
    out = []
    for (feed, kill), kind in PRESETS.items():
        name = f"F = {feed:.3f}, k = {kill:.3f} is {kind}"
        measure = partial(_class, feed, kill, kind)
        out.append(Row(SECTION, f"{name}, {SEEDS} seeds", f"{SEEDS} of {SEEDS}", at_most(0), measure, sources=SOURCES))
    for (feed, kill), kind in PRESETS.items():
        name = f"F = {feed:.3f}, k = {kill:.3f} on a sphere"
        measure = partial(_on_sphere, feed, kill, kind)
        out.append(Row(SECTION, name, NO_TARGET, at_most(math.inf), measure, sources=SOURCES))
    for steps in (1, 100):
        name = f"{steps} step{'s' if steps > 1 else ''} against finite differences"
        out.append(Row(SECTION, name, "<= 1e-12", at_most(1e-12), partial(_difference, steps), sources=SOURCES))
    return out


def _class(feed: float, kill: float, kind: str) -> Found:
    graph = Lattice(SIDE, SIDE)
    found = [pattern(graph, feed, kill, seed) for seed in range(SEEDS)]
    counted = ", ".join(f"{count} {name}" for name, count in Counter(p.kind for p in found).most_common())
    wrong = sum(p.kind != kind for p in found)
    unrest = max(p.unrest for p in found)
    note = f"{_spread([p.parts for p in found])} parts, {_spread([p.gaps for p in found])} gaps, "
    note += f"Euler characteristic {_spread([p.euler for p in found])}, unrest at most {unrest:.2g}"
    return Found(wrong, counted, f"{SIDE} x {SIDE} points, {STEPS} Euler steps of 1", note)


def _spread(values: list[int]) -> str:
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def _on_sphere(feed: float, kill: float, kind: str) -> Found:
    p = pattern(ball(), feed, kill, 0)
    kept = "the same class" if p.kind == kind else f"another class than on the grid ({kind})"
    note = f"{p.parts} parts, {p.gaps} gaps, Euler characteristic {p.euler}"
    return Found(0.0 if p.kind == kind else 1.0, f"{p.kind}: {kept}", f"{ball().n} unknowns of the same area", note)


def _difference(steps: int) -> Found:
    value = difference(steps)
    return Found(value, f"{value:.1e}", f"{SIDE} x {SIDE} points, float64", "largest difference; values are of size 1")
