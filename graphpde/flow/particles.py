r"""Flows of particles with an exact divergence: velocities along edges, and a trace by one sum over them.

    v_i = sum_j phi(t, r_ij) (x_i - x_j),     div v = sum_i sum_j (d phi + r phi')(t, r_ij)

The velocity turns with the particles, does not see where they are as a whole, and is the same in any order of them; the
flow keeps the centre, and densities of the flow are invariant where those of the base are.

Reference: Koehler, Klein and Noe 2020 (equivariant flows), eqs. (9) to (12).
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn

from graphpde.checks import positive, whole
from graphpde.core.neighbors import complete
from graphpde.core.relation import Relation
from graphpde.errors import ShapeError


class PairVelocity(nn.Module):
    """Velocities of particles from radial functions of their distances.

    phi(t, r) = sum_kl a_k(t) w_kl b_l(r) with bumps a_k in time, which add up to 1, and Gaussian bumps b_l in distance
    of height 1; w begins at 0, where the flow is the identity. It knows its divergence: see
    :class:`~graphpde.dynamics.density.KnowsDivergence`.

    Args:
        reach: distance up to which bumps stand; phi is nearly 0 far beyond it. in_distance, in_time: how many bumps.
        relation: who sees whom; None = everybody everybody else.

    Raises:
        InputError: sizes out of range.
    """

    distances: Tensor
    times: Tensor

    def __init__(self, reach: float, *, in_distance: int = 50, in_time: int = 10, relation: Relation | None = None):
        super().__init__()
        positive("reach", reach)
        rows, columns = whole("in_time", in_time), whole("in_distance", in_distance, 2)
        self.relation, self.width = relation, reach / (columns - 1)
        self.weight = nn.Parameter(torch.zeros(rows, columns))
        self.register_buffer("distances", torch.linspace(0, reach, columns))
        self.register_buffer("times", torch.linspace(0, 1, rows))

    def forward(self, t: Tensor, x: Tensor) -> Tensor:
        """v [*, n, d] at times t, 0-d or one for each state [*, 1, 1]."""
        return self._edges(t, x, divergence=False)

    def with_divergence(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """v [*, n, d] and div v [*, 1, 1] of each state."""
        both = self._edges(t, x, divergence=True)
        return both[..., :-1], both[..., -1:].sum(-2, keepdim=True)

    def _edges(self, t: Tensor, x: Tensor, *, divergence: bool) -> Tensor:
        if x.dim() < 2:
            raise ShapeError(f"the particles have shape {list(x.shape)}, expected [*, n, d]")
        relation = self.relation or _everybody(x.shape[-2])
        row = self._in_time(torch.as_tensor(t).to(x)) @ self.weight.to(x)  # [*, 1, l]: w at this time
        centres, width, d = self.distances.to(x), self.width, x.shape[-1]

        def message(there: Tensor, here: Tensor, edge: None) -> Tensor:
            apart = here - there
            r = (apart.square().sum(-1, keepdim=True) + _TINY).sqrt()
            off = (r - centres) / width
            bumps = torch.exp(-0.5 * off.square()) * row
            phi = bumps.sum(-1, keepdim=True)
            if not divergence:
                return phi * apart
            slope = (bumps * (-off / width)).sum(-1, keepdim=True)
            return torch.cat([phi * apart, d * phi + r * slope], -1)

        return relation.propagate(x, message)

    def _in_time(self, t: Tensor) -> Tensor:
        """The bumps in time [*, 1, k], which add up to 1."""
        t = t.reshape(*t.shape[:-2], 1, 1) if t.dim() >= 2 else t.reshape(1, 1)
        count = len(self.times)
        return torch.softmax(-0.5 * ((t - self.times.to(t)) * max(count - 1, 1)).square(), -1)


_TINY = 1e-20  # below the square root: two particles in one place have a direction of 0, not of NaN


@lru_cache(maxsize=16)
def _everybody(n: int) -> Relation:
    return complete(n).prepare()
