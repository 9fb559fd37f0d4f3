"""Log-densities along flows: closed forms, estimates, costs."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from graphpde.core import networks
from graphpde.dynamics import Adaptive, ExactDivergence, Hutchinson, WithLogDensity, evolve
from graphpde.errors import InputError, ShapeError
from graphpde.ops import Reaction
from graphpde.ops.weighted_diffusion import WeightedDiffusion

A = torch.tensor([[0.3, -1.1], [0.7, -0.4]], dtype=torch.float64)
CONTROL = Adaptive(rtol=1e-9, atol=1e-11)


def linear(t: Tensor, x: Tensor) -> Tensor:
    return (1 + t) * x @ A.T


def test_a_linear_flow_of_a_gaussian() -> None:
    """x' = (1 + t) A x takes N(0, 1) to N(0, E E^T), E = exp(3/2 A): the density in closed form."""
    x = torch.randn(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    base = -0.5 * x.square().sum(-1, keepdim=True) - math.log(2 * math.pi)
    flow = WithLogDensity(linear)
    end = evolve(flow, flow.start(x, base), [0.0, 1.0], stepper="dopri5", control=CONTROL).final
    e = torch.linalg.matrix_exp(1.5 * A)
    law = torch.distributions.MultivariateNormal(torch.zeros(2, dtype=torch.float64), e @ e.T)
    assert torch.allclose(end.log_density[:, 0], law.log_prob(end.x), atol=1e-8)
    back = evolve(
        WithLogDensity(lambda t, y: -linear(1 - t, y)), end, [0.0, 1.0], stepper="dopri5", control=CONTROL
    ).final
    assert torch.allclose(back.x, x, atol=1e-8)
    assert torch.allclose(back.log_density, base, atol=1e-8)


class Mixing(nn.Module):
    """All coordinates of all nodes in one network: the state is one sample."""

    def __init__(self, n: int, c: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(n * c, 8), nn.Tanh(), nn.Linear(8, n * c)).double()

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(x.flatten(-2)).unflatten(-1, x.shape[-2:])


def test_the_divergence_of_a_state_is_the_trace_of_its_jacobian() -> None:
    torch.manual_seed(0)
    net, x = Mixing(3, 2), torch.randn(4, 3, 2, dtype=torch.float64)
    t = torch.zeros(())
    flow = WithLogDensity(net, sample="state", costs=True)
    found = flow(t, flow.start(x))
    for k in range(4):
        j = torch.autograd.functional.jacobian(lambda y: net(t, y), x[k]).reshape(6, 6)
        assert found.log_density[k].item() == pytest.approx(-float(j.trace()), rel=1e-12)
        assert found.jacobian[k].item() == pytest.approx(float(j.square().sum()), rel=1e-12)
        assert found.kinetic[k].item() == pytest.approx(float(net(t, x[k]).detach().square().sum()), rel=1e-12)


@pytest.mark.parametrize("kind", ("rademacher", "gaussian"))
def test_probes_estimate_without_bias(kind: str) -> None:
    """z-tests of mean and variance: 2 sum of squares off the diagonal of (J + J^T)/2, with it for normal probes."""
    torch.manual_seed(1)
    net, x = Mixing(4, 1), torch.randn(1, 4, 1, dtype=torch.float64)
    t, rng = torch.zeros(()), torch.Generator().manual_seed(3)
    j = torch.autograd.functional.jacobian(lambda y: net(t, y), x[0]).reshape(4, 4)
    symmetric = (j + j.T) / 2
    square = float(symmetric.square().sum())
    if kind == "rademacher":
        square -= float(symmetric.diagonal().square().sum())
    many = x.expand(20_000, 4, 1)
    found = WithLogDensity(net, Hutchinson.draw(many, kind=kind, rng=rng), sample="state", costs=True)
    rate = found(t, found.start(many))
    estimate = -rate.log_density[:, 0, 0]
    sigma = math.sqrt(2 * square / len(many))
    assert abs(float(estimate.mean()) - float(j.trace())) < 4 * sigma
    assert float(estimate.var()) == pytest.approx(2 * square, rel=0.1)
    spread = float(rate.jacobian.std()) / math.sqrt(len(many))
    assert abs(float(rate.jacobian.mean()) - float(j.square().sum())) < 4 * spread


def test_the_spread_of_estimates_falls_with_the_root_of_the_probes() -> None:
    torch.manual_seed(2)
    net, rng = Mixing(8, 1), torch.Generator().manual_seed(0)
    x, t = torch.randn(1, 8, 1, dtype=torch.float64).expand(3000, 8, 1), torch.zeros(())
    spreads = []
    for count in (1, 4, 16):
        flow = WithLogDensity(net, Hutchinson.draw(x, count, rng=rng), sample="state")
        spreads.append(float(flow(t, flow.start(x)).log_density.std()))
    slope = math.log(spreads[-1] / spreads[0]) / math.log(16)
    assert slope == pytest.approx(-0.5, abs=0.05)


@pytest.mark.parametrize("grad", ("direct", "checkpoint"))
def test_gradients_of_a_likelihood(grad: str) -> None:
    """Through the divergence as well: gradients by finite differences."""
    torch.manual_seed(3)
    net = Mixing(2, 1)
    x = torch.randn(3, 2, 1, dtype=torch.float64)

    def loss() -> Tensor:
        flow = WithLogDensity(net, ExactDivergence(), sample="state", costs=True)
        end = evolve(flow, flow.start(x), [0.0, 1.0], stepper="rk4", dt=0.25, grad=grad).final
        return (end.log_density + 0.1 * end.kinetic + 0.2 * end.jacobian - end.x.sum((-1, -2), True)).sum()

    (found,) = torch.autograd.grad(loss(), [net.net[0].weight])
    with torch.no_grad():
        for place in ((0, 0), (5, 1)):
            net.net[0].weight[place] += 1e-6
            up = float(loss())
            net.net[0].weight[place] -= 2e-6
            down = float(loss())
            net.net[0].weight[place] += 1e-6
            assert float(found[place]) == pytest.approx((up - down) / 2e-6, rel=1e-6, abs=1e-8)


def test_the_adjoint_of_states_of_several_tensors() -> None:
    """A likelihood with costs: gradients in parameters, in the samples and in time, beside those of all steps."""
    torch.manual_seed(4)
    net, rng = Mixing(2, 1), torch.Generator().manual_seed(0)
    x = torch.randn(3, 2, 1, dtype=torch.float64, generator=rng, requires_grad=True)
    times = torch.tensor([0.0, 0.4, 1.0], dtype=torch.float64, requires_grad=True)
    found = {}
    for grad in ("direct", "adjoint"):
        flow = WithLogDensity(net, ExactDivergence(), sample="state", costs=True)
        run = evolve(flow, flow.start(x), times, stepper="dopri5", control=CONTROL, grad=grad)
        assert type(run.states).__name__ == "DensityAndCosts"
        end, middle = run.final, run.states.x[1]
        loss = (end.log_density + 0.1 * end.kinetic + 0.2 * end.jacobian).sum() + middle.square().sum()
        found[grad] = torch.autograd.grad(loss, [*net.parameters(), x, times])
    for one, two in zip(*found.values(), strict=True):
        assert float((one - two).norm()) <= 1e-6 * float(one.norm())


@pytest.mark.parametrize("kind", ("exact", "probes"))
def test_densities_in_inference_mode(kind: str) -> None:
    """The divergence does not vanish where autograd is off altogether, nor for states that were made there."""
    torch.manual_seed(5)
    net = Mixing(3, 2)

    def run() -> Tensor:
        rng = torch.Generator().manual_seed(0)
        x = torch.randn(4, 3, 2, dtype=torch.float64, generator=rng)
        how = ExactDivergence() if kind == "exact" else Hutchinson.draw(x, 2, rng=rng)
        flow = WithLogDensity(lambda t, y: (1 + t) * net(t, y), how, sample="state")
        return evolve(flow, flow.start(x), [0.0, 1.0], stepper="rk4", dt=0.25).final.log_density

    with torch.inference_mode():
        found = run()
    with torch.no_grad():
        wanted = run()
    assert float(wanted.abs().min()) > 1e-3
    assert torch.equal(found, wanted)


@pytest.mark.grad
def test_the_adjoint_of_a_density_along_a_term() -> None:
    """Edge weights are no parameters; the term tells of them, and so does its density."""
    graph = networks.watts_strogatz(6, 2, 0.1, seed=0)
    w = torch.linspace(0.5, 1, graph.edges.n_edges, dtype=torch.float64).requires_grad_()
    x, found = torch.linspace(-1, 1, 6, dtype=torch.float64)[:, None], []
    for grad in ("direct", "adjoint"):
        flow = WithLogDensity(WeightedDiffusion(graph, w) + Reaction(lambda u: u - u**3), sample="state")
        end = evolve(flow, flow.start(x), [0.0, 0.5], stepper="dopri5", control=CONTROL, grad=grad).final
        found.append(torch.autograd.grad(end.log_density.sum() + end.x.square().sum(), w)[0])
    assert float((found[0] - found[1]).norm()) <= 1e-6 * float(found[0].norm())


class Spread(nn.Module):
    """A velocity whose formula is that of the whole state."""

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return x

    def with_divergence(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        return x, torch.full_like(x[..., :1, :1], float(x.shape[-2] * x.shape[-1]))


def test_shapes_of_densities_are_checked() -> None:
    x, t = torch.zeros(5, 2), torch.zeros(())
    with pytest.raises(ShapeError, match=r"the log-density has shape \[5\], expected one that fits \[5, 1\]"):
        WithLogDensity(linear).start(x, torch.zeros(5))
    with pytest.raises(ShapeError, match=r"the state has shape \[5\], expected \[\*, n, c\]"):
        WithLogDensity(linear).start(torch.zeros(5))
    flow = WithLogDensity(Spread())
    with pytest.raises(ShapeError, match=r"the divergence has shape \[1, 1\], expected one number for each .*\[5, 1\]"):
        flow(t, flow.start(x))
    assert torch.equal(flow.start(x, 2.0).log_density, torch.full((5, 1), 2.0))
    for velocity, said in ((lambda t, x: x[:, :1], r"the velocity has shape \[5, 1\]"), (lambda t, x: 3, "is a int")):
        flow = WithLogDensity(velocity)
        with pytest.raises(InputError, match=said):
            flow(t, flow.start(x))


def test_refused() -> None:
    with pytest.raises(InputError, match="count is 0, expected a whole number >= 1"):
        Hutchinson.draw(torch.zeros(2, 2), 0, rng=torch.Generator())
    with pytest.raises(InputError, match="sample='edge', expected one of: node, state"):
        WithLogDensity(linear, sample="edge")
    with pytest.raises(InputError, match="kind='uniform', expected one of: rademacher, gaussian"):
        Hutchinson.draw(torch.zeros(2, 2), kind="uniform", rng=torch.Generator())
    with pytest.raises(ShapeError, match=r"the probes have shape \[1, 2, 2\]"):
        flow = WithLogDensity(linear, Hutchinson(torch.ones(1, 2, 2)))
        flow(torch.zeros(()), flow.start(torch.zeros(3, 2, dtype=torch.float64)))
