"""The inverses of dense blocks against the blocks themselves, and what they are worth."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved
from graphpde.core.linear_operator import Diagonal, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.solve import LinearSolver
from graphpde.solve.block_jacobi import BlockJacobi
from graphpde.solve.krylov import cg, gmres

F64 = torch.float64
N, C = 24, 3


def ring(n: int = N) -> Relation:
    a, b = torch.arange(n), (torch.arange(n) + 1) % n
    return Relation.from_edges(torch.cat([a, b, a[:4]]), torch.cat([b, a, a[:4]]), n, n)  # four self-loops


def coupled(strength: float = 300.0) -> BlockSparse:
    """Channels that are strongly coupled at each node and weakly to the neighbours: symmetric, positive definite."""
    rel = ring()
    generator = torch.Generator().manual_seed(2)
    root = torch.randn(N, C, C, dtype=F64, generator=generator)
    weight = -0.2 * torch.eye(C, dtype=F64).repeat(rel.n_edges, 1, 1)
    return BlockSparse(rel, weight, strength * root @ root.mT + torch.eye(C, dtype=F64), symmetric=True)


def blocks_of(matrix: Tensor, groups: Tensor) -> Tensor:
    return torch.where(groups[:, None] == groups[None, :], matrix, 0.0)


def test_blocks_at_the_nodes_are_inverted_with_their_self_loops() -> None:
    a = coupled()
    r = torch.randn(2, N, C, dtype=F64)
    dense = blocks_of(torch.from_numpy(a.to_matrix(C).toarray()), torch.arange(N).repeat_interleave(C))
    expected = torch.linalg.solve(dense, r.flatten(1).T).T.view_as(r)
    torch.testing.assert_close(BlockJacobi(a)(r), expected)


@pytest.mark.parametrize("uneven", [False, True])
def test_groups_of_unknowns_are_inverted(uneven: bool) -> None:
    a = Interleaved(coupled(), C)
    labels = torch.arange(N * C) % 5 if uneven else torch.arange(N * C) // 4
    labels = labels * 7 - 3  # any whole numbers
    r = torch.randn(N * C, 2, dtype=F64)
    dense = blocks_of(torch.from_numpy(a.to_scipy().toarray()), labels)
    near = BlockJacobi(a, labels)
    torch.testing.assert_close(near(r), torch.linalg.solve(dense, r))
    assert near(r.float()).dtype == torch.float32
    torch.testing.assert_close(near(r.T[..., None])[1], near(r)[:, 1:])  # batches, too


def test_groups_of_one_are_jacobi_and_one_group_is_the_inverse() -> None:
    rel = ring()
    a = Sparse(rel, -torch.ones(rel.n_edges, dtype=F64), torch.linspace(3, 5, N, dtype=F64), symmetric=True)
    r = torch.randn(N, 1, dtype=F64)
    torch.testing.assert_close(BlockJacobi(a, torch.arange(N))(r), r / a.diagonal()[:, None])
    whole = BlockJacobi(a, torch.zeros(N, dtype=torch.int64))
    torch.testing.assert_close(a.matvec(whole(r)), r)
    assert cg(a, r, precondition=whole).iterations == 1


def test_blocks_save_iterations_where_channels_are_coupled() -> None:
    a, b = coupled(), torch.randn(N, C, dtype=F64)
    taken = {}
    for name, near in (("jacobi", None), ("blocks", BlockJacobi(a))):
        solver = LinearSolver(a, method="cg", precondition=near, rtol=1e-10)
        found = solver.solve(b).checked()
        taken[name] = found.iterations
        assert float((b - a.matvec(found.value)).norm() / b.norm()) <= 1e-10
    assert taken["blocks"] < 0.6 * taken["jacobi"]


def test_nonsymmetric_blocks_suit_gmres() -> None:
    rel = ring()
    generator = torch.Generator().manual_seed(3)
    diag = torch.eye(2, dtype=F64) + 5 * torch.randn(N, 2, 2, dtype=F64, generator=generator)
    a = BlockSparse(rel, 0.05 * torch.randn(rel.n_edges, 2, 2, dtype=F64, generator=generator), diag)
    b = torch.randn(N, 2, dtype=F64)
    near, plain = (gmres(a, b, precondition=p, rtol=1e-9).checked() for p in (BlockJacobi(a), None))
    assert near.iterations < plain.iterations
    torch.testing.assert_close(a.matvec(near.value), b, rtol=1e-6, atol=1e-7)


def test_what_has_no_blocks_is_refused() -> None:
    d = Diagonal(torch.ones(N, dtype=F64))
    with pytest.raises(InputError, match=r"Diagonal has no blocks at its nodes; give groups \[24\]"):
        BlockJacobi(d)
    for wrong in (torch.zeros(N), torch.zeros(3, dtype=torch.int64)):
        with pytest.raises(ShapeError, match=r"expected whole numbers \[24\]"):
            BlockJacobi(d, wrong)
    with pytest.raises(InputError, match="one map for all channels; give Interleaved"):
        BlockJacobi(coupled(), torch.zeros(N, dtype=torch.int64))
    with pytest.raises(InputError, match="group 4 holds 300 unknowns, expected at most 256"):
        BlockJacobi(Diagonal(torch.ones(300, dtype=F64)), torch.full((300,), 4))
    holed = torch.ones(N, dtype=F64)
    holed[7] = 0.0
    with pytest.raises(InputError, match="block of group 7 is singular or not finite"):
        BlockJacobi(Diagonal(holed), torch.arange(N))
    with pytest.raises(InputError, match="block of node 0 is singular or not finite"):
        BlockJacobi(coupled() * float("nan"))
