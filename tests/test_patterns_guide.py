"""The guide to patterns: its Python runs as it stands and says what the text says, its commands work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphpde.cli import main
from tests.test_documents import blocks, commands


def test_the_python_of_the_guide(capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    for source in blocks("docs/patterns.md", "python"):
        exec(compile(source, "docs/patterns.md", "exec"), names)
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("turing Conditions(trace=-0.") and "14.9" in out[0]
    assert names["pattern"].kind == "spots" and names["pattern"].parts > 3
    assert float(names["heat"].final.sum()) == pytest.approx(1.0, abs=1e-10)


def test_the_commands_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands("docs/patterns.md")
    assert [words[0] for words in found] == ["turing"] * 3
    for words in found:
        assert main(words) == 0, " ".join(words)
    assert all((tmp_path / name).exists() for name in ("dispersion.png", "network.png"))
