"""Cell averages as unknowns: geometry of cells and sides, exactness for linear functions, sets, periodic sides."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.errors import ConditionError, InputError, MeshError, UnknownName
from graphpde.mesh import CellSpace, Mesh, Space, box, interval, jittered, network, rectangle, sphere
from graphpde.mesh.cell_geometry import centroids, pairs_within, runs, vertex_shares
from tests.mesh.unit_meshes import KINDS, mapped, unit_mesh


def linear(x: Tensor) -> Tensor:
    return (x @ torch.arange(1.0, x.shape[1] + 1, dtype=x.dtype))[:, None] + 2


@pytest.mark.parametrize("kind", KINDS)
class TestOnEveryCell:
    def test_closed_surfaces(self, kind: str) -> None:
        """The outward areas of every cell sum to zero, and by Gauss their moments to d times its volume."""
        space = CellSpace(mapped(unit_mesh(kind, 2), seed=1)[0])
        sides, d = space.sides, space.mesh.space_dim
        outward = sides.area[:, None] * sides.normal
        assert float(space.to_cells.propagate(outward).abs().max()) <= 1e-14
        # exact where facets are flat; on warped ones the distance to the centroid is that to a mean plane
        cone = space.to_cells.propagate((sides.area * sides.distance)[:, None])[:, 0] / d
        flat = kind not in ("hexahedron", "wedge", "pyramid", "mixed solid")
        assert torch.allclose(cone, space.measure, rtol=1e-13 if flat else 0.05)

    def test_centroids_carry_the_means_of_linear_functions(self, kind: str) -> None:
        r"""\int x over the cell by splitting into simplices through the quadrature of the mesh is |K| x_K."""
        mesh = mapped(unit_mesh(kind, 2), seed=2)[0]
        space = CellSpace(mesh)
        assert torch.allclose(space.from_points(linear(mesh.points)), linear(space.pos), rtol=1e-13)
        total = space.integral(space.pos)
        whole = mapped(box(1, 1, 1) if mesh.dim == 3 else (interval(1) if mesh.dim == 1 else rectangle(1, 1)), 2)[0]
        assert torch.allclose(total / space.measure.sum(), whole.points.mean(0), rtol=1e-12)

    def test_slopes_of_linear_functions(self, kind: str) -> None:
        space = CellSpace(mapped(unit_mesh(kind, 3), seed=3)[0])
        src, dst = space.patch.pairs()
        u = linear(space.pos)[:, 0]
        gradient = space.patch.collect(space.patch_slopes * (u[src] - u[dst])[:, None])
        assert torch.allclose(gradient, torch.arange(1.0, space.mesh.space_dim + 1, dtype=u.dtype), rtol=1e-11)

    def test_edges_are_the_inner_facets_both_ways(self, kind: str) -> None:
        space = CellSpace(unit_mesh(kind, 2))
        inner = len(space.mesh.facets.nodes) - len(space.mesh.boundary_facets)
        assert space.edges.n_edges == 2 * inner and space.edges.is_symmetric
        assert bool((space.weight > 0).all())
        there, here = space.ends
        src, dst = space.edges.pairs()
        assert torch.equal(space.sides.cell[there], src) and torch.equal(space.sides.cell[here], dst)
        assert torch.equal(space.sides.facet[there], space.sides.facet[here])


def test_transmissibility_of_boxes_is_area_over_distance() -> None:
    space = CellSpace(rectangle(4, 2, cells="quad"))
    x, y = space.pos.unbind(1)
    src, dst = space.edges.pairs()
    flat = (y[src] - y[dst]).abs() < 1e-12
    assert torch.allclose(space.weight, torch.where(flat, 0.5 / 0.25, 0.25 / 0.5).to(torch.float64), rtol=1e-14)
    assert torch.allclose(x[src[flat]] - x[dst[flat]], 0.25 * torch.sign(x[src[flat]] - x[dst[flat]]))


def test_resistances_add_at_a_junction() -> None:
    """Three pipes from one point: the star of conductances a_i becomes the triangle a_i a_j / sum a."""
    space = CellSpace(Mesh([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0], [-4.0, 0.0]], {"line": [[0, 1], [0, 2], [0, 3]]}))
    a = 1 / torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    src, dst = space.edges.pairs()
    assert space.edges.n_edges == 6
    assert torch.allclose(space.weight, a[src] * a[dst] / a.sum(), rtol=1e-14)


def test_measures_of_surfaces_and_networks() -> None:
    globe = CellSpace(sphere(2))
    assert float(globe.measure.sum()) == pytest.approx(4 * math.pi, rel=0.03)
    assert len(globe.boundary_facets) == 0
    pipes = CellSpace(network([[0.0, 0.0], [1.0, 0.0], [0.0, 2.0]], [[0, 1], [0, 2]], size=0.25))
    assert float(pipes.measure.sum()) == pytest.approx(3.0, rel=1e-14)


def test_shares_of_a_trapezium() -> None:
    """Sides 2 and 1, height 1: the centroid lies at 4/9 of the height, the mean of the corners at 1/2."""
    x = torch.tensor([[[0.0, 0.0], [2.0, 0.0], [1.5, 1.0], [0.5, 1.0]]], dtype=torch.float64)
    share = vertex_shares("quad", x)
    assert float((share[0] @ x[0])[1]) == pytest.approx(4 / 9, rel=1e-14)
    mesh = Mesh(x[0], {"quad": [[0, 1, 2, 3]]})
    assert torch.allclose(centroids(mesh)[0], torch.tensor([1.0, 4 / 9], dtype=torch.float64), rtol=1e-14)


def test_points_and_back() -> None:
    """At the points the mean of the cells round them by volume; batches go through."""
    space = CellSpace(jittered(rectangle(3, 3), 0.2, seed=1))
    u = torch.randn(2, space.n, 3, dtype=torch.float64)
    found = space.at_points(u)
    cells = space.mesh.cells["triangle"]
    for point in (0, 5):
        mine = (cells == point).any(1).nonzero()[:, 0]
        w = space.measure[mine]
        assert torch.allclose(found[:, point], (w[:, None] * u[:, mine]).sum(1) / w.sum(), rtol=1e-13)
    assert torch.allclose(space.at_points(torch.ones(space.n, 1, dtype=torch.float64)), torch.ones(1).double())
    lonely = Mesh([[0.0], [1.0], [7.0]], {"line": [[0, 1]]})
    assert bool(torch.isnan(CellSpace(lonely).at_points(torch.ones(1, 1, dtype=torch.float64))[2]).all())


def test_sets_speak_of_cells() -> None:
    mesh = rectangle(4, 4, cells="quad")
    mesh = mesh.with_tags(hot=mesh.make_tag(2, [3, 5]), corner=mesh.make_tag(0, [0]))
    space = CellSpace(mesh)
    assert space.nodes_of("hot").tolist() == [3, 5] and space.cells_of("hot").tolist() == [3, 5]
    assert len(space.nodes_of("left")) == 4 and float(space.pos[space.nodes_of("left"), 0].max()) < 0.25
    assert len(space.nodes_of("corner")) == 1 and len(space.nodes_of("boundary")) == 12
    assert torch.equal(space.facet_ids("left").sort().values, space.facet_ids(lambda x: x[:, 0] == 0).sort().values)
    assert torch.equal(space.cell_values({"hot": 2.0, "*": 1.0})[[3, 4]], torch.tensor([2.0, 1.0]).double())


def test_refusals() -> None:
    mesh = rectangle(2, 2, cells="quad")
    space = CellSpace(mesh)
    with pytest.raises(UnknownName, match="it has: .*left"):
        space.facet_ids("lfet")
    with pytest.raises(ConditionError, match="holds no facets"):
        space.facet_ids(lambda x: x[:, 0] > 9)
    with pytest.raises(ConditionError, match="acts through facets of dimension 1"):
        CellSpace(mesh.with_tags(hot=mesh.make_tag(2, [0]))).facet_ids("hot")
    with pytest.raises(InputError, match="density is not positive in 4 cells"):
        CellSpace(mesh, density=-1.0)
    arrow = Mesh([[0.0, 0.0], [1.0, 0.0], [0.2, 0.2], [0.0, 1.0]], {"quad": [[0, 1, 2, 3]]})
    with pytest.raises(MeshError, match="folded|beyond the plane"):
        CellSpace(arrow)


def test_density_weighs_the_mass_alone() -> None:
    space = CellSpace(rectangle(2, 2), density=3.0)
    assert torch.allclose(space.mass, 3 * space.measure)
    assert float(space.integral(torch.ones(space.n, 1, dtype=torch.float64))) == pytest.approx(1)


def test_periodic_sides_are_inner_facets() -> None:
    """A ring of cells has as many facets as cells, and everything on it commutes with a turn by one cell."""
    ring = CellSpace(interval(5), periodic=[("left", "right")])
    assert ring.edges.n_edges == 10 and len(ring.boundary_facets) == 0
    assert torch.allclose(ring.weight, torch.full((10,), 5.0, dtype=torch.float64))
    src, dst = ring.patch.pairs()
    assert torch.allclose(ring.patch_slopes[:, 0].abs(), torch.full((10,), 2.5, dtype=torch.float64))
    assert set((src - dst).remainder(5).tolist()) == {1, 4}
    plane = CellSpace(rectangle(3, 3, cells="quad"), periodic=[("left", "right"), ("bottom", "top")])
    assert plane.edges.n_edges == 4 * 9 and plane.patch.n_edges == 8 * 9
    with pytest.raises(MeshError, match="periodic"):
        CellSpace(jittered(rectangle(2, 3), 0.1), periodic=[("left", "top")])


@pytest.mark.parametrize("shape", [(3, 2), (2, 2), (2, 5)])
def test_two_cells_make_a_period(shape: tuple[int, int]) -> None:
    """Two cells share an inner facet and a periodic one with the same points; fluxes go through both."""
    nx, ny = shape
    mesh = rectangle(nx, ny, cells="quad")
    space = CellSpace(mesh, periodic=[("left", "right"), ("bottom", "top")])
    assert space.edges.n_edges == 4 * nx * ny and len(space.boundary_facets) == 0
    u = torch.randn(space.n, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    src, dst = space.edges.pairs()
    found = space.edges.collect(space.weight[:, None] * (u[src] - u[dst]))[:, 0]
    column, row = (space.pos * torch.tensor([nx, ny])).long().unbind(1)
    grid = torch.zeros(nx, ny, dtype=torch.float64)
    grid[column, row] = u[:, 0]
    expected = sum(ratio * (grid.roll(k, axis) - grid) for axis, ratio in ((0, nx / ny), (1, ny / nx)) for k in (1, -1))
    assert torch.allclose(found, expected[column, row], rtol=1e-13)  # type: ignore[index]


def test_facets_of_periodic_sides_must_match() -> None:
    """A cube of five tetrahedra: opposite faces have the same points and crossed diagonals."""
    points = [[float(x), float(y), float(z)] for z in (0, 1) for y in (0, 1) for x in (0, 1)]
    mesh = Mesh(points, {"tetra": [[0, 3, 5, 6], [1, 0, 3, 5], [2, 0, 3, 6], [4, 0, 5, 6], [7, 3, 5, 6]]})
    x = mesh.points[mesh.facets.nodes, 0]
    ends = [mesh.make_tag(2, (x == end).all(1).nonzero()[:, 0]) for end in (0, 1)]
    with pytest.raises(MeshError, match="facets without a partner; mesh both sides alike"):
        CellSpace(mesh.with_tags(west=ends[0], east=ends[1]), periodic=[("west", "east")])


def test_a_facet_given_twice_is_refused() -> None:
    mesh = rectangle(2, 2, cells="quad")
    for space in (CellSpace(mesh), Space(mesh)):
        facet = int(mesh.boundary_facets[1])
        with pytest.raises(ConditionError, match=f"the facet list names facet {facet} twice"):
            space.facet_ids([facet, int(mesh.boundary_facets[0]), facet])


def test_moves_to_single_precision() -> None:
    space = CellSpace(rectangle(2, 2)).to(dtype=torch.float32)
    assert space.measure.dtype == space.weight.dtype == space.pos.dtype == torch.float32
    assert space.to(dtype=torch.float32) is space and space.sides.area.dtype == torch.float64


def test_runs_and_pairs() -> None:
    which, number = runs(torch.tensor([5, 0]), torch.tensor([2, 3]))
    assert which.tolist() == [0, 0, 1, 1, 1] and number.tolist() == [5, 6, 0, 1, 2]
    one, two = pairs_within(torch.tensor([1, 0, 1]), 2)
    assert sorted(zip(one.tolist(), two.tolist(), strict=True)) == [(0, 0), (0, 2), (1, 1), (2, 0), (2, 2)]
