"""Pictures of graphs: nodes where they stand, coloured by a value, and the edges between them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import GraphError, InputError, ShapeError
from graphpde.viz.arrays import as_array
from graphpde.viz.colours import Scale, make_scale
from graphpde.viz.draw import draw_lines
from graphpde.viz.scene import Scene
from graphpde.viz.skin import distinct

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_graph(
    pos: Any,
    pairs: Any,
    values: Any,
    *,
    title: str | None = None,
    label: str = "u",
    unit: str | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    cmap: str = "viridis",
    length_unit: str | None = None,
) -> Figure:
    """One picture of a graph in the plane or in space, nodes coloured by ``values``, true in aspect.

    Args:
        pos: positions [n, 2] or [n, 3]. pairs: node numbers [k, 2], both directions count once; may be empty.
        values: one number per node [n] or [n, 1]; NaN shows grey. The rest as in :func:`~graphpde.viz.plot_field`.

    Raises:
        ShapeError: positions or values of another shape. GraphError: a pair names a node that does not exist.
        InputError: as :func:`~graphpde.viz.plot_field`.
    """
    points, u = as_array(pos, "pos"), as_array(values, "values")
    if points.ndim != 2 or points.shape[1] not in (2, 3) or not len(points):
        raise ShapeError(
            f"pos has shape {list(points.shape)}, expected [n, 2] or [n, 3]; give such a layout to draw a graph"
        )
    if u.size != len(points):
        raise ShapeError(f"values have shape {list(u.shape)}, expected [{len(points)}], one number per node")
    if not np.isfinite(points).all():
        raise InputError("some positions are not finite; such nodes cannot be drawn")
    scale = make_scale(u.reshape(-1), label, vmin, vmax, cmap)
    edges = _distinct(as_array(pairs, "pairs"), len(points))
    seen = Scene("network", points, np.arange(len(points)), edges, None, len(edges))
    figure, grid = seen.panels(1, 1, seen.wide)
    axes = grid[0, 0]
    seen.frame(axes, length_unit)
    width = 0.8 if len(edges) < 2000 else 0.3
    draw_lines(axes, points[edges], colors="#777777", linewidths=width, alpha=0.7, zorder=1)
    _draw_nodes(axes, points, u.reshape(-1), scale)
    seen.add_colour_bar(figure, scale, [axes], unit)
    seen.entitle(axes, title, alone=True)
    return figure


def _distinct(pairs: np.ndarray, n: int) -> np.ndarray:
    pairs = pairs.reshape(-1, 2).astype(np.int64)
    if pairs.size and (pairs.min() < 0 or pairs.max() >= n):
        raise GraphError(f"a pair names node {pairs.min() if pairs.min() < 0 else pairs.max()}, expected 0..{n - 1}")
    pairs = np.sort(pairs, axis=1)
    return distinct(pairs[pairs[:, 0] != pairs[:, 1]])[0]


def _draw_nodes(axes: Any, points: np.ndarray, values: np.ndarray, scale: Scale) -> None:
    size = float(np.clip(4000.0 / len(points), 3.0, 60.0))
    dots = axes.scatter(
        *points.T, s=size, c=scale.colours(values), edgecolors="white", linewidths=0.3 if size > 6 else 0
    )
    dots.set_zorder(2)
    dots.set_clip_on(False)
    dots.set_rasterized(len(points) > 5000)
