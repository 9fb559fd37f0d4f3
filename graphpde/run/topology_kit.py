"""The kit of topology optimisation: the design, how it came about, and how it bends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.design import Compliance, Densities, Simp, Topology, minimise_compliance
from graphpde.mesh.io import write_mesh
from graphpde.run.advance import Progress, StopAsked
from graphpde.run.frames import Frames
from graphpde.run.measure import Moment
from graphpde.run.mesh_kit import MeshKit
from graphpde.run.running import Running
from graphpde.run.show_code import Script, show_code, written
from graphpde.solve.result import Result, Status
from graphpde.viz import Certificate, Picture, Section, plot_curves, plot_field, save_figure

_FILLED = 1e-6
_GREY = 0.5  # where a design says too little
DESIGN = "fields/design.vtu"


class TopologyKit(MeshKit):
    """How designs are found, saved and told; see :class:`~graphpde.run.kit.Kit`."""

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._found: Topology | None = None

    @property
    def found(self) -> Topology:
        """The design."""
        assert self._found is not None
        return self._found

    @property
    def steps(self) -> int:
        """At most."""
        return int(self.setup.config.coefficients["steps"])

    def solve(self, run: Running, progress: Progress | None = None, stop: Callable[[], bool] | None = None) -> Result:
        """The design, saved as a mesh with a density for each cell, and the displacements of it.

        Raises:
            StopAsked: ``stop`` said so after a step that was not the last; the design so far is saved.
        """
        setup, given = self.setup, self.setup.config.coefficients
        mesh = setup.space.mesh
        body, material = Compliance(setup.term, method=setup.config.solver.method), Simp(given["penalty"])
        densities = Densities(mesh, given["radius"])

        def watch(step: int, compliance: float, change: float, now: Tensor) -> bool:
            if progress is not None:
                progress(step, self.steps, step / self.steps)
            return stop is not None and stop()

        with torch.enable_grad():
            found = minimise_compliance(
                body, given["volume"], densities, material=material, steps=self.steps, watch=watch
            )
        self._found = found
        u: Tensor = body.displacement(material(found.densities)).detach()
        run.frames.add(found.steps, 0.0, u)
        write_mesh(run.folder.path / DESIGN, mesh.with_data(cell_data={"density": found.densities}))
        run.step = run.steps = found.steps
        if self._cut_short:
            run.steps = self.steps
            raise StopAsked
        return Result(u, Status.CONVERGED, "topology", found.steps)

    @property
    def _cut_short(self) -> bool:
        return not self.found.converged and self.found.steps < self.steps

    def script(self, command: str) -> str:
        return show_code(self.setup, command, self._lines)

    def _lines(self, script: Script) -> list[str]:
        given = self.setup.config.coefficients
        densities = script.call("Densities", "graphpde.design", "mesh", script.value(given["radius"]))
        design = script.call(
            "minimise_compliance", "graphpde.design", "body", script.value(given["volume"]), densities,
            material="material", steps=repr(self.steps),
        )  # fmt: skip
        method = script.value(self.setup.config.solver.method)
        return [
            f"body = {script.call('Compliance', 'graphpde.design', 'f', method=method)}",
            f"material = {script.call('Simp', 'graphpde.design', script.value(given['penalty']))}",
            f"design = {design}",
            "print(design.compliance[-1])",
            "u = body.displacement(material(design.densities)).detach()",
            "",
            f"{script.use('write_mesh', 'graphpde.mesh.io')}"
            '("design.vtu", mesh.with_data(cell_data={"density": design.densities}))',
            *written(script, self.setup),
        ]

    def certificates(self, moments: Sequence[Moment], result: Result | None) -> list[Certificate]:
        found, volume = self.found, self.setup.config.coefficients["volume"]
        return [
            Certificate(
                "volume", abs(found.volume[-1] - volume) / volume, _FILLED, text="the volume asked for is filled"
            ),
            Certificate("change", found.change[-1], text="largest change of a density in the last step"),
        ]

    def final(self, moment: Moment) -> dict[str, dict[str, float]]:
        found = self.found
        return {
            "compliance": {"full": found.compliance[0], "end": found.compliance[-1]},
            "design": {"volume": found.volume[-1], "grey": found.grey, "steps": float(found.steps)},
        }

    @property
    def _unit(self) -> str:
        """Of the compliance: that of energy, in the plane per length across it, about an axis per radian."""
        units, space = self.setup.units, self.setup.space
        per = "" if space.mesh.dim == 3 else f"/{units['length']}"
        per = "/rad" if self.setup.config.coefficients.get("state") == "axisymmetric" else per
        return f"{units['force']} {units['length']}{per}"

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        (grey, end), design = (final["compliance"][key] for key in ("full", "end")), final["design"]
        return [
            f"compliance {end:.6g} {self._unit} after {design['steps']:.0f} steps, {grey:.6g} of an even grey",
            f"{100 * design['volume']:.3g} % of the volume filled; grey {design['grey']:.2g} (0: black and white)",
        ]

    def doubts(self, moments: Sequence[Moment], certificates: Sequence[Certificate]) -> list[str]:
        found, out = self.found, []
        if self._cut_short:
            return []
        if not found.converged:
            out.append(
                f"densities still changed by {found.change[-1]:.2g} in the last of {found.steps} steps; for more of "
                f"them give --set coefficients.steps=..."
            )
        if found.grey > _GREY:
            radius, length = self.setup.config.coefficients["radius"], self.setup.units["length"]
            finer = "a finer mesh" + (" (--set mesh.size=...)" if self.setup.config.mesh.path is None else "")
            out.append(
                f"the design is grey ({found.grey:.2g}; 0: black and white): its members are hardly wider than the "
                f"filter's radius, {radius:.3g} {length}; take a smaller one (--set coefficients.radius=...) with "
                f"{finer}"
            )
        return out

    def remarks(self, moments: Sequence[Moment]) -> list[str]:
        return []

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        return f"{self.size}, {self.took(run.step)}: " + "; ".join(self.told(final))

    def took(self, steps: int) -> str:
        return f"a design of {steps} steps"

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        setup = self.setup
        if setup.config.output.pictures == "none":
            return [], []
        look = {"length_unit": setup.units["length"], "label": "density", "cmap": "Greys", "vmin": 0.0, "vmax": 1.0}
        mesh, rho = setup.space.mesh, self.found.densities.detach()
        design = plot_field(mesh, rho, title=self.title, per_cell=True, show_mesh=False, **look)  # type: ignore[arg-type]
        c, label = self.found.compliance, f"compliance [{self._unit}]"
        curve = plot_curves(list(range(len(c))), {"compliance": list(c)}, "step", label, log=c[0] > 10 * c[-1])
        pictures = []
        for name, figure, text in (
            ("final", design, "The design: black cells are full, white ones empty."),
            ("compliance", curve, "Work of the loads, by which designs are compared, over the steps."),
        ):
            file = save_figure(figure, folder / f"{name}.png", dpi=130)
            pictures.append(Picture(file.read_bytes(), text))
        return pictures, [Section("Files", "The design for other programs.", [], [], [DESIGN])]
