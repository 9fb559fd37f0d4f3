"""Plane shapes on curves and graded meshes: points on curves, areas, angles, sizes, sets; what they refuse."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from graphpde.errors import MeshError
from graphpde.mesh import (
    Curve,
    aerofoil,
    aerofoil_in_tunnel,
    annulus,
    annulus_sector,
    cell_angles,
    cell_measures,
    cell_quality,
    channel_with_cylinder,
    disk,
    disk_quads,
    edge_lengths,
    facet_measures,
    interval,
    l_shape,
    plate_with_holes,
    polygon,
    rectangle,
    spacing,
)

SQUARE = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
TRIANGLES = {
    "aerofoil": aerofoil,
    "aerofoil_in_tunnel": aerofoil_in_tunnel,
    "cambered aerofoil": lambda: aerofoil_in_tunnel(digits=4412, angle=10),
    "channel_with_cylinder": channel_with_cylinder,
    "annulus": annulus,
    "annulus_sector": annulus_sector,
    "long sector": lambda: annulus_sector(0.1, 0.3, 1.0, 300),
    "l_shape": l_shape,
    "graded l_shape": lambda: l_shape(corner=0.004),
}


def thickness(x, t=0.12):
    """Half the thickness of a symmetric aerofoil with a closed tail, as its report gives it."""
    return 5 * t * (0.2969 * np.sqrt(x) - 0.126 * x - 0.3516 * x**2 + 0.2843 * x**3 - 0.1036 * x**4)


def middles(mesh):
    ends = mesh.entities(1).nodes[:, :2]
    return mesh.points[ends].mean(1), edge_lengths(mesh)


@pytest.mark.parametrize("name", TRIANGLES)
def test_triangles_are_well_shaped(name):
    mesh = TRIANGLES[name]()
    assert cell_angles(mesh).min().rad2deg() > 25
    assert cell_quality(mesh).mean() > 0.9
    assert len(mesh.used_points) == mesh.n
    facets = torch.cat([tag.ids for tag in mesh.tags.values()])  # every boundary facet once: no overlap
    assert torch.equal(facets.sort().values, mesh.boundary_facets)


@pytest.mark.parametrize("digits", [6, 24, 2412, 6409])
def test_aerofoils_of_many_kinds_are_well_shaped_but_for_sharp_tails(digits):
    mesh = aerofoil_in_tunnel(0.8, 0.06, digits, angle=5, height=2, length=4)
    assert cell_angles(mesh).min().rad2deg() > 20
    assert cell_quality(mesh).mean() > 0.9


@pytest.mark.parametrize("size", [0.1, 0.04])
def test_points_of_an_aerofoil_lie_on_it(size):
    mesh = aerofoil(2.0, size)
    x, y = mesh.points[mesh.tag("aerofoil").nodes].T.numpy()
    assert x.min() == pytest.approx(0, abs=1e-12) and x.max() == 1
    assert np.abs(np.abs(y) - thickness(x)).max() < 1e-12
    turned = aerofoil(2.0, size, angle=30)
    far = turned.points[turned.tag("far").nodes] - torch.tensor([0.5, 0], dtype=torch.float64)
    assert torch.allclose(far.norm(dim=1), torch.full((len(far),), 6.0, dtype=torch.float64), rtol=1e-14)
    tail = turned.points[turned.tag("aerofoil").nodes].norm(dim=1).argmax()
    tip = turned.points[turned.tag("aerofoil").nodes][tail]  # nose up: the tail goes down
    assert tip.tolist() == pytest.approx([math.cos(math.pi / 6), -0.5])


def test_camber_is_the_mean_of_upper_and_lower_side():
    points = Curve.naca(2412, 0.01).corners
    # on the mean line half the thickness above and below at right angles: the mean of the two sides at x = 0.4, where
    # the mean line of NACA 2412 is level, is its height of 2 percent
    upper, lower = points[: len(points) // 2], points[len(points) // 2 :]
    heights = [np.interp(0.4, *side[np.argsort(side[:, 0])].T) for side in (upper, lower)]
    assert np.mean(heights) == pytest.approx(0.02, abs=1e-4)
    assert heights[0] - heights[1] == pytest.approx(2 * thickness(0.4), abs=2e-4)


def test_the_area_of_an_aerofoil_is_approached_at_order_two():
    # the integral of twice the half thickness over the chord
    exact = 10 * 0.12 * (0.2969 * 2 / 3 - 0.126 / 2 - 0.3516 / 3 + 0.2843 / 4 - 0.1036 / 5)
    errors = []
    for near in (0.01, 0.005, 0.0025):  # below the lengths at the nose, which are those of its curvature
        corners = Curve.naca(12, near).corners
        x, y = corners.T
        area = 0.5 * abs(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
        errors.append(exact - area)
    assert min(errors) > 0
    assert min(math.log2(a / b) for a, b in pairwise(errors)) > 1.7


@pytest.mark.parametrize("near", [0.02, 0.01])
def test_channel_is_that_of_the_benchmark(near):
    mesh = channel_with_cylinder(0.06, near)
    low, high = mesh.points.amin(0).tolist(), mesh.points.amax(0).tolist()
    assert low == [0, 0] and high == [2.2, 0.41]  # to the last bit
    ring = mesh.points[mesh.tag("cylinder").nodes] - torch.tensor([0.2, 0.2], dtype=torch.float64)
    assert torch.allclose(ring.norm(dim=1), torch.full((len(ring),), 0.05, dtype=torch.float64), atol=1e-15)
    sides = facet_measures(mesh, mesh.tag("cylinder").ids)
    assert sides.max() <= near and sides.min() > 0.6 * near
    lengths = {name: facet_measures(mesh, mesh.tag(name).ids).sum().item() for name in ("inlet", "outlet", "walls")}
    assert lengths == pytest.approx({"inlet": 0.41, "outlet": 0.41, "walls": 4.4})
    k = len(ring)
    area = 2.2 * 0.41 - 0.5 * k * 0.05**2 * math.sin(2 * math.pi / k)
    assert cell_measures(mesh).sum().item() == pytest.approx(area, rel=1e-13)


@pytest.mark.parametrize(
    "build, exact",
    [
        (lambda size: annulus(size, 0.3, 1.0, cells="quad"), math.pi * 0.91),
        (lambda size: annulus_sector(size, 0.2, 1.0, 120), math.pi * 0.96 / 3),
        (lambda size: annulus_sector(size, 0.5, 1.0, 90, cells="quad"), math.pi * 0.75 / 4),
        (disk, math.pi),
        (disk_quads, math.pi),
    ],
)
def test_areas_of_round_shapes_converge_at_order_two(build, exact):
    errors = [abs(cell_measures(build(size)).sum().item() - exact) for size in (0.2, 0.1, 0.05)]
    rates = [math.log2(a / b) for a, b in pairwise(errors)]
    assert min(rates) > 1.7  # 2 where the number of sides doubles exactly; it is rounded up


def test_rings_have_their_radii_and_quadrilaterals_are_nearly_square():
    for cells in ("triangle", "quad"):
        mesh = annulus(0.1, 0.25, 1.0, cells=cells)
        for name, radius in (("inner", 0.25), ("outer", 1.0)):
            r = mesh.points[mesh.tag(name).nodes].norm(dim=1)
            assert torch.allclose(r, torch.full_like(r, radius), rtol=1e-14)
    assert cell_quality(mesh).min() > 0.99
    assert cell_quality(disk_quads(0.1)).min() > 0.8


@pytest.mark.parametrize("cells", ["triangle", "quad"])
def test_a_sector_has_straight_ends_and_round_sides(cells):
    mesh = annulus_sector(0.1, 0.5, 2.0, 60, cells=cells)
    lengths = {name: facet_measures(mesh, mesh.tag(name).ids).sum().item() for name in mesh.tags}
    assert lengths["start"] == pytest.approx(1.5) and lengths["end"] == pytest.approx(1.5)
    assert lengths["outer"] == pytest.approx(2 * math.pi / 3, rel=1e-3)
    assert (mesh.points[mesh.tag("start").nodes, 1] == 0).all()
    x, y = mesh.points[mesh.tag("end").nodes].T
    assert torch.allclose(y, math.sqrt(3) * x)
    for name, radius in (("inner", 0.5), ("outer", 2.0)):
        r = mesh.points[mesh.tag(name).nodes].norm(dim=1)
        assert torch.allclose(r, torch.full_like(r, radius), rtol=1e-14)


@pytest.mark.parametrize("quadrant, missing", [(1, (1, 1)), (2, (-1, 1)), (3, (-1, -1)), (4, (1, -1))])
def test_the_l_lacks_the_quadrant_it_should(quadrant, missing):
    mesh = l_shape(0.2, quadrant=quadrant)
    assert cell_measures(mesh).sum().item() == pytest.approx(3, rel=1e-14)
    assert not ((mesh.points * torch.tensor(missing) > 1e-12).all(1)).any()
    sides = {name: facet_measures(mesh, mesh.tag(name).ids).sum().item() for name in mesh.tags}
    assert sides == pytest.approx({"reentrant": 2, "outer": 6})
    assert (mesh.points[mesh.tag("reentrant").nodes].abs().amin(1) == 0).all()
    r, theta = mesh.points.norm(dim=1), torch.atan2(mesh.points[:, 1], mesh.points[:, 0]) % (2 * math.pi)
    u = r ** (2 / 3) * torch.sin(2 * theta / 3)
    assert (u[mesh.tag("reentrant").nodes].abs().max() < 1e-14) == (quadrant == 4)


@pytest.mark.parametrize(
    "size",
    [
        lambda x: 0.02 + 0.2 * x.norm(dim=1),
        lambda x: 0.03 + 0.15 * (x[:, 0] - x[:, 1]).abs(),
        lambda x: 0.08 + 0.04 * torch.sin(3 * x[:, 0]) * torch.cos(2 * x[:, 1]),
    ],
    ids=["point", "line", "waves"],
)
def test_a_size_function_is_followed(size):
    mesh = polygon(SQUARE, size)
    x, length = middles(mesh)
    ratio = length / size(x)
    assert 0.75 < ratio.median() < 1.25
    assert ratio.quantile(0.05) > 0.5 and ratio.quantile(0.95) < 1.6
    assert cell_angles(mesh).min().rad2deg() > 25 and cell_quality(mesh).mean() > 0.93
    assert cell_measures(mesh).sum().item() == pytest.approx(4, rel=1e-13)


def test_a_jump_of_the_size_is_smoothed_out():
    def size(x):
        return torch.where(x.norm(dim=1) < 0.2, 0.02, 0.3)

    mesh = polygon([(-2, -2), (2, -2), (2, 2), (-2, 2)], size)
    x, length = middles(mesh)
    inner = x.norm(dim=1) < 0.15
    assert length[inner].median() == pytest.approx(0.02, rel=0.25)
    assert length[x.norm(dim=1) > 1.7].median() == pytest.approx(0.3, rel=0.25)
    grown = 0.02 + 0.25 * (x.norm(dim=1) - 0.2).clamp(min=0)
    assert (length / grown).quantile(0.99) < 2
    assert cell_quality(mesh).mean() > 0.9 and cell_angles(mesh).amin(1).rad2deg().quantile(0.01) > 20


def test_a_constant_function_makes_edges_as_long_as_a_number():
    one, two = polygon(SQUARE, 0.15), polygon(SQUARE, lambda x: torch.full_like(x[:, 0], 0.15))
    assert two.n == pytest.approx(one.n, rel=0.05)
    assert edge_lengths(two).median() == pytest.approx(edge_lengths(one).median().item(), rel=0.05)


def test_points_that_a_narrow_gap_asks_for_lie_on_the_circle_too():
    mesh = plate_with_holes(0.1, 1.0, 1.0, [(0.5, 0.22, 0.2)])
    ring = mesh.points[mesh.tag("hole0").nodes] - torch.tensor([0.5, 0.22], dtype=torch.float64)
    assert len(ring) > 20  # the 16 of the size and more
    assert torch.allclose(ring.norm(dim=1), torch.full((len(ring),), 0.2, dtype=torch.float64), rtol=1e-14)


def test_spacing_grows_by_its_ratio():
    steps = spacing(8, 1.3).diff()
    assert torch.allclose(steps[1:] / steps[:-1], torch.full((7,), 1.3, dtype=torch.float64), rtol=1e-12)
    layers = spacing(9, (1.5, 1.5)).diff()
    assert torch.allclose(layers, layers.flip(0)) and layers.argmax() == 4
    assert torch.allclose(layers[1:5] / layers[:4], torch.full((4,), 1.5, dtype=torch.float64), rtol=1e-12)
    assert torch.equal(spacing(4), torch.arange(5, dtype=torch.float64) / 4)
    assert torch.equal(spacing(5, [2.0, 1.0]), spacing(5, 2.0)) and torch.equal(spacing(5, (1, 2)), spacing(5, 0.5))


def test_graded_intervals_and_rectangles():
    line = interval(3, 7.0, origin=1.0, grading=2)
    assert line.points[:, 0].tolist() == pytest.approx([1, 2, 4, 8])
    mesh = rectangle(4, 6, width=2.0, height=3.0, cells="quad", grading=(1.0, (1.5, 1.5)), origin=(1.0, 0.0))
    assert cell_measures(mesh).sum().item() == pytest.approx(6)
    x, y = (mesh.points[:, k].unique() for k in (0, 1))
    assert x.diff().tolist() == pytest.approx([0.5] * 4) and y.diff()[0] < 0.6 * y.diff()[2]


def test_mixed_rectangle_has_both_cells_by_turns():
    mesh = rectangle(5, 3, cells="mixed")
    assert {k: len(v) for k, v in mesh.cells.items()} == {"quad": 8, "triangle": 14}
    assert cell_measures(mesh).sum().item() == pytest.approx(1) and len(mesh.boundary_facets) == 16
    assert not len(mesh.nonmanifold_facets)


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: annulus(0.1, 1.0, 0.5), "radii of the ring are 1.0 and 0.5, expected 0 < inner < outer"),
        (lambda: annulus(0.1, cells="tetra"), "an annulus has no 'tetra' cells"),
        (lambda: annulus_sector(angle=360), "angle of the sector is 360 degrees, expected 1 to 359"),
        (lambda: annulus_sector(cells="tetra"), "a sector has no 'tetra' cells"),
        (lambda: annulus(1e-9, cells="quad"), "expected at most"),
        (lambda: disk_quads(0.1, -1), "both must be positive"),
        (lambda: disk_quads(1e-6), "take a larger size than 1e-06"),
        (lambda: l_shape(quadrant=5), "quadrant is 5"),
        (lambda: l_shape(corner=0.0), "0.1 and 0.0 at its corner"),
        (lambda: aerofoil(digits=2012), "NACA 2012 names no aerofoil"),
        (lambda: aerofoil(digits=100), "NACA 100 names no aerofoil"),
        (lambda: aerofoil(far=1), "radius of the far field is 1"),
        (lambda: aerofoil(near=0.0), "target edge length on the aerofoil is 0.0"),
        (lambda: aerofoil(near=1e-7), "expected at most 20000"),
        (lambda: aerofoil_in_tunnel(height=0.5), "the tunnel is 6.0 x 0.5 chords"),
        (lambda: channel_with_cylinder(length=0.2), "length of the channel is 0.2, expected more than 0.3"),
        (lambda: polygon(SQUARE, lambda x: x[:, 0]), "the size function is -.* expected a positive number everywhere"),
        (lambda: polygon(SQUARE, lambda x: x), r"returned shape \[1089, 2\] for points .* expected \[1089\]"),
        (lambda: polygon(SQUARE, lambda x: 0 * x[:, 0] + 1e-5), "points, expected at most"),
        (lambda: polygon(Curve.circle(0, 0, 1), 0.1, names=["a"]), "got 1 names for 16 sides"),
        (lambda: spacing(4, -1.0), "expected a positive ratio or a pair"),
        (lambda: spacing(4, (0.5, 2.0)), "expected ratios of at least 1"),
        (lambda: spacing(400, 2.0), "makes the shortest one"),
        (lambda: rectangle(2, 2, grading=[1.0]), "expected one for x and one for y"),
    ],
)
def test_what_makes_no_mesh_is_refused(build, words):
    with pytest.raises(MeshError, match=words):
        build()
