"""What a file means and every guard of reading."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import pickle
import warnings
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch

from graphpde.errors import InputError, MeshReadError, UnknownName
from graphpde.mesh.io import read_mesh, write_mesh
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, square

# what a file means


def write_meshio(path: Path, points: object, cells: object, **more: object) -> Path:
    meshio.Mesh(np.asarray(points, dtype=float), cells, **more).write(path)
    return path


def test_plane_surfaces_become_two_dimensional_only_in_a_plane_of_constant_z(tmp_path: Path) -> None:
    for extension in ("vtk", "obj"):
        path = write_meshio(tmp_path / f"a.{extension}", np.c_[SQUARE_POINTS, np.zeros(4)], SQUARE_CELLS)
        assert read_mesh(path).space_dim == 2 and read_mesh(path).warnings == ()
    raised = read_mesh(write_meshio(tmp_path / "b.vtk", np.c_[SQUARE_POINTS, np.full(4, 5.0)], SQUARE_CELLS))
    assert raised.space_dim == 2 and "constant coordinate z = 5" in raised.warnings[0]
    upright = np.stack([SQUARE_POINTS[:, 0], np.zeros(4), SQUARE_POINTS[:, 1]], 1)
    assert read_mesh(write_meshio(tmp_path / "c.vtk", upright, SQUARE_CELLS)).space_dim == 3
    noisy = np.c_[SQUARE_POINTS, [0, 1e-13, 0, 0]]
    assert read_mesh(write_meshio(tmp_path / "d.vtk", noisy, SQUARE_CELLS)).space_dim == 2
    bent = np.c_[SQUARE_POINTS, [0, 1e-10, 0, 0]]
    assert read_mesh(write_meshio(tmp_path / "e.vtk", bent, SQUARE_CELLS)).space_dim == 3


def test_intervals_become_one_dimensional_and_networks_keep_their_space(tmp_path: Path) -> None:
    x = np.zeros((4, 3))
    x[:, 0] = np.arange(4)
    chain = write_meshio(tmp_path / "chain.vtk", x, {"line": np.array([[0, 1], [1, 2], [2, 3]])})
    assert read_mesh(chain).space_dim == 1
    star = write_meshio(tmp_path / "star.vtk", x, {"line": np.array([[0, 1], [1, 2], [1, 3]])})
    assert read_mesh(star).space_dim == 3
    x[2, 1] = 1
    bent = write_meshio(tmp_path / "bent.vtk", x, {"line": np.array([[0, 1], [1, 2], [2, 3]])})
    assert read_mesh(bent).space_dim == 3


def test_lower_cells_without_a_name_become_a_set_named_after_their_type(tmp_path: Path) -> None:
    cells = [("triangle", SQUARE_CELLS["triangle"]), ("line", np.array([[1, 0], [1, 2]])), ("vertex", np.array([[3]]))]
    mesh = read_mesh(write_meshio(tmp_path / "m.vtk", np.c_[SQUARE_POINTS, np.zeros(4)], cells))
    assert {name: (tag.dim, tag.nodes.tolist()) for name, tag in mesh.tags.items()} == {
        "line": (1, [0, 1, 2]),
        "vertex": (0, [3]),
    }
    assert torch.equal(mesh.find(1, torch.tensor([[0, 1], [1, 2]])).sort().values, mesh.tag("line").ids)


def test_cells_that_are_no_part_of_the_mesh_are_dropped_and_counted(tmp_path: Path) -> None:
    points = np.c_[np.r_[SQUARE_POINTS, [[5, 5], [1, 0]]], np.zeros(6)]
    cells = [("triangle", SQUARE_CELLS["triangle"]), ("line", np.array([[0, 1], [1, 3], [3, 4]]))]
    mesh = read_mesh(write_meshio(tmp_path / "m.vtk", points, cells))
    assert mesh.tag("line").nodes.tolist() == [0, 1]
    assert "2 of 3 line cells are no part of a 2-D cell and were dropped" in mesh.warnings
    assert "2 of 6 points belong to no cell and carry no unknowns" in mesh.warnings
    assert mesh.n == 6


def test_odd_cells_are_counted_and_kept(tmp_path: Path) -> None:
    points = np.array([[0.0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0], [2, 0, 0]])
    cells = {"triangle": np.array([[0, 1, 2], [0, 3, 4], [0, 1, 5], [0, 1, 2]])}
    mesh = read_mesh(write_meshio(tmp_path / "m.vtk", points, cells))
    assert mesh.n_cells == 4
    for sentence in (
        "1 of 6 points coincide",
        "1 of 4 cells stand on the same points as another",
        "1 of 4 cells have zero size, first 2",
        "1 of 4 cells have negative orientation",
        "1 edges belong to more than two cells",
    ):
        assert any(sentence in warning for warning in mesh.warnings), sentence


def test_a_point_set_that_repeats_a_facet_set_is_one_set(tmp_path: Path) -> None:
    deck = "*NODE\n1,0,0\n2,1,0\n3,1,1\n4,0,1\n*ELEMENT,TYPE=CPS4\n9,1,2,3,4\n*SURFACE,NAME=low\n9,S1\n*NSET,NSET=low\n"
    (tmp_path / "same.inp").write_text(deck + "1,2\n")
    assert read_mesh(tmp_path / "same.inp").tags["low"].dim == 1
    (tmp_path / "other.inp").write_text(deck + "1,2,3\n")
    assert set(read_mesh(tmp_path / "other.inp").tags) == {"low:0d", "low:1d"}


def test_integer_tags_are_found_by_number(tmp_path: Path) -> None:
    (tmp_path / "m.mesh").write_text(
        "MeshVersionFormatted 1\nDimension 2\nVertices\n4\n0 0 0\n1 0 0\n1 1 0\n0 1 0\n"
        "Edges\n2\n1 2 7\n2 3 9\nTriangles\n2\n1 2 3 1\n1 3 4 9\nEnd\n"
    )
    mesh = read_mesh(tmp_path / "m.mesh")
    assert mesh.tag(7).nodes.tolist() == [0, 1]
    assert mesh.tag("9:2d").ids.tolist() == [1] and mesh.tag("9:1d").nodes.tolist() == [1, 2]
    assert mesh.cell_data["medit:ref"].tolist() == [1, 9]


# guards


def test_missing_file_folder_empty_file_and_device(tmp_path: Path) -> None:
    (tmp_path / "plate.msh").write_text("x")
    with pytest.raises(MeshReadError, match="there is no such file; did you mean 'plate.msh'"):
        read_mesh(tmp_path / "plat.msh")
    with pytest.raises(MeshReadError, match="there is no such file .nor a folder"):
        read_mesh(tmp_path / "no" / "plate.msh")
    with pytest.raises(MeshReadError, match="it is a folder"):
        read_mesh(tmp_path)
    (tmp_path / "empty.msh").touch()
    with pytest.raises(MeshReadError, match="the file is empty"):
        read_mesh(str(tmp_path / "empty.msh"))
    with pytest.raises(MeshReadError, match="not a regular file"):
        read_mesh("/dev/null", format="gmsh")
    with pytest.raises(InputError, match="must be a string or path, got int"):
        read_mesh(7)
    with pytest.raises(MeshReadError, match="path cannot be used"):
        read_mesh("a\0b.msh")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = tmp_path / "m.msh"
    path.write_text("$MeshFormat")
    path.chmod(0)
    with pytest.raises(MeshReadError, match="you may not read it"):
        read_mesh(path)


def test_unknown_formats_name_the_known_ones(tmp_path: Path) -> None:
    (tmp_path / "m.sut2").write_text("x")
    with pytest.raises(MeshReadError, match=r"unknown extension '.sut2'; known: .*\.vtu.*did you mean '\.su2'"):
        read_mesh(tmp_path / "m.sut2")
    with pytest.raises(UnknownName, match="unknown mesh format 'gmsch'.*did you mean 'gmsh'"):
        read_mesh(tmp_path / "m.sut2", format="gmsch")
    (tmp_path / "noextension").write_text("hello")
    with pytest.raises(MeshReadError, match="no extension and its content is not recognised"):
        read_mesh(tmp_path / "noextension")


@pytest.mark.parametrize(
    "name, content, reason",
    [
        ("a.mesh", "MFEM mesh v1.0\n", "ends after its title"),
        ("a.mesh", "hello\n", "does not begin with MeshVersionFormatted"),
        ("a.msh", "$NOD\n3\n", "old Gmsh format 1"),
        ("a.msh", "hello\n", "neither like a Gmsh file"),
        ("a.msh", "$MeshFormat\n3.0 0 8\n$EndMeshFormat\n", "format 3.0 is not supported"),
        ("a.inp", "\x07binary", "binary AVS-UCD"),
        ("a.inp", "hello\n", "neither like an Abaqus deck"),
        ("a.dat", "hello\n", "neither like a Tecplot file"),
        ("a.unv", "    -1\n", "its last dataset has no end"),
        ("a.step", "ISO-10303-21;\n", "geometry, not a mesh"),
        ("a.vtp", "<VTKFile/>", "holds VTKFile, expected a PolyData"),
        ("a.h5", "x", "read the .xdmf file beside it"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 3\n", "header does not end"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 0\nend_header\n", "no vertices or no faces"),
        (
            "a.ply",
            "ply\nformat ascii 1.0\nelement vertex 999999\nelement face 1\nend_header\n",
            "declares 999999 vertex",
        ),
        ("a.stl", "solid x\nfacet normal 0 0 1\n" + 90 * " ", "without 'endsolid'"),
        ("a.stl", 80 * "b" + "\xff\xff\x00\x7f" + 50 * "x", "declares .* triangles and has only"),
        (
            "a.mesh",
            "MeshVersionFormatted 1\nDimension 3\nVertices\n999999999\n0 0 0 0\n",
            "declares 999999999 rows",
        ),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n5 0 1 2 0 7\n", "one of its polygons names point 7, expected 0..2"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "names point 7, expected 0..2"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 nan\n3 0 1 2\n", "1 points of 'a.off' are not finite"),
        ("a.off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "3 points and no cells"),
        ("a.xdmf", '<!DOCTYPE x [<!ENTITY a "b">]><Xdmf/>', "defines entities"),
        ("a.xdmf", '<Xdmf><Grid CollectionType="Temporal"/></Xdmf>', "no Domain with a Grid"),
        (
            "a.vtk",
            "# vtk DataFile Version 3.0\nt\nASCII\nDATASET STRUCTURED_POINTS\nDIMENSIONS 10000 10000 10000\n",
            "implies",
        ),
        ("a.node", "3 3 0 0\n1 0 0 0\n2 1 0 0\n3 0 1 0\n", "needs the file 'a.ele'"),
        ("a.bdf", "BEGIN BULK\nINCLUDE '/etc/passwd'\nENDDATA\n", "outside the folder"),
        ("a.inp", "*HEADING\n*INCLUDE, INPUT=/etc/passwd\n", "outside the folder"),
        ("a.inp", "*HEADING\n*INCLUDE, INPUT=a.inp\n", "8 files deep"),
    ],
)
def test_refusals_are_one_true_sentence(tmp_path: Path, name: str, content: str, reason: str, capfd) -> None:
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with warnings.catch_warnings(record=True) as raised, pytest.raises(MeshReadError, match=reason) as caught:
        warnings.simplefilter("always")
        read_mesh(tmp_path / name)
    assert caught.value.path == str(tmp_path / name) and "\n" not in caught.value.reason
    assert pickle.loads(pickle.dumps(caught.value)).reason == caught.value.reason
    assert raised == [] and capfd.readouterr() == ("", "")


def test_an_exit_anywhere_on_the_way_becomes_the_error_too(tmp_path: Path, monkeypatch) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(1)

    write_mesh(tmp_path / "m.msh", square())
    monkeypatch.setattr("graphpde.mesh.io.read.to_mesh", leave)
    with pytest.raises(MeshReadError, match="its content is not valid Gmsh"):
        read_mesh(tmp_path / "m.msh")


def test_what_meshio_says_becomes_a_warning_of_the_mesh(tmp_path: Path, capfd) -> None:
    (tmp_path / "m.mesh").write_text(
        "MeshVersionFormatted 1\nDimension 2\nVertices\n3\n0 0 0\n1 0 0\n1 1 0\nTriangles\n1\n1 2 3 0\n"
        "Ridges\n1\n1\nEnd\n"
    )
    assert any("Ridges" in sentence for sentence in read_mesh(tmp_path / "m.mesh").warnings)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix, pack", [(".gz", gzip.compress), (".xz", lzma.compress), (".bz2", bz2.compress)])
def test_packed_files_are_unpacked_within_bounds(tmp_path: Path, suffix: str, pack, monkeypatch) -> None:
    write_mesh(tmp_path / "m.msh", square())
    packed = tmp_path / f"m.MSH{suffix}"
    packed.write_bytes(pack((tmp_path / "m.msh").read_bytes()))
    assert_same(square(), read_mesh(packed), numbers=False)
    packed.write_bytes(pack((tmp_path / "m.msh").read_bytes())[:-20])
    with pytest.raises(MeshReadError, match="no intact|not closed"):
        read_mesh(packed)
    packed.write_bytes(b"hello")
    with pytest.raises(MeshReadError, match="no intact"):
        read_mesh(packed)
    monkeypatch.setattr("graphpde.mesh.io.read._SMALL", 1000)
    packed.write_bytes(pack(b"0" * 100000))
    with pytest.raises(MeshReadError, match="unpacks to more than"):
        read_mesh(packed)
    with pytest.raises(MeshReadError, match="names other files"):
        (tmp_path / f"m.xdmf{suffix}").write_bytes(pack(b"<Xdmf/>"))
        read_mesh(tmp_path / f"m.xdmf{suffix}")


def test_hdf5_that_links_elsewhere_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["x"] = np.arange(3)
    with h5py.File(tmp_path / "m.med", "w") as file:
        file.create_group("a")["x"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/x")
    with pytest.raises(MeshReadError, match="'x' links to another file"):
        read_mesh(tmp_path / "m.med")
    with h5py.File(tmp_path / "n.med", "w") as file:
        file.create_dataset("x", (3,), dtype="i8", external=[(str(tmp_path / "raw.bin"), 0, 24)])
    with pytest.raises(MeshReadError, match="'x' stores its numbers in another file"):
        read_mesh(tmp_path / "n.med")


def test_a_link_out_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "part.inp").write_text("*NODE\n1,0,0\n")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link.inp").symlink_to(tmp_path / "out" / "part.inp")
    (tmp_path / "in" / "m.inp").write_text("*INCLUDE, INPUT=link.inp\n")
    with pytest.raises(MeshReadError, match="outside the folder"):
        read_mesh(tmp_path / "in" / "m.inp")
