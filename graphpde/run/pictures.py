"""The pictures and the report of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.samples import Samples
from graphpde.problems.units import Units, units_of_bodies
from graphpde.run.frames import Frames
from graphpde.run.manifest import versions
from graphpde.viz import (
    Certificate,
    Picture,
    Report,
    Section,
    Table,
    mesh_table,
    plot_curves,
    plot_field,
    plot_frames,
    plot_mesh,
    plot_stream,
    save_figure,
    write_report,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GRID = 160  # places along the longer side at which streamlines look up the velocity
SHOWN = 6  # moments in one picture


def draw(frames: Frames, folder: Path, name: str = "final") -> list[Picture]:
    """Save the pictures of a run below ``folder`` and return them with captions, the most telling first.

    Args:
        name: of the picture of the fields at the end.
    """
    setup = frames.setup
    if setup.config.output.pictures == "none":
        return []
    captions = {name: (_field(frames, -1), f"{_names(setup)} at the end, {_when(frames, -1)}.")}
    if setup.pde.algebraic and not setup.pde.elastic:  # flows, whose velocities are no displacements
        captions |= _streams(frames)
    if len(frames.moments) > 1:
        captions["frames"] = (_moments(frames), f"{_names(setup)} at several moments, in one colour scale.")
        captions |= _curves(frames)
    captions["mesh"] = (plot_mesh(setup.space.mesh, length_unit=setup.units["length"]), "The mesh with its named sets.")
    pictures = []
    for name, (figure, caption) in captions.items():
        file = save_figure(figure, folder / f"{name}.png", dpi=130)
        pictures.append(Picture(file.read_bytes(), caption))
    if setup.config.output.pictures == "all":
        limits = _limits(frames)
        for k in range(len(frames.moments)):
            save_figure(_field(frames, k, *limits), folder / f"frame_{k:05d}.png")
    return pictures


def _names(setup: Setup) -> str:
    return " and ".join(setup.pde.fields)


def _when(frames: Frames, k: int) -> str:
    if frames.setup.config.steady:
        return "steady state"
    return f"t = {frames.moments[k].t:.4g} {frames.setup.units['time']}"


def _limits(frames: Frames) -> tuple[float, float] | tuple[None, None]:
    """One colour scale for all frames of a single field."""
    if len(frames.setup.pde.fields) > 1:
        return None, None
    return min(m.low[0] for m in frames.moments), max(m.high[0] for m in frames.moments)


def _look(setup: Setup) -> dict[str, Any]:
    fields = setup.pde.fields
    return {
        "label": list(fields) if len(fields) > 1 else fields[0],
        "unit": [setup.units[name] for name in fields],
        "length_unit": setup.units["length"],
        "per_cell": isinstance(setup.space, CellSpace),
    }


def shown_values(frames: Frames, k: int) -> Tensor:
    """The field of moment k for pictures: at the points of the mesh, cell averages as they are."""
    state, space = frames.state(k), frames.setup.space
    return state if isinstance(space, CellSpace) else space.at_points(state)


def _field(frames: Frames, k: int, vmin: float | None = None, vmax: float | None = None) -> Figure:
    setup = frames.setup
    values = shown_values(frames, k)
    title = f"{setup.pde.title}, {_when(frames, k)}"
    return plot_field(setup.space.mesh, values, title=title, vmin=vmin, vmax=vmax, **_look(setup))


def _streams(frames: Frames) -> dict[str, tuple[Figure, str]]:
    """Speed and streamlines of a vector field in the plane at the end."""
    setup, space = frames.setup, frames.setup.space
    if space.mesh.space_dim != 2 or isinstance(space, CellSpace):
        return {}
    out = {}
    for name, parts in setup.pde.vectors.items():
        state = frames.state(-1).double()[:, [setup.pde.fields.index(part) for part in parts]]
        low, high = space.mesh.points.amin(0), space.mesh.points.amax(0)
        step = float((high - low).max()) / GRID
        x, y = (
            torch.linspace(float(a), float(b), max(round(float(b - a) / step), 2), dtype=torch.float64)
            for a, b in zip(low, high, strict=True)
        )
        points = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).reshape(-1, 2)
        along = Samples(space.to("cpu", torch.float64), points, outside="nan")(state).reshape(len(y), len(x), 2)
        speed = space.at_points(state.norm(dim=1, keepdim=True).to(space.device)).cpu()[:, 0]
        look = {"label": "speed", "unit": setup.units[parts[0]], "length_unit": setup.units["length"]}
        title = f"{setup.pde.title}, {_when(frames, -1)}"
        figure = plot_stream(space.mesh, speed, x, y, along, title=title, **look)
        out["streamlines"] = figure, f"Lines along the {name} and its size at the end."
    return out


def _moments(frames: Frames) -> Figure:
    setup, count = frames.setup, len(frames.moments)
    shown = np.unique(np.linspace(0, count - 1, min(SHOWN, count)).round().astype(int))
    states = [shown_values(frames, k) for k in shown]
    times = [frames.moments[k].t for k in shown]
    mesh = setup.space.mesh
    return plot_frames(mesh, times, states, frames=SHOWN, time_unit=setup.units["time"], **_look(setup))


def _curves(frames: Frames) -> dict[str, tuple[Figure, str]]:
    """Integral, energy and range over time; a range that never changes says nothing and is left out."""
    setup, moments = frames.setup, frames.moments
    fields = {k: name for k, name in enumerate(setup.pde.fields) if not (setup.pde.elastic and "displacement" in name)}
    names = " and ".join(fields.values())
    t, axis = [m.t for m in moments], f"t [{setup.units['time']}]"
    units = {setup.units[name] for name in fields.values()}
    value = f"value [{units.pop()}]" if len(units) == 1 and units != {"1"} else "value"
    mass = {f"integral of {name}": [m.mass[k] for m in moments] for k, name in fields.items()}
    out = {"mass": (plot_curves(t, mass, axis, "integral"), f"Integral of {names} over the domain.")}
    if not setup.pde.elastic:  # whose fields have squares of different units
        energy = [m.energy for m in moments]
        positive = min(energy) > 0 and max(energy) > 20 * min(energy)
        curves = plot_curves(t, {"energy": energy}, axis, "energy", log=positive)
        out["energy"] = curves, f"Energy: {frames.meter.energy_text}."
    ends: dict[str, list[float]] = {}
    for k, name in fields.items():
        ends |= {f"largest {name}": [m.high[k] for m in moments], f"smallest {name}": [m.low[k] for m in moments]}
    if setup.control is not None:
        later = [m for m in moments if m.dt]
        taken = {"dt": [m.dt or 0.0 for m in later]}
        steps = plot_curves([m.t for m in later], taken, axis, f"d{axis}", log=True)
        out["steps"] = steps, "The step that led to each saved moment, fitted to its time."
    if any(max(y) - min(y) > 1e-3 * max(abs(v) for v in y) for y in ends.values()):
        out["range"] = (plot_curves(t, ends, axis, value), f"Range of {names}.")
    return out


def write_page(
    path: Path,
    setup: Setup,
    pictures: Sequence[Picture],
    certificates: Sequence[Certificate],
    numbers: Mapping[str, Any],
    summary: str,
    sections: Sequence[Section] = (),
) -> Path:
    """The report: verdicts, pictures, what was solved on which mesh, timings, and how to do it again."""
    config = setup.config
    mesh = replace(mesh_table(setup.space.mesh), notes=list(setup.space.warnings))
    timings = Table.of("Time spent", {what: f"{s:.3g} s" for what, s in numbers["timings"].items()})
    title = f"{setup.pde.title} on {setup.space.mesh.name}"
    tables = [Table.of("Problem", _problem(setup)), Table.of("Method", _method(setup)), mesh, timings]
    facts: dict[str, Any] = {"command": numbers["command"], "versions": versions(), "sections": sections}
    report = Report(title, summary, certificates, pictures, tables, **facts)
    assert config.output.report
    return write_report(path, report)


def _problem(setup: Setup) -> dict[str, Any]:
    plain = setup.config.as_dict()
    physical = setup.thermal
    per_volume, per_area = (" [W/m^3]", " [W/m^2]") if physical else ("", "")
    rows: dict[str, Any] = {"equation": setup.pde.with_materials if physical else setup.pde.equation}
    for name, value in plain.get("coefficients", {}).items():
        rows[name] = _line(value)
    for name, material in setup.config.materials.items():
        units = units_of_bodies(setup.config.output.units) if setup.pde.elastic else Units()
        rows[f"material of '{name}'"] = material.told(units)
    for name, value in plain.get("reaction", {}).items():
        rows[f"reaction {name}"] = value
    for section in ("initial", "source"):
        for name, value in plain.get(section, {}).items():
            rows[f"{section} {name}{per_volume if section == 'source' else ''}"] = _line(value)
    for name, rule in plain.get("boundary", {}).items():
        rows[f"on '{name}'{per_area if 'inflow' in rule else ''}"] = _line(rule)
    if "boundary" not in plain:
        rows["boundary"] = "insulated"
    return rows


def _method(setup: Setup) -> dict[str, Any]:
    config, space = setup.config, setup.space
    rows: dict[str, Any] = {"unknowns": space.n * setup.u0.shape[-1], "element": type(space.element).__name__}
    if setup.stepper is None:
        rows["steady state by"] = "one linear solve" if not setup.system.nonlinear else "Newton's method"
    else:
        unit = setup.units["time"]
        rows["stepper"] = setup.stepper.name
        if setup.control is None:
            rows |= {"step": f"{setup.dt:.4g} {unit}", "steps": setup.steps}
        else:
            rows |= {"steps": "adaptive", "rtol, atol": f"{setup.control.rtol:g}, {setup.control.atol:g}"}
        rows["from, to"] = f"{config.time.start:.4g}, {config.time.end:.4g} {unit}"
        rows["saved moments"] = len(setup.times)
    return rows | {"numbers": config.dtype, "device": config.device, "seed": config.seed}


def _line(value: Any) -> Any:
    """A value or small table on one line."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} = {_line(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "(" + ", ".join(str(part) for part in value) + ")"
    return value
