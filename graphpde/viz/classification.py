"""Pictures of classifications: how they were learned, which classes are taken for which, nodes by their class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import GraphError, InputError, ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import style_axes
from graphpde.viz.canvas import INK, entitle, new_figure, plain
from graphpde.viz.colours import set_colours
from graphpde.viz.curves import plot_curves

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NUMBERED = 20  # classes up to which every count can be read
_MARKERS = "os^Dv"  # beyond eight classes colours alone do not tell them apart
_INSTEAD = "#7a7a7a"  # of black, which is for what is wrong
_MOST_LINES = 30_000
_FEW = 100


def plot_confusion(counts: Any, names: Sequence[str] = (), *, title: str | None = None) -> Figure:
    """Counts of nodes by their class (row) and the class that is predicted (column), shaded by the share of the row.

    Args:
        counts: [k, k], whole numbers >= 0. names: of the classes [k]; their numbers by default.

    Raises:
        ShapeError: not square, or another number of names. InputError: nothing to show, a negative count.
    """
    table = as_array(counts, "counts")
    k = len(table)
    if table.shape != (k, k) or (names and len(names) != k):
        raise ShapeError(f"counts have shape {list(table.shape)} with {len(names)} names, expected [k, k] and k names")
    if not table.sum() > 0 or (table < 0).any():
        raise InputError("there is no node to count, or a count is negative")
    shares = table / np.maximum(table.sum(1, keepdims=True), 1)
    side = float(np.clip(0.52 * k + 0.4, 2.6, 7.0))
    figure = new_figure(side + 1.6, side + 0.9)
    axes = figure.subplots()
    shown = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="equal")
    _name_ticks(axes, [plain(name, 18) for name in names] or [str(c) for c in range(k)])
    if k <= _NUMBERED:
        size = 9 if k <= 10 else 7
        for i, j in np.ndindex(k, k):
            if table[i, j]:
                ink = "white" if shares[i, j] > 0.55 else INK
                axes.text(j, i, f"{table[i, j]:.0f}", ha="center", va="center", fontsize=size, color=ink)
    axes.set_xlabel("predicted class", fontsize=10, color=INK)
    axes.set_ylabel("true class", fontsize=10, color=INK)
    bar = figure.colorbar(shown, ax=axes, shrink=0.8, aspect=24)
    bar.set_label("share of the class", fontsize=10, color=INK)
    bar.ax.tick_params(labelsize=9, width=0.6, length=3)
    bar.outline.set_linewidth(0.5)  # type: ignore[operator]
    entitle(figure, title)
    return figure


def _name_ticks(axes: Axes, words: Sequence[str]) -> None:
    every = max(1, -(-len(words) // 25))
    places = list(range(0, len(words), every))
    long = max(len(word) for word in words) > 3
    style_axes(axes)
    axes.set_xticks(places, [words[k] for k in places], rotation=40 if long else 0, ha="right" if long else "center")
    axes.set_yticks(places, [words[k] for k in places])


def _common(names: Iterable[str]) -> str:
    """The one name, or what all are."""
    found = list(names)
    return plain(found[0]) if len(found) == 1 else "metric"


def plot_training(
    epochs: Any, losses: Mapping[str, Any], metrics: Mapping[str, Any], *, chosen: int = 0, title: str | None = None
) -> Figure:
    """Losses above and metrics in percent below, over the epochs, with a line at the chosen one.

    Args:
        epochs: [e]. losses, metrics: name -> values [e]; metrics in [0, 1]. chosen: epoch; 0 = none.

    Raises:
        ShapeError: lengths differ. InputError: nothing to draw.
    """
    x = as_array(epochs, "epochs").reshape(-1)
    if not losses or not metrics or not len(x):
        raise InputError("got no epochs, losses or metrics to draw, expected at least one of each")
    figure = new_figure(6.8, 4.6)
    panels = figure.subplots(2, 1, sharex=True)
    colours = iter(set_colours(len(losses) + len(metrics)))
    for axes, curves, factor in ((panels[0], losses, 1.0), (panels[1], metrics, 100.0)):
        for name, values in curves.items():
            y = factor * as_array(values, name).reshape(-1)
            if len(y) != len(x):
                raise ShapeError(f"'{name}' has {len(y)} values, expected {len(x)} as there are epochs")
            axes.plot(x, y, color=next(colours), linewidth=1.5, label=plain(name))
        if chosen:
            told = f"chosen epoch {chosen}" if axes is panels[0] else None
            axes.axvline(chosen, color=INK, linewidth=0.9, linestyle="--", label=told)
        style_axes(axes, 6)
        axes.legend(frameon=False, fontsize=9)
        axes.grid(True, linewidth=0.4, alpha=0.5)
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.02)
    panels[0].set_ylabel("loss")
    panels[1].set_ylabel(f"{_common(metrics)} [%]")
    panels[1].set_xlabel("epoch")
    entitle(figure, title)
    return figure


def plot_energy(positions: Any, energy: Any, unit: str, *, title: str | None = None) -> Figure:
    """Dirichlet energy over time or from layer to layer; logarithmic where it falls by more than a factor of 30.

    Args:
        positions: [k]. energy: [k], against the size of the state. unit: what the positions are.

    Raises:
        ShapeError: lengths differ. InputError: no positive value.
    """
    from matplotlib.ticker import MaxNLocator

    values = as_array(energy, "energy").reshape(-1)
    drawn = values[values > 0]
    deep = len(drawn) > 0 and drawn.max() > 30 * drawn.min()
    figure = plot_curves(positions, {"Dirichlet energy": values}, unit, "u\u00b7Lu / |u|\u00b2", log=deep, drifts=False)
    (axes,) = figure.axes
    if unit == "layer":
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.lines[0].set_marker("o")
    if not deep:
        axes.set_ylim(bottom=0)
    axes.legend().set_visible(False)
    axes.set_title("Dirichlet energy against the size of the state", fontsize=10, color=INK)
    entitle(figure, title)
    return figure


def plot_classes(
    points: Any,
    classes: Any,
    wrong: Any,
    *,
    pairs: Any = (),
    names: Sequence[str] = (),
    axes_names: tuple[str, str] | None = None,
    title: str | None = None,
) -> Figure:
    """Nodes in the plane by their predicted class, those that are wrong under a black cross.

    Args:
        points: [n, 2]. classes: whole numbers [n]. wrong: truth values [n]. pairs: edges to draw [k, 2].
        names: of all classes; the numbers of those that occur by default.
        axes_names: what stands at the axes; None leaves them out.

    Raises:
        ShapeError: lengths differ. GraphError: an edge of a node that is not there. InputError: places not finite.
    """
    x, of, bad = as_array(points, "points"), as_array(classes, "classes").astype(int), as_array(wrong, "wrong") != 0
    if x.ndim != 2 or x.shape[1] != 2 or of.shape != (len(x),) or bad.shape != (len(x),):
        raise ShapeError(
            f"points, classes and wrong have shapes {list(x.shape)}, {list(of.shape)}, {list(bad.shape)}; expected "
            f"[n, 2], [n], [n]"
        )
    if not np.isfinite(x).all():
        raise InputError("some places are not finite; such nodes cannot be drawn")
    figure = new_figure(7.4, 5.4)
    axes = figure.subplots()
    _draw_edges(axes, x, as_array(pairs, "pairs").reshape(-1, 2).astype(int))
    count = _draw_nodes(axes, x, of, bad, names)
    axes.set_aspect("equal" if axes_names is None else "auto")
    style_axes(axes)
    if axes_names is None:
        axes.set_axis_off()
    else:
        axes.set_xlabel(plain(axes_names[0]))
        axes.set_ylabel(plain(axes_names[1]))
        axes.spines[["top", "right"]].set_visible(False)
    columns = 1 if count <= 24 else 2 if count <= 48 else 3
    figure.legend(loc="outside right center", frameon=False, fontsize=9, title="predicted class", ncols=columns)
    entitle(figure, title)
    return figure


def _draw_nodes(axes: Axes, x: np.ndarray, of: np.ndarray, bad: np.ndarray, names: Sequence[str]) -> int:
    """Dots, crosses and names; how many classes there are."""
    size = float(np.clip(12_000.0 / max(len(x), 1), 14.0, 60.0))
    count = max(int(of.max(initial=0)) + 1, len(names))
    words = [plain(name, 24) for name in names] or [str(c) for c in range(count)]
    colours = [_INSTEAD if colour == "#111111" else colour for colour in set_colours(count)]
    for c in range(count):
        mine = of == c
        style: dict[str, Any] = {"color": colours[c], "marker": _MARKERS[c // 8 % len(_MARKERS)]}
        axes.scatter(
            x[mine, 0],
            x[mine, 1],
            s=size,
            label=f"{words[c]} ({mine.sum()})",
            edgecolors="white",
            linewidths=0.4,
            **style,
        )
    small = len(x) > 1000  # or they would hide the colours
    thick, cross = (0.6, 0.5 * size) if small else (0.9, size)
    label = f"wrong ({bad.sum()})"
    axes.scatter(x[bad, 0], x[bad, 1], s=cross, marker="x", color="black", linewidths=thick, label=label)
    if 2 < count <= _NUMBERED and len(x) > _FEW:  # a name would hide one of few nodes
        _name_groups(axes, x, of, words)
    return count


def _name_groups(axes: Axes, x: np.ndarray, of: np.ndarray, words: Sequence[str]) -> None:
    """The name of each class at the middle of its nodes, for those who cannot tell the colours apart."""
    from matplotlib.patheffects import withStroke

    for c, word in enumerate(words):
        if (of == c).any():
            left, up = (float(v) for v in np.median(x[of == c], axis=0))
            halo = [withStroke(linewidth=3, foreground="white")]
            axes.text(left, up, word, ha="center", va="center", fontsize=11, fontweight="bold", path_effects=halo)


def _draw_edges(axes: Axes, x: np.ndarray, pairs: np.ndarray) -> None:
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < len(x):
        raise GraphError(f"an edge names node {pairs.max()}, expected 0..{len(x) - 1}")
    pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    if not 0 < len(pairs) <= _MOST_LINES:
        return
    from matplotlib.collections import LineCollection

    width = 0.7 if len(pairs) < 2000 else 0.3
    axes.add_collection(LineCollection(list(x[pairs]), colors="#9a9a9a", linewidths=width, alpha=0.6, zorder=1))
