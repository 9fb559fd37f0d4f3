"""Densities as a mean over their neighbourhood, so that no detail is finer than a radius."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor

from graphpde.checks import positive
from graphpde.core.close_pairs import close_pairs
from graphpde.core.relation import Relation
from graphpde.mesh.geometry import cell_centroids, cell_measures
from graphpde.mesh.mesh import Mesh
from graphpde.typing import check_shape


class DensityFilter:
    r"""x~_i = \sum_j w_ij x_j with w_ij = v_j (r - |x_i - x_j|)_+ and rows that add to 1: a hat over cells within r.

    Keeps constants. Volume it keeps away from the boundary, on cells of equal size: a cell gives away what it receives.

    Args:
        mesh: its cells at their centroids, with their volumes v. radius: r > 0 in length, 1.5 to 3 cells is usual.

    Attributes:
        relation: j -> i. weight: w_ij [e]. volumes: v [m].

    Raises:
        InputError: a radius that is not > 0. GraphError: too many neighbours. UserWarning: no cell has a neighbour.

    Reference: Bruns and Tortorelli 2001, eq. (9); Bourdin 2001; Andreassen et al. 2011, eq. (9).
    """

    def __init__(self, mesh: Mesh, radius: float):
        positive("radius", radius, finite=True)
        self.radius, self.m = float(radius), mesh.n_cells
        centre, self.volumes = cell_centroids(mesh).detach(), cell_measures(mesh).detach()
        i, j = close_pairs(centre, self.radius)
        apart = torch.linalg.vector_norm(centre[i] - centre[j], dim=1)
        near = self.radius - apart > 1e-12 * self.radius
        if self.m > 1 and not bool(near.any()):
            warnings.warn(
                f"radius {radius:g} reaches no other cell of '{mesh.name}', so the filter changes nothing and "
                f"chessboards may win; take 1.5 to 3 times the distance of two cells",
                stacklevel=2,
            )
        own = torch.arange(self.m)
        src, dst = torch.cat([own, i, j]), torch.cat([own, j, i])
        hat = self.radius - torch.cat([torch.zeros_like(self.volumes), apart, apart]).clamp(max=self.radius)
        self.relation = Relation.from_edges(src, dst, self.m, self.m)
        weight = self.relation.own(hat * self.volumes[src])[:, None]
        self.weight = (weight / self.relation.gather_dst(self.relation.collect(weight)))[:, 0]

    def __call__(self, x: Tensor) -> Tensor:
        """Filtered x [*, m]; differentiable."""
        check_shape(x, "* m", "densities", m=self.m)
        return self.relation.propagate(x[..., None], weight=self.weight.to(x.dtype))[..., 0]
