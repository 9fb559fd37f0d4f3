"""Gambit neutral and libMesh text files: content, orders of nodes and sides, sets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.geometry import cell_measures, signed_measures
from graphpde.mesh.io import read_mesh
from tests.mesh.io_orders import assert_in_order, assert_no_cut_is_silent, places
from tests.mesh.io_samples import put, sets

CUBE = [[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
CORNERS = "01234567"


# Gambit


def section(name: str, *lines: str) -> str:
    return f"   {name} 2.4.6\n" + "".join(f"{line}\n" for line in lines) + "ENDOFSECTION\n"


def neutral(points: list[list[float]], cells: list[str], groups: int = 0, bounds: int = 0) -> str:
    dim = len(points[0])
    rows = [f"{10 * k + 10:10d}" + "".join(f"{value:20.11e}" for value in x) for k, x in enumerate(points)]
    head = ("** GAMBIT NEUTRAL FILE", "a title", "PROGRAM:  Gambit  VERSION:  2.4.6", "4 Jan 2000  13:07:49")
    names = "     NUMNP     NELEM     NGRPS    NBSETS     NDFCD     NDFVL"
    counts = "".join(f"{value:10d}" for value in (len(points), len(cells), groups, bounds, dim, dim))
    control = section("     CONTROL INFO", *head, names, counts)
    return control + section("NODAL COORDINATES", *rows) + section("   ELEMENTS/CELLS", *cells)


def cell(number: int, code: int, labels: list[int]) -> str:
    rows = ["".join(f"{label:8d}" for label in labels[k : k + 7]) for k in range(0, len(labels), 7)]
    return f"{number:8d} {code:2d} {len(labels):2d} " + ("\n" + " " * 15).join(rows)


SOLID_POINTS = [*CUBE, [2.0, 0, 0], [2, 0, 1], [0.5, 0.5, 2], [2, -1, 0]]
SOLID = neutral(
    SOLID_POINTS,
    [
        cell(3, 4, [10, 20, 30, 40, 50, 60, 70, 80]),
        cell(5, 5, [20, 90, 40, 60, 100, 80]),
        cell(6, 7, [50, 60, 70, 80, 110]),
        cell(9, 6, [20, 120, 90, 60]),
    ],
    groups=2,
    bounds=3,
) + (
    section(
        "ELEMENT GROUP",
        "GROUP:          1 ELEMENTS:          3 MATERIAL:          2 NFLAGS:          1",
        "                        fluid one",
        "       0",
        "       3       5       6",
    )
    + section(
        "ELEMENT GROUP",
        "GROUP:          2 ELEMENTS:          1 MATERIAL:          2 NFLAGS:          1",
        "",
        "       0",
        "       9",
    )
    + section("BOUNDARY CONDITIONS", f"{'below':>32}{1:8d}{3:8d}{0:8d}{6:8d}", "3 4 5", "5 5 4", "9 6 1")
    + section("BOUNDARY CONDITIONS", f"{'a corner':>32}{0:8d}{2:8d}{1:8d}{6:8d}", " 120 1.5", " 110 2.5")
    + section("BOUNDARY CONDITIONS", "roof 1 4 0 6 0 0", "6 7 2", "6 7 3", "6 7 4", "6 7 5")
)


def test_gambit_groups_and_boundaries(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.neu", "/ a comment\n" + SOLID))
    volumes = dict(zip(mesh.cells, signed_measures(mesh).tolist()))
    assert volumes == pytest.approx({"hexahedron": 1, "wedge": 1 / 2, "pyramid": 1 / 3, "tetra": 1 / 6}, rel=1e-14)
    assert sets(mesh) == {
        "fluid one": (3, [*range(11)]),
        "2": (3, [1, 5, 8, 11]),
        "below": (2, [0, 1, 2, 3, 8, 11]),
        "roof": (2, [4, 5, 6, 7, 10]),
        "a corner": (0, [10, 11]),
    }
    assert {name: len(tag.ids) for name, tag in mesh.tags.items() if tag.dim == 2} == {"below": 3, "roof": 4}
    assert mesh.warnings[0] == "the values of boundary set 'a corner' were not used"


SIDES = {  # of the cells above by number and type: corners of each side as labels, from the manual
    (3, 4): ["0154", "1375", "3267", "2046", "1023", "4576"],
    (5, 5): ["0143", "1254", "2035", "021", "345"],
    (6, 7): ["0231", "014", "134", "324", "204"],
    (9, 6): ["102", "013", "123", "203"],
}


@pytest.mark.parametrize("number, code", SIDES)
def test_gambit_sides_are_those_of_the_manual(tmp_path: Path, number: int, code: int) -> None:
    labels = {3: [0, 1, 2, 3, 4, 5, 6, 7], 5: [1, 8, 3, 5, 9, 7], 6: [4, 5, 6, 7, 10], 9: [1, 11, 8, 5]}[number]
    start = SOLID.index("   BOUNDARY")
    head = SOLID[:start].replace("         2         3         3", "         2         1         3")
    for side, corners in enumerate(SIDES[number, code], 1):
        body = section("BOUNDARY CONDITIONS", f"{'wall':>32}{1:8d}{1:8d}{0:8d}{6:8d}", f"{number} {code} {side}")
        mesh = read_mesh(put(tmp_path, "m.neu", head + body))
        assert sets(mesh)["wall"] == (2, sorted(labels[int(digit)] for digit in corners)), (side, corners)
    body = section("BOUNDARY CONDITIONS", f"{'wall':>32}{1:8d}{1:8d}{0:8d}{6:8d}", f"{number} {code} {side + 1}")
    with pytest.raises(MeshReadError, match=rf"names a side of a \w+ that is not in 1\.\.{side}"):
        read_mesh(put(tmp_path, "m.neu", head + body))


LEXICAL = "0 01 1 03 0123 12 3 23 2", "04 0145 15 0347 01234567 1256 37 2367 26", "4 45 5 47 4567 56 7 67 6"


@pytest.mark.parametrize(
    "code, kind, order",
    [
        (1, "line3", "0 01 1"),
        (2, "quad8", "0 01 1 12 2 23 3 03"),
        (2, "quad9", "0 01 1 12 2 23 3 03 0123"),
        (3, "triangle6", "0 01 1 12 2 02"),
        (3, "triangle7", "0 01 1 12 2 02 012"),
        (4, "hexahedron20", "0 01 1 03 12 3 23 2 04 15 37 26 4 45 5 47 56 7 67 6"),
        (4, "hexahedron27", " ".join(LEXICAL)),
        (5, "wedge15", "0 01 1 02 12 2 03 14 25 3 34 4 35 45 5"),
        (5, "wedge18", "0 01 1 02 12 2 03 0134 14 0235 1245 25 3 34 4 35 45 5"),
        (6, "tetra10", "0 01 1 02 12 2 03 13 23 3"),
        (7, "pyramid13", "0 01 1 03 12 3 23 2 04 14 34 24 4"),
        (7, "pyramid14", "0 01 1 03 0123 12 3 23 2 04 14 34 24 4"),
    ],
)
def test_gambit_nodes_of_high_order_run_row_by_row(tmp_path: Path, code: int, kind: str, order: str) -> None:
    flat = 2 if code in (2, 3) else 3
    points = places(kind, order)[:, :flat]
    text = neutral(points.tolist(), [cell(1, code, [10 * k + 10 for k in range(len(points))])])
    assert_in_order(read_mesh(put(tmp_path, "m.neu", text)), kind)
    if len(points) > 3:
        other = neutral(points.tolist(), [cell(1, code, [10 * k + 10 for k in np.roll(range(len(points)), 2)])])
        with pytest.raises(MeshReadError, match=f"mid-side nodes of its {kind} cells do not lie on the edges"):
            read_mesh(put(tmp_path, "m.neu", other if code != 2 and code != 3 else _turned(points, code)))


def _turned(points: np.ndarray, code: int) -> str:
    """Corners first, as other formats have them."""
    corners = {2: 4, 3: 3}[code]
    order = [*range(0, 2 * corners, 2), *range(1, 2 * corners, 2), *range(2 * corners, len(points))]
    return neutral(points.tolist(), [cell(1, code, [10 * k + 10 for k in order])])


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("        12         4         2", "        13         4         2", "expected 13 nodes of 3 coordinates"),
        ("        12         4         2", "        12         5         2", "section ELEMENTS/CELLS ends 1 rows"),
        ("        12         4         2", "        12         4         3", "declares 3 element groups and has 2"),
        ("         3         3         3", "         3         4         3", "does not give NUMNP.*NDFCD = 2 or 3"),
        ("       9  6  4 ", "       9  6  5 ", "cells of type 6 with 5 nodes are not known"),
        ("       9  6  4 ", "       6  6  4 ", "cell 6 is defined twice"),
        ("20     120      90      60", "20     130      90      60", "node 130 is used but not defined"),
        ("       3       5       6\n", "       3       5\n", "expected 1 flags and 3 cells"),
        ("GROUP:          1 ELEM", "GRUPPE          1 ELEM", "does not begin with GROUP, ELEMENTS"),
        ("3 4 5\n", "3 4 7\n", r"names a side of a hexahedron that is not in 1\.\.6"),
        ("3 4 5\n", "4 4 5\n", "cell 4 is used but not defined"),
        ("3 4 5\n", "3 4 5 6\n", "has 10 numbers, expected 3 entries of 3"),
        ("3 4 5\n", "3 4 5.5\n", "must be whole numbers, got 5.5"),
        ("roof 1 4 0", "roof 2 4 0", "does not begin with its name, its type"),
        ("CONTROL INFO", "CONTROLS", "does not begin with the section CONTROL INFO"),
    ],
)
def test_gambit_damage_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert SOLID.count(old) == 1
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "bad.neu", SOLID.replace(old, new)))


def test_gambit_no_cut_is_silent(tmp_path: Path) -> None:
    assert_no_cut_is_silent(SOLID, "cut.neu", tmp_path, lines=True)
    assert_no_cut_is_silent(neutral([[0.0, 0], [1, 0], [0, 1]], [cell(1, 3, [10, 20, 30])]), "cut.neu", tmp_path)


# libMesh


def newer(
    cells: list[str], points: list[list[float]], behind: str, *, version: str = "0.9.6", pids: str = "n/a"
) -> str:
    sizes = "" if version == "0.7.0" else "8\t # type size\n" + "0\t # a size\n" * 7
    names = {"0.7.0": "", "0.9.2": "0\t # subdomain names\n"}.get(
        version, "1\t # subdomain id to name map\n1\t # vector length\n4\t \n1\t # vector length\nsteel part\t \n"
    )
    return (
        f"libMesh-{version}{'+' if version < '1' else ''}\n"
        f"{len(cells)}\t # number of elements\n{len(points)}\t # nodes\n"
        f".\t # boundary condition specification file\n.\t # subdomain id specification file\n"
        f"{pids}\t # processor id\nn/a\t # p-level\n{sizes}{names}{len(cells)}\t # n_elem at level 0\n"
        + "".join(f"{row}\n" for row in cells)
        + "".join(f"{x:.16e} {y:.16e} {z:.16e} \n" for x, y, z in points)
        + behind
    )


XDA_CELLS = ["10 4 0 1 3 2 4 5 7 6", "13 4 1 8 3 5 9 7", "16 0 4 5 7 6 10", "8 0 1 11 8 5"]
XDA_BEHIND = (
    "0\t # unique ids\n1\t # sideset names\n1\t # vector length\n7\t \n1\t # vector length\nfloor\t \n"
    "4\t # side conditions\n0 0 7\n1 0 7\n2 0 9\n3 0 7\n0\t # nodeset names\n2\t # nodesets\n3 7\n4 11\n"
)
XDA = newer(XDA_CELLS, SOLID_POINTS, XDA_BEHIND)


def test_libmesh_subdomains_sides_and_nodes(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.xda", XDA))
    volumes = dict(zip(mesh.cells, signed_measures(mesh).tolist()))
    assert volumes == pytest.approx({"hexahedron": 1, "wedge": 1 / 2, "pyramid": 1 / 3, "tetra": 1 / 6}, rel=1e-14)
    assert sets(mesh) == {
        "steel part": (3, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        "0": (3, [1, 4, 5, 6, 7, 8, 10, 11]),
        "floor": (2, [0, 1, 2, 3, 8, 11]),
        "9": (2, [4, 5, 10]),
        "7": (0, [3]),
        "11": (0, [4]),
    }
    assert len(mesh.tags["floor"].ids) == 3 and mesh.cell_data["libmesh:subdomain"].tolist() == [4, 4, 0, 0]
    assert mesh.warnings == ()


def test_libmesh_versions_agree(tmp_path: Path) -> None:
    expected = read_mesh(put(tmp_path, "m.xda", XDA))
    conditions = XDA_BEHIND[XDA_BEHIND.index("4\t # side") :]
    sides, nodes = conditions[: conditions.index("0\t # nodeset")], conditions[conditions.index("0\t # nodeset") :]
    with_pids = [row.split(" ", 1)[0] + " 3 " + row.split(" ", 1)[1] for row in XDA_CELLS]
    texts = {
        "0.7.0": newer(XDA_CELLS, SOLID_POINTS, sides, version="0.7.0"),
        "0.9.2": newer(XDA_CELLS, SOLID_POINTS, "0\t # sideset names\n" + sides + nodes, version="0.9.2"),
        "1.1.0": newer(with_pids, SOLID_POINTS, XDA_BEHIND + "0\n1\n0 0 5\n0\n0\n", version="1.1.0", pids="."),
        "0.9.6": newer(XDA_CELLS, SOLID_POINTS, XDA_BEHIND.replace("0\t # unique", "1\t # unique", 1)).replace(
            "1\t # sideset names", "".join(f"{k} \n" for k in range(12)) + "1\t # sideset names"
        ),
    }
    for version, text in texts.items():
        mesh = read_mesh(put(tmp_path, "v.xda", text))
        assert torch.equal(mesh.points, expected.points)
        assert all(torch.equal(mesh.cells[kind], expected.cells[kind]) for kind in expected.cells)
        found = sets(mesh)
        assert found["9"] == sets(expected)["9"]
        assert found.get("floor", found.get("7", found.get("7:2d"))) == sets(expected)["floor"], version
        assert mesh.warnings == (("1 edge conditions were not used",) if version == "1.1.0" else ())


def test_libmesh_older_layouts(tmp_path: Path) -> None:
    points = "".join(" ".join(map(str, x)) + "\n" for x in SOLID_POINTS)
    cells = [" ".join(row.split()[2:]) for row in XDA_CELLS]
    head = "4\t # Num. Elements\n12\t # Num. Nodes\n23\t # Sum\n3\t # Num. BCs\n65536\t # String Size\n4\t # Blocks\n"
    head += "10 13 16 8 \t # Element types in each block.\n1 1 1 1 \t # Num. of elements\nId String\nTitle String\n"
    deal = "DEAL 003:003\n" + head + "".join(f"{row}\n" for row in cells) + points + "0 0 7\n1 0 7\n3 0 7\n"
    # own numbers run backwards: the conditions count in their order
    libm = "LIBM 0\n" + head + "".join(f"{row} {9 - k} -1\n" for k, row in enumerate(cells)) + points
    libm += "3 0 7\n2 0 7\n0 0 7\n"
    expected = read_mesh(put(tmp_path, "m.xda", XDA))
    for text in (deal, libm, libm.replace("Id String\nTitle String\n", "\n\n")):
        mesh = read_mesh(put(tmp_path, "o.xda", text))
        assert torch.equal(mesh.points, expected.points) and torch.equal(mesh.tags["7"].ids, expected.tags["floor"].ids)
        assert all(torch.equal(mesh.cells[kind], expected.cells[kind]) for kind in expected.cells)
    for old, new, reason in (
        ("LIBM 0", "LIBM 1", "adaptively refined"),
        ("10 13 16 8 \t", "10 13 16 \t", "declares 4 elements in 4 blocks"),
        ("10 13 16 8 \t", "10 13 16 25 \t", "element type 25 is not known"),
        ("3 0 7\n2", "4 0 7\n2", r"names an element that is not in 0\.\.3"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.xda", libm.replace(old, new)))
    assert_no_cut_is_silent(libm, "cut.xda", tmp_path, lines=True)
    assert_no_cut_is_silent(deal, "cut.xda", tmp_path, lines=True)


@pytest.mark.parametrize(
    "code, kind, order",
    [
        (1, "line3", "0 1 01"),
        (4, "triangle6", "0 1 2 01 12 02"),
        (7, "quad9", "0 1 2 3 01 12 23 03 0123"),
        (9, "tetra10", "0 1 2 3 01 12 02 03 13 23"),
        (11, "hexahedron20", "0 1 2 3 4 5 6 7 01 12 23 03 04 15 26 37 45 56 67 47"),
        (
            12,
            "hexahedron27",
            "0 1 2 3 4 5 6 7 01 12 23 03 04 15 26 37 45 56 67 47 0123 0145 1256 2367 0347 4567 01234567",
        ),
        (14, "wedge15", "0 1 2 3 4 5 01 12 02 03 14 25 34 45 35"),
        (15, "wedge18", "0 1 2 3 4 5 01 12 02 03 14 25 34 45 35 0134 1245 0235"),
        (18, "pyramid14", "0 1 2 3 4 01 12 23 03 04 14 24 34 0123"),
    ],
)
def test_libmesh_nodes_of_high_order(tmp_path: Path, code: int, kind: str, order: str) -> None:
    points = places(kind, order)
    row = f"{code} 0 " + " ".join(map(str, range(len(points))))
    text = newer([row], points.tolist(), "0\n0\n0\n0\n0\n")
    assert_in_order(read_mesh(put(tmp_path, "m.xda", text)), kind)


def test_libmesh_sides_face_outward(tmp_path: Path) -> None:
    counts = {10: 6, 13: 5, 16: 5, 8: 4}
    for row in XDA_CELLS:
        code = int(row.split()[0])
        behind = (
            f"0\n0\n{counts[code]}\n" + "".join(f"0 {side} {side + 1}\n" for side in range(counts[code])) + "0\n0\n"
        )
        mesh = read_mesh(put(tmp_path, "m.xda", newer([row], SOLID_POINTS, behind)))
        faces = [tag for name, tag in mesh.tags.items() if tag.dim == 2]
        assert len(faces) == counts[code] and torch.equal(
            torch.cat([tag.ids for tag in faces]).sort().values, mesh.boundary_facets
        )
    hexahedron = newer(XDA_CELLS[:1], SOLID_POINTS, "0\n0\n2\n0 0 1\n0 5 2\n0\n0\n")
    found = sets(read_mesh(put(tmp_path, "m.xda", hexahedron)))
    assert found["1"] == (2, [0, 1, 2, 3]) and found["2"] == (2, [4, 5, 6, 7])
    pyramid = newer(XDA_CELLS[2:3], SOLID_POINTS, "0\n0\n2\n0 4 1\n0 1 2\n0\n0\n")
    found = sets(read_mesh(put(tmp_path, "m.xda", pyramid)))
    assert found["1"] == (2, [4, 5, 6, 7]) and found["2"] == (2, [5, 7, 10])


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("libMesh-0.9.6", "libMesh-1.8.0", "begins with 'libMesh-1.8.0"),
        ("4\t # n_elem at level 0", "2\t # n_elem at level 0", "adaptively refined"),
        (".\t # boundary", "bounds.xda\t # boundary", "a part of it stands in the file 'bounds.xda'"),
        ("10 4 0 1", "25 4 0 1", "element type 25 is not known"),
        ("8 0 1 11 8 5", "8 0 1 12 8 5", r"a tetra names a node that is not in 0\.\.11"),
        ("8 0 1 11 8 5", "8 0 1 11 8", "the list of elements ends 1 rows too early"),
        ("2 0 9\n", "2 5 9\n", r"names a side of a pyramid that is not in 0\.\.4"),
        ("2 0 9\n", "4 0 9\n", r"names an element that is not in 0\.\.3"),
        ("2 0 9\n", "2 0\n", "expected 4 rows of 3"),
        ("4 11\n", "12 11\n", r"node set 11 names a node that is not in 0\.\.11"),
        ("4 11\n", "4 11\n5\n", "goes on with '5' behind its last section"),
        ("12\t # nodes", "99999999999\t # nodes", "ends before its last node"),
        ("4\t # number", "x\t # number", "stands where the number of elements should"),
        ("floor\t ", "floor\t roof\t ", "numbers and names of side sets differ"),
    ],
)
def test_libmesh_damage_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert XDA.count(old) == 1
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "bad.xda", XDA.replace(old, new)))


def test_libmesh_no_cut_is_silent(tmp_path: Path) -> None:
    assert_no_cut_is_silent(XDA, "cut.xda", tmp_path, lines=True)


# real files


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "meshes"
    if not folder.is_dir():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    expected = {
        "libmesh/hybrid_3d.xda": (9, {"wedge": 2, "tetra": 2}, 8 + 8 / 3),  # a cube of side 2 and a pyramid of height 2
        "libmesh/lshaped.xda": (8, {"quad": 3}, 3.0),
        "vtkdata/prism.neu": (10, {"wedge": 4}, 2.0),
        "libmesh/tetgen_one_tet10.node": (10, {"tetra10": 1}, 1 / 6),
        "libmesh/tetgen_one_tet10.ele": (10, {"tetra10": 1}, 1 / 6),
        "meshio/tetgen/mesh.ele": (89, {"tetra": 304}, 1.0),
    }
    meshes = {name: read_mesh(folder / name) for name in expected}
    for name, (n, cells, size) in expected.items():
        mesh = meshes[name]
        assert mesh.n == n and {kind: len(rows) for kind, rows in mesh.cells.items()} == cells and not mesh.warnings
        assert float(signed_measures(mesh).min()) > 0
        assert float(cell_measures(mesh).sum()) == pytest.approx(size, rel=1e-12)
    shape = meshes["libmesh/lshaped.xda"]
    assert torch.equal(shape.tags["0"].ids, shape.boundary_facets)
    prism = meshes["vtkdata/prism.neu"]
    assert sets(prism)["node.2"] == (0, [1, 4, 6, 9]) and prism.tags["fluid"].ids.tolist() == [0, 1]
    ten = meshes["libmesh/tetgen_one_tet10.node"]
    x = ten.points[ten.cells["tetra10"][0]]
    ends = torch.tensor([[0, 1], [1, 2], [0, 2], [0, 3], [1, 3], [2, 3]])
    assert torch.equal(x[4:], x[ends].mean(1))
