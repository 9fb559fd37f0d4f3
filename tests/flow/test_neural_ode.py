"""Neural ODEs as layers: closed forms, what plain ones cannot do, gradients, bad input."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from graphpde.dynamics import Adaptive
from graphpde.errors import InputError
from graphpde.flow import NeuralOde, PointVelocity

TIGHT = Adaptive(rtol=1e-9, atol=1e-9)


class Turn(nn.Module):
    """Half a turn of two channels in a time of 1."""

    def __init__(self) -> None:
        super().__init__()
        self.speed = nn.Parameter(torch.tensor(math.pi, dtype=torch.float64))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.speed * torch.stack([-x[..., 1], x[..., 0]], -1)


def test_an_extra_channel_lets_samples_change_their_order() -> None:
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    layer = NeuralOde(Turn(), extra=1, control=TIGHT)
    end = layer(x)
    assert end.shape == (9, 2)
    assert end[:, :1].sub(-x).abs().max() < 1e-7
    assert layer.statistics["evaluations"] > 10
    torch.manual_seed(0)
    for _ in range(5):  # a plain one keeps the order, whatever the network is
        plain = PointVelocity(1, activation=torch.tanh).double()
        for p in plain.parameters():
            nn.init.normal_(p)
        with torch.no_grad():
            assert (NeuralOde(plain, control=TIGHT)(x).diff(dim=0) > 0).all()


@pytest.mark.parametrize("grad", ["direct", "checkpoint", "adjoint"])
def test_gradients_are_those_of_the_closed_form(grad: str) -> None:
    x = torch.tensor([[0.3, -0.2], [1.0, 0.5]], dtype=torch.float64, requires_grad=True)
    turn = Turn()
    out = NeuralOde(turn, time=0.7, control=TIGHT, grad=grad)(x)
    weight = torch.tensor([1.0, 2.0], dtype=torch.float64)
    of_x, of_speed = torch.autograd.grad((out * weight).sum(), [x, turn.speed])
    angle = 0.7 * math.pi
    turned = torch.tensor([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    wanted = (weight @ turned.double()).expand(2, 2)
    assert of_x.sub(wanted).abs().max() < 1e-6
    slope = 0.7 * torch.stack([-out[:, 1], out[:, 0]], -1).detach()
    assert float(of_speed) == pytest.approx(float((slope * weight).sum()), abs=1e-6)


class Joins(nn.Module):
    """A network of the usual kind, which joins x and t."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(3, 2)

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(torch.cat([x, t.expand(len(x), 1)], -1))


@pytest.mark.parametrize("grad", ["direct", "adjoint"])
def test_networks_that_join_time_and_state(grad: str) -> None:
    torch.manual_seed(0)
    layer = NeuralOde(Joins(), grad=grad)
    out = layer(torch.ones(4, 2))
    out.sum().backward()
    assert out.dtype == torch.float32
    assert float(layer.velocity.net.weight.grad[:, 2].abs().min()) > 0  # time counts


def test_edge_weights_of_a_term_learn_by_the_adjoint() -> None:
    from graphpde.core import Graph, Relation
    from graphpde.ops.weighted_diffusion import WeightedDiffusion

    k = torch.arange(6)
    graph = Graph(Relation.from_edges(torch.cat([k, k]), torch.cat([(k + 1) % 6, (k - 1) % 6]), 6, 6))
    found = []
    for grad in ("direct", "adjoint"):
        w = torch.linspace(0.5, 1.5, 12, dtype=torch.float64).requires_grad_()
        out = NeuralOde(WeightedDiffusion(graph, w), control=TIGHT, grad=grad)(torch.eye(6).double())
        found.append(torch.autograd.grad((out * torch.arange(6.0)).sum(), w)[0])
    assert float((found[0] - found[1]).abs().max()) < 1e-6 < float(found[0].abs().max())


def test_equal_steps() -> None:
    x = torch.ones(1, 1, dtype=torch.float64)
    layer = NeuralOde(PointVelocity(1).double(), stepper="euler", dt=0.25)
    layer(x)
    assert layer.statistics["accepted"] == 4


@pytest.mark.parametrize("how", [{"extra": -1}, {"time": 0.0}, {"dt": 0.1, "control": TIGHT}])
def test_refused(how: dict[str, float]) -> None:
    with pytest.raises(InputError):
        NeuralOde(Turn(), **how)
