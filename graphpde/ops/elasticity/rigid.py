"""Motions without strain."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from graphpde.mesh.space import Space


def rigid_modes(space: Space, *, axisymmetric: bool = False) -> Tensor:
    """Motions without strain [n, d, q] about the mean of the nodes: 3 in the plane, 6 in space, 1 along an axis."""
    assert space.pos is not None
    x = space.pos - space.pos.mean(0)
    n, d = x.shape
    shifts = torch.eye(d, dtype=x.dtype, device=x.device).expand(n, d, d)
    if axisymmetric:
        return shifts[..., 1:]
    turns = []
    for a, b in combinations(range(d), 2):
        turn = torch.zeros_like(x)
        turn[:, a], turn[:, b] = -x[:, b], x[:, a]
        turns.append(turn)
    return torch.cat([shifts, torch.stack(turns, -1)], -1)
