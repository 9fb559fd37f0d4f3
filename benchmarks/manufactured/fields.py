"""Exact solutions with the data that belong to them: u' = div(kappa grad u) + f."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

_WAVE = (2.1, 1.3, 1.7)  # wave numbers along x, y, z: no symmetry that could hide an error
_PHASE = 0.4


class Exact(Protocol):
    """A solution with kappa, its source and its flux.

    Attributes:
        kappa: conductivity. driven: whether the source is anything but zero while it moves in time.
    """

    kappa: float
    driven: bool

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        """u(x, t) [k] at points [k, d]."""
        ...

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        """f(x, t) [k]."""
        ...

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        """kappa du/dx_axis [k]."""
        ...


class PlaneWave:
    """u = sin(a . x + p - w t): drives every boundary and needs a source; w = 0 is the steady problem."""

    driven = True

    def __init__(self, kappa: float = 0.7, speed: float = 0.0):
        self.kappa, self.speed = kappa, speed

    def _angle(self, x: Tensor, t: Tensor | float) -> Tensor:
        return x @ _waves(x) + _PHASE - self.speed * t

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.sin(self._angle(x, t))

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        angle = self._angle(x, t)
        square = float((_waves(x) ** 2).sum())
        return self.kappa * square * torch.sin(angle) - self.speed * torch.cos(angle)

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        return self.kappa * _WAVE[axis] * torch.cos(self._angle(x, t))


class Anchored(PlaneWave):
    """u = sin(a . x + p) + t sin(pi x) sin(pi y) sin(pi z): moves inside the unit box, never on its boundary."""

    def _bubble(self, x: Tensor) -> Tensor:
        return torch.sin(math.pi * x).prod(1)

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        return super().__call__(x, 0.0) + t * self._bubble(x)

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        bubble = self._bubble(x)
        return super().source(x, 0.0) + bubble + t * self.kappa * x.shape[1] * math.pi**2 * bubble


class DecayingWave:
    """u = exp(-kappa |a|^2 t) sin(a . x + p): free of sources, driven through the boundary."""

    driven = False

    def __init__(self, kappa: float = 0.7):
        self.kappa = kappa

    def _size(self, x: Tensor, t: Tensor | float) -> Tensor:
        rate = self.kappa * float((_waves(x) ** 2).sum())
        return torch.exp(-rate * torch.as_tensor(t, dtype=x.dtype))

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        return self._size(x, t) * torch.sin(x @ _waves(x) + _PHASE)

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.zeros_like(x[:, 0])

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        return self.kappa * _WAVE[axis] * self._size(x, t) * torch.cos(x @ _waves(x) + _PHASE)


class Standing:
    """u = exp(-kappa |a|^2 t) cos(pi x) cos(2 pi y) cos(pi z), a = pi (1, 2, 1): no flux leaves the unit box."""

    driven = False

    def __init__(self, kappa: float = 0.7):
        self.kappa = kappa

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        waves = math.pi * torch.tensor((1.0, 2.0, 1.0)[: x.shape[1]], dtype=x.dtype)
        rate = self.kappa * float((waves**2).sum())
        return torch.exp(-rate * torch.as_tensor(t, dtype=x.dtype)) * torch.cos(waves * x).prod(1)

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        return torch.zeros_like(x[:, 0])

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        raise NotImplementedError("the standing wave is only used on an insulated boundary")


class TwoMaterials:
    """u = exp(-w t) (1 + sin(pi (x - 1/2)) / kappa(x)) cos(pi y), kappa jumping at x = 1/2.

    u and kappa du/dx are continuous there; nothing leaves through the faces of constant y and z.
    """

    kappa, driven = 1.0, True
    by_set = {"left_half": 1.0, "right_half": 5.0}  # noqa: RUF012  a table

    def __init__(self, decay: float = 0.0):
        self.decay = decay

    def _parts(self, x: Tensor, t: Tensor | float) -> tuple[Tensor, Tensor, Tensor]:
        kappa = torch.where(x[:, 0] < 0.5, *self.by_set.values()).to(x.dtype)
        size = torch.exp(-self.decay * torch.as_tensor(t, dtype=x.dtype)) * torch.cos(math.pi * x[:, 1])
        return kappa, torch.sin(math.pi * (x[:, 0] - 0.5)), size

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        kappa, wave, size = self._parts(x, t)
        return (1 + wave / kappa) * size

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        kappa, wave, size = self._parts(x, t)
        return (math.pi**2 * (kappa + 2 * wave) - self.decay * (1 + wave / kappa)) * size

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        raise NotImplementedError("the two materials are driven by Dirichlet values only")


class Spherical:
    """u = exp(-6 kappa t) (x y + z^2 - 1/3) + exp(-2 kappa t) x / 2 on the unit sphere: harmonics of degree 2 and 1.

    Points beside the sphere count as their projection.
    """

    driven = False

    def __init__(self, kappa: float = 0.7, *, steady: bool = False):
        self.kappa, self.steady = kappa, steady

    def _harmonics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x / torch.linalg.vector_norm(x, dim=1, keepdim=True)
        return x[:, 0] * x[:, 1] + x[:, 2] ** 2 - 1 / 3, 0.5 * x[:, 0]

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        two, one = self._harmonics(x)
        if self.steady:
            return two + one
        t = torch.as_tensor(t, dtype=x.dtype)
        return torch.exp(-6 * self.kappa * t) * two + torch.exp(-2 * self.kappa * t) * one

    def source(self, x: Tensor, t: Tensor | float) -> Tensor:
        """-kappa Laplace(u) of the steady solution, else nothing."""
        two, one = self._harmonics(x)
        return self.kappa * (6 * two + 2 * one) if self.steady else torch.zeros_like(two)

    def flux(self, x: Tensor, t: Tensor | float, axis: int) -> Tensor:
        raise NotImplementedError("a closed surface has no boundary")


class Travelling:
    """u = sin(s a . (x - v t) + p): carried along by a constant velocity; with s = 0.3 without extrema in the box."""

    def __init__(self, scale: float = 1.0):
        self.scale = scale

    def velocity(self, dim: int) -> Tensor:
        return torch.tensor((1.0, 0.6)[:dim], dtype=torch.float64)

    def __call__(self, x: Tensor, t: Tensor | float) -> Tensor:
        waves = self.scale * _waves(x)
        return torch.sin(x @ waves + _PHASE - float(waves @ self.velocity(len(waves)).to(x.dtype)) * t)


def _waves(x: Tensor) -> Tensor:
    return torch.tensor(_WAVE[: x.shape[1]], dtype=x.dtype)
