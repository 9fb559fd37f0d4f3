"""Animations: as many frames as moments, one scale for all of them, nothing that jumps about, a bounded size."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graphpde.errors import InputError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz import movie
from graphpde.viz.movie import write_gif

Shape = Callable[[str], Mesh]


def waves(mesh: Mesh, times: np.ndarray) -> list[np.ndarray]:
    x = mesh.points.numpy()[:, 0]
    return [np.sin(3 * x - 5 * t) * (1 + t) for t in times]


def frames_of(path: Path) -> list[np.ndarray]:
    out = []
    with Image.open(path) as gif:
        for k in range(gif.n_frames):
            gif.seek(k)
            out.append(np.asarray(gif.convert("RGB")).astype(int))
    return out


@pytest.mark.parametrize("kind", ["disk", "interval", "network", "bricks"])
def test_one_frame_for_each_moment(shape: Shape, tmp_path: Path, kind: str) -> None:
    mesh, times = shape(kind), np.linspace(0, 1, 4)
    assert write_gif(tmp_path / "a.gif", mesh, times, waves(mesh, times), title="u", dpi=50) == 4
    frames = frames_of(tmp_path / "a.gif")
    assert len(frames) == 4 and len({frame.shape for frame in frames}) == 1


def test_only_the_field_moves(shape: Shape, tmp_path: Path) -> None:
    """The colour bar and the axes are the same pixels in all frames."""
    mesh, times = shape("disk"), np.array([0.0, 1.0, 22.5])
    write_gif(tmp_path / "a.gif", mesh, times, waves(mesh, times / 22.5), dpi=60)
    frames = frames_of(tmp_path / "a.gif")
    height, width = frames[0].shape[:2]
    for frame in frames[1:]:
        for part in (np.s_[height // 8 :, int(0.85 * width) :], np.s_[int(0.93 * height) :]):
            assert (frame[part] == frames[0][part]).all()
        assert (frame != frames[0]).any()


def test_two_fields_have_a_scale_each(shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, seen = shape("disk"), []
    make = movie.make_scale

    def remember(values: np.ndarray, *more: object) -> object:
        seen.append((np.nanmin(values), np.nanmax(values)))
        return make(values, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(movie, "make_scale", remember)
    states = [np.stack([np.full(mesh.n, 1.0 * k), np.full(mesh.n, 100.0 * k)], 1) for k in range(3)]
    states[1][0] = np.nan
    write_gif(tmp_path / "a.gif", mesh, [0, 1, 2], states, label=["u", "v"], unit=["K", "1"], dpi=50)
    assert seen == [(0, 2), (0, 200)]


def test_many_moments_and_large_files_are_thinned(
    shape: Shape, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh, times = shape("interval"), np.linspace(0, 1, 9)
    monkeypatch.setattr(movie, "MOST_FRAMES", 5)
    asked: list[int] = []

    def state(k: int) -> np.ndarray:
        asked.append(k)
        return waves(mesh, times)[k]

    assert write_gif(tmp_path / "a.gif", mesh, times, state, dpi=40) == 5
    assert sorted(set(asked)) == [0, 2, 4, 6, 8]
    monkeypatch.setattr(movie, "LARGEST", 1)
    assert write_gif(tmp_path / "b.gif", mesh, times, state, dpi=40) == 2


def test_what_movies_refuse(shape: Shape, tmp_path: Path) -> None:
    mesh = shape("disk")
    with pytest.raises(InputError, match=r"expected the ending .gif"):
        write_gif(tmp_path / "a.mp4", mesh, [0], [np.zeros(mesh.n)])
    with pytest.raises(InputError, match="no moments"):
        write_gif(tmp_path / "a.gif", mesh, [], [])
    with pytest.raises(ShapeError, match="2 times and 1 states"):
        write_gif(tmp_path / "a.gif", mesh, [0, 1], [np.zeros(mesh.n)])
    with pytest.raises(ShapeError, match="field has shape"):
        write_gif(tmp_path / "a.gif", mesh, [0], [np.zeros(3)])
    assert list(tmp_path.iterdir()) == []
