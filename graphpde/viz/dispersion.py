"""The dispersion curve: which modes grow, and those of a domain on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError, ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import FAINT, INK, entitle, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_BELOW = 1.5  # of the fastest rate: deep decay would press what grows against the axis
_CURVE, _GROWING, _DECAYING = "#0072b2", "#d55e00", "#8a8a8a"


def plot_dispersion(
    k2: Any,
    rate: Any,
    *,
    eigenvalues: Any = (),
    rates: Any = (),
    bands: Sequence[tuple[float, float]] = (),
    domain: str = "the domain",
    title: str | None = None,
) -> Figure:
    """The growth rate over the eigenvalue of minus the Laplacian, the unstable bands shaded, a domain's modes as dots.

    Args:
        k2: eigenvalues, rising [b]; the picture ends with them. rate: growth rates [b].
        eigenvalues, rates: of the modes of a domain [k]; those beyond the picture are left out.
        bands: intervals in which modes grow. domain: what the dots are called.

    Raises:
        ShapeError: lengths differ. InputError: nothing to draw.
    """
    x, y = as_array(k2, "k2").reshape(-1), as_array(rate, "rate").reshape(-1)
    modes, grow = as_array(eigenvalues, "eigenvalues").reshape(-1), as_array(rates, "rates").reshape(-1)
    if len(x) != len(y) or len(modes) != len(grow):
        raise ShapeError(f"got {len(x)} and {len(modes)} eigenvalues for {len(y)} and {len(grow)} rates")
    if len(x) < 2 or not np.isfinite(y).all():
        raise InputError("a dispersion curve needs at least two finite rates")
    figure = new_figure(6.8, 3.9)
    axes = figure.subplots()
    for low, high in bands:
        axes.axvspan(low, min(high, x[-1]), color=_GROWING, alpha=0.1, linewidth=0, label="modes grow")
    axes.axhline(0.0, color=INK, linewidth=0.8)
    axes.plot(x, y, color=_CURVE, linewidth=1.6, label="any Laplacian")
    inside = modes <= x[-1]
    for chosen, colour in ((inside & (grow > 0), _GROWING), (inside & (grow <= 0), _DECAYING)):
        size = 26 if inside.sum() < 80 else 10
        name = f"{domain}: {'growing' if colour == _GROWING else 'decaying'}"
        if chosen.any():
            axes.scatter(modes[chosen], grow[chosen], s=size, color=colour, zorder=3, linewidths=0, label=name)
    low, high = float(y.min()), max(float(y.max()), 0.0)
    if high > 0:
        low = max(low, -_BELOW * high)
    axes.set_ylim(low - 0.06 * (high - low), high + 0.12 * (high - low))
    axes.set_xlim(x[0] - 0.01 * (x[-1] - x[0]), x[-1])
    axes.set_xlabel("eigenvalue of minus the Laplacian ($k^2$ in free space)")
    axes.set_ylabel("growth rate")
    style_axes(axes, 7)
    axes.grid(True, linewidth=0.4, alpha=0.5, color=FAINT)
    axes.spines[["top", "right"]].set_visible(False)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))  # each band once
    axes.legend(handles.values(), handles.keys(), frameon=False, fontsize=9)
    entitle(figure, title)
    return figure
