"""Tables of measurements: where, when, how much, how well."""

from __future__ import annotations

import csv
import math
import os
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.config import Setup
from graphpde.errors import ConfigError
from graphpde.mesh.samples import Samples

ASSUMED = 0.01
"""Noise relative to the root mean square of the values, where a table does not say any."""

LARGEST = 1e100
"""Of numbers, and of values in units of their noise: the squares of larger ones would not be numbers."""


class Measurements(NamedTuple):
    """What was measured.

    Attributes:
        samples: the fields of the space at the points. moments: the times, rising [s]; none for a steady state.
        when: which of them each row belongs to [q]. field: which channel. values, sigma: [q, 1].
        assumed: whether the deviation was not said.
    """

    samples: Samples
    moments: list[float]
    when: Tensor
    field: int
    values: Tensor
    sigma: Tensor
    assumed: bool

    def __len__(self) -> int:
        return len(self.values)

    def of(self, states: Tensor) -> Tensor:
        """What the states [s, n, c] (one for each moment) give [q, 1]."""
        seen = self.samples(states)[..., self.field]
        return seen[self.when, torch.arange(len(self.when))][:, None]


def read_measurements(path: str | os.PathLike[str], setup: Setup) -> Measurements:
    """Measurements of one field of a problem from a CSV file with the columns x, y (z), t in time, the field's name and
    sigma (standard deviation) if it is known.

    Raises:
        ConfigError: the file cannot be read; columns that are missing or too many, rows that are no numbers, moments
            outside of the run. InputError: points outside of the mesh.
    """
    header, rows = _table(Path(path))
    mesh = setup.space.mesh
    axes = list("xyz"[: mesh.space_dim])
    steady = setup.stepper is None
    fields = [name for name in header if name in setup.pde.fields]
    known = [*axes, *([] if steady else ["t"]), "sigma", *setup.pde.fields]
    needed = [*axes, *([] if steady else ["t"])]
    expected = f"expected {', '.join(needed)}, one of {' '.join(setup.pde.fields)}, and sigma if it is known"
    strange = [name for name in header if name not in known or header.count(name) > 1]
    missing = [name for name in needed if name not in header]
    if missing or len(fields) != 1:
        lacks = ", ".join(missing) or "a field" if missing or not fields else "only one field"
        raise ConfigError(f"'{path}' has the columns {', '.join(map(_begin, header))} and needs {lacks}; {expected}")
    if strange:
        why = " (a steady state has no time)" if steady and "t" in strange else ""
        raise ConfigError(
            f"'{path}' has a column '{_begin(strange[0])}' that is not known or given twice{why}; {expected}"
        )
    columns = {name: torch.tensor([row[k] for _, row in rows], dtype=torch.float64) for k, name in enumerate(header)}
    points = torch.stack([columns[name] for name in axes], 1)
    labels = [f"line {line} of '{path}'" for line, _ in rows]
    values = columns[fields[0]][:, None]
    sigma = _deviations(columns.get("sigma"), values[:, 0], fields[0], labels)
    moments, when = [float(setup.times[0])], torch.zeros(len(values), dtype=torch.int64)
    if not steady:
        first, last = float(setup.times[0]), float(setup.times[-1])
        slack = 1e-9 * max(abs(first), abs(last))
        late = ((columns["t"] < first - slack) | (columns["t"] > last + slack)).nonzero()[:, 0]
        if len(late):
            raise ConfigError(
                f"{labels[int(late[0])]} has t = {float(columns['t'][late[0]]):g}, and the run goes from {first:g} to "
                f"{last:g}; set --t-end"
            )
        unique, when = torch.unique(columns["t"].clamp(first, last), return_inverse=True)
        moments = unique.tolist()
    samples = Samples(setup.space, points, labels=labels)
    return Measurements(
        samples, moments, when, setup.pde.fields.index(fields[0]), values, sigma[:, None], "sigma" not in columns
    )


def _deviations(given: Tensor | None, values: Tensor, name: str, labels: list[str]) -> Tensor:
    """Standard deviations [q] of values [q], as given or assumed."""
    if given is None:
        size = float(values.square().mean().sqrt())
        if size == 0:
            raise ConfigError(
                f"every {name} from {labels[0]} on is 0 and there is no column sigma; give the standard deviation of "
                f"the noise, which cannot be taken from the values"
            )
        return torch.full_like(values, ASSUMED * size)
    for k in (given <= 0).nonzero()[:, 0].tolist():
        raise ConfigError(f"{labels[k]} has sigma = {float(given[k]):g}, expected a standard deviation > 0")
    for k in (values.abs() > LARGEST * given).nonzero()[:, 0].tolist():
        raise ConfigError(
            f"{labels[k]} has {name} = {float(values[k]):g} with sigma = {float(given[k]):g}, expected a standard "
            f"deviation that is not negligible beside the value"
        )
    return given


def _table(path: Path) -> tuple[list[str], list[tuple[int, list[float]]]]:
    """Header and rows of numbers with their lines; empty lines are passed over."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ConfigError(f"cannot read the measurements '{path}': {reason}") from error
    reader = csv.reader(text.splitlines())
    try:
        lines = [(k, row) for k, row in enumerate(reader, 1) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ConfigError(f"line {reader.line_num} of '{path}' is no row of a table: {error}") from error
    if len(lines) < 2:
        raise ConfigError(
            f"'{path}' holds {len(lines)} lines, expected a header such as x,y,u and a row for each value"
        )
    header = [cell.strip() for cell in lines[0][1]]
    rows = []
    for line, cells in lines[1:]:
        if len(cells) != len(header):
            raise ConfigError(f"line {line} of '{path}' has {len(cells)} entries, expected {len(header)}")
        rows.append((line, [_number(cell, name, line, path) for cell, name in zip(cells, header, strict=True)]))
    return header, rows


def _number(text: str, name: str, line: int, path: Path) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"line {line} of '{path}' has {name} = '{_begin(text.strip())}', expected a finite number")
    if abs(value) > LARGEST:
        raise ConfigError(f"line {line} of '{path}' has {name} = {value:g}, expected a number of at most {LARGEST:g}")
    return value


def _begin(text: str) -> str:
    """What an entry begins with: it may be a whole file."""
    return text if len(text) <= 40 else f"{text[:40]}..."
