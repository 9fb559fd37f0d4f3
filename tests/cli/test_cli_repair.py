"""``graphpde repair`` and ``graphpde convert``: what they say, what they write, and what they never overwrite."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from graphpde.mesh import Mesh, box, cell_measures, check_mesh, read_mesh, rectangle, sphere, write_mesh
from tests.cli.conftest import Command, two_materials


@pytest.fixture
def torn(tmp_path: Path) -> Path:
    """A square whose four triangles share no point, one of them twice, one turned over, and a point of its own."""
    square = rectangle(2, 1)
    nodes = square.cells["triangle"].clone()
    nodes[0] = nodes[0][[0, 2, 1]]
    points = torch.cat([square.points[nodes.reshape(-1)], torch.tensor([[0.3, 0.3]]).double()])
    cells = torch.arange(12).reshape(4, 3)
    mesh = Mesh(points, {"triangle": torch.cat([cells, cells[:1]])})
    mesh = mesh.with_tags(left=mesh.make_tag(2, [0, 1]), stray=mesh.make_tag(0, [12]))
    write_mesh(tmp_path / "torn.vtu", mesh)
    return tmp_path / "torn.vtu"


def test_repair_says_each_step_and_writes_the_result(graphpde: Command, torn: Path) -> None:
    before = torn.read_bytes()
    done = graphpde("repair", torn, "mended.vtu")
    assert done.code == 0 and done.err == ""
    assert "merge     6      merged 6 of 13 points into the one they coincide with" in done.out
    assert "repeated  1      dropped 1 of 5 cells that stood on the same points as another" in done.out
    assert "orient    1      turned 1 of 4 cells the right way round" in done.out
    assert "collapse  0      no cell names a point twice" in done.out
    assert "lost: 1 of 1 points of the set 'stray' are gone, and with them the set" in done.out
    assert done.out.endswith("result: 6 points, 4 triangle, 1 named set\nwritten to mended.vtu\n")
    mesh = read_mesh("mended.vtu")
    assert check_mesh(mesh).sound and float(cell_measures(mesh).sum()) == 1.0
    assert mesh.tags["left"].ids.tolist() == [0, 1] and torn.read_bytes() == before

    again = graphpde("repair", "mended.vtu", "again.vtu")
    assert again.code == 0 and "nothing to repair\nresult: 6 points" in again.out
    assert torch.equal(read_mesh("again.vtu").points, mesh.points)


def test_repair_as_json_and_without_writing(graphpde: Command, torn: Path) -> None:
    done = graphpde("repair", torn, "--dry-run", "--json")
    document = done.json
    assert done.code == 0 and document["changed"] is True and document["out"] is None
    counts = {step["name"]: step["count"] for step in document["steps"]}
    assert counts == {"merge": 6, "collapse": 0, "repeated": 1, "flat": 0, "orient": 1, "unused": 1}
    assert document["mesh"]["nodes"] == 6 and document["left"] == [] and len(document["lost"]) == 1
    said = graphpde("repair", torn, "out.vtu", "--dry-run")
    assert said.out.endswith("nothing was written\n") and not Path("out.vtu").exists()
    assert graphpde("repair", torn, "out.vtu", "--json").json["out"] == "out.vtu"


def test_the_options_of_repair(graphpde: Command, torn: Path) -> None:
    def counts(*options: str) -> dict[str, int]:
        found = graphpde("repair", torn, "--dry-run", "--json", *options).json["steps"]
        return {step["name"]: step["count"] for step in found}

    assert "merge" not in counts("--no-merge") and "orient" not in counts("--no-orient")
    assert counts("--merge", "0")["merge"] == counts("--merge", "0.1")["merge"] == 6
    assert "would be left" in graphpde("repair", torn, "--dry-run", "--merge", "0.6").err
    found = counts("--scale", "0.001", "--split", "--linear")
    assert (found["linear"], found["split"], found["scale"]) == (0, 0, 6)
    write_mesh("box.vtu", box(1, 1, 1, cells="hexahedron"))
    done = graphpde("repair", "box.vtu", "box.msh", "--split", "--scale", "1000")
    assert "split     1      cut 1 hexahedron into 6 tetra" in done.out
    assert float(cell_measures(read_mesh("box.msh")).sum()) == pytest.approx(1e9)


def test_what_is_still_wrong_is_said(graphpde: Command, tmp_path: Path) -> None:
    flat = Mesh([[0, 0], [2, 0], [1, 0], [1, 1], [1, -1]], {"triangle": [[0, 1, 2], [0, 2, 3], [2, 1, 3], [0, 4, 1]]})
    write_mesh(tmp_path / "flat.vtu", flat)
    done = graphpde("repair", tmp_path / "flat.vtu", "out.vtu")
    assert done.code == 0 and "dropped 1 of 4 cells of zero size" in done.out
    assert "still wrong: 1 points hang on the edge of a cell that does not know them" in done.out


@pytest.mark.parametrize("verb", ["repair", "convert"])
def test_the_mesh_that_is_read_is_never_written(graphpde: Command, torn: Path, verb: str, tmp_path: Path) -> None:
    before = torn.read_bytes()
    os.symlink(torn, tmp_path / "link.vtu")
    os.link(torn, tmp_path / "hard.vtu")
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path, tmp_path / "folder" / "back")
    for name in ("torn.vtu", "./torn.vtu", "link.vtu", "hard.vtu", "folder/back/torn.vtu"):
        for options in ((), ("--force",)):
            done = graphpde(verb, torn, name, *options)
            assert done.code == 2 and "it is the mesh that is read; give the result another name" in done.err
    assert torn.read_bytes() == before and os.path.islink(tmp_path / "link.vtu")

    Path("other.vtu").write_text("precious")
    done = graphpde(verb, torn, "other.vtu")
    assert done.code == 2 and "it is there already; give another name, or --force" in done.err
    assert Path("other.vtu").read_text() == "precious"
    assert graphpde(verb, torn, "other.vtu", "--force").code == 0
    assert read_mesh("other.vtu").n_cells in (4, 5)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("repair", "MESH"), "OUT, the file to write, is missing; or look first with --dry-run"),
        (("repair", "none.msh", "out.vtu"), "there is no such file"),
        (("repair", "MESH", "out.foo"), "unknown extension '.foo'"),
        (("repair", "MESH", "out.vtu", "--merge", "-1"), "expected a length of 0 or more"),
        (("repair", "MESH", "out.vtu", "--merge", "1", "--no-merge"), "not allowed with argument"),
        (("repair", "MESH", "out.vtu", "--scale", "0"), "expected a number above 0"),
        (("repair", "MESH", "none/out.vtu"), "there is no folder 'none'"),
        (("convert", "MESH"), "required: OUT"),
        (("convert", "MESH", "out.foo"), "unknown extension '.foo'"),
        (("convert", "none.msh", "out.vtu"), "there is no such file"),
    ],
)
def test_bad_input_is_one_sentence(graphpde: Command, torn: Path, words: tuple[str, ...], sentence: str) -> None:
    done = graphpde(*(torn if word == "MESH" else word for word in words))
    assert done.code == 2 and done.err.count("\n") == 1 and sentence in done.err
    assert not Path("out.vtu").exists()


def test_convert_reports_what_a_format_cannot_hold(graphpde: Command, tmp_path: Path) -> None:
    mesh = two_materials(4).with_data({"u": torch.zeros(25)}, {"k": torch.zeros(32)})
    write_mesh(tmp_path / "plate.vtu", mesh)
    done = graphpde("convert", "plate.vtu", "plate.stl")
    assert done.code == 0 and done.err == ""
    assert "writing: STL keeps no named sets: 6 names dropped (copper, steel, left, right and 2 more)\n" in done.out
    assert "writing: STL keeps no fields: 2 dropped (u, k)\n" in done.out
    assert done.out.endswith("plate.stl: 25 points, 32 triangle\n")
    done = graphpde("convert", "plate.vtu", "plate.su2")
    assert "SU2 keeps named sets of facets only: 2 of 6 names dropped (copper, steel)" in done.out
    assert done.out.endswith("plate.su2: 25 points, 32 triangle, 4 named sets\n")
    done = graphpde("convert", "plate.vtu", "copy.vtu")
    assert "nothing was lost\ncopy.vtu: 25 points, 32 triangle, 6 named sets, 2 fields\n" in done.out
    document = graphpde("convert", "plate.vtu", "other.su2", "--json").json
    assert document["kept"] == {
        "points": 25,
        "cells": {"triangle": 32},
        "sets": ["left", "right", "bottom", "top"],
        "fields": [],
    }
    assert document["dropped"] == {"points": 0, "sets": ["copper", "steel"], "fields": ["u", "k"]}
    assert document["lost_in_reading"] == [] and len(document["lost_in_writing"]) == 2


def test_convert_reads_back_what_it_reports(graphpde: Command, tmp_path: Path) -> None:
    ball = sphere(1)
    loose = Mesh(torch.cat([ball.points, ball.points[:3]]) / 3, ball.cells)
    write_mesh(tmp_path / "ball.vtu", loose)
    done = graphpde("convert", "ball.vtu", "ball.stl")
    assert "writing: STL keeps 42 of 45 points (points without a cell or at the same place drop out)" in done.out
    assert "writing: STL rounds coordinates, here by up to " in done.out


def test_convert_says_what_reading_left_out(graphpde: Command, tmp_path: Path) -> None:
    Path(tmp_path / "part.off").write_text("OFF\n4 2 0\n0 0 1\n1 0 1\n0 1 1\n0 1 1\n3 0 1 2\n3 0 1 3\n")
    done = graphpde("convert", "part.off", "part.vtu")
    assert "reading: the mesh is planar; its constant coordinate z = 1 was dropped" in done.out
    assert "coincide" not in done.out  # no loss; that is for check


def test_cells_that_a_format_lacks_are_refused_with_the_way_out(graphpde: Command, tmp_path: Path) -> None:
    six = Mesh([[0, 0], [1, 0], [0, 1], [0.5, 0], [0.5, 0.5], [0, 0.5]], {"triangle6": [range(6)]})
    eight = Mesh([[0, 0], [2, 0], [2, 2], [0, 2], [1, 0], [2, 1], [1, 2], [0, 1]], {"quad8": [range(8)]})
    for name, mesh, options in (
        ("six", six, "--linear"),
        ("four", rectangle(1, 1, cells="quad"), "--split"),
        ("eight", eight, "--linear --split"),
    ):
        write_mesh(tmp_path / f"{name}.vtu", mesh)
        done = graphpde("convert", f"{name}.vtu", f"{name}.stl")
        assert done.code == 2 and f"'graphpde repair' with {options} makes cells that fit" in done.err
        assert not Path(f"{name}.stl").exists()
        assert graphpde("repair", f"{name}.vtu", f"{name}.stl", *options.split()).code == 0
    write_mesh(tmp_path / "solid.vtu", box(1, 1, 1))
    assert "'graphpde extract' with --boundary writes its surface" in graphpde("convert", "solid.vtu", "solid.stl").err
    assert graphpde("extract", "solid.vtu", "solid.stl", "--boundary").code == 0
    write_mesh(tmp_path / "lines.vtu", Mesh([[0, 0], [1, 1]], {"line": [[0, 1]]}))
    assert "graphpde repair" not in graphpde("convert", "lines.vtu", "lines.stl").err


def test_convert_says_that_cells_are_renumbered_and_nothing_else(graphpde: Command, tmp_path: Path) -> None:
    mesh = rectangle(3, 3)
    sets = {"even": mesh.make_tag(2, range(0, mesh.n_cells, 2)), "few": mesh.make_tag(2, [1, 2, 5])}
    write_mesh("m.vtu", mesh.with_tags(**sets))
    out = graphpde("convert", "m.vtu", "m.msh").out
    assert "the cells are numbered in another order" in out and "rounds" not in out
    assert "nothing was lost" in graphpde("convert", "m.vtu", "n.vtu").out
