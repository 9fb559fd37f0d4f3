"""Pictures of learned motions: data and law over time, phase portraits."""

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

_LEVELS, _WAYS = 12, 30


def plot_followed(
    times: Any, pairs: Mapping[str, tuple[Any, Any]], *, time_label: str = "t", title: str | None = None
) -> Figure:
    """What was measured, as dots, and what a law says, as a line: one row for each quantity over a common time.

    Args:
        times: [s]. pairs: name -> measured [s], NaN = not seen, and said [s].

    Raises:
        InputError: nothing to draw, or sizes that do not fit.
    """
    t = as_array(times, "times").reshape(-1)
    rows = {name: tuple(as_array(v, name).reshape(-1) for v in both) for name, both in pairs.items()}
    if not rows or any(len(v) != len(t) for both in rows.values() for v in both):
        raise InputError(f"there are {len(t)} times and {len(rows)} quantities, expected as many values as times")
    figure = new_figure(6.8, 0.7 + 1.5 * len(rows))
    panels = figure.subplots(len(rows), 1, squeeze=False, sharex=True)[:, 0]
    colour = set_colours(1)[0]
    for axes, (name, (measured, said)) in zip(panels, rows.items(), strict=True):
        axes.plot(t, measured, linestyle="", marker="o", markersize=3, color=FAINT, label=" data kept aside")
        axes.plot(t, said, color=colour, linewidth=1.3, label=" learned law")
        axes.set_ylabel(plain(name))
        axes.margins(x=0.02)
        axes.spines[["top", "right"]].set_visible(False)
        style_axes(axes)
    panels[0].legend(frameon=False, fontsize=8, ncols=2, loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    panels[-1].set_xlabel(plain(time_label))
    entitle(figure, title)
    return figure


def plot_portrait(
    x: Any, y: Any, energy: Any, ways: Sequence[Any], columns: Sequence[str], *, title: str | None = None
) -> Figure:
    """Level curves of an energy of two coordinates, and measured ways as dots.

    Args:
        x, y: coordinates [k], [m]. energy: [k, m]. ways: [s, 2] each, NaN = not seen; the first 30 are drawn.
        columns: names of the two.

    Raises:
        InputError: sizes that do not fit.
    """
    x, y, energy = (as_array(v, name) for v, name in ((x, "x"), (y, "y"), (energy, "energy")))
    if energy.shape != (len(x), len(y)):
        raise InputError(f"energy has shape {list(energy.shape)}, expected [{len(x)}, {len(y)}]")
    figure = new_figure(5.8, 4.6)
    axes = figure.subplots()
    drawn = axes.contour(x, y, energy.T, levels=_LEVELS, cmap="viridis", linewidths=1.0)
    figure.colorbar(drawn, ax=axes, label="learned energy", shrink=0.9)
    for way in ways[:_WAYS]:
        at = as_array(way, "way")
        axes.plot(at[:, 0], at[:, 1], linestyle="", marker="o", markersize=1.6, color=INK, alpha=0.45)
    axes.set_xlim(float(np.min(x)), float(np.max(x)))
    axes.set_ylim(float(np.min(y)), float(np.max(y)))
    axes.set_xlabel(plain(columns[0]))
    axes.set_ylabel(plain(columns[1]))
    style_axes(axes)
    entitle(figure, title)
    return figure
