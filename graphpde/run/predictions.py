"""The table of what a model says of every node."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

from torch import Tensor

from graphpde.train.split import Split
from graphpde.viz.files import written

COLUMNS = ("node", "label", "prediction", "probability", "part")


def write_predictions(
    path: str | os.PathLike[str], logits: Tensor, y: Tensor | None = None, split: Split | None = None
) -> Path:
    """One line a node: its number, label, predicted class, the probability of that, and the part it is in.

    Args:
        logits: [n, k]. y: labels [n]; -1 or None are empty in the table. split: "train", "val" or "test", else empty.

    Raises:
        OutputError: the place cannot be written.
    """
    probability, prediction = logits.softmax(-1).max(-1)
    parts = [""] * len(logits)
    for part in Split._fields if split is not None else ():
        for node in getattr(split, part).nonzero()[:, 0].tolist():
            parts[node] = part
    labels = [-1] * len(logits) if y is None else y.tolist()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for node, (label, predicted, p) in enumerate(zip(labels, prediction.tolist(), probability.tolist(), strict=True)):
        table.writerow([node, "" if label < 0 else label, predicted, f"{p:.6g}", parts[node]])
    with written(Path(path)) as aside:
        aside.write_text(text.getvalue(), encoding="utf-8")
    return Path(path)
