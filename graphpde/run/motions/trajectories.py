"""Trajectories to learn from: of files, with gaps, or simulated."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.data.npz import read_arrays
from graphpde.data.points import read_samples
from graphpde.data.raw_files import RawFiles
from graphpde.dynamics import evolve
from graphpde.errors import ConfigError, DatasetError
from graphpde.hamiltonian.catalogue import PARTICLES
from graphpde.hamiltonian.particles import Particles
from graphpde.ops.separable import halves
from graphpde.run.motions.config import DataChoice

_MOMENTA, _KNOWN = re.compile(r"[pv]_?[0-9xyz]*"), re.compile(r"[qpv]_?[0-9xyz]*|[xyz]")
_OFF, _FRAMES = 0.02, 10_000_000
_BETWEEN = 4  # usual steps of a system between two moments that are seen
_DTYPE = torch.float64


@dataclass(frozen=True)
class Trajectories:
    """Motions at equal steps of time.

    Attributes:
        step: of time. runs: states [s, n, 2 d] each, float64, NaN where nothing was seen. starts: their first times.
        names: of the 2 d columns. mass: of the nodes [n], or None. edges: pairs of nodes [2, e], or None.
        system: that they were simulated by, or None. notes: what was understood.
    """

    step: float
    runs: list[Tensor]
    starts: list[float]
    names: tuple[str, ...]
    mass: Tensor | None = None
    edges: Tensor | None = None
    system: Any = None
    notes: tuple[str, ...] = field(default=())

    def parted(self, holdout: float) -> tuple[Trajectories, Trajectories]:
        """To learn from and to judge by: whole motions where there are several, else the last part of the one.

        Raises:
            DatasetError: too little of either.
        """
        count = len(self.runs)
        if count > 1:
            aside = min(max(round(holdout * count), 1), count - 1)
            return self._of(slice(0, count - aside)), self._of(slice(count - aside, count))
        run = self.runs[0]
        cut = len(run) - max(round(holdout * len(run)), 2)
        later = torch.nonzero(seen(run[cut:]))
        if cut < 3 or not len(later):
            raise DatasetError(
                f"the one motion has {len(run)} moments, too few to learn from and to keep some aside; give more"
            )
        first = cut + int(later[0])
        start = self.starts[0] + first * self.step
        return replace(self, runs=[run[:cut]]), replace(self, runs=[run[first:]], starts=[start])

    def _of(self, which: slice) -> Trajectories:
        return replace(self, runs=self.runs[which], starts=self.starts[which])


def seen(run: Tensor) -> Tensor:
    """Which moments were seen completely [s], of states [s, n, 2 d]."""
    return ~run.isnan().flatten(1).any(1)


class _Read(NamedTuple):
    """What a file holds: times [s] and states [s, n, 2 d] of each motion, and what there is beside them."""

    motions: list[tuple[Tensor, Tensor]]
    names: tuple[str, ...]
    mass: Tensor | None = None
    edges: Tensor | None = None
    notes: tuple[str, ...] = ()


def read_trajectories(path: str | os.PathLike[str]) -> Trajectories:
    """Motions from a table (t, q, p, and run where there are several), an .npz file or the folder of a run.

    Raises:
        DatasetError: no such file, columns or arrays that are no motion, times that are no multiples of one step.
    """
    path, found = _opened(path)
    steps, runs = zip(*(_on_grid(t, states, path) for t, states in found.motions), strict=True)
    if max(steps) - min(steps) > _OFF * min(steps):
        raise DatasetError(
            f"the motions of '{path}' have steps of time from {min(steps):g} to {max(steps):g}, expected one for all"
        )
    starts = [float(t[0]) for t, _ in found.motions]
    return Trajectories(steps[0], list(runs), starts, found.names, found.mass, found.edges, notes=found.notes)


class Ends(NamedTuple):
    """The last moments of motions.

    Attributes:
        times: of each [r]. states: [r, n, 2 d]. names: of the 2 d columns.
    """

    times: Tensor
    states: Tensor
    names: tuple[str, ...]


def read_ends(path: str | os.PathLike[str]) -> Ends:
    """The last moment of each motion in a file, for which one row is enough.

    Raises:
        DatasetError: as :func:`read_trajectories`, or a motion that has no moment that was seen completely.
    """
    path, found = _opened(path)
    times, states = [], []
    for t, motion in found.motions:
        known = torch.nonzero(seen(motion))
        if not len(known):
            raise DatasetError(f"'{path}' has a motion without a moment at which everything was seen; it cannot go on")
        times.append(t[int(known[-1])])
        states.append(motion[int(known[-1])])
    return Ends(torch.stack(times), torch.stack(states), found.names)


def _opened(path: str | os.PathLike[str]) -> tuple[Path, _Read]:
    path = Path(path)
    if (path / "fields" / "run.npz").is_file():
        path = path / "fields" / "run.npz"
    return path, _arrays(path) if path.suffix == ".npz" else _table(path)


def _arrays(path: Path) -> _Read:
    files = RawFiles(path.name, path.parent)
    arrays = read_arrays(files, path.name, ["times", "states"])
    with np.load(path) as inside:  # whole and without objects, as has just been seen
        extra = [name for name in ("mass", "edges") if name in inside.files]
    arrays |= read_arrays(files, path.name, extra)
    t, u = (torch.from_numpy(arrays[name]).to(_DTYPE) for name in ("times", "states"))
    u = u[None] if u.dim() == 3 else u
    if t.dim() != 1 or u.dim() != 4 or not u.numel() or u.shape[1] != len(t) or u.shape[-1] % 2:
        raise DatasetError(
            f"'{path}' has times {list(t.shape)} and states {list(u.shape)}, expected times [s] and states [s, n, 2 d] "
            f"or [runs, s, n, 2 d]: positions, then momenta"
        )
    n, mass = u.shape[-2], arrays.get("mass")
    if mass is not None and (mass.shape != (n,) or not bool((mass > 0).all())):
        raise DatasetError(f"mass in '{path}' has shape {list(mass.shape)}, expected {n} numbers > 0")
    weights = None if mass is None else torch.from_numpy(mass).to(_DTYPE)
    return _Read([(t, run) for run in u], _named(u.shape[-1] // 2), weights, _edges(arrays.get("edges"), n, path))


def _edges(given: np.ndarray | None, n: int, path: Path) -> Tensor | None:
    if given is None:
        return None
    if given.ndim != 2 or given.shape[0] != 2 or given.dtype.kind != "i" or given.min() < 0 or given.max() >= n:
        raise DatasetError(f"edges in '{path}' are {given.dtype} {list(given.shape)}, expected nodes 0..{n - 1} [2, e]")
    return torch.from_numpy(given)


def _table(path: Path) -> _Read:
    table = read_samples(path, gaps=True)
    if table.x.dim() != 2:
        raise DatasetError(f"'{path}' is no table of a motion")
    names = list(table.names) or ["t", *_named(table.x.shape[1] // 2)]
    columns = {name.strip().lower(): table.x[:, k] for k, name in enumerate(names[: table.x.shape[1]])}
    clock = next((name for name in ("t", "time") if name in columns), None)
    own = [name for name in columns if name not in (clock, "run")]
    if clock is None or not own or len(own) % 2 or len(columns) < table.x.shape[1]:
        raise DatasetError(
            f"'{path}' has the columns {', '.join(names)}, expected t, as many positions as momenta (or velocities), "
            f"such as t, q, p, and run where there are several motions"
        )
    own, said = _ordered(own)
    states = torch.stack([columns[name] for name in own], -1)[:, None]
    number = columns.get("run", torch.zeros(len(states), dtype=_DTYPE))
    motions = [(columns[clock][number == k], states[number == k]) for k in number.unique().tolist()]
    return _Read(motions, tuple(own), notes=(said,))


def _ordered(own: list[str]) -> tuple[list[str], str]:
    """Positions, then momenta: by usual names, else by their order; and a sentence on it."""
    d = len(own) // 2
    if all(_KNOWN.fullmatch(name) for name in own) and sum(bool(_MOMENTA.fullmatch(name)) for name in own) == d:
        own = [name for name in own if not _MOMENTA.fullmatch(name)] + [n for n in own if _MOMENTA.fullmatch(n)]
    return own, f"positions are {', '.join(own[:d])}, momenta are {', '.join(own[d:])}"


def _on_grid(t: Tensor, states: Tensor, path: Path) -> tuple[float, Tensor]:
    """The step of time and states [s, ...] at all its multiples, NaN where there is none.

    Raises:
        DatasetError: times that do not increase, or are no multiples of one step.
    """
    apart = t.diff()
    if len(t) < 3 or not bool((apart > 0).all()) or not bool(t.isfinite().all()):
        raise DatasetError(f"'{path}' has {len(t)} times of a motion that do not all increase; expected 3 or more")
    h = float(apart.median())
    frame = ((t - t[0]) / h).round()
    h = float((t[-1] - t[0]) / frame[-1].clamp_min(1))
    frame = ((t - t[0]) / h).round().long()
    off = float(((t - t[0]) / h - frame).abs().max())
    if off > _OFF or not bool((frame.diff() > 0).all()) or int(frame[-1]) >= _FRAMES:
        raise DatasetError(
            f"the times of '{path}' are no multiples of one step: {h:.6g} is the usual one, and some are off by "
            f"{100 * off:.0f} % of it; interpolate the motion to equal steps first"
        )
    whole = states.new_full((int(frame[-1]) + 1, *states.shape[1:]), torch.nan)
    whole[frame] = states
    return h, whole


def simulated(data: DataChoice, seed: int) -> Trajectories:
    """Motions of a system by name, from starts around its usual one.

    Raises:
        ConfigError: a liquid, or a system with rigid bonds. GraphpdeError: a motion that cannot be followed.
    """
    known = PARTICLES[data.system]
    system, u0 = known.make()
    if not isinstance(system, Particles) or system.constrained:
        fits = [name for name, other in PARTICLES.items() if other.stepper == "leapfrog"]
        raise ConfigError(f"data.system is '{data.system}', which has no q and p of its own; take {', '.join(fits)}")
    end = _BETWEEN * known.step * (data.times - 1) if data.until is None else data.until
    times = torch.linspace(0, end, data.times, dtype=_DTYPE)
    rng = torch.Generator().manual_seed(seed)
    u0, free = u0.to(_DTYPE), torch.isfinite(system.masses)[:, None]
    with torch.no_grad():
        usual = evolve(system, u0, times, stepper="leapfrog", dt=known.step).states
        size = free * _sizes(usual)
        runs = []
        for _ in range(data.starts):
            start = u0 + data.spread * size * torch.randn(u0.shape, generator=rng, dtype=_DTYPE)
            exact = evolve(system, start, times, stepper="yoshida4", dt=known.step / 2).states
            runs.append(exact + data.noise * size * torch.randn(exact.shape, generator=rng, dtype=_DTYPE))
    ends = None if system.edges is None else system.edges.relation.gather(torch.arange(system.n)[:, None])[:, 0]
    edges = None if ends is None else torch.stack([ends[0::2], ends[1::2]])
    names, mass = _named(u0.shape[-1] // 2), system.masses.to(_DTYPE)
    return Trajectories(float(times[1]), runs, [0.0] * len(runs), names, mass, edges, system)


def _named(d: int) -> tuple[str, ...]:
    """q, p; of more coordinates q1, q2, ..., p1, p2, ..."""
    return tuple(f"{letter}{'' if d == 1 else k + 1}" for letter in "qp" for k in range(d))


def _sizes(usual: Tensor) -> Tensor:
    """How far positions and momenta go in a motion [s, n, 2 d]: a deviation for each half [2 d], from rest."""
    size = [part.square().mean().sqrt().expand(part.shape[-1]) for part in halves(usual - usual.mean(0))]
    return torch.cat(size)
