"""The library's own readers: hand-made files with known answers, every encoding, damage in the right place."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from graphpde.mesh.mesh import Mesh

POINTS = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]])
TRIANGLES = np.array([[0, 1, 2], [0, 2, 3], [1, 4, 2]])
PLANE = POINTS[:, :2]


def put(folder: Path, name: str, text: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def sets(mesh: Mesh) -> dict[str, tuple[int, list[int]]]:
    """Dimension and points of each named set."""
    return {name: (tag.dim, tag.nodes.tolist()) for name, tag in mesh.tags.items()}


# gmsh

MSH4 = """$MeshFormat
4.1 0 8
$EndMeshFormat
$PhysicalNames
4
1 5 "wall"
2 5 "wall"
2 6 "hot part"
0 9 "never used"
$EndPhysicalNames
$Entities
1 2 2 0
1 0 0 0 0
1 0 0 0 1 0 0 1 5 2 1 2
2 0 0 0 1 1 0 0 0
1 0 0 0 1 1 0 2 5 6 0
2 0 0 0 2 1 0 1 77 0
$EndEntities
$Nodes
2 5 10 50
2 1 0 3
10
20
30
0 0 0
1 0 0
1 1 0
2 2 1 2
40
50
0 1 0 0.5 0.5
2 0 0 0.5 0.5
$EndNodes
$Elements
5 6 1 6
1 1 1 1
1 10 20
1 2 1 1
2 20 30
2 1 2 2
3 10 20 30
4 10 30 40
2 2 2 1
5 20 50 30
0 1 15 1
6 10
$EndElements
$NodeData
1
"T"
1
0.0
3
0
1
2
20 7.5
10 2.5
$EndNodeData
$ElementData
1
"q"
1
0.0
3
0
1
3
5 3
4 2
3 1
$EndElementData
"""


def test_gmsh4_groups_by_name_number_dimension_and_in_several_groups(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.msh", MSH4))
    assert torch.equal(mesh.points, torch.tensor(PLANE, dtype=torch.float64))
    assert np.array_equal(mesh.cells["triangle"], TRIANGLES)
    assert sets(mesh) == {
        "wall:1d": (1, [0, 1]),
        "wall:2d": (2, [0, 1, 2, 3]),
        "hot part": (2, [0, 1, 2, 3]),
        "77": (2, [1, 2, 4]),
        "line": (1, [1, 2]),  # the entity without a group
        "vertex": (0, [0]),
    }
    assert mesh.tag(77).ids.tolist() == [2]
    assert mesh.cell_data["gmsh:physical"].tolist() == [5, 5, 77]
    assert mesh.cell_data["q"].tolist() == [1, 2, 3]
    assert mesh.point_data["T"][:2].tolist() == [2.5, 7.5] and bool(mesh.point_data["T"][2:].isnan().all())
    assert mesh.warnings == ("1 physical groups have no elements: never used",)


MSH2 = """$MeshFormat
2.2 0 8
$EndMeshFormat
$PhysicalNames
2
2 1 "steel"
2 2 "hot"
$EndPhysicalNames
$Nodes
5
1 0 0 0
2 1 0 0
3 1 1 0
4 0 1 0
9 2 0 0
$EndNodes
$Elements
6
1 1 2 7 1 1 2
2 2 2 1 1 1 2 3
3 2 2 2 1 1 2 3
4 2 4 1 1 1 0 1 3 4
5 2 2 0 2 2 9 3
6 15 2 0 3 1
$EndElements
"""


def test_gmsh2_counts_an_element_of_several_groups_once(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.msh", MSH2))
    assert np.array_equal(mesh.cells["triangle"], TRIANGLES)
    assert sets(mesh) == {
        "7": (1, [0, 1]),
        "steel": (2, [0, 1, 2, 3]),
        "hot": (2, [0, 1, 2]),
        "vertex": (0, [0]),
    }
    assert mesh.tag("hot").ids.tolist() == [0]
    assert mesh.warnings == ("1 elements are listed more than once; they count once, in all their groups",)


def test_gmsh_without_groups_offers_its_entities(tmp_path: Path) -> None:
    text = MSH4.replace(" 1 5 2 1 2\n", " 0 2 1 2\n").replace(" 2 5 6 0\n", " 0 0\n").replace(" 1 77 0\n", " 0 0\n")
    mesh = read_mesh(put(tmp_path, "m.msh", text.split("$PhysicalNames")[0] + text.split("$EndPhysicalNames\n")[1]))
    assert sets(mesh) == {
        "entity:1:1d": (1, [0, 1]),
        "entity:1:2d": (2, [0, 1, 2, 3]),
        "entity:2:1d": (1, [1, 2]),
        "entity:2:2d": (2, [1, 2, 4]),
        "vertex": (0, [0]),
    }


@pytest.mark.parametrize("version", ["2.2", "4.1"])
def test_gmsh_binary_equals_text(tmp_path: Path, version: str) -> None:
    tags = {
        "gmsh:physical": [np.array([1, 1, 2]), np.array([3])],
        "gmsh:geometrical": [np.array([1, 1, 2]), np.array([4])],
    }
    content = meshio.Mesh(POINTS, [("triangle", TRIANGLES), ("line", [[0, 1]])], cell_data=tags)
    if version == "4.1":  # meshio writes one entity per block
        cells = [("triangle", TRIANGLES[:2]), ("triangle", TRIANGLES[2:]), ("line", [[0, 1]])]
        tags = {name: [np.array([1, 1]), np.array([2]), np.array([3])] for name in tags}
        where = {"gmsh:dim_tags": np.array([[2, 1], [2, 1], [2, 1], [2, 2], [1, 3]])}
        content = meshio.Mesh(POINTS, cells, cell_data=tags, point_data=where)
    found, expected = [], {"1": [0, 1, 2, 3], "2": [1, 2, 4], "3": [0, 1]}
    for binary in (False, True):
        path = tmp_path / f"{binary}.msh"
        meshio.gmsh.write(path, content, version, binary=binary)
        found.append(read_mesh(path))
        where = {name: sorted(found[-1].points[tag.nodes].tolist()) for name, tag in found[-1].tags.items()}
        assert where == {name: sorted(PLANE[rows].tolist()) for name, rows in expected.items()}
    assert torch.equal(found[0].points, found[1].points)
    assert torch.equal(found[0].cells["triangle"], found[1].cells["triangle"])


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("$EndElements", "$EndElement", r"section \$Elements is not closed"),
        ("5 20 50 30\n", "", r"section \$Elements ends too early"),
        ("3 10 20 30", "3 10 20 31", "node 31 is used but not defined"),
        ("\n40\n50\n", "\n40\n40\n", "node 40 is defined twice"),
        ("2 5 10 50", "2 99999999 10 50", "holds 5 nodes and declares 99999999"),
        ("2 1 0 3", "2 1 0 88888888", "declares 88888888 items, which the file cannot hold|ends too early"),
        ("5 6 1 6", "5 7 1 7", "holds 6 elements and declares 7"),
        ("2 2 2 1\n", "2 2 140 1\n", "element type 140 is not supported"),
        ("3 10 20 30", "3 10.5 20 30", "must be whole numbers, got 10.5"),
        ("3 10 20 30", "3 x 20 30", r"section \$Elements holds something that is not a number"),
        ("$Nodes", "$Nodez", r"\$Nodez is not closed"),
        ("1 1 0\n2 2 1", "1 nan 0\n2 2 1", "1 points of 'm.msh' are not finite, first .2"),
        ("1 10 20\n1 2", "1 10 20\n9 9 1 2", r"ends too early|cannot hold|holds . numbers more|not supported"),
    ],
)
def test_damaged_gmsh4_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in MSH4
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.msh", MSH4.replace(old, new)))


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("$Elements\n6", "$Elements\n7", "ends 1 rows too early"),
        ("$Elements\n6", "$Elements\n5", "holds 6 numbers more than its counts say"),
        ("$Nodes\n5", "$Nodes\n6", "ends too early"),
        ("4 2 4 1 1 1 0 1 3 4", "4 2 9999 1 1 1 0 1 3 4", "has 9999 tags"),
        ("$Elements", "$Nodes\n0\n$EndNodes\n$Elements", r"\$Nodes stands twice"),
        ("$EndNodes\n", "$EndNodes\n$Elements\n0\n$EndElements\n", r"\$Elements stands twice"),
    ],
)
def test_damaged_gmsh2_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.msh", MSH2.replace(old, new)))


@pytest.mark.parametrize("version", ["2.2", "4.1"])
def test_binary_gmsh_cut_anywhere_is_refused(tmp_path: Path, version: str) -> None:
    meshio.gmsh.write(tmp_path / "m.msh", meshio.Mesh(POINTS, [("triangle", TRIANGLES)]), version, binary=True)
    data = (tmp_path / "m.msh").read_bytes()
    end = data.find(b"$EndElements")
    for length in range(1, end + 12, 7):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "cut.msh", data[:length]))


@pytest.mark.parametrize("kind", ["tetra10", "hexahedron20", "hexahedron27", "wedge15", "wedge18", "pyramid13"])
def test_quadratic_nodes_stand_where_vtk_has_them(tmp_path: Path, kind: str) -> None:
    """Mid-side nodes written in gmsh's order and read again: on a straight cell they are the middles of their edges."""
    from graphpde.mesh.io.gmsh_table import from_vtk, to_vtk

    width = int("".join(c for c in kind if c.isdigit()))
    row = np.arange(width)[None]
    assert np.array_equal(to_vtk(kind, from_vtk(kind, row)), row)
    gmsh = {  # the two corners of each edge in the order of the file
        "tetra10": "01 12 02 03 23 13",
        "hexahedron20": "01 03 04 12 15 23 26 37 45 47 56 67",
        "wedge15": "01 02 03 12 14 25 34 35 45",
        "pyramid13": "01 03 04 12 14 23 24 34",
    }
    vtk = {
        "tetra10": "01 12 02 03 13 23",
        "hexahedron20": "01 12 23 03 45 56 67 47 04 15 26 37",
        "wedge15": "01 12 02 34 45 35 03 14 25",
        "pyramid13": "01 12 23 03 04 14 24 34",
    }
    base = {"hexahedron27": "hexahedron20", "wedge18": "wedge15"}.get(kind, kind)
    corners = {"tetra10": 4, "hexahedron20": 8, "wedge15": 6, "pyramid13": 5}[base]
    there, here = gmsh[base].split(), vtk[base].split()
    order = to_vtk(kind, row)[0][corners : corners + len(here)] - corners
    assert [there[k] for k in order] == here


# VTK


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
    with pytest.raises(MeshReadError, match="none of its cells can be used: 3 cells of VTK type 16"):
        read_mesh(put(tmp_path, "n.vtu", VTU.replace("8 5 42", "16 16 16").replace("4 7 12", "4 8 12")))


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
            'type="UnstructuredGrid" compressor="vtkLZ4DataCompressor">',
            "vtkLZ4.* not supported",
        ),
    ],
)
def test_damaged_vtu_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in VTU
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.vtu", VTU.replace(old, new, 1)))


def test_compressed_arrays_are_bounded_and_checked(tmp_path: Path) -> None:
    def with_points(header: list[int], block: bytes) -> Path:
        words = np.array(header, dtype="<u4").tobytes()
        text = (base64.b64encode(words) + base64.b64encode(block)).decode()
        old = 'NumberOfComponents="3">0 0 0 1 0 0 1 1 0 0 1 0 2 0 0<'
        content = VTU.replace(old, f'NumberOfComponents="3" format="binary">{text}<')
        content = content.replace(
            'type="UnstructuredGrid">', 'type="UnstructuredGrid" compressor="vtkZLibDataCompressor">'
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


# SU2, OBJ, OFF, AVS-UCD

SU2 = """% a comment
NDIME= 2
NELEM= 3
5 0 1 2 0
5 0 2 3 1
5 1 4 2 2
NPOIN= 5 5
0 0 0
1 0 1
1 1 2
0 1 3
2 0 4
NMARK= 2
MARKER_TAG= lower wall
MARKER_ELEMS= 2
3 0 1
3 1 4
MARKER_TAG= 7
MARKER_ELEMS= 1
3 3 0
"""


def test_su2_markers_by_name(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.su2", SU2))
    assert np.array_equal(mesh.points, PLANE) and np.array_equal(mesh.cells["triangle"], TRIANGLES)
    assert sets(mesh) == {"lower wall": (1, [0, 1, 4]), "7": (1, [0, 3])}
    for old, new, reason in (
        ("NDIME= 2", "NZONE= 2\nIZONE= 1\nNDIME= 2", "holds 2 zones"),
        ("NPOIN= 5 5", "NPOIN= 9", "section NPOIN"),
        ("MARKER_ELEMS= 1\n3 3 0\n", "MARKER_ELEMS= 4\n3 3 0\n", "section MARKER_ELEMS ends 3 lines too early"),
        ("5 1 4 2 2\n", "6 1 4 2 2\n", "element code 6 is not one of"),
        ("5 1 4 2 2\n", "5 1 4 2\n", "section NELEM ends 1 rows too early"),
        ("5 1 4 2 2\n", "5 1 4 8 2\n", "a triangle cell names point 8, expected 0..4"),
        ("NELEM= 3", "hello", "belongs to no section"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.su2", SU2.replace(old, new, 1)))


def test_obj_with_textures_groups_negative_indices_and_continued_lines(tmp_path: Path) -> None:
    text = "v 0 0 0 # origin\nv 1 0 0\nv 1 1 0\nvt 0 0\nvn 0 0 1\ng left a\nf 1/1/1 2/1/1 \\\n3/1/1\n"
    text += "v 0 1 1\ng right\nf -4//1 -2 -1\n"
    mesh = read_mesh(put(tmp_path, "m.obj", text))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert {name: tag.ids.tolist() for name, tag in mesh.tags.items()} == {"left": [0], "a": [0], "right": [1]}
    colours = "".join(f"v {x} {y} 1 0.5 0 0\n" for x, y in ((0, 0), (1, 0), (0, 1))) + "f 1 2 3\n"
    assert read_mesh(put(tmp_path, "c.obj", colours)).point_data["colour"].tolist() == 3 * [[0.5, 0, 0]]
    for bad, reason in (
        ("f 0 1 2", "line 4"),
        ("f 1 2 9", "line 4"),
        ("f 1 2 x", "line 4"),
        ("v 1 2 3 4 5", "5 numbers"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.obj", f"v 0 0 0\nv 1 0 0\nv 0 1 0\n{bad}\nf 1 2 3\n"))


def test_off_with_comments_colours_quads_and_faces_over_lines(tmp_path: Path) -> None:
    head = "OFF # header\n# comment\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 1\n"
    mesh = read_mesh(put(tmp_path, "m.off", f"{head}3 0 1 2 255 0 0\n4 0 1 2 3 # face\n"))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2]] and mesh.cells["quad"].tolist() == [[0, 1, 2, 3]]
    split = read_mesh(put(tmp_path, "s.off", f"{head}3 0 1\n2\n4 0 1 2 3\n"))
    assert torch.equal(split.cells["quad"], mesh.cells["quad"])
    for text, reason in ((f"{head}3 0 1 2\n", "ends 1 rows too early"), ("OFF\n9 1 0\n0 0 0\n", "declares 9 vertices")):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.off", text))


def test_avs_ucd_text_is_told_from_abaqus(tmp_path: Path) -> None:
    text = "# comment\n4 2 1 1 0\n1 0 0 0\n2 1 0 0\n3 1 1 0\n9 0 1 0\n1 5 tri 1 2 3\n2 6 tri 1 3 9\n"
    text += "1 1\nT, K\n9 4\n1 1\n2 2\n3 3\n1 1\np, Pa\n2 20\n1 10\n"
    mesh = read_mesh(put(tmp_path, "m.inp", text))
    assert sets(mesh) == {"5": (2, [0, 1, 2]), "6": (2, [0, 2, 3])}
    assert mesh.point_data["T"].tolist() == [1, 2, 3, 4] and mesh.cell_data["p"].tolist() == [10, 20]
    with pytest.raises(MeshReadError, match="declares 4 nodes and 99 cells"):
        read_mesh(put(tmp_path, "bad.inp", text.replace("4 2 1 1 0", "4 99 1 1 0")))


# Abaqus

DECK = """** a comment
*Heading
 a title
*NODE, NSET=all
1, 0, 0, 0
2, 1., 0, 0
3, 1, 1,
4, 0, 1
7, 2, 0
*Element, type=cps3, elset=A
10, 1, 2, 3
20, 1, 3, 4
*ELEMENT, TYPE=CPS4R
30, 2, 7, 3,
3
*NSET, NSET=ends, GENERATE
1, 7, 6
*NSET, NSET=more
2, ENDS
*ELSET, ELSET=b, GENERATE
10, 20, 10
*ELSET, ELSET=b
30
*SURFACE, NAME=low
b, S1
*SURFACE, NAME=some, TYPE=NODE
ends,
"""


def test_abaqus_sets_of_every_kind(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.inp", DECK))
    assert np.array_equal(mesh.points, PLANE)
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3]] and mesh.cells["quad"].tolist() == [[1, 4, 2, 2]]
    assert sets(mesh) == {
        "A": (2, [0, 1, 2, 3]),
        "b": (2, [0, 1, 2, 3, 4]),
        "low": (1, [0, 1, 2, 4]),
        "all": (0, [0, 1, 2, 3, 4]),
        "ends": (0, [0, 4]),
        "more": (0, [0, 1, 4]),
        "some": (0, [0, 4]),
    }
    assert "1 of 3 cells name a point twice" in mesh.warnings
    for old, new, reason in (
        ("30, 2, 7, 3,", "30, 2, 8, 3,", "node 8 is used but not defined"),
        ("2, ENDS", "2, NOWHERE", "the set 'NOWHERE' is used but not defined"),
        ("2, ENDS", "2, MORE", "the set 'MORE' is defined by itself"),
        ("20, 1, 3, 4", "20, 1, 3", "are no multiple of 4"),
        ("*NODE, NSET=all", "*NODE, SYSTEM=C", "only rectangular coordinates"),
        ("2, 1., 0, 0", "2", "a line under .NODE has no coordinates"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.inp", DECK.replace(old, new)))


def test_abaqus_parts_are_placed_and_includes_followed(tmp_path: Path) -> None:
    put(tmp_path, "nodes.inp", "*NODE\n1,0,0,0\n2,1,0,0\n3,0,1,0\n4,0,0,1\n")
    deck = "*PART, NAME=p\n*INCLUDE, INPUT=nodes.inp\n*ELEMENT, TYPE=C3D4, ELSET=e\n1,1,2,3,4\n*END PART\n"
    deck += "*ASSEMBLY, NAME=a\n*INSTANCE, NAME=i, PART=P\n*END INSTANCE\n"
    deck += "*INSTANCE, NAME=j, PART=p\n5, 0, 0\n*END INSTANCE\n"
    deck += (
        "*NSET, NSET=top, INSTANCE=j\n4\n*SURFACE, NAME=base\ne, S1\n*ELEMENT, TYPE=SPRINGA\n9, 1, 2\n*END ASSEMBLY\n"
    )
    mesh = read_mesh(put(tmp_path, "m.inp", deck))
    assert mesh.n == 8 and mesh.points[4].tolist() == [5, 0, 0] and mesh.n_cells == 2
    assert sets(mesh) == {"e": (3, [*range(8)]), "top": (0, [3, 7]), "base": (2, [0, 1, 2, 4, 5, 6])}
    assert any("SPRINGA have no cell type" in sentence for sentence in mesh.warnings)
    with pytest.raises(MeshReadError, match="an instance is rotated"):
        read_mesh(put(tmp_path, "bad.inp", deck.replace("5, 0, 0\n", "5, 0, 0\n0,0,0,0,0,1,90\n")))
    with pytest.raises(MeshReadError, match="names the part 'Q', which is not defined"):
        read_mesh(put(tmp_path, "bad.inp", deck.replace("PART=P", "PART=q")))


# Nastran


def test_nastran_fields_small_large_and_free_agree(tmp_path: Path) -> None:
    small = "GRID           1             0.0     0.0     1.0\nGRID           2           1.5+0     0.0     1.0\n"
    large = "GRID*                  3                             1.5             1.0\n*                    1.0\n"
    free = "GRID,4,,0.,10.-1,1.D0\n$ a comment\nCTRIA3,1,8,1,2,3\n"
    quad = "CQUAD4         2       9       1       2       3       4\n"
    mesh = read_mesh(
        put(tmp_path, "m.bdf", f"SOL 101\nCEND\nBEGIN BULK\n{small}{large}{free}{quad}CELAS1,7,1,1,1\nENDDATA\n")
    )
    assert mesh.points.tolist() == [[0, 0], [1.5, 0], [1.5, 1], [0, 1]]
    assert sets(mesh) == {"8": (2, [0, 1, 2]), "9": (2, [0, 1, 2, 3])}
    assert mesh.warnings[:1] == ("1 elements without a cell type here were left out: 1 CELAS1",)
    with pytest.raises(MeshReadError, match="GRID .* has a field that is no number"):
        read_mesh(put(tmp_path, "bad.bdf", "BEGIN BULK\nGRID,1,,a,b,c\nENDDATA\n"))


def test_nastran_quadratic_solids_and_local_systems(tmp_path: Path) -> None:
    grids = "".join(
        f"GRID,{k},5,{r},{angle},{z}\n"
        for k, (r, angle, z) in enumerate([(0, 0, 0), (1, 0, 0), (1, 90, 0), (0, 0, 1)], 1)
    )
    system = "CORD2C,5,0,10.,0.,0.,10.,0.,1.\n+,11.,0.,0.\n"
    tetra = "CTETRA,1,2,1,2,3,4\n"
    mesh = read_mesh(put(tmp_path, "m.bdf", f"BEGIN BULK\n{system}{grids}{tetra}ENDDATA\n"))
    expected = torch.tensor([[10, 0, 0], [11, 0, 0], [10, 1, 0], [10, 0, 1]], dtype=torch.float64)
    assert torch.allclose(mesh.points, expected, atol=1e-14)
    spherical = system.replace("CORD2C", "CORD2S")
    ball = f"BEGIN BULK\n{spherical}GRID,1,5,2.,90.,90.\nGRID,2,,0.,0.,0.\nCROD,1,1,1,2\nENDDATA\n"
    assert torch.allclose(
        read_mesh(put(tmp_path, "s.bdf", ball)).points[0], torch.tensor([10.0, 2, 0], dtype=torch.float64)
    )
    with pytest.raises(MeshReadError, match="coordinate systems 5, which no CORD2 entry defines"):
        read_mesh(put(tmp_path, "bad.bdf", f"BEGIN BULK\n{grids}{tetra}ENDDATA\n"))
    with pytest.raises(MeshReadError, match="three points of coordinate system 5 lie on a line"):
        read_mesh(
            put(tmp_path, "bad.bdf", f"BEGIN BULK\n{system.replace('11.,0.,0.', '10.,0.,7.')}{grids}{tetra}ENDDATA\n")
        )
    middle = {5: (0, 1), 6: (1, 2), 7: (0, 2), 8: (0, 3), 9: (1, 3), 10: (2, 3)}
    x = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    x = np.r_[x, [x[list(ends)].mean(0) for ends in middle.values()]]
    deck = "".join(f"GRID,{k},,{a},{b},{c}\n" for k, (a, b, c) in enumerate(x.tolist(), 1))
    ten = read_mesh(put(tmp_path, "q.bdf", f"BEGIN BULK\n{deck}CTETRA,1,2,1,2,3,4,5,6\n,7,8,9,10\nENDDATA\n"))
    assert ten.cells["tetra10"].tolist() == [[*range(10)]]


# Exodus


def exodus(path: Path, element: str, dim: int) -> Path:
    """Two quadrilaterals side by side: a named and a numbered block, node and side sets."""
    netcdf = pytest.importorskip("netCDF4")
    with netcdf.Dataset(path, "w", format="NETCDF3_CLASSIC") as file:
        sizes = {"num_nodes": 6, "num_dim": dim, "num_el_blk": 2, "num_node_sets": 1, "num_side_sets": 2, "len_name": 8}
        for name, size in {**sizes, "one": 1, "two": 2, "four": 4, "time_step": None}.items():
            file.createDimension(name, size)
        for axis, values in zip("xyz"[:dim], ([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1], [1, 1, 1, 1, 1, 2])):
            file.createVariable(f"coord{axis}", "f8", ("num_nodes",))[:] = values
        for number, rows in enumerate(([[1, 2, 5, 4]], [[2, 3, 6, 5]]), 1):
            block = file.createVariable(f"connect{number}", "i4", ("one", "four"))
            block.elem_type = element
            block[:] = rows
        for what, ids, names in (("eb", [4, 5], ["left", ""]), ("ns", [9], [""]), ("ss", [1, 2], ["floor", "sides"])):
            size = {"eb": "num_el_blk", "ns": "num_node_sets", "ss": "num_side_sets"}[what]
            file.createVariable(f"{what}_prop1", "i4", (size,))[:] = ids
            labels = np.array([list(name.ljust(8, "\0")) for name in names], dtype="S1")
            file.createVariable(f"{what}_names", "S1", (size, "len_name"))[:] = labels
        shift = 2 if element == "SHELL4" else 0
        file.createVariable("node_ns1", "i4", ("two",))[:] = [1, 6]
        for number, elements, sides in ((1, [1, 2], [1, 1]), (2, [1, 2], [4, 2])):
            file.createVariable(f"elem_ss{number}", "i4", ("two",))[:] = elements
            file.createVariable(f"side_ss{number}", "i4", ("two",))[:] = np.array(sides) + shift
        file.createVariable("time_whole", "f8", ("time_step",))[:] = [0.0, 1.0]
        file.createVariable("name_nod_var", "S1", ("one", "len_name"))[:] = np.array(
            [list("T\0\0\0\0\0\0\0")], dtype="S1"
        )
        file.createVariable("vals_nod_var1", "f8", ("time_step", "num_nodes"))[:] = [range(6), range(6, 12)]
    return path


@pytest.mark.parametrize("element, dim", [("QUAD4", 2), ("SHELL4", 3)])
@pytest.mark.parametrize("extension", ["e", "g", "exo"])
def test_exodus_blocks_node_and_side_sets(tmp_path: Path, element: str, dim: int, extension: str) -> None:
    mesh = read_mesh(exodus(tmp_path / f"m.{extension}", element, dim))
    assert mesh.space_dim == dim and mesh.cells["quad"].tolist() == [[0, 1, 4, 3], [1, 2, 5, 4]]
    assert sets(mesh) == {
        "left": (2, [0, 1, 3, 4]),
        "5": (2, [1, 2, 4, 5]),
        "floor": (1, [0, 1, 2]),
        "sides": (1, [0, 2, 3, 5]),
        "9": (0, [0, 5]),
    }
    assert mesh.point_data["T"].tolist() == [0, 1, 2, 3, 4, 5]
    assert mesh.warnings == ("1 further time steps were not read",)


def test_exodus_of_other_elements_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MeshReadError, match="elements of type BEX_QUAD have no cell type here"):
        read_mesh(exodus(tmp_path / "m.e", "BEX_QUAD", 2))
    with pytest.raises(MeshReadError, match="elements TRI with 4 nodes have no cell type here"):
        read_mesh(exodus(tmp_path / "m.e", "TRI", 2))
