"""STL: text and binary, several solids, joined corners, cuts, and the binary files that are written."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError, OutputError
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.io.stl import surface as stl
from graphpde.mesh.io.stl import text as stl_text
from graphpde.mesh.io.stl.surface import read
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, put, sets, square

A, B, C, D = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)
TETRA = [(A, C, B), (A, B, D), (B, C, D), (A, D, C)]
NODES = [[0, 1, 2], [0, 2, 3], [2, 1, 3], [0, 3, 1]]  # points in the order of their first appearance


def facet(corners, normal: str = "normal 0 0 1") -> str:
    rows = "".join(f"      vertex {x!r} {y!r} {z!r}\n" for x, y, z in corners)
    return f"  facet {normal}\n    outer loop\n{rows}    endloop\n  endfacet\n"


def text(facets, name: str = "", end: str | None = None, normal: str = "normal 0 0 1") -> str:
    body = "".join(facet(corners, normal) for corners in facets)
    return f"solid {name}\n{body}endsolid {name if end is None else end}\n"


def binary(facets, header: bytes = b"", attributes=0) -> bytes:
    table = np.zeros(len(facets), dtype=stl._FACET)
    table["corners"], table["attribute"] = np.reshape(facets, (-1, 3, 3)), attributes
    return header.ljust(80) + len(table).to_bytes(4, "little") + table.tobytes()


@pytest.mark.parametrize(
    "content",
    [
        text(TETRA),
        text(TETRA).upper(),
        text(TETRA).replace("\n", "\r\n"),
        text(TETRA).replace("\n", "\r"),
        text(TETRA).rstrip().replace("solid ", "solid"),
        "\n\n" + text(TETRA) + "\n \n",
        "\ufeff" + text(TETRA),
        text(TETRA, normal=""),
        text(TETRA, normal="normal nan -nan(ind) 1.#QNAN"),
        re.sub(r"\n(?!endsolid|  facet)", " ", text(TETRA)),
        text(TETRA[:2]).replace("endsolid \n", "") + text(TETRA[2:], normal="").replace("solid \n", "", 1),
        text(TETRA).replace("0.0", "-0.0"),
        text(TETRA).replace("1.0", "+.1E1"),
        binary(TETRA),
        binary(TETRA, b"solid but binary"),
        binary(-np.array(TETRA) * -1.0 + np.zeros(3)),
        binary(np.where(np.array(TETRA) == 0, -0.0, TETRA)),
    ],
)
def test_one_tetrahedron_in_many_hands(tmp_path: Path, content: str | bytes) -> None:
    mesh = read_mesh(put(tmp_path, "m.stl", content))
    assert mesh.points.tolist() == [list(A), list(C), list(B), list(D)]
    assert mesh.cells["triangle"].tolist() == NODES
    assert mesh.tags == {} and mesh.cell_data == {} and mesh.warnings == ()
    assert not torch.signbit(mesh.points).any()


def test_solids_become_sets_by_their_names(tmp_path: Path) -> None:
    one = read_mesh(put(tmp_path, "m.stl", text(TETRA, "Left Wing", "other")))
    assert sets(one) == {"Left Wing": (2, [0, 1, 2, 3])}
    assert one.warnings == ("1 of 1 solids end under another name than they begin with",)
    content = (
        text(TETRA[:1], "solid facet 1 2") + text([], "none") + text(TETRA[1:2], "", "") + text(TETRA[2:3], "", "e")
    )
    mesh = read_mesh(put(tmp_path, "m.stl", content + text(TETRA[3:], "solid facet 1 2")))
    assert {name: tag.ids.tolist() for name, tag in mesh.tags.items()} == {
        "solid facet 1 2": [0, 3],
        "3": [1],
        "e": [2],
    }
    assert mesh.cells["triangle"].tolist() == NODES
    assert mesh.warnings == ("1 of 5 solids have no facets",)


def test_attributes_of_binary_facets_become_data(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.stl", binary(TETRA, attributes=[0, 1, 65535, 7])))
    assert mesh.cell_data["attribute"].tolist() == [0, 1, 65535, 7]


def test_corners_are_joined_only_where_every_bit_agrees(tmp_path: Path) -> None:
    x = np.repeat(np.random.default_rng(0).random((20, 1, 3)).astype(np.float32), 3, axis=1)
    x[:, 1] = np.nextafter(x[:, 0], np.float32(2))
    x[:, 2, 0] += np.float32(1)
    raw = read(put(tmp_path, "m.stl", binary(np.concatenate([x, x[::-1]]))))
    assert raw.points.tolist() == x.reshape(-1, 3).tolist()
    nodes = np.arange(60).reshape(20, 3)
    assert raw.blocks[0].nodes.tolist() == np.concatenate([nodes, nodes[::-1]]).tolist()


def test_two_rows_of_one_hash_stay_apart() -> None:
    """y is solved for so that the hash of (1, y, 0) is that of (2, 3, 0)."""
    prime, mask = 0x9E3779B97F4A7C15, 2**64 - 1

    def bits(value: float) -> int:
        return int(np.float64(value).view(np.uint64))

    def folded(word: int) -> int:
        return word ^ (word >> 32)  # its own inverse

    def hashed(word: int) -> int:
        key = folded(word) * prime & mask
        return key ^ (key >> 29)

    y = next(
        y
        for x in range(4, 999)
        for y in [np.uint64(folded(hashed(bits(x)) ^ hashed(bits(2.0)) ^ folded(bits(3.0)))).view(np.float64)]
        if np.isfinite(y)
    )
    x = next(x for x in range(4, 999) if folded(hashed(bits(x)) ^ hashed(bits(2.0)) ^ folded(bits(3.0))) == bits(y))
    rows = np.array([[x, y, 0.0], [2, 3, 0], [2, 3, 0], [x, y, 0]])
    distinct, inverse = stl._distinct(rows)
    assert distinct.tolist() == rows[:2].tolist() and inverse.tolist() == [0, 1, 1, 0]


def test_long_texts_are_taken_in_pieces(tmp_path: Path, monkeypatch) -> None:
    corners = np.round(np.random.default_rng(2).random((50, 3, 3)), 6)
    path = put(tmp_path, "m.stl", text(corners.tolist(), "a", normal="") + text(corners.tolist()))
    whole = read(path)
    assert np.array_equal(whole.points, corners.reshape(-1, 3)) and len(whole.blocks[0].nodes) == 100
    for chunk in (300, 307, 640, 5000):
        monkeypatch.setattr(stl_text, "_CHUNK", chunk)
        pieces = read(path)
        assert np.array_equal(pieces.points, whole.points)
        assert np.array_equal(pieces.blocks[0].nodes, whole.blocks[0].nodes)
        assert [cells.name for cells in pieces.cell_sets] == [cells.name for cells in whole.cell_sets]
    bad = path.read_text().replace("endloop", "endlop").replace("endlop", "endloop", 70)
    with pytest.raises(MeshReadError, match="facet 71 has 'endlop' where 'endloop' is expected"):
        read_mesh(put(tmp_path, "m.stl", bad))


@pytest.mark.parametrize("content", [binary(TETRA), binary(TETRA, b"solid", 1)])
def test_a_binary_file_cut_at_any_byte_is_refused(tmp_path: Path, content: bytes) -> None:
    for stop in range(1, len(content)):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "m.stl", content[:stop]))
    with pytest.raises(MeshReadError, match="declares 4 triangles and has 286 bytes, expected 284"):
        read_mesh(put(tmp_path, "m.stl", content + b"\n\n"))
    with pytest.raises(MeshReadError, match="declares 4 triangles and has only 283 bytes, expected 284"):
        read_mesh(put(tmp_path, "m.stl", content[:-1]))


def test_a_text_file_cut_at_any_byte_is_refused_or_whole(tmp_path: Path) -> None:
    content = text(TETRA[:1], "a") + text(TETRA[1:2], "b")
    between = content.index("solid b")
    for stop in range(1, len(content)):
        try:
            mesh = read_mesh(put(tmp_path, "m.stl", content[:stop]))
        except MeshReadError as error:
            assert "its content is not valid" not in error.reason
        else:  # the name behind endsolid, or the place between two solids
            assert mesh.n_cells == 2 or content.index("endsolid") + len("endsolid") <= stop <= between


@pytest.mark.parametrize(
    "content, reason",
    [
        (text(TETRA).replace("endsolid", "end"), "without 'endsolid'"),
        (text(TETRA) + "endsolid\n", "endsolid twice in a row, at solid 2"),
        (text(TETRA).replace("endsolid", "solid"), "solid twice in a row, at solid 1"),
        (text(TETRA) + facet(TETRA[0]), "'facet normal 0 0 1 outer loop vertex 0.0' stands outside of its solids"),
        (text(TETRA) + "x\n" + text(TETRA), "'x' stands outside of its solids"),
        (text(TETRA).replace("endloop", "", 1), "facet 1 has 'endfacet' where 'endloop' is expected"),
        (text(TETRA).replace("vertex 1.0", "vertex", 1), "facet 1 has 'endfacet' where 'endloop'"),
        (text(TETRA).replace("  endfacet\nends", "ends"), "facet 4 has nothing where 'endfacet' is expected"),
        (text(TETRA).replace("normal 0 0 1", "normal 0 0", 1), "facet 1 has 'loop' where 'outer' is expected"),
        (text(TETRA).replace("1.0", "1_0"), "a vertex holds something that is not a number"),
        (text(TETRA).replace("1.0", "0x1"), "a vertex holds something that is not a number"),
        (text(TETRA[:2]) + text([(A, B, (0, 0, float("nan")))]), r"facet 3 has a corner that is not finite \(1 of 3"),
        (text(TETRA).replace("1.0", "1e999"), "facet 1 has a corner that is not finite .4 of 4"),
        (binary([*TETRA, (A, B, (0, 0, np.inf))]), r"facet 5 has a corner that is not finite \(1 of 5"),
        (text([]), "0 points and no cells"),
        (binary([]), "0 points and no cells"),
        ("hello", "it has 5 bytes and does not begin with 'solid'"),
    ],
)
def test_refusals(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.stl", content))


def test_many_words_solid_in_one_line_cost_no_more_than_their_length(tmp_path: Path) -> None:
    """Looking back for the begin of the line at each of them would take minutes."""
    with pytest.raises(MeshReadError, match="facet 1 has"):
        read_mesh(put(tmp_path, "m.stl", "solid\n" + 200_000 * "x solid " + "\nendsolid\n"))


def test_what_is_written_is_binary_with_normals_by_the_right_hand_rule(tmp_path: Path) -> None:
    points = np.random.default_rng(4).random((30, 3)) * 100
    nodes = np.random.default_rng(5).permutation(30).reshape(10, 3)
    mesh = Mesh(points, {"triangle": np.r_[nodes, nodes[:, ::-1] * 0 + [[0, 1, 1]]]})
    assert write_mesh(tmp_path / "m.stl", mesh) == ()
    data = (tmp_path / "m.stl").read_bytes()
    assert len(data) == 84 + 50 * 20 and int.from_bytes(data[80:84], "little") == 20 and data[:5] != b"solid"
    facets = np.frombuffer(data, stl._FACET, 20, 84)
    x = points[nodes]
    normals = np.cross(x[:, 1] - x[:, 0], x[:, 2] - x[:, 0])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    assert np.array_equal(facets["normal"][:10], normals.astype(np.float32))
    assert (facets["normal"][10:] == 0).all() and (facets["attribute"] == 0).all()  # no area, no direction
    back = read_mesh(tmp_path / "m.stl")
    assert torch.equal(back.points[back.cells["triangle"]], mesh.points[mesh.cells["triangle"]].float().double())


def test_single_precision_comes_back_exactly_and_twice_the_same(tmp_path: Path) -> None:
    mesh = Mesh([A, B, C, D], {"triangle": [[0, 2, 1], [0, 1, 3], [1, 2, 3], [0, 3, 2]]})
    write_mesh(tmp_path / "m.stl", mesh)
    back = read_mesh(tmp_path / "m.stl")
    assert torch.equal(back.points[back.cells["triangle"]], mesh.points[mesh.cells["triangle"]])
    write_mesh(tmp_path / "n.stl", back)
    assert (tmp_path / "m.stl").read_bytes() == (tmp_path / "n.stl").read_bytes()
    assert write_mesh(tmp_path / "s.stl", square(), point_data={"u": torch.zeros(4)}) == (
        "STL keeps no named sets: 5 names dropped (all, steel, bottom, wall and 1 more)",
        "STL keeps no fields: 1 dropped (u)",
    )
    flat = read_mesh(tmp_path / "s.stl")
    assert flat.space_dim == 2 and flat.n == 4


def test_what_stl_cannot_hold_is_refused(tmp_path: Path) -> None:
    for mesh, reason in (
        (Mesh(SQUARE_POINTS, {"quad": [[0, 1, 2, 3]]}), "STL holds triangles only, not 1 quad; write a .vtu file"),
        (Mesh(SQUARE_POINTS * 1e-6 + 1000, SQUARE_CELLS), "2 of 2 triangles lose a corner"),
        (Mesh(SQUARE_POINTS * 1e39, SQUARE_CELLS), "2 of 2 triangles lose a corner"),
    ):
        with pytest.raises(OutputError, match=reason):
            write_mesh(tmp_path / "m.stl", mesh)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name, points, count",
    [
        ("pygem/test_sphere_bin.stl", 1202, 2400),
        ("pynastran_conv/sphere.stl", 146, 288),
        ("trimesh/20mm-xyz-cube.stl", 132, 260),
        ("trimesh/busted.STL", 1941, 3878),
        ("trimesh/featuretype.STL", 2010, 3476),
        ("trimesh/soup.stl", 300, 100),
        ("trimesh/two_objects_mixed_case_names.stl", 16, 24),
        ("vtkdata/42400-IDGH.stl", 5500, 11036),
    ],
)
def test_real_files_agree_with_meshio(meshes: Path, name: str, points: int, count: int) -> None:
    meshio = pytest.importorskip("meshio")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # meshio's guess at the kind of file overflows
        other = meshio.read(meshes / name)
    raw = read(meshes / name)
    assert len(raw.points) == points and len(raw.blocks[0].nodes) == count
    assert np.array_equal(raw.points, other.points) and np.array_equal(raw.blocks[0].nodes, other.cells[0].data)


def test_real_files_with_names_attributes_and_without_normals(meshes: Path) -> None:
    cluster = read_mesh(meshes / "libmesh/Cluster_34.stl")
    assert cluster.n == 60 and len(cluster.cells["triangle"]) == 40 and cluster.warnings == ()
    assert cluster.points[0].tolist() == [157.115, 110.004, 84.0817]
    assert len(cluster.tags["Cluster_34_Copy_1_1"].ids) == 40
    two = read_mesh(meshes / "trimesh/two_objects_mixed_case_names.stl")
    assert {name: len(tag.ids) for name, tag in two.tags.items()} == {
        "CubeExportedFromCAD": 12,
        "TranslatedCubeExportedFromCAD": 12,
    }
    assert read_mesh(meshes / "trimesh/20mm-xyz-cube.stl").cell_data["attribute"].shape == (260,)
