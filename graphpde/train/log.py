"""The rows of a history in a file, step by step."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from graphpde.errors import InputError, OutputError
from graphpde.mesh.io.aside import written
from graphpde.train.fit import Progress

if TYPE_CHECKING:
    from graphpde.train.checkpoint import Checkpoint

_SUFFIXES = (".csv", ".jsonl")


class Log:
    """Writes every row as soon as it is there: CSV or JSON lines by the suffix of the file.

    A resumed fit cuts the rows that came after its checkpoint; any other one begins the file anew. Columns of CSV are
    those of the first row: what measures comes before this hook. JSON has null for what is not finite.

    Args:
        path: ending in .csv or .jsonl. Its folder is made if missing.

    Raises:
        InputError: another ending.
    """

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if self.path.suffix not in _SUFFIXES:
            raise InputError(f"'{path}' ends in '{self.path.suffix}', expected .csv or .jsonl")
        self._stream: TextIO | None = None
        self.begin()

    def begin(self, resume: Checkpoint | None = None) -> None:
        """Forget the file of another fit."""
        self.step, self._columns = 0, list[str]()

    def __call__(self, progress: Progress) -> None:
        row = progress.history.rows[-1]
        if self._stream is None:
            self._columns = self._columns or list(progress.history.columns)
            self._open()
        assert self._stream is not None
        try:
            self._stream.write(self._line(row))
            self._stream.flush()
        except OSError as error:
            raise OutputError(f"cannot write '{self.path}': {error.strerror or error}") from error
        self.step = progress.step

    def end(self) -> None:
        """Close the file."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"step": self.step, "columns": self._columns}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on after that step."""
        self.step, self._columns = state["step"], list(state["columns"])

    @property
    def _csv(self) -> bool:
        return self.path.suffix == ".csv"

    def _open(self) -> None:
        """The file with the rows of before and nothing else, ready for more."""
        head = _csv_line(self._columns) if self._csv else ""
        kept = self._kept() if self.step else []
        with written(self.path) as aside:
            aside.write_text(head + "".join(kept), encoding="utf-8")
        try:
            self._stream = open(self.path, "a", encoding="utf-8", newline="")  # noqa: SIM115 until the fit ends
        except OSError as error:
            raise OutputError(f"cannot write '{self.path}': {error.strerror or error}") from error

    def _kept(self) -> list[str]:
        """The first rows of the file, as many as there were steps.

        Raises:
            InputError: there are fewer.
        """
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines(keepends=True)
        except OSError:
            lines = []
        kept = lines[self._csv :][: self.step]
        if len(kept) < self.step or not kept[-1].endswith("\n"):
            raise InputError(
                f"'{self.path}' holds {len(kept)} rows and the checkpoint was written after {self.step}; put the file "
                f"back, or log into another one"
            )
        return kept

    def _line(self, row: Mapping[str, float]) -> str:
        if self._csv:
            return _csv_line([row.get(name, math.nan) for name in self._columns])
        return json.dumps({name: value if math.isfinite(value) else None for name, value in row.items()}) + "\n"


def _csv_line(values: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(values)
    return text.getvalue()
