"""The guide to data sets: its snippets run, its table is that of the package."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from graphpde.data import DATASETS
from graphpde.train import SPLITS

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "datasets.md").read_text()


def test_the_snippets_run() -> None:
    first, own = re.findall(r"^```python\n(.*?)^```", GUIDE, re.M | re.S)
    names: dict[str, Any] = {}
    exec(first, names)
    assert names["part"].n == 34
    exec(own, names)
    assert names["data"].n == 34 and names["data"].classes == 2


def test_the_table_is_that_of_the_package() -> None:
    rows = [[cell.strip(" →") for cell in row.split("|")[1:-1]] for row in re.findall(r"^\| .*\|$", GUIDE, re.M)]
    told = {row[0]: row for row in rows if row[0] in DATASETS}
    files = {name: entry for name, entry in DATASETS.items() if not entry.embedded}
    assert set(told) == set(files)
    for name, entry in files.items():
        assert tuple(map(int, told[name][1:5])) == entry.size
        assert told[name][7] == (", ".join(entry.splits) or "drawn") and told[name][9] == entry.origin.licence
        assert ("ROC-AUC" in told[name][8]) == (entry.metric == "roc_auc")
    made = {row[0] for row in rows}
    assert made >= set(SPLITS) | {split for entry in DATASETS.values() for split in entry.splits}


@pytest.mark.parametrize(
    "name", [entry.name for entry in DATASETS.values() if entry.embedded and entry.name != "digits"]
)
def test_what_is_in_the_package_is_said(name: str) -> None:
    assert name in GUIDE
