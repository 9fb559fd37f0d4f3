"""Time series as XDMF: the numbers in HDF5 with the mesh stored once, and one file that names them and the times.

A program that is stopped while it adds to an HDF5 file can leave all of it unreadable (measured: one in thirty, killed
while it wrote without a pause). So the HDF5 files are made whole, with room for frames to come, and a frame is plain
bytes into its room: nothing that was written before is touched. The room doubles from file to file.

Source: XDMF Model and Format (xdmf.org), "Grid" and "Time"; the steps borrow the mesh of the first one by XInclude, as
FEniCS writes it and ParaView reads it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from graphpde.errors import InputError, OutputError, ShapeError
from graphpde.mesh.mesh import Mesh
from graphpde.viz.files import make_folder, written
from graphpde.viz.series import SeriesWriter

_BORROWED = '<xi:include xpointer="xpointer(/Xdmf/Domain/Grid/Grid[1]/*[self::Topology or self::Geometry])"/>\n'
_MOST_FRAMES = 64  # that a file has room for if nobody says how many will come, and
_MOST_BYTES = 1 << 28  # how large it becomes
_MOST_EXPECTED = 4096


class _Room(NamedTuple):
    """A file with room for frames: its path, the first frame in it, and where each of their fields begins."""

    path: Path
    first: int
    offsets: list[list[int]]


class XdmfSeriesWriter(SeriesWriter):
    """Writes frames as they come: times in ``folder/stem.xdmf``, numbers in ``stem.h5``, ``stem_1.h5`` and so on.

    The XDMF is replaced as a whole after the numbers are there: whoever stops the program keeps a series that opens.
    Room that no frame came to fill takes no space on the disc where the file system knows sparse files.

    Args:
        folder: where the files go; made if missing. stem: how their names start.
        mesh: the mesh of all frames. names: the fields that every frame carries.
        suffix: of the XDMF file, ``.xdmf`` or ``.xmf``.
        expected: how many frames will come; then one HDF5 file holds them all. 0 = not known.

    Raises:
        InputError: no field names, a stem that is not a plain file name or holds ':' or '|', names XML cannot hold.
        OutputError: h5py is missing, or XDMF does not know the cells.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        stem: str,
        mesh: Mesh,
        names: Sequence[str] = ("u",),
        *,
        suffix: str = ".xdmf",
        expected: int = 0,
    ):
        from graphpde.mesh.io.labels import xml_label
        from graphpde.mesh.io.xdmf.items import parted
        from graphpde.mesh.io.xdmf.write import check_cells

        super().__init__(folder, stem, mesh, names)
        if parted(stem):
            raise InputError(f"'{stem}' cannot start names of XDMF and HDF5 files; expected one without ':' and '|'")
        bad = [name for name in self.names if xml_label(name) != name]
        if bad:
            raise InputError(f"the field name {bad[0]!r} cannot stand in XML; expected printable letters")
        self.suffix, self.expected = suffix, expected
        check_cells(self.path.name, mesh)
        _h5py(self.path.name)
        self._forms: list[tuple[tuple[int, ...], np.dtype]] = []
        self._rooms: list[_Room] = []
        self._steps: list[str] = []
        self._mesh = ""

    @property
    def path(self) -> Path:
        """The XDMF file."""
        return self.folder / f"{self.stem}{self.suffix}"

    def add(self, t: float, fields: Mapping[str, Any]) -> Path:
        """Write the frame at time ``t`` and name it in the XDMF.

        Args:
            t: time, later than the last frame's.
            fields: name -> values at points [mesh.n] or [mesh.n, c] for exactly the names of this series; NaN = none.

        Returns:
            The XDMF file.

        Raises:
            InputError: time not finite or not later, a field missing or unknown. ShapeError: wrong number of values, or
                of components. OutputError: a file cannot be written.
        """
        t, given = self._checked(t, fields)
        arrays = {
            k: np.ascontiguousarray(v if v.dtype == np.float32 else v.astype(np.float64)) for k, v in given.items()
        }
        empty = [name for name, values in arrays.items() if not values.size]
        if empty:
            raise ShapeError(f"field '{empty[0]}' has no components, expected at least one")
        forms = [(values.shape, values.dtype) for values in arrays.values()]
        if self.frames and forms != self._forms:
            shapes = [[str(dtype), *shape] for shape, dtype in self._forms]
            raise ShapeError(
                f"frame at t={t:g} has fields of other shapes or precision than the first, expected {shapes}"
            )
        self._forms = forms
        make_folder(self.folder)
        number = len(self.frames)
        if not number:
            self._rooms, self._steps = [], []
        if not self._rooms or number >= self._rooms[-1].first + len(self._rooms[-1].offsets):
            self._rooms.append(self._make_room(number))
        self._fill(self._rooms[-1], number, list(arrays.values()))
        steps = [*self._steps, self._step(t, number)]
        self._write_xdmf(steps)
        self._steps = steps
        self.frames.append((t, self.path))
        return self.path

    def _make_room(self, first: int) -> _Room:
        """A new HDF5 file with the mesh if it is the first, and data sets for frames to come."""
        from graphpde.mesh.io.aside import check_side_file
        from graphpde.mesh.io.xdmf.items import Items
        from graphpde.mesh.io.xdmf.write import topology_and_geometry

        h5py = _h5py(self.path.name)
        size = sum(int(np.prod(shape)) * dtype.itemsize for shape, dtype in self._forms)
        count = max(1, min(first + 1, _MOST_FRAMES, _MOST_BYTES // max(size, 1)))
        if not first and self.expected:
            count = min(self.expected, _MOST_EXPECTED)
        name = f"{self.stem}.h5" if not first else f"{self.stem}_{len(self._rooms)}.h5"
        if not self.frames:
            check_side_file(self.path, name)
        early = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        early.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        early.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        with written(self.folder / name) as aside, h5py.File(aside, "w") as file:
            if not first:
                self._mesh = topology_and_geometry(Items(file, name), self.mesh)
            offsets = []
            for frame in range(first, first + count):
                group = file.create_group(f"frames/{frame:05d}")
                offsets.append([_place(h5py, group, str(k), form, early) for k, form in enumerate(self._forms)])
        return _Room(self.folder / name, first, offsets)

    def _fill(self, room: _Room, number: int, arrays: list[np.ndarray]) -> None:
        """The numbers of a frame into their room."""
        try:
            with open(room.path, "r+b") as file:
                for offset, values in zip(room.offsets[number - room.first], arrays, strict=True):
                    file.seek(offset)
                    file.write(values.data)
        except OSError as error:
            raise OutputError(f"cannot write '{room.path}': {error.strerror or error}") from error

    def _step(self, t: float, number: int) -> str:
        from graphpde.mesh.io.xdmf.items import in_hdf5
        from graphpde.mesh.io.xdmf.write import attribute

        file, mesh = self._rooms[-1].path.name, _BORROWED if number else self._mesh
        fields = (
            attribute(name, shape, in_hdf5(file, f"frames/{number:05d}/{k}", shape, dtype))
            for k, (name, (shape, dtype)) in enumerate(zip(self.names, self._forms, strict=True))
        )
        return f'<Grid Name="frame" GridType="Uniform">\n<Time Value="{t!r}"/>\n{mesh}{"".join(fields)}</Grid>\n'

    def _write_xdmf(self, steps: list[str]) -> None:
        from graphpde.mesh.io.xdmf.write import HEAD, TAIL

        with written(self.path) as aside, aside.open("w", encoding="utf-8", newline="\n") as out:
            out.write(f'{HEAD}<Grid Name="series" GridType="Collection" CollectionType="Temporal">\n')
            out.writelines(steps)
            out.write(f"</Grid>\n{TAIL}")


def _place(h5py: Any, group: Any, name: str, form: tuple[tuple[int, ...], np.dtype], early: Any) -> int:
    """Where the bytes of a new data set begin in the file."""
    shape, dtype = form
    kind, space = h5py.h5t.py_create(dtype, logical=True), h5py.h5s.create_simple(shape)
    return h5py.h5d.create(group.id, name.encode(), kind, space, dcpl=early).get_offset()


def _h5py(name: str) -> Any:
    try:
        import h5py
    except ModuleNotFoundError:
        raise OutputError(
            f"cannot write '{name}': it needs h5py; run: pip install \"graphpde[io]\", or write a .pvd"
        ) from None
    return h5py
