"""Pictures of particles: where they are and how fast, the ways they went, chains over time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import FAINT, INK, entitle, labelled, new_figure, plain
from graphpde.viz.colours import set_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 20_000  # particles that are drawn
_AREA = 9000.0  # points^2 that all dots take together, about
_FAR = 3.0  # times what most positions span
_NAMED = 10  # ways that have a colour of their own


def limits_of(states: Any) -> np.ndarray:
    """The box [2, d] around positions [*, n, d], with room; a few that are far away from all others do not decide."""
    x = as_array(states, "positions")
    x = x.reshape(-1, x.shape[-1])
    low, high = x.min(0), x.max(0)
    inner = np.quantile(x, [0.05, 0.95], axis=0)
    span = float((inner[1] - inner[0]).max())
    if len(x) >= 100 and float((high - low).max()) > _FAR * span > 0:
        low, high = np.maximum(low, inner[0] - 0.4 * span), np.minimum(high, inner[1] + 0.4 * span)
    room = 0.06 * max(float((high - low).max()), 1e-12)
    return np.stack([low - room, high + room])


def plot_particles(
    positions: Sequence[Any],
    values: Sequence[Any] | None = None,
    *,
    titles: Sequence[str] = (),
    limits: Any = None,
    label: str = "speed",
    unit: str | None = None,
    highest: float | None = None,
    length_unit: str | None = None,
    title: str | None = None,
) -> Figure:
    """Particles at one or more moments, in the plane or seen along z, coloured by a number.

    Args:
        positions: [n, d] of each moment, d = 2 or 3. values: [n] of each moment, NaN = grey; or None. titles: of the
            moments.
        limits: box [2, d]; None: around all. highest: end of the colours, which begin at 0.

    Raises:
        InputError: no moment, or positions of another shape.
    """
    places = [as_array(x, "positions") for x in positions]
    if not places or any(x.ndim != 2 or x.shape[1] not in (2, 3) for x in places):
        raise InputError(f"positions have shapes {[list(x.shape) for x in places]}, expected [n, 2] or [n, 3] of each")
    box = limits_of(np.concatenate(places)) if limits is None else as_array(limits, "limits")
    columns = min(len(places), 3)
    rows = -(-len(places) // columns)
    sides = (box[1] - box[0])[:2]
    ratio = float(np.clip(sides[1] / max(sides[0], 1e-300), 0.3, 1.6))
    width = 5.6 if columns == 1 else 3.1
    figure = new_figure(width * columns + 1.0, (width * ratio + 0.5) * rows + 0.4)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    shades = None if values is None else [as_array(v, label).reshape(-1) for v in values]
    top = highest if highest is not None or shades is None else float(max(np.nanmax(v) for v in shades)) or 1.0
    drawn = None
    for k, axes in enumerate(panels.flat):
        if k >= len(places):
            axes.set_visible(False)
            continue
        drawn = _dots(axes, places[k], None if shades is None else shades[k], top, _AREA * width / 5.6)
        axes.set_xlim(box[0, 0], box[1, 0])
        axes.set_ylim(box[0, 1], box[1, 1])
        axes.set_aspect("equal", adjustable="box")
        style_axes(axes)
        if titles:
            axes.set_title(plain(titles[k]), fontsize=9, color=INK)
        if k >= len(places) - columns:
            axes.set_xlabel(labelled("x", length_unit))
        if k % columns == 0:
            axes.set_ylabel(labelled("y", length_unit))
    if shades is not None and drawn is not None:
        figure.colorbar(drawn, ax=list(panels.flat), label=labelled(label, unit), shrink=0.85)
    entitle(figure, title)
    return figure


def _dots(axes: Any, x: np.ndarray, shade: np.ndarray | None, top: float | None, area: float) -> Any:
    """Particles [n, d] as dots, those in front last, coloured by numbers [n] up to ``top``."""
    from matplotlib import colormaps

    every = max(-(-len(x) // _MOST), 1)
    order = np.argsort(x[:, 2])[::every] if x.shape[1] == 3 else np.arange(0, len(x), every)
    look: dict[str, Any] = {"color": set_colours(1)[0]}
    if shade is not None:
        cmap = colormaps["viridis"].with_extremes(bad=FAINT)
        look = {"c": shade[order], "cmap": cmap, "vmin": 0.0, "vmax": top, "plotnonfinite": True}
    size = float(np.clip(area / max(len(order), 1), 0.6, 40))
    return axes.scatter(x[order, 0], x[order, 1], s=size, linewidths=0, **look)


def plot_ways(
    states: Any,
    columns: Sequence[str] = ("x", "y"),
    *,
    equal: bool = True,
    limits: Any = None,
    title: str | None = None,
) -> Figure:
    """The ways of points [s, k, 2] over time, a dot where each is at the end.

    Raises:
        InputError: another shape.
    """
    x = as_array(states, "states")
    if x.ndim != 3 or x.shape[2] != 2:
        raise InputError(f"the ways have shape {list(x.shape)}, expected [s, k, 2]")
    box = limits_of(x) if limits is None else as_array(limits, "limits")
    sides = box[1] - box[0]
    ratio = float(np.clip(sides[1] / max(sides[0], 1e-300), 0.4, 1.6)) if equal else 0.75
    figure = new_figure(5.8, 5.2 * ratio + 0.9)
    axes = figure.subplots()
    few = x.shape[1] <= _NAMED
    colours = set_colours(x.shape[1]) if few else [FAINT] * x.shape[1]
    for k, colour in enumerate(colours):
        axes.plot(x[:, k, 0], x[:, k, 1], color=colour, linewidth=1.0 if few else 0.5, alpha=0.7)
    ends = colours if few else [set_colours(1)[0]] * x.shape[1]
    axes.scatter(x[-1, :, 0], x[-1, :, 1], s=26 if few else 8, c=ends, linewidths=0, zorder=3)
    axes.set_xlim(box[0, 0], box[1, 0])
    axes.set_ylim(box[0, 1], box[1, 1])
    if equal:
        axes.set_aspect("equal", adjustable="box")
    axes.set_xlabel(plain(columns[0]))
    axes.set_ylabel(plain(columns[1]))
    style_axes(axes)
    entitle(figure, title)
    return figure


def plot_history(
    times: Any,
    values: Any,
    *,
    label: str,
    time_label: str = "t",
    along: str = "number along the row",
    title: str | None = None,
) -> Figure:
    """Values [s, n] along a row over time, in colours that are symmetric about 0.

    Raises:
        InputError: sizes that do not fit.
    """
    t, v = as_array(times, "times").reshape(-1), as_array(values, label)
    if v.ndim != 2 or len(v) != len(t):
        raise InputError(f"values have shape {list(v.shape)} and there are {len(t)} times, expected [{len(t)}, n]")
    figure = new_figure(6.6, 3.4)
    axes = figure.subplots()
    most = float(np.abs(v).max()) or 1.0
    look: dict[str, Any] = {"cmap": "RdBu_r", "vmin": -most, "vmax": most, "shading": "nearest", "rasterized": True}
    drawn = axes.pcolormesh(t, np.arange(v.shape[1]), v.T, **look)
    axes.set_xlabel(plain(time_label))
    axes.set_ylabel(plain(along))
    style_axes(axes)
    figure.colorbar(drawn, ax=axes, label=plain(label), shrink=0.9)
    entitle(figure, title)
    return figure
