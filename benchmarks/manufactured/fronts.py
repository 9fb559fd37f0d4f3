"""Exact solutions of nonlinear equations and of waves."""

from __future__ import annotations

import math

import torch
from torch import Tensor

_WAY = (0.8, 0.6, 0.0)


def _along(x: Tensor) -> Tensor:
    return x @ torch.tensor(_WAY[: x.shape[1]], dtype=x.dtype)


class FisherFront:
    """u' = kappa Laplace u + rate u (1 - u): u = (1 + exp(z))^-2, z = k (s - 5/sqrt(6) sqrt(kappa rate) t).

    k = sqrt(rate / (6 kappa)). Reference: Ablowitz and Zeppetella 1979, Bull. Math. Biol. 41.
    """

    def __init__(self, kappa: float = 0.02, rate: float = 4.0):
        self.kappa, self.rate = kappa, rate

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        k = math.sqrt(self.rate / (6 * self.kappa))
        speed = 5 / math.sqrt(6) * math.sqrt(self.kappa * self.rate)
        return (1 + torch.exp(k * (_along(x) - 0.4 - speed * t))) ** -2


class PhaseFront:
    """u' = kappa Laplace u + rate (u - u^3): the phase 1 moves into 0, u = (1 - tanh(z / (2 sqrt(2) l))) / 2.

    l = sqrt(kappa / rate), z = s - 3/sqrt(2) sqrt(kappa rate) t.
    """

    def __init__(self, kappa: float = 0.02, rate: float = 2.0):
        self.kappa, self.rate = kappa, rate

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        width = 2 * math.sqrt(2 * self.kappa / self.rate)
        speed = 3 / math.sqrt(2) * math.sqrt(self.kappa * self.rate)
        return (1 - torch.tanh((_along(x) - 0.4 - speed * t) / width)) / 2


class BurgersFront:
    """u' + div(b u^2 / 2) = nu Laplace u with |b| = 1: u = c - a tanh(a (b.x - c t) / (2 nu)).

    Reference: Burgers 1948.
    """

    direction = (0.8, 0.6)

    def __init__(self, nu: float = 0.1, speed: float = 0.7, jump: float = 0.6):
        self.nu, self.speed, self.jump = nu, speed, jump

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        z = _along(x) - 0.4 - self.speed * t
        return self.speed - self.jump * torch.tanh(self.jump * z / (2 * self.nu))


class StandingMembrane:
    """u_tt = Laplace u between walls that move freely: u = cos(w t) cos(pi x) cos(2 pi y), w = sqrt(5) pi."""

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        t = torch.as_tensor(t, dtype=x.dtype)
        return torch.cos(math.sqrt(5) * math.pi * t) * torch.cos(math.pi * x[:, 0]) * torch.cos(2 * math.pi * x[:, 1])


class Scherk:
    """The minimal surface u = log(cos(y - 1/2) / cos(x - 1/2)). Reference: Scherk 1835."""

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.log(torch.cos(x[:, 1] - 0.5)) - torch.log(torch.cos(x[:, 0] - 0.5))


class Smooth:
    """u = level + height sin(a . x + p - w t): positive and, with little height, of one sign of slope."""

    def __init__(
        self, level: float = 0.0, height: float = 1.0, waves: tuple[float, ...] = (2.1, 1.3), speed: float = 0.0
    ):
        self.level, self.height, self.waves, self.speed = level, height, waves, speed

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        return self.level + self.height * torch.sin(x @ torch.tensor(self.waves, dtype=x.dtype) + 0.4 - self.speed * t)


class Round:
    """u = sin(2 pi x + 0.3) cos(1.3 y + 0.4): periodic along x."""

    kappa, driven = 0.7, True

    def __init__(self, decay: float = 0.0):
        self.decay = decay

    def _size(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.exp(-self.decay * torch.as_tensor(t, dtype=x.dtype))

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        return self._size(x, t) * torch.sin(2 * math.pi * x[:, 0] + 0.3) * torch.cos(1.3 * x[:, 1] + 0.4)

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        return (self.kappa * (4 * math.pi**2 + 1.69) - self.decay) * self(x, t)

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        wave = 2 * math.pi * x[:, 0] + 0.3, 1.3 * x[:, 1] + 0.4
        if axis == 0:
            slope = 2 * math.pi * torch.cos(wave[0]) * torch.cos(wave[1])
        else:
            slope = -1.3 * torch.sin(wave[0]) * torch.sin(wave[1])
        return self.kappa * self._size(x, t) * slope
