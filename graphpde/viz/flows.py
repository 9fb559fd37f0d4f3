"""Pictures of flows: samples beside data, densities, paths."""

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

_MOST = 2000  # points that are drawn of each set


def plot_points(sets: Mapping[str, Any], columns: Sequence[str], *, title: str | None = None) -> Figure:
    """Sets of points in two columns beside each other, all on the same axes.

    Args:
        sets: name -> [k, 2]. columns: names of the two, with units.

    Raises:
        InputError: no set, or one that is not [k, 2].
    """
    kept = {name: _pairs(name, x) for name, x in sets.items()}
    if not kept:
        raise InputError("got no points to draw, expected {name: points [k, 2]}")
    figure = new_figure(3.4 * len(kept) + 0.4, 3.6)
    panels = figure.subplots(1, len(kept), squeeze=False, sharex=True, sharey=True)[0]
    low, high = _range(list(kept.values()))
    for axes, (name, x), colour in zip(panels, kept.items(), set_colours(len(kept)), strict=True):
        axes.scatter(x[:_MOST, 0], x[:_MOST, 1], s=4, color=colour, alpha=0.6, linewidths=0)
        axes.set_title(plain(name), fontsize=9, color=INK)
        axes.set_xlabel(plain(columns[0]))
        axes.set_xlim(low[0], high[0])
        axes.set_ylim(low[1], high[1])
        style_axes(axes)
    panels[0].set_ylabel(plain(columns[1]))
    entitle(figure, title)
    return figure


def plot_density(
    x: Any, y: Any, density: Any, columns: Sequence[str], unit: str, *, title: str | None = None
) -> Figure:
    """A density on a grid.

    Args:
        x, y: coordinates [k], [q]. density: [k, q] >= 0. columns: names of the two. unit: of the density.

    Raises:
        InputError: sizes that do not fit.
    """
    x, y, density = (as_array(v, name) for v, name in ((x, "x"), (y, "y"), (density, "density")))
    if density.shape != (x.size, y.size):
        raise InputError(f"the density has shape {list(density.shape)}, expected [{x.size}, {y.size}]")
    figure = new_figure(5.2, 4.2)
    axes = figure.subplots()
    drawn = axes.pcolormesh(x, y, density.T, cmap="viridis", shading="nearest", rasterized=True, vmin=0)
    axes.set_xlabel(plain(columns[0]))
    axes.set_ylabel(plain(columns[1]))
    figure.colorbar(drawn, ax=axes, label=plain(unit), shrink=0.9)
    entitle(figure, title)
    return figure


def plot_paths(states: Any, columns: Sequence[str], *, title: str | None = None) -> Figure:
    """Paths of points from the base to the data.

    Args:
        states: [s, k, 2]. columns: names of the two.

    Raises:
        InputError: another shape.
    """
    x = as_array(states, "states")
    if x.ndim != 3 or x.shape[2] != 2:
        raise InputError(f"the paths have shape {list(x.shape)}, expected [s, k, 2]")
    figure = new_figure(4.6, 4.4)
    axes = figure.subplots()
    axes.plot(x[:, :, 0], x[:, :, 1], color=FAINT, linewidth=0.5, alpha=0.6)
    first, last = set_colours(2)
    axes.scatter(x[0, :, 0], x[0, :, 1], s=6, color=first, linewidths=0, label="t = 0", zorder=3)
    axes.scatter(x[-1, :, 0], x[-1, :, 1], s=6, color=last, linewidths=0, label="t = 1", zorder=3)
    axes.set_xlabel(plain(columns[0]))
    axes.set_ylabel(plain(columns[1]))
    axes.legend(frameon=False, fontsize=8)
    style_axes(axes)
    entitle(figure, title)
    return figure


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
