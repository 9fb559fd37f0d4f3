"""Neural SDEs: the likelihood of observed steps against normal laws, and processes that are found again."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from graphpde.dynamics import Brownian, evolve
from graphpde.errors import InputError, ShapeError
from graphpde.flow import PointVelocity, PositiveFactor, Transitions
from graphpde.ops import SDE, Additive, Diagonal
from graphpde.train import LBFGS, fit


def test_the_likelihood_is_that_of_normal_steps() -> None:
    u = torch.randn(20, 2, dtype=torch.float64)
    after = u + 0.1 * torch.randn(20, 2, dtype=torch.float64)
    t = torch.tensor(0.3, dtype=torch.float64)
    for noise, std in ((Additive(0.7), torch.full_like(u, 0.7)), (Diagonal(lambda t, u: 0.5 + u * u), 0.5 + u * u)):
        found = Transitions(0.04)(SDE(lambda t, u: -t * u, noise), (u, after, t))["nll"]
        law = torch.distributions.Normal(u - 0.04 * t * u, 0.2 * std)
        assert float(found) == pytest.approx(-float(law.log_prob(after).mean()), rel=1e-12)


class Linear(nn.Module):
    """theta (mu - u)."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(0.1, dtype=torch.float64))
        self.mu = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.theta * (self.mu - u)


class Level(nn.Module):
    """The same everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.log = nn.Parameter(torch.tensor(0.0, dtype=torch.float64))

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.log.exp().expand(u.shape)


def test_an_ornstein_uhlenbeck_process_is_found_again() -> None:
    theta, mu, sigma, dt = 2.0, 0.5, 0.8, 0.01
    true = SDE(lambda t, u: theta * (mu - u), sigma)
    times = torch.arange(101, dtype=torch.float64) * dt
    start = mu + sigma / math.sqrt(2 * theta) * torch.randn(2000, 1, dtype=torch.float64)
    run = evolve(true, start, times, stepper="euler_maruyama", dt=dt / 2, brownian=Brownian(3))
    pairs = (run.states[:-1].flatten(0, 1), run.states[1:].flatten(0, 1))
    model = SDE(Linear(), Diagonal(Level()))
    fit(model, Transitions(dt), [pairs], update=LBFGS(), steps=40)
    values = dict(model.named_parameters())
    got = {name.rsplit(".", 1)[-1]: p.item() for name, p in values.items()}
    assert got["theta"] == pytest.approx(theta, rel=0.05)
    assert got["mu"] == pytest.approx(mu, abs=0.05)
    assert math.exp(got["log"]) == pytest.approx(sigma, rel=0.01)


def test_a_positive_factor_is_positive() -> None:
    factor = PositiveFactor(PointVelocity(1), least=1e-3)
    assert bool((factor(torch.tensor(0.0), torch.linspace(-50, 50, 11)[:, None]) >= 1e-3).all())


def test_refused() -> None:
    u = torch.zeros(3, 1)
    with pytest.raises(InputError, match="dt"):
        Transitions(0.0)
    with pytest.raises(InputError, match="expected an SDE"):
        Transitions(0.1)(nn.Linear(1, 1), (u, u))
    with pytest.raises(InputError, match="ito"):
        Transitions(0.1)(SDE(lambda t, u: -u, 1.0, calculus="stratonovich"), (u, u))
    with pytest.raises(ShapeError, match=r"\[3, 1\] to \[4, 1\]"):
        Transitions(0.1)(SDE(lambda t, u: -u, 1.0), (u, torch.zeros(4, 1)))
