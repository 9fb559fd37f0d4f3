"""Generators: exact sizes, topology, named sets, orientation, quality, determinism, and what they refuse."""

import math
import time

import numpy as np
import pytest
import torch

from graphpde.errors import MeshError
from graphpde.mesh import (
    SHAPES,
    Mesh,
    box,
    cell_angles,
    cell_measures,
    cell_quality,
    circle,
    connected_components,
    disk,
    edge_lengths,
    facet_measures,
    facet_normals,
    interval,
    jittered,
    l_bracket,
    network,
    plate_with_holes,
    polygon,
    random_cube,
    random_square,
    rectangle,
    signed_measures,
    sphere,
    star,
    tag_boundary,
)
from graphpde.mesh.shape import quality_measures

# Euler characteristic: vertices - edges + faces - cells
EULER = {
    **{"plate_with_holes": -1, "l_bracket": 0, "sphere": 2, "torus": 0, "cylinder": 0, "annulus": 0},
    **{"annulus_quads": 0, "channel_with_cylinder": 0, "aerofoil": 0, "aerofoil_in_tunnel": 0},
}
COARSE = {
    **{"disk": 0.2, "plate_with_holes": 0.1, "l_bracket": 0.1, "sphere": 0.4, "channel_with_cylinder": 0.08},
    **{"aerofoil": 2.0, "aerofoil_in_tunnel": 0.8, "ball": 0.4},
}


@pytest.fixture(scope="module", params=sorted(SHAPES))
def shape(request):
    return request.param, SHAPES[request.param](size=COARSE.get(request.param, 0.25))


def shoelace(corners) -> float:
    x, y = np.asarray(corners, dtype=float).T
    return 0.5 * abs(float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y)))


def facing_angles(mesh: Mesh) -> torch.Tensor:
    """Angles opposite to the boundary edges of a triangle mesh, in degrees."""
    ids = mesh.boundary_facets
    owner, local = mesh.facets.cells[ids, 0], mesh.facets.local[ids]
    return cell_angles(mesh)[owner, (local + 2) % 3].rad2deg()


def test_shapes_have_their_topology(shape):
    name, mesh = shape
    counts = [len(mesh.entities(d).nodes) for d in range(mesh.dim + 1)]
    assert sum((-1) ** d * k for d, k in enumerate(counts)) == EULER.get(name, 1)
    assert connected_components(mesh).number == 1
    assert len(mesh.used_points) == mesh.n


def test_shapes_are_positively_oriented_and_well_shaped(shape):
    _, mesh = shape
    if mesh.dim == mesh.space_dim:
        assert signed_measures(mesh).min() > 0
    assert mesh.dim == 1 or quality_measures(mesh)["quality"].min() > 0.4


def test_shapes_have_closed_boundaries(shape):
    name, mesh = shape
    assert len(mesh.nonmanifold_facets) == (1 if name == "star" else 0)
    normals = facet_normals(mesh) * facet_measures(mesh)[:, None]
    assert normals.sum(0).abs().max() < 1e-13 if len(normals) else name in ("sphere", "torus")


def test_named_sets_of_shapes_know_their_points_and_cover_the_boundary(shape):
    name, mesh = shape
    facets = set()
    for tag in mesh.tags.values():
        nodes = mesh.entities(tag.dim).nodes[tag.ids]
        assert torch.equal(torch.unique(nodes[nodes >= 0]), tag.nodes) and len(tag.ids)
        if tag.dim == mesh.dim - 1:
            facets |= set(tag.ids.tolist())
    if name != "star":  # its centre is a named point inside
        assert facets == set(mesh.boundary_facets.tolist())


def test_shapes_take_a_size_have_a_help_line_and_come_out_the_same_twice(shape):
    name, mesh = shape
    assert SHAPES[name].__doc__.splitlines()[0].endswith(".")
    again = SHAPES[name](size=COARSE.get(name, 0.25))
    assert torch.equal(again.points, mesh.points)
    assert all(torch.equal(again.cells[k], v) for k, v in mesh.cells.items())
    longest = float(edge_lengths(mesh).max())
    assert longest <= 2 * COARSE.get(name, 0.25)


@pytest.mark.parametrize("name", sorted(SHAPES))
@pytest.mark.parametrize("size", [0.0, -1.0, math.nan])
def test_a_size_that_is_no_length_is_refused(name, size):
    with pytest.raises(MeshError, match="positive number"):
        SHAPES[name](size=size)


def test_interval():
    mesh = interval(4, 2.0, origin=-1.0)
    assert mesh.points[:, 0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert mesh.tag("left").nodes.tolist() == [0] and mesh.tag("right").nodes.tolist() == [4]


@pytest.mark.parametrize("cells, per_cell", [("triangle", 2), ("quad", 1)])
def test_rectangle_counts_area_and_sides(cells, per_cell):
    mesh = rectangle(5, 3, width=2.0, height=1.5, cells=cells, origin=(-1.0, 2.0))
    assert mesh.n == 24 and mesh.n_cells == 15 * per_cell
    assert cell_measures(mesh).tolist() == pytest.approx([0.2 / per_cell] * mesh.n_cells)
    sides = {"left": (0, -1.0, 1.5), "right": (0, 1.0, 1.5), "bottom": (1, 2.0, 2.0), "top": (1, 3.5, 2.0)}
    for name, (axis, value, length) in sides.items():
        tag = mesh.tag(name)
        assert (mesh.points[tag.nodes, axis] == value).all() and tag.dim == 1
        assert facet_measures(mesh, tag.ids).sum().item() == pytest.approx(length)


@pytest.mark.parametrize("cells, per_cell", [("tetra", 6), ("hexahedron", 1)])
def test_box_counts_volume_and_sides(cells, per_cell):
    mesh = box(2, 3, 4, lengths=(1.0, 2.0, 3.0), cells=cells, origin=(0.0, 0.0, 5.0))
    assert mesh.n == 60 and mesh.n_cells == 24 * per_cell
    assert cell_measures(mesh).tolist() == pytest.approx([0.25 / per_cell] * mesh.n_cells)
    areas = {"left": 6, "right": 6, "front": 3, "back": 3, "bottom": 2, "top": 2}
    for name, area in areas.items():
        assert facet_measures(mesh, mesh.tag(name).ids).sum().item() == pytest.approx(area)
    assert (mesh.points[mesh.tag("top").nodes, 2] == 8).all() and (mesh.points[mesh.tag("back").nodes, 1] == 2).all()


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: rectangle(0, 3), "expected whole numbers of at least 1"),
        (lambda: rectangle(2, 3, width=0.0), "expected positive numbers"),
        (lambda: rectangle(2, 3, cells="hexagon"), "no 'hexagon' cells, expected 'triangle', 'quad' or 'mixed'"),
        (lambda: box(1, 1, 1, cells="prism"), "no 'prism' cells, expected 'tetra', 'hexahedron'"),
        (lambda: box(10_000, 10_000, 10_000), "would have 1.00e[+]12 cells, expected at most"),
        (lambda: interval(2, math.inf), "expected positive numbers"),
        (lambda: sphere(-1), r"expected 0\.\.8"),
        (lambda: sphere(size=1e-6), "needs more than 8 rounds"),
        (lambda: sphere(radius=0), "both must be positive"),
        (lambda: polygon([(0, 0), (1, 0), (0, 1)], 1e-6), "asks for about 1.0e[+]12 points, expected at most"),
        (lambda: disk(1e-6), "has [0-9]+, expected at most 20000"),
        (lambda: circle(0, 0, -1, 0.1), "circle of radius -1"),
        (lambda: random_square(0), "at least 1 segment a side, got 0"),
        (lambda: star(0), "all must be positive"),
        (lambda: jittered(sphere(1)), "its points would leave the surface"),
        (lambda: jittered(rectangle(6, 6), 3.0), "turns over [0-9]+ cells"),
        (lambda: jittered(rectangle(6, 6, cells="quad"), 1.0), "turns over [0-9]+ cells"),
        (lambda: jittered(box(4, cells="hexahedron"), 0.7), "turns over [0-9]+ cells"),
    ],
)
def test_what_makes_no_mesh_is_refused(build, words):
    with pytest.raises(MeshError, match=words):
        build()


def test_sphere_is_outward_and_on_the_sphere():
    mesh = sphere(3, radius=2.0)
    assert mesh.n == 642 and mesh.n_cells == 1280
    assert torch.allclose(mesh.points.norm(dim=1), torch.full((642,), 2.0, dtype=torch.float64), atol=1e-14)
    corner = mesh.points[mesh.cells["triangle"]]
    assert (torch.linalg.det(corner) > 0).all()  # the origin lies behind every triangle
    assert float(edge_lengths(sphere(size=0.3)).max()) <= 0.3 < float(edge_lengths(sphere(2)).max())


def test_the_area_of_a_disk_is_that_of_its_polygon():
    for size in (0.4, 0.13):
        mesh = disk(size, radius=1.5)
        k = len(mesh.tag("outer").ids)
        assert k == max(16, math.ceil(2 * math.pi * 1.5 / size))
        assert cell_measures(mesh).sum().item() == pytest.approx(
            0.5 * k * 1.5**2 * math.sin(2 * math.pi / k), rel=1e-14
        )


def test_plate_has_the_area_and_the_sides_it_should_have():
    holes = ((0.6, 0.5, 0.2), (1.5, 0.4, 0.1))
    mesh = plate_with_holes(0.1, 2.0, 1.0, holes, origin=(0.0, 0.0))
    area = 2.0 - sum(shoelace(circle(x, y, r, 0.1)) for x, y, r in holes)
    assert cell_measures(mesh).sum().item() == pytest.approx(area, rel=1e-14)
    lengths = {name: facet_measures(mesh, mesh.tag(name).ids).sum().item() for name in mesh.tags}
    assert lengths["left"] == pytest.approx(1) and lengths["bottom"] == pytest.approx(2)
    assert lengths["outer"] == pytest.approx(6)
    for k, (x, y, r) in enumerate(holes):
        ring = mesh.points[mesh.tag(f"hole{k}").nodes] - torch.tensor([x, y], dtype=torch.float64)
        assert torch.allclose(ring.norm(dim=1), torch.full((len(ring),), r, dtype=torch.float64))


def test_names_follow_the_sides_whichever_way_round_the_outline_is_given():
    outline, names = [(0, 0), (3, 0), (3, 1), (0, 2)], ["floor", "wall", None, "wall"]
    turned = outline[::-1]  # sides now join (0,2)-(3,1), (3,1)-(3,0), (3,0)-(0,0), (0,0)-(0,2)
    for mesh in (polygon(outline, 0.4, names=names), polygon(turned, 0.4, names=[None, "wall", "floor", "wall"])):
        assert set(mesh.tags) == {"outer", "floor", "wall"}
        assert (mesh.points[mesh.tag("floor").nodes, 1] == 0).all()
        x = mesh.points[mesh.tag("wall").nodes, 0]
        assert ((x == 0) | (x == 3)).all()
        assert facet_measures(mesh, mesh.tag("wall").ids).sum().item() == pytest.approx(3)
        assert cell_measures(mesh).sum().item() == pytest.approx(4.5, rel=1e-14)


SQUARE = [(0, 0), (1, 0), (1, 1), (0, 1)]


@pytest.mark.parametrize(
    "outline, holes, names, words",
    [
        ([(0, 0), (1, 0)], [], None, "expected at least 3 corners"),
        ([*SQUARE, (0, 0)], [], None, "give each corner once"),
        ([(0, 0), (1, 0), (math.nan, 1)], [], None, "not finite"),
        ([(0, 0), (1, 0), (2, 0)], [], None, "encloses no area"),
        ([(0, 0), (1, 1), (1, 0), (0, 1.1)], [], None, "side 0 of the outline meets side 2 of the outline"),
        (SQUARE, [circle(0.9, 0.5, 0.2, 0.1)], None, "of the outline meets side [0-9]+ of hole 0"),
        (SQUARE, [circle(3, 3, 0.2, 0.1)], None, "hole 0 lies outside the outline"),
        (SQUARE, [circle(0.5, 0.5, 0.1, 0.1), circle(0.5, 0.5, 0.3, 0.1)], None, "hole 0 lies inside another hole"),
        (SQUARE, [], ["a", "b"], "got 2 names for 4 sides"),
    ],
)
def test_polygons_that_are_none_are_refused(outline, holes, names, words):
    with pytest.raises(MeshError, match=words):
        polygon(outline, 0.2, holes, names=names)


@pytest.mark.parametrize("size", [0.04, 0.07, 0.11, 0.19, 0.33])
def test_triangles_are_well_shaped_and_no_obtuse_angle_faces_the_boundary(size):
    for mesh in (disk(size), plate_with_holes(size), l_bracket(size)):
        assert cell_angles(mesh).min().rad2deg() > 25
        assert facing_angles(mesh).max() < 80
    assert edge_lengths(disk(size)).median() == pytest.approx(size, rel=0.15)


def test_interior_edges_are_delaunay():
    mesh = plate_with_holes(0.08)
    two = (mesh.facets.cells[:, 1] >= 0).nonzero()[:, 0]
    angles = torch.zeros(len(mesh.facets.nodes), dtype=torch.float64)
    for k in range(3):  # the sum of the two angles that face an edge
        nodes = mesh.cells["triangle"][:, [(k + 1) % 3, (k + 2) % 3]]
        angles.index_add_(0, mesh.find(1, nodes), cell_angles(mesh)[:, k])
    assert angles[two].max() < math.pi + 1e-9


def test_random_polygons_are_filled_exactly_whatever_their_corners():
    rng = np.random.default_rng(1)
    done = 0
    while done < 15:
        angle = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
        if np.diff(np.append(angle, angle[0] + 2 * np.pi)).max() > 3:
            continue  # the origin would lie outside and the corners out of order
        radius = rng.uniform(0.4, 1, len(angle))
        corners = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + rng.uniform(-5, 5, 2)
        mesh = polygon(corners, 0.15)
        assert cell_measures(mesh).sum().item() == pytest.approx(shoelace(corners - corners[0]), rel=1e-12)
        assert signed_measures(mesh).min() > 0 and facing_angles(mesh).max() < 90
        done += 1


def test_a_sharp_corner_and_a_narrow_gap_are_refined_towards():
    wedge = polygon([(0, 0), (1, 0), (1, 0.08)], 0.05)
    assert cell_measures(wedge).sum().item() == pytest.approx(0.04, rel=1e-13) and facing_angles(wedge).max() < 90
    gap = plate_with_holes(0.1, 1.0, 1.0, [(0.5, 0.22, 0.2)])  # 0.02 between hole and side
    assert edge_lengths(gap).min() < 0.03 and cell_angles(gap).min().rad2deg() > 25
    speck = polygon(SQUARE, 0.5, [circle(0.5, 0.0011, 0.001, 0.5)])  # a hole of 1/500 just above a side
    assert speck.n < 700 and cell_angles(speck).min().rad2deg() > 20 and facing_angles(speck).max() < 90


def test_five_thousand_points_take_seconds():
    start = time.perf_counter()
    mesh = plate_with_holes(0.0207)
    assert mesh.n > 4900
    assert time.perf_counter() - start < 15  # about 1 s on an idle machine


def test_random_square_is_one_irregular_delaunay_mesh():
    first, second = random_square(4, seed=1), random_square(4, seed=2)
    assert not torch.equal(first.points, second.points)
    for mesh in (first, second, random_square(1), random_square(12)):
        assert cell_measures(mesh).sum().item() == pytest.approx(1, rel=1e-14)
        assert facing_angles(mesh).max() < 90
        for name, axis, value in (("left", 0, 0), ("right", 0, 1), ("bottom", 1, 0), ("top", 1, 1)):
            tag = mesh.tag(name)
            assert (mesh.points[tag.nodes, axis] == value).all()
            assert facet_measures(mesh, tag.ids).sum().item() == pytest.approx(1)


def test_random_cube_keeps_the_cube_and_moves_its_inside():
    mesh, regular = random_cube(3, seed=4), box(3, 3, 3)
    moved = (mesh.points != regular.points).any(1).nonzero()[:, 0]
    inner = ~torch.isin(torch.arange(64), regular.boundary_nodes)
    assert torch.equal(moved, inner.nonzero()[:, 0])
    assert cell_measures(mesh).sum().item() == pytest.approx(1, rel=1e-13)
    assert cell_measures(mesh).std() > 0.1 * cell_measures(mesh).mean() and cell_quality(mesh).min() > 0.4
    assert set(mesh.tags) == set(regular.tags)


def test_jitter_moves_by_at_most_its_amount():
    mesh = rectangle(6, 6, cells="quad")
    way = (jittered(mesh, 0.25, 3).points - mesh.points).norm(dim=1)
    assert way.max() <= 0.25 / 6 and (way[mesh.boundary_nodes] == 0).all() and (way > 0).sum() == 25


def test_network_cuts_lines_and_names_points_and_branches():
    points = [[0, 0, 0], [1, 0, 0], [1, 2, 0], [1, 0, 3]]
    pipes = [(0, 1), (1, 2), (1, 3), (3, 1)]
    mesh = network(points, pipes, size=0.5, names={"inlet": [0]}, branches={"riser": [2, 3], "main": [0]})
    assert mesh.n_cells == 2 + 4 + 6 + 6 and mesh.n == 4 + 1 + 3 + 5 + 5
    assert torch.equal(mesh.points[:4], torch.tensor(points, dtype=torch.float64))
    assert cell_measures(mesh)[mesh.tag("riser").ids].sum().item() == pytest.approx(6)
    assert cell_measures(mesh)[mesh.tag("main").ids].sum().item() == pytest.approx(1)
    assert mesh.tag("inlet").nodes.tolist() == [0] and mesh.boundary_nodes.tolist() == [0, 2]
    assert network(points, pipes).n_cells == 4


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"points": [[0.0, 0]], "lines": [(0, 1)]}, r"lines of the network names 1, expected points 0\.\.0"),
        ({"points": [[0.0, 0], [0, 0]], "lines": [(0, 1)]}, "line 0 has no length"),
        ({"points": [[0.0], [1.0]], "lines": []}, "expected"),
        ({"points": [[0.0], [1.0]], "lines": [(0, 1)], "names": {"a": [2]}}, "set 'a' of the network names 2"),
        ({"points": [[0.0], [1.0]], "lines": [(0, 1)], "branches": {"a": [1]}}, r"expected lines 0\.\.0"),
        ({"points": [[0.0], [1.0]], "lines": [(0, 1)], "names": {"a": [0]}, "branches": {"a": [0]}}, "use two names"),
    ],
)
def test_networks_that_are_none_are_refused(arguments, words):
    with pytest.raises(MeshError, match=words):
        network(**arguments)


def test_star_has_equal_arms():
    mesh = star(5, 4, 2.0)
    assert mesh.n == 21 and len(mesh.boundary_nodes) == 5
    assert cell_measures(mesh).tolist() == pytest.approx([0.5] * 20)
    assert len(mesh.tag("arm3").ids) == 4 and mesh.tag("centre").nodes.tolist() == [0]
    assert (mesh.points[mesh.tag("end2").nodes].norm(dim=1) - 2).abs().max() < 1e-15


def test_tag_boundary_names_what_a_predicate_finds():
    mesh = tag_boundary(rectangle(4, 4), corner=lambda x: (x[:, 0] <= 0.25) & (x[:, 1] <= 0.25))
    assert len(mesh.tag("corner").ids) == 2 and mesh.tag("corner").nodes.tolist() == [0, 1, 5]
    mixed = Mesh([[0, 0], [1, 0], [1, 1], [0, 1], [2, 0]], {"quad": [[0, 1, 2, 3]], "triangle": [[1, 4, 2]]})
    assert len(tag_boundary(mixed, floor=lambda x: x[:, 1] == 0).tag("floor").ids) == 2
    with pytest.raises(MeshError, match="no boundary facet of 'rectangle' satisfies 'far'"):
        tag_boundary(rectangle(2, 2), far=lambda x: x[:, 0] > 2)
    with pytest.raises(MeshError, match=r"returned shape \[9, 2\], expected \[9\]"):
        tag_boundary(rectangle(2, 2), all=lambda x: x > 0)
