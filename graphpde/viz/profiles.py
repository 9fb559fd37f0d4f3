"""Fields along a line at several moments: curves over the distance from its start, coloured by time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError, ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import INK, entitle, labelled, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST = 25
"""Curves in one picture; of more moments some are left out, never the first and the last."""


def plot_profiles(
    s: Any,
    profiles: Mapping[str, Any],
    times: Any,
    *,
    units: Mapping[str, str | None] | None = None,
    length_unit: str | None = "m",
    time_unit: str | None = "s",
    title: str | None = None,
) -> Figure:
    """Curves u(s) at several times, from dark (early) to light (late), with a colour bar of the time.

    Args:
        s: distance along the line [q]. profiles: field -> values [s, q] at each time; NaN leaves a gap.
        times: [s]; with a single one there is no colour bar.
        units: field -> unit of its values.

    Raises:
        ShapeError: values that do not fit the distances and times. InputError: no field, or no finite value of one.
    """
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    s, times = as_array(s, "distance").reshape(-1), as_array(times, "times").reshape(-1)
    if not profiles:
        raise InputError("got no profiles to draw, expected {field: values}")
    values = {name: _checked(name, u, len(times), len(s)) for name, u in profiles.items()}
    shown = np.unique(np.linspace(0, len(times) - 1, min(MOST, len(times))).round().astype(np.int64))
    span = (times[0], times[-1]) if len(times) > 1 else (times[0], times[0] + 1.0)
    scale = ScalarMappable(Normalize(*span), colormaps["viridis"])
    figure = new_figure(6.4, 0.7 + 2.7 * len(values))
    panels = list(figure.subplots(len(values), 1, squeeze=False, sharex=True)[:, 0])
    for axes, (name, u) in zip(panels, values.items(), strict=True):
        for k in shown:
            colour: Any = scale.to_rgba(times[k : k + 1])[0] if len(times) > 1 else "#0072b2"
            axes.plot(s, u[k], color=colour, linewidth=1.4)
        axes.set_ylabel(labelled(name, (units or {}).get(name)), fontsize=10, color=INK)
        style_axes(axes, 7)
        axes.ticklabel_format(axis="y", scilimits=(-3, 5))
        axes.margins(x=0.02)
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel(labelled("distance along the line", length_unit))
    if len(times) > 1:
        bar = figure.colorbar(scale, ax=panels, pad=0.02, aspect=24 * len(panels))
        bar.set_label(labelled("t", time_unit), fontsize=10, color=INK)
        bar.ax.tick_params(labelsize=9)
        bar.outline.set_linewidth(0.6)  # type: ignore[operator]
    entitle(figure, title)
    return figure


def _checked(name: str, u: Any, moments: int, points: int) -> np.ndarray:
    array = as_array(u, f"profile '{name}'")
    if array.shape != (moments, points):
        raise ShapeError(f"profile '{name}' has shape {list(array.shape)}, expected [{moments}, {points}]")
    if not np.isfinite(array).any():
        raise InputError(f"profile '{name}' has no finite value; nothing can be drawn")
    return np.where(np.isfinite(array), array, np.nan)
