"""The Ginzburg-Landau energy: its gradient, its descent for any step, momentum, and classes from few known nodes."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core import Graph, Relation
from graphpde.data import sbm, two_moons
from graphpde.dynamics import evolve
from graphpde.errors import InputError, ShapeError
from graphpde.graph_diffusion.convex_split import Accelerated, ConvexSplit
from graphpde.graph_diffusion.ginzburg_landau import DoubleWell, GinzburgLandau, Springs, minimise, segment, spread

D = torch.float64


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def both_ways(i: Tensor, j: Tensor, n: int, weight: Tensor | None = None) -> Graph:
    edges = Relation.from_edges(torch.cat([i, j]), torch.cat([j, i]), n, n)
    return Graph(edges, weight=None if weight is None else edges.own(torch.cat([weight, weight])))


def moons(n: int, noise: float, seed: int) -> tuple[Graph, Tensor]:
    data = two_moons(n, noise, seed=seed)
    return data.graph, data.y


def blocks(n: int, inside: float, between: float, classes: int, seed: int) -> tuple[Graph, Tensor]:
    chance = torch.full((classes, classes), between, dtype=D)
    return sbm([n // classes] * classes, chance.fill_diagonal_(inside), seed=seed)


def known_few(y: Tensor, share: float, seed: int) -> Tensor:
    mask = torch.zeros(len(y), dtype=torch.bool)
    mask[torch.randperm(len(y), generator=seeded(seed))[: int(share * len(y))]] = True
    return mask


def small(seed: int = 0, n: int = 12) -> tuple[Graph, Tensor, Tensor]:
    """A random weighted graph with a measure, known values and their mask."""
    g = seeded(seed)
    i, j = torch.triu(torch.rand(n, n, generator=g) < 0.4, 1).nonzero().unbind(1)
    plain = both_ways(i, j, n, torch.rand(len(i), generator=g, dtype=D))
    graph = Graph(plain.edges, weight=plain.weight, measure=0.5 + torch.rand(n, generator=g, dtype=D))
    return graph, torch.rand(n, 3, generator=g, dtype=D).softmax(1), torch.rand(n, generator=g) < 0.4


# the potential


@pytest.mark.parametrize("well", [DoubleWell(), DoubleWell(0.0, 1.0)])
def test_the_potential_has_its_slope_and_its_bound(well: DoubleWell) -> None:
    u = torch.linspace(-3, 4, 401, dtype=D, requires_grad=True)
    (slope,) = torch.autograd.grad(well(u).sum(), u, create_graph=True)
    assert torch.allclose(slope, well.slope(u), atol=1e-12)
    (bend,) = torch.autograd.grad(slope.sum(), u)
    assert float(bend.max()) <= well.curvature * (1 + 1e-12)
    assert float(bend.min()) == pytest.approx(-well.curvature / 2, rel=1e-3)
    ends = torch.tensor([well.low, well.high], dtype=D)
    assert float(well(ends).abs().max()) == 0 and float(well.slope(ends).abs().max()) == 0


# the energy


def test_the_energy_is_the_sum_over_edges_and_nodes() -> None:
    graph, known, mask = small()
    energy = GinzburgLandau(graph, width=0.7, known=known, mask=mask, fidelity=3.0)
    u = torch.randn(graph.n, 3, generator=seeded(1), dtype=D)
    src, dst = graph.edges.pairs()
    total = 0.0
    for k, (i, j) in enumerate(zip(src.tolist(), dst.tolist(), strict=True)):
        total += 0.7 / 4 * float(graph.weight[k] * (u[i] - u[j]).square().sum())  # every edge stands twice
    for i in range(graph.n):
        total += float(graph.measure[i]) * float(DoubleWell()(u[i]).sum()) / 0.7
        total += 1.5 * float(graph.measure[i] * mask[i]) * float((u[i] - known[i]).square().sum())
    assert float(energy(u)) == pytest.approx(total, rel=1e-13)


@pytest.mark.parametrize("shares", [False, True])
def test_the_gradient_is_that_of_the_energy(shares: bool) -> None:
    graph, known, mask = small()
    energy = GinzburgLandau(graph, width=0.7, known=known, mask=mask, fidelity=3.0, shares=shares)
    u = (1 / 3 + torch.randn(2, graph.n, 3, generator=seeded(1), dtype=D)).requires_grad_()
    if shares:
        u = (u - u.mean(-1, keepdim=True) + 1 / 3).detach().requires_grad_()
    (slope,) = torch.autograd.grad(energy(u).sum(), u)
    if shares:
        slope = slope - slope.mean(-1, keepdim=True)
    assert torch.allclose(energy.gradient(u), slope, atol=1e-12)
    assert torch.autograd.gradcheck(energy, (u,))


def test_splitting_moves_the_curvature_and_nothing_else() -> None:
    graph, known, mask = small()
    energy = GinzburgLandau(graph, width=0.7, known=known, mask=mask, fidelity=3.0, shares=True)
    u = known + 0.1
    zero = torch.zeros((), dtype=D)
    assert torch.allclose(energy.split()(zero, u), energy.flow()(zero, u), atol=1e-12)


def test_the_flow_runs_with_any_stepper() -> None:
    graph, known, mask = small()
    energy = GinzburgLandau(graph, known=known, mask=mask, fidelity=3.0)
    times = [0.0, 0.2]
    found = [evolve(energy.flow(), known, times, stepper=s, dt=0.02).final for s in ("ark4", "esdirk4", "rk4")]
    assert torch.allclose(found[0], found[2], atol=1e-6) and torch.allclose(found[1], found[2], atol=1e-6)
    coarse, fine = (
        float((evolve(energy.split(), known, times, stepper=ConvexSplit(), dt=dt).final - found[2]).abs().max())
        for dt in (0.01, 0.005)
    )
    assert coarse / fine == pytest.approx(2, rel=0.1)  # first order


def test_a_layer_between_two_phases_is_tanh() -> None:
    n, width = 400, 0.04
    h = 1 / n
    i = torch.arange(n - 1)
    path = both_ways(i, i + 1, n, torch.full((n - 1,), 1 / h, dtype=D))
    graph = Graph(path.edges, weight=path.weight, measure=torch.full((n,), h, dtype=D))
    x = (torch.arange(n, dtype=D) + 0.5)[:, None] * h - 0.5
    found = minimise(GinzburgLandau(graph, width=width), x.sign(), tau=1.0, steps=200)
    profile = torch.tanh(x / (math.sqrt(2) * width))
    assert float((found.u - profile).abs().max()) < 2e-3  # (h / width)^2 = 4e-3 times a constant
    assert float(found.energies[-1]) == pytest.approx(2 * math.sqrt(2) / 3, rel=2e-3)  # the integral of sqrt(2 W)


# descent


@pytest.mark.parametrize("tau", [1e-3, 1e-2, 0.1, 1.0, 10.0, 1e3, 1e6])
@pytest.mark.parametrize("shares", [False, True])
def test_the_split_step_lowers_the_energy_whatever_its_length(tau: float, shares: bool) -> None:
    graph, known, mask = small(n=30)
    energy = GinzburgLandau(graph, width=0.4, known=known, mask=mask, fidelity=5.0, shares=shares)
    u = torch.randn(graph.n, 3, generator=seeded(3), dtype=D) * 2
    if shares:
        u = u - u.mean(-1, keepdim=True) + 1 / 3
    found = minimise(energy, u, tau=tau, steps=60, momentum=False)
    assert float(found.energies.diff().max()) <= 1e-13 * float(found.energies[0])
    assert float(found.energies[-1]) < float(found.energies[0])
    if shares:
        assert float((found.u.sum(-1) - 1).abs().max()) < 1e-10


def test_without_the_splitting_a_long_step_raises_the_energy() -> None:
    graph, known, mask = small(n=30)
    energy = GinzburgLandau(graph, width=0.4, known=known, mask=mask, fidelity=5.0)
    u = torch.randn(graph.n, 3, generator=seeded(3), dtype=D) * 2
    after = evolve(energy.flow(), u, [0.0, 10.0], stepper=ConvexSplit(), dt=10.0).final
    assert float(energy(after)) > float(energy(u))


def test_momentum_needs_fewer_steps_and_stays_monotone() -> None:
    graph, y = moons(400, 0.1, 0)
    mask = known_few(y, 0.05, 0)
    known = torch.nn.functional.one_hot(y, 2).to(D)
    energy = GinzburgLandau(graph, width=0.4, known=known, mask=mask, fidelity=200.0, shares=True)
    start = torch.where(mask[:, None], known, 0.5)

    def steps_needed(momentum: bool) -> int:
        found = minimise(energy, start, tau=0.5, steps=150, momentum=momentum)
        assert float(found.energies.diff().max()) <= 1e-11 * float(found.energies[0])
        return int((found.energies <= 1.01 * found.energies[-1]).nonzero()[0, 0])

    assert steps_needed(True) < 0.8 * steps_needed(False)


def test_a_batch_keeps_a_momentum_each() -> None:
    graph, known, mask = small(n=30)
    energy = GinzburgLandau(graph, width=0.4, known=known, mask=mask, fidelity=5.0)
    u = torch.randn(3, graph.n, 3, generator=seeded(4), dtype=D) * 2
    together = minimise(energy, u, tau=0.3, steps=40)
    for k in range(3):
        alone = minimise(energy, u[k], tau=0.3, steps=40)
        assert torch.allclose(together.u[k], alone.u, atol=1e-9)
        assert torch.allclose(together.energies[:, k], alone.energies, rtol=1e-10)


def test_gradients_pass_through_accelerated_steps() -> None:
    graph, known, mask = small()
    energy = GinzburgLandau(graph, known=known, mask=mask)

    def last(u: Tensor) -> Tensor:
        return evolve(energy.split(), u, [0.0, 1.5], stepper=Accelerated(ConvexSplit()), dt=0.5).final

    assert torch.autograd.gradcheck(last, (known.clone().requires_grad_(),))


# classes


def accuracy(graph: Graph, y: Tensor, seed: int) -> float:
    mask = known_few(y, 0.05, seed)
    found = segment(graph, torch.where(mask, y, -1), mask)
    assert float(found.energies.diff().max()) <= 1e-10 * float(found.energies[0])
    return float((found.labels == y)[~mask].to(D).mean())


@pytest.mark.parametrize("seed", range(3))
def test_five_percent_of_the_labels_are_enough(seed: int) -> None:
    assert accuracy(*moons(600, 0.1, seed), seed) > 0.95
    assert accuracy(*blocks(600, 0.05, 0.008, 2, seed), seed) > 0.95
    assert accuracy(*blocks(800, 0.09, 0.015, 4, seed), seed) > 0.95


def test_classes_do_not_depend_on_the_numbering() -> None:
    graph, y = moons(300, 0.1, 5)
    mask = known_few(y, 0.05, 5)
    order = torch.randperm(graph.n, generator=seeded(6))
    place = torch.argsort(order)
    src, dst = graph.edges.pairs()
    moved = Graph(Relation.from_edges(place[src], place[dst], graph.n, graph.n))
    plain, turned = segment(graph, y, mask), segment(moved, y[order], mask[order])
    assert torch.allclose(plain.shares[order], turned.shares, atol=1e-8)
    swapped = segment(graph, 1 - y, mask)
    assert torch.allclose(plain.shares.flip(1), swapped.shares, atol=1e-8)


def test_a_component_without_a_known_node_starts_with_equal_shares() -> None:
    i = torch.tensor([0, 1, 3])
    graph = both_ways(i, i + 1, 5)
    known = torch.eye(2, dtype=D)[[0, 0, 1, 0, 0]]
    start = spread(graph, known, torch.tensor([True, False, True, False, False]))
    assert torch.allclose(start[3:], torch.full((2, 2), 0.5, dtype=D))
    assert torch.allclose(start.sum(1), torch.ones(5, dtype=D))


# refusals


def test_what_cannot_be_used_is_refused() -> None:
    graph, known, mask = small()
    y = torch.zeros(graph.n, dtype=torch.int64)
    with pytest.raises(InputError, match="expected low < high"):
        DoubleWell(1.0, 1.0)
    with pytest.raises(InputError, match="width = 0"):
        GinzburgLandau(graph, width=0)
    with pytest.raises(InputError, match="go together"):
        GinzburgLandau(graph, known=known)
    with pytest.raises(ShapeError, match="the mask has shape"):
        GinzburgLandau(graph, known=known, mask=mask[:3])
    with pytest.raises(ShapeError, match="the stiffness has shape"):
        Springs(graph, torch.ones(3))
    with pytest.raises(InputError, match="stiffness is negative"):
        Springs(graph, -1.0)
    with pytest.raises(InputError, match="tau = 0"):
        minimise(GinzburgLandau(graph), known, tau=0, steps=3)
    with pytest.raises(InputError, match="steps = 0"):
        minimise(GinzburgLandau(graph), known, tau=1, steps=0)
    with pytest.raises(InputError, match="holds no node"):
        segment(graph, y, torch.zeros(graph.n, dtype=torch.bool))
    with pytest.raises(InputError, match="go down to -1"):
        segment(graph, y - 1, mask)
    with pytest.raises(InputError, match="all of class 0"):
        segment(graph, y, mask)
    with pytest.raises(InputError, match="no known node is of class 0"):
        segment(graph, y + 1, mask)
    with pytest.raises(ShapeError, match="labels has shape"):
        segment(graph, y[:3], mask)
    one_way = Graph(Relation.from_edges(torch.tensor([0]), torch.tensor([1]), 2, 2))
    with pytest.raises(InputError, match="directed"):
        GinzburgLandau(one_way)
