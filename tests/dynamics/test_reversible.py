"""Steps that can be undone, and gradients by undoing them."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from graphpde.core import networks
from graphpde.dynamics import Adaptive, ReversibleHeun, WithLogDensity, evolve
from graphpde.errors import InputError
from graphpde.ops import Diffusion, System


class Field(nn.Module):
    """A small learned velocity in the plane."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Linear(3, 16), nn.Tanh(), nn.Linear(16, 2)).double()

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        return self.net(torch.cat([x, torch.as_tensor(t).to(x).expand(*x.shape[:-1], 1)], -1))


X = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
TIMES = [0.0, 0.6, 2.0]


def test_the_way_back_leads_to_the_start() -> None:
    """1000 steps there and back: to rounding, where the solution backwards in time would be off by its own error."""
    f, stepper = System(Field(), None, torch.tensor(0.0)), ReversibleHeun()
    u, carry, dt = X, None, 0.01
    with torch.no_grad():
        for k in range(1000):
            step = stepper.step(f, torch.tensor(k * dt, dtype=torch.float64), dt, u, carry)
            u, carry = step.u, step.carry
        assert float((u - X).norm()) > 1
        for k in reversed(range(1000)):
            u, carry = stepper.back(f, torch.tensor(k * dt, dtype=torch.float64), dt, u, carry)
    assert float((u - X).abs().max()) < 1e-10
    assert float((carry.value - X).abs().max()) < 1e-10


@pytest.mark.parametrize("how", ({"dt": 0.1}, {"control": Adaptive(rtol=1e-5, atol=1e-7)}))
def test_gradients_are_those_of_all_steps(how: dict[str, Any]) -> None:
    field = Field()
    found = {}
    for grad in ("direct", "reversible"):
        x = X.clone().requires_grad_()
        states = evolve(field, x, TIMES, stepper="reversible_heun", grad=grad, **how).states
        loss = states[1].square().sum() + states[2].sin().sum()
        found[grad] = torch.autograd.grad(loss, [x, *field.parameters()])
    for one, two in zip(*found.values(), strict=True):
        assert torch.allclose(one, two, rtol=1e-10, atol=1e-11)


def test_gradients_of_a_density() -> None:
    flow = WithLogDensity(Field())
    found = {}
    for grad in ("direct", "reversible"):
        end = evolve(flow, flow.start(X), [0.0, 1.0], stepper="reversible_heun", dt=0.05, grad=grad).final
        found[grad] = torch.autograd.grad((end.log_density + end.x[:, :1]).sum(), list(flow.parameters()))
    for one, two in zip(*found.values(), strict=True):
        assert torch.allclose(one, two, rtol=1e-9, atol=1e-11)


def test_memory_does_not_grow_with_the_steps() -> None:
    def kept(steps: int) -> int:
        sizes = {}

        def pack(x: Tensor) -> Tensor:
            sizes[x.data_ptr()] = x.numel()
            return x

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
            evolve(Field(), X, [0.0, 1.0], stepper="reversible_heun", dt=1 / steps, grad="reversible")
        return sum(sizes.values())

    assert kept(400) <= kept(40)


def test_refused() -> None:
    with pytest.raises(InputError, match="steps of rk4 cannot be undone; use reversible_heun"):
        evolve(Field(), X, TIMES, stepper="rk4", dt=0.1, grad="reversible")
    with pytest.raises(InputError, match="gives no gradient in times"):
        times = torch.tensor(TIMES, requires_grad=True)
        evolve(Field(), X, times, stepper="reversible_heun", dt=0.1, grad="reversible")
    with pytest.raises(InputError, match="a plain function says nothing"):
        evolve(lambda t, u: -u, X, TIMES, stepper="reversible_heun", dt=0.1, grad="reversible")


@pytest.mark.orders
def test_order() -> None:
    """A turn whose speed changes: the angle is t + sin(t) / 2."""

    def turn(t: Tensor, u: Tensor) -> Tensor:
        x, y = u.unbind(-1)
        speed = 1 + 0.5 * torch.cos(t)
        return torch.stack([-speed * y, speed * x], -1)

    u0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    angle = 2 + 0.5 * math.sin(2)
    end = torch.tensor([[math.cos(angle), math.sin(angle)]], dtype=torch.float64)
    errors = [
        float((evolve(turn, u0, [0.0, 2.0], stepper="reversible_heun", dt=2 / n).final - end).norm())
        for n in (100, 200)
    ]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(2, abs=0.05)


def test_decay_is_refused() -> None:
    graph = networks.watts_strogatz(6, 2, 0.1, seed=0)
    with pytest.raises(InputError, match="reversible_heun is unstable for decay of any speed, and Diffusion decays"):
        evolve(Diffusion(graph), torch.ones(6, 1), [0.0, 1.0], stepper="reversible_heun", dt=1e-3)
