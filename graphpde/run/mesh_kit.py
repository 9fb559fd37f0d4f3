"""The kit of problems on meshes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from graphpde.config import Setup
from graphpde.dynamics import steady
from graphpde.run.advance import Progress
from graphpde.run.certificates import certify
from graphpde.run.checkpoint import fingerprint
from graphpde.run.estimate import Estimate, estimate
from graphpde.run.extremes import energy_warning, overshoot_warning
from graphpde.run.frames import Frames
from graphpde.run.manifest import mesh_facts
from graphpde.run.measure import Meter, Moment
from graphpde.run.mesh_series import FieldSeries
from graphpde.run.pictures import draw, write_page
from graphpde.run.record_pictures import draw_records
from graphpde.run.records import Records
from graphpde.run.running import Running
from graphpde.run.show_code import show_code
from graphpde.solve.result import Result
from graphpde.viz import Certificate, Picture, Section


class MeshKit:
    """How runs on meshes are measured, saved, judged and told; see :class:`~graphpde.run.kit.Kit`."""

    def __init__(self, setup: Setup):
        self.setup, self.records = setup, Records(setup)

    @cached_property
    def meter(self) -> Meter:
        """Measures mass, energy and range."""
        return Meter(self.setup)

    @property
    def size(self) -> str:
        """How many unknowns there are."""
        return f"{self.setup.u0.numel()} unknowns"

    @property
    def title(self) -> str:
        """The equation and the mesh."""
        return f"{self.setup.pde.title} on {self.setup.space.mesh.name}"

    @property
    def needs(self) -> Estimate:
        """Memory and disk that the run takes, about."""
        return estimate(self.setup)

    @property
    def positions(self) -> Tensor:
        """Of the unknowns [n, d]."""
        pos = self.setup.space.pos
        assert pos is not None
        return pos

    def place(self) -> dict[str, Any]:
        """The mesh."""
        return {"mesh": mesh_facts(self.setup)}

    def fingerprint(self) -> dict[str, Any]:
        """Of the mesh and its file."""
        return fingerprint(self.setup.space.mesh, self.setup.config.mesh.path)

    def series(self, frames: Frames) -> FieldSeries:
        """Fields on the mesh."""
        return FieldSeries(frames)

    def solve(self, run: Running, progress: Progress | None = None, stop: Callable[[], bool] | None = None) -> Result:
        """The steady state, saved; ``progress`` and ``stop`` are for what comes to it in steps.

        Raises:
            StopAsked: ``stop`` said so; what there is has been saved, as far as ``run.step`` of ``run.steps``.
        """
        setup, solver = self.setup, self.setup.config.solver
        start = float(setup.times[0])
        result = steady(setup.term, setup.u0, t=start, method=solver.method, rtol=min(solver.rtol, 1e-10))
        run.step = run.steps = 1
        run.frames.add(1, start, result.value)
        return result

    def check(self, step: int, steps: int, t: float, u: Tensor) -> None:
        """Nothing that the time loop does not say."""

    def certificates(self, moments: Sequence[Moment], result: Result | None) -> list[Certificate]:
        """Of the mathematics, then of the tables."""
        return [*certify(self.setup, self.meter, moments, result), *self.records.certificates()]

    def final(self, moment: Moment) -> dict[str, dict[str, float]]:
        """Field -> its range and integral."""
        return {
            name: {"min": moment.low[k], "max": moment.high[k], "integral": moment.mass[k]}
            for k, name in enumerate(self.setup.pde.fields)
        }

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        """Range and integral of each field with units."""
        setup, out = self.setup, []
        for name, v in final.items():
            unit, size = setup.units[name], {1: "", 2: "^2", 3: "^3"}[setup.space.mesh.dim]
            shown, whole = ("", "") if unit == "1" else (f" {unit}", f" {unit} {setup.units['length']}{size}")
            out.append(f"{name} in [{v['min']:.6g}, {v['max']:.6g}]{shown}, integral {v['integral']:.6g}{whole}")
        return out

    def script(self, command: str) -> str:
        """A Python script that does the same."""
        return show_code(self.setup, command)

    def doubts(self, moments: Sequence[Moment], certificates: Sequence[Certificate]) -> list[str]:
        """Overshoot, and energy that grew."""
        seen = moments[-1:] if self.setup.stepper is None else moments
        return [*overshoot_warning(self.setup, self.meter, seen), *energy_warning(self.setup, certificates)]

    def remarks(self, moments: Sequence[Moment]) -> list[str]:
        """A solution that is the same everywhere and always."""
        first = moments[0].low
        for m in moments:
            if not all(low == high == start for low, high, start in zip(m.low, m.high, first, strict=True)):
                return []
        return [
            "the solution is the same everywhere and at all times: nothing drives it; give --initial, --bc or --source"
        ]

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        """Fields and curves, then the tables."""
        return draw(frames, folder), draw_records(frames, folder)

    def took(self, steps: int) -> str:
        """A state, or the steps that led to it."""
        if self.setup.stepper is None:
            return "a state of rest" if self.setup.pde.elastic else "a steady state"
        return f"{steps} steps of {self.setup.stepper.name}"

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        """Unknowns, steps and ranges."""
        took = self.took(run.step)
        if run.rhythm is not None:
            took += f" ({run.rhythm.text} {self.setup.units['time']})"
        ranges = "; ".join(
            f"{name} between {v['min']:.4g} and {v['max']:.4g}, integral {v['integral']:.4g}"
            for name, v in final.items()
        )
        return f"{self.size}, {took}: {ranges} at the end"

    def write_page(self, path: Path, pictures: Sequence[Picture], certificates: Sequence[Certificate],
                   numbers: Mapping[str, Any], summary: str, sections: Sequence[Section]) -> Path:  # fmt: skip
        """What was solved on which mesh."""
        return write_page(path, self.setup, pictures, certificates, numbers, summary, sections)
