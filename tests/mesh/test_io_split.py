"""Polygons and prisms that become triangles and wedges on reading: volumes, sets, data, and pieces that meet."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from graphpde.errors import MeshReadError
from graphpde.mesh.geometry import cell_measures, facet_measures, signed_measures
from graphpde.mesh.io import read_mesh
from graphpde.mesh.io.convert import to_mesh
from graphpde.mesh.io.raw import Block, CellSet, FacetSet, RawMesh
from graphpde.mesh.io.vtk import legacy_read as vtk_reader
from tests.mesh.io_samples import put
from tests.mesh.test_io_ears import HEXAGON, NOTCHED, TILT, shoelace

# prisms


def prism_points(base: list[tuple[float, float]], heights: list[float]) -> np.ndarray:
    """The same outline at several heights [levels * k, 3]."""
    return np.concatenate([np.c_[np.array(base, dtype=float), np.full(len(base), z)] for z in heights])


KINDS = {5: "penta_prism", 6: "hexa_prism"}


@pytest.mark.parametrize("base", [HEXAGON, HEXAGON[:5], NOTCHED, [*NOTCHED, (-1, 1)]])
def test_prisms_become_wedges_of_the_same_volume_and_direction(base: list[tuple[float, float]]) -> None:
    k, volume = len(base), 3 * shoelace(np.array(base))
    points = prism_points(base, [0, 3]) @ TILT
    names = {5: "pentagonal", 6: "hexagonal"}
    for ring, sign in ((np.arange(k), 1), (np.arange(k)[::-1], -1)):
        mesh = to_mesh(RawMesh(points, [Block(KINDS[k], np.r_[ring, ring + k][None])]), "prism")
        measures = signed_measures(mesh)
        assert bool((sign * measures > 0).all()) and float(measures.sum()) == pytest.approx(sign * volume, rel=1e-12)
        assert mesh.warnings[0] == f"without an element here and split: 1 {names[k]} prisms into {k - 2} wedges"
        assert len(mesh.boundary_facets) == k + 2 * (k - 2)  # nothing open inside
        assert float(facet_measures(mesh).sum()) == pytest.approx(
            2 * volume / 3 + 3 * np.linalg.norm(np.diff([*base, base[0]], axis=0), axis=1).sum(), rel=1e-12
        )


def stack(base: list[tuple[float, float]], levels: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Prisms on one another, each listed from another corner on, the other way round or upside down."""
    k, prisms = len(base), []
    for level in range(levels):
        ring = np.roll(np.arange(k), rng.integers(k)) + k * level
        ends = [ring, ring + k]
        if rng.random() < 0.5:  # upside down: still the same orientation
            ends = [ends[1][::-1], ends[0][::-1]]
        prisms.append(np.concatenate(ends))
    return prism_points(base, list(range(levels + 1))) @ TILT, np.array(prisms)


@pytest.mark.parametrize("base", [HEXAGON, NOTCHED])
def test_prisms_on_one_another_meet_face_to_face(base: list[tuple[float, float]]) -> None:
    rng, k, levels = np.random.default_rng(2), len(base), 12
    points, prisms = stack(base, levels, rng)
    number = rng.permutation(len(points))  # the point numbers must not matter either
    shuffled = np.empty_like(points)
    shuffled[number] = points
    mesh = to_mesh(RawMesh(shuffled, [Block(KINDS[k], number[prisms])]), "stack")
    assert len(mesh.boundary_facets) == k * levels + 2 * (k - 2) and len(mesh.nonmanifold_facets) == 0
    assert bool((signed_measures(mesh) > 0).all())


def test_prisms_that_are_drawn_to_a_point_keep_the_pieces_of_their_neighbours() -> None:
    """Two prisms drawn to one point, each with a prism on it that is listed from another corner on."""
    left, right = np.array(HEXAGON), np.array(HEXAGON) * [-1, 1] + [3, 0]
    points = np.concatenate([[[0, 0, -1.0]], prism_points([*left, *right], [0, 1])])
    cells = []
    for first in (1, 7):
        ring = np.arange(first, first + 6)
        ring = ring if first == 1 else ring[::-1]
        cells += [[0] * 6 + ring.tolist(), [*np.roll(ring, 2), *np.roll(ring + 12, 2)]]
    mesh = to_mesh(RawMesh(points, [Block("hexa_prism", np.array(cells))]), "points")
    area = shoelace(left)
    assert float(cell_measures(mesh).sum()) == pytest.approx(2 * (area * 1 / 3 + area), rel=1e-12)
    shared = {tuple(sorted(row)) for row in mesh.facets.nodes[mesh.facets.cells[:, 1] >= 0].tolist()}
    assert sum(1 for row in shared if set(row) <= {-1, *range(1, 13)} and row[0] == -1) == 8


@pytest.mark.parametrize("drawn", [0, 5])
def test_a_prism_with_one_end_in_a_point_is_cut_by_its_other_end(drawn: int) -> None:
    points = prism_points(NOTCHED, [0, 3])
    nodes = np.arange(10)
    nodes[drawn : drawn + 5] = drawn
    mesh = to_mesh(RawMesh(points, [Block("penta_prism", nodes[None])]), "cone")
    measures = signed_measures(mesh)
    assert float(measures.min()) > 0 and float(measures.sum()) == pytest.approx(shoelace(np.array(NOTCHED)), rel=1e-12)


def test_a_ring_of_prisms_that_closes_with_a_twist_is_noted() -> None:
    points, prisms = stack(HEXAGON, 3, np.random.default_rng(0))
    ring = np.arange(6)
    prisms = np.array([[*ring, *(ring + 6)], [*(ring + 6), *(ring + 12)], [*(ring + 12), *np.roll(ring, 1)]])
    mesh = to_mesh(RawMesh(points, [Block("hexa_prism", prisms)]), "ring")
    assert "3 of the prisms that were split close a twisted ring; pieces may not meet face to face" in mesh.warnings


# sets and data


def test_pieces_are_in_the_sets_of_their_origin_and_have_its_values() -> None:
    x = np.array([(0, 0), (1, 0), (1.5, 0.5), (1, 1), (0, 1), (2, 0), (3, 0), (3, 2), (0, 2), (-1, 0)])
    blocks = [
        Block("triangle", np.array([[0, 4, 9]])),
        Block("polygon", np.array([[0, 1, 2, 3, 4], [1, 5, 7, 3, 2]])),
        Block("polygon", np.array([[5, 6, 7]])),
        Block("line", np.array([[0, 1], [2, 3], [0, 2]])),
        Block("polygon", np.array([[4, 3, 7, 8]])),
    ]
    sets = [CellSet("left", [np.array([0]), np.array([0]), None, None, None]), CellSet("right", [None, np.array([1])])]
    data = {"k": [np.array([1.0]), np.array([2.0, 3.0]), np.array([4.0]), None, np.array([5.0])]}
    odd = {"short": [np.array([1.0]), np.ones(6), np.array([4.0]), None, np.array([5.0])]}
    edges = [FacetSet("edges", 1, np.array([[2, 1], [5, 1]])), FacetSet("cell", 2, np.array([[2, 1, 0, 4, 3]]))]
    raw = RawMesh(x, blocks, cell_sets=sets, facet_sets=edges, cell_data={**data, **odd})
    mesh = to_mesh(raw, "sets")
    triangles = mesh.cells["triangle"]
    origin = [set(range(5)), {1, 5, 7, 3, 2}]
    assert set(triangles[0].tolist()) == {0, 4, 9} and triangles[7].tolist() == [5, 6, 7]
    assert all(set(row) <= origin[0] for row in triangles[1:4].tolist())
    assert all(set(row) <= origin[1] for row in triangles[4:7].tolist())
    assert mesh.tag("left").ids.tolist() == [0, 1, 2, 3] and mesh.tag("right").ids.tolist() == [4, 5, 6]
    assert mesh.cell_data["k"].tolist() == [1, 2, 2, 2, 3, 3, 3, 4, 5]
    assert "short" not in mesh.cell_data and "1 data arrays do not fit" in " ".join(mesh.warnings)
    assert mesh.tag("edges").nodes.tolist() == [1, 2, 5] and mesh.tag("cell").ids.tolist() == [1, 2, 3]
    assert raw.blocks[1].nodes.shape == (2, 5) and len(sets[0].members) == 5  # the input is left as it was
    told = "split: 2 polygons into 6 triangles, 1 facets of named sets into 3 triangles"
    assert told in mesh.warnings[0]


def test_faces_of_prisms_follow_the_prisms_and_other_polygons_are_left_out() -> None:
    """Two prisms and a tetrahedron: hexagons that lie on the prisms are sets of their triangles."""
    points, prisms = stack(HEXAGON, 2, np.random.default_rng(5))
    points = np.concatenate([points, [[9.0, 0, 0], [9, 1, 0], [9, 0, 1], [10, 0, 0]]])
    top, middle = [13, 12, 17, 16, 15, 14], [6, 7, 8, 9, 10, 11]
    blocks = [
        Block("polygon", np.array([top, [0, 1, 2, 8, 7, 6], middle])),
        Block("hexa_prism", prisms),
        Block("tetra", np.array([[18, 19, 20, 21]])),
        Block("polygon", np.array([[0, 1, 2, 18, 19]])),
    ]
    named = [CellSet("roof", [np.array([0, 1]), None, None, None]), CellSet("upper", [None, np.array([1]), None, None])]
    facets = FacetSet("floor", 2, np.array([[3, 4, 5, 0, 1, 2], [0, 1, 7, 6, -1, -1], [0, 1, 2, 3, 4, 19]]))
    wide = FacetSet("wide", 2, np.array([[0, 1, 2, 3, 4, 99], [6, 7, 8, 9, 10, 11]]))
    data = {"u": [np.arange(3.0), np.array([7.0, 8.0]), np.array([9.0]), np.array([1.0])]}
    mesh = to_mesh(RawMesh(points, blocks, named, [facets, wide], cell_data=data), "faces")
    assert {kind: len(v) for kind, v in mesh.cells.items()} == {"wedge": 8, "tetra": 1}
    assert mesh.tag("roof").dim == 2 and mesh.tag("roof").nodes.tolist() == list(range(12, 18))
    assert mesh.tag("triangle").nodes.tolist() == middle
    assert torch.isin(mesh.tag("roof").ids, mesh.boundary_facets).all() and len(mesh.tag("roof").ids) == 4
    assert mesh.tag("upper").ids.tolist() == [4, 5, 6, 7]
    assert mesh.tag("floor").nodes.tolist() == [0, 1, 2, 3, 4, 5, 6, 7] and len(mesh.tag("floor").ids) == 5
    assert mesh.tag("wide").nodes.tolist() == middle
    assert mesh.cell_data["u"].tolist() == [7] * 4 + [8] * 4 + [9]
    told = " ".join(mesh.warnings)
    assert "1 6-sided cells were left out" in told and "1 5-sided cells were left out" in told
    assert "2 hexagonal prisms into 8 wedges, 2 polygons into 8 triangles, 2 facets of named sets into 8 tri" in told
    assert "2 facets of named sets are no facets of the mesh" in told


# files


def test_repeated_point_numbers_are_cut_and_noted(tmp_path: Path) -> None:
    mesh = read_mesh(put(tmp_path, "a.off", "OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n5 0 1 2 0 1\n"))
    assert len(mesh.cells["triangle"]) == 3
    assert any("have no area or fold back" in sentence for sentence in mesh.warnings)


VTK = """# vtk DataFile Version 3.0
t
ASCII
DATASET UNSTRUCTURED_GRID
POINTS 12 double
{points}
CELLS 2 20
12 0 1 2 3 4 5 6 7 8 9 10 11
6 6 7 8 9 10 11
CELL_TYPES 2
16
7
CELL_DATA 2
SCALARS u double 1
LOOKUP_TABLE default
1.5
2.5
"""


def test_a_vtk_file_with_a_prism_and_its_roof_whole_and_cut(tmp_path: Path) -> None:
    points = prism_points(HEXAGON, [0, 2])
    text = VTK.format(points="\n".join(" ".join(map(repr, row)) for row in points.tolist()))
    mesh = read_mesh(put(tmp_path, "m.vtk", text))
    assert float(signed_measures(mesh).sum()) == pytest.approx(2 * shoelace(np.array(HEXAGON)), rel=1e-14)
    assert mesh.cell_data["u"].tolist() == [1.5] * 4 and mesh.tag("triangle").nodes.tolist() == [6, 7, 8, 9, 10, 11]
    lines = text.splitlines(keepends=True)
    for stop in range(1, len(lines)):
        try:
            part = read_mesh(put(tmp_path, "cut.vtk", "".join(lines[:stop])))
        except MeshReadError:
            continue
        assert torch.equal(part.cells["wedge"], mesh.cells["wedge"]) and torch.equal(part.points, mesh.points)
    for old, new, reason in (
        (
            "12 0 1 2 3 4 5 6 7 8 9 10 11\n6 6",
            "11 0 1 2 3 4 5 6 7 8 9 10\n7 11 6",
            "its hexagonal prisms have 11 points",
        ),
        ("10 11\n6", "10 12\n6", "one of its hexagonal prisms names point 12, expected 0..11"),
        ("10 11\nCELL", "10 -1\nCELL", "one of its polygons names point -1"),
    ):
        with pytest.raises(MeshReadError, match=reason):
            read_mesh(put(tmp_path, "bad.vtk", text.replace(old, new, 1)))


def test_obj_groups_of_polygons(tmp_path: Path) -> None:
    lines = [f"v {x} {y} 0" for x, y in [*NOTCHED, (3, 0), (3, 3)]]
    text = "\n".join([*lines, "g roof", "f 1 2 3 4 5", "g wall house", "f 2 6 7 3", ""])
    mesh = read_mesh(put(tmp_path, "m.obj", text))
    assert mesh.tag("roof").ids.tolist() == [0, 1, 2] and mesh.tag("wall").ids.tolist() == [3]
    assert float(signed_measures(mesh)[:3].sum()) == pytest.approx(shoelace(np.array(NOTCHED)))


# real files


@pytest.fixture(scope="module")
def meshes(shared_data: Path) -> Path:
    return shared_data / "meshes"


def test_real_polygons_keep_their_area(meshes: Path) -> None:
    wall = read_mesh(meshes / "trimesh/wallhole.obj")
    # 100 and 90 twice, 50 twice, 40 twice, 20, and four halves of a gable; by the shoelace formula face by face
    assert float(cell_measures(wall).sum()) == pytest.approx(2 * 90 + 2 * 100 + 200 + 4 * 12.5**0.5 * 10, rel=1e-12)
    assert float(cell_measures(wall).min()) > 1 and "13 polygons into 66 triangles" in wall.warnings[0]
    for name in ("Polygon.vtk", "Polygon.vtu"):
        mesh = read_mesh(meshes / "vtkdata/Cells" / name)
        x = mesh.points.numpy()
        assert len(x) == 6 and float(signed_measures(mesh).sum()) == pytest.approx(shoelace(x)) == pytest.approx(0.98)
    faces = read_mesh(meshes / "trimesh/polygonfaces.obj")  # the fifth corner stands upright on the side 3-4
    assert len(faces.cells["triangle"]) == 3 and "1 of the cells that were split" in faces.warnings[1]


def test_real_prisms_keep_their_volume(meshes: Path) -> None:
    for name in ("HexagonalPrism.vtk", "HexagonalPrism.vtu"):
        mesh = read_mesh(meshes / "vtkdata/Cells" / name)
        assert float(signed_measures(mesh).sum()) == pytest.approx(3 * 3**0.5 / 2 / 4, rel=1e-9)
    path = meshes / "vtkdata/PentaHexa.vtk"  # a ball in five layers, the innermost of which ends in its centre
    mesh, raw = read_mesh(path), vtk_reader.read(path)
    assert {kind: len(v) for kind, v in mesh.cells.items()} == {"wedge": 60 * 3 + 150 * 4}
    assert len(mesh.boundary_facets) == 12 * 3 + 30 * 4  # the layers meet face to face
    volume, measures, first = 0.0, cell_measures(mesh), 0
    for block in raw.blocks:
        m, k = len(block.nodes), block.nodes.shape[1] // 2
        x = raw.points[block.nodes]
        sides = [[i, (i + 1) % k, k + (i + 1) % k, k + i] for i in range(k)]
        whole = np.abs(sum(cone(x[:, face]) for face in [list(range(k))[::-1], list(range(k, 2 * k)), *sides]))
        pieces = measures[first : first + m * (k - 2)].reshape(m, k - 2).sum(1).numpy()
        # the hexagons are not quite plane, so that what their volume is depends on how they are cut
        assert np.abs(pieces / whole - 1).max() < 0.01
        volume, first = volume + whole.sum(), first + m * (k - 2)
    assert float(measures.sum()) == pytest.approx(volume, rel=4e-3)


def cone(face: np.ndarray) -> np.ndarray:
    """Signed volumes between faces [m, w, 3], in triangles about their means, and the origin [m]."""
    mean, after = face.mean(1, keepdims=True), np.roll(face, -1, 1)
    return (mean * np.cross(face, after)).sum((1, 2)) / 6
