"""Learned energies of pairs: two and three bodies under gravity, springs on graphs larger than any seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.hamiltonian.trainings import trained
from benchmarks.physics.rows import SOLVING, Found, Row, at_most, percent
from graphpde.dynamics import evolve
from graphpde.hamiltonian import LearnedPair, Particles, RateMatch, springs
from graphpde.ops.pair import Gravity
from graphpde.train import Adam, Cosine, fit

SECTION = "Learned pair energies"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "graphpde/train", "graphpde/nets", "benchmarks/hamiltonian/bodies.py")
DTYPE = torch.float64
SPANS = {2: (20.0, 50), 3: (5.0, 20)}
"""Bodies -> length of an orbit and the times on it."""
DT = {2: 0.01, 3: 0.0025}
REACH = 6.0
ORBITS, JUDGED = {2: 200, 3: 800}, 100
SETTINGS: dict[int, dict[str, Any]] = {
    2: {"seed": 0, "hidden": 64, "bumps": 16, "steps": 1000},
    3: {"seed": 0, "hidden": 64, "bumps": 48, "steps": 600},
}
REPORTED = {2: 3.9e-5, 3: 4.2e-2}
"""Of Hamiltonian networks that see all coordinates: Greydanus et al. 2019, whose averages may be taken otherwise."""
SIZES, TRAIN_SIZES = (20, 1000), (4, 5, 6)


def rows() -> list[Row]:
    """The promises."""
    return [
        *(Row(SECTION, f"{count} bodies under gravity: mean square error of the true energy along learned orbits",
              f"<= {REPORTED[count]:.1e}, as reported", at_most(REPORTED[count]), partial(_gravity, count),
              sources=SOURCES) for count in (2, 3)),
        *(Row(SECTION, f"springs learned on 4 to 6, run on {n:,}: true energy over 1,000 steps", "<= 2 %",
              at_most(2e-2), partial(_springs, n), sources=SOURCES) for n in SIZES),
    ]  # fmt: skip


# gravity


def gravity(count: int, pair: nn.Module | None = None) -> Particles:
    """Bodies of mass 1 in the plane, G = 1."""
    return Particles(torch.ones(count, dtype=DTYPE), pair or Gravity())  # type: ignore[arg-type]


def orbits(count: int, number: int, seed: int) -> Tensor:
    """Starts [number, count, 4] on nearly circular orbits, much as Greydanus et al. 2019 draw them."""
    rng = torch.Generator().manual_seed(seed)
    uniform = partial(torch.rand, generator=rng, dtype=DTYPE)
    if count == 2:
        place = 0.5 + uniform(number, 2)
        r = place.norm(dim=1, keepdim=True)
        speed = torch.stack([-place[:, 1], place[:, 0]], 1) / (2 * r**1.5)
        speed = speed * (1 + 0.05 * torch.randn(number, 1, generator=rng, dtype=DTYPE))
        one = torch.cat([place, speed], 1)
        return torch.stack([one, -one], 1)
    angle, r = 2 * math.pi * uniform(number, 1), 0.9 + 0.3 * uniform(number, 1)
    angles = angle + 2 * math.pi / 3 * torch.arange(3)
    way = torch.stack([angles.cos(), angles.sin()], -1)  # [number, 3, 2]
    across = torch.stack([-way[..., 1], way[..., 0]], -1)
    speed = across * (math.sin(math.pi / 3) / (2 * math.cos(math.pi / 6) ** 2) / r[..., None]).sqrt()
    speed = speed * (1 + 0.2 * (2 * uniform(number, 3, 2) - 1))
    return torch.cat([way * r[..., None], speed], -1)


def along(system: Particles, u: Tensor, count: int) -> Tensor:
    """States [s, number, count, 4] at the times of the orbits."""
    span, looks = SPANS[count]
    times = torch.linspace(0, span, looks, dtype=DTYPE)
    return evolve(system, u, times, stepper="yoshida4", dt=DT[count]).states


def bodies(count: int, seed: int, hidden: int, bumps: int, steps: int) -> dict[str, float]:
    """A pair energy learned from rates; the true energy along new orbits that it gives."""
    true = gravity(count)
    u = along(true, orbits(count, ORBITS[count], seed), count).flatten(0, 1)
    rate = true.forward(torch.zeros((), dtype=DTYPE), u)
    torch.manual_seed(seed)
    learned = gravity(count, LearnedPair(REACH, bumps=bumps, hidden=hidden).double())

    class Batches:
        def drawn(self, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
            for _ in range(steps):
                some = torch.randint(0, len(u), (512,), generator=rng)
                yield u[some], rate[some]

    rng = torch.Generator().manual_seed(seed)
    fit(learned, RateMatch(), Batches(), update=Adam(5e-3, schedule=Cosine(steps)), steps=steps, rng=rng)
    start = orbits(count, JUDGED, 1000 + seed)
    with torch.no_grad():
        energy = true.energy(along(learned, start, count))
        loss = float(RateMatch()(learned, (u[:5000], rate[:5000]))["rate"])
    error = (energy - energy[0]).square()
    exact = true.energy(along(true, start, count))
    return {
        "error": float(error.mean()), "worst": float(error.mean(0).max()), "median": float(error.mean(0).median()),
        "loss": loss, "integrator": float((exact - exact[0]).square().mean()), "scale": float(energy[0].abs().mean()),
    }  # fmt: skip


def _gravity(count: int) -> Found:
    (found,) = trained("bodies.bodies", {"count": count, **SETTINGS[count]})
    span, looks = SPANS[count]
    on = (
        f"mean over {looks} times of {JUDGED} new orbits of {span:g} time units; masses 1, G = 1, learned from rates "
        f"on {ORBITS[count]} orbits"
    )
    note = (
        f"energies about {found['scale']:.2g}; worst orbit {found['worst']:.1e}, median orbit {found['median']:.1e}; "
        f"the same integrator with the true forces {found['integrator']:.1e}"
    )
    return Found(found["error"], f"{found['error']:.1e}", on, note)


# springs


class Systems(nn.Module):
    """One pair energy on rings of several sizes; batches say which."""

    def __init__(self, pair: LearnedPair):
        super().__init__()
        self.pair = pair
        self.on = {n: Particles(torch.ones(n, dtype=DTYPE), pair, edges=springs(n).system.edges) for n in TRAIN_SIZES}

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.on[u.shape[-2]].forward(t, u)


def rings(seed: int, steps: int) -> dict[str, float]:
    """A pair energy learned from rates of rings of 4 to 6 springs; the true energy on larger ones."""
    data = []
    for n in TRAIN_SIZES:
        for k in range(20):
            system, u = springs(n, seed=100 * n + k)
            states = evolve(system, u, torch.linspace(0, 5, 21, dtype=DTYPE), stepper="leapfrog", dt=0.025).states
            data.append((states, system.forward(torch.zeros((), dtype=DTYPE), states)))
    batches = [
        tuple(torch.cat([one[part] for one in data if one[0].shape[1] == n]) for part in (0, 1)) for n in TRAIN_SIZES
    ]
    torch.manual_seed(seed)
    learned = Systems(LearnedPair(4.0, bumps=16, hidden=32).double())
    fit(learned, RateMatch(), batches, update=Adam(1e-2, schedule=Cosine(steps)), steps=steps)
    found = {}
    for n in SIZES:
        system, u = springs(n, seed=7)
        model = Particles(system.masses, learned.pair, edges=system.edges)
        with torch.no_grad():
            run = evolve(model, u, torch.linspace(0, 50, 101, dtype=DTYPE), stepper="leapfrog", dt=0.05)
            energy = system.energy(run.states)
        found[str(n)] = float((energy / energy[0] - 1).abs().max())
        exact = evolve(system, u, torch.linspace(0, 50, 101, dtype=DTYPE), stepper="leapfrog", dt=0.05)
        own = system.energy(exact.states)
        found[f"own {n}"] = float((own / own[0] - 1).abs().max())
    return found


def _springs(n: int) -> Found:
    (found,) = trained("bodies.rings", {"seed": 0, "steps": 600})
    on = "rings of springs in the plane, leapfrog, dt = 0.05, largest relative error; learned from rates of 60 motions"
    note = f"with the true forces {percent(found[f'own {n}'])}"
    return Found(found[str(n)], percent(found[str(n)]), on, note)
