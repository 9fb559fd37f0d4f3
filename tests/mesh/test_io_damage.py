"""What damaged and hostile files once did to the readers, each in the smallest file that did it."""

from __future__ import annotations

import base64
import struct
import zlib
from pathlib import Path

import meshio
import numpy as np
import pytest

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from graphpde.mesh.io.bridge import meshio_read
from graphpde.mesh.io.raw import Unreadable
from tests.mesh.io_samples import put, sets

NODES = "*NODE\n1,0,0\n2,1,0\n3,0,1\n*ELEMENT,TYPE=S3,ELSET=e\n7,1,2,3\n"
FACE = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"


def test_a_deck_without_nodes_whose_surface_names_its_own_set_comes_to_an_end(tmp_path: Path) -> None:
    deck = "*ELEMENT,TYPE=S3,ELSET=e\n7,1,2,3\n*SURFACE,NAME=low\ne,S3\n"  # the surface was handed to its own part
    with pytest.raises(MeshReadError, match="elements stand in a part .* that has no .NODE"):
        read_mesh(put(tmp_path, "m.inp", deck))


def test_parts_instances_and_assemblies_must_end(tmp_path: Path) -> None:
    lines = ["*PART, NAME=p", *NODES.splitlines(), "*END PART", "*ASSEMBLY, NAME=a"]
    for name in "ij":
        lines += [f"*INSTANCE, NAME={name}, PART=p", "*END INSTANCE"]
    lines.append("*END ASSEMBLY")
    assert read_mesh(put(tmp_path, "m.inp", "\n".join(lines))).n_cells == 2
    for stop in range(len(lines) - 7, len(lines)):  # behind the elements
        if lines[stop - 1] != "*END PART":
            with pytest.raises(MeshReadError, match=r"\*(PART|INSTANCE|ASSEMBLY) is not closed by \*END"):
                read_mesh(put(tmp_path, "cut.inp", "\n".join(lines[:stop])))


def test_generated_sets_cost_no_more_than_what_is_defined(tmp_path: Path) -> None:
    many = "1,9999999,1\n" * 100
    mesh = read_mesh(put(tmp_path, "m.inp", f"{NODES}*NSET,NSET=a,GENERATE\n{many}*NSET,NSET=b,GENERATE\n1,3,2\n"))
    assert sets(mesh)["a"] == (0, [0, 1, 2]) and sets(mesh)["b"] == (0, [0, 2])
    assert "999999600 nodes of set 'a' are not defined" in mesh.warnings


def test_sets_of_sets_are_resolved_once(tmp_path: Path) -> None:
    levels = "".join(f"*NSET,NSET=s{k}\n" + f"s{k - 1},s{k - 1}\n" * 8 for k in range(1, 25))  # 16^24 ways
    mesh = read_mesh(put(tmp_path, "m.inp", f"{NODES}*NSET,NSET=s0\n1,3\n{levels}"))
    assert sets(mesh)["s24"] == (0, [0, 2])


@pytest.mark.parametrize("name, head", [("m.inp", "*NODE\n1,"), ("m.bdf", "BEGIN BULK\nGRID,"), ("m.obj", "v ")])
def test_a_line_longer_than_any_deck_has_is_refused(tmp_path: Path, name: str, head: str) -> None:
    with pytest.raises(MeshReadError, match=r"line .*characters, which no"):
        read_mesh(put(tmp_path, name, head + "1," * 600_000))


@pytest.mark.parametrize("word", ["1_0", "١", "1__0"])
def test_numbers_are_written_in_plain_digits(tmp_path: Path, word: str) -> None:
    avs = "3 1 0 0 0\n1 0 0 0\n2 {} 0 0\n3 0 1 0\n{} 7 tri 1 2 3\n"
    bulk = "BEGIN BULK\nGRID,1,,0.,0.,0.\nGRID,2,,{}.,0.,0.\nGRID,3,,0.,1.,0.\nCTRIA3,{},1,1,2,3\nENDDATA\n"
    for name, text in (
        ("m.obj", FACE.replace("v 1 0 0", f"v {word} 0 0")),
        ("m.obj", FACE.replace("f 1 2", f"f 1 {word}")),
        ("m.avs", avs.format(word, 1)),
        ("m.avs", avs.format(1, word)),
        ("m.bdf", bulk.format(word, 1)),
        ("m.inp", NODES.replace("*ELEMENT", f"*NSET,NSET=a,GENERATE\n1,{word}\n*ELEMENT")),
    ):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, name, text))


def test_legacy_vtk_with_more_cells_than_numbers_is_refused(tmp_path: Path) -> None:
    head = "# vtk DataFile Version 3.0\nx\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 3 float\n0 0 0 1 0 0 0 1 0\n"
    for count in (2**32, 10**12, -1):
        with pytest.raises(MeshReadError, match="cells and 4 numbers, which are too few"):
            read_mesh(put(tmp_path, "m.vtk", f"{head}CELLS {count} 4\n3 0 1 2\nCELL_TYPES 1\n5\n"))


def test_compressed_arrays_expand_to_a_multiple_of_the_file_only(tmp_path: Path) -> None:
    block = zlib.compress(bytes(1 << 22), 9)
    head = struct.pack("<QQQ", 20, 1 << 22, 0) + struct.pack("<Q", len(block)) * 20
    array = base64.b64encode(head).decode() + base64.b64encode(block * 20).decode()
    text = (
        '<VTKFile type="UnstructuredGrid" compressor="vtkZLibDataCompressor" byte_order="LittleEndian" '
        f'header_type="UInt64"><UnstructuredGrid><Piece NumberOfPoints="{20 * (1 << 22) // 24}" NumberOfCells="1">'
        f'<Points><DataArray type="Float64" NumberOfComponents="3" format="binary">{array}</DataArray></Points>'
        "<Cells/></Piece></UnstructuredGrid></VTKFile>"
    )
    with pytest.raises(MeshReadError, match="expand to far more than a file of this size should hold"):
        read_mesh(put(tmp_path, "m.vtu", text))


def test_xml_of_millions_of_elements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeshReadError, match="XML tags, which takes far more memory than its size"):
        read_mesh(put(tmp_path, "m.vtu", '<VTKFile type="UnstructuredGrid">' + "<a/>" * (1 << 22) + "</VTKFile>"))


@pytest.mark.parametrize("chunk", [None, 1 << 20])
def test_hdf5_data_sets_expand_to_a_multiple_of_the_file_only(tmp_path: Path, chunk: int | None) -> None:
    h5py, netcdf = pytest.importorskip("h5py"), pytest.importorskip("netCDF4")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        options = {"chunks": (chunk, 3), "compression": "gzip"} if chunk else {}
        file.create_dataset("x", (10**9, 3), "f8", **options)
    text = (
        '<Xdmf><Domain><Grid><Topology TopologyType="Triangle"><DataItem Dimensions="1 3">0 1 2</DataItem></Topology>'
        '<Geometry><DataItem Format="HDF" Dimensions="1000000000 3" Precision="8">x.h5:/x</DataItem></Geometry></Grid>'
        "</Domain></Xdmf>"
    )
    with pytest.raises(MeshReadError, match="declares 24000000000 bytes and stores 0"):
        read_mesh(put(tmp_path, "m.xdmf", text))
    with netcdf.Dataset(tmp_path / "m.e", "w") as file:
        for name, size in {"num_nodes": 10**9, "num_dim": 1, "num_el_blk": 1}.items():
            file.createDimension(name, size)
        file.createVariable("coordx", "f8", ("num_nodes",), zlib=bool(chunk))
    with pytest.raises(MeshReadError, match="'coordx' holds 8000000000 bytes, far more than a file of this size"):
        read_mesh(tmp_path / "m.e")


def test_a_netcdf_dimension_without_numbers_may_be_long(tmp_path: Path) -> None:
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(tmp_path / "m.e", "w") as file:
        for name, size in {"num_nodes": 3, "num_dim": 2, "num_el_blk": 1, "one": 1, "spare": 10**9}.items():
            file.createDimension(name, size)
        for axis, values in (("x", [0, 1, 0]), ("y", [0, 0, 1])):
            file.createVariable(f"coord{axis}", "f8", ("num_nodes",))[:] = np.array(values, dtype=float)
        block = file.createVariable("connect1", "i4", ("one", "num_nodes"))
        block.elem_type = "TRI3"
        block[:] = [[1, 2, 3]]
    assert read_mesh(tmp_path / "m.e").n_cells == 1


def test_a_bare_word_of_meshio_becomes_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stumble(_: object) -> None:
        raise meshio.ReadError("TNTER")

    monkeypatch.setitem(meshio_read.reader_map, "permas", stumble)
    with pytest.raises(Unreadable, match="its content is not what the format asks for, at 'TNTER'"):
        meshio_read.read(put(tmp_path, "m.post", "x"), "permas")


def test_abaqus_parts_that_nothing_places_are_noted(tmp_path: Path) -> None:
    part = "*PART, NAME=p\n*NODE\n1,0,0\n2,1,0\n3,0,1\n*ELEMENT, TYPE=CPS3\n1,1,2,3\n*END PART\n"
    (tmp_path / "cut.inp").write_text(part)
    warnings = read_mesh(tmp_path / "cut.inp").warnings
    assert any("no *ASSEMBLY that places them, or is cut off" in text for text in warnings)
    placed = "*ASSEMBLY, NAME=a\n*INSTANCE, NAME=i, PART=p\n*END INSTANCE\n*END ASSEMBLY\n"
    (tmp_path / "whole.inp").write_text(part + placed)
    assert read_mesh(tmp_path / "whole.inp").warnings == ()
