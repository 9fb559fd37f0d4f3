"""Every real mesh file beside the checkout: a valid mesh or one sentence, and never anything else."""

from __future__ import annotations

import ast
import re
import warnings
from pathlib import Path

import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.io import read_mesh, write_mesh
from graphpde.mesh.mesh import Mesh


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "INDEX.md")


def assert_valid(mesh: Mesh) -> None:
    assert mesh.n_cells > 0 and bool(torch.isfinite(mesh.points).all())
    for kind, nodes in mesh.cells.items():
        assert nodes.shape[1] == CELLS[kind].nodes and 0 <= int(nodes.min()) <= int(nodes.max()) < mesh.n
    for name, tag in mesh.tags.items():
        assert len(tag.ids) and torch.equal(tag.ids, tag.ids.unique()), name
        assert torch.equal(tag.nodes, mesh.make_tag(tag.dim, tag.ids).nodes if tag.dim else tag.ids), name
    assert all(len(values) == mesh.n for values in mesh.point_data.values())
    assert all(len(values) == mesh.n_cells for values in mesh.cell_data.values())
    assert len(set(mesh.warnings)) == len(mesh.warnings) and not any("\n" in sentence for sentence in mesh.warnings)


def read_or_refuse(path: Path) -> Mesh | str:
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        try:
            mesh = read_mesh(path)
        except MeshReadError as error:
            assert error.path == str(path) and 10 < len(error.reason) < 400 and "\n" not in error.reason
            assert raised == []
            return error.reason
    assert raised == []
    assert_valid(mesh)
    return mesh


def test_a_sample_reads_or_refuses_in_one_sentence(meshes: Path, capfd) -> None:
    sample = [path for path in files(meshes) if path.stat().st_size < 400_000][::4][:60]
    assert len(sample) == 60
    found = [read_or_refuse(path) for path in sample]
    assert sum(isinstance(result, Mesh) for result in found) >= 45
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_every_file_reads_or_refuses_in_one_sentence(meshes: Path, capfd) -> None:
    found = [read_or_refuse(path) for path in files(meshes)]
    assert len(found) == 297
    assert sum(isinstance(result, Mesh) for result in found) >= 277
    assert capfd.readouterr() == ("", "")


def index_rows(folder: Path) -> dict[str, tuple[int, dict[str, int]]]:
    """Nodes and cells by file as another program counted them."""
    rows = {}
    for line in (folder / "INDEX.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) > 4 and re.fullmatch(r"\d+", cells[2]) and cells[3].startswith("{"):
            rows[cells[0]] = (int(cells[2]), ast.literal_eval(cells[3]))
    return rows


def test_counts_agree_with_the_index(meshes: Path) -> None:
    """Where meshio is right: formats and files that it reads without loss."""
    compared = 0
    for name, (nodes, cells) in index_rows(meshes).items():
        path = meshes / name
        lossy = name.startswith(("calculix/", "nastran/")) or "polygon" in cells or "cht_3cyl" in name
        if path.stat().st_size > 150_000 or lossy or not cells:
            continue
        try:
            mesh = read_mesh(path)
        except MeshReadError as error:
            assert "vertices" in error.reason, name
            continue
        if "listed more than once" in " ".join(mesh.warnings):
            continue
        top = {kind: count for kind, count in cells.items() if CELLS[kind].dim == mesh.dim and count}
        assert mesh.n == nodes and {kind: len(v) for kind, v in mesh.cells.items()} == top, name
        compared += 1
    assert compared > 120


# what the files themselves say, read with a text editor

SETS = {
    "skfem/square.msh": {"left": (1, 8), "right": (1, 8), "top": (1, 8), "all": (2, 184)},
    "meshio/msh/insulated-2.2.msh": {"convection": (1, 21), "wire": (2, 45), "insulation": (2, 66)},
    "skfem/oriented_squares.msh": {
        **{"poly_exterior_points": (0, 4), "poly_exterior": (1, 8), "poly_box___background": (1, 8)},
        **{"poly_box": (2, 16), "background": (2, 250)},
    },
    "gridap/demo.msh": {
        **{"boundary1:1d": (1, 4), "boundary1:2d": (2, 266), "volume": (3, 40144)},
        **{"boundary2:0d": (0, 2), "boundary2:1d": (1, 56), "boundary2:2d": (2, 534)},
    },
    "simnibs/sphere3.msh": {
        "1003": (2, 2352),
        "1004": (2, 2724),
        "1005": (2, 2750),
        "3": (3, 6834),
        "4": (3, 7601),
        "5": (3, 8269),
    },
    "su2/mesh_NACA0012_5deg_6814.su2": {
        **{"airfoil": (1, 128), "lower_wall": (1, 49), "inlet": (1, 39), "outlet": (1, 39), "upper_wall": (1, 49)},
    },
    "meshio/netgen/periodic_2d.vol": {
        **{"1:0d": (0, 1), "1:1d": (1, 5), "1:2d": (2, 58), "2:0d": (0, 1), "2:1d": (1, 5)},
        **{"outer": (1, 5), "periodic": (1, 5), "3": (0, 1), "4": (0, 1)},
    },
    "firedrake/brick.e": {"1": (3, 140), "Sideset_A": (2, 42), "Sideset_B": (2, 42)},
    "calculix/rotor.inp": {"Eall": (3, 368), "Edisk": (3, 48), "Nall": (0, 2656), "Nfix": (0, 24)},
    "pyfr/viscous-shock-tube.msh.xz": {"sym": (1, 400), "wall": (1, 800), "fluid": (2, 80000)},
}


@pytest.mark.parametrize("name", SETS)
def test_named_sets_of_real_files(meshes: Path, name: str) -> None:
    mesh = read_mesh(meshes / name)
    assert {key: (tag.dim, len(tag.ids)) for key, tag in mesh.tags.items()} == SETS[name]


@pytest.mark.parametrize(
    "kind", ["TRI6", "QUAD8", "HEX8", "HEX20", "TET4", "TET10", "PRISM6", "PRISM15", "PYRAMID5", "TRISHELL3"]
)
def test_exodus_side_sets_have_the_nodes_of_the_node_sets_beside_them(meshes: Path, kind: str) -> None:
    """These files give each side of the box twice; if the numbering of sides were wrong the two would differ."""
    pytest.importorskip("netCDF4")
    mesh = read_mesh(meshes / "libmesh" / "exodus_elements" / f"read_exodus_{kind}.e")
    sides = {"bottom", "top", "left", "right"} | ({"front", "back"} if mesh.dim == 3 else set())
    assert sides <= set(mesh.tags) and not any(name.endswith(":0d") for name in mesh.tags)
    assert all(mesh.tags[name].dim == mesh.dim - 1 for name in sides)
    total = torch.unique(torch.cat([mesh.tags[name].ids for name in sides]))
    assert torch.equal(total, mesh.boundary_facets)


@pytest.mark.parametrize(
    "name", ["firedrake/brick.e", "seacas/cube.g", "mfem/cylinder-hex-q2.gen", "libmesh/cylinder.exo"]
)
def test_exodus_side_sets_lie_on_the_boundary(meshes: Path, name: str) -> None:
    pytest.importorskip("netCDF4")
    mesh = read_mesh(meshes / name)
    sides = [tag.ids for tag in mesh.tags.values() if tag.dim == mesh.dim - 1]
    assert len(sides) >= 2 and bool(torch.isin(torch.cat(sides), mesh.boundary_facets).all())
    assert not any("were dropped" in sentence for sentence in mesh.warnings)


@pytest.mark.parametrize(
    "name",
    [
        "libmesh/exodus_elements/read_exodus_HEX20.e",
        "libmesh/exodus_elements/read_exodus_PRISM15.e",
        "mfem/escher-p2.vtk",
        "mfem/fichera-q2.vtk",
        "calculix/beamb.inp",
        "nastran/aa8lzviq9.nas",
        "vtkdata/QuadraticPyramid.vtu",
    ],
)
def test_mid_side_nodes_lie_between_their_corners(meshes: Path, name: str) -> None:
    """On cells with straight edges the nodes after the corners are the middles of the edges, in VTK's order."""
    if name.endswith(".e"):
        pytest.importorskip("netCDF4")
    edges = {
        "tetra10": [(0, 1), (1, 2), (0, 2), (0, 3), (1, 3), (2, 3)],
        "hexahedron20": [
            (0, 1),
            (1, 2),
            (2, 3),
            (3, 0),
            (4, 5),
            (5, 6),
            (6, 7),
            (7, 4),
            (0, 4),
            (1, 5),
            (2, 6),
            (3, 7),
        ],
        "wedge15": [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)],
        "pyramid13": [(0, 1), (1, 2), (2, 3), (3, 0), (0, 4), (1, 4), (2, 4), (3, 4)],
    }
    edges["hexahedron27"] = edges["hexahedron20"]
    mesh = read_mesh(meshes / name)
    for kind, nodes in mesh.cells.items():
        x, corners = mesh.points[nodes], CELLS[CELLS[kind].corners].nodes
        for number, (a, b) in enumerate(edges[kind]):
            middle = (x[:, a] + x[:, b]) / 2
            length = (x[:, a] - x[:, b]).norm(dim=1, keepdim=True)
            assert bool(((x[:, corners + number] - middle).abs() < 0.2 * length + 1e-12).all()), (kind, number)


def test_round_trips_of_real_meshes(meshes: Path, tmp_path: Path) -> None:
    for name in (
        "skfem/mixedtriquad.msh",
        "meshio/su2/mixgrid.su2",
        "common3d/suzanne.obj",
        "libmesh/bcid_overlap.msh",
    ):
        mesh = read_mesh(meshes / name)
        for extension in (".vtu", ".msh"):
            write_mesh(tmp_path / f"m{extension}", mesh)
            back = read_mesh(tmp_path / f"m{extension}")
            assert torch.equal(back.points, mesh.points)
            assert set(back.tags) == set(mesh.tags)
            for key, tag in mesh.tags.items():
                assert (tag.dim, len(tag.ids)) == (back.tags[key].dim, len(back.tags[key].ids))
                assert torch.equal(tag.nodes, back.tags[key].nodes)
