"""A stretch of meshio without a word on the screen: what it says is kept, and its table of dimensions is complete.

meshio reports trouble by printing through rich, and ends the process when a known reader gives up. Its table of
dimensions lacks a few types that its readers produce; they are lent to it for the time of the call.
"""

from __future__ import annotations

import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graphpde.mesh.cells import CELLS

_LOCK = threading.Lock()


class _Console:
    """Stands in for rich's console: what meshio says is kept instead of printed."""

    said: list[str] = []  # noqa: RUF012 - replaced for each call, under the lock

    def __init__(self, **_: Any):
        pass

    def print(self, *parts: Any, **_: Any) -> None:
        text = re.sub(r"\[/?[a-z ]+\]", "", " ".join(map(str, parts)))
        _Console.said.append(" ".join(text.replace("Warning:", "").replace("Error:", "").replace("Info:", "").split()))


@contextmanager
def muted() -> Iterator[list[str]]:
    """A stretch in which meshio keeps quiet; yields what it would have said."""
    import meshio._common
    import meshio._mesh

    with _LOCK, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        console, table = meshio._common.Console, meshio._mesh.topological_dimension
        lent = {kind: cell.dim for kind, cell in CELLS.items() if kind not in table}
        said: list[str] = []
        _Console.said = said
        meshio._common.Console = _Console
        table.update(lent)
        try:
            yield said
        finally:
            meshio._common.Console = console
            for kind in lent:
                table.pop(kind, None)


def reason_of(text: str, said: list[str]) -> str:
    """What meshio raised or, where that is empty, what it said last."""
    return " ".join((text or "".join(said[-1:])).split()).rstrip(".")
