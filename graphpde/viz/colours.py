"""Numbers to colours: one scale for all panels of a picture, its colour bar, and colours that tell sets apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphpde.errors import InputError
from graphpde.registry import unknown
from graphpde.viz.canvas import INK

if TYPE_CHECKING:
    from matplotlib.colors import Colormap, Normalize
    from matplotlib.figure import Figure

EMPTY = "#dddddd"
"""Colour of cells that carry no value."""

# after Okabe and Ito 2008, the yellow darkened for white paper
_FEW = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#111111", "#b8a800")


def set_colours(count: int) -> list[str]:
    """Colours that tell ``count`` sets apart, also for the colour-blind up to 8; beyond 28 they repeat."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    many = [*_FEW, *(to_hex(c) for c in colormaps["tab20"].colors)]  # type: ignore[attr-defined]
    return [many[k % len(many)] for k in range(count)]


def tints(count: int) -> list[str]:
    """Pale colours for materials, under the strong ones of boundaries."""
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    pale = [to_hex(c) for c in colormaps["Set3"].colors]  # type: ignore[attr-defined]
    return [pale[k % len(pale)] for k in range(count)]


class Scale(NamedTuple):
    """How numbers become colours: ``norm`` and ``cmap`` of matplotlib, and the single value of a constant field."""

    norm: Normalize
    cmap: Colormap
    constant: float | None
    label: str

    def colours(self, values: np.ndarray) -> np.ndarray:
        """RGBA [..., 4] of values [...]; NaN becomes the colour of cells without value."""
        from matplotlib.colors import to_rgba

        out = self.cmap(self.norm(values))
        out[np.isnan(values)] = to_rgba(EMPTY)
        return out


def make_scale(values: np.ndarray, label: str, vmin: float | None, vmax: float | None, cmap: str) -> Scale:
    """The colour scale of values at points [n, *] (NaN = no value) between ``vmin`` and ``vmax``, found where None.

    Raises:
        InputError: infinite values, no value at all, limits in the wrong order. UnknownName: no such colour map.
    """
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    if cmap not in colormaps:
        raise unknown("colour map", cmap, [k for k in colormaps if not k.endswith("_r")])
    infinite = np.argwhere(np.isinf(values))
    if len(infinite):
        raise InputError(
            f"field '{label}' has {len(infinite)} infinite values, first at point {infinite[0, 0]}; "
            f"draw the last state that is finite"
        )
    present = values[~np.isnan(values)]
    if not present.size:
        raise InputError(f"field '{label}' has no value on the vertices of the cells (all NaN); nothing can be drawn")
    low = float(present.min() if vmin is None else vmin)
    high = float(present.max() if vmax is None else vmax)
    if not low <= high or not np.isfinite(high - low) or low == vmin == vmax:
        raise InputError(f"colours of '{label}' would range from {low:g} to {high:g}, expected finite vmin < vmax")
    constant = None
    if high - low <= 1e-12 * max(abs(low), abs(high)):  # constant up to round-off must not look like noise
        constant = 0.5 * (low + high)
        spread = 0.5 * abs(constant) or 0.5
        low, high = constant - spread, constant + spread
    return Scale(Normalize(low, high), colormaps[cmap], constant, label)


def explain_empty(axes: Any) -> None:
    """Say what grey means."""
    from matplotlib.patches import Patch

    axes.legend(handles=[Patch(color=EMPTY, label="no value")], loc="upper right", fontsize=8, framealpha=0.8)


def add_colour_bar(figure: Figure, scale: Scale, axes: Any, text: str, place: Mapping[str, Any]) -> None:
    """A colour bar with its label; a constant field shows its one value.

    Args:
        place: where it stands, as matplotlib's ``Figure.colorbar`` takes it.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import MaxNLocator, ScalarFormatter

    bar = figure.colorbar(ScalarMappable(scale.norm, scale.cmap), ax=axes, **place)
    bar.set_label(text, fontsize=10, color=INK)
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    bar.ax.tick_params(labelsize=9, width=0.6, length=3)
    if scale.constant is not None:
        bar.set_ticks([scale.constant], labels=[f"{scale.constant:.6g}"])
    else:
        numbers = ScalarFormatter()
        numbers.set_powerlimits((-3, 5))
        bar.locator, bar.formatter = MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]), numbers
        bar.update_ticks()
