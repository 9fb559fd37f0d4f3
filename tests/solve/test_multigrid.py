"""Multigrid is a symmetric positive map whose quality does not depend on the size of the mesh."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from graphpde.core import kernels
from graphpde.core.block_operator import BlockSparse
from graphpde.core.combined import pin
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse, as_matrix
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError, UnknownName
from graphpde.mesh import Mesh, Space, box, disk, rectangle
from graphpde.ops import Diffusion
from graphpde.solve.krylov import cg
from graphpde.solve.multigrid import METHODS, Multigrid
from graphpde.solve.smoothers import chebyshev, largest_eigenvalue

F64 = torch.float64
pytestmark = pytest.mark.skipif(importlib.util.find_spec("pyamg") is None, reason="the extra 'solvers' is absent")


def stiffness(mesh: Mesh, kappa: float | Tensor = 1.0) -> LinearOperator:
    return as_matrix(as_matrix(Diffusion(Space(mesh), kappa).operator) * -1.0)


def eliminated(mesh: Mesh, kappa: float | Tensor = 1.0) -> tuple[LinearOperator, Tensor]:
    """The operator with its whole boundary fixed, and a right-hand side with values there as well."""
    fixed = torch.zeros(mesh.n, dtype=torch.bool)
    fixed[mesh.boundary_nodes] = True
    return as_matrix(pin(stiffness(mesh, kappa), fixed)), torch.randn(mesh.n, 1, dtype=F64)


def blob(mesh: Mesh, inside: float) -> Tensor:
    """A conductivity per cell that jumps on a chequerboard."""
    middle = mesh.points[mesh.cells["triangle"]].mean(1)
    return torch.where(((middle * 4).floor().sum(1) % 2).bool(), inside, 1.0).to(F64)


class OnlyItsAction(LinearOperator):
    n, symmetric = 441, True


def iterations(a: LinearOperator, b: Tensor, m: Multigrid) -> int:
    result = cg(a, b, rtol=1e-8, precondition=m)
    assert result.converged, result.reason
    assert bool(((b - a(result.value)).norm(dim=0) <= 1.01e-8 * b.norm(dim=0)).all())
    return result.iterations


def dense(m: Callable[[Tensor], Tensor], n: int) -> Tensor:
    return m(torch.eye(n, dtype=F64))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_symmetric_and_positive_definite(method: str, degree: int) -> None:
    a, _ = eliminated(rectangle(20, 19))
    m = Multigrid(a, method=method, degree=degree)
    assert len(m.levels) > 1
    matrix = dense(m, a.n)
    torch.testing.assert_close(matrix, matrix.T, rtol=0, atol=1e-12 * float(matrix.abs().max()))
    assert float(torch.linalg.eigvalsh((matrix + matrix.T) / 2)[0]) > 0
    r, s = torch.randn(2, a.n, 1, dtype=F64)
    assert float((m(r) * s).sum()) == pytest.approx(float((r * m(s)).sum()), rel=1e-12)
    # a cycle with an exact lower level never overshoots: the eigenvalues of M A lie in (0, 1]
    eigenvalues = torch.linalg.eigvals(matrix @ torch.from_numpy(a.to_scipy().toarray())).real
    assert float(eigenvalues.min()) > (0.5 if degree > 1 else 0.3)
    assert float(eigenvalues.max()) < 1 + 1e-9


MESHES = {
    "plane": [lambda: rectangle(16, 16), lambda: rectangle(48, 48), lambda: rectangle(144, 144)],
    "disk": [lambda: disk(0.1), lambda: disk(0.06), lambda: disk(0.03)],
    "space": [lambda: box(8, 8, 8), lambda: box(14, 14, 14), lambda: box(24, 24, 24)],
}


@pytest.mark.parametrize("method, bound", [("classical", 10), ("smoothed_aggregation", 15)])
@pytest.mark.parametrize("where", MESHES)
def test_iterations_do_not_grow_with_the_mesh(where: str, method: str, bound: int) -> None:
    counts = []
    for make in MESHES[where]:
        a, b = eliminated(make())
        counts.append(iterations(a, b, Multigrid(a, method=method)))
    assert max(counts) <= bound, counts


@pytest.mark.parametrize("n", [16, 48, 144])
def test_jumping_coefficients(n: int) -> None:
    mesh = rectangle(n, n)
    a, b = eliminated(mesh, blob(mesh, 1e4))
    assert iterations(a, b, Multigrid(a)) <= 15


@pytest.mark.parametrize("n", [16, 48, 144])
@pytest.mark.parametrize("stretch", [10.0, 100.0])
def test_stretched_right_triangles(n: int, stretch: float) -> None:
    a, b = eliminated(rectangle(n, n, width=stretch))
    assert iterations(a, b, Multigrid(a)) <= 15


@pytest.mark.parametrize("size, bound", [(0.1, 25), (0.06, 30), (0.03, 35)])
def test_stretched_triangles_of_any_angle(size: float, bound: int) -> None:
    # obtuse triangles couple positively, which classical interpolation does not know: growth is slow, not absent
    mesh = disk(size)
    a, b = eliminated(mesh.with_points(mesh.points * torch.tensor([10.0, 1.0], dtype=mesh.points.dtype)))
    assert iterations(a, b, Multigrid(a)) <= bound
    assert iterations(a, b, Multigrid(a, strength=0.5)) <= 0.7 * bound


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [16, 48, 144])
def test_pure_neumann_conditions(n: int, method: str) -> None:
    a = stiffness(rectangle(n, n))
    b = torch.randn(a.n, 2, dtype=F64)
    b -= b.mean(0)
    assert iterations(a, b, Multigrid(a, method=method)) <= 15


def test_two_parts_without_any_fixed_node() -> None:
    one = stiffness(rectangle(20, 20))
    src, dst = one.relation.pairs()
    both = Relation.from_edges(torch.cat([src, src + one.n]), torch.cat([dst, dst + one.n]), 2 * one.n, 2 * one.n)
    a = Sparse(both, both.own(one.weight.repeat(2)), one.diag.repeat(2), symmetric=True)
    b = torch.randn(2, one.n, 1, dtype=F64)
    b = (b - b.mean(1, keepdim=True)).reshape(-1, 1)
    assert iterations(a, b, Multigrid(a)) <= 10


def test_eliminated_nodes_of_any_size_change_nothing() -> None:
    a, b = eliminated(rectangle(48, 48))
    plain = iterations(a, b, Multigrid(a))
    fixed = torch.zeros(a.n, dtype=torch.bool)
    fixed[rectangle(48, 48).boundary_nodes] = True
    scale = torch.where(fixed, 1e6, 1.0).to(F64)
    big = Sparse(a.relation, a.weight, a.diag * scale, symmetric=True)
    assert iterations(big, b * scale[:, None], Multigrid(big)) <= plain + 2


def test_columns_go_through_together() -> None:
    a, _ = eliminated(rectangle(20, 20))
    m, r = Multigrid(a), torch.randn(a.n, 3, dtype=F64)
    torch.testing.assert_close(m(r), torch.cat([m(r[:, k : k + 1]) for k in range(3)], 1), rtol=1e-12, atol=1e-14)


def test_every_channel_has_its_own_hierarchy() -> None:
    a, _ = eliminated(rectangle(20, 20))
    other, _ = eliminated(rectangle(20, 20), 7.0)
    both = Sparse(
        a.relation, torch.stack([a.weight, other.weight], 1), torch.stack([a.diag, other.diag], 1), symmetric=True
    )
    r = torch.randn(a.n, 4, dtype=F64)
    z = Multigrid(both)(r)
    torch.testing.assert_close(z[:, 0::2], Multigrid(a)(r[:, 0::2]))
    torch.testing.assert_close(z[:, 1::2], Multigrid(other)(r[:, 1::2]))
    with pytest.raises(ShapeError, match=r"r has shape \[441, 3\], expected \[441, 2 k\]"):
        Multigrid(both)(r[:, :3])


@pytest.mark.parametrize("backend", ["reference", "csr"])
def test_every_backend(backend: str) -> None:
    a, b = eliminated(rectangle(20, 20))
    m = Multigrid(a)
    with kernels.use(backend):
        z = m(b)
    torch.testing.assert_close(z, m(b), rtol=1e-12, atol=1e-14)


def test_single_precision_inside_a_double_iteration() -> None:
    a, b = eliminated(rectangle(48, 48))
    half = Multigrid(a, dtype=torch.float32)
    assert half(b).dtype == F64
    assert iterations(a, b, half) <= iterations(a, b, Multigrid(a)) + 1
    small = a.to(dtype=torch.float32)
    z = Multigrid(small)(b.float())
    assert z.dtype == torch.float32
    torch.testing.assert_close(z.double(), Multigrid(a)(b), rtol=0, atol=1e-5 * float(z.abs().max()))


@pytest.mark.parametrize("method", METHODS)
def test_the_same_bits_every_time_and_no_draw_from_the_global_generator(method: str) -> None:
    a, b = eliminated(rectangle(20, 20))
    np.random.seed(3)
    first = Multigrid(a, method=method)(b)
    drawn = np.random.rand()
    assert torch.equal(first, Multigrid(a, method=method)(b))
    np.random.seed(3)
    assert np.random.rand() == drawn


def test_the_gradient_is_the_map_itself() -> None:
    a, _ = eliminated(rectangle(16, 16))
    m = Multigrid(a)
    r, g = torch.randn(a.n, 2, dtype=F64, requires_grad=True), torch.randn(a.n, 2, dtype=F64)
    (found,) = torch.autograd.grad(m(r), r, g, create_graph=True)
    torch.testing.assert_close(found, m(g))
    energy = (r * m(r)).sum() / 2
    (slope,) = torch.autograd.grad(energy, r, create_graph=True)
    (second,) = torch.autograd.grad(slope, r, g)
    torch.testing.assert_close(second, m(g))


def test_the_smallest_systems_need_no_hierarchy() -> None:
    a, b = eliminated(rectangle(4, 4))
    m = Multigrid(a)
    assert m.levels == [25]
    torch.testing.assert_close(a(m(b)), b)
    d = torch.linspace(1, 9, 3000, dtype=F64)
    torch.testing.assert_close(Multigrid(Diagonal(d))(torch.ones(3000, 1, dtype=F64))[:, 0], 1 / d)
    assert Multigrid(Diagonal(d[:0]))(torch.zeros(0, 2, dtype=F64)).shape == (0, 2)


@pytest.mark.parametrize("method", METHODS)
def test_the_matrix_of_the_operator_stays_as_it_is(method: str) -> None:
    a, _ = eliminated(rectangle(20, 20))
    kept = a.to_scipy().copy()
    held = a.to_scipy()
    a.to_scipy = lambda channel=0: held  # type: ignore[method-assign]
    Multigrid(a, method=method)
    assert held.nnz == kept.nnz and np.array_equal(held.data, kept.data)


def test_it_says_what_it_is() -> None:
    m = Multigrid(eliminated(rectangle(20, 20))[0])
    assert m.describe().startswith(f"classical multigrid, {len(m.levels)} levels (441, ")
    assert 1 < m.operator_complexity < 3


def test_near_null_space_of_a_system() -> None:
    """Two fields side by side, one of them in other units: the constants of each are the candidates."""
    one, _ = eliminated(rectangle(30, 30))
    matrix, n = one.to_scipy().tocoo(), one.n
    src, dst = (torch.from_numpy(np.concatenate([x, x + n])) for x in (matrix.col, matrix.row))
    rel = Relation.from_edges(src, dst, 2 * n, 2 * n)
    w = torch.from_numpy(np.concatenate([matrix.data, matrix.data * 50]))
    a = Sparse(rel, rel.own(w), torch.zeros(2 * n, dtype=F64), symmetric=True)
    candidates = torch.block_diag(torch.ones(n, 1, dtype=F64), torch.ones(n, 1, dtype=F64))
    m = Multigrid(a, method="smoothed_aggregation", candidates=candidates)
    assert iterations(a, torch.randn(2 * n, 1, dtype=F64), m) <= 15


def test_refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    a, _ = eliminated(rectangle(20, 20))
    with pytest.raises(UnknownName, match="classical"):
        Multigrid(a, method="clasical")
    with pytest.raises(InputError, match="is not symmetric; use gmres"):
        Multigrid(Sparse(a.relation, a.weight, a.diag))
    with pytest.raises(InputError, match=r"couples channels; give Interleaved\(a, channels\)"):
        rel = a.relation
        eye = torch.eye(2, dtype=F64)
        Multigrid(BlockSparse(rel, eye.expand(rel.n_edges, 2, 2), eye.expand(rel.n_dst, 2, 2), symmetric=True))
    with pytest.raises(InputError, match="expected positive numbers; .*-a where a is negative definite"):
        Multigrid(a * -1.0)
    with pytest.raises(InputError, match="not finite; check the coefficients"):
        Multigrid(a * float("nan"))
    with pytest.raises(ShapeError, match=r"candidates have shape \[3, 1\] .* expected \[441, q\]"):
        Multigrid(a, method="smoothed_aggregation", candidates=torch.ones(3, 1))
    with pytest.raises(ShapeError, match=r"r has shape \[440, 1\], expected \[441, k\]"):
        Multigrid(a)(torch.ones(440, 1, dtype=F64))
    with pytest.raises(InputError, match="degree = 0"):
        Multigrid(a, degree=0)
    with pytest.raises(InputError, match="interval"):
        Multigrid(a, lowest=2.0)
    with pytest.raises(InputError, match="known only by its action"):
        Multigrid(OnlyItsAction())
    monkeypatch.setitem(sys.modules, "pyamg", None)
    with pytest.raises(InputError, match=r'needs pyamg; run: pip install "graphpde\[solvers\]"'):
        Multigrid(a)


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_the_polynomial_is_the_best_on_its_interval(degree: int) -> None:
    q = chebyshev(degree, 0.5, 2.0)
    t = np.linspace(0.5, 2.0, 2001)
    error = np.abs(1 - t * np.polynomial.polynomial.polyval(t, q))
    # Chebyshev's bound 1 / T_k(5/3) is met with equality
    assert error.max() == pytest.approx(1 / np.cosh(degree * np.arccosh(5 / 3)), rel=1e-12)


def test_the_largest_eigenvalue_is_found_from_below() -> None:
    d = torch.linspace(0, 2, 500, dtype=F64)[:, None]
    found = largest_eigenvalue(lambda x: d * x, d)
    assert 2 / 1.1 < found <= 2
