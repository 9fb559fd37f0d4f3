"""Parts of meshes, boundaries and dual graphs: what they hold, how they stand, and what follows them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from graphpde.core.graph import Graph, TagSet
from graphpde.errors import ConditionError, MeshError, UnknownName
from graphpde.mesh import (
    CELLS,
    Mesh,
    boundary_mesh,
    box,
    cell_centroids,
    cell_measures,
    dual_graph,
    extract,
    facet_measures,
    interval,
    random_square,
    read_mesh,
    rectangle,
    sphere,
    star,
    submesh,
)
from graphpde.mesh.quadrature import rule
from tests.mesh.io_orders import VTK, places
from tests.mesh.unit_meshes import KINDS, SOLID, mapped, unit_mesh


def plate() -> Mesh:
    """A random square in two materials with data, a point set and a set of facets between the materials."""
    mesh = random_square(6, seed=3)
    x = cell_centroids(mesh)[:, 0]
    owners = mesh.facets.cells
    left = torch.cat([x < 0.5, torch.zeros(1, dtype=torch.bool)])  # -1 is the last: no cell is not left
    between = (left[owners[:, 0]] != left[owners[:, 1]]) & (owners[:, 1] >= 0)
    return mesh.with_tags(
        copper=mesh.make_tag(2, (x < 0.5).nonzero()[:, 0]),
        steel=mesh.make_tag(2, (x >= 0.5).nonzero()[:, 0]),
        seam=mesh.make_tag(1, between.nonzero()[:, 0]),
        corners=mesh.make_tag(0, (mesh.points[:, 0] == 1).nonzero()[:, 0][:2]),
    ).with_data({"x": mesh.points, "i": torch.arange(mesh.n)}, {"area": cell_measures(mesh)})


def test_a_material_is_a_mesh_of_its_own_and_knows_where_it_came_from() -> None:
    whole = plate()
    part = extract(whole, "copper")
    mesh = part.mesh
    assert mesh.name == "random_square:'copper'" and mesh.n == len(whole.tags["copper"].nodes)
    assert torch.equal(mesh.points, whole.points[part.points])
    assert torch.equal(part.points[mesh.cells["triangle"]], whole.cells["triangle"][part.cells])
    assert torch.equal(part.cells, whole.tags["copper"].ids)
    assert torch.equal(mesh.point_data["x"], mesh.points) and torch.equal(mesh.point_data["i"], part.points)
    assert torch.equal(mesh.cell_data["area"], cell_measures(mesh))
    assert torch.equal(submesh(whole, part.cells).points, mesh.points)
    mask = torch.zeros(whole.n_cells, dtype=torch.bool)
    mask[part.cells] = True
    assert torch.equal(submesh(whole, mask).cells["triangle"], mesh.cells["triangle"])


def test_sets_follow_by_their_members() -> None:
    whole = plate()
    copper, steel = submesh(whole, "copper"), submesh(whole, "steel")
    assert set(copper.tags) == {"left", "bottom", "top", "copper", "seam"}  # no right side, no corners at x = 1
    assert set(steel.tags) == {"right", "bottom", "top", "steel", "seam", "corners"}
    assert torch.equal(copper.tags["copper"].ids, torch.arange(copper.n_cells))
    assert float(facet_measures(copper, copper.tags["left"].ids).sum()) == pytest.approx(1, abs=1e-14)
    for name in ("bottom", "top"):
        parts = [float(facet_measures(mesh, mesh.tags[name].ids).sum()) for mesh in (copper, steel)]
        assert sum(parts) == pytest.approx(1, abs=1e-14) and min(parts) > 0.3
    for mesh in (copper, steel):  # what lay between is the boundary now
        assert torch.isin(mesh.tags["seam"].ids, mesh.boundary_facets).all()
        assert len(mesh.tags["seam"].ids) == len(whole.tags["seam"].ids)
        for name, tag in mesh.tags.items():
            again = mesh.make_tag(tag.dim, tag.ids)
            assert torch.equal(tag.nodes, again.nodes), name
    assert (steel.points[steel.tags["corners"].nodes, 0] == 1).all() and len(steel.tags["corners"].ids) == 2


def test_several_sets_make_their_union() -> None:
    whole = plate()
    both = extract(whole, ["steel", "copper"])
    assert torch.equal(both.cells, torch.arange(whole.n_cells)) and both.mesh.n == whole.n
    walls = extract(whole, ["left", "bottom"]).mesh
    assert walls.dim == 1 and float(cell_measures(walls).sum()) == pytest.approx(2, abs=1e-14)
    assert set(walls.tags) == {"left", "bottom", "corners"} and walls.tags["left"].dim == 1
    assert walls.points[walls.tags["corners"].nodes].tolist() == [[1, 0]]  # the one of them that the walls touch


def test_a_set_of_faces_is_a_surface_with_the_sets_of_its_edges() -> None:
    whole = box(3, 2, 2)
    rim = whole.entities(1).nodes
    at = (whole.points[rim, 0] == 0).all(1) & (whole.points[rim, 2] == 0).all(1)
    whole = whole.with_tags(rim=whole.make_tag(1, at.nonzero()[:, 0])).with_data({}, {"k": torch.arange(72.0)})
    part = extract(whole, "left")
    side = part.mesh
    assert (side.dim, side.space_dim) == (2, 3) and (side.points[:, 0] == 0).all()
    assert float(cell_measures(side).sum()) == pytest.approx(1, abs=1e-14)
    assert torch.equal(part.cells, whole.tags["left"].ids)
    assert torch.equal(side.cell_data["k"], whole.cell_data["k"][whole.facets.cells[part.cells, 0]])
    assert side.tags["rim"].dim == 1 and len(side.tags["rim"].ids) == 2
    assert set(side.tags) == {"left", "rim"}  # of the other sides only edges are here, and a set of faces holds faces
    lines = submesh(whole, "rim")
    assert lines.dim == 1 and float(cell_measures(lines).sum()) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize(
    ("where", "error", "says"),
    [
        ("coper", UnknownName, "did you mean 'copper'"),
        (["copper", "left"], MeshError, r"'copper', 'left' hold entities of dimensions \[1, 2\]"),
        ("corners", MeshError, "'corners' of 'random_square' holds points"),
        ([], MeshError, "is empty: there is nothing to extract"),
        ([10**6], ConditionError, "names cell 1000000"),
        (torch.zeros(3, dtype=torch.bool), ConditionError, "a mask of 3 cells"),
        ("nothing", MeshError, "'nothing' of 'random_square' is empty"),
    ],
)
def test_what_cannot_be_extracted(where, error: type[Exception], says: str) -> None:
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(error, match=says):
        submesh(plate().with_tags(nothing=TagSet(2, none, none)), where)


@pytest.mark.parametrize("kind", ["tetra", "pyramid", "mixed solid"])
@pytest.mark.parametrize("dim", [1, 2])
def test_faces_and_edges_know_which_they_were(kind: str, dim: int) -> None:
    mesh = unit_mesh(kind, 3)
    chosen = torch.randperm(len(mesh.entities(dim).nodes), generator=torch.Generator().manual_seed(2))[:60]
    mesh = mesh.with_tags(some=mesh.make_tag(dim, chosen))
    part = extract(mesh, "some")
    assert torch.equal(part.cells.sort().values, chosen.sort().values)
    ours = torch.where(part.mesh.entities(dim).nodes >= 0, part.points[part.mesh.entities(dim).nodes], -1)
    theirs = mesh.entities(dim).nodes[part.cells]
    assert torch.equal(ours.sort(1).values, theirs[:, : ours.shape[1]].sort(1).values)
    assert torch.equal(part.mesh.tags["some"].ids, torch.arange(60))


def test_numbers_as_names() -> None:
    mesh = rectangle(2, 2)
    mesh = mesh.with_tags(**{"7": mesh.make_tag(2, [0, 1, 2])})
    assert submesh(mesh, 7).n_cells == submesh(mesh, [0, 1, 2]).n_cells == 3


# boundaries


def partly_mirrored(mesh: Mesh) -> Mesh:
    """Every other cell turned over."""
    turn = {"triangle": [0, 2, 1], "quad": [0, 3, 2, 1], "tetra": [0, 2, 1, 3], "hexahedron": [0, 3, 2, 1, 4, 7, 6, 5],
            "wedge": [0, 2, 1, 3, 5, 4], "pyramid": [0, 3, 2, 1, 4]}  # fmt: skip
    cells = {}
    for kind, nodes in mesh.cells.items():
        cells[kind] = nodes.clone()
        cells[kind][::2] = nodes[::2][:, turn[kind]]
    return mesh.with_cells(cells)


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("kind", KINDS[1:])
def test_the_boundary_is_closed_and_looks_outward(kind: str, mirrored: bool) -> None:
    """The area vectors add up to zero, the flux of x / d to the volume: the divergence theorem."""
    mesh, _, _ = mapped(unit_mesh(kind, seed=5), seed=2)
    mesh = mesh.with_points(mesh.points + 0.05 * torch.sin(3 * mesh.points.roll(1, 1)))  # warped faces
    skin = boundary_mesh(partly_mirrored(mesh) if mirrored else mesh)
    assert skin.dim == mesh.dim - 1 and skin.n_cells == len(mesh.boundary_facets)
    total, flux = torch.zeros(mesh.space_dim, dtype=torch.float64), 0.0
    for name, nodes, _ in skin.corners():
        for at, weight in zip(*rule(name, 3)):
            x, normal = surface_point(name, skin.points[nodes], at)
            total += weight * normal.sum(0)
            flux += float(weight * (x * normal).sum()) / mesh.space_dim
    assert total.abs().max() < 1e-13
    assert flux == pytest.approx(float(cell_measures(mesh).sum()), rel=1e-12)
    if mesh.dim == 3:
        assert not len(skin.boundary_facets)
        with pytest.raises(MeshError, match="is closed"):
            boundary_mesh(skin)


def surface_point(kind: str, x: torch.Tensor, at: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Points of cells x [k, w, d] at one reference point, and normals as long as the surface element there."""
    a = float(at[0])
    if kind == "line":
        tangent = x[:, 1] - x[:, 0]
        return x[:, 0] + a * tangent, torch.stack([tangent[:, 1], -tangent[:, 0]], 1)
    b = float(at[1])
    if kind == "triangle":
        one, two = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
        return x[:, 0] + a * one + b * two, torch.linalg.cross(one, two)
    one, two = (1 - b) * (x[:, 1] - x[:, 0]) + b * (x[:, 2] - x[:, 3]), (1 - a) * (x[:, 3] - x[:, 0])
    two = two + a * (x[:, 2] - x[:, 1])
    place = (1 - a) * (1 - b) * x[:, 0] + a * (1 - b) * x[:, 1] + a * b * x[:, 2] + (1 - a) * b * x[:, 3]
    return place, torch.linalg.cross(one, two)


def test_sets_of_facets_are_sets_of_cells_of_the_boundary() -> None:
    skin = boundary_mesh(box(2, 2, 2))
    assert set(skin.tags) == {"left", "right", "front", "back", "bottom", "top"}
    assert all(tag.dim == 2 and len(tag.ids) == 8 for tag in skin.tags.values())
    again = boundary_mesh(box(1, 1, 1).with_tags(boundary=TagSet(0, torch.tensor([0]), torch.tensor([0]))))
    assert again.n_cells == 12  # all of it, whatever a set is called


def test_ends_are_points_and_make_no_mesh() -> None:
    for curve in (interval(3), star(3, 2)):
        with pytest.raises(MeshError, match="holds points, which make no mesh"):
            boundary_mesh(curve)


@pytest.mark.parametrize("kind", sorted(set(VTK) - {"line3"}))
def test_sides_of_quadratic_cells_keep_their_mid_side_nodes(kind: str) -> None:
    """Every node of a side lies where the order of VTK says for the side's own type, in both windings."""
    x = places(kind, VTK[kind])
    for mirror in (1, -1):
        mesh = Mesh(torch.from_numpy(x * [mirror, 1, 1])[:, : CELLS[kind].dim], {kind: [list(range(len(x)))]})
        skin = boundary_mesh(mesh)
        assert skin.n_cells == len(CELLS[kind].facets) and not skin.warnings
        for side, nodes in skin.cells.items():
            assert side in VTK
            for row in nodes:
                at = skin.points[row]
                for place, word in zip(at, VTK[side].split()):
                    assert torch.allclose(place, at[[int(digit) for digit in word]].mean(0), atol=1e-14)
        wanted = {"quad9", "triangle6"} if kind in ("wedge18", "pyramid14") else {skin_kind(kind)}
        if kind not in ("wedge15", "pyramid13"):
            assert set(skin.cells) == wanted


def skin_kind(kind: str) -> str:
    return {"tetra10": "triangle6", "hexahedron20": "quad8", "hexahedron27": "quad9"}.get(kind, "line3")


def test_sides_of_third_order_are_taken_at_their_corners() -> None:
    x = torch.rand(10, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    outline = boundary_mesh(Mesh(x, {"triangle10": [list(range(10))]}))
    assert list(outline.cells) == ["line"] and outline.n == 3
    assert outline.warnings == ("the sides of triangle10 cells are taken at their corners",)


def test_cells_of_high_order_stay_whole() -> None:
    x = torch.from_numpy(places("tetra10", VTK["tetra10"]))
    two = torch.cat([x, x + 5])
    mesh = Mesh(two, {"tetra10": [list(range(10)), list(range(10, 20))]})
    part = extract(mesh, [1])
    assert torch.equal(part.mesh.points, x + 5) and torch.equal(part.points, torch.arange(10, 20))


# dual graphs


def neighbours(mesh: Mesh) -> list[tuple[int, int]]:
    """Every ordered pair of cells for every facet they share, by comparing all with all."""
    facets = []
    for kind, nodes, _ in mesh.corners():
        facets += [[frozenset(int(row[k]) for k in side) for side in CELLS[kind].facets] for row in nodes]
    return sorted(
        (i, j)
        for i in range(len(facets))
        for j in range(len(facets))
        if i != j
        for one in facets[i]
        for other in facets[j]
        if one == other
    )


@pytest.mark.parametrize("kind", [*KINDS, "sphere", "star", "book"])
def test_the_dual_graph_joins_cells_that_share_a_facet(kind: str) -> None:
    if kind == "book":  # five triangles on one edge, three lines on one point
        points = torch.tensor([[0.0, 0, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [-1, 0, 0], [0, -1, 0], [1, 1, 0]])
        mesh = Mesh(points, {"triangle": [[0, 1, k] for k in range(2, 7)]})
    else:
        mesh = {"sphere": lambda: sphere(1), "star": lambda: star(4, 2)}.get(kind, lambda: unit_mesh(kind, 2))()
    graph = dual_graph(mesh)
    src, dst = graph.edges.pairs()
    assert sorted(zip(src.tolist(), dst.tolist())) == neighbours(mesh)
    assert graph.edges.is_symmetric and torch.equal(graph.pos, cell_centroids(mesh))
    assert torch.equal(graph.measure, cell_measures(mesh))
    assert torch.allclose(graph.distance, (graph.pos[src] - graph.pos[dst]).norm(dim=1))
    assert torch.equal(graph.area, facet_measures(mesh, graph.facets))
    assert torch.allclose(graph.weight, graph.area / graph.distance)
    owners = [set(row.tolist()) for row in mesh.entities(mesh.dim).nodes]
    for k, facet in enumerate(graph.facets.tolist()):
        corners = set(mesh.facets.nodes[facet].tolist()) - {-1}
        assert corners <= owners[int(src[k])] and corners <= owners[int(dst[k])]


def test_its_diffusion_is_the_five_point_scheme() -> None:
    """On squares of side h the two-point flux gives (4 u - sum of neighbours) / h**2; linear ones rest."""
    mesh = rectangle(5, 5, cells="quad")
    graph = dual_graph(mesh)
    u = (graph.pos @ torch.tensor([2.0, -1.0], dtype=torch.float64))[:, None]
    flux = (
        graph.edges.propagate(u, weight=graph.weight)
        - graph.edges.propagate(torch.ones_like(u), weight=graph.weight) * u
    )
    inner = graph.edges.degree == 4
    assert int(inner.sum()) == 9 and (flux[inner] / graph.measure[inner, None]).abs().max() < 1e-11
    assert float(flux.sum()) == pytest.approx(0, abs=1e-12)
    assert torch.allclose(graph.weight, torch.ones(graph.edges.n_edges, dtype=torch.float64))


def test_its_sets_are_those_of_cells_and_it_moves() -> None:
    graph = dual_graph(plate())
    assert set(graph.tags) == {"copper", "steel"} and isinstance(graph, Graph)
    assert torch.equal(graph.nodes_of("copper"), plate().tags["copper"].ids)
    single = graph.to(dtype=torch.float32)
    assert single.weight.dtype == single.area.dtype == single.distance.dtype == single.pos.dtype == torch.float32
    assert torch.equal(single.facets, graph.facets) and set(single.tags) == {"copper", "steel"}


def test_a_single_cell_has_no_neighbours_and_a_doubled_one_no_weight() -> None:
    assert dual_graph(Mesh([[0, 0], [1, 0], [0, 1]], {"triangle": [[0, 1, 2]]})).edges.n_edges == 0
    with pytest.raises(MeshError, match="cells 1 and 0 of 'mesh' share a facet and their centroid"):
        dual_graph(Mesh([[0, 0], [1, 0], [0, 1]], {"triangle": [[0, 1, 2], [0, 2, 1]]}))


def test_two_lines_between_the_same_points_are_joined_twice() -> None:
    mesh = Mesh([[0.0, 0], [1, 0], [0.5, 1]], {"line": [[0, 1], [0, 2], [2, 1]]})
    ring = Mesh([[0.0, 0], [1, 0], [2, 0]], {"line": [[0, 1], [1, 2], [0, 1]]}, name="ring")
    assert dual_graph(mesh).edges.n_edges == 6
    with pytest.raises(MeshError, match="of 'ring' share a facet"):
        dual_graph(ring)


# real files


@pytest.mark.parametrize(
    "name",
    [
        "vtkdata/uGridEx.vtk",
        "vtkdata/notch_disp.vtu",
        "libmesh/exodus_elements/read_exodus_HEX20.e",
        "jaxfem/domain.msh",
        "vtkdata/tetraMesh.vtk",
        "seacas/BC_without_parents.cgns",
        "libigl/bunny.mesh",
    ],
)
def test_real_solids_have_closed_boundaries_and_parts(meshes: Path, name: str) -> None:
    if not (meshes / name).exists():
        pytest.skip(f"{name} is not among the real meshes")
    mesh = read_mesh(meshes / name)
    skin = boundary_mesh(mesh)
    vectors = torch.zeros(3, dtype=torch.float64)
    for kind, nodes, _ in skin.corners():
        x = skin.points[nodes]
        last = x[:, 3] if kind == "quad" else x[:, 0]
        vectors += 0.5 * torch.linalg.cross(x[:, 2] - x[:, 0], last - x[:, 1]).sum(0)
    if len(mesh.nonmanifold_facets) == 0:
        assert vectors.abs().max() <= 1e-9 * float(cell_measures(skin).sum())
    for label, tag in mesh.tags.items():
        if tag.dim > 0 and len(tag.ids):
            part = extract(mesh, label)
            assert part.mesh.n_cells == len(tag.ids) and len(part.mesh.tags[label].ids) == len(tag.ids)
            assert torch.equal(part.mesh.points, mesh.points[part.points])


def test_every_solid_type_is_tested() -> None:
    linear = {name for name, cell in CELLS.items() if cell.corners == name and cell.dim == 3}
    assert linear <= set(SOLID)
