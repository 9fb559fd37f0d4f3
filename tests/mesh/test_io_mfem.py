"""MFEM meshes: every version, attribute sets, refined and curved meshes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.geometry import cell_measures, signed_measures
from graphpde.mesh.io import read_mesh
from tests.mesh.io_orders import assert_no_cut_is_silent
from tests.mesh.io_samples import put, sets

ELEMENTS = "dimension\n2\n\nelements\n2\n7 3 0 1 4 3\n9 2 1 2 4\n"
BOUNDARY = "boundary\n3\n1 1 0 1\n1 1 1 2\n4 1 3 0\n"
VERTICES = "vertices\n5\n2\n0 0\n1 0\n2 0\n0 1\n1 1\n"
POINTS = [[0.0, 0], [1, 0], [2, 0], [0, 1], [1, 1]]
PLAIN = f"MFEM mesh v1.0\n\n# a comment\n{ELEMENTS}\n{BOUNDARY}\n{VERTICES}"


def test_attributes_become_sets(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.mesh", PLAIN))
    assert mesh.points.tolist() == POINTS and mesh.warnings == ()
    assert mesh.cells["quad"].tolist() == [[0, 1, 4, 3]] and mesh.cells["triangle"].tolist() == [[1, 2, 4]]
    assert sets(mesh) == {"7": (2, [0, 1, 3, 4]), "9": (2, [1, 2, 4]), "1": (1, [0, 1, 2]), "4": (1, [0, 3])}
    assert mesh.cell_data["mfem:attribute"].tolist() == [7, 9]
    assert torch.equal(read_mesh(put(tmp_path, "noextension", PLAIN)).points, mesh.points)
    ended = read_mesh(put(tmp_path, "e.mesh", PLAIN.replace("v1.0", "v1.2") + "\nmfem_mesh_end\n"))
    assert sets(ended) == sets(mesh)
    part = PLAIN.replace("v1.0", "v1.2") + "\nmfem_serial_mesh_end\n\ncommunication_groups\nnumber_of_groups 1\n"
    assert read_mesh(put(tmp_path, "p.mesh", part)).warnings == (
        "it is one part of a mesh that was divided among processors",
    )


def test_named_attribute_sets_in_all_spellings(tmp_path: Path) -> None:
    cells = 'attribute_sets\n4\n"Whole plate" 2\n7\n9\nSteel 1 7\n"Copper"\n1\n9\n"None" 1 3\n'
    edges = 'bdr_attribute_sets\n1\n"low side" 1 1\n'
    text = f"MFEM mesh v1.3\n{ELEMENTS}{cells}{BOUNDARY}{edges}{VERTICES}mfem_mesh_end\n"
    mesh = read_mesh(put(tmp_path, "m.mesh", text))
    assert {name: tag.ids.tolist() for name, tag in mesh.tags.items() if tag.dim == 2} == {
        **{"7": [0], "9": [1], "Steel": [0], "Copper": [1], "Whole plate": [0, 1]}
    }
    assert sets(mesh)["low side"] == (1, [0, 1, 2]) and "None" not in mesh.tags
    assert mesh.warnings[0] == "1 attribute sets name no attribute that occurs: None"
    for old, new, reason in (
        ("Steel 1 7", "Steel 2 7", "attribute set 'Steel' does not have the attributes"),
        ("attribute_sets\n4", "attribute_sets\n5", "has 4 attribute sets and does not declare as many"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.mesh", text.replace(old, new, 1)))


SOLIDS = (
    "MFEM mesh v1.0\ndimension\n3\nelements\n4\n1 5 0 1 4 3 6 7 10 9\n2 6 4 1 5 10 7 11\n3 7 11 7 1 5 8\n4 4 2 5 1 8\n"
    "boundary\n2\n1 3 0 3 4 1\n2 2 1 5 2\nvertices\n12\n3\n"
    + "".join(f"{x} {y} {z}\n" for z in (0, 1) for y in (0, 1) for x in (0, 1, 2))
)


def test_solids_of_every_type_are_positive(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.mesh", SOLIDS))
    volumes = dict(zip(mesh.cells, signed_measures(mesh).tolist()))
    assert volumes == pytest.approx({"hexahedron": 1, "wedge": 1 / 2, "pyramid": 1 / 3, "tetra": 1 / 6}, rel=1e-14)
    assert sets(mesh)["1:2d"] == (2, [0, 1, 3, 4]) and sets(mesh)["2:2d"] == (2, [1, 2, 5])


# two squares of which the right one is refined: the middle of their common edge hangs on the left one
TREE = (
    "MFEM NC mesh v1.0\ndimension\n2\nelements\n8\n0 1 3 0 0 1 4 3\n-1 2 3 3 2 3 4 5\n0 2 3 0 1 6 7 8\n"
    "0 2 3 0 6 2 9 7\n0 3 3 0 7 9 5 10\n0 2 3 0 8 7 10 4\n0 1 -1\n0 1 -1\nboundary\n2\n5 1 0 1\n5 1 1 6\n"
    "vertex_parents\n5\n7 6 10\n6 1 2\n8 1 4\n9 2 5\n10 5 4\n"
    "coordinates\n6\n2\n0 0\n1 0\n2 0\n0 1\n1 1\n2 1\n\nmfem_mesh_end\n"
)


def test_refined_meshes_are_read_by_their_leaves(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.mesh", TREE))
    assert mesh.n == 11 and mesh.n_cells == 5 and float(cell_measures(mesh).sum()) == 2.0
    assert mesh.points[7].tolist() == [1.5, 0.5] and mesh.points[8].tolist() == [1.0, 0.5]
    assert mesh.warnings == (
        "it is refined in parts: 1 points hang on edges of larger cells, where fields are not continuous",
    )
    assert {name: tag.ids.tolist() for name, tag in mesh.tags.items() if tag.dim == 2} == {
        **{"1": [0], "2": [1, 2, 4], "3": [3]}
    }
    assert sets(mesh)["5"] == (1, [0, 1, 6])
    ranked = read_mesh(put(tmp_path, "r.mesh", TREE.replace("-1 2 3 3 2", "0 2 3 3 2")))  # refined all the same
    assert torch.equal(ranked.cells["quad"], mesh.cells["quad"])
    for old, new, reason in (
        ("6 1 2\n", "6 1 7\n", "2 points lie between others in a circle"),
        ("8 1 4\n", "6 1 4\n", "point 6 is defined twice"),
        ("8 1 4\n", "8 1 44\n", r"not in 0\.\.10"),
        ("vertex_parents\n5\n", "vertex_parents\n6\n", "expected 6 rows of 3"),
        ("elements\n8\n", "elements\n9\n", "does not declare as many"),
        ("0 3 3 0 7 9 5 10\n", "0 3\n", "not complete"),
        ("0 3 3 0 7 9 5 10\n", "0 3 3 0 7 9 5\n", "a cell of geometry 3 has 3 points"),
        ("coordinates\n6\n", "nodes\n6\n", "nonconforming and curved"),
        ("NC mesh v1.0", "NC mesh v1.1", "of version NC 1.1, expected 1.0 to 1.3 or NC 1.0"),
    ):
        assert TREE.count(old) == 1
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.mesh", TREE.replace(old, new)))


def test_the_older_refined_version_lists_all_points(tmp_path: Path) -> None:
    tree = read_mesh(put(tmp_path, "m.mesh", TREE))
    leaves = [row.split() for row in TREE.splitlines() if row.count(" ") == 7 and row[0] == "0"]
    elements = "".join(" ".join((row[1], row[2], *row[4:])) + "\n" for row in leaves)
    points = "".join(" ".join(map(repr, row)) + "\n" for row in tree.points.tolist())
    parents = TREE[TREE.index("vertex_parents") : TREE.index("coordinates")]
    text = (
        f"MFEM mesh v1.1\ndimension\n2\nelements\n5\n{elements}boundary\n2\n5 1 0 1\n5 1 1 6\n{parents}"
        f"coarse_elements\n1\n3 1 2 3 4\nvertices\n11\n2\n{points}"
    )
    mesh = read_mesh(put(tmp_path, "old.mesh", text))
    assert torch.equal(mesh.points, tree.points) and torch.equal(mesh.cells["quad"], tree.cells["quad"])
    assert sets(mesh) == sets(tree) and mesh.warnings == tree.warnings


def space(values: np.ndarray, name: str, ordering: int) -> str:
    rows = values if ordering else values.T
    body = "\n".join(" ".join(map(repr, row)) for row in rows.tolist())
    return (
        f"vertices\n5\n\nnodes\nFiniteElementSpace\nFiniteElementCollection: {name}\n"
        f"VDim: {values.shape[1]}\nOrdering: {ordering}\n\n{body}\n"
    )


@pytest.mark.parametrize("ordering", [0, 1])
@pytest.mark.parametrize(
    "name, order, unknowns", [("Linear", 1, 5), ("H1_2D_P1", 1, 5), ("H1_2D_P3", 3, 5 + 12 + 4 + 1)]
)
def test_curved_meshes_are_taken_at_their_corners(
    tmp_path: Path, ordering: int, name: str, order: int, unknowns: int
) -> None:
    values = np.concatenate([POINTS, np.arange(2.0 * (unknowns - 5)).reshape(-1, 2) + 90])
    head = f"MFEM mesh v1.0\n{ELEMENTS}{BOUNDARY}"
    mesh = read_mesh(put(tmp_path, "m.mesh", head + space(values, name, ordering)))
    assert mesh.points.tolist() == POINTS
    told = (f"its cells are curved (order {order}); they are taken at their corners",)
    assert mesh.warnings == (told if order > 1 else ())
    with pytest.raises(
        MeshReadError, match=rf"has {2 * unknowns - 2} numbers, expected 2 for each of the {unknowns} unkn"
    ):
        read_mesh(put(tmp_path, "m.mesh", head + space(values[:-1], name, ordering)))


@pytest.mark.parametrize(
    "cells, dim, count, order, unknowns",
    [
        ("1 5 0 1 2 3 4 5 6 7", 3, 8, 3, 4**3),
        ("1 4 0 1 2 3", 3, 4, 4, 35),
        ("1 6 0 1 2 3 4 5", 3, 6, 4, 15 * 5),
        ("1 1 0 1", 1, 2, 5, 6),
    ],
)
def test_unknowns_of_solids_are_counted(
    tmp_path: Path, cells: str, dim: int, count: int, order: int, unknowns: int
) -> None:
    x = np.random.default_rng(0).random((unknowns, 3))
    head = f"MFEM mesh v1.0\ndimension\n{dim}\nelements\n1\n{cells}\nboundary\n0\n"
    text = head + space(x, f"H1_{dim}D_P{order}", 1).replace("vertices\n5", f"vertices\n{count}")
    mesh = read_mesh(put(tmp_path, "m.mesh", text))
    assert np.array_equal(mesh.points, x[:count])


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("mesh v1.0", "INLINE mesh v1.0", "describes a box"),
        ("mesh v1.0", "NURBS mesh v1.0", "NURBS patches"),
        ("mesh v1.0", "mesh v1.4", "of version 1.4"),
        ("mesh v1.0", "mesh v1.2", "no 'mfem_mesh_end'"),
        ("mesh v1.0", "grid", "does not begin with 'MFEM mesh v1.0'"),
        ("dimension\n2", "dimension\n3", "of dimension 3 and has cells of another"),
        ("elements\n2", "elements\n3", "ends 1 rows too early"),
        ("elements\n2", "elements\n1", "numbers more than its counts say"),
        ("7 3 0", "7 8 0", r"geometry 8 is not one of 0\.\.7"),
        ("vertices\n5", "vertices\n6", "has 10 coordinates and does not declare as many"),
        ("vertices\n5\n2", "vertices\n5\n4", "does not declare as many"),
        ("0 1\n1 1\n", "0 1\n1 x\n", "section 'vertices' holds something that is not a number"),
        ("9 2 1 2 4", "9 2 1 2 5", r"expected 0\.\.4"),
        ("boundary\n3", "boundary\n-3", "does not begin with a count"),
        ("\nboundary\n", "\nvertices\n", "stands there twice"),
        ("dimension\n2", "2", "stands where a section should begin"),
    ],
)
def test_damage_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert PLAIN.count(old) == 1
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "bad.mesh", PLAIN.replace(old, new)))


def test_spaces_without_corners_are_refused(tmp_path: Path) -> None:
    head = f"MFEM mesh v1.0\n{ELEMENTS}{BOUNDARY}"
    nodes = space(np.zeros((7, 2)), "L2_T1_2D_P1", 1)
    for text, reason in (
        (nodes, "in the space L2_T1_2D_P1; only those of continuous H1 spaces are read"),
        (nodes.replace("VDim", "Dim"), "does not begin with space, collection, VDim and Ordering"),
        (nodes.replace("L2_T1", "H1").replace("vertices\n5", "vertices\n6"), "use 5 of 6 vertices"),
        (nodes.replace("vertices\n5", "vertices\n5\n2\n0 0"), "must hold the number of vertices only"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.mesh", head + text))
    curved = SOLIDS[: SOLIDS.index("vertices")] + space(np.zeros((60, 3)), "H1_3D_P2", 1).replace("\n5\n", "\n12\n", 1)
    with pytest.raises(MeshReadError, match="pyramids are curved"):
        read_mesh(put(tmp_path, "bad.mesh", curved))


def test_no_cut_is_silent(tmp_path: Path) -> None:
    for text in (PLAIN, TREE, f"MFEM mesh v1.0\n{ELEMENTS}{BOUNDARY}" + space(np.array(POINTS), "H1_2D_P1", 0)):
        assert_no_cut_is_silent(text, "cut.mesh", tmp_path)


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "meshes" / "mfem"
    if not folder.is_dir():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    expected = {  # points, cells, size of the domain
        "amr-quad": (41, 28, 1.0),
        "fichera-mixed": (26, 14, 7.0),
        "star-mixed": (31, 30, None),
        "tinyzoo-3d": (12, 4, 2.0),
        "klein-bottle": (128, 128, None),
        "toroid-wedge": (18, 6, None),
    }
    for name, (n, m, size) in expected.items():
        mesh = read_mesh(folder / f"{name}.mesh")
        measures = signed_measures(mesh) if mesh.dim == mesh.space_dim else cell_measures(mesh)
        assert (mesh.n, mesh.n_cells) == (n, m) and float(measures.min()) > 0
        assert size is None or float(measures.sum()) == pytest.approx(size, rel=1e-12)
        facets = [tag.ids for tag in mesh.tags.values() if tag.dim == mesh.dim - 1]
        if name != "amr-quad":  # where facets of small cells lie on those of large ones, both are open
            closed = torch.cat(facets).unique() if facets else torch.empty(0, dtype=torch.int64)
            assert torch.equal(closed, mesh.boundary_facets), name
    assert mesh.warnings == ("its cells are curved (order 3); they are taken at their corners",)
    star, plain = read_mesh(folder / "star-mixed.mesh"), read_mesh(folder / "star.vtk")
    assert float(cell_measures(star).sum()) == pytest.approx(float(cell_measures(plain).sum()), rel=1e-6)
    amr = read_mesh(folder / "amr-quad.mesh")
    assert sum(len(tag.ids) for tag in amr.tags.values() if tag.dim == 1) == 16
