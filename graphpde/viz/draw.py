"""Drawing into framed axes: curves over intervals, coloured networks, flat meshes, surfaces and solids."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphpde.viz.canvas import INK
from graphpde.viz.colours import EMPTY, Scale
from graphpde.viz.skin import Skin, group_means, normals, pieces, refine, thin_out

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MESH_LINES = {"colors": "#000000", "alpha": 0.28, "linewidths": 0.35}
"""Mesh lines must not hide the field."""
_SEAM = 0.8
"""Width of the rim of a face in its own colour [points]. Two half covered pixels do not make a full one: along a seam
without a rim, or with one below a pixel, the background shines through."""


def draw_interval(
    axes: Axes, x: np.ndarray, pairs: np.ndarray, values: np.ndarray, colour: Any, label: str = ""
) -> None:
    """u over x: one straight piece per cell [k, 2], so that gaps stay gaps."""
    from matplotlib.collections import LineCollection

    ends = np.stack([x[pairs], values[pairs]], 2)
    lines = LineCollection(list(ends[~np.isnan(ends).any((1, 2))]), colors=[colour], linewidths=1.6, capstyle="round")
    lines.set_label(label)
    axes.add_collection(lines)
    if len(pairs) <= 80:
        shown = np.unique(pairs)
        axes.plot(x[shown], values[shown], ".", color=colour, markersize=4)


def draw_network(axes: Any, points: np.ndarray, pairs: np.ndarray, values: np.ndarray, scale: Scale) -> None:
    """Edges [k, 2] coloured linearly between their end values [n]."""
    dim = points.shape[1]
    carried = np.concatenate([points, values[:, None]], 1)[pairs]
    extent = (points.max(0) - points.min(0)).max()
    cut = pieces(carried, extent / 150, dim)
    colours = scale.colours(cut[:, :, -1].mean(1))
    width = 3.0 if len(pairs) < 300 else 1.8 if len(pairs) < 3000 else 0.8
    draw_lines(axes, cut[:, :, :dim], colors=colours, linewidths=width, capstyle="round")


def draw_lines(axes: Any, ends: np.ndarray, **style: Any) -> None:
    """Segments [k, 2, d] in the plane or in space."""
    if ends.shape[2] == 3:
        from mpl_toolkits.mplot3d.art3d import Line3DCollection

        axes.add_collection3d(Line3DCollection(list(ends), clip_on=False, **style), autolim=False)
    else:
        from matplotlib.collections import LineCollection

        lines = LineCollection(list(ends), **style)
        lines.set_rasterized(len(ends) > 20_000)  # a vector file with more strokes is unusable
        axes.add_collection(lines, autolim=False)


def draw_flat(axes: Axes, shape: Skin, values: np.ndarray, scale: Scale, lines: bool, border: np.ndarray) -> None:
    """A flat mesh with colours linear on each triangle; triangles with a vertex without value stay grey.

    Above 200 000 triangles the picture is thinned out; the border [k, 2] keeps its true course.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.tri import Triangulation

    points, triangles = shape.points, shape.triangles
    edges = points[shape.lines] if lines else None
    frame = points[border] if len(border) <= 50_000 else None
    if len(triangles) > 200_000:
        thinned = thin_out(points, triangles, 200_000)
        values = group_means(thinned.group, values[:, None])[:, 0]
        points, triangles = thinned.points, thinned.triangles
    empty = np.isnan(values[triangles]).any(1)
    if not empty.all():
        corners = np.concatenate([points, values[:, None]], 1)[triangles[~empty]]
        x, y, u = refine(corners, 12_000, 2).reshape(-1, 3).T
        mesh = Triangulation(x, y, np.arange(len(x)).reshape(-1, 3))
        axes.tripcolor(mesh, u, shading="gouraud", norm=scale.norm, cmap=scale.cmap, rasterized=True)
    if empty.any():
        axes.add_collection(PolyCollection(points[triangles[empty]], facecolors=EMPTY, edgecolors="none"))
    if edges is not None:
        draw_lines(axes, edges, **MESH_LINES)
    if frame is not None:
        draw_lines(axes, frame, colors=INK, linewidths=0.6)


class Marks(NamedTuple):
    """What is drawn among the faces of a solid, hidden by those in front of it.

    Attributes:
        triangles: [q, 3, 3]; strokes are those with two corners in one place. colours: RGBA of face and rim [q, 4].
    """

    triangles: np.ndarray
    colours: np.ndarray

    def where(self, kept: np.ndarray) -> Marks:
        """Those in the mask [q]."""
        return Marks(*(part[kept] for part in self))


def draw_solid(
    axes: Any,
    shape: Skin,
    values: np.ndarray,
    colours: Callable[[np.ndarray], np.ndarray],
    *,
    viewer: np.ndarray,
    lines: bool,
    limit: int = 120_000,
    marks: Marks | None = None,
) -> None:
    """A surface or the skin of a solid, lit from beside the viewer; back sides of solids are left out.

    Args:
        values: numbers at the corners of the triangles [k, 3], linear between them.
        colours: numbers [*] -> RGBA [*, 4].
        viewer: direction to the viewer [3].
        lines: draw the edges of cells; those behind the body stay hidden.
        limit: number of triangles above which the picture is thinned out.
        marks: drawn among the faces.
    """
    from mpl_toolkits.mplot3d.art3d import Poly3DCollection

    points, triangles = shape.points, shape.triangles
    if shape.outward is not None:
        front = shape.outward @ viewer > 1e-9
        triangles, values = triangles[front], values[front]
    if len(triangles) > limit:
        thinned = thin_out(points, triangles, limit)
        points, triangles, values = thinned.points, thinned.triangles, values[thinned.kept]
        lines = False
    corners = refine(np.concatenate([points[triangles], values[:, :, None]], 2), min(16_000, limit // 4), 3)
    faces = corners[:, :, :3]
    rgba = rims = _lit(colours(corners[:, :, 3].mean(1)), normals(faces), viewer)
    widths = np.full(len(faces), _SEAM)
    size = float(np.median(np.linalg.norm(faces[:, 1] - faces[:, 0], axis=1)))
    if lines:
        # mesh lines join the painter's queue as flat triangles, a little nearer to the viewer than the faces they bound
        strokes = pieces(points[_near(shape.lines, triangles)], 1.5 * size, 3) + 1.3 * size * viewer
        faces = np.concatenate([faces, strokes[:, [0, 1, 1]]])
        rgba = np.concatenate([rgba, np.tile([0.0, 0.0, 0.0, 0.0], (len(strokes), 1))])
        rims = np.concatenate([rims, np.tile([0.0, 0.0, 0.0, 0.3], (len(strokes), 1))])
        widths = np.concatenate([widths, np.full(len(strokes), 0.35)])
    if marks is not None:
        nearer = marks.triangles + 1.5 * size * viewer  # in the painter's queue they come after the faces they lie on
        faces = np.concatenate([faces, nearer])
        widths = np.full(len(faces), _SEAM)  # of one width: matplotlib sorts faces and colours by depth, not widths
        rgba, rims = (np.concatenate([own, marks.colours]) for own in (rgba, rims))
    body = Poly3DCollection(faces, facecolors=rgba, edgecolors=rims, linewidths=widths, clip_on=False)
    body.set_rasterized(True)
    axes.add_collection3d(body, autolim=False)


def _near(edges: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """The edges whose ends both belong to these triangles."""
    used = np.zeros(max(int(edges.max()), int(triangles.max())) + 1, dtype=bool)
    used[triangles] = True
    return edges[used[edges].all(1)]


def _lit(rgba: np.ndarray, normal: np.ndarray, viewer: np.ndarray) -> np.ndarray:
    """Darker where the face turns away from the light; mild, so that colours still read on the colour bar."""
    side = np.cross([0.0, 0.0, 1.0], viewer)
    light = viewer + 0.5 * side + [0.0, 0.0, 0.6]
    light /= np.linalg.norm(light)
    facing = np.where((normal @ viewer) < 0, -1.0, 1.0)[:, None] * normal
    bright = 0.72 + 0.28 * np.clip(facing @ light, 0.0, 1.0)
    out = rgba.copy()
    out[:, :3] *= bright[:, None]
    return out
