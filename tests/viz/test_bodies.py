"""Pictures of bodies: no background between faces, no numbers on top of each other on slender ones."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from graphpde.mesh import Mesh, box, rectangle
from graphpde.viz import Panel, plot_field, plot_frames, plot_multiples


def pixels(figure: Figure) -> np.ndarray:
    """RGB values [h, w, 3] of the picture."""
    from matplotlib.image import imread

    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=150)
    file.seek(0)
    return imread(file)[:, :, :3]


def test_faces_leave_no_gaps() -> None:
    """One colour all over a fine cube: nothing of the background comes through along the seams."""
    mesh = box(24, 24, 24)
    picture = pixels(plot_field(mesh, torch.full((mesh.n,), 2.0), show_mesh=False))
    height, width = picture.shape[:2]
    front = picture[int(0.45 * height) : int(0.65 * height), int(0.12 * width) : int(0.4 * width)]
    rows = front.reshape(-1, 3)
    assert len(np.unique(rows, axis=0)) == 1 and rows[0].min() < 0.9


def slender(axis: int) -> Mesh:
    counts = [2, 2, 2]
    counts[axis] = 20
    size = torch.full((3,), 0.3, dtype=torch.float64)
    size[axis] = 10.0
    mesh = box(*counts)
    return mesh.with_points(mesh.points * size / mesh.points.amax(0))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_rod_has_numbers_along_it_only(axis: int) -> None:
    mesh = slender(axis)
    figure = plot_field(mesh, mesh.points[:, axis], length_unit="m")
    figure.canvas.draw()
    axes = figure.axes[0]
    texts = [t for k in "xyz" for t in getattr(axes, f"{k}axis").get_ticklabels() if t.get_text() and t.get_visible()]
    assert len(texts) >= 3
    boxes = [t.get_window_extent() for t in texts]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[k + 1 :])
    labels = [axes.get_xlabel(), axes.get_ylabel(), axes.get_zlabel()]
    others = [name for k, name in enumerate("xyz") if k != axis]
    assert labels[axis] == f"{'xyz'[axis]} [m]   ({', '.join(f'{name} from 0 to 0.3 m' for name in others)})"
    assert [label for k, label in enumerate(labels) if k != axis] == ["", ""]


def test_a_flat_sheet_in_space_says_where_it_lies() -> None:
    mesh = box(3, 3, 3)
    x = mesh.points.clone()
    x[:, 2] = 0.5 + 0.001 * x[:, 2]
    label = plot_field(mesh.with_points(x), mesh.points[:, 0]).axes[0].get_xlabel()
    assert label.endswith("(z from 0.5 to 0.501 m)")


def swollen(mesh: Mesh) -> list[Panel]:
    """The mesh in five sizes."""
    return [Panel(mesh.with_points(mesh.points * (1 + k / 10)), mesh.points[:, 0], f"size {k}") for k in range(5)]


@pytest.mark.parametrize("mesh", [rectangle(4, 4), box(2, 2, 2), slender(0), slender(2)])
def test_panels_alike_have_one_scale_and_room_for_their_titles(mesh: Mesh) -> None:
    """Titles on nothing else, axes in space in one panel."""
    figure = plot_multiples(swollen(mesh), title="Five sizes", alike=True)
    pixels(figure)
    panels, names = figure.axes[:5], "xyz"[: mesh.space_dim]
    for name in names:
        (low, high), *others = (getattr(axes, f"get_{name}lim")() for axes in panels)
        assert all(other == (low, high) for other in others) and high - low >= 1.4 * float(mesh.points.amax(0).min())
    titles = [axes.title for axes in panels] + [figure._suptitle]  # type: ignore[attr-defined]
    boxes = [title.get_window_extent() for title in titles]
    assert not any(a.overlaps(b) for k, a in enumerate(boxes) for b in boxes[k + 1 :])
    labels = [[label for name in names if (label := getattr(axes, f"get_{name}label")())] for axes in panels]
    assert mesh.space_dim == 2 or sum(map(bool, labels)) == 1
    shown = [axes.get_tightbbox() for axes in panels[:3]]
    assert not any(title.overlaps(panel) for title in boxes[3:5] for panel in shown)


@pytest.mark.parametrize("frames", [True, False])
def test_a_wide_body_leaves_the_colour_bar_alone(frames: bool) -> None:
    mesh = slender(0)
    states = torch.stack([k * mesh.points[:, 0] for k in range(4)])[..., None]
    figure = plot_frames(mesh, range(4), states) if frames else plot_multiples(swollen(mesh), alike=True)
    picture = pixels(figure)
    x, width = figure.axes[-1].get_position().x0, picture.shape[1]
    strip = picture[:, int(x * width) - 14 : int(x * width) - 4]
    assert (strip == 1).all()
