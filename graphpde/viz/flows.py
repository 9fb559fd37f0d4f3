"""Pictures of flows: samples beside data, histograms, densities, paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import FAINT, INK, entitle, new_figure, plain
from graphpde.viz.colours import set_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Limits = tuple[tuple[float, float], tuple[float, float]]
_PEAK = 0.995  # share of a picture below the upper end of the colours
_MOST = 2000  # points that are drawn of each set


def plot_points(
    sets: Mapping[str, Any],
    columns: Sequence[str],
    *,
    limits: Limits | None = None,
    equal: bool = False,
    size: float = 4,
    colours: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """Sets of points in two columns beside each other, all on the same axes.

    Args:
        sets: name -> [k, 2]. columns: names of the two, with units.
        limits: ((low, high), (low, high)) of the axes; None: nearly all points are seen. equal: one scale for both.
        size: of the dots [points^2]. colours: one for each set.

    Raises:
        InputError: no set, or one that is not [k, 2].
    """
    kept = {name: _pairs(name, x) for name, x in sets.items()}
    if not kept:
        raise InputError("got no points to draw, expected {name: points [k, 2]}")
    low, high = _range(list(kept.values())) if limits is None else np.transpose(limits)
    width, height = _panel(low, high, equal)
    figure = new_figure(width * len(kept) + 0.7, height + 0.8)
    panels = figure.subplots(1, len(kept), squeeze=False, sharex=True, sharey=True)[0]
    for axes, (name, x), colour in zip(panels, kept.items(), colours or set_colours(len(kept)), strict=True):
        axes.scatter(x[:_MOST, 0], x[:_MOST, 1], s=size, color=colour, alpha=0.6, linewidths=0)
        axes.set_title(plain(name), fontsize=9, color=INK)
        axes.set_xlabel(plain(columns[0]))
        _frame(axes, low, high, equal)
    panels[0].set_ylabel(plain(columns[1]))
    entitle(figure, title)
    return figure


def plot_density(
    x: Any,
    y: Any,
    density: Any,
    columns: Sequence[str],
    unit: str,
    *,
    equal: bool = False,
    title: str | None = None,
) -> Figure:
    """A density on a grid.

    Args:
        x, y: coordinates [k], [q]. density: [k, q] >= 0. columns: names of the two. unit: of the density.
        equal: one scale for both axes.

    Raises:
        InputError: sizes that do not fit.
    """
    x, y, density = (as_array(v, name) for v, name in ((x, "x"), (y, "y"), (density, "density")))
    if density.shape != (x.size, y.size):
        raise InputError(f"the density has shape {list(density.shape)}, expected [{x.size}, {y.size}]")
    low, high = np.array([x[0], y[0]]), np.array([x[-1], y[-1]])
    width, height = _panel(low, high, equal, 4.0)
    figure = new_figure(width + 1.6, height + 0.8)
    axes = figure.subplots()
    most = float(np.quantile(density, _PEAK)) or None  # a sharp peak does not make all the rest dark
    drawn = axes.pcolormesh(x, y, density.T, cmap="viridis", shading="nearest", rasterized=True, vmin=0, vmax=most)
    axes.set_xlabel(plain(columns[0]))
    axes.set_ylabel(plain(columns[1]))
    _frame(axes, low, high, equal)
    figure.colorbar(drawn, ax=axes, label=plain(unit), shrink=0.9, extend="max" if most else "neither")
    entitle(figure, title)
    return figure


def plot_paths(
    states: Any,
    columns: Sequence[str],
    *,
    limits: Limits | None = None,
    period: float | None = None,
    equal: bool = False,
    title: str | None = None,
) -> Figure:
    """Paths of points from the base to the data.

    Args:
        states: [s, k, 2]. columns: names of the two. limits, equal: as of :func:`plot_points`.
        period: of angles; where a path goes over the seam its line is cut.

    Raises:
        InputError: another shape.
    """
    x = as_array(states, "states")
    if x.ndim != 3 or x.shape[2] != 2:
        raise InputError(f"the paths have shape {list(x.shape)}, expected [s, k, 2]")
    low, high = _range([x.reshape(-1, 2)]) if limits is None else np.transpose(limits)
    width, height = _panel(low, high, equal, 4.0)
    figure = new_figure(width + 0.7, height + 0.8)
    axes = figure.subplots()
    ways = x if period is None else _cut(x, period)
    axes.plot(ways[:, :, 0], ways[:, :, 1], color=FAINT, linewidth=0.5, alpha=0.6)
    first, last = set_colours(2)
    axes.scatter(x[0, :, 0], x[0, :, 1], s=6, color=first, linewidths=0, label="t = 0", zorder=3)
    axes.scatter(x[-1, :, 0], x[-1, :, 1], s=6, color=last, linewidths=0, label="t = 1", zorder=3)
    axes.set_xlabel(plain(columns[0]))
    axes.set_ylabel(plain(columns[1]))
    axes.legend(frameon=False, fontsize=8, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, borderaxespad=0.1)
    _frame(axes, low, high, equal)
    entitle(figure, title)
    return figure


def plot_histograms(
    sets: Mapping[str, Any], label: str, *, curve: tuple[Any, Any] | None = None, title: str | None = None
) -> Figure:
    """How numbers are spread, one outline for each set, all over the same bins.

    Args:
        sets: name -> [k]. label: of the numbers, with unit. curve: a density (places [q], values [q]) beside them.

    Raises:
        InputError: no set, or an empty one.
    """
    kept = {name: as_array(x, name).reshape(-1) for name, x in sets.items()}
    if not kept or not all(x.size for x in kept.values()):
        raise InputError("got no numbers to draw, expected {name: numbers [k]}")
    (low,), (high,) = _range([x[:, None] for x in kept.values()])
    edges = np.linspace(low, high, int(np.clip(2 * min(x.size for x in kept.values()) ** (1 / 3), 12, 60)) + 1)
    figure = new_figure(5.6, 3.6)
    axes = figure.subplots()
    for (name, x), colour in zip(kept.items(), set_colours(len(kept)), strict=True):
        axes.hist(x, edges.tolist(), density=True, histtype="step", linewidth=1.4, color=colour, label=plain(name))
    if curve is not None:
        axes.plot(*(as_array(v, "curve") for v in curve), color=INK, linewidth=1.0, label="density of the flow")
    axes.set_xlim(low, high)
    axes.set_xlabel(plain(label))
    axes.set_ylabel("share per unit")
    axes.legend(frameon=False, fontsize=9)
    style_axes(axes)
    entitle(figure, title)
    return figure


def _cut(x: np.ndarray, period: float) -> np.ndarray:
    """The paths [s, k, 2] with a gap after each jump of more than half a period."""
    jump = (np.abs(np.diff(x, axis=0)) > period / 2).any(2)  # [s - 1, k]
    out = np.repeat(x, 2, axis=0)[:-1]
    out[1::2][jump] = np.nan
    return out


def _panel(low: np.ndarray, high: np.ndarray, equal: bool, side: float = 3.3) -> tuple[float, float]:
    """Width and height of a panel [inches]."""
    if not equal:
        return side, 0.95 * side
    ratio = float(np.clip((high[0] - low[0]) / max(high[1] - low[1], 1e-300), 0.4, 2.5))
    return (side * max(ratio, 1.0) ** 0.6, side * max(ratio, 1.0) ** 0.6 / ratio)


def _frame(axes: Any, low: np.ndarray, high: np.ndarray, equal: bool) -> None:
    from matplotlib.ticker import MultipleLocator

    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    if equal:
        axes.set_aspect("equal", adjustable="box")
    style_axes(axes)
    for axis, span in ((axes.xaxis, high[0] - low[0]), (axes.yaxis, high[1] - low[1])):
        if round(float(span), 3) in (180, 360):  # degrees
            axis.set_major_locator(MultipleLocator(60 if span > 181 else 30))


def _pairs(name: str, x: Any) -> np.ndarray:
    found = as_array(x, name)
    if found.ndim != 2 or found.shape[1] != 2:
        raise InputError(f"'{name}' has shape {list(found.shape)}, expected points [k, 2]")
    return found


def _range(sets: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Of nearly all points, with room around: a few that went astray do not decide."""
    low = np.min([np.quantile(x, 0.002, axis=0) for x in sets], axis=0)
    high = np.max([np.quantile(x, 0.998, axis=0) for x in sets], axis=0)
    room = 0.08 * np.maximum(high - low, 1e-12)
    return low - room, high + room
