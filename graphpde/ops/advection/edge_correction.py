"""Algebraic flux correction: what discrete upwinding is too diffusive by, as far as the bounds allow."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.mesh.space import Space
from graphpde.ops.advection.extrema import Bounds, neighbours, portion, widened
from graphpde.ops.advection.upwind import upwind_on_space
from graphpde.ops.advection.velocity import Velocity
from graphpde.ops.term import Term


class EdgeCorrection(Term):
    r"""The limited fluxes that discrete upwinding is too diffusive by, edge by edge on a space.

    f_ij = d_ij ((u_i - u_j)/2 + (g_i + g_j)/4 . (x_i - x_j)) is taken times min(R_i, R_j), R_i = min(1, Q_i / P_i), P_i
    the sum of the fluxes of one sign at i. Half of the difference is told by the gradients g, means of those of the
    cells round a node: what is left of the diffusion d_ij is then a half of that of the jumps between the linear
    reconstructions, without which random triangles are of order 1.8.

    Q_i = 2 \sum_j l_ij (u_i^max - u_i) - \sum_j l_ij (u_j - u_i), l_ij the upwind weights, is what an Euler step of
    half the positivity bound leaves to the fluxes after the upwind ones.
    """

    def __init__(self, space: Space, velocity: Velocity, bounds: Bounds | None = None, fixed: Tensor | None = None):
        super().__init__()
        self.domain: Space = space
        self.velocity, self.bounds, self._fixed = velocity, bounds, fixed
        with torch.enable_grad():
            carried, diffusion = self._weights()
            slopes, arm = _reconstruction(space)
        self._carried = None if diffusion.requires_grad else carried
        self._diffusion = None if diffusion.requires_grad else diffusion
        self._slopes, self._arm = (x.to(space.device, space.dtype) for x in (slopes, arm))
        if bounds is not None:
            self._inside = _inside(space)
            self._size = space.edges.collect((self._arm.detach() ** 2).sum(1, keepdim=True), "max")[:, 0]

    @property
    def label(self) -> str:
        return "limited antidiffusion"

    def with_fixed(self, fixed: Tensor) -> Term:
        return EdgeCorrection(self.domain, self.velocity, self.bounds, fixed)

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        edges = self.domain.edges
        carried, diffusion = (
            self._weights() if self._carried is None or self._diffusion is None else (self._carried, self._diffusion)
        )
        carried = carried.to(u.dtype)
        f = diffusion.to(u.dtype)[:, None] * self._difference(u)
        least, most = self._bounds(u)
        total = edges.collect(carried[:, None])
        brought = edges.propagate(u, weight=carried) - total * u
        rise = portion(torch.relu(2 * total * (most - u) - brought), edges.collect(torch.relu(f)))
        fall = portion(torch.relu(2 * total * (u - least) + brought), edges.collect(torch.relu(-f)))
        if self._fixed is not None:  # what arrives there changes nothing, so it needs no limit
            rise, fall = (torch.where(self._fixed[:, None], 1.0, r) for r in (rise, fall))
        up = torch.minimum(edges.gather_dst(rise), edges.gather(fall))
        down = torch.minimum(edges.gather_dst(fall), edges.gather(rise))
        return edges.collect(torch.where(f > 0, up, down) * f)

    def _difference(self, u: Tensor) -> Tensor:
        """u_i - u_j of each edge, half of it by the gradients at its ends [*, e, c]."""
        edges, slopes, arm = self.domain.edges, self._slopes.to(u.dtype), self._arm.to(u.dtype)
        d, channels = slopes.shape[1], u.shape[-1]
        many = u.repeat(*[1] * (u.dim() - 1), d)
        gradient = edges.propagate(many, weight=slopes) - edges.collect(slopes).repeat_interleave(channels, 1) * many
        both = (edges.gather(gradient) + edges.gather_dst(gradient)).unflatten(-1, (d, channels))
        told = (both * arm[:, :, None]).sum(-2)
        return (edges.gather_dst(u) - edges.gather(u)) / 2 - told / 4

    def _bounds(self, u: Tensor) -> tuple[Tensor, Tensor]:
        edges = self.domain.edges
        least, most = neighbours(edges, u)
        if self.bounds is None:
            return least, most
        weight = self.domain.weight.to(u.dtype)
        bend = edges.propagate(u, weight=weight) - edges.collect(weight[:, None]) * u
        bend = bend * (self._size.to(u.dtype) / self.domain.measure.to(u.dtype))[:, None]
        return widened(least, most, edges, bend, self._inside, self.bounds)

    def _weights(self) -> tuple[Tensor, Tensor]:
        """Upwind weights l_ij and the diffusion d_ij in them [e]."""
        monotone, diffusion = upwind_on_space(self.domain, self.velocity)
        return monotone.weight, diffusion

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else ()


def _reconstruction(space: Space) -> tuple[Tensor, Tensor]:
    r"""Slopes s with g_i = \sum_j s_ij (u_j - u_i), the mean gradient round a node, and the arms x_j - x_i [e, d].

    Arms are taken inside cells, where two nodes that are joined across a period are no longer apart than they should.
    """
    slopes, arms, often = [], [], []
    for (_, nodes, _), block in zip(space.mesh.corners(), space.blocks(2), strict=True):
        x = space.mesh.points[nodes]
        volume = block.volume.expand(-1, len(block.values))
        gradients = block.gradients.expand(-1, len(block.values), -1, -1)
        slopes.append(torch.einsum("qi,mqjd,mq->mijd", block.values, gradients, volume))
        arms.append(x[:, None] - x[:, :, None])
        often.append(torch.ones_like(arms[-1][..., :1]))
    edges = space.edges
    mass = edges.gather_dst(space.measure.to(slopes[0])[:, None])
    return space.assemble_weight(slopes) / mass, space.assemble_weight(arms) / space.assemble_weight(often)


def _inside(space: Space) -> Tensor:
    """Unknowns whose rows of the stiffness hold no flux through the boundary [n] bool."""
    inside = torch.ones(space.n, dtype=torch.bool)
    inside[space.tag("boundary").nodes.cpu()] = False
    return inside.to(space.device)
