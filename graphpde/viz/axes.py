"""Axes that tell the truth: one scale for all directions, coordinates with their unit, ticks that can be read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from graphpde.viz.canvas import FAINT, INK, labelled, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def style_axes(axes: Axes, ticks: int = 6) -> None:
    """Thin frame, small ticks, few round numbers."""
    for axis in (axes.xaxis, axes.yaxis):
        _set_ticks(axis, ticks)
        axis.label.set_fontsize(10)
        axis.label.set_color(INK)
    axes.tick_params(labelsize=9, width=0.6, length=3, color=FAINT, labelcolor=INK)
    for spine in axes.spines.values():
        spine.set_linewidth(0.6)
        spine.set_color(FAINT)


def _set_ticks(axis: Any, number: int) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(max(1, number), steps=[1, 2, 2.5, 5, 10]))


def frame_flat(axes: Axes, points: np.ndarray, length_unit: str | None, ticks: int = 6) -> None:
    """Axes in the plane around points [n, 2]."""
    low, high = points.min(0), points.max(0)
    extent = high - low
    margin = 0.03 * max(extent.max(), 1e-300)
    axes.set_aspect("equal", adjustable="box")
    axes.set_xlim(low[0] - margin, high[0] + margin)
    axes.set_ylim(low[1] - margin, high[1] + margin)
    axes.set_xlabel(labelled("x", length_unit))
    axes.set_ylabel(labelled("y", length_unit))
    style_axes(axes, ticks)
    for axis, own in zip((axes.xaxis, axes.yaxis), extent):
        if own < 0.25 * extent.max():  # numbers on a short side would stand on top of each other
            _set_ticks(axis, 2)


class Camera(NamedTuple):
    """A parallel projection of the box around points.

    Attributes:
        elevation, azimuth: of the viewer [degrees].
        middle, box: centre and sides of the box [3]. extent: of the points, which the box is a little larger than [3].
        size: width and height of a panel with the proportions of the projected box [inches].
        zoom: at which the projected box fills such a panel.
        top: height of its upper end in the axes, about 0..1.
    """

    elevation: float
    azimuth: float
    middle: np.ndarray
    box: np.ndarray
    size: tuple[float, float]
    zoom: float
    top: float
    extent: np.ndarray

    @property
    def viewer(self) -> np.ndarray:
        """Direction to the viewer [3]."""
        return _directions(self.elevation, self.azimuth)[2]

    @property
    def short(self) -> np.ndarray:
        """Sides too short for numbers of their own, which would stand on top of each other [3] bool."""
        return self.box < 0.15 * self.box.max()

    def range_of(self, k: int, length_unit: str | None) -> str:
        """``z from 0 to 0.1 m``: what the body takes up of a direction."""
        low, high = (float(self.middle[k] + sign * self.extent[k] / 2) for sign in (-1, 1))
        unit = "" if length_unit in (None, "", "1") else f" {plain(str(length_unit))}"
        if high - low <= 1e-9 * max(abs(low), abs(high), float(self.extent.max())):
            return f"{'xyz'[k]} = {high:.4g}{unit}"
        return f"{'xyz'[k]} from {low:.4g} to {high:.4g}{unit}"


def camera(points: np.ndarray) -> Camera:
    """Look at a corner of points [n, 3] from above, more steeply at plates, and at the broad side of upright slices."""
    low, high = points.min(0), points.max(0)
    extent = high - low
    largest = max(extent.max(), 1e-300)
    thin = extent < 0.3 * largest
    elevation, azimuth = (40 if thin[2] else 24), (-25 if thin[0] and not thin[1] else -58)
    box = np.maximum(extent, 0.02 * largest) + 0.04 * largest  # even a plane or a line gets a box with some depth
    right, upwards, _ = _directions(elevation, azimuth)
    # at zoom 1 matplotlib draws a box with this diagonal into the largest square of the panel, whose side counts 1.85
    sides = 1.8294640721620434 * 25 / 24 * box / np.linalg.norm(box)
    width, height = np.abs(right) @ sides, np.abs(upwards) @ sides
    ratio = float(np.clip(width / height, 0.6, 1.8))
    size = (5.2, 5.2 / ratio) if ratio > 1 else (4.8 * ratio, 4.8)
    zoom = 0.92 * 1.85 * min(size[0] / width, size[1] / height) / min(size)
    return Camera(elevation, azimuth, (low + high) / 2, box, size, zoom, 0.52 + 0.5 * height * zoom / 1.85, extent)


def _directions(elevation: float, azimuth: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """To the right, upwards and towards the viewer, each [3]."""
    up, around = np.radians(elevation), np.radians(azimuth)
    right = np.array([-np.sin(around), np.cos(around), 0.0])
    viewer = np.array([np.cos(up) * np.cos(around), np.cos(up) * np.sin(around), np.sin(up)])
    return right, np.cross(viewer, right), viewer


def frame_space(axes: Any, view: Camera, length_unit: str | None, ticks: int = 5) -> None:
    """Axes in space with true proportions."""
    axes.set_proj_type("ortho")
    axes.view_init(view.elevation, view.azimuth)
    axes.set_box_aspect(tuple(view.box), zoom=view.zoom)
    axes.tick_params(labelsize=8, color=FAINT, labelcolor=INK)
    short = view.short
    for k, (name, axis) in enumerate(zip("xyz", (axes.xaxis, axes.yaxis, axes.zaxis), strict=True)):
        middle, side = view.middle[k], view.box[k]
        getattr(axes, f"set_{name}lim")(middle - side / 2, middle + side / 2, view_margin=0)
        text = "" if short[k] else labelled(name, length_unit)
        if k == view.box.argmax() and short.any():
            text += f"   ({', '.join(view.range_of(int(j), length_unit) for j in np.flatnonzero(short))})"
        # matplotlib measures distances from the axis in sides of the box, which across a slender body are short
        far = (view.box.max() / np.delete(view.box, k).max()) ** 0.5
        labelpad = -3 if name == "z" and far < 1.5 else 4 if far >= 1.5 else 2
        getattr(axes, f"set_{name}label")(text, labelpad=(labelpad + 21) * far - 21, fontsize=10, color=INK)
        axis.set_tick_params(pad=8 * far - 8)
        axis.set_pane_color((1, 1, 1, 0))
        axis.line.set_color(FAINT)
        axis.line.set_linewidth(0.0 if short[k] else 0.6)
        if short[k]:
            axis.set_ticks([])
        else:
            _set_ticks(axis, round(ticks * side / view.box.max()))
    axes.grid(False)
    axes.patch.set_visible(False)  # it would cover the labels of a neighbour


def hide_space(axes: Any) -> None:
    """Take the axes in space away; unlike those that are off they keep their room, which a picture may need all of."""
    for name, axis in zip("xyz", (axes.xaxis, axes.yaxis, axes.zaxis), strict=True):
        getattr(axes, f"set_{name}label")("")
        axis.set_ticks([])
        axis.line.set_linewidth(0.0)
