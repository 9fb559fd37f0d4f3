"""Pictures of fields at the points of a mesh: one moment, or several moments side by side in one colour scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import hide_space
from graphpde.viz.canvas import entitle, labelled
from graphpde.viz.colours import Scale, make_scale
from graphpde.viz.draw import draw_interval
from graphpde.viz.scene import Scene, Style, fit_values, moment, scene, torn

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_field(
    mesh: Mesh,
    values: Any,
    *,
    title: str | None = None,
    label: str | Sequence[str] = "u",
    unit: str | Sequence[str] | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str = "viridis",
    ax: Any = None,
    show_mesh: bool | None = None,
    length_unit: str | None = "m",
    per_cell: bool = False,
) -> Figure:
    """One picture of a field at the points of a mesh, true in aspect, with a colour bar ``u [unit]``.

    Flat meshes are coloured linearly on each triangle (quadrilaterals are cut, quadratic cells at their middle nodes),
    intervals give a curve, networks coloured lines, surfaces and solids a lit view of their faces. Cells with a vertex
    that carries no value stay grey.

    Args:
        mesh: any mesh but one of single points.
        values: numbers [mesh.n] or [mesh.n, c]; NaN where a point carries none. Each channel gets a panel.
        per_cell: the values are those of cells [m] or [m, c], each of which is shown in one colour.
        title: over the picture.
        label: name of the quantity, or one name per channel.
        unit: unit of the values, or one per channel; "1" or None shows the label alone.
        vmin, vmax: limits of the colours; found in the values where None.
        cmap: a colour map of matplotlib; the default is uniform to the eye.
        ax: axes to draw into (three-dimensional ones for surfaces and solids); one channel only.
        show_mesh: draw the edges of cells; None draws them below 3000 cells.
        length_unit: unit of the coordinates.

    Raises:
        ShapeError: the values do not fit the mesh. InputError: no finite value, infinite values, limits in the wrong
            order. UnknownName: no such colour map.
    """
    fields = channels_of(values, mesh, per_cell)
    labels = labels_of(label, fields.shape[1])
    scales = [make_scale(u, name, vmin, vmax, cmap) for u, name in zip(fields.T, labels)]
    seen = torn(mesh) if per_cell else scene(mesh)
    if ax is None:
        figure, grid = seen.panels(1, len(labels), seen.wide)
        axes = list(grid[0])
    else:
        _check_axes(ax, seen, len(labels))
        figure, axes = ax.figure, [ax]
    style = Style(show_mesh, length_unit, panels=len(axes))
    for panel, u, scale, one in zip(axes, fields.T, scales, _each(unit, len(scales))):
        seen.draw(panel, u, scale, style)
        if seen.kind == "curve":
            fit_values(panel, scale, labelled(scale.label, one))
        else:
            seen.add_colour_bar(figure, scale, [panel], one)
    if len(axes) > 1:
        entitle(figure, title)
    else:
        seen.entitle(axes[0], title, alone=ax is None)
    return figure


def plot_frames(
    mesh: Mesh,
    times: Any,
    states: Any,
    *,
    title: str | None = None,
    label: str | Sequence[str] = "u",
    unit: str | Sequence[str] | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str = "viridis",
    frames: int = 6,
    show_mesh: bool | None = None,
    length_unit: str | None = "m",
    time_unit: str | None = "s",
    per_cell: bool = False,
) -> Figure:
    """Several moments side by side, first and last among them, in one colour scale, each with its time ``t = 0.5 s``.

    Fields over an interval become curves in one pair of axes, coloured by time.

    Args:
        times: saved times [s].
        states: values [s, mesh.n] or [s, mesh.n, c]; a row of panels per channel.
        frames: how many moments at most, evenly spread over the saved ones.
        time_unit: unit of the times. The other arguments as in :func:`plot_field`.

    Raises:
        ShapeError, InputError, UnknownName: as :func:`plot_field`; times and states differ in number; ``frames`` < 1.
    """
    times = as_array(times, "times").reshape(-1)
    if not len(times) or len(states) != len(times):
        raise ShapeError(f"got {len(times)} times and {len(states)} states, expected as many of each and at least one")
    if frames < 1:
        raise InputError(f"frames is {frames}, expected at least 1")
    shown = np.unique(np.linspace(0, len(times) - 1, min(frames, len(times))).round().astype(np.int64))
    fields = np.stack([channels_of(states[k], mesh, per_cell) for k in shown])
    labels = labels_of(label, fields.shape[2])
    scales = [make_scale(fields[:, :, c].T, name, vmin, vmax, cmap) for c, name in enumerate(labels)]
    titles = [moment(times[k], time_unit) for k in shown]
    seen = torn(mesh) if per_cell else scene(mesh)
    if seen.kind == "curve":
        figure = _curves_in_time(seen, fields, scales, titles, (_each(unit, len(scales)), length_unit))
        entitle(figure, title)
        return figure
    figure, panels = _frame_panels(seen, len(shown), len(labels))
    style = Style(show_mesh, length_unit, ticks=4, panels=len(panels))
    for (c, k), panel in panels.items():
        seen.draw(panel, fields[k, :, c], scales[c], style)
        seen.entitle(panel, titles[k])
        if seen.flat:
            panel.label_outer()
        elif k > 0:
            hide_space(panel)  # the same view as in the first panel, where the coordinates stand
    for c, (scale, one) in enumerate(zip(scales, _each(unit, len(scales)))):
        own = [panel for (channel, _), panel in panels.items() if channel == c]
        seen.add_colour_bar(figure, scale, own, one)
    entitle(figure, title)
    return figure


def _each(unit: str | Sequence[str] | None, channels: int) -> Sequence[str | None]:
    """The unit of each channel.

    Raises:
        InputError: neither one unit nor one a channel.
    """
    if unit is None or isinstance(unit, str):
        return [unit] * channels
    if len(unit) != channels:
        raise InputError(f"got {len(unit)} units for {channels} channels, expected one, or one for each")
    return unit


def channels_of(values: Any, mesh: Mesh, per_cell: bool = False) -> np.ndarray:
    """Values at points as [n, c], NaN where a point belongs to no cell; those of cells as [m, c].

    Raises:
        ShapeError: they do not fit the mesh.
    """
    array = as_array(values, "field")
    if per_cell:
        if array.ndim not in (1, 2) or array.shape[0] != mesh.n_cells or array.size == 0:
            raise ShapeError(
                f"field has shape {list(array.shape)}, expected one value for each of the {mesh.n_cells} cells of "
                f"'{mesh.name}'"
            )
        return array.reshape(mesh.n_cells, -1)
    if array.ndim not in (1, 2) or array.shape[0] != mesh.n or array.size == 0:
        raise ShapeError(
            f"field has shape {list(array.shape)}, expected [{mesh.n}] or [{mesh.n}, c] for '{mesh.name}'; "
            f"values of unknowns become values at points by space.at_points(u)"
        )
    seen = np.full((mesh.n, array.size // mesh.n), np.nan)  # values beside the mesh must not stretch the colours
    used = np.unique(np.concatenate([nodes.numpy().reshape(-1) for nodes in mesh.cells.values()]))
    seen[used] = array.reshape(mesh.n, -1)[used]
    return seen


def labels_of(label: str | Sequence[str], channels: int) -> list[str]:
    """A name for each channel.

    Raises:
        InputError: another number of names.
    """
    if isinstance(label, str):
        return [label] if channels == 1 else [f"{label}[{k}]" for k in range(channels)]
    if len(label) != channels:
        raise InputError(f"got {len(label)} labels for {channels} channels, expected one each")
    return list(label)


def _check_axes(ax: Any, seen: Scene, channels: int) -> None:
    if channels > 1:
        raise InputError(f"one pair of axes takes one channel, got {channels}; give values[:, k] or leave ax out")
    if seen.in_space != hasattr(ax, "get_zlim"):
        need = "with" if seen.in_space else "without"
        raise InputError(
            f"a mesh in {seen.points.shape[1]}-D does not fit these axes; make them {need} projection='3d'"
        )


def _frame_panels(seen: Scene, moments: int, channels: int) -> tuple[Figure, dict[tuple[int, int], Any]]:
    """Panels by (channel, moment): channels are rows, or columns for wide meshes; one channel fills a block."""
    width, height = seen.size
    if channels > 1:
        rows, columns = (moments, channels) if seen.wide else (channels, moments)
        place = {(c, k): (k, c) if seen.wide else (c, k) for c in range(channels) for k in range(moments)}
    else:
        rows, columns = _block(moments, width / height)
        place = {(0, k): divmod(k, columns) for k in range(moments)}
    shrink = min(1.0, 8.6 / (columns * width), max(7.0 / (rows * height), 2.4 / height))
    figure, grid = seen.panels(rows, columns, seen.wide, shrink)
    panels = {key: grid[cell] for key, cell in place.items()}
    for spare in set(grid.flat) - set(panels.values()):
        spare.remove()
    return figure, panels


def _block(count: int, ratio: float) -> tuple[int, int]:
    """Rows and columns for panels with this ratio of width to height: nearly the shape of a page, few gaps."""

    def waste(columns: int) -> float:
        rows = -(-count // columns)
        return abs(np.log(ratio * columns / rows / 1.5)) + 0.3 * (rows * columns - count)

    best = min(range(1, count + 1), key=waste)
    return -(-count // best), best


def _curves_in_time(
    seen: Scene,
    fields: np.ndarray,
    scales: list[Scale],
    titles: list[str],
    units: tuple[Sequence[str | None], str | None],
) -> Figure:
    """One pair of axes per channel, the curves of all moments in it, dark to light in time."""
    figure, grid = seen.panels(1, len(scales), False)
    for c, (panel, scale) in enumerate(zip(grid[0], scales)):
        seen.frame(panel, units[1])
        for k, name in enumerate(titles):
            colour = scale.cmap(0.9 * k / max(1, len(titles) - 1))
            draw_interval(panel, seen.points[:, 0], seen.pairs, seen.spread(fields[k, :, c]), colour, name)
        fit_values(panel, scale, labelled(scale.label, units[0][c]))
    grid[0, -1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False, fontsize=9)
    return figure
