"""Diffusion on graphs and spaces: the Laplacian, materials, channels, conservation, and everything it refuses."""

from __future__ import annotations

from typing import Any

import networkx as nx
import numpy as np
import pytest
import torch
from torch import Tensor
from torch_geometric.data import Data

from graphpde.core.edge_difference import EdgeDifference
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError, UnknownName
from graphpde.mesh import Mesh, Space, random_cube, random_square, rectangle, sphere
from graphpde.ops import Diffusion

START = torch.tensor(0.0, dtype=torch.float64)


def weighted_graph(seed: int = 0, n: int = 12) -> tuple[Graph, Tensor]:
    """A connected random graph with weights and measure, and its dense Laplacian sum_j w_ij (u_j - u_i)."""
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((n, n)) < 0.35, 1) | np.eye(n, k=1, dtype=bool)
    dense = upper * rng.uniform(0.2, 2.0, (n, n))
    dense = torch.from_numpy(dense + dense.T)
    src, dst = dense.nonzero(as_tuple=True)
    order = torch.from_numpy(rng.permutation(len(src)))
    edges = Relation.from_edges(src[order], dst[order], n, n)
    weight = edges.own(dense[dst, src][order])
    graph = Graph(edges, weight=weight, measure=torch.from_numpy(rng.uniform(0.5, 2.0, n)))
    return graph, dense - torch.diag(dense.sum(1))


def two_materials() -> Mesh:
    mesh = rectangle(4, 4)
    left = mesh.points[mesh.cells["triangle"]].mean(1)[:, 0] < 0.5
    cells = torch.arange(mesh.n_cells)
    return mesh.with_tags(
        copper=mesh.make_tag(2, cells[left]), steel=mesh.make_tag(2, cells[~left]), half=mesh.make_tag(2, cells[::2])
    )


def test_weak_form_and_rate_against_the_dense_matrix() -> None:
    graph, laplacian = weighted_graph()
    u = torch.rand(3, graph.n, 2, dtype=torch.float64)
    term = Diffusion(graph, 0.7)
    assert torch.allclose(term(START, u), 0.7 * laplacian @ u, rtol=1e-13)
    assert torch.allclose(term.rate(START, u), 0.7 * laplacian @ u / graph.measure[:, None], rtol=1e-13)
    assert torch.allclose(term.linearise(START, u).matvec(u), term(START, u))


def test_conductivity_per_edge_and_channel() -> None:
    graph, _ = weighted_graph()
    src, dst = graph.edges.pairs()
    pair = torch.rand(graph.n, graph.n, 2, dtype=torch.float64)
    pair = pair + pair.transpose(0, 1)
    u = torch.rand(graph.n, 2, dtype=torch.float64)
    found = Diffusion(graph, pair[dst, src])(START, u)
    for c in range(2):
        dense = torch.zeros(graph.n, graph.n, dtype=torch.float64)
        dense[dst, src] = graph.weight * pair[dst, src, c]
        expected = dense @ u[:, c] - dense.sum(1) * u[:, c]
        assert torch.allclose(found[:, c], expected, rtol=1e-12)


def test_every_door_takes_the_same_graph() -> None:
    graph = nx.Graph()
    graph.add_nodes_from(range(4))
    graph.add_weighted_edges_from([(0, 1, 2.0), (1, 2, 0.5), (2, 3, 1.0)])
    src, dst, w = [0, 1, 1, 2, 2, 3], [1, 0, 2, 1, 3, 2], [2.0, 2.0, 0.5, 0.5, 1.0, 1.0]
    weight = torch.tensor(w, dtype=torch.float64)
    data = Data(edge_index=torch.tensor([src, dst]), edge_weight=weight, num_nodes=4)
    edges = Relation.from_edges(src, dst, 4, 4)
    own = Graph(edges, weight=edges.own(weight))
    u = torch.tensor([[1.0], [0.0], [3.0], [-1.0]], dtype=torch.float64)
    expected = torch.tensor([[-2.0], [2.0 + 1.5], [-1.5 - 4.0], [4.0]], dtype=torch.float64)
    for domain in (graph, data, own):
        assert torch.allclose(Diffusion(domain)(START, u), expected)
    with pytest.raises(InputError, match="got Mesh, expected a Graph, .*; build Space"):
        Diffusion(rectangle(2, 2))


def test_self_loops_have_no_effect_and_isolated_nodes_keep_their_value() -> None:
    edges = Relation.from_edges([0, 1, 1, 2], [1, 0, 1, 2], 4, 4)  # an edge, two loops, a node alone
    u = torch.tensor([[1.0], [4.0], [5.0], [7.0]], dtype=torch.float64)
    found = Diffusion(Graph(edges))(START, u)
    assert found[:, 0].tolist() == [3.0, -3.0, 0.0, 0.0]
    conserved = Diffusion(Graph(edges), conservative=True)(START, u)
    assert torch.equal(conserved, found)


def test_parallel_edges_add_up() -> None:
    edges = Relation.from_edges([0, 0, 1, 1], [1, 1, 0, 0], 2, 2)
    u = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
    for conservative in (False, True):
        assert Diffusion(Graph(edges), conservative=conservative)(START, u)[:, 0].tolist() == [2.0, -2.0]


@pytest.mark.parametrize(
    "mesh", [random_square(4, seed=1), random_cube(2), sphere(1)], ids=["plane", "solid", "surface"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_edge_differences_are_the_sparse_product(mesh: Mesh, channels: int) -> None:
    space = Space(mesh)
    kappa = torch.rand(space.mesh.n_cells, channels, dtype=torch.float64) + 0.1
    u = torch.rand(2, space.n, channels, dtype=torch.float64)
    sparse, edgewise = Diffusion(space, kappa), Diffusion(space, kappa, conservative=True)
    assert isinstance(sparse.operator, Sparse) and isinstance(edgewise.operator, EdgeDifference)
    assert torch.allclose(sparse(START, u), edgewise(START, u), atol=1e-13)
    # what leaves one node arrives at another, bit by bit; only the final addition rounds
    assert float(edgewise(START, u).sum(-2).abs().max()) <= 1e-14 * space.edges.n_edges


def test_materials_are_conductivities_per_cell() -> None:
    space = Space(two_materials())
    left = space.mesh.points[space.mesh.cells["triangle"]].mean(1)[:, 0] < 0.5
    kappa = torch.where(left, 400.0, 45.0).to(torch.float64)
    by_name = Diffusion(space, {"copper": 400.0, "steel": 45.0}).operator
    rest = Diffusion(space, {"copper": 400.0, "*": 45.0}).operator
    by_cell = Diffusion(space, kappa).operator
    for other in (by_name, rest):
        assert torch.equal(other.weight, by_cell.weight)
    assert Diffusion(space, {"*": 2.0}).operator.weight.allclose(Diffusion(space, 2.0).operator.weight)


def test_number_tensor_and_tensor_of_one_are_the_same() -> None:
    space = Space(random_square(3, seed=1))
    eye = torch.eye(2, dtype=torch.float64)
    reference = Diffusion(space, 0.3).operator.weight
    everywhere = torch.full((space.mesh.n_cells,), 0.3, dtype=torch.float64)
    for kappa in (torch.tensor(0.3, dtype=torch.float64), everywhere[:1], everywhere, 0.3 * eye[None]):
        assert torch.allclose(Diffusion(space, kappa).operator.weight, reference, rtol=1e-12)
    assert torch.allclose(Diffusion(space, everywhere[:, None]).operator.weight[:, 0], reference, rtol=1e-12)
    assert float(Diffusion(space, 0.0).operator.weight.abs().max()) == 0.0


@pytest.mark.grad
def test_gradients_of_conductivities() -> None:
    space = Space(random_square(2, seed=1))
    u = torch.rand(space.n, 2, dtype=torch.float64)
    m = space.mesh.n_cells
    for shape in ((1,), (m,), (1, 2), (m, 2)):
        kappa = (torch.rand(shape, dtype=torch.float64) + 0.5).requires_grad_()
        for conservative in (False, True):
            apply = lambda k, c=conservative: Diffusion(space, k, conservative=c)(START, u)  # noqa: E731
            assert torch.autograd.gradcheck(apply, (kappa,))
    root = torch.rand(1, 2, 2, dtype=torch.float64, requires_grad=True)
    shift = 0.1 * torch.eye(2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda r: Diffusion(space, r @ r.mT + shift)(START, u), (root,))


def test_a_learned_conductivity_is_read_anew_each_time() -> None:
    space = Space(random_square(3, seed=1))
    kappa = torch.nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
    term = Diffusion(space, kappa)
    assert [p.shape for p in term.parameters()] == [(1,)]
    assert term.tensors() == (kappa,)
    u = torch.rand(space.n, 1, dtype=torch.float64)
    before = term(START, u)
    with torch.no_grad():
        kappa *= 3
    assert torch.allclose(term(START, u), 3 * before)
    for _ in range(2):  # a second backward pass finds its own graph
        term(START, u).sum().backward()
    fixed = Diffusion(space, 1.0)
    assert fixed.operator is fixed.operator and fixed.tensors() == ()


def test_float32_stays_float32() -> None:
    space = Space(random_square(3, seed=1))
    u = torch.rand(space.n, 1)
    assert Diffusion(space)(START, u).dtype == torch.float32
    moved = Diffusion(space, torch.ones(space.mesh.n_cells, dtype=torch.float64), conservative=True).to(torch.float32)
    assert moved.domain.dtype == moved.kappa.dtype == torch.float32
    assert moved(START, u).dtype == moved.operator.weight.dtype == torch.float32
    assert torch.allclose(moved(START, u), Diffusion(space)(START, u), atol=1e-5)


# refusals


@pytest.mark.parametrize(
    ("kappa", "error", "message"),
    [
        (-1.0, InputError, r"kappa = -1, expected a finite number >= 0"),
        (float("nan"), InputError, r"kappa = nan, expected a finite number"),
        (float("inf"), InputError, r"kappa = inf, expected a finite number"),
        (torch.tensor([1.0, 2.0]), ShapeError, r"kappa has shape \[2\], expected one entry or one per cell: 32"),
        (torch.ones(32, 2, 3), ShapeError, r"kappa has shape \[32, 2, 3\]"),
        (torch.ones(1, 3, 3), ShapeError, r"kappa has shape \[1, 3, 3\]"),
        (torch.ones(1, 1, 2, 2), ShapeError, r"kappa has shape \[1, 1, 2, 2\]"),
        (torch.full((32,), -1.0), InputError, r"kappa is negative or not finite at 32 cells"),
        (torch.tensor(32 * [1.0]).index_fill(0, torch.tensor([3]), float("inf")), InputError, r"not finite at 1 cells"),
        (torch.full((32, 2), float("nan")), InputError, r"kappa is negative or not finite at 32 cells"),
        (torch.diag(torch.tensor([1.0, -0.1]))[None], InputError, r"kappa is negative or not finite at 1 cells"),
        (torch.full((1, 2, 2), float("nan")), InputError, r"kappa is negative or not finite at 1 cells"),
        (torch.tensor([[[1.0, 0.5], [0.0, 1.0]]]), InputError, r"conductivity tensor of cell 0 is not symmetric"),
        ({"copper": 1.0}, InputError, r"16 of 32 cells of 'rectangle' have no material; name them or give '\*'"),
        ({}, InputError, r"32 of 32 cells of 'rectangle' have no material"),
        ({"coper": 1.0, "*": 1.0}, UnknownName, r"unknown set of cells .* 'coper'; known: .*did you mean 'copper'\?"),
        ({"left": 1.0, "*": 1.0}, UnknownName, r"unknown set of cells of 'rectangle' 'left'; known: \*, copper, half"),
        ({"copper": -1.0, "*": 1.0}, InputError, r"kappa is negative or not finite at 16 cells"),
        ({"copper": float("nan"), "*": 1.0}, InputError, r"kappa is negative or not finite at 16 cells"),
        (
            {"steel": 1.0, "copper": 1.0, "half": 2.0},
            InputError,
            r"16 cells of 'rectangle' lie in two materials, 'copper' and 'half'",
        ),
    ],
)
def test_conductivities_that_are_refused(kappa: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Diffusion(Space(two_materials()), kappa)


def test_one_material_beside_another_is_named_right() -> None:
    """The two names in the message are those that overlap, whatever stands between them."""
    mesh = rectangle(2, 2)
    cells = mesh.make_tag
    mesh = mesh.with_tags(a=cells(2, [0, 1]), b=cells(2, [2, 3]), c=cells(2, [1, 4]))
    with pytest.raises(InputError, match=r"1 cells .* lie in two materials, 'a' and 'c'"):
        Diffusion(Space(mesh), {"a": 1.0, "b": 1.0, "c": 1.0})


def test_graphs_that_are_refused() -> None:
    one_way = Graph(Relation.from_edges([0, 1], [1, 2], 3, 3))
    with pytest.raises(InputError, match="every edge in both directions; this graph is directed"):
        Diffusion(one_way)
    lopsided = Relation.from_edges([0, 1], [1, 0], 2, 2)
    with pytest.raises(InputError, match="equal weights in both directions of every edge"):
        Diffusion(Graph(lopsided, weight=torch.tensor([1.0, 2.0])))
    with pytest.raises(InputError, match="equal weights in both directions"):
        Diffusion(Graph(lopsided), torch.tensor([1.0, 2.0]))
    with pytest.raises(InputError, match="1 edge weights are not finite"):
        Diffusion(Graph(lopsided, weight=torch.tensor([1.0, float("nan")])))
    with pytest.raises(InputError, match="materials by name need a Space; on a graph give kappa per edge"):
        Diffusion(Graph(lopsided), {"a": 1.0})
    with pytest.raises(ShapeError, match=r"kappa has shape \[1, 2, 2\], expected one entry or one per edge: 2"):
        Diffusion(Graph(lopsided), torch.eye(2)[None])


def test_empty_graphs_do_nothing() -> None:
    nothing = Relation.from_edges([], [], 3, 3)
    u = torch.rand(3, 2, dtype=torch.float64)
    assert torch.equal(Diffusion(Graph(nothing))(START, u), torch.zeros_like(u))
    assert torch.equal(Diffusion(Graph(nothing), conservative=True)(START, u), torch.zeros_like(u))
    assert Diffusion(Graph(Relation.from_edges([], [], 0, 0)))(START, u[:0]).shape == (0, 2)


@pytest.mark.parametrize("shape", [(), (1,), (32,), (1, 2), (32, 2)])
def test_a_parameter_stays_one(shape: tuple[int, ...]) -> None:
    space = Space(random_square(4, seed=1))
    kappa = torch.nn.Parameter(torch.full(shape, 0.5, dtype=torch.float64))
    term = Diffusion(space, kappa)
    assert term.kappa is kappa and list(term.parameters()) == [kappa]
    assert [w is kappa for w in term.tensors()] == [True]
    term(START, torch.rand(space.n, 2, dtype=torch.float64)).square().sum().backward()
    assert kappa.grad is not None and kappa.grad.shape == kappa.shape


@pytest.mark.parametrize("count", [1, 32])
def test_a_learned_conductivity_tensor_stays_symmetric(count: int) -> None:
    """Its gradient is symmetric, so a step of any size along it is accepted again."""
    space = Space(random_square(4, seed=1))
    kappa = torch.nn.Parameter(torch.eye(2, dtype=torch.float64).repeat(count, 1, 1))
    u = torch.rand(space.n, 1, dtype=torch.float64)
    (Diffusion(space, kappa)(START, u) * torch.rand(space.n, 1, dtype=torch.float64)).sum().backward()
    assert kappa.grad is not None and float(kappa.grad.abs().max()) > 0
    assert torch.equal(kappa.grad, kappa.grad.mT)


def test_where_a_term_is_built_does_not_matter() -> None:
    """Built without gradients, a learned conductivity must still not be kept."""
    space = Space(random_square(3, seed=1))
    kappa = torch.ones(1, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        term = Diffusion(space, kappa)
    assert term(START, torch.rand(space.n, 1, dtype=torch.float64)).requires_grad


def test_materials_that_are_learned_follow_their_tensor() -> None:
    """Built under no_grad, updated in place, differentiated twice in a row."""
    mesh = rectangle(2, 2)
    mesh = mesh.with_tags(a=mesh.make_tag(2, [0, 1, 2]))
    p = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        term = Diffusion(Space(mesh), {"a": p, "*": 1.0})
    assert [w is p for w in term.tensors()] == [True]
    for value in (2.0, 5.0):
        with torch.no_grad():
            p.copy_(torch.tensor(value))
        plain = Diffusion(Space(mesh), {"a": value, "*": 1.0}).operator.to_scipy().toarray()
        assert abs(term.operator.to_scipy().toarray() - plain).max() < 1e-14
        term.operator.diagonal().sum().backward()
    assert float(p.grad) < 0


def test_what_is_no_conductivity() -> None:
    with pytest.raises(InputError, match="kappa is a str, expected a number"):
        Diffusion(Space(rectangle(2, 2)), "copper")
