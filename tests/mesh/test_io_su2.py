"""SU2: several zones, markers, counts that disagree, cuts, and the solver's own four-zone mesh."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh, su2
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import put, sets

ONE = """IZONE= 1
NDIME= 2
NELEM= 3
5 0 1 2 0
9 1 3 4 2 1
5 2 4 5 2
NPOIN= 6
0 0 0
1 0 1
0 1 2
2 0 3
1 1 4
0 2 5
NMARK= 2
MARKER_TAG= wall
MARKER_ELEMS= 2
3 0 1
3 1 3
MARKER_TAG= inlet
MARKER_ELEMS= 1
3 2 0
"""
TWO = """% solid
IZONE= 2
NDIME= 2
NPOIN= 4
5 0 0
6 0 1
6 1 2
5 1 3
NELEM= 1
9 0 1 2 3 0
NMARK= 2
MARKER_TAG= wall
MARKER_ELEMS= 1
3 0 1
MARKER_TAG= hot
MARKER_ELEMS= 1
3 2 3
"""
BOTH = f"NZONE= 2\n{ONE}\n{TWO}"
EXPECTED = {
    **{"zone 1": (2, [0, 1, 2, 3, 4, 5]), "zone 2": (2, [6, 7, 8, 9]), "wall": (1, [0, 1, 3, 6, 7])},
    **{"inlet": (1, [0, 2]), "hot": (1, [8, 9])},
}


def test_zones_follow_one_another_in_one_mesh(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.su2", BOTH))
    assert mesh.n == 10 and mesh.points[6:].tolist() == [[5, 0], [6, 0], [6, 1], [5, 1]]
    assert {kind: nodes.tolist() for kind, nodes in mesh.cells.items()} == {
        "triangle": [[0, 1, 2], [2, 4, 5]],
        "quad": [[1, 3, 4, 2], [6, 7, 8, 9]],
    }
    assert sets(mesh) == EXPECTED
    assert [len(mesh.tags[name].ids) for name in ("zone 1", "zone 2", "wall")] == [3, 1, 3]
    assert mesh.warnings == ("1 markers stand in several zones and are joined: wall",)
    crlf = read_mesh(put(tmp_path, "m.su2", BOTH.replace("\n", "\r\n").replace("=", " = ")))
    assert sets(crlf) == EXPECTED
    swapped = read_mesh(put(tmp_path, "m.su2", f"NZONE= 2\n{TWO}{ONE}"))
    assert sets(swapped)["zone 2"] == (2, [0, 1, 2, 3]) and sets(swapped)["inlet"] == (1, [4, 6])


def test_one_zone_is_no_set(tmp_path: Path) -> None:
    for head in ("NZONE= 1\n", ""):
        mesh = read_mesh(put(tmp_path, "m.su2", head + ONE))
        assert set(mesh.tags) == {"wall", "inlet"} and mesh.warnings == ()
    plain = read_mesh(put(tmp_path, "m.su2", ONE.replace("IZONE= 1\n", "")))
    assert set(plain.tags) == {"wall", "inlet"}


def test_periodic_and_deformation_boxes_are_passed_over(tmp_path: Path) -> None:
    between = (
        "NPERIODIC= 1\nPERIODIC_INDEX= 0\n0 0 0\n0 0 0\n0 0 0\nFFD_NBOX= 1\nFFD_TAG= BOX\nFFD_CORNER_POINTS= 2\n1 2\n"
    )
    assert sets(read_mesh(put(tmp_path, "m.su2", f"NZONE= 2\n{ONE}{between}{TWO}{between}"))) == EXPECTED
    early = ONE.replace("NMARK= 2", between + "NMARK= 2\nNCHUNK= 1")
    assert set(read_mesh(put(tmp_path, "m.su2", early)).tags) == {"wall", "inlet"}
    sent = ONE.replace("MARKER_ELEMS= 2", "MARKER_ELEMS= 2\nSEND_TO= 1", 1).replace(
        "SEND_TO= 1\n3 0 1\n3 1 3\n", "3 0 1\n"
    )
    with pytest.raises(MeshReadError):
        read_mesh(put(tmp_path, "m.su2", sent))


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("NZONE= 2", "NZONE= 3", "declares 3 zones and has these: 1, 2; the file seems to be cut off"),
        ("NZONE= 2", "NZONE= 1", "declares 1 zones and has these: 1, 2"),
        ("NZONE= 2", "NZONE= two", "behind NZONE= stands 'two', expected a count"),
        ("IZONE= 2", "IZONE= 1", "declares 2 zones and has these: 1, 1"),
        ("IZONE= 2\n", "", "section NDIME stands twice in a zone"),
        (
            "NMARK= 2\nMARKER_TAG= wall\nMARKER_ELEMS= 1",
            "NMARK= 3\nMARKER_TAG= wall\nMARKER_ELEMS= 1",
            "zone 2: it decl",
        ),
        ("9 0 1 2 3 0", "9 0 1 2 4 0", r"zone 2: a quad cell names point 4, expected 0\.\.3"),
        ("3 2 3\n", "3 2 9\n", r"zone 2: a line cell names point 9, expected 0\.\.3"),
        ("9 0 1 2 3 0", "9 0 1 2 -1 0", r"zone 2: a quad cell names point -1, expected 0\.\.3"),
        ("NELEM= 1\n9 0 1 2 3 0", "NELEM= 0", "zone 2: it has no NPOIN or no NELEM section"),
        ("NPOIN= 4", "NPOIN= 1\n9 9 9\nNPOIN= 4", "section NPOIN stands twice in a zone"),
        ("NPOIN= 4", "NPOIN= 3", "the line '5 1 3' belongs to no section"),
        ("NELEM= 1\n", "NELEM= -1\n", "behind NELEM= stands '-1', expected a count"),
        ("NELEM= 1\n", "NELEM= 99999999999999999999\n", "behind NELEM= stands"),
        ("NELEM= 1\n", "NELEM= 999999999999\n", "section NELEM ends 9999999.* lines too early"),
        ("IZONE= 2\nNDIME= 2", "IZONE= 2\nNDIME= 5", "NDIME is 5, expected 2 or 3"),
        ("MARKER_TAG= wall\nMARKER_ELEMS= 2", "MARKER_ELEMS= 2", "MARKER_ELEMS stands before any MARKER_TAG"),
    ],
)
def test_refusals(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in BOTH
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.su2", BOTH.replace(old, new, 1)))


def test_zones_of_different_dimension(tmp_path: Path) -> None:
    solid = TWO.replace("NDIME= 2", "NDIME= 3").replace("9 0 1 2 3 0", "10 0 1 2 3 0")
    solid = solid.replace("5 0 0", "5 0 0 0").replace("6 0 1", "6 0 0 1").replace("6 1 2", "6 1 0 2")
    solid = solid.replace("5 1 3", "5 1 1 3")
    with pytest.raises(MeshReadError, match="zone 2 has 3 dimensions and zone 1 2"):
        read_mesh(put(tmp_path, "m.su2", f"NZONE= 2\n{ONE}{solid}"))


def test_missing_and_empty_markers_are_told(tmp_path: Path) -> None:
    bare = ONE[: ONE.index("NMARK")]
    assert "it has no NMARK section: its boundary has no names" in read_mesh(put(tmp_path, "m.su2", bare)).warnings
    text = TWO.replace("MARKER_ELEMS= 1\n3 2 3\n", "MARKER_ELEMS= 0\n").replace("IZONE= 2\n", "")
    assert "marker 'hot' has no elements" in read_mesh(put(tmp_path, "m.su2", text)).warnings


def test_no_cut_is_silent(tmp_path: Path) -> None:
    """Only the last number of the file, a number nobody reads, may be missing."""
    for stop in range(1, len(BOTH)):
        try:
            mesh = read_mesh(put(tmp_path, "m.su2", BOTH[:stop]))
        except MeshReadError as error:
            assert 10 < len(error.reason) < 400
        else:
            assert mesh.n == 10 and mesh.n_cells == 4
            told = any(word in sentence for sentence in mesh.warnings for word in ("no NMARK", "no elements"))
            assert told or sets(mesh) == EXPECTED


def test_four_zones_of_a_real_mesh(meshes: Path) -> None:
    path = meshes / "su2/mesh_cht_3cyl.su2"
    if not path.exists():
        pytest.skip("the four-zone mesh is absent")
    mesh = read_mesh(path)
    assert mesh.n == 33997 + 3 * 4609 and mesh.n_cells == 33700 + 3 * 4534
    assert [len(mesh.tags[f"zone {k}"].ids) for k in range(1, 5)] == [33700, 4534, 4534, 4534]
    starts = [0, 33997, 33997 + 4609, 33997 + 2 * 4609]
    for k, start in enumerate(starts, 1):
        nodes = mesh.tags[f"zone {k}"].nodes
        assert nodes.min() == start and nodes.max() == [*starts, mesh.n][k] - 1
    sizes = {name: len(tag.ids) for name, tag in mesh.tags.items() if tag.dim == 1}
    assert sizes == {
        "farfield": 80,
        **{f"cylinder_outer{k}": 400 for k in (1, 2, 3)},
        **{f"cylinder_inner{k}": 400 for k in (1, 2, 3)},
        **{f"core{k}": 40 for k in (1, 2, 3)},
    }
    # all marked facets are the boundary, and the two sides of each interface lie in the same places
    marked = torch.cat([tag.ids for tag in mesh.tags.values() if tag.dim == 1])
    assert torch.equal(marked.sort().values, mesh.boundary_facets)
    for k in (1, 2, 3):
        sides = [mesh.points[mesh.tags[f"cylinder_{side}{k}"].nodes] for side in ("outer", "inner")]
        a, b = (side[np.lexsort(side.numpy().round(9).T)] for side in sides)
        assert torch.allclose(a, b, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(random_meshes(("tetra", "hexahedron", "wedge", "pyramid")))
def test_random_solids_come_back(tmp_path_factory, mesh: Mesh) -> None:
    path = tmp_path_factory.mktemp("su2") / "m.su2"
    su2.write(path, mesh, {}, {})
    raw = su2.read(path)
    assert same_bits(raw.points, mesh.points.numpy())
    blocks = raw.blocks[: len(mesh.cells)]
    assert [block.kind for block in blocks] == list(mesh.cells)
    assert all(np.array_equal(block.nodes, nodes) for block, nodes in zip(blocks, mesh.cells.values()))
