"""How a classifier smooths: energy by depth or time, gradients on their way back, and the spectrum behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError, ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import FAINT, INK, entitle, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LOWEST = 1e-30  # below it what is drawn on a logarithmic scale is zero


@dataclass(frozen=True)
class Curve:
    """Ordinates over positions: ``dashed`` before training where there is an after; ``number`` says the colour."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    dashed: bool = False
    number: int = 0


@dataclass(frozen=True)
class SmoothingPicture:
    """What :func:`plot_smoothing` draws.

    Attributes:
        unit: "layer" or "time". energy: of models. gradients: |d loss / d state| of models.
        alone: averaging alone: "measured" and "predicted" -> energies, and "x" -> positions; maybe empty.
        collapse: predicted and measured position at which averaging alone has ended, or None.
        eigenvalues: of the Laplacian, zero included. whole: all of them, not only both ends. gap: the smallest above 0.
    """

    unit: str
    energy: Sequence[Curve]
    gradients: Sequence[Curve]
    alone: Mapping[str, Sequence[float]] = field(default_factory=dict)
    collapse: tuple[float, float] | None = None
    eigenvalues: Any = ()
    whole: bool = True
    gap: float = float("nan")


def plot_smoothing(picture: SmoothingPicture, *, title: str | None = None) -> Figure:
    """Three panels: energies with the predicted line, gradients by position, eigenvalues.

    Raises:
        InputError: no curve that can be drawn. ShapeError: lengths differ.
    """
    if not picture.energy:
        raise InputError("got no energies to draw, expected at least one curve")
    figure = new_figure(13.2, 4.1)
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.25, 1.0, 0.9))
    _energies(left, picture)
    _gradients(middle, picture)
    _eigenvalues(right, picture)
    for axes in (left, middle, right):
        axes.grid(True, linewidth=0.4, alpha=0.5, color=FAINT)
        axes.spines[["top", "right"]].set_visible(False)
    entitle(figure, title)
    return figure


def _shades(picture: SmoothingPicture) -> list[Any]:
    """One colour for each number, from shallow to deep."""
    from matplotlib import colormaps

    count = 1 + max(curve.number for curve in [*picture.energy, *picture.gradients])
    return [colormaps["viridis"](0.85 * (1 - k / max(count - 1, 1))) for k in range(count)]


def _energies(axes: Axes, picture: SmoothingPicture) -> None:
    shades, lowest = _shades(picture), []
    for curve in picture.energy:
        x, y = _positive(curve)
        axes.plot(
            x, y, color=shades[curve.number], linewidth=1.5, linestyle=(0, (4, 2)) if curve.dashed else "-",
            marker="o" if len(x) < 3 else None, markersize=4, label=plain(curve.label),
        )  # fmt: skip
        lowest += [float(np.nanmin(y))] if np.isfinite(y).any() else []
    if picture.alone:
        x = as_array(picture.alone["x"], "positions").reshape(-1)
        measured, predicted = (_log(picture.alone[key]) for key in ("measured", "predicted"))
        axes.plot(x, measured, color=FAINT, linewidth=3.2, alpha=0.6, label="averaging alone", zorder=1)
        axes.plot(x, predicted, color="#d55e00", linewidth=1.3, linestyle=":", label="its slowest modes (predicted)")
        lowest.append(float(np.nanmin(measured)))
    if picture.collapse is not None:
        predicted_at, measured_at = picture.collapse
        words = f"collapse of averaging alone:\npredicted {predicted_at:.4g}, measured {measured_at:.4g}"
        axes.axvline(measured_at, color=INK, linewidth=0.8, linestyle=(0, (1, 2)), label=words)
    style_axes(axes)
    axes.set_xlabel(picture.unit)
    axes.set_ylabel("Dirichlet energy / squared norm")
    if not lowest:
        _note(axes, "the energy is zero")
        return
    _log_both(axes, picture.unit)
    axes.set_ylim(bottom=max(min(lowest) / 3, 1e-14))
    axes.legend(frameon=False, fontsize=7.5, loc="lower left")


def _gradients(axes: Axes, picture: SmoothingPicture) -> None:
    shades, drawn = _shades(picture), False
    for curve in picture.gradients:
        x, y = _positive(curve)
        drawn = drawn or bool(np.isfinite(y).any())
        label = None if curve.dashed else plain(curve.label)
        axes.plot(
            x, y, color=shades[curve.number], linewidth=1.3, linestyle=(0, (4, 2)) if curve.dashed else "-",
            marker="o", markersize=2.5, label=label,
        )  # fmt: skip
    style_axes(axes)
    axes.set_xlabel(picture.unit)
    axes.set_ylabel("|gradient of the loss at the state|")
    if not drawn:
        _note(axes, "no gradient")
        return
    _log_both(axes, picture.unit)
    axes.legend(frameon=False, fontsize=7.5, loc="best")
    if any(curve.dashed for curve in picture.gradients):
        axes.set_title("dashed: as initialised, full: trained", fontsize=9, color=INK, loc="left")


def _eigenvalues(axes: Axes, picture: SmoothingPicture) -> None:
    values = as_array(picture.eigenvalues, "eigenvalues").reshape(-1)
    if len(values) and picture.whole:
        axes.hist(values, bins=min(60, max(8, len(values) // 3)), color="#0072b2", alpha=0.85)
    elif len(values):
        axes.vlines(values, 0, 1, color="#0072b2", linewidth=0.8)
        axes.set_title("the smallest and the largest", fontsize=9, color=INK, loc="left")
    style_axes(axes)
    axes.set_ylim(top=1.15 * axes.get_ylim()[1])  # for the legend
    if np.isfinite(picture.gap):
        axes.axvline(picture.gap, color="#d55e00", linewidth=1.3, label=f"gap {picture.gap:.4g}")
        axes.legend(frameon=False, fontsize=8)
    axes.set_xlabel("eigenvalue of the Laplacian")
    if picture.whole:
        axes.set_ylabel("number")
    else:
        axes.set_yticks([])


def _note(axes: Axes, text: str) -> None:
    """What is said where there is nothing to draw."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", color=FAINT)


def _positive(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    x, y = as_array(curve.x, "positions").reshape(-1), _log(curve.y)
    if len(x) != len(y):
        raise ShapeError(f"the curve '{curve.label}' has {len(y)} values at {len(x)} positions")
    kept = x > 0
    return x[kept], y[kept]


def _log(values: Sequence[float]) -> np.ndarray:
    y = as_array(values, "curve").reshape(-1)
    return np.where(np.isfinite(y) & (y > _LOWEST), y, np.nan)


def _log_both(axes: Axes, unit: str) -> None:
    from matplotlib.ticker import FormatStrFormatter, LogFormatterSciNotation, LogLocator, NullFormatter

    axes.set_xscale("log", base=2 if unit == "layer" else 10)
    axes.set_yscale("log")
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_locator(LogLocator(numticks=7))
    axes.yaxis.set_major_formatter(LogFormatterSciNotation())
    low, high = axes.get_ylim()
    if high > 30 * low:  # labels between powers of ten are for short axes only
        axes.yaxis.set_minor_formatter(NullFormatter())
