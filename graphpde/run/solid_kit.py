"""The kit of bodies at rest, at every moment where heat spreads in them: stresses and supports beside the fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.run.frames import Frames
from graphpde.run.measure import Moment
from graphpde.run.mesh_kit import MeshKit
from graphpde.run.mesh_series import FieldSeries
from graphpde.run.pictures import draw
from graphpde.run.record_pictures import draw_records
from graphpde.run.running import Running
from graphpde.run.stresses import StressReading, readable
from graphpde.solve.result import Result
from graphpde.viz import Certificate, Picture, Section, Table, plot_deformed, save_figure

_BALANCED = 1e-8
_YIELD = "yield strength"
_LOADS = {"traction", "force", "pressure"}
_PLACE = ("at_x", "at_y", "at_z")
_REACTION = "reaction on "


class SolidKit(MeshKit):
    """How runs of bodies are measured, saved, judged and told; see :class:`~graphpde.run.kit.Kit`."""

    def __init__(self, setup: Setup):
        super().__init__(setup)
        self._read: StressReading | None = None

    def read(self, t: float, u: Tensor) -> StressReading:
        """A state [n, c] at time t, read once."""
        if self._read is None or self._read.t != t or not torch.equal(self._read.state, u):
            self._read = StressReading(self.setup, u, t)
        return self._read

    @property
    def found(self) -> StressReading:
        """The last state that was read."""
        assert self._read is not None
        return self._read

    def series(self, frames: Frames) -> FieldSeries:
        return SolidSeries(frames, self)

    def certificates(self, moments: Sequence[Moment], result: Result | None) -> list[Certificate]:
        value = self.found.imbalance()
        text = "loads and supports add up to zero force and moment"
        target = _BALANCED if self.setup.u0.dtype == torch.float64 else None  # single precision is no way to find it
        return [*super().certificates(moments, result), Certificate("equilibrium", value, target, text=text)]

    def final(self, moment: Moment) -> dict[str, dict[str, float]]:
        found, peak = self.found, self.found.largest(self.found.von_mises)
        moved = found.largest(found.u.norm(dim=1))
        out = {
            "displacement": {"max": moved.value, **_at(moved.place)},
            "von_mises": {"max": peak.value, "min": float(found.von_mises.min()), **_at(peak.place)},
            **super().final(moment),
        }
        if found.strained is not None:
            out[_YIELD] = {"share": found.strained.share}
        for name, force in found.by_support().items():
            out[_REACTION + name] = dict(zip("xyz", force, strict=False))
        return out

    def told(self, final: Mapping[str, Mapping[str, float]]) -> list[str]:
        units, out = self.setup.units, []
        for key, what, unit in (
            ("displacement", "largest displacement", units["displacement_x"]),
            ("von_mises", "largest von Mises stress", units["stress"]),
        ):
            v = final[key]
            factor, shown = readable(v["max"], unit)
            place = ", ".join(f"{v[a]:.4g}" for a in _PLACE if a in v)
            out.append(f"{what} {v['max'] * factor:.4g} {shown} at ({place})")
        if _YIELD in final:
            out.append(f"at most {100 * final[_YIELD]['share']:.3g} % of a yield strength")
        for name in (f for f in self.setup.pde.fields if not f.startswith("displacement")):
            low, high = (f"{final[name][key]:.4g}" for key in ("min", "max"))
            out.append(f"{name} between {low} and {high} {units[name]}")
        for key, each in final.items():
            if key.startswith(_REACTION):
                force = list(each.values())
                factor, shown = readable(max(map(abs, force)), self._force_unit)
                parts = ", ".join(f"{f * factor:.4g}" for f in force)
                out.append(f"force of the support on '{key.removeprefix(_REACTION)}': ({parts}) {shown}")
        return out

    @property
    def _force_unit(self) -> str:
        across = self.setup.space.mesh.dim == 2 and self.setup.config.coefficients.get("state") != "axisymmetric"
        return f"{self.setup.units['force']}/{self.setup.units['length']}" if across else self.setup.units["force"]

    def doubts(self, moments: Sequence[Moment], certificates: Sequence[Certificate]) -> list[str]:
        out = super().doubts(moments, certificates)
        worst = self.found.strained
        if worst is not None and worst.share > 1 and worst.material.yield_strength is not None:
            limit = worst.material.yield_strength
            low, high = (readable(v, self.setup.units["stress"]) for v in (limit, worst.stress))
            out.append(
                f"stresses in {worst.material.name} reach {worst.stress * high[0]:.4g} {high[1]}, and it yields at "
                f"{limit * low[0]:.4g} {low[1]}: a law of small elastic strains says too much there"
            )
        size = float((self.setup.space.mesh.points.amax(0) - self.setup.space.mesh.points.amin(0)).norm())
        moved = float(self.found.u.norm(dim=1).max())
        if moved > 0.1 * size:
            out.append(
                f"it moves by {moved:.3g} {self.setup.units['length']}, more than a tenth of its size: a law of small "
                f"displacements does not hold; check loads, moduli and their units"
            )
        return out

    def remarks(self, moments: Sequence[Moment]) -> list[str]:
        moved = any(abs(v) > 0 for m in moments for v in (*m.low, *m.high))
        loaded = [name for name, rule in self.setup.config.boundary.items() if _LOADS & set(rule.sides)]
        if moved:
            return []
        if loaded:
            names = ", ".join(f"'{name}'" for name in loaded)
            return [f"nothing moves: the loads on {names} are zero, or act where there is no area, as on the axis"]
        return ["nothing moves: no load acts; give [boundary.NAME] a force, traction or pressure"]

    def draw(self, frames: Frames, folder: Path) -> tuple[list[Picture], list[Section]]:
        pictures, sections = draw(frames, folder, "displacement"), draw_records(frames, folder)
        if self.setup.config.output.pictures != "none":
            pictures = [self._deformed(frames, folder), *pictures]
        return pictures, [self._table(), *sections]

    def _deformed(self, frames: Frames, folder: Path) -> Picture:
        setup, found = self.setup, self.found
        space, units = setup.space, setup.units
        moved, stress = space.at_points(found.u).cpu(), space.at_points(found.von_mises[:, None])[:, 0].cpu()
        factor, unit = readable(float(found.von_mises.max()), units["stress"])
        figure, scale = plot_deformed(
            space.mesh, moved, stress * factor, label="von Mises stress", unit=unit, length_unit=units["length"],
            title=f"{setup.pde.title} on {space.mesh.name}",
        )  # fmt: skip
        file = save_figure(figure, folder / "final.png", dpi=130)
        how = "true to scale" if scale == 1 else f"displacements drawn {scale:g} times as large"
        return Picture(file.read_bytes(), f"The deformed body and its von Mises stress, {how}; grey: without loads.")

    def _table(self) -> Section:
        found, axes = self.found, "xyz"[: self.found.body.dim]
        rows = [[name, *(f"{f:.6g}" for f in force)] for name, force in found.by_support().items()]
        head = ["support", *(f"force along {a} [{self._force_unit}]" for a in axes)]
        text = "What the supports hold against; loads and supports balance."
        return Section("Supports", text, [], [Table("", rows, head)], [])

    def summary(self, run: Running, final: Mapping[str, Mapping[str, float]]) -> str:
        took = "a state of rest" if self.setup.stepper is None else f"{run.step} steps of {self.setup.stepper.name}"
        return f"{self.size}, {took}: " + "; ".join(self.told(final))


class SolidSeries(FieldSeries):
    """Displacements with stresses and forces of supports."""

    def __init__(self, frames: Frames, kit: SolidKit):
        self._kit = kit
        super().__init__(frames)

    def _names(self) -> tuple[str, ...]:
        zero = torch.zeros_like(self._frames.setup.u0)
        return (*super()._names(), *StressReading(self._frames.setup, zero).names)

    def _arrays(self, t: float, u: Tensor) -> dict[str, Tensor]:
        out, space = super()._arrays(t, u), self._frames.setup.space
        for name, values in self._kit.read(t, u).arrays().items():
            each = values[:, None] if values.dim() == 1 else torch.nn.functional.pad(values, (0, 3 - values.shape[1]))
            at_points = space.at_points(each).cpu()
            out[name] = at_points[:, 0] if values.dim() == 1 else at_points
        return out


def _at(place: Sequence[float]) -> dict[str, float]:
    return dict(zip(_PLACE, place, strict=False))
