"""Flows: densities in closed form, what matching finds where the answer is known, straighter paths by reflow."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from graphpde.dynamics import Adaptive
from graphpde.errors import InputError, ShapeError
from graphpde.flow import (
    DataCoupling,
    Flow,
    FlowMatching,
    Likelihood,
    LinearPath,
    OptimalCoupling,
    Pairs,
    PointVelocity,
    reflow,
    straightness,
    transport_cost,
)
from graphpde.train import Adam, fit

TIGHT = Adaptive(rtol=1e-9, atol=1e-10)


class Between(nn.Module):
    """The velocity of the linear path between N(0, 1) and N(m, s^2), independent ends; its flow is known."""

    def __init__(self, mean: float, std: float):
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        variance = (t * self.std) ** 2 + (1 - t) ** 2
        slope = t * self.std**2 - (1 - t)
        return self.mean + slope / variance * (x - t * self.mean)


def test_density_and_samples_of_a_gaussian_flow() -> None:
    flow = Flow(Between(2.0, 0.5), control=TIGHT)
    x = torch.linspace(0, 4, 9, dtype=torch.float64)[:, None]
    law = torch.distributions.Normal(2.0, 0.5)
    assert torch.allclose(flow.log_density(x), law.log_prob(x), atol=1e-7)
    rng = torch.Generator().manual_seed(0)
    y = flow.sample(torch.zeros(4000, 1, dtype=torch.float64), rng)
    assert abs(float(y.mean()) - 2.0) < 4 * 0.5 / math.sqrt(4000)
    assert float(y.std()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(8000))
    assert torch.allclose(flow.push(flow.pull(x)).final, x, atol=1e-7)


def test_the_density_integrates_to_one() -> None:
    torch.manual_seed(0)
    flow = Flow(PointVelocity(2, hidden=16, layers=2).double())
    h = 0.1
    axis = torch.arange(-7, 7, h, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        assert float(flow.log_density(x).exp().sum() * h * h) == pytest.approx(1, abs=1e-4)


def test_states_are_samples_of_their_own() -> None:
    """[b, n, c] under a velocity that treats nodes alike: the log-density of a state is the sum over its nodes."""
    x = torch.randn(3, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    nodes, states = (Flow(Between(0.5, 0.7), sample=kind, control=TIGHT) for kind in ("node", "state"))
    assert torch.allclose(states.log_density(x)[:, 0], nodes.log_density(x).sum(-2), atol=1e-7)


def test_matching_finds_the_mean_velocity() -> None:
    """Gaussian ends: the trained velocity against the known one, where samples are."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    data = 2 + 0.5 * torch.randn(4096, 1, generator=rng)
    model = PointVelocity(1, hidden=32, layers=2)
    fit(model, FlowMatching(), [data], update=Adam(5e-3), steps=1000, rng=rng)
    exact = Between(2.0, 0.5)
    with torch.no_grad():
        for t in (0.1, 0.5, 0.9):
            std = math.sqrt((t * 0.5) ** 2 + (1 - t) ** 2)
            x = t * 2 + std * torch.linspace(-1.5, 1.5, 21)[:, None]
            gap = model(torch.tensor(t), x) - exact(torch.tensor(t), x)
            assert float(gap.abs().mean()) < 0.15
    y = Flow(model).sample(torch.zeros(2000, 1), rng)
    assert float(y.mean()) == pytest.approx(2.0, abs=0.08)
    assert float(y.std()) == pytest.approx(0.5, abs=0.08)


def test_likelihood_finds_a_gaussian() -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    data = 1 + 0.6 * torch.randn(512, 1, generator=rng)
    model = PointVelocity(1, hidden=16, layers=1, activation=torch.tanh)
    objective = Likelihood(lambda m: Flow(m, stepper="rk4", dt=0.25), kinetic=0.01, jacobian=0.01)
    history = fit(model, objective, [data], update=Adam(2e-2), steps=150, rng=rng)
    law = torch.distributions.Normal(data.mean(), data.std())
    with torch.no_grad():
        nll = -float(Flow(model).log_density(data).mean())
    assert nll == pytest.approx(-float(law.log_prob(data).mean()), abs=0.02)
    assert history.reason == "all 150 steps were taken"


def test_probes_give_the_same_likelihood_on_average() -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model, x = PointVelocity(3, hidden=16, layers=1), torch.randn(2000, 3, generator=rng)
    exact, guessed = (
        float(Likelihood(lambda m: Flow(m, stepper="rk4", dt=0.25), probes=k)(model, x, rng)["nll"].detach())
        for k in (0, 1)
    )
    assert guessed == pytest.approx(exact, abs=0.02)


def test_reflow_straightens_and_does_not_lengthen() -> None:
    """Two modes on each side, paths that cross: one rectification, spec row 1.2."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)

    def two(x: float) -> Tensor:
        y = torch.randint(0, 2, (2048, 1), generator=rng) * 4.0 - 2
        return torch.cat([torch.full_like(y, x), y], -1) + 0.3 * torch.randn(2048, 2, generator=rng)

    x0, x1 = two(-2.0), two(2.0)
    first, second = PointVelocity(2), PointVelocity(2)
    fit(first, FlowMatching(coupling=DataCoupling()), [(x0, x1)], update=Adam(5e-3), steps=500, rng=rng)
    with torch.no_grad():
        pairs = Pairs(x0, Flow(first).push(x0).final)
    second.load_state_dict(first.state_dict())
    fit(second, FlowMatching(coupling=DataCoupling()), [pairs], update=Adam(2e-3), steps=300, rng=rng)
    with torch.no_grad():
        again = Pairs(x0, Flow(second).push(x0).final)
    costs = [transport_cost(p) for p in (Pairs(x0, x1), pairs, again)]
    assert costs[1] <= 1.05 * costs[0]
    assert costs[2] <= 1.05 * costs[1]
    bends = [straightness(Flow(m), x0) for m in (first, second)]
    assert bends[1] < 0.3 * bends[0]


def test_straightness_of_known_paths() -> None:
    """Uniform motion is straight; x' = 2 t has S = int (1 - 2 t)^2 dt = 1/3."""
    x = torch.zeros(5, 1, dtype=torch.float64)
    assert straightness(Flow(lambda t, u: torch.ones_like(u)), x) < 1e-20
    assert straightness(Flow(lambda t, u: torch.ones_like(u) * 2 * t), x, times=400) == pytest.approx(1 / 3, rel=1e-5)


def test_pairs_of_reflow_belong_together() -> None:
    pairs = reflow(Flow(Between(1.0, 2.0), control=TIGHT), torch.zeros(50, 1, dtype=torch.float64))
    assert torch.allclose(pairs.x1, 1 + 2 * pairs.x0, atol=1e-6)  # monotone, so the only map there is


def test_optimal_pairs_make_straight_paths() -> None:
    rng = torch.Generator().manual_seed(0)
    x0, x1 = torch.randn(64, 2, generator=rng), torch.randn(64, 2, generator=rng) + 3
    y0, y1 = OptimalCoupling()(x0, x1)
    assert transport_cost(Pairs(y0, y1)) < transport_cost(Pairs(x0, x1))
    on = LinearPath()(y0, y1, torch.full((64, 1), 0.5))
    assert torch.allclose(on.x, (y0 + y1) / 2)


class Joined(nn.Module):
    """The usual network: x and t in one row, of one type."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(torch.cat([x, t.expand(*x.shape[:-1], 1)], -1))


def test_networks_of_joined_place_and_time() -> None:
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    model, data = Joined(), torch.randn(64, 2, generator=rng)
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(data), batch_size=64)
    (batch,) = loader
    assert float(FlowMatching()(model, batch, torch.Generator().manual_seed(1))["velocity"].detach()) == float(
        FlowMatching()(model, data, torch.Generator().manual_seed(1))["velocity"].detach()
    )
    with pytest.raises(InputError, match=r"the batch is 3 parts \(Tensor, Tensor, int\), expected x_1"):
        FlowMatching()(model, [data, data, 1])
    flow = Flow(model, control=Adaptive(rtol=1e-3, atol=1e-3))
    assert flow.sample((7, 2), rng).shape == (7, 2)
    assert flow.log_density(data).shape == (64, 1)
    assert straightness(flow, data, times=4) > 0
    with pytest.raises(InputError, match="got 7 to sample like, expected a tensor"):
        flow.sample(7)  # type: ignore[arg-type]


def test_times_spread_over_the_ends() -> None:
    x = torch.zeros(8, 2)
    assert torch.equal(LinearPath()(x, x + 1, torch.full((8, 1), 0.25)).x, torch.full((8, 2), 0.25))
    with pytest.raises(ShapeError, match=r"the times have shape \[8\] and the ends \[8, 2\], .* such as \[8, 1\]"):
        LinearPath()(x, x + 1, torch.zeros(8))


def test_costs_are_weighed_one_by_one() -> None:
    """x' = a x: the Jacobian's norm is a^2 c, whatever x; the kinetic cost int |a x e^(a t)|^2."""
    a, x = 0.5, torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    net = nn.Linear(2, 2, bias=False).double()
    with torch.no_grad():
        net.weight.copy_(a * torch.eye(2))
    objective = Likelihood(lambda m: Flow(lambda t, y: m(y), control=TIGHT), kinetic=2.0, jacobian=3.0)
    found = objective(net, x)
    assert float(found["jacobian"].detach()) == pytest.approx(3 * 2 * a * a, rel=1e-6)
    back = 5.0 * (1 - math.exp(-2 * a)) / (2 * a) * a * a  # |x|^2 = 5, seen from the end
    assert float(found["kinetic"].detach()) == pytest.approx(2 * back, rel=1e-6)


def test_refused() -> None:
    with pytest.raises(InputError, match="sample='edge'"):
        Flow(Between(0, 1), sample="edge")
    with pytest.raises(InputError, match="got dt and control"):
        Flow(Between(0, 1), dt=0.1, control=TIGHT)
    with pytest.raises(InputError, match="sample='all'"):
        FlowMatching(sample="all")
    with pytest.raises(InputError, match="hidden is 0, expected a whole number >= 1"):
        PointVelocity(2, hidden=0)
    with pytest.raises(InputError, match="jacobian is -1"):
        Likelihood(jacobian=-1)
