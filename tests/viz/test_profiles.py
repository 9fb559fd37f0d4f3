"""Line plots: one curve a moment, coloured by time, gaps where the line leaves the mesh."""

from __future__ import annotations

import numpy as np
import pytest

from graphpde.errors import InputError, ShapeError
from graphpde.viz import plot_profiles


def test_curves_are_coloured_by_time_and_labelled() -> None:
    s, times = np.linspace(0, 2, 5), np.linspace(0, 10, 4)
    u = np.outer(times, s)
    figure = plot_profiles(s, {"u": u, "v": -u}, times, units={"u": "K"}, length_unit="mm", time_unit="h")
    panels = figure.axes[:2]
    assert [axes.get_ylabel() for axes in panels] == ["u [K]", "v"]
    assert panels[1].get_xlabel() == "distance along the line [mm]" and figure.axes[2].get_ylabel() == "t [h]"
    lines = panels[0].get_lines()
    assert len(lines) == 4 and len({tuple(line.get_color()) for line in lines}) == 4
    for line, row in zip(lines, u, strict=True):
        assert line.get_ydata() == pytest.approx(row)


def test_many_moments_are_thinned_and_one_has_no_colour_bar() -> None:
    s = np.linspace(0, 1, 3)
    many = plot_profiles(s, {"u": np.zeros((500, 3)) + np.arange(500)[:, None]}, np.arange(500))
    drawn = [line.get_ydata()[0] for line in many.axes[0].get_lines()]
    assert len(drawn) == 25 and drawn[0] == 0 and drawn[-1] == 499
    assert len(plot_profiles(s, {"u": [[0, np.nan, 1]]}, [0]).axes) == 1


def test_what_profiles_refuse() -> None:
    with pytest.raises(ShapeError, match=r"'u' has shape \[1, 2\], expected \[1, 3\]"):
        plot_profiles([0, 1, 2], {"u": [[1, 2]]}, [0])
    with pytest.raises(InputError, match="no finite value"):
        plot_profiles([0, 1], {"u": [[np.nan, np.nan]]}, [0])
    with pytest.raises(InputError, match="no profiles"):
        plot_profiles([0, 1], {}, [0])
