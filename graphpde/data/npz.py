"""Arrays of numbers in .npz files: no objects, no more memory than the file declares, every checksum verified.

Numbers come in the types that torch calculates with: wide unsigned ones as int64, extended ones as float64.
"""

from __future__ import annotations

import ast
import io
import math
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from graphpde.data.raw_files import RawFiles
from graphpde.errors import DatasetError

_LARGEST, _TIMES = 1 << 30, 64  # bytes that the arrays may unpack to together, or for each byte of their file
_KEPT = {"u2": "i8", "u4": "i8", "u8": "i8", "f12": "f8", "f16": "f8"}
_HEADER = 10_000  # bytes of a header, of which one of numbers needs a hundred; as numpy bounds them


def read_arrays(files: RawFiles, name: str, keys: Sequence[str]) -> dict[str, np.ndarray]:
    """The named arrays of a file.

    Raises:
        DatasetError: the file is missing, cut or damaged, an array is missing, or holds objects (which only pickle
            could read).
    """
    content = files.read(name)
    arrays: dict[str, np.ndarray] = {}
    left = most = max(_LARGEST, _TIMES * len(content))
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            inside = set(archive.namelist())
            for key in keys:
                if f"{key}.npy" not in inside:
                    there = ", ".join(sorted(entry.removesuffix(".npy") for entry in inside)[:9]) or "none"
                    raise files.fault(name, f"it has no array '{key}'; it has: {there}")
                entry = archive.getinfo(f"{key}.npy")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise files.fault(name, "it is packed in a way that numpy does not write")
                left -= entry.file_size
                if left < 0:
                    raise files.fault(name, f"its arrays would unpack to more than {most >> 20} MB")
                arrays[key] = _array(archive.read(entry))
    except DatasetError:
        raise
    except _NoNumbers as error:
        raise files.fault(name, f"the array '{key}' {error}") from None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError, OSError,
            ValueError) as error:  # fmt: skip
        raise files.fault(name, f"it is cut or damaged ({error})") from None
    return arrays


class _NoNumbers(ValueError):
    """An entry is no array of numbers; continues "the array 'x' ..."."""


def _array(raw: bytes) -> np.ndarray:
    """The array in the bytes of an .npy file (format versions 1 to 3)."""
    if raw[:6] != b"\x93NUMPY" or len(raw) < 12:
        raise _NoNumbers("is no .npy data")
    wide = raw[6] > 1
    (length,) = struct.unpack_from("<I" if wide else "<H", raw, 8)
    start = (12 if wide else 10) + length
    if length > _HEADER:
        raise _NoNumbers("has a damaged header")
    try:
        header: Any = ast.literal_eval(raw[12 if wide else 10 : start].decode("latin-1").strip())
        dtype, shape, fortran = np.dtype(header["descr"]), tuple(header["shape"]), bool(header["fortran_order"])
    except (ValueError, SyntaxError, KeyError, TypeError, MemoryError, RecursionError):
        raise _NoNumbers("has a damaged header") from None
    if dtype.kind not in "biuf":
        raise _NoNumbers(
            f"holds {'objects that only unpickling could read' if dtype.hasobject else dtype}, not numbers"
        )
    if any(type(k) is not int or k < 0 for k in shape) or math.prod(shape) * dtype.itemsize != len(raw) - start:
        raise _NoNumbers(f"declares shape {list(shape)} and comes with {len(raw) - start} bytes")
    kept = np.dtype(_KEPT.get(f"{dtype.kind}{dtype.itemsize}", dtype.newbyteorder("=")))
    values = np.frombuffer(raw, dtype, offset=start).astype(kept)
    if dtype.kind == "u" and values.size and values.min() < 0:
        raise _NoNumbers("holds whole numbers of more than 63 bits")
    return values.reshape(shape, order="F" if fortran else "C")
