"""The de Rham complex: d d = 0 in integers, Stokes, Whitney's stars, topology by rank."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core.linear_operator import Sparse
from graphpde.errors import MeshError, ShapeError
from graphpde.mesh import (
    Mesh,
    Space,
    boundary_mesh,
    cell_measures,
    interval,
    jittered,
    plate_with_holes,
    random_cube,
    random_square,
    rectangle,
    refine,
    sphere,
)
from graphpde.mesh.exterior import Cochains
from graphpde.mesh.homology import rank

F64 = torch.float64


def folded(around: int = 6, *, twisted: bool = False) -> Mesh:
    """A torus (or Klein bottle) of triangles: a grid whose sides are glued, by numbers alone."""
    number = np.arange(around * around).reshape(around, around)
    cells = []
    for i, j in itertools.product(range(around), repeat=2):
        ii, jj = (i + 1) % around, (j + 1) % around
        low, high = (j, jj) if not (twisted and ii == 0) else ((-j) % around, (-jj) % around)
        a, b, c, d = number[i, j], number[ii, low], number[ii, high], number[i, jj]
        cells += [[a, b, c], [a, c, d]]
    generator = torch.Generator().manual_seed(0)
    return Mesh(torch.rand(around * around, 3, dtype=F64, generator=generator), {"triangle": torch.tensor(cells)})


def hollow() -> Mesh:
    """A block of tetrahedra without its middle: one cavity."""
    block = random_cube(3, seed=1, amount=0.0)
    middle = block.points[block.entities(3).nodes].mean(1)
    keep = ((middle - 0.5).abs() > 1 / 6).any(1)
    return Mesh(block.points, {"tetra": block.cells["tetra"][keep]})


MESHES: dict[str, Callable[[], Mesh]] = {
    "lines": lambda: jittered(interval(6), 0.2, seed=1),
    "triangles": lambda: random_square(4, seed=1),
    "tetrahedra": lambda: random_cube(2, seed=1),
    "sphere": lambda: sphere(1),
    "torus": folded,
    "hollow": hollow,
    "turned cells": lambda: _turned(random_square(3, seed=1)),
}


def _turned(mesh: Mesh) -> Mesh:
    cells = mesh.cells["triangle"].clone()
    cells[::2] = cells[::2][:, [1, 0, 2]]
    return Mesh(mesh.points, {"triangle": cells})


@pytest.mark.parametrize("name", MESHES)
class TestOnEveryMesh:
    def test_the_boundary_of_a_boundary_is_nothing(self, name: str) -> None:
        forms = Cochains(MESHES[name]())
        for k in range(forms.dim - 1):
            twice = forms.d(k + 1).to_scipy() @ forms.d(k).to_scipy()
            assert twice.dtype == np.int64 and not twice.toarray().any()
            a = torch.randint(-9, 9, (2, forms.count(k), 3)).to(F64)
            assert not bool(forms.d(k + 1)(forms.d(k)(a)).any())

    def test_sizes_and_numbering_are_those_of_the_mesh(self, name: str) -> None:
        mesh = MESHES[name]()
        forms = Cochains(mesh)
        for k in range(forms.dim + 1):
            assert forms.count(k) == len(mesh.entities(k).nodes)
        gradient = forms.d(0)
        ends = torch.sort(mesh.entities(1).nodes, 1).values if mesh.dim > 1 else mesh.entities(1).nodes
        a = torch.rand(mesh.n, 1, dtype=F64)
        assert torch.equal(gradient(a), a[ends[:, 1]] - a[ends[:, 0]])
        for k in range(forms.dim):  # a simplex has k + 2 faces, each +-1
            rows = abs(forms.d(k).to_scipy())
            assert (rows.sum(1) == k + 2).all() and set(rows.data) == {1}

    def test_the_adjoint(self, name: str) -> None:
        forms = Cochains(MESHES[name]())
        for k in range(forms.dim):
            d = forms.d(k)
            a, b = torch.rand(forms.count(k), 1, dtype=F64), torch.rand(forms.count(k + 1), 1, dtype=F64)
            assert float((d(a) * b).sum()) == pytest.approx(float((a * d.adjoint(b)).sum()), abs=1e-12)
            assert np.allclose(d.to_scipy() @ a.numpy(), d(a).numpy(), atol=1e-14)

    def test_stars_are_positive_and_local(self, name: str) -> None:
        mesh = MESHES[name]()
        forms = Cochains(mesh)
        volume = cell_measures(mesh)
        for k in range(forms.dim + 1):
            star = forms.star(k)
            matrix = torch.from_numpy(star.to_scipy().toarray())
            assert star.symmetric and torch.allclose(matrix, matrix.T, atol=1e-13 * float(matrix.max()))
            assert float(torch.linalg.eigvalsh(matrix)[0]) > 0
            if k == 0:
                assert float(matrix.sum()) == pytest.approx(float(volume.sum()))
            if k == forms.dim:
                assert torch.allclose(matrix.diagonal(), 1 / volume)

    def test_gradients_give_the_stiffness_of_linear_elements(self, name: str) -> None:
        space = Space(MESHES[name]())
        forms = Cochains(space.mesh)
        u = torch.rand(space.n, 2, dtype=F64)
        stiffness = Sparse.laplacian(space.edges, space.weight) * -1.0
        d = forms.d(0)
        weak = d.adjoint(forms.star(1)(d(u)))
        assert torch.allclose(weak, stiffness(u), atol=1e-12 * float(space.weight.abs().max()))
        assert torch.allclose(forms.laplacian(0)(u), weak, atol=1e-12)
        assert torch.allclose(forms.star(0)(u), space.consistent_mass(u), atol=1e-14)

    def test_the_laplacian_and_its_kernel(self, name: str) -> None:
        forms = Cochains(MESHES[name]())
        betti = forms.betti()
        assert sum((-1) ** k * forms.count(k) for k in range(forms.dim + 1)) == sum(
            (-1) ** k * b for k, b in enumerate(betti)
        )
        for k, expected in enumerate(betti):
            if forms.count(k) > 350:
                continue
            matrix = forms.laplacian(k)(torch.eye(forms.count(k), dtype=F64))
            size = float(matrix.abs().max())
            assert torch.allclose(matrix, matrix.T, atol=1e-10 * size)
            weighted = torch.linalg.solve(torch.from_numpy(forms.star(k).to_scipy().toarray()), matrix)
            values = torch.linalg.eigvals(weighted).real.sort().values
            assert int((values < 1e-8 * float(values[-1])).sum()) == expected
            assert float(values[0]) > -1e-8 * float(values[-1])


@pytest.mark.parametrize(
    ("mesh", "betti"),
    [
        (lambda: random_square(4, seed=1), [1, 0, 0]),
        (lambda: sphere(2), [1, 0, 1]),
        (lambda: folded(7), [1, 2, 1]),
        (lambda: folded(7, twisted=True), [1, 1, 0]),  # the Klein bottle over the rationals
        (lambda: plate_with_holes(0.15), None),
        (hollow, [1, 0, 1, 0]),
        (lambda: boundary_mesh(hollow()), [2, 0, 2]),
        (lambda: random_cube(3, seed=1), [1, 0, 0, 0]),
        (lambda: interval(5), [1, 0]),
        (lambda: boundary_mesh(random_square(4, seed=1)), [1, 1]),
    ],
    ids=["square", "sphere", "torus", "klein", "holes", "hollow", "two spheres", "cube", "rod", "ring"],
)
def test_betti_numbers(mesh: Callable[[], Mesh], betti: list[int] | None) -> None:
    made = mesh()
    found = Cochains(made).betti()
    if betti is None:  # as many tunnels as boundary curves but one
        rim = Cochains(boundary_mesh(made)).betti()
        betti = [1, rim[0] - 1, 0]
        assert betti[1] >= 2
    assert found == betti


def test_rank_is_that_of_the_rationals() -> None:
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    for r in (0, 1, 4, 7):
        matrix = rng.integers(-3, 4, (9, r)) @ rng.integers(-3, 4, (r, 8))
        assert rank(csr_matrix(matrix)) == np.linalg.matrix_rank(matrix)
    assert rank(csr_matrix(np.array([[2, 0], [0, 2]]))) == 2  # not over the field of two elements


# fields


def swirl(x: Tensor) -> Tensor:
    """A vector field with curl and divergence, in two or three dimensions."""
    a, b = x[:, 0], x[:, 1]
    parts = [torch.sin(2 * b) + a * a, torch.cos(a) * b]
    return torch.stack([*parts, *(a * x[:, 2],)] if x.shape[1] == 3 else parts, 1)


def test_stokes_in_every_degree() -> None:
    """d commutes with integration, up to the rule: 5th degree against fields that are not polynomials."""
    phi = lambda x: torch.exp(x[:, 0]) * torch.sin(x.sum(1))  # noqa: E731
    grad = lambda x: torch.func.vmap(torch.func.grad(lambda y: phi(y[None])[0]))(x)  # noqa: E731
    jacobian = lambda x: torch.func.vmap(torch.func.jacrev(lambda y: swirl(y[None])[0]))(x)  # noqa: E731
    for mesh in (random_square(6, seed=1), random_cube(4, seed=1)):
        forms = Cochains(mesh)
        assert torch.allclose(forms.d(0)(forms.integrate(0, phi)), forms.integrate(1, grad), atol=2e-6)
        around = forms.d(1)(forms.integrate(1, swirl))
        if mesh.dim == 2:
            inside = forms.integrate(2, lambda x: jacobian(x)[:, 1, 0] - jacobian(x)[:, 0, 1])
            assert torch.allclose(around, inside, atol=2e-6)
            continue

        def curl(x: Tensor) -> Tensor:
            j = jacobian(x)
            return torch.stack([j[:, 2, 1] - j[:, 1, 2], j[:, 0, 2] - j[:, 2, 0], j[:, 1, 0] - j[:, 0, 1]], 1)

        assert torch.allclose(around, forms.integrate(2, curl), atol=2e-6)
        flux = forms.d(2)(forms.integrate(2, swirl))
        divergence = forms.integrate(3, lambda x: jacobian(x).diagonal(dim1=1, dim2=2).sum(1))
        assert torch.allclose(flux, divergence, atol=2e-6)


def test_cells_keep_the_orientation_of_the_mesh() -> None:
    plane = random_square(3, seed=1)
    around = lambda x: torch.stack([-x[:, 1], x[:, 0]], 1) / 2  # noqa: E731
    forms = Cochains(plane)
    assert torch.allclose(forms.d(1)(forms.integrate(1, around))[:, 0], cell_measures(plane), atol=1e-14)
    turned = Cochains(_turned(plane))
    sign = torch.ones(plane.n_cells, dtype=F64)
    sign[::2] = -1
    assert torch.allclose(turned.d(1)(turned.integrate(1, around))[:, 0], sign * cell_measures(plane), atol=1e-14)
    rod = Cochains(interval(4))
    assert torch.allclose(rod.integrate(1, lambda x: torch.ones_like(x)), torch.full((4, 1), 0.25, dtype=F64))


def test_constant_fields_are_met_exactly() -> None:
    for mesh in (random_square(3, seed=1), random_cube(2, seed=1), jittered(interval(5), 0.2, seed=1)):
        forms, d = Cochains(mesh), mesh.space_dim
        v = torch.tensor([1.0, -2.0, 0.5], dtype=F64)[:d]
        a = forms.integrate(1, lambda x, v=v: v.expand(len(x), -1))
        assert torch.allclose(forms.vectors(a), v.expand(mesh.n_cells, -1), atol=1e-13)
        size = float((a * forms.star(1)(a)).sum())
        assert size == pytest.approx(float(v @ v) * float(cell_measures(mesh).sum()), rel=1e-12)
        if d == 3:
            b = forms.integrate(2, lambda x, v=v: v.expand(len(x), -1))
            assert float((b * forms.star(2)(b)).sum()) == pytest.approx(float(v @ v), rel=1e-12)


def test_the_de_rham_map_converges() -> None:
    """The Whitney field of the circulations meets the field at the centroids to first order or better."""
    errors, norms = [], []
    for level in (1, 2, 3):
        mesh = refine(random_square(3, seed=7), level)
        forms = Cochains(mesh)
        a = forms.integrate(1, swirl)
        centre = mesh.points[mesh.entities(2).nodes].mean(1)
        errors.append(float(((forms.vectors(a) - swirl(centre)).square().sum(1) * cell_measures(mesh)).sum().sqrt()))
        square = forms.integrate(2, lambda x: swirl(x).square().sum(1)).sum()
        norms.append(abs(float((a * forms.star(1)(a)).sum() - square)))
    assert math.log2(errors[1] / errors[2]) > 0.95
    assert norms[2] < 0.6 * norms[1] < 0.36 * norms[0]


def test_the_codifferential_is_the_adjoint_and_minus_the_divergence() -> None:
    mesh = random_square(4, seed=1)
    forms = Cochains(mesh)
    for k in (1, 2):
        a, b = torch.rand(forms.count(k), 1, dtype=F64), torch.rand(forms.count(k - 1), 1, dtype=F64)
        left = (forms.star(k - 1)(forms.codifferential(k, a)) * b).sum()
        assert float(left) == pytest.approx(float((forms.star(k)(a) * forms.d(k - 1)(b)).sum()), rel=1e-10)
    # grad of a harmonic function: no divergence inside
    errors = []
    for level in (1, 2):
        mesh = refine(random_square(4, seed=7), level)
        forms = Cochains(mesh)
        inner = torch.ones(mesh.n, dtype=torch.bool)
        inner[mesh.boundary_nodes] = False
        a = forms.integrate(1, lambda x: torch.stack([2 * x[:, 0], -2 * x[:, 1]], 1))
        weak = forms.d(0).adjoint(forms.star(1)(a))[inner]
        errors.append(float(weak.abs().max()))
    assert errors[1] < 0.6 * errors[0]


def test_stars_are_differentiable_in_the_points() -> None:
    mesh = random_square(1, seed=1)

    def value(points: Tensor) -> Tensor:
        forms = Cochains(mesh.with_points(points))
        parts = [torch.linspace(1, 2, forms.count(k), dtype=F64)[:, None] for k in range(3)]
        return torch.stack([(a * forms.star(k)(a)).sum() for k, a in enumerate(parts)])

    assert torch.autograd.gradcheck(value, (mesh.points.clone().requires_grad_(),))
    forms = Cochains(mesh.with_points(mesh.points.clone().requires_grad_()))
    assert forms.codifferential(1, torch.ones(forms.count(1), 1, dtype=F64)).requires_grad


def test_refusals() -> None:
    with pytest.raises(MeshError, match="works on simplices, .* has quad cells; split them"):
        Cochains(rectangle(2, 2, cells="quad"))
    lonely = Mesh(torch.rand(5, 2, dtype=F64), {"triangle": torch.tensor([[0, 1, 2]])})
    with pytest.raises(MeshError, match="2 points .* belong to no cell"):
        Cochains(lonely)
    forms = Cochains(random_square(2, seed=1))
    with pytest.raises(ShapeError, match=r"k = 2, expected a degree of forms in 0\.\.1"):
        forms.d(2)
    with pytest.raises(ShapeError, match=r"k = 3, expected a degree of forms in 0\.\.2"):
        forms.star(3)
    with pytest.raises(ShapeError, match="the codifferential of a 0-form is zero"):
        forms.codifferential(0, torch.rand(forms.count(0), 1))
    with pytest.raises(ShapeError, match="cochain has shape"):
        forms.codifferential(1, torch.rand(3, 1))
    with pytest.raises(ShapeError, match="the 1-form has shape"):
        forms.integrate(1, lambda x: x[:, 0])
    with pytest.raises(ShapeError, match="cochain has shape"):
        forms.vectors(torch.rand(2, 1))
