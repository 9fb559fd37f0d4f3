"""``read_mesh``: from a file of any known format to a mesh, or one error with one sentence."""

from __future__ import annotations

import bz2
import difflib
import gzip
import lzma
import os
import stat
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from graphpde.errors import InputError, MeshError, MeshReadError
from graphpde.mesh.io.convert import to_mesh
from graphpde.mesh.io.formats import FORMATS, PACKED, extension_of, format_of
from graphpde.mesh.io.raw import Unreadable, printable
from graphpde.mesh.mesh import Mesh

_HEAD = 1 << 14  # bytes that tell formats apart
_UNPACKED = 1 << 32  # most bytes that a packed mesh may unpack to, and
_RATIO = 64  # most bytes per packed byte; small files may go up to _SMALL
_SMALL = 1 << 26


def read_mesh(path: str | os.PathLike[str], *, format: str | None = None) -> Mesh:
    """The mesh in a file.

    The format follows from the extension and, where several share one, from the content; ``.gz``, ``.xz`` and ``.bz2``
    are unpacked. Cells of the highest dimension become ``mesh.cells``; groups, node, side and element sets, markers and
    lower cells become ``mesh.tags`` under their names, plain numbers as strings (``mesh.tag(7)`` works). A surface in a
    plane of constant z becomes 2-D and a chain of lines along x 1-D. What a file loses on the way, or what looks odd
    about it, stands in ``mesh.warnings``.

    Args:
        path: the file. format: a name in ``FORMATS`` if the extension does not tell.

    Raises:
        MeshReadError: the file is missing, of another format, damaged, or holds no usable mesh; nothing else is raised
            and nothing is printed. UnknownName: ``format`` is not in ``FORMATS``.
    """
    try:
        file = Path(os.fspath(path))
    except TypeError:
        raise InputError(f"a mesh path must be a string or path, got {type(path).__name__}") from None
    if format is not None:
        _ = FORMATS[format]  # an unknown name is told at once
    name = format or "unknown format"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # readers of damaged files stumble over NaN and overflow before they refuse
        try:
            _check_file(file)
            with _unpacked(file) as plain:
                if format is None:
                    with open(plain, "rb") as opened:
                        name = format_of(file, opened.read(_HEAD))
                known = FORMATS[name]
                if known.check is not None:
                    known.check(plain)
                return to_mesh(known.read(plain), file.name)
        except (Unreadable, MeshError) as error:
            raise MeshReadError(path, name, _sentence(str(error))) from None
        except (Exception, SystemExit) as error:
            raise MeshReadError(path, name, _sentence(_explain(error, name))) from error


def _check_file(file: Path) -> None:
    try:
        mode = os.stat(file).st_mode
    except FileNotFoundError:
        folder = file.parent
        names = os.listdir(folder) if folder.is_dir() else []
        near = difflib.get_close_matches(file.name, names, n=1)
        where = "" if folder.is_dir() else f" (nor a folder '{folder}')"
        raise Unreadable(f"there is no such file{where}" + (f"; did you mean '{near[0]}'?" if near else "")) from None
    except (OSError, ValueError) as error:
        raise Unreadable(f"the path cannot be used ({_first_line(error)})") from None
    if stat.S_ISDIR(mode):
        raise Unreadable("it is a folder; name a file in it")
    if not stat.S_ISREG(mode):
        raise Unreadable("it is a device or pipe, not a regular file")
    if not os.path.getsize(file):
        raise Unreadable("the file is empty")


@contextmanager
def _unpacked(file: Path) -> Iterator[Path]:
    """The file itself, or a temporary copy unpacked up to a bounded size."""
    suffix = file.suffix.lower()
    if suffix not in PACKED:
        yield file
        return
    if extension_of(file) in (".xdmf", ".xmf", ".node", ".ele"):
        raise Unreadable("it is packed and names other files; unpack it beside them first")
    opener: Any = {".gz": gzip.open, ".xz": lzma.open, ".bz2": bz2.open}[suffix]
    limit = min(_UNPACKED, max(_SMALL, _RATIO * os.path.getsize(file)))
    with tempfile.TemporaryDirectory(prefix="graphpde-") as folder:
        plain = Path(folder) / file.stem
        size = 0
        try:
            with opener(file, "rb") as packed, open(plain, "wb") as out:
                while chunk := packed.read(1 << 20):
                    size += len(chunk)
                    if size > limit:
                        raise Unreadable(f"it unpacks to more than {limit} bytes; unpack it yourself if you trust it")
                    out.write(chunk)
        except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
            raise Unreadable(f"it is no intact {PACKED[suffix]} file ({_first_line(error)})") from None
        if not size:
            raise Unreadable("the file is empty once unpacked")
        yield plain


def _explain(error: BaseException, name: str) -> str:
    """One true sentence for an exception that escaped from a reader."""
    title = FORMATS[name].title if name in FORMATS else name
    if isinstance(error, ModuleNotFoundError):
        return f'reading {title} needs {error.name}; run: pip install "graphpde[io]"'
    if isinstance(error, MemoryError):
        return "its counts ask for more memory than there is; they are probably damaged"
    if isinstance(error, EOFError):
        return "it ends where more should follow; it seems to be cut off"
    if isinstance(error, RecursionError):
        return "it nests or includes itself too deeply"
    if isinstance(error, PermissionError):
        return "you may not read it; check its permissions"
    if isinstance(error, FileNotFoundError):
        return f"it needs the file '{os.path.basename(str(error.filename))}', which is not beside it"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not text as {title} files are (byte {error.start} cannot be decoded)"
    if isinstance(error, KeyError):
        return f"it uses '{error.args[0] if error.args else '?'}', which the reader of {title} does not know"
    if isinstance(error, OSError) and "file signature" in str(error):
        return "it is no HDF5 file; older CGNS files (ADF) must be converted with adf2hdf"
    detail = _first_line(error)
    return f"its content is not valid {title} or is cut off" + (f" ({detail})" if detail else "")


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:120].rstrip(".") if lines else ""


def _sentence(text: str) -> str:
    return printable(text)[:400].rstrip(".") or "its content cannot be used"
