"""Bodies as loads bend them, with a field on them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from graphpde.errors import ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.arrays import as_array
from graphpde.viz.draw import draw_lines
from graphpde.viz.pictures import plot_field
from graphpde.viz.scene import scene

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SEEN = 0.1
"""Share of a body's size that the largest drawn displacement has, at most."""
_BEFORE = {"colors": "#9a9a9a", "linewidths": 0.8, "zorder": 0.5}


def plot_deformed(
    mesh: Mesh,
    displacement: Any,
    values: Any,
    *,
    title: str | None = None,
    scale: float | None = None,
    length_unit: str | None = "m",
    told: bool = True,
    **look: Any,
) -> tuple[Figure, float]:
    """A field on the deformed body, in the plane with its outline before in grey; the picture and its scale.

    Args:
        mesh: of the plane or of space, undeformed.
        displacement: at the points of the mesh [n, d]; NaN where a point carries none.
        values: the field there [n].
        title: the scale is said behind it.
        scale: how many times as large displacements are drawn; None: a round number with which they are seen.
        length_unit: of coordinates. told: whether the title says the scale.
        look: label, unit, vmin, vmax, cmap, show_mesh, as for :func:`~graphpde.viz.pictures.plot_field`.

    Raises:
        ShapeError: displacements of another shape than the points.
    """
    moved = np.nan_to_num(as_array(displacement, "displacements"))
    points = as_array(mesh.points, "points")
    if moved.shape != points.shape:
        raise ShapeError(f"displacements have shape {list(moved.shape)}, expected {list(points.shape)} as the points")
    if scale is None:
        scale = round_scale(float(np.linalg.norm(moved, axis=1).max()), float(np.linalg.norm(np.ptp(points, axis=0))))
    bent = mesh.with_points(torch.from_numpy(points + scale * moved))
    how = "true to scale" if scale == 1 else f"displacements × {scale:g}"
    said = title if not told else f"{title}, {how}" if title else how
    figure = plot_field(bent, values, title=said, length_unit=length_unit, **look)
    if mesh.space_dim == 2:
        axes, before = figure.axes[0], scene(mesh)
        draw_lines(axes, before.points[before.pairs], **_BEFORE)
        both = np.concatenate([points, points + scale * moved])
        margin = 0.03 * np.ptp(both, axis=0).max()
        (x0, y0), (x1, y1) = both.min(0) - margin, both.max(0) + margin
        axes.set(xlim=(x0, x1), ylim=(y0, y1))
    return figure, scale


def round_scale(moved: float, size: float) -> float:
    """The largest of 1, 2, 5, 10, ... with which a displacement is seen well; 1 where it is as it is, or is none."""
    if not moved > 0 or moved > SEEN * size / 2:
        return 1.0
    most = SEEN * size / moved
    unit = 10.0 ** math.floor(math.log10(most))
    return max(k * unit for k in (1.0, 2.0, 5.0) if k * unit <= most)
