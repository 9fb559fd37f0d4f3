"""Legacy VTK as it is written: every cell type, fields, sets with odd names, other readers, cuts."""

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
from graphpde.errors import MeshReadError, OutputError, ShapeError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.io.raw import Block, RawMesh, Unreadable
from graphpde.mesh.io.vtk import legacy_read as vtk_read
from graphpde.mesh.io.vtk import legacy_write as vtk_write
from graphpde.mesh.io.vtk.sets import restore, stored
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, put, solid, square

FILE = (
    b"# vtk DataFile Version 4.2\nwritten by graphpde\nBINARY\nDATASET UNSTRUCTURED_GRID\n"
    b"FIELD FieldData 2\nspace_dim 1 1 int\n\0\0\0\2\nset:a%20b 1 3 int\n\0\0\0\2\0\0\0\0\0\0\0\0\n"
    b"POINTS 3 double\n" + np.array([[0, 0, 0], [1, 0, 0], [0, 2, 0]], ">f8").tobytes() + b"\n"
    b"CELLS 1 4\n\0\0\0\3\0\0\0\0\0\0\0\1\0\0\0\2\nCELL_TYPES 1\n\0\0\0\5\n"
    b"POINT_DATA 3\nFIELD FieldData 1\n100%25 1 3 unsigned_char\n\1\2\3\n"
)


def test_the_bytes_of_a_file(tmp_path: Path) -> None:
    mesh = Mesh([[0.0, 0], [1, 0], [0, 2]], {"triangle": [[0, 1, 2]]})
    mesh = mesh.with_tags(**{"a b": mesh.make_tag(2, [0])})
    write_mesh(tmp_path / "m.vtk", mesh, point_data={"100%": torch.tensor([1, 2, 3], dtype=torch.uint8)})
    assert (tmp_path / "m.vtk").read_bytes() == FILE


@pytest.mark.parametrize("kind", [kind for kind in CELLS if CELLS[kind].dim])
def test_every_cell_type_comes_back(tmp_path: Path, kind: str) -> None:
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.standard_normal((70, 3)), {kind: [rng.permutation(70)[: CELLS[kind].nodes] for _ in range(3)]})
    mesh = mesh.with_tags(some=mesh.make_tag(mesh.dim, [0, 2]), rim=mesh.make_tag(mesh.dim - 1, [1]))
    assert write_mesh(tmp_path / "m.vtk", mesh) == ()
    assert_same(mesh, read_mesh(tmp_path / "m.vtk"))
    if CELLS[kind].vtk <= 35 and kind in topological_dimension:  # where meshio's tables end
        other = meshio.read(tmp_path / "m.vtk")
        assert np.array_equal(other.points, mesh.points) and np.array_equal(other.cells_dict[kind], mesh.cells[kind])


@pytest.mark.parametrize("make", [square, solid])
def test_sets_fields_and_mixed_cells_come_back(tmp_path: Path, make) -> None:
    mesh = make()
    fields = {
        **{"u": torch.rand(mesh.n, 3, dtype=torch.float64), "a b": torch.rand(mesh.n), "ü%20\n\"'": torch.ones(mesh.n)},
        **{"i": torch.arange(mesh.n, dtype=torch.int16) - 3, "b": torch.arange(mesh.n) > 1},
    }
    cells = {"k": torch.arange(mesh.n_cells), "big": torch.arange(mesh.n_cells) + 2**40}
    assert write_mesh(tmp_path / "m.vtk", mesh, point_data=fields, cell_data=cells) == ()
    back = read_mesh(tmp_path / "m.vtk")
    assert_same(mesh, back)
    assert back.warnings == ()
    assert set(back.point_data) == set(fields) and set(back.cell_data) == set(cells)
    for name, values in fields.items():
        kind = torch.int8 if values.dtype == torch.bool else values.dtype
        assert torch.equal(back.point_data[name], values.to(kind)) and back.point_data[name].dtype == kind
    assert torch.equal(back.cell_data["k"], cells["k"].int()) and torch.equal(back.cell_data["big"], cells["big"])


def test_odd_names_and_the_dimension_of_space(tmp_path: Path) -> None:
    flat = Mesh(np.c_[SQUARE_POINTS, np.zeros(4)], SQUARE_CELLS)
    point = torch.tensor([1, 3])
    named = flat.with_tags(
        **{'a "b" <ü>\n/%41': flat.make_tag(1, [0]), "": flat.make_tag(2, [0]), "p": TagSet(0, point, point)}
    )
    write_mesh(tmp_path / "flat.vtk", named)
    back = read_mesh(tmp_path / "flat.vtk")
    assert back.space_dim == 3
    assert_same(named, back)
    network = Mesh(SQUARE_POINTS, {"line": [[0, 1], [0, 2], [0, 3]]})
    write_mesh(tmp_path / "network.vtk", network)
    assert_same(network, read_mesh(tmp_path / "network.vtk"))


def test_meshio_reads_fields(tmp_path: Path) -> None:
    mesh = solid()
    u, k = torch.rand(mesh.n, 3, dtype=torch.float64), torch.arange(mesh.n_cells)
    write_mesh(tmp_path / "m.vtk", mesh, point_data={"u": u}, cell_data={"k": k})
    other = meshio.read(tmp_path / "m.vtk")
    assert np.array_equal(other.points, mesh.points) and np.array_equal(other.point_data["u"], u)
    assert set(other.point_data) == {"u"} and [part.tolist() for part in other.cell_data["k"]] == [[0], [1], [2]]
    assert {block.type: block.data.tolist() for block in other.cells} == {k: v.tolist() for k, v in mesh.cells.items()}


def test_every_cut_is_refused_or_whole(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "m.vtk", FILE))
    refused = 0
    for stop in range(1, len(FILE)):
        try:
            cut = read_mesh(put(tmp_path, "m.vtk", FILE[:stop]))
        except MeshReadError:
            refused += 1
        else:
            assert_same(mesh, cut)
            assert stop > FILE.index(b"CELL_TYPES")
    assert refused > 0.75 * len(FILE)


def test_damaged_sets_are_refused(tmp_path: Path) -> None:
    mesh = square()
    arrays, cells = stored(mesh), [np.arange(2)]

    def broken(**new) -> dict:
        return {**arrays, **{name.replace("_", ":", 1) if name != "space_dim" else name: v for name, v in new.items()}}

    raw = RawMesh(SQUARE_POINTS, [Block("triangle", SQUARE_CELLS["triangle"])])
    for values, reason in (
        ([2, 0, 2], "the set 'steel' names cells that do not exist"),
        ([2, 0, -1], "the set 'steel' names cells that do not exist"),
        ([2], "the set 'steel' is damaged"),
        ([1, 2, 0], "the set 'steel' is damaged"),
        ([1, -1, 0], "the set 'steel' is damaged"),
        ([2.0, 0.0, 1.0], "the set 'steel' is damaged"),
    ):
        with pytest.raises(Unreadable, match=reason):
            restore(raw, broken(set_steel=np.array(values)), cells)
    with pytest.raises(Unreadable, match="the set 'space_dim' is damaged"):
        restore(raw, broken(space_dim=np.array([])), cells)
    restore(raw, {"set:alien": np.array([9, 9, 9])}, cells)  # without space_dim it is another program's
    assert raw.space_dim == 2 or not raw.cell_sets


def test_what_cannot_be_written(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(ShapeError, match="field 'u' has shape"):
        write_mesh(tmp_path / "m.vtk", square(), point_data={"u": torch.zeros(3)})
    large = square()
    monkeypatch.setattr(Mesh, "n", 2**31)
    with pytest.raises(OutputError, match="too large for legacy VTK; write a .vtu file instead"):
        vtk_write.write(tmp_path / "m.vtk", large, {}, {})


@settings(max_examples=60, deadline=None)
@given(random_meshes(tuple(kind for kind in CELLS if CELLS[kind].dim and CELLS[kind].nodes < 30)))
def test_random_meshes_come_back(mesh: Mesh) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.vtk"
        assert write_mesh(path, mesh) == ()
        assert same_bits(vtk_read.read(path).points, mesh.points.numpy())
        assert_same(mesh, read_mesh(path))


def test_the_table_of_orders_covers_the_types_above() -> None:
    assert set(VTK) <= set(CELLS)
