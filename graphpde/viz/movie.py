"""Fields in motion: an animated GIF of the saved moments in one colour scale."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from graphpde.errors import InputError, OutputError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.arrays import as_array
from graphpde.viz.canvas import labelled, plain
from graphpde.viz.colours import Scale, make_scale
from graphpde.viz.files import written
from graphpde.viz.pictures import channels_of, labels_of
from graphpde.viz.scene import Scene, Style, fit_values, moment, scene, torn

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

MOST_FRAMES = 120
LARGEST = 8_000_000  # bytes; above it moments are left out
SECONDS = 6.0  # a movie lasts, unless frames would be shorter than
_SHORTEST, _LONGEST = 0.05, 0.5  # or longer than these


def write_gif(
    path: str | os.PathLike[str],
    mesh: Mesh,
    times: Any,
    state: Callable[[int], Any] | Sequence[Any],
    *,
    title: str | None = None,
    label: str | Sequence[str] = "u",
    unit: str | Sequence[str] | None = None,
    length_unit: str | None = "m",
    time_unit: str | None = "s",
    dpi: int = 80,
    per_cell: bool = False,
) -> int:
    """Write an animated GIF of a field and return how many frames it has.

    All frames have one colour scale for each channel, from the smallest to the largest value of all moments. Of many
    moments at most 120, evenly spread, are shown; of those every second one goes until the file has at most 8 MB.
    It plays for 6 s or so and begins again.

    Args:
        path: the file, ``.gif``. mesh: where the field lives.
        times: saved times [s]. state: the values [n] or [n, c] at points of moment k, as a list or a function of k, so
            that they need not all be in memory.
        unit: unit of the values, or one for each channel.
        dpi: pixels per inch; a flat square mesh is about 6 inches wide. The other arguments: see
            :func:`~graphpde.viz.pictures.plot_field`.

    Raises:
        InputError: no moments, no finite value, another extension. ShapeError: values that do not fit the mesh.
        OutputError: Pillow is missing, or the place cannot be written.
    """
    path = _gif(path)
    times = as_array(times, "times").reshape(-1)
    if not len(times):
        raise InputError("there are no moments to animate, expected at least one")
    ask = state if callable(state) else state.__getitem__
    if not callable(state) and len(state) != len(times):
        raise ShapeError(f"got {len(times)} times and {len(state)} states, expected as many of each")
    shown = np.unique(np.linspace(0, len(times) - 1, min(MOST_FRAMES, len(times))).round().astype(np.int64))
    scales, units = _scales((channels_of(ask(int(k)), mesh, per_cell) for k in shown), label, unit)
    screen = _Screen(
        torn(mesh) if per_cell else scene(mesh), scales, units, Style(None, length_unit, panels=3 * len(scales)), dpi
    )
    names = [moment(times[k], time_unit) for k in shown]
    headings = [f"{title}, {name}" if title else name for name in names]
    pictures = [
        screen.show(channels_of(ask(int(k)), mesh, per_cell), heading)
        for k, heading in zip(shown, headings, strict=True)
    ]
    return _fitted(pictures, path)


def write_figures(path: str | os.PathLike[str], figures: Iterable[Figure], *, dpi: int = 80) -> int:
    """Write an animated GIF of figures of one size and return how many frames it has: of as many as make 8 MB.

    Raises:
        InputError: no figures, another extension than ``.gif``. OutputError: Pillow is missing, or the place cannot be
            written.
    """
    image, pictures, path = _pillow(), [], _gif(path)
    for figure in figures:
        figure.set_dpi(dpi)
        figure.canvas.draw()
        rgba = np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
        frame = image.fromarray(np.ascontiguousarray(rgba[:, :, :3]))
        pictures.append(frame.quantize(255, dither=image.Dither.NONE))
    if not pictures:
        raise InputError("there are no figures to animate, expected at least one")
    return _fitted(pictures, path)


def _pillow() -> Any:
    """The module that makes pictures of numbers."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise OutputError("an animation needs Pillow, which comes with matplotlib; run: pip install pillow") from None
    return Image


def _gif(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    if path.suffix.lower() != ".gif":
        raise InputError(f"cannot save an animation as '{path.name}'; expected the ending .gif")
    return path


def _fitted(pictures: list[Image], path: Path) -> int:
    """Written, every second one left out until they are small enough."""
    while True:
        with written(path) as aside:
            _save(pictures, aside)
            size = aside.stat().st_size
        if size <= LARGEST or len(pictures) <= 2:
            return len(pictures)
        last = pictures[-1]
        pictures = pictures[::2] if len(pictures) % 2 else [*pictures[:-1:2], last]


def _scales(
    states: Iterator[np.ndarray], label: str | Sequence[str], unit: str | Sequence[str] | None
) -> tuple[list[Scale], list[str | None]]:
    """One colour scale for each channel over all moments."""
    ends: list[tuple[np.ndarray, np.ndarray]] = []
    for u in states:
        kept = np.where(np.isfinite(u), u, np.nan)
        some = ~np.isnan(kept).all(0)
        low, high = (np.full(u.shape[1], np.nan) for _ in range(2))
        low[some], high[some] = np.nanmin(kept[:, some], 0), np.nanmax(kept[:, some], 0)
        ends.append((low, high))
    both = np.concatenate([np.stack(pair) for pair in ends])
    labels = labels_of(label, both.shape[1])
    units: list[str | None] = [unit] * len(labels) if unit is None or isinstance(unit, str) else [*unit]
    return [make_scale(both[:, k], name, None, None, "viridis") for k, name in enumerate(labels)], units


class _Screen:
    """One figure that shows one moment after the other; laid out once, so that nothing but the field moves."""

    def __init__(self, seen: Scene, scales: list[Scale], units: list[str | None], style: Style, dpi: int):
        self.seen, self.scales, self.style = seen, scales, style
        self.labels = [labelled(scale.label, unit) for scale, unit in zip(scales, units, strict=True)]
        self.figure, grid = seen.panels(1, len(scales), seen.wide)
        self.panels = list(grid[0])
        self.figure.set_dpi(dpi)
        if seen.kind != "curve":
            for panel, scale, unit in zip(self.panels, scales, units, strict=True):
                seen.add_colour_bar(self.figure, scale, [panel], unit)
        self.laid_out = False
        self.palette: Image | None = None

    def show(self, fields: np.ndarray, heading: str) -> Image:
        """The picture of the values [n, c]."""
        pillow = _pillow()
        for panel, u, scale, label in zip(self.panels, fields.T, self.scales, self.labels, strict=True):
            for artist in [*panel.collections, *panel.lines]:
                artist.remove()
            self.seen.draw(panel, u, scale, self.style)
            if self.seen.kind == "curve":
                fit_values(panel, scale, label)
        # in a type of one width and from the left: digits that change must not push the others
        self.figure.suptitle(plain(heading, 80), fontsize=11, family="monospace", x=0.02, ha="left")
        self.figure.canvas.draw()
        if not self.laid_out:
            self.figure.set_layout_engine("none")
            self.laid_out = True
        rgba = np.asarray(self.figure.canvas.buffer_rgba())  # type: ignore[attr-defined]
        rgb = pillow.fromarray(np.ascontiguousarray(rgba[:, :, :3]))
        if self.seen.kind == "curve":
            return rgb.quantize(255, dither=pillow.Dither.NONE)
        if self.palette is None:
            self.palette = pillow.new("P", (1, 1))
            self.palette.putpalette(_palette(self.scales[0], lit=self.seen.in_space).tobytes())
        return rgb.quantize(palette=self.palette, dither=pillow.Dither.NONE)


def _palette(scale: Scale, lit: bool) -> np.ndarray:
    """The colours of all frames [256, 3]: those of the colour map, in several shades if lit, and greys for the rest.

    Colours chosen by how often they occur would leave the colour bar in coarse steps and flicker from frame to frame.
    """
    greys = np.repeat(np.linspace(0, 255, 32)[:, None], 3, 1)
    shades = np.linspace(1.0, 0.68, 7) if lit else np.ones(1)
    hues = 255 * scale.cmap(np.linspace(0, 1, (256 - len(greys)) // len(shades)))[:, :3]
    return np.round(np.concatenate([greys, *(shade * hues for shade in shades)])).astype(np.uint8)


def _save(pictures: list[Image], path: Path) -> None:
    pause = min(max(SECONDS / len(pictures), _SHORTEST), _LONGEST)
    lengths = [round(1000 * pause)] * (len(pictures) - 1) + [1500]  # the end stands still for a while
    pictures[0].save(
        path, format="GIF", save_all=True, append_images=pictures[1:], duration=lengths, loop=0, optimize=False
    )
