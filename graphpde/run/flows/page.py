"""The pictures and the page of a learned flow."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from graphpde.errors import GraphpdeError
from graphpde.run.folder import RunFolder
from graphpde.run.manifest import versions
from graphpde.viz import Picture, Report, Table, save_figure, write_report
from graphpde.viz.curves import plot_curves
from graphpde.viz.flows import plot_density, plot_paths, plot_points

if TYPE_CHECKING:
    from graphpde.run.flows.learn import Learned, Material
    from graphpde.train import History

_DRAWN, _PATHS, _GRID = 1000, 150, 120


def headline(result: Learned) -> str:
    """The result in one line."""
    if result.nll is None:
        return f"{result.steps} steps, last loss {result.loss:.4g}"
    text = f"negative log-likelihood of samples kept aside {result.nll:.3f} \u00b1 {result.nll_error:.3f} nats"
    if result.entropy is not None:
        text += f", entropy of the law {result.entropy:.3f} (the least there is)"
    return text


def write_page(
    result: Learned, given: Material, model: nn.Module, history: History, folder: RunFolder, command: str
) -> None:
    """Write ``report.html`` and the pictures in it; what cannot be drawn is said there."""
    pictures, notes = [], []
    for name, draw in _PICTURES.items():
        try:
            for figure, caption in draw(given, model, history):
                file = save_figure(figure, folder.path / "figures" / f"{name}.png", dpi=130)
                pictures.append(Picture(file.read_bytes(), caption))
        except GraphpdeError as error:
            notes.append(f"the picture '{name}' could not be drawn: {error}")
    config = given.place.config
    title = f"A flow on {config.model.on}: {config.data.name or config.data.file}"
    numbers = {
        "samples": given.count or "drawn anew", "kept aside": len(given.held), "steps": result.steps,
        "ended because": result.reason, "last loss": f"{result.loss:.5g}", "seconds": f"{result.seconds:.3g}",
    }  # fmt: skip
    if result.nll is not None:
        numbers["negative log-likelihood"] = f"{result.nll:.4f} \u00b1 {result.nll_error:.4f} nats, per {result.by}"
    if result.entropy is not None:
        numbers["entropy of the law"] = f"{result.entropy:.4f} nats"
    settings = [(f"{part}.{name}", str(value)) for part in ("model", "flow", "training")
                for name, value in vars(getattr(config, part)).items()]  # fmt: skip
    tables = [Table("Learning", list(numbers.items()), notes=notes), Table("Settings", settings)]
    report = Report(title, headline(result) + ".", [], pictures, tables, command=command, versions=versions())
    write_report(folder.path / "report.html", report)


def _samples(given: Material, model: nn.Module, history: History) -> Iterator[tuple[Any, str]]:
    place, columns = given.place, given.place.columns()
    held = given.held[:_DRAWN]
    if held.dim() != 2 or len(columns) < 2:
        return
    rng = torch.Generator().manual_seed(given.place.config.training.seed)
    drawn = place.flow(model).sample(held, rng)
    order = [1, 0] if place.config.model.on == "sphere" and len(columns) == 2 else [0, 1]  # as maps are drawn
    sets = {"data": place.decode(held)[:, order], "samples of the flow": place.decode(drawn)[:, order]}
    what = "the first two columns" if len(columns) > 2 else "both columns"
    yield plot_points(sets, [columns[k] for k in order]), f"Samples kept aside and as many of the flow, {what}."


def _paths(given: Material, model: nn.Module, history: History) -> Iterator[tuple[Any, str]]:
    place = given.place
    if given.held.dim() != 2 or given.held.shape[1] != 2:
        return
    flow, rng = place.flow(model), torch.Generator().manual_seed(given.place.config.training.seed)
    with torch.no_grad():
        start = flow.base.draw(given.held[:_PATHS], rng)
        run = flow.push(start, torch.linspace(0, 1, 33))
    states = torch.stack([place.decode(x) for x in run.states])
    yield plot_paths(states, place.columns()), "Paths of points of the base law to those of the data."


def _density(given: Material, model: nn.Module, history: History) -> Iterator[tuple[Any, str]]:
    place, columns = given.place, given.place.columns()
    if given.held.dim() != 2 or len(columns) != 2 or place.config.model.on not in ("space", "sphere"):
        return
    x = place.decode(given.held)
    if place.config.model.on == "sphere":
        turn = 180.0 if place.config.data.unit == "degrees" else math.pi
        low, high = torch.tensor([-turn / 2, -turn]), torch.tensor([turn / 2, turn])
        low, high = low * 0.999, high * 0.999
    else:
        low, high = x.quantile(0.001, 0), x.quantile(0.999, 0)
        low, high = low - 0.15 * (high - low), high + 0.15 * (high - low)
    axes = [torch.linspace(float(a), float(b), _GRID, dtype=torch.float64) for a, b in zip(low, high, strict=True)]
    grid = torch.cartesian_prod(*axes)
    with torch.no_grad():
        logp = place.flow(model).log_density(place.encode(grid)).double() + place.correction()
    p = logp.exp().reshape(_GRID, _GRID)
    if place.config.model.on == "sphere":
        yield plot_density(axes[1], axes[0], p.T, columns[::-1], f"density per {place.by}"), "Density of the flow."
    else:
        yield plot_density(axes[0], axes[1], p, columns, f"density per {place.by}"), "Density of the flow."


def _training(given: Material, model: nn.Module, history: History) -> Iterator[tuple[Any, str]]:
    if len(history) < 2:
        return
    steps = [row["step"] for row in history.rows]
    loss = [row["loss"] for row in history.rows]
    width = max(len(loss) // 100, 1)
    mean = [sum(loss[max(k - width + 1, 0) : k + 1]) / min(width, k + 1) for k in range(len(loss))]
    figure = plot_curves(steps, {f"mean over {width} steps": mean}, "step", "loss", drifts=False)
    yield figure, "The objective over the fit. Of matching it does not tend to 0: many paths pass through a point."


_PICTURES = {"samples": _samples, "paths": _paths, "density": _density, "training": _training}
