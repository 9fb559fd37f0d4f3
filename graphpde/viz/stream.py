"""Flows in the plane: the speed in colour under lines along the velocity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.arrays import as_array
from graphpde.viz.pictures import plot_field

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_stream(mesh: Mesh, speed: Any, x: Any, y: Any, velocity: Any, **look: Any) -> Figure:
    """The speed at the points of a mesh with streamlines over it.

    Args:
        mesh: in the plane. speed: [n] at its points. x, y: of a grid [i] and [j], equally spaced.
        velocity: on the grid [j, i, 2], NaN outside of the mesh.
        look: arguments of :func:`~graphpde.viz.pictures.plot_field`.

    Raises:
        ShapeError: a velocity that does not fit the grid.
    """
    across, up, along = as_array(x, "x"), as_array(y, "y"), as_array(velocity, "the velocity")
    if along.shape != (len(up), len(across), 2):
        raise ShapeError(f"the velocity has shape {list(along.shape)}, expected [{len(up)}, {len(across)}, 2]")
    figure = plot_field(mesh, speed, **look)
    axes = figure.axes[0]
    frame = axes.get_xlim(), axes.get_ylim()
    if np.isfinite(along).any() and float(np.nanmax(np.abs(along))) > 0:
        u, v = (np.ma.masked_invalid(along[..., k]) for k in range(2))
        axes.streamplot(across, up, u, v, color="white", linewidth=0.6, arrowsize=0.6, density=1.3)
    axes.set_xlim(*frame[0])
    axes.set_ylim(*frame[1])
    return figure
