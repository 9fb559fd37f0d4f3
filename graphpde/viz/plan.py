"""A picture of the mesh itself: cells, materials and named boundaries, to choose boundary conditions by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.core.graph import TagSet
from graphpde.mesh.mesh import Mesh
from graphpde.viz.axes import camera
from graphpde.viz.canvas import FAINT, INK, plain
from graphpde.viz.colours import set_colours, tints
from graphpde.viz.draw import MESH_LINES, draw_lines, draw_solid
from graphpde.viz.scene import Scene, scene
from graphpde.viz.skin import thin_out

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.figure import Figure

BARE = "#e6eaed"
"""Colour of cells and faces that belong to no named set."""

LISTED = 20
"""The legend names this many sets at most; the rest are counted."""

Sets = Mapping[str, TagSet]
Colours = Mapping[str, str]


def plot_mesh(
    mesh: Mesh, *, title: str | None = None, length_unit: str | None = "m", show_mesh: bool | None = None
) -> Figure:
    """The mesh with its named sets: boundaries in strong colours, materials tinted, each in the legend with its size.

    In space, sets of faces that all lie inside the body are marked "inside". Of overlapping sets the later is on top.

    Args:
        mesh: any mesh but one of single points.
        title: over the picture; None describes the mesh, "" leaves it out.
        length_unit: unit of the coordinates.
        show_mesh: draw the edges of cells; None draws them below 20 000 cells.

    Raises:
        MeshError: a mesh of single points.
    """
    seen = scene(mesh)
    figure, grid = seen.panels(1, 1, seen.wide)
    axes = grid[0, 0]
    seen.frame(axes, length_unit)
    lines = mesh.n_cells < 20_000 if show_mesh is None else show_mesh
    sets = [{k: t for k, t in mesh.tags.items() if t.dim == d} for d in range(4)]
    colours = _palette(mesh)
    if seen.kind == "solid":
        _paint_faces(axes, mesh, seen, sets, colours, lines)
        axes.computed_zorder = False  # named edges and points stay visible on the body
    elif seen.flat and seen.shape is not None:
        _paint_cells(axes, mesh, seen, sets[2], colours, lines)
    else:
        draw_lines(axes, _place(seen, seen.pairs), colors="#9aa3a8", linewidths=1.2)
    if seen.kind == "curve":
        axes.set_xlim(seen.points.min() - 0.03 * np.ptp(seen.points), seen.points.max() + 0.03 * np.ptp(seen.points))
        axes.yaxis.set_visible(False)
        figure.set_figheight(1.8)
    _paint_edges(axes, mesh, seen, sets[1], colours)
    _paint_points(axes, seen, sets[0], colours)
    _list_sets(figure, _legend(mesh, colours), below=seen.wide or seen.in_space)
    seen.entitle(axes, _describe(mesh) if title is None else title)
    return figure


def _describe(mesh: Mesh) -> str:
    cells = ", ".join(f"{len(v)} {k}" for k, v in mesh.cells.items())
    return f"{plain(mesh.name, 40)}: {mesh.n} points, {cells}"


def _palette(mesh: Mesh) -> Colours:
    """A colour for each set: pale for materials of surfaces and bodies, strong for all others."""
    materials = [k for k, t in mesh.tags.items() if t.dim == mesh.dim > 1]
    others = [k for k in mesh.tags if k not in set(materials)]
    return dict(zip(materials, tints(len(materials)))) | dict(zip(others, set_colours(len(others))))


def _place(seen: Scene, numbers: np.ndarray) -> np.ndarray:
    """Coordinates [*, d] of points; an interval lies on the line y = 0."""
    points = seen.points if seen.points.shape[1] > 1 else np.pad(seen.points, ((0, 0), (0, 1)))
    return points[numbers]


def _coloured(count: int, sets: Sets, colours: Colours) -> np.ndarray:
    """RGBA [count, 4] of entities by the last set that holds them."""
    from matplotlib.colors import to_rgba

    out = np.tile(to_rgba(BARE), (count, 1))
    for name, tag in sets.items():
        out[tag.ids.numpy()] = to_rgba(colours[name])
    return out


def _paint_cells(axes: Any, mesh: Mesh, seen: Scene, materials: Sets, colours: Colours, lines: bool) -> None:
    from matplotlib.collections import PolyCollection

    if seen.shape is None:
        return
    rgba = _coloured(mesh.n_cells, materials, colours)[seen.shape.owner]
    triangles = seen.points[seen.shape.triangles]
    if len(triangles) > 200_000:
        thinned = thin_out(seen.points, seen.shape.triangles, 200_000)
        triangles, rgba = thinned.points[thinned.triangles], rgba[thinned.kept]
    # without smoothing no seams shine through between neighbours
    fill = PolyCollection(list(triangles), facecolors=rgba, edgecolors="none", antialiaseds=False)
    fill.set_rasterized(True)
    axes.add_collection(fill, autolim=False)
    if lines:
        draw_lines(axes, seen.points[seen.shape.lines], **MESH_LINES)
    draw_lines(axes, seen.points[seen.pairs], colors=INK, linewidths=0.6)


def _paint_faces(
    axes: Any, mesh: Mesh, seen: Scene, sets: list[dict[str, TagSet]], colours: Colours, lines: bool
) -> None:
    if seen.shape is None:
        return
    rgba = _coloured(mesh.n_cells, sets[mesh.dim], colours)
    if mesh.dim == 3:
        sides = sets[2]
        rgba = rgba[mesh.facets.cells[:, 0].numpy()]
        named = _coloured(len(rgba), sides, colours)
        for tag in sides.values():
            rgba[tag.ids.numpy()] = named[tag.ids.numpy()]
    owner = np.repeat(seen.shape.owner[:, None].astype(np.float64), 3, 1)
    viewer = camera(seen.points[seen.used]).viewer
    draw_solid(axes, seen.shape, owner, lambda k: rgba[np.rint(k).astype(np.int64)], viewer=viewer, lines=lines)


def _paint_edges(axes: Any, mesh: Mesh, seen: Scene, sets: Sets, colours: Colours) -> None:
    for k, (name, tag) in enumerate(sets.items()):
        width = 4.0 - 2.0 * k / len(sets)  # a set covered by a later one still shows at its rim
        ends = _place(seen, seen.halved(mesh.entities(1).nodes[tag.ids].numpy()))
        draw_lines(axes, ends, colors=colours[name], linewidths=width, capstyle="round", zorder=3 + k / len(sets))


def _paint_points(axes: Any, seen: Scene, sets: Sets, colours: Colours) -> None:
    for name, tag in sets.items():
        where = _place(seen, tag.nodes.numpy())
        dot = _dot(colours[name])
        if len(where) > 100:
            dot |= {"markersize": 2.5, "markeredgewidth": 0.0}
        axes.plot(*where.T, linestyle="none", **dot, zorder=5)


def _dot(colour: str) -> dict[str, Any]:
    return {"marker": "o", "markersize": 5.5, "color": colour, "markeredgecolor": "white", "markeredgewidth": 0.6}


def _legend(mesh: Mesh, colours: Colours) -> list[tuple[Artist, str]]:
    """A sample and a text for each set, materials first."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    outer = mesh.boundary_facets if mesh.dim == 3 else None
    rows: list[tuple[Artist, str]] = []
    for name in colours:
        tag = mesh.tags[name]
        hidden = outer is not None and tag.dim == 2 and not bool(np.isin(tag.ids.numpy(), outer.numpy()).any())
        # matplotlib drops labels that start with an underscore
        shown = plain(name, 28)
        text = f"{' ' if shown.startswith('_') else ''}{shown} ({len(tag.ids)}{', inside' if hidden else ''})"
        if tag.dim > 1:
            rows.append((Patch(facecolor=colours[name], edgecolor=FAINT, linewidth=0.5), text))
        elif tag.dim == 1:
            rows.append((Line2D([], [], color=colours[name], linewidth=3), text))
        else:
            rows.append((Line2D([], [], linestyle="none", **_dot(colours[name])), text))
    return rows


def _list_sets(figure: Figure, rows: list[tuple[Artist, str]], below: bool) -> None:
    from matplotlib.lines import Line2D

    if not rows:
        return
    if len(rows) > LISTED:
        rows = [*rows[:LISTED], (Line2D([], [], linestyle="none"), f"and {len(rows) - LISTED} more")]
    handles, texts = [handle for handle, _ in rows], [text for _, text in rows]
    where: dict[str, Any] = {"loc": "outside right center"}
    if below:
        where = {"loc": "outside lower center", "ncols": 4}
    else:  # panels leave room for a colour bar of 1.3 inches; the legend takes its place
        figure.set_figwidth(figure.get_figwidth() - 0.8 + 0.075 * max(len(text) for text in texts))
    figure.legend(handles, texts, frameon=False, fontsize=9, **where)
