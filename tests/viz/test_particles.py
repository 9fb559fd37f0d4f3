"""Pictures of particles: names of axes, limits, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from graphpde.errors import InputError
from graphpde.viz.particles import limits_of, plot_history, plot_particles, plot_ways


def test_a_history_names_its_axes_and_is_symmetric_about_zero() -> None:
    values = np.array([[0.0, 1.0, -3.0], [2.0, 0.0, 1.0]])
    axes = plot_history([0.0, 1.0], values, label="displacement", along="number").axes[0]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("t", "number")
    assert axes.collections[0].get_clim() == (-3.0, 3.0)
    assert plot_history([0.0, 1.0], values, label="q").axes[0].get_ylabel() == "number along the row"


def test_a_few_that_are_far_away_do_not_decide_the_limits() -> None:
    x = np.random.default_rng(0).uniform(size=(1000, 2))
    x[0] = 1e6
    box = limits_of(x)
    assert (box[0] <= x[1:].min(0)).all() and (box[1] >= x[1:].max(0)).all() and box.max() < 2


@pytest.mark.parametrize(
    "draw,said",
    [
        (lambda: plot_history([0.0, 1.0], np.zeros((3, 4)), label="q"), r"shape \[3, 4\] and there are 2 times"),
        (lambda: plot_ways(np.zeros((5, 2))), r"shape \[5, 2\], expected \[s, k, 2\]"),
        (lambda: plot_particles([]), r"shapes \[\], expected \[n, 2\] or \[n, 3\]"),
        (lambda: plot_particles([np.zeros((4, 1))]), r"shapes \[\[4, 1\]\], expected \[n, 2\] or \[n, 3\]"),
    ],
)
def test_other_shapes_are_refused(draw, said) -> None:
    with pytest.raises(InputError, match=said):
        draw()
