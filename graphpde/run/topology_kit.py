"""The kit of topology optimisation: the design, how it came about, and how it bends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.design import Compliance, Densities, Simp, Topology, minimise_compliance
from graphpde.mesh.io import write_mesh
from graphpde.run.frames import Frames
from graphpde.run.measure import Moment
from graphpde.run.mesh_kit import MeshKit
from graphpde.run.running import Running
from graphpde.run.show_code import Script, show_code, written
from graphpde.solve.result import Result, Status
from graphpde.viz import Certificate, Picture, Section, plot_curves, plot_field, save_figure

_FILLED = 1e-6
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

    def solve(self, run: Running) -> Result:
        """The design, saved as a mesh with a density for each cell, and the displacements of it."""
        setup, given = self.setup, self.setup.config.coefficients
        mesh = setup.space.mesh
        body, material = Compliance(setup.term, method=setup.config.solver.method), Simp(given["penalty"])
        densities = Densities(mesh, given["radius"])
        with torch.enable_grad():
            found = minimise_compliance(body, given["volume"], densities, material=material, steps=int(given["steps"]))
        self._found = found
        u: Tensor = body.displacement(material(found.densities)).detach()
        run.frames.add(found.steps, 0.0, u)
        write_mesh(run.folder.path / DESIGN, mesh.with_data(cell_data={"density": found.densities}))
        run.step = run.steps = found.steps
        return Result(u, Status.CONVERGED, "topology", found.steps)

    def script(self, command: str) -> str:
        return show_code(self.setup, command, self._lines)

    def _lines(self, script: Script) -> list[str]:
        given = self.setup.config.coefficients
        densities = script.call("Densities", "graphpde.design", "mesh", script.value(given["radius"]))
        design = script.call(
            "minimise_compliance", "graphpde.design", "body", script.value(given["volume"]), densities,
            material="material", steps=repr(int(given["steps"])),
        )  # fmt: skip
        method = script.value(self.setup.config.solver.method)
        return [
            f"body = {script.call('Compliance', 'graphpde.design', 'f', method=method)}",
            f"material = {script.call('Simp', 'graphpde.design', script.value(given['penalty']))}",
            f"design = {design}",
            "print(design.compliance[-1])",
            "u = body.displacement(material(design.densities)).detach()",
            "",
            written(script, self.setup),
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

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        c, design = final["compliance"], final["design"]
        return [
            f"compliance {c['end']:.6g} after {design['steps']:.0f} steps, {c['full']:.6g} of an even grey",
            f"{100 * design['volume']:.3g} % of the volume filled; grey {design['grey']:.2g} (0: black and white)",
        ]

    def doubts(self, moments: Sequence[Moment], certificates: Sequence[Certificate]) -> list[str]:
        if self.found.converged:
            return []
        return [
            f"densities still changed by {self.found.change[-1]:.2g} in the last of {self.found.steps} steps; for more "
            "of them give --set coefficients.steps=..."
        ]

    def remarks(self, moments: Sequence[Moment]) -> list[str]:
        return []

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        return f"{self.size}: " + "; ".join(self.told(final))

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        setup = self.setup
        if setup.config.output.pictures == "none":
            return [], []
        look = {"length_unit": setup.units["length"], "label": "density", "cmap": "Greys", "vmin": 0.0, "vmax": 1.0}
        mesh, rho = setup.space.mesh, self.found.densities.detach()
        design = plot_field(mesh, rho, title=self.title, per_cell=True, show_mesh=False, **look)  # type: ignore[arg-type]
        c = self.found.compliance
        curve = plot_curves(list(range(len(c))), {"compliance": list(c)}, "step", "compliance", log=c[0] > 10 * c[-1])
        pictures = []
        for name, figure, text in (
            ("final", design, "The design: black cells are full, white ones empty."),
            ("compliance", curve, "Work of the loads, by which designs are compared, over the steps."),
        ):
            file = save_figure(figure, folder / f"{name}.png", dpi=130)
            pictures.append(Picture(file.read_bytes(), text))
        return pictures, [Section("Files", "The design for other programs.", [], [], [DESIGN])]
