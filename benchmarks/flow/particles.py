"""Flows of particles: exact traces along edges, invariant densities, and a twin that knows no symmetry."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.flow.trainings import trained
from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.dynamics import ExactDivergence
from graphpde.flow import Flow, Likelihood, PairVelocity
from graphpde.nets import Mlp
from graphpde.ops import CentredNormal
from graphpde.train import Adam, Cosine, fit

SECTION = "Flows of particles"
SOURCES = (*SOLVING, "graphpde/flow", "graphpde/train", "graphpde/nets", "benchmarks/flow/particles.py")
TRAIN, TEST = 1000, 2000


class System(NamedTuple):
    """Particles in thermal equilibrium.

    Attributes:
        n, d: how many, in how many dimensions. energy: x [k, n, d] -> [k], in units of the temperature. move: of one
            particle in sampling. reach: of the bumps of a velocity. batch, steps: of the fit.
    """

    n: int
    d: int
    energy: Callable[[Tensor], Tensor]
    move: float
    reach: float
    batch: int
    steps: int


def _distances(x: Tensor) -> Tensor:
    i, j = torch.triu_indices(x.shape[-2], x.shape[-2], 1)
    return (x[..., i, :] - x[..., j, :]).norm(dim=-1)


def _double_wells(x: Tensor) -> Tensor:
    """Koehler, Klein and Noe 2020, eq. (27): pairs in a double well about a distance of 4."""
    off = _distances(x) - 4
    return (-4 * off.square() + 0.9 * off.pow(4)).sum(-1)


def _lennard_jones(x: Tensor) -> Tensor:
    """The same, eq. (28): Lennard-Jones pairs with their minimum at 1, and a harmonic hold on the centre."""
    r6 = _distances(x).pow(-6)
    centred = x - x.mean(-2, keepdim=True)
    return (r6.square() - 2 * r6).sum(-1) + 0.5 * centred.square().sum((-1, -2))


SYSTEMS = {
    "DW4": System(4, 2, _double_wells, 0.5, 8.0, 128, 1500),
    "LJ13": System(13, 3, _lennard_jones, 0.15, 5.0, 32, 600),
}


def rows() -> list[Row]:
    """The promises."""
    return [
        *(_row(f"{name}: divergence by edges against autograd", "<= 1e-6 relative", at_most(1e-6),
               partial(_divergence, name)) for name in SYSTEMS),
        *(_row(f"{name}: change of log p by a rotation and a permutation", "<= 1e-5 nats", at_most(1e-5),
               partial(_invariance, name)) for name in SYSTEMS),
        *(_row(f"{name}: NLL below that of the twin without symmetry", "> 0", lambda v: v > 0, partial(_twin, name))
          for name in SYSTEMS),
    ]  # fmt: skip


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found]) -> Row:
    return Row(SECTION, name, target, check, measure, sources=SOURCES)


def equilibrium(name: str, count: int, seed: int = 0, sweeps: int = 1000) -> Tensor:
    """Independent states [count, n, d] by Metropolis: one chain for each, one particle moved at a time."""
    system, rng = SYSTEMS[name], torch.Generator().manual_seed(seed)
    n, d = system.n, system.d
    x = 1.2 * n ** (1 / d) * (torch.rand(count, n, d, generator=rng, dtype=torch.float64) - 0.5)
    energy = system.energy(x)
    for _ in range(sweeps * n):
        k = int(torch.randint(0, n, (), generator=rng))
        moved = x.clone()
        moved[:, k] += system.move * torch.randn(count, d, generator=rng, dtype=torch.float64)
        after = system.energy(moved)
        taken = torch.rand(count, generator=rng, dtype=torch.float64).log() < energy - after
        x, energy = torch.where(taken[:, None, None], moved, x), torch.where(taken, after, energy)
    return (x - x.mean(-2, keepdim=True)).float()


class FlatVelocity(nn.Module):
    """The twin: a perceptron of all coordinates at once, which keeps the centre and knows nothing else.

    Args:
        n, d: particles and dimensions. hidden: width.
    """

    def __init__(self, n: int, d: int, hidden: int = 128):
        super().__init__()
        self.net = Mlp(n * d + 1, hidden, hidden, hidden, n * d, activation=nn.functional.silu)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        flat = (x - x.mean(-2, keepdim=True)).flatten(-2)
        time = torch.as_tensor(t).to(x).reshape(*([1] * (flat.dim() - 1)), 1).expand(*flat.shape[:-1], 1)
        v = self.net(torch.cat([flat, time], -1)).reshape(x.shape)
        return v - v.mean(-2, keepdim=True)


def likelihood(name: str, model: str, seed: int) -> dict[str, float]:
    """A flow fitted by maximum likelihood to states in equilibrium; NLL of others."""
    system = SYSTEMS[name]
    data = equilibrium(name, TRAIN + TEST)
    data, test = data[:TRAIN], data[TRAIN:]
    torch.manual_seed(seed)
    velocity = PairVelocity(system.reach) if model == "pairs" else FlatVelocity(system.n, system.d)
    rng = torch.Generator().manual_seed(seed)

    class Batches:
        def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
            for _ in range(system.steps):
                yield data[torch.randint(0, TRAIN, (system.batch,), generator=rng)]

    def flow(v: Any) -> Flow:
        return Flow(v, CentredNormal(), sample="state", stepper="rk4", dt=0.1)

    objective = Likelihood(flow, probes=0 if model == "pairs" else 2)
    update = Adam(5e-3 if model == "pairs" else 1e-3, schedule=Cosine(system.steps))
    fit(velocity, objective, Batches(), update=update, steps=system.steps, rng=rng)
    with torch.no_grad():
        parts = [flow(velocity).log_density(x, ExactDivergence()) for x in (data, *test.split(500))]
    return {"train": -float(parts[0].mean()), "test": -float(torch.cat(parts[1:]).mean())}


def _twin(name: str) -> Found:
    pairs, flat = trained("particles.likelihood", *({"name": name, "model": m, "seed": 0} for m in ("pairs", "flat")))
    system = SYSTEMS[name]
    text = f"{pairs['test']:.2f} against {flat['test']:.2f} nats"
    note = f"on the states learned from {pairs['train']:.2f} and {flat['train']:.2f}"
    on = f"{TRAIN} states learned from, {TEST} tested, {system.steps} steps, exact likelihood"
    return Found(flat["test"] - pairs["test"], text, on, note)


def _random(name: str) -> tuple[PairVelocity, Tensor]:
    system = SYSTEMS[name]
    torch.manual_seed(1)
    velocity = PairVelocity(system.reach).double()
    nn.init.normal_(velocity.weight, std=0.1)
    return velocity, torch.randn(16, system.n, system.d, dtype=torch.float64)


def _divergence(name: str) -> Found:
    velocity, x = _random(name)
    t = torch.tensor(0.3, dtype=torch.float64)
    _, edges = velocity.with_divergence(t, x)
    exact = []
    for state in x:
        jacobian = torch.func.jacrev(lambda y: velocity(t, y).flatten())(state).reshape(state.numel(), -1)
        exact.append(jacobian.trace())
    wanted = torch.stack(exact)
    off = float((edges.detach().flatten() - wanted).abs().max() / wanted.abs().max())
    return Found(off, f"{off:.1e}", "16 states, random weights, the whole Jacobian, double precision")


def _invariance(name: str) -> Found:
    velocity, x = _random(name)
    x = x - x.mean(-2, keepdim=True)
    d = x.shape[-1]
    rotation = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
    flow = Flow(velocity, CentredNormal(), sample="state", stepper="rk4", dt=0.05)
    with torch.no_grad():
        one, other = (flow.log_density(y) for y in (x, (x @ rotation)[:, torch.randperm(x.shape[1])]))
    off = float((one - other).abs().max())
    size = math.sqrt(float(one.square().mean()))
    return Found(off, f"{off:.1e}", f"16 states, random weights, rk4; log p about {size:.0f} nats")
