"""Outputs appear whole or not at all, in folders that are made when needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphpde.errors import OutputError
from graphpde.mesh.io.aside import written_aside


def make_folder(folder: Path) -> None:
    """Make a folder and those above it.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot make the folder '{folder}': {error.strerror or error}; choose another place"
        ) from error


@contextmanager
def written(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path to write to; what is written there replaces ``path``, whose folder is made if missing.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full, the path is a folder.
    """
    make_folder(Path(path).parent)
    with written_aside(path) as aside:
        yield aside
