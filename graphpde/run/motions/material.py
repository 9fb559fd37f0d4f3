"""What a motion is learned from and as: trajectories in units of size one, a law, windows that it has to follow."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from graphpde.dynamics import evolve
from graphpde.errors import ConfigError, DatasetError
from graphpde.hamiltonian.learned import PathMatch
from graphpde.run.motions.config import ModelChoice, MotionConfig
from graphpde.run.motions.kinds import KINDS, Body, Law
from graphpde.run.motions.trajectories import Trajectories, read_trajectories, seen, simulated
from graphpde.run.motions.units import Units

_STEPS = (5, 10)  # of the data, in windows of which nobody says how long they are
_APART = 0.6  # of a window, between the beginnings of two
_PAIRS = 2_000_000  # distances that are looked at


@dataclass(frozen=True)
class Pace:
    """How a law is advanced: the stepper by name, its longest step, and the step of the data; in its own units."""

    stepper: str
    step: float
    data: float

    @classmethod
    def of(cls, model: ModelChoice, h: float, units: Units) -> Pace:
        """From settings and the step of the data, in the units of the data."""
        return cls(model.stepper, (model.step or h) / units.time, h / units.time)

    def times(self, count: int) -> Tensor:
        """The first ``count`` times of the data."""
        return torch.arange(count, dtype=torch.float64) * self.data

    def run(self, law: Law, u: Tensor, count: int) -> Tensor:
        """States [count, *, n, 2 d] at these times from u [*, n, 2 d] on, without gradients."""
        with torch.no_grad():
            return evolve(law.term, u, self.times(count), stepper=self.stepper, dt=self.step).states


@dataclass(frozen=True)
class Material:
    """What is learned from, and as what.

    Attributes:
        config: of it. train, held: to learn from and to judge by. units: of the law. body: what it is built for.
        windows: for each length of them, states [s, w, n, 2 d] in the units of the law and what was seen of them.
    """

    config: MotionConfig
    train: Trajectories
    held: Trajectories
    units: Units
    body: Body
    windows: list[tuple[Tensor, Tensor]]

    @property
    def pace(self) -> Pace:
        """How the law is advanced."""
        return Pace.of(self.config.model, self.train.step, self.units)

    def law(self) -> Law:
        """A law that has learned nothing yet."""
        return KINDS[self.config.learn].make(self.config.model, self.body).double()

    def objective(self, law: Any, batch: Sequence[Tensor], rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """{"path": mean square distance of the law's motions from a batch of windows}."""
        return PathMatch(self.pace.stepper, self.pace.step)(law.term, batch, rng)

    def drawn(self, rng: torch.Generator) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Batches for all steps of the fit: windows of one length after the other."""
        training = self.config.training
        for step in range(training.steps):
            yield self.batch(step * len(self.windows) // training.steps, rng)

    def batch(self, stage: int, rng: torch.Generator, most: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Some windows of one length: times [s], states [s, b, n, 2 d], what was seen of them."""
        states, known = self.windows[stage]
        count, most = states.shape[1], most or self.config.training.batch
        some = torch.arange(count) if count <= most else torch.randperm(count, generator=rng)[:most]
        return self.pace.times(len(states)), states[:, some], known[:, some]


def material(config: MotionConfig) -> Material:
    """Read or simulate the trajectories, keep some aside, cut the others into windows.

    Raises:
        DatasetError: no motion in the file, or of another kind. ConfigError: windows longer than the motions.
    """
    data, kind = config.data, KINDS[config.learn]
    found = read_trajectories(data.file) if data.file else simulated(data, config.training.seed)
    n = found.runs[0].shape[1]
    if kind.single and n > 1:
        raise DatasetError(
            f"learn is '{config.learn}', of one node, and {config.source} has {n}; take learn = \"pairs\""
        )
    if config.learn == "pairs" and n < 2:
        raise DatasetError(f"learn is 'pairs', and {config.source} has a single node; take learn = \"separable\"")
    if kind.angles and found.mass is not None:  # velocities for momenta
        found = replace(found, runs=[_velocities(run, found.mass) for run in found.runs])
    train, held = found.parted(data.holdout)
    units = Units.of(train.runs, train.step, angles=kind.angles)
    d = found.runs[0].shape[-1] // 2
    pairs = config.learn == "pairs"
    body = Body(n, d, units, found.mass, found.edges, _reach(train) if pairs else None)
    return Material(config, train, held, units, body, _windows(config, train, units))


def _velocities(run: Tensor, mass: Tensor) -> Tensor:
    q, p = run.chunk(2, -1)
    return torch.cat([q, p / mass[:, None]], -1)


def _reach(train: Trajectories) -> float:
    """The largest distance between two nodes at some moments."""
    states = torch.cat([run[seen(run)] for run in train.runs])
    n, d = states.shape[1], states.shape[-1] // 2
    q = states[:: max(len(states) * n * n // _PAIRS, 1), :, :d]
    if train.edges is not None:
        return float((q[:, train.edges[0]] - q[:, train.edges[1]]).norm(dim=-1).max())
    return float(torch.cdist(q, q).max())


def _windows(config: MotionConfig, train: Trajectories, units: Units) -> list[tuple[Tensor, Tensor]]:
    longest, h = max(len(run) for run in train.runs), train.step
    asked = config.training.windows
    lengths = [max(round(w / h), 1) for w in asked] or sorted({min(k, longest - 1) for k in _STEPS})
    if max(lengths) >= longest:
        raise ConfigError(
            f"training.windows reaches {max(asked):g}, and the motions to learn from are {h * (longest - 1):g} long; "
            f"expected less"
        )
    return [_cut(train, k + 1, units) for k in lengths]


def _cut(train: Trajectories, frames: int, units: Units) -> tuple[Tensor, Tensor]:
    """Windows of so many moments [s, w, n, 2 d], whose first was seen, and what was seen of them."""
    apart, parts = max(math.ceil(_APART * frames), 1), []
    for run in train.runs:
        first, last = seen(run), len(run) - frames
        begins = [k for k in range(last + 1) if first[k]]
        kept: list[int] = []
        for k in begins:
            if not kept or k - kept[-1] >= apart or k == begins[-1] != kept[-1]:
                kept.append(k)
        parts += [run[k : k + frames] for k in kept]
    if not parts:
        raise DatasetError(f"no moment that was seen completely has {frames - 1} steps after it; take shorter windows")
    states = torch.stack(parts, 1)
    return units.encode(states), ~states.isnan()


def errors(given: Material, law: Law) -> dict[str, Any]:
    """How the law follows the motions kept aside, from the first moment of each.

    Returns:
        "error": root mean square distance in deviations of the data. "energy", "true_energy": largest change of the
        learned and of the true energy along the motions by the mean kinetic energy; None where there is none.

    Raises:
        GraphpdeError: a motion that cannot be followed.
    """
    states, known = held_states(given)
    found = given.pace.run(law, states[0], len(states))
    gap = (found - torch.where(known, states, found))[1:]
    error = float((gap.square().sum() / known[1:].sum().clamp_min(1)).sqrt())
    own, true = law_change(law, found), None
    system = given.held.system
    if system is not None and not KINDS[given.config.learn].angles:
        u = given.units.decode(found)
        energy = system.energy(u)
        true = float((energy - energy[0]).abs().max() / system.kinetic(u).mean())
    return {"error": error, "energy": own, "true_energy": true}


def law_change(law: Law, found: Tensor) -> float | None:
    """Largest change of the learned energy along motions [s, *, n, 2 d] by the mean kinetic one; None: not kept."""
    if not law.keeps:
        return None
    with torch.no_grad():
        energy = law.energy(found)
        return float((energy - energy[0]).abs().max() / law.kinetic(found).mean())


def held_states(given: Material) -> tuple[Tensor, Tensor]:
    """The motions kept aside [s, runs, n, 2 d] in the units of the law, and what was seen of them."""
    runs = []
    for run in given.held.runs:
        first = torch.nonzero(seen(run))
        if len(first):
            runs.append(run[int(first[0]) :])
    if not runs:
        raise DatasetError("of the motions kept aside no moment was seen completely")
    whole = torch.nn.utils.rnn.pad_sequence(runs, padding_value=math.nan)
    return given.units.encode(whole), ~whole.isnan()
