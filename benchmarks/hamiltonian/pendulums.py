"""Learned pendulums: an ideal one from its rates, and a real one, which slows down, from what was measured."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.hamiltonian.fitted import fitted
from benchmarks.hamiltonian.trainings import SHARED, trained
from benchmarks.physics.rows import NO_TARGET, SOLVING, Absent, Found, Row, at_most, percent
from graphpde.dynamics import evolve
from graphpde.hamiltonian import (
    Hamiltonian,
    LearnedField,
    LearnedStart,
    NodeNetwork,
    Particles,
    PathMatch,
    Pendulum,
    RateMatch,
)
from graphpde.nets import Mlp
from graphpde.train import Adam, Cosine, fit

SECTION = "Learned pendulums"
SOURCES = (*SOLVING, "graphpde/hamiltonian", "graphpde/train", "graphpde/nets", "benchmarks/hamiltonian/pendulums.py",
           "benchmarks/hamiltonian/fitted.py")  # fmt: skip
DTYPE = torch.float64
SEEDS = range(5)
PATHS, TIMES, SEEN, AHEAD = 25, 45, 4.0, 25.0
MEASURED = SHARED / "pde" / "pendulum" / "real_pend_h_1.txt"
EVERY, STRIDE = 1 / 6, 2
"""Seconds between two frames, and frames in a step of the integrator."""
LEARNED_UNTIL, WINDOWS, JUDGED = 65.0, (5.0, 15.0), 30.0
KINDS = {"hamiltonian": "Hamiltonian", "dissipative": "Hamiltonian with friction", "plain": "perceptron"}


def rows() -> list[Row]:
    """The promises."""
    return [
        _row("ideal pendulum: true energy along the learned motion", "<= 1 %", at_most(1e-2), _kept),
        _row("ideal pendulum: a perceptron's drift of energy by that of the learned Hamiltonian", ">= 10",
             lambda v: v >= 10, _drifts),
        _row("ideal pendulum seen by its angle alone, noise of 2 %: angles of other motions", NO_TARGET,
             at_most(np.inf), _unseen),
        *(_row(f"real pendulum: error with friction learned by that of the {KINDS[other]}", "< 1", lambda v: v < 1,
               partial(_real, other)) for other in ("hamiltonian", "plain")),
        _row("real pendulum: error with friction learned", NO_TARGET, at_most(np.inf), _real_error),
    ]  # fmt: skip


def _row(name: str, target: str, check: Callable[[float], bool], measure: Callable[[], Found | Absent]) -> Row:
    return Row(SECTION, name, target, check, measure, sources=SOURCES)


class Plain(nn.Module):
    """The twin: rates from a perceptron of the state, of which nothing is known to stay."""

    def __init__(self, hidden: int):
        super().__init__()
        self.net = Mlp(2, hidden, hidden, 2, activation=torch.tanh)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.net(u)


# an ideal one


def ideal() -> Particles:
    """H = p^2 + 3 (1 - cos q), that of Greydanus et al. 2019, section 3."""
    return Particles(torch.full((1,), 0.5, dtype=DTYPE), field=Pendulum(3.0))


def starts(count: int, seed: int) -> Tensor:
    """States [count, 1, 2] at a distance of 1.3 to 2.3 from rest, in any direction, as theirs."""
    rng = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 1, 2, generator=rng, dtype=DTYPE)
    return x / x.norm(dim=-1, keepdim=True) * (1.3 + torch.rand(count, 1, 1, generator=rng, dtype=DTYPE))


def swinging(model: str, seed: int, hidden: int, steps: int) -> dict[str, float]:
    """Learned from rates along short motions; of long ones the true energy."""
    system = ideal()
    times = torch.linspace(0, SEEN, TIMES, dtype=DTYPE)
    u = evolve(system, starts(PATHS, seed), times, stepper="yoshida6", dt=0.05).states.flatten(0, 1)
    batch = (u, system.forward(torch.zeros((), dtype=DTYPE), u))
    torch.manual_seed(seed)
    learned = Plain(hidden).double() if model == "plain" else Hamiltonian(NodeNetwork(2, hidden=hidden).double())
    fit(learned, RateMatch(), [batch], update=Adam(1e-2, schedule=Cosine(steps)), steps=steps)
    with torch.no_grad():
        far = torch.linspace(0, AHEAD, 501, dtype=DTYPE)
        energy = system.energy(evolve(learned, starts(PATHS, 1000 + seed), far, stepper="rk4", dt=0.025).states)
        error = energy / energy[0] - 1  # [s, paths]
        loss = float(RateMatch()(learned, batch)["rate"])
    drift = (error[-50:].mean(0) - error[:50].mean(0)).square().mean().sqrt()
    return {"largest": float(error.abs().max()), "drift": float(drift), "loss": loss}


def _runs(model: str) -> list[dict[str, float]]:
    return trained("pendulums.swinging", *({"model": model, "seed": k, "hidden": 64, "steps": 1500} for k in SEEDS))


def _on() -> str:
    return f"rates at {TIMES} times of {PATHS} motions of {SEEN:g} s, {PATHS} others of {AHEAD:g} s; rk4, 5 seeds"


def _kept() -> Found:
    found = [run["largest"] for run in _runs("hamiltonian")]
    middle = statistics.median(found)
    text = f"{percent(middle)} (seeds: {percent(min(found))} to {percent(max(found))})"
    return Found(middle, text, _on(), "largest relative error over all motions and times, median of the seeds")


def _drifts() -> Found:
    ours, theirs = ([run["drift"] for run in _runs(model)] for model in ("hamiltonian", "plain"))
    ratio = statistics.median(b / a for a, b in zip(ours, theirs, strict=True))
    note = "drift: mean relative energy of the last tenth less that of the first, root mean square over the motions"
    text = f"{ratio:.0f}x ({statistics.median(theirs):.1e} against {statistics.median(ours):.1e})"
    return Found(ratio, text, f"{_on()}; median of the ratios", note)


def glimpsed(seed: int, hidden: int, noise: float, lbfgs: int) -> dict[str, float]:
    """A potential and the momenta at the start, learned from angles with noise; of other motions the angle."""
    system, times = ideal(), torch.linspace(0, SEEN, TIMES, dtype=DTYPE)
    motions = evolve(system, starts(2 * PATHS, seed), times, stepper="yoshida6", dt=0.05).states
    rng, size = torch.Generator().manual_seed(seed), motions[..., :1].std()
    angles = motions[:, :PATHS, :, :1]
    angles = angles + noise * size * torch.randn(angles.shape, generator=rng, dtype=DTYPE)
    states = torch.cat([angles, torch.full_like(angles, torch.nan)], -1)
    seen = torch.tensor([True, False]).expand(states.shape)
    torch.manual_seed(seed)
    law = Particles(system.masses, field=LearnedField(1, hidden=hidden).double())
    slope = (angles[1] - angles[0]) / times[1] * system.masses
    learned = LearnedStart(law, states[0], seen[0], guess=torch.cat([angles[0], slope], -1))
    loss = fitted(learned, PathMatch("leapfrog", 0.05), (times, states, seen), adam=0, lbfgs=lbfgs)
    with torch.no_grad():
        others = motions[:, PATHS:]
        found = evolve(law, others[0], times, stepper="leapfrog", dt=0.05).states
        momenta = (learned.start - motions[0, :PATHS])[..., 1].square().mean().sqrt() / motions[..., 1].std()
    off = (found - others)[..., 0].square().mean().sqrt() / size
    return {"angle": float(off), "momenta": float(momenta), "loss": loss}


def _unseen() -> Found:
    runs = trained("pendulums.glimpsed", *({"seed": k, "hidden": 16, "noise": 0.02, "lbfgs": 150} for k in range(3)))
    off, momenta = (statistics.median(run[name] for run in runs) for name in ("angle", "momenta"))
    on = (
        f"root mean square by the deviation of the angle; learned through leapfrog from angles at {TIMES} times of "
        f"{PATHS} motions of {SEEN:g} s, momenta at the start learned too; {PATHS} other motions, median of 3 seeds"
    )
    return Found(off, percent(off), on, f"momenta at the start found to {percent(momenta)}")


# a real one


def measured() -> tuple[Tensor, Tensor]:
    """Angles and velocities [s, 1, 2] at every sixth of a second, and which frames were seen [s]."""
    table = torch.from_numpy(np.loadtxt(MEASURED, skiprows=1))
    frame = ((table[:, 1] - table[0, 1]) / EVERY).round().long()
    states = torch.full((int(frame[-1]) + 1, 1, 2), torch.nan, dtype=DTYPE)
    states[frame, 0] = table[:, 2:]
    return states, ~states.isnan().any(-1)[:, 0]


def windows(states: Tensor, seen: Tensor, frames: int, apart: int) -> tuple[Tensor, Tensor, Tensor]:
    """Times [s], states [s, windows, 1, 2] and what was seen of them: windows that start with seen frames ``apart``."""
    first = [k for k in range(0, len(states) - frames + 1, apart) if seen[k]]
    cut = torch.stack([states[k : k + frames : STRIDE] for k in first], 1)
    return torch.arange(len(cut), dtype=DTYPE) * EVERY * STRIDE, cut, ~cut.isnan()


class Real(nn.Module):
    """H = p^2 / 2 m + V(q) with m, V and a friction learned; without the latter energy stays."""

    def __init__(self, hidden: int, friction: bool):
        super().__init__()
        self.field = LearnedField(1, hidden=hidden).double()
        self.log_mass = nn.Parameter(torch.zeros((), dtype=DTYPE))
        self.log_friction = nn.Parameter(torch.tensor(-3.0, dtype=DTYPE)) if friction else None
        self.term = Hamiltonian(self.energy, self.rate if friction else None)

    def energy(self, u: Tensor) -> Tensor:
        q, p = u.chunk(2, -1)
        return 0.5 * p.square() / self.log_mass.exp() + self.field.energy(q)

    def rate(self, q: Tensor) -> Tensor:
        assert self.log_friction is not None
        return self.log_friction.exp().expand(q.shape)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.term(t, u)


def slowing(model: str, seed: int, hidden: int, adam: int, lbfgs: int) -> dict[str, float]:
    """Learned through the integrator from the first part of the record; errors of motions in the rest of it."""
    states, seen = measured()
    split = round((LEARNED_UNTIL - 5.0) / EVERY)
    short, long = (windows(states[:split], seen[:split], round(w / EVERY) + 1, round(0.6 * w / EVERY)) for w in WINDOWS)
    torch.manual_seed(seed)
    learned: Any = Plain(hidden).double() if model == "plain" else Real(hidden, model == "dissipative")

    fitted(learned, PathMatch("rk4"), short, adam=adam, lbfgs=lbfgs)  # phases of long ones have many false minima
    loss = fitted(learned, PathMatch("rk4"), long, adam=0, lbfgs=lbfgs)
    later = windows(states[split:], seen[split:], round(JUDGED / EVERY) + 1, 6)
    with torch.no_grad():
        found = {"train": loss, "test": float(PathMatch("rk4")(learned, later)["path"])}
    if model == "dissipative":
        found["friction"] = float(learned.log_friction.detach().exp())
    return {**found, "windows": later[1].shape[1]}


def _slowed(model: str) -> list[dict[str, float]]:
    how = {"hidden": 16, "adam": 100, "lbfgs": 40}
    return trained("pendulums.slowing", *({"model": model, "seed": k, **how} for k in range(3)))


def _real_on(count: float) -> str:
    return (
        f"learned from windows of {WINDOWS[0]:g} s, then {WINDOWS[1]:g} s of t < {LEARNED_UNTIL:g} s, through rk4; "
        f"{count:.0f} motions of {JUDGED:g} s after it, mean square of angle and velocity; median of 3 seeds"
    )


def _real(other: str) -> Found | Absent:
    if not MEASURED.is_file():
        return Absent("the measurements are not there")
    ours, theirs = _slowed("dissipative"), _slowed(other)
    mine, their = (statistics.median(run["test"] for run in runs) for runs in (ours, theirs))
    return Found(mine / their, f"{mine / their:.2g}x ({mine:.1e} against {their:.1e})", _real_on(ours[0]["windows"]))


def _real_error() -> Found | Absent:
    if not MEASURED.is_file():
        return Absent("the measurements are not there")
    ours = _slowed("dissipative")
    middle = statistics.median(run["test"] for run in ours)
    rate = statistics.median(run["friction"] for run in ours)
    return Found(middle, f"{middle:.1e}", _real_on(ours[0]["windows"]), f"friction {rate:.4f} 1/s")
