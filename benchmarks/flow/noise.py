"""Neural SDEs: drift and diffusion of two processes found from their paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.flow.trainings import trained
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import Brownian, evolve
from graphpde.flow import PointVelocity, PositiveFactor, Transitions
from graphpde.ops import SDE, Diagonal
from graphpde.train import Adam, Cosine, fit

SECTION = "Neural SDEs"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "benchmarks/flow/noise.py")
DT, STEPS, PATHS, LENGTH, BATCH = 0.005, 4000, 4000, 1600, 65_536


class Process(NamedTuple):
    """du = f(u) dt + g(u) dW."""

    drift: Callable[[Tensor], Tensor]
    factor: Callable[[Tensor], Tensor]


PROCESSES = {
    "Ornstein-Uhlenbeck": Process(lambda u: 2.0 * (0.5 - u), lambda u: torch.full_like(u, 0.8)),
    "double well": Process(lambda u: 4.0 * (u - u**3), lambda u: 0.7 + 0.3 * torch.tanh(u)),
}


def rows() -> list[Row]:
    """The promises."""
    return [
        Row(SECTION, f"{name}: {what} found from paths, mean relative error", "<= 5 %", at_most(0.05),
            partial(_error, name, what), sources=SOURCES)
        for name in PROCESSES for what in ("drift", "diffusion")
    ]  # fmt: skip


def paths(name: str, seed: int = 0) -> Tensor:
    """Observed states [s, k, 1] every ``DT``, after a time in which the start is forgotten; a fifth of that a step."""
    process = PROCESSES[name]
    equation = SDE(lambda t, u: process.drift(u), Diagonal(lambda t, u: process.factor(u)))
    start = torch.randn(PATHS, 1, generator=torch.Generator().manual_seed(seed))
    times = torch.cat([torch.zeros(1), 3 + DT * torch.arange(LENGTH + 1)]).double()
    with torch.no_grad():
        run = evolve(equation, start, times, stepper="sriw1", dt=DT / 2, brownian=Brownian(seed))
    return run.states[1:]


def process(name: str, seed: int) -> dict[str, float]:
    """Errors of what is learned, root mean square over the observed states by that of the true values."""
    seen = paths(name, seed)
    u, after = seen[:-1].flatten(0, 1), seen[1:].flatten(0, 1)

    class Steps:
        def drawn(self, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
            for _ in range(STEPS):
                chosen = torch.randint(0, len(u), (BATCH,), generator=rng)
                yield u[chosen], after[chosen]

    torch.manual_seed(seed)
    nets = [PointVelocity(1, hidden=32, layers=2, activation=nn.functional.silu) for _ in range(2)]
    model = SDE(nets[0], Diagonal(PositiveFactor(nets[1])))
    rng = torch.Generator().manual_seed(seed)
    fit(model, Transitions(DT), Steps(), update=Adam(5e-3, schedule=Cosine(STEPS)), steps=STEPS, rng=rng)
    with torch.no_grad():
        true, t, factor = PROCESSES[name], torch.zeros(()), PositiveFactor(nets[1])
        drift, diffusion = nets[0](t, u), factor(t, u)
    return {
        "drift": _relative(drift, true.drift(u)),
        "diffusion": _relative(diffusion, true.factor(u)),
        "steps": float(len(u)),
    }


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


def _error(name: str, what: str) -> Found:
    (found,) = trained("noise.process", {"name": name, "seed": 0})
    on = f"{found['steps']:,.0f} steps of {DT:g}, perceptrons of 2 layers of 32"
    return Found(found[what], percent(found[what]), on, "root mean square over the observed states")
