"""The kit of vibrations: a saved moment for each mode, at its number."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.errors import RoundingCaveat
from graphpde.ops.elasticity import effective_masses, modes
from graphpde.problems.modal import ModalProblem
from graphpde.run.advance import Progress
from graphpde.run.frames import Frames
from graphpde.run.measure import Moment
from graphpde.run.mesh_kit import MeshKit
from graphpde.run.running import Running
from graphpde.run.show_code import Script, fields_of, series, show_code
from graphpde.solve.result import Result, Status
from graphpde.viz import Certificate, Panel, Picture, Section, Table, plot_deformed, plot_multiples, save_figure
from graphpde.viz.deformed import SEEN
from graphpde.viz.movie import write_figures

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_APART = 1e-8
_SHOWN = 6  # modes in the picture
_BEATS = 20  # pictures of one period
_MODE, _ALL = "mode ", "all modes"
_MOVIE = "figures/animation.gif"


class ModalKit(MeshKit):
    """How vibrations are found, saved and told; see :class:`~graphpde.run.kit.Kit`."""

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._rows: list[dict[str, float]] = []
        self._sum: dict[str, float] = {}
        self._apart = 0.0
        free = setup.system.free()
        self._rigid = 0 if free is None else free.motions

    def solve(self, run: Running, progress: Progress | None = None, stop: Callable[[], bool] | None = None) -> Result:
        """Every mode as a moment, its largest displacement 1; several may have one frequency.

        Motions without strain of a free body are left out.
        """
        setup, pde = self.setup, self.setup.pde
        assert isinstance(pde, ModalProblem)
        given = setup.config.coefficients
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", RoundingCaveat)
            found = modes(setup.term, pde.density(setup.space, given), k=self._count)
        run.notes += [str(each.message) for each in caught if issubclass(each.category, RoundingCaveat)]
        shapes, carried = found.shapes.detach(), effective_masses(found)
        weighed = _weighed(found.mass, shapes).flatten(0, 1)
        unit = shapes.flatten(0, 1).mT @ weighed
        self._apart = float((unit - torch.eye(len(unit), dtype=unit.dtype, device=unit.device)).abs().max())
        whole = _weighed(found.mass, torch.ones_like(shapes[..., :1])).sum((0, 2))
        left = slice(self._rigid, None)
        for k, (frequency, shape) in enumerate(zip(found.frequencies[left].tolist(), shapes.unbind(-1)[left]), 1):
            run.frames.add(k, float(k), shape / shape.norm(dim=1).max())
            self._rows.append({"frequency": frequency, **_by_axis(carried[left][k - 1], whole)})
        self._sum = _by_axis(carried[left].sum(0), whole)
        run.step = run.steps = len(self._rows)
        return Result(shapes[..., 0], Status.CONVERGED, "modes", len(found.values))

    @property
    def _count(self) -> int:
        """Vibrations asked for, and motions without strain beside them; no more than there are unknowns."""
        n, d = self.setup.u0.shape
        return min(int(self.setup.config.coefficients["modes"]) + self._rigid, n * d)

    def script(self, command: str) -> str:
        return show_code(self.setup, command, self._lines)

    def _lines(self, script: Script) -> list[str]:
        count, left = repr(self._count), f"[{self._rigid}:]" if self._rigid else ""
        found = script.call("modes", "graphpde.ops.elasticity", "f", "pde.density(space, coefficients)", k=count)
        return [
            f"found = {found}",
            f"print(found.frequencies{left})" + ("  # without motions that strain nothing" if left else ""),
            f"shapes = [u / u.norm(dim=1).max() for u in found.shapes.unbind(-1){left}]",
            "u = shapes[-1]",
            "",
            f"moments = [(mode, {fields_of(self.setup)}) for mode, u in enumerate(shapes, 1)]",
            series(script, self.setup, "moments", script.value(list(self.setup.pde.fields))),
        ]

    def certificates(self, moments: Sequence[Moment], result: Result | None) -> list[Certificate]:
        text = "modes are orthogonal by their mass"
        return [Certificate("orthogonality", self._apart, _APART, text=text)]

    def final(self, moment: Moment) -> dict[str, dict[str, float]]:
        return {**{f"{_MODE}{k}": row for k, row in enumerate(self._rows, 1)}, _ALL: self._sum}

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        unit, modes = self.setup.units["frequency"], {name: row for name, row in final.items() if name != _ALL}
        lines = [f"{name}: {row['frequency']:.5g} {unit}" for name, row in modes.items()]
        if self._rigid:
            what = "motion" if self._rigid == 1 else "motions"
            return [*lines, f"nothing holds the body fast: {self._rigid} {what} without strain at 0 {unit} left out"]
        first, *others = (f"{100 * final[_ALL][f'share_{a}']:.3g} %" for a in self._axes)
        carried = ", ".join([f"{first} of the mass along x", *(f"{v} along {a}" for v, a in zip(others, "yz"))])
        return [*lines, f"together they carry {carried}"]

    @property
    def _axes(self) -> str:
        return "xyz"[: self.setup.u0.shape[1]]

    def doubts(self, moments: Sequence[Moment], certificates: Sequence[Certificate]) -> list[str]:
        return []

    def remarks(self, moments: Sequence[Moment]) -> list[str]:
        return []

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        return f"{self.size}, {self.took(run.step)}: " + ", ".join(self.told(final))

    def took(self, steps: int) -> str:
        return f"{steps} vibrations"

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        """The modes side by side, the table of their masses, a movie of the first that is no rigid motion."""
        setup, sections = self.setup, [self._table()]
        if setup.config.output.pictures == "none":
            return [], sections
        file = save_figure(self._side_by_side(frames), folder / "final.png", dpi=130)
        text = "The slowest vibrations; colours: size of the displacement, whose scale is free."
        pictures = [Picture(file.read_bytes(), text)]
        moving = [k for k, row in enumerate(self._rows) if row["frequency"] > 0]
        if setup.config.output.animation and moving:
            path = folder / "animation.gif"
            write_figures(path, self._period(frames, moving[0]), dpi=70)
            shown = Picture(path.read_bytes(), f"{_MODE}{moving[0] + 1}, one period.", "")
            sections.insert(0, Section("In motion", figures=[shown], files=[_MOVIE]))
        return pictures, sections

    def _moved(self, frames: Frames, k: int) -> Tensor:
        return self.setup.space.at_points(frames.state(k).double()).cpu().nan_to_num()

    @property
    def _reach(self) -> float:
        """The length that a displacement of 1 is drawn with."""
        points = self.setup.space.mesh.points
        return SEEN * float((points.amax(0) - points.amin(0)).norm())

    def _side_by_side(self, frames: Frames) -> Figure:
        mesh, panels = self.setup.space.mesh, []
        for k in range(min(_SHOWN, len(self._rows))):
            moved = self._moved(frames, k)
            title = f"{_MODE}{k + 1}, {self._rows[k]['frequency']:.4g} {self.setup.units['frequency']}"
            bent = mesh.with_points(mesh.points + self._reach * moved.to(mesh.points))
            panels.append(Panel(bent, moved.norm(dim=1), title, "displacement by the largest"))
        return plot_multiples(panels, title=self.title, length_unit=self.setup.units["length"], alike=True)

    def _period(self, frames: Frames, k: int) -> Iterator[Figure]:
        mesh, moved = self.setup.space.mesh, self._moved(frames, k)
        size = moved.norm(dim=1)
        title = f"{_MODE}{k + 1}, {self._rows[k]['frequency']:.4g} {self.setup.units['frequency']}"
        reach = self._reach * moved
        low = (mesh.points - reach.abs()).amin(0).tolist()
        high = (mesh.points + reach.abs()).amax(0).tolist()
        for beat in range(_BEATS):
            swing = math.sin(2 * math.pi * beat / _BEATS)
            figure, _ = plot_deformed(
                mesh, moved, size * abs(swing), scale=self._reach * swing, title=title, vmin=0.0, vmax=1.0,
                label="displacement by the largest", length_unit=self.setup.units["length"], told=False,
            )  # fmt: skip
            ends = dict(zip(("xlim", "ylim", "zlim"), zip(low, high, strict=True), strict=False))
            figure.axes[0].set(**ends)
            yield figure

    def _table(self) -> Section:
        def line(*first: object, **row: float) -> list[object]:
            return [*first, *(f"{row[f'mass_{a}']:.4g} ({100 * row[f'share_{a}']:.3g} %)" for a in self._axes)]

        rows = [line(k, f"{row['frequency']:.6g}", **row) for k, row in enumerate(self._rows, 1)]
        rows.append(line("all of these", "", **self._sum))
        head = ["mode", f"frequency [{self.setup.units['frequency']}]", *(f"mass along {a}" for a in self._axes)]
        text = "Frequencies, and the mass that each mode carries when the body is shaken along an axis, of the whole."
        return Section("Vibrations", text, [], [Table("", rows, head)], [])


def _by_axis(masses: Tensor, whole: Tensor) -> dict[str, float]:
    """Masses that go with motions along the axes [d], and their shares of the whole mass [d]."""
    named = {"mass": masses, "share": masses / whole}
    return {f"{key}_{a}": v for key, values in named.items() for a, v in zip("xyz", values.tolist(), strict=False)}


def _weighed(mass: object, shapes: Tensor) -> Tensor:
    """M phi [n, d, k]."""
    if isinstance(mass, Tensor):
        return mass[:, None, None] * shapes
    return mass(shapes.movedim(-1, 0)).movedim(0, -1)  # type: ignore[operator, no-any-return]
