"""Samples of users: rows of numbers in a text file, or arrays of particles and fields in an .npz file."""

from __future__ import annotations

import gzip
import io
import math
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.data.npz import read_arrays
from graphpde.data.raw_files import RawFiles
from graphpde.errors import DatasetError

_ASKED = "a table of numbers (.csv, .txt, also .gz) with a row for each sample, or an .npz file with an array x"
_MOST = 1 << 30  # bytes that a packed table may unpack to
_SHOWN = 40


class Samples(NamedTuple):
    """Samples and what their columns are called.

    Attributes:
        x: [k, c], or [k, n, c] of particles or fields; float64, finite.
        names: of the columns of a table with a header, else ().
    """

    x: Tensor
    names: tuple[str, ...]

    def arranged(self, columns: Sequence[str]) -> Samples:
        """The same with the columns in this order, where the table names just these; else as they are."""
        if len(set(columns)) < len(columns) or sorted(self.names) != sorted(columns):
            return self
        return Samples(self.x[:, [self.names.index(name) for name in columns]], tuple(columns))


def read_samples(path: str | os.PathLike[str], *, gaps: bool = False) -> Samples:
    """Samples from a file; ``gaps``: a table may have entries that are empty or nan, which come as NaN.

    A table has commas, semicolons, tabs or spaces between its columns; lines that begin with # and empty ones are
    passed over, and the first other line may name the columns, by words that are no numbers.

    Raises:
        DatasetError: no such file, another kind of file, entries that are no finite numbers, rows of several lengths.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetError(f"there is no file '{path}'; expected {_ASKED}")
    if path.suffix == ".npz":
        x = read_arrays(RawFiles(path.name, path.parent), path.name, ["x"])["x"]
        if x.dtype.kind not in "fiu" or x.ndim not in (2, 3) or not x.size:
            raise DatasetError(
                f"x in '{path}' is {x.dtype} of shape {list(x.shape)}, expected numbers [samples, channels] or "
                f"[samples, nodes, channels]"
            )
        found = torch.from_numpy(np.asarray(x, dtype=np.float64))
        bad = int((~torch.isfinite(found)).sum())
        if bad:
            raise DatasetError(f"x in '{path}' has {bad} entries that are not finite; remove these samples")
        return Samples(found, ())
    return _table(path, gaps)


def _table(path: Path, gaps: bool) -> Samples:
    lines = [(k, line) for k, line in enumerate(_text(path).splitlines(), 1) if line.strip() and line.strip()[0] != "#"]
    if not lines:
        raise DatasetError(f"'{path}' holds no row, expected {_ASKED}")
    names: tuple[str, ...] = ()
    split = _separator(lines[0][1])
    first = [cell.strip().strip('"') for cell in lines[0][1].split(split)]
    if not any(cell == "" or _parses(cell) for cell in first):
        names, lines = tuple(first), lines[1:]
    rows = [line.split(split) for _, line in lines]
    if gaps:
        rows = [[cell if cell.strip() else "nan" for cell in row] for row in rows]
    width = len(names) or len(first)
    for (number, _), row in zip(lines, rows, strict=True):
        if len(row) != width:
            raise DatasetError(f"line {number} of '{path}' has {len(row)} entries, expected {width}")
    if not rows:
        raise DatasetError(f"'{path}' holds names and no row, expected {_ASKED}")
    try:
        x = np.array(rows, dtype=np.float64)
    except ValueError:
        x = np.full((1, 1), math.nan)
    sound = np.isfinite(x) | np.isnan(x) if gaps and x.shape == (len(rows), width) else np.isfinite(x)
    if not sound.all():
        number, cell = next(
            (k, c)
            for (k, _), row in zip(lines, rows, strict=True)
            for c in row
            if not (_is_number(c) or (gaps and c.strip().lower() == "nan"))
        )
        raise DatasetError(f"line {number} of '{path}' has '{cell.strip()[:_SHOWN]}', expected a finite number")
    return Samples(torch.from_numpy(x), names)


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
                content = packed.read(_MOST + 1)
            if len(content) > _MOST:
                raise DatasetError(f"'{path}' unpacks to more than {_MOST >> 20} MB")
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DatasetError(f"'{path}' is no text in UTF-8; expected {_ASKED}") from None
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DatasetError(f"cannot read '{path}': {reason}") from None


def _separator(line: str) -> str | None:
    """What stands between the columns; None = white space."""
    return next((mark for mark in (",", ";", "\t") if mark in line), None)


def _parses(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _is_number(text: str) -> bool:
    return _parses(text) and math.isfinite(float(text))
