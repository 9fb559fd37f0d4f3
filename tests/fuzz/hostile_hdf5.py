"""Hostile HDF5: links and numbers that lie elsewhere, data sets that claim or unpack to more than any mesh holds."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.hostile import BIG, CANARY, MAKERS, SIZE, hostile, outside, xdmf


def _xdmf_hdf5(name: str, fill: Callable[[Any, Path], None], size: str = "3 3") -> None:
    def make(folder: Path) -> Path:
        import h5py

        with h5py.File(folder / "x.h5", "w", libver="latest") as file:
            fill(file, folder)
        (folder / "m.xdmf").write_text(xdmf("x.h5:/x", "HDF", size=size))
        return folder / "m.xdmf"

    MAKERS[f"xdmf_hdf_{name}"] = make


def _external_link(file: Any, folder: Path) -> None:
    import h5py

    file["x"] = h5py.ExternalLink(str(outside(folder) / "x.h5"), "/x")


def _external_storage(file: Any, folder: Path) -> None:
    file.create_dataset("x", (3, 3), "f8", external=[(str(outside(folder) / "x.bin"), 0, 72)])


def _virtual(file: Any, folder: Path) -> None:
    import h5py

    layout = h5py.VirtualLayout((3, 3), "f8")
    layout[:] = h5py.VirtualSource(str(outside(folder) / "x.h5"), "x", (3, 3))
    file.create_virtual_dataset("x", layout)


def _objects(file: Any, folder: Path) -> None:
    import h5py

    file.create_dataset("x", data=np.array([b"1"] * 9, dtype=object).reshape(3, 3), dtype=h5py.string_dtype())


def _cycle(file: Any, folder: Path) -> None:
    file["a"] = __import__("h5py").SoftLink("/x")
    file["x"] = __import__("h5py").SoftLink("/a")


def _zipped(file: Any, size: int = SIZE) -> None:
    """A data set of zeros that unpacks to ``size`` bytes; its one chunk is repeated without being packed each time."""
    rows, step = size // 24, 1 << 19
    data = file.create_dataset("x", (rows, 3), "f8", chunks=(step, 3), compression="gzip", compression_opts=9)
    chunk = zlib.compress(bytes(24 * step), 9)
    for start in range(0, rows, step):
        data.id.write_direct_chunk((start, 0), chunk)


_xdmf_hdf5("external_link", _external_link)
_xdmf_hdf5("external_storage", _external_storage)
_xdmf_hdf5("virtual", _virtual)
_xdmf_hdf5("objects", _objects)
_xdmf_hdf5("cycle_of_links", _cycle)
_xdmf_hdf5("sparse", lambda file, _: file.create_dataset("x", (BIG, 3), "f8") and None, f"{BIG} 3")
_xdmf_hdf5(
    "sparse_chunks", lambda file, _: file.create_dataset("x", (BIG, 3), "f8", chunks=(1024, 3)) and None, f"{BIG} 3"
)
_xdmf_hdf5("bomb", lambda file, _: _zipped(file), f"{SIZE // 24} 3")


def _hdf5(name: str, file: str, change: Callable[[Any, Path], None]) -> None:
    """A mesh in HDF5 that meshio has written, then changed."""

    def make(folder: Path) -> Path:
        import h5py

        from tests.fuzz.corpus_binary import mixed, written

        written(folder, file, mixed(data=False, types=("tetra",)), file[2:])
        with h5py.File(folder / file, "r+") as opened:
            change(opened, folder)
        return folder / file

    MAKERS[name] = make


def _first(file: Any) -> str:
    """The path of the largest data set of floats, which are the points."""
    found: list[tuple[int, str]] = []

    def visit(name: str, item: Any) -> None:
        if hasattr(item, "dtype") and item.dtype.kind == "f":
            found.append((item.size, name))

    file.visititems(visit)
    return max(found)[1]


def _linked_away(file: Any, folder: Path) -> None:
    import h5py

    name = _first(file)
    del file[name]
    file[name] = h5py.ExternalLink(str(outside(folder) / "x.h5"), "/x")


def _stored_away(file: Any, folder: Path) -> None:
    name = _first(file)
    shape = file[name].shape
    del file[name]
    with (outside(folder) / "long.bin").open("wb") as out:
        np.full(shape, CANARY).tofile(out)
    where = [(str(outside(folder) / "long.bin"), 0, 8 * int(np.prod(shape)))]
    file.create_dataset(name, shape, "f8", external=where)


def _made_sparse(file: Any, folder: Path) -> None:
    name = _first(file)
    kept = dict(file[name].attrs)
    shape = file[name].shape
    del file[name]
    new = file.create_dataset(name, (BIG, *shape[1:]), "f8", chunks=(1024, *shape[1:]))
    for key, value in kept.items():
        new.attrs[key] = value


def _made_bomb(file: Any, folder: Path) -> None:
    name = _first(file)
    kept = dict(file[name].attrs)
    del file[name]
    group, _, own = name.rpartition("/")
    step, rows = 1 << 20, SIZE // 8
    new = (file[group] if group else file).create_dataset(own, (rows,), "f8", chunks=(step,), compression="gzip")
    chunk = zlib.compress(bytes(8 * step), 9)
    for start in range(0, rows, step):
        new.id.write_direct_chunk((start,), chunk)
    for key, value in kept.items():
        new.attrs[key] = value


for _format, _file in (("med", "m.med"), ("cgns", "m.cgns"), ("h5m", "m.h5m")):
    _hdf5(f"{_format}_external_link", _file, _linked_away)
    _hdf5(f"{_format}_external_storage", _file, _stored_away)
    _hdf5(f"{_format}_sparse", _file, _made_sparse)
    _hdf5(f"{_format}_bomb", _file, _made_bomb)


@hostile
def exodus_counts(folder: Path) -> Path:
    """A classic netCDF file whose header says that it has 2^31 - 4 nodes."""
    from tests.mesh.test_io_decks import exodus

    data = exodus(folder / "m.e", "QUAD4", 2).read_bytes()
    place = data.index(b"num_nodes") + 12
    (folder / "m.e").write_bytes(data[:place] + struct.pack(">I", 2**31 - 4) + data[place + 4 :])
    return folder / "m.e"


def _exodus(folder: Path, nodes: int, filled: bool) -> Path:
    import netCDF4

    with netCDF4.Dataset(folder / "m.e", "w") as file:
        for name, size in {"num_nodes": nodes, "num_dim": 3, "num_el_blk": 1, "one": 1, "four": 4}.items():
            file.createDimension(name, size)
        for axis in "xyz":
            column = file.createVariable(f"coord{axis}", "f8", ("num_nodes",), zlib=True, fill_value=None)
            if filled and axis == "x":
                column[:] = np.zeros(nodes)
        block = file.createVariable("connect1", "i4", ("one", "four"))
        block.elem_type = "TETRA"
        block[:] = [[1, 2, 3, 4]]
    return folder / "m.e"


@hostile
def exodus_sparse(folder: Path) -> Path:
    return _exodus(folder, 3 * 10**8, False)


@hostile
def exodus_bomb(folder: Path) -> Path:
    return _exodus(folder, 1 << 24, True)


@hostile
def exodus_external_link(folder: Path) -> Path:
    import h5py

    path = _exodus(folder, 4, True)
    with h5py.File(path, "r+") as file:
        del file["coordx"]
        file["coordx"] = h5py.ExternalLink(str(outside(folder) / "x.h5"), "/x")
    return path
