"""CGNS files in HDF5: element types, structured and several zones, boundary conditions, solutions, refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh import signed_measures
from graphpde.mesh.io import read_mesh
from graphpde.mesh.io.cgns import read as cgns
from graphpde.mesh.io.convert import to_mesh
from graphpde.mesh.io.raw import Unreadable
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_orders import VTK, assert_in_order, places
from tests.mesh.io_samples import sets

h5py = pytest.importorskip("h5py")
_HEX20 = "0 1 2 3 4 5 6 7 01 12 23 03 04 15 26 37 45 56 67 47"
# number of the type, ours, and the order of the SIDS in corners and middles of them
TYPES = {
    "BAR_2": (3, "line", "0 1"),
    "BAR_3": (4, "line3", "0 1 01"),
    "TRI_3": (5, "triangle", "0 1 2"),
    "TRI_6": (6, "triangle6", "0 1 2 01 12 02"),
    "QUAD_4": (7, "quad", "0 1 2 3"),
    "QUAD_8": (8, "quad8", "0 1 2 3 01 12 23 03"),
    "QUAD_9": (9, "quad9", "0 1 2 3 01 12 23 03 0123"),
    "TETRA_4": (10, "tetra", "0 1 2 3"),
    "TETRA_10": (11, "tetra10", "0 1 2 3 01 12 02 03 13 23"),
    "PYRA_5": (12, "pyramid", "0 1 2 3 4"),
    "PYRA_14": (13, "pyramid14", "0 1 2 3 4 01 12 23 03 04 14 24 34 0123"),
    "PYRA_13": (21, "pyramid13", "0 1 2 3 4 01 12 23 03 04 14 24 34"),
    "PENTA_6": (14, "wedge", "0 1 2 3 4 5"),
    "PENTA_15": (15, "wedge15", "0 1 2 3 4 5 01 12 02 03 14 25 34 45 35"),
    "PENTA_18": (16, "wedge18", "0 1 2 3 4 5 01 12 02 03 14 25 34 45 35 0134 1245 0235"),
    "HEXA_8": (17, "hexahedron", "0 1 2 3 4 5 6 7"),
    "HEXA_20": (18, "hexahedron20", _HEX20),
    "HEXA_27": (19, "hexahedron27", _HEX20 + " 0123 0145 1256 2367 0347 4567 01234567"),
}


def node(parent: Any, name: str, label: str, content: Any = None) -> Any:
    """A node as the library of CGNS writes it."""
    made = parent.create_group(name)
    made.attrs["name"], made.attrs["label"] = np.bytes_(name), np.bytes_(label)
    made.attrs["type"] = np.bytes_("MT")
    if isinstance(content, str):
        content = np.frombuffer(content.encode(), "i1")
    if content is not None:
        made[" data"] = np.asarray(content)
    return made


def base(file: Any, name: str = "Base", dims: tuple[int, int] = (3, 3)) -> Any:
    return node(file, name, "CGNSBase_t", np.array(dims, dtype=np.int32))


def zone(parent: Any, x: Any, cells: int = 0, shape: tuple[int, ...] = (), name: str = "Zone") -> Any:
    """An unstructured zone, or a structured one of ``shape`` points with the first index fastest."""
    x = np.asarray(x, dtype=float)
    size = [list(shape), [n - 1 for n in shape], [0] * len(shape)] if shape else [[len(x)], [cells], [0]]
    made = node(parent, name, "Zone_t", np.array(size))
    node(made, "ZoneType", "ZoneType_t", "Structured" if shape else "Unstructured")
    grid = node(made, "GridCoordinates", "GridCoordinates_t")
    for axis, column in zip("XYZ", x.T):
        node(grid, f"Coordinate{axis}", "DataArray_t", column.reshape(shape[::-1]) if shape else column)
    return made


def section(
    parent: Any, name: str, kind: int, first: int, nodes: Any, count: int | None = None, starts: Any = None
) -> Any:
    nodes = np.asarray(nodes)
    made = node(parent, name, "Elements_t", np.array([kind, 0], dtype=np.int32))
    node(made, "ElementRange", "IndexRange_t", np.array([first, first + (count or len(nodes)) - 1]))
    node(made, "ElementConnectivity", "DataArray_t", nodes.reshape(-1))
    if starts is not None:
        node(made, "ElementStartOffset", "DataArray_t", np.asarray(starts))
    return made


def condition(parent: Any, name: str, listing: str, chosen: Any, place: str = "", family: str = "") -> None:
    folder = parent["ZoneBC"] if "ZoneBC" in parent else node(parent, "ZoneBC", "ZoneBC_t")
    made = node(folder, name, "BC_t", "BCWall")
    node(made, listing, "IndexArray_t", np.asarray(chosen))
    if place:
        node(made, "GridLocation", "GridLocation_t", place)
    if family:
        node(made, "FamilyName", "FamilyName_t", family)


def solution(parent: Any, place: str, **fields: Any) -> None:
    made = node(parent, f"Solution{len(parent)}", "FlowSolution_t")
    node(made, "GridLocation", "GridLocation_t", place)
    for name, values in fields.items():
        node(made, name, "DataArray_t", np.asarray(values))


def here(path: Path) -> Mesh:
    """Read in this process, which costs no other."""
    return to_mesh(cgns.read(path), path.name)


@pytest.mark.parametrize("offsets", [True, False, None])
@pytest.mark.parametrize("kind", TYPES)
def test_nodes_of_every_type_arrive_in_our_order(tmp_path: Path, kind: str, offsets: bool | None) -> None:
    """As a section of its own, and in mixed sections of either form."""
    code, ours, words = TYPES[kind]
    x = places(ours, words)
    row = np.arange(1, len(x) + 1)
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        made = zone(base(file), x, 1)
        if offsets is None:
            section(made, "cells", code, 1, [row])
        else:
            section(made, "cells", 20, 1, [code, *row], 1, [0, 1 + len(row)] if offsets else None)
    mesh = here(tmp_path / "m.cgns")
    if ours in VTK:
        assert_in_order(mesh, ours)
    else:
        assert torch.equal(mesh.points[mesh.cells[ours][0]], torch.from_numpy(x)[:, : mesh.space_dim])
    assert mesh.warnings == () and float(signed_measures(mesh)[0]) > 0


def test_curved_cells_of_higher_order_are_taken_at_their_corners(tmp_path: Path) -> None:
    x = np.random.default_rng(1).random((20, 3))
    x[:4] = [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        section(zone(base(file), x, 1), "cells", 30, 1, [np.arange(1, 21)])
    mesh = here(tmp_path / "m.cgns")
    assert mesh.cells["tetra"].tolist() == [[0, 1, 2, 3]]
    assert "1 tetra cells with 20 nodes are taken at their corners" in mesh.warnings


SQUARE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [2, 0, 0], [2, 1, 0]]


@pytest.mark.parametrize("offsets", [True, False])
def test_polygons_and_mixed_cells_keep_their_numbers(tmp_path: Path, offsets: bool) -> None:
    with h5py.File(tmp_path / "n.cgns", "w") as file:
        made = zone(base(file, dims=(2, 3)), SQUARE, 2)
        rows = [[1, 2, 3], [1, 3, 4], [2, 5, 6, 3]]
        flat = [n for row in rows for n in (row if offsets else [len(row), *row])]
        section(made, "faces", 22, 1, flat, 3, [0, 3, 6, 10] if offsets else None)
        condition(made, "right", "ElementList", [[3]])
        solution(made, "CellCenter", p=[1.0, 2.0, 3.0])
    mesh = here(tmp_path / "n.cgns")
    assert {kind: nodes.tolist() for kind, nodes in mesh.cells.items()} == {
        "triangle": [[0, 1, 2], [0, 2, 3]],
        "quad": [[1, 4, 5, 2]],
    }
    assert sets(mesh) == {"right": (2, [1, 2, 4, 5])} and mesh.cell_data["p"].tolist() == [1, 2, 3]
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        made = zone(base(file), SQUARE, 2)
        rows = [[7, 2, 5, 6, 3], [5, 1, 2, 3], [3, 1, 2], [5, 1, 3, 4]]
        starts = [0, 5, 9, 12, 16]
        section(made, "all", 20, 10, [n for row in rows for n in row], 4, starts if offsets else None)
        condition(made, "low", "ElementRange", [[12], [12]])
        solution(made, "CellCenter", p=[1.0, 2.0, 3.0])
    mesh = here(tmp_path / "m.cgns")
    values = dict(zip([tuple(row) for nodes in mesh.cells.values() for row in nodes.tolist()], mesh.cell_data["p"]))
    assert values == {(1, 4, 5, 2): 1.0, (0, 1, 2): 2.0, (0, 2, 3): 3.0}
    assert sets(mesh)["low"] == (1, [0, 1])


def test_conditions_become_sets_under_their_names_and_families(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        made = zone(base(file), SQUARE, 2)
        section(made, "quads", 7, 1, [[1, 2, 3, 4], [2, 5, 6, 3]])
        section(made, "bars", 3, 3, [[1, 2], [2, 5], [5, 6]])
        section(made, "rest", 3, 6, [[6, 3]])
        condition(made, "floor", "PointRange", [[3], [4]], "EdgeCenter", "wall")
        condition(made, "side", "PointList", [[5]], "FaceCenter", "wall")
        condition(made, "points", "PointList", [[1], [6]], "Vertex")
        condition(made, "row", "PointRange", [[2], [4]])
        node(made, "FamilyName", "FamilyName_t", "steel")
        solution(made, "Vertex", T=np.arange(6.0))
        solution(made, "Vertex", odd=np.arange(7.0))
        solution(made, "FaceCenter", far=np.arange(6.0))
    mesh = read_mesh(tmp_path / "m.cgns")
    assert sets(mesh) == {
        "floor": (1, [0, 1, 4]),
        "wall": (1, [0, 1, 4, 5]),
        "side": (1, [4, 5]),
        "points": (0, [0, 5]),
        "row": (0, [1, 2, 3]),
        "steel": (2, [0, 1, 2, 3, 4, 5]),
        "rest": (1, [2, 5]),
    }
    assert mesh.point_data["T"].tolist() == list(range(6)) and len(mesh.point_data) == 1
    assert any("2 fields with rind points or at other places were left out" in w for w in mesh.warnings)


def grid(shape: tuple[int, ...]) -> np.ndarray:
    """Points of a box with the first index fastest."""
    axes = np.meshgrid(*(np.arange(float(n)) for n in shape[::-1]), indexing="ij")
    return np.stack([axis.reshape(-1) for axis in axes[::-1]], 1)


def test_a_structured_zone_becomes_hexahedra_with_faces(tmp_path: Path) -> None:
    shape = (3, 4, 5)
    x = grid(shape)
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        made = zone(base(file), x, shape=shape)
        condition(made, "ilow", "PointRange", [[1, 1, 1], [1, 4, 5]])
        condition(made, "jhigh", "PointRange", [[1, 4, 1], [3, 4, 5]], "Vertex", "lid")
        condition(made, "khigh", "PointRange", [[1, 1, 5], [2, 3, 5]], "KFaceCenter")
        condition(made, "part", "PointRange", [[1, 2, 1], [1, 3, 1]], "KFaceCenter")
        condition(made, "edge", "PointRange", [[1, 1, 1], [3, 1, 1]])
        condition(made, "corner", "PointList", [[3, 4, 5], [1, 1, 1]], "Vertex")
        condition(made, "cells", "PointList", [[1, 1, 1]], "CellCenter")
        solution(made, "Vertex", f=x @ [1, 10, 100])
        solution(made, "CellCenter", c=grid((2, 3, 4)) @ [1, 10, 100])
    mesh = here(tmp_path / "m.cgns")
    assert mesh.cells["hexahedron"].shape == (24, 8) and float(signed_measures(mesh).min()) == 1
    y = mesh.points.numpy()
    assert np.array_equal(mesh.point_data["f"], y @ [1, 10, 100])
    low = y[mesh.cells["hexahedron"]].min(1)
    assert np.array_equal(mesh.cell_data["c"], low @ [1, 10, 100])
    for name, axis, value, count in (("ilow", 0, 0, 12), ("jhigh", 1, 3, 8), ("lid", 1, 3, 8), ("khigh", 2, 4, 6)):
        tag = mesh.tags[name]
        assert tag.dim == 2 and len(tag.ids) == count and (y[tag.nodes][:, axis] == value).all()
        assert bool(torch.isin(tag.ids, mesh.boundary_facets).all())
    assert sets(mesh)["part"] == (2, [3, 4, 6, 7, 9, 10])
    assert sets(mesh)["edge"] == (0, [0, 1, 2]) and sets(mesh)["corner"] == (0, [0, 59])
    assert any("condition 'cells' (PointList at CellCenter)" in sentence for sentence in mesh.warnings)


def test_a_flat_structured_zone_becomes_quads_with_edges(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        made = zone(base(file, dims=(2, 2)), grid((3, 2)), shape=(3, 2))
        condition(made, "left", "PointRange", [[1, 1], [1, 2]])
        condition(made, "top", "PointRange", [[2, 2], [2, 2]], "JFaceCenter")
    mesh = here(tmp_path / "m.cgns")
    assert mesh.space_dim == 2 and mesh.cells["quad"].tolist() == [[0, 1, 4, 3], [1, 2, 5, 4]]
    assert sets(mesh) == {"left": (1, [0, 3]), "top": (1, [4, 5])}


def test_zones_are_joined_as_parts_and_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        root = base(file)
        first = zone(root, grid((2, 2, 2)), shape=(2, 2, 2), name="box")
        second = zone(root, grid((2, 2, 2)) + np.array([1, 0, 0]), 1, name="tet")
        section(second, "cells", 10, 1, [[1, 2, 3, 5]])
        section(second, "shell", 5, 2, [[1, 2, 3]])
        for made in (first, second):
            solution(made, "Vertex", T=np.arange(8.0))
        solution(first, "Vertex", only=np.arange(8.0))
        condition(first, "in", "PointRange", [[1, 1, 1], [1, 2, 2]])
        condition(second, "in", "PointList", [[2]], "FaceCenter")
        node(node(first, "ZoneGridConnectivity", "ZoneGridConnectivity_t"), "to", "GridConnectivity1to1_t", "tet")
        zone(base(file, "Other"), grid((2, 2, 2)), shape=(2, 2, 2))
        base(file, "Void")
    mesh = here(tmp_path / "m.cgns")
    assert {kind: len(nodes) for kind, nodes in mesh.cells.items()} == {"hexahedron": 1, "tetra": 1} and mesh.n == 16
    assert sets(mesh) == {
        "box": (3, list(range(8))),
        "tet": (3, [8, 9, 10, 12]),
        "in": (2, [0, 2, 4, 6, 8, 9, 10]),
    }
    assert mesh.point_data["T"].tolist() == [*range(8), *range(8)] and list(mesh.point_data) == ["T"]
    told = " ".join(mesh.warnings)
    assert "1 connections of its 2 zones were left out; the zones stay separate parts" in told
    assert "it holds 2 bases; 'Base' is read, not Other" in told and "only some zones have were left out: only" in told


def broken(file: Any) -> Any:
    made = zone(base(file), SQUARE, 2)
    section(made, "quads", 7, 1, [[1, 2, 3, 4], [2, 5, 6, 3]])
    condition(made, "wall", "PointList", [[1]], "FaceCenter")
    return made


def data_of(name: str, value: Any) -> Any:
    def change(file: Any, made: Any) -> None:
        holder = made[name] if name else made
        del holder[" data"]
        holder[" data"] = np.asarray(value)

    return change


def rename(name: str, other: str) -> Any:
    return lambda file, made: made.move(name, other)


REFUSALS = {
    "no zone": lambda f, z: f["Base"].__delitem__("Zone"),
    "0 CGNS bases": lambda f, z: f.__delitem__("Base"),
    "states its size by numbers": data_of("", [6, 2, 0]),
    "states sizes of [0] points": data_of("", [[0], [2], [0]]),
    "has no coordinates": lambda f, z: z.__delitem__("GridCoordinates"),
    "CoordinateR, CoordinateY, CoordinateZ, expected CoordinateX": rename(
        "GridCoordinates/CoordinateX", "GridCoordinates/CoordinateR"
    ),
    "has 6 coordinates, expected 7": data_of("", [[7], [2], [0]]),
    "has elements [1, 9] and 8 numbers": data_of("quads/ElementRange", [1, 9]),
    "lists 8 numbers for 3 elements": data_of("quads/ElementRange", [1, 3]),
    "has elements [0, 1] and 8": data_of("quads/ElementRange", [0, 1]),
    "has 4 nodes per element, expected 3": data_of("quads", [5, 0]),
    "elements of type 99": data_of("quads", [99, 0]),
    "general polyhedra (NFACE_n)": data_of("quads", [23, 0]),
    "has no ElementRange": rename("quads/ElementRange", "quads/Range"),
    "other than whole numbers": data_of("quads/ElementConnectivity", np.ones(8)),
    "cell of zone 'Zone' names point 7, expected 1..6": data_of("quads/ElementConnectivity", [1, 2, 3, 7] * 2),
    "cell of zone 'Zone' names point 4, expected 1..6": data_of("quads/ElementConnectivity", [0, 2, 3, 4] * 2),
    "element 9 is used but not defined": data_of("ZoneBC/wall/PointList", [[9]]),
    "PointList of condition 'wall' has shape [2, 2]": data_of("ZoneBC/wall/PointList", [[9, 1], [1, 1]]),
    "PointList of condition 'wall' has shape [1]": data_of("ZoneBC/wall/PointList", [9]),
    "links to another place": lambda f, z: z["quads"].attrs.__setitem__("type", np.bytes_("LK")),
    "leads elsewhere by a link": lambda f, z: z.__setitem__("more", h5py.SoftLink("/Base")),
    "'more' links to another file": lambda f, z: z.__setitem__("more", h5py.ExternalLink("b.cgns", "/Base")),
    "holds no 'data'": lambda f, z: z["quads/ElementConnectivity"].__delitem__(" data"),
    "element 1 is defined twice": lambda f, z: section(z, "again", 7, 1, [[1, 2, 3, 4]]),
}


@pytest.mark.parametrize("reason", REFUSALS)
def test_refusals_are_one_true_sentence(tmp_path: Path, reason: str) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        REFUSALS[reason](file, broken(file))
    with pytest.raises(Unreadable) as caught:
        here(tmp_path / "m.cgns")
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    "listing, chosen, place, reason",
    [
        ("PointList", [[7]], "Vertex", "condition 'bad' names point 7, expected 1..6"),
        ("PointList", [[0]], "Vertex", "condition 'bad' names point 0, expected 1..6"),
        ("PointRange", [[1], [10**12]], "Vertex", "PointRange of condition 'bad' goes from 1 to 1000000000000"),
        ("PointRange", [[5], [2]], "Vertex", "goes from 5 to 2"),
        ("ElementRange", [[1], [2], [3]], "", "has 3 ends, expected 2"),
    ],
)
def test_conditions_that_name_nothing_are_refused(tmp_path: Path, listing, chosen, place, reason) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        condition(broken(file), "bad", listing, chosen, place)
    with pytest.raises(Unreadable) as caught:
        here(tmp_path / "m.cgns")
    assert reason in str(caught.value)


def test_a_range_outside_the_grid_is_refused(tmp_path: Path) -> None:
    for chosen, place in (([[1, 1, 1], [1, 2, 9]], ""), ([[1, 1, 1], [2, 2, 1]], "KFaceCenter"), ([[0, 1, 1]] * 2, "")):
        with h5py.File(tmp_path / "m.cgns", "w") as file:
            condition(zone(base(file), grid((2, 2, 2)), shape=(2, 2, 2)), "bad", "PointRange", chosen, place)
        with pytest.raises(Unreadable, match="outside the grid of"):
            here(tmp_path / "m.cgns")


@pytest.mark.parametrize(
    "kind, nodes, starts, reason",
    [
        (20, [7, 1, 2, 3, 4, 5, 1, 2, 3, 3], None, "1 numbers more"),
        (20, [7, 1, 2, 3, 4, 7, 2, 5, 6], None, "too early"),
        (20, [7, 1, 2, 3, 4, 7, 2, 5, 6, 3], [0, 4, 10], "another number of nodes than its type"),
        (20, [7, 1, 2, 3, 4, 7, 2, 5, 6, 3], [0, 5, 11], "ElementStartOffset"),
        (22, [1, 2, 3, 4, 2, 5, 6, 3], [0, 9, 8], "ElementStartOffset"),
        (22, [1, 2, 3, 4, 5, 6], [0, 4, 6], "polygons with 2 corners"),
        (22, [0, 0, 0], None, "polygons with 0 corners"),
    ],
)
def test_lists_of_mixed_cells_must_fit(tmp_path: Path, kind, nodes, starts, reason) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        section(zone(base(file), SQUARE, 2), "cells", kind, 1, nodes, 2, starts)
    with pytest.raises(Unreadable, match=reason):
        here(tmp_path / "m.cgns")


def test_a_bomb_is_refused_before_it_goes_off(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "m.cgns", "w") as file:
        made = zone(base(file), SQUARE, 2)
        grown = node(made, "quads", "Elements_t", np.array([7, 0]))
        node(grown, "ElementRange", "IndexRange_t", np.array([1, 2]))
        node(grown, "ElementConnectivity", "DataArray_t").create_dataset(" data", (1 << 22,), "i8", chunks=(1 << 20,))
    with pytest.raises(Unreadable, match="declares 33554432 bytes and stores 0"):
        here(tmp_path / "m.cgns")
    with h5py.File(tmp_path / "n.cgns", "w") as file:
        zone(base(file), np.zeros((8, 3)), shape=(2, 2, 2))
        del file["Base/Zone/ data"]
        file["Base/Zone/ data"] = np.array([[1 << 40] * 3, [1] * 3, [0] * 3])
    with pytest.raises(Unreadable, match="has 8 coordinates, expected 13292279957849158"):
        here(tmp_path / "n.cgns")


def test_old_files_are_told_what_to_do(tmp_path: Path, meshes: Path) -> None:
    (tmp_path / "m.cgns").write_bytes(b"@(#)ADF Database Version A02011>")
    for path in (tmp_path / "m.cgns", meshes / "su2" / "mesh_wedge_inv.cgns"):
        with pytest.raises(MeshReadError, match=r"older CGNS files \(ADF\) must be converted with adf2hdf"):
            read_mesh(path)


@pytest.mark.parametrize(
    "name, points, cells, volume, walls",
    [
        ("cgns/cgnslib_vers-4400.cgns", 3213, 2560, 2560.0, {"Ilo": 128, "Ihi": 128, "Walls": 960}),
        (
            "seacas/BC_without_parents.cgns",
            4505,
            3840,
            None,
            {"bc-1-wall": 240, "bc-2-inflow": 240, "bc-3-outflow": 768},
        ),
    ],
)
def test_real_files(meshes: Path, name, points, cells, volume, walls) -> None:
    """Every boundary face is in exactly one condition, and no cell is turned inside out."""
    mesh = read_mesh(meshes / name)
    assert mesh.n == points and {kind: len(nodes) for kind, nodes in mesh.cells.items()} == {"hexahedron": cells}
    assert float(signed_measures(mesh).min()) > 0
    assert volume is None or float(signed_measures(mesh).sum()) == pytest.approx(volume, rel=1e-12)
    found = {tag: len(mesh.tags[tag].ids) for tag in mesh.tags if mesh.tags[tag].dim == 2}
    assert found == walls
    together = torch.cat([mesh.tags[tag].ids for tag in walls])
    assert torch.equal(together.sort().values, mesh.boundary_facets)
