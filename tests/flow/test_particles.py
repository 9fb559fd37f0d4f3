"""Flows of particles: the edge formula of the divergence, and what does not change under turns and new numbers."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from graphpde.core import radius
from graphpde.dynamics import ExactDivergence, WithLogDensity
from graphpde.errors import InputError, ShapeError
from graphpde.flow import Flow, Likelihood, PairVelocity
from graphpde.ops import CentredNormal
from graphpde.train import Adam, fit


def net(seed: int = 0) -> PairVelocity:
    torch.manual_seed(seed)
    velocity = PairVelocity(4.0, in_distance=12, in_time=4).double()
    with torch.no_grad():
        velocity.weight.normal_(std=0.2)
    return velocity


def states(b: int, n: int, d: int, seed: int = 0) -> Tensor:
    x = torch.randn(b, n, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return x - x.mean(-2, keepdim=True)


@pytest.mark.parametrize(("n", "d"), [(4, 2), (13, 3), (1, 2)])
def test_the_edge_formula_is_the_trace_of_the_jacobian(n: int, d: int) -> None:
    velocity, x = net(), states(3, n, d)
    for t in (torch.tensor(0.3), torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)[:, None, None]):
        v, divergence = velocity.with_divergence(t, x)
        exact = WithLogDensity(velocity, ExactDivergence(), sample="state")
        found = exact(t, exact.start(x))
        assert torch.allclose(v, velocity(t, x), atol=1e-13)
        assert torch.allclose(divergence, -found.log_density, atol=1e-12)


def test_on_a_graph_of_neighbours() -> None:
    """Only those within reach see each other: the formula holds on any graph."""
    x = states(1, 9, 2)
    velocity = net()
    velocity.relation = radius(x[0], 1.2)
    exact = WithLogDensity(velocity, ExactDivergence(), sample="state")
    t = torch.tensor(0.4)
    assert torch.allclose(velocity.with_divergence(t, x)[1], -exact(t, exact.start(x)).log_density, atol=1e-12)


def test_densities_do_not_change_under_turns_and_new_numbers() -> None:
    flow = Flow(net(1), CentredNormal(), sample="state", stepper="rk4", dt=0.1)
    x = states(5, 6, 3)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(3)))
    order = torch.randperm(6, generator=torch.Generator().manual_seed(4))
    p = flow.log_density(x)
    assert torch.allclose(flow.log_density(x @ turn.T), p, atol=1e-11)
    assert torch.allclose(flow.log_density(x[:, order]), p, atol=1e-11)
    y = flow.push(x).final
    assert torch.allclose(flow.push((x @ turn.T)[:, order]).final, (y @ turn.T)[:, order], atol=1e-11)
    assert float(y.mean(-2).abs().max()) < 1e-13  # the centre stays


def test_two_particles_in_one_place_have_finite_gradients() -> None:
    velocity, x = net(), torch.zeros(1, 2, 2, dtype=torch.float64, requires_grad=True)
    g = torch.autograd.grad(velocity(torch.tensor(0.5), x).sum() + velocity.with_divergence(0.5, x)[1].sum(), x)[0]
    assert bool(torch.isfinite(g).all())


def test_a_pair_of_particles_in_closed_form() -> None:
    """Two particles in the plane at normal distances, stretched by a factor: phi is constant, the density known."""
    c = 0.3
    velocity = PairVelocity(1e6, in_distance=2, in_time=1).double()
    with torch.no_grad():
        velocity.weight[0, 0] = c  # one bump as wide as the world
    flow = Flow(velocity, CentredNormal(), sample="state", stepper="rk4", dt=0.05)
    x = states(4, 2, 2)
    stretch = math.exp(2 * c)  # x_1 - x_2 grows at the rate 2 c, in each of two dimensions
    wanted = CentredNormal().log_density(x / stretch) - 2 * math.log(stretch)
    assert torch.allclose(flow.log_density(x), wanted, atol=1e-6)


def test_the_base_is_a_density_on_centred_states() -> None:
    """Two particles on a line: the law of their half distance times root 2 is the standard normal one."""
    grid = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    x = torch.stack([grid, -grid], -1)[..., None] / math.sqrt(2)
    p = CentredNormal().log_density(x).exp()[:, 0, 0]
    assert float(p.sum() * 0.01) == pytest.approx(1, abs=1e-9)
    drawn = CentredNormal().draw(torch.zeros(1000, 5, 3), torch.Generator().manual_seed(0))
    assert float(drawn.mean(-2).abs().max()) < 1e-6
    assert float(drawn.square().sum((-1, -2)).mean()) == pytest.approx(12, abs=4 * math.sqrt(24 / 1000))


def test_likelihood_learns_a_distance() -> None:
    """Pairs at a distance of about 3: the flow beats the base by far."""
    rng = torch.Generator().manual_seed(0)
    angle = torch.rand(256, generator=rng) * 2 * math.pi
    half = (3 + 0.2 * torch.randn(256, generator=rng)) / 2
    one = torch.stack([half * angle.cos(), half * angle.sin()], -1)
    data = torch.stack([one, -one], 1)
    velocity = PairVelocity(6.0, in_distance=20, in_time=5)
    objective = Likelihood(lambda m: Flow(m, CentredNormal(), sample="state", stepper="rk4", dt=0.2))
    history = fit(velocity, objective, [data], update=Adam(3e-2), steps=120, rng=rng)
    assert history.rows[-1]["nll"] < history.rows[0]["nll"] - 1.0


def test_refused() -> None:
    with pytest.raises(InputError, match="reach is 0, expected a number > 0"):
        PairVelocity(0)
    with pytest.raises(ShapeError, match=r"the particles have shape \[3\]"):
        net()(torch.tensor(0.0), torch.zeros(3))
