"""The reader of gmsh files: hand-made files with known answers, both formats, damage in the right place."""

from __future__ import annotations

import tempfile
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphpde.core.graph import TagSet
from graphpde.errors import MeshReadError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.io.gmsh import write as gmsh
from graphpde.mesh.io.gmsh.table import CODES
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import PLANE, POINTS, TRIANGLES, assert_same, put, sets, solid, square

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
4 2 4 1 1 0 0 1 3 4
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


def test_partitioned_gmsh_meshes_keep_their_groups(tmp_path: Path) -> None:
    parts = """$PartitionedEntities
2 1
9 1
0 0 2 0
11 2 1 1 1 0 0 0 1 1 0 1 5 0
12 2 1 2 1 2 0 0 0 2 1 0 2 5 6 0
$EndPartitionedEntities
$Nodes"""
    text = MSH4.replace("2 1 2 2\n3", "2 11 2 2\n3").replace("2 2 2 1\n5", "2 12 2 1\n5").replace("$Nodes", parts, 1)
    mesh = read_mesh(put(tmp_path, "m.msh", text))
    assert mesh.tag("wall:2d").ids.tolist() == [0, 1, 2] and mesh.tag("hot part").ids.tolist() == [2]
    old = read_mesh(put(tmp_path, "old.msh", MSH2.replace("4 2 4 1 1 0 0 1", "4 2 4 1 1 1 7 1")))
    assert "element tags beyond group and entity (partitions) were not used" in old.warnings


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
        ("4 2 4 1 1 0 0 1 3 4", "4 2 9999 1 1 0 0 1 3 4", "has 9999 tags"),
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
    from graphpde.mesh.io.gmsh.table import from_vtk, to_vtk

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


GMSH_KINDS = [kind for kind in CELLS if CELLS[kind].dim and kind in CODES]


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("kind", GMSH_KINDS)
def test_every_written_cell_type_comes_back(tmp_path: Path, kind: str, binary: bool) -> None:
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.standard_normal((70, 3)), {kind: [rng.permutation(70)[: CELLS[kind].nodes] for _ in range(4)]})
    mesh = mesh.with_tags(some=mesh.make_tag(mesh.dim, [0, 2]), end=TagSet(0, torch.tensor([5]), torch.tensor([5])))
    if mesh.dim > 1:
        mesh = mesh.with_tags(rim=mesh.make_tag(mesh.dim - 1, [0, 1]), edge=mesh.make_tag(1, [2]))
    assert gmsh.write(tmp_path / "m.msh", mesh, {}, {}, binary=binary) == []
    back = read_mesh(tmp_path / "m.msh")
    assert_same(mesh, back, numbers=False)
    order = torch.tensor([1, 3, 0, 2])  # cells of no set come first
    assert torch.equal(back.cells[kind], mesh.cells[kind][order])
    if binary and kind in ("line", "triangle", "quad", "tetra", "hexahedron", "wedge", "pyramid", "tetra10"):
        other = meshio.read(tmp_path / "m.msh")
        assert np.array_equal(other.points, mesh.points)
        assert np.array_equal(other.cells_dict[kind], mesh.cells[kind][order])


@pytest.mark.parametrize("binary", [False, True])
def test_fields_come_back_in_every_bit(tmp_path: Path, binary: bool) -> None:
    mesh = solid().with_tags(some=solid().make_tag(3, [0, 2]))
    n, m = mesh.n, mesh.n_cells
    rng = np.random.default_rng(0)
    fields = {
        **{"u": rng.standard_normal(n), "v w": rng.standard_normal((n, 3)), "ü": rng.random((n, 9)).astype(np.float32)},
        "odd": np.resize([-0.0, np.inf, -np.inf, np.nan, 5e-324], n),
    }
    cells = {"k": np.arange(m, dtype=np.int16), "q": rng.standard_normal((m, 3)), "gmsh:physical": np.arange(m)}
    assert gmsh.write(tmp_path / "m.msh", mesh, fields, cells, binary=binary) == []
    assert (b"\n4.1 1 8\n" in (tmp_path / "m.msh").read_bytes()) == binary
    back = read_mesh(tmp_path / "m.msh")
    assert set(back.point_data) == set(fields)
    for name, values in fields.items():
        assert same_bits(back.point_data[name].numpy(), values.astype(np.float64)), name
    assert list(back.cells) == ["wedge", "hexahedron", "pyramid"]  # cells of no set come first
    for name in ("k", "q"):
        assert same_bits(back.cell_data[name].numpy(), cells[name].astype(np.float64)[[1, 0, 2]])
    assert back.cell_data["gmsh:physical"].tolist() != [0, 1, 2]  # the groups of the file, not the old ones
    bare = Mesh(mesh.points, mesh.cells)  # meshio wants values for every element, those of sets of facets too
    gmsh.write(tmp_path / "m.msh", bare, fields, cells, binary=binary)
    other = meshio.read(tmp_path / "m.msh")
    assert all(np.array_equal(other.point_data[name], fields[name]) for name in ("u", "v w", "ü"))
    assert np.array_equal(np.concatenate(other.cell_data["q"]), cells["q"])


def test_fields_that_gmsh_does_not_know_are_told(tmp_path: Path) -> None:
    two = torch.rand(4, 2, dtype=torch.float64)
    odd = {"two": two, "four": torch.rand(4, 4), 'a"b': torch.ones(4), "a'b": torch.zeros(4)}
    told = write_mesh(tmp_path / "m.msh", square(), point_data=odd, cell_data={"k": torch.tensor([2**60 + 1, 0])})
    assert told == (
        "gmsh knows fields of 1, 3 and 9 components; left out: four (4)",
        "fields of 2 components have 3 in the file, the last one zero: two",
        "1 names cannot be kept as they are: 'a\"b' is 'a'b_2'",
        "whole numbers beyond 2^53 are rounded: k",
    )
    back = read_mesh(tmp_path / "m.msh")
    assert torch.equal(back.point_data["two"], torch.nn.functional.pad(two, (0, 1)))
    assert set(back.point_data) == {"two", "a'b", "a'b_2"} and back.point_data["a'b"].tolist() == [0, 0, 0, 0]


def test_names_of_groups_never_clash(tmp_path: Path) -> None:
    mesh = Mesh(square().points, square().cells)
    one, two, three = (mesh.make_tag(1, [k]) for k in range(3))
    none = torch.empty(0, dtype=torch.int64)
    named = mesh.with_tags(**{"a:1d": one, "a": two, 'q"': three, "q'": one, "(none)": two, "$EndNodes": three})
    told = write_mesh(tmp_path / "m.msh", named.with_tags(void=TagSet(1, none, none)))
    assert told[0] == "1 named sets are empty and were left out: void" and told[1].startswith("3 names cannot be kept")
    back = read_mesh(tmp_path / "m.msh")
    assert sorted(back.tags) == ["(none)_", "_EndNodes", "a", "a:1d", "q'", "q'_2"]
    assert torch.equal(back.tags["q'"].nodes, one.nodes) and torch.equal(back.tags["a"].nodes, two.nodes)
    flat = Mesh(np.c_[PLANE, np.full(5, 2.0)], {"triangle": TRIANGLES})
    assert write_mesh(tmp_path / "m.msh", flat)[0].startswith("where the mesh lies in space is lost")


def test_large_meshes_are_binary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for limit, binary in ((2, False), (1, True)):
        monkeypatch.setattr(gmsh, "_IN_TEXT", limit)
        assert write_mesh(tmp_path / "m.msh", square()) == ()
        assert (b"4.1 1 8" in (tmp_path / "m.msh").read_bytes()) == binary
        assert_same(square(), read_mesh(tmp_path / "m.msh"), numbers=False)


@settings(max_examples=60, deadline=None)
@given(
    random_meshes(("line", "line3", "triangle6", "quad", "quad9", "tetra", "hexahedron27", "wedge15")), st.booleans()
)
def test_random_meshes_come_back(mesh: Mesh, binary: bool) -> None:
    whole = {k: torch.arange(len(v)) for k, v in mesh.cells.items()}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.msh"
        told = gmsh.write(path, mesh, {"u": mesh.points}, {"k": torch.cat(list(whole.values()))}, binary=binary)
        back = read_mesh(path)
    if not any("where the mesh lies" in sentence for sentence in told):
        assert same_bits(back.points.numpy(), mesh.points.numpy())
    assert same_bits(back.point_data["u"].numpy(), mesh.points.numpy())
    start = 0
    for kind, nodes in back.cells.items():  # the field tells where each cell stood before
        assert torch.equal(nodes, mesh.cells[kind][back.cell_data["k"][start : start + len(nodes)].long()])
        start += len(nodes)
    found = sorted((tag.dim, tag.nodes.tolist()) for tag in back.tags.values())
    assert found == sorted((tag.dim, tag.nodes.tolist()) for tag in mesh.tags.values())


def test_facets_of_quadratic_cells_keep_their_middle_nodes(tmp_path: Path) -> None:
    x = np.array([[0, 0], [1, 0], [0, 1], [0.5, 0.1], [0.5, 0.5], [0, 0.5]])
    mesh = Mesh(x, {"triangle6": [range(6)]})
    mesh = mesh.with_tags(floor=mesh.make_tag(1, mesh.find(1, torch.tensor([[0, 1]]))))
    write_mesh(tmp_path / "m.msh", mesh)
    lines = meshio.read(tmp_path / "m.msh").cells_dict
    assert lines["line3"].tolist() in ([[0, 1, 3]], [[1, 0, 3]]) and "line" not in lines
    assert torch.equal(read_mesh(tmp_path / "m.msh").tag("floor").ids, mesh.tag("floor").ids)
