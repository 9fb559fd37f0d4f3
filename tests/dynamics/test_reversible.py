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
from graphpde.ops import Diffusion, Dirichlet, System, Term
from graphpde.ops.weighted_diffusion import HeldRate


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


@pytest.mark.parametrize("how", ({"dt": 0.1}, {"control": Adaptive(rtol=1e-5, atol=1e-7, dt0=1.0)}))
def test_gradients_are_those_of_all_steps(how: dict[str, Any]) -> None:
    """Refused steps are none that could be undone."""
    field = Field()
    found = {}
    for grad in ("direct", "reversible"):
        x = X.clone().requires_grad_()
        run = evolve(field, x, TIMES, stepper="reversible_heun", grad=grad, **how)
        assert (run.statistics["rejected"] > 0) is ("control" in how)
        states = run.states
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


class Springs(Term):
    """u'' = -k^2 u, told of k and k^2."""

    def __init__(self, k: Tensor) -> None:
        super().__init__()
        self.k, self.square = k, k * k

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return torch.stack([u[..., 1] * self.k, -self.square * u[..., 0]], -1)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.k, self.square)


@pytest.mark.grad
@pytest.mark.parametrize("grad", ["adjoint", "reversible"])
def test_a_tensor_made_from_another_that_is_read_counts_once(grad: str) -> None:
    k = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    found = []
    for way in ("direct", grad):
        f = Springs(k) + HeldRate(0.1 * k * X)
        end = evolve(f, X, [0.0, 0.5, 1.0], stepper="reversible_heun", dt=0.002, grad=way).final
        found.append(float(torch.autograd.grad(end.square().sum(), k)[0]))
    assert found[1] == pytest.approx(
        found[0], rel=1e-9 if grad == "reversible" else 1e-4
    )  # 1e-4: of the steps, 0.002^2


@pytest.mark.grad
@pytest.mark.parametrize("grad", ["adjoint", "reversible"])
def test_second_derivatives_are_refused(grad: str) -> None:
    """Of a loss whose gradient is no function of the end, too: it would pass for a constant."""
    field = Field()
    end = evolve(field, X, [0.0, 0.2], stepper="reversible_heun", dt=0.05, grad=grad).final
    (g,) = torch.autograd.grad(end.sum(), field.net[0].weight, create_graph=True)
    with pytest.raises(InputError, match=f"grad='{grad}' gives first derivatives only"):
        g.square().sum().backward()


def test_weights_that_moved_meanwhile_are_noticed() -> None:
    field = Field()
    end = evolve(field, X, [0.0, 0.2], stepper="reversible_heun", dt=0.05, grad="reversible").final
    with torch.no_grad():
        field.net[0].weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        end.sum().backward()


class Lagged(Springs):
    """Frozen anew for every step."""

    def at(self, t: Tensor, u: Tensor) -> Term:
        return HeldRate(self(t, u))


def test_what_cannot_be_undone_is_refused() -> None:
    k = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    graph = networks.watts_strogatz(5, 2, 0.1, seed=0)
    held = Springs(k) + Dirichlet([0], 1.0)
    for f, said in (
        (Lagged(k), "Lagged is frozen anew for every step: not undone"),
        (held, r"held values \(Dirichlet conditions\) are not undone"),
        (Springs(k.detach()) + (lambda t, u: -k * u), "requires a gradient and no term says it reads"),
    ):
        with pytest.raises(InputError, match=said):
            evolve(f, X, [0.0, 1.0], stepper="reversible_heun", dt=0.1, grad="reversible", domain=graph)
