"""Eigenpairs against closed forms and LAPACK, by every method; their derivatives; what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from scipy.linalg import eigh
from torch import Tensor

from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError, SolveError
from graphpde.mesh import Space, interval, jittered, rectangle, sphere
from graphpde.ops import Diffusion
from graphpde.ops.elasticity import Elasticity
from graphpde.solve.eigen import eigenpairs
from graphpde.solve.linear import LinearSolver

F64 = torch.float64
METHODS = ["dense", "factored", "lobpcg"]


def laplacian(space: Space, kappa: float | Tensor = 1.0) -> LinearOperator:
    return Diffusion(space, kappa).operator * -1.0


@pytest.mark.parametrize("method", METHODS)
def test_the_interval_has_its_known_eigenvalues(method: str) -> None:
    """Linear elements with lumped mass and free ends: (2 / h)^2 sin^2(j pi h / 2)."""
    n = 100
    space = Space(interval(n))
    found = eigenpairs(laplacian(space), space.measure, k=5, method=method).checked()
    h = 1 / n
    exact = torch.tensor([(2 / h * math.sin(j * math.pi * h / 2)) ** 2 for j in range(5)], dtype=F64)
    torch.testing.assert_close(found.values, exact, rtol=1e-9, atol=1e-7)
    gram = found.vectors.T @ (space.measure[:, None] * found.vectors)
    torch.testing.assert_close(gram, torch.eye(5, dtype=F64), rtol=0, atol=1e-7)
    assert found.method == method


@pytest.mark.parametrize("method", METHODS)
def test_multiple_eigenvalues_of_the_sphere(method: str) -> None:
    """l (l + 1), 2 l + 1 times each, with the consistent mass."""
    space = Space(sphere(3), lumped=False)
    found = eigenpairs(laplacian(space), space.consistent_mass, k=9, method=method).checked()
    exact = torch.tensor([0.0] + 3 * [2.0] + 5 * [6.0], dtype=F64)
    assert float((found.values - exact).abs().max()) < 0.02 * 6
    assert float(found.values[0].abs()) < 1e-7
    dense = eigenpairs(laplacian(space), space.consistent_mass, k=9, method="dense")
    torch.testing.assert_close(found.values, dense.values, rtol=1e-8, atol=1e-8)


def test_values_have_their_derivatives() -> None:
    space = Space(rectangle(9, 6))
    kappa = (1 + 0.3 * torch.rand(space.mesh.n_cells, dtype=F64)).requires_grad_()
    weights = torch.tensor([0.0, 1.0, -2.0, 0.5], dtype=F64)

    def value(k: Tensor) -> Tensor:
        return (weights * eigenpairs(laplacian(space, k), space.measure, k=4, rtol=1e-10).values).sum()

    assert torch.autograd.gradcheck(value, (kappa,), atol=1e-6, fast_mode=True)


def test_a_preconditioner_is_used() -> None:
    space = Space(rectangle(30, 30))
    a, calls = laplacian(space), []
    solver = LinearSolver(a + Diagonal(space.measure))

    def near(r: Tensor) -> Tensor:
        calls.append(1)
        return solver.solve(r).value

    found = eigenpairs(a, space.measure, k=3, method="lobpcg", precondition=near).checked()
    assert 0 < len(calls) < 40
    dense = eigenpairs(a, space.measure, k=3, method="dense")
    torch.testing.assert_close(found.values, dense.values, rtol=1e-8, atol=1e-7)


@pytest.mark.parametrize("held", ["nothing", "nodes", "entries"])
@pytest.mark.parametrize("method", ["factored", "lobpcg"])
def test_channels_that_couple_and_what_is_held(method: str, held: str) -> None:
    """The eigenvalues of the free block by LAPACK; vectors vanish where something is held."""
    space = Space(jittered(rectangle(8, 4, width=2.0), 0.1, seed=0), lumped=False)
    a, left = -Elasticity(space, 3.0, 0.3).operator, space.tag("left").nodes
    mask = {"nothing": None, "nodes": torch.zeros(space.n, dtype=torch.bool)}.get(
        held, torch.zeros(space.n, 2, dtype=torch.bool)
    )
    if mask is not None:
        mask[left] = torch.tensor(True) if held == "nodes" else torch.tensor([True, False])
    found = eigenpairs(
        a, space.consistent_mass, k=5, method=method, held=mask, rtol=1e-7, max_iterations=2000
    ).checked()
    assert found.vectors.shape == (space.n, 2, 5)
    free = torch.ones(space.n, 2, dtype=torch.bool) if mask is None else ~mask.reshape(space.n, -1).expand(-1, 2)
    keep = free.reshape(-1).numpy()
    parts = (x.to_matrix(2).toarray()[keep][:, keep] for x in (a, space.consistent_mass))
    exact = torch.from_numpy(eigh(*parts, eigvals_only=True)[:5])
    torch.testing.assert_close(found.values, exact, rtol=1e-7, atol=1e-7)
    assert not bool(found.vectors[~free].any())
    gram = torch.einsum("ncj,ncl->jl", found.vectors, space.consistent_mass(found.vectors.movedim(2, 0)).movedim(0, 2))
    torch.testing.assert_close(gram, torch.eye(5, dtype=F64), rtol=0, atol=1e-6)


def test_a_membrane_with_a_held_rim() -> None:
    space = Space(rectangle(24, 24), "p2")
    rim = torch.zeros(space.n, dtype=torch.bool)
    rim[space.tag("boundary").nodes] = True
    for method in ("dense", "factored"):
        found = eigenpairs(laplacian(space), space.consistent_mass, k=4, held=rim, method=method).checked()
        exact = math.pi**2 * torch.tensor([2.0, 5.0, 5.0, 8.0], dtype=F64)
        torch.testing.assert_close(found.values, exact, rtol=1e-4, atol=0)


def test_what_did_not_converge_is_said() -> None:
    space = Space(rectangle(30, 30))
    found = eigenpairs(laplacian(space), space.measure, k=4, method="lobpcg", max_iterations=2)
    with pytest.raises(SolveError, match="residuals up to .* allow more iterations"):
        found.checked()


def test_refusals() -> None:
    space = Space(rectangle(3, 3))
    a = laplacian(space)
    rel = Relation.from_edges([0, 1], [1, 2], 3, 3)
    lopsided = Sparse(rel, torch.ones(2, dtype=F64), torch.ones(3, dtype=F64))
    with pytest.raises(InputError, match="symmetric"):
        eigenpairs(lopsided)
    with pytest.raises(InputError, match="k = 17"):
        eigenpairs(a, k=17)
    held = torch.ones(16, dtype=torch.bool)
    held[0] = False
    with pytest.raises(InputError, match="k = 2, expected a whole number between 1 and the 1 unknowns that are free"):
        eigenpairs(a, k=2, held=held)
    with pytest.raises(ShapeError, match=r"held is torch.bool \[5\], expected one truth value a node, \[16\]"):
        eigenpairs(a, k=2, held=held[:5])
    with pytest.raises(InputError, match="unknown eigenvalue method 'qr'"):
        eigenpairs(a, k=2, method="qr")
    with pytest.raises(ShapeError, match="expected \\[16\\]"):
        eigenpairs(a, torch.ones(5, dtype=F64), k=2)
    with pytest.raises(InputError, match="one by one"):
        eigenpairs(a * torch.tensor([1.0, 2.0], dtype=F64), k=2)
