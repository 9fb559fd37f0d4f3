"""Abaqus decks as they are written: elements in their node order, sets and surfaces, long lines, names in quotes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from meshio._mesh import topological_dimension

from graphpde.core.graph import TagSet
from graphpde.errors import MeshReadError, OutputError
from graphpde.mesh import cell_measures
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK, places
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, put, solid, square

KINDS = ["line", "line3", "triangle", "triangle6", "quad", "quad8", "quad9", "tetra", "tetra10", "hexahedron",
         "hexahedron20", "hexahedron27", "wedge", "wedge15", "pyramid"]  # fmt: skip

DECK = """*HEADING
mesh written by graphpde
*NODE
1, 0.0, 0.0
2, 1.0, 0.0
3, 1.0, 1.0
4, 0.0, 1.0
*ELEMENT, TYPE=CPS3
1, 1, 2, 3
2, 1, 3, 4
*ELSET, ELSET=all
1, 2
*ELSET, ELSET=steel
2
*NSET, NSET=corner
3
*ELSET, ELSET=_bottom_S1, INTERNAL
1
*SURFACE, NAME=bottom, TYPE=ELEMENT
_bottom_S1, S1
*ELSET, ELSET=_wall_S1, INTERNAL
1
*ELSET, ELSET=_wall_S2, INTERNAL
1
*SURFACE, NAME=wall, TYPE=ELEMENT
_wall_S1, S1
_wall_S2, S2
"""


def test_the_text_of_a_deck(tmp_path: Path) -> None:
    assert write_mesh(tmp_path / "m.inp", square()) == ()
    assert (tmp_path / "m.inp").read_text() == DECK
    assert_same(square(), read_mesh(tmp_path / "m.inp"))


@pytest.mark.parametrize("space_dim", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_type_comes_back_with_sets(tmp_path: Path, kind: str, space_dim: int) -> None:
    if space_dim < CELLS[kind].dim:
        pytest.skip("solids need three coordinates")
    rng = np.random.default_rng(0)
    cells = [rng.permutation(70)[: CELLS[kind].nodes] for _ in range(19)]
    mesh = Mesh(rng.standard_normal((70, space_dim)), {kind: cells})
    ids = torch.arange(40)
    mesh = mesh.with_tags(some=mesh.make_tag(mesh.dim, [0, *range(2, 19)]), point=TagSet(0, ids, ids))
    if mesh.dim > 1:
        mesh = mesh.with_tags(rim=mesh.make_tag(mesh.dim - 1, range(0, len(mesh.facets.nodes), 2)))
    assert write_mesh(tmp_path / "m.inp", mesh) == ()
    assert_same(mesh, read_mesh(tmp_path / "m.inp"))
    lines = (tmp_path / "m.inp").read_text().splitlines()
    assert max(len(line.rstrip(",").split(",")) for line in lines if line[0] != "*") <= 16
    label = next(line for line in lines if line.startswith("*ELEMENT")).partition("=")[2]
    # meshio takes the middle of a three-node line for its end
    if label in meshio.abaqus._abaqus.abaqus_to_meshio_type and kind in topological_dimension and kind != "line3":
        other = meshio.read(tmp_path / "m.inp")
        assert np.array_equal(other.points, mesh.points) and np.array_equal(other.cells_dict[kind], mesh.cells[kind])


@pytest.mark.parametrize("name", ["B32", "B22", "T3D3", "B32R"])
def test_the_middle_of_a_line_is_its_second_node(tmp_path: Path, name: str) -> None:
    deck = "*NODE\n1, 0, 0, 0\n2, 1, 0, 0\n3, 2, 0, 0\n4, 3, 1, 0\n5, 4, 2, 0\n"
    path = tmp_path / "m.inp"
    path.write_text(f"{deck}*ELEMENT, TYPE={name}\n1, 1, 2, 3\n2, 3, 4, 5\n")
    mesh = read_mesh(path)
    assert mesh.cells["line3"].tolist() == [[0, 2, 1], [2, 4, 3]]
    assert float(cell_measures(mesh).sum()) == pytest.approx(2 + 8**0.5) and len(mesh.boundary_facets) == 2
    write_mesh(tmp_path / "n.inp", mesh)
    assert "1, 1, 2, 3\n2, 3, 4, 5\n" in (tmp_path / "n.inp").read_text()


@pytest.mark.parametrize("keyword", ["NGEN", "ELGEN", "NCOPY", "ELCOPY", "NFILL"])
def test_decks_that_make_nodes_or_elements_are_refused_by_name(tmp_path: Path, keyword: str) -> None:
    path = tmp_path / "m.inp"
    path.write_text(f"*NODE\n1, 0, 0\n2, 1, 0\n3, 0, 1\n*ELEMENT, TYPE=CPS3\n1, 1, 2, 3\n*{keyword}\n1, 2, 1\n")
    with pytest.raises(MeshReadError, match=rf"\*{keyword}, which is not read; write the mesh out in full"):
        read_mesh(path)


def test_nodes_of_the_large_brick_stand_where_the_manual_puts_them(tmp_path: Path) -> None:
    """The centre is node 21, nodes 22 to 27 are the middles of faces 1 to 6: bottom, top, front, right, back, left."""
    mesh = Mesh(places("hexahedron27", VTK["hexahedron27"]), {"hexahedron27": [[*range(27)]]})
    write_mesh(tmp_path / "m.inp", mesh)
    text = (tmp_path / "m.inp").read_text()
    row = [int(word) for word in text.partition("TYPE=C3D27\n")[2].replace("\n", "").split(",")][1:]
    order = " ".join(VTK["hexahedron27"].split()[:20]) + " 01234567 0123 4567 0145 1256 2367 0347"
    assert np.allclose(mesh.points[torch.tensor(row) - 1], places("hexahedron27", order))


def test_surfaces_of_solids_and_shells(tmp_path: Path) -> None:
    """Every face of every cell type on a set of its own, by the corners that the manual gives for S1, S2, ..."""
    mesh = solid()
    faces = mesh.with_tags(**{f"f{k}": mesh.make_tag(2, [k]) for k in range(len(mesh.facets.nodes))})
    assert write_mesh(tmp_path / "m.inp", faces) == (
        "Abaqus, CalculiX keeps named sets of cells, facets and points only: 1 of 16 name dropped (rim:1d)",
    )
    kept = Mesh(mesh.points, mesh.cells, tags={name: tag for name, tag in faces.tags.items() if name != "rim:1d"})
    assert_same(kept, read_mesh(tmp_path / "m.inp"))
    tops = mesh.find(2, torch.tensor([[4, 5, 7, 6], [5, 9, 7, -1]]))
    mesh = Mesh(mesh.points, mesh.cells).with_tags(top=mesh.make_tag(2, tops))
    write_mesh(tmp_path / "m.inp", mesh)
    text = (tmp_path / "m.inp").read_text()
    assert "*ELSET, ELSET=_top_S2, INTERNAL\n1, 2\n*SURFACE, NAME=top, TYPE=ELEMENT\n_top_S2, S2\n" in text
    shell = Mesh([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 1.0]], {"quad": [[0, 1, 2, 3]]})
    write_mesh(tmp_path / "s.inp", shell.with_tags(rim=shell.make_tag(1, shell.find(1, torch.tensor([[3, 2]])))))
    assert "TYPE=S4\n" in (tmp_path / "s.inp").read_text()
    assert (tmp_path / "s.inp").read_text().endswith("*SURFACE, NAME=rim, TYPE=ELEMENT\n_rim_E3, E3\n")


def test_names_are_quoted_numbered_and_cut(tmp_path: Path) -> None:
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    pick = {"cell": mesh.make_tag(2, [0]), "side": mesh.make_tag(1, [0, 3])}
    kept = {
        "left, right = ü": pick["side"],
        "50%": pick["cell"],
        "7": pick["cell"],
        "_x-1": pick["side"],
        "日本": pick["side"],
    }
    assert write_mesh(tmp_path / "m.inp", mesh.with_tags(**kept)) == ()
    text = (tmp_path / "m.inp").read_text(encoding="utf-8")
    assert '*SURFACE, NAME="left, right = ü", TYPE=ELEMENT\n' in text and "*SURFACE, NAME=_x-1, TYPE" in text
    assert_same(mesh.with_tags(**kept), read_mesh(tmp_path / "m.inp"))
    long = "n" * 100
    none = torch.empty(0, dtype=torch.int64)
    changed = {"a.b": pick["cell"], "Wall": pick["side"], "wall": pick["cell"], '"q"': pick["cell"], "": pick["side"]}
    changed |= {long: pick["side"], long + "2": pick["cell"], "_Wall_S1": pick["cell"], "void": TagSet(0, none, none)}
    told = write_mesh(tmp_path / "m.inp", mesh.with_tags(**changed))
    assert told[0] == "1 named sets are empty and were left out: void"
    assert told[1].startswith(
        "6 names cannot be kept as they are: 'a.b' is 'a_b', 'wall' is 'wall_2', '\"q\"' is ''q''"
    )
    back = read_mesh(tmp_path / "m.inp")
    assert set(back.tags) == {"a_b", "Wall", "wall_2", "'q'", "unnamed", "n" * 80, "n" * 78 + "_2", "_Wall_S1"}
    assert back.tags["wall_2"].dim == 2 and back.tags["Wall"].dim == 1


def test_internal_sets_of_surfaces_are_no_sets_and_others_are(tmp_path: Path) -> None:
    deck = DECK.replace("ELSET=steel\n", "ELSET=steel, INTERNAL\n")
    assert set(read_mesh(put(tmp_path, "m.inp", deck)).tags) == {"all", "steel", "corner", "bottom", "wall"}
    plain = read_mesh(put(tmp_path, "m.inp", DECK.replace(", INTERNAL", "")))
    assert {"_bottom_S1", "_wall_S1", "_wall_S2"} < set(plain.tags)
    latin = DECK.replace("NSET=corner", "NSET=Größe").encode("latin-1")
    assert "Größe" in read_mesh(put(tmp_path, "m.inp", latin)).tags
    assert "Größe" in read_mesh(put(tmp_path, "m.inp", latin.decode("latin-1"))).tags


def test_what_is_said_and_refused(tmp_path: Path) -> None:
    flat = Mesh(np.c_[SQUARE_POINTS, np.full(4, 2.5)], SQUARE_CELLS)
    assert write_mesh(tmp_path / "m.inp", flat, point_data={"u": torch.ones(4)}) == (
        "Abaqus, CalculiX keeps no fields: 1 dropped (u)",
        "where the mesh lies in space is lost when it is read again: its constant coordinates are dropped",
    )
    assert read_mesh(tmp_path / "m.inp").space_dim == 2
    for kind in CELLS:
        if kind not in KINDS:
            k = CELLS[kind].nodes
            with pytest.raises(OutputError, match=f"Abaqus has no element for {kind} cells"):
                write_mesh(tmp_path / "n.inp", Mesh(np.random.default_rng(0).random((k, 3)), {kind: [[*range(k)]]}))
    assert FORMATS["abaqus"].sets == "entities" and not (tmp_path / "n.inp").exists()


@settings(max_examples=60, deadline=None)
@given(random_meshes(tuple(KINDS)))
def test_random_meshes_come_back_in_every_bit(mesh: Mesh) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = write_mesh(Path(folder) / "m.inp", mesh)
        back = read_mesh(Path(folder) / "m.inp")
    if not any("where the mesh lies" in sentence for sentence in told):
        assert same_bits(back.points.numpy(), mesh.points.numpy())
    assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
    kept = {name: tag for name, tag in mesh.tags.items() if tag.dim in (0, mesh.dim - 1, mesh.dim)}
    assert told or set(back.tags) == set(kept)
    found = sorted((tag.dim, tag.ids.tolist()) for tag in back.tags.values())
    assert found == sorted((tag.dim, tag.ids.tolist()) for tag in kept.values())


@pytest.mark.parametrize("name", ["skfem/mixedtriquad.msh", "skfem/beams.msh", "skfem/quadratic_sphere_tet.msh"])
def test_real_meshes_survive(meshes: Path, tmp_path: Path, name: str) -> None:
    mesh = read_mesh(meshes / name)
    write_mesh(tmp_path / "m.inp", mesh)
    back = read_mesh(tmp_path / "m.inp")
    kept = {name: tag for name, tag in mesh.tags.items() if tag.dim in (0, mesh.dim - 1, mesh.dim)}
    assert_same(Mesh(mesh.points, mesh.cells, tags=kept), back)
