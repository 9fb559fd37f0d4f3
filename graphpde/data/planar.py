"""Laws in the plane with densities that are known: what flows and samplers are tried on.

Points are drawn anew for every batch; densities are in closed form or, for curves with noise around them, by a fine
quadrature along the curve.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from graphpde.checks import whole
from graphpde.registry import Registry

PLANAR: Registry[PlanarLaw] = Registry("law in the plane")
_ALONG = 2048  # places on a curve that stand for it


@dataclass(frozen=True)
class PlanarLaw:
    """Noise around centres that are spread over places with one coordinate, s in [0, 1).

    Attributes:
        name: in ``PLANAR``. centre: s [k] -> [k, 2]. std: of the noise. places: the values that s takes, or None where
            it is uniform in [0, 1).
    """

    name: str
    centre: Callable[[Tensor], Tensor]
    std: float
    places: int | None = None

    def draw(self, count: int, rng: torch.Generator | None = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Independent points [count, 2].

        Raises:
            InputError: no whole number of points.
        """
        whole("count", count)
        s = torch.rand(count, generator=rng, dtype=torch.float64)
        if self.places is not None:
            s = torch.floor(s * self.places) / self.places
        x = self.centre(s) + self.std * torch.randn(count, 2, generator=rng, dtype=torch.float64)
        return x.to(dtype)

    def log_density(self, x: Tensor) -> Tensor:
        """log p(x) in nats, [k, 2] -> [k, 1]."""
        count = self.places or _ALONG
        s = (torch.arange(count, dtype=torch.float64, device=x.device) + (0.0 if self.places else 0.5)) / count
        off = torch.cdist(x.double(), self.centre(s).to(x.device)).square() / (2 * self.std**2)
        each = torch.logsumexp(-off, 1, keepdim=True) - math.log(count) - math.log(2 * math.pi * self.std**2)
        return each.to(x.dtype)


def _circle(s: Tensor) -> Tensor:
    return torch.stack([torch.cos(2 * math.pi * s), torch.sin(2 * math.pi * s)], -1)


def _moons(s: Tensor) -> Tensor:
    """Two half circles of radius 1 that reach into each other, then 3 x - 1, as in Tong et al. 2024."""
    first, angle = s < 0.5, 2 * math.pi * s.remainder(0.5)
    x = torch.where(first, torch.cos(angle), 1 - torch.cos(angle))
    y = torch.where(first, torch.sin(angle), 0.5 - torch.sin(angle))
    return 3 * torch.stack([x, y], -1) - 1


def _spirals(s: Tensor) -> Tensor:
    """Two arms of one and a half turns."""
    side = torch.where(s < 0.5, 1.0, -1.0).to(s)
    along = (2 * s.remainder(0.5)).sqrt()  # evenly spread by length, about
    return 4 * (side * along)[:, None] * _circle(1.5 * along)


def _rings(s: Tensor) -> Tensor:
    """Three circles, as many points for each unit of length."""
    radius = torch.tensor([1.3, 2.6, 2.6, 3.9, 3.9, 3.9], dtype=s.dtype, device=s.device)
    return radius[(s * 6).long().clamp(max=5)][:, None] * _circle((s * 6).remainder(1.0))


def _checkerboard(s: Tensor) -> Tensor:
    """Eight squares' centres."""
    k = torch.floor(s * 8 + 1e-9)
    row = torch.floor(k / 2)
    return torch.stack([2 * (2 * (k % 2) + row % 2) - 3, 2 * row - 3], -1)


for _law in (
    PlanarLaw("eight_gaussians", lambda s: 5 * _circle(s), math.sqrt(0.1), 8),
    PlanarLaw("moons", _moons, 0.6),
    PlanarLaw("spirals", _spirals, 0.15),
    PlanarLaw("rings", _rings, 0.12),
    PlanarLaw("board", _checkerboard, 0.4, 8),
):
    PLANAR.add(_law.name)(_law)
