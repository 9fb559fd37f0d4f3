"""Pictures of classifications: what they show and refuse."""

from __future__ import annotations

import numpy as np
import pytest

from graphpde.errors import GraphError, InputError, ShapeError
from graphpde.viz.classification import plot_classes, plot_confusion, plot_energy, plot_training


def test_pictures_of_classes() -> None:
    figure = plot_confusion([[3, 1], [0, 2]], ["cats", "dogs"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["3", "1", "2"]
    figure = plot_classes(np.eye(12, 2), np.arange(12), np.arange(12) < 2, pairs=[[0, 1], [1, 0]])
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[-1] == "wrong (2)" and len(legend) == 13
    colours = [tuple(dots.get_facecolor()[0]) for dots in figure.axes[0].collections if len(dots.get_facecolor())]
    assert len(set(colours[:9])) == 9
    assert len(plot_training([1, 2], {"loss": [2.0, 1.0]}, {"accuracy": [0.1, 0.5]}, chosen=2).axes) == 2
    assert plot_energy([0, 1, 2], [1.0, 0.1, 0.01], "time").axes[0].get_yscale() == "log"
    assert plot_energy([1, 2, 3], [1.0, 0.5, 0.4], "layer").axes[0].get_ylim()[0] == 0
    with pytest.raises(ShapeError, match=r"expected \[k, k\] and k names"):
        plot_confusion([[1, 2]])
    with pytest.raises(ShapeError, match=r"expected \[n, 2\], \[n\], \[n\]"):
        plot_classes(np.eye(3, 2), [0, 1], [0, 0, 0])
    with pytest.raises(ShapeError, match="'loss' has 1 values, expected 2"):
        plot_training([1, 2], {"loss": [2.0]}, {"accuracy": [0.1, 0.5]})
    with pytest.raises(InputError, match="no node to count"):
        plot_confusion([[0, 0], [0, 0]])
    with pytest.raises(GraphError, match=r"names node 7, expected 0..2"):
        plot_classes(np.eye(3, 2), [0, 1, 0], [0, 0, 0], pairs=[[0, 7]])
    with pytest.raises(InputError, match="not finite"):
        plot_classes(np.full((3, 2), np.nan), [0, 1, 0], [0, 0, 0])


def test_classes_are_named_where_there_is_room() -> None:
    points = np.random.default_rng(0).normal(size=(400, 2))
    figure = plot_classes(points, np.arange(400) % 3, np.zeros(400), names=["a", "b", "c", "d"])
    assert [text.get_text() for text in figure.axes[0].texts] == ["a", "b", "c"]
    assert [text.get_text() for text in figure.legends[0].get_texts()][3] == "d (0)"
    few = plot_classes(points[:50], np.arange(50) % 3, np.zeros(50))
    assert not few.axes[0].texts
