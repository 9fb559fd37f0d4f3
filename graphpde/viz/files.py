"""Files that are never half-written: everything goes to a neighbour first and is then moved into place."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graphpde.errors import OutputError


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it replaces ``path``, on failure it disappears.

    Missing folders are made. An older file stays until the new one is complete.

    Raises:
        OutputError: the folder or file cannot be written (permission, disk full, a file where a folder is needed).
    """
    path = Path(path)
    aside = path.with_name(f".{path.stem[:80]}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a folder")
        yield aside
        os.replace(aside, path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write '{path}': {reason}; choose another place or free some space") from error
    finally:
        with suppress(OSError):  # the folder itself may be gone or no folder; the first error says so
            aside.unlink(missing_ok=True)
