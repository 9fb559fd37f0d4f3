"""Fields on meshes: a flow between Gaussian laws, its covariance, and the same network on a finer mesh."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.flow.trainings import trained
from benchmarks.physics.rows import SOLVING, Found, Row, percent
from graphpde.flow import Flow, FlowMatching, MeshVelocity
from graphpde.mesh import Space, rectangle
from graphpde.ops import GaussianField
from graphpde.train import Adam, Cosine, fit

SECTION = "Fields on meshes"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "benchmarks/flow/fields.py")
CELLS, MODES, SAMPLES, STEPS = 31, 64, 20_000, 3000
NAMES = {"coarse": f"{(CELLS + 1) ** 2:,} nodes", "fine": f"the same network on {(2 * CELLS + 1) ** 2:,} nodes"}


def rows() -> list[Row]:
    """The promises."""
    return [
        Row(SECTION, f"covariance of samples, {NAMES['coarse']}", "<= 5 % above the sampling floor",
            lambda v: v <= 0.05, partial(_covariance, "coarse"), sources=SOURCES),
        Row(SECTION, f"covariance of samples, {NAMES['fine']}", "<= 15 % with the floor", lambda v: v <= 0.15,
            partial(_covariance, "fine"), sources=SOURCES),
    ]  # fmt: skip


def laws(space: Space) -> tuple[GaussianField, GaussianField]:
    """Of the base and of the data."""
    return (GaussianField(space, kappa=4.0, s=1.5, scale=4.0, modes=MODES),
            GaussianField(space, kappa=8.0, s=2.5, scale=120.0, modes=MODES))  # fmt: skip


def square(cells: int) -> Space:
    """The unit square."""
    return Space(rectangle(cells, cells))


def gaussian(steps: int, samples: int) -> dict[str, float]:
    """Relative errors of the covariance in the norm of Frobenius, and their floors."""
    space = square(CELLS)
    base, data = laws(space)

    class Batches:
        def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
            for _ in range(steps):
                yield data.draw(torch.empty(64, space.n, 1), rng)

    torch.manual_seed(0)
    model = MeshVelocity(1, hidden=0, modes=MODES)
    objective = FlowMatching(base=base, sample="state", graph=space)
    fit(model, objective, Batches(), update=Adam(3e-3, schedule=Cosine(steps)), steps=steps,
        rng=torch.Generator().manual_seed(0))  # fmt: skip
    found = {}
    for name, cells in (("coarse", CELLS), ("fine", 2 * CELLS)):
        here = square(cells)
        base, data = laws(here)
        flow, rng = Flow(model.on(here), base, sample="state", stepper="rk4", dt=0.05), torch.Generator().manual_seed(1)
        exact, second = data.covariance(), torch.zeros(here.n, here.n, dtype=torch.float64)
        for _ in range(samples // 500):
            x = flow.sample(torch.empty(500, here.n, 1), rng)[..., 0].double()
            second += x.T @ x / samples
        size = exact.square().sum()
        found[name] = float((second - exact).norm() / size.sqrt())
        found[f"{name} floor"] = float(((1 + exact.trace() ** 2 / size) / samples).sqrt())
    return found


def _covariance(which: str) -> Found:
    (found,) = trained("fields.gaussian", {"steps": STEPS, "samples": SAMPLES})
    off, floor = found[which], found[f"{which} floor"]
    value = off - floor if which == "coarse" else off
    on = f"unit square, {MODES} modes, {SAMPLES:,} samples, learned on {NAMES['coarse']}"
    return Found(value, percent(off), on, f"sampling floor {percent(floor)}")
