"""Tables and arrays for the user: complete or not at all."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from graphpde.errors import OutputError
from graphpde.mesh.io.aside import written


def write_table(path: str | os.PathLike[str], columns: Sequence[str], rows: Tensor) -> Path:
    """Rows of numbers as CSV.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with written(Path(path)) as aside, open(aside, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(columns)
            for part in rows.split(10_000):
                writer.writerows([[f"{value:.9g}" for value in row] for row in part.tolist()])
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from None
    return Path(path)


def write_arrays(path: str | os.PathLike[str], arrays: Mapping[str, Tensor]) -> Path:
    """Arrays by name as an .npz file.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with written(Path(path)) as aside, open(aside, "wb") as file:
            np.savez(file, allow_pickle=False, **{name: x.numpy() for name, x in arrays.items()})
    except OSError as error:
        raise OutputError(f"cannot write '{path}': {error.strerror or error}") from None
    return Path(path)
