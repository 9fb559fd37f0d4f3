"""Spaces: matrices against scikit-fem, patch tests, invariances, loads, selections and moves."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp
import skfem
import torch
from scipy.sparse.linalg import spsolve
from skfem.helpers import dot, grad
from torch import Tensor

from graphpde.core.linear_operator import Sparse
from graphpde.errors import ConditionError, MeshError, UnknownName
from graphpde.mesh import (
    P1,
    P2,
    Mesh,
    Space,
    box,
    cell_measures,
    interval,
    jittered,
    random_cube,
    random_square,
    rectangle,
    refine,
    sphere,
    star,
)

MESHES: dict[str, Callable[[], Mesh]] = {
    "lines": lambda: jittered(interval(9, 2.0), 0.3, seed=1),
    "triangles": lambda: random_square(5, seed=1),
    "jittered triangles": lambda: jittered(rectangle(4, 3, width=2.0), 0.25, seed=2),
    "quads": lambda: jittered(rectangle(4, 5, height=0.7, cells="quad"), 0.25, seed=3),
    "tets": lambda: random_cube(3, seed=4),
}
SKFEM = {
    "line": (skfem.MeshLine, skfem.ElementLineP1),
    "triangle": (skfem.MeshTri, skfem.ElementTriP1),
    "quad": (skfem.MeshQuad, skfem.ElementQuad1),
    "tetra": (skfem.MeshTet, skfem.ElementTetP1),
}
EXACT = 1e-12  # rounding of sums over at most 30 cells, relative to the largest entry


def permuted(mesh: Mesh) -> Mesh:
    """The same mesh with its points and cells in random order."""
    rng = np.random.default_rng(0)
    to_new = torch.from_numpy(rng.permutation(mesh.n))
    points = torch.empty_like(mesh.points)
    points[to_new] = mesh.points
    return Mesh(points, {k: to_new[v][torch.from_numpy(rng.permutation(len(v)))] for k, v in mesh.cells.items()})


def clockwise(mesh: Mesh) -> Mesh:
    """Every second cell turned over."""
    cells = {}
    for kind, nodes in mesh.cells.items():
        swap = {"line": [1, 0], "triangle": [1, 0, 2], "quad": [3, 2, 1, 0], "tetra": [1, 0, 2, 3]}[kind]
        turned = nodes.clone()
        turned[::2] = nodes[::2][:, swap]
        cells[kind] = turned
    return Mesh(mesh.points, cells)


def with_unused_points(mesh: Mesh) -> Mesh:
    """Points that no cell uses before, between and after the others."""
    far = torch.full((2, mesh.space_dim), 1e3, dtype=torch.float64)
    points = torch.cat([far, mesh.points[:3], far, mesh.points[3:], far])
    number = torch.arange(mesh.n) + 2
    number[3:] += 2
    return Mesh(points, {k: number[v] for k, v in mesh.cells.items()})


def quadratic(mesh: Mesh) -> Mesh:
    """Mid-side points added to every cell, moved off the straight sides."""
    edges = mesh.entities(1).nodes[:, :2]
    middle = mesh.points[edges].mean(1) + 1e-3
    cells = {}
    for kind, nodes in mesh.cells.items():
        local = {"line": [(0, 1)], "triangle": [(0, 1), (1, 2), (2, 0)]}[kind]
        if kind == "line":  # edges of a line mesh are its cells
            sides = torch.arange(len(nodes))[:, None]
        else:
            sides = torch.stack([mesh.find(1, nodes[:, list(pair)]) for pair in local], 1)
        cells[{"line": "line3", "triangle": "triangle6"}[kind]] = torch.cat([nodes, mesh.n + sides], 1)
    return Mesh(torch.cat([mesh.points, middle]), cells)


VARIANTS = {
    "as made": lambda m: m,
    "permuted": permuted,
    "clockwise": clockwise,
    "unused points": with_unused_points,
}


def basis_of(space: Space) -> skfem.Basis:
    """scikit-fem's basis on the same numbering."""
    ((kind, nodes, _),) = space.mesh.corners()
    make, element = SKFEM[kind]
    mesh = make(space.pos.T.numpy().copy(), space.dof_of_point[nodes].T.numpy().copy())
    return skfem.Basis(mesh, element(), intorder=3 if kind == "quad" else 2)


@skfem.BilinearForm
def stiffness_form(u, v, w):
    return w["kappa"] * dot(grad(u), grad(v))


@skfem.BilinearForm
def tensor_form(u, v, w):
    return sum(w[f"k{i}{j}"] * grad(u)[j] * grad(v)[i] for i in range(w.x.shape[0]) for j in range(w.x.shape[0]))


@skfem.BilinearForm
def mass_form(u, v, w):
    return u * v


def their_stiffness(space: Space, kappa: np.ndarray) -> sp.csr_matrix:
    return stiffness_form.assemble(basis_of(space), kappa=kappa[:, None])


def our_stiffness(space: Space, kappa: Tensor | None = None, channel: int = 0) -> sp.csr_matrix:
    return -Sparse.laplacian(space.edges, space.stiffness(kappa)).to_scipy(channel)


def assert_same(ours: sp.spmatrix, theirs: sp.spmatrix) -> None:
    difference = abs(ours - theirs).max()
    assert difference <= EXACT * abs(theirs).max()


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", MESHES)
class TestMatrices:
    def space(self, name: str, variant: str) -> Space:
        return Space(VARIANTS[variant](MESHES[name]()))

    def test_stiffness(self, name: str, variant: str) -> None:
        space = self.space(name, variant)
        assert_same(our_stiffness(space), their_stiffness(space, np.ones(space.mesh.n_cells)))

    def test_consistent_mass(self, name: str, variant: str) -> None:
        space = self.space(name, variant)
        assert_same(space.consistent_mass.to_scipy(), mass_form.assemble(basis_of(space)))

    def test_lumped_mass(self, name: str, variant: str) -> None:
        space = self.space(name, variant)
        theirs = np.asarray(mass_form.assemble(basis_of(space)).sum(1)).ravel()
        assert np.abs(space.measure.numpy() - theirs).max() <= EXACT * theirs.max()
        assert torch.equal(space.mass, space.measure)

    def test_conductivity_per_cell(self, name: str, variant: str) -> None:
        space = self.space(name, variant)
        kappa = torch.rand(space.mesh.n_cells, dtype=torch.float64) + 0.1
        assert_same(our_stiffness(space, kappa), their_stiffness(space, kappa.numpy()))

    def test_conductivity_per_cell_and_channel(self, name: str, variant: str) -> None:
        space = self.space(name, variant)
        kappa = torch.rand(space.mesh.n_cells, 2, dtype=torch.float64) + 0.1
        for channel in range(2):
            assert_same(our_stiffness(space, kappa, channel), their_stiffness(space, kappa[:, channel].numpy()))

    @pytest.mark.parametrize("rows", ["one", "per cell"])
    def test_conductivity_tensor(self, name: str, variant: str, rows: str) -> None:
        space = self.space(name, variant)
        d = space.mesh.space_dim
        root = torch.rand(1 if rows == "one" else space.mesh.n_cells, d, d, dtype=torch.float64)
        kappa = root @ root.mT + 0.1 * torch.eye(d, dtype=torch.float64)
        each = kappa.expand(space.mesh.n_cells, d, d).numpy()
        parts = {f"k{i}{j}": each[:, i, j, None] for i in range(d) for j in range(d)}
        assert_same(our_stiffness(space, kappa), tensor_form.assemble(basis_of(space), **parts))

    def test_loads(self, name: str, variant: str) -> None:
        space = self.space(name, variant)
        basis = basis_of(space)
        theirs = skfem.LinearForm(lambda v, w: np.sin(w.x.sum(0)) * v).assemble(basis)
        ours = space.load(lambda x: torch.sin(x.sum(1))[:, None])
        if name == "lines":  # two Gauss points either way; on the others the rules of degree 2 are the same
            assert basis.quadrature[0].shape[1] == 2
        assert np.abs(ours[:, 0].numpy() - theirs).max() <= EXACT * np.abs(theirs).max()


@pytest.mark.parametrize("name", ["lines", "triangles"])
def test_quadratic_cells_count_with_their_vertices(name: str) -> None:
    straight = MESHES[name]()
    space = Space(quadratic(straight), P1())
    assert space.n == straight.n
    assert_same(our_stiffness(space), our_stiffness(Space(straight)))
    assert any("used at their vertices as" in w for w in space.warnings)
    assert bool((space.dof_of_point[straight.n :] == -1).all())


def test_quadratic_cells_that_are_turned_over_keep_their_vertices() -> None:
    mesh = quadratic(random_square(3, seed=1))
    nodes = mesh.cells["triangle6"]
    turned = Mesh(mesh.points, {"triangle6": nodes[:, [1, 0, 2, 3, 5, 4]]})
    assert_same(our_stiffness(Space(turned, P1())), our_stiffness(Space(mesh, P1())))


def test_a_mixed_mesh_is_the_sum_of_its_parts() -> None:
    whole = rectangle(4, 4, cells="quad")
    quads = whole.cells["quad"]
    split = Mesh(whole.points, {"quad": quads[::2], "triangle": quads[1::2][:, [[0, 1, 2], [0, 2, 3]]].flatten(0, 1)})
    split = split.with_points(jittered(whole, 0.2).points)
    total = torch.zeros(whole.n, whole.n, dtype=torch.float64)
    for kind in ("quad", "triangle"):
        part = Space(Mesh(split.points, {kind: split.cells[kind]}))
        at = part.point_of_dof
        total[at[:, None], at] += torch.from_numpy(our_stiffness(part).toarray())
    assert torch.allclose(torch.from_numpy(our_stiffness(Space(split)).toarray()), total, atol=EXACT)


# what matrices must do


@pytest.mark.parametrize("name", MESHES)
class TestStructure:
    def test_symmetric_with_constants_in_the_kernel(self, name: str) -> None:
        a = our_stiffness(Space(MESHES[name]()))
        assert abs(a - a.T).max() <= EXACT * abs(a).max()
        assert np.abs(a @ np.ones(a.shape[0])).max() <= EXACT * abs(a).max()
        assert np.linalg.eigvalsh(a.toarray())[0] >= -EXACT * abs(a).max()
        assert np.linalg.eigvalsh(a.toarray())[1] > 1e-3

    def test_patch(self, name: str) -> None:
        """A linear field is reproduced from its boundary values on a distorted mesh, also under a full tensor."""
        space = Space(MESHES[name]())
        d = space.mesh.space_dim
        exact = space.pos @ torch.tensor([1.3, -0.7, 0.4], dtype=torch.float64)[:d] + 0.2
        root = torch.tensor([[1.0, 0.2, 0.3], [0.0, 0.8, 0.1], [0.0, 0.0, 1.2]], dtype=torch.float64)[:d, :d]
        for kappa in (None, (root @ root.T)[None]):
            a = our_stiffness(space, kappa)
            fixed = space.tag("boundary").nodes.numpy()
            free = np.setdiff1d(np.arange(space.n), fixed)
            u = exact.numpy().copy()
            u[free] = spsolve(a[free][:, free].tocsc(), -a[free][:, fixed] @ u[fixed])
            assert np.abs(u - exact.numpy()).max() <= 1e-11

    def test_stiffness_scales_with_the_size_of_the_mesh(self, name: str) -> None:
        mesh = MESHES[name]()
        d = mesh.dim
        for h in (1e-6, 1e3):
            scaled = Space(mesh.with_points(h * mesh.points))
            weight = h ** (d - 2) * Space(mesh).weight
            assert torch.allclose(scaled.weight, weight, rtol=0, atol=1e-12 * float(weight.abs().max()))
            assert torch.allclose(scaled.measure, h**d * Space(mesh).measure, rtol=1e-12, atol=0.0)

    def test_rotation_and_translation(self, name: str) -> None:
        mesh = MESHES[name]()
        d = mesh.space_dim
        turn = torch.linalg.qr(torch.randn(d, d, dtype=torch.float64)).Q
        moved = mesh.with_points(mesh.points @ turn.T + 3.0)
        space, other = Space(mesh), Space(moved)
        assert torch.allclose(space.weight, other.weight, rtol=0, atol=1e-12 * float(space.weight.abs().max()))
        assert torch.allclose(space.measure, other.measure, rtol=1e-12)
        # coordinates of 1e6 carry 1e-10 of absolute error, which edges of length 0.1 see as 1e-9
        far = Space(mesh.with_points(mesh.points + 1e6))
        assert torch.allclose(space.weight, far.weight, rtol=0, atol=1e-7 * float(space.weight.abs().max()))

    def test_reflection(self, name: str) -> None:
        mesh = MESHES[name]()
        mirror = torch.ones(mesh.space_dim, dtype=torch.float64)
        mirror[0] = -1
        space, other = Space(mesh), Space(mesh.with_points(mesh.points * mirror))
        assert torch.allclose(space.weight, other.weight, rtol=0, atol=1e-12 * float(space.weight.abs().max()))
        assert any(f"{mesh.n_cells} of {mesh.n_cells} cells had negative orientation" in w for w in other.warnings)

    def test_measures_add_up(self, name: str) -> None:
        space = Space(MESHES[name]())
        area = float(cell_measures(space.mesh).sum())
        assert float(space.measure.sum()) == pytest.approx(area, rel=1e-13)
        assert float(space.consistent_mass(torch.ones(space.n, 1, dtype=torch.float64)).sum()) == pytest.approx(area)


def test_obliquely_embedded_plane_is_the_plane() -> None:
    flat = random_square(5, seed=1)
    frame = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64)).Q[:, :2]
    raised = Space(Mesh(flat.points @ frame.T + torch.tensor([1.0, -2.0, 0.5]), flat.cells))
    plane = Space(flat)
    assert torch.allclose(raised.weight, plane.weight, rtol=0, atol=1e-12 * float(plane.weight.abs().max()))
    assert torch.allclose(raised.measure, plane.measure, rtol=1e-12)
    quads = jittered(rectangle(3, 3, cells="quad"), 0.2)
    raised = Space(Mesh(quads.points @ frame.T, quads.cells))
    assert torch.allclose(raised.weight, Space(quads).weight, rtol=0, atol=1e-11)


def test_triangle_weights_are_half_the_cotangents() -> None:
    points = torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.5, 1.5]], dtype=torch.float64)
    space = Space(Mesh(points, {"triangle": [[0, 1, 2]]}))
    src, dst = space.edges.pairs()
    for a, b, w in zip(src.tolist(), dst.tolist(), space.weight.tolist()):
        apex = points[3 - a - b]
        u, v = points[a] - apex, points[b] - apex
        cotangent = float(u @ v) / abs(float(u[0] * v[1] - u[1] * v[0]))
        assert w == pytest.approx(cotangent / 2, rel=1e-14)


def test_sphere_area_and_first_eigenvalue() -> None:
    space = Space(sphere(3))
    assert float(space.measure.sum()) == pytest.approx(4 * np.pi, rel=1e-2)
    x = space.pos[:, :1]
    rayleigh = float((x * Sparse.laplacian(space.edges, -space.weight)(x)).sum() / space.inner(x, x))
    assert rayleigh == pytest.approx(2.0, rel=1e-2)  # l (l + 1) of the first harmonics


def test_weights_of_a_network_are_inverse_lengths() -> None:
    space = Space(star(3, 4, length=2.0))
    assert torch.allclose(space.weight, torch.full_like(space.weight, 2.0))
    centre = int(space.tag("centre").nodes[0])
    assert float(space.measure[centre]) == pytest.approx(3 * 0.25)
    assert sorted(space.tag("boundary").nodes.tolist()) == sorted(int(space.tag(f"end{k}").nodes[0]) for k in range(3))


# reductions


@pytest.mark.parametrize("name", MESHES)
def test_reductions_are_integrals(name: str) -> None:
    space = Space(MESHES[name]())
    u, v = space.pos[:, :1], 2 * space.pos[:, -1:] - 0.3
    basis = basis_of(space)
    product = skfem.Functional(lambda w: w["a"] * w["b"])
    exact = product.assemble(basis, a=basis.interpolate(u[:, 0].numpy()), b=basis.interpolate(v[:, 0].numpy()))
    assert float(space.inner(u, v)) == pytest.approx(float(exact), rel=1e-12)
    assert float(space.norm(u)) == pytest.approx(float(space.inner(u, u)) ** 0.5)
    plain = skfem.Functional(lambda w: w["a"]).assemble(basis, a=basis.interpolate(u[:, 0].numpy()))
    assert float(space.integral(u)) == pytest.approx(float(plain), rel=1e-12)
    both = torch.stack([u, v])
    assert torch.allclose(space.inner(both, both), torch.stack([space.inner(u, u), space.inner(v, v)]))


# loads on facets


def test_facet_loads_against_scikit_fem() -> None:
    for mesh in (random_square(5, seed=1), jittered(rectangle(4, 4, cells="quad"), 0.2), random_cube(3)):
        space = Space(mesh)
        basis = basis_of(space)
        left = basis.mesh.facets_satisfying(lambda x: np.abs(x[0]) < 1e-12, boundaries_only=True)
        facet = skfem.FacetBasis(basis.mesh, basis.elem, facets=left, intorder=2)
        theirs = skfem.LinearForm(lambda v, w: (1 + w.x[1] * w.x[-1]) * v).assemble(facet)
        for where in ("left", lambda x: x[:, 0] < 1e-12, space.facet_ids("left")):
            ours = space.load(lambda x: (1 + x[:, 1] * x[:, -1])[:, None], where)
            assert np.abs(ours[:, 0].numpy() - theirs).max() <= 1e-12 * np.abs(theirs).max()


def test_loads_of_several_channels_sum_to_integrals() -> None:
    space = Space(box(2, 2, 2))
    load = space.load(lambda x: torch.stack([torch.ones(len(x), dtype=x.dtype), x[:, 0]], 1))
    assert load.shape == (space.n, 2)
    assert load.sum(0).tolist() == pytest.approx([1.0, 0.5], rel=1e-13)
    assert space.load(lambda x: x[:, :1], "right").sum().item() == pytest.approx(1.0)


@pytest.mark.parametrize("degree", [2, 5])
def test_quadrature_points_stay_inside(degree: int) -> None:
    for name in MESHES:
        space = Space(MESHES[name]())
        rule = space.quadrature(degree=degree)
        low, high = space.pos.amin(0), space.pos.amax(0)
        assert bool(((rule.points > low) & (rule.points < high)).all())
        assert torch.allclose(rule.integrate(torch.ones(len(rule.points), 1, dtype=torch.float64))[:, 0], space.measure)


# selection


class TestSelection:
    space = Space(rectangle(4, 4))

    def test_named_sets_and_the_boundary(self) -> None:
        assert self.space.tag("left").nodes.tolist() == [0, 5, 10, 15, 20]
        assert len(self.space.tag("boundary").nodes) == 16
        assert len(self.space.facet_ids("boundary")) == 16

    def test_unknown_set_lists_the_names(self) -> None:
        with pytest.raises(UnknownName, match=r"did you mean 'left'\? it has: bottom, boundary, left, right, top"):
            self.space.facet_ids("lefft")

    def test_predicate_selects_boundary_facets_only(self) -> None:
        assert torch.equal(
            self.space.facet_ids(lambda x: x[:, 1] >= 0.0), torch.sort(self.space.mesh.boundary_facets)[0]
        )

    def test_empty_predicate(self) -> None:
        with pytest.raises(ConditionError, match="the predicate holds no facets of 'rectangle'"):
            self.space.facet_ids(lambda x: x[:, 0] > 9)

    def test_predicate_of_the_wrong_shape(self) -> None:
        with pytest.raises(ConditionError, match=r"returned shape \[25, 2\], expected one truth value a point: \[25\]"):
            self.space.facet_ids(lambda x: x > 0)
        with pytest.raises(ConditionError, match="expected one truth value a point"):
            self.space.nodes_of(lambda x: x > 0)

    def test_empty_set(self) -> None:
        mesh = rectangle(2, 2)
        mesh = mesh.with_tags(none=mesh.make_tag(1, []))
        with pytest.raises(ConditionError, match="named set 'none' holds no facets"):
            Space(mesh).facet_ids("none")
        with pytest.raises(ConditionError, match="named set 'none' holds no nodes"):
            Space(mesh).nodes_of("none")

    def test_flux_needs_facets(self) -> None:
        mesh = rectangle(2, 2)
        mesh = mesh.with_tags(solid=mesh.make_tag(2, [0, 1]), corner=mesh.make_tag(0, [0]))
        for name, dim in (("solid", 2), ("corner", 0)):
            with pytest.raises(ConditionError, match=f"set '{name}' has dimension {dim}, a flux .* dimension 1"):
                Space(mesh).facet_ids(name)

    def test_material_needs_cells(self) -> None:
        with pytest.raises(MeshError, match="set 'left' of 'rectangle' has dimension 1, a material needs .* 2"):
            self.space.cells_of("left")

    def test_lists_and_masks(self) -> None:
        mask = self.space.pos[:, 0] == 0
        assert torch.equal(self.space.nodes_of(mask), self.space.nodes_of("left"))
        facets = torch.zeros(len(self.space.mesh.facets.nodes), dtype=torch.bool)
        facets[self.space.facet_ids("left")] = True
        assert torch.equal(self.space.facet_ids(facets), self.space.facet_ids("left"))
        with pytest.raises(ConditionError, match="node list names node 25, expected 0..24"):
            self.space.nodes_of([3, 25])
        with pytest.raises(ConditionError, match="node list names node -1, expected 0..24"):
            self.space.nodes_of([-1])
        with pytest.raises(ConditionError, match="facet list names facet -1"):
            self.space.facet_ids(torch.tensor([-1]))
        with pytest.raises(ConditionError, match="a mask of 3 nodes was given, expected 25"):
            self.space.nodes_of(torch.tensor([True, False, True]))
        with pytest.raises(ConditionError, match="node list has type torch.float32"):
            self.space.nodes_of(torch.tensor([0.0, 1.0]))

    def test_points_without_unknowns(self) -> None:
        space = Space(with_unused_points(rectangle(2, 2)))
        assert space.n == 9 and space.mesh.n == 15
        assert space.dof_of_point[[0, 1, 5, 6, 13, 14]].tolist() == [-1] * 6
        u = torch.arange(9.0, dtype=torch.float64)[:, None]
        everywhere = space.at_points(u)
        assert int(torch.isnan(everywhere).sum()) == 6
        assert torch.equal(space.from_points(everywhere), u)
        batch = torch.stack([u, -u])
        assert torch.equal(space.from_points(space.at_points(batch)), batch)

    def test_a_tag_with_unused_points_drops_them(self) -> None:
        mesh = with_unused_points(rectangle(2, 2))
        mesh = mesh.with_tags(mixed=mesh.make_tag(0, [0, 2, 14]))
        assert Space(mesh).tag("mixed").nodes.tolist() == [0]


def test_elements_refuse_cells_they_do_not_know() -> None:
    with pytest.raises(MeshError, match="element P1 lives on line, triangle, tetra cells, not on quad cells; use Q1"):
        Space(rectangle(2, 2, cells="quad"), P1())
    with pytest.raises(MeshError, match="not on hexahedron cells"):
        Space(box(1, 1, 1, cells="hexahedron"), P2())


def test_space_is_frozen() -> None:
    with pytest.raises(AttributeError, match="Space is frozen"):
        Space(rectangle(1, 1)).lumped = False


# moving


def test_a_moved_space_assembles_the_same() -> None:
    space = Space(random_square(4, seed=1))
    _ = space.measure, space.weight, space.consistent_mass, space.incidence, space.quadrature()
    single = space.to(dtype=torch.float32)
    assert single.to(dtype=torch.float32) is single and space.to(dtype=torch.float32) is single
    assert space.to(dtype=torch.float64) is space and space.to("cpu") is space
    for value in (single.pos, single.weight, single.measure, single.consistent_mass.weight, single.incidence.sign):
        assert value.dtype == torch.float32
    assert single.dof_of_point.dtype == torch.int64
    # assembled from the float64 mesh, then rounded once
    assert torch.equal(Space(random_square(4, seed=1)).to(dtype=torch.float32).weight, space.weight.float())
    load = single.load(lambda x: x[:, :1])
    assert load.dtype == torch.float32
    assert torch.allclose(load.double(), space.load(lambda x: x[:, :1]), rtol=1e-5)
    assert torch.equal(single.load(lambda x: x[:, :1], "left"), space.load(lambda x: x[:, :1], "left").float())
    u = torch.rand(space.n, 2)
    assert single.norm(u).dtype == torch.float32


@pytest.mark.gpu
def test_a_space_on_another_device_moves_every_tensor() -> None:
    space = Space(random_square(3, seed=1))
    _ = space.measure, space.consistent_mass, space.incidence
    away = space.to("cuda")
    tensors = [away.pos, away.measure, away.weight, away.consistent_mass.diag, away.incidence.edge, away.point_of_dof]
    assert all(x.device.type == "cuda" for x in tensors)
    assert away.edges is space.edges.to("cuda")
    for where in (None, "left"):
        assert torch.allclose(away.load(lambda x: x[:, :1], where).cpu(), space.load(lambda x: x[:, :1], where))
    kappa = torch.rand(space.mesh.n_cells, dtype=torch.float64)
    assert torch.allclose(away.stiffness(kappa).cpu(), space.stiffness(kappa))


def test_refinement_keeps_linear_fields_and_sets() -> None:
    coarse = random_square(3, seed=2)
    space = Space(refine(coarse, 2))
    assert float(space.load(lambda x: torch.ones(len(x), 1, dtype=x.dtype), "left").sum()) == pytest.approx(1.0)
    assert float(space.measure.sum()) == pytest.approx(1.0, rel=1e-13)
