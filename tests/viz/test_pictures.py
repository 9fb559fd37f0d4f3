"""Pictures of fields: true proportions, labels with units, one colour scale, no value drawn where there is none."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from graphpde.errors import InputError, MeshError, OutputError, ShapeError, UnknownName
from graphpde.mesh import rectangle
from graphpde.mesh.mesh import Mesh
from graphpde.viz import plot_field, plot_frames, plot_graph, save_figure

Shape = Callable[[str], Mesh]
KINDS = ("disk", "channel", "sphere", "bricks", "tets", "prisms", "quadratic", "interval", "network", "pipes")


def pixels(figure: Figure) -> np.ndarray:
    """The picture as RGB [h, w, 3] in 0..1."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    buffer.seek(0)
    return imread(buffer)[:, :, :3]


def field(mesh: Mesh) -> np.ndarray:
    return mesh.points.numpy()[:, 0] + 2.0 * mesh.points.numpy()[:, -1] ** 2


def axes_with(figure: Figure, label: str) -> list[Any]:
    return [a for a in figure.axes if a.get_xlabel() == label or a.get_ylabel() == label]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_mesh_shows_its_values_in_colours(shape: Shape, kind: str) -> None:
    mesh = shape(kind)
    u = np.full(mesh.n, np.nan)
    used = mesh.used_points.numpy()
    u[used] = field(mesh)[used]
    figure = plot_field(mesh, u, title="A field", label="T", unit="K", show_mesh=False)
    image = pixels(figure)
    bright = np.ptp(image, axis=2) > 0.15  # coloured, not black, grey or white
    assert bright.mean() > (0.005 if mesh.dim == 1 else 0.1)
    if kind != "interval":  # a curve has one colour
        assert len(np.unique((image[bright] * 15).astype(int), axis=0)) > 25


@pytest.mark.parametrize("kind", [k for k in KINDS if k != "interval"])
def test_labels_carry_quantity_and_units(shape: Shape, kind: str) -> None:
    figure = plot_field(shape(kind), field(shape(kind)), label="T", unit="K", length_unit="mm")
    assert len(axes_with(figure, "T [K]")) == 1
    assert figure.axes[0].get_xlabel() == "x [mm]" and figure.axes[0].get_ylabel() == "y [mm]"


def test_a_curve_has_its_unit_upwards(shape: Shape) -> None:
    axes = plot_field(shape("interval"), field(shape("interval")), label="T", unit="K").axes[0]
    assert axes.get_xlabel() == "x [m]" and axes.get_ylabel() == "T [K]"


@pytest.mark.parametrize("unit", [None, "", "1"])
def test_pure_numbers_have_no_brackets(shape: Shape, unit: str | None) -> None:
    assert len(axes_with(plot_field(shape("disk"), field(shape("disk")), unit=unit), "u")) == 1


def test_flat_meshes_keep_their_proportions(shape: Shape) -> None:
    figure = plot_field(shape("channel"), field(shape("channel")))
    figure.canvas.draw()
    to_pixels = figure.axes[0].transData.transform
    origin, right, up = to_pixels([[0, 0], [1, 0], [0, 1]])
    assert right[0] - origin[0] == pytest.approx(up[1] - origin[1], rel=1e-6)
    low, high = figure.axes[0].get_xlim()
    assert low < 0 and 4 < high < 5  # the unused point at (50, 50) does not widen the picture


@pytest.mark.parametrize("kind", ["sphere", "bricks", "pipes"])
def test_bodies_keep_their_proportions(shape: Shape, kind: str) -> None:
    from mpl_toolkits.mplot3d.proj3d import proj_transform

    figure = plot_field(shape(kind), field(shape(kind)))
    figure.canvas.draw()
    axes = figure.axes[0]
    sides = np.array([np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim()), np.ptp(axes.get_zlim())])
    assert np.ptp(sides / axes._box_aspect) < 1e-9 * sides.max()
    # a sphere looks round: directions across the view have one length on the paper
    up, around = np.radians(axes.elev), np.radians(axes.azim)
    right = np.array([-np.sin(around), np.cos(around), 0])
    above = np.array([-np.sin(up) * np.cos(around), -np.sin(up) * np.sin(around), np.cos(up)])
    x, y, _ = proj_transform(*np.stack([np.zeros(3), right, above], 1), axes.get_proj())
    paper = axes.transData.transform(np.c_[x, y])
    lengths = np.linalg.norm(paper[1:] - paper[0], axis=1)
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-6)


def test_colours_are_those_of_the_values(shape: Shape) -> None:
    """u = x on the channel: the colour in the middle of the picture is the middle of the colour map."""
    from matplotlib import colormaps

    mesh = shape("channel")
    figure = plot_field(mesh, mesh.points[:, 0], show_mesh=False)
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[:, :, :3] / 255.0
    for x in (0.5, 1.3, 2.2, 3.7):
        column, row = figure.axes[0].transData.transform((x, 0.4)).round().astype(int)
        # half a pixel and one step of the 256 colours
        assert np.abs(image[image.shape[0] - row, column] - colormaps["viridis"](x / 4)[:3]).max() < 0.02


def test_quadrilaterals_that_are_darts_stay_inside() -> None:
    from graphpde.viz.skin import areas, skin

    dart = Mesh([[0, 0], [2, 1], [0, 2], [0.5, 1]], {"quad": [[0, 1, 2, 3]]})
    seen = skin(dart)
    assert areas(seen.points[seen.triangles]).sum() == pytest.approx(1.5, rel=1e-12)  # the other diagonal gives 2.5
    assert len(seen.lines) == 4


def test_cells_without_value_stay_grey_and_say_so(shape: Shape) -> None:
    mesh = shape("disk")
    u = field(mesh)
    full = plot_field(mesh, u)
    u[0] = np.nan
    figure = plot_field(mesh, u)
    assert full.axes[0].get_legend() is None
    figure.canvas.draw()
    image = np.asarray(figure.canvas.buffer_rgba())[:, :, :3]
    for x, grey in ((0.08, True), (0.14, True), (0.5, False)):  # in and beside the triangles around the middle
        column, row = figure.axes[0].transData.transform((x, 0.03)).astype(int)
        assert (image[len(image) - row, column].tolist() == [0xDD] * 3) == grey
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["no value"]
    assert plot_field(shape("sphere"), np.r_[np.nan, field(shape("sphere"))[1:]]).axes[0].get_legend() is not None


def test_mid_side_nodes_may_carry_no_value(shape: Shape) -> None:
    u = np.full(9, np.nan)
    u[:4] = [0.0, 1.0, 2.0, 3.0]
    assert plot_field(shape("quadratic"), u).axes[0].get_legend() is None


@pytest.mark.parametrize("value", [0.0, 300.0, -1e-30])
def test_a_constant_field_shows_its_one_value(shape: Shape, value: float) -> None:
    mesh = shape("disk")
    noise = 1e-14 * value * np.arange(mesh.n)
    figure = plot_field(mesh, value + noise)
    bar = axes_with(figure, "u")[0]
    assert [float(t.get_text()) for t in bar.get_yticklabels()] == [pytest.approx(value, rel=1e-5)]
    figure.canvas.draw()


def test_channels_get_a_panel_each(shape: Shape) -> None:
    mesh = shape("disk")
    u = np.stack([field(mesh), -field(mesh)], 1)
    figure = plot_field(mesh, torch.from_numpy(u), label=["u", "v"], unit="mol/L", title="two")
    assert len(axes_with(figure, "u [mol/L]")) == len(axes_with(figure, "v [mol/L]")) == 1
    assert len(axes_with(plot_field(mesh, u), "u[1]")) == 1


def test_given_axes_are_used(shape: Shape) -> None:
    figure = Figure()
    axes = figure.subplots(1, 2)
    assert plot_field(shape("disk"), field(shape("disk")), ax=axes[1], title="here") is figure
    assert axes[1].get_title() == "here" and axes[0].get_xlabel() == ""


def test_wrong_input_is_refused(shape: Shape) -> None:
    mesh, u = shape("disk"), field(shape("disk"))
    bad = u.copy()
    bad[[3, 7]] = np.inf
    flat = Figure().subplots()
    for call, error, says in [
        (lambda: plot_field(mesh, u[:-1]), ShapeError, r"shape \[90\], expected \[91\] or \[91, c\] .*at_points"),
        (lambda: plot_field(mesh, ["a"] * 91), ShapeError, "not an array of real numbers"),
        (lambda: plot_field(mesh, u + 1j), ShapeError, "real and imaginary"),
        (lambda: plot_field(mesh, [[1.0], [1.0, 2.0]]), ShapeError, "different lengths"),
        (lambda: plot_field(mesh, np.full(91, np.nan)), InputError, r"no value .*all NaN"),
        (lambda: plot_field(mesh, bad), InputError, "2 infinite values, first at point 3"),
        (lambda: plot_field(mesh, u, vmin=2.0, vmax=1.0), InputError, "from 2 to 1, expected finite vmin < vmax"),
        (lambda: plot_field(mesh, u, vmin=1.0, vmax=1.0), InputError, "expected finite vmin < vmax"),
        (lambda: plot_field(mesh, u, vmin=np.nan), InputError, "expected finite vmin < vmax"),
        (lambda: plot_field(mesh, u, cmap="viridiss"), UnknownName, "did you mean 'viridis'"),
        (lambda: plot_field(mesh, u, label=["a", "b"]), InputError, "2 labels for 1 channels"),
        (lambda: plot_field(mesh, np.stack([u, u], 1), ax=flat), InputError, "takes one channel, got 2"),
        (lambda: plot_field(shape("sphere"), np.ones(150), ax=flat), InputError, "with projection='3d'"),
        (lambda: plot_field(Mesh([[0.0, 0.0]], {"vertex": [[0]]}), [1.0]), MeshError, "only point cells"),
    ]:
        with pytest.raises(error, match=says):
            call()


def test_infinite_values_beside_the_mesh_do_not_matter(shape: Shape) -> None:
    mesh = shape("channel")
    u = field(mesh)
    u[-1] = np.inf  # the unused point
    plot_field(mesh, u)


# several moments


def moments(mesh: Mesh, count: int) -> tuple[np.ndarray, np.ndarray]:
    times = np.linspace(0.0, 2.0, count)
    return times, np.exp(-times)[:, None, None] * (1.0 + field(mesh))[None, :, None]


@pytest.mark.parametrize("kind", ["disk", "channel", "sphere", "network"])
def test_frames_show_first_and_last_moment(shape: Shape, kind: str) -> None:
    times, states = moments(shape(kind), 21)
    figure = plot_frames(shape(kind), times, torch.from_numpy(states), label="T", unit="K", title="cooling")
    titles = [a.get_title() for a in figure.axes if a.get_title()]
    assert titles == ["t = 0 s", "t = 0.4 s", "t = 0.8 s", "t = 1.2 s", "t = 1.6 s", "t = 2 s"]
    assert len(axes_with(figure, "T [K]")) == 1


def test_frames_share_one_colour_scale(shape: Shape) -> None:
    mesh = shape("disk")
    times, states = moments(mesh, 3)
    figure = plot_frames(mesh, times, states, show_mesh=False)
    limits = {c.get_clim() for a in figure.axes for c in a.collections if c.get_array() is not None and a.get_title()}
    assert limits == {(states.min(), states.max())}
    bar = axes_with(figure, "u")[0]
    assert bar.get_ylim() == pytest.approx((states.min(), states.max()))


def test_few_frames_and_other_units(shape: Shape) -> None:
    times, states = moments(shape("disk"), 4)
    figure = plot_frames(shape("disk"), times, states, frames=9, time_unit="min")
    assert [a.get_title() for a in figure.axes][:4] == ["t = 0 min", "t = 0.6667 min", "t = 1.333 min", "t = 2 min"]
    one = plot_frames(shape("disk"), times[:1], states[:1], time_unit=None)
    assert one.axes[0].get_title() == "t = 0"


def test_frames_of_channels_have_a_colour_bar_each(shape: Shape) -> None:
    times, states = moments(shape("disk"), 3)
    figure = plot_frames(shape("disk"), times, np.concatenate([states, -states], 2), label=["u", "v"])
    assert len(axes_with(figure, "u")) == len(axes_with(figure, "v")) == 1
    assert sum(a.get_title() == "t = 2 s" for a in figure.axes) == 2


def test_frames_over_an_interval_are_curves_with_their_times(shape: Shape) -> None:
    times, states = moments(shape("interval"), 3)
    figure = plot_frames(shape("interval"), times, states, unit="K")
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["t = 0 s", "t = 1 s", "t = 2 s"]
    assert figure.axes[0].get_ylabel() == "u [K]"


def test_wrong_frames_are_refused(shape: Shape) -> None:
    mesh = shape("disk")
    times, states = moments(mesh, 3)
    with pytest.raises(ShapeError, match="2 times and 3 states"):
        plot_frames(mesh, times[:2], states)
    with pytest.raises(InputError, match="frames is 0, expected at least 1"):
        plot_frames(mesh, times, states, frames=0)
    states[2, 5] = np.inf
    with pytest.raises(InputError, match="1 infinite values, first at point 5"):
        plot_frames(mesh, times, states)


# graphs


@pytest.mark.parametrize("dim", [2, 3])
def test_a_graph_shows_each_edge_once_and_all_nodes(dim: int) -> None:
    pos = torch.rand(6, dim, dtype=torch.float64)
    pairs = [[0, 1], [1, 0], [1, 2], [2, 2], [3, 4]]
    figure = plot_graph(pos, pairs, torch.arange(6.0), title="G", label="degree")
    lines, dots = figure.axes[0].collections
    assert len(lines.get_segments() if dim == 2 else lines._segments3d) == 3
    assert len(dots.get_offsets() if dim == 2 else dots._offsets3d[0]) == 6
    assert len(axes_with(figure, "degree")) == 1
    assert np.ptp(pixels(figure)) > 0.5


def test_a_graph_without_edges_and_wrong_graphs() -> None:
    pos = np.random.default_rng(0).random((4, 2))
    plot_graph(pos, [], np.arange(4.0)).canvas.draw()
    with pytest.raises(ShapeError, match=r"pos has shape \[4, 1\], expected \[n, 2\] or \[n, 3\]"):
        plot_graph(pos[:, :1], [], np.arange(4.0))
    with pytest.raises(ShapeError, match=r"values have shape \[3\], expected \[4\]"):
        plot_graph(pos, [], np.arange(3.0))
    with pytest.raises(InputError, match="a pair names node 9, expected 0..3"):
        plot_graph(pos, [[0, 9]], np.arange(4.0))
    with pytest.raises(InputError, match="positions are not finite"):
        plot_graph(pos * np.nan, [], np.arange(4.0))


# files


@pytest.mark.parametrize(("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("PDF", b"%PDF")])
def test_figures_are_saved_by_extension(shape: Shape, tmp_path: Any, ending: str, start: bytes) -> None:
    figure = plot_field(shape("disk"), field(shape("disk")))
    path = save_figure(figure, tmp_path / "new" / f"disk.{ending}")
    assert path.read_bytes().startswith(start)
    assert [p.name for p in path.parent.iterdir()] == [f"disk.{ending}"]  # nothing temporary stays behind


def test_a_figure_that_cannot_be_saved_leaves_the_old_file(shape: Shape, tmp_path: Any, monkeypatch: Any) -> None:
    figure = plot_field(shape("disk"), field(shape("disk")))
    with pytest.raises(InputError, match=r"'disk.gif'; expected an ending of .png, .svg, .pdf"):
        save_figure(figure, tmp_path / "disk.gif")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder .*file"):
        save_figure(figure, tmp_path / "file" / "disk.png")
    with pytest.raises(OutputError, match="it is a folder"):
        save_figure(figure, _folder(tmp_path))
    save_figure(figure, tmp_path / "disk.png")
    old = (tmp_path / "disk.png").read_bytes()

    def full(path: Any, **_: Any) -> None:
        path.write_bytes(b"\x89PNG half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full)
    with pytest.raises(OutputError, match="disk.png.*the disk is full"):
        save_figure(figure, tmp_path / "disk.png")
    assert (tmp_path / "disk.png").read_bytes() == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["disk.png", "file", "folder.png"]


def _folder(tmp_path: Any) -> Any:
    (tmp_path / "folder.png").mkdir()
    return tmp_path / "folder.png"


def test_pictures_touch_no_global_state_of_matplotlib() -> None:
    code = (
        "import sys, graphpde.viz as viz\n"
        "assert 'matplotlib' not in sys.modules, 'loaded by import'\n"
        "from graphpde.mesh.mesh import Mesh\n"
        "import matplotlib; before = dict(matplotlib.rcParams)\n"
        "mesh = Mesh([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], {'tetra': [[0, 1, 2, 3]]})\n"
        "viz.plot_frames(mesh, [0, 1], [[0, 1, 2, 3], [3, 2, 1, 0]]).canvas.draw()\n"
        "assert 'matplotlib.pyplot' not in sys.modules, 'pyplot'\n"
        "assert dict(matplotlib.rcParams) == before, 'rcParams'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == done.stderr == "", done.stderr


def test_each_channel_has_its_own_unit() -> None:
    mesh = rectangle(3, 3)
    both = np.stack([mesh.points[:, 0].numpy(), mesh.points[:, 1].numpy()], 1)
    for figure in (
        plot_field(mesh, both, label=["u", "v"], unit=["m", "m/s"]),
        plot_frames(mesh, [0.0, 1.0], np.stack([both, 2 * both]), label=["u", "v"], unit=["m", "m/s"]),
    ):
        shown = {axes.get_ylabel() for axes in figure.axes} | {axes.get_xlabel() for axes in figure.axes}
        assert {"u [m]", "v [m/s]"} <= shown
    with pytest.raises(InputError, match="got 3 units for 2 channels"):
        plot_field(mesh, both, label=["u", "v"], unit=["m", "m/s", "s"])
