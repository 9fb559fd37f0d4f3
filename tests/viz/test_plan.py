"""Pictures of meshes: every named set in its own colour and in the legend."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.image import imread

from graphpde.errors import MeshError
from graphpde.mesh.mesh import Mesh
from graphpde.viz import plot_mesh
from graphpde.viz.colours import set_colours

Shape = Callable[[str], Mesh]


def legend(figure: Figure) -> dict[str, tuple[float, ...]]:
    (entry,) = figure.legends
    handles = [getattr(h, "get_facecolor", getattr(h, "get_color", None))() for h in entry.legend_handles]
    return {t.get_text().strip(): to_rgb(c) for t, c in zip(entry.get_texts(), handles)}


def share(figure: Figure, colour: tuple[float, ...]) -> float:
    """Part of the picture in this colour, legend left out."""
    figure.legends.clear()
    return float((np.abs(picture(figure) - colour).max(2) < 0.02).mean())


def picture(figure: Figure) -> np.ndarray:
    """RGB [h, w, 3] in 0..1."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    buffer.seek(0)
    return imread(buffer)[:, :, :3]


def test_sets_of_a_flat_mesh_are_named_and_painted(shape: Shape) -> None:
    figure = plot_mesh(shape("channel"))
    rows = legend(figure)
    assert set(rows) == {"inlet (2)", "outlet (2)", "steel (8)"} and len(set(rows.values())) == 3
    assert figure.axes[0].get_title() == "channel: 28 points, 8 quad, 16 triangle"
    assert all(share(plot_mesh(shape("channel"), show_mesh=False), colour) > 0.001 for colour in rows.values())


def test_faces_of_a_body_are_painted_unless_they_lie_inside(shape: Shape) -> None:
    mesh = shape("bricks")
    ends = mesh.points[mesh.facets.nodes][:, :, 2]
    top = (ends == 0.5).all(1).nonzero()[:, 0]
    inside = (mesh.facets.cells[:, 1] >= 0).nonzero()[:, 0]
    mesh = mesh.with_tags(top=mesh.make_tag(2, top), weld=mesh.make_tag(2, inside), probe=mesh.make_tag(0, [26]))
    rows = legend(plot_mesh(mesh))
    assert set(rows) == {"top (4)", f"weld ({len(inside)}, inside)", "probe (1)"}
    bare = mesh.with_tags(top=mesh.make_tag(2, inside))
    painted, plain = (picture(plot_mesh(m, show_mesh=False)) for m in (mesh, bare))
    assert (np.ptp(painted, axis=2) > 0.3).mean() > (np.ptp(plain, axis=2) > 0.3).mean() + 0.05


@pytest.mark.parametrize("kind", ["disk", "sphere", "tets", "prisms", "quadratic", "interval", "network", "pipes"])
def test_every_kind_of_mesh_with_sets_of_every_dimension(shape: Shape, kind: str) -> None:
    mesh = shape(kind)
    sets = {f"set of dimension {d}": mesh.make_tag(d, torch.arange(1)) for d in range(mesh.dim + 1)}
    figure = plot_mesh(mesh.with_tags(**sets), title="named", length_unit="cm")
    figure.canvas.draw()
    assert {name.rsplit(" ", 1)[0] for name in legend(figure)} == set(sets)
    assert figure.axes[0].get_xlabel() == "x [cm]" and figure.axes[0].get_title() == "named"


def test_hostile_names_and_many_sets_are_shown(shape: Shape) -> None:
    mesh = shape("disk")
    long = "a_very_long_name_of_a_subdomain_"
    names = [long + "1", long + "2", "$\\frac{$", "_hidden", "x" * 200, "tab\there\n", "日本"]
    tagged = mesh.with_tags(**{name: mesh.make_tag(1, mesh.boundary_facets[k : k + 1]) for k, name in enumerate(names)})
    figure = plot_mesh(tagged)
    figure.canvas.draw()  # mathematics mode would fail here
    texts = [t.get_text() for t in figure.legends[0].get_texts()]
    assert len(set(texts)) == 7 and max(map(len, texts)) < 40
    assert texts[1].startswith("a_very_long") and texts[1].endswith("subdomain_2 (1)")
    assert texts[3] == " _hidden (1)" and texts[5] == "tab here (1)"
    many = mesh.with_tags(**{f"s{k}": mesh.make_tag(0, [k]) for k in range(30)})
    assert [t.get_text() for t in plot_mesh(many).legends[0].get_texts()][-1] == "and 10 more"


def test_a_mesh_without_sets_has_no_legend_and_points_no_picture(shape: Shape) -> None:
    assert not plot_mesh(shape("sphere")).legends
    with pytest.raises(MeshError, match="only point cells; draw it with plot_graph"):
        plot_mesh(Mesh([[0.0, 0.0]], {"vertex": [[0]]}))


def test_set_colours_differ() -> None:
    assert len(set(set_colours(28))) == 28 and len(set_colours(100)) == 100
