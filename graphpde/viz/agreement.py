"""Computed against measured values: what a model explains lies on the diagonal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from graphpde.errors import ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import FAINT, entitle, labelled, new_figure
from graphpde.viz.colours import set_colours

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MARKED = 300  # points up to which each one has the bar of its noise


def plot_agreement(
    measured: Any, computed: Any, sigma: Any, label: str = "u", *, unit: str | None = None, title: str | None = None
) -> Figure:
    """Points (measured, computed) with the diagonal, on which they would agree.

    Args:
        measured, computed: values [q]. sigma: standard deviation of the noise of each measured one [q], drawn as a bar
            where there are few enough to be told apart. label, unit: of the quantity.

    Raises:
        ShapeError: lengths differ.
    """
    given = {"measured": measured, "computed": computed, "sigma": sigma}
    x, y, bars = (as_array(values, name).reshape(-1) for name, values in given.items())
    if not len(x) == len(y) == len(bars):
        raise ShapeError(f"got {len(x)} measured and {len(y)} computed values with {len(bars)} deviations")
    figure = new_figure(4.6, 4.4)
    axes = figure.subplots()
    low, high = float(min(x.min(), y.min())), float(max(x.max(), y.max()))
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 1.0
    ends = (low - margin, high + margin)
    axes.plot(ends, ends, color=FAINT, linewidth=0.8)
    colour = set_colours(1)[0]
    if len(x) <= _MARKED:
        axes.errorbar(x, y, xerr=bars, fmt="none", ecolor=colour, elinewidth=0.8, alpha=0.5)
    axes.plot(x, y, linestyle="none", marker="o", markersize=3.5, color=colour, alpha=0.8)
    axes.set_xlim(*ends)
    axes.set_ylim(*ends)
    axes.set_aspect("equal")
    axes.set_xlabel(f"measured {labelled(label, unit)}")
    axes.set_ylabel(f"computed {labelled(label, unit)}")
    style_axes(axes, 6)
    for axis in ("x", "y"):
        axes.ticklabel_format(axis=axis, scilimits=(-3, 5))
    axes.grid(True, linewidth=0.4, alpha=0.5)
    entitle(figure, title)
    return figure
