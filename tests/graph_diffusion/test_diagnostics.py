"""Energy, spectrum and collapse against dense matrices, gradients against derivatives by hand."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from graphpde.core.graph import Graph
from graphpde.core.networks import watts_strogatz
from graphpde.core.normalise import normalised
from graphpde.core.relation import Relation
from graphpde.data import load
from graphpde.errors import GraphError, InputError, ShapeError
from graphpde.graph_diffusion import (
    MODELS,
    Acmp,
    Attention,
    Classifier,
    Dropout,
    Gcn,
    Grand,
    Integration,
    Known,
    PdeGcn,
)
from graphpde.graph_diffusion.classification import known as told
from graphpde.graph_diffusion.collapse import collapse_time, energy_decay, every_eigenvalue, spectrum
from graphpde.graph_diffusion.diagnostics import energies, gradient_norms, natural_kind, states_of
from graphpde.graph_diffusion.smoothing import KINDS, Smoothing, dirichlet_energy

DATA = Path(__file__).parents[2] / ".." / "shared" / "data" / "graphs"


def dense(graph: Graph, kind: str, loops: float) -> tuple[torch.Tensor, torch.Tensor]:
    """L in coordinates in which it is symmetric, and the degrees, from the edges one by one."""
    w = torch.zeros(graph.n, graph.n, dtype=torch.float64)
    for j, i, value in zip(*(end.tolist() for end in graph.edges.pairs()), graph.weight.tolist()):
        w[i, j] += value
    for i in range(graph.n):
        if w[i, i] == 0:
            w[i, i] = loops
    d = w.sum(1)
    if kind == "combinatorial":
        return torch.diag(d) - w, d
    root = torch.where(d > 0, d, 1.0).sqrt()
    return torch.diag((d > 0).double()) - w / root[:, None] / root, d


@pytest.fixture(scope="module")
def parted() -> Graph:
    """Two components with weights, one node with a loop and one without any edge."""
    ring, small = watts_strogatz(14, 4, 0.3, seed=1), watts_strogatz(7, 2, 0.0, seed=0)
    (a, b), (c, d) = ring.edges.pairs(), small.edges.pairs()
    src, dst = torch.cat([a, c + 14, torch.tensor([3])]), torch.cat([b, d + 14, torch.tensor([3])])
    edges = Relation.from_edges(src, dst, 22, 22)
    ends = edges.pairs()
    return Graph(edges, weight=(1 + (ends[0] * ends[1]) % 5).double())


@pytest.mark.parametrize("loops", [0.0, 1.0])
@pytest.mark.parametrize("kind", KINDS)
def test_the_energy_is_that_of_the_matrix(parted: Graph, kind: str, loops: float) -> None:
    u = torch.randn(2, 22, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    matrix, d = dense(parted, kind, loops)
    v = u * torch.where(d > 0, d, 1.0).sqrt()[:, None] if kind == "random_walk" else u
    expected, size = (v * (matrix @ v)).sum((1, 2)), v.square().sum((1, 2))
    torch.testing.assert_close(dirichlet_energy(parted, u, kind, False, loops=loops), expected)
    torch.testing.assert_close(dirichlet_energy(parted, u, kind, loops=loops), expected / size)
    assert torch.autograd.gradcheck(lambda x: dirichlet_energy(parted, x, kind, loops=loops), u.requires_grad_())


@pytest.mark.parametrize("kind", KINDS)
def test_the_limit_is_that_of_the_matrix_exponential(parted: Graph, kind: str) -> None:
    u = torch.randn(22, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    matrix, d = dense(parted, kind, 1.0)
    root = d.sqrt()[:, None] if kind == "random_walk" else torch.ones(22, 1, dtype=torch.float64)
    expected = torch.linalg.matrix_exp(-1e4 * matrix) @ (root * u) / root
    smoothing = Smoothing.of(parted, kind)
    torch.testing.assert_close(smoothing.limit(u), expected, rtol=1e-9, atol=1e-9)
    assert float(smoothing.energy(smoothing.limit(u))) < 1e-28
    assert float(smoothing.distance(smoothing.limit(u))) < 1e-14
    torch.testing.assert_close(
        smoothing.distance(u), ((root * (u - expected)).norm() / (root * u).norm()), rtol=1e-9, atol=0
    )
    if kind == "random_walk":  # constants, the same on both sides of nothing
        assert float(smoothing.limit(u)[:14].std(0).max()) < 1e-14


def test_an_eigenvector_decays_at_its_rate() -> None:
    graph = watts_strogatz(40, 4, 0.2, seed=3)
    found, smoothing = spectrum(graph, k=3), Smoothing.of(graph)
    matrix, _ = dense(graph, "symmetric", 1.0)
    rest, t = smoothing.limit(torch.ones(40, 1, dtype=torch.float64)), 7.5
    for value, mode in zip(found.values, found.vectors.T[:, :, None]):
        later = torch.linalg.matrix_exp(-t * matrix) @ (rest + mode)
        ratio = dirichlet_energy(graph, later, normalised=False) / dirichlet_energy(graph, mode, normalised=False)
        assert float(ratio) == pytest.approx(math.exp(-2 * float(value) * t), rel=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_both_ends_of_the_spectrum(parted: Graph, kind: str) -> None:
    matrix, _ = dense(parted, kind, 1.0)
    every = torch.linalg.eigvalsh(matrix)
    found = spectrum(parted, kind, 5)
    assert found.zeros == 3 and found.sizes.tolist() == [14, 7, 1]
    torch.testing.assert_close(found.values, every[3:8])
    torch.testing.assert_close(found.highest, every.flip(0)[:5], rtol=1e-6, atol=0)
    torch.testing.assert_close(matrix @ found.vectors, found.vectors * found.values)
    for part, nodes in enumerate((range(14), range(14, 21))):
        own = torch.linalg.eigvalsh(matrix[list(nodes)][:, list(nodes)])
        assert float(found.gaps[part]) == pytest.approx(float(own[1]), rel=1e-9)
    assert math.isinf(float(found.gaps[2])) and found.gap == float(found.values[0])


def test_large_components_have_the_same_modes() -> None:
    graph = watts_strogatz(450, 6, 0.2, seed=0)
    every = torch.linalg.eigvalsh(dense(graph, "symmetric", 1.0)[0])
    torch.testing.assert_close(spectrum(graph, k=4).values, every[1:5], rtol=1e-6, atol=0)


@pytest.mark.parametrize("steps", [False, True])
@pytest.mark.parametrize("kind", ["symmetric", "random_walk"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_the_collapse_comes_when_the_gap_says(pieces: int, kind: str, steps: bool) -> None:
    graph = Graph.union([watts_strogatz(120, 4, 0.1, seed=1), watts_strogatz(60, 4, 0.3, seed=2)][:pieces])
    u0 = torch.randn(graph.n, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = collapse_time(graph, u0, 0.01, kind=kind, steps=steps, alpha=0.5)
    assert found.predicted == pytest.approx(found.measured, rel=0.05)
    assert 0 < found.measured <= found.bound and found.gap == spectrum(graph, kind).gap
    matrix, d = dense(graph, kind, 1.0)
    v = u0 * d.sqrt()[:, None] if kind == "random_walk" else u0
    identity = torch.eye(graph.n, dtype=torch.float64)
    values, vectors = torch.linalg.eigh(identity - 0.5 * matrix if steps else torch.linalg.matrix_exp(-0.5 * matrix))
    at = (vectors.T @ v) * (values.abs() ** found.measured)[:, None]
    moving = values < 1 - 1e-9
    left = float(at[moving].norm() / (vectors.T @ v)[moving].norm())
    assert left == pytest.approx(0.01, rel=2e-3)  # log-linear between moments, a few hundredths of an e-folding apart


@pytest.mark.parametrize("steps", [False, True])
def test_the_energy_decays_as_predicted(steps: bool) -> None:
    graph = Graph.union([watts_strogatz(30, 4, 0.2, seed=1), watts_strogatz(12, 4, 0.3, seed=2)])
    u0 = torch.rand(graph.n, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    times = [0.0, 1.0, 7.0, 60.0]
    whole = energy_decay(graph, u0, times, steps=steps, modes=graph.n - 2)
    assert whole.predicted == pytest.approx(whole.measured, rel=1e-8)
    few = energy_decay(graph, u0, times, steps=steps, modes=6)
    assert few.measured == whole.measured
    assert few.predicted[-1] == pytest.approx(few.measured[-1], rel=1e-3) and few.predicted[0] < 0.5 * few.measured[0]
    every = every_eigenvalue(graph)
    torch.testing.assert_close(every, torch.linalg.eigvalsh(dense(graph, "symmetric", 1.0)[0]))


def test_few_modes_say_less() -> None:
    graph = watts_strogatz(60, 4, 0.2, seed=5)
    rough = spectrum(graph, k=59).vectors[:, -1:]
    assert math.isnan(collapse_time(graph, rough, 0.1, modes=2).predicted)
    alone = collapse_time(graph, spectrum(graph, k=1).vectors, 0.1, modes=1)
    assert alone.share == pytest.approx(1) and alone.predicted == pytest.approx(alone.bound)


@pytest.mark.parametrize("name", MODELS)
def test_states_of_every_model(name: str) -> None:
    data = load("karate").undirected()
    model = MODELS[name](34, 8, 4)
    if isinstance(model, Classifier):
        model.time = 1.0
    known = told(model, data.splits[0].train, data.y, labels=True)
    found = states_of(model, data.graph, data.x, known=known)
    assert len(found.positions) == len(found.states) and all(len(u) == 34 for u in found.states)
    assert model.training and all(not u.requires_grad for u in found.states)
    said = energies(model, data.graph, data.x, known=known)
    assert all(0 <= e <= 2 for e in said.energy) and all(0 <= d <= 1 for d in said.distance)
    with torch.no_grad():
        model.eval()
        last = model.decode(found.states[-1]) if found.unit == "time" else found.states[-1]
        # the pieces between the times end where the steps of one go would not
        torch.testing.assert_close(last, model(data.graph, data.x, known), rtol=1e-2, atol=1e-2)


def test_states_at_asked_positions() -> None:
    data = load("karate").undirected()
    grand, gcn = Grand(34, 8, 4, time=3.0), Gcn(34, 8, 4, layers=4)
    assert states_of(grand, data.graph, data.x, [0.0, 0.5, 9.0]).positions == [0.0, 0.5, 9.0]
    every, some = states_of(gcn, data.graph, data.x), states_of(gcn, data.graph, data.x, layers=[1, 3])
    assert torch.equal(some.states[1], every.states[2]) and some.positions == [1.0, 3.0]
    with pytest.raises(InputError, match="which does not evolve"):
        states_of(gcn, data.graph, data.x, [0.0, 1.0])
    with pytest.raises(InputError, match="layers 1 to 4"):
        states_of(gcn, data.graph, data.x, layers=[5])
    with pytest.raises(InputError, match="rising times"):
        states_of(grand, data.graph, data.x, [1.0, 0.5])
    with pytest.raises(ShapeError, match="3 rows"):
        states_of(gcn, data.graph, data.x[:3])


def test_gradient_norms_are_those_by_hand() -> None:
    data = load("karate").undirected()
    torch.manual_seed(0)
    model = Gcn(34, 6, 4, layers=2, dropout=Dropout(0.5, 0.5)).double()
    graph, x, y, train = normalised(data.graph, loops=1.0), data.x.double(), data.y, data.splits[0].train
    found = gradient_norms(model, data.graph, x, y, train)
    a = torch.zeros(34, 34, dtype=torch.float64)
    src, dst = graph.edges.pairs()
    a[dst, src] = graph.weight.double()
    first, second = (layer.map.weight.detach() for layer in model.convolutions)  # type: ignore[union-attr, operator]
    hidden = torch.relu(a @ x @ first.T)
    share = torch.softmax(a @ hidden @ second.T, 1)
    at_logits = torch.where(train[:, None], share - nn.functional.one_hot(y, 4), 0.0) / int(train.sum())
    at_hidden = a.T @ at_logits @ second
    inside = torch.where(hidden > 0, at_hidden, 0.0)
    assert found.states == pytest.approx([float(at_hidden.norm()), float(at_logits.norm())], rel=1e-10)
    by_layer = [
        math.hypot(float(((a @ x).T @ inside).norm()), float(inside.sum(0).norm())),
        math.hypot(float(((a @ hidden).T @ at_logits).norm()), float(at_logits.sum(0).norm())),
    ]
    assert found.parameters == pytest.approx(dict(zip(("convolutions.0", "convolutions.1"), by_layer)), rel=1e-10)
    assert all(p.grad is None for p in model.parameters())


def test_gradients_through_time_are_those_of_the_linear_flow() -> None:
    data = load("karate").undirected()
    torch.manual_seed(0)
    model = Grand(34, 6, 4, time=2.0, attention=None, integration=Integration("rk4", dt=0.05)).double()
    nn.init.constant_(model.beta, 0.3)  # a source that reads u(0) is no part of the gradient at the state at time 0
    x, train = data.x.double(), data.splits[0].train
    found = gradient_norms(model, data.graph, x, data.y, train, [0.0, 1.0])
    assert found.positions == [0.0, 1.0, 2.0]
    matrix, _ = dense(data.graph, "symmetric", 1.0)
    end = states_of(model, data.graph, x, [2.0]).states[0].requires_grad_()
    loss = nn.functional.cross_entropy(model.decoder(torch.relu(end))[train], data.y[train])
    (last,) = torch.autograd.grad(loss, end)
    back = [torch.linalg.matrix_exp(-0.5 * t * matrix) @ last for t in (2.0, 1.0, 0.0)]  # sigmoid(0) = 0.5
    assert found.states == pytest.approx([float(g.norm()) for g in back], rel=1e-6)


def test_a_residual_keeps_the_gradient_of_the_first_layer() -> None:
    data = load("karate").undirected()

    def first(layers: int, residual: str) -> float:
        torch.manual_seed(0)
        model = Gcn(34, 16, 4, layers=layers, residual=residual)
        return gradient_norms(model, data.graph, data.x, data.y, data.splits[0].train).parameters["convolutions.0"]

    plain, kept = ([first(layers, residual) for layers in (2, 8, 32)] for residual in ("none", "identity"))
    assert plain[0] > 10 * plain[1] > 1000 * plain[2]
    assert min(kept) > 0.5 * kept[0]


def test_what_is_at_rest_in_a_model() -> None:
    data = load("karate").undirected()
    for name in MODELS:
        kind, loops = natural_kind(MODELS[name](34, 8, 4))
        assert kind in KINDS and loops in (0.0, 1.0)
    still = torch.rand(34, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for model in (Grand(34, 8, 4, attention=None), Grand(34, 8, 4), Acmp(34, 8, 4), PdeGcn(34, 8, 4)):
        model = model.double()
        kind, loops = natural_kind(model)
        rest = Smoothing.of(data.graph, kind, loops).limit(still)
        rest = rest / rest[:1]  # where it is constant it is 1, a minimum of the double well of ACMP
        with torch.no_grad():
            rate = model.term(model.prepare(data.graph), rest)(torch.tensor(0.0), rest)
        assert float(rate.abs().max()) < 1e-13, type(model).__name__
    for coupling in (None, Attention()):  # the tolerance of a step is 1e-4 of the state
        model = Grand(34, 8, 4, time=400.0, source=False, attention=coupling)
        assert energies(model, data.graph, data.x, [0.0, 400.0]).energy[-1] < 1e-6


def test_the_energies_of_cora() -> None:
    if not (DATA / "Planetoid" / "Cora").is_dir():
        pytest.skip("the Planetoid files of Cora are not beside the checkout")
    data = load("Cora", DATA / "Planetoid").undirected()
    smooth = normalised(data.graph, loops=1.0, dtype=torch.float64)
    u, found = data.x.rows_normalised().to_dense().double(), {}  # type: ignore[operator, union-attr]
    for k in range(1, 33):
        u = smooth.edges.propagate(u, weight=smooth.weight)
        if k in (1, 32):
            found[k] = float(dirichlet_energy(data.graph, u))
    assert found == pytest.approx({1: 0.21, 32: 2.2e-3}, rel=0.03)
    assert len(spectrum(data.graph, k=2).gaps) == 78


def test_bad_input() -> None:
    graph = watts_strogatz(10, 2, 0.0)
    one_way = Graph(Relation.from_edges([0, 1], [1, 2], 3, 3))
    uneven = Graph(Relation.from_edges([0, 1], [1, 0], 2, 2), weight=torch.tensor([1.0, 2.0]))
    u = torch.ones(10, 1)
    with pytest.raises(InputError, match="kind='signed', expected one of"):
        dirichlet_energy(graph, u, "signed")
    for directed in (one_way, uneven):
        with pytest.raises(GraphError, match="both directions with equal weights"):
            dirichlet_energy(directed, torch.ones(directed.n, 1))
    with pytest.raises(ShapeError, match="u has"):
        dirichlet_energy(graph, torch.ones(9, 1))
    assert math.isnan(float(dirichlet_energy(graph, 0 * u)))
    with pytest.raises(InputError, match="k = 0"):
        spectrum(graph, k=0)
    with pytest.raises(InputError, match="fraction = 2"):
        collapse_time(graph, u, 2.0)
    with pytest.raises(InputError, match="is its limit already"):
        collapse_time(graph, u, 0.1)
    with pytest.raises(InputError, match="the highest mode is left"):
        collapse_time(graph, torch.rand(10, 1), 0.1, loops=0.0, steps=True)
    y, nobody = torch.zeros(10, dtype=torch.int64), torch.zeros(10, dtype=torch.bool)
    with pytest.raises(InputError, match="a training node"):
        gradient_norms(Gcn(1, 2, 2), graph, u, y, nobody)
    with pytest.raises(InputError, match="parameters to learn"):
        gradient_norms(MODELS["label_propagation"](1, 2, 2), graph, u, y, ~nobody)
    with pytest.raises(ShapeError, match="expected .10. of both"):
        gradient_norms(Gcn(1, 2, 2), graph, u, y[:4], nobody[:4])
    given = Known(~nobody, y)
    assert states_of(MODELS["label_propagation"](1, 2, 2), graph, u, known=given).positions == [0.0, 1.0]
