"""Figures without global state: no pyplot, no rcParams; plain text, axis labels, saving."""

from __future__ import annotations

import os
import textwrap
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graphpde.errors import InputError
from graphpde.viz.files import written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, FAINT = "#222222", "#8a8a8a"
"""Colours of text and of secondary lines."""

CROP: dict[str, Any] = {"bbox_inches": "tight", "pad_inches": 0.12}
"""Saved pictures end a little outside of what they show."""

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure [inches] drawn by Agg, laid out so that nothing overlaps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def picture_kind(path: str | os.PathLike[str]) -> str:
    """ "png", "svg" or "pdf", by the extension.

    Raises:
        InputError: another extension.
    """
    path = Path(path)
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise InputError(f"cannot save a picture as '{path.name}'; expected an ending of {', '.join(FORMATS)}")
    return kind


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write a figure as PNG, SVG or PDF, by the extension, without a date; it appears complete or not at all.

    Raises:
        InputError: another extension. OutputError: the place cannot be written.
    """
    path = Path(path)
    kind = picture_kind(path)
    dates: dict[str, Any] = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[kind]
    with written(path) as aside:
        figure.savefig(aside, format=kind, dpi=dpi, metadata=dates, **CROP)
    return path


@lru_cache(maxsize=1)
def _drawable() -> frozenset[int]:
    from matplotlib.font_manager import FontProperties, findfont, get_font

    return frozenset(get_font(findfont(FontProperties())).get_charmap())


def plain(text: object, limit: int = 60) -> str:
    """Text from strangers as a label: no mathematics mode, no control characters, no glyph the font lacks."""
    known = _drawable()
    shown = "".join(c if ord(c) in known else ("\N{WHITE SQUARE}" if c.isprintable() else " ") for c in str(text))
    shown = " ".join(shown.split())
    if len(shown) > limit:
        # the middle goes: long names of sets often differ at their end only
        shown = shown[: limit // 2] + "\N{HORIZONTAL ELLIPSIS}" + shown[1 - (limit - limit // 2) :]
    return shown.replace("$", r"\$")


def labelled(quantity: str, unit: str | None) -> str:
    """``u [K]``; without a unit (None, "" or "1") the quantity alone."""
    return plain(quantity) if unit in (None, "", "1") else f"{plain(quantity)} [{plain(unit)}]"


def entitle(figure: Figure, title: str | None) -> None:
    """Put a title over all of the figure, wrapped to its width."""
    if title:
        width = max(20, int(figure.get_figwidth() * 10))
        figure.suptitle(textwrap.fill(plain(title, 160), width), fontsize=11, color=INK)
