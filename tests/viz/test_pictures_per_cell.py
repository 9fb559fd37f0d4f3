"""Cell averages are shown as they are: one colour a cell, steps on a line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.config import prepare, read_config
from graphpde.errors import ShapeError
from graphpde.mesh import box, interval, rectangle, sphere, star
from graphpde.run import simulate
from graphpde.viz import plot_field, plot_frames
from graphpde.viz.scene import torn

MESHES = {
    "line": interval(5), "triangles": rectangle(3, 2), "quads": rectangle(2, 3, cells="quad"), "surface": sphere(0.8),
    "solid": box(2, 2, 2), "network": star(3, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", list(MESHES))
def test_each_piece_has_the_value_of_its_cell(name: str) -> None:
    """Every painted piece lies in the cell whose value it shows, found here by its centre."""
    mesh = MESHES[name]
    seen, values = torn(mesh), np.arange(mesh.n_cells, dtype=float)
    u = seen.spread(values)
    pieces = seen.pairs if seen.shape is None else seen.shape.triangles
    assert not np.isnan(u[pieces]).any() and (np.ptp(u[pieces], axis=1) == 0).all()
    corners = np.concatenate([v.numpy() for _, v, _ in mesh.corners()])
    for piece in pieces:
        cell = mesh.points.numpy()[corners[int(u[piece[0]])]]
        apart = np.abs(seen.points[piece][:, None] - cell[None]).max(2).min(1)
        assert apart.max() < 1e-12  # each corner is one of the cell's
    if mesh.dim < 3:
        assert set(u[pieces[:, 0]]) == set(values)


@pytest.mark.parametrize("name", list(MESHES))
def test_they_are_drawn(name: str, tmp_path: Path) -> None:
    mesh = MESHES[name]
    values = torch.arange(mesh.n_cells, dtype=torch.float64)[:, None]
    plot_field(mesh, values, per_cell=True).savefig(tmp_path / "a.png")
    plot_frames(mesh, [0.0, 1.0], [values, 2 * values], per_cell=True).savefig(tmp_path / "b.png")


def test_the_colours_of_a_flat_picture_jump(tmp_path: Path) -> None:
    mesh = rectangle(4, 1, cells="quad")
    figure = plot_field(mesh, torch.tensor([0.0, 1.0, 0.0, 1.0]), per_cell=True, show_mesh=False)
    painted = [c for c in figure.axes[0].collections if c.get_array() is not None and np.size(c.get_array())]
    assert set(np.concatenate([np.ravel(c.get_array()) for c in painted])) == {0.0, 1.0}


def test_other_numbers_of_values_are_refused() -> None:
    with pytest.raises(ShapeError, match="expected one value for each of the 12 cells"):
        plot_field(rectangle(3, 2), torch.zeros(11), per_cell=True)


def test_a_run_of_cell_averages(tmp_path: Path) -> None:
    """Pictures, the animation and a probe; the probe reads the average of its cell."""
    setup = prepare(read_config({
        "pde": "advection", "element": "dg0", "mesh": {"shape": "rectangle", "size": 0.25},
        "time": {"end": 0.1, "frames": 2}, "output": {"animation": True, "probes": {"p": [0.3, 0.4]}},
    }))  # fmt: skip
    simulate(setup, tmp_path / "run")
    assert {"final.png", "frames.png", "animation.gif"} <= {f.name for f in (tmp_path / "run/figures").iterdir()}
    last = [float(v) for v in (tmp_path / "run/probes.csv").read_text().splitlines()[-1].split(",")]
    with np.load(tmp_path / "run/fields/run.npz") as kept:
        assert last[1] in kept["states"][-1].ravel().tolist()
    assert json.loads((tmp_path / "run/manifest.json").read_text())["status"] == "ok"
