"""Pictures of a learned flow: samples beside data, densities, paths, each as the place of the samples asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.run.flows.meshes import Fields, Surface
from graphpde.run.flows.reopen import Reopened, densities, draw_samples
from graphpde.viz import Panel, plot_multiples
from graphpde.viz.colours import set_colours
from graphpde.viz.curves import plot_curves
from graphpde.viz.flows import Limits, plot_density, plot_histograms, plot_paths, plot_points
from graphpde.viz.surface_points import plot_on_surface

if TYPE_CHECKING:
    from graphpde.run.flows.config import FlowConfig
    from graphpde.run.flows.learn import Material
    from graphpde.run.flows.places import Place
    from graphpde.train import History

_AT_ONCE = 4096  # states whose intermediates stay in the cache
_DRAWN, _PATHS, _GRID, _MOMENTS, _FACES = 1000, 150, 120, 33, 20_000
Drawn = Iterator[tuple[Any, str]]


class Axes(NamedTuple):
    """How two columns of samples are drawn.

    Attributes:
        order: of the columns, as maps are drawn. limits: of the axes, or None. equal: one scale for both.
        period: of angles, or None.
    """

    order: tuple[int, int] = (0, 1)
    limits: Limits | None = None
    equal: bool = False
    period: float | None = None


def source(config: FlowConfig) -> str:
    """What was learned from, in a few words."""
    data = config.data
    return data.name or (Path(data.file).name if data.file else f"mode {data.mode} of {Path(data.mesh).name}")


def axes_of(place: Place) -> Axes:
    """Maps of the globe and of angles whole and true in scale; laws true in scale; other columns as they lie."""
    on, half = place.config.model.on, 180.0 if place.config.data.unit == "degrees" else math.pi
    if on == "sphere" and len(place.columns()) == 2:
        return Axes((1, 0), ((-half, half), (-half / 2, half / 2)), True, 2 * half)
    if on == "torus":
        return Axes(limits=((-half, half), (-half, half)), equal=True, period=2 * half)
    return Axes(equal=bool(place.config.data.name) or on == "sphere")


def _data(given: Material) -> Tensor:
    """Samples of the data that are drawn, those kept aside first."""
    states = given.held if given.train is None else torch.cat([given.held, given.train])
    return given.place.decode(states[:_DRAWN])


def _drawn(given: Material, model: nn.Module, count: int = _DRAWN) -> Tensor:
    return draw_samples(Reopened(given.place, model), count, given.place.config.training.seed)


def _samples(given: Material, model: nn.Module, history: History) -> Drawn:
    place, columns = given.place, given.place.columns()
    if isinstance(place, Fields):
        yield from _fields(given, model, place)
    elif isinstance(place, Surface):
        return
    elif given.held.dim() == 3:
        yield from _particles(given, model)
    elif len(columns) == 1:
        sets = {"data": _data(given), "samples of the flow": _drawn(given, model)}
        low, high = most_of(sets["data"])
        at = torch.linspace(float(low), float(high), 400, dtype=torch.float64)[:, None]
        curve = (
            (at[:, 0], densities(place, model, place.encode(at)).exp()) if place.config.model.on == "space" else None
        )
        figure = plot_histograms(sets, columns[0], curve=curve, title=_title("Samples", given))
        yield figure, f"Samples of the data and {_DRAWN} of the flow, with the density of the flow."
    else:
        how = axes_of(place)
        pair = list(how.order)
        sets = {"data": _data(given)[:, pair], "samples of the flow": _drawn(given, model)[:, pair]}
        what = "the first two columns" if len(columns) > 2 else "both columns"
        names = [columns[k] for k in pair]
        figure = plot_points(sets, names, limits=how.limits, equal=how.equal, title=_title("Samples", given))
        yield figure, f"Up to {_DRAWN} samples of the data and {_DRAWN} of the flow, {what}."


def _fields(given: Material, model: nn.Module, place: Fields) -> Drawn:
    sets = {"data": _data(given)[:3], "flow": _drawn(given, model, 3)}
    panels = []
    for name, fields in sets.items():
        for k, field in enumerate(fields, 1):
            panels.append(Panel(place.mesh, on_mesh(place, field), f"{name} {k}", "first channel"))
    figure = plot_multiples(panels, title=_title("Samples", given), length_unit=None)
    yield figure, "Fields of the data and of the flow in one scale of colours; of several channels the first."


def on_mesh(place: Fields, field: Tensor) -> Tensor:
    """The first channel of a field [n, c] at the points of its mesh; nan where there is none."""
    values = torch.full((place.mesh.n,), math.nan, dtype=torch.float64)
    inside = place.space.dof_of_point >= 0
    values[inside] = field[place.space.dof_of_point[inside], 0]
    return values


def _particles(given: Material, model: nn.Module) -> Drawn:
    if given.held.shape[2] != 2:
        return
    sets = {"data": _data(given)[:2], "flow": _drawn(given, model, 2)}
    one, two = set_colours(2)
    shown = {f"{name} {k}": x for name, both in sets.items() for k, x in enumerate(both, 1)}
    figure = plot_points(
        shown, ["x", "y"], equal=True, size=30, colours=[one, one, two, two], title=_title("Samples", given)
    )
    yield figure, "Two samples of the data and two of the flow, about their centre."


def _distances(given: Material, model: nn.Module, history: History) -> Drawn:
    if given.held.dim() != 3 or isinstance(given.place, Fields):
        return
    sets = {"data": _data(given)[:200], "samples of the flow": _drawn(given, model, 200)}
    n = given.held.shape[1]
    row, column = torch.triu_indices(n, n, 1)
    apart = {name: (x[:, row] - x[:, column]).norm(dim=-1).flatten() for name, x in sets.items()}
    figure = plot_histograms(apart, "distance of two particles", title=_title("Distances", given))
    yield figure, "Distances between all pairs of particles, of the data and of the flow."


def _paths(given: Material, model: nn.Module, history: History) -> Drawn:
    place, columns = given.place, given.place.columns()
    if isinstance(place, Surface):
        yield from _over_surface(given, model, place)
        return
    if given.held.dim() != 2 or len(columns) != 2:
        return
    flow, rng = place.flow(model), torch.Generator().manual_seed(place.config.training.seed)
    with torch.no_grad():
        start = flow.base.draw(torch.zeros(_PATHS, *place.shape()), rng)
        run = flow.push(start, torch.linspace(0, 1, _MOMENTS))
    how = axes_of(place)
    states = torch.stack([place.decode(x)[:, list(how.order)] for x in run.states])
    names = [columns[k] for k in how.order]
    title = _title("Paths", given)
    yield (
        plot_paths(states, names, limits=how.limits, period=how.period, equal=how.equal, title=title),
        "Paths of points of the base law, t = 0, to those of the data, t = 1.",
    )


def _density(given: Material, model: nn.Module, history: History) -> Drawn:
    place, columns = given.place, given.place.columns()
    if isinstance(place, Surface):
        yield from _on_surface(given, model, place)
        return
    if not place.dense or given.held.dim() != 2 or len(columns) != 2:
        return
    how = axes_of(place)
    pair = list(how.order)
    if how.limits is not None:
        low, high = torch.tensor(how.limits, dtype=torch.float64).T * (1 - 1e-9)
    else:
        low, high = most_of(_data(given)[:, pair])
    x, y = (torch.linspace(float(a), float(b), _GRID, dtype=torch.float64) for a, b in zip(low, high, strict=True))
    grid = torch.cartesian_prod(x, y)[:, pair]  # turning two round is its own inverse
    p = _seen(place, model, place.encode(grid)).reshape(_GRID, _GRID)
    names, unit = [columns[k] for k in pair], f"density per {place.by}"
    yield plot_density(x, y, p, names, unit, equal=how.equal, title=_title("Density", given)), "Density of the flow."


def _seen(place: Place, model: nn.Module, states: Tensor) -> Tensor:
    """The densities of states [k], for the eye."""
    flow, like = place.rough_flow(model), next(model.parameters())
    with torch.no_grad():
        parts = [flow.log_density(part).flatten() for part in states.to(like).split(_AT_ONCE)]
    return (torch.cat(parts).double() + place.correction()).exp()


def _on_surface(given: Material, model: nn.Module, place: Surface) -> Drawn:
    """The density on the faces with samples, from two sides."""
    faces = place.faces
    middles = torch.cat([torch.arange(faces.m)[:, None].double(), torch.full((faces.m, 3), 1 / 3).double()], 1)
    p = densities(place, model, middles).exp() if faces.m <= _FACES else None
    figure = plot_on_surface(
        faces.mesh, _drawn(given, model, 400), density=p, unit=f"density per {place.by}",
        title=_title("Density and samples", given),
    )  # fmt: skip
    yield figure, "Density of the flow on the surface, and 400 of its samples, from two sides."


def _over_surface(given: Material, model: nn.Module, place: Surface) -> Drawn:
    faces, rng = place.faces, torch.Generator().manual_seed(place.config.training.seed)
    flow = place.flow(model).flow
    with torch.no_grad():
        ways = flow.paths(faces.draw(_PATHS, rng), torch.linspace(0, 1, flow.steps + 1))
    yield (
        plot_on_surface(faces.mesh, ways[-1], ways=ways, title=_title("Paths", given)),
        "Paths of uniform points over the surface; dots are their ends at t = 1.",
    )


def _training(given: Material, model: nn.Module, history: History) -> Drawn:
    if len(history) < 2:
        return
    steps = [row["step"] for row in history.rows]
    loss = [row["loss"] for row in history.rows]
    width = max(len(loss) // 100, 1)
    mean = [sum(loss[max(k - width + 1, 0) : k + 1]) / min(width, k + 1) for k in range(len(loss))]
    name = f"mean over {width} steps" if width > 1 else "loss"
    figure = plot_curves(steps, {name: mean}, "step", "loss", drifts=False, title=_title("Training", given))
    yield figure, "The objective over the fit. Of matching it does not tend to 0: many paths pass through a point."


def _title(what: str, given: Material) -> str:
    return f"{what}: {source(given.place.config)}"


def most_of(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of nearly all samples, with room around."""
    low, high = x.quantile(0.001, 0), x.quantile(0.999, 0)
    return low - 0.15 * (high - low), high + 0.15 * (high - low)


PICTURES: dict[str, Callable[[Any, nn.Module, Any], Drawn]] = {
    "samples": _samples,
    "distances": _distances,
    "density": _density,
    "paths": _paths,
    "training": _training,
}
