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
def written(path: str | os.PathLike[str], *, lasting: bool = False) -> Iterator[Path]:
    """As :func:`written_aside`, and the folder of the target is made if missing.

    Raises:
        OutputError: the folder cannot be made or written, the disk is full, the path is a folder.
    """
    make_folder(Path(path).parent)
    with written_aside(path, lasting=lasting) as aside:
        yield aside


@contextmanager
def written_aside(path: str | os.PathLike[str], *, lasting: bool = False) -> Iterator[Path]:
    """A path of the same name in a fresh folder beside the target; what is written there replaces the target.

    Further files in that folder, which the first one may name, are moved beside the target before it. An error while
    writing leaves all of them as they were and nothing behind.

    Args:
        lasting: wait until the new file lies on the disk before the old one goes, and until the move does: a machine
            that loses power keeps one of them whole.

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
        if lasting:
            _to_disk(aside)
        os.replace(aside, target)
        if lasting and os.name == "posix":  # elsewhere a folder cannot be opened
            _to_disk(target.parent)
    except OSError as error:
        raise OutputError(f"cannot write '{target}': {_why(error, target)}") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)


def _to_disk(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


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
