"""A movie of a learned flow: samples of the base law on their way to those of the data."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.run.flows.meshes import Fields, Surface
from graphpde.run.flows.pictures import axes_of, most_of, on_mesh, source
from graphpde.run.flows.reopen import Reopened
from graphpde.viz.flows import Limits, plot_points
from graphpde.viz.movie import write_figures, write_gif
from graphpde.viz.surface_points import plot_on_surface

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES, POINTS = 31, 600


def write_movie(opened: Reopened, path: str | os.PathLike[str], seed: int = 0) -> int:
    """Write a GIF from t = 0 to 1 and return how many frames it has.

    Two columns of numbers and places on maps as points, particles in the plane as one configuration, points on a
    surface from two sides, of fields the first channel of one of them.

    Raises:
        InputError: samples that no picture in the plane shows: a single column, particles in space, configurations on
            a sphere or torus of higher dimension.
        OutputError: the place cannot be written.
    """
    place, times = opened.place, torch.linspace(0, 1, FRAMES, dtype=torch.float64)
    title, rng = f"Flow to {source(place.config)}", torch.Generator().manual_seed(seed)
    if isinstance(place, Surface):
        faces = place.faces
        with torch.no_grad():
            ways = place.flow(opened.model).flow.paths(faces.draw(POINTS, rng), times)
        return write_figures(
            path, _seen(title, times, ways, lambda x, name: plot_on_surface(faces.mesh, x, title=name))
        )
    count = 1 if isinstance(place, Fields) or len(place.shape()) == 2 else POINTS
    flow = place.flow(opened.model)
    with torch.no_grad():
        start = flow.base.draw(torch.zeros(count, *place.shape()), rng)
        states = torch.stack([place.decode(x) for x in flow.push(start, times).states])
    if isinstance(place, Fields):
        values = [on_mesh(place, field[0]) for field in states]
        return write_gif(path, place.mesh, times, values, title=title, length_unit=None, time_unit=None)
    columns, how = place.columns(), axes_of(place)
    if states.dim() == 4:  # a configuration of particles
        states, columns, pair = states[:, 0], ["x", "y", "z"][: states.shape[-1]], [0, 1]
    else:
        pair = list(how.order)
    if len(columns) != 2:
        raise InputError(
            f"a movie shows two coordinates, and these samples have {len(columns)}: {', '.join(columns)}; "
            f"draw samples without --movie"
        )
    states, names = states[..., pair], [columns[k] for k in pair]
    limits = how.limits or _limits(states)

    def drawn(x: Tensor, name: str) -> Figure:
        return plot_points({name: x}, names, limits=limits, equal=how.equal, size=30 if count == 1 else 6)

    return write_figures(path, _seen(title, times, states, drawn))


def _seen(title: str, times: Tensor, states: Tensor, drawn: Any) -> Iterator[Figure]:
    """A figure for each moment."""
    for t, x in zip(times, states, strict=True):
        yield drawn(x, f"{title}, t = {float(t):.2f}")


def _limits(states: Tensor) -> Limits:
    """That both ends of the ways are seen."""
    low, high = most_of(torch.cat([states[0], states[-1]]))
    return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))  # type: ignore[return-value]
