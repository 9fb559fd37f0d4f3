"""Elements on every cell type: against scikit-fem, patch tests, curved and turned cells, periodic sides, densities."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import skfem
import torch
from skfem.helpers import dot, grad
from torch import Tensor

from graphpde.core.linear_operator import Sparse
from graphpde.dynamics import steady
from graphpde.errors import InputError, MeshError, ShapeError, UnknownName
from graphpde.mesh import Mesh, Space, box, jittered, random_cube, random_square, rectangle
from graphpde.mesh.cell_space import DG0
from graphpde.mesh.elements import P1, P2, Q1, Q2, Element
from graphpde.mesh.second_order import COMPLETE, MIDDLES, completed, facet_tables, turned
from graphpde.ops import Diffusion, Dirichlet

F64 = torch.float64


def distorted(mesh: Mesh) -> Mesh:
    """Every point moved by a smooth map, so that no face is flat or parallel to another."""
    x = mesh.points
    shift = torch.stack([torch.sin(2 * x[:, (k + 1) % x.shape[1]] + k) for k in range(x.shape[1])], 1)
    return mesh.with_points(x + 0.08 * shift)


def wedges() -> Mesh:
    """The unit cube in wedges."""
    flat = random_square(3, seed=2)
    (triangles,) = flat.cells.values()
    points = torch.cat([torch.cat([flat.points, torch.full((flat.n, 1), z, dtype=F64)], 1) for z in (0.0, 0.4, 1.0)])
    cells = torch.cat([torch.cat([triangles + k * flat.n, triangles + (k + 1) * flat.n], 1) for k in range(2)])
    return Mesh(points, {"wedge": cells})


def pyramids() -> Mesh:
    """Bricks cut into six pyramids each."""
    bricks = box(2, 2, 2, cells="hexahedron")
    (nodes,) = bricks.cells.values()
    centres = bricks.points[nodes].mean(1)
    apex = bricks.n + torch.arange(len(nodes))
    faces = [(0, 1, 2, 3), (4, 7, 6, 5), (0, 4, 5, 1), (1, 5, 6, 2), (2, 6, 7, 3), (3, 7, 4, 0)]
    cells = torch.cat([torch.cat([nodes[:, list(face)], apex[:, None]], 1) for face in faces])
    return Mesh(torch.cat([bricks.points, centres]), {"pyramid": cells})


def mixed() -> Mesh:
    """A layer of bricks, pyramids on it and tetrahedra between them, all joined."""
    bricks = box(2, 2, 1, cells="hexahedron", lengths=(1.0, 1.0, 0.5))
    (nodes,) = bricks.cells.values()
    top = nodes[:, 4:]
    apex = bricks.n + torch.arange(len(nodes))
    above = bricks.points[top].mean(1) + torch.tensor([0.0, 0.0, 0.5], dtype=F64)
    points = torch.cat([bricks.points, above])
    pyramid = torch.cat([top, apex[:, None]], 1)
    sides: dict[frozenset[int], list[tuple[int, int, int]]] = {}
    for quad, tip in zip(top.tolist(), apex.tolist(), strict=True):
        for k in range(4):
            a, b = quad[k], quad[(k + 1) % 4]
            sides.setdefault(frozenset((a, b)), []).append((a, b, tip))
    tets = [(a, b, tip, both[1][2]) for both in sides.values() if len(both) == 2 for a, b, tip in both[:1]]
    return Mesh(points, {"hexahedron": nodes, "pyramid": pyramid, "tetra": torch.tensor(tets)})


def half_quads() -> Mesh:
    """Quadrilaterals beside triangles."""
    quads = jittered(rectangle(4, 4, cells="quad"), 0.2, seed=5)
    (nodes,) = quads.cells.values()
    keep = torch.arange(len(nodes)) % 3 > 0
    cut = nodes[~keep]
    return Mesh(quads.points, {"quad": nodes[keep], "triangle": torch.cat([cut[:, [0, 1, 2]], cut[:, [0, 2, 3]]])})


SOLIDS: dict[str, Callable[[], Mesh]] = {
    "tetrahedra": lambda: random_cube(2, seed=1),
    "bricks": lambda: box(2, 3, 2, cells="hexahedron"),
    "wedges": wedges,
    "pyramids": pyramids,
    "mixed solids": mixed,
}
PLANES: dict[str, Callable[[], Mesh]] = {
    "triangles": lambda: random_square(4, seed=1),
    "quads": lambda: jittered(rectangle(4, 3, cells="quad"), 0.2, seed=3),
    "mixed": half_quads,
}
MESHES = {**PLANES, **SOLIDS}
PAIRS: list[tuple[str, type[Element]]] = [
    *((name, Q1) for name in MESHES),
    *((name, P1) for name in ("triangles", "tetrahedra")),
    *((name, P2) for name in ("triangles", "tetrahedra")),
    *((name, Q2) for name in MESHES if name not in ("pyramids", "mixed solids")),
]
IDS = [f"{element.__name__} {name}" for name, element in PAIRS]


@skfem.BilinearForm
def stiffness_form(u, v, w):
    return dot(grad(u), grad(v))


@skfem.BilinearForm
def mass_form(u, v, w):
    return u * v


THEIRS = {
    "triangle6": (skfem.MeshTri, skfem.ElementTriP2),
    "tetra10": (skfem.MeshTet, skfem.ElementTetP2),
    "quad9": (skfem.MeshQuad, skfem.ElementQuad2),
    "hexahedron": (skfem.MeshHex, skfem.ElementHex1),
    "hexahedron27": (skfem.MeshHex, skfem.ElementHex2),
}
TO_THEIRS = {"hexahedron": [0, 1, 3, 4, 2, 5, 7, 6]}  # scikit-fem counts the corners of a brick otherwise


@pytest.mark.parametrize(
    ("name", "element"), [("triangles", P2), ("tetrahedra", P2), ("quads", Q2), ("bricks", Q1), ("bricks", Q2)]
)
def test_matrices_are_those_of_scikit_fem(name: str, element: type[Element]) -> None:
    """Compared by the places of the unknowns; on straight cells and bricks, where both integrate exactly."""
    mesh = MESHES[name]()
    space = Space(mesh, element())
    ((linear, nodes, _),) = mesh.corners()
    kind = element.kind_on(linear)
    make, basis = THEIRS[kind]
    order = TO_THEIRS.get(linear, list(range(nodes.shape[1])))
    theirs = make(mesh.points.T.numpy().copy(), nodes[:, order].T.numpy().copy())
    found = skfem.Basis(theirs, basis(), intorder=5)
    place = torch.from_numpy(found.doflocs.T.copy())
    distance = torch.cdist(space.pos, place)
    assert float(distance.amin(1).max()) < 1e-6 and len(place) == space.n
    to_theirs = distance.argmin(1).numpy()
    weight = Sparse.laplacian(space.edges, space.stiffness()).to_scipy()
    for ours, form in ((-weight, stiffness_form), (space.consistent_mass.to_scipy(), mass_form)):
        matrix = form.assemble(found)[to_theirs][:, to_theirs]
        assert abs(ours - matrix).max() <= 1e-12 * abs(matrix).max()


def polynomial(degree: int) -> Callable[[Tensor], Tensor]:
    """A full polynomial of this degree on [n, d]."""

    def p(x: Tensor) -> Tensor:
        d = x.shape[1]
        powers = [e for e in itertools.product(range(degree + 1), repeat=d) if sum(e) <= degree]
        return sum((0.3 + 0.1 * k) * (x ** torch.tensor(e)).prod(1) for k, e in enumerate(powers))[:, None]

    return p


@pytest.mark.parametrize(("name", "element"), PAIRS, ids=IDS)
def test_patch_test_on_distorted_cells(name: str, element: type[Element]) -> None:
    """A linear solution of Laplace's equation is found to rounding on cells of any shape."""
    mesh = distorted(MESHES[name]())
    space = Space(mesh, element())
    p = polynomial(1)
    found = steady(
        Diffusion(space) + Dirichlet("boundary", lambda x, t: p(x)), torch.zeros(space.n, 1, dtype=F64)
    ).value
    assert torch.allclose(found, p(space.pos), atol=1e-12)


@pytest.mark.parametrize("name", ["triangles", "quads", "tetrahedra", "bricks", "wedges"])
def test_patch_test_on_curved_cells(name: str) -> None:
    """Sides bent by a smooth map of all nodes: the linear solution is still found to rounding."""
    mesh = distorted(completed(MESHES[name]()))
    space, p = Space(mesh), polynomial(1)
    problem = Diffusion(space) + Dirichlet("boundary", lambda x, t: p(x))
    found = steady(problem, torch.zeros(space.n, 1, dtype=F64)).value
    assert torch.allclose(found, p(space.pos), atol=1e-12)


@pytest.mark.parametrize(("name", "element"), PAIRS, ids=IDS)
def test_areas_and_masses(name: str, element: type[Element]) -> None:
    space = Space(MESHES[name](), element())
    between = 4 * 0.5**3 / 6  # a tetrahedron over each edge inside the top
    volume = 0.5 + 4 * 0.25 * 0.5 / 3 + between if name == "mixed solids" else 1.0
    assert float(space.measure.sum()) == pytest.approx(volume, abs=1e-13)
    ones = torch.ones(space.n, 1, dtype=F64)
    assert float((space.consistent_mass(ones)[:, 0] - space.measure).abs().max()) < 1e-14
    assert float(Diffusion(space).operator(ones).abs().max()) < 1e-12  # constants are the kernel
    matrix = torch.from_numpy(Diffusion(space).operator.to_scipy().toarray())
    assert torch.allclose(matrix, matrix.T, atol=1e-13)
    values = torch.linalg.eigvalsh(-matrix)
    assert float(values[0]) > -1e-11 and float(values[1]) > 1e-3


@pytest.mark.parametrize(("name", "element"), PAIRS, ids=IDS)
def test_functions_of_its_degree_are_integrated_exactly(name: str, element: type[Element]) -> None:
    """The integral of an interpolated polynomial of the element's degree, on undistorted cells, is exact."""
    space = Space(MESHES[name](), element())
    p = polynomial(element.degree)
    whole = Space(MESHES[name](), Q1() if name in ("pyramids", "mixed solids") else element())
    exact = float(sum((b.volume * p(b.points.flatten(0, 1)).reshape(b.volume.shape)).sum() for b in whole.blocks(7)))
    assert float(space.integral(p(space.pos))) == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize(("name", "element"), PAIRS, ids=IDS)
def test_facets_measure_the_boundary(name: str, element: type[Element]) -> None:
    """The divergence theorem for x / d on the distorted mesh: outward normals and facet rules fit the cells."""
    mesh = distorted(MESHES[name]())
    space = Space(mesh, element())
    ids = space.mesh.boundary_facets
    assert sum(len(b.ids) for b in space.facets(ids)) == len(ids)
    found = space.load(lambda x: torch.ones(len(x), 1, dtype=F64), "boundary")
    area = sum(float(b.volume.sum()) for b in space.facets(ids, 5))
    assert float(found.sum()) == pytest.approx(area, rel=1e-5)  # faces that are not flat: rules of two degrees
    touched = torch.unique(torch.cat([b.dofs.reshape(-1) for b in space.facets(ids)]))
    assert torch.equal(touched, space.tag("boundary").nodes)


@pytest.mark.parametrize("kind", list(COMPLETE.values()))
def test_turned_cells_keep_their_nodes_in_place(kind: str) -> None:
    """Turning permutes nodes: a node is still in the middle of the same corners."""
    linear = next(k for k, v in COMPLETE.items() if v == kind)
    order = {"line": [1, 0], "triangle": [0, 2, 1], "quad": [0, 3, 2, 1], "tetra": [0, 2, 1, 3]}.get(
        linear, [0, 3, 2, 1, 4, 7, 6, 5] if linear == "hexahedron" else [0, 2, 1, 3, 5, 4]
    )
    corners = torch.rand(len(order), 3, dtype=F64)
    middles = [corners[list(between)].mean(0) for between in MIDDLES[kind]]
    nodes = torch.stack([*corners, *middles])
    moved = nodes[turned(kind, order)]
    expected = torch.stack([*moved[: len(order)], *(moved[list(between)].mean(0) for between in MIDDLES[kind])])
    assert torch.allclose(moved, expected, atol=1e-15)
    assert sorted(turned(kind, order)) == list(range(len(nodes)))


@pytest.mark.parametrize(("name", "element"), [p for p in PAIRS if p[1].degree == 2])
def test_cells_of_negative_orientation(name: str, element: type[Element]) -> None:
    mesh = completed(MESHES[name]())
    wrong = mesh.points * torch.tensor([-1.0] + [1.0] * (mesh.space_dim - 1), dtype=F64)
    space = Space(mesh.with_points(wrong), element())
    assert space.warnings[-1].endswith("cells had negative orientation and were turned")
    assert torch.allclose(space.measure, Space(mesh, element()).measure, atol=1e-14)
    shapes = Space(mesh, element()).stiffness()
    assert float((space.stiffness().sort()[0] - shapes.sort()[0]).abs().max()) < 1e-10


@pytest.mark.parametrize("name", [n for n in MESHES if n not in ("pyramids", "mixed solids")])
def test_completing_a_mesh(name: str) -> None:
    """Old points first, every edge and face once, middles in the middle; a complete mesh is left alone."""
    mesh = MESHES[name]()
    whole = completed(mesh)
    assert torch.equal(whole.points[: mesh.n], mesh.points)
    faces = mesh.entities(2).nodes if mesh.dim == 3 else mesh.entities(2).nodes[:0]
    square = int((faces[:, -1] >= 0).sum()) if faces.shape[1] == 4 else 0
    inner = sum(len(v) for k, v in mesh.cells.items() if k in ("quad", "hexahedron"))
    assert whole.n == mesh.n + len(mesh.entities(1).nodes) + square + inner
    for kind, nodes in whole.cells.items():
        for k, between in enumerate(MIDDLES[kind]):
            corners = nodes[:, list(between)]
            at = nodes[:, nodes.shape[1] - len(MIDDLES[kind]) + k]
            assert torch.allclose(whole.points[at], whole.points[corners].mean(1), atol=1e-12)
        for table in facet_tables(kind):
            assert len(set(table)) == len(table)
    assert completed(whole) is whole


def test_partly_quadratic_meshes_share_the_middles_they_have() -> None:
    """A curved triangle beside a straight one: the edge between them stays curved for both."""
    points = torch.tensor([[0, 0], [1, 0], [0, 1], [1, 1], [0.5, -0.1], [0.6, 0.6], [-0.1, 0.5]], dtype=F64)
    quads = torch.tensor([[2, 0], [2, 1], [1.7, 0.5]], dtype=F64)
    both = Mesh(torch.cat([points, quads]), {"triangle6": [[0, 1, 2, 4, 5, 6]], "quad": [[1, 7, 8, 3]]})
    whole = completed(both)
    (nodes,) = whole.cells["quad9"].tolist()
    assert len(set(nodes)) == 9 and torch.allclose(whole.points[nodes[4]], torch.tensor([1.5, 0.0], dtype=F64))


def disk(levels: int) -> Mesh:
    """The unit disk in quadratic triangles whose boundary sides bulge to the circle."""
    from graphpde.mesh import refine
    from graphpde.mesh.generate import disk as straight

    mesh = straight(0.5)
    for _ in range(levels):
        mesh = refine(mesh)
    whole = completed(mesh)
    tag = whole.boundary_facets
    from graphpde.mesh.pieces import facet_pieces

    points = whole.points.clone()
    (piece,) = facet_pieces(whole, P2(), tag)
    on = torch.unique(piece.nodes)
    points[on] = points[on] / points[on].norm(dim=1, keepdim=True)
    return whole.with_points(points)


def test_curved_sides_count() -> None:
    """Area of the disk: error of order 4 with sides that follow the circle, of order 2 with straight ones."""
    curved = [abs(float(Space(disk(k)).measure.sum()) - math.pi) for k in range(3)]
    straight = [abs(float(Space(disk(k), P1()).measure.sum()) - math.pi) for k in range(3)]
    assert math.log2(curved[-2] / curved[-1]) == pytest.approx(4, abs=0.1)
    assert math.log2(straight[-2] / straight[-1]) == pytest.approx(2, abs=0.05)
    space = Space(disk(1))
    assert type(space.element) is P2
    assert Space(disk(1), P1()).warnings == (
        f"{space.mesh.n_cells} triangle6 cells are used at their vertices as triangle cells",
    )


def test_folded_sides_are_refused() -> None:
    points = torch.tensor([[0, 0], [1, 0], [0, 1], [0.5, 0.6], [0.5, 0.5], [0, 0.5]], dtype=F64)
    with pytest.raises(
        MeshError, match="1 cells of 'mesh' are folded: a node lies too far from the middle of its edge"
    ):
        Space(Mesh(points, {"triangle6": [[0, 1, 2, 3, 4, 5]]}))


def test_bricks_with_a_collapsed_edge_are_taken() -> None:
    mesh = box(1, 1, 1, cells="hexahedron")
    (nodes,) = mesh.cells.values()
    space = Space(mesh.with_cells({"hexahedron": nodes[:, [0, 1, 2, 2, 4, 5, 6, 6]]}))
    assert float(space.measure.sum()) == pytest.approx(0.5, abs=1e-14)


def test_cell_averages_have_a_space_of_their_own() -> None:
    with pytest.raises(MeshError, match="DG0 has its unknowns in the cells, not at nodes; use CellSpace"):
        Space(random_square(3), DG0())


def test_lumping_needs_a_mass_for_every_unknown() -> None:
    with pytest.raises(MeshError, match="lumped mass of P2 leaves unknowns of .* without mass; take lumped=False"):
        Space(random_square(3), P2(), lumped=True)
    assert Space(rectangle(2, 2, cells="quad"), Q2(), lumped=True).lumped


class TestPeriodic:
    def test_a_torus_has_no_boundary_left(self) -> None:
        mesh = rectangle(6, 5)
        space = Space(mesh, periodic=[("left", "right"), ("bottom", "top")])
        assert space.n == 30 and len(space.tag("boundary").nodes) == 0
        assert float(space.measure.sum()) == pytest.approx(1.0, abs=1e-14)
        assert float(space.measure.std()) < 1e-15  # no node is special
        assert space.at_points(torch.rand(space.n, 1, dtype=F64)).isfinite().all()

    @pytest.mark.parametrize("element", [P1, P2])
    def test_eigenvalues_of_the_circle(self, element: type[Element]) -> None:
        from graphpde.mesh import interval

        space = Space(interval(40, 2 * math.pi), element(), periodic=[("left", "right")])
        matrix = -Diffusion(space).operator.to_scipy().toarray()
        mass = space.consistent_mass.to_scipy().toarray()
        values = np.sort(np.real(np.linalg.eigvals(np.linalg.solve(mass, matrix))))
        assert values[:5] == pytest.approx([0, 1, 1, 4, 4], abs=4e-2 if element is P1 else 1e-4)

    def test_points_of_partners_carry_one_value(self) -> None:
        mesh = jittered(rectangle(4, 4), 0.0)
        space = Space(mesh, P2(), periodic=[("left", "right")])
        left, right = (space.dof_of_point[space.mesh.tag(name).nodes] for name in ("left", "right"))
        assert torch.equal(left.sort()[0], right.sort()[0])
        assert {"left", "bottom", "top"} <= set(space.tags)
        ids = space.mesh.tag("boundary").ids
        assert torch.equal(ids.sort()[0], torch.cat([mesh.tags["bottom"].ids, mesh.tags["top"].ids]).sort()[0])

    def test_sides_that_do_not_match_are_refused(self) -> None:
        mesh = rectangle(4, 4)
        moved = mesh.points.clone()
        moved[mesh.tags["right"].nodes[1], 1] += 0.05
        with pytest.raises(MeshError, match=r"'right' of .*: 1 of 5 points have no partner \(off by up to 0.05\)"):
            Space(mesh.with_points(moved), periodic=[("left", "right")])
        with pytest.raises(MeshError, match="expected facets: 1"):
            Space(mesh.with_tags(all=mesh.make_tag(2, [0])), periodic=[("left", "all")])
        with pytest.raises(MeshError, match="share 4 facets"):
            Space(mesh, periodic=[("left", "left")])
        with pytest.raises(MeshError, match="are empty"):
            Space(mesh.with_tags(none=mesh.make_tag(1, [])), periodic=[("none", "none")])


class TestDensity:
    def test_only_the_mass_is_weighted(self) -> None:
        mesh = random_square(4, seed=1)
        rho = torch.linspace(1, 3, mesh.n_cells, dtype=F64)
        plain = Space(mesh)
        for lumped in (True, False):
            space = Space(mesh, lumped=lumped, density=rho)
            assert torch.allclose(space.measure, plain.measure)
            mass = space.mass if isinstance(space.mass, Tensor) else space.mass(torch.ones(space.n, 1, dtype=F64))[:, 0]
            from graphpde.mesh import cell_measures

            assert float(mass.sum()) == pytest.approx(float((rho * cell_measures(mesh)).sum()), abs=1e-13)

    def test_by_name(self) -> None:
        mesh = random_square(4, seed=1)
        mesh = mesh.with_tags(one=mesh.make_tag(2, range(10)), two=mesh.make_tag(2, range(10, mesh.n_cells)))
        space = Space(mesh, density={"one": 2.0, "*": 5.0})
        assert space.density.tolist() == [2.0] * 10 + [5.0] * (mesh.n_cells - 10)
        with pytest.raises(InputError, match="the density is not positive in 10 cells"):
            Space(mesh, density={"one": 0.0, "two": 1.0})
        with pytest.raises(InputError, match="cells of .* have no density; name them or give '\\*'"):
            Space(mesh, density={"one": 2.0})


@pytest.mark.parametrize(("name", "element"), PAIRS, ids=IDS)
def test_the_share_of_the_mass_bounds_its_spectrum(name: str, element: type[Element]) -> None:
    space = Space(distorted(MESHES[name]()), element())
    mass = torch.from_numpy(space.consistent_mass.to_scipy().toarray())
    root = mass.diagonal().rsqrt()
    least = float(torch.linalg.eigvalsh(root[:, None] * mass * root)[0])
    assert 0 < space.least_mass <= least * (1 + 1e-12)


@pytest.mark.parametrize(("name", "element"), [("triangles", P2), ("quads", Q2), ("bricks", Q1), ("pyramids", Q1)])
def test_node_positions_have_gradients(name: str, element: type[Element]) -> None:
    """Taylor test: the remainder of the energy of a fixed field falls with the square of the step."""
    mesh = distorted(MESHES[name]())
    generator = torch.Generator().manual_seed(0)
    direction = 0.1 * torch.rand(mesh.points.shape, dtype=F64, generator=generator)

    def energy(points: Tensor) -> Tensor:
        space = Space(mesh.with_points(points), element())
        u = torch.sin(torch.arange(space.n, dtype=F64))[:, None]
        return -(u * Diffusion(space).operator(u)).sum() + space.integral(u**2).sum()

    points = mesh.points.clone().requires_grad_()
    (g,) = torch.autograd.grad(energy(points), points)
    slope, base = float((g * direction).sum()), float(energy(mesh.points))
    rest = [abs(float(energy(mesh.points + h * direction)) - base - h * slope) for h in (1e-2, 5e-3, 2.5e-3)]
    assert [math.log2(a / b) for a, b in itertools.pairwise(rest)] == pytest.approx([2, 2], abs=0.1)


def test_points_are_learned_wherever_the_middles_are_added() -> None:
    points = rectangle(2, 2).points.requires_grad_()
    with torch.no_grad():
        mesh = completed(rectangle(2, 2).with_points(points))
    assert mesh.points.requires_grad


class TestRefusals:
    def test_elements_periodic_pairs_and_densities(self) -> None:
        mesh = rectangle(2, 2)
        with pytest.raises(UnknownName, match=r"unknown element 'p7'; known: p1, p2, q1, q2"):
            Space(mesh, "P7")
        with pytest.raises(InputError, match="expected an element"):
            Space(mesh, P2)  # type: ignore[arg-type]
        for pairs in (("left", "right"), [("left",)], "left"):
            with pytest.raises(MeshError, match=r"expected pairs of sets: \[\('left', 'right'\)\]"):
                Space(mesh, periodic=pairs)  # type: ignore[arg-type]
        with pytest.raises(InputError, match="density is a str, expected a number"):
            Space(mesh, density="steel")  # type: ignore[arg-type]
        with pytest.raises(InputError, match="the density asks for gradients"):
            Space(mesh, density=torch.ones((), dtype=F64, requires_grad=True))

    def test_states_and_point_values_of_another_size(self) -> None:
        mesh = rectangle(2, 2)
        space = Space(mesh, P2())
        with pytest.raises(ShapeError, match="field has shape"):
            space.at_points(torch.zeros(space.n + 5, 1, dtype=F64))
        with pytest.raises(ShapeError, match=rf"point values have shape \[9, 1\], expected \[\*, {space.mesh.n}, c\]"):
            space.from_points(torch.zeros(mesh.n, 1, dtype=F64))


def test_positions_keep_their_gradient_wherever_the_space_is_built() -> None:
    mesh = rectangle(2, 2)
    points = mesh.points.clone().requires_grad_()
    for element in (P1(), P2()):
        with torch.no_grad():
            space = Space(mesh.with_points(points), element)
        assert space.pos.requires_grad
