"""Medit: free layout, binary versions, references and marks, orders of nodes, refusals, and what is written."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from graphpde.core.graph import TagSet
from graphpde.errors import MeshReadError, OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.io.medit import read as medit
from graphpde.mesh.io.medit.table import ELEMENTS, KEYWORDS, SECTIONS
from graphpde.mesh.io.overlaps import combinations
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK, assert_in_order, places
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, put, sets, solid, square

TETS = """MeshVersionFormatted 2
Dimension 3
# made by hand
Vertices 5
0 0 0 0
1 0 0 0
0 1 0 41
0 0 1 41
1 1 1 3
Tetrahedra 2
1 2 3 4 7
2 3 4 5 0
Triangles 3
1 2 3 3
2 3 4 5
1 2 4 5
Edges 2
1 2 0
2 3 0
Corners 2 1 5
Ridges 1 2
RequiredTriangles 2 1 3
Normals 1 0 0 1
NormalAtVertices 1 1 1
End
"""
X = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
# the same as tables: section -> rows
TABLES = {
    "Vertices": np.column_stack([X, [0, 0, 41, 41, 3]]),
    "Tetrahedra": [[1, 2, 3, 4, 7], [2, 3, 4, 5, 0]],
    "Triangles": [[1, 2, 3, 3], [2, 3, 4, 5], [1, 2, 4, 5]],
    "Edges": [[1, 2, 0], [2, 3, 0]],
    "Corners": [[1], [5]],
    "Ridges": [[2]],
    "RequiredTriangles": [[1], [3]],
    "Normals": [[0.0, 0, 1]],
    "NormalAtVertices": [[1, 1]],
}
CODES = {
    **{"Vertices": 4, "Edges": 5, "Triangles": 6, "Tetrahedra": 8, "Corners": 13, "Ridges": 14, "Normals": 60},
    **{"RequiredTriangles": 17, "NormalAtVertices": 20},
}


def binary(tables: dict = TABLES, version: int = 2, order: str = "<", dim: int = 3) -> bytes:
    """A binary file, put together apart from the package."""
    i, r, p = f"{order}i{8 if version == 4 else 4}", f"{order}f{4 if version == 1 else 8}", 8 if version > 2 else 4

    def number(value: int, kind: str) -> bytes:
        return np.array(value, dtype=kind).tobytes()

    out = number(1, f"{order}i4") + number(version, f"{order}i4")
    out += number(3, f"{order}i4") + number(len(out) + 8 + p, f"{order}i{p}") + number(dim, f"{order}i4")
    for name, rows in tables.items():
        body = b""
        for row in rows:
            reals = {"Vertices": dim, "Normals": dim}.get(name, 0)
            body += np.array(row[:reals], r).tobytes() + np.array(row[reals:], float).astype(i).tobytes()
        head = number(len(rows), i)
        stop = len(out) + 4 + p + len(head) + len(body)
        out += number(CODES[name], f"{order}i4") + number(stop, f"{order}i{p}") + head + body
    return out + number(54, f"{order}i4") + number(0, f"{order}i{p}")


def check_tets(mesh: Mesh) -> None:
    assert np.array_equal(mesh.points, X)
    assert mesh.cells["tetra"].tolist() == [[0, 1, 2, 3], [1, 2, 3, 4]] and list(mesh.cells) == ["tetra"]
    assert sets(mesh) == {
        **{"7": (3, [0, 1, 2, 3]), "0": (3, [1, 2, 3, 4]), "3": (2, [0, 1, 2]), "5": (2, [0, 1, 2, 3])},
        **{"41": (0, [2, 3]), "Corners": (0, [0, 4]), "Ridges": (1, [1, 2]), "line": (1, [0, 1])},
        "RequiredTriangles": (2, [0, 1, 2, 3]),
    }
    assert len(mesh.tags["5"].ids) == len(mesh.tags["RequiredTriangles"].ids) == 2
    assert mesh.cell_data["medit:ref"].tolist() == [7, 0]
    assert mesh.point_data["medit:ref"].tolist() == [0, 0, 41, 41, 3]
    assert mesh.warnings == ("sections not carried over: Normals (1), NormalAtVertices (1)",)


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace(" ", "\n").replace("#\nmade\nby\nhand", "# made by hand"),
        lambda text: re.sub(r"\s+", " ", text.replace("# made by hand", "")),
        lambda text: text.upper(),
        lambda text: "\ufeff" + text.replace("0 0 1 41", "-0.0 0. 1.D+00 # 41\n 41"),
        lambda text: text.replace("# made by hand", 'Identifier "a b 1"\nGeometry\n"x.mesh"'),
        lambda text: text.replace("Dimension", "AngleOfCornerBound 45.0\nIterations 3\nTime 0.5\nDimension"),
        lambda text: text.replace("End", "SolAtVertices\n5\n1 1\n\n1 2 3 4 5\nEnd").replace("Normals", "NORMALS"),
    ],
)
def test_text_in_any_layout(tmp_path: Path, change) -> None:
    mesh = read_mesh(put(tmp_path, "m.mesh", change(TETS)))
    if "Sol" in change(TETS):
        assert mesh.warnings[0].endswith("NormalAtVertices (1), SolAtVertices (5)")
        mesh = mesh._replace(warnings=[mesh.warnings[0].removesuffix(", SolAtVertices (5)")])
    check_tets(mesh)


@pytest.mark.parametrize("version", [1, 2, 3, 4])
@pytest.mark.parametrize("order", ["<", ">"])
def test_binary_in_every_version_and_byte_order(tmp_path: Path, version: int, order: str) -> None:
    check_tets(read_mesh(put(tmp_path, "m.meshb", binary(version=version, order=order))))
    check_tets(read_mesh(put(tmp_path, "m.mesh", binary(version=version, order=order)), format="medit"))


def test_single_precision_is_kept_as_it_is_in_binary_and_in_full_in_text(tmp_path: Path) -> None:
    tables = {"Vertices": [[0.1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]], "Triangles": [[1, 2, 3, 0]]}
    assert read_mesh(put(tmp_path, "m.meshb", binary(tables, 1))).points[0, 0] == float(np.float32(0.1))
    text = "MeshVersionFormatted 1\nDimension 2\nVertices 3\n.1 0 0\n1 0 0\n0 1 0\nTriangles 1\n1 2 3 0\nEnd\n"
    mesh = read_mesh(put(tmp_path, "m.mesh", text))
    assert mesh.points[0, 0] == 0.1 and mesh.space_dim == 2 and sets(mesh) == {}
    flat = text.replace("Dimension 2", "Dimension 3").replace(" 0\n", " 0 0\n").replace("1 2 3 0 0", "1 2 3 0")
    assert torch.equal(read_mesh(put(tmp_path, "m.mesh", flat)).points, mesh.points)


# orders of nodes

HEX = "0 1 2 3 4 5 6 7 01 12 23 03 45 56 67 47 04 15 26 37 0123 4567 0145 1256 2367 0347 01234567"
HIGH = {
    **{"EdgesP2": "line3", "TrianglesP2": "triangle6", "QuadrilateralsQ2": "quad9", "TetrahedraP2": "tetra10"},
    "HexahedraQ2": "hexahedron27",
}


def one_cell(section: str, x: np.ndarray, more: str = "") -> str:
    rows = "".join(f"{' '.join(map(repr, row))} 0\n" for row in x.tolist())
    cell = " ".join(map(str, range(1, len(x) + 1)))
    return f"MeshVersionFormatted 2\nDimension 3\nVertices {len(x)}\n{rows}{more}{section} 1\n{cell} 0\nEnd\n"


@pytest.mark.parametrize("section", HIGH)
def test_second_order_cells(tmp_path: Path, section: str) -> None:
    kind = HIGH[section]
    x = places(kind, HEX if section == "HexahedraQ2" else VTK[kind])
    assert_in_order(read_mesh(put(tmp_path, "m.mesh", one_cell(section, x))), kind)


def lattice(kind: str, order: str, degree: int = 2) -> list[list[int]]:
    """Where the nodes lie as multiples: barycentric, or steps along the axes."""
    base = kind.rstrip("0123456789")
    corner = {"triangle": np.eye(3), "tetra": np.eye(4), "line": np.array([[0], [1]])}.get(base)
    if corner is None:
        plane = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        corner = plane if base == "quad" else np.vstack([np.c_[plane, np.zeros(4)], np.c_[plane, np.ones(4)]])
    return [(degree * corner[[int(d) for d in word]].mean(0)).astype(int).tolist() for word in order.split()]


@pytest.mark.parametrize("section", HIGH)
def test_an_order_that_the_file_states(tmp_path: Path, section: str) -> None:
    kind = HIGH[section]
    words = VTK[kind].split()
    for seed in range(3):
        order = " ".join(np.random.default_rng(seed).permutation(words))
        rows = "".join(f"{' '.join(map(str, row))}\n" for row in lattice(kind, order))
        stated = f"{section}Ordering {len(words)}\n{rows}"
        mesh = read_mesh(put(tmp_path, "m.mesh", one_cell(section, places(kind, order), stated)))
        assert_in_order(mesh, kind)
    lines = stated.splitlines()
    broken = "\n".join([*lines[:-1], lines[1], ""])  # one place twice
    text = one_cell(section, places(kind, order), broken)
    with pytest.raises(MeshReadError, match=f"section {section}Ordering"):
        read_mesh(put(tmp_path, "m.mesh", text))


def test_linear_quads_in_an_order_that_the_file_states(tmp_path: Path) -> None:
    stated = "QuadrilateralsQ1Ordering 4\n0 0\n1 0\n0 1\n1 1\n"
    text = one_cell("Quadrilaterals", places("quad", "0 1 3 2"), stated)
    mesh = read_mesh(put(tmp_path, "m.mesh", text))
    assert torch.allclose(mesh.points[mesh.cells["quad"][0]], torch.from_numpy(places("quad", "0 1 2 3"))[:, :2])
    with pytest.raises(MeshReadError, match=r"an order of nodes of its own \(PrismsP2Ordering\)"):
        read_mesh(put(tmp_path, "m.mesh", text.replace(stated, "PrismsP2Ordering 1 2 0 0 0\n")))


@pytest.mark.parametrize("section", sorted(set(ELEMENTS) - set(SECTIONS.values())))
def test_orders_without_a_place_are_taken_at_their_corners(tmp_path: Path, section: str) -> None:
    kind, width, _ = ELEMENTS[section]
    corners = places(kind, " ".join(map(str, range(CELLS[kind].nodes))))
    x = np.vstack([corners, np.random.default_rng(0).random((width - len(corners), 3))])
    mesh = read_mesh(put(tmp_path, "m.mesh", one_cell(section, x)))
    assert mesh.cells[kind].tolist() == [list(range(len(corners)))]
    assert f"1 cells of section {section} are taken at their corners" in mesh.warnings


# references


def test_references_that_say_nothing_and_many_of_them(tmp_path: Path) -> None:
    def text(vertices: list[int], cells: list[int]) -> str:
        points = "".join(f"{k} {k * k} {ref}\n" for k, ref in enumerate(vertices))
        rows = "".join(f"{k} {k + 1} {k + 2} {ref}\n" for k, ref in enumerate(cells, 1))
        head = f"MeshVersionFormatted 2\nDimension 2\nVertices {len(vertices)}\n{points}"
        return f"{head}Triangles {len(cells)}\n{rows}End\n"

    assert sets(read_mesh(put(tmp_path, "m.mesh", text([0] * 4, [0] * 2)))) == {}
    assert sets(read_mesh(put(tmp_path, "m.mesh", text([1] * 4, [1] * 2)))) == {"1": (2, [0, 1, 2, 3])}
    own = read_mesh(put(tmp_path, "m.mesh", text([9, 1, 9, 0], [1, -4])))
    assert sets(own) == {"1": (2, [0, 1, 2]), "-4": (2, [1, 2, 3]), "9": (0, [0, 2])}
    count = medit._NUMBERS + 1
    many = medit.read(put(tmp_path, "m.mesh", text([0] * (count + 2), list(range(1, count + 1)))))
    assert not many.cell_sets and many.cell_data["medit:ref"][0].tolist() == list(range(1, count + 1))
    assert many.notes == [f"the triangle cells have {count} different references, too many for sets; "
                          "they are kept as data"]  # fmt: skip


# refusals


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("Vertices 5", "Vertices 6", "section Vertices declares 6 rows of 4 numbers and holds 20 numbers; it seems"),
        ("Vertices 5", "Vertices 4", "section Vertices declares 4 rows of 4 numbers and holds 20 numbers$"),
        ("Vertices 5", "Vertices 999999999999", "declares 999999999999 rows"),
        ("Vertices 5", "Vertices -5", "section Vertices has no count"),
        ("Vertices 5", "Vertices 5.0", "section Vertices has no count"),
        ("Corners 2 1 5", "Corners", "section Corners has no count"),
        ("0 1 0 41", "0 1 0 41.5", "the references of the vertices must be whole numbers, got 41.5"),
        ("0 1 0 41", "0 nan 0 41", "points of .* are not finite"),
        ("0 1 0 41", "0 -inf 0 41", "points of .* are not finite"),
        ("1 2 3 4 7", "1 2 3 4.0 7", "section Tetrahedra holds something that is not a number"),
        ("1 2 3 4 7", "1 2 3 x4 7", "section Tetrahedra holds something that is not a number"),
        ("1 2 3 4 7", "1 2 3 4abc 7", "'4abc' is neither a number nor a keyword"),
        ("1 2 3 4 7", "1 2 3 0 7", r"section Tetrahedra names vertex 0, expected 1\.\.5"),
        ("1 2 3 4 7", "1 2 3 6 7", r"section Tetrahedra names vertex 6, expected 1\.\.5"),
        ("Corners 2 1 5", "Corners 2 1 6", r"section Corners names vertex 6, expected 1\.\.5"),
        ("Ridges 1 2", "Ridges 1 3", r"section Ridges names row 3, expected 1\.\.2"),
        ("Edges", "Kanten", "the keyword 'Kanten' is unknown"),
        ("Edges", "Polygons", "the section 'Polygons' is not read; its cells would be missing"),
        ("Edges", "Triangles", "section Triangles stands twice"),
        ("Dimension 3", "", "behind Dimension stand 0 numbers"),
        ("Dimension 3", "Dimension 4", "its Dimension is 4, expected 2 or 3"),
        ("Dimension 3", "Dimension 2", "section Vertices declares 5 rows of 3 numbers and holds 20"),
        ("MeshVersionFormatted 2", "MeshVersionFormatted 7", "it is of version 7"),
        ("MeshVersionFormatted 2", "MeshVersionFormatted", "behind MeshVersionFormatted stand 0 numbers"),
        ("End\n", "End\n1\n", "text stands behind its End"),
        ("End\n", "End\nCorners 1 1\n", "text stands behind its End"),
        ("End\n", "Pyramids 1\n1 2 3 4", "it ends in the middle of a line; it seems to be cut off"),
        ("Normals 1 0 0 1", "Normals 1 0 0", "section Normals declares 1 rows of 3 numbers"),
        (TETS[TETS.index("Vertices") : TETS.index("Tetra")], "", "it has no Vertices"),
    ],
)
def test_text_refusals(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert TETS.count(old) >= 1
    with pytest.raises(MeshReadError) as caught:
        read_mesh(put(tmp_path, "m.mesh", TETS.replace(old, new, 1)))
    assert re.search(reason, caught.value.reason)


def test_numbers_before_the_first_keyword(tmp_path: Path) -> None:
    with pytest.raises(MeshReadError, match="numbers stand before its first keyword"):
        read_mesh(put(tmp_path, "m.mesh", "1 2 3\n" + TETS))


def test_marks_of_nothing_are_told(tmp_path: Path) -> None:
    text = TETS.replace("Edges 2\n1 2 0\n2 3 0\n", "")
    told = "section Ridges lists 1 rows of Edges, of which there are none"
    assert told in read_mesh(put(tmp_path, "m.mesh", text)).warnings


def content(mesh: Mesh) -> tuple:
    return mesh.n, mesh.n_cells, {name: len(tag.ids) for name, tag in mesh.tags.items()}


def test_no_cut_of_a_text_is_silent(tmp_path: Path) -> None:
    whole, silent = content(read_mesh(put(tmp_path, "m.mesh", TETS))), 0
    for stop in range(1, len(TETS)):
        try:
            mesh = read_mesh(put(tmp_path, "m.mesh", TETS[:stop]))
        except MeshReadError as error:
            assert 10 < len(error.reason) < 400
        else:
            silent += 1
            ended = TETS[:stop].endswith("End")
            assert content(mesh) == whole if ended else any("it has no End" in told for told in mesh.warnings)
    assert silent == 9  # behind "End" and at the ends of the eight sections that follow the first cells


@pytest.mark.parametrize("version", [1, 4])
def test_every_cut_of_a_binary_file_is_refused(tmp_path: Path, version: int) -> None:
    data = binary(version=version)
    for stop in range(1, len(data)):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "m.meshb", data[:stop]))
    with pytest.raises(MeshReadError, match="3 bytes stand behind its end"):
        read_mesh(put(tmp_path, "m.meshb", data + b"abc"))


def test_binary_refusals(tmp_path: Path) -> None:
    def refused(at: int, value: int, reason: str, kind: str = "<i4") -> None:
        data = bytearray(binary())
        data[at : at + np.dtype(kind).itemsize] = np.array(value, kind).tobytes()
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.meshb", bytes(data)))

    refused(4, 5, "it is of version 5, expected 1 to 4")
    refused(8, 4, "section Vertices is not expected here")
    refused(16, 1, "its Dimension is 1")
    refused(12, 10**8, "behind section Dimension it goes on at byte 100000000")
    refused(24, 20, "behind section Vertices it goes on at byte 20 of")
    refused(24, -1, "behind section Vertices it goes on at byte -1 of")
    refused(28, 4, "section Vertices ends at byte 144, but the next one begins at byte 172")
    refused(28, 2**31 - 1, "section Vertices with 2147483647 rows needs more bytes than the file holds")
    refused(28, -1, "section Vertices with -1 rows needs more bytes")
    refused(172, 199, "it has a section of the unknown code 199")
    refused(172, 47, "section Polygons is not expected here")
    refused(172, 4, "section Vertices stands twice")
    refused(172, 3, "section Dimension is not expected here")


def test_a_precision_that_the_file_states(tmp_path: Path) -> None:
    data = binary(TABLES, 1)
    extra = np.array([155, 32, 64], "<i4").tobytes()
    doubled = binary(TABLES, 2)
    shifted = bytearray(data[:20] + extra + doubled[20:])
    at = 32
    while at < len(shifted) - 8:  # the positions move by the inserted section
        stop = int.from_bytes(shifted[at + 4 : at + 8], "little") + 12
        shifted[at + 4 : at + 8] = stop.to_bytes(4, "little")
        at = stop
    check_tets(read_mesh(put(tmp_path, "m.meshb", bytes(shifted))))
    shifted[28:32] = (16).to_bytes(4, "little")
    with pytest.raises(MeshReadError, match="its reals have 16 bits"):
        read_mesh(put(tmp_path, "m.meshb", bytes(shifted)))


def test_damaged_files_are_refused_or_valid(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for name, data in (("m.mesh", TETS.encode()), ("m.meshb", binary()), ("m.meshb", binary(version=4, order=">"))):
        for _ in range(150):
            broken = bytearray(data)
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                broken[at] = rng.integers(0, 256)
            try:
                read_mesh(put(tmp_path, name, bytes(broken)), format="medit")
            except MeshReadError as error:
                assert 5 < len(error.reason) < 400


# against meshio

LINEAR = {
    **{"line": [[0, 1]], "triangle": [[0, 1, 2], [1, 3, 2]], "quad": [[0, 1, 3, 2]], "tetra": [[0, 1, 2, 4]]},
    **{"hexahedron": [[0, 1, 3, 2, 4, 5, 7, 6]], "wedge": [[0, 1, 2, 4, 5, 6]], "pyramid": [[0, 1, 3, 2, 8]]},
}


@pytest.mark.parametrize("extension", [".mesh", ".meshb"])
@pytest.mark.parametrize("dim", [2, 3])
def test_what_meshio_writes(tmp_path: Path, extension: str, dim: int) -> None:
    rng = np.random.default_rng(0)
    kinds = [kind for kind in LINEAR if CELLS[kind].dim <= dim]
    cells = [(kind, np.array(LINEAR[kind])) for kind in kinds]
    references = [rng.integers(0, 4, len(nodes)) for _, nodes in cells]
    path = tmp_path / f"m{extension}"
    x = rng.standard_normal((9, dim))
    mesh = meshio.Mesh(x, cells, point_data={"ref": np.arange(9)}, cell_data={"medit:ref": references})
    mesh.write(path)
    raw = medit.read(path)
    assert same_bits(raw.points, x) and raw.point_data["medit:ref"].tolist() == list(range(9))
    assert [block.kind for block in raw.blocks] == kinds
    for block, own, (_, nodes), given_ in zip(raw.blocks, raw.cell_data["medit:ref"], cells, references):
        assert np.array_equal(block.nodes, nodes) and own is not None and np.array_equal(own, given_)


@pytest.mark.parametrize("extension", [".mesh", ".meshb"])
def test_meshio_reads_what_is_written(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"m{extension}"
    for mesh in (solid(), square()):
        write_mesh(path, mesh)
        other = meshio.read(path)
        assert np.array_equal(other.points, mesh.points)
        for kind, nodes in mesh.cells.items():
            assert np.array_equal(other.get_cells_type(kind), nodes)
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    mesh = mesh.with_tags(**{"1": mesh.make_tag(2, [0]), "2": mesh.make_tag(2, [1]), "wall": mesh.make_tag(1, [0])})
    assert write_mesh(path, mesh) == ("Medit keeps numbers, not names: wall = 3 (0 = in no set)",)
    other = meshio.read(path)
    assert [block.type for block in other.cells] == ["triangle", "line"]
    assert [part.tolist() for part in other.cell_data["medit:ref"]] == [[1, 2], [3]]


REAL = [
    *("libigl/bunny.mesh", "libigl/octopus-low.mesh", "libigl_tests/decimated-knight.mesh", "mmg/cube.meshb"),
    *("meshio/medit/cube86.mesh", "meshio/medit/hch_strct.4.meshb", "mmg/dom.mesh", "mmg/io_cube/cube.mesh"),
    *("mmg/multi-mat.mesh", "mmg/teapot.mesh"),
]


@pytest.mark.parametrize("name", REAL)
def test_real_files_agree_with_meshio_and_survive_writing(tmp_path: Path, meshes: Path, name: str, capfd) -> None:
    raw, other = medit.read(meshes / name), meshio.read(meshes / name)
    assert np.array_equal(raw.points.astype(other.points.dtype), other.points)  # meshio rounds version 1 to single
    assert np.array_equal(raw.point_data["medit:ref"], other.point_data["medit:ref"])
    blocks = [block for block in other.cells if len(block.data)]
    parts = [part for part in other.cell_data["medit:ref"] if len(part)]
    assert [block.kind for block in raw.blocks] == [block.type for block in blocks]
    for block, own, theirs, references in zip(raw.blocks, raw.cell_data["medit:ref"], blocks, parts):
        assert np.array_equal(block.nodes, theirs.data) and own is not None and np.array_equal(own, references)
    mesh = read_mesh(meshes / name)
    for extension in (".mesh", ".meshb"):
        write_mesh(tmp_path / f"m{extension}", mesh)
        back = read_mesh(tmp_path / f"m{extension}")
        named = {k: v for k, v in mesh.tags.items() if k not in ("triangle", "line")}  # in no set of the file
        assert torch.equal(back.points, mesh.points)
        assert all(torch.equal(back.cells[kind], nodes) for kind, nodes in mesh.cells.items())
        assert {k: sets(back).get(k) for k in named} == {k: sets(mesh)[k] for k in named}


# writing


@pytest.mark.parametrize("extension", [".mesh", ".meshb"])
def test_overlapping_sets_become_numbers_and_names_that_are_numbers_stay(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"m{extension}"
    told = write_mesh(path, square())
    sentence = "Medit keeps numbers, not names: all = 1, all and steel = 2, wall = 3, bottom and wall = 4, corner = 5"
    assert told == (f"{sentence} (0 = in no set)",)
    back = read_mesh(path)
    assert sets(back) == {
        **{"1": (2, [0, 1, 2]), "2": (2, [0, 2, 3]), "3": (1, [1, 2]), "4": (1, [0, 1]), "5": (0, [2])},
    }
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    point = torch.tensor([3])
    mesh = mesh.with_tags(
        **{"7:2d": mesh.make_tag(2, [0]), "7:1d": mesh.make_tag(1, [1]), "0": mesh.make_tag(1, [0])},
        **{"-5": mesh.make_tag(2, [1]), "12": TagSet(0, point, point), "1": mesh.make_tag(1, [2])},
    )
    assert write_mesh(path, mesh) == ()
    assert_same(mesh, read_mesh(path))


@pytest.mark.parametrize("extension", [".mesh", ".meshb"])
def test_sets_that_medit_knows_by_name(tmp_path: Path, extension: str) -> None:
    mesh = solid()
    mesh = Mesh(mesh.points, mesh.cells)
    corners, faces = torch.tensor([0, 9]), torch.tensor([[0, 1, 3, 2], [1, 8, 3, -1], [4, 5, 10, -1]])
    ids = mesh.find(2, faces)
    mesh = mesh.with_tags(
        Corners=TagSet(0, corners, corners),
        RequiredVertices=TagSet(0, corners[:1], corners[:1]),
        Ridges=mesh.make_tag(1, [3, 1]),
        RequiredEdges=mesh.make_tag(1, [1, 5]),
        RequiredTriangles=mesh.make_tag(2, ids[1:]),
        RequiredQuadrilaterals=mesh.make_tag(2, ids[:1]),
        **{"8": mesh.make_tag(1, [1]), "9": mesh.make_tag(1, [3, 5])},
    )
    path = tmp_path / f"m{extension}"
    assert write_mesh(path, mesh) == ()
    assert_same(mesh, read_mesh(path))
    mixed = Mesh(mesh.points, mesh.cells)
    mixed = mixed.with_tags(RequiredTriangles=mixed.make_tag(2, ids), Ridges=mixed.make_tag(2, ids[:1]))
    write_mesh(path, mixed)  # a quadrilateral among triangles, ridges that are faces: numbers as for other names
    assert {tag.dim for tag in read_mesh(path).tags.values()} == {2} and "1" in read_mesh(path).tags


def test_names_without_a_code_are_numbers_in_binary_files(tmp_path: Path) -> None:
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    mesh = mesh.with_tags(ParallelEdges=mesh.make_tag(1, [2]))
    assert write_mesh(tmp_path / "m.mesh", mesh) == ()
    assert_same(mesh, read_mesh(tmp_path / "m.mesh"))
    told = write_mesh(tmp_path / "m.meshb", mesh)
    assert told == ("Medit keeps numbers, not names: ParallelEdges = 1 (0 = in no set)",)


def test_empty_sets_and_cells_without_a_section_are_told(tmp_path: Path) -> None:
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    mesh = mesh.with_tags(nothing=mesh.make_tag(1, []))
    assert write_mesh(tmp_path / "m.mesh", mesh) == ("sets without members were left out: nothing",)
    prism = Mesh(places("wedge", VTK["wedge15"]), {"wedge15": [list(range(15))]})
    with pytest.raises(OutputError, match="'m.meshb': Medit has no section for 1 wedge15; write a .vtu file instead"):
        write_mesh(tmp_path / "m.meshb", prism)


@pytest.mark.parametrize("kind", sorted(SECTIONS))
@pytest.mark.parametrize("extension", [".mesh", ".meshb"])
def test_every_cell_type_comes_back(tmp_path: Path, kind: str, extension: str) -> None:
    order = VTK.get(kind, " ".join(map(str, range(CELLS[kind].nodes))))
    x = places(kind, order)
    mesh = Mesh(x, {kind: [list(range(len(x)))]})
    facets = {f"{10 + k}": mesh.make_tag(mesh.dim - 1, [k]) for k in range(len(mesh.facets.nodes)) if mesh.dim > 1}
    mesh = mesh.with_tags(**facets, **{"5": mesh.make_tag(mesh.dim, [0])})
    write_mesh(tmp_path / f"m{extension}", mesh)
    raw = medit.read(tmp_path / f"m{extension}")
    assert same_bits(raw.points, x) and raw.blocks[0].kind == kind
    assert np.array_equal(raw.blocks[0].nodes, mesh.cells[kind])
    back = read_mesh(tmp_path / f"m{extension}")
    assert sets(back) == sets(mesh)
    if kind == "hexahedron27":
        text = (tmp_path / "m.mesh").read_text() if extension == ".mesh" else ""
        assert (
            not text or "HexahedraQ2\n1\n" + " ".join(str(VTK[kind].split().index(w) + 1) for w in HEX.split()) in text
        )


def test_a_network_and_a_line(tmp_path: Path) -> None:
    for points in (SQUARE_POINTS, SQUARE_POINTS[:, :1] + [[0.0], [0], [1], [2]]):
        mesh = Mesh(points, {"line": [[0, 1], [1, 2], [2, 3]]})
        ends = torch.tensor([0, 3])
        mesh = mesh.with_tags(**{"4": TagSet(0, ends, ends)})
        write_mesh(tmp_path / "m.mesh", mesh)
        assert_same(mesh, read_mesh(tmp_path / "m.mesh"))


def test_binary_of_version_three_where_positions_grow_large(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("graphpde.mesh.io.medit.write._LARGE", 100)
    write_mesh(tmp_path / "m.meshb", solid())
    assert (tmp_path / "m.meshb").read_bytes()[4] == 3
    assert torch.equal(read_mesh(tmp_path / "m.meshb").points, solid().points)
    assert np.array_equal(meshio.read(tmp_path / "m.meshb").points, solid().points)


def assert_partition(mesh: Mesh, back: Mesh) -> None:
    """Each set of the one is a union of sets of the other."""
    parts = {dim: [set(t.ids.tolist()) for t in back.tags.values() if t.dim == dim] for dim in range(4)}
    for name, tag in mesh.tags.items():
        own = set(tag.ids.tolist())
        inside = [part for part in parts[tag.dim] if part <= own]
        assert set().union(*inside) == own, name


@settings(max_examples=60, deadline=None)
@given(random_meshes(tuple(SECTIONS)))
def test_random_meshes_come_back(mesh: Mesh) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for extension in (".mesh", ".meshb"):
            path = Path(folder) / f"m{extension}"
            write_mesh(path, mesh)
            raw = medit.read(path)
            assert same_bits(raw.points, mesh.points.numpy())
            assert [b.kind for b in raw.blocks[: len(mesh.cells)]] == list(mesh.cells)
            assert all(np.array_equal(b.nodes, v) for b, v in zip(raw.blocks, mesh.cells.values()))
            assert_partition(mesh, read_mesh(path))


def test_combinations_of_sets() -> None:
    labels, found = combinations(6, [np.array([0, 1, 2]), np.array([2, 3]), np.array([], dtype=int), np.array([2, 5])])
    assert found == [(), (0,), (1,), (3,), (0, 1, 3)] and labels.tolist() == [1, 1, 4, 2, 0, 3]
    assert combinations(2, [])[1] == [()]


def test_no_two_sections_share_a_code() -> None:
    codes = [keyword.code for keyword in set(KEYWORDS.values()) if keyword.code > 0]
    assert len(codes) == len(set(codes))
    assert KEYWORDS["hexahedraq2"].columns == 28 * "i" and KEYWORDS["vertices"].width(2) == 3
