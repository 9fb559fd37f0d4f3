"""Continuous convolutions in three bases: kernels of smoothed particle hydrodynamics learned, and a gas rolled out."""

from __future__ import annotations

import math
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.physics.rows import NO_TARGET, SOLVING, Found, Row, at_most, percent
from benchmarks.trainings import mean_and_error
from graphpde.core.close_pairs import Box, close_pairs
from graphpde.core.incidence import Incidence
from graphpde.dynamics import evolve
from graphpde.hamiltonian import Particles, ShallowWater, Smoothing, Start
from graphpde.nets import ContinuousConv
from graphpde.nets.continuous import BASES
from graphpde.ops.ends import at_ends, ends
from graphpde.ops.pair import squared
from graphpde.ops.separable import Separable
from graphpde.train import LBFGS, fit

SECTION = "Continuous convolutions"
SOURCES = (
    *SOLVING, "graphpde/hamiltonian", "graphpde/nets", "graphpde/train", "benchmarks/hamiltonian/convolutions.py"
)  # fmt: skip
DTYPE = torch.float64
REACH, KIND, SIZE = 4.0, "quintic_spline", 9
SEEDS, SPAN = (0, 1, 2), 10.0
Batch = tuple[Incidence, Tensor, Tensor, Tensor]


def rows() -> list[Row]:
    """The promises."""
    kernels = [
        Row(SECTION, f"{what} by a quintic spline in {d}-D learned: held-out relative L2", "< 1 %",
            lambda v: v < 0.01, partial(_kernel, what, d), sources=SOURCES)
        for what in ("density", "gradient") for d in (1, 2)
    ]  # fmt: skip
    gas = [
        Row(SECTION, f"gas in 1-D rolled out, {basis} basis", NO_TARGET, lambda v: True, partial(_gas, basis),
            sources=SOURCES)
        for basis in BASES
    ]  # fmt: skip
    return [
        *kernels,
        Row(SECTION, "odd layers: sum over all nodes by the sum of sizes", "<= 1e-10", at_most(1e-10), _sums,
            sources=SOURCES),
        *gas,
        Row(SECTION, "gas in 1-D: error of the Fourier basis by the better of the others", "< 1",
            lambda v: v < 1,
            _fourier_first, sources=SOURCES),
    ]  # fmt: skip


def _rng(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# kernels


def _points(d: int, seed: int) -> tuple[Incidence, Tensor, Tensor]:
    """Pairs, differences and masses of disordered particles, one a unit of volume, in a periodic box."""
    side = 256 if d == 1 else 24
    lattice = torch.cartesian_prod(*[torch.arange(side, dtype=DTYPE)] * d).reshape(-1, d)
    q = lattice + 0.3 * torch.randn(lattice.shape, generator=_rng(seed), dtype=DTYPE)
    box = Box([float(side)] * d)
    edges = Incidence.of_pairs(*close_pairs(q, REACH, box=box), len(q))
    mass = 0.5 + torch.rand(len(q), 1, generator=_rng(seed + 1000), dtype=DTYPE)
    return edges, box.nearest(edges.difference(q)), mass


def _target(what: str, w: Smoothing, edges: Incidence, apart: Tensor, mass: Tensor) -> Tensor:
    """sum_j m_j W_ij with the particle itself, or sum_j (m_i + m_j) / 2 grad W_ij."""
    one, two = ends(edges, mass)
    if what == "density":
        value = w.value(squared(apart))
        return at_ends(edges, two * value, one * value) + w.peak * mass
    return edges.divergence(0.5 * (one + two) * w.slope(squared(apart)) * apart)


class Match:
    """The mean square distance of what a layer makes of masses from a target."""

    def __call__(self, model: nn.Module, batch: Batch, rng: Any = None) -> dict[str, Tensor]:
        edges, apart, mass, wanted = batch
        return {"match": (model(edges, apart, mass) - wanted).square().mean()}


def _kernel(what: str, d: int) -> Found:
    w = Smoothing(REACH, d, KIND)
    batches = []
    for seed in (0, 1):
        edges, apart, mass = _points(d, seed)
        batches.append((edges, apart, mass, _target(what, w, edges, apart, mass)))
    errors = {}
    for basis in ("fourier", "linear", "rbf"):
        torch.manual_seed(0)
        symmetry = "even" if what == "density" else "odd"
        net = ContinuousConv(1, 1 if what == "density" else d, d, REACH, size=SIZE, basis=basis, symmetry=symmetry)
        net = net.double()
        fit(net, Match(), batches[:1], update=LBFGS(), steps=100)
        edges, apart, mass, wanted = batches[1]
        with torch.no_grad():
            errors[basis] = float((net(edges, apart, mass) - wanted).norm() / wanted.norm())
    others = ", ".join(f"{basis} {percent(errors[basis])}" for basis in ("linear", "rbf"))
    n = batches[0][0].n
    on = f"{SIZE} Fourier functions a coordinate, {n} disordered particles each, reach {REACH:g} distances"
    return Found(errors["fourier"], percent(errors["fourier"]), on, f"as many of the others: {others}")


def _sums() -> Found:
    edges, apart, mass = _points(2, 0)
    worst = 0.0
    for basis in BASES:
        torch.manual_seed(0)
        found = ContinuousConv(1, 4, 2, REACH, basis=basis, symmetry="odd").double()(edges, apart, mass).detach()
        worst = max(worst, float(found.sum(0).abs().max() / found.abs().sum()))
    return Found(worst, f"{worst:.1e}", f"{edges.n} nodes in the plane, random weights, all bases")


# a gas


def gas(n: int, seed: int, kind: str = KIND) -> Start:
    """n particles 1 apart in a periodic box, sound 1, p = rho^2 / 2: disordered, with waves 16 to 64 long."""
    box = Box([float(n)])
    system = ShallowWater(torch.ones(n, dtype=DTYPE), Smoothing(REACH, 1, kind), gravity=1.0, box=box)
    x, rng = torch.arange(n, dtype=DTYPE), _rng(seed)
    u = torch.stack([x + 0.2 * torch.randn(n, generator=rng, dtype=DTYPE), torch.zeros_like(x)], 1)
    for k in range(n // 64, n // 16 + 1, n // 128):
        for part, size in ((0, 0.06 * n / (2 * math.pi * k)), (1, 0.06)):
            phase = 2 * math.pi * torch.rand((), generator=rng, dtype=DTYPE)
            height = size * torch.randn((), generator=rng, dtype=DTYPE)
            u[:, part] += height * torch.sin(2 * math.pi * k * x / n + phase)
    return Start(system, u)


class Learned(Separable):
    """q'' by an odd layer over the neighbours of a gas."""

    def __init__(self, system: Particles, net: ContinuousConv):
        super().__init__(self.push)
        self.system, self.net = system, net

    def push(self, t: Tensor, q: Tensor) -> Tensor:
        edges, apart = self.system.close(q)
        return self.net(edges, apart, torch.ones_like(q))


def seen(system: Particles, states: Tensor) -> Batch:
    """Pairs, differences, ones and accelerations of several states [s, n, 2] side by side."""
    zero, found = torch.zeros((), dtype=DTYPE), []
    for k, u in enumerate(states):
        edges, apart = system.close(u[:, :1])
        found.append((edges.relation.pairs()[0] + k * system.n, apart, system.kick(zero, u[:, :1])))
    nodes, apart, rate = (torch.cat(part) for part in zip(*found, strict=True))
    edges = Incidence.of_pairs(nodes[0::2], nodes[1::2], len(states) * system.n)
    return edges, apart, torch.ones_like(rate), rate


def rollout(basis: str, seed: int, kind: str) -> dict[str, float]:
    """A gas learned from accelerations along a run of 512 particles, then a run of other 256 from its start."""
    system, u = gas(512, seed, kind)
    states = evolve(system, u, torch.linspace(0, SPAN, 9, dtype=DTYPE), stepper="leapfrog", dt=0.25).states
    torch.manual_seed(seed)
    net = ContinuousConv(1, 1, 1, REACH, size=SIZE, basis=basis, symmetry="odd").double()
    fit(net, Match(), [seen(system, states)], update=LBFGS(), steps=200)
    exact, start = gas(256, 1000 + seed, kind)
    looks = torch.linspace(0, SPAN, 13, dtype=DTYPE)
    with torch.no_grad():
        model = Learned(exact, net)
        wanted, found = (evolve(f, start, looks, stepper="leapfrog", dt=0.25).states for f in (exact, model))
        edges, apart, ones, rate = seen(exact, wanted)
        rates = float((net(edges, apart, ones) - rate).norm() / rate.norm())
        momentum = exact.momentum(found) - exact.momentum(start)
    moved = (wanted - start)[1:, :, 0]
    return {
        "velocity": float((found - wanted)[1:, :, 1].norm() / wanted[1:, :, 1].norm()),
        "position": float((found - wanted)[1:, :, 0].norm() / moved.norm()),
        "rate": rates, "momentum": float(momentum.abs().max() / start[:, 1].abs().sum()),
    }  # fmt: skip


@cache
def _runs(basis: str, kind: str = KIND) -> list[dict[str, float]]:
    return [rollout(basis, seed, kind) for seed in SEEDS]


def _mean(basis: str, what: str, kind: str = KIND) -> float:
    return mean_and_error([run[what] for run in _runs(basis, kind)])[0]


def _gas(basis: str) -> Found:
    runs = _runs(basis)
    mean, error = mean_and_error([run["velocity"] for run in runs])
    on = (
        f"relative error of the velocities of 256 particles over the times in which sound passes {SPAN:g} of them, "
        f"learned on 512 others, one odd layer of {SIZE} functions, {len(SEEDS)} seeds"
    )
    note = (
        f"accelerations {percent(_mean(basis, 'rate'))}, positions {percent(_mean(basis, 'position'))} of the way; "
        f"momentum {max(run['momentum'] for run in runs):.0e}"
    )
    return Found(mean, f"{percent(mean)} +- {percent(error)}", on, note)


def _fourier_first() -> Found:
    shares, told = [], []
    for kind in (KIND, "wendland_c2"):
        found = {basis: _mean(basis, "velocity", kind) for basis in BASES}
        shares.append(found["fourier"] / min(error for basis, error in found.items() if basis != "fourier"))
        told.append(f"{kind}: " + ", ".join(f"{basis} {percent(error)}" for basis, error in found.items()))
    note = "the smoother the kernel, the more Fourier functions gain; what is learned is linear in the weights"
    return Found(max(shares), " and ".join(f"{share:.2g}" for share in shares), "; ".join(told), note)
