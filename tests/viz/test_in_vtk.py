"""What is written opens in VTK: the same points, cells in the order of their nodes, fields and times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import write_mesh
from graphpde.mesh.mesh import Mesh
from graphpde.viz import SeriesWriter, XdmfSeriesWriter, write_series
from tests.mesh.test_io_conformance import KINDS, KNOWS, MIXED, small
from tests.mesh.test_io_encodings import CODES

pv = pytest.importorskip("pyvista")

LAGRANGE_PYRAMID = 74
# VTK has a type for Lagrange pyramids and no cell of it: it keeps the nodes and draws nothing
EXTENSIONS = {"vtu": ".vtu", "vtk": ".vtk", "exodus": ".e", "stl": ".stl", "ply": ".ply", "obj": ".obj"}
EXTENSIONS |= {"xdmf": ".xdmf"}
CASES = [
    (name, kind)
    for name in EXTENSIONS
    for kind in (*KNOWS[name], *(MIXED if name != "stl" else ()))
    if set(MIXED.get(kind, [kind])) <= set(KNOWS[name])
]


def opened(path: Path) -> Any:
    """The file as VTK reads it."""
    if path.suffix == ".e":
        reader = pv.ExodusIIReader(path)
        reader.enable_displacements = False
        return reader.read()["Element Blocks"].combine()
    read = pv.read(path)
    read = read.combine() if isinstance(read, pv.MultiBlock) else read
    return read.cast_to_unstructured_grid()


def cells_of(grid: Any) -> list[tuple[int, list[int]]]:
    stops = np.asarray(grid.offset)
    nodes = np.asarray(grid.cell_connectivity)
    rows = [nodes[a:b].tolist() for a, b in zip(stops, stops[1:])]
    return list(zip(np.asarray(grid.celltypes).tolist(), rows))


def expected_cells(mesh: Mesh) -> list[tuple[int, list[int]]]:
    """Cells as VTK has them: only the linear wedge has another order of its corners there."""
    out = []
    for kind, nodes in mesh.cells.items():
        rows = nodes[:, [0, 2, 1, 3, 5, 4]] if kind == "wedge" else nodes
        out += [(CODES[kind], row) for row in rows.tolist()]
    return out


def padded(mesh: Mesh) -> np.ndarray:
    return np.pad(mesh.points.numpy(), ((0, 0), (0, 3 - mesh.space_dim)))


@pytest.mark.parametrize("name, kind", CASES)
def test_every_cell_type_opens(tmp_path: Path, name: str, kind: str) -> None:
    mesh = small(MIXED.get(kind, [kind]))
    rng = torch.Generator().manual_seed(0)
    nodal = {
        "u": torch.rand(mesh.n, dtype=torch.float64, generator=rng),
        "v": torch.rand(mesh.n, 3, dtype=torch.float64, generator=rng),
    }
    cellwise = {"q": torch.rand(mesh.n_cells, dtype=torch.float64, generator=rng)}
    path = tmp_path / f"m{EXTENSIONS[name]}"
    write_mesh(path, mesh, point_data=nodal, cell_data=cellwise)
    grid = opened(path)
    x, cells, expected = np.asarray(grid.points), cells_of(grid), expected_cells(mesh)
    print(name, kind)
    assert [code for code, _ in cells] == [code for code, _ in expected]
