"""Stochastic steppers: declared strong and weak orders, both calculi, and what they refuse."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.flow.orders import Nodes, one_step
from graphpde.core import Graph, networks
from graphpde.dynamics import STEPPERS, Brownian, evolve
from graphpde.errors import InputError, ShapeError
from graphpde.ops import SDE, Additive, Diagonal, Diffusion, Dirichlet, EdgeNoise, General, Noise, System

STOCHASTIC = [name for name, kind in STEPPERS.items() if getattr(kind, "stochastic", False) and kind.accepts == "any"]
DIAGONAL = [name for name in STOCHASTIC if STEPPERS[name].strong.diagonal]
ADDITIVE = [name for name in STOCHASTIC if STEPPERS[name].strong.additive]
PATHS = torch.zeros(1500, 1, dtype=torch.float64)


def orders(errors: list[float]) -> list[float]:
    return [math.log2(a / b) for a, b in pairwise(errors)]


def fitted(errors: list[float]) -> float:
    """The slope of a line through all of them."""
    return -float(np.polyfit(np.arange(len(errors)), np.log2(errors), 1)[0])


# strong orders: the mean error of 1500 paths against exact solutions on the same paths


def growth(calculus: str) -> tuple[SDE, Any]:
    """du = a u dt + b u dW, and u(1) from W(1)."""
    a, b = 1.5, 0.8
    sde = SDE(lambda t, u: a * u, Diagonal(lambda t, u: b * u), calculus=calculus)
    return sde, lambda w: torch.exp((a - (0.5 * b * b if calculus == "ito" else 0.0)) + b * w)


def changing_growth(calculus: str) -> tuple[SDE, Any]:
    """du = a cos(4 t) u dt + (b + c t) u dW, and u(1) from W(1) and the integral of W."""
    a, b, c = 1.5, 0.4, 0.6
    noise = Diagonal(lambda t, u: (b + c * t) * u)
    sde = SDE(lambda t, u: a * torch.cos(4 * torch.as_tensor(t)) * u, noise, calculus=calculus)
    bent = 0.5 * (b * b + b * c + c * c / 3) if calculus == "ito" else 0.0
    return sde, lambda w, area: torch.exp(a * math.sin(4) / 4 - bent + b * w + c * (w - area))


@pytest.mark.orders
@pytest.mark.parametrize("calculus", ("ito", "stratonovich"))
@pytest.mark.parametrize("name", DIAGONAL)
def test_strong_order_with_diagonal_noise(name: str, calculus: str) -> None:
    sde, exact = changing_growth(calculus)
    path = Brownian(1)
    wanted = exact(*path(0, 1, PATHS))
    errors = []
    for k in range(4, 9):
        final = evolve(sde, torch.ones_like(PATHS), [0.0, 1.0], stepper=name, dt=2.0**-k, brownian=path).final
        errors.append(float((final - wanted).abs().mean()))
    assert fitted(errors) == pytest.approx(STEPPERS[name].strong.diagonal, abs=0.1)


@pytest.mark.orders
@pytest.mark.parametrize("name", ADDITIVE)
def test_strong_order_with_additive_noise(name: str) -> None:
    """A double well with a noise that changes in time; the finest run stands for the exact one."""
    sde = SDE(lambda t, u: u - u**3, Additive(lambda t: 0.5 + 0.4 * torch.sin(3 * t)))
    u0, path = torch.full_like(PATHS, 0.3), Brownian(2)
    wanted = evolve(sde, u0, [0.0, 1.0], stepper="sra1", dt=2.0**-11, brownian=path).final
    errors = []
    for k in range(4, 9):
        final = evolve(sde, u0, [0.0, 1.0], stepper=name, dt=2.0**-k, brownian=path).final
        errors.append(float((final - wanted).abs().mean()))
    assert fitted(errors) == pytest.approx(STEPPERS[name].strong.additive, abs=0.1)


def turning(calculus: str) -> tuple[SDE, Any]:
    """du = A u dt + B u dW with matrices that do not commute, one motion for both entries of a row: general noise."""
    a = torch.tensor([[-0.5, 0.3], [0.1, -0.2]], dtype=torch.float64)
    b = torch.tensor([[0.4, -0.5], [0.5, 0.3]], dtype=torch.float64)
    noise = General(lambda t, u, dw: (u @ b.T) * dw, lambda u: u[..., :1])
    return SDE(lambda t, u: u @ a.T, noise, calculus=calculus), (a, b)


@pytest.mark.orders
def test_strong_order_with_general_noise() -> None:
    """One motion for two entries: such noise commutes with itself, so that the rule of Heun has order 1."""
    u0, path = torch.ones(2000, 2, dtype=torch.float64), Brownian(3)
    for name, calculus, order in (("euler_maruyama", "ito", 0.5), ("stochastic_heun", "stratonovich", 1.0)):
        sde, _ = turning(calculus)
        runs = [evolve(sde, u0, [0.0, 1.0], stepper=name, dt=2.0**-k, brownian=path).final for k in (4, 5, 6, 7, 8, 12)]
        errors = [float((run - runs[-1]).norm(dim=-1).mean()) for run in runs[:-1]]
        assert fitted(errors) == pytest.approx(order, abs=0.1)


@pytest.mark.orders
@pytest.mark.parametrize("name", [name for name in STOCHASTIC if STEPPERS[name].strong.general])
def test_strong_order_with_noise_that_does_not_commute(name: str) -> None:
    """dx = dW_1, dy = x dW_2, in both calculi the same: without the area between both motions no more than 1/2."""
    noise = General(lambda t, u, dw: torch.stack([dw[..., 0], u[..., 0] * dw[..., 1]], -1), lambda u: u)
    sde = SDE(lambda t, u: 0 * u, noise, calculus=STEPPERS[name].calculus)
    u0, path = torch.zeros(2000, 2, dtype=torch.float64), Brownian(3)
    runs = [evolve(sde, u0, [0.0, 1.0], stepper=name, dt=2.0**-k, brownian=path).final for k in (3, 4, 5, 6, 7, 13)]
    errors = [float((run - runs[-1]).norm(dim=-1).mean()) for run in runs[:-1]]
    assert fitted(errors) == pytest.approx(STEPPERS[name].strong.general, abs=0.06)


class Waves(Noise):
    """Diagonal noise of somebody's own, who says no more than he must."""

    kind = "diagonal"

    def forward(self, t: Tensor, u: Tensor, dw: Tensor) -> Tensor:
        return (0.4 + 0.1 * t) * torch.cos(u) * dw


@pytest.mark.parametrize("calculus", ("ito", "stratonovich"))
@pytest.mark.parametrize("name", DIAGONAL)
def test_diagonal_noise_of_ones_own(name: str, calculus: str) -> None:
    u0 = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    ends = [
        evolve(
            SDE(lambda t, u: -u, noise, calculus=calculus), u0, [0.0, 1.0], stepper=name, dt=0.1, brownian=Brownian(4)
        )
        for noise in (Waves(), Diagonal(lambda t, u: (0.4 + 0.1 * t) * torch.cos(u)))
    ]
    assert torch.allclose(ends[0].final, ends[1].final, atol=1e-14)


# weak orders, by the exact moments of one step: the path of a step is replaced by all nodes of a Gauss rule


@pytest.mark.orders
@pytest.mark.parametrize("name", DIAGONAL)
def test_weak_order_with_diagonal_noise(name: str) -> None:
    """Of du = a u dt + b u dW every method of ours is u_new = R u, so that E u^p is E[R^p]^steps."""
    a, b = 1.5, 0.8
    sde, _ = growth("ito")
    for p in (1, 2, 3):
        exact, errors = math.exp(p * a + 0.5 * p * (p - 1) * b * b), []
        for steps in (32, 64, 128, 256):
            new, weights = one_step(name, sde, 1 / steps, torch.tensor([1.0, 2.0], dtype=torch.float64))
            assert torch.allclose(2 * new[0], new[1], rtol=1e-13)
            errors.append(abs(float((new[0, :, 0] ** p * weights).sum()) ** steps - exact))
        assert orders(errors)[-1] == pytest.approx(STEPPERS[name].weak.diagonal, abs=0.1)


@pytest.mark.orders
@pytest.mark.parametrize("name", ADDITIVE)
def test_weak_order_with_additive_noise(name: str) -> None:
    """Of du = a u dt + b(t) dW every method of ours is u_new = r u + x: mean and variance follow exactly."""
    a, b = 0.6, lambda t: 0.3 + 0.8 * t
    s, p = np.polynomial.legendre.leggauss(20)
    s, p = (s + 1) / 2, p / 2
    exact = math.exp(2 * a) + float((p * np.exp(2 * a * (1 - s)) * b(s) ** 2).sum())
    errors = []
    for steps in (16, 32, 64, 128):
        sde, second = SDE(lambda t, u: a * u, Additive(b)), 1.0
        for k in range(steps):
            new, weights = one_step(name, sde, 1 / steps, torch.tensor([0.0, 1.0], dtype=torch.float64), k / steps)
            r = float(new[1, 0, 0] - new[0, 0, 0])
            assert torch.allclose(new[1] - new[0], torch.full_like(new[0], r), rtol=0, atol=1e-12)
            second = r * r * second + float((new[0, :, 0] ** 2 * weights).sum())
        errors.append(abs(second - exact))
    assert orders(errors)[-1] == pytest.approx(STEPPERS[name].weak.additive, abs=0.1)


@pytest.mark.orders
@pytest.mark.parametrize("name", [name for name in STOCHASTIC if STEPPERS[name].weak.general])
def test_weak_order_with_general_noise(name: str) -> None:
    """Of du = A u dt + B u dW every method is u_new = R u, and second moments go by E[R x R] from step to step."""
    calculus = STEPPERS[name].calculus
    sde, (a, b) = turning(calculus)
    drift = a if calculus == "ito" else a + b @ b / 2
    one = torch.eye(2, dtype=torch.float64)
    exact = torch.linalg.matrix_exp(torch.kron(drift, one) + torch.kron(one, drift) + torch.kron(b, b))
    errors = []
    for steps in (32, 64, 128):
        path, t = Nodes(), torch.zeros((), dtype=torch.float64)
        f = System(sde, None, t, brownian=path)
        states = one[:, None, :].expand(-1, len(path.p), 2)
        r = STEPPERS[name]().step(f, t, 1 / steps, states, None).u  # columns of R for every node: [2, q, 2]
        moments = torch.einsum("jqi,lqk,q->ikjl", r, r, path.p).reshape(4, 4)
        errors.append(float((torch.linalg.matrix_power(moments, steps) - exact).norm()))
    assert orders(errors)[-1] == pytest.approx(STEPPERS[name].weak.general, abs=0.1)


# graphs


@pytest.mark.parametrize("weighed", (False, True))
def test_noise_in_the_flows_conserves_and_equilibrates(weighed: bool) -> None:
    """Diffusion with noise in its flows: the integral stands still, nodes become independent with variance T / m."""
    graph = networks.watts_strogatz(12, 4, 0.3, seed=0)
    m = torch.linspace(0.5, 2, 12, dtype=torch.float64) if weighed else torch.ones(12, dtype=torch.float64)
    graph = Graph(graph.edges, weight=graph.weight, measure=m) if weighed else graph
    temperature, copies = 0.7, 3000
    sde = SDE(Diffusion(graph), EdgeNoise(graph, math.sqrt(2 * temperature)))
    u0 = torch.zeros(copies, graph.n, 1, dtype=torch.float64)
    u0[:, 0] = 5.0
    u = evolve(sde, u0, [0.0, 3.0], stepper="sra1", dt=0.02, brownian=Brownian(7)).final[..., 0]
    assert float((u @ m - 5.0 * m[0]).abs().max()) < 1e-11
    c = (u - u.mean(0)).T @ (u - u.mean(0)) / copies
    wanted = temperature * (torch.diag(1 / m) - 1 / m.sum())
    # 0.01: weak error of steps
    assert float((c - wanted).abs().max()) < 5 * float(wanted.max()) * math.sqrt(2 / copies) + 0.01


def test_fixed_nodes_stay_fixed() -> None:
    graph = networks.watts_strogatz(10, 4, 0.2, seed=1)
    for name in STOCHASTIC:
        noise = Diagonal(lambda t, u: 0.3 * u) if STEPPERS[name].strong.diagonal else Additive(0.3)
        sde = SDE(Diffusion(graph) + Dirichlet(torch.tensor([0, 3]), 2.0), noise)
        u = evolve(sde, torch.ones(10, 1), [0.0, 0.2], stepper=name, dt=0.05, brownian=Brownian(0)).final
        assert torch.equal(u[[0, 3]], torch.full((2, 1), 2.0))
        assert float((u - 1).abs().min()) > 0


def test_the_drift_beside_the_noise_leaves_held_nodes_alone() -> None:
    """Their rate is that of what they are told, in either calculus."""
    graph, t = networks.watts_strogatz(10, 4, 0.2, seed=1), torch.tensor(0.3, dtype=torch.float64)
    terms = Diffusion(graph) + Dirichlet([0, 3], lambda x, t: torch.sin(t))
    for name in DIAGONAL:
        calculus = "ito" if STEPPERS[name].calculus == "stratonovich" else "stratonovich"
        f = System(SDE(terms, Diagonal(lambda t, u: 0.3 * u), calculus=calculus), None, t)
        rate = STEPPERS[name]().rate(f, t, torch.ones(10, 1, dtype=torch.float64))
        assert torch.allclose(rate[[0, 3]], torch.cos(t).expand(2, 1))
        assert float((rate[1] - f.rate(t, torch.ones(10, 1, dtype=torch.float64))[1]).abs()) == pytest.approx(0.045)


@pytest.mark.parametrize("name", DIAGONAL)
def test_both_calculi_mean_the_same_process(name: str) -> None:
    """An Ito equation, and the same written in Stratonovich's calculus by hand."""
    g = Diagonal(lambda t, u: 0.5 * torch.sin(u))
    ito = SDE(lambda t, u: -u, g)
    other = SDE(lambda t, u: -u - 0.5 * 0.25 * torch.sin(u) * torch.cos(u), g, calculus="stratonovich")
    u0 = torch.linspace(-1, 1, 9, dtype=torch.float64)[:, None]
    a, b = (evolve(f, u0, [0.0, 1.0], stepper=name, dt=0.1, brownian=Brownian(4)).final for f in (ito, other))
    assert torch.allclose(a, b, atol=1e-13)


@pytest.mark.parametrize("name", DIAGONAL)
def test_gradients_through_noise(name: str) -> None:
    """Checkpoints repeat the path: their gradient is that of all steps, and that of finite differences."""

    def final(scale: Tensor, grad: str) -> Tensor:
        sde = SDE(lambda t, u: -scale * u, Diagonal(lambda t, u: 0.4 * scale * torch.cos(u)))
        u0 = torch.linspace(0.2, 1, 5, dtype=torch.float64)[:, None]
        how: Any = {"stepper": name, "dt": 0.0625, "brownian": Brownian(9), "grad": grad}
        return evolve(sde, u0, [0.0, 1.0], **how).final.square().sum()

    x = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    direct, kept = (torch.autograd.grad(final(x, grad), x)[0] for grad in ("direct", "checkpoint"))
    assert torch.equal(direct, kept)
    with torch.no_grad():
        slope = (final(x + 1e-6, "direct") - final(x - 1e-6, "direct")) / 2e-6
    assert float(direct) == pytest.approx(float(slope), rel=1e-7)


def test_the_derivative_of_the_noise_in_inference_mode() -> None:
    sde, _ = growth("ito")
    ends = []
    for off in (torch.no_grad(), torch.inference_mode()):
        with off:
            u0 = torch.ones(6, 1, dtype=torch.float64)
            ends.append(evolve(sde, u0, [0.0, 1.0], stepper="milstein", dt=0.125, brownian=Brownian(5)).final)
    assert torch.equal(*ends)


def test_one_path_whatever_the_saved_times() -> None:
    sde, _ = growth("ito")
    u0 = torch.ones(6, 1, dtype=torch.float64)
    runs = [
        evolve(sde, u0, times, stepper="milstein", dt=0.125, brownian=Brownian(5)).final
        for times in ([0.0, 1.0], [0.0, 0.25, 0.5, 1.0])
    ]
    assert torch.allclose(*runs, rtol=1e-13)


REFUSED = {
    "knows no noise": (SDE(lambda t, u: -u, 0.1), {"stepper": "rk4", "brownian": Brownian(0)}),
    "give brownian=": (SDE(lambda t, u: -u, 0.1), {"stepper": "milstein"}),
    "without noise; use grad='checkpoint'": (
        SDE(lambda t, u: -u, 0.1),
        {"stepper": "milstein", "brownian": Brownian(0), "grad": "adjoint"},
    ),
    "sra1 takes additive noise, got diagonal; use": (
        SDE(lambda t, u: -u, Diagonal(lambda t, u: u)),
        {"stepper": "sra1", "brownian": Brownian(0)},
    ),
    "brownian is 5, expected a path": (SDE(lambda t, u: -u, 0.1), {"stepper": "milstein", "brownian": 5}),
    "no noise for a Brownian path": (lambda t, u: -u, {"stepper": "rk4", "brownian": Brownian(0)}),
    "no derivative in time": (
        SDE(lambda t, u: -u, 0.1),
        {"stepper": "milstein", "brownian": Brownian(0), "times": torch.tensor([0.0, 1.0], requires_grad=True)},
    ),
    "the motion of the noise is a int": (
        SDE(lambda t, u: -u, General(lambda t, u, dw: u, lambda u: 3)),
        {"stepper": "euler_maruyama", "brownian": Brownian(0)},
    ),
    r"the noise has shape \[3, 1\], expected that of the state: \[3, 2\]": (
        SDE(lambda t, u: -u, General(lambda t, u, dw: dw[:, :1], lambda u: u)),
        {"stepper": "euler_maruyama", "brownian": Brownian(0)},
    ),
    "the noise is a float, expected a tensor": (
        SDE(lambda t, u: -u, Diagonal(lambda t, u: 0.1)),
        {"stepper": "euler_maruyama", "brownian": Brownian(0)},
    ),
    r"the state has shape \[3, 2\], expected \[\*, 5, c\]": (
        SDE(lambda t, u: -u, EdgeNoise(networks.watts_strogatz(5, 2, 0.0, seed=0))),
        {"stepper": "euler_maruyama", "brownian": Brownian(0)},
    ),
    "cannot be taken to another calculus": (
        turning("ito")[0],
        {"stepper": "stochastic_heun", "brownian": Brownian(0)},
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_refused(said: str) -> None:
    sde, how = REFUSED[said]
    with pytest.raises(InputError, match=said):
        evolve(sde, torch.ones(3, 2), **{"times": [0.0, 1.0], "dt": 0.1, **how})


def test_equations_with_noise_are_checked() -> None:
    with pytest.raises(InputError, match="calculus='levy', expected one of: ito, stratonovich"):
        SDE(lambda t, u: u, 0.1, calculus="levy")
    with pytest.raises(InputError, match="noise is a str, expected a number or such as Diagonal"):
        SDE(lambda t, u: u, "much")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a SDE is no summand; add terms to its drift"):
        Diffusion(networks.watts_strogatz(5, 2, 0.1, seed=0)) + SDE(lambda t, u: u, 0.1)
    ones = torch.ones(3, 1)
    for level in (torch.ones(2), torch.ones(2, 5)):
        with pytest.raises(ShapeError, match=r"the noise has shape \[2.*, expected one that fits \[3, 1\]"):
            Additive(level)(torch.zeros(()), ones, ones)
    with pytest.raises(InputError, match="the level of the noise is 'a', expected a number or a tensor"):
        Additive("a")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="the level of the noise is None"):
        Additive(lambda t: None)(torch.zeros(()), ones, ones)  # type: ignore[arg-type,return-value]
    assert SDE(lambda t, u: u, torch.tensor(0.1)).noise.at(torch.zeros(()), ones) == torch.tensor(0.1)
    with pytest.raises(ShapeError, match=r"the noise has shape \[3, 2\]"):
        Diagonal(lambda t, u: torch.ones(3, 2))(torch.zeros(()), ones, ones)
    with pytest.raises(ShapeError, match=r"sigma has shape \[3\], expected one number or \[5\]"):
        EdgeNoise(networks.watts_strogatz(5, 2, 0.0, seed=0), torch.ones(3))
