"""Small multiples: a field in many cases side by side, each on its own mesh; a group of panels has one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphpde.errors import InputError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.axes import hide_space
from graphpde.viz.canvas import entitle, labelled
from graphpde.viz.colours import make_scale
from graphpde.viz.pictures import _block, channels_of
from graphpde.viz.scene import Scene, Style, fit_values, scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Panel(NamedTuple):
    """One field on its mesh.

    Attributes:
        mesh: any mesh but one of single points. values: at its points [mesh.n]; NaN where there is none.
        title: over the panel. group: panels of one group share a colour scale.
    """

    mesh: Mesh
    values: Any
    title: str
    group: str = "u"


def plot_multiples(
    panels: Sequence[Panel],
    *,
    title: str | None = None,
    unit: str | None = None,
    length_unit: str | None = "m",
    symmetric: Sequence[str] = (),
    one_row: bool = False,
    alike: bool = False,
) -> Figure:
    """Panels side by side, filled row by row; each group has one colour bar named after it.

    Args:
        unit: of the values. length_unit: of the coordinates.
        symmetric: groups whose colours run from -a to a around white, for differences.
        one_row: all in one row, or in one column where the meshes are wide.
        alike: every panel shows the same part of the plane or of space, at one scale; in space one has axes.

    Raises:
        InputError: no panels, or meshes of different kinds. ShapeError: values that do not fit their mesh.
    """
    if not panels:
        raise InputError("there are no panels to draw, expected at least one")
    scenes: dict[int, Scene] = {}
    for panel in panels:
        if id(panel.mesh) not in scenes:
            scenes[id(panel.mesh)] = scene(panel.mesh)
    first = scenes[id(panels[0].mesh)]
    if len({(seen.kind, seen.points.shape[1]) for seen in scenes.values()}) > 1:
        raise InputError("the meshes of the panels are of different kinds; draw those of one kind together")
    if alike:
        scenes = _in_one_room(scenes)
        first = scenes[id(panels[0].mesh)]
    fields = [channels_of(panel.values, panel.mesh)[:, 0] for panel in panels]
    scales = {}
    for group in dict.fromkeys(panel.group for panel in panels):
        joined = np.concatenate([u for u, panel in zip(fields, panels, strict=True) if panel.group == group])
        limits: tuple[float | None, float | None] = (None, None)
        if group in symmetric:
            reach = float(np.nanmax(np.abs(joined))) or 1.0
            limits = -reach, reach
        scales[group] = make_scale(joined, group, *limits, "RdBu_r" if group in symmetric else "viridis")
    figure, places = _grid(first, len(panels), one_row)
    style = Style(None, length_unit, ticks=4, panels=len(panels))
    for axes, panel, u in zip(places, panels, fields, strict=True):
        seen = scenes[id(panel.mesh)]
        seen.draw(axes, u, scales[panel.group], style)
        seen.entitle(axes, panel.title)
        if seen.kind == "curve":
            fit_values(axes, scales[panel.group], labelled(panel.group, unit))
        elif seen.flat:
            axes.label_outer()
        elif alike and not _at_corner(axes):
            hide_space(axes)  # the same view as at the corner, where the coordinates stand
    if first.kind != "curve":
        for group, scale in scales.items():
            own = [axes for axes, panel in zip(places, panels, strict=True) if panel.group == group]
            first.add_colour_bar(figure, scale, own, unit)
    entitle(figure, title)
    return figure


def _in_one_room(scenes: dict[int, Scene]) -> dict[int, Scene]:
    """Each with room for all."""
    every = np.concatenate([seen.shown for seen in scenes.values()])
    room = np.stack([every.min(0), every.max(0)])
    return {key: seen._replace(room=room) for key, seen in scenes.items()}


def _at_corner(axes: Any) -> bool:
    """Whether the panel stands at the lower left, where there is room for labels."""
    place = axes.get_subplotspec()
    return bool(place.is_last_row() and place.is_first_col())


def _grid(seen: Any, count: int, one_row: bool) -> tuple[Figure, list[Any]]:
    """A figure with ``count`` panels in the order of reading."""
    width, height = seen.size
    if one_row:
        rows, columns = (count, 1) if seen.wide else (1, count)
    else:
        rows, columns = _block(count, width / height)
    shrink = min(1.0, 11.0 / (columns * width), max(9.0 / (rows * height), 1.6 / height))
    figure, grid = seen.panels(rows, columns, seen.wide, shrink)
    for spare in list(grid.flat)[count:]:
        spare.remove()
    return figure, list(grid.flat)[:count]
