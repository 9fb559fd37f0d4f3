"""PLY: the same tables in all three encodings, lists, strips, foreign elements, cuts, and what is written back."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError, OutputError, ShapeError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.io.ply import rows as ply_rows
from graphpde.mesh.io.ply.surface import read
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, put, solid, square

ENCODINGS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
CODES = dict(zip(("char", "uchar", "short", "ushort", "int", "uint", "float", "double"), "bBhHiIfd"))
CODES |= dict(zip(("int8", "uint8", "int16", "uint16", "int32", "uint32", "float32", "float64"), "bBhHiIfd"))
POINTS = ("vertex", ["float x", "float y", "double z"], [(0, 0, 0.5), (1, 0, 0.5), (1, 1, 0.25), (0, 1, 0), (2, 0, 1)])
FACES = ("face", ["list uchar int vertex_indices"], [[(0, 1, 2)], [(0, 2, 3)], [(1, 4, 2)]])


def ply(encoding: str, *elements: tuple[str, list[str], list], end: str = "\n") -> bytes:
    """A file with these elements: name, "type name" or "list type type name" of each property, rows."""
    lines = ["ply", f"format {encoding} 1.0", "comment made here", "obj_info 1 2"]
    body = b""
    for name, properties, rows in elements:
        lines += [f"element {name} {len(rows)}", *(f"property {text}" for text in properties)]
        for row in rows:
            words: list[tuple[str, float]] = []
            for text, value in zip(properties, row, strict=True):
                kinds = text.split()[:-1]
                if kinds[0] == "list":
                    words += [(kinds[1], len(value)), *((kinds[2], item) for item in value)]
                else:
                    words.append((kinds[0], value))
            if encoding == "ascii":
                body += " ".join(repr(value) for _, value in words).encode() + end.encode()
            else:
                body += b"".join(struct.pack(ENCODINGS[encoding] + CODES[kind], value) for kind, value in words)
    return "".join(line + end for line in [*lines, "end_header"]).encode() + body


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_points_faces_and_data_of_every_type_in_every_encoding(tmp_path: Path, encoding: str, end: str) -> None:
    kinds = ["char", "uint8", "int16", "ushort", "int32", "uint", "float32", "double"]
    values = [(-128, 255, -(2**15), 65535, -(2**31), 2**32 - 1, 0.1, 0.1), *(8 * (k,) for k in range(4))]
    vertices = ("vertex", [*POINTS[1], *(f"{kind} p{k}" for k, kind in enumerate(kinds))], [])
    vertices[2].extend([(*point, *value) for point, value in zip(POINTS[2], values)])
    rows = [[7, (0, 1, 2), (1.5, 2.5), -1], [8, (0, 2, 3), (0.0, 0.0), 2], [9, (1, 4, 2), (1.0, 1.0), 3]]
    faces = ("face", ["uchar red", "list uchar uint vertex_index", "list int float uv", "short flags"], rows)
    mesh = read_mesh(put(tmp_path, "m.ply", ply(encoding, vertices, faces, end=end)))
    assert mesh.points.tolist() == [list(point) for point in POINTS[2]]
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2]]
    for k, value in enumerate(values[0]):
        got = mesh.point_data[f"p{k}"]
        assert got[0] == (np.float32(value) if kinds[k] == "float32" else value) and got[1:].tolist() == [0, 1, 2, 3]
    assert mesh.point_data["p6"].dtype == torch.float32
    assert mesh.cell_data["red"].tolist() == [7, 8, 9] and mesh.cell_data["red"].dtype == torch.uint8
    assert mesh.cell_data["uv"].tolist() == [[1.5, 2.5], [0, 0], [1, 1]]
    assert mesh.cell_data["flags"].tolist() == [-1, 2, 3]
    assert mesh.warnings == ()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_foreign_elements_are_stepped_over_and_counted(tmp_path: Path, encoding: str) -> None:
    edges = ("edge", ["int vertex1", "int vertex2", "uchar grey"], [(0, 1, 5), (1, 2, 6)])
    rows = [[(10, 11, 12), (13, 14), 1.5], [(10, 11), (12, 13, 14), 2.5], [(), (1,), 0.5]]
    lists = ("point_list", ["list uchar uint a", "list uchar uint b", "float c"], rows)
    none = ("nothing", ["float c"], [])
    mesh = read_mesh(put(tmp_path, "m.ply", ply(encoding, lists, POINTS, edges, none, FACES)))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2]]
    assert mesh.warnings == ("only vertices and faces are read; these were left out: 3 point_list, 2 edge",)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_faces_of_any_number_of_corners_with_their_data(tmp_path: Path, encoding: str) -> None:
    rng = np.random.default_rng(3)
    sizes = np.r_[np.full(3000, 3), rng.integers(0, 7, 2500), np.full(1500, 4), rng.integers(3, 5, 500)]
    faces = [(tuple(rng.integers(0, 5, size).tolist()), k, tuple(range(k % 2))) for k, size in enumerate(sizes)]
    properties = ["list uchar int vertex_indices", "int number", "list uchar float ragged"]
    raw = read(put(tmp_path, "m.ply", ply(encoding, POINTS, ("face", properties, faces))))
    assert sorted({block.kind for block in raw.blocks}) == ["line", "polygon", "quad", "triangle", "vertex"]
    assert sorted(block.nodes.shape[1] for block in raw.blocks) == [1, 2, 3, 4, 5, 6]
    for block, number in zip(raw.blocks, raw.cell_data["number"]):
        assert (np.diff(number) > 0).all()
        assert [tuple(row) for row in block.nodes.tolist()] == [faces[k][0] for k in number.tolist()]
    assert sum(len(block.nodes) for block in raw.blocks) == (sizes > 0).sum()
    assert raw.notes == [
        f"{(sizes == 0).sum()} of {len(sizes)} faces have no corners and were left out",
        "lists of differing lengths at the faces were left out: ragged",
    ]


@pytest.mark.parametrize("kind", ["char", "uchar", "short", "ushort", "int", "uint"])
def test_lengths_of_lists_of_every_type(tmp_path: Path, kind: str) -> None:
    faces = ("face", [f"list {kind} short vertex_indices"], [[(0, 1, 2)], [(0, 1, 2, 3)], [(1, 4, 2)]])
    found = [read(put(tmp_path, "m.ply", ply(encoding, POINTS, faces))) for encoding in ENCODINGS]
    for raw in found:
        assert [block.nodes.tolist() for block in raw.blocks] == [[[0, 1, 2], [1, 4, 2]], [[0, 1, 2, 3]]]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_strips_restart_at_minus_one_and_keep_one_side_up(tmp_path: Path, encoding: str) -> None:
    points = [(x, y, 0.0) for x in (0.0, 1.0, 2.0, 3.0) for y in (0.0, 1.0)]
    vertices = ("vertex", ["float x", "float y", "float z"], points)
    strip = [[(0, 2, 1, 3, -1, 2, 4, 3, 5, -1, 0, 1)], [(-1, 4, 6, 5, 7, 7)], [()]]
    strips = ("tristrips", ["list int int vertex_indices"], strip)
    mesh = read_mesh(put(tmp_path, "m.ply", ply(encoding, vertices, strips)))
    expected = [[0, 2, 1], [1, 2, 3], [2, 4, 3], [3, 4, 5], [4, 6, 5], [5, 6, 7]]
    assert mesh.cells["triangle"].tolist() == expected
    assert "1 triangles of strips name a point twice and were left out" in mesh.warnings
    assert not any("orientation" in sentence for sentence in mesh.warnings)  # all turn the same way
    mixed = read_mesh(put(tmp_path, "b.ply", ply(encoding, vertices, ("face", FACES[1], [[(0, 2, 1)]]), strips)))
    assert len(mixed.cells["triangle"]) == 7


def test_points_without_z_and_names_with_escapes(tmp_path: Path) -> None:
    vertices = ("vertex", ["int x", "int y", "int a%20b%C3%BC"], [(0, 0, 1), (1, 0, 2), (0, 1, 3)])
    mesh = read_mesh(put(tmp_path, "m.ply", ply("ascii", vertices, ("face", FACES[1], [[(0, 1, 2)]]))))
    assert mesh.points.tolist() == [[0, 0], [1, 0], [0, 1]] and mesh.point_data["a bü"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("encoding", ["binary_little_endian", "binary_big_endian"])
def test_a_binary_file_cut_at_any_byte_is_refused(tmp_path: Path, encoding: str) -> None:
    strip = ("tristrips", ["list int int vertex_indices"], [[(0, 1, 2, 3)]])
    data = ply(encoding, POINTS, ("face", FACES[1], [*FACES[2], [(0, 1, 2, 3)]]), strip)
    for stop in range(1, len(data)):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "m.ply", data[:stop]))


def test_a_text_file_cut_at_any_line_or_number_is_refused(tmp_path: Path) -> None:
    data = ply("ascii", POINTS, ("face", FACES[1], [*FACES[2], [(0, 1, 2, 3)]]))
    for stop in (k for k in range(len(data) - 1) if data[k : k + 1].isspace()):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "m.ply", data[:stop]))
    assert read_mesh(put(tmp_path, "m.ply", data.rstrip())).n_cells == 4


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_damaged_byte_never_escapes_as_another_error(tmp_path: Path, encoding: str) -> None:
    data = ply(encoding, POINTS, ("face", FACES[1], [*FACES[2], [(0, 1, 2, 3)]]))
    for place in range(len(data)):
        byte = (0, 57, 255)[place % 3]
        try:
            mesh = read_mesh(put(tmp_path, "m.ply", data[:place] + bytes([byte]) + data[place + 1 :]))
        except MeshReadError as error:
            assert "its content is not valid" not in error.reason, error  # a sentence of the reader's own
        else:
            assert all(int(nodes.max()) < mesh.n for nodes in mesh.cells.values())


HEAD = "ply\nformat ascii 1.0\n"
XYZ = "property float x\nproperty float y\nproperty float z\n"
TRIANGLE = f"element vertex 3\n{XYZ}element face 1\nproperty list uchar int vertex_indices\nend_header\n"
NUMBERS = "0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n"


@pytest.mark.parametrize(
    "text, reason",
    [
        ("plyx\n", "does not begin with 'ply'"),
        (HEAD + "element vertex 3\n", "header does not end"),
        (f"ply\n{TRIANGLE}{NUMBERS}", "names no format"),
        (f"ply\nformat ascii 2.0\n{TRIANGLE}{NUMBERS}", "the line 'format ascii 2.0'"),
        (f"{HEAD}format ascii 1.0\n{TRIANGLE}{NUMBERS}", "the line 'format ascii 1.0', which PLY does not know there"),
        (HEAD + "element vertex -3\nend_header\n", "the line 'element vertex -3'"),
        (HEAD + "property float x\nend_header\n", "the line 'property float x'"),
        (HEAD + "element vertex 3\nproperty quad x\nend_header\n", "the type 'quad', expected char, uchar"),
        (HEAD + "element face 1\nproperty list float int f\nend_header\n", "lengths of type 'float'"),
        (
            HEAD + "element vertex 3\nproperty int x\nproperty int x\nend_header\n",
            "the property 'x' of one element twice",
        ),
        (HEAD + "element vertex 0\nelement vertex 0\nend_header\n", "the element 'vertex' twice"),
        (HEAD + "element vertex 1\nend_header\n1\n", "'vertex' has no properties"),
        (HEAD + f"element vertex 3\n{XYZ}end_header\n0 0 0 1 0 0 0 1 0\n", "no faces, but holds 3 vertex; a mesh"),
        (HEAD + "end_header", "no vertices or no faces, but holds nothing"),
        (HEAD + TRIANGLE.replace("vertex 3", "vertex 999999") + NUMBERS, "declares 999999 vertex rows and has only 13"),
        (HEAD + TRIANGLE.replace("face 1", "face 5") + NUMBERS, "declares 5 face rows and has only 4 numbers"),
        (HEAD + TRIANGLE.replace("float z", "list int int z") + "0 0 0 " * 3 + "3 0 1 2", "numbers x, y and z"),
        (HEAD + TRIANGLE.replace("float y", "float w") + NUMBERS, "properties x, w, z, expected numbers x, y"),
        (HEAD + TRIANGLE.replace("vertex_indices", "corners") + NUMBERS, "no list vertex_indices among .* corners"),
        (HEAD + TRIANGLE + NUMBERS + "7", "goes on for 1 numbers behind its last row"),
        (HEAD + TRIANGLE + NUMBERS.replace("3 0", "-3 0"), "length that is no count"),
        (HEAD + TRIANGLE + NUMBERS.replace("3 0", "2.5 0"), "length that is no count"),
        (HEAD + TRIANGLE + NUMBERS.replace("3 0", "1e30 0"), "face rows end too early"),
        (HEAD + TRIANGLE + NUMBERS.replace("3 0", "4 0"), "face rows end too early"),
        (HEAD + TRIANGLE + NUMBERS.replace("1 2", "1 2.5"), "'vertex_indices' of 'face' holds 2.5, which is no int32"),
        (HEAD + TRIANGLE + NUMBERS.replace("1 2", "1 1_0"), "not a number"),
        (HEAD + TRIANGLE + NUMBERS.replace("1 2", "1 7"), "names point 7, expected 0..2"),
        (HEAD + TRIANGLE + NUMBERS.replace("0 1 0", "0 nan 0"), "not finite"),
        (HEAD + TRIANGLE + NUMBERS.replace("0 1 0", "0 1e99 0"), "'y' of 'vertex' holds 1e.99, which is no float32"),
        (HEAD + TRIANGLE.replace("list uchar int", "list uchar float") + NUMBERS.replace("1 2", "1 2.5"), "whole numb"),
    ],
)
def test_refusals(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.ply", text))
    assert read_mesh(put(tmp_path, "whole.ply", HEAD + TRIANGLE + NUMBERS)).n_cells == 1


def test_counts_are_weighed_against_bytes_and_trailing_ones_are_refused(tmp_path: Path) -> None:
    data = ply("binary_little_endian", POINTS, FACES)
    huge = data.replace(b"element face 3", b"element face 99999999999999")
    with pytest.raises(MeshReadError, match=r"declares 99999999999999 face rows and has only 39 bytes left"):
        read_mesh(put(tmp_path, "m.ply", huge))
    assert read_mesh(put(tmp_path, "m.ply", data + b"\n")).n_cells == 3  # some writers end every file with a line
    with pytest.raises(MeshReadError, match="goes on for 2 bytes behind its last row"):
        read_mesh(put(tmp_path, "m.ply", data + b"\n\x01"))


def test_runs_of_equal_faces_are_taken_at_once(tmp_path: Path, monkeypatch) -> None:
    n, walked = 10**5, []
    nodes = (np.arange(n)[:, None] + np.arange(3)) % n
    faces = np.zeros(n, dtype=[("length", "u1"), ("nodes", "<i4", 3)])
    faces["length"], faces["nodes"] = 3, nodes
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {n}\n{XYZ}element face {n + 1}\n"
    header += "property list uchar int vertex_indices\nend_header\n"
    body = np.zeros((n, 3), dtype="<f4").tobytes() + faces.tobytes() + struct.pack("<B4i", 4, 0, 1, 2, 3)
    walk = ply_rows._walk
    monkeypatch.setattr(ply_rows, "_walk", lambda *args: walked.append(args[-1]) or walk(*args))
    raw = read(put(tmp_path, "m.ply", header.encode() + body))
    assert np.array_equal(raw.blocks[0].nodes, nodes) and raw.blocks[1].nodes.tolist() == [[0, 1, 2, 3]]
    assert sum(walked) < 100
    walked.clear()
    mixed = ("face", FACES[1], 1500 * [[(0, 1, 2)], [(0, 1, 2, 3)]])
    raw = read(put(tmp_path, "mixed.ply", ply("binary_little_endian", POINTS, mixed)))
    assert [len(block.nodes) for block in raw.blocks] == [1500, 1500]
    assert len(walked) < 10  # where faces alternate, many are stepped through in one go


def test_what_is_written_comes_back_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    points = np.r_[rng.random((6, 3)), [[1e-300, -1e3, 1 / 3]]]
    mesh = Mesh(points, {"quad": [[0, 1, 2, 3], [3, 2, 5, 4]], "triangle": [[1, 5, 2], [4, 6, 5], [0, 1, 6]]})
    kinds = (torch.float64, torch.float32, torch.int32, torch.int16, torch.int8, torch.uint8)
    point_data = {str(kind): torch.from_numpy(rng.random(7) * 100).to(kind) for kind in kinds}
    point_data |= {"x": torch.arange(7) * 2**40, "u ü%": torch.from_numpy(rng.random((7, 3))), "y": torch.arange(7)}
    point_data |= {"wide": torch.from_numpy(rng.random((7, 300))), "half": torch.arange(7).half()}
    cell_data = {"vertex_indices": torch.arange(5.0), "on": torch.tensor([True, False, True, True, False])}
    cell_data["s"] = torch.from_numpy(rng.integers(0, 9, (5, 2)))
    assert write_mesh(tmp_path / "m.ply", mesh, point_data=point_data, cell_data=cell_data) == ()
    back = read_mesh(tmp_path / "m.ply")
    assert torch.equal(back.points, mesh.points) and back.space_dim == 3
    assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
    for data, found in ((point_data, back.point_data), (cell_data, back.cell_data)):
        assert set(found) == set(data)
        for name, values in data.items():
            assert torch.equal(found[name].double(), values.double()), name
            assert found[name].shape == values.shape
    assert all(back.point_data[str(kind)].dtype == kind for kind in kinds)
    assert read_mesh(put(tmp_path, "again.ply", (tmp_path / "m.ply").read_bytes())).n_cells == 5


def test_meshio_reads_what_is_written(tmp_path: Path) -> None:
    meshio = pytest.importorskip("meshio")
    mesh = Mesh(np.random.default_rng(2).random((5, 3)), {"triangle": [[0, 1, 2], [2, 3, 4]]})
    u = torch.arange(5.0) / 3
    write_mesh(tmp_path / "m.ply", mesh, point_data={"u": u})
    write_mesh(tmp_path / "m.stl", mesh)
    other = meshio.read(tmp_path / "m.ply")
    assert np.array_equal(other.points, mesh.points) and np.array_equal(other.point_data["u"], u)
    assert np.array_equal(other.get_cells_type("triangle"), mesh.cells["triangle"])
    other = meshio.read(tmp_path / "m.stl")
    assert np.array_equal(other.points[other.get_cells_type("triangle")], mesh.points.float()[mesh.cells["triangle"]])


def test_lines_planes_and_sets_on_writing(tmp_path: Path) -> None:
    network = Mesh([[0.0, 0, 0], [1, 0, 0], [0, 1, 1], [2, 2, 2]], {"line": [[0, 1], [0, 2], [0, 3]]})
    write_mesh(tmp_path / "n.ply", network)
    assert read_mesh(tmp_path / "n.ply").cells["line"].tolist() == network.cells["line"].tolist()
    lost = write_mesh(tmp_path / "m.ply", square())
    assert len(lost) == 1 and lost[0] == (
        "Stanford PLY keeps no named sets: 5 names dropped (all, steel, bottom, wall and 1 more)"
    )
    back = read_mesh(tmp_path / "m.ply")
    assert back.space_dim == 2 and np.array_equal(back.points, SQUARE_POINTS)


def test_what_ply_cannot_hold_is_refused(tmp_path: Path) -> None:
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    for bad, data, reason in (
        (solid(), {}, "PLY holds lines, triangles and quadrilaterals, not 1 hexahedron, 1 wedge, 1 pyramid"),
        (mesh, {"big": torch.tensor([0, 1, 2, 2**53 + 1])}, "field 'big' holds whole numbers beyond 2.53"),
        (mesh, {"low": torch.tensor([0, 1, 2, -(2**63)])}, "field 'low' holds whole numbers beyond 2.53"),
        (mesh, {"": torch.zeros(4)}, "a field has no name"),
    ):
        with pytest.raises(OutputError, match=reason):
            write_mesh(tmp_path / "m.ply", bad, point_data=data)
    with pytest.raises(ShapeError, match=r"field 'u' has shape \[3\], expected \[4\]"):
        write_mesh(tmp_path / "m.ply", mesh, point_data={"u": torch.zeros(3)})
    assert list(tmp_path.iterdir()) == []


def test_real_files_agree_with_meshio(meshes: Path) -> None:
    meshio = pytest.importorskip("meshio")
    for name, cells in (
        ("libigl_tests/sliver_tet.ply", {"triangle": 4}),
        ("meshio/ply/tet.ply", {"triangle": 4}),
        ("trimesh/cube_blender_uv.ply", {"quad": 6}),
        ("trimesh/mirror.ply", {"triangle": 286}),
        ("trimesh/plane_tri.ply", {"triangle": 2}),
    ):
        raw, other = read(meshes / name), meshio.read(meshes / name)
        assert {block.kind: len(block.nodes) for block in raw.blocks} == cells
        assert np.array_equal(raw.points, other.points)
        for block in raw.blocks:
            assert block.kind in CELLS and np.array_equal(block.nodes, other.get_cells_type(block.kind))
        assert set(raw.point_data) == set(other.point_data)
        assert all(np.array_equal(raw.point_data[key], values) for key, values in other.point_data.items())


def test_real_files_that_only_this_reader_takes(meshes: Path) -> None:
    fuze = read_mesh(meshes / "trimesh/fuze.ply")
    assert fuze.n == 502 and len(fuze.cells["triangle"]) == 1000 and fuze.warnings == ()
    assert fuze.cell_data["texcoord"].shape == (1000, 6) and fuze.point_data["alpha"].tolist() == 502 * [255]
    assert float(fuze.cell_data["texcoord"].min()) >= 0 and float(fuze.cell_data["texcoord"].max()) <= 1
    with pytest.raises(MeshReadError, match="no vertices or no faces, but holds 5 vertex, 2 point_list"):
        read_mesh(meshes / "trimesh/points_ascii_with_lists.ply")
