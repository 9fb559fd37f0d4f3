"""SU2, OBJ, OFF and AVS-UCD: hand-made files with known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.io import read_mesh
from tests.mesh.io_samples import PLANE, TRIANGLES, put, sets

SU2 = """% a comment
NDIME= 2
NELEM= 3
5 0 1 2 0
5 0 2 3 1
5 1 4 2 2
NPOIN= 5 5
0 0 0
1 0 1
1 1 2
0 1 3
2 0 4
NMARK= 2
MARKER_TAG= lower wall
MARKER_ELEMS= 2
3 0 1
3 1 4
MARKER_TAG= 7
MARKER_ELEMS= 1
3 3 0
"""


def test_su2_markers_by_name(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.su2", SU2))
    assert np.array_equal(mesh.points, PLANE) and np.array_equal(mesh.cells["triangle"], TRIANGLES)
    assert sets(mesh) == {"lower wall": (1, [0, 1, 4]), "7": (1, [0, 3])}
    for old, new, reason in (
        ("NDIME= 2", "NZONE= 2\nIZONE= 1\nNDIME= 2", "declares 2 zones and has these: 1;"),
        ("NPOIN= 5 5", "NPOIN= 9", "section NPOIN"),
        ("MARKER_ELEMS= 1\n3 3 0\n", "MARKER_ELEMS= 4\n3 3 0\n", "section MARKER_ELEMS ends 3 lines too early"),
        ("5 1 4 2 2\n", "6 1 4 2 2\n", "element code 6 is not one of"),
        ("5 1 4 2 2\n", "5 1 4 2\n", "section NELEM ends 1 rows too early"),
        ("5 1 4 2 2\n", "5 1 4 8 2\n", "a triangle cell names point 8, expected 0..4"),
        ("NELEM= 3", "hello", "belongs to no section"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.su2", SU2.replace(old, new, 1)))


def test_obj_with_textures_groups_negative_indices_and_continued_lines(tmp_path: Path) -> None:
    text = "v 0 0 0 # origin\nv 1 0 0\nv 1 1 0\nvt 0 0\nvn 0 0 1\ng left a\nf 1/1/1 2/1/1 \\\n3/1/1\n"
    text += "v 0 1 1\ng right\nf -4//1 -2 -1\n"
    mesh = read_mesh(put(tmp_path, "m.obj", text))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [0, 2, 3]]
    assert {name: tag.ids.tolist() for name, tag in mesh.tags.items()} == {"left": [0], "a": [0], "right": [1]}
    colours = "".join(f"v {x} {y} 1 0.5 0 0\n" for x, y in ((0, 0), (1, 0), (0, 1))) + "f 1 2 3\n"
    assert read_mesh(put(tmp_path, "c.obj", colours)).point_data["colour"].tolist() == 3 * [[0.5, 0, 0]]
    for bad, reason in (
        ("f 0 1 2", "line 4"),
        ("f 1 2 9", "line 4"),
        ("f 1 2 x", "line 4"),
        ("v 1 2 3 4 5", "5 numbers"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.obj", f"v 0 0 0\nv 1 0 0\nv 0 1 0\n{bad}\nf 1 2 3\n"))


def test_off_with_comments_colours_quads_and_faces_over_lines(tmp_path: Path) -> None:
    head = "OFF # header\n# comment\n4 2 0\n0 0 0\n1 0 0\n1 1 0\n0 1 1\n"
    mesh = read_mesh(put(tmp_path, "m.off", f"{head}3 0 1 2 255 0 0\n4 0 1 2 3 # face\n"))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2]] and mesh.cells["quad"].tolist() == [[0, 1, 2, 3]]
    split = read_mesh(put(tmp_path, "s.off", f"{head}3 0 1\n2\n4 0 1 2 3\n"))
    assert torch.equal(split.cells["quad"], mesh.cells["quad"])
    for text, reason in ((f"{head}3 0 1 2\n", "ends 1 rows too early"), ("OFF\n9 1 0\n0 0 0\n", "declares 9 vertices")):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.off", text))


def test_avs_ucd_text_is_told_from_abaqus(tmp_path: Path) -> None:
    text = "# comment\n4 2 1 1 0\n1 0 0 0\n2 1 0 0\n3 1 1 0\n9 0 1 0\n1 5 tri 1 2 3\n2 6 tri 1 3 9\n"
    text += "1 1\nT, K\n9 4\n1 1\n2 2\n3 3\n1 1\np, Pa\n2 20\n1 10\n"
    mesh = read_mesh(put(tmp_path, "m.inp", text))
    assert sets(mesh) == {"5": (2, [0, 1, 2]), "6": (2, [0, 2, 3])}
    assert mesh.point_data["T"].tolist() == [1, 2, 3, 4] and mesh.cell_data["p"].tolist() == [10, 20]
    with pytest.raises(MeshReadError, match="declares 4 nodes and 99 cells"):
        read_mesh(put(tmp_path, "bad.inp", text.replace("4 2 1 1 0", "4 99 1 1 0")))
