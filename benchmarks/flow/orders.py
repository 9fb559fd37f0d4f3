"""Orders of explicit steppers, and of stochastic ones: strong by paths, weak by exact moments."""

from __future__ import annotations

import math
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from benchmarks.physics.rows import SOLVING, Found, Row, at_most
from graphpde.dynamics import STEPPERS, Brownian, Increment, evolve
from graphpde.ops import SDE, Additive, Diagonal, System

SECTION = "Orders"
SOURCES = (*SOLVING, "benchmarks/flow/orders.py")
PATHS = 4000
PLAIN = ("euler", "heun", "midpoint", "rk4", "bosh3", "dopri5", "tsit5", "reversible_heun")


def rows() -> list[Row]:
    """The promises."""
    noisy = {n: kind for n, kind in STEPPERS.items() if getattr(kind, "stochastic", False) and kind.accepts == "any"}
    return [
        *(Row(SECTION, f"order of {name}", "within 0.05", at_most(0.05), partial(_plain, name), sources=SOURCES)
          for name in PLAIN if name in STEPPERS),
        *(Row(SECTION, f"strong order of {name}, diagonal noise", "within 0.1", at_most(0.1), partial(_strong, name),
              sources=SOURCES) for name, kind in noisy.items() if kind.strong.diagonal),
        *(Row(SECTION, f"weak order of {name}, diagonal noise", "within 0.1", at_most(0.1), partial(_weak, name),
              sources=SOURCES) for name, kind in noisy.items() if kind.weak.diagonal),
        *(Row(SECTION, f"weak order of {name}, additive noise", "within 0.1", at_most(0.1),
              partial(_weak_additive, name), sources=SOURCES) for name, kind in noisy.items() if kind.weak.additive),
    ]  # fmt: skip


def _order(errors: list[float]) -> float:
    """Of the last halving."""
    return [math.log2(a / b) for a, b in pairwise(errors)][-1]


def _plain(name: str) -> Found:
    """A point on a circle, driven round at a speed of |u|^2 (2 + 0.6 cos t), at t = 4 or 8 against its angle."""

    def f(t: Tensor, u: Tensor) -> Tensor:
        turned = torch.stack([-u[..., 1], u[..., 0]], -1)
        return (2 + 0.6 * torch.cos(t)) * u.square().sum(-1, keepdim=True) * turned

    declared = STEPPERS[name]().order
    end = 8.0 if declared > 4 else 4.0
    counts = (512, 1024, 2048) if declared > 3 else (2048, 4096, 8192)
    angle = torch.tensor(2 * end + 0.6 * math.sin(end), dtype=torch.float64)
    exact, errors = torch.stack([angle.cos(), angle.sin()])[None], []
    for steps in counts:
        found = evolve(f, torch.tensor([[1.0, 0.0]]).double(), [0.0, end], stepper=name, dt=end / steps).final
        errors.append(float((found - exact).norm()))
    return Found(abs(_order(errors) - declared), f"{_order(errors):.3f}, declared {declared:g}",
                 "a nonlinear equation with an exact solution",
                 f"errors {', '.join(f'{e:.1e}' for e in errors)}, {counts[-1]} steps at most")  # fmt: skip


def _strong(name: str) -> Found:
    """E|u - u_h| of du = 1.5 u dt + 0.8 u dW at t = 1 over steps of 1/16 to 1/256, against the exact solution."""
    a, b, ones = 1.5, 0.8, torch.ones(PATHS, 1, dtype=torch.float64)
    sde, path = SDE(lambda t, u: a * u, Diagonal(lambda t, u: b * u)), Brownian(1)
    exact = torch.exp((a - b * b / 2) + b * path(0, 1, ones).w)
    errors = []
    for k in range(4, 9):
        final = evolve(sde, ones, [0.0, 1.0], stepper=name, dt=2.0**-k, brownian=path).final
        errors.append(float((final - exact).abs().mean()))
    order = -float(np.polyfit(np.arange(5), np.log2(errors), 1)[0])
    declared = STEPPERS[name].strong.diagonal
    return Found(abs(order - declared), f"{order:.2f}, declared {declared:g}", f"geometric growth, {PATHS} paths")


class Nodes:
    """A path whose w and area in a step of length h are the nodes of a Gauss rule for their law.

    Attributes:
        p: the probabilities of the nodes [q].
    """

    def __init__(self, degree: int = 12):
        x, p = np.polynomial.hermite_e.hermegauss(degree)
        p = p / p.sum()
        one, two = (torch.from_numpy(g.ravel()) for g in np.meshgrid(x, x, indexing="ij"))
        self.w, self.k, self.p = one, two, torch.from_numpy(np.outer(p, p).ravel())

    def __call__(self, t0: float, t1: float, like: Tensor) -> Increment:
        h = t1 - t0
        w, k = self.w * math.sqrt(h), self.k * math.sqrt(h / 12)
        both = (w, (k + w / 2) * h)
        return Increment(*(x.expand(*like.shape[:-2], -1)[..., None] for x in both))


def one_step(name: str, sde: SDE, h: float, u: Tensor, start: float = 0.0) -> tuple[Tensor, Tensor]:
    """New states [k, q, 1] from states u [k], and their probabilities [q]."""
    path, stepper, t = Nodes(), STEPPERS[name](), torch.tensor(start, dtype=torch.float64)
    f = System(sde, None, t, brownian=path)  # type: ignore[arg-type]
    states = u[:, None, None].expand(-1, len(path.p), 1)
    return stepper.step(f, t, h, states, stepper.init(f, t, states)).u, path.p


def _weak(name: str) -> Found:
    """Of du = 1.5 u dt + 0.8 u dW a step is u_new = R u, so that E u^p is E[R^p]^steps; the worst of p = 1, 2, 3."""
    a, b, worst = 1.5, 0.8, (0.0, 0.0)
    sde, declared = SDE(lambda t, u: a * u, Diagonal(lambda t, u: b * u)), STEPPERS[name].weak.diagonal
    for p in (1, 2, 3):
        exact, errors = math.exp(p * a + 0.5 * p * (p - 1) * b * b), []
        for steps in (64, 128, 256):
            new, weights = one_step(name, sde, 1 / steps, torch.ones(1, dtype=torch.float64))
            errors.append(abs(float((new[0, :, 0] ** p * weights).sum()) ** steps - exact))
        worst = max(worst, (abs(_order(errors) - declared), _order(errors)))
    return Found(worst[0], f"{worst[1]:.2f}, declared {declared:g}", "moments 1 to 3 of geometric growth, exact")


def _weak_additive(name: str) -> Found:
    """Of du = 0.6 u dt + 0.7 dW a step is u_new = r u + x, so that the second moment follows exactly."""
    a, b, errors = 0.6, 0.7, []
    for steps in (32, 64, 128):
        sde = SDE(lambda t, u: a * u, Additive(b))
        new, weights = one_step(name, sde, 1 / steps, torch.tensor([0.0, 1.0], dtype=torch.float64))
        r, second = float(new[1, 0, 0] - new[0, 0, 0]), 1.0
        for _ in range(steps):
            second = r * r * second + float((new[0, :, 0] ** 2 * weights).sum())
        errors.append(abs(second - math.exp(2 * a) - b * b * (math.exp(2 * a) - 1) / (2 * a)))
    order, declared = _order(errors), STEPPERS[name].weak.additive
    return Found(abs(order - declared), f"{order:.2f}, declared {declared:g}", "second moment of linear growth, exact")
