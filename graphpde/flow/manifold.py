r"""Flow matching on manifolds with closed geodesics: points, shortest ways between them, velocities along the manifold.

Points are given by coordinates of the space around; a velocity of that space is projected onto the tangent space at the
nearest point of the manifold. Such a field keeps points on it, and its divergence there is that of the space around, so
that densities (by area) come from the same equation.

Reference: Chen and Lipman 2024 (flow matching on general geometries), section 3.1; Mathieu and Nickel 2020.
"""

from __future__ import annotations

import math
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from graphpde.checks import whole
from graphpde.flow.path import OnPath
from graphpde.ops.laws import Law
from graphpde.solve.transport import squared_distances


class Manifold(Protocol):
    """What flows on a manifold ask of it; points are [*, n, c]."""

    @property
    def channels(self) -> int:
        """c: coordinates of a point."""
        ...

    def nearest(self, x: Tensor) -> Tensor:
        """The nearest point of the manifold."""
        ...

    def project(self, x: Tensor, v: Tensor) -> Tensor:
        """The part of v along the manifold at x."""
        ...

    def geodesic(self, x0: Tensor, x1: Tensor, t: Tensor) -> OnPath:
        """The point at share t of the shortest way, and the velocity there."""
        ...

    def squared_distances(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Squared lengths of the shortest ways [n, k] between points [n, c] and [k, c]."""
        ...

    @property
    def uniform(self) -> Law:
        """The uniform law; densities are by area."""
        ...

    def features(self, x: Tensor) -> Tensor:
        """Smooth coordinates [*, n, q], the same for all names of one point."""
        ...


class Sphere:
    """The sphere of radius 1 in c dimensions, |x| = 1."""

    def __init__(self, channels: int = 3):
        self.channels = whole("channels", channels, 2)

    def nearest(self, x: Tensor) -> Tensor:
        return _unit(x)

    def project(self, x: Tensor, v: Tensor) -> Tensor:
        return v - (x * v).sum(-1, keepdim=True) * x

    def geodesic(self, x0: Tensor, x1: Tensor, t: Tensor) -> OnPath:
        """Along the great circle; of opposite points one of the shortest ways."""
        side = self.project(x0, x1)
        sine = side.norm(dim=-1, keepdim=True)
        unclear = sine < 16 * torch.finfo(sine.dtype).eps  # what is left of the side is rounding
        side = torch.where(unclear, self.project(x0, _least_along(x0)), side)
        ahead = _unit(self.project(x0, _unit(side)))  # twice, for of a short side rounding is a large part
        angle = torch.atan2(sine, (x0 * x1).sum(-1, keepdim=True))
        turned, rest = torch.sin(t * angle), torch.cos(t * angle)
        return OnPath(rest * x0 + turned * ahead, angle * (rest * ahead - turned * x0))

    def squared_distances(self, x0: Tensor, x1: Tensor) -> Tensor:
        """Of arcs, from chords: near points lose no digits."""
        return (2 * torch.asin((0.5 * squared_distances(x0, x1).sqrt()).clamp(max=1))).square()

    @property
    def uniform(self) -> Law:
        return _OnSphere(self.channels)

    def features(self, x: Tensor) -> Tensor:
        return x


class Torus:
    """Angles in [0, 2 pi)^c."""

    def __init__(self, channels: int = 2):
        self.channels = whole("channels", channels)

    def nearest(self, x: Tensor) -> Tensor:
        return x.remainder(2 * math.pi)

    def project(self, x: Tensor, v: Tensor) -> Tensor:
        return v

    def geodesic(self, x0: Tensor, x1: Tensor, t: Tensor) -> OnPath:
        way = self._way(x0, x1)
        return OnPath((x0 + t * way).remainder(2 * math.pi), way)

    def squared_distances(self, x0: Tensor, x1: Tensor) -> Tensor:
        return self._way(x0[:, None], x1[None]).square().sum(-1)

    def _way(self, x0: Tensor, x1: Tensor) -> Tensor:
        return (x1 - x0 + math.pi).remainder(2 * math.pi) - math.pi

    @property
    def uniform(self) -> Law:
        return _OnTorus()

    def features(self, x: Tensor) -> Tensor:
        return torch.cat([x.sin(), x.cos()], -1)


def _unit(x: Tensor) -> Tensor:
    return x / x.norm(dim=-1, keepdim=True).clamp_min(1e-30)


def _least_along(x: Tensor) -> Tensor:
    """The unit vector of the axis that points [*, n, c] lie least along."""
    return nn.functional.one_hot(x.abs().argmin(-1), x.shape[-1]).to(x)


class GeodesicPath:
    """The path of flow matching along geodesics at constant speed; a :class:`~graphpde.flow.path.Path`."""

    def __init__(self, manifold: Manifold):
        self.manifold = manifold

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, rng: torch.Generator | None = None) -> OnPath:
        return self.manifold.geodesic(x0, x1, t)


class Tangent(nn.Module):
    """A velocity of the space around, taken at the nearest point and projected: what moves points along a manifold.

    Args:
        velocity: (t, features) -> [*, n, c], such as ``PointVelocity`` (its output cut to c coordinates).
        manifold: see :class:`Manifold`.
    """

    def __init__(self, velocity: Any, manifold: Manifold):
        super().__init__()
        self.velocity, self.manifold = velocity, manifold

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        here = self.manifold.nearest(x)
        v = self.velocity(t, self.manifold.features(here))[..., : self.manifold.channels]
        return self.manifold.project(here, v)


class _OnSphere:
    """Uniform on the sphere in c dimensions."""

    def __init__(self, channels: int):
        self.log_area = math.log(2) + channels / 2 * math.log(math.pi) - math.lgamma(channels / 2)

    def draw(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        x = torch.randn(like.shape, generator=rng, dtype=like.dtype, device=like.device)
        return x / x.norm(dim=-1, keepdim=True)

    def log_density(self, x: Tensor, dims: int = 1) -> Tensor:
        each = torch.full_like(x[..., :1], -self.log_area)
        return each if dims == 1 else each.sum(-2, keepdim=True)


class _OnTorus:
    """Uniform angles."""

    def draw(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return torch.rand(like.shape, generator=rng, dtype=like.dtype, device=like.device) * (2 * math.pi)

    def log_density(self, x: Tensor, dims: int = 1) -> Tensor:
        each = torch.full_like(x[..., :1], -x.shape[-1] * math.log(2 * math.pi))
        return each if dims == 1 else each.sum(-2, keepdim=True)
