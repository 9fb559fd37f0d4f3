"""Files that are whole or not there: written in a folder of their own beside the target, then moved into place."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graphpde.errors import OutputError


@contextmanager
def written_aside(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A path of the same name in a fresh folder beside the target; what is written there replaces the target.

    Further files in that folder, which the first one may name, are moved beside the target before it. An error while
    writing leaves all of them as they were and nothing behind.

    Raises:
        OutputError: the folder is missing or cannot be written, the disk is full, the target is a folder, a further
            file is there already and not named by the old target.
    """
    target = Path(path)
    folder = None
    try:
        if target.is_dir():
            raise OutputError(f"cannot write '{target}': it is a folder; name a file in it")
        folder = tempfile.mkdtemp(prefix=f".{target.name[:40]}-", dir=target.parent)
        aside = Path(folder) / target.name
        yield aside
        others = sorted(set(os.listdir(folder)) - {aside.name})
        for other in others:
            check_side_file(target, other)
        for other in others:
            os.replace(os.path.join(folder, other), target.parent / other)
        os.replace(aside, target)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {_why(error, target)}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def check_side_file(target: Path, other: str) -> None:
    """Refuse to replace a file beside the target that does not belong to it.

    Raises:
        OutputError: the file is there, and the present target does not name it.
    """
    if not os.path.lexists(target.parent / other):
        return
    if not (target.is_file() and other.encode() in target.read_bytes()):
        raise OutputError(
            f"cannot write '{target}': its numbers would go into '{other}' beside it, which is there already and is "
            f"not its own; give another name"
        )


def _why(error: OSError, target: Path) -> str:
    if error.errno == errno.ENOSPC:
        return "the disk is full"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"you may not write into the folder '{target.parent}'"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return f"there is no folder '{target.parent}'; create it first"
    return str(error.strerror or error)
