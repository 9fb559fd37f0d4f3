"""Numbers as lines of text with all their digits: reading them back gives the same bits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import numpy as np

_AT_ONCE = 4096  # lines that are formatted together: one call of the formatter in C, little memory


def lines(columns: Sequence[np.ndarray], separator: str = " ") -> Iterator[str]:
    """Columns [k] each as k lines, several lines in one string.

    Args:
        columns: whole or floating-point numbers; the transpose of rows [k, w] will do.
    """
    form = separator.join(["%r"] * len(columns)) + "\n"
    for start in range(0, len(columns[0]) if len(columns) else 0, _AT_ONCE):
        parts = [column[start : start + _AT_ONCE].tolist() for column in columns]
        yield form * len(parts[0]) % tuple(chain.from_iterable(zip(*parts, strict=True)))
