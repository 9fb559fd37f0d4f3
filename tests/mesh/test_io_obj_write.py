"""OBJ and OFF as they are written: exact text, groups, numbers with all digits, what does not fit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from graphpde.errors import OutputError
from graphpde.mesh.io import off, read_mesh, write_mesh
from graphpde.mesh.io.obj import surface as obj
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, sets, solid, square

X = np.array([[0.0, 0, 0.1], [1, 0, 0], [1, 1, 1 / 3], [0, 1, -0.0], [2, 0, 1e-300]])
MIXED = Mesh(X, {"quad": [[0, 1, 2, 3]], "triangle": [[1, 4, 2], [2, 4, 1]]})


def test_obj_text(tmp_path: Path) -> None:
    mesh = MIXED.with_tags(
        a=MIXED.make_tag(2, [0, 1]), b=MIXED.make_tag(2, [1]), rim=MIXED.make_tag(1, [0]), none=MIXED.make_tag(2, [])
    )
    told = write_mesh(tmp_path / "m.obj", mesh)
    assert len(told) == 2 and "rim" in told[0] and told[1] == "sets without members were left out: none"
    assert (tmp_path / "m.obj").read_text() == (
        "v 0.0 0.0 0.1\nv 1.0 0.0 0.0\nv 1.0 1.0 0.3333333333333333\nv 0.0 1.0 -0.0\nv 2.0 0.0 1e-300\n"
        "g a\nf 1 2 3 4\ng a b\nf 2 5 3\ng\nf 3 5 2\n"
    )
    back = read_mesh(tmp_path / "m.obj")
    assert {name: tag.ids.tolist() for name, tag in back.tags.items()} == {"a": [0, 1], "b": [1]}
    other = meshio.read(tmp_path / "m.obj")
    assert np.array_equal(other.points, X) and other.cells_dict["quad"].tolist() == [[0, 1, 2, 3]]


def test_off_text(tmp_path: Path) -> None:
    assert write_mesh(tmp_path / "m.off", MIXED) == ()
    assert (tmp_path / "m.off").read_text() == (
        "OFF\n5 3 0\n0.0 0.0 0.1\n1.0 0.0 0.0\n1.0 1.0 0.3333333333333333\n0.0 1.0 -0.0\n2.0 0.0 1e-300\n"
        "4 0 1 2 3\n3 1 4 2\n3 2 4 1\n"
    )
    plane = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    write_mesh(tmp_path / "m.off", plane)
    other = meshio.read(tmp_path / "m.off")
    assert np.array_equal(other.points[:, :2], SQUARE_POINTS)
    assert np.array_equal(other.cells_dict["triangle"], SQUARE_CELLS["triangle"])


def test_networks_and_names_that_obj_cannot_hold(tmp_path: Path) -> None:
    mesh = Mesh(X, {"line": [[0, 1], [1, 2], [1, 4]]})
    names = ["a b", "a_b", "c#1", "d\\", "", "ü", "a\tb", "x\x85y"]
    mesh = mesh.with_tags(**{name: mesh.make_tag(1, [k % 3]) for k, name in enumerate(names)})
    told = write_mesh(tmp_path / "m.obj", mesh)
    assert told == ("OBJ names hold no blanks: 'a b' as 'a_b_2', 'c#1' as 'c_1', 'd\\' as 'd_', '' as '_' and 2 more",)
    back = read_mesh(tmp_path / "m.obj")
    new = ["a_b_2", "a_b", "c_1", "d_", "_", "ü", "a_b_3", "x_y"]
    assert {name: tag.ids.tolist() for name, tag in back.tags.items()} == {n: [k % 3] for k, n in enumerate(new)}
    assert torch.equal(back.cells["line"], mesh.cells["line"])


@pytest.mark.parametrize(("name", "reason"), [("m.obj", "OBJ holds lines, tri"), ("m.off", "OFF holds triangles and")])
def test_other_cells_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(
        OutputError, match=f"cannot write '{name}': {reason}.*not 1 hexahedron, 1 wedge, 1 pyramid; wri"
    ):
        write_mesh(tmp_path / name, solid())
    assert not list(tmp_path.iterdir())


def test_fields_and_sets_left_out_are_told(tmp_path: Path) -> None:
    for name, lost in (("m.obj", "bottom, wall, corner"), ("m.off", "all, steel, bottom, wall")):
        told = write_mesh(tmp_path / name, square(), point_data={"u": torch.zeros(4)})
        assert all(word in told[0] for word in lost.split(", ")) and len(told) == 2


@settings(max_examples=60, deadline=None)
@given(random_meshes(("triangle", "quad")))
def test_random_surfaces_come_back(mesh: Mesh) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for ending, module in (("obj", obj), ("off", off)):
            path = Path(folder) / f"m.{ending}"
            write_mesh(path, mesh)
            raw = module.read(path)
            assert same_bits(raw.points, mesh.points.numpy())
            assert [block.kind for block in raw.blocks] == list(mesh.cells)
            assert all(np.array_equal(b.nodes, v) for b, v in zip(raw.blocks, mesh.cells.values()))
        own = [tag.ids.tolist() for tag in mesh.tags.values() if tag.dim == 2]
        back = read_mesh(Path(folder) / "m.obj")
        assert sorted(own) == sorted(tag.ids.tolist() for tag in back.tags.values())
        kept = {name for name, tag in mesh.tags.items() if tag.dim == 2 and name.isascii() and name.isalnum()}
        assert all(sets(back)[name] == sets(mesh)[name] for name in kept)
