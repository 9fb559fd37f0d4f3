"""The kit of particles: how their runs are measured, saved, judged and told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from graphpde.hamiltonian.balance import EnergyGuard, particles_of
from graphpde.run.estimate import Estimate
from graphpde.run.frames import Frames
from graphpde.run.manifest import versions
from graphpde.run.particles.config import ParticleSetup
from graphpde.run.particles.measure import ParticleMeter, ParticleMoment
from graphpde.run.particles.pictures import draw
from graphpde.run.particles.script import script
from graphpde.run.particles.series import PointSeries
from graphpde.run.running import Running
from graphpde.solve.result import Result
from graphpde.viz import Certificate, Picture, Report, Section, Table, write_report

FEW = 40  # particles whose ways are drawn
_SPOILT, _RISEN = 0.1, 0.01  # change of the energy that is worth a warning, and rise where friction takes from it


class Ways:
    """Positions along a run, at evenly spread steps, a few thousand at most.

    Args:
        d: number of coordinates. most: moments that are kept.
    """

    def __init__(self, d: int, most: int = 4000):
        self.d, self.most, self._every, self._count = d, most, 1, 0
        self._kept: list[tuple[float, Tensor]] = []

    def add(self, t: float, u: Tensor) -> None:
        """A state [n, c] after a step."""
        if self._count % self._every == 0:
            self._kept.append((t, u[:, : self.d].detach().cpu()))
        self._count += 1
        if len(self._kept) > self.most:
            self._kept, self._every = self._kept[::2], 2 * self._every

    def whole(self, frames: Frames) -> list[Tensor]:
        """Positions [n, d]; of what was before the first step here, as of a run that goes on, the saved moments."""
        begin = self._kept[0][0] if self._kept else float("inf")
        before = [frames.state(k)[:, : self.d] for k, m in enumerate(frames.moments) if m.t < begin]
        return [*before, *(q for _, q in self._kept)]


class NoRecords:
    """No tables beside the states."""

    probes = fluxes = forces = integrals = None
    lines: Sequence[Any] = ()

    def open(self, folder: Path, after: Any = None) -> None:
        """Nothing to write."""

    def step(self, t: float, u: Tensor, dt: float | None = None) -> None:
        """Nothing to measure."""

    def frame(self, t: float, u: Tensor) -> None:
        """Nothing to measure."""

    def flush(self) -> None:
        """Nothing waits."""


class ParticleKit:
    """See :class:`~graphpde.run.kit.Kit`."""

    def __init__(self, setup: ParticleSetup):
        self.setup, self.records = setup, NoRecords()
        self._guard = EnergyGuard(setup.term, setup.u0)
        self.ways = Ways(setup.d) if len(setup.u0) <= FEW and setup.d > 1 else None

    @cached_property
    def meter(self) -> ParticleMeter:
        """Measures energy and momenta."""
        return ParticleMeter(self.setup)

    @property
    def size(self) -> str:
        """How many there are."""
        return f"{len(self.setup.u0)} particles"

    @property
    def title(self) -> str:
        """The system and its name."""
        return f"{self.setup.known.title} ({self.setup.config.pde})"

    @property
    def needs(self) -> Estimate:
        """Memory and disk that the run takes, about."""
        n, c = self.setup.u0.shape
        edges = getattr(particles_of(self.setup.term), "edges", None)
        pairs = 100 * n if edges is None else edges.n_edges  # a list holds some dozens for each
        return Estimate(8 * (30 * n * c + 12 * pairs * c), len(self.setup.times) * n * (16 * c + 60) + 5_000_000)

    @property
    def positions(self) -> Tensor:
        """At the start [n, d]."""
        return self.setup.q

    def place(self) -> dict[str, Any]:
        """How many there are."""
        return {"particles": len(self.setup.u0), "dimension": self.setup.d}

    def fingerprint(self) -> dict[str, Any]:
        """There is no mesh to change."""
        return {}

    def series(self, frames: Frames) -> PointSeries:
        """Points that move."""
        return PointSeries(frames)

    def check(self, step: int, steps: int, t: float, u: Tensor) -> None:
        """Refuse an energy that blew up; remember the ways of a few."""
        self._guard(step, steps, t, u)
        if self.ways is not None:
            self.ways.add(t, u)

    def certificates(self, moments: Sequence[ParticleMoment], result: Result | None) -> list[Certificate]:
        """Energy, momentum, angular momentum."""
        return self.meter.certificates(moments)

    def final(self, moment: ParticleMoment) -> dict[str, dict[str, float]]:
        """Energies at the end."""
        return {"energy": {"total": moment.kept.energy, "kinetic": moment.kept.kinetic}}

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        """The energies."""
        return [f"energy {final['energy']['total']:.6g}, of which kinetic {final['energy']['kinetic']:.6g}"]

    def script(self, command: str) -> str:
        """A Python script that does the same."""
        return script(self.setup, command)

    def doubts(self, moments: Sequence[ParticleMoment], certificates: Sequence[Certificate]) -> list[str]:
        """An energy that should have stayed."""
        change, conserves = self.meter.spoilt(moments), self.meter.conserves
        if change <= (_SPOILT if conserves else _RISEN):
            return []
        did = "changed" if conserves else "rose"
        return [
            f"the energy {did} by {100 * change:.3g} % of its size, which it should not; take a shorter step (--dt)"
        ]

    def remarks(self, moments: Sequence[ParticleMoment]) -> list[str]:
        """Nothing."""
        return []

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        """Where they are, how they came there, energies."""
        return draw(frames, folder, None if self.ways is None else self.ways.whole(frames))

    def took(self, steps: int) -> str:
        """The steps."""
        return f"{steps} steps of {self.setup.stepper.name}"

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        """Particles, steps and energy."""
        took = self.took(run.step)
        if run.rhythm is not None:
            took += f" ({run.rhythm.text})"
        return f"{self.size}, {took}: energy {final['energy']['total']:.6g} at the end"

    def write_page(self, path: Path, pictures: Sequence[Picture], certificates: Sequence[Certificate],
                   numbers: Mapping[str, Any], summary: str, sections: Sequence[Section]) -> Path:  # fmt: skip
        """What was computed, how, and how to do it again."""
        setup, config = self.setup, self.setup.config
        problem = {"equation": setup.known.equation, **config.system}
        step = f"{setup.dt:.4g}" if setup.dt is not None else f"adaptive, rtol {config.time.rtol:g}"
        method = {
            "particles": len(setup.u0), "stepper": setup.stepper.name, "order": setup.stepper.order,
            "symplectic": setup.stepper.symplectic, "step": step,
            "from, to": f"{config.time.start:g}, {config.time.end:g}", "saved moments": len(setup.times),
            "seed": config.seed,
        }  # fmt: skip
        tables = [Table.of("Problem", problem), Table.of("Method", method)]
        tables.append(Table.of("Time spent", {what: f"{s:.3g} s" for what, s in numbers["timings"].items()}))
        facts: dict[str, Any] = {"command": numbers["command"], "versions": versions(), "sections": sections}
        return write_report(path, Report(self.title, summary, certificates, pictures, tables, **facts))
