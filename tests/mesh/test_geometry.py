"""Measures, normals, angles and quality against exact values, the divergence theorem and rigid motions."""

import math

import pytest
import torch

from graphpde.errors import MeshError
from graphpde.mesh import (
    Mesh,
    box,
    cell_angles,
    cell_centroids,
    cell_measures,
    cell_quality,
    connected_components,
    disk,
    edge_lengths,
    facet_measures,
    facet_normals,
    interval,
    jittered,
    mesh_size,
    rectangle,
    refine,
    signed_measures,
    sphere,
    star,
)

CUBE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]
SOLIDS = {
    "tetra": ([0, 1, 3, 4], 1 / 6),
    "hexahedron": (list(range(8)), 1.0),
    "wedge": ([0, 1, 3, 4, 5, 7], 1 / 2),
    "pyramid": ([0, 1, 2, 3, 4], 1 / 3),
}


def solid(kind: str) -> Mesh:
    return Mesh(CUBE, {kind: [SOLIDS[kind][0]]})


def rotation(seed: int = 3, dim: int = 3) -> torch.Tensor:
    q, _ = torch.linalg.qr(torch.randn(dim, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    return q * torch.linalg.det(q).sign() if dim % 2 else q[:, [1, 0]] if torch.linalg.det(q) < 0 else q


@pytest.mark.parametrize("kind", SOLIDS)
def test_solids_have_their_volume_and_mirrored_ones_its_negative(kind):
    mesh = solid(kind)
    assert cell_measures(mesh).item() == pytest.approx(SOLIDS[kind][1], rel=1e-15)
    mirrored = mesh.with_points(mesh.points * torch.tensor([-1.0, 1.0, 1.0]))
    assert signed_measures(mirrored).item() == pytest.approx(-SOLIDS[kind][1], rel=1e-15)
    assert cell_measures(mirrored).item() == pytest.approx(SOLIDS[kind][1], rel=1e-15)


@pytest.mark.parametrize("kind", SOLIDS)
def test_an_affine_map_scales_volumes_by_its_determinant(kind):
    mesh = solid(kind)
    matrix = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    mapped = mesh.with_points(mesh.points @ matrix.T + 7)
    assert signed_measures(mapped).item() == pytest.approx(torch.linalg.det(matrix).item() * SOLIDS[kind][1], rel=1e-12)


def test_a_hexahedron_with_a_warped_roof():
    # the volume below a bilinear roof over the unit square is the mean height of its corners
    points = torch.tensor(CUBE, dtype=torch.float64)
    points[4:, 2] = torch.tensor([1.0, 1.5, 0.7, 2.0], dtype=torch.float64)
    assert cell_measures(Mesh(points, {"hexahedron": [list(range(8))]})).item() == pytest.approx(1.3, rel=1e-14)


def test_quadrilaterals_in_the_plane_match_the_shoelace_formula_and_its_sign():
    mesh = Mesh([[0, 0], [2, 0.3], [1.7, 1.9], [-0.2, 1.1]], {"quad": [[0, 1, 2, 3], [3, 2, 1, 0]]})
    x, y = mesh.points.T
    exact = 0.5 * float((x * y.roll(-1) - x.roll(-1) * y).sum())
    assert signed_measures(mesh).tolist() == pytest.approx([exact, -exact], rel=1e-14)


def test_a_flat_quadrilateral_in_space_has_the_area_it_has_in_the_plane():
    flat = torch.tensor([[0, 0, 0], [2, 0.3, 0], [1.7, 1.9, 0], [-0.2, 1.1, 0]], dtype=torch.float64)
    plane = cell_measures(Mesh(flat[:, :2], {"quad": [[0, 1, 2, 3]]})).item()
    turned = Mesh(flat @ rotation().T, {"quad": [[0, 1, 2, 3]]})
    assert cell_measures(turned).item() == pytest.approx(plane, rel=1e-13)


def test_a_saddle_shaped_quadrilateral_converges_to_its_area_under_subdivision():
    # z = x y on the unit square, area = int sqrt(1 + x^2 + y^2); two Gauss points are off by less than 1e-3
    exact = 1.2807892753
    coarse = Mesh([[0, 0, 0], [1, 0, 0], [1, 1, 1], [0, 1, 0]], {"quad": [[0, 1, 2, 3]]})
    errors = [abs(cell_measures(refine(coarse, k)).sum().item() - exact) for k in (0, 1, 2)]
    assert errors[0] < 1e-3 and errors[2] < errors[0] / 100  # fourth order: a factor 16 a round


def test_lines_and_surfaces_in_space():
    assert cell_measures(Mesh([[0, 0, 0], [1, 2, 2]], {"line": [[0, 1]]})).item() == 3
    assert signed_measures(interval(4, 2.0)).tolist() == [0.5] * 4
    area = cell_measures(sphere(3, radius=2.0)).sum().item()
    assert 0.985 < area / (16 * math.pi) < 1


def test_a_surface_has_no_signed_measure():
    with pytest.raises(MeshError, match="dimension 2 in 3-D space.*use cell_measures"):
        signed_measures(sphere(0))


def test_centroids_of_simplices_and_their_moment():
    mesh = jittered(box(2, 2, 2), 0.3, seed=1)
    moment = (cell_measures(mesh)[:, None] * cell_centroids(mesh)).sum(0)
    assert torch.allclose(moment, torch.full((3,), 0.5, dtype=torch.float64), atol=1e-14)


MESHES = {
    "interval": lambda: interval(5, 2.0),
    "triangles": lambda: jittered(rectangle(4, 3), 0.3, 1),
    "quads": lambda: jittered(rectangle(4, 3, cells="quad"), 0.3, 1),
    "tetra": lambda: jittered(box(2, 3, 2), 0.3, 1),
    "hexahedra": lambda: box(2, 1, 3, cells="hexahedron"),
    "mixed solids": lambda: Mesh(
        [*CUBE, [0.5, 0.5, 2], [2, 0, 0], [2, 0, 1]],
        {"hexahedron": [list(range(8))], "wedge": [[1, 9, 2, 5, 10, 6]], "pyramid": [[4, 5, 6, 7, 8]]},
    ),
    "disk": lambda: disk(0.3),
}


@pytest.mark.parametrize("name", MESHES)
def test_boundary_normals_close_and_see_the_volume(name):
    mesh = MESHES[name]()
    normals, sizes = facet_normals(mesh), facet_measures(mesh)
    assert torch.allclose(normals.norm(dim=1), torch.ones(len(normals), dtype=torch.float64), atol=1e-14)
    assert (normals * sizes[:, None]).sum(0).abs().max() < 1e-14
    # int x . n = d |domain|; on a flat facet x . n is constant
    nodes = mesh.facets.nodes[mesh.boundary_facets]
    flux = ((mesh.points[nodes[:, 0]] * normals).sum(1) * sizes).sum().item()
    assert flux == pytest.approx(mesh.dim * cell_measures(mesh).sum().item(), rel=1e-13)


def test_normals_do_not_depend_on_the_orientation_of_the_cells():
    mesh = rectangle(3, 3)
    turned = mesh.with_cells({"triangle": mesh.cells["triangle"][:, [0, 2, 1]]})
    centre = mesh.points.mean(0)
    for m in (mesh, turned):
        ids = m.boundary_facets
        middle = m.points[m.facets.nodes[ids]].mean(1)
        assert ((facet_normals(m, ids) * (middle - centre)).sum(1) > 0).all()


def test_conormals_of_a_tilted_surface_are_the_turned_normals_of_the_plane():
    plane, q = rectangle(3, 2), rotation()
    flat = torch.cat([plane.points, torch.zeros(plane.n, 1, dtype=torch.float64)], 1)
    surface = Mesh(flat @ q.T, plane.cells)
    expected = torch.nn.functional.pad(facet_normals(plane), (0, 1)) @ q.T
    assert torch.allclose(facet_normals(surface), expected, atol=1e-14)


def test_the_ends_of_a_network_point_outward_along_their_arm():
    mesh = star(3, 2, 2.0)
    ends = mesh.boundary_facets
    assert ends.tolist() == [1, 2, 3]
    assert torch.allclose(facet_normals(mesh), mesh.points[ends] / 2, atol=1e-15)
    assert facet_measures(mesh).tolist() == [1, 1, 1]


def test_facets_that_are_not_there_are_refused():
    with pytest.raises(MeshError, match=r"expected numbers in 0\.\.15"):
        facet_measures(rectangle(2, 2), torch.tensor([16]))
    lonely = Mesh([[0.0], [1.0], [2.0]], {"line": [[0, 1]]})
    with pytest.raises(MeshError, match="point 2 of 'mesh' belongs to no cell"):
        facet_normals(lonely, torch.tensor([2]))


def test_angles_of_triangles():
    mesh = Mesh([[0, 0], [1, 0], [0, math.sqrt(3)]], {"triangle": [[0, 1, 2]]})
    assert cell_angles(mesh)[0].rad2deg().tolist() == pytest.approx([90, 60, 30])
    assert torch.allclose(cell_angles(sphere(2)).sum(1), torch.full((320,), math.pi, dtype=torch.float64))
    with pytest.raises(MeshError, match="1 quad cells, whose angles are not defined here; expected only triangle"):
        cell_angles(rectangle(1, 1, cells="quad"))


def test_quality_is_one_for_regular_cells_and_falls_to_zero():
    h = math.sqrt(3) / 2
    triangle = [[0, 0, 0], [1, 0, 0], [0.5, h, 0]]
    top = [0.5, h / 3, math.sqrt(2 / 3)]
    assert cell_quality(Mesh(triangle, {"triangle": [[0, 1, 2]]})).item() == pytest.approx(1)
    assert cell_quality(Mesh([*triangle, top], {"tetra": [[0, 1, 2, 3]]})).item() == pytest.approx(1)
    assert cell_quality(rectangle(2, 2, cells="quad")).tolist() == pytest.approx([1] * 4)
    assert cell_quality(interval(3)).tolist() == [1] * 3
    flat = Mesh([[0, 0], [1, 0], [0.5, 1e-9]], {"triangle": [[0, 1, 2]]})
    assert cell_quality(flat).item() < 1e-8
    with pytest.raises(MeshError, match="hexahedron cells, whose quality"):
        cell_quality(box(1, 1, 1, cells="hexahedron"))


def test_edge_lengths_follow_the_edge_numbers():
    mesh = rectangle(3, 2, width=3.0, height=4.0)
    nodes = mesh.entities(1).nodes
    exact = (mesh.points[nodes[:, 0]] - mesh.points[nodes[:, 1]]).norm(dim=1)
    assert torch.equal(edge_lengths(mesh), exact)
    assert mesh_size(mesh) == pytest.approx(math.sqrt(5))


@pytest.mark.parametrize("name", ["triangles", "quads", "tetra", "hexahedra", "disk"])
def test_rigid_motions_change_nothing(name):
    mesh = MESHES[name]()
    moved = mesh.with_points(mesh.points @ rotation(dim=mesh.dim).T + 1e6)
    # points near 1e6 are stored to 1e-10; relative to edges of 0.3 that leaves 1e-9
    assert torch.allclose(cell_measures(moved), cell_measures(mesh), rtol=1e-8, atol=0)
    assert torch.allclose(signed_measures(moved), signed_measures(mesh), rtol=1e-8, atol=0)
    assert torch.allclose(facet_normals(moved) @ rotation(dim=mesh.dim), facet_normals(mesh), atol=1e-8)


def test_an_offset_that_the_points_can_store_loses_nothing():
    mesh = rectangle(4, 4)  # multiples of 1/4 are exact beside 1e8
    moved = mesh.with_points(mesh.points + 1e8)
    assert torch.equal(cell_measures(moved), cell_measures(mesh))
    assert torch.equal(facet_normals(moved), facet_normals(mesh))
    assert torch.equal(cell_quality(moved), cell_quality(mesh))


@pytest.mark.parametrize("name", ["triangles", "quads", "tetra", "mixed solids"])
def test_measures_and_normals_are_differentiable(name):
    mesh = MESHES[name]()
    points = mesh.points.clone().requires_grad_()
    mine = mesh.with_points(points)
    (gradient,) = torch.autograd.grad(cell_measures(mine).sum(), points)
    # the derivative of the volume lives on the boundary and a translation changes nothing
    inner = torch.ones(mesh.n, dtype=torch.bool)
    inner[mesh.boundary_nodes] = False
    assert gradient[inner].abs().sum() < 1e-13 and gradient.sum(0).abs().max() < 1e-13
    assert torch.allclose((gradient * mesh.points).sum(), mesh.dim * cell_measures(mesh).sum())
    (turn,) = torch.autograd.grad(facet_normals(mine)[:, 0].sum(), points)
    assert torch.isfinite(turn).all()


def test_components_are_counted_through_points_and_unused_points_have_none():
    two = Mesh([[0.0, 0], [9, 9], [1, 0], [0, 1], [5, 5], [6, 5], [5, 6]], {"triangle": [[4, 5, 6], [0, 2, 3]]})
    number, labels = connected_components(two)
    assert number == 2 and labels.tolist() == [0, -1, 0, 0, 1, 1, 1]
    assert connected_components(box(2, 2, 2)).number == 1
