"""Results against a parameter: one pair of axes for each quantity, one curve for each of the other parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import INK, entitle, new_figure, plain
from graphpde.viz.colours import set_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOG = 20.0  # ratio of the largest to the smallest parameter from which their axis is logarithmic


def plot_dependence(
    x: Sequence[float] | Sequence[str],
    quantities: Mapping[str, Mapping[str, Any]],
    xlabel: str,
    *,
    title: str | None = None,
) -> Figure:
    """Quantities as functions of a parameter, measured points marked.

    Args:
        x: values of the parameter [k]; numbers that are positive and far apart get a logarithmic axis, texts stand in
            the order given.
        quantities: name -> curves by name -> ordinates [k], NaN where there is none; a curve named "" has no entry in
            the legend.
        xlabel: the parameter with its unit.

    Raises:
        InputError: no quantities, or curves of another length than x.
    """
    if not quantities or not len(x):
        raise InputError("there is nothing to draw, expected at least one quantity at one value of the parameter")
    words = any(isinstance(value, str) for value in x)
    at = np.arange(len(x), dtype=np.float64) if words else np.asarray(x, dtype=np.float64)
    columns = min(3, len(quantities))
    rows = -(-len(quantities) // columns)
    figure = new_figure(3.6 * columns + 0.4, 2.7 * rows + 0.5)
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for spare in grid[len(quantities) :]:
        spare.remove()
    names = list(dict.fromkeys(name for curves in quantities.values() for name in curves))
    colours = dict(zip(names, set_colours(len(names)), strict=True))
    for axes, (what, curves) in zip(grid, quantities.items(), strict=False):
        for name, values in curves.items():
            y = np.asarray(values, dtype=np.float64)
            if y.shape != at.shape:
                raise InputError(
                    f"'{what}' has {y.size} values in '{name}', expected {len(at)}, one for each parameter"
                )
            order = np.argsort(at, kind="stable")
            axes.plot(at[order], y[order], color=colours[name], marker="o", markersize=4, linewidth=1.3)
        axes.set_title(plain(what), fontsize=10, color=INK)
        axes.set_xlabel(plain(xlabel))
        if words:
            axes.set_xticks(at, labels=[plain(value, 18) for value in x], rotation=30 if len(x) > 3 else 0)
        elif at.min() > 0 and at.max() > _LOG * at.min():
            _scale_by_powers(axes, float(at.max() / at.min()))
        if not words:
            style_axes(axes, 6) if axes.get_xscale() == "linear" else axes.tick_params(labelsize=9)
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.06, y=0.1)
    if names != [""]:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=colours[name], marker="o", markersize=4, label=plain(name)) for name in names]
        figure.legend(handles=handles, loc="outside lower center", ncols=min(4, len(names)), frameon=False, fontsize=9)
    entitle(figure, title)
    return figure


def _scale_by_powers(axes: Axes, ratio: float) -> None:
    """A logarithmic abscissa whose numbers do not run into each other, also over less than two decades."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    if ratio < 1000:
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
