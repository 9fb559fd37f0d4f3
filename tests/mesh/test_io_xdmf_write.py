"""XDMF as it is written: text and HDF5, every cell type and set, fields of every kind, the files beside it."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import meshio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from meshio._mesh import topological_dimension

from graphpde.core.graph import TagSet
from graphpde.errors import MeshReadError, OutputError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import FORMATS, read_mesh, write_mesh
from graphpde.mesh.io.aside import written_aside
from graphpde.mesh.io.xdmf import write as xdmf_write
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_random import meshes as random_meshes
from tests.mesh.io_random import same_bits
from tests.mesh.io_samples import SQUARE_CELLS, SQUARE_POINTS, assert_same, put, solid, square

KINDS = [kind for kind in CELLS if CELLS[kind].dim and kind not in
         ("line4", "triangle7", "triangle10", "quad16", "tetra20", "hexahedron64", "pyramid14")]  # fmt: skip


@pytest.fixture(params=["text", "hdf5"])
def form(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both places of the numbers, whatever the size of the mesh."""
    if request.param == "hdf5":
        pytest.importorskip("h5py")
        monkeypatch.setattr(xdmf_write, "_IN_TEXT", 0)
    return request.param


@pytest.mark.parametrize("kind", KINDS)
def test_every_cell_type_comes_back_with_sets(tmp_path: Path, kind: str, form: str) -> None:
    rng = np.random.default_rng(0)
    mesh = Mesh(rng.standard_normal((70, 3)), {kind: [rng.permutation(70)[: CELLS[kind].nodes] for _ in range(3)]})
    write_mesh(tmp_path / "m.xdmf", mesh)
    if kind in topological_dimension and meshio.__version__ == "5.3.5":
        other = meshio.read(tmp_path / "m.xdmf")
        assert np.array_equal(other.points, mesh.points) and np.array_equal(other.cells_dict[kind], mesh.cells[kind])
    mesh = mesh.with_tags(some=mesh.make_tag(mesh.dim, [0, 2]), point=TagSet(0, torch.tensor([5]), torch.tensor([5])))
    if mesh.dim > 1:
        mesh = mesh.with_tags(rim=mesh.make_tag(mesh.dim - 1, [0, 1]), edge=mesh.make_tag(1, [2]))
    assert write_mesh(tmp_path / "m.xdmf", mesh) == ()
    assert_same(mesh, read_mesh(tmp_path / "m.xdmf"))
    assert (tmp_path / "m.h5").exists() == (form == "hdf5")


@pytest.mark.parametrize("kind", ["tetra", "hexahedron", "wedge", "pyramid"])
def test_faces_and_edges_are_counted_as_vtk_counts(tmp_path: Path, kind: str) -> None:
    faces = {  # vtkTetra::GetFaceArray and its like
        "tetra": "013 123 203 021", "hexahedron": "0473 1265 0154 3762 0321 4567", "wedge": "012 354 0341 1452 2530",
        "pyramid": "0321 014 124 234 304",
    }[kind].split()  # fmt: skip
    edges = {
        "tetra": "01 12 20 03 13 23", "hexahedron": "01 12 32 03 45 56 76 47 04 15 37 26",
        "wedge": "01 12 20 34 45 53 03 14 25", "pyramid": "01 12 23 30 04 14 24 34",
    }[kind].split()  # fmt: skip
    k = CELLS[kind].nodes
    mesh = Mesh(np.random.default_rng(0).random((k, 3)), {kind: [[*range(k)]]})
    for dim, sides in ((2, faces), (1, edges)):
        for number, side in enumerate(sides):
            corners = [int(digit) for digit in side]
            ids = mesh.find(dim, torch.tensor([corners]))
            assert ids >= 0
            write_mesh(tmp_path / "m.xdmf", mesh.with_tags(s=mesh.make_tag(dim, ids)))
            text = (tmp_path / "m.xdmf").read_text()
            numbers = [
                item.split(">\n")[1].split("<")[0].split() for item in text.partition("<Set")[2].split("<DataItem")[1:]
            ]
            assert numbers == ([["0"], [str(number)]] if dim == 2 else [["0"], ["0"], [str(number)]])
            assert read_mesh(tmp_path / "m.xdmf").tag("s").nodes.tolist() == sorted(corners)


@pytest.mark.parametrize("make", [square, solid])
def test_fields_and_sets_come_back(tmp_path: Path, make, form: str) -> None:
    mesh = make()
    n, m = mesh.n, mesh.n_cells
    fields = {
        **{"u": torch.rand(n, 3, dtype=torch.float64), "a b": torch.rand(n), "ü%20\n\t\"'<&": torch.ones(n) == 1},
        **{
            "i": torch.arange(n, dtype=torch.int16) - 3,
            "v": torch.rand(n, 2),
            "T": torch.rand(n, 9),
            "s": torch.rand(n, 4),
        },
        "odd": torch.tensor([-0.0, np.inf, -np.inf, np.nan, 5e-324] * n, dtype=torch.float64)[:n],
    }
    cells = {"k": torch.arange(m) + 2**60, "gmsh:physical": torch.arange(m), "h": torch.rand(m).half()}
    assert write_mesh(tmp_path / "m.xmf", mesh, point_data=fields, cell_data=cells) == ()
    back = read_mesh(tmp_path / "m.xmf")
    assert_same(mesh, back)  # the integers of gmsh:physical make no further sets
    assert back.warnings == () and set(back.point_data) == set(fields) and set(back.cell_data) == set(cells)
    for name, values in (*fields.items(), *cells.items()):
        found = (back.point_data if name in fields else back.cell_data)[name]
        assert found.shape == values.shape
        assert torch.equal(found.double(), values.double()) or name == "odd"
        assert found.dtype == {torch.int16: torch.int32, torch.bool: torch.int32, torch.float16: torch.float32}.get(
            values.dtype, values.dtype
        )
    assert same_bits(back.point_data["odd"].numpy(), fields["odd"].numpy())
    write_mesh(tmp_path / "n.xdmf", Mesh(mesh.points, mesh.cells), point_data={"u": fields["u"]}, cell_data=cells)
    other = meshio.read(tmp_path / "n.xdmf")
    assert np.array_equal(other.point_data["u"], fields["u"])
    assert np.array_equal(np.concatenate(other.cell_data["k"]), cells["k"])
    assert all(np.array_equal(other.get_cells_type(kind), nodes) for kind, nodes in mesh.cells.items())


def test_numbers_beside_a_file_are_never_written_over_unless_they_are_its_own(tmp_path: Path, monkeypatch) -> None:
    pytest.importorskip("h5py")
    monkeypatch.setattr(xdmf_write, "_IN_TEXT", 0)
    write_mesh(tmp_path / "m.xdmf", square())
    kept = (tmp_path / "m.h5").read_bytes()
    (tmp_path / "alone.h5").write_text("somebody's data")
    for name in ("m.xmf", "alone.xdmf"):
        with pytest.raises(OutputError, match="which is there already and is not its own"):
            write_mesh(tmp_path / name, solid())
    assert (tmp_path / "m.h5").read_bytes() == kept and (tmp_path / "alone.h5").read_text() == "somebody's data"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone.h5", "m.h5", "m.xdmf"]
    write_mesh(tmp_path / "m.xdmf", solid())
    assert_same(solid(), read_mesh(tmp_path / "m.xdmf"))
    from graphpde.viz import XdmfSeriesWriter

    (tmp_path / "run.h5").write_text("somebody's data")
    with pytest.raises(OutputError, match="which is there already"):
        XdmfSeriesWriter(tmp_path, "run", square()).add(0, {"u": torch.zeros(4)})
    assert (tmp_path / "run.h5").read_text() == "somebody's data"


def test_odd_names_and_the_dimension_of_space(tmp_path: Path, form: str) -> None:
    flat = Mesh(np.c_[SQUARE_POINTS, np.full(4, 2.5)], SQUARE_CELLS)
    point = torch.tensor([1, 3])
    odd = {'a "b" <ü>\n/:|': flat.make_tag(1, [0]), "x" * 3000: flat.make_tag(2, [0]), "p": TagSet(0, point, point)}
    odd |= {" 7 ": flat.make_tag(1, [1]), "mesh": flat.make_tag(1, [2]), "wall:2d": flat.make_tag(2, [1])}
    assert write_mesh(tmp_path / "m.xdmf", flat.with_tags(**odd)) == ()
    assert_same(flat.with_tags(**odd), read_mesh(tmp_path / "m.xdmf"))
    none = torch.empty(0, dtype=torch.int64)
    changed = flat.with_tags(**{"": odd["mesh"], "b\0": odd["p"], "b_": odd["p"], "void": TagSet(1, none, none)})
    assert write_mesh(tmp_path / "m.xdmf", changed, point_data={"\x1b": torch.ones(4), "c": torch.ones(4, 0)}) == (
        "1 fields have no components and were left out: c",
        "1 named sets are empty and were left out: void",
        "1 names cannot be kept as they are: '\\x1b' is '_'",
        "2 names cannot be kept as they are: '' is 'unnamed', 'b\\x00' is 'b__2'",
    )
    back = read_mesh(tmp_path / "m.xdmf")
    assert set(back.tags) == {"unnamed", "b__2", "b_"} and set(back.point_data) == {"_"}
    network = Mesh(SQUARE_POINTS, {"line": [[0, 1], [0, 2], [0, 3]]})
    bent = Mesh(SQUARE_POINTS, {"line": [[0, 1]], "line3": [[0, 2, 3]]})
    for mesh in (network, bent, Mesh([[0.0], [2.0], [1.0]], {"line": [[0, 2], [2, 1]]})):
        tagged = mesh.with_tags(end=TagSet(0, point[:1], point[:1]), first=mesh.make_tag(1, [0]))
        write_mesh(tmp_path / "m.xdmf", tagged)
        assert_same(tagged, read_mesh(tmp_path / "m.xdmf"))


@settings(max_examples=60, deadline=None)
@given(random_meshes(tuple(KINDS)))
def test_random_meshes_come_back_in_every_bit(mesh: Mesh) -> None:
    old = xdmf_write._IN_TEXT
    for limit in (old, 100):
        try:
            xdmf_write._IN_TEXT = limit
            with tempfile.TemporaryDirectory() as folder:
                told = write_mesh(Path(folder) / "m.xdmf", mesh)
                back = read_mesh(Path(folder) / "m.xdmf")
        finally:
            xdmf_write._IN_TEXT = old
        assert same_bits(back.points.numpy(), mesh.points.numpy())
        assert {k: v.tolist() for k, v in back.cells.items()} == {k: v.tolist() for k, v in mesh.cells.items()}
        assert told or set(back.tags) == set(mesh.tags)
        found = sorted((tag.dim, tag.ids.tolist()) for tag in back.tags.values())
        assert found == sorted((tag.dim, tag.ids.tolist()) for tag in mesh.tags.values())


def test_large_meshes_go_into_hdf5_where_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    h5py = pytest.importorskip("h5py")
    x, y = np.meshgrid(np.arange(80.0), np.arange(80.0))
    i = np.arange(6400).reshape(80, 80)
    quads = np.stack([i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]], 2).reshape(-1, 4)
    mesh = Mesh(np.c_[x.ravel(), y.ravel()], {"quad": quads})
    write_mesh(tmp_path / "m.xdmf", mesh)
    assert sorted(os.listdir(tmp_path)) == ["m.h5", "m.xdmf"] and (tmp_path / "m.xdmf").stat().st_size < 1000
    with h5py.File(tmp_path / "m.h5") as file:
        assert np.array_equal(file["points"], mesh.points) and np.array_equal(file["cells"], quads)
    assert_same(mesh, read_mesh(tmp_path / "m.xdmf"))
    write_mesh(tmp_path / "a:b.xdmf", mesh)  # FILE:/PATH would not be understood
    monkeypatch.setitem(sys.modules, "h5py", None)
    write_mesh(tmp_path / "n.xdmf", mesh)
    assert sorted(os.listdir(tmp_path)) == ["a:b.xdmf", "m.h5", "m.xdmf", "n.xdmf"]
    for name in ("a:b", "n"):
        assert_same(mesh, read_mesh(tmp_path / f"{name}.xdmf"))


def test_files_beside_are_moved_before_the_one_that_names_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moved: list[str] = []
    replace = os.replace

    def watched(source: object, target: object) -> None:
        moved.append(Path(str(target)).name)
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr("graphpde.mesh.io.aside.os.replace", watched)
    with written_aside(tmp_path / "m.xdmf") as aside:
        aside.write_text("light")
        aside.with_suffix(".h5").write_text("heavy")
    assert moved == ["m.h5", "m.xdmf"] and sorted(os.listdir(tmp_path)) == ["m.h5", "m.xdmf"]
    with pytest.raises(KeyboardInterrupt), written_aside(tmp_path / "m.xdmf") as aside:
        aside.with_suffix(".h5").write_text("other")
        raise KeyboardInterrupt
    assert (tmp_path / "m.h5").read_text() == "heavy" and sorted(os.listdir(tmp_path)) == ["m.h5", "m.xdmf"]
    (tmp_path / "n.h5").mkdir()
    with pytest.raises(OutputError, match="cannot write"), written_aside(tmp_path / "n.xdmf") as aside:
        aside.write_text("light")
        aside.with_suffix(".h5").write_text("heavy")
    assert not (tmp_path / "n.xdmf").exists()


def test_what_cannot_be_written_or_read(tmp_path: Path) -> None:
    for kind in CELLS:
        if kind not in KINDS and CELLS[kind].dim:
            k = CELLS[kind].nodes
            with pytest.raises(OutputError, match=f"XDMF has no topology for {kind} cells"):
                write_mesh(tmp_path / "m.xdmf", Mesh(np.random.default_rng(0).random((k, 3)), {kind: [[*range(k)]]}))
    write_mesh(tmp_path / "m.xdmf", solid())
    text = (tmp_path / "m.xdmf").read_text()
    faces = text[text.index('<Set Name="mantle"') : text.index("</Set>")]
    for old, new, reason in (
        ("\n1 2 0\n", "\n1 3 0\n", "the set 'mantle' names cell 3 or 0, expected 0..2"),
        ("\n0 1 4\n", "\n0 5 4\n", "the set 'mantle' names side 5 of a pyramid, which has none"),
        ("\n0 1 4\n", "\n0 -1 4\n", "the set 'mantle' names side -1 of a pyramid"),
        ('Dimensions="3" NumberType="Int" Precision="4" Format="XML">\n0 1 4\n',
         'Dimensions="2" NumberType="Int" Precision="4" Format="XML">\n0 1\n', r"lists \[3, 2\] numbers"),
    ):  # fmt: skip
        assert old in faces
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.xdmf", text.replace(faces, faces.replace(old, new))))
    edge = faces.replace('"Face"', '"Edge"')
    odd = read_mesh(put(tmp_path, "bad.xdmf", text.replace(faces, edge)))
    assert "the set 'mantle' of type edge was left out: it has 2 data items, expected 3" in odd.warnings
    write_mesh(tmp_path / "s.xdmf", square())
    text = (tmp_path / "s.xdmf").read_text()
    cells = text[text.index('<Set Name="steel"') : text.index('<Set Name="corner"')]
    item = cells[cells.index("<DataItem") : cells.index("</Set>")]
    face = text.replace(cells, cells.replace('"Cell"', '"Face"').replace(item, item + item))
    odd = read_mesh(put(tmp_path, "bad.xdmf", face))
    assert "the set 'steel' of type face was left out: 1 of its cells have no such sides" in odd.warnings
    assert FORMATS["xdmf"].sets == "all" and FORMATS["xdmf"].keeps_fields


@pytest.mark.parametrize("name", ["skfem/mixedtriquad.msh", "skfem/beams.msh", "dolfinx/mesh.xdmf"])
def test_real_meshes_survive(meshes: Path, tmp_path: Path, name: str, form: str) -> None:
    mesh = read_mesh(meshes / name)
    assert write_mesh(tmp_path / "m.xdmf", mesh) == ()
    back = read_mesh(tmp_path / "m.xdmf")
    assert_same(mesh, back)
    assert all(torch.equal(back.cell_data[k], v) for k, v in mesh.cell_data.items())
