"""Learned energies and symplectic maps: structure before any training, derivatives, and small fits."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core.calculus import slopes
from graphpde.core.incidence import Incidence
from graphpde.core.jacobian import by_reverse_mode
from graphpde.dynamics import evolve
from graphpde.errors import InputError, ShapeError
from graphpde.hamiltonian import (
    Hamiltonian,
    LearnedField,
    LearnedPair,
    NodeNetwork,
    Particles,
    PathMatch,
    RateMatch,
    SympNet,
    pendulum,
    springs,
)  # fmt: skip
from graphpde.hamiltonian.sympnet import Linear
from graphpde.train import Adam, Cosine, fit

START = torch.tensor(0.0, dtype=torch.float64)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ring(n: int) -> Incidence:
    return Incidence.of_pairs(torch.arange(n), (torch.arange(n) + 1) % n, n)


def state(n: int, c: int, seed: int = 0) -> Tensor:
    return torch.randn(n, c, generator=rng(seed), dtype=torch.float64)


# slopes


def test_slopes_are_derivatives_wherever_they_are_asked_for() -> None:
    x, y = state(4, 2), state(4, 2, 1)

    def f(x: Tensor, y: Tensor) -> Tensor:
        return (x.sin() * y.square()).sum(-1)

    wanted = x.cos() * y.square(), 2 * x.sin() * y
    for found, exact in zip(slopes(f, x, y), wanted, strict=True):
        assert torch.allclose(found, exact)
        assert not found.requires_grad
    with torch.inference_mode():
        assert torch.allclose(slopes(f, x, y)[0], wanted[0])
    with torch.no_grad():
        assert torch.allclose(slopes(f, x.requires_grad_(), y)[0], wanted[0])
    assert torch.autograd.gradcheck(lambda x: slopes(f, x, y), x)
    tangent = torch.func.jvp(lambda x: slopes(f, x, y)[0], (x.detach(),), (torch.ones_like(x),))[1]
    assert torch.allclose(tangent, -x.detach().sin() * y.square())
    assert torch.equal(slopes(lambda x: torch.zeros(3), y)[0], torch.zeros_like(y))


def test_slopes_follow_parameters() -> None:
    k = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)
    (found,) = slopes(lambda x: k * x.square(), state(3, 1))
    assert found.requires_grad
    assert torch.allclose(torch.autograd.grad(found.sum(), k)[0], 2 * state(3, 1).sum())


def test_products_with_a_jacobian_by_reverse_mode() -> None:
    """Of a map that is a derivative itself, and of ones that do not depend on everything."""
    u, v = state(4, 2), state(4, 2, 1)

    def f(u: Tensor) -> Tensor:
        return slopes(lambda x: (x[..., 0] ** 3 * x[..., 1]).sum() + x.roll(1, 0).mul(x).square().sum(), u)[0]

    a = by_reverse_mode(f, u)
    exact = torch.autograd.functional.jacobian(f, u)
    assert torch.allclose(a.matvec(v), torch.einsum("abcd,cd->ab", exact, v))
    assert torch.allclose(a.transpose().matvec(v), torch.einsum("abcd,ab->cd", exact, v))
    for turned in (False, True):

        def product(u: Tensor, turned: bool = turned) -> Tensor:
            a = by_reverse_mode(f, u)
            return (a.transpose() if turned else a).matvec(v)

        assert torch.autograd.gradcheck(product, state(4, 2).requires_grad_())
    with torch.inference_mode():
        assert torch.allclose(by_reverse_mode(f, u).matvec(v), a.matvec(v))
    for still in (lambda u: torch.ones_like(u), lambda u: 0 * u.detach()):
        assert torch.equal(by_reverse_mode(still, u).matvec(v), torch.zeros_like(v))
    shift = by_reverse_mode(lambda u: u.flip(0) @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64), u)
    assert torch.allclose(shift.matvec(v), v.flip(0) @ torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64))


# energies


def test_motion_of_a_known_energy() -> None:
    system, u = pendulum(1.0, 0.3)
    term = Hamiltonian(system.energy)
    assert torch.allclose(term(START, u), system.forward(START, u))
    final = evolve(term, u, [0.0, 2.0], stepper="implicit_midpoint", dt=0.01).final
    assert torch.allclose(final, evolve(system, u, [0.0, 2.0], stepper="yoshida6", dt=0.01).final, atol=1e-4)
    slowed = Hamiltonian(system.energy, lambda q: 0.2 * torch.ones_like(q))
    run = evolve(slowed, u, torch.linspace(0, 5, 51), stepper="rk4", dt=0.01)
    energy = system.energy(run.states)
    assert bool((energy.diff() < 1e-12).all())
    spent = 0.2 * torch.trapezoid(run.states[:, 0, 1].square(), run.times)
    assert float(energy[0] - energy[-1]) == pytest.approx(float(spent), rel=1e-2)


def test_an_untrained_network_keeps_its_own_energy() -> None:
    """Along rk4 to order 4, and symplectic by the implicit midpoint rule; gradients reach its parameters."""
    torch.manual_seed(0)
    net = NodeNetwork(2, hidden=16).double()
    term, u = Hamiltonian(net), state(3, 2)
    run = evolve(term, u, [0.0, 3.0], stepper="rk4", dt=0.01)
    assert float((net(run.final) - net(u)).abs().max()) < 1e-9
    m = torch.autograd.functional.jacobian(
        lambda x: evolve(term, x.reshape(1, 2), [0.0, 0.2], stepper="implicit_midpoint").final.flatten(), u[0]
    )
    assert float(torch.linalg.det(m)) == pytest.approx(1.0, abs=1e-12)
    assert run.final.requires_grad
    assert all(
        g is not None for g in torch.autograd.grad(run.final.sum(), list(net.parameters()), allow_unused=True)[:3]
    )


def test_a_learned_pair_keeps_momenta_untrained_on_any_number_of_bodies() -> None:
    torch.manual_seed(0)
    pair = LearnedPair(4.0, hidden=16).double()
    for n in (3, 6):
        system = Particles(torch.ones(n, dtype=torch.float64), pair)
        u = state(n, 4)
        with torch.no_grad():
            run = evolve(system, u, [0.0, 1.0], stepper="leapfrog", dt=0.05).final
        assert torch.allclose(system.momentum(run), system.momentum(u), atol=1e-13)
        assert torch.allclose(system.angular_momentum(run), system.angular_momentum(u), atol=1e-13)
        order = torch.randperm(n, generator=rng())
        turn = torch.linalg.qr(state(2, 2)).Q
        other = torch.cat([u[order, :2] @ turn, u[order, 2:] @ turn], 1)
        with torch.no_grad():
            there = evolve(system, other, [0.0, 1.0], stepper="leapfrog", dt=0.05).final
        assert torch.allclose(torch.cat([run[order, :2] @ turn, run[order, 2:] @ turn], 1), there, atol=1e-12)


def test_pulls_of_learned_energies() -> None:
    torch.manual_seed(0)
    pair, field = LearnedPair(3.0, bumps=5, hidden=8).double(), LearnedField(2, hidden=8).double()
    d = state(6, 2).requires_grad_()
    assert torch.allclose(pair.pull(d), torch.autograd.grad(pair.energy(d).sum(), d)[0])
    assert torch.allclose(field.pull(d), torch.autograd.grad(field.energy(d).sum(), d)[0])
    for module in (pair, field):
        grads = torch.autograd.grad(module.pull(d).square().sum(), list(module.parameters()), allow_unused=True)
        assert sum(g is not None for g in grads) >= 5  # all but the last shift


def test_springs_are_learned_from_rates() -> None:
    """A pair energy from rates of three bodies; used on six of them, whose motion it gives."""
    few, u = springs(3, rest=1.0)
    torch.manual_seed(0)
    pair = LearnedPair(3.0, bumps=12, hidden=32).double()
    assert few.edges is not None
    model = Particles(few.masses, pair, edges=few.edges)
    states = u + 0.3 * torch.randn(256, 3, 4, generator=rng(), dtype=torch.float64)
    batches = [(states, few.forward(START, states))]
    history = fit(model, RateMatch(), batches, update=Adam(1e-2, schedule=Cosine(300)), steps=300)
    assert history.rows[-1]["loss"] < 1e-3 * history.rows[0]["loss"]
    many, v = springs(6, rest=1.0, seed=3)
    found = Particles(many.masses, pair, edges=many.edges)
    with torch.no_grad():
        ends = [evolve(s, v, [0.0, 2.0], stepper="leapfrog", dt=0.02).final for s in (many, found)]
    assert float((ends[0] - ends[1]).abs().max()) < 0.1


def test_a_parameter_is_found_through_the_integrator() -> None:
    """From a noisy path of which a third was not observed."""
    true, u = pendulum(1.2, strength=1.7)
    times = torch.linspace(0, 4, 21, dtype=torch.float64)
    states = evolve(true, u, times, stepper="leapfrog", dt=0.05).states
    seen = torch.rand(states.shape, generator=rng()) < 2 / 3
    observed = torch.where(seen, states + 0.01 * torch.randn(states.shape, generator=rng(1)), torch.nan)
    observed[0] = u

    class Swinging(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.strength = torch.nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

        def forward(self, t: Tensor, u: Tensor) -> Tensor:
            return torch.stack([u[..., 1], -self.strength * torch.sin(u[..., 0])], -1)

    model = Swinging()
    fit(model, PathMatch("rk4", dt=0.1), [(times, observed, seen)], update=Adam(0.05), steps=100)
    assert float(model.strength.detach()) == pytest.approx(1.7, abs=0.02)


# symplectic maps


def form(d: int, n: int) -> Tensor:
    block = torch.zeros(2 * d, 2 * d, dtype=torch.float64)
    block[:d, d:], block[d:, :d] = torch.eye(d), -torch.eye(d)
    return torch.block_diag(*[block] * n)


def defect(net: SympNet, u: Tensor, edges: Incidence | None) -> float:
    m = torch.autograd.functional.jacobian(lambda x: net(x.reshape(u.shape), edges).flatten(), u.flatten())
    j = form(u.shape[1] // 2, len(u))
    return float((m.T @ j @ m - j).abs().max())


@pytest.mark.parametrize("kind", ("gradient", "linear_activation"))
@pytest.mark.parametrize("on_edges", (False, True))
def test_maps_are_symplectic_and_can_be_undone(kind: str, on_edges: bool) -> None:
    """Also with large parameters, and on graphs with parallel edges and a node that has none."""
    torch.manual_seed(0)
    net = SympNet(2, layers=6, width=5, kind=kind, on_edges=on_edges).double()
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(2.0)
    edges = Incidence.of_pairs(torch.tensor([0, 1, 1, 2]), torch.tensor([1, 2, 2, 3]), 5) if on_edges else None
    u = state(5, 4)
    assert defect(net, u, edges) < 1e-10
    assert torch.allclose(net.back(net(u, edges), edges), u, atol=1e-11)
    flat = state(5, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda u: net(u, edges), flat)


def test_activations_move_both_halves() -> None:
    """Without their linear layers, maps of activations alone bend positions and momenta."""
    torch.manual_seed(0)
    net = SympNet(2, kind="linear_activation").double()
    with torch.no_grad():
        for layer in net.layers:
            if isinstance(layer.node, Linear):
                layer.node.matrix.zero_()
    u = state(5, 4)
    moved = (net(u) - u).abs().amax(0)
    assert bool((moved > 1e-3).all())


def test_maps_on_graphs_do_not_see_numbers_or_directions() -> None:
    torch.manual_seed(0)
    net = SympNet(1, layers=4, width=6, on_edges=True).double()
    u, order = state(6, 2), torch.randperm(6, generator=rng())
    found = net(u, ring(6))
    turned = Incidence.of_pairs((torch.arange(6) + 1) % 6, torch.arange(6), 6)
    assert torch.allclose(net(u, turned), found, atol=1e-13)
    place = torch.empty(6, dtype=torch.int64)
    place[order] = torch.arange(6)
    other = Incidence.of_pairs(place[torch.arange(6)], place[(torch.arange(6) + 1) % 6], 6)
    assert torch.allclose(net(u[order], other), found[order], atol=1e-13)
    assert not torch.allclose(net(u, Incidence.of_pairs(torch.tensor([0]), torch.tensor([1]), 6)), found)


def test_a_map_is_learned_and_stays_symplectic() -> None:
    """The flow of a chain of oscillators over a step; ten times as long a path stays bounded."""
    n, h = 4, 0.5
    edges = ring(n)
    stiff = torch.eye(n, dtype=torch.float64) * 3 - torch.eye(n).roll(1, 0) - torch.eye(n).roll(-1, 0)
    turn = torch.zeros(2 * n, 2 * n, dtype=torch.float64)
    turn[:n, n:], turn[n:, :n] = torch.eye(n), -stiff
    exact = torch.linalg.matrix_exp(h * turn)
    x = torch.randn(512, n, 2, generator=rng(), dtype=torch.float64)
    y = (torch.cat([x[..., 0], x[..., 1]], 1) @ exact.T).reshape(512, 2, n).transpose(1, 2)
    torch.manual_seed(0)
    net = SympNet(1, layers=8, width=8, on_edges=True).double()

    class Map(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, t: Tensor, u: Tensor) -> Tensor:
            return self.net(u, edges)

    history = fit(Map(), RateMatch(), [(0.3 * x, 0.3 * y)], update=Adam(1e-2, schedule=Cosine(300)), steps=300)
    assert history.rows[-1]["loss"] < 4e-4
    assert defect(net, x[0], edges) < 1e-10
    with torch.no_grad():
        path = net.path(0.3 * x[0], 200, edges)
    assert float(path.abs().max()) < 3


def test_bad_input() -> None:
    with pytest.raises(InputError, match="energy is a float"):
        Hamiltonian(1.0)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="kind='la', expected one of: gradient, linear_activation"):
        SympNet(1, kind="la")
    for reach in (0, -1.0, math.nan, math.inf):
        with pytest.raises(InputError, match=f"reach is {reach}, expected a finite number > 0"):
            LearnedPair(reach)
    with pytest.raises(InputError, match="activation cos is not odd, which on_edges needs; take torch.tanh"):
        SympNet(1, on_edges=True, activation=torch.cos)
    with pytest.raises(InputError, match="nothing of the states was seen after the start"):
        times, states = torch.linspace(0, 1, 3), torch.ones(3, 1, 2)
        PathMatch("rk4")(Hamiltonian(lambda u: u.square()), (times, states, torch.zeros(3, 1, 2, dtype=torch.bool)))
    with pytest.raises(InputError, match="no edges were given and on_edges is True"):
        SympNet(1, on_edges=True)(torch.zeros(2, 2))
    with pytest.raises(InputError, match="edges were given and on_edges is False"):
        SympNet(1)(torch.zeros(2, 2), Incidence.of_pairs(torch.tensor([0]), torch.tensor([1]), 2))
    with pytest.raises(ShapeError, match="d positions, then d momenta"):
        SympNet(1)(torch.zeros(2, 3))
    with pytest.raises(ShapeError, match="expected equal shapes"):
        RateMatch()(Hamiltonian(lambda u: u), (torch.zeros(2, 2), torch.zeros(3, 2)))
