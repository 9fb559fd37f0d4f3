"""Results against a parameter: the abscissa can be read whatever the parameters span."""

from __future__ import annotations

from itertools import pairwise

import pytest

from graphpde.errors import InputError
from graphpde.viz.dependence import plot_dependence


@pytest.mark.parametrize("x", [[15.0, 22.0, 60.0, 110.0, 237.0, 401.0], [0.1, 0.3, 1.0, 3.0, 10.0], [1e-6, 1.0, 1e3]])
def test_numbers_of_a_logarithmic_axis_stand_apart(x: list[float]) -> None:
    figure = plot_dependence(x, {"heat": {"": x}}, "conductivity")
    figure.canvas.draw()
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    low, high = axes.get_xlim()
    labels = [*axes.get_xticklabels(), *axes.get_xticklabels(minor=True)]
    shown = [label for label in labels if label.get_text() and low <= label.get_position()[0] <= high]
    boxes = sorted((label.get_window_extent() for label in shown), key=lambda box: box.x0)
    assert len(boxes) >= 3
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_near_parameters_get_an_even_axis_and_words_keep_their_order() -> None:
    (axes,) = plot_dependence([1.0, 2.0, 3.0], {"heat": {"": [1.0, 2.0, 3.0]}}, "conductivity").axes
    assert axes.get_xscale() == "linear"
    (axes,) = plot_dependence(["steel", "brass"], {"heat": {"": [1.0, 2.0]}}, "metal").axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["steel", "brass"]


def test_curves_need_a_value_for_each_parameter() -> None:
    with pytest.raises(InputError, match="'heat' has 2 values in 'a', expected 3"):
        plot_dependence([1.0, 2.0, 3.0], {"heat": {"a": [1.0, 2.0]}}, "k")
    with pytest.raises(InputError, match="nothing to draw"):
        plot_dependence([], {}, "k")
