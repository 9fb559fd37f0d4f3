"""XDMF: items in every place, references, collections, every topology and geometry, FEniCS' markers and checkpoints."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh
from graphpde.mesh.mesh import Mesh
from tests.mesh.io_samples import PLANE, POINTS, TRIANGLES, put, sets


def words(values: object) -> str:
    return " ".join(map(repr, np.asarray(values).reshape(-1).tolist()))


def item(values: object, **more: str) -> str:
    """A data item with its numbers in the XML."""
    array = np.asarray(values)
    known = {"Dimensions": " ".join(map(str, array.shape)), "NumberType": "Int" if array.dtype.kind == "i" else "Float"}
    return f"<DataItem {attributes(known | more)}>{words(array)}</DataItem>"


def attributes(given: dict[str, str]) -> str:
    return " ".join(f'{name}="{value}"' for name, value in given.items())


def grid(
    points: object = PLANE, cells: object = TRIANGLES, inner: str = "", kind: str = "Triangle", name: str = ""
) -> str:
    wide = "XYZ" if np.asarray(points).shape[1] == 3 else "XY"
    topology = f'<Topology TopologyType="{kind}" NumberOfElements="{len(np.asarray(cells))}">{item(cells)}</Topology>'
    return f'<Grid Name="{name}">{topology}<Geometry GeometryType="{wide}">{item(points)}</Geometry>{inner}</Grid>'


def xdmf(*grids: str, version: str = "3.0") -> str:
    return (
        f'<?xml version="1.0"?>\n<Xdmf Version="{version}">\n<Domain>\n' + "\n".join(grids) + "\n</Domain>\n</Xdmf>\n"
    )


def attribute(name: str, values: object, center: str = "Node") -> str:
    return f'<Attribute Name="{name}" Center="{center}">{item(values)}</Attribute>'


def assert_sample(mesh: Mesh) -> None:
    assert np.array_equal(mesh.points, PLANE) and mesh.cells["triangle"].tolist() == TRIANGLES.tolist()


def test_fields_of_points_and_cells(tmp_path: Path) -> None:
    inner = attribute("u", np.arange(5.0)) + attribute("v", np.arange(15.0).reshape(5, 3))
    inner += attribute("t", np.arange(27.0).reshape(3, 3, 3), "Cell") + attribute(
        "k", np.array([[7], [8], [9]]), "Cell"
    )
    inner += '<Set Name="ends" SetType="Node">' + item(np.array([4, 0])) + "</Set>"
    inner += '<Set Name="steel" SetType="Cell">' + item(np.array([2])) + "</Set>"
    inner += '<Set Name="odd" SetType="Face">' + item(np.array([2])) + "</Set>"
    inner += '<Attribute Name="all" Center="Grid">' + item(np.array([2.0])) + "</Attribute>"
    mesh = read_mesh(put(tmp_path, "m.xmf", xdmf(grid(inner=inner), version="2.0")))
    assert_sample(mesh)
    assert mesh.point_data["u"].tolist() == [0, 1, 2, 3, 4] and mesh.point_data["v"].shape == (5, 3)
    assert mesh.cell_data["t"].shape == (3, 9) and mesh.cell_data["k"].tolist() == [7, 8, 9]
    assert sets(mesh) == {"ends": (0, [0, 4]), "steel": (2, [1, 2, 4])}
    assert "the set 'odd' of type face was left out: it has 1 data items, expected 2" in mesh.warnings
    assert "the field 'all' was left out: its values stand at 'grid', expected Node or Cell" in mesh.warnings


def test_numbers_in_hdf5_and_raw_files(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "side.h5", "w") as file:
        file["mesh/x"] = PLANE
        file.create_dataset("mesh/cells", data=TRIANGLES.astype("i4"), compression="gzip", shuffle=True)
        file["steps"] = np.arange(20.0).reshape(4, 5)
        file["flat"] = TRIANGLES.reshape(-1)
    (tmp_path / "raw.bin").write_bytes(b"xxxx" + PLANE.astype(">f8").tobytes() + np.arange(5, dtype=">i2").tobytes())

    def stored(path: str, dimensions: str) -> str:
        return f'<DataItem Dimensions="{dimensions}" Format="HDF">\n side.h5:{path}\n</DataItem>'

    x = '<DataItem Dimensions="5 2" Format="Binary" Precision="8" Endian="Big" Seek="4">raw.bin</DataItem>'
    w = x.replace("5 2", "5").replace('Seek="4"', 'Seek="84" NumberType="Int"').replace('"8"', '"2"')
    slab = '<DataItem ItemType="HyperSlab" Dimensions="5" Type="HyperSlab">' + item(np.array([[2, 0], [1, 1], [1, 5]]))
    slab += stored("/steps", "4 5") + "</DataItem>"
    short = stored("/steps|1 0|1 2|1 3|4 5", "3")
    for geometry, topology in (
        (stored("/mesh/x", "5 2"), stored("/mesh/cells", "3 3")),
        (x, stored("flat", "3 3")),
        (stored("mesh/x", "10"), stored("mesh/cells", "9")),
    ):
        text = xdmf(
            f'<Grid><Topology TopologyType="Triangle" NumberOfElements="3">{topology}</Topology><Geometry Type="XY">'
            f'{geometry}</Geometry><Attribute Name="s">{slab}</Attribute><Attribute Name="w">{w}</Attribute>'
            f'<Attribute Name="p" Center="Cell">{short}</Attribute></Grid>'
        )
        mesh = read_mesh(put(tmp_path, "m.xdmf", text))
        assert_sample(mesh)
        assert mesh.point_data["s"].tolist() == [10, 11, 12, 13, 14]
        assert mesh.point_data["w"].tolist() == [0, 1, 2, 3, 4]
        assert mesh.cell_data["p"].tolist() == [5, 7, 9]


def test_selections_and_components(tmp_path: Path) -> None:
    u = item(np.arange(5.0))
    picked = (
        '<DataItem ItemType="Coordinates" Dimensions="5">'
        + item(np.array([[4], [3], [2], [1], [0]]))
        + f"{u}</DataItem>"
    )
    strided = '<DataItem ItemType="HyperSlab" Dimensions="5">' + item(np.array([[1], [2], [5]]))
    strided += item(np.arange(10.0)) + "</DataItem>"
    both = f'<DataItem ItemType="Function" Function="JOIN($1 , $0)" Dimensions="5 2">{u}{strided}</DataItem>'
    inner = "".join(f'<Attribute Name="{n}">{v}</Attribute>' for n, v in {"p": picked, "s": strided, "b": both}.items())
    summed = f'<DataItem ItemType="Function" Function="$0 + $1" Dimensions="5">{u}{u}</DataItem>'
    summed = f'<Attribute Name="f">{summed}</Attribute>'
    mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(grid(inner=inner + summed))))
    assert mesh.point_data["p"].tolist() == [4, 3, 2, 1, 0]
    assert mesh.point_data["s"].tolist() == [1, 3, 5, 7, 9]
    assert mesh.point_data["b"][1].tolist() == [3, 1]
    assert "the field 'f' was left out: a data item is of a function ($0 + $1), which is not read" in mesh.warnings
    for old, new, reason in (
        ("1 2 5<", "1 2 6<", "a hyperslab takes 6 from 1 by 2 of 10"),
        ("1 2 5<", "-1 2 5<", "a hyperslab takes 5 from -1 by 2 of 10"),
        ("4 3 2 1 0<", "4 3 2 1 5<", "coordinates leaves the shape .5."),
        ("JOIN($1 , $0)", "JOIN($1 , $2)", "2 components are joined from parts"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.xdmf", xdmf(grid(inner=inner)).replace(old, new, 1)))


def test_references_within_the_file(tmp_path: Path) -> None:
    shared = (
        f"<DataItem Name='c' {attributes({'Dimensions': '3 3', 'NumberType': 'Int'})}>{words(TRIANGLES)}</DataItem>"
    )
    shared += f"<DataItem Name='x' Dimensions='5 2'>{words(PLANE)}</DataItem>"
    first = "<DataItem Reference=\"XML\">\n/Xdmf/Domain/DataItem[@Name='c']\n</DataItem>"
    for second in (
        '<DataItem Reference="/Xdmf/Domain/DataItem[2]"/>',
        '<DataItem Reference="XML">//DataItem[@Name="x"]</DataItem>',
        '<DataItem Reference="XML">/*/Domain/DataItem[last()]</DataItem>',
        '<xi:include xpointer="element(/1/1/2)"/>',
    ):
        text = xdmf(
            f'{shared}<Grid><Topology TopologyType="Triangle">{first}</Topology>'
            f'<Geometry GeometryType="XY">{second}</Geometry></Grid>'
        ).replace('"3.0"', '"3.0" xmlns:xi="http://www.w3.org/2001/XInclude"')
        assert_sample(read_mesh(put(tmp_path, "m.xdmf", text)))
    for old, new, reason in (
        ("/1/1/2", "/1/1/9", "includes '/1/1/9', where there is nothing"),
        ("element(/1/1/2)", "element(a)", "'element.a.' is not understood"),
        ("'c']", "'d']", "a DataItem refers to '.*', where there is none"),
        ("/Xdmf/Domain/DataItem[@Name='c']", "/Xdmf/Domain/Grid/Topology/DataItem", "chain of more than 16 references"),
        ("/Xdmf/Domain/DataItem[@Name='c']", "/Xdmf/Domain/DataItem[text()]", "is not understood"),
        ("<xi:include", '<xi:include href="/etc/passwd"', "includes another file .'/etc/passwd'.*not allowed"),
    ):
        assert old in text
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.xdmf", text.replace(old, new, 1)))


def series(steps: int, times: str = "each") -> list[str]:
    """A mesh and a time series that borrows it, as meshio and FEniCS write them."""
    include = "<xi:include xpointer=\"xpointer(//Grid[@Name='mesh']/*[self::Topology or self::Geometry])\"/>"
    inner = ""
    for k in range(steps):
        time = f'<Time Value="{k / 4}"/>' if times == "each" else ""
        fields = attribute("u", np.arange(5.0) + k) if k < steps - 1 else ""  # the last one was not finished
        inner += f"<Grid>{include}{time}{fields}</Grid>"
    if times == "list":
        inner = f'<Time TimeType="List">{item(np.arange(steps) / 4)}</Time>' + inner
    if times == "hyperslab":
        inner = f'<Time TimeType="HyperSlab">{item(np.array([0, 0.25, steps]))}</Time>' + inner
    kind = 'GridType="Collection" CollectionType="Temporal"'
    return [f'<Grid xmlns:xi="http://www.w3.org/2001/XInclude" {kind}>{inner}</Grid>', grid(name="mesh")]


@pytest.mark.parametrize("times", ["each", "list", "hyperslab", "none"])
def test_a_time_series_gives_its_last_fields(tmp_path: Path, times: str) -> None:
    for order in (slice(None), slice(None, None, -1)):
        mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(*series(4, times)[order])))
        assert_sample(mesh)
        assert mesh.point_data["u"].tolist() == [2, 3, 4, 5, 6]
        span, at = (" (t = 0 to 0.75)", " (t = 0.5)") if times != "none" else ("", "")
        assert mesh.warnings == (
            f"it is a time series of 4 steps{span}; the mesh is that of step 1, the fields are those of step 3{at}",
        )


def test_a_series_whose_mesh_changes(tmp_path: Path) -> None:
    def steps(points: np.ndarray, cells: np.ndarray) -> str:
        first, last = grid(inner=attribute("u", np.zeros(5))), grid(points, cells, attribute("u", np.ones(len(points))))
        return xdmf(f'<Grid GridType="Collection" CollectionType="Temporal">{first}{last}</Grid>')

    mesh = read_mesh(put(tmp_path, "m.xdmf", steps(PLANE + 1, TRIANGLES)))
    assert_sample(mesh)
    assert mesh.point_data["u"].tolist() == 5 * [1]
    assert "the mesh is that of step 1, whose points move later, the fields are those of step 2" in mesh.warnings[0]
    mesh = read_mesh(put(tmp_path, "m.xdmf", steps(PLANE[:4], TRIANGLES[:2])))
    assert_sample(mesh)
    assert mesh.point_data["u"].tolist() == 5 * [0]
    assert "as the cells change up to step 2" in mesh.warnings[0]
    empty = xdmf('<Grid Name="w" GridType="Collection" CollectionType="Temporal"/>', grid())
    assert read_mesh(put(tmp_path, "m.xdmf", empty)).warnings == ("the collection 'w' is empty",)


def test_spatial_collections_join_their_pieces(tmp_path: Path) -> None:
    left = grid(inner=attribute("u", np.arange(5.0)) + attribute("k", np.arange(3.0), "Cell"), name="left")
    right = PLANE[[0, 1, 2, 3]] + 3
    inner = (
        attribute("u", np.arange(4.0) + 5) + attribute("w", np.arange(4.0)) + attribute("k", np.array([9.0]), "Cell")
    )
    part = grid(right, np.array([[0, 1, 2, 3]]), inner, "Quadrilateral", "right")
    mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(f'<Grid GridType="Collection">{left}{part}</Grid>')))
    assert np.array_equal(mesh.points, np.r_[PLANE, right])
    assert mesh.cells["quad"].tolist() == [[5, 6, 7, 8]] and mesh.cells["triangle"].tolist() == TRIANGLES.tolist()
    assert mesh.point_data["u"].tolist() == list(range(9)) and mesh.cell_data["k"].tolist() == [0, 1, 2, 9]
    assert sets(mesh) == {"left": (2, [0, 1, 2, 3, 4]), "right": (2, [5, 6, 7, 8])}
    assert "1 fields are not given on all pieces and were left out: w" in mesh.warnings
    again = grid(inner=attribute("w", np.ones(5)))
    mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(left, again)))  # equal grids are one
    assert mesh.n_cells == 3 and sorted(mesh.point_data) == ["u", "w"] and not mesh.tags


def test_markers_of_fenics_become_sets(tmp_path: Path) -> None:
    geometry = (
        '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" xpointer="xpointer(/Xdmf/Domain/Grid/Geometry)"/>'
    )

    def markers(name: str, cells: object, values: list[int], kind: str, width: int) -> str:
        rows = np.asarray(cells)
        return (
            f'<Grid Name="{name}">{geometry}<Topology TopologyType="{kind}" NodesPerElement="{width}">{item(rows)}'
            f"</Topology>{attribute(name, np.array(values)[:, None], 'Cell')}</Grid>"
        )

    mesh = grid(name="mesh")
    cells = markers("parts", TRIANGLES[[2, 0]][:, [1, 2, 0]], [4, 5], "Triangle", 3)
    facets = markers("walls", [[1, 0], [3, 0], [4, 1]], [7, 8, 7], "PolyLine", 2)
    corners = markers("spots", [[4]], [9], "Polyvertex", 1)
    for order in ((mesh, cells, facets, corners), (mesh, corners, facets, cells), (corners, facets, mesh, cells)):
        found = read_mesh(put(tmp_path, "m.xdmf", xdmf(*order)))
        assert_sample(found)
        assert sets(found) == {
            "4": (2, [1, 2, 4]),
            "5": (2, [0, 1, 2]),
            "7": (1, [0, 1, 4]),
            "8": (1, [0, 3]),
            "9": (0, [4]),
        }
        assert found.warnings == ()
    second = markers("inlet", [[2, 3]], [7], "Polyline", 2)
    found = read_mesh(put(tmp_path, "m.xdmf", xdmf(mesh, facets, second)))
    assert sets(found) == {"7": (1, [0, 1, 4]), "8": (1, [0, 3]), "inlet:7": (1, [2, 3])}


def test_a_known_tag_array_names_sets(tmp_path: Path) -> None:
    for name in ("gmsh:physical", "name_to_read"):
        mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(grid(inner=attribute(name, np.array([3, 3, 5]), "Cell")))))
        assert sets(mesh) == {"3": (2, [0, 1, 2, 3]), "5": (2, [1, 2, 4])}
    mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(grid(inner=attribute("k", np.array([3, 3, 5]), "Cell")))))
    assert mesh.cell_data["k"].tolist() == [3, 3, 5] and not mesh.tags


def checkpoint(space: tuple[str, str], unknowns: np.ndarray, vector: np.ndarray, order: list[int]) -> str:
    m = len(unknowns)
    parts = [unknowns.reshape(-1, 1), vector[:, None], np.arange(m + 1)[:, None] * unknowns.shape[1], np.array(order)]
    inner = f'<Attribute ItemType="FiniteElementFunction" ElementFamily="{space[0]}" ElementDegree="{space[1]}" '
    return xdmf(grid(inner=inner + 'Name="f" Center="Other">' + "".join(map(item, parts)) + "</Attribute>"))


def test_functions_of_fenics_checkpoints(tmp_path: Path) -> None:
    order = [2, 0, 1]
    dofs = np.array([3, 1, 4, 0, 2])  # of each point
    vector = np.arange(5.0) * 10
    linear = checkpoint(("CG", "1"), dofs[TRIANGLES][order], vector, order)
    assert read_mesh(put(tmp_path, "m.xdmf", linear)).point_data["f"].tolist() == [30, 10, 40, 0, 20]
    both = np.c_[2 * dofs[TRIANGLES], 2 * dofs[TRIANGLES] + 1][order]  # one component after another
    mesh = read_mesh(put(tmp_path, "m.xdmf", checkpoint(("CG", "1"), both, np.arange(10.0), order)))
    assert mesh.point_data["f"].tolist() == [[6, 7], [2, 3], [8, 9], [0, 1], [4, 5]]
    constant = checkpoint(("DG", "0"), np.array([[0], [1], [2]]), np.array([5.0, 6, 7]), order)
    assert read_mesh(put(tmp_path, "m.xdmf", constant)).cell_data["f"].tolist() == [6, 7, 5]
    mesh = read_mesh(put(tmp_path, "m.xdmf", linear.replace('Degree="1"', 'Degree="2"')))
    assert not mesh.point_data and "it is of CG2, read are CG1 and DG0" in mesh.warnings[0]
    apart = checkpoint(("CG", "1"), dofs[TRIANGLES][:, [1, 0, 2]], vector, [0, 1, 2])
    assert "do not agree on the unknowns" in read_mesh(put(tmp_path, "m.xdmf", apart)).warnings[0]
    with pytest.raises(MeshReadError, match="lists 3 cells, expected each of the 3 once"):
        read_mesh(put(tmp_path, "m.xdmf", linear.replace(words(order), "2 0 0")))
    with pytest.raises(MeshReadError, match="names unknown 4 of 4"):
        short = linear.replace('"5 1"', '"4 1"').replace(words(vector), words(vector[:4]))
        read_mesh(put(tmp_path, "m.xdmf", short))


NAMES = {
    **{"line3": "Edge_3", "triangle": "Triangle", "triangle6": "Tri_6", "quad": "Quadrilateral", "quad8": "Quad_8"},
    **{"quad9": "Quadrilateral_9", "tetra": "Tetrahedron", "tetra10": "Tet_10", "pyramid": "Pyramid", "wedge": "WEDGE"},
    **{"pyramid13": "Pyramid_13", "wedge15": "Wedge_15", "wedge18": "Wedge_18", "hexahedron": "Hexahedron"},
    **{"hexahedron20": "Hexahedron_20", "hexahedron24": "Hexahedron_24", "hexahedron27": "HEX_27"},
}
CODES = {
    **{"triangle": 4, "quad": 5, "tetra": 6, "pyramid": 7, "wedge": 8, "hexahedron": 9, "line3": 34, "quad9": 35},
    **{"triangle6": 36, "quad8": 37, "tetra10": 38, "pyramid13": 39, "wedge15": 40, "wedge18": 41},
    **{"hexahedron20": 48, "hexahedron24": 49, "hexahedron27": 50},
}


@pytest.mark.parametrize("kind", NAMES)
def test_every_topology_by_name_and_mixed(tmp_path: Path, kind: str) -> None:
    k = CELLS[kind].nodes
    points = np.random.default_rng(0).random((k + 1, 3))
    cells = np.stack([np.arange(k), np.arange(1, k + 1)])
    plain = read_mesh(put(tmp_path, "m.xdmf", xdmf(grid(points, cells, kind=NAMES[kind]))))
    assert {name: rows.tolist() for name, rows in plain.cells.items()} == {kind: cells.tolist()}
    based = xdmf(grid(points, cells + 1, kind=NAMES[kind])).replace("<Topology ", '<Topology BaseOffset="1" ')
    assert read_mesh(put(tmp_path, "m.xdmf", based)).cells[kind].tolist() == cells.tolist()
    mixed = xdmf(grid(points, np.c_[[CODES[kind]] * 2, cells].reshape(-1), kind="Mixed"))
    mixed = mixed.replace(f'NumberOfElements="{2 * (k + 1)}"', 'NumberOfElements="2"')
    assert read_mesh(put(tmp_path, "m.xdmf", mixed)).cells[kind].tolist() == cells.tolist()


def test_mixed_cells_with_counts(tmp_path: Path) -> None:
    entries = [
        4,
        0,
        1,
        2,
        3,
        4,
        0,
        2,
        3,
        3,
        4,
        1,
        4,
        2,
        2,
        3,
        0,
        1,
        4,
        1,
        1,
        3,
    ]  # triangle, polygon, ..., polyline, point
    entries[9:13] = [4, 1, 4, 2]
    text = xdmf(grid(np.c_[PLANE, np.arange(5.0)], np.array(entries), attribute("k", np.arange(5.0), "Cell"), "Mixed"))
    text = text.replace('NumberOfElements="22"', 'NumberOfElements="5"')
    text = text.replace(words(entries), "4 0 1 2  3 4 0 2 3 3  4 1 4 2  2 3 0 1 4  1 1 3").replace('"22"', '"22"')
    mesh = read_mesh(put(tmp_path, "m.xdmf", text))
    assert mesh.cells["triangle"].tolist() == [[0, 1, 2], [1, 4, 2]] and mesh.cells["quad"].tolist() == [[0, 2, 3, 3]]
    assert mesh.cell_data["k"].tolist() == [0, 2, 1]
    assert sets(mesh) == {"line": (1, [0, 1, 4]), "vertex": (0, [3])}
    for old, new, reason in (
        ("1 1 3<", "1 2 3<", "cell 4 of its mixed topology leaves the list"),
        ("1 1 3<", "1 0 3<", "cell 4 of its mixed topology leaves the list"),
        ("1 1 3<", "16 1 3<", "cell 4 of its mixed topology is a polyhedron"),
        ("1 1 3<", "77 1 3<", "cell 4 of its mixed topology has the type code 77"),
        ('Elements="5"', 'Elements="6"', "declares 6 elements and lists 5"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.xdmf", text.replace(old, new, 1)))


def test_structured_grids(tmp_path: Path) -> None:
    z, y, x = np.meshgrid([0.0, 2], [0.0, 1, 5], [0.0, 1, 2, 4], indexing="ij")
    points = np.stack([x.reshape(-1), y.reshape(-1), z.reshape(-1)], 1)
    listed = (
        f'<Topology TopologyType="3DSMesh" Dimensions="2 3 4"/><Geometry GeometryType="XYZ">{item(points)}</Geometry>'
    )
    axes = item(np.array([0.0, 1, 2, 4])) + item(np.array([0.0, 1, 5])) + item(np.array([0.0, 2]))
    rect = f'<Topology TopologyType="3DRectMesh" Dimensions="2 3 4"/><Geometry GeometryType="VXVYVZ">{axes}</Geometry>'
    apart = "".join(item(points[:, k]) for k in range(3))
    columns = listed[: listed.index("<Geometry")] + f'<Geometry GeometryType="X_Y_Z">{apart}</Geometry>'
    for content in (listed, rect, columns):
        inner = attribute("k", np.arange(6.0).reshape(1, 2, 3), "Cell")
        mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(f"<Grid>{content}{inner}</Grid>")))
        assert np.array_equal(mesh.points, points) and len(mesh.cells["hexahedron"]) == 6
        middle = mesh.points[mesh.cells["hexahedron"]].mean(1)
        assert middle[4].tolist() == [1.5, 3, 1] and mesh.cell_data["k"].tolist() == list(range(6))
        assert not any("orientation" in sentence for sentence in mesh.warnings)
    image = '<Topology TopologyType="2DCoRectMesh" Dimensions="2 3"/><Geometry GeometryType="ORIGIN_DXDY">'
    image += item(np.array([1.0, 2.0])) + item(np.array([0.5, 0.25])) + "</Geometry>"
    mesh = read_mesh(put(tmp_path, "m.xdmf", xdmf(f"<Grid>{image}</Grid>")))
    assert mesh.points.tolist() == [[2, 1], [2.25, 1], [2.5, 1], [2, 1.5], [2.25, 1.5], [2.5, 1.5]]
    assert mesh.cells["quad"].tolist() == [[0, 1, 4, 3], [1, 2, 5, 4]]
    for old, new, reason in (
        ('"2 3"', '"20000 30000"', "imply 600000000 points, more than the 10000000"),
        ('"2 3"', '"2"', "has the Dimensions '2', expected 2 counts"),
        ("ORIGIN_DXDY", "XY", "structured grid has a geometry of type XY, which does not fit"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "m.xdmf", xdmf(f"<Grid>{image}</Grid>").replace(old, new, 1)))


GOOD = xdmf(grid(POINTS, TRIANGLES, attribute("u", np.arange(5.0))))


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("</Xdmf>", "", "the XML is broken"),
        ("<Xdmf", '<!DOCTYPE Xdmf SYSTEM "Xdmf.dtd" []>\n<Xdmf', "defines entities"),
        ("<Domain>", "<Domain>" + 70 * "<a>" + 70 * "</a>", "nest more than 64 levels deep"),
        ("Xdmf", "Ydmf", "the XML is broken"),
        ("Domain>", "Domaine>", "the XML is broken"),
        ('"5 3"', '"5 4"', "declares 20 numbers and holds 15"),
        ('"5 3"', '"999999999999 3"', "declares 2999999999997 numbers and holds 15"),
        ('"5 3"', '"5 -3"', "has the Dimensions '5 -3', expected counts"),
        ('"5 3"', '"5_0 3"', "expected counts"),
        ("0.0 0.0", "0.0 0x0", "holds something that is not a number"),
        ("0.0 0.0", "0.0 nan", "points of 'm.xdmf' are not finite"),
        ("0 1 2 0", "0 1 9 0", "a cell names point 9, expected 0..4"),
        ("0 1 2 0", "0 1 -1 0", "a cell names point -1, expected 0..4"),
        ('Elements="3"', 'Elements="4"', "declares 4 elements and lists 3"),
        ('"Triangle"', '"Quadrilateral"', "its quad cells list 3 points each, expected 4"),
        ('"Triangle"', '"Dodecahedron"', "is of type dodecahedron, expected one of"),
        ('"Triangle"', '"Triangle" Order="2 1 0"', "an order of nodes of its own"),
        ('"Triangle"', '"Triangle" NodesPerElement="6"', "declare 6 points each, expected 3"),
        ('"XYZ"', '"XY"', "its geometry XY has the shape"),
        ('"XYZ"', '"VXVYVZ"', "is of type VXVYVZ, which gives no listed cells their points"),
        ("<Geometry ", "<Geo ", "the XML is broken"),
        ('NumberType="Float"', 'NumberType="Complex"', "holds complex, expected one of"),
        ('NumberType="Float"', 'Format="TIFF"', "has the format tiff"),
        ('<Grid Name="">', '<Grid Name="" GridType="Subset">', "is of type subset, which is not read"),
        ('NumberType="Int"', 'NumberType="Int" Format="HDF"', "expected FILE:/PATH"),
        (words(TRIANGLES), "<DataItem/>", "declares 9 numbers and holds 0"),
    ],
)
def test_damage_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert old in GOOD
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(put(tmp_path, "m.xdmf", GOOD.replace(old, new, 1)))


def test_other_files_stay_in_the_folder_and_are_checked(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    folder = tmp_path / "in"
    folder.mkdir()
    with h5py.File(tmp_path / "out.h5", "w") as file:
        file["c"] = TRIANGLES
    (tmp_path / "out.bin").write_bytes(TRIANGLES.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "out.bin")
    (folder / "small.bin").write_bytes(TRIANGLES.tobytes()[:-1])
    (folder / "none.h5").write_bytes(b"no HDF5")
    with h5py.File(folder / "m.h5", "w") as file:
        file["away"] = h5py.ExternalLink("../out.h5", "/c")
        file["soft"] = h5py.SoftLink("/c")
        file["c"] = TRIANGLES
        file["text"] = np.array([b"a"])
        file.create_dataset("bomb", (10**9, 3), "i8", chunks=(10**5, 3), compression="gzip")
        file.create_dataset("chunk", (9,), "i8", chunks=(10**7,), maxshape=(None,), compression="gzip", data=range(9))
        file.create_dataset("raw", (9,), "i8", external=[("../out.bin", 0, 72)])
        file.create_virtual_dataset("virtual", h5py.VirtualLayout((9,), "i8"))

    def asked(text: str, form: str, **more: str) -> Path:
        known = {"Dimensions": "3 3", "NumberType": "Int", "Precision": "8", "Format": form}
        cells = f"<DataItem {attributes(known | more)}>{text}</DataItem>"
        return put(folder, "m.xdmf", xdmf(grid().replace(item(TRIANGLES), cells)))

    assert_sample(read_mesh(asked("m.h5:c", "HDF")))
    for text, form, more, reason in (
        ("../out.h5:c", "HDF", {}, "outside the folder of the mesh"),
        (f"{tmp_path}/out.h5:c", "HDF", {}, "outside the folder of the mesh"),
        ("no.h5:c", "HDF", {}, "names 'no.h5', which is not there"),
        ("none.h5:c", "HDF", {}, "'none.h5', which it names, is no intact HDF5 file"),
        ("m.h5:away", "HDF", {}, "leads elsewhere by a link"),
        ("m.h5:soft", "HDF", {}, "leads elsewhere by a link"),
        ("m.h5:d", "HDF", {}, "'m.h5' holds no d"),
        ("m.h5:c/d", "HDF", {}, "'m.h5' holds no c/d"),
        ("m.h5:/", "HDF", {}, "is a group, expected a data set"),
        ("m.h5:text", "HDF", {}, "holds no plain numbers"),
        ("m.h5:bomb", "HDF", {"Dimensions": "1000000000 3"}, "declares 24000000000 bytes and stores 0"),
        ("m.h5:chunk", "HDF", {"Dimensions": "9"}, "holds 72 bytes in chunks of 80000000"),
        ("m.h5:raw", "HDF", {}, "stores its numbers in another file"),
        ("m.h5:virtual", "HDF", {}, "stores its numbers in another file"),
        ("m.h5:c", "HDF", {"Dimensions": "4 3"}, r"has the shape \[3, 3\], expected \[4, 3\]"),
        ("m.h5:c|0 0|1 1|4 3|3 3", "HDF", {}, "a hyperslab takes 4 from 0 by 1 of 3"),
        ("m.h5:c|0 0", "HDF", {}, "has 1 parts, expected 4"),
        ("../out.bin", "Binary", {}, "outside the folder of the mesh"),
        ("link.bin", "Binary", {}, "outside the folder of the mesh"),
        ("small.bin", "Binary", {}, "asks for 72 bytes of 'small.bin', which has 71"),
        ("small.bin", "Binary", {"Dimensions": "99999999999999 3"}, "asks for .* bytes of 'small.bin'"),
        ("small.bin", "Binary", {"Seek": "100"}, "which has 0"),
        ("small.bin", "Binary", {"Seek": "-4"}, "seeks to '-4'"),
        ("small.bin", "Binary", {"Precision": "3"}, "has no such precision"),
        ("small.bin", "Binary", {"Compression": "Zlib"}, "'small.bin' is compressed"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(asked(text, form, **more))


def test_a_short_file_cannot_ask_for_endless_work(tmp_path: Path) -> None:
    many = "<DataItem Reference='/Xdmf/Domain/DataItem'/>"
    big = item(np.zeros(100_000))
    fields = "".join(f'<Attribute Name="u{k}">{many}</Attribute>' for k in range(200))
    points = f'<Topology TopologyType="Polyline" NodesPerElement="2">{item(np.array([[0, 1]]))}</Topology>'
    points += f'<Geometry GeometryType="XY">{item(np.zeros((100_000, 2)))}</Geometry>'
    with pytest.raises(MeshReadError, match="the same numbers over and over"):
        read_mesh(put(tmp_path, "m.xdmf", xdmf(f"{big}<Grid>{points}{fields}</Grid>")))
    deep = "<a>" * 30 + "</a>" * 30
    hard = "//*" * 30
    with pytest.raises(MeshReadError, match="endless search|where there is none"):
        read_mesh(put(tmp_path, "m.xdmf", xdmf(20_000 * "<a/>" + deep, f"<Grid Reference='{hard}'/>")))
    loop = '<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" xpointer="element(/1/1/1)"/>'
    with pytest.raises(MeshReadError, match="include each other without end"):
        read_mesh(put(tmp_path, "m.xdmf", xdmf(f'<Grid GridType="Tree">{loop}</Grid>')))
    with pytest.raises(MeshReadError, match="include each other without end|endless search"):
        read_mesh(put(tmp_path, "m.xdmf", xdmf(f'<Grid GridType="Tree">{2 * loop}</Grid>')))


def test_a_cut_file_is_never_a_smaller_mesh(tmp_path: Path) -> None:
    for stop in range(1, len(GOOD) - 1, 3):
        with pytest.raises(MeshReadError):
            read_mesh(put(tmp_path, "m.xdmf", GOOD[:stop]))
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "m.h5", "w") as file:
        file["c"], file["x"] = TRIANGLES, PLANE
    text = xdmf(
        '<Grid><Topology TopologyType="Triangle"><DataItem Dimensions="3 3" Format="HDF">m.h5:c</DataItem></Topology>'
        '<Geometry GeometryType="XY"><DataItem Dimensions="5 2" Format="HDF">m.h5:x</DataItem></Geometry></Grid>'
    )
    path, whole = put(tmp_path, "m.xdmf", text), (tmp_path / "m.h5").read_bytes()
    rng = np.random.default_rng(1)
    for stop in range(1, len(whole), 61):
        put(tmp_path, "m.h5", whole[:stop])
        with pytest.raises(MeshReadError):
            read_mesh(path)
    for place in rng.integers(0, len(whole), 200):  # flipped bytes: another exception would leave the reader
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        put(tmp_path, "m.h5", bytes(damaged))
        with suppress(MeshReadError):
            assert read_mesh(path).n_cells == 3


@pytest.mark.parametrize(
    "name, n, cells, fields",
    [
        ("dolfinx/cooks_tri_mesh.xdmf", 69, {"triangle": 104}, []),
        ("dolfinx/create_unit_cube_hexahedron.xdmf", 164, {"hexahedron": 96}, []),
        ("dolfinx/mesh.xdmf", 970, {"triangle6": 484}, []),
        ("vtkdata/dolfinx/checkpoint.xdmf", 729, {"tetra": 3072}, ["label_u"]),
        ("vtkdata/meshio/out.xdmf", 4, {"triangle": 2}, ["a", "phi", "u"]),
    ],
)
def test_real_files(shared_data: Path, name: str, n: int, cells: dict[str, int], fields: list[str]) -> None:
    path = shared_data / "meshes" / name
    if not path.is_file():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    if name.startswith("vtkdata"):
        pytest.importorskip("h5py")
    mesh = read_mesh(path)
    assert mesh.n == n and {kind: len(nodes) for kind, nodes in mesh.cells.items()} == cells
    assert sorted([*mesh.point_data, *mesh.cell_data]) == fields
    if fields:
        assert mesh.warnings[0].startswith("it is a time series of 5 steps")
    if "label_u" in fields:  # the file was written from t + x y z
        assert torch.allclose(mesh.point_data["label_u"], 4 + mesh.points.prod(1), rtol=0, atol=1e-14)
    if name.endswith("out.xdmf"):
        assert torch.equal(mesh.point_data["phi"], torch.ones(4, dtype=torch.float64))
