"""What a fit came to, and what the run folder keeps of it: a table, fields, and a section of the report."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from graphpde.config import Setup
from graphpde.mesh.io import write_mesh
from graphpde.run.folder import RunFolder
from graphpde.run.measurements import Measurements
from graphpde.train import History
from graphpde.viz import Picture, Section, Table, plot_agreement, plot_curves, plot_field, save_figure
from graphpde.viz.files import make_folder

TABLE, FITTED = "fit.csv", "fields/fitted.vtu"
INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class FitRecord:
    """What a fit came to.

    Attributes:
        setup: what it started from. seen: what was measured. computed: what the fitted model gives there [q, 1].
        numbers: by quantity one number, or one by set of cells. fields: by quantity values of cells or nodes.
        deviations: standard deviation by number, as "kappa" or "kappa of steel"; None where the measurements do not
            determine it. Empty beside fields.
        history: of all steps, with the "weight" of the roughness where fields were fitted; its reason is "interrupted"
            where somebody stopped the fit.
    """

    setup: Setup
    seen: Measurements
    computed: Tensor
    numbers: Mapping[str, Any]
    fields: Mapping[str, Tensor]
    deviations: Mapping[str, float | None]
    history: History

    @property
    def misfit(self) -> float:
        """Mean squared residual in units of the noise; 1 is what the noise alone makes."""
        return self.history["misfit"][-1]

    @property
    def weight(self) -> float | None:
        """Of the roughness, where a field was fitted."""
        return self.history["weight"][-1] if self.fields else None

    @property
    def assumed(self) -> float | None:
        """The deviation of the noise where the table does not say any."""
        return float(self.seen.sigma[0]) if self.seen.assumed else None

    @property
    def interrupted(self) -> bool:
        """Whether somebody stopped the fit before its end."""
        return self.history.reason == INTERRUPTED

    @property
    def each(self) -> dict[str, float]:
        """Every number by its name, those of sets as "kappa of steel"."""
        out: dict[str, float] = {}
        for name, value in self.numbers.items():
            out |= {f"{name} of {key}": v for key, v in value.items()} if isinstance(value, Mapping) else {name: value}
        return out

    def as_dict(self) -> dict[str, Any]:
        """For machines; of fields the range."""
        ranges = {name: {"min": float(v.min()), "max": float(v.max())} for name, v in self.fields.items()}
        return {
            "values": {**self.numbers, **ranges}, "deviations": dict(self.deviations), "fields": list(self.fields),
            "misfit": self.misfit, "measurements": len(self.seen), "steps": len(self.history),
            "reason": self.history.reason, "weight": self.weight, "sigma_assumed": self.assumed,
        }  # fmt: skip

    def write(self, folder: RunFolder) -> None:
        """The history and the fitted fields.

        Raises:
            OutputError: they cannot be written.
        """
        text = io.StringIO()
        table = csv.DictWriter(text, self.history.columns, lineterminator="\n")
        table.writeheader()
        table.writerows(self.history.rows)
        folder.write(TABLE, text.getvalue())
        if self.fields:
            space, mesh = self.setup.space, self.setup.space.mesh
            cells = {name: v for name, v in self.fields.items() if name == "kappa"}
            points = {name: space.at_points(v)[:, 0] for name, v in self.fields.items() if name != "kappa"}
            make_folder((folder.path / FITTED).parent)
            write_mesh(folder.path / FITTED, mesh.with_data(points, cells))

    def draw(self, folder: Path) -> Section:
        """The section of the report on it; without pictures where the problem wants none, else saved in ``folder``."""
        steps, ends = len(self.history), " (interrupted)" if self.interrupted else ""
        text = (
            f"Fitted to {len(self.seen)} measurements in {steps} steps{ends}: the root of the mean squared residual is "
            f"{self.misfit**0.5:.3g} times the standard deviation of the noise."
        )
        if self.assumed is not None:
            text += f" The table does not say that deviation; {self.assumed:.3g} was assumed, 1 % of the values."
        if self.fields:
            text += f" The problem below is the one that it started from; {' and '.join(self.fields)} took its place."
        rows = [(name, f"{v:.6g}", _spread(self.deviations, name)) for name, v in self.each.items()]
        rows += [(name, f"{float(v.min()):.6g} to {float(v.max()):.6g}", "a field") for name, v in self.fields.items()]
        tables = [Table("Fitted", rows, ("quantity", "value", "standard deviation"))]
        drawn = self.setup.config.output.pictures != "none"
        files = [TABLE, FITTED] if self.fields else [TABLE]
        return Section("Fit", text, self._pictures(folder) if drawn else [], tables, files)

    def _pictures(self, folder: Path) -> list[Picture]:
        setup, seen, units = self.setup, self.seen, self.setup.units
        mesh, length = setup.space.mesh, units["length"]
        figures = []
        for name, values in self.fields.items():
            own = name == "kappa"
            shown = values if own else setup.space.at_points(values)
            figure = plot_field(mesh, shown, label=name, length_unit=length, per_cell=own, title=f"Fitted {name}")
            figures.append((f"fit_{name}", figure, f"The {name} that was fitted."))
        field = setup.pde.fields[seen.field]
        agreement = plot_agreement(seen.values, self.computed, seen.sigma, field, unit=units[field])
        said = f"Computed against measured {field}; on the line both agree, and bars are the deviation of the noise."
        figures.append(("fit_agreement", agreement, said))
        if len(self.history) > 1:
            curves = {"misfit": self.history["misfit"], "of the noise": [1.0] * len(self.history)}
            figure = plot_curves(self.history["step"], curves, "step", "misfit", log=True)
            more = ", for one weight of the roughness after the other" if self.fields else ""
            said = f"The mean squared residual in units of the noise over the steps{more}."
            figures.append(("fit_misfit", figure, said))
        out = []
        for name, figure, caption in figures:
            out.append(Picture(save_figure(figure, folder / f"{name}.png", dpi=130).read_bytes(), caption))
        return out


def _spread(deviations: Mapping[str, float | None], name: str) -> str:
    if name not in deviations:
        return ""
    value = deviations[name]
    return "not determined" if value is None else f"{value:.2g}"
