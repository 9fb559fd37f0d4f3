"""Writing meshes: round trips, fields, what a format cannot hold, files that are whole or not there."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import torch

from graphpde.errors import OutputError, ShapeError
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh, write_vtu
from graphpde.mesh.io import write as write_module
from graphpde.mesh.io.aside import written_aside
from graphpde.mesh.io.findings import findings
from graphpde.mesh.io.vtk import vtu_write as vtu
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, solid, square


@pytest.mark.parametrize("make", [square, solid])
def test_vtu_gives_back_points_cells_sets_and_fields(tmp_path: Path, make) -> None:
    mesh = make()
    u = torch.rand(mesh.n, 3, dtype=torch.float64)
    k = torch.arange(mesh.n_cells)
    assert write_mesh(tmp_path / "m.vtu", mesh, point_data={"u": u}, cell_data={"k & 'k'": k}) == ()
    back = read_mesh(tmp_path / "m.vtu")
    assert_same(mesh, back)
    assert torch.equal(back.point_data["u"], u) and torch.equal(back.cell_data["k & 'k'"], k)
    assert back.warnings == ()


def test_vtu_keeps_odd_names_and_the_dimension_of_space(tmp_path: Path) -> None:
    flat = Mesh(np.c_[SQUARE_POINTS, np.zeros(4)], SQUARE_CELLS)
    named = flat.with_tags(**{'a "b" <ü>\n/': flat.make_tag(1, [0]), "self": flat.make_tag(2, [0])})
    write_mesh(tmp_path / "flat.vtu", named)
    back = read_mesh(tmp_path / "flat.vtu")
    assert back.space_dim == 3
    assert_same(named, back)
    network = Mesh(SQUARE_POINTS, {"line": [[0, 1], [0, 2], [0, 3]]})
    write_mesh(tmp_path / "network.vtu", network)
    assert_same(network, read_mesh(tmp_path / "network.vtu"))


def test_meshio_reads_our_vtu_and_our_msh(tmp_path: Path) -> None:
    mesh = solid()
    u = torch.rand(mesh.n, dtype=torch.float32)
    for extension in (".vtu", ".msh"):
        write_mesh(tmp_path / f"m{extension}", mesh, point_data={"u": u} if extension == ".vtu" else None)
        other = meshio.read(tmp_path / f"m{extension}")
        assert np.array_equal(other.points, mesh.points)
        for kind, nodes in mesh.cells.items():
            assert np.array_equal(other.get_cells_type(kind), nodes)
    other = meshio.read(tmp_path / "m.vtu")
    assert np.array_equal(other.point_data["u"], u) and other.point_data["u"].dtype == np.float32


@pytest.mark.parametrize("make", [square, solid])
def test_gmsh_gives_back_every_set_also_overlapping_ones(tmp_path: Path, make) -> None:
    mesh = make()
    assert write_mesh(tmp_path / "m.msh", mesh) == ()
    back = read_mesh(tmp_path / "m.msh")
    plain = {name.removesuffix(":1d"): tag for name, tag in mesh.tags.items()}
    assert_same(Mesh(mesh.points, mesh.cells, tags=plain), back, numbers=False)


def test_gmsh_keeps_numbers_as_group_numbers_and_meshes_without_sets(tmp_path: Path) -> None:
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS)
    mesh = mesh.with_tags(**{"7": mesh.make_tag(1, [0]), "x": mesh.make_tag(1, [1])})
    write_mesh(tmp_path / "m.msh", mesh)
    assert '"7"' not in (tmp_path / "m.msh").read_text()
    assert_same(mesh, read_mesh(tmp_path / "m.msh"), numbers=False)
    write_mesh(tmp_path / "bare.msh", Mesh(SQUARE_POINTS, SQUARE_CELLS))
    assert read_mesh(tmp_path / "bare.msh").tags == {}


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.write])
def test_every_written_format_reads_back(tmp_path: Path, name: str, capfd) -> None:
    for module in {"exodus": ["netCDF4"], "med": ["h5py"]}.get(name, []):
        pytest.importorskip(module)
    known = FORMATS[name]
    mesh = square()
    path = tmp_path / f"m{known.extensions[0]}"
    lost = write_mesh(path, mesh, point_data={"u": torch.arange(4.0)})
    back = read_mesh(path, format=name)
    assert {k: len(v) for k, v in back.cells.items()} == {"triangle": 2}
    assert back.space_dim == 2 and torch.allclose(back.points, mesh.points)
    if known.keeps_fields:
        assert torch.equal(back.point_data["u"].double(), torch.arange(4.0).double())
    assert any("keeps no fields: 1 dropped (u)" in sentence for sentence in lost) != known.keeps_fields
    left = [name for name, tag in mesh.tags.items() if tag.dim not in known.set_dims(mesh.dim)]
    assert any("named sets" in sentence for sentence in lost) == bool(left)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["vtk", "xdmf", "avsucd", "nastran", "exodus", "med", "netgen", "su2", "abaqus"])
def test_solids_come_back_with_their_corners_in_order(tmp_path: Path, name: str) -> None:
    for module in {"exodus": ["netCDF4"], "med": ["h5py"]}.get(name, []):
        pytest.importorskip(module)
    points = np.r_[solid().points.numpy(), [[3, 0, 0]]]
    cells = {**solid().cells, "tetra": [[8, 11, 3, 9]]}
    mesh = Mesh(points, cells)
    assert not any("orientation" in sentence for sentence in findings(mesh))
    write_mesh(tmp_path / f"m{FORMATS[name].extensions[0]}", mesh)
    back = read_mesh(tmp_path / f"m{FORMATS[name].extensions[0]}")
    assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
    assert torch.allclose(back.points, mesh.points)
    assert not any("orientation" in sentence for sentence in back.warnings)


def test_unwritable_targets(tmp_path: Path) -> None:
    for extension in (".vtu", ".msh", ".vtk", ".su2"):
        with pytest.raises(OutputError, match="there is no folder .*create it first"):
            write_mesh(tmp_path / "no" / f"m{extension}", square())
        (tmp_path / f"folder{extension}").mkdir()
        with pytest.raises(OutputError, match="it is a folder"):
            write_mesh(tmp_path / f"folder{extension}", square())
    with pytest.raises(OutputError, match=r"unknown extension '.vtx'; known: .*did you mean"):
        write_mesh(tmp_path / "m.vtx", square())
    with pytest.raises(OutputError, match="unknown extension '.cgns'"):
        write_mesh(tmp_path / "m.cgns", square())
    assert sorted(p.name for p in tmp_path.iterdir()) == [f"folder.{e}" for e in ("msh", "su2", "vtk", "vtu")]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_forbidden_folder(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="you may not write into the folder"):
        write_mesh(tmp_path / "m.vtu", square())


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "m.vtu"
    write_mesh(path, square())
    old = path.read_bytes()
    with pytest.raises(OutputError, match="the disk is full"), written_aside(path) as aside:
        aside.write_bytes(b"half")
        raise OSError(28, "No space left on device")
    with pytest.raises(KeyboardInterrupt), written_aside(path) as aside:
        aside.write_bytes(b"half")
        raise KeyboardInterrupt
    assert path.read_bytes() == old and [p.name for p in tmp_path.iterdir()] == ["m.vtu"]


def test_a_file_that_does_not_read_back_never_appears(tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(OutputError, match="'m.off': OFF holds triangles and quadrilaterals, not 1 line"):
        write_mesh(tmp_path / "m.off", Mesh(SQUARE_POINTS, {"line": [[0, 1]]}))
    with pytest.raises(OutputError, match="'m.obj': OBJ holds lines, triangles and quadrilaterals, not 1 hexahedron"):
        write_mesh(tmp_path / "m.obj", solid())
    with pytest.raises(OutputError, match="gmsh has no element for triangle7 cells"):
        write_mesh(tmp_path / "m.msh", Mesh(np.random.default_rng(0).random((7, 2)), {"triangle7": [list(range(7))]}))
    with pytest.raises(OutputError, match="SU2 knows linear cells of plane and solid meshes only"):
        write_mesh(tmp_path / "m.su2", Mesh(np.c_[SQUARE_POINTS, np.ones(4)], SQUARE_CELLS))

    def scaled(path: Path, mesh: Mesh, *data: Any) -> list[str]:
        return vtu.write(path, mesh.with_points(2 * mesh.points), *data)

    def use(faulty: Any) -> None:
        changed = replace(FORMATS["vtk"], read=FORMATS["vtu"].read, write=faulty)
        monkeypatch.setattr(write_module, "FORMATS", {**FORMATS, "vtk": changed})

    use(scaled)
    with pytest.raises(OutputError, match="its coordinates do not survive"):
        write_mesh(tmp_path / "m.vtk", square())

    def cut(path: Path, *data: Any) -> list[str]:
        lost = vtu.write(path, *data)
        path.write_bytes(path.read_bytes()[:-90])
        return lost

    use(cut)
    with pytest.raises(OutputError, match="what was written does not read back"):
        write_mesh(tmp_path / "m.vtk", square())
    assert list(tmp_path.iterdir()) == []


def test_fields_of_the_wrong_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match=r"field 'u' has shape \[5\], expected \[4\] or \[4, c\] for the points"):
        write_vtu(tmp_path / "m.vtu", square(), {"u": torch.zeros(5)})
    with pytest.raises(ShapeError, match=r"field 'k' has shape \[4\], expected \[2\] or \[2, c\] for the cells"):
        write_vtu(tmp_path / "m.vtu", square(), cell_data={"k": torch.zeros(4)})
    with pytest.raises(ShapeError, match="field 'u' is complex"):
        write_vtu(tmp_path / "m.vtu", square(), {"u": torch.zeros(4, dtype=torch.complex64)})
    assert list(tmp_path.iterdir()) == []


def test_frames_carry_every_kind_of_number(tmp_path: Path) -> None:
    mesh = square()
    kinds = (torch.float64, torch.float32, torch.int64, torch.int32, torch.int8, torch.uint8)
    fields = {str(kind): torch.arange(4).to(kind) for kind in kinds}
    fields |= {"bool": torch.tensor([True, False, True, True]), "half": torch.arange(4).half()}
    fields["needs grad"] = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    for _ in range(2):  # the second frame reuses the encoded grid
        write_vtu(tmp_path / "frame.vtu", mesh, fields)
        back = read_mesh(tmp_path / "frame.vtu")
        assert torch.equal(back.points, mesh.points) and back.tags == {}
        for kind in kinds:
            assert torch.equal(back.point_data[str(kind)], fields[str(kind)])
            assert back.point_data[str(kind)].dtype == kind
        assert back.point_data["bool"].tolist() == [1, 0, 1, 1]
        assert back.point_data["half"].dtype == torch.float32
        assert back.point_data["needs grad"].shape == (4, 2)
