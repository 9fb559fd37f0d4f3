"""Curves over time or steps: certificates and losses; drifts far below the value are drawn as relative change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError, ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import INK, entitle, new_figure, plain
from graphpde.viz.colours import set_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DRIFT = 1e-3
"""A curve whose relative range stays below this would look constant; its change gets axes of its own."""


def plot_curves(
    x: Any,
    curves: Mapping[str, Any],
    xlabel: str,
    ylabel: str,
    *,
    log: bool = False,
    title: str | None = None,
    drifts: bool = True,
) -> Figure:
    """Curves y(x) with a common abscissa.

    Curves that visibly vary share the upper axes; each one that stays within 0.1 % of its first value gets axes of its
    own below, showing (y - y0) / |y0|, so that a mass drift of 1e-15 can be read. Values that are not finite are gaps.

    Args:
        x: abscissa [k]. curves: name -> ordinates [k].
        xlabel, ylabel: with units, e.g. "t [s]".
        log: logarithmic ordinate; values <= 0 leave gaps.
        drifts: give curves that hardly vary axes of their own; False draws all of them together.

    Raises:
        ShapeError: lengths differ. InputError: no curve, or a curve without a value that can be drawn.
    """
    x = as_array(x, "abscissa").reshape(-1)
    if not curves:
        raise InputError("got no curves to draw, expected {name: values}")
    kept = {name: _ordinates(name, y, len(x), log) for name, y in curves.items()}
    drifting = (
        {} if log or not drifts else {k: change for k, y in kept.items() if (change := _small_change(y)) is not None}
    )
    varying = {k: y for k, y in kept.items() if k not in drifting}
    rows = bool(varying) + len(drifting)
    figure = new_figure(6.4, 0.9 + (2.7 if varying else 0.0) + len(drifting) * (1.5 if varying else 2.3))
    ratios = [2.0] * bool(varying) + [1.0] * len(drifting)
    panels = list(figure.subplots(rows, 1, squeeze=False, sharex=True, height_ratios=ratios)[:, 0])
    colours = dict(zip(kept, set_colours(len(kept))))
    below = panels
    if varying:
        _draw_together(panels[0], x, varying, colours, log)
        panels[0].set_ylabel(plain(ylabel))
        below = panels[1:]
    for axes, (name, change) in zip(below, drifting.items()):
        _draw_change(axes, x, change, colours[name], name, _first(kept[name]))
    panels[-1].set_xlabel(plain(xlabel))
    for axes in panels:
        style_axes(axes, 7)
        if log:
            _log_ticks(axes)
        axes.margins(x=0.02)
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    entitle(figure, title)
    return figure


def _ordinates(name: str, y: Any, length: int, log: bool) -> np.ndarray:
    y = as_array(y, f"curve '{name}'").reshape(-1)
    if len(y) != length:
        raise ShapeError(f"curve '{name}' has {len(y)} values, expected {length} as the abscissa")
    y = np.where(np.isfinite(y) & ((y > 0) | (not log)), y, np.nan)
    if np.isnan(y).all():
        what = "positive" if log else "finite"
        raise InputError(f"curve '{name}' has no {what} value; nothing can be drawn")
    return y


def _first(y: np.ndarray) -> float:
    return float(y[~np.isnan(y)][0])


def _small_change(y: np.ndarray) -> np.ndarray | None:
    """(y - y0) / |y0| where it is small everywhere, else None."""
    start = _first(y)
    if start == 0.0:
        return None
    change = (y - start) / abs(start)
    return change if np.nanmax(np.abs(change)) < DRIFT else None


def _draw_together(
    axes: Axes, x: np.ndarray, curves: Mapping[str, np.ndarray], colours: Mapping[str, Any], log: bool
) -> None:
    for name, y in curves.items():
        axes.plot(x, y, color=colours[name], linewidth=1.6, marker="o" if len(x) < 2 else None, label=" " + plain(name))
    if log:
        axes.set_yscale("log")
    else:
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    axes.legend(frameon=False, fontsize=9)


def _draw_change(axes: Axes, x: np.ndarray, change: np.ndarray, colour: Any, name: str, start: float) -> None:
    axes.axhline(0.0, color=INK, linewidth=0.5)
    axes.plot(x, change, color=colour, linewidth=1.2, marker="o" if len(x) < 2 else None)
    largest = np.nanmax(np.abs(change))
    span = 1.15 * largest if largest > 0 else 1e-16  # the resolution of float64: an exact zero is not magnified
    axes.set_ylim(-span, span)
    axes.ticklabel_format(axis="y", style="sci", scilimits=(0, 0))
    axes.set_ylabel("relative change")
    axes.set_title(
        f"{plain(name)}: from {start:.6g}, changed by at most {largest:.1e}", fontsize=9, loc="left", color=INK
    )


def _log_ticks(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator

    axes.yaxis.set_major_locator(LogLocator(numticks=7))
