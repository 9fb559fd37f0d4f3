"""The readers of VTK files: every encoding, structured and polygonal data, damage, bounded decompression."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import meshio
import numpy as np
import pytest

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from tests.mesh.io_samples import PLANE, POINTS, TRIANGLES, put, sets


def test_vtu_in_every_encoding(tmp_path: Path) -> None:
    u = np.linspace(0, 1, 5)
    content = meshio.Mesh(
        POINTS, [("triangle", TRIANGLES)], point_data={"u": u, "v": POINTS}, cell_data={"k": [[1, 2, 3]]}
    )
    for name, options in {
        "ascii": {"binary": False},
        "plain": {"binary": True, "compression": None},
        "zlib": {"binary": True, "compression": "zlib"},
        "lzma": {"binary": True, "compression": "lzma"},
        "words": {"binary": True, "compression": "zlib", "header_type": "UInt64"},
    }.items():
        path = tmp_path / f"{name}.vtu"
        meshio.vtu.write(path, content, **options)
        mesh = read_mesh(path)
        assert np.array_equal(mesh.points, PLANE) and np.array_equal(mesh.cells["triangle"], TRIANGLES)
        assert np.allclose(mesh.point_data["u"], u) and mesh.point_data["v"].shape == (5, 3)
        assert mesh.cell_data["k"].tolist() == [1, 2, 3]


def appended(encoding: str, order: str = "<") -> bytes:
    """A .vtu with two triangles and a strip in appended form; a strip of four points is two triangles."""
    arrays = [
        ("Float64", "", POINTS.astype(f"{order}f8"), 3),
        ("Int32", "connectivity", np.array([0, 1, 2, 0, 2, 3, 1, 4, 2, 3], dtype=f"{order}i4"), 1),
        ("Int32", "offsets", np.array([3, 6, 10], dtype=f"{order}i4"), 1),
        ("UInt8", "types", np.array([5, 5, 6], dtype="u1"), 1),
    ]
    body, tags = b"", []
    for kind, name, values, width in arrays:
        data = np.array([values.nbytes], dtype=f"{order}u4").tobytes() + values.tobytes()
        label = f'type="{kind}" Name="{name}" NumberOfComponents="{width}"'
        tags.append(f'<DataArray {label} format="appended" offset="{len(body)}"/>')
        body += data if encoding == "raw" else base64.b64encode(data)
    cells = "".join(tags[1:])
    end = {"<": "Little", ">": "Big"}[order]
    head = (
        f'<VTKFile type="UnstructuredGrid" version="0.1" byte_order="{end}Endian"><UnstructuredGrid>'
        f'<Piece NumberOfPoints="5" NumberOfCells="3"><Points>{tags[0]}</Points><Cells>{cells}</Cells></Piece>'
        f'</UnstructuredGrid><AppendedData encoding="{encoding}">_'
    )
    return head.encode() + body + b"\n</AppendedData></VTKFile>"


@pytest.mark.parametrize("encoding", ["raw", "base64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_appended_vtu_with_a_strip(tmp_path: Path, encoding: str, order: str) -> None:
    mesh = read_mesh(put(tmp_path, "m.vtu", appended(encoding, order)))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2], [3, 2, 4]]


VTU = """<VTKFile type="UnstructuredGrid"><UnstructuredGrid><Piece NumberOfPoints="5" NumberOfCells="3">
<Points><DataArray type="Float64" NumberOfComponents="3">0 0 0 1 0 0 1 1 0 0 1 0 2 0 0</DataArray></Points>
<Cells><DataArray type="Int64" Name="connectivity">0 1 3 2 1 4 2 0 3 2 4 1</DataArray>
<DataArray type="Int64" Name="offsets">4 7 12</DataArray><DataArray type="UInt8" Name="types">8 5 42</DataArray></Cells>
</Piece></UnstructuredGrid></VTKFile>"""


def test_pixels_are_turned_and_polyhedra_left_out_with_a_count(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.vtu", VTU))
    assert mesh.cells["quad"].tolist() == [[0, 1, 2, 3]] and mesh.cells["triangle"].tolist() == [[1, 4, 2]]
    assert "1 cells of VTK type 42 (polyhedron) were left out" in mesh.warnings
    with pytest.raises(MeshReadError, match="none of its cells can be used: 3 cells of VTK type 41"):
        read_mesh(put(tmp_path, "n.vtu", VTU.replace("8 5 42", "41 41 41").replace("4 7 12", "4 8 12")))


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("</VTKFile>", "", "the XML is broken"),
        ("<VTKFile ", "<!DOCTYPE x><VTKFile ", "holds a <!DOCTYPE declaration"),
        ('"UnstructuredGrid">', '"PolyData">', "holds PolyData, expected an UnstructuredGrid"),
        ("0 1 3 2 1 4", "0 1 3 2 1 9", "a cell names point 9 or 0, expected 0..4"),
        ("0 1 3 2 1 4", "0 1 3 2 1 -1", "a cell names point 4 or -1"),
        ("4 7 12", "4 3 12", "offsets do not fit"),
        ("4 7 12", "4 7 13", "offsets do not fit"),
        ("4 7 12", "4 8 12", "a triangle cell has 4 points, expected 3"),
        ("4 7 12", "4 7", "array 'offsets' has 2 entries for 3 cells"),
        ("2 0 0<", "2 0<", "which is no multiple of its 3 components"),
        ("2 0 0<", "2 0 x<", "holds something that is not a number"),
        ('Points="5"', 'Points="6"', "the points have shape"),
        ('Name="types"', 'Name="typos"', "the cells have no array 'types'"),
        ('"UInt8"', '"Bit"', "array 'types' has type Bit"),
        (
            'type="UnstructuredGrid">',
            'type="UnstructuredGrid" compressor="vtkZstdDataCompressor">',
            "vtkZstdDataCompressor is not one of",
        ),
    ],
)
def test_damaged_vtu_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in VTU
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.vtu", VTU.replace(old, new, 1)))


def test_compressed_arrays_are_bounded_and_checked(tmp_path: Path) -> None:
    def with_points(header: list[int], block: bytes, compressor: str = "ZLib") -> Path:
        words = np.array(header, dtype="<u4").tobytes()
        text = (base64.b64encode(words) + base64.b64encode(block)).decode()
        old = 'NumberOfComponents="3">0 0 0 1 0 0 1 1 0 0 1 0 2 0 0<'
        content = VTU.replace(old, f'NumberOfComponents="3" format="binary">{text}<')
        content = content.replace(
            'type="UnstructuredGrid">', f'type="UnstructuredGrid" compressor="vtk{compressor}DataCompressor">'
        )
        return put(tmp_path, "m.vtu", content)

    block = zlib.compress(POINTS.tobytes())
    assert read_mesh(with_points([1, 120, 0, len(block)], block)).n == 5
    bomb = zlib.compress(bytes(10**7))
    for header, data, reason in (
        ([1, 10**9, 0, len(bomb)], bomb, "declares 1000000000 bytes for a block of"),
        ([1, 120, 0, len(bomb)], bomb, "has 121 bytes or more, expected 120"),
        ([1, 120, 0, len(block) + 9], block, "declares more bytes than the file holds"),
        ([10**9, 120, 0, len(block)], block, "declares more bytes than the file holds"),
        ([1, 120, 0, len(block)], bytes(4) + block[4:], "a compressed block of .* is damaged"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(with_points(header, data))
    block = pytest.importorskip("lz4.block").compress(POINTS.tobytes(), store_size=False)
    assert read_mesh(with_points([1, 120, 0, len(block)], block, "LZ4")).n == 5
    for header, data, reason in (
        ([1, 10**9, 0, len(block)], block, "declares 1000000000 bytes for a block of"),
        ([1, 119, 0, len(block)], block, "a compressed block of .* is damaged"),
        ([1, 121, 0, len(block)], block, "has 120 bytes or more, expected 121|is damaged"),
        ([1, 120, 0, len(block) - 1], block[:-1], "a compressed block of .* is damaged"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(with_points(header, data, "LZ4"))


def test_long_texts_are_kept_from_the_parser_and_nothing_else(tmp_path: Path) -> None:
    many = 1000
    points = " ".join(f"{k} {k * k} 0" for k in range(many))
    plain = (
        f'<VTKFile type="UnstructuredGrid"><!-- <DataArray type="Int8"> {"9 " * 3000}</DataArray> --><UnstructuredGrid>'
        f'<Piece NumberOfPoints="{many}" NumberOfCells="1"><PointData><DataArray type="Int64" Name="a > \'b\'">'
        f'{" ".join(map(str, range(many)))} {"".ljust(5000)}</DataArray><DataArray type="Int8" Name="@0" '
        f'NumberOfComponents="0"/></PointData><Points><DataArray type="Float64" NumberOfComponents="3">{points}'
        f'</DataArray></Points><Cells><DataArray type="Int64" Name="connectivity">0 1 3</DataArray>'
        f'<DataArray type="Int64" Name="offsets">3</DataArray><DataArray type="UInt8" Name="types">5</DataArray>'
        f"</Cells></Piece></UnstructuredGrid></VTKFile>"
    )
    with pytest.raises(MeshReadError, match="'@0' has 0 rows|components"):
        read_mesh(put(tmp_path, "m.vtu", plain))
    plain = plain.replace('<DataArray type="Int8" Name="@0" NumberOfComponents="0"/>', "")
    mesh = read_mesh(put(tmp_path, "m.vtu", plain))
    assert mesh.points[:, 1].tolist() == [k * k for k in range(many)]
    assert mesh.point_data["a > 'b'"].tolist() == list(range(many))
    for cut in (points[:40], "</DataArray></Points>"):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "n.vtu", plain.replace(cut, "", 1)))
    for mark in ("@0", "@1"):  # what stands for a long text must not be found in a short one
        with pytest.raises(MeshReadError, match="array 'connectivity' holds something that is not a number"):
            read_mesh(put(tmp_path, "n.vtu", plain.replace(">0 1 3<", f">{mark}<")))
    with pytest.raises(MeshReadError, match="holds something that is not a number"):
        read_mesh(put(tmp_path, "n.vtu", plain.replace("7 49 0", "7 &#52;9 0")))


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("version", ["42", "51"])
def test_legacy_vtk_by_another_writer(tmp_path: Path, binary: bool, version: str) -> None:
    cells = [("triangle", TRIANGLES), ("quad", np.array([[0, 1, 2, 3]])), ("triangle", TRIANGLES[:1])]
    content = meshio.Mesh(
        POINTS, cells, point_data={"u": np.arange(5.0), "v": POINTS}, cell_data={"k": [[1, 2, 3], [4], [5]]}
    )
    getattr(meshio.vtk, f"_vtk_{version}").write(tmp_path / "m.vtk", content, binary=binary)
    mesh = read_mesh(tmp_path / "m.vtk")
    assert mesh.cells["triangle"].tolist() == [*TRIANGLES.tolist(), [0, 1, 2]] and mesh.cells["quad"].tolist() == [
        [0, 1, 2, 3]
    ]
    assert mesh.point_data["u"].tolist() == [0, 1, 2, 3, 4] and np.array_equal(mesh.point_data["v"], POINTS)
    assert mesh.cell_data["k"].tolist() == [1, 2, 3, 5, 4]  # the cells of one type stand together


def test_legacy_vtk_surfaces_and_structured_grids(tmp_path: Path) -> None:
    head = "# vtk DataFile Version 2.0\nt\nASCII\nDATASET "
    poly = f"{head}POLYDATA\nPOINTS 5 float\n0 0 1 1 0 0 1 1 0 0 1 0 2 0 0\nPOLYGONS 2 8\n3 0 1 2\n3 0 2 3\n"
    poly += "LINES 1 3\n2 0 1\nPOINT_DATA 5\nSCALARS T double 1\nLOOKUP_TABLE default\n1 2 3 4 5\n"
    poly += "CELL_DATA 3\nNORMALS n float\n0 0 1 0 0 1 9 9 9\n"
    mesh = read_mesh(put(tmp_path, "poly.vtk", poly))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3]] and sets(mesh) == {"line": (1, [0, 1])}
    assert mesh.point_data["T"].tolist() == [1, 2, 3, 4, 5] and mesh.cell_data["n"].tolist() == [[0, 0, 1], [0, 0, 1]]
    image = read_mesh(
        put(tmp_path, "i.vtk", f"{head}STRUCTURED_POINTS\nDIMENSIONS 3 2 2\nSPACING 1 2 3\nORIGIN 5 0 0\n")
    )
    assert image.cells["hexahedron"].tolist() == [[0, 1, 4, 3, 6, 7, 10, 9], [1, 2, 5, 4, 7, 8, 11, 10]]
    assert image.points[11].tolist() == [7, 2, 3] and image.warnings == ()
    axes = "X_COORDINATES 3 float\n0 1 3\nY_COORDINATES 2 float\n0 1\nZ_COORDINATES 1 float\n0\n"
    plane = read_mesh(put(tmp_path, "r.vtk", f"{head}RECTILINEAR_GRID\nDIMENSIONS 3 2 1\n{axes}"))
    assert plane.cells["quad"].tolist() == [[0, 1, 4, 3], [1, 2, 5, 4]] and plane.points[2].tolist() == [3, 0]
    for old, new, reason in (
        ("POINTS 5", "POINTS 6", "POINTS has 15 numbers, expected 18"),
        ("POINTS 5", "POINTS 99999999999", "declares 299999999997 numbers, which the file cannot hold"),
        ("3 0 2 3", "4 0 2 3", "declares 8 numbers and its cells use 9|its numbers hold"),
        ("DATASET POLYDATA", "DATASET TABLE", "the data set TABLE is not read"),
        ("3 0 1 2", "3 0 1 7", "names point 7, expected 0..4"),
        ("POLYGONS 2 8", "POLYGONS 2", "the line 'POLYGONS 2' is not complete"),
        ("ASCII", "TEXT", "expected ASCII or BINARY"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.vtk", poly.replace(old, new)))
