r"""Ways over a surface that shorten a spectral distance to their end: what flow matching is trained on.

With modes v_k and their eigenvalues, D(x, y) = sum_k w(lambda_k) (v_k(x) - v_k(y))^2 is the square of a distance that
sees the shape of the surface and costs nothing but the modes. Along

    u_t(x | y) = -(2 D / (1 - t)) grad D / |grad D|^2

it falls to D = (1 - t)^2 D(x_0, y), so that the way is over at t = 1. The gradient is constant on each face, and steps
are straight ways over edges.

Reference: Chen and Lipman 2024, eqs. (13), (17) and section 3.3; Lipman, Rustamov and Funkhouser 2010 (biharmonic).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.checks import number, positive, whole
from graphpde.flow.coupling import Coupling, IndependentCoupling
from graphpde.flow.surface import SurfaceVelocity, check_modes
from graphpde.mesh.faces import Faces, OnSurface
from graphpde.ops.eigenbasis import EigenBasis
from graphpde.solve.transport import squared_distances


class SpectralPremetric:
    """D(x, y) on a surface.

    Args:
        faces: the surface. basis: modes at the points of its mesh, the constant one first, which does not count.
        spread: None = biharmonic, w = 1 / lambda^2; a number tau > 0 = diffusion, w = exp(-2 tau lambda), in length^2.

    Raises:
        MeshError: a surface in several parts, or with points that belong to no triangle.
        InputError: modes of another mesh, or fewer than two.
    """

    def __init__(self, faces: Faces, basis: EigenBasis, *, spread: float | None = None):
        check_modes(faces, basis, 2)
        values = basis.values[1:]
        if spread is None:
            weight = values**-2
        else:
            positive("spread", spread)
            weight = torch.exp(-2 * spread * values)
        self.faces = faces
        scaled = basis.vectors[:, 1:] * weight.sqrt()
        self.corner = scaled[faces.corners]  # [m, 3, k]: coordinates in which D is the squared distance

    def coordinates(self, at: OnSurface) -> Tensor:
        """Points of a space [p, k] in which |x - y|^2 = D."""
        return (at.weights[..., None] * self.corner[at.face]).sum(1)

    def squared(self, x: OnSurface, y: OnSurface) -> Tensor:
        """D(x, y) [p]."""
        return (self.coordinates(x) - self.coordinates(y)).square().sum(1)

    def squared_distances(self, x: Tensor, y: Tensor) -> Tensor:
        """D(x_i, y_j) [p, q] of points given as rows [p, 4] and [q, 4] (``OnSurface.rows``): costs for couplings."""
        return squared_distances(*(self.coordinates(OnSurface.of_rows(rows)) for rows in (x, y)))

    def descent(self, x: OnSurface, end: Tensor) -> tuple[Tensor, Tensor]:
        """D [p] and 2 D grad D / |grad D|^2 [p, d] to points with these coordinates [p, k]."""
        corner = self.corner[x.face]
        gap = (x.weights[..., None] * corner).sum(1) - end
        squared = gap.square().sum(1)
        slope = 2 * (corner * gap[:, None]).sum(-1)  # of D by the weights [p, 3]
        gradient = (slope[..., None] * self.faces.gradient[x.face]).sum(1)
        size = gradient.square().sum(1).clamp_min(1e-300)
        return squared, (2 * squared / size)[:, None] * gradient


class Ways(NamedTuple):
    """Points on ways and the velocities they have there.

    Attributes:
        t: times [p, 1]. at: points. velocity: [p, d], in the plane of the face.
    """

    t: Tensor
    at: OnSurface
    velocity: Tensor


class SurfaceMatching:
    """The objective of flow matching on a surface; batches are points of the data (:class:`OnSurface`).

    Every way is walked in equal steps from a uniform point to one of the data; ``seen`` of its points are learned from.

    Args:
        premetric: see :class:`SpectralPremetric`. steps: of a way. seen: of them.
        coupling: of starts and ends, given as rows; default: independent. ``OptimalCoupling`` with the costs
            ``premetric.squared_distances`` leaves points where they are wanted: without it every limb of a surface is
            left and entered again by most of its points, whose density falls and rises by orders of magnitude.
        longest: steps are cut at this length, in radii of the surface: where the gradient of D almost vanishes, the
            velocity is without bound.

    Raises:
        InputError: numbers out of range.
    """

    def __init__(
        self,
        premetric: SpectralPremetric,
        *,
        steps: int = 50,
        seen: int = 8,
        longest: float = 0.1,
        coupling: Coupling | None = None,
    ):
        self.coupling = IndependentCoupling() if coupling is None else coupling
        self.premetric, self.steps = premetric, whole("steps", steps, 2)
        self.seen = min(whole("seen", seen), self.steps - 1)
        number("longest", longest)
        faces = premetric.faces
        self.longest = longest * faces.radius

    def ways(self, x0: OnSurface, x1: OnSurface, rng: torch.Generator | None = None) -> Ways:
        """Points on the ways from x0 to x1, drawn from their steps."""
        end, x, count = self.premetric.coordinates(x1), x0, len(x0.face)
        chosen = torch.rand(count, self.steps - 1, generator=rng).argsort(1)[:, : self.seen].sort(1).values
        times, faces, weights, velocities = [], [], [], []
        with torch.no_grad():
            for k in range(self.steps - 1):
                t = k / self.steps
                _, down = self.premetric.descent(x, end)
                way = -down / (1 - t) / self.steps
                way = way * (self.longest / way.norm(dim=1, keepdim=True).clamp_min(self.longest))
                rows = (chosen == k).any(1).nonzero()[:, 0]
                times.append(torch.full((len(rows), 1), t, dtype=torch.float64))
                faces.append(x.face[rows])
                weights.append(x.weights[rows])
                velocities.append(way[rows] * self.steps)
                x = self.premetric.faces.walk(x, way)
        return Ways(torch.cat(times), OnSurface(torch.cat(faces), torch.cat(weights)), torch.cat(velocities))

    def __call__(self, model: Any, batch: OnSurface, rng: torch.Generator | None = None) -> dict[str, Tensor]:
        """{"velocity": loss}, in squared radii; ``model`` is a :class:`SurfaceVelocity`."""
        assert isinstance(model, SurfaceVelocity)
        x0 = self.premetric.faces.draw(len(batch.face), rng)
        starts, ends = self.coupling(x0.rows, batch.rows, rng)
        ways = self.ways(OnSurface.of_rows(starts), OnSurface.of_rows(ends), rng)
        gap = (model.at(ways.t, ways.at) - ways.velocity) / model.radius
        return {"velocity": gap.square().sum(1).mean()}
