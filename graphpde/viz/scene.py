"""A mesh ready to be drawn: which kind of picture it gets, how large a panel, and one drawing for each field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphpde.errors import MeshError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.axes import camera, frame_flat, frame_space, style_axes
from graphpde.viz.canvas import INK, entitle, labelled, new_figure, plain
from graphpde.viz.colours import Scale, add_colour_bar, explain_empty
from graphpde.viz.draw import draw_flat, draw_interval, draw_network, draw_solid
from graphpde.viz.middles import Middles
from graphpde.viz.skin import Skin, skin

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Scene(NamedTuple):
    """What a mesh shows, found once for all panels of a picture.

    Attributes:
        kind: "curve" over an interval, "network", "flat" (plane) or "solid" (surface or body in space).
        points: all points [n, d]. used: numbers of the vertices of cells.
        pairs: cells of a curve or network, border edges of a flat mesh [k, 2].
        shape: the faces to paint, for flat and solid.
        n_cells: number of cells. middles: middle nodes of quadratic cells, or None.
        owner: where each cell shows one value, the cell of each of the last points, which are torn apart for that.
        room: points [n, d] that the panel has room for, where those are not the vertices.
    """

    kind: str
    points: np.ndarray
    used: np.ndarray
    pairs: np.ndarray
    shape: Skin | None
    n_cells: int
    middles: Middles | None = None
    owner: np.ndarray | None = None
    room: np.ndarray | None = None

    @property
    def shown(self) -> np.ndarray:
        """Points that the panel has room for [n, d]."""
        return self.points[self.used] if self.room is None else self.room

    @property
    def flat(self) -> bool:
        """Whether the picture lies in the plane, x against y."""
        return self.points.shape[1] == 2

    @property
    def size(self) -> tuple[float, float]:
        """Width and height [inches] of one panel, in the proportions of the mesh where it is flat."""
        if not self.flat:
            return camera(self.shown).size if self.in_space else (5.6, 3.6)
        extent = np.maximum(np.ptp(self.shown, axis=0), 1e-300)
        ratio = float(np.clip(extent[0] / extent[1], 0.12, 10.0))
        if ratio > 1:
            width = min(4.6 * ratio, 7.5)
            return width, width / ratio
        return max(4.6 * ratio, 1.2), 4.6

    @property
    def wide(self) -> bool:
        """Whether a colour bar fits better under the picture than beside it."""
        return self.flat and self.size[0] > 2.2 * self.size[1]

    def panels(self, rows: int, columns: int, bar_below: bool, shrink: float = 1.0) -> tuple[Figure, np.ndarray]:
        """A figure with this many panels [rows, columns] and room for colour bars."""
        width, height = (shrink * k for k in self.size)
        bar = (0.3, 0.9) if bar_below else (1.3, 0.2)
        total = max(columns * (width + 0.15) + 0.5 + bar[0], 3.8), rows * (height + 0.3) + 0.5 + bar[1]
        figure = new_figure(*total)
        if rows * columns > 1:  # boxes of true proportions are not where the layout has their titles
            figure.get_layout_engine().set(h_pad=0.2 if self.in_space else 0.07)  # type: ignore[union-attr, call-arg]
        space = {"projection": "3d"} if self.in_space else {}
        return figure, figure.subplots(rows, columns, squeeze=False, subplot_kw=space)

    @property
    def in_space(self) -> bool:
        """Whether the picture needs three axes."""
        return self.points.shape[1] == 3

    def frame(self, axes: Any, length_unit: str | None, ticks: int = 6) -> None:
        """Axes with true aspect and labelled coordinates."""
        if self.in_space:
            frame_space(axes, camera(self.shown), length_unit, min(ticks, 5))
        elif self.flat:
            frame_flat(axes, self.shown, length_unit, ticks)
        else:
            axes.set_xlabel(labelled("x", length_unit))
            style_axes(axes, ticks)

    def halved(self, pairs: np.ndarray) -> np.ndarray:
        """Sides [k, 2] in two halves where they have a middle node."""
        return pairs if self.middles is None else self.middles.halved(pairs)

    def add_colour_bar(self, figure: Figure, scale: Scale, axes: list[Any], unit: str | None) -> None:
        """The colour bar of one or several panels, where the mesh leaves room."""
        width, height = self.size
        along = len({_cell(panel, self.wide) for panel in axes}) if len(axes) > 1 else 1
        place: dict[str, Any] = {"aspect": 24 * along, "pad": 0.03}
        if self.wide:
            place = {"location": "bottom", "aspect": 36 * along, "shrink": 0.8, "pad": 0.03}
        elif self.in_space:
            # the label of the third axis stands outside of what the layout knows, farther in wide panels
            pad = 0.14 * max(1.0, width / height) / len(axes)
            place = {"aspect": 20 * along, "pad": pad, "shrink": 0.7}
        add_colour_bar(figure, scale, axes, labelled(scale.label, unit), place)

    def entitle(self, axes: Any, title: str | None, *, alone: bool = False) -> None:
        """A title close above what one panel shows; a flat panel that is ``alone`` may use the width of the figure."""
        if title and alone and not self.in_space:
            entitle(axes.figure, title)
        elif title:
            top = camera(self.shown).top if self.in_space else None
            text = axes.set_title(plain(title, 80), fontsize=10, color=INK, y=top)
            if top is not None:
                text.set_y(top)  # axes in space move their title down by themselves

    def spread(self, u: np.ndarray) -> np.ndarray:
        """The field at the points of the picture, from one value per cell [m] where it shows that."""
        if self.owner is None:
            return u
        return np.concatenate([np.full(len(self.points) - len(self.owner), np.nan), u[self.owner]])

    def draw(self, axes: Any, u: np.ndarray, scale: Scale, style: Style) -> None:
        """Draw the field u [n], or [m] where each cell shows one value, into framed axes."""
        u = self.spread(u)
        u = u if self.middles is None else self.middles.completed(u)
        lines = self.n_cells < 3000 / style.panels if style.show_mesh is None else style.show_mesh
        self.frame(axes, style.length_unit, style.ticks)
        if self.kind == "curve":
            draw_interval(axes, self.points[:, 0], self.pairs, u, "#0072b2")
        elif self.shape is None:
            draw_network(axes, self.points, self.pairs, u, scale)
        elif self.kind == "flat":
            draw_flat(axes, self.shape, u, scale, lines, self.pairs)
        else:
            viewer = camera(self.shown).viewer
            corners, limit = u[self.shape.triangles], 120_000 // style.panels
            draw_solid(axes, self.shape, corners, scale.colours, viewer=viewer, lines=lines, limit=limit)
        if self.kind != "curve" and np.isnan(u[self.used]).any():
            explain_empty(axes)


class Style(NamedTuple):
    """What all panels of a picture share: mesh lines, unit of length, ticks, and how many panels there are."""

    show_mesh: bool | None
    length_unit: str | None
    ticks: int = 6
    panels: int = 1


def scene(mesh: Mesh) -> Scene:
    """What a mesh shows.

    Raises:
        MeshError: a mesh of single points.
    """
    points, used = mesh.points.numpy(), mesh.used_points.numpy()
    if mesh.dim == 0:
        raise MeshError(f"'{mesh.name}' has only point cells; draw it with plot_graph(points, [], values)")
    middles = Middles(mesh)
    if mesh.dim == 1:
        kind = "curve" if mesh.space_dim == 1 else "network"
        return Scene(kind, points, used, middles.halved(mesh.entities(1).nodes.numpy()), None, mesh.n_cells, middles)
    kind = "flat" if mesh.space_dim == 2 else "solid"
    border = mesh.facets.nodes[mesh.boundary_facets].numpy() if mesh.dim == 2 else np.empty((0, 2), dtype=np.int64)
    return Scene(kind, points, used, middles.halved(border), skin(mesh), mesh.n_cells, middles)


def torn(mesh: Mesh) -> Scene:
    """What a mesh shows of one value per cell: corners belong to one cell each, so that colours jump between cells.

    Raises:
        MeshError: a mesh of single points.
    """
    seen = scene(mesh)
    start = len(seen.points) if seen.shape is None else len(seen.shape.points)
    if seen.shape is None:
        pairs = np.concatenate([nodes.numpy() for _, nodes, _ in mesh.corners()])
        owner, corners = np.arange(len(pairs)), pairs
    else:
        corners, owner = seen.shape.triangles, seen.shape.owner
        owner = mesh.facets.cells.numpy()[owner, 0] if mesh.dim == 3 else owner
    number = start + np.arange(corners.size).reshape(corners.shape)
    there = seen.points if seen.shape is None else seen.shape.points
    points = np.concatenate([there, there[corners.reshape(-1)]])
    found = seen._replace(
        points=points, used=number.reshape(-1), owner=np.repeat(owner, corners.shape[1]), middles=None
    )
    if seen.shape is None:
        return found._replace(pairs=number)
    return found._replace(shape=seen.shape._replace(points=points, triangles=number))


def _cell(panel: Any, column: bool) -> int:
    spec = panel.get_subplotspec()
    return int((spec.colspan if column else spec.rowspan).start)


def fit_values(axes: Any, scale: Scale, text: str) -> None:
    """Axes of a curve: the values upwards, with their unit; a constant shows as a level line with its number."""
    low, high = scale.norm.vmin or 0.0, scale.norm.vmax or 0.0
    axes.margins(x=0.03)
    axes.autoscale_view(scaley=False)
    axes.set_ylim(low - 0.05 * (high - low), high + 0.05 * (high - low))
    axes.set_ylabel(text, fontsize=10, color=INK)
    axes.grid(True, linewidth=0.4, alpha=0.4)
    axes.ticklabel_format(axis="y", scilimits=(-3, 5))
    if scale.constant is not None:
        axes.set_yticks([scale.constant], labels=[f"{scale.constant:.6g}"])


def moment(t: float, time_unit: str | None) -> str:
    """``t = 0.5 s``."""
    return f"t = {t:.4g}" if time_unit in (None, "", "1") else f"t = {t:.4g} {plain(time_unit)}"
