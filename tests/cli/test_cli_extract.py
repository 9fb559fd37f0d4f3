"""``graphpde extract`` and ``graphpde transfer``: what they write, what they say, what they refuse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphpde.mesh import Mesh, boundary_mesh, box, cell_measures, read_mesh, rectangle, submesh, write_mesh
from tests.cli.conftest import Command, two_materials


def linear(x: torch.Tensor) -> torch.Tensor:
    return 2 * x[:, 0] - x[:, 1] + 1


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A square with a linear field, a vector and a field of its cells."""
    mesh = two_materials()
    path = tmp_path_factory.mktemp("result") / "result.vtu"
    fields = {"temperature": linear(mesh.points), "flow": mesh.points}
    write_mesh(path, mesh, point_data=fields, cell_data={"material": torch.arange(mesh.n_cells) // 40})
    return path


def test_a_named_part(graphpde: Command, square: Path) -> None:
    done = graphpde("extract", square, "copper.vtu", "--set", "copper")
    assert done.code == 0 and done.err == ""
    assert "left behind: 2 named sets" in done.out and "result: 28 points, 36 triangle, 4 named sets" in done.out
    part, wanted = read_mesh("copper.vtu"), submesh(two_materials(), "copper")
    assert torch.equal(part.points, wanted.points) and torch.equal(part.cells["triangle"], wanted.cells["triangle"])
    assert set(part.tags) == {"copper", "left", "bottom", "top"}


def test_several_sets_the_boundary_and_one_type(graphpde: Command, square: Path, tmp_path: Path) -> None:
    assert graphpde("extract", square, "walls.vtu", "--set", "left", "--set", "top").code == 0
    walls = read_mesh("walls.vtu")
    assert set(walls.tags) == {"left", "top"} and float(cell_measures(walls).sum()) == pytest.approx(2)
    write_mesh(tmp_path / "cube.vtu", box(2, 2, 2))
    done = graphpde("extract", "cube.vtu", "skin.vtu", "--boundary", "--json")
    assert done.code == 0 and done.json["mesh"]["cells"] == {"triangle": 48} and done.json["sets_left_behind"] == []
    assert torch.equal(read_mesh("skin.vtu").cells["triangle"], boundary_mesh(box(2, 2, 2)).cells["triangle"])
    mixed = Mesh([[0, 0], [1, 0], [1, 1], [0, 1], [2, 0]], {"quad": [[0, 1, 2, 3]], "triangle": [[1, 4, 2]]})
    write_mesh(tmp_path / "mixed.vtu", mixed)
    assert graphpde("extract", "mixed.vtu", "t.vtu", "--cells-of", "triangle").code == 0
    assert read_mesh("t.vtu").points.tolist() == [[1, 0], [1, 1], [2, 0]]
    done = graphpde("extract", "mixed.vtu", "x.vtu", "--cells-of", "triangel")
    assert done.code == 2 and "did you mean 'triangle'" in done.err


def test_what_a_format_cannot_hold_is_said(graphpde: Command, tmp_path: Path) -> None:
    mesh = box(1, 1, 1).with_data({"u": torch.ones(8)})
    write_mesh(tmp_path / "cube.vtu", mesh)
    done = graphpde("extract", "cube.vtu", "skin.stl", "--boundary")
    assert done.code == 0 and "lost: " in done.out and "named sets" in done.out


def test_what_extract_refuses(graphpde: Command, square: Path, tmp_path: Path) -> None:
    done = graphpde("extract", square, "out.vtu", "--set", "coper")
    assert done.code == 2 and "did you mean 'copper'" in done.err and done.err.count("\n") == 1
    done = graphpde("extract", square, "out.vtu")
    assert done.code == 2 and "--set --boundary --cells-of" in done.err
    assert graphpde("extract", square, "out.vtu", "--set", "left", "--boundary").code == 2
    done = graphpde("extract", square, square, "--set", "left", "--force")
    assert done.code == 2 and "it is the mesh that is read" in done.err
    assert not list(tmp_path.iterdir())
    (tmp_path / "out.vtu").write_text("mine")
    done = graphpde("extract", square, "out.vtu", "--set", "left")
    assert done.code == 2 and "--force to replace it" in done.err and (tmp_path / "out.vtu").read_text() == "mine"
    assert graphpde("extract", square, "out.vtu", "--set", "left", "--force").code == 0
    assert read_mesh("out.vtu").n_cells == 6


def test_fields_on_another_mesh(graphpde: Command, result: Path, tmp_path: Path) -> None:
    target = rectangle(5, 7, cells="quad")
    write_mesh(tmp_path / "target.vtu", target)
    done = graphpde("transfer", result, "target.vtu", "out.vtu")
    assert done.code == 0 and done.err == "" and "all 48 points lie in the source" in done.out
    assert "fields: temperature, flow, material" in done.out
    out = read_mesh("out.vtu")
    assert torch.equal(out.points, target.points) and set(out.tags) == set(target.tags)
    assert (out.point_data["temperature"] - linear(target.points)).abs().max() < 1e-13
    assert (out.point_data["flow"][:, :2] - target.points).abs().max() < 1e-13
    assert not out.cell_data["material"].is_floating_point() and len(out.cell_data["material"]) == 35
    done = graphpde("transfer", result, "target.vtu", "one.vtu", "--field", "flow", "--json")
    assert done.json["fields"] == ["flow"] and set(read_mesh("one.vtu").point_data) == {"flow"}


def test_points_outside_are_counted_marked_or_refused(graphpde: Command, result: Path, tmp_path: Path) -> None:
    write_mesh(tmp_path / "wide.vtu", rectangle(4, 4, width=2.0))
    done = graphpde("transfer", result, "wide.vtu", "out.vtu")
    sentence = (
        "warning: 10 of 25 points lie outside of 'result.vtu', up to 1 away, and got the value at the nearest point"
    )
    assert done.code == 0 and sentence in done.err
    done = graphpde("transfer", result, "wide.vtu", "nan.vtu", "--outside", "nan", "--json")
    assert (done.json["outside"], done.json["points"], done.json["farthest"]) == (10, 25, 1.0) and done.err == ""
    assert int(read_mesh("nan.vtu").point_data["temperature"].isnan().sum()) == 10
    done = graphpde("transfer", result, "wide.vtu", "none.vtu", "--outside", "error")
    assert done.code == 2 and "10 of 25 target points lie outside" in done.err and not Path("none.vtu").exists()
    done = graphpde("transfer", result, "wide.vtu", "none.vtu", "--outside", "eror")
    assert done.code == 2 and "did you mean 'error'" in done.err


def test_what_transfer_refuses(graphpde: Command, result: Path, square: Path, tmp_path: Path) -> None:
    done = graphpde("transfer", result, square, "out.vtu", "--field", "temprature")
    assert done.code == 2 and "did you mean 'temperature'" in done.err
    done = graphpde("transfer", square, result, "out.vtu")
    assert done.code == 2 and "'square.vtu' holds no fields to transfer" in done.err
    write_mesh(tmp_path / "cube.vtu", box(1, 1, 1))
    done = graphpde("transfer", result, "cube.vtu", "out.vtu")
    assert done.code == 2 and "the target lies in 3-D space and 'result.vtu' in 2-D" in done.err
    for out in (result, square):
        done = graphpde("transfer", result, square, out, "--force")
        assert done.code == 2 and "it is the mesh that is read" in done.err
    (tmp_path / "out.vtu").write_text("mine")
    assert graphpde("transfer", result, square, "out.vtu").code == 2
    assert (tmp_path / "out.vtu").read_text() == "mine"
    assert graphpde("transfer", result, square, "out.vtu", "--force").code == 0


def test_transfer_between_meshes_that_do_not_meet_is_refused(graphpde, tmp_path: Path) -> None:
    here = rectangle(2, 2)
    write_mesh("here.vtu", here, point_data={"u": here.points[:, 0]})
    write_mesh("there.vtu", here.with_points(here.points + 1000))
    done = graphpde("transfer", "here.vtu", "there.vtu", "out.vtu")
    assert (
        done.code == 2
        and "lies in 'here.vtu' (box: [0, 1] x [0, 1])" in done.err
        and "check place and units" in done.err
    )
    assert not Path("out.vtu").exists()
    assert graphpde("transfer", "here.vtu", "there.vtu", "out.vtu", "--outside", "nearest").code == 0
    write_mesh("bare.msh", here)
    assert graphpde("transfer", "bare.msh", "here.vtu", "out2.vtu").code == 2
