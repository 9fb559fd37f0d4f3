"""One mesh in many encodings is one mesh: VTK, Gmsh, XDMF, PLY and STL files built apart from our writers."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh
from graphpde.mesh.mesh import Mesh
from tests.mesh import test_io_ply, test_io_stl, test_io_xdmf
from tests.mesh.io_build import Coding, Content, Gmsh, Legacy, Listed, msh2, msh4, nodes_at, vtu
from tests.mesh.io_orders import VTK
from tests.mesh.io_samples import put, sets, solid

CODINGS = [Coding("ascii")] + [
    Coding(*options)
    for options in product(("base64", "raw", "appended"), ("", "ZLib", "LZ4", "LZMA"), ("u4", "u8"), "<>")
]
POINTS = np.r_[solid().points.numpy(), [[3, 1 / 3, -1e-300]]]
HEX, WEDGE, PYRAMID, TETRA, QUAD, EDGE = (
    *([0, 1, 3, 2, 4, 5, 7, 6], [1, 8, 3, 5, 9, 7], [4, 5, 7, 6, 10], [8, 11, 3, 9]),
    *([0, 1, 3, 2], [0, 1]),
)
U = {"u": np.linspace(0, 1 / 3, 12), "v": POINTS[:, ::-1] / 3}
K = {"k": np.arange(7, dtype="i4") - 3, "q": np.arange(7.0)[:, None] / [3, 7]}
# the wedge alone has another order of its corners in VTK
LISTED = [(9, QUAD), (14, PYRAMID), (12, HEX), (13, [1, 3, 8, 5, 7, 9]), (3, EDGE), (10, TETRA), (1, [11])]
MIXED = Content(POINTS, LISTED, U, K)


def assert_mixed(mesh: Mesh) -> None:
    """All of the mesh above, its lower cells as sets."""
    assert np.array_equal(mesh.points, POINTS) and mesh.warnings == ()
    expected = {"pyramid": [PYRAMID], "hexahedron": [HEX], "wedge": [WEDGE], "tetra": [TETRA]}
    assert {kind: nodes.tolist() for kind, nodes in mesh.cells.items()} == expected
    for name, values in U.items():
        assert np.array_equal(mesh.point_data[name], values) and mesh.point_data[name].dtype == torch.float64
    for name, values in K.items():
        assert np.array_equal(mesh.cell_data[name], values[[1, 2, 3, 5]])
    assert not mesh.cell_data["k"].dtype.is_floating_point
    assert sets(mesh) == {"quad": (2, [0, 1, 2, 3]), "line": (1, [0, 1]), "vertex": (0, [11])}


@pytest.mark.parametrize("coding", CODINGS, ids=lambda coding: "-".join(coding))
def test_one_mesh_in_every_vtu_encoding(tmp_path: Path, coding: Coding) -> None:
    if coding.compressor == "LZ4":
        pytest.importorskip("lz4.block")
    assert_mixed(read_mesh(put(tmp_path, "m.vtu", vtu([MIXED], coding))))
    none = Content(np.empty((0, 3)), [], {k: v[:0] for k, v in U.items()}, {k: v[:0] for k, v in K.items()})
    assert_mixed(read_mesh(put(tmp_path, "m.vtu", vtu([none, MIXED, none], coding))))
    twice = read_mesh(put(tmp_path, "m.vtu", vtu([MIXED, MIXED], coding)))
    assert twice.n == 24 and twice.n_cells == 8
    assert twice.cells["tetra"].tolist() == [TETRA, [node + 12 for node in TETRA]]
    assert twice.cell_data["k"].tolist() == [-2, -2, -1, -1, 0, 0, 2, 2]


@pytest.mark.parametrize("version, binary", list(product(("2.0", "3.0", "4.2", "5.1"), (False, True))))
def test_one_mesh_in_every_legacy_vtk(tmp_path: Path, version: str, binary: bool) -> None:
    file = Legacy(version, binary, "UNSTRUCTURED_GRID")
    file.numbers("POINTS 12 double", "f8", POINTS)
    file.lists("CELLS", [nodes for _, nodes in LISTED])
    file.numbers("CELL_TYPES 7", "i4", [code for code, _ in LISTED])
    file.data("POINT_DATA", 12, U)
    file.data("CELL_DATA", 7, K)
    assert_mixed(read_mesh(put(tmp_path, "m.vtk", file.bytes())))


CODES = {  # vtkCellType.h
    **{"line": 3, "triangle": 5, "quad": 9, "tetra": 10, "hexahedron": 12, "wedge": 13, "pyramid": 14, "line3": 21},
    **{"triangle6": 22, "quad8": 23, "tetra10": 24, "hexahedron20": 25, "wedge15": 26, "pyramid13": 27, "quad9": 28},
    **{"hexahedron27": 29, "wedge18": 32, "hexahedron24": 33, "triangle7": 34, "line4": 35, "triangle10": 69},
    **{"quad16": 70, "tetra20": 71, "hexahedron64": 72, "pyramid14": 74},
}
LAGRANGE = {
    **{"line": 68, "line3": 68, "line4": 68, "triangle": 69, "triangle6": 69, "quad": 70, "quad9": 70, "tetra": 71},
    **{"tetra10": 71, "hexahedron": 72, "hexahedron27": 72, "wedge": 73, "wedge15": 73, "wedge18": 73, "pyramid": 74},
}


def test_every_cell_type_has_its_code() -> None:
    assert set(CODES) == {kind for kind in CELLS if CELLS[kind].dim}


@pytest.mark.parametrize("kind, code", [*CODES.items(), *LAGRANGE.items()])
def test_every_vtk_cell(tmp_path: Path, kind: str, code: int) -> None:
    k = CELLS[kind].nodes
    points = np.random.default_rng(k).standard_normal((k, 3))
    given = Content(points, [(code, [*range(k)]), (code, [*range(k)][::-1])], {}, {})
    mesh = read_mesh(put(tmp_path, "m.vtu", vtu([given], Coding("raw", "ZLib", "u8", ">"), "2.3")))
    expected = np.array([np.arange(k), np.arange(k)[::-1]])
    expected = expected[:, [0, 2, 1, 3, 5, 4]] if code == 13 else expected
    assert list(mesh.cells) == [kind] and np.array_equal(mesh.cells[kind], expected)
    assert np.array_equal(mesh.points, points)


@pytest.mark.parametrize("code, size, rows", [
    (4, 4, {"line": [[0, 1], [1, 2], [2, 3]]}), (6, 5, {"triangle": [[0, 1, 2], [3, 2, 1], [2, 3, 4]]}),
    (7, 3, {"triangle": [[0, 1, 2]]}), (7, 4, {"quad": [[0, 1, 2, 3]]}), (8, 4, {"quad": [[0, 1, 3, 2]]}),
    (11, 8, {"hexahedron": [[0, 1, 3, 2, 4, 5, 7, 6]]}), (30, 6, {"quad": [[0, 1, 2, 3]]}),
    (31, 12, {"wedge": [[0, 1, 2, 3, 4, 5]]}), (36, 6, {"triangle": [[0, 1, 2]]}), (36, 8, {"quad": [[0, 1, 2, 3]]}),
    (37, 19, {"pyramid": [[0, 1, 2, 3, 4]]}), (37, 14, {"pyramid14": [[*range(14)]]}),
    (70, 25, {"quad": [[0, 1, 2, 3]]}), (72, 125, {"hexahedron": [[*range(8)]]}), (73, 40, {"wedge": [[*range(6)]]}),
])  # fmt: skip
def test_vtk_cells_that_become_others(tmp_path: Path, code: int, size: int, rows: dict[str, list[list[int]]]) -> None:
    points = np.random.default_rng(size).standard_normal((size, 3))
    data = {"k": np.array([2.5])}
    mesh = read_mesh(put(tmp_path, "m.vtu", vtu([Content(points, [(code, [*range(size)])], {}, data)], CODINGS[0])))
    assert {kind: nodes.tolist() for kind, nodes in mesh.cells.items()} == rows
    assert set(mesh.cell_data["k"].tolist()) == {2.5}
    assert any("taken at their corners" in text for text in mesh.warnings) == (code in (30, 31, 36, 70, 72, 73)
                                                                             or size == 19)  # fmt: skip


def test_polygons_and_vertices_beside_cells(tmp_path: Path) -> None:
    angle = np.arange(5) * 2 * np.pi / 5
    points = np.c_[np.cos(angle), np.sin(angle), 0 * angle]
    given = Content(points, [(7, [*range(5)]), (2, [0, 3]), (1, [4])], {}, {"k": np.arange(3)})
    mesh = read_mesh(put(tmp_path, "m.vtu", vtu([given], Coding("base64"))))
    assert len(mesh.cells["triangle"]) == 3 and mesh.cell_data["k"].tolist() == [0, 0, 0]
    assert sets(mesh) == {"vertex": (0, [0, 3, 4])}


@pytest.mark.parametrize("size, turned", [(27, [18, 19]), (64, [28, 29, 30, 31])])
def test_old_files_have_two_edges_of_lagrange_hexahedra_in_the_other_order(
    tmp_path: Path, size: int, turned: list[int]
) -> None:
    points = np.random.default_rng(size).standard_normal((size, 3))
    old = np.arange(size)
    old[turned] = np.roll(turned, size // 27)
    for version, expected in (("0.1", old), ("1.0", old), ("2.0", old), ("2.1", np.arange(size))):
        content = Content(points, [(72, [*range(size)])], {}, {})
        mesh = read_mesh(put(tmp_path, "m.vtu", vtu([content], Coding("raw"), version)))
        assert mesh.cells[f"hexahedron{size}"].tolist() == [expected.tolist()], version
    for version, expected in (("4.2", old), ("5.1", np.arange(size))):
        file = Legacy(version, True, "UNSTRUCTURED_GRID")
        file.numbers(f"POINTS {size} double", "f8", points)
        file.lists("CELLS", [[*range(size)]])
        file.numbers("CELL_TYPES 1", "i4", [72])
        mesh = read_mesh(put(tmp_path, "m.vtk", file.bytes()))
        assert mesh.cells[f"hexahedron{size}"].tolist() == [expected.tolist()], version


@pytest.mark.parametrize("version, binary", list(product(("2.0", "3.0", "4.2", "5.1"), (False, True))))
def test_one_grid_in_every_structured_legacy_vtk(tmp_path: Path, version: str, binary: bool) -> None:
    axes = [np.array([1.0, 1.5, 2.0]), np.array([0.0, 0.25]), np.array([-1.0, 1.0])]
    x = np.stack(np.meshgrid(*axes, indexing="ij"), -1).transpose(2, 1, 0, 3).reshape(-1, 3)
    found = []
    for dataset in ("STRUCTURED_POINTS", "RECTILINEAR_GRID", "STRUCTURED_GRID"):
        file = Legacy(version, binary, dataset)
        file.line("DIMENSIONS 3 2 2")
        if dataset == "STRUCTURED_POINTS":
            file.line(f"{'ASPECT_RATIO' if version == '2.0' else 'SPACING'} 0.5 0.25 2\nORIGIN 1 0 -1")
        elif dataset == "RECTILINEAR_GRID":
            for name, axis in zip("XYZ", axes):
                file.numbers(f"{name}_COORDINATES {len(axis)} double", "f8", axis)
        else:
            file.numbers("POINTS 12 float", "f4", x)
        file.data("POINT_DATA", 12, {"u": np.arange(12.0)})
        file.data("CELL_DATA", 2, {"k": np.arange(2, dtype="i4")})
        found.append(read_mesh(put(tmp_path, "m.vtk", file.bytes())))
    for mesh in found:
        assert np.array_equal(mesh.points, x)
        assert mesh.cells["hexahedron"].tolist() == [[0, 1, 4, 3, 6, 7, 10, 9], [1, 2, 5, 4, 7, 8, 11, 10]]
        assert mesh.point_data["u"].tolist() == [*range(12)] and mesh.cell_data["k"].tolist() == [0, 1]


PLATE = np.array([[0.0, 0, 0], [1, 0, 0.125], [1, 1, 0.25], [0, 1, 0.5], [2, 0, 1 / 3], [2, 1, -1]])
FACES = {"triangle": [[0, 1, 2], [0, 2, 3]], "quad": [[1, 4, 5, 2]]}
W = np.arange(6) / 7


def surfaces(folder: Path, kinds: list[str]) -> dict[str, Path]:
    """The triangles, or both kinds of faces, in every format that holds surfaces."""
    faces = [row for kind in kinds for row in FACES[kind]]
    k = np.arange(len(faces), dtype="i4")
    files: dict[str, str | bytes] = {
        f"{encoding}.ply": test_io_ply.ply(
            encoding,
            ("vertex", [*(f"double {axis}" for axis in "xyz"), "double w"], np.c_[PLATE, W].tolist()),
            ("face", ["list uchar int vertex_indices", "int k"], [[tuple(row), i] for i, row in enumerate(faces)]),
        )
        for encoding in test_io_ply.ENCODINGS
    }
    listed = [({3: 5, 4: 9}[len(row)], row) for row in faces]
    files["m.vtu"] = vtu([Content(PLATE, listed, {"w": W}, {"k": k})], Coding("appended", "LZMA"))
    for version, binary in product(("2.0", "5.1"), (False, True)):
        file = Legacy(version, binary, "POLYDATA")
        file.numbers("POINTS 6 double", "f8", PLATE)
        file.lists("POLYGONS", faces)
        file.data("CELL_DATA", len(faces), {"k": k})
        file.data("POINT_DATA", 6, {"w": W})
        files[f"{version}-{binary}.vtk"] = file.bytes()
    folder.mkdir()
    paths = {name: put(folder, name, data) for name, data in files.items()}
    for form in ("XML", "HDF", "Binary"):
        paths[f"{form}.xdmf"] = xdmf(folder, form, faces, k)
    return paths


def xdmf(folder: Path, form: str, faces: list[list[int]], k: np.ndarray) -> Path:
    """The same in XDMF, of one type or mixed, the numbers in the XML, in HDF5 or in raw files."""
    mixed = len(faces) > 2
    cells = np.array([n for row in faces for n in ({3: 4, 4: 5}[len(row)], *row)] if mixed else faces, dtype="i4")
    stored = {"cells": cells, "points": PLATE, "w": W, "k": k}
    if form == "HDF":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "side.h5", "w") as file:
            for name, values in stored.items():
                file[name] = values

    def item(name: str) -> str:
        values = stored[name]
        if form == "XML":
            return test_io_xdmf.item(values)
        kind = "Int" if values.dtype.kind == "i" else "Float"
        more = {"Dimensions": " ".join(map(str, values.shape)), "NumberType": kind, "Format": form}
        place = f"side.h5:/{name}"
        if form == "Binary":
            place = f"{name}.bin"
            (folder / place).write_bytes(values.astype(values.dtype.newbyteorder(">")).tobytes())
            more["Endian"] = "Big"
        more["Precision"] = str(values.dtype.itemsize)
        return f"<DataItem {test_io_xdmf.attributes(more)}>{place}</DataItem>"

    kind = "Mixed" if mixed else "Triangle"
    grid = f'<Grid><Topology TopologyType="{kind}" NumberOfElements="{len(faces)}">{item("cells")}</Topology>'
    grid += f'<Geometry GeometryType="XYZ">{item("points")}</Geometry><Attribute Name="w">{item("w")}</Attribute>'
    grid += f'<Attribute Name="k" Center="Cell">{item("k")}</Attribute></Grid>'
    return put(folder, f"{form}.xdmf", test_io_xdmf.xdmf(grid))


@pytest.mark.parametrize("kinds", [["triangle"], ["triangle", "quad"]])
def test_one_surface_in_every_format(tmp_path: Path, kinds: list[str]) -> None:
    for name, path in surfaces(tmp_path / "all", kinds).items():
        mesh = read_mesh(path)
        assert np.array_equal(mesh.points, PLATE), name
        assert {kind: rows.tolist() for kind, rows in mesh.cells.items()} == {kind: FACES[kind] for kind in kinds}, name
        assert np.array_equal(mesh.point_data["w"], W) and mesh.cell_data["k"].tolist() == [0, 1, 2][: mesh.n_cells]
        assert not mesh.tags and not mesh.cell_data["k"].dtype.is_floating_point


def test_one_surface_in_both_stl(tmp_path: Path) -> None:
    corners = np.array(PLATE[np.array(FACES["triangle"])], dtype=np.float32)
    rows = [[tuple(map(float, x)) for x in facet] for facet in corners]
    for content in (test_io_stl.text(rows), test_io_stl.binary(corners)):
        mesh = read_mesh(put(tmp_path, "m.stl", content))
        assert np.array_equal(mesh.points, PLATE[:4]) and mesh.cells["triangle"].tolist() == FACES["triangle"]


# gmsh: every encoding, then every element


@pytest.mark.parametrize("version, order, size", [
    ("2.2", "", 8), ("2.2", "<", 8), ("2.2", ">", 8),
    *(("4.1", order, size) for order in ("", "<", ">") for size in (4, 8)),
])  # fmt: skip
def test_one_mesh_in_every_gmsh_encoding(tmp_path: Path, version: str, order: str, size: int) -> None:
    tags = [901, 4, 17, 5, 88, 6]
    at = np.array(tags)
    blocks = [
        Listed(0, 3, [], 15, [50], [[901]]),
        Listed(1, 1, [7], 1, [61, 9], at[[[0, 1], [1, 4]]].tolist()),
        Listed(2, 2, [5, 6], 2, [30], at[[[0, 1, 2]]].tolist()),
        Listed(2, 4, [6], 2, [31], at[[[0, 2, 3]]].tolist()),
        Listed(2, 8, [], 3, [40], at[[[1, 4, 5, 2]]].tolist()),
    ]
    file: Gmsh = msh2(order, tags, PLATE, blocks) if version == "2.2" else msh4(order, size, tags, PLATE, blocks)
    file.names({(1, 7): "wall", (2, 5): "steel", (2, 9): "wall"})
    file.data("NodeData", "T", tags[::-1], W[::-1])
    file.data("NodeData", "v", tags, PLATE)
    file.data("ElementData", "q", [40, 31, 30], np.array([3.5, 2.5, 1.5]))
    mesh = read_mesh(put(tmp_path, "m.msh", file.bytes()))
    assert np.array_equal(mesh.points, PLATE)
    assert {kind: rows.tolist() for kind, rows in mesh.cells.items()} == FACES
    assert sets(mesh) == {
        **{"wall": (1, [0, 1, 4]), "steel": (2, [0, 1, 2]), "6": (2, [0, 1, 2, 3]), "vertex": (0, [0])},
    }
    assert mesh.tags["6"].ids.tolist() == [0, 1]
    assert np.array_equal(mesh.point_data["T"], W) and np.array_equal(mesh.point_data["v"], PLATE)
    assert mesh.cell_data["q"].tolist() == [1.5, 2.5, 3.5]


_HEX = "0 1 2 3 4 5 6 7 01 03 04 12 15 23 26 37 45 47 56 67"
_WEDGE = "0 1 2 3 4 5 01 02 03 12 14 25 34 35 45"
_PYRAMID = "0 1 2 3 4 01 03 04 12 14 23 24 34"
ELEMENTS = {  # reference manual, "Node ordering"; faces of third order by the corner that each node is nearest to
    **{"line": (1, "0 1"), "triangle": (2, "0 1 2"), "quad": (3, "0 1 2 3"), "tetra": (4, "0 1 2 3")},
    **{"hexahedron": (5, "0 1 2 3 4 5 6 7"), "wedge": (6, "0 1 2 3 4 5"), "pyramid": (7, "0 1 2 3 4")},
    **{"line3": (8, "0 1 01"), "triangle6": (9, "0 1 2 01 12 02"), "quad9": (10, "0 1 2 3 01 12 23 03 0123")},
    **{"tetra10": (11, "0 1 2 3 01 12 02 03 23 13"), "quad8": (16, "0 1 2 3 01 12 23 03")},
    **{"hexahedron20": (17, _HEX), "hexahedron27": (12, _HEX + " 0123 0145 0347 1256 2367 4567 01234567")},
    **{"wedge15": (18, _WEDGE), "wedge18": (13, _WEDGE + " 0134 0235 1245")},
    **{"pyramid13": (19, _PYRAMID), "pyramid14": (14, _PYRAMID + " 0123"), "line4": (26, "0 1 0/01 1/01")},
    "triangle10": (21, "0 1 2 0/01 1/01 1/12 2/12 2/02 0/02 012"),
    "quad16": (36, "0 1 2 3 0/01 1/01 1/12 2/12 2/23 3/23 3/03 0/03 0/0123 1/0123 2/0123 3/0123"),
    "tetra20": (29, "0 1 2 3 0/01 1/01 1/12 2/12 2/02 0/02 3/03 0/03 3/23 2/23 3/13 1/13 012 013 023 123"),
    "hexahedron64": (92, "0 1 2 3 4 5 6 7 0/01 1/01 0/03 3/03 0/04 4/04 1/12 2/12 1/15 5/15 2/23 3/23 2/26 6/26 3/37 "
     "7/37 4/45 5/45 4/47 7/47 5/56 6/56 6/67 7/67 0/0123 3/0123 2/0123 1/0123 0/0145 1/0145 5/0145 4/0145 0/0347 "
     "4/0347 7/0347 3/0347 1/1256 2/1256 6/1256 5/1256 2/2367 3/2367 7/2367 6/2367 4/4567 5/4567 6/4567 7/4567 "
     + " ".join(f"{k}/01234567" for k in range(8))),
}  # fmt: skip
_LINEAR = {kind: " ".join(map(str, range(CELLS[kind].nodes))) for kind in CELLS if CELLS[kind].corners == kind}
HERE = {  # vtkLagrangeQuadrilateral, vtkLagrangeTetra, vtkLagrangeHexahedron: edges along the axes, faces row by row
    **VTK,
    **_LINEAR,
    "line4": "0 1 0/01 1/01",
    "triangle10": "0 1 2 0/01 1/01 1/12 2/12 2/02 0/02 012",
    "quad16": "0 1 2 3 0/01 1/01 1/12 2/12 3/23 2/23 0/03 3/03 0/0123 1/0123 3/0123 2/0123",
    "tetra20": "0 1 2 3 0/01 1/01 1/12 2/12 2/02 0/02 0/03 3/03 1/13 3/13 2/23 3/23 013 123 023 012",
    "hexahedron64": "0 1 2 3 4 5 6 7 0/01 1/01 1/12 2/12 3/23 2/23 0/03 3/03 4/45 5/45 5/56 6/56 7/67 6/67 4/47 7/47 "
    "0/04 4/04 1/15 5/15 2/26 6/26 3/37 7/37 0/0347 3/0347 4/0347 7/0347 1/1256 2/1256 5/1256 6/1256 0/0145 1/0145 "
    "4/0145 5/0145 3/2367 2/2367 7/2367 6/2367 0/0123 1/0123 3/0123 2/0123 4/4567 5/4567 7/4567 6/4567 "
    + " ".join(f"{k}/01234567" for k in (0, 1, 3, 2, 4, 5, 7, 6)),
}


@pytest.mark.parametrize("order", ["", "<", ">"])
@pytest.mark.parametrize("version", ["2.2", "4.1"])
@pytest.mark.parametrize("kind", ELEMENTS)
def test_every_gmsh_element_has_its_nodes_where_vtk_has_them(
    tmp_path: Path, kind: str, version: str, order: str
) -> None:
    code, words = ELEMENTS[kind]
    x = nodes_at(kind, words)
    tags = [3 * k + 2 for k in range(len(x))]
    blocks = [Listed(CELLS[kind].dim, 1, [1], code, [8], [tags])]
    file = msh2(order, tags, x, blocks) if version == "2.2" else msh4(order, 8, tags, x, blocks)
    mesh = read_mesh(put(tmp_path, "m.msh", file.bytes()))
    assert list(mesh.cells) == [kind]
    found = mesh.points[mesh.cells[kind][0]].numpy()
    assert np.allclose(found, nodes_at(kind, HERE[kind])[:, : mesh.space_dim], atol=1e-12)


@pytest.mark.parametrize("code, kind, size", [
    (20, "triangle", 9), (22, "triangle", 12), (23, "triangle", 15), (25, "triangle", 21), (27, "line", 5),
    (28, "line", 6), (30, "tetra", 35), (31, "tetra", 56), (37, "quad", 25), (38, "quad", 36), (90, "wedge", 40),
    (91, "wedge", 75), (93, "hexahedron", 125),
])  # fmt: skip
def test_higher_gmsh_elements_are_taken_at_their_corners(tmp_path: Path, code: int, kind: str, size: int) -> None:
    x = np.random.default_rng(size).standard_normal((size, 3))
    tags = [*range(1, size + 1)]
    for file in (msh2("<", tags, x, [Listed(CELLS[kind].dim, 1, [1], code, [1], [tags])]),
                 msh4(">", 4, tags, x, [Listed(CELLS[kind].dim, 1, [1], code, [1], [tags])])):  # fmt: skip
        mesh = read_mesh(put(tmp_path, "m.msh", file.bytes()))
        assert {k: v.tolist() for k, v in mesh.cells.items()} == {kind: [[*range(CELLS[kind].nodes)]]}
        assert f"1 {kind}{size} cells of high order are taken at their corners" in mesh.warnings
