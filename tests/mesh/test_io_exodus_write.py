"""Exodus II as it is written: every element in its node order, blocks, sets of every dimension, fields, odd names."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given, settings

from graphpde.core.graph import TagSet
from graphpde.errors import MeshReadError, OutputError, ShapeError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK, places
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, solid, square

netCDF4 = pytest.importorskip("netCDF4")

KINDS = [kind for kind in CELLS if CELLS[kind].dim and kind not in
         ("line4", "triangle10", "quad16", "tetra20", "hexahedron24", "hexahedron64")]  # fmt: skip
_UPRIGHT = "01 12 23 03 04 15 26 37 45 56 67 47"
_SIDEWAYS = "01 12 02 03 14 25 34 45 35"
EXODUS = VTK | {  # where the manual puts the nodes of the types whose order is not VTK's
    "hexahedron20": "0 1 2 3 4 5 6 7 " + _UPRIGHT,
    "hexahedron27": "0 1 2 3 4 5 6 7 " + _UPRIGHT + " 01234567 0123 4567 0347 1256 0145 2367",
    "wedge15": "0 1 2 3 4 5 " + _SIDEWAYS,
    "wedge18": "0 1 2 3 4 5 " + _SIDEWAYS + " 0134 1245 0235",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_type_comes_back_with_sets(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.standard_normal((70, 3)), {kind: [rng.permutation(70)[: CELLS[kind].nodes] for _ in range(3)]})
    mesh = mesh.with_tags(some=mesh.make_tag(mesh.dim, [0, 2]), point=TagSet(0, torch.tensor([5]), torch.tensor([5])))
    if mesh.dim > 1:
        mesh = mesh.with_tags(rim=mesh.make_tag(mesh.dim - 1, [0, 1]), edge=mesh.make_tag(1, [2]))
    assert write_mesh(tmp_path / "m.e", mesh) == ()
    assert_same(mesh, read_mesh(tmp_path / "m.e"))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind in VTK])
def test_nodes_stand_where_the_manual_puts_them(tmp_path: Path, kind: str) -> None:
    mesh = Mesh(places(kind, VTK[kind]), {kind: [[*range(CELLS[kind].nodes)]]})
    write_mesh(tmp_path / "m.e", mesh)
    with netCDF4.Dataset(tmp_path / "m.e") as file:
        file.set_auto_mask(False)
        x = np.stack([file.variables[f"coord{axis}"][:] for axis in "xyz"[: mesh.space_dim]], 1)
        assert np.allclose(x[file.variables["connect1"][0] - 1], places(kind, EXODUS[kind])[:, : mesh.space_dim])


@pytest.mark.parametrize("space_dim, first", [(2, 1), (3, 3)])
def test_sides_are_numbered_as_in_the_library(tmp_path: Path, space_dim: int, first: int) -> None:
    """Plane elements begin with edge 1; in 3-D the two faces of shells and triangles come first."""
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 1]])[:, :space_dim]
    mesh = Mesh(points, {"quad": [[0, 1, 2, 3]], "triangle": [[1, 4, 2]]})
    mesh = mesh.with_tags(rim=mesh.make_tag(1, mesh.find(1, torch.tensor([[3, 0], [1, 4]]))))
    write_mesh(tmp_path / "m.e", mesh)
    with netCDF4.Dataset(tmp_path / "m.e") as file:
        found = dict(zip(file.variables["elem_ss1"][:].tolist(), file.variables["side_ss1"][:].tolist()))
        assert found == {1: first + 3, 2: first}
        assert file.variables["connect1"].elem_type == ("SHELL4" if space_dim == 3 else "QUAD4")
    assert_same(mesh, read_mesh(tmp_path / "m.e"))


@pytest.mark.parametrize("make", [square, solid])
def test_fields_of_every_kind_come_back(tmp_path: Path, make) -> None:
    mesh = make()
    n, m = mesh.n, mesh.n_cells
    fields = {
        **{"u": torch.rand(n, 3, dtype=torch.float64), "a b": torch.rand(n), "ü": torch.ones(n) == 1},
        **{"i": torch.arange(n, dtype=torch.int16) - 3, "w": torch.rand(n, 1), "v": torch.rand(n, 2)},
        "odd": torch.tensor([-0.0, np.inf, -np.inf, np.nan, 5e-324] * n, dtype=torch.float64)[:n],
    }
    cells = {"k": torch.arange(m) + 2**53 - m, "T": torch.rand(m, 6)}
    assert write_mesh(tmp_path / "m.exo", mesh, point_data=fields, cell_data=cells) == ()
    back = read_mesh(tmp_path / "m.exo")
    assert_same(mesh, back)
    assert back.warnings == () and set(back.point_data) == set(fields) and set(back.cell_data) == set(cells)
    for name, values in (*fields.items(), *cells.items()):
        found = (back.point_data if name in fields else back.cell_data)[name]
        assert same_bits(found.numpy(), values.double().numpy()), name
    other = meshio.read(tmp_path / "m.exo")
    assert np.array_equal(other.points[:, : mesh.space_dim], mesh.points)
    assert np.array_equal(other.point_data["a b"], fields["a b"])
    assert np.array_equal(np.concatenate(other.cell_data["k"]), cells["k"])
    assert all(np.array_equal(other.get_cells_type(kind), nodes) for kind, nodes in mesh.cells.items())


def test_names_of_fields_never_clash(tmp_path: Path) -> None:
    u, x = torch.rand(4, 2, dtype=torch.float64), torch.rand(4, dtype=torch.float64)
    told = write_mesh(tmp_path / "m.e", square(), point_data={"u": u, "u_x": x, "big": torch.tensor([2**60 + 1] * 4)})
    assert told == ("whole numbers beyond 2^53 are rounded: big",
                    "1 names cannot be kept as they are: 'u_x' is 'u_x_2'")  # fmt: skip
    back = read_mesh(tmp_path / "m.e")
    assert torch.equal(back.point_data["u"], u) and torch.equal(back.point_data["u_x_2"], x)
    assert write_mesh(tmp_path / "n.e", square(), point_data={"none": torch.zeros(4, 0)}) == (
        "1 fields have no components and were left out: none",
    )
    with pytest.raises(ShapeError, match=r"field 'u' has shape \[3\]"):
        write_mesh(tmp_path / "m.e", square(), point_data={"u": torch.zeros(3)})


def test_sets_that_divide_the_mesh_are_blocks(tmp_path: Path) -> None:
    points = np.random.default_rng(0).random((9, 2))
    cells = {"triangle": [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]], "quad": [[5, 6, 7, 8]]}
    mesh = Mesh(points, cells)
    parts = {"steel": [0, 1], "7": [2, 3], "rubber": [4]}
    divided = mesh.with_tags(**{name: mesh.make_tag(2, ids) for name, ids in parts.items()})
    for extra, blocks, sets in (
        ({}, ["steel", "7", "rubber"], []),
        ({"all": [0, 1, 2, 3, 4], "tip": [1, 3]}, ["steel", "7", "rubber"], ["all", "tip"]),
        ({"tip": [2]}, ["steel", "7", "rubber"], ["tip"]),
        ({"steel": [0, 2]}, ["", ""], ["steel", "7", "rubber"]),
        ({"rubber": [3, 4], "7": [2]}, ["", ""], ["steel", "7", "rubber"]),
    ):
        tagged = divided.with_tags(**{name: mesh.make_tag(2, ids) for name, ids in extra.items()})
        write_mesh(tmp_path / "m.e", tagged)
        with netCDF4.Dataset(tmp_path / "m.e") as file:
            file.set_auto_mask(False)
            assert names(file, "eb") == blocks and names(file, "els") == sets
            assert (7 in file.variables["eb_prop1"][:]) == ("7" in blocks)
        assert_same(tagged, read_mesh(tmp_path / "m.e"))
    alone = Mesh(points, cells)
    alone = alone.with_tags(one=alone.make_tag(2, [0, 1, 2, 3, 4]))  # over two types of cells
    write_mesh(tmp_path / "m.e", alone)
    assert_same(alone, read_mesh(tmp_path / "m.e"))


def names(file, what: str) -> list[str]:
    key = f"{what}_names"
    return [b"".join(row).decode().rstrip("\0") for row in file.variables[key][:]] if key in file.variables else []


def test_odd_names_numbers_and_the_dimension_of_space(tmp_path: Path) -> None:
    flat = Mesh(np.c_[SQUARE_POINTS, np.full(4, 2.5)], SQUARE_CELLS)
    point = torch.tensor([1, 3])
    odd = {'a "b" <ü>\n/:|': flat.make_tag(1, [0]), "x" * 300: flat.make_tag(2, [0]), "p": TagSet(0, point, point)}
    odd |= {"12": flat.make_tag(1, [1]), "wall:1d": flat.make_tag(1, [2]), "wall:2d": flat.make_tag(2, [1])}
    assert write_mesh(tmp_path / "m.e", flat.with_tags(**odd)) == ()
    assert_same(flat.with_tags(**odd), read_mesh(tmp_path / "m.e"))
    with netCDF4.Dataset(tmp_path / "m.e") as file:
        assert file.variables["ss_prop1"][:].tolist() == [1, 12, 2]
    changed = flat.with_tags(**{"": odd["12"], " a ": odd["p"], "a": odd["wall:2d"], "b\0": odd["wall:1d"]})
    none = torch.empty(0, dtype=torch.int64)
    told = write_mesh(tmp_path / "m.e", changed.with_tags(void=TagSet(1, none, none)))
    assert told == (
        "1 named sets are empty and were left out: void",
        "3 names cannot be kept as they are: '' is 'unnamed', ' a ' is 'a_2', 'b\\x00' is 'b_'",
    )
    assert set(read_mesh(tmp_path / "m.e").tags) == {"unnamed", "a_2", "a", "b_"}
    network = Mesh(SQUARE_POINTS, {"line": [[0, 1], [0, 2], [0, 3]]})
    for mesh in (network, Mesh([[0.0], [2.0], [1.0]], {"line": [[0, 2], [2, 1]]})):
        tagged = mesh.with_tags(end=TagSet(0, point[:1], point[:1]), first=mesh.make_tag(1, [0]))
        write_mesh(tmp_path / "m.e", tagged)
        assert_same(tagged, read_mesh(tmp_path / "m.e"))


@settings(max_examples=40, deadline=None)
@given(random_meshes(tuple(KINDS)))
def test_random_meshes_come_back_in_every_bit(mesh: Mesh) -> None:
    with tempfile.TemporaryDirectory() as folder:
        told = write_mesh(Path(folder) / "m.e", mesh)
        back = read_mesh(Path(folder) / "m.e")
    assert same_bits(back.points.numpy(), mesh.points.numpy())
    assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
    assert told or set(back.tags) == set(mesh.tags)
    found = sorted((tag.dim, tag.ids.tolist()) for tag in back.tags.values())
    assert found == sorted((tag.dim, tag.ids.tolist()) for tag in mesh.tags.values())


def test_what_cannot_be_written_or_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match="Exodus has no element for triangle10 cells"):
        write_mesh(tmp_path / "m.e", Mesh(np.random.default_rng(0).random((10, 2)), {"triangle10": [[*range(10)]]}))
    write_mesh(tmp_path / "m.e", solid())
    whole = (tmp_path / "m.e").read_bytes()
    for key, value, reason in (
        ("edge_es1", 9, "edge set 'rim:1d' names edges that do not exist"),
        ("elem_ss1", 0, "side set 'mantle' names elements that do not exist"),
        ("elem_els1", 4, "element set 'some' names elements that do not exist"),
    ):
        write_mesh(tmp_path / "m.e", solid().with_tags(some=solid().make_tag(3, [0, 2])))
        with netCDF4.Dataset(tmp_path / "m.e", "r+") as file:
            file.variables[key][0] = value
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(tmp_path / "m.e")
    (tmp_path / "m.e").write_bytes(whole)
    monkeypatch.setitem(sys.modules, "netCDF4", None)
    with pytest.raises(OutputError, match=r'it needs netCDF4; run: pip install "graphpde\[io\]"'):
        write_mesh(tmp_path / "m.e", square())
    assert (tmp_path / "m.e").read_bytes() == whole


@pytest.mark.parametrize(
    "name",
    ["libmesh/exodus_elements/read_exodus_HEX20.e", "libmesh/exodus_elements/read_exodus_PRISM15.e",
     "libmesh/exodus_elements/read_exodus_TRISHELL3.e", "skfem/mixedtriquad.msh", "skfem/beams.msh"],
)  # fmt: skip
def test_real_meshes_survive(meshes: Path, tmp_path: Path, name: str) -> None:
    if not (meshes / name).is_file():
        pytest.skip(f"{name} is absent")
    mesh = read_mesh(meshes / name)
    write_mesh(tmp_path / "m.e", mesh)
    back = read_mesh(tmp_path / "m.e")
    assert_same(mesh, back)
    assert all(torch.equal(back.point_data[k], v.double()) for k, v in mesh.point_data.items())


def test_the_row_of_the_format_says_what_is_kept() -> None:
    assert FORMATS["exodus"].sets == "all" and FORMATS["exodus"].keeps_fields
