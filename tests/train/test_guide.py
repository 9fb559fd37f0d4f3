"""What the guide to training shows runs as it stands, one block after the other."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "training.md"


def test_the_blocks_of_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "guide"}
    found = []
    for block in re.findall(r"^```python\n(.*?)^```", GUIDE.read_text(), re.M | re.S):
        exec(compile(block, "guide", "exec"), names)
        found.append(block)
    assert len(found) == 4
    assert names["best"].value > 0.9 and "accuracy" in names["history"].columns
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept", "model.safetensors", "results.jsonl"]
    for a, b in zip(names["model"].parameters(), names["again"].parameters()):
        assert torch.equal(a, b)
    on = names["on"].detach().clone()
    for path in (tmp_path / "kept").iterdir():
        path.unlink()
    assert torch.equal(names["trained"](6), on)
    losses = [row["loss"] for row in names["results"]]
    assert len(set(losses)) == 3
