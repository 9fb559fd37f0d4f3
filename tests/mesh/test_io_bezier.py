"""Bezier elements in Exodus files: the points of the cells, not the control points, and refusals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.geometry import cell_measures
from graphpde.mesh.io import read_mesh
from graphpde.mesh.mesh import Mesh

# quadratic splines on the knots 0 0 0 1 2 2 2 in the Bernstein polynomials of each of the two elements
LEFT = np.array([[1, 0, 0], [0, 1, 0.5], [0, 0, 0.5]])
RIGHT = np.array([[0.5, 0, 0], [0.5, 1, 0], [0, 0, 1]])


def spline(path: Path, **change: Any) -> Path:
    """The surface (x, y, x^2) over [0, 2] x [0, 1] in two elements that share 8 of their 9 splines' columns."""
    netCDF4 = pytest.importorskip("netCDF4")
    along = np.array([0, 0.5, 1.5, 2])
    square = np.array([0.0, 0, 2, 4])  # products of the inner knots: the control points of x^2
    x = np.stack([np.tile(along, 3), np.repeat([0, 0.5, 1], 4), np.tile(square, 3)], 1)
    rows = [np.kron(np.eye(3)[j], part[i]) for part in (LEFT, RIGHT) for j in range(3) for i in range(3)]
    names = np.array([[4 * j + i + shift for j in range(3) for i in range(3)] for shift in (0, 1)])
    numbers = np.arange(18).reshape(2, 9)
    table = np.array(rows) * change.get("scale", 1.0)
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as file:
        sizes = {
            "num_dim": 3,
            "num_nodes": 12,
            "num_elem": 2,
            "num_el_blk": 1,
            "rows": 2,
            "width": 18,
            "blob_entity": 1,
        }
        sizes |= {"time_step": 1, "numbers": table.size, "num_side_sets": 1, "one": 1}
        for name, size in sizes.items():
            file.createDimension(name, size)
        for axis, values in zip("xyz", x.T):
            file.createVariable(f"coord{axis}", "f8", ("num_nodes",))[:] = values
        cells = file.createVariable("connect1", "i4", ("rows", "width"))
        cells[:] = np.c_[names, numbers + change.get("rows", 0)] + 1 + change.get("shift", 0)
        cells.elem_type, cells.bex_elem_degrees = "BEX_QUAD", np.array(change.get("degrees", [2, 2]), dtype="i4")
        blob = file.createVariable("blob_entity1", "i4", ("blob_entity",))
        blob.bex_dense_cv_info = np.array(change.get("info", [18, 9]), dtype="i4")
        if change.get("attributes"):
            file.createVariable("nattrb", "f8", ("num_nodes",))[:] = 0.7
        file.createVariable("vals_blob_var1blob1", "f8", ("time_step", "numbers"))[:] = table.reshape(1, -1)
        file.createVariable("elem_ss1", "i4", ("one",))[:] = 2
        file.createVariable("side_ss1", "i4", ("one",))[:] = 2
    return path


def test_the_points_lie_on_the_surface(tmp_path: Path) -> None:
    mesh = read_mesh(spline(tmp_path / "m.e"))
    assert {kind: len(nodes) for kind, nodes in mesh.cells.items()} == {"quad9": 2} and mesh.n == 15
    x, y, z = mesh.points.T
    assert torch.allclose(z, x**2, rtol=0, atol=1e-15)
    assert sorted(set(x.tolist())) == [0, 0.5, 1, 1.5, 2] and sorted(set(y.tolist())) == [0, 0.5, 1]
    corners = mesh.points[mesh.cells["quad9"][1]]
    assert corners[:, :2].tolist() == [
        *([1, 0], [2, 0], [2, 1], [1, 1], [1.5, 0], [2, 0.5], [1.5, 1], [1, 0.5], [1.5, 0.5])
    ]
    assert mesh.warnings == ("its 12 nodes are control points of Bezier elements; 15 points on the cells replace them",)
    assert mesh.tags["1:2d"].ids.tolist() == [0, 1]  # the block
    assert mesh.points[mesh.tags["1:1d"].nodes].tolist() == [[2, 0, 4], [2, 1, 4]]  # the side, by its corners


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"scale": 2.0}, "do not sum to one"),
        ({"degrees": [2]}, "have the degrees .2., expected one per direction"),
        ({"degrees": [2, 99]}, "have the degrees"),
        ({"degrees": [3, 2]}, "have 12 coefficients, the table 9"),
        ({"info": [17, 9]}, "its table of Bezier coefficients has 162 numbers"),
        ({"shift": 1}, "names control point 13 or 2 of 12"),
        ({"rows": 1}, "names row of coefficients 19 or 2 of 18"),
        ({"shift": -1}, "names control point 11 or 0 of 12"),
        ({"attributes": True}, "may be rational"),
    ],
)
def test_damage_is_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    with pytest.raises(MeshReadError, match=reason):
        read_mesh(spline(tmp_path / "m.e", **change))


def real(shared_data: Path, name: str) -> Mesh:
    pytest.importorskip("netCDF4")
    path = shared_data / "meshes/libmesh" / name
    if not path.is_file():
        pytest.skip("the real meshes beside the checkout (../shared/data/meshes) are absent")
    return read_mesh(path)


def test_a_cube_of_splines_has_its_volume_and_sides(shared_data: Path) -> None:
    mesh = real(shared_data, "Cube_With_Sidesets.e")
    assert {kind: len(nodes) for kind, nodes in mesh.cells.items()} == {"hexahedron27": 27} and mesh.n == 7**3
    assert abs(float(cell_measures(mesh).sum()) - 1) < 1e-14 and not any("orientation" in s for s in mesh.warnings)
    nodes = mesh.points[mesh.cells["hexahedron27"]]
    for k, around in enumerate([(0, 4, 7, 3), (1, 2, 6, 5), (0, 1, 5, 4), (3, 7, 6, 2), (0, 3, 2, 1), (4, 5, 6, 7)]):
        assert torch.allclose(nodes[:, 20 + k], nodes[:, around].mean(1), atol=1e-15)
    for name, (axis, level) in {"1": (0, 0.5), "2": (0, -0.5), "3": (2, 0.5), "4": (2, -0.5), "5": (1, 0.5)}.items():
        assert torch.allclose(mesh.points[mesh.tags[name].nodes, axis], torch.tensor(level).double(), atol=1e-15)


def test_two_blocks_on_control_points_of_their_own(shared_data: Path) -> None:
    mesh = real(shared_data, "two_quads_two_blocks.e")
    assert {kind: len(nodes) for kind, nodes in mesh.cells.items()} == {"quad9": 2} and mesh.n == 18
    assert {name: len(tag.ids) for name, tag in mesh.tags.items()} == {"0": 1, "1": 1}
    assert abs(float(cell_measures(mesh).sum()) - 2) < 1e-14
