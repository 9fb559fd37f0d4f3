"""Steady problems on meshes that refine themselves: from a prepared problem to the same one on its final mesh."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from graphpde.config import Setup, prepare
from graphpde.dynamics import Adapted, adapt, steady
from graphpde.mesh.io import write_mesh
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.space import Space
from graphpde.ops.indicators import energy_norm, recovery_indicator, residual_indicator
from graphpde.ops.term import Sum
from graphpde.ops.values import evaluate
from graphpde.problems.values import as_field, conductivity, per_cell
from graphpde.run.folder import RunFolder
from graphpde.solve.result import Result
from graphpde.viz import Picture, Section, plot_curves, save_figure

TABLE, MESH = "adapt.csv", "mesh.vtu"


def adapted(setup: Setup, stop: Callable[[], bool] | None = None) -> tuple[Setup, Adapted]:
    """The problem on the mesh that its own error asked for, its state there the solution; and how it came to that.

    Args:
        stop: asked after each solve; True makes that mesh the last one.

    Raises:
        InputError: a finer mesh does not carry the problem. SolveError: a solve failed.
    """
    asked = setup.config.adapt
    assert asked is not None and asked.indicator is not None
    clock, last, stopped = time.perf_counter(), setup, list[float]()
    start, solver = float(setup.times[0]), setup.config.solver

    def problem(mesh: Mesh) -> tuple[Sum, Tensor]:
        nonlocal last
        last = prepare(setup.config, mesh)
        return last.term, last.u0

    def solve(term: Sum, guess: Tensor) -> Result:
        return steady(term, guess, t=start, method=solver.method, rtol=min(solver.rtol, 1e-10))

    def indicator(space: Space, u: Tensor) -> Tensor:
        own, there = _plain(space, u)
        return recovery_indicator(own, there) if asked.indicator == "recovery" else _residual(last, own, there)

    def allowed(space: Space, u: Tensor) -> float:
        own, there = _plain(space, u)
        kappa = 1.0 if asked.indicator == "recovery" else conductivity(own, last.config.coefficients["kappa"])
        # in the plane a slope over the whole domain has the energy kappa u^2: far below it there is only rounding
        rounding = 1e-9 * float(there.abs().max() * per_cell(own, kappa).max().sqrt())
        bound = max(asked.tolerance * energy_norm(own, there, kappa=kappa), rounding)
        if stop is None or not stop():
            return bound
        stopped.append(bound)
        return math.inf

    with torch.no_grad():
        found = adapt(
            problem,
            setup.space.mesh,
            tolerance=allowed,
            indicator=indicator,
            max_unknowns=asked.max_unknowns,
            theta=asked.theta,
            solve=solve,
        )
    if stopped:
        final = found.rounds[-1]._replace(allowed=stopped[-1])
        found = replace(found, rounds=(*found.rounds[:-1], final), within=final.estimate <= final.allowed)
    timings = {**setup.timings, "adapt the mesh": time.perf_counter() - clock}
    return replace(last, u0=found.value, timings=timings, notes=(*last.notes, *_shortfall(found, bool(stopped)))), found


def _plain(space: Space, u: Tensor) -> tuple[Space, Tensor]:
    """Both where the geometry is: in double precision on the processor."""
    if u.device.type == "cpu" and u.dtype == torch.float64:
        return space, u
    return space.to("cpu", torch.float64), u.cpu().double()


def _shortfall(found: Adapted, stopped: bool) -> list[str]:
    if found.within:
        return []
    last, way_on = found.rounds[-1], "raise adapt.max_unknowns or the tolerance"
    if stopped:
        way_on = "it was interrupted; run it again for the rest"
    return [
        f"the mesh stopped refining at {last.unknowns} unknowns, where the estimated error {last.estimate:.3g} is "
        f"above the {last.allowed:.3g} asked for; {way_on}"
    ]


def _residual(setup: Setup, space: Space, u: Tensor) -> Tensor:
    """The residual indicator with the data of the problem."""
    config, fields, start = setup.config, setup.pde.fields, float(setup.times[0])
    mesh, values = space.mesh, space.at_points(u)
    fixed, flux = [], {}
    for place, rule in config.boundary.items():
        tag = mesh.tag(place)
        if rule.value is not None:
            if tag.dim == mesh.dim - 1:
                fixed.append(tag.ids)
            continue
        corners = mesh.facets.nodes[tag.ids]
        middles = mesh.points[corners].mean(1)
        at = partial(_at, x=middles, t=start, fields=fields)
        if rule.inflow is not None:
            flux[place] = at(rule.inflow)
        elif rule.robin is not None:
            flux[place] = at(rule.robin[1]) - at(rule.robin[0]) * values[corners].mean(1)
    source = as_field(config.source, fields)
    return residual_indicator(
        space,
        u,
        kappa=conductivity(space, config.coefficients["kappa"]),
        source=lambda x, t: evaluate(source, x, start, "source"),
        fixed=torch.unique(torch.cat(fixed)) if fixed else None,
        flux=flux,
    )


def _at(given: Mapping[str, object], x: Tensor, t: float, fields: tuple[str, ...]) -> Tensor:
    return evaluate(as_field(given, fields), x, t).expand(len(x), -1)  # type: ignore[arg-type]


def record_adapted(folder: RunFolder, found: Adapted | None) -> None:
    """Write the final mesh with its named sets and the table of the rounds; nothing where there were none.

    Raises:
        OutputError: they cannot be written.
    """
    if found is None:
        return
    write_mesh(folder.path / MESH, found.mesh)
    lines = (f"{r.unknowns},{r.cells},{r.estimate!r},{r.allowed!r}" for r in found.rounds)
    folder.write(TABLE, "\n".join(["unknowns,cells,estimate,allowed", *lines]) + "\n")


def meshes_of(found: Adapted) -> str:
    """How many meshes it took, in words."""
    first, last = found.rounds[0].unknowns, found.rounds[-1].unknowns
    if len(found.rounds) > 1:
        return f"{len(found.rounds)} meshes of {first} to {last} unknowns"
    return f"the first mesh of {first} unknowns suffices" if found.within else f"not refined beyond {first} unknowns"


def draw_adapted(found: Adapted, folder: Path) -> Section:
    """The section of the report on it, its picture (where there is more than one mesh) saved below ``folder``."""
    sizes = [r.unknowns for r in found.rounds]
    first, last = found.rounds[0], found.rounds[-1]
    title, files, below = "Adaptive mesh", [TABLE, MESH], "fell below" if found.within else "was still above"
    if len(sizes) == 1:
        told = meshes_of(found)
        text = f"{told[0].upper()}{told[1:]}: estimated error {last.estimate:.3g}, asked for {last.allowed:.3g}."
        return Section(title, text, files=files)
    curves = {"estimated error": [r.estimate for r in found.rounds], "asked for": [r.allowed for r in found.rounds]}
    curves["unknowns^(-1/2)"] = [last.estimate * (last.unknowns / n) ** 0.5 for n in sizes]
    figure = plot_curves(sizes, curves, "unknowns", "energy norm", log=True)
    figure.axes[0].set_xscale("log")
    file = save_figure(figure, folder / "adapt.png", dpi=130)
    rounds = "1 round" if len(sizes) == 2 else f"{len(sizes) - 1} rounds"
    text = (
        f"The mesh was refined in {rounds}, from {first.unknowns} to {last.unknowns} unknowns, where "
        f"the estimated error {below} the one asked for."
    )
    caption = "The estimated error in the energy norm against the unknowns; its best order is that of the third curve."
    return Section(title, text, [Picture(file.read_bytes(), caption)], files=files)
