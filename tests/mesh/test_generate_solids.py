"""Solids and surfaces: boxes of every cell, extrusion, balls, cylinders, the torus; volumes, sets, conformity."""

import math

import pytest
import torch

from graphpde.errors import MeshError
from graphpde.mesh import (
    Mesh,
    ball,
    box,
    cell_angles,
    cell_measures,
    cell_quality,
    cylinder,
    edge_lengths,
    extrude,
    facet_measures,
    facet_normals,
    jittered,
    random_square,
    rectangle,
    refine,
    signed_measures,
    solid_cylinder,
    spacing,
    tag_boundary,
    torus,
)
from graphpde.mesh.shape import corner_jacobians, quality_measures

BOXES = {
    "tetra": lambda k: {"tetra": 6 * k},
    "hexahedron": lambda k: {"hexahedron": k},
    "wedge": lambda k: {"wedge": 2 * k},
    "pyramid": lambda k: {"pyramid": 6 * k},
}


def flux_through_boundary(mesh: Mesh) -> float:
    """The integral of x . n over the boundary: dim times the volume, if the boundary facets close it."""
    normals, areas = facet_normals(mesh), facet_measures(mesh)
    nodes = mesh.facets.nodes[mesh.boundary_facets]
    on = mesh.points[nodes[:, 0]]  # flat facets: any point of them will do
    return ((on * normals).sum(1) * areas).sum().item()


@pytest.mark.parametrize("cells", BOXES)
def test_boxes_are_filled_by_their_cells(cells):
    mesh = box(3, 2, 4, lengths=(3.0, 1.0, 2.0), cells=cells, origin=(1.0, 0.0, 0.0))
    assert {k: len(v) for k, v in mesh.cells.items()} == BOXES[cells](24)
    assert signed_measures(mesh).sum().item() == pytest.approx(6) and signed_measures(mesh).min() > 0
    assert flux_through_boundary(mesh) == pytest.approx(18)


@pytest.mark.parametrize("n", [3, 4, 8])
def test_a_mixed_box_is_conforming(n):
    mesh = box(n, 2, 3, cells="mixed")
    assert set(mesh.cells) == {"hexahedron", "pyramid", "tetra"} | ({"wedge"} if n >= 4 else set())
    assert signed_measures(mesh).min() > 0 and cell_measures(mesh).sum().item() == pytest.approx(1)
    # a face that did not match its neighbour would be a boundary facet inside
    assert facet_measures(mesh).sum().item() == pytest.approx(6)
    facets = torch.cat([tag.ids for tag in mesh.tags.values()])
    assert torch.equal(facets.sort().values, mesh.boundary_facets)
    assert len(mesh.used_points) == mesh.n and not len(mesh.nonmanifold_facets)


@pytest.mark.parametrize("cells", [*BOXES, "mixed"])
def test_boxes_can_be_shaken_and_refined(cells):
    regular = box(4, 3, 2, cells=cells)
    mesh = jittered(regular, 0.25, seed=1)
    assert corner_jacobians(mesh)[0].min() > 0 and (mesh.points != regular.points).any(1).sum() >= 6
    assert cell_measures(mesh).sum().item() == pytest.approx(1, rel=1e-12)
    fine = refine(mesh)
    assert cell_measures(fine).sum().item() == pytest.approx(1, rel=1e-12)
    assert len(fine.boundary_facets) == 4 * len(mesh.boundary_facets)
    assert fine.tags.keys() == mesh.tags.keys()


def test_extrusion_carries_cells_and_named_sets_along():
    plane = rectangle(4, 3, cells="mixed")
    plane = Mesh(plane.points, plane.cells)
    plane = tag_boundary(plane, inlet=lambda x: x[:, 0] == 0).with_tags(part=plane.make_tag(2, [0, 7]))
    solid = extrude(plane, 2.0 * spacing(5, 1.4))
    assert {k: len(v) for k, v in solid.cells.items()} == {"hexahedron": 5 * 6, "wedge": 5 * 12}
    assert signed_measures(solid).min() > 0 and cell_measures(solid).sum().item() == pytest.approx(2)
    areas = {name: facet_measures(solid, solid.tag(name).ids).sum().item() for name in ("bottom", "top", "inlet")}
    assert areas == pytest.approx({"bottom": 1, "top": 1, "inlet": 2})
    assert (solid.points[solid.tag("inlet").nodes, 0] == 0).all()
    assert (solid.points[solid.tag("top").nodes, 2] == 2).all()
    volume = cell_measures(solid)[solid.tag("part").ids].sum().item()
    assert volume == pytest.approx(2 * cell_measures(plane)[[0, 7]].sum().item())


def test_wedges_are_cut_into_tetrahedra_that_match():
    plane = random_square(5, seed=3)
    plane = Mesh(plane.points, plane.cells, tags={"west": plane.tags["left"], "all": plane.make_tag(2, range(9))})
    solid = extrude(plane, [0.0, 0.1, 0.5], cells="tetra")
    assert solid.n_cells == 6 * plane.n_cells and signed_measures(solid).min() > 0
    assert cell_measures(solid).sum().item() == pytest.approx(0.5)
    assert facet_measures(solid).sum().item() == pytest.approx(2 + 4 * 0.5)  # none left open inside
    assert facet_measures(solid, solid.tag("west").ids).sum().item() == pytest.approx(0.5)
    assert len(solid.tag("all").ids) == 9 * 6


@pytest.mark.parametrize(
    "build, exact",
    [
        (ball, 4 * math.pi / 3),
        (lambda size: ball(size, cells="hexahedron"), 4 * math.pi / 3),
        (lambda size: solid_cylinder(size, 0.5, 1.0), math.pi / 4),
        (lambda size: solid_cylinder(size, 0.5, 1.0, cells="wedge"), math.pi / 4),
        (lambda size: solid_cylinder(size, 0.5, 1.0, cells="hexahedron"), math.pi / 4),
        (torus, 4 * math.pi**2 * 0.4),
        (lambda size: cylinder(size, 1.0, 1.0), 2 * math.pi),
    ],
    ids=["ball", "ball_hexahedra", "tetra", "wedge", "hexahedron", "torus", "cylinder"],
)
def test_volumes_and_areas_converge_at_order_two(build, exact):
    sizes = (0.4, 0.2, 0.1) if "ball" in str(build) else (0.2, 0.1, 0.05)
    found = [build(size) for size in sizes]
    errors = [exact - cell_measures(mesh).sum().item() for mesh in found]
    assert min(errors) > 0  # inscribed
    assert math.log2(errors[0] / errors[2]) > 3.5  # 4 over two halvings; the numbers of cells are rounded up
    assert all(edge_lengths(mesh).median() < 1.2 * size for mesh, size in zip(found, sizes))


@pytest.mark.parametrize("cells", ["tetra", "hexahedron"])
def test_a_ball_is_round_whole_and_well_shaped(cells):
    mesh = ball(0.4, 2.0, cells=cells)
    r = mesh.points[mesh.tag("outer").nodes].norm(dim=1)
    assert torch.allclose(r, torch.full_like(r, 2.0), rtol=1e-14)
    assert torch.equal(mesh.tag("outer").ids, mesh.boundary_facets)
    assert sum((-1) ** d * len(mesh.entities(d).nodes) for d in range(4)) == 1
    assert signed_measures(mesh).min() > 0 and len(mesh.used_points) == mesh.n
    quality = quality_measures(mesh)["quality"]
    assert quality.min() > 0.6 and quality.mean() > 0.85


@pytest.mark.parametrize("cells", ["tetra", "wedge", "hexahedron"])
def test_a_cylinder_has_its_sides(cells):
    mesh = solid_cylinder(0.2, 0.5, 1.5, cells=cells)
    facets = torch.cat([mesh.tag(name).ids for name in ("bottom", "top", "side")])
    assert torch.equal(facets.sort().values, mesh.boundary_facets)
    side = mesh.points[mesh.tag("side").nodes]
    assert torch.allclose(side[:, :2].norm(dim=1), torch.full((len(side),), 0.5, dtype=torch.float64), rtol=1e-14)
    assert (mesh.points[mesh.tag("bottom").nodes, 2] == 0).all() and (
        mesh.points[mesh.tag("top").nodes, 2] == 1.5
    ).all()
    assert quality_measures(mesh)["quality"].min() > 0.6


@pytest.mark.parametrize("minor", [0.1, 0.4, 0.8])
def test_a_torus_is_closed_outward_and_of_one_shape(minor):
    mesh = torus(0.15, 1.0, minor)
    assert not len(mesh.boundary_facets) and not mesh.tags
    assert sum((-1) ** d * len(mesh.entities(d).nodes) for d in range(3)) == 0
    ring = mesh.points[:, :2].norm(dim=1)
    tube = torch.hypot(ring - 1.0, mesh.points[:, 2])
    assert torch.allclose(tube, torch.full_like(tube, minor), rtol=1e-13)
    assert cell_quality(mesh).mean() > 0.9 and cell_angles(mesh).min().rad2deg() > 45
    if minor > 0.1:  # a conformal map of equilateral triangles: only their size changes round the tube
        assert cell_quality(mesh).min() > 0.985
    assert edge_lengths(mesh).max() < 1.1 * 0.15
    corner = mesh.points[mesh.cells["triangle"]]
    enclosed = torch.linalg.det(corner).sum().item() / 6  # positive where triangles look outward
    assert enclosed == pytest.approx(2 * math.pi**2 * minor**2, rel=0.05 if minor > 0.1 else 0.2)


def test_the_side_of_a_cylinder_is_open_and_looks_outward():
    mesh = cylinder(0.2, 0.5, 1.0)
    for name, z in (("bottom", 0.0), ("top", 1.0)):
        assert (mesh.points[mesh.tag(name).nodes, 2] == z).all()
    assert len(mesh.tag("bottom").ids) + len(mesh.tag("top").ids) == len(mesh.boundary_facets)
    assert torch.allclose(mesh.points[:, :2].norm(dim=1), torch.full((mesh.n,), 0.5, dtype=torch.float64), rtol=1e-14)
    corner = mesh.points[mesh.cells["triangle"]]
    normal = torch.linalg.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    assert ((normal * corner.mean(1))[:, :2].sum(1) > 0).all()
    assert cell_angles(mesh).min().rad2deg() > 50


@pytest.mark.parametrize(
    "build, words",
    [
        (lambda: box(2, cells="mixed"), "a mixed box has at least 3 blocks along x.* got 2"),
        (lambda: ball(cells="wedge"), "a ball has no 'wedge' cells"),
        (lambda: ball(1e-4), "expected at most"),
        (lambda: ball(1e-4, cells="hexahedron"), "take a larger size"),
        (lambda: ball(0.1, math.nan), "both must be positive"),
        (lambda: solid_cylinder(cells="pyramid"), "a cylinder has no 'pyramid' cells"),
        (lambda: solid_cylinder(height=-1), "both must be positive"),
        (lambda: torus(minor=2.0), "radii of the torus are 1.0 and 2.0, expected 0 < minor < major"),
        (lambda: torus(1e-5), "expected at most"),
        (lambda: cylinder(height=0.0), "both must be positive"),
        (lambda: extrude(rectangle(1, 1), [0, 1]), "has a set 'bottom' already; give ends="),
        (lambda: extrude(rectangle(1, 1), [0, 1, 1], ends=("low", "high")), "expected two or more increasing numbers"),
        (lambda: extrude(box(1), [0, 1]), "has tetra cells in 3-D; expected triangles or quads in 2-D"),
        (
            lambda: extrude(rectangle(1, 1, cells="quad"), [0, 1], cells="tetra", ends=("low", "high")),
            "cannot draw quad out to 'tetra'",
        ),
    ],
)
def test_what_makes_no_solid_is_refused(build, words):
    with pytest.raises(MeshError, match=words):
        build()
