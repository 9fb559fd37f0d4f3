"""Uniform refinement: counts, measures, conformity, named sets, data, shapes of the children, projection."""

import time

import pytest
import torch

from graphpde.errors import MeshError
from graphpde.mesh import (
    Mesh,
    box,
    cell_measures,
    cell_quality,
    facet_measures,
    interval,
    jittered,
    plate_with_holes,
    random_cube,
    random_square,
    rectangle,
    refine,
    signed_measures,
    sphere,
    star,
)

CUBE = [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]]


def mixed_solids() -> Mesh:
    """A cube, a wedge on its side and a tetrahedron on top of the wedge: conforming across quads and triangles."""
    points = [*CUBE, [2, 0, 0], [2, 0, 1], [1.3, 0.4, 2]]
    mesh = Mesh(points, {"hexahedron": [list(range(8))], "wedge": [[1, 8, 2, 5, 9, 6]], "tetra": [[5, 9, 6, 10]]})
    return mesh.with_tags(walls=mesh.make_tag(2, mesh.boundary_facets), wedge=mesh.make_tag(3, [1]))


def mixed_plane() -> Mesh:
    mesh = Mesh([[0, 0], [1, 0], [1, 1], [0, 1], [2, 0.5]], {"triangle": [[1, 4, 2]], "quad": [[0, 1, 2, 3]]})
    return mesh.with_tags(rim=mesh.make_tag(1, mesh.boundary_facets), corner=mesh.make_tag(0, [4]))


MESHES = {
    "interval": lambda: interval(3),
    "network": lambda: star(3, 2),
    "triangles": lambda: random_square(3, seed=2),
    "plate": lambda: plate_with_holes(0.25),
    "quads": lambda: jittered(rectangle(3, 2, cells="quad"), 0.3),
    "mixed plane": mixed_plane,
    "surface": lambda: sphere(1),
    "tetra": lambda: random_cube(2, seed=1),
    "hexahedra": lambda: box(2, 1, 2, cells="hexahedron"),
    "mixed solids": mixed_solids,
    "pyramids": lambda: jittered(box(2, 1, 1, cells="pyramid"), 0.2),
    "mixed box": lambda: jittered(box(4, 2, 1, cells="mixed"), 0.2),
}


@pytest.fixture(params=MESHES)
def mesh(request):
    return MESHES[request.param]()


def test_counts_and_measure(mesh):
    fine = refine(mesh)
    expected = {k: len(v) * 2**mesh.dim for k, v in mesh.cells.items()}
    if "pyramid" in mesh.cells:
        expected["pyramid"] = 6 * len(mesh.cells["pyramid"])
        expected["tetra"] = expected.get("tetra", 0) + 4 * len(mesh.cells["pyramid"])
    assert {k: len(v) for k, v in fine.cells.items()} == expected
    quads = int((mesh.facets.nodes[:, 3] >= 0).sum()) if mesh.dim == 3 and mesh.facets.nodes.shape[1] == 4 else 0
    centres = sum(len(v) for k, v in mesh.cells.items() if k in ("quad", "hexahedron"))
    assert fine.n == mesh.n + len(mesh.entities(1).nodes) + quads + centres
    assert torch.equal(fine.points[: mesh.n], mesh.points)
    whole = cell_measures(mesh).sum().item()
    assert cell_measures(refine(mesh, 2)).sum().item() == pytest.approx(whole, rel=1e-12)
    if mesh.dim == mesh.space_dim:
        assert signed_measures(fine).min() > 0


def test_refinement_is_conforming(mesh):
    fine = refine(mesh, 2)
    assert len(fine.boundary_facets) == len(mesh.boundary_facets) * 4 ** (mesh.dim - 1)
    assert len(fine.nonmanifold_facets) == len(mesh.nonmanifold_facets)  # a facet of three cells: the star's centre
    assert len(fine.used_points) == fine.n
    euler = [sum((-1) ** d * len(m.entities(d).nodes) for d in range(m.dim + 1)) for m in (mesh, fine)]
    assert euler[0] == euler[1]


def test_named_sets_keep_their_measure_and_know_their_points(mesh):
    fine = refine(mesh, 2)
    assert list(fine.tags) == list(mesh.tags)
    for name, tag in mesh.tags.items():
        new = fine.tags[name]
        assert new.dim == tag.dim
        assert "pyramid" in mesh.cells or len(new.ids) == len(tag.ids) * 4**tag.dim
        nodes = fine.entities(tag.dim).nodes[new.ids]
        assert torch.equal(torch.unique(nodes[nodes >= 0]), new.nodes)
        if tag.dim == mesh.dim - 1:
            assert facet_measures(fine, new.ids).sum() == pytest.approx(facet_measures(mesh, tag.ids).sum().item())
        if tag.dim == mesh.dim:
            assert cell_measures(fine)[new.ids].sum() == pytest.approx(cell_measures(mesh)[tag.ids].sum().item())


def test_named_edges_of_a_solid_go_over_to_their_halves():
    mesh = box(1, 1, 1)
    edges = mesh.entities(1).nodes
    bottom = ((mesh.points[edges][:, :, 2] == 0) & (mesh.points[edges][:, :, 1] == 0)).all(1).nonzero()[:, 0]
    fine = refine(mesh.with_tags(line=mesh.make_tag(1, bottom)), 2)
    assert len(fine.tags["line"].ids) == 4
    assert sorted(fine.points[fine.tags["line"].nodes, 0].tolist()) == [0, 0.25, 0.5, 0.75, 1]


def test_empty_named_sets_stay_empty():
    mesh = rectangle(2, 2)
    fine = refine(mesh.with_tags(none=mesh.make_tag(1, []), nothing=mesh.make_tag(2, [])))
    assert len(fine.tags["none"].ids) == 0 and len(fine.tags["nothing"].ids) == 0


def test_two_rounds_are_two_times_one(mesh):
    twice, again = refine(mesh, 2), refine(refine(mesh))
    assert torch.equal(twice.points, again.points)
    assert all(torch.equal(twice.cells[k], v) for k, v in again.cells.items())
    assert refine(mesh, 0) is mesh


def test_regular_triangles_become_the_finer_regular_mesh():
    fine, regular = refine(rectangle(3, 2)), rectangle(6, 4)

    def cells(m):
        corners = m.points[m.cells["triangle"]].reshape(-1, 6)
        return sorted(tuple(sorted(zip(c[::2], c[1::2]))) for c in corners.round(decimals=9).tolist())

    assert cells(fine) == cells(regular)


def test_tetrahedra_of_a_box_have_one_shape_for_ever():
    for times in range(4):
        quality = cell_quality(refine(box(1, 1, 1), times))
        assert quality.max() - quality.min() < 1e-12
        assert quality.min().item() == pytest.approx(0.7559526299, rel=1e-9)


def test_a_pyramid_becomes_six_half_its_size_and_four_tetrahedra():
    pyramid = Mesh([[0, 0, 0], [2, 0, 0], [2, 2, 0], [0, 2, 0], [1, 1, 1]], {"pyramid": [[0, 1, 2, 3, 4]]})
    pyramid = pyramid.with_tags(
        base=pyramid.make_tag(2, pyramid.find(2, torch.tensor([[0, 1, 2, 3]]))), whole=pyramid.make_tag(3, [0])
    )
    fine = refine(pyramid)
    volumes = cell_measures(fine)
    assert volumes[:6].tolist() == pytest.approx([4 / 3 / 8] * 6) and volumes[6:].tolist() == pytest.approx(
        [1 / 12] * 4
    )
    assert fine.n == 14 and len(fine.boundary_facets) == 20 and len(fine.tags["whole"].ids) == 10
    base = fine.tags["base"].ids
    assert len(base) == 4 and facet_measures(fine, base).tolist() == pytest.approx([1] * 4)
    # for ever the same two shapes: the regular pyramid and its tetrahedron, and the children of that
    assert signed_measures(refine(pyramid, 3)).min() > 0


def test_any_tetrahedron_knows_at_most_three_shapes():
    # Bey 1995: the children of every later round are similar to one of three
    points = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(8))
    mesh = Mesh(points, {"tetra": [[0, 1, 2, 3]]})
    shapes = [set(cell_quality(refine(mesh, k)).round(decimals=9).tolist()) for k in (2, 3, 4)]
    assert len(shapes[0]) <= 3 and shapes[1] <= shapes[0] and shapes[2] <= shapes[0]


def test_data_goes_over_linearly_and_cell_by_cell(mesh):
    slope = torch.arange(1, mesh.space_dim + 1, dtype=torch.float64)
    label = torch.arange(mesh.n_cells)
    mesh = mesh.with_data({"u": mesh.points @ slope, "id": torch.arange(mesh.n)}, {"label": label})
    fine = refine(mesh)
    assert torch.allclose(fine.point_data["u"], fine.points @ slope, atol=1e-14)
    assert fine.point_data["id"].dtype == torch.int64
    parent = torch.bincount(fine.cell_data["label"], cell_measures(fine), minlength=mesh.n_cells)
    if mesh.dim < 3 or not {"hexahedron", "wedge", "pyramid"} & set(mesh.cells):  # faces of solids may bend
        assert torch.allclose(parent, cell_measures(mesh), rtol=1e-12)


def test_project_puts_new_points_onto_the_sphere_and_leaves_the_old_ones():
    seen = []

    def onto(x):
        seen.append(len(x))
        return x / x.norm(dim=1, keepdim=True)

    fine = refine(sphere(0), 2, project=onto)
    assert seen == [30, 120]
    assert torch.allclose(fine.points, sphere(2).points, atol=1e-15)
    with pytest.raises(MeshError, match=r"project returned shape \[30, 2\], expected \[30, 3\]"):
        refine(sphere(0), project=lambda x: x[:, :2])


def test_two_lines_between_the_same_points_get_two_middles():
    loop = Mesh([[0.0, 0], [1, 0]], {"line": [[0, 1], [1, 0]]})
    assert refine(loop).cells["line"].tolist() == [[0, 2], [2, 1], [1, 3], [3, 0]]


def test_points_of_no_cell_stay_points_of_no_cell():
    mesh = Mesh([[9, 9], [0, 0], [1, 0], [0, 1]], {"triangle": [[1, 2, 3]]})
    assert refine(mesh).used_points.tolist() == [1, 2, 3, 4, 5, 6]


def test_gradients_pass_from_fine_to_coarse_points():
    mesh = random_square(2)
    points = mesh.points.clone().requires_grad_()
    area = cell_measures(refine(mesh.with_points(points), 2)).sum()
    (fine,) = torch.autograd.grad(area, points)
    (coarse,) = torch.autograd.grad(cell_measures(mesh.with_points(points)).sum(), points)
    assert torch.allclose(fine, coarse, atol=1e-13)


@pytest.mark.parametrize(
    "mesh, times, words",
    [
        (rectangle(1, 1), -1, "times is -1, expected 0 or more"),
        (
            Mesh([[0, 0], [2, 0], [0, 2], [1, 0], [1, 1], [0, 1]], {"triangle6": [[0, 1, 2, 3, 4, 5]]}),
            1,
            "1 triangle6 cells, which have no uniform refinement here; .*keep the vertices of quadratic cells",
        ),
    ],
)
def test_what_cannot_be_refined_is_refused(mesh, times, words):
    with pytest.raises(MeshError, match=words):
        refine(mesh, times)


def test_a_hundred_thousand_cells_take_less_than_three_seconds():
    for mesh in (rectangle(80, 80), box(6, 6, 6)):
        start = time.perf_counter()
        fine = refine(mesh, 2)
        seconds = time.perf_counter() - start
        assert fine.n_cells > 80_000
        assert seconds < 10  # 0.5 s and 1 s on an idle machine; the limit only catches loops over cells
