"""The report: one file that needs nothing else, well-formed, with every text escaped; certificates judge rightly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from graphpde.errors import InputError, OutputError
from graphpde.mesh.mesh import Mesh
from graphpde.viz import (
    Certificate,
    Picture,
    Report,
    Table,
    mesh_table,
    plot_curves,
    plot_mesh,
    save_figure,
    write_report,
)

Shape = Callable[[str], Mesh]
HOSTILE = "</td><script src='http://evil'>alert(\"1\")</script>&amp;"
ALONE = {"meta", "img"}


class Page(HTMLParser):
    """Collects what a browser would see and fails on tags that do not close."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data.strip()))

    def seen(self, tag: str) -> list[str]:
        return [text for name, text in self.texts if name == tag]


def report(mesh: Mesh) -> Report:
    curves = plot_curves([0.0, 1.0], {"mass": [1.0, 0.5]}, "t [s]", "mass [kg]")
    return Report(
        title=HOSTILE,
        summary="Heat " + HOSTILE,
        certificates=[
            Certificate("mass drift", 3.1e-16, 1e-12),
            Certificate("order " + HOSTILE, 1.5, 1.95, ">="),
            Certificate("iterations", 12),
        ],
        figures=[Picture.of(plot_mesh(mesh), "The mesh " + HOSTILE), Picture.of(curves, "Mass")],
        tables=[
            Table.of("Parameters", {"kappa": 0.1, "lumped": True, HOSTILE: HOSTILE}),
            mesh_table(mesh),
            Table("Timings", [("assembly", 0.25), ("steps", 3.0)], ("phase " + HOSTILE, "seconds")),
        ],
        command="graphpde simulate " + HOSTILE,
        versions={"graphpde": "0.1.0", "torch": "2.13"},
    )


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, shape: Shape) -> Page:
    mesh = shape("channel")
    mesh = mesh.with_tags(**{HOSTILE: mesh.make_tag(0, [0])}).with_warnings("careful " + HOSTILE)
    path = write_report(tmp_path_factory.mktemp("run") / "new" / "report.html", report(mesh))
    return Page(path.read_text(encoding="utf-8"))


def test_the_report_says_what_was_given(page: Page) -> None:
    assert page.seen("h1") == [HOSTILE] and page.seen("title") == [HOSTILE]
    assert page.seen("p")[0] == "Heat " + HOSTILE
    assert page.seen("pre") == ["graphpde simulate " + HOSTILE]
    assert "graphpde 0.1.0, torch 2.13" in page.seen("p")
    assert page.seen("h2") == ["Pictures", "Parameters", "Mesh channel", "Timings", "To reproduce"]
    cells = page.seen("td")
    for text in ("kappa", "0.1", "yes", HOSTILE, "28", "quad cells", "16", "set 'inlet', facets", "assembly", "0.25"):
        assert text in cells, text
    assert page.seen("th") == ["phase " + HOSTILE, "seconds"] and "careful " + HOSTILE in page.seen("li")


def test_verdicts_stand_beside_their_numbers(page: Page) -> None:
    assert page.seen("strong") == ["mass drift", "order " + HOSTILE, "iterations"]
    assert page.seen("span") == ["ok", "3.1e-16 <= 1e-12", "failed", "1.5 not >= 1.95", "measured", "12"]
    assert [a["class"] for t, a in page.tags if t == "li" and "class" in a] == ["ok", "bad", "info"]


def test_hostile_names_never_become_tags(page: Page) -> None:
    assert {t for t, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object", "style src", "base", "form"})


def test_the_report_needs_nothing_from_outside(page: Page) -> None:
    style = " ".join(page.seen("style"))
    assert "url(" not in style and "@import" not in style and "prefers-color-scheme: dark" in style
    sources = [value for _, attributes in page.tags for key, value in attributes.items() if key in ("src", "href")]
    assert len(sources) == 2 and all(value and value.startswith("data:image/png;base64,") for value in sources)
    assert all(a["alt"] for t, a in page.tags if t == "img")
    assert any(a.get("name") == "viewport" for t, a in page.tags if t == "meta")


def test_numbers_stand_right_aligned(page: Page) -> None:
    assert [a.get("class") for t, a in page.tags if t == "th"] == [None, "number"]


def test_svg_pictures_are_carried_and_others_refused(tmp_path: Path) -> None:
    figure = plot_curves([0.0, 1.0], {"u": [1.0, 0.5]}, "t", "u")
    svg = save_figure(figure, tmp_path / "a.svg").read_bytes()
    page = Page(write_report(tmp_path / "a.html", Report("t", "s", figures=[Picture(svg, "c")])).read_text())
    (source,) = [a["src"] or "" for t, a in page.tags if t == "img"]
    assert source.startswith("data:image/svg+xml;base64,")
    with pytest.raises(InputError, match="picture 'c' is neither PNG, SVG nor GIF"):
        write_report(tmp_path / "b.html", Report("t", "s", figures=[Picture(b"BM", "c")]))
    assert not (tmp_path / "b.html").exists()


def test_a_bare_report_is_well_formed_and_a_bad_place_refused(tmp_path: Path) -> None:
    Page(write_report(tmp_path / "a.html", Report("t", "s", tables=[Table("empty", [])])).read_text())
    with pytest.raises(OutputError, match="is a folder"):
        write_report(tmp_path, Report("t", "s"))
    with pytest.raises(InputError, match=r"table 'x' has rows of \[1, 2\] columns"):
        Table("x", [(1,), (1, 2)])


@pytest.mark.parametrize(
    ("value", "target", "relation", "passed", "sentence"),
    [
        (3.1e-16, 1e-12, "<=", True, "drift 3.1e-16 kg <= 1e-12 kg"),
        (1e-12, 1e-12, "<=", True, "drift 1e-12 kg <= 1e-12 kg"),
        (2.0, 1.0, "<=", False, "drift 2 kg not <= 1 kg"),
        (2.0, 1.95, ">=", True, "drift 2 kg >= 1.95 kg"),
        (1.9, 1.95, ">=", False, "drift 1.9 kg not >= 1.95 kg"),
        (math.nan, 1.0, "<=", False, "drift nan kg not <= 1 kg"),
        (math.nan, 1.0, ">=", False, "drift nan kg not >= 1 kg"),
        (7.0, None, "<=", True, "drift 7 kg"),
        (math.inf, None, "<=", False, "drift inf kg"),
    ],
)
def test_certificates_judge(value: float, target: Any, relation: str, passed: bool, sentence: str) -> None:
    certificate = Certificate("drift", value, target, relation, "kg")
    assert certificate.passed is passed and certificate.sentence == sentence
    data = json.loads(json.dumps(certificate.as_dict(), allow_nan=False))
    assert data["passed"] is passed and data["value"] == (value if math.isfinite(value) else None)


def test_wrong_certificates_are_refused() -> None:
    with pytest.raises(InputError, match="relation '<', expected '<=' or '>='"):
        Certificate("a", 1.0, 2.0, "<")
    with pytest.raises(InputError, match="NaN target"):
        Certificate("a", 1.0, math.nan)
