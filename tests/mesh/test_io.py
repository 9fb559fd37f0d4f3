"""Reading and writing meshes: what a file means, every guard, round trips (single formats: test_io_formats)."""

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

from graphpde.core.graph import TagSet
from graphpde.errors import InputError, MeshReadError, OutputError, ShapeError, UnknownName
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh, write_vtu
from graphpde.mesh.io import bridge as bridge_module
from graphpde.mesh.io import write as write_module
from graphpde.mesh.io.aside import written_aside
from graphpde.mesh.io.findings import findings
from graphpde.mesh.mesh import Mesh

SQUARE_POINTS = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
SQUARE_CELLS = {"triangle": np.array([[0, 1, 2], [0, 2, 3]])}


def square(**more: object) -> Mesh:
    """The unit square in two triangles with overlapping cell sets, a facet set and a point set."""
    mesh = Mesh(SQUARE_POINTS, SQUARE_CELLS, **more)
    bottom = mesh.find(1, torch.tensor([[1, 0]]))
    right = mesh.find(1, torch.tensor([[1, 2]]))
    return mesh.with_tags(
        all=mesh.make_tag(2, [0, 1]),
        steel=mesh.make_tag(2, [1]),
        bottom=mesh.make_tag(1, bottom),
        wall=mesh.make_tag(1, torch.cat([bottom, right])),
        corner=TagSet(0, torch.tensor([2]), torch.tensor([2])),
    )


def solid() -> Mesh:
    """A hexahedron, a wedge on its side and a pyramid on top, with sets of faces of both widths and of edges."""
    points = [[x, y, z] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    points += [[2, 0, 0], [2, 0, 1], [0.5, 0.5, 2]]
    cells = {"hexahedron": [[0, 1, 3, 2, 4, 5, 7, 6]], "wedge": [[1, 8, 3, 5, 9, 7]], "pyramid": [[4, 5, 7, 6, 10]]}
    mesh = Mesh(points, cells)
    faces = mesh.find(2, torch.tensor([[0, 1, 3, 2], [1, 8, 3, -1], [4, 5, 10, -1]]))
    edges = mesh.find(1, torch.tensor([[0, 1], [8, 9]]))
    return mesh.with_tags(**{"mantle": mesh.make_tag(2, faces), "rim:1d": mesh.make_tag(1, edges)})


def assert_same(a: Mesh, b: Mesh, numbers: bool = True) -> None:
    """The same points, cells and sets; ``numbers=False`` where the cells may come back in another order."""
    assert torch.equal(a.points, b.points)
    assert {k: v.shape for k, v in a.cells.items()} == {k: v.shape for k, v in b.cells.items()}
    assert set(a.tags) == set(b.tags)
    for name, tag in a.tags.items():
        assert tag.dim == b.tags[name].dim
        assert torch.equal(tag.nodes, b.tags[name].nodes)
        assert len(tag.ids) == len(b.tags[name].ids)
        if numbers:
            assert torch.equal(tag.ids, b.tags[name].ids)
    if numbers:
        assert all(torch.equal(a.cells[kind], b.cells[kind]) for kind in a.cells)


# round trips


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


@pytest.mark.parametrize("name", [name for name, known in FORMATS.items() if known.writer])
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
    assert any("u left out" in sentence for sentence in lost) != known.keeps_fields
    assert any("named sets" in sentence for sentence in lost) == (known.sets != "all")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["vtk", "xdmf", "avsucd", "nastran", "exodus", "med", "netgen", "su2", "abaqus"])
def test_solids_come_back_with_their_corners_in_order(tmp_path: Path, name: str) -> None:
    for module in {"exodus": ["netCDF4"], "med": ["h5py"]}.get(name, []):
        pytest.importorskip(module)
    points = np.r_[solid().points.numpy(), [[3, 0, 0]]]
    cells = {**solid().cells, "tetra": [[8, 11, 3, 9]]}
    if name == "abaqus":  # its writer has no pyramids
        cells.pop("pyramid")
    mesh = Mesh(points, cells)
    assert not any("orientation" in sentence for sentence in findings(mesh))
    write_mesh(tmp_path / f"m{FORMATS[name].extensions[0]}", mesh)
    back = read_mesh(tmp_path / f"m{FORMATS[name].extensions[0]}")
    assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
    assert torch.allclose(back.points, mesh.points)
    assert not any("orientation" in sentence for sentence in back.warnings)


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
        ("a.mesh", "MFEM mesh v1.0\n", "MFEM's own format"),
        ("a.mesh", "hello\n", "does not begin with MeshVersionFormatted"),
        ("a.msh", "$NOD\n3\n", "old Gmsh format 1"),
        ("a.msh", "hello\n", "neither like a Gmsh file"),
        ("a.msh", "$MeshFormat\n3.0 0 8\n$EndMeshFormat\n", "format 3.0 is not supported"),
        ("a.inp", "\x07binary", "binary AVS-UCD"),
        ("a.inp", "hello\n", "neither like an Abaqus deck"),
        ("a.dat", "hello\n", "neither like a Tecplot file"),
        ("a.unv", "    -1\n", "I-DEAS universal files are not read"),
        ("a.step", "ISO-10303-21;\n", "geometry, not a mesh"),
        ("a.vtp", "<VTKFile/>", "PolyData.* are not read"),
        ("a.h5", "x", "read the .xdmf file beside it"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 3\n", "header does not end"),
        ("a.ply", "ply\nformat ascii 1.0\nelement vertex 3\nend_header\n", "no vertices or no faces"),
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
            "declares 999999999 Vertices",
        ),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n5 0 1 2 0 1\n", "more than four corners .1 5-sided"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 7\n", "names point 7, expected 0..2"),
        ("a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 nan\n3 0 1 2\n", "1 points of 'a.off' are not finite"),
        ("a.off", "OFF\n3 0 0\n0 0 0\n1 0 0\n0 1 0\n", "3 points and no cells"),
        ("a.xdmf", '<!DOCTYPE x [<!ENTITY a "b">]><Xdmf/>', "defines entities"),
        ("a.xdmf", '<Xdmf><DataItem Format="Binary">/etc/passwd</DataItem></Xdmf>', "raw side file"),
        ("a.xdmf", '<Xdmf><DataItem Format="HDF">../m.h5:/x</DataItem></Xdmf>', "outside the folder of the mesh"),
        ("a.xdmf", '<Xdmf><DataItem Format="HDF">m.h5:/x</DataItem></Xdmf>', "names 'm.h5', which is not there"),
        ("a.xdmf", '<Xdmf><Grid CollectionType="Temporal"/></Xdmf>', "collection of grids"),
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


@pytest.mark.parametrize(
    "stray, reason",
    [
        (SystemExit(1), "worse$"),
        (meshio.ReadError("Unknown section 'Grid'."), "Unknown section 'Grid'"),
        (KeyError("hexa_prism"), "it uses 'hexa_prism', which the reader of Netgen does not know"),
        (UnicodeDecodeError("utf-8", b"\xea", 4, 5, "bad"), "byte 4 cannot be decoded"),
        (MemoryError(), "more memory than there is"),
        (RecursionError(), "too deeply"),
        (ModuleNotFoundError("no", name="h5py"), r'needs h5py; run: pip install "graphpde\[io\]"'),
        (FileNotFoundError(2, "no", "/a/b.ele"), "needs the file 'b.ele'"),
        (OSError("Unable to open (file signature not found)"), "no HDF5 file"),
        (ValueError("cannot reshape\nsecond line"), "not valid Netgen or is cut off .cannot reshape.$"),
        (AssertionError(), "not valid Netgen or is cut off$"),
    ],
)
def test_whatever_escapes_from_a_reader_becomes_one_error(tmp_path: Path, monkeypatch, stray, reason, capfd) -> None:
    def reader(path: str) -> None:
        from meshio._common import error, warn

        warn("something odd")
        error("worse")
        warnings.warn("numpy says", stacklevel=1)
        raise stray

    monkeypatch.setitem(meshio._helpers.reader_map, "netgen", reader)
    (tmp_path / "m.vol").write_text("mesh3d")
    with warnings.catch_warnings(record=True) as raised, pytest.raises(MeshReadError, match=reason):
        warnings.simplefilter("always")
        read_mesh(tmp_path / "m.vol")
    assert raised == [] and capfd.readouterr() == ("", "")


def test_an_exit_anywhere_on_the_way_becomes_the_error_too(tmp_path: Path, monkeypatch) -> None:
    def leave(*_: object) -> None:
        raise SystemExit(1)

    write_mesh(tmp_path / "m.msh", square())
    monkeypatch.setattr("graphpde.mesh.io.read.to_mesh", leave)
    with pytest.raises(MeshReadError, match="its content is not valid Gmsh"):
        read_mesh(tmp_path / "m.msh")


def test_interrupts_pass(tmp_path: Path, monkeypatch) -> None:
    def reader(path: str) -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(meshio._helpers.reader_map, "netgen", reader)
    (tmp_path / "m.vol").write_text("mesh3d")
    with pytest.raises(KeyboardInterrupt):
        read_mesh(tmp_path / "m.vol")


def test_meshio_speaks_again_afterwards(monkeypatch, capfd) -> None:
    monkeypatch.delitem(meshio._mesh.topological_dimension, "wedge15", raising=False)
    table = dict(meshio._mesh.topological_dimension)
    with bridge_module.muted() as said:
        meshio._common.warn("[bold]inside[/bold]")
        assert "wedge15" in meshio._mesh.topological_dimension
    assert said == ["inside"] and capfd.readouterr().err == ""
    meshio._common.warn("outside")
    assert "outside" in capfd.readouterr().err
    assert meshio._mesh.topological_dimension == table


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


# writing


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
    with pytest.raises(OutputError, match="STL files cannot hold all its cells .lost: 1 of 1 quad"):
        write_mesh(tmp_path / "m.stl", Mesh(SQUARE_POINTS, {"quad": [[0, 1, 2, 3]]}))
    with pytest.raises(OutputError, match="as Wavefront OBJ: .*only contain triangle or quad"):
        write_mesh(tmp_path / "m.obj", solid())
    with pytest.raises(OutputError, match="gmsh has no element for triangle7 cells"):
        write_mesh(tmp_path / "m.msh", Mesh(np.random.default_rng(0).random((7, 2)), {"triangle7": [list(range(7))]}))
    with pytest.raises(OutputError, match="SU2 knows linear cells of plane and solid meshes only"):
        write_mesh(tmp_path / "m.su2", Mesh(np.c_[SQUARE_POINTS, np.ones(4)], SQUARE_CELLS))

    def scaled(path: Path, mesh: meshio.Mesh, *_: object, **__: object) -> list[str]:
        mesh.points = 2 * mesh.points
        mesh.write(path, file_format="vtk")
        return []

    monkeypatch.setattr(write_module.bridge, "write", scaled)
    with pytest.raises(OutputError, match="its coordinates do not survive"):
        write_mesh(tmp_path / "m.vtk", square())

    def cut(path: Path, *_: object, **__: object) -> list[str]:
        path.write_text("# vtk DataFile Version 3.0\nt\nASCII\nDATASET UNSTRUCTURED_GRID\nPOINTS 4 float\n0 0")
        return []

    monkeypatch.setattr(write_module.bridge, "write", cut)
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
