"""Curves: round-off drifts can be read, gaps stay gaps, scales are what they say."""

from __future__ import annotations

import numpy as np
import pytest

from graphpde.errors import InputError, ShapeError
from graphpde.viz import plot_curves

T = np.linspace(0.0, 1.0, 50)


def test_a_drift_of_round_off_is_drawn_as_relative_change() -> None:
    drift = 1e-15 * np.sin(9 * T)
    figure = plot_curves(T, {"energy": np.exp(-T), "mass": 0.75 * (1 + drift)}, "t [s]", "energy [J]", title="kept")
    above, below = figure.axes
    assert above.get_ylabel() == "energy [J]" and below.get_ylabel() == "relative change"
    assert below.get_xlabel() == "t [s]" and below.get_title(loc="left").startswith(
        "mass: from 0.75, changed by at most"
    )
    np.testing.assert_allclose(below.lines[-1].get_ydata(), drift, atol=3e-16)  # spacing of float64 near 0.75
    low, high = below.get_ylim()
    assert -2e-15 < low < 0 < high < 2e-15


def test_curves_that_vary_share_axes() -> None:
    figure = plot_curves(T, {"train": np.exp(-T), "test": np.exp(-2 * T)}, "step", "loss", log=True)
    (axes,) = figure.axes
    assert axes.get_yscale() == "log" and len(axes.lines) == 2
    assert [t.get_text().strip() for t in axes.get_legend().get_texts()] == ["train", "test"]


def test_an_exactly_constant_curve_is_a_level_line() -> None:
    (axes,) = plot_curves(T, {"mass": np.full(50, 2.0)}, "t", "mass").axes
    assert not axes.lines[-1].get_ydata().any() and "at most 0.0e+00" in axes.get_title(loc="left")
    assert axes.get_ylim()[1] == pytest.approx(1e-16)


def test_values_that_cannot_be_drawn_leave_gaps() -> None:
    y = np.exp(-T)
    y[[3, 4]] = [np.nan, np.inf]
    (axes,) = plot_curves(T, {"u": y}, "t", "u").axes
    assert np.isnan(axes.lines[0].get_ydata()).nonzero()[0].tolist() == [3, 4]
    (axes,) = plot_curves(T, {"u": T}, "t", "u", log=True).axes
    assert np.isnan(axes.lines[0].get_ydata()).nonzero()[0].tolist() == [0]
    plot_curves([0.0], {"one": [1.0]}, "t", "u").canvas.draw()
    plot_curves(T, {"zero": 0 * T, "$u_{$": T}, "$t_{$", "$^$").canvas.draw()


def test_wrong_curves_are_refused() -> None:
    with pytest.raises(InputError, match="got no curves"):
        plot_curves(T, {}, "t", "u")
    with pytest.raises(ShapeError, match="curve 'a' has 49 values, expected 50"):
        plot_curves(T, {"a": T[1:]}, "t", "u")
    with pytest.raises(InputError, match="curve 'a' has no finite value"):
        plot_curves(T, {"a": T * np.nan}, "t", "u")
    with pytest.raises(InputError, match="curve 'a' has no positive value"):
        plot_curves(T, {"a": -T}, "t", "u", log=True)
