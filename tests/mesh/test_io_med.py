"""MED files (Salome, Code_Aster): order of nodes, families, fields, versions, refusals, and our own writer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graphpde.core.graph import TagSet
from graphpde.errors import MeshReadError, OutputError
from graphpde.mesh import signed_measures
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.io.convert import to_mesh
from graphpde.mesh.io.med import read as med
from graphpde.mesh.io.med import write as med_write
from graphpde.mesh.io.raw import Unreadable
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK, assert_in_order, places
from tests.mesh.io_samples import POINTS, TRIANGLES, assert_same, sets, solid, square

h5py = pytest.importorskip("h5py")
STEP = "-0000000000000000001-0000000000000000001"
NOPFL = "MED_NO_PROFILE_INTERNAL"
# our corners and middles of them in the order of MED: its solids turn the other way
ORDERS = {
    **{"SE2": ("line", "0 1"), "SE3": ("line3", "0 1 01"), "TR3": ("triangle", "0 1 2"), "QU4": ("quad", "0 1 2 3")},
    **{"TR6": ("triangle6", VTK["triangle6"]), "TR7": ("triangle7", VTK["triangle7"])},
    **{"QU8": ("quad8", VTK["quad8"]), "QU9": ("quad9", VTK["quad9"])},
    "TE4": ("tetra", "0 2 1 3"),
    "T10": ("tetra10", "0 2 1 3 02 12 01 03 23 13"),
    "PY5": ("pyramid", "0 3 2 1 4"),
    "P13": ("pyramid13", "0 3 2 1 4 03 23 12 01 04 34 24 14"),
    "PE6": ("wedge", "0 2 1 3 5 4"),
    "P15": ("wedge15", "0 2 1 3 5 4 02 12 01 35 45 34 03 25 14"),
    "P18": ("wedge18", "0 2 1 3 5 4 02 12 01 35 45 34 03 25 14 0235 1245 0134"),
    "HE8": ("hexahedron", "0 3 2 1 4 7 6 5"),
    "H20": ("hexahedron20", "0 3 2 1 4 7 6 5 03 23 12 01 47 67 56 45 04 37 26 15"),
    "H27": (
        "hexahedron27",
        "0 3 2 1 4 7 6 5 03 23 12 01 47 67 56 45 04 37 26 15 0123 0347 2367 1256 0145 4567 01234567",
    ),
}
LINEAR = {"line": "0 1", "triangle": "0 1 2", "quad": "0 1 2 3", "tetra": "0 1 2 3", "pyramid": "0 1 2 3 4"}
LINEAR |= {"wedge": "0 1 2 3 4 5", "hexahedron": "0 1 2 3 4 5 6 7"}


def listing(node: Any, name: str, values: Any, count: int) -> None:
    array = np.asarray(values)
    node.create_dataset(name, data=array.T.reshape(-1)).attrs["NBR"] = np.int32(count)


def make(path: Path, points: Any, cells: dict[str, Any], version: int = 3, mesh: str = "part") -> Path:
    """A file with one mesh; cells by MED type, points counted from 1."""
    points = np.asarray(points, dtype=float)
    with h5py.File(path, "a") as file:
        folder = file.require_group("ENS_MAA").create_group(mesh)
        folder.attrs["ESP"] = np.int32(points.shape[1])
        place = folder.create_group(STEP) if version > 2 else folder
        listing(place.create_group("NOE"), "COO", points, len(points))
        for kind, nodes in cells.items():
            listing(place.create_group(f"MAI/{kind}"), "NOD", nodes, len(nodes))
    return path


def family(file: Any, where: str, number: int, names: list[str], flat: bool = False) -> None:
    folder = file.create_group(f"{where}/F{number}")
    folder.attrs["NUM"] = np.int32(number)
    if names:
        letters = np.frombuffer(b"".join(name.encode().ljust(80, b"\0") for name in names), "i1")
        folder["GRO/NOM"] = letters if flat else letters.reshape(-1, 80)


def field(file: Any, name: str, support: str, values: Any, step: tuple[int, int] = (-1, -1), **attributes: Any) -> None:
    array = np.asarray(values, dtype=float)
    folder = file.require_group(f"CHA/{name}")
    folder.attrs["MAI"] = np.bytes_(attributes.get("mesh", "part"))
    folder.attrs["NCO"] = np.int32(1 if array.ndim == 1 else array.shape[1])
    at = folder.require_group(f"{step[0]:020d}{step[1]:020d}")
    at.attrs["NDT"], at.attrs["NOR"] = np.int32(step[0]), np.int32(step[1])
    place = at.create_group(support)
    profile = attributes.get("profile", NOPFL)
    place.attrs["PFL"] = np.bytes_(profile)
    content = place.create_group(profile)
    content.attrs["NGA"] = np.int32(attributes.get("gauss", 1))
    content["CO"] = array.T.reshape(-1)


def two_triangles(path: Path) -> Path:
    return make(path, [[0, 0], [1, 0], [1, 1], [0, 1]], {"TR3": [[1, 2, 3], [1, 3, 4]], "SE2": [[1, 2], [2, 3]]})


@pytest.mark.parametrize("version", [2, 4])
@pytest.mark.parametrize("kind", ORDERS)
def test_nodes_of_every_type_arrive_in_our_order(tmp_path: Path, kind: str, version: int) -> None:
    ours, words = ORDERS[kind]
    x = places(ours, words)
    x = x[:, :2] if x[:, 2].max() == 0 and "line" not in ours else x
    mesh = to_mesh(med.read(make(tmp_path / "m.med", x, {kind: [np.arange(1, len(x) + 1)]}, version)), "m")
    if ours in VTK:
        assert_in_order(mesh, ours)
    else:
        expected = torch.from_numpy(places(ours, LINEAR[ours]))[:, : mesh.space_dim]
        assert torch.equal(mesh.points[mesh.cells[ours][0]], expected)
    assert mesh.warnings == () and float(signed_measures(mesh)[0]) > 0


def test_polygons_are_read_by_their_starts(tmp_path: Path) -> None:
    x = [[0, 0], [1, 0], [2, 0], [2, 1], [1, 2], [0, 1], [0.5, -1]]
    for name in ("INN", "IND"):
        path = make(tmp_path / f"{name}.med", x, {})
        with h5py.File(path, "a") as file:
            place = file[f"ENS_MAA/part/{STEP}"].create_group("MAI/POG")
            place["NOD"], place[name] = np.array([2, 3, 4, 5, 6, 1, 2, 6, 1, 7, 2]), np.array([1, 6, 9, 12])
            place["FAM"] = np.array([-1, 0, -2])
            family(file, "FAS/part/ELEME", -1, ["big"])
        mesh = read_mesh(path)
        assert float(signed_measures(mesh).sum()) == pytest.approx(2.5 + 0.5 + 0.5, rel=1e-14)
        assert mesh.tags["-2"].nodes.tolist() == [0, 1, 6] and mesh.tags["big"].nodes.tolist() == [1, 2, 3, 4, 5]
    with h5py.File(path, "a") as file:
        file[f"ENS_MAA/part/{STEP}/MAI/POG/IND"][-1] = 13
    with pytest.raises(Unreadable, match="starts of its polygons do not fit the 11 entries"):
        med.read(path)


@pytest.mark.parametrize("layout", ["new", "old"])
def test_an_element_in_several_groups_keeps_all(tmp_path: Path, layout: str) -> None:
    path = two_triangles(tmp_path / "m.med")
    with h5py.File(path, "a") as file:
        place = file[f"ENS_MAA/part/{STEP}"]
        place["MAI/TR3/FAM"], place["MAI/SE2/FAM"] = np.array([-1, -2]), np.array([-3, 0])
        place["NOE/FAM"] = np.array([0, 1, 2, 5])
        cells, nodes = ("FAS/part/ELEME", "FAS/part/NOEUD") if layout == "new" else ("FAS/part", "FAS/part")
        family(file, "FAS/part", 0, [])
        family(file, cells, -1, ["stahl", "alles"], layout == "old")
        family(file, cells, -2, ["alles", "  Größe "], layout == "old")
        family(file, cells, -3, ["rand"])
        family(file, cells, -9, ["nobody"])
        family(file, nodes, 1, ["p"])
        family(file, nodes, 2, ["p", "q"])
    mesh = read_mesh(path)
    assert sets(mesh) == {
        "stahl": (2, [0, 1, 2]),
        "alles": (2, [0, 1, 2, 3]),
        "Größe": (2, [0, 2, 3]),
        "rand": (1, [0, 1]),
        "line": (1, [1, 2]),
        "p": (0, [1, 2]),
        "q": (0, [2]),
        "5": (0, [3]),
    }


def test_fields_of_the_last_step_become_data(tmp_path: Path) -> None:
    path = two_triangles(tmp_path / "m.med")
    with h5py.File(path, "a") as file:
        for step in (2, 10, 9):
            field(file, "T", "NOE", step + np.arange(4.0), (step, 1))
        field(file, "u", "NOE", np.arange(8.0).reshape(4, 2))
        field(file, "q", "MAI.TR3", [5.0, 6.0])
        field(file, "part", "MAI.TR3", [5.0], profile="some")
        field(file, "gauss", "MAI.TR3", np.arange(6.0), gauss=3)
        field(file, "corner", "NOE.TR3", np.arange(6.0))
        field(file, "other", "NOE", np.arange(9.0), mesh="else")
        file.create_group("CHA/ancient/MAI.TR3")
    mesh = read_mesh(path)
    assert mesh.point_data["T"].tolist() == [10, 11, 12, 13]
    assert mesh.point_data["u"].tolist() == [[0, 1], [2, 3], [4, 5], [6, 7]]
    assert mesh.cell_data["q"].tolist() == [5, 6] and set(mesh.cell_data) == {"q"}
    told = " ".join(mesh.warnings)
    for sentence in (
        "earlier time steps of 1 fields were not read: T",
        "1 fields on a part of the mesh (profiles) were left out: part",
        "on other meshes were left out: other",
        "in the layout of MED 2 were left out: ancient",
    ):
        assert sentence in told
    assert "gauss" in told and "corner" in told
    with h5py.File(path, "a") as file:
        field(file, "bad", "MAI.TR3", np.arange(3.0))
    with pytest.raises(Unreadable, match="field 'bad' has 3 values for 2 entries of 1 components"):
        med.read(path)


def test_further_meshes_steps_and_types_are_told(tmp_path: Path) -> None:
    path = two_triangles(tmp_path / "m.med")
    make(path, [[0, 0, 0]], {}, mesh="second")
    with h5py.File(path, "a") as file:
        file.copy(f"ENS_MAA/part/{STEP}", f"ENS_MAA/part/{0:020d}{1:020d}")
        file.create_group(f"ENS_MAA/part/{STEP}/MAI/POE")["NOD"] = np.array([1])
    told = read_mesh(path).warnings
    assert "1 further time steps of the mesh were not read" in told
    assert "it holds 2 meshes; 'part' is read, not second" in told
    assert "cells of MED type POE have no cell type here and were left out" in told


def spoiled(path: Path, change: Any) -> str:
    with h5py.File(path, "a") as file:
        change(file, file[f"ENS_MAA/part/{STEP}"])
    with pytest.raises(MeshReadError) as caught:
        to_read(path)
    return caught.value.reason


def to_read(path: Path) -> Mesh:
    """Read here and now, which costs no process."""
    try:
        return to_mesh(med.read(path), path.name)
    except Unreadable as error:
        raise MeshReadError(path, "med", str(error)) from None


REFUSALS = {
    "no mesh (ENS_MAA|without a mesh": lambda f, s: f.__delitem__("ENS_MAA"),
    "has no nodes": lambda f, s: s.__delitem__("NOE"),
    "structured grid": lambda f, s: f["ENS_MAA/part"].attrs.__setitem__("TYP", np.int32(1)),
    "not Cartesian": lambda f, s: f["ENS_MAA/part"].attrs.__setitem__("REP", np.int32(1)),
    "2 coordinates per node, expected 3": lambda f, s: f["ENS_MAA/part"].attrs.__setitem__("ESP", np.int32(3)),
    "is no whole number": lambda f, s: f["ENS_MAA/part"].attrs.__setitem__("ESP", "two"),
    "8 numbers for 3 entries": lambda f, s: s["NOE/COO"].attrs.__setitem__("NBR", np.int32(3)),
    "8 numbers for 0 entries": lambda f, s: s["NOE/COO"].attrs.__delitem__("NBR"),
    "TR3 cells have 6 nodes, expected 3": lambda f, s: s["MAI/TR3/NOD"].attrs.__setitem__("NBR", np.int32(1)),
    "names point 8, expected 0..3": lambda f, s: s["MAI/TR3/NOD"].__setitem__(0, 9),
    "names point -1, expected 0..3": lambda f, s: s["MAI/TR3/NOD"].__setitem__(0, 0),
    "do not list their nodes": lambda f, s: s["MAI/TR3"].__delitem__("NOD"),
    "lists 5 families for 2 entries": lambda f, s: s["MAI/TR3"].__setitem__("FAM", np.zeros(5, int)),
    "leads elsewhere by a link": lambda f, s: s["MAI"].__setitem__("QU4", h5py.SoftLink("/FAS")),
    "links to another file": lambda f, s: s["MAI"].__setitem__("QU4", h5py.ExternalLink("a.med", "/FAS")),
    "declares 40000000 bytes": lambda f, s: s["NOE"].create_dataset("FAM", (5 * 10**6,), "i8", chunks=(1000,)),
    "holds no plain numbers": lambda f, s: s["NOE"].__setitem__("FAM", np.array([b"a"] * 4)),
    "holds no text": lambda f, s: [family(f, "FAS/part", -1, []), f["FAS/part/F-1"].__setitem__("GRO/NOM", [1.0])],
    "is no data set": lambda f, s: s["NOE"].create_group("FAM"),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_are_one_true_sentence(tmp_path: Path, reason: str) -> None:
    said = spoiled(two_triangles(tmp_path / "m.med"), REFUSALS[reason])
    assert any(part in said for part in reason.split("|")), said


def test_other_files_are_no_med(tmp_path: Path) -> None:
    (tmp_path / "m.med").write_bytes(b"hello")
    with pytest.raises(MeshReadError, match="it is no HDF5 file, as MED files since version 2 are"):
        read_mesh(tmp_path / "m.med")


def test_damaged_files_cost_one_sentence(tmp_path: Path) -> None:
    whole = two_triangles(tmp_path / "m.med").read_bytes()
    rng = np.random.default_rng(5)
    refused = 0
    for number in range(8):
        data = bytearray(whole[: rng.integers(len(whole))] if number % 2 else whole)
        for place in rng.integers(0, max(len(data), 1), 20) if len(data) else ():
            data[place] = rng.integers(256)
        (tmp_path / "d.med").write_bytes(bytes(data))
        try:
            assert read_mesh(tmp_path / "d.med").n_cells == 2
        except MeshReadError as error:
            refused += 1
            assert 10 < len(error.reason) < 400 and "\n" not in error.reason
    assert refused > 3


# real files and meshio


def test_the_real_file_agrees_with_meshio(meshes: Path) -> None:
    path = meshes / "meshio" / "med" / "cylinder.med"
    mesh, other = read_mesh(path), meshio.read(path)
    assert np.array_equal(mesh.points.numpy(), other.points)
    theirs = {block.type: block.data for block in other.cells}
    assert {kind: len(nodes) for kind, nodes in mesh.cells.items()} == {"pyramid": 18, "tetra": 63}
    for kind, nodes in mesh.cells.items():
        assert np.array_equal(np.sort(nodes.numpy(), 1), np.sort(theirs[kind], 1))
    # an octagon of radius 1 and height 1, no cell turned inside out
    assert float(signed_measures(mesh).min()) > 0
    assert float(signed_measures(mesh).sum()) == pytest.approx(8 * 0.5 * np.sin(np.pi / 4), rel=1e-12)
    counts = {name: (tag.dim, len(tag.ids)) for name, tag in mesh.tags.items()}
    assert counts == {
        **{"Top circle": (1, 8), "Top": (2, 7), "Top and down": (2, 14), "A": (3, 3), "B": (3, 7), "C": (3, 7)},
        **{"quad": (2, 8), "line": (1, 9), "Side": (0, 16)},
    }
    assert mesh.warnings == ()


def test_files_of_meshio_are_read(tmp_path: Path) -> None:
    data = {"point_data": {"u": np.arange(5.0)}, "cell_data": {"c": [np.array([1.0, 2.0, 4.0])]}}
    meshio.Mesh(POINTS, [("triangle", TRIANGLES)], **data).write(tmp_path / "m.med")
    mesh = read_mesh(tmp_path / "m.med")
    assert np.array_equal(mesh.points.numpy(), POINTS[:, :2]) and np.array_equal(mesh.cells["triangle"], TRIANGLES)
    assert mesh.point_data["u"].tolist() == [0, 1, 2, 3, 4] and mesh.cell_data["c"].tolist() == [1, 2, 4]


# writing


@pytest.mark.parametrize("make_mesh", [square, solid])
def test_what_is_written_comes_back(tmp_path: Path, make_mesh: Any) -> None:
    mesh = make_mesh()
    data = {"u": torch.randn(mesh.n, dtype=torch.float64), "v": torch.randn(mesh.n, 3, dtype=torch.float64)}
    cells = {"c": torch.arange(mesh.n_cells) + 0.5, "u": torch.arange(mesh.n_cells) - 0.5}
    assert write_mesh(tmp_path / "m.med", mesh, point_data=data, cell_data=cells) == ()
    back = read_mesh(tmp_path / "m.med")
    assert torch.equal(back.points, mesh.points) and set(back.tags) == set(mesh.tags)
    assert_same(mesh, back, numbers=list(mesh.cells) == list(back.cells))
    assert torch.equal(back.point_data["u"], data["u"]) and torch.equal(back.point_data["v"], data["v"])
    order = torch.cat([torch.arange(mesh.n_cells)[start : start + len(nodes)] for _, nodes, start in in_file(mesh)])
    assert torch.equal(back.cell_data["c"], cells["c"][order].double())
    assert torch.equal(back.cell_data["u"], cells["u"][order].double())


def in_file(mesh: Mesh) -> list[tuple[str, Any, int]]:
    """The cells by the name of their MED type, as groups of HDF5 are sorted."""
    rows, start = [], 0
    for kind, nodes in mesh.cells.items():
        rows.append((med_write._TYPES[kind], nodes, start))
        start += len(nodes)
    return sorted(rows, key=lambda row: row[0])


@pytest.mark.parametrize("kind", ORDERS)
def test_every_type_is_written_in_the_order_of_med(tmp_path: Path, kind: str) -> None:
    ours, words = ORDERS[kind]
    x = places(ours, VTK.get(ours) or LINEAR[ours])
    med_write.write(tmp_path / "m.med", Mesh(x, {ours: [list(range(len(x)))]}), {}, {})
    with h5py.File(tmp_path / "m.med") as file:
        nodes = file[f"ENS_MAA/mesh/{STEP}/MAI/{kind}/NOD"][()] - 1
    assert np.array_equal(x[nodes], places(ours, words))


def test_meshio_reads_what_is_written(tmp_path: Path) -> None:
    mesh = square()
    write_mesh(tmp_path / "m.med", mesh, point_data={"u": torch.arange(4.0)})
    other = meshio.read(tmp_path / "m.med")
    assert np.array_equal(other.points, mesh.points.numpy())
    blocks = {block.type: number for number, block in enumerate(other.cells)}
    assert np.array_equal(other.cells[blocks["triangle"]].data, mesh.cells["triangle"])
    families = other.cell_data["cell_tags"][blocks["triangle"]]
    assert [sorted(other.cell_tags[number]) for number in families.tolist()] == [["all"], ["all", "steel"]]
    edges = [other.cell_tags[number] for number in other.cell_data["cell_tags"][blocks["line"]].tolist()]
    assert sorted(map(sorted, edges)) == [["bottom", "wall"], ["wall"]]
    assert other.point_tags == {1: ["corner"]} and other.point_data["point_tags"].tolist() == [0, 0, 1, 0]
    assert other.point_data["u"].tolist() == [0, 1, 2, 3]
    write_mesh(tmp_path / "c.med", Mesh(mesh.points, mesh.cells), cell_data={"c": torch.arange(2.0)})
    assert meshio.read(tmp_path / "c.med").cell_data["c"][0].tolist() == [0, 1]


def test_what_med_cannot_hold_is_told(tmp_path: Path) -> None:
    mesh = Mesh(np.random.default_rng(0).random((10, 2)), {"triangle10": [list(range(10))]})
    with pytest.raises(OutputError, match="MED has no cell type for 1 triangle10"):
        write_mesh(tmp_path / "m.med", mesh)
    assert not (tmp_path / "m.med").exists()
    odd = square().with_tags(**{" a ": TagSet(0, torch.tensor([0]), torch.tensor([0])), "x" * 90: square().tag("all")})
    data = {"a/b": torch.arange(4), ".": torch.arange(4) + 2**60}
    told = " ".join(write_mesh(tmp_path / "n.med", odd, point_data=data))
    assert "names cannot be kept" in told and "2 fields got another name" in told and "beyond 2^53" in told
    back = read_mesh(tmp_path / "n.med")
    assert {"a", "x" * 80} <= set(back.tags) and set(back.point_data) == {"a_b", "unnamed"}
    x = torch.tensor(places("tetra10", VTK["tetra10"]))
    curved = Mesh(x, {"tetra10": [list(range(10))]})
    told = write_mesh(tmp_path / "c.med", curved.with_tags(side=curved.make_tag(2, [0])))
    assert told == ("facets and edges of curved cells are listed by their corners",)
    assert torch.equal(read_mesh(tmp_path / "c.med").tags["side"].nodes, curved.make_tag(2, [0]).nodes)


NAMES = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=12).filter(
    lambda name: name == name.strip() and "\0" not in name
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_mesh_with_any_sets_comes_back(tmp_path: Path, data: Any) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    x = rng.standard_normal((9, 3)) * 10.0 ** rng.integers(-300, 300, (9, 1))
    mesh = Mesh(x, {"tetra": np.stack([rng.permutation(9)[:4] for _ in range(4)]), "pyramid": [[8, 7, 6, 5, 4]]})
    tags = {}
    for name in data.draw(st.lists(NAMES, max_size=5, unique=True)):
        dim = int(rng.integers(0, 4))
        count = [9, len(mesh.entities(1).nodes), len(mesh.entities(2).nodes), 5][dim]
        ids = torch.from_numpy(np.unique(rng.integers(0, count, rng.integers(1, count))))
        tags[name] = TagSet(0, ids, ids) if dim == 0 else mesh.make_tag(dim, ids)
    path = tmp_path / "any.med"
    path.unlink(missing_ok=True)
    assert med_write.write(path, mesh.with_tags(**tags), {"x": mesh.points}, {}) == []
    back = to_read(path)
    assert torch.equal(back.points.view(torch.int64), mesh.points.view(torch.int64))
    assert all(torch.equal(back.cells[kind], nodes) for kind, nodes in mesh.cells.items())
    found = {name.removesuffix(f":{tag.dim}d") if name not in tags else name: tag for name, tag in back.tags.items()}
    assert set(found) == set(tags)
    for name, tag in tags.items():
        assert found[name].dim == tag.dim and torch.equal(found[name].nodes, tag.nodes)
        assert len(found[name].ids) == len(tag.ids)
    assert torch.equal(back.point_data["x"], mesh.points)
