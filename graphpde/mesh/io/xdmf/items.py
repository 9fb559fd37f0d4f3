"""Numbers of an XDMF file on their way out: as text in the XML, or in an HDF5 file beside it that the XML names."""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import escape

import numpy as np

from graphpde.mesh.io.lines import lines

_PER_LINE = 12  # numbers of a text line where the array has no second axis


class Items:
    """Makes data items.

    Args:
        file: an open h5py file, or None for text. name: of that file as the XML shall call it.
    """

    def __init__(self, file: Any = None, name: str = ""):
        self.file, self.name = file, name

    def item(self, values: np.ndarray, path: str) -> str:
        """The numbers as an XML element; ``path`` is their place if they go into HDF5."""
        values = np.ascontiguousarray(stored(values))
        if self.file is None:
            return f"{_head(values.shape, values.dtype, 'XML')}\n{_text(values)}</DataItem>\n"
        self.file.create_dataset(path, data=values)
        return in_hdf5(self.name, path, values.shape, values.dtype)


def in_hdf5(name: str, path: str, shape: tuple[int, ...], dtype: np.dtype) -> str:
    """A data item that names the data set ``path`` of the HDF5 file ``name``."""
    return f"{_head(shape, dtype, 'HDF')}{escape(name)}:/{path}</DataItem>\n"


def _head(shape: tuple[int, ...], dtype: np.dtype, form: str) -> str:
    kind = "Float" if dtype.kind == "f" else "Int"
    size = " ".join(map(str, shape))
    return f'<DataItem Dimensions="{size}" NumberType="{kind}" Precision="{dtype.itemsize}" Format="{form}">'


def parted(path: str) -> bool:
    """Whether a file name would fall apart where the XML names a data set as FILE:/PATH."""
    return any(letter in path for letter in ":|") or path != path.strip() or not path.isprintable()


def stored(values: np.ndarray) -> np.ndarray:
    """The same numbers in a type that all readers of XDMF know: 4 or 8 bytes."""
    if values.dtype.kind == "f":
        return values if values.itemsize in (4, 8) else values.astype(np.float64 if values.itemsize > 4 else np.float32)
    return values.astype(np.int32 if values.itemsize < 4 or values.dtype == np.int32 else np.int64)


def _text(values: np.ndarray) -> str:
    if values.ndim == 2:
        return "".join(lines(list(values.T)))
    full = len(values) // _PER_LINE * _PER_LINE
    rest = " ".join(map(repr, values[full:].tolist()))
    return "".join(lines(list(values[:full].reshape(-1, _PER_LINE).T))) + (rest + "\n" if rest else "")
