"""The sections of a report on probes, fluxes, integrals, lines and the animation, with their pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.mesh.cell_space import CellSpace
from graphpde.run.flux_record import AMOUNT
from graphpde.run.frames import Frames
from graphpde.run.pictures import shown_values
from graphpde.run.records import FLUXES, FORCES, INTEGRALS, LINES, PROBES
from graphpde.run.rows import read_rows
from graphpde.viz import Picture, Section, Table, plot_curves, plot_profiles, save_figure, write_gif

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CARRIED = 2_000_000  # bytes of an animation that the report carries itself; a larger one is linked
_WHERE = {"probes": "at the probes", "fluxes": "through the boundary", "integrals": "by region"}
_IDLE = 1e-9  # times the largest curve: what stays below is not worth a curve


def draw_records(frames: Frames, folder: Path) -> list[Section]:
    """Save the pictures below ``folder`` and return the sections of what this run measured."""
    records = frames.records
    out = []
    if frames.setup.config.output.animation and len(frames.moments) > 1:
        out.append(_animation(frames, folder / "animation.gif"))
    if records.probes is not None:
        out.append(_probes(frames, folder))
    if records.fluxes is not None:
        out.append(_fluxes(frames, folder))
    if records.forces is not None:
        out.append(_forces(frames, folder))
    if records.integrals is not None:
        out.append(_integrals(frames, folder))
    if records.lines:
        out.append(_lines(frames, folder))
    return out


def _animation(frames: Frames, path: Path) -> Section:
    setup, fields = frames.setup, frames.setup.pde.fields
    count = write_gif(
        path,
        setup.space.mesh,
        [m.t for m in frames.moments],
        lambda k: shown_values(frames, k),
        title=setup.pde.title,
        label=list(fields),
        unit=[setup.units[name] for name in fields],
        length_unit=setup.units["length"],
        time_unit=setup.units["time"],
        per_cell=isinstance(setup.space, CellSpace),
    )
    data, link = path.read_bytes(), f"{path.parent.name}/{path.name}"
    caption = f"{count} saved moments in one colour scale."
    picture = Picture(data, caption) if len(data) <= CARRIED else Picture(b"", caption, link)
    return Section("Animation", figures=[picture], files=[link])


def _probes(frames: Frames, folder: Path) -> Section:
    setup, probes = frames.setup, frames.records.probes
    assert probes is not None
    header, values = _table(frames, PROBES)
    figures = []
    for name in setup.pde.fields:
        curves = {probe: values[:, header.index(f"{probe}.{name}")] for probe in probes.names}
        figures += _over_time(frames, folder, _numbered("probes", name, setup.pde.fields), values[:, 0], curves, name)
    axes = [f"{axis} [{setup.units['length']}]" for axis in "xyz"[: probes.points.shape[1]]]
    last = values[-1, 1:].reshape(len(probes.names), -1).tolist()
    rows = [(name, *at, *now) for name, at, now in zip(probes.names, probes.points.tolist(), last, strict=True)]
    ends = [f"{_with_unit(frames, name)} at the end" for name in setup.pde.fields]
    return Section("Probes", figures=figures, tables=[Table("", rows, ["probe", *axes, *ends])], files=[PROBES])


def _fluxes(frames: Frames, folder: Path) -> Section:
    setup, record = frames.setup, frames.records.fluxes
    assert record is not None
    header, values = _table(frames, FLUXES)
    names = [*record.fluxes.names, "elsewhere", "sources", "storage"]
    figures, tables = [], []
    for field in setup.pde.fields:
        unit, content = _flow_units(frames, field)
        columns = {name: values[:, header.index(f"{name}.{field}")] for name in names}
        # the flow into a boundary value that jumps at the start is as large as the mesh is fine
        later = slice(1, None) if len(values) > 2 else slice(None)
        largest = max(float(np.nanmax(np.abs(y[later]))) for y in columns.values())
        curves = {name: y[later] for name, y in columns.items() if np.nanmax(np.abs(y[later])) > _IDLE * largest}
        plain = "" if record.steady else f"flow of {field} [{unit}]"
        file = _numbered("fluxes", field, setup.pde.fields)
        if curves and plain:
            figures += _over_time(frames, folder, file, values[later, 0], curves, field, plain)
        rows: list[list[Any]] = [
            [name, float(y[-1])] for name, y in columns.items() if name in curves or name in record.fluxes.names
        ]
        head = ["through", f"flow of {field} at the end [{unit}]"]
        if not record.steady:
            head.append(f"amount since the start [{content}]")
            for row in rows:
                place = f"{row[0]}.{field}.{AMOUNT}"
                first = header.index(f"content.{field}")
                kept = values[-1, header.index(place)] if place in header else values[-1, first] - values[0, first]
                row.append(float(kept))
        tables.append(Table("", rows, head))
    text = (
        "Positive flows enter the domain. Storage is the rate at which the content grows: the flows and the sources "
        "add up to it."
    )
    inside = _inside(frames)
    if inside:
        text += f" Sets inside of the domain are no part of its boundary: {', '.join(inside)}."
    return Section("Flow through the boundary", text, figures, tables, [FLUXES])


def _forces(frames: Frames, folder: Path) -> Section:
    record = frames.records.forces
    assert record is not None
    header, values = _table(frames, FORCES)
    later = slice(1, None) if len(values) > 2 else slice(None)  # a flow that starts at once starts with a blow
    figures, rows = [], []
    kinds = list(dict.fromkeys(name.rpartition(".")[2] for name in header[1:]))
    for kind in kinds:
        curves = {name: values[later, header.index(f"{name}.{kind}")] for name in record.names}
        label = kind.replace("_", " ")
        figures += _over_time(frames, folder, kind, values[later, 0], curves, "", label)
    for name in record.names:
        rows.append([name, *(float(values[-1, header.index(f"{name}.{kind}")]) for kind in kinds)])
    text = "Forces of the fluid on each set, what flows out through it, and its mean pressure."
    head = ["at the end on", *(kind.replace("_", " ") for kind in kinds)]
    return Section("Forces and flow rates", text, figures, [Table("", rows, head)], [FORCES])


def _flow_units(frames: Frames, field: str) -> tuple[str, str]:
    """Of flows and of amounts: u length^dim / time and u length^dim; with named materials power and energy."""
    setup, dim = frames.setup, frames.setup.space.mesh.dim
    length, time = setup.units["length"], setup.units["time"]
    if setup.thermal:
        missing = {3: "", 2: f"/{length}", 1: f"/{_power(length, 2)}"}[dim]
        return f"W{missing}", f"J{missing}"
    held = "" if setup.units[field] == "1" else f"{setup.units[field]} "
    content = f"{held}{_power(length, dim)}"
    return f"{content}/{time}", content


def _inside(frames: Frames) -> list[str]:
    """Sets of facets that nobody excluded and that are not measured, since they do not lie on the boundary."""
    mesh, record = frames.setup.space.mesh, frames.records.fluxes
    if record is None or not isinstance(frames.setup.config.output.fluxes, str):
        return []
    sets = [name for name, tag in mesh.tags.items() if tag.dim == mesh.dim - 1 and len(tag.ids)]
    return [name for name in sets if name not in record.fluxes.names]


def _integrals(frames: Frames, folder: Path) -> Section:
    setup, integrals = frames.setup, frames.records.integrals
    assert integrals is not None
    header, values = _table(frames, INTEGRALS)
    figures, tables = [], []
    size_unit = _power(setup.units["length"], setup.space.mesh.dim)
    for field in setup.pde.fields:
        unit = "" if setup.units[field] == "1" else f" [{setup.units[field]}]"
        total = f"integral of {field} [{size_unit}]" if not unit else f"integral of {field}{unit[:-1]} {size_unit}]"
        means = {name: values[:, header.index(f"{name}.{field}.mean")] for name in integrals.names}
        label = f"mean of {_with_unit(frames, field)}"
        file = _numbered("integrals", field, setup.pde.fields)
        figures += _over_time(frames, folder, file, values[:, 0], means, field, label)
        rows = []
        for name, size in zip(integrals.names, integrals.size.tolist(), strict=True):
            last = [values[-1, header.index(f"{name}.{field}.{w}")] for w in ("integral", "mean", "min", "max")]
            rows.append([name, size, *map(float, last)])
        head = ["at the end in", f"size [{size_unit}]", total, *(f"{what}{unit}" for what in ("mean", "min", "max"))]
        tables.append(Table("", rows, head))
    return Section("Integrals and means", figures=figures, tables=tables, files=[INTEGRALS])


def _lines(frames: Frames, folder: Path) -> Section:
    setup, figures, files = frames.setup, [], []
    for line in frames.records.lines:
        name = f"{LINES}/{line.name}.csv"
        header, values = _table(frames, name)
        grid = values.reshape(-1, len(line.arc), len(header))
        files.append(name)
        if setup.config.output.pictures == "none":
            continue
        figure = plot_profiles(
            line.arc,
            {field: grid[:, :, header.index(field)] for field in setup.pde.fields},
            grid[:, 0, 0],
            units=setup.units,
            length_unit=setup.units["length"],
            time_unit=setup.units["time"],
        )
        ends = " to ".join("(" + ", ".join(f"{v:.4g}" for v in x) + ")" for x in line.points[[0, -1]].tolist())
        figures.append(_saved(figure, folder / f"line_{line.name}.png", f"Along '{line.name}', from {ends}."))
    return Section("Along lines", figures=figures, files=files)


def _table(frames: Frames, name: str) -> tuple[list[str], np.ndarray]:
    return read_rows(frames.folder.path / name)


def _over_time(
    frames: Frames, folder: Path, file: str, t: np.ndarray, curves: dict[str, np.ndarray], field: str, label: str = ""
) -> list[Picture]:
    """The picture of curves over time, if there is a time and somebody wants pictures."""
    setup = frames.setup
    drawable = {name: y for name, y in curves.items() if np.isfinite(y).any()}
    if setup.config.output.pictures == "none" or len(t) < 2 or not drawable:
        return []
    label = label or _with_unit(frames, field)
    figure = plot_curves(t, drawable, f"t [{setup.units['time']}]", label, drifts=False)
    what = next((text for start, text in _WHERE.items() if file.startswith(start)), "on parts of the boundary")
    shown = label.partition(" [")[0]
    return [
        _saved(
            figure,
            folder / f"{file}.png",
            f"{shown[0].upper() + shown[1:] if ' ' in shown else shown} {what} over time.",
        )
    ]


def _saved(figure: Figure, path: Path, caption: str) -> Picture:
    return Picture(save_figure(figure, path, dpi=130).read_bytes(), caption)


def _numbered(stem: str, field: str, fields: Sequence[str]) -> str:
    return stem if len(fields) == 1 else f"{stem}_{field}"


def _power(unit: str, dim: int) -> str:
    """The unit of volume, area or length."""
    return unit + {1: "", 2: "\N{SUPERSCRIPT TWO}", 3: "\N{SUPERSCRIPT THREE}"}[dim]


def _with_unit(frames: Frames, field: str) -> str:
    unit = frames.setup.units[field]
    return field if unit == "1" else f"{field} [{unit}]"
