"""Tables that grow while a run goes on: CSV files of whole lines, whenever somebody looks or stops the program."""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graphpde.errors import OutputError
from graphpde.viz.files import make_folder

_PATIENCE = 0.5  # seconds that a row may wait in memory


class Rows:
    """A CSV file with a header, filled row by row.

    Rows are written several at a time, in one call and always whole; ``flush`` writes those that wait.

    Args:
        path: the file; one that exists is replaced by the first row. columns: its header.
        keep: go on with a file that is there, after its last row whose first number is at most this.
    """

    def __init__(self, path: Path, columns: Sequence[str], *, keep: float | None = None):
        self.path, self.columns = path, tuple(columns)
        self._waiting: list[Sequence[float]] = []
        self._begun = False
        self._since = time.monotonic()
        if keep is not None and path.exists():
            self._resume(keep)

    def add(self, row: Sequence[float]) -> None:
        """One more row.

        Raises:
            OutputError: it cannot be written.
        """
        self._waiting.append(row)
        if time.monotonic() - self._since > _PATIENCE:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            OutputError: it cannot be written.
        """
        self._since = time.monotonic()
        if not self._waiting:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self._begun:
            writer.writerow(self.columns)
        writer.writerows([repr(float(v)) for v in row] for row in self._waiting)
        make_folder(self.path.parent)
        try:
            with open(self.path, "ab" if self._begun else "wb", buffering=0) as file:
                file.write(text.getvalue().encode())
        except OSError as error:
            raise OutputError(f"cannot write '{self.path}': {error.strerror or error}; free some space") from error
        self._begun, self._waiting = True, []

    def _resume(self, until: float) -> None:
        columns, values = read_rows(self.path)
        if tuple(columns) != self.columns:
            return
        kept = values[values[:, 0] <= until + 1e-12 * abs(until)]
        self._waiting = [list(row) for row in kept]
        self.flush()


def read_rows(path: Path) -> tuple[list[str], np.ndarray]:
    """Header and numbers [rows, columns] of such a file; none where it is missing, no unfinished last line."""
    if not path.exists():
        return [], np.zeros((0, 0))
    with open(path, encoding="utf-8", newline="") as file:
        text = file.read()
    lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1])))
    header = lines[0] if lines else []
    return header, np.array([[float(v) for v in row] for row in lines[1:]]).reshape(-1, len(header))


def last_row(path: Path) -> dict[str, float]:
    """The last whole line of such a file by column, without reading what lies before; empty where there is none."""
    if not path.exists():
        return {}
    with open(path, "rb") as file:
        header = file.readline()
        begin, end = file.tell(), file.seek(0, os.SEEK_END)
        lines: list[bytes] = []
        reach = 8192
        while begin < end and len(lines) < 2:
            start = max(end - reach, begin)
            file.seek(start)
            whole = file.read(end - start)
            lines = whole[: whole.rfind(b"\n") + 1].splitlines()
            if start == begin:
                lines.insert(0, b"")  # nothing before it that it could be the rest of
                break
            reach *= 2
    if len(lines) < 2:
        return {}
    names, values = (next(csv.reader([line.decode()])) for line in (header, lines[-1]))
    return {name: float(value) for name, value in zip(names, values, strict=True)}
