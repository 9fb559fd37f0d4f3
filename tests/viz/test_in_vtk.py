"""What is written opens in VTK: the same points, cells in the order of their nodes, fields and times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.mesh.io import write_mesh
from graphpde.mesh.mesh import Mesh
from graphpde.viz import SeriesWriter, XdmfSeriesWriter, write_series
from tests.mesh.test_io_conformance import KNOWS, MIXED, ONE_TYPE, padded, small
from tests.mesh.test_io_encodings import CODES

pv = pytest.importorskip("pyvista")

WRITTEN = {"vtu": ".vtu", "vtk": ".vtk", "xdmf": ".xdmf", "exodus": ".e", "stl": ".stl", "ply": ".ply", "obj": ".obj"}
IN_DOUBLES = ("vtu", "vtk", "xdmf")  # VTK's other readers take the coordinates to single precision, or join points
WITH_FIELDS = ("vtu", "vtk", "xdmf", "exodus")
JOINED = {"exodus": {"v": "v_"}}  # VTK puts v_x, v_y and v_z together under what they have in common
# VTK's readers make other cells of these: (code, number of nodes)
SEEN = {
    # the Exodus reader knows no such elements; it takes 8, 3 and 5 numbers per row where the file has 9, 7 and 14, so
    # that only the first cell is right (QUAD9, our name of plane cells, is read right)
    ("exodus", "quad9"): (23, 8),
    ("exodus", "triangle7"): (5, 3),
    ("exodus", "pyramid14"): (14, 5),
    ("ply", "line"): (7, 2),  # a face of two corners
    ("xdmf", "line"): (4, 2),  # a poly-line of one piece
}
CASES = [
    (name, kind)
    for name in WRITTEN
    for kind in (*KNOWS[name], *MIXED)
    if set(MIXED.get(kind, [kind])) <= set(KNOWS[name]) and (kind not in MIXED or name not in ONE_TYPE)
]
TIMES = [0.0, 0.1, 1 / 3, 2.5e7]


def opened(path: Path) -> Any:
    """The grid in a file as VTK reads it."""
    if path.suffix == ".e":
        return pv.ExodusIIReader(path).read()["Element Blocks"].combine()
    if path.suffix == ".xdmf":  # pyvista's own reader stops where there are no times
        from vtkmodules.vtkIOXdmf2 import vtkXdmfReader

        reader = vtkXdmfReader()
        reader.SetFileName(str(path))
        reader.Update()
        return grid_of(pv.wrap(reader.GetOutputDataObject(0)))
    return pv.read(path).cast_to_unstructured_grid()


def grid_of(data: Any) -> Any:
    """The grid itself, beside which its sets stand."""
    while isinstance(data, pv.MultiBlock):
        data = data[0]
    return data


def cells_of(grid: Any) -> list[tuple[int, list[int]]]:
    """VTK's type and points of each cell."""
    nodes, codes = np.asarray(grid.cell_connectivity), np.asarray(grid.celltypes).tolist()
    stops = np.asarray(grid.cell_offsets if hasattr(grid, "cell_offsets") else grid.offset)
    return [(code, nodes[a:b].tolist()) for code, a, b in zip(codes, stops, stops[1:], strict=False)]


def expected_cells(mesh: Mesh, name: str) -> list[tuple[int, list[int]]]:
    """The same of our cells, [] for those that VTK gets wrong.

    The wedge alone has another order of its corners in VTK, which its readers of XDMF and Exodus do not heed.
    """
    out = []
    for kind, nodes in mesh.cells.items():
        rows = nodes[:, [0, 2, 1, 3, 5, 4]] if kind == "wedge" and name not in ("xdmf", "exodus") else nodes
        code, width = SEEN.get((name, kind), (CODES[kind], nodes.shape[1]))
        code = CODES["line"] if (name, kind) == ("xdmf", "line") and len(mesh.cells) > 1 else code
        wrong = name == "exodus" and (name, kind) in SEEN
        out += [(code, row if k == 0 or not wrong else []) for k, row in enumerate(rows[:, :width].tolist())]
    return out


def fields(mesh: Mesh, t: float = 0.0) -> dict[str, torch.Tensor]:
    x = mesh.points[:, 0]
    return {"u": torch.sin(x + t), "v": torch.stack([x + t, -x, x * x], 1)}


@pytest.mark.parametrize("name, kind", CASES)
def test_every_cell_type_opens(tmp_path: Path, name: str, kind: str) -> None:
    mesh = small(MIXED.get(kind, [kind]))
    path = tmp_path / f"m{WRITTEN[name]}"
    cellwise = {"q": torch.arange(mesh.n_cells) / 3.0, "k": torch.arange(mesh.n_cells) - 2}
    write_mesh(path, mesh, point_data=fields(mesh), cell_data=cellwise)
    grid = opened(path)
    cells, expected = cells_of(grid), expected_cells(mesh, name)
    assert [code for code, _ in cells] == [code for code, _ in expected]
    x, own = np.asarray(grid.points), padded(mesh)
    if name in IN_DOUBLES:
        assert np.array_equal(x, own) and cells == expected
    pairs = [(nodes, rows) for (_, nodes), (_, rows) in zip(cells, expected, strict=True) if rows]
    for nodes, rows in pairs:
        assert np.array_equal(x[nodes].astype(np.float32), own[rows].astype(np.float32))
    if name in WITH_FIELDS:
        for label, values in fields(mesh).items():
            found = np.asarray(grid.point_data[JOINED.get(name, {}).get(label, label)])
            assert all(np.array_equal(found[nodes], values.numpy()[rows]) for nodes, rows in pairs)
        for label, values in cellwise.items():
            assert np.array_equal(np.asarray(grid.cell_data[label]), values.numpy())


def test_sets_in_xdmf_stand_beside_the_grid(tmp_path: Path) -> None:
    mesh = small(["hexahedron"])
    write_mesh(tmp_path / "m.xdmf", mesh)
    from vtkmodules.vtkIOXdmf2 import vtkXdmfReader

    reader = vtkXdmfReader()
    reader.SetFileName(str(tmp_path / "m.xdmf"))
    reader.Update()
    blocks = pv.wrap(reader.GetOutputDataObject(0))
    while isinstance(blocks[0], pv.MultiBlock):
        blocks = blocks[0]
    found = {blocks.get_block_name(k): blocks[k] for k in range(1, blocks.n_blocks)}
    for name, tag in mesh.tags.items():
        mine, there = padded(mesh)[tag.nodes].astype(np.float32), np.asarray(found[name].points, dtype=np.float32)
        assert np.array_equal(np.unique(there, axis=0), np.unique(mine, axis=0)), name
        assert found[name].n_cells in (len(tag.ids), 1)  # points are one cell


def test_plane_quadrilaterals_of_nine_nodes_open_from_exodus(tmp_path: Path) -> None:
    mesh = small(["quad9"], 2)
    write_mesh(tmp_path / "m.e", mesh)
    grid = opened(tmp_path / "m.e")
    x, own = np.asarray(grid.points), padded(mesh).astype(np.float32)
    for (code, nodes), rows in zip(cells_of(grid), mesh.cells["quad9"].tolist(), strict=True):
        assert code == CODES["quad9"] and np.array_equal(x[nodes], own[rows])


def test_lagrange_pyramids_are_kept_and_not_drawn(tmp_path: Path) -> None:
    """VTK has a number for them and no cell; as the type of 19 nodes, which it has, they would end the program."""
    mesh = small(["pyramid14"])
    for extension in (".vtu", ".vtk"):
        write_mesh(tmp_path / f"m{extension}", mesh)
        grid = opened(tmp_path / f"m{extension}")
        assert set(np.asarray(grid.celltypes).tolist()) == {74} and grid.n_points == mesh.n


@pytest.mark.parametrize("extension", [".pvd", ".xdmf", ".xmf"])
@pytest.mark.parametrize(
    "kind", ["line", "triangle6", "hexahedron27", "wedge", "mixed plane", "mixed solid", "mixed curved solid"]
)
def test_a_series_opens_with_its_times(tmp_path: Path, kind: str, extension: str) -> None:
    if extension != ".pvd":
        pytest.importorskip("h5py")
    mesh = small(MIXED.get(kind, [kind]))
    path = write_series(
        tmp_path / f"run{extension}", [(t, fields(mesh, t)) for t in TIMES], names=("u", "v"), mesh=mesh
    )
    assert_series(path, mesh, TIMES)


@pytest.mark.parametrize("writer", [SeriesWriter, XdmfSeriesWriter])
def test_a_series_opens_after_each_frame(tmp_path: Path, writer: type) -> None:
    mesh = small(["quad"], 2)
    run = writer(tmp_path, "run", mesh, ("u", "v"))
    for k in range(1, 6):
        run.add(k / 8, fields(mesh, k / 8))
        assert_series(run.path, mesh, [j / 8 for j in range(1, k + 1)])


def assert_series(path: Path, mesh: Mesh, times: list[float]) -> None:
    """VTK finds these times, and at each of them the mesh and its fields."""
    reader = pv.PVDReader(path) if path.suffix == ".pvd" else pv.XdmfReader(path)
    assert list(reader.time_values) == times
    for t in times:
        reader.set_active_time_value(t)
        grid = grid_of(reader.read())
        assert np.array_equal(np.asarray(grid.points), padded(mesh))
        assert cells_of(grid) == expected_cells(mesh, path.suffix.strip(".").replace("xmf", "xdmf"))
        for label, values in fields(mesh, t).items():
            assert np.array_equal(np.asarray(grid.point_data[label]), values.numpy())
