"""Pictures of flows: seams, scales, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from graphpde.errors import InputError, ShapeError
from graphpde.mesh import sphere
from graphpde.viz import save_figure
from graphpde.viz.flows import plot_density, plot_histograms, plot_paths, plot_points
from graphpde.viz.surface_points import plot_on_surface


def test_paths_are_cut_where_angles_wrap() -> None:
    """170, 179, -172, -160 degrees: the line over the seam is left out, the others stay."""
    angle = np.array([170.0, 179, -172, -160])
    states = np.stack([angle, np.zeros(4)], 1)[:, None]
    for period, gaps in ((360.0, 1), (None, 0)):
        axes = plot_paths(states, ["a", "b"], period=period).axes[0]
        x = axes.lines[0].get_xdata()
        assert int(np.isnan(x).sum()) == gaps
        if period:
            pieces = np.abs(np.diff(x))
            assert np.nanmax(pieces) <= 12


def test_scales_and_limits() -> None:
    x = np.random.default_rng(0).normal(size=(50, 2)) * [10, 1]
    limits = ((-180.0, 180.0), (-90.0, 90.0))
    figure = plot_points({"data": x, "flow": x}, ["a", "b"], limits=limits, equal=True, title="Samples")
    for axes in figure.axes:
        assert axes.get_xlim() == (-180, 180)
        assert axes.get_ylim() == (-90, 90)
        assert axes.get_aspect() == 1
    assert figure.get_suptitle() == "Samples"
    assert plot_points({"data": x}, ["a", "b"]).axes[0].get_aspect() == "auto"
    p = np.ones((4, 3))
    density = plot_density(np.arange(4.0), np.arange(3.0), p, ["a", "b"], "share", equal=True, title="Density")
    assert density.axes[0].get_aspect() == 1
    assert density.get_suptitle() == "Density"


def test_histograms_show_shares() -> None:
    x = np.random.default_rng(0).normal(size=2000)
    figure = plot_histograms({"data": x}, "a", curve=([0.0, 1.0], [0.4, 0.2]))
    outline = figure.axes[0].patches[0].get_xy()
    steps = np.unique(outline[:, 0])
    area = float(np.trapezoid(outline[:, 1], outline[:, 0])) if hasattr(np, "trapezoid") else 1.0
    assert abs(area) == pytest.approx(1, abs=1e-6)
    assert len(steps) > 10


def test_points_on_a_surface_are_seen_from_their_own_side(tmp_path) -> None:
    """One dot at each end of the axis of view: each panel shows one."""
    mesh = sphere(2)
    from graphpde.viz.axes import camera

    viewer = camera(mesh.points.numpy()).viewer
    figure = plot_on_surface(mesh, np.stack([viewer, -viewer]), density=torch.ones(mesh.n_cells), title="Density")
    assert len(figure.axes) == 3
    for axes in figure.axes[:2]:
        (body,) = axes.collections
        colours = body.get_facecolor() if len(body._facecolor3d) == 0 else body._facecolor3d
        assert int((np.abs(colours[:, 0] - 0xD5 / 255) < 1e-6).sum()) == 6  # a hexagon
    save_figure(figure, tmp_path / "a.png", dpi=50)
    ways = np.linspace(-1, 1, 5)[:, None, None] * np.ones((5, 2, 3))
    assert len(plot_on_surface(mesh, np.zeros((0, 3)), ways=ways).axes) == 2


def test_refused() -> None:
    mesh = sphere(1)
    with pytest.raises(InputError, match="got no numbers to draw"):
        plot_histograms({}, "a")
    with pytest.raises(InputError, match=r"the paths have shape \[3, 2\]"):
        plot_paths(np.zeros((3, 2)), ["a", "b"])
    with pytest.raises(InputError, match=r"expected \[3, 3\]"):
        plot_density(np.arange(3.0), np.arange(3.0), np.ones((2, 2)), ["a", "b"], "share")
    with pytest.raises(InputError, match="got no points to draw"):
        plot_points({}, ["a", "b"])
    with pytest.raises(ShapeError, match=r"points \[2, 2\] on a mesh in 3 dimensions, expected \[k, 3\] in 3"):
        plot_on_surface(mesh, np.zeros((2, 2)))
    with pytest.raises(ShapeError, match="the density has 3 values, expected 80"):
        plot_on_surface(mesh, np.zeros((2, 3)), density=np.ones(3))
    with pytest.raises(ShapeError, match=r"the ways have shape \[2, 3\]"):
        plot_on_surface(mesh, np.zeros((2, 3)), ways=np.zeros((2, 3)))
