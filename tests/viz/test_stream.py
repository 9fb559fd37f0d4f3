"""Streamlines over the speed: on the mesh alone, whatever the velocity."""

from __future__ import annotations

import pytest
import torch

from graphpde.errors import ShapeError
from graphpde.mesh import rectangle
from graphpde.viz import plot_stream


def test_lines_follow_the_velocity_and_stay_inside() -> None:
    from matplotlib.collections import LineCollection

    mesh = rectangle(4, 2, width=2.0)
    x, y = torch.linspace(0, 2, 20), torch.linspace(0, 1, 10)
    across = torch.zeros(10, 20, 2)
    across[..., 0] = 1.0
    across[:, 15:] = float("nan")  # no fluid there
    figure = plot_stream(mesh, torch.ones(mesh.n), x, y, across, label="speed", unit="m/s")
    lines = [c for c in figure.axes[0].collections if isinstance(c, LineCollection)]
    ends = [segment for c in lines for segment in c.get_segments() if len(segment) == 2]
    along = [s for s in ends if abs(s[1][0] - s[0][0]) > 0 and abs(s[1][1] - s[0][1]) < 1e-12]
    assert along and max(s[1][0] for s in along if s[1][0] < 1.9) <= 1.6
    assert figure.axes[0].get_xlim()[1] >= 2.0
    rest = plot_stream(mesh, torch.zeros(mesh.n), x, y, torch.zeros(10, 20, 2))
    assert len(rest.axes[0].collections) < len(figure.axes[0].collections) + 1
    with pytest.raises(ShapeError, match=r"the velocity has shape \[20, 10, 2\], expected \[10, 20, 2\]"):
        plot_stream(mesh, torch.ones(mesh.n), x, y, across.transpose(0, 1))
