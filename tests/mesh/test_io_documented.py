"""docs/meshes.md names every format, and says of each whether it is written."""

from __future__ import annotations

import re
from pathlib import Path

from graphpde.mesh.io import FORMATS

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "meshes.md"


def test_the_table_of_formats_is_complete_and_true() -> None:
    section = DOCUMENT.read_text(encoding="utf-8").split("## Formats\n")[1].split("\n## ")[0]
    rows = {cells[0]: cells for line in section.splitlines() if len(cells := re.split(r"\s*\|\s*", line[2:])) > 4}
    del rows["name"], rows["--"]
    assert set(rows) == set(FORMATS)
    for name, known in FORMATS.items():
        _, title, _, written, _ = rows[name][:5]
        assert (written != "-") == (known.write is not None), name
        assert set(re.findall(r"`(\.\w+)`", title)) <= set(known.extensions), name
