"""I-DEAS universal files: every dataset that is read, all element types, groups, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.geometry import cell_measures, signed_measures
from graphpde.mesh.io import read_mesh
from tests.mesh.io_orders import assert_in_order, places
from tests.mesh.io_samples import put, sets


def dataset(number: int, body: str) -> str:
    return f"    -1\n{number:6d}\n{body}    -1\n"


def nodes(points: np.ndarray, first: int = 1, step: int = 1) -> str:
    rows = enumerate(points.tolist())
    return "".join(
        f"{first + step * k:10d}         1         1        11\n"
        + "".join(f"{value:25.16E}" for value in x).replace("E", "D")
        + "\n"
        for k, x in rows
    )


def integers(*values: int) -> str:
    return "".join(f"{value:10d}" for value in values) + "\n"


SQUARE = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0]])
CELLS = (
    integers(7, 11, 1, 1, 7, 2)
    + integers(0, 1, 1)
    + integers(10, 20)
    + integers(8, 41, 5, 6, 7, 3)
    + integers(10, 20, 30)
    + integers(9, 91, 5, 6, 7, 3)
    + integers(10, 30, 40)
    + integers(4, 161, 1, 1, 7, 1)
    + integers(10)
    + integers(3, 41, 5, 8, 7, 3)
    + integers(20, 50, 30)
)
GROUPS = (
    integers(1, 0, 0, 0, 0, 0, 0, 3)
    + "plate one\n"
    + integers(8, 9, 0, 0, 8, 3, 0, 0)
    + integers(7, 50, 0, 0)
    + integers(2, 0, 0, 0, 0, 0, 0, 1)
    + "low\n"
    + integers(8, 7, 0, 0)
    + integers(3, 0, 0, 0, 0, 0, 0, 2)
    + "\n"
    + integers(7, 10, 0, 0, 11, 3, 0, 0)
)
WHOLE = (
    dataset(164, "         1  SI: mm (milli newton)         2\n 1.0D+3 1.0D+0 1.0D+0\n 2.7D+2\n")
    + dataset(2411, nodes(SQUARE, 10, 10))
    + dataset(2412, CELLS)
    + dataset(2467, GROUPS)
    + dataset(2414, integers(1) + "a result\n")
)


def test_nodes_elements_and_groups(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.unv", WHOLE))
    assert np.array_equal(mesh.points, SQUARE[:, :2])
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3], [1, 4, 2]]
    assert sets(mesh) == {
        "plate one:0d": (0, [4]),
        "plate one:2d": (2, [0, 1, 2, 3, 4]),
        "low": (1, [0, 1]),
        "3": (0, [0]),
    }
    assert mesh.tags["plate one:2d"].ids.tolist() == [1, 2]
    assert mesh.cell_data["unv:property"].tolist() == [5, 5, 5]
    assert mesh.cell_data["unv:material"].tolist() == [6, 6, 8]
    assert mesh.warnings[:4] == (
        "1 members of groups are neither nodes nor elements and were left out",
        "its unit system is 'SI: mm (milli newton)'",
        "datasets 2414 were not used",
        "1 type-161 cells were left out",
    )


def test_older_datasets_give_the_same_mesh(tmp_path: Path) -> None:
    values = [
        f"{10 * k + 10:10d}{0:10d}{0:10d}{11:10d}" + "".join(f"{v:13.5E}" for v in x) for k, x in enumerate(SQUARE)
    ]
    old = CELLS.splitlines(keepends=True)
    for row, words in enumerate(line.split() for line in old):
        if len(words) == 6:  # with table numbers before property and material
            old[row] = integers(*map(int, (*words[:2], 1, words[2], 1, *words[3:])))
    entries = (
        integers(1, 0, 0, 0, 0, 0, 0, 3)
        + "plate one\n"
        + integers(8, 9, 8, 3, 7, 50)
        + integers(2, 0, 0, 0, 0, 0, 0, 1)
        + "low\n"
        + integers(8, 7)
    )
    text = dataset(15, "\n".join(values) + "\n") + dataset(780, "".join(old)) + dataset(2430, entries)
    a, b = read_mesh(put(tmp_path, "a.unv", text)), read_mesh(put(tmp_path, "b.unv", WHOLE))
    assert torch.equal(a.points, b.points) and torch.equal(a.cells["triangle"], b.cells["triangle"])
    assert sets(a) == {name: found for name, found in sets(b).items() if name != "3"}
    assert torch.equal(a.cell_data["unv:material"], b.cell_data["unv:material"])
    double = read_mesh(put(tmp_path, "c.unv", dataset(781, nodes(SQUARE, 10, 10)) + dataset(2412, CELLS)))
    assert torch.equal(double.points, b.points)


@pytest.mark.parametrize(
    "code, kind, order",
    [
        (24, "line3", "0 01 1"),
        (42, "triangle6", "0 01 1 12 2 02"),
        (92, "triangle7", "0 01 1 12 2 02 012"),
        (45, "quad8", "0 01 1 12 2 23 3 03"),
        (95, "quad9", "0 01 1 12 2 23 3 03 0123"),
        (300, "quad9", "0 01 1 12 2 23 3 03 0123"),
        (118, "tetra10", "0 01 1 12 2 02 03 13 23 3"),
        (114, "pyramid13", "0 01 1 12 2 23 3 03 04 14 24 34 4"),
        (113, "wedge15", "0 01 1 12 2 02 03 14 25 3 34 4 45 5 35"),
        (116, "hexahedron20", "0 01 1 12 2 23 3 03 04 15 26 37 4 45 5 56 6 67 7 47"),
    ],
)
def test_parabolic_elements_run_around_their_edges(tmp_path: Path, code: int, kind: str, order: str) -> None:
    points = places(kind, order)
    labels = list(range(1, len(points) + 1))
    beam = integers(0, 1, 1) if code < 30 else ""
    rows = "".join(integers(*labels[k : k + 8]) for k in range(0, len(labels), 8))
    cells = integers(1, code, 1, 1, 7, len(labels)) + beam + rows
    assert_in_order(read_mesh(put(tmp_path, "m.unv", dataset(2411, nodes(points)) + dataset(2412, cells))), kind)


@pytest.mark.parametrize(
    "code, kind", [(111, "tetra"), (112, "wedge"), (115, "hexahedron"), (94, "quad"), (71, "quad")]
)
def test_linear_elements_are_positive(tmp_path: Path, code: int, kind: str) -> None:
    points = places(kind, " ".join("01234567"[: {"tetra": 4, "quad": 4, "wedge": 6, "hexahedron": 8}[kind]]))
    cells = integers(1, code, 1, 1, 7, len(points)) + integers(*range(1, len(points) + 1))
    mesh = read_mesh(put(tmp_path, "m.unv", dataset(2411, nodes(points)) + dataset(2412, cells)))
    volume = {"tetra": 1.0, "wedge": 3.0, "hexahedron": 6.0, "quad": 2.0}[kind]  # the shear has determinant 6
    assert float(signed_measures(mesh)[0]) == pytest.approx(volume, rel=1e-14)


def test_many_elements_of_changing_type(tmp_path: Path) -> None:
    n = 300
    x = np.array([[k, y, 0.0] for k in range(n + 1) for y in (0, 1)])
    cells, area = "", 0.0
    for k in range(n):
        a, b, c, d = 2 * k + 1, 2 * k + 3, 2 * k + 4, 2 * k + 2
        if k % 7 == 3 or 100 < k < 105:
            cells += integers(2 * k + 1, 41, 1, 1, 7, 3) + integers(a, b, c)
            cells += integers(2 * k + 2, 41, 1, 1, 7, 3) + integers(a, c, d)
        else:
            cells += integers(2 * k + 1, 44, 1, 1, 7, 4) + integers(a, b, c, d)
        area += 1
    mesh = read_mesh(put(tmp_path, "m.unv", dataset(2411, nodes(x)) + dataset(2412, cells)))
    assert float(cell_measures(mesh).sum()) == pytest.approx(area, rel=1e-14)
    assert float(signed_measures(mesh).min()) == 0.5 and mesh.n_cells == n + len(mesh.cells["triangle"]) // 2


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("        50        30\n", "        51        30\n", "node 51 is used but not defined"),
        ("         8         9         0", "         8        99         0", "element 99 is used but not defined"),
        ("         3        41", "         9        41", "element 9 is defined twice"),
        (
            "        20         1         1        11",
            "        10         1         1        11",
            "node 10 is defined twice",
        ),
        ("2.0000000000000000D+00", "2.000000000000x000D+00", "dataset 2411 holds something that is not a number"),
        ("2.0000000000000000D+00", "", "has 34 numbers, expected 4 and 3"),
        (
            "         0         0         3\nplate",
            "         0         0         4\nplate",
            "does not have the 4 members",
        ),
        ("  2411\n", "  241x\n", "has no number, or a binary one"),
        ("    -1\n  2412", "hello\n    -1\n  2412", "'hello' stands outside of all datasets"),
        ("        20        50        30\n", "        20        50\n", "the last element .* has fewer than 3 nodes"),
        (
            "         3        41         5         8         7         3\n        20        50        30\n",
            "  1\n",
            "complete",
        ),
    ],
)
def test_damage_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert WHOLE.count(old) == 1
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "bad.unv", WHOLE.replace(old, new)))


def test_local_coordinate_systems_are_refused(tmp_path: Path) -> None:
    rows = nodes(SQUARE, 10, 10).replace("         1         1        11", "         3         1        11")
    unit = " 1.0 0.0 0.0\n 0.0 1.0 0.0\n 0.0 0.0 1.0\n 0.0 0.0 0.0\n"
    same = dataset(2420, "         1\npart\n" + integers(3, 0, 8) + "CS3\n" + unit)
    moved = same.replace(" 0.0 0.0 0.0\n", " 0.0 0.0 5.0\n")
    body = dataset(2412, CELLS)
    assert read_mesh(put(tmp_path, "a.unv", same + dataset(2411, rows) + body)).n == 5
    assert read_mesh(put(tmp_path, "a.unv", same + dataset(781, rows) + body)).n == 5
    for text in (moved + dataset(2411, rows), moved + dataset(781, rows), dataset(781, rows)):
        with pytest.raises(MeshReadError, match="points are given in coordinate system 3"):
            read_mesh(put(tmp_path, "bad.unv", text + body))
    with pytest.raises(MeshReadError, match=r"dataset 2420 .* is not complete"):
        read_mesh(put(tmp_path, "bad.unv", same.replace(" 0.0 0.0 0.0\n", "") + dataset(2411, rows) + body))


def test_no_cut_is_silent(tmp_path: Path) -> None:
    text = dataset(2411, nodes(SQUARE, 10, 10)) + dataset(2412, CELLS) + dataset(2467, GROUPS)
    # a file that ends behind a whole dataset is a whole file; cuts within one are told
    ends = [k for k in range(len(text)) if text.startswith("    -1\n    -1\n", k)]
    assert len(ends) == 2
    path = tmp_path / "cut.unv"
    for stop in range(1, len(text) - 1):
        path.write_text(text[:stop])
        try:
            mesh = read_mesh(path)
        except MeshReadError:
            continue
        assert mesh.n == 5 and mesh.n_cells == 3 and (len(mesh.tags) == 4 or ends[1] < stop <= ends[1] + 11)


def test_real_files(shared_data: Path) -> None:
    folder = shared_data / "meshes"
    if not folder.is_dir():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    box = read_mesh(folder / "elmer" / "box.unv")
    assert box.n == 554 and {kind: len(rows) for kind, rows in box.cells.items()} == {"tetra": 2308}
    assert float(cell_measures(box).sum()) == pytest.approx(200.0**3, rel=1e-12)
    assert float(signed_measures(box).min()) > 0 and box.warnings == ()
    faces = [box.tags[name].ids for name in ("side", "top", "triangle")]
    assert torch.equal(torch.cat(faces).sort().values, box.boundary_facets)
    for name, axis, level in (("side", 0, 0.0), ("top", 2, 200.0)):
        plane = box.points[box.tags[name].nodes][:, axis]
        assert len(box.tags[name].ids) == 94 and bool((plane == plane[0]).all()), (name, axis, level)
    shape = read_mesh(folder / "libmesh" / "lshape.unv")
    assert shape.n == 1281 and len(shape.cells["quad9"]) == 300 and shape.space_dim == 2
    assert float(cell_measures(shape).sum()) == pytest.approx(3.0, rel=1e-12)
    assert float(signed_measures(shape).min()) > 0
    rows = shape.points[shape.cells["quad9"]]
    assert torch.allclose(rows[:, 8], rows[:, :4].mean(1), atol=1e-12)
    assert torch.allclose(rows[:, 4], rows[:, :2].mean(1), atol=1e-12)
