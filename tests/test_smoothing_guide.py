"""The guide to smoothing: its Python runs as it stands, its commands work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graphpde.cli import main
from tests.test_documents import blocks, commands


def test_the_python_of_the_guide() -> None:
    names: dict[str, Any] = {"__name__": "guide"}
    for source in blocks("docs/smoothing.md", "python"):
        exec(compile(source, "docs/smoothing.md", "exec"), names)
    found = names["found"]
    assert found.predicted == pytest.approx(found.measured, rel=0.01) and found.measured < found.bound
    assert names["ends"].zeros == 1 and names["norms"].states[0] < 1e-4 * names["norms"].states[-1]


def test_the_commands_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = commands("docs/smoothing.md")
    assert [words[0] for words in found] == ["smooth"] * 2
    for words in found:
        assert main(words) == 0, " ".join(words)
    assert (tmp_path / "gcn.png").exists()
