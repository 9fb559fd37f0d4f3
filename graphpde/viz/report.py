"""The report of a run: one HTML file that carries its pictures, tables and verdicts and needs nothing else."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from graphpde.errors import InputError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.canvas import CROP
from graphpde.viz.certificate import Certificate
from graphpde.viz.files import written
from graphpde.viz.page import STYLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Picture:
    """A picture with its caption.

    Args:
        data: the bytes of a PNG, SVG or GIF; b"" for one that is linked.
        caption: what it shows, one sentence; also read aloud to those who cannot see it.
        link: where the picture lies beside the page, for one too large to be carried by it.
    """

    data: bytes
    caption: str
    link: str = ""

    @classmethod
    def of(cls, figure: Figure, caption: str) -> Picture:
        """The picture of a figure, as PNG."""
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130, metadata={"Software": None}, **CROP)
        return cls(buffer.getvalue(), caption)

    @property
    def width(self) -> int | None:
        """Width on the page [px] at which texts in all pictures have one size; None for those that bring their own."""
        if self.link:
            return None
        return round(int.from_bytes(self.data[16:20], "big") / 1.3) if self.media == "image/png" else None

    @property
    def media(self) -> str:
        """Media type, from the first bytes.

        Raises:
            InputError: neither PNG, SVG nor GIF.
        """
        if self.data.startswith(b"\x89PNG"):
            return "image/png"
        if self.data.startswith(b"GIF8"):
            return "image/gif"
        if b"<svg" in self.data[:2000]:
            return "image/svg+xml"
        raise InputError(f"picture '{self.caption}' is neither PNG, SVG nor GIF")


@dataclass(frozen=True)
class Table:
    """A table: a heading for each column (or none), rows of texts and numbers, and sentences below it.

    Numbers stand right-aligned. ``notes`` is for warnings and remarks.
    """

    title: str
    rows: Sequence[Sequence[Any]]
    header: Sequence[str] = ()
    notes: Sequence[str] = ()

    def __post_init__(self) -> None:
        lengths = {len(row) for row in self.rows} | ({len(self.header)} if self.header else set())
        if len(lengths) > 1:
            raise InputError(f"table '{self.title}' has rows of {sorted(lengths)} columns, expected as many in each")

    @classmethod
    def of(cls, title: str, values: Mapping[str, Any], header: Sequence[str] = ()) -> Table:
        """Two columns, name and value."""
        return cls(title, [(name, value) for name, value in values.items()], header)


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading of its own: a sentence, pictures, tables, and files that hold more.

    ``files`` are names relative to the page, which become links.
    """

    title: str
    text: str = ""
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    files: Sequence[str] = ()


@dataclass(frozen=True)
class Report:
    """What a report says, from top to bottom.

    Args:
        title: what was computed. summary: the result in one sentence.
        certificates: verdicts, shown first. figures: pictures with captions. sections: what else was measured.
        tables: parameters, mesh, timings.
        command: the line that computes it again. versions: name -> version of what computed it.
    """

    title: str
    summary: str
    certificates: Sequence[Certificate] = ()
    figures: Sequence[Picture] = ()
    tables: Sequence[Table] = ()
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    sections: Sequence[Section] = ()


def write_report(path: str | os.PathLike[str], report: Report) -> Path:
    """Write one HTML file; it appears complete or not at all.

    Every text is escaped: names of sets and fields come from other people's files.

    Raises:
        OutputError: the place cannot be written. InputError: a picture is neither PNG nor SVG.
    """
    path = Path(path)
    page = render(report)
    with written(path) as aside:
        aside.write_text(page, encoding="utf-8")
    return path


def mesh_table(mesh: Mesh) -> Table:
    """Points, cells, named sets with their sizes, and the warnings of import."""
    kinds = {0: "points", mesh.dim - 1: "facets", mesh.dim: "cells"}
    rows: list[tuple[str, Any]] = [("points", mesh.n), ("points used by cells", len(mesh.used_points))]
    rows += [(f"{kind} cells", len(nodes)) for kind, nodes in mesh.cells.items()]
    rows += [("dimension of the cells", mesh.dim), ("dimension of space", mesh.space_dim)]
    rows += [(f"set '{name}', {kinds.get(tag.dim, 'edges')}", len(tag.ids)) for name, tag in mesh.tags.items()]
    return Table(f"Mesh {mesh.name}", rows, notes=mesh.warnings)


def render(report: Report) -> str:
    """The page as text."""
    parts = [
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{escape(report.title)}</title>',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="generator" content="graphpde">',
        f"<style>{STYLE}</style>\n</head>\n<body>\n<main>",
        f'<h1>{escape(report.title)}</h1>\n<p class="summary">{escape(report.summary)}</p>',
        _badges(report.certificates),
        "<h2>Pictures</h2>" if report.figures else "",
        *(_figure(picture) for picture in report.figures),
        *(_section(section) for section in report.sections),
        *(_table(table) for table in report.tables),
        _again(report),
        "</main>\n</body>\n</html>\n",
    ]
    return "\n".join(part for part in parts if part)


def _badges(certificates: Sequence[Certificate]) -> str:
    if not certificates:
        return ""
    items = []
    for c in certificates:
        kind, word = (
            ("bad", "failed") if not c.passed else ("ok", "ok") if c.target is not None else ("info", "measured")
        )
        number = c.sentence.removeprefix(c.title).strip()
        items.append(
            f'<li class="{kind}"><span class="word">{word}</span><strong>{escape(c.title)}</strong>'
            f'<span class="number">{escape(number)}</span></li>'
        )
    return '<ul class="badges">\n' + "\n".join(items) + "\n</ul>"


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.text:
        parts.append(f"<p>{escape(section.text)}</p>")
    parts += [_figure(picture) for picture in section.figures]
    parts += ["".join(_grid(table)) for table in section.tables]
    if section.files:
        links = ", ".join(f'<a href="{quote(name)}">{escape(name)}</a>' for name in section.files)
        parts.append(f'<p class="note">In full: {links}</p>')
    return "<section>\n" + "\n".join(part for part in parts if part) + "\n</section>"


def _figure(picture: Picture) -> str:
    source = quote(picture.link)
    if not source:
        source = f"data:{picture.media};base64,{base64.b64encode(picture.data).decode('ascii')}"
    caption = escape(picture.caption)
    width = "" if picture.width is None else f' width="{picture.width}"'
    return f'<figure>\n<img src="{source}" alt="{caption}"{width}>\n<figcaption>{caption}</figcaption>\n</figure>'


def _table(table: Table) -> str:
    grid, under = _grid(table)
    return f"<section>\n<h2>{escape(table.title)}</h2>\n{grid}{under}\n</section>"


def _grid(table: Table) -> tuple[str, str]:
    """The table itself and the remarks below it."""
    numeric = [all(_is_number(row[k]) for row in table.rows) for k in range(len(table.rows[0]) if table.rows else 0)]
    css = [' class="number"' if n else "" for n in numeric] or [""] * len(table.header)
    head = "".join(f"<th{c}>{escape(str(name))}</th>" for name, c in zip(table.header, css))
    rows = [
        "<tr>" + "".join(f"<td{c}>{escape(_text(value))}</td>" for value, c in zip(row, css)) + "</tr>"
        for row in table.rows
    ]
    body = (f"<thead><tr>{head}</tr></thead>\n" if head else "") + "<tbody>\n" + "\n".join(rows) + "\n</tbody>"
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    under = f'\n<ul class="warnings">{notes}</ul>' if notes else ""
    grid = f'<div class="scroll"><table>\n{body}\n</table></div>' if rows or head else ""
    return grid, under


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def _again(report: Report) -> str:
    if not report.command and not report.versions:
        return ""
    command = f"<pre>{escape(report.command)}</pre>\n" if report.command else ""
    versions = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    note = f'<p class="note">{escape(versions)}</p>' if versions else ""
    return f"<section>\n<h2>To reproduce</h2>\n{command}{note}\n</section>"
