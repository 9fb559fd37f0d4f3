"""Points and ways on a surface, over a density on its faces, from two sides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.arrays import as_array
from graphpde.viz.axes import Camera, camera, frame_space
from graphpde.viz.canvas import INK, entitle, new_figure, plain
from graphpde.viz.colours import Scale, add_colour_bar, make_scale, set_colours
from graphpde.viz.draw import Marks, draw_solid
from graphpde.viz.scene import torn
from graphpde.viz.skin import normals

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PLAIN = (0.86, 0.86, 0.86, 1.0)
_DOT = 0.006  # radius of a dot, by the diagonal of the box


def plot_on_surface(
    mesh: Mesh,
    points: Any,
    *,
    density: Any = None,
    ways: Any = None,
    unit: str = "density",
    title: str | None = None,
    length_unit: str | None = None,
) -> Figure:
    """Points on a surface in space, seen from the front and from behind.

    Args:
        mesh: of triangles the same way round, outward where it is closed: its far side is then left out.
        points: [k, 3]. density: of each triangle [m], as colours; None leaves the surface grey.
        ways: [s, q, 3], lines over the surface. unit: name of the density.

    Raises:
        ShapeError: points, ways or densities of another shape.
    """
    x = as_array(points, "points")
    if mesh.space_dim != 3 or x.ndim != 2 or x.shape[1] != 3:
        raise ShapeError(f"points {list(x.shape)} on a mesh in {mesh.space_dim} dimensions, expected [k, 3] in 3")
    lines = np.zeros((0, 0, 3)) if ways is None else as_array(ways, "ways")
    if lines.ndim != 3 or lines.shape[2] != 3:
        raise ShapeError(f"the ways have shape {list(lines.shape)}, expected [s, q, 3]")
    values = np.zeros(mesh.n_cells) if density is None else as_array(density, "density").reshape(-1)
    if len(values) != mesh.n_cells:
        raise ShapeError(f"the density has {len(values)} values, expected {mesh.n_cells}, one for each triangle")
    from scipy.spatial import cKDTree

    seen, scale = torn(mesh), make_scale(values[:, None], unit, 0.0, _most(values), "viridis")
    shape = seen.shape
    assert shape is not None
    outward = normals(shape.points[shape.triangles])
    if not len(mesh.boundary_facets):
        shape = shape._replace(outward=outward)
    near = cKDTree(shape.points[shape.triangles].mean(1))
    front = camera(seen.points[seen.used])
    views = {"from the front": front, "from behind": front._replace(azimuth=front.azimuth + 180)}
    width, height = front.size
    figure = new_figure(2 * width + 1.6, height + 0.6)
    panels = figure.subplots(1, 2, subplot_kw={"projection": "3d"})
    corners = seen.spread(values)[shape.triangles]
    for axes, (name, view) in zip(panels, views.items(), strict=True):
        frame_space(axes, view, length_unit, 4)
        marks = _marks(x, lines, view)
        if shape.outward is not None:
            marks = marks.where(outward[near.query(marks.triangles.mean(1))[1]] @ view.viewer > 0)
        draw_solid(axes, shape, corners, _colours(scale, density), viewer=view.viewer, lines=False, marks=marks)
        axes.set_title(plain(name), fontsize=10, color=INK, y=view.top).set_y(view.top)
    if density is not None:
        add_colour_bar(figure, scale, list(panels), plain(unit), {"aspect": 24, "pad": 0.08, "shrink": 0.7})
    entitle(figure, title)
    return figure


def _most(values: np.ndarray) -> float:
    """The upper end of the colours: a few faces with a peak do not make the rest dark."""
    return float(np.quantile(values, 0.995)) or 1.0


def _colours(scale: Scale, density: Any) -> Any:
    return scale.colours if density is not None else lambda v: np.tile(_PLAIN, (*np.shape(v), 1))


def _marks(points: np.ndarray, ways: np.ndarray, view: Camera) -> Marks:
    """Dots as hexagons that face the viewer, ways as strokes."""
    size = float(np.linalg.norm(view.extent))
    right = np.cross([0.0, 0.0, 1.0], view.viewer)
    right /= np.linalg.norm(right)
    up = np.cross(view.viewer, right)
    around = np.arange(7) * np.pi / 3
    rim = _DOT * size * (np.cos(around)[:, None] * right + np.sin(around)[:, None] * up)
    fan = np.stack([np.zeros((6, 3)), rim[:-1], rim[1:]], 1)  # [6, 3, 3]
    dots = (points[:, None, None] + fan).reshape(-1, 3, 3)
    strokes = np.stack([ways[:-1], ways[1:], ways[1:]], 2).reshape(-1, 3, 3)
    from matplotlib.colors import to_rgba

    dot, line = to_rgba(set_colours(2)[1]), to_rgba(INK, 0.6)
    colours = np.concatenate([np.tile(dot, (len(dots), 1)), np.tile(line, (len(strokes), 1))])
    return Marks(np.concatenate([dots, strokes]), colours)
