"""The pictures and the page of a sweep: final fields side by side, results against the parameters, one table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graphpde.errors import GraphpdeError
from graphpde.mesh.mesh import Mesh
from graphpde.problems import PDES
from graphpde.run.final_values import picture_name
from graphpde.run.manifest import versions
from graphpde.run.members import Axis, Member
from graphpde.viz import Panel, Picture, Report, Table, plot_multiples, save_figure, write_report
from graphpde.viz.dependence import plot_dependence
from graphpde.viz.saved import open_saved

MOST_PANELS = 24
_CURVES = 6  # quantities in one picture
_WORDS = {"integral": "integral of {}", "max": "largest {}", "min": "smallest {}"}


def summarise(
    folder: Path,
    axes: Sequence[Axis],
    members: Sequence[Member],
    rows: Sequence[Mapping[str, Any]],
    problem: Mapping[str, Any],
    command: str,
) -> list[Path]:
    """Write ``sweep.html`` and the pictures in it; the files, the page first."""
    pde = PDES[problem["pde"]] if problem.get("pde") in PDES else None
    title = pde.title if pde is not None else "Problem"
    said = problem.get("output", {})
    units = {**(pde.units if pde is not None else {}), **(said.get("units", {}) if isinstance(said, Mapping) else {})}
    well = [(member, row) for member, row in zip(members, rows, strict=True) if row["status"] == "ok"]
    pictures, files, notes = [], [], []
    try:
        for name, figure, caption in _figures(folder, axes, well, title, units):
            file = save_figure(figure, folder / "figures" / f"{name}.png", dpi=130)
            files.append(file)
            pictures.append(Picture(file.read_bytes(), caption))
    except GraphpdeError as error:
        notes.append(f"the pictures could not be drawn: {error}")
    notes += [f"{row['member']}: {row['status']}" + (f", {row['error']}" if row.get("error") else "") for row in rows
              if row["status"] != "ok"]  # fmt: skip
    columns = [key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("member", "error")]
    table = Table("Members", [[_cell(row.get(key)) for key in columns] for row in rows], header=columns, notes=notes)
    varied = "; ".join(f"{axis.name} = {', '.join(axis.values)}" for axis in axes)
    summary = f"{len(well)} of {len(rows)} runs ended well. Varied: {varied}."
    report = Report(
        f"{title}: a sweep of {' and '.join(axis.name for axis in axes)}", summary, [], pictures, [table],
        command=command, versions=versions(),
    )  # fmt: skip
    return [write_report(folder / "sweep.html", report), *files]


def _figures(
    folder: Path,
    axes: Sequence[Axis],
    well: Sequence[tuple[Member, Mapping[str, Any]]],
    title: str,
    units: Mapping[str, str],
) -> Any:
    """Name, figure and caption of each picture."""
    if not well:
        return
    shown = [well[k] for k in np.unique(np.linspace(0, len(well) - 1, min(MOST_PANELS, len(well))).round().astype(int))]
    read = [open_saved(folder / member.name).mesh() for member, _ in shown]
    meshes = [read[0] if _same(read[0], mesh) else mesh for mesh in read]
    for field in read[0].point_data:
        panels = [
            Panel(mesh, own.point_data[field], ", ".join(f"{k} = {v}" for k, v in member.values.items()), field)
            for (member, _), mesh, own in zip(shown, meshes, read, strict=True)
            if field in own.point_data
        ]
        some = "" if len(shown) == len(well) else f" ({len(shown)} of {len(well)} members)"
        figure = plot_multiples(
            panels, title=f"{title}, {field} at the end", unit=units.get(field), length_unit=units.get("length", "m")
        )
        yield f"sweep_{field}", figure, f"{field} at the end of each run, in one colour scale{some}."
    for name, words, what in (
        ("sweep_results", _of_field, "Results"),
        ("sweep_measured", picture_name, "What was measured"),
    ):
        dependence = _dependence(axes, well, words)
        if dependence is not None:
            axis, x, quantities = dependence
            figure = plot_dependence(x, quantities, axis.name)
            yield name, figure, f"{what} at the end against {axis.name}."


def _of_field(column: str) -> str | None:
    """How a picture calls the integral or an extremum of a field; None for any other column."""
    field, _, what = column.rpartition("_")
    return _WORDS[what].format(field) if what in _WORDS and "." not in column else None


def _same(a: Mesh, b: Mesh) -> bool:
    if a.points.shape != b.points.shape or not bool((a.points == b.points).all()) or [*a.cells] != [*b.cells]:
        return False
    return all(
        a.cells[kind].shape == b.cells[kind].shape and bool((a.cells[kind] == b.cells[kind]).all()) for kind in a.cells
    )


def _dependence(
    axes: Sequence[Axis],
    well: Sequence[tuple[Member, Mapping[str, Any]]],
    words: Callable[[str], str | None],
) -> tuple[Axis, Any, dict[str, dict[str, list[float]]]] | None:
    """The axis to draw against, its values, and the curves of the columns that ``words`` has a name for.

    Those that do not change are left out.
    """
    numeric = [axis for axis in axes if axis.numbers is not None]
    axis = max(numeric or axes, key=lambda a: len(a.values))
    if len(axis.values) < 2:
        return None
    there = [value for value in axis.values if any(member.values[axis.name] == value for member, _ in well)]
    x: Any = there if axis.numbers is None else [float(value) for value in there]
    quantities: dict[str, dict[str, list[float]]] = {}
    for key in dict.fromkeys(k for _, row in well for k in row):
        name = words(key)
        if name is None:
            continue
        curves: dict[str, list[float]] = {}
        for member, row in well:
            others = ", ".join(f"{k} = {v}" for k, v in member.values.items() if k != axis.name)
            curve = curves.setdefault(others, [float("nan")] * len(there))
            value = row.get(key)
            if isinstance(value, int | float):
                curve[there.index(member.values[axis.name])] = float(value)
        values = np.array([v for curve in curves.values() for v in curve])
        values = values[np.isfinite(values)]
        if values.size and np.ptp(values) > 1e-9 * np.abs(values).max():
            quantities[name] = curves
    shown = dict(list(quantities.items())[:_CURVES])
    return (axis, x, shown) if shown else None


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.4g}" if isinstance(value, float) else value
