"""Heat on a graph: exact decay of every mode by Krylov exponentials, the bounds of Euler's method, the mass."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.core import Graph, watts_strogatz
from graphpde.dynamics import Euler, evolve
from graphpde.dynamics.exponential import ExponentialEuler
from graphpde.errors import StepTooLong
from graphpde.ops import Diffusion
from graphpde.ops.spectral import modes

SECTION = "Heat on a graph"
SOURCES = (*SOLVING, "benchmarks/graph/heat.py")
TIMES = (0.0, 0.4, 1.6, 6.0)
ON = "Watts-Strogatz network, 50 nodes, k = 4, p = 0.18"


@cache
def small_world() -> Graph:
    return watts_strogatz(50, 4, 0.18, seed=0)


def start(graph: Graph) -> Tensor:
    """Heat on one node and noise on the others [n, 1]."""
    u0 = torch.rand(graph.n, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u0[0] = 10.0
    return u0


def exact(graph: Graph, t: float, u0: Tensor) -> Tensor:
    """exp(-L t) u0 by a dense exponential."""
    laplacian = torch.from_numpy((-Diffusion(graph).operator).to_scipy().toarray())
    return torch.linalg.matrix_exp(-t * laplacian) @ u0


def decay_error(graph: Graph) -> float:
    """The largest difference of a mode from exp(-Lambda t), and of the field from the dense exponential."""
    u0 = start(graph)
    pairs = modes(graph, graph.n, rtol=1e-10)
    run = evolve(Diffusion(graph), u0, TIMES, stepper=ExponentialEuler(rtol=1e-12))
    worst = 0.0
    for t, u in zip(TIMES, run.states, strict=True):
        amplitude = pairs.vectors.T @ u - torch.exp(-pairs.values * t)[:, None] * (pairs.vectors.T @ u0)
        worst = max(worst, float(amplitude.abs().max()), float((u - exact(graph, t, u0)).abs().max()))
    return worst


def after_euler(graph: Graph, factor: float, steps: int = 400) -> tuple[Tensor, Tensor]:
    """The fastest mode's amplitude along steps of ``factor`` / lambda_max, [steps + 1], and the final field."""
    pairs = modes(graph, graph.n, rtol=1e-10)
    top, dt = pairs.vectors[:, -1:], factor / float(pairs.values[-1])
    times = dt * torch.arange(steps + 1, dtype=torch.float64)
    run = evolve(Diffusion(graph), start(graph), times, stepper=Euler(), allow_unstable=True)
    return (run.states[..., 0] @ top)[:, 0], run.final


def rows() -> list[Row]:
    """Decay, stability on both sides of the bound, monotony on both sides of half of it, mass."""

    def row(name: str, target: str, check, measure) -> Row:
        return Row(SECTION, name, target, check, measure, sources=SOURCES)

    return [
        row("decay of all modes against the exponential", "<= 1e-8", at_most(1e-8), _decay),
        row("Euler at 1.99 / lambda_max: growth of the fastest mode", "< 1", lambda x: x < 1, _stable),
        row("Euler at 2.01 / lambda_max: growth of the fastest mode", "> 1", lambda x: x > 1, _unstable),
        row("Euler between 1 and 2 / lambda_max: the fastest mode changes sign", "every step", at_most(0.0), _signs),
        row("Euler at 2.01 / lambda_max is refused unasked", "yes", at_most(0.0), _refused),
        row("mass after 400 Euler steps", "<= 1e-12", at_most(1e-12), _mass),
    ]


def _decay() -> Found:
    value = decay_error(small_world())
    return Found(value, f"{value:.1e}", ON, f"t = {', '.join(f'{t:g}' for t in TIMES[1:])}; Krylov, one step each")


def _growth(factor: float) -> Found:
    amplitude, _ = after_euler(small_world(), factor)
    value = float((amplitude[-1] / amplitude[0]).abs()) ** (1 / (len(amplitude) - 1))
    return Found(value, f"{value:.4f} a step", ON, f"|1 - {factor}| = {abs(1 - factor):.2f} expected")


def _stable() -> Found:
    return _growth(1.99)


def _unstable() -> Found:
    return _growth(2.01)


def _signs() -> Found:
    kept = 0
    for factor in (1.05, 1.5, 1.95):
        amplitude, _ = after_euler(small_world(), factor, steps=10)
        kept += int((amplitude[1:] * amplitude[:-1] >= 0).sum())
    below, _ = after_euler(small_world(), 0.95, steps=10)
    kept += int((below[1:] * below[:-1] <= 0).sum())
    return Found(kept, f"{kept} exceptions", ON, "at 1.05, 1.5 and 1.95 / lambda_max; at 0.95 it keeps its sign")


def _refused() -> Found:
    top = float(modes(small_world(), 50, rtol=1e-10).values[-1])
    try:
        evolve(Diffusion(small_world()), start(small_world()), [0.0, 50.0], stepper=Euler(), dt=2.01 / top)
    except StepTooLong as error:
        return Found(0.0, f"refused: at most {error.dt_max:.4f}", ON, f"2 / lambda_max = {2 / top:.4f}")
    return Found(1.0, "taken", ON)


def _mass() -> Found:
    graph = small_world()
    _, final = after_euler(graph, 1.5)
    value = float((graph.integral(final) / graph.integral(start(graph)) - 1).abs())
    return Found(value, f"{value:.1e}", ON, "relative; the sum over the nodes")
