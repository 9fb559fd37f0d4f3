"""Every linear operator against its own matrix; the Laplacian in both forms; conservation over many steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse, Interleaved
from graphpde.core.combined import Pinned, Scaled, Summed, pin
from graphpde.core.edge_difference import EdgeDifference
from graphpde.core.graph import Graph
from graphpde.core.jacobian import Action, BlockDiagonal
from graphpde.core.linear_operator import Diagonal, LinearOperator, Sparse, as_matrix
from graphpde.core.neighbors import knn
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.graff import ChannelMixing
from graphpde.graph_diffusion.gread import BlurredSharpening

F64 = torch.float64
N = 7


def symmetric(n: int = N, channels: int | None = None, seed: int = 0) -> tuple[Graph, Tensor]:
    """A graph with a parallel pair, a self-loop and an isolated last node, and symmetric weights [e] or [e, c]."""
    a = [0, 1, 2, 3, 0, 1, 1, *range(4, n - 2)]
    b = [1, 2, 3, 4, 3, 4, 2, *range(5, n - 1)]
    w = torch.rand(len(a), channels or 1, dtype=F64, generator=torch.Generator().manual_seed(seed)) + 0.5
    rel = Relation.from_edges([*a, *b, 2], [*b, *a, 2], n, n)
    own = rel.own(torch.cat([w, w, torch.ones(1, w.shape[1], dtype=F64)]))
    weight = own if channels else own[:, 0]
    return Graph(rel, weight=None if channels else weight), weight


def sparse(channels: int | None = None) -> Sparse:
    rel = Relation.from_edges([0, 1, 5, 3, 3, 2], [2, 0, 0, 1, 1, 2], N, N)
    shape = (channels,) if channels else ()
    return Sparse(rel, torch.randn(6, *shape, dtype=F64), torch.randn(N, *shape, dtype=F64))


def edge_difference(channels: int | None = None) -> EdgeDifference:
    graph, weight = symmetric(channels=channels)
    found = graph.incidence
    matrix = Sparse.laplacian(graph.edges, weight, symmetric=True)
    return EdgeDifference(found, weight[found.edge], matrix)


def action() -> Action:
    a = torch.randn(N, N, dtype=F64)
    return Action(N, lambda x: a @ x, lambda x: a.T @ x)


MAKERS: dict[type[LinearOperator], list[Callable[[], LinearOperator]]] = {
    Diagonal: [lambda: Diagonal(torch.randn(N, dtype=F64)), lambda: Diagonal(torch.randn(N, 3, dtype=F64))],
    Sparse: [
        sparse,
        lambda: sparse(3),
        lambda: sparse() + Diagonal(torch.randn(N, 3, dtype=F64)),
        lambda: Sparse.laplacian(*laplacian_parts(), symmetric=True),
    ],
    EdgeDifference: [edge_difference, lambda: edge_difference(3)],
    Scaled: [
        lambda: action() * 2.5,
        lambda: Scaled(sparse(), torch.tensor(-0.5, dtype=F64)),
        lambda: Scaled(sparse(), torch.tensor([1.0, -2.0, 0.5], dtype=F64)),
        lambda: mixing_action() * torch.tensor([1.0, -2.0, 0.5], dtype=F64),
    ],
    Summed: [lambda: sparse() + edge_difference(), lambda: sparse(3) + sparse(), lambda: action() + sparse()],
    BlockDiagonal: [lambda: BlockDiagonal(torch.randn(N, 3, 3, dtype=F64))],
    BlockSparse: [lambda: block_sparse(3)],
    Interleaved: [lambda: Interleaved(block_sparse(1), 1)],
    Action: [action],
    BlurredSharpening: [lambda: BlurredSharpening(sparse()), lambda: BlurredSharpening(sparse(3))],
    ChannelMixing: [lambda: ChannelMixing(sparse(), *torch.randn(2, 3, 3, dtype=F64))],
    Pinned: [
        lambda: pin(edge_difference(), mask()),
        lambda: pin(edge_difference(3), mask()),
        lambda: pin(action(), mask()),
    ],
}


def block_sparse(c: int) -> BlockSparse:
    relation = symmetric()[0].edges
    return BlockSparse(relation, torch.randn(relation.n_edges, c, c, dtype=F64), torch.randn(N, c, c, dtype=F64))


def mixing_action() -> Action:
    """Channels mix and nobody can tell from outside."""
    blocks = BlockDiagonal(torch.randn(N, 3, 3, dtype=F64))
    return Action(N, blocks.matvec, blocks.transpose().matvec)


def laplacian_parts() -> tuple[Relation, Tensor]:
    graph, weight = symmetric()
    return graph.edges, weight


def mask() -> Tensor:
    return torch.arange(N) % 3 == 1


def holds_an_action(a: LinearOperator) -> bool:
    return isinstance(a, Action) or any(holds_an_action(b) for b in vars(a).values() if isinstance(b, LinearOperator))


def subclasses(of: type[LinearOperator] = LinearOperator) -> Iterator[type[LinearOperator]]:
    for kind in of.__subclasses__():
        if kind.__module__.startswith("graphpde."):
            yield kind
        yield from subclasses(kind)


@pytest.fixture(
    params=[
        pytest.param(make, id=f"{kind.__name__}-{k}") for kind, all_ in MAKERS.items() for k, make in enumerate(all_)
    ]
)
def operator(request: pytest.FixtureRequest) -> LinearOperator:
    return request.param()


def dense(a: LinearOperator, c: int = 3) -> Tensor:
    """The action on every unit vector of [n, c], as a matrix [n c, n c]."""
    units = torch.eye(a.n * c, dtype=F64).reshape(-1, a.n, c)
    return torch.stack([a(unit).flatten() for unit in units], 1)


def test_every_kind_of_operator_is_examined() -> None:
    missing = {kind.__name__ for kind in subclasses()} - {kind.__name__ for kind in MAKERS}
    assert not missing, f"give an example of {missing} in MAKERS"
    for kind, makers in MAKERS.items():
        assert all(isinstance(make(), kind) for make in makers)


def test_the_transpose_is_the_adjoint_and_the_declared_symmetry_holds(operator: LinearOperator) -> None:
    a = dense(operator)
    torch.testing.assert_close(dense(operator.transpose()), a.T)
    torch.testing.assert_close(dense(operator.transpose().transpose()), a)
    if operator.symmetric:
        torch.testing.assert_close(a, a.T)


def test_the_matrix_is_the_action_on_units(operator: LinearOperator) -> None:
    try:
        operator.to_scipy()
    except InputError as error:
        assert "known only by its action; use a Krylov solver" in str(error)
        return
    a = dense(operator).reshape(N, 3, N, 3)
    for channel in range(3):
        matrix = torch.from_numpy(operator.to_scipy(channel).toarray())
        torch.testing.assert_close(matrix, a[:, channel, :, channel])
        torch.testing.assert_close(torch.from_numpy(as_matrix(operator).to_scipy(channel).toarray()), matrix)
    for one in range(3):
        for other in range(3):
            assert one == other or float(a[:, one, :, other].abs().max()) == 0.0


def test_the_diagonal_is_that_of_the_matrix(operator: LinearOperator) -> None:
    d = operator.diagonal()
    if d is not None:
        expected = dense(operator).diagonal().reshape(N, 3)
        torch.testing.assert_close(d[:, None].expand(N, 3) if d.dim() == 1 else d, expected)


def test_sums_multiples_and_differences(operator: LinearOperator) -> None:
    a = dense(operator)
    per_channel = torch.tensor([2.0, -1.0, 0.25], dtype=F64)
    rows = per_channel.repeat(N)[:, None]
    for other in (sparse(), Diagonal(torch.randn(N, 3, dtype=F64)), edge_difference(), operator):
        b = dense(other)
        torch.testing.assert_close(dense(operator + other), a + b)
        torch.testing.assert_close(dense(other - operator), b - a)
        torch.testing.assert_close(dense((operator + other).transpose()), (a + b).T)
    for factor in (3.0, torch.tensor(3.0), torch.tensor(3.0, dtype=F64)):
        torch.testing.assert_close(dense(factor * operator), 3 * a)
        torch.testing.assert_close(dense((operator * factor).transpose()), 3 * a.T)
    torch.testing.assert_close(dense(operator * per_channel), rows * a)
    torch.testing.assert_close(dense((operator * per_channel).transpose()), (rows * a).T)
    torch.testing.assert_close(dense(2.0 * (operator * per_channel).transpose()), 2 * (rows * a).T)
    torch.testing.assert_close(dense(-operator), -a)
    if (operator * per_channel).symmetric:
        torch.testing.assert_close(rows * a, (rows * a).T)
    with pytest.raises(ShapeError, match=r"factor has shape \[7, 3\], expected a number or one per channel"):
        operator * torch.ones(N, 3)


def test_pinning_eliminates_rows_and_columns(operator: LinearOperator) -> None:
    fixed = mask()
    free = (~fixed).to(F64).repeat_interleave(3)
    expected = free[:, None] * dense(operator) * free + torch.diag(1 - free)
    pinned = pin(operator, fixed)
    torch.testing.assert_close(dense(pinned), expected)
    torch.testing.assert_close(dense(pinned.transpose()), expected.T)
    assert pin(operator, None) is operator
    for wrong in (torch.tensor([0, 3]), fixed[:3], fixed[:, None]):
        with pytest.raises(ShapeError, match=r"expected one truth value a node: \[7\]"):
            pin(operator, wrong)


def test_pinning_eliminates_single_entries(operator: LinearOperator) -> None:
    fixed = torch.zeros(N, 3, dtype=torch.bool)
    fixed[1], fixed[2, 0], fixed[4, 2] = True, True, True
    free = (~fixed).to(F64).reshape(-1)
    expected = free[:, None] * dense(operator) * free + torch.diag(1 - free)
    pinned = pin(operator, fixed)
    torch.testing.assert_close(dense(pinned), expected)
    torch.testing.assert_close(dense(pinned.transpose()), expected.T)
    if not holds_an_action(operator):
        torch.testing.assert_close(torch.from_numpy(pinned.to_matrix(3).toarray()), expected)
    if pinned.diagonal() is not None:
        torch.testing.assert_close(pinned.diagonal().expand(N, 3).reshape(-1), expected.diagonal())


def test_another_type_and_the_batch(operator: LinearOperator) -> None:
    x = torch.randn(2, 4, N, 3, dtype=F64)
    y = operator(x)
    torch.testing.assert_close(y[1, 2], operator(x[1, 2]))
    if not holds_an_action(operator):  # what a closure holds does not move
        single = operator.to(dtype=torch.float32)(x.float())
        assert single.dtype == torch.float32
        torch.testing.assert_close(single.double(), y, rtol=1e-4, atol=1e-4)
        assert operator(x.float()).dtype == torch.float32, "the state decides"


def test_gradients_reach_the_tensors_an_operator_names(operator: LinearOperator) -> None:
    x = torch.randn(N, 3, dtype=F64)
    weights = [w.requires_grad_() for w in operator.tensors() if w.is_leaf]
    if not weights:
        assert not operator(x).requires_grad
        return
    operator(x).square().sum().backward()
    reached = [w.grad is not None for w in weights]
    assert all(reached) if isinstance(operator, Diagonal | Sparse | BlockDiagonal) else any(reached)


def test_both_forms_of_the_laplacian_have_the_same_gradients() -> None:
    graph, weight = symmetric()
    found = graph.incidence
    x = torch.randn(N, 2, dtype=F64).requires_grad_()

    def by_edges(w: Tensor, x: Tensor) -> Tensor:
        full = torch.zeros_like(weight).index_copy(0, found.edge, w)
        return EdgeDifference(found, w, Sparse.laplacian(graph.edges, full))(x)

    w = weight[found.edge].requires_grad_()
    assert torch.autograd.gradcheck(by_edges, (w, x), check_forward_ad=True)
    assert torch.autograd.gradcheck(lambda w, x: Sparse.laplacian(graph.edges, w)(x), (weight.requires_grad_(), x))


def test_sizes_that_do_not_fit_are_refused(operator: LinearOperator) -> None:
    with pytest.raises(ShapeError, match=r"x has shape \[3, 2\], expected \[\*, 7, c\]"):
        operator(torch.ones(3, 2))
    with pytest.raises(ShapeError, match="operators act on 7 and 2 nodes, expected the same"):
        operator + Diagonal(torch.ones(2))


# the Laplacian


@pytest.mark.parametrize("channels", [None, 3])
def test_the_laplacian_has_zero_row_sums_and_is_symmetric_and_negative(channels: int | None) -> None:
    graph, weight = symmetric(channels=channels)
    a = -dense(Sparse.laplacian(graph.edges, weight))
    assert float(a.sum(1).abs().max()) <= 1e-14
    assert torch.equal(a, a.T)
    assert float(torch.linalg.eigvalsh(a).min()) >= -1e-14
    isolated = slice(3 * (N - 1), 3 * N)
    assert float(a[isolated].abs().max()) == 0.0


def test_symmetry_is_declared_never_assumed() -> None:
    arrows = Relation.from_edges([0, 1], [1, 2], 3, 3)
    a = Sparse.laplacian(arrows, torch.tensor([1.0, 2.0], dtype=F64))
    assert not a.symmetric
    torch.testing.assert_close(dense(a.transpose(), 1), dense(a, 1).T)


@pytest.mark.parametrize("channels", [None, 3])
def test_edge_by_edge_is_the_same_laplacian(channels: int | None) -> None:
    edges = edge_difference(channels)
    x = torch.randn(4, N, 3, dtype=F64)
    assert float((edges(x) - edges.matrix(x)).abs().max()) <= 1e-14 * float(edges.matrix.diag.abs().max()) * 4
    # one flux for both ends: a field of whole numbers loses nothing at all
    whole = edge_difference() * 0.0
    whole = EdgeDifference(whole.incidence, torch.full_like(whole.weight, 3.0), whole.matrix)
    y = whole(torch.randint(-50, 50, (N, 2)).to(F64))
    assert y.sum(0).tolist() == [0.0, 0.0]


def closed_surface(n: int) -> Graph:
    """Points on a sphere joined to their neighbours, every edge in both directions."""
    k = torch.arange(n, dtype=F64) + 0.5
    height, angle = 1 - 2 * k / n, k * torch.pi * (1 + 5**0.5)
    ring = (1 - height**2).sqrt()
    points = torch.stack([ring * angle.cos(), ring * angle.sin(), height], 1)
    src, dst = knn(points, 6).pairs()
    rel = Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), n, n, coalesce=True)
    length = (points[rel.pairs()[0]] - points[rel.pairs()[1]]).norm(dim=1)
    return Graph(rel, pos=points, weight=1 / length, measure=torch.rand(n, dtype=F64) + 0.5)


def mass_drift(steps: int) -> float:
    graph = closed_surface(1000)
    found = graph.incidence
    laplacian = EdgeDifference(found, graph.weight[found.edge], Sparse.laplacian(graph.edges, graph.weight))
    m = graph.measure[:, None]
    dt = 0.9 / float((laplacian.matrix.diag.abs() / graph.measure).max())
    u = torch.exp(-8 * (graph.pos - graph.pos[0]).square().sum(1, keepdim=True))
    before = float(graph.integral(u))
    start = float(graph.norm(u - before / float(graph.measure.sum())))
    with torch.no_grad():
        for _ in range(steps):
            u = u + dt * laplacian.matvec(u) / m
    assert float(graph.norm(u - before / float(graph.measure.sum()))) < 1e-3 * start, "it did diffuse"
    return abs(float(graph.integral(u)) - before) / before


@pytest.mark.long
def test_mass_is_kept_over_twenty_thousand_explicit_steps() -> None:
    assert mass_drift(20_000) <= 1e-12


@pytest.mark.slow
@pytest.mark.long
def test_mass_is_kept_over_a_hundred_thousand_explicit_steps() -> None:
    assert mass_drift(100_000) <= 1e-12
