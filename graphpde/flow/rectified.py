r"""Rectified flow: pairs made by a flow train the next one, whose paths are straighter and no longer on average.

Reference: Liu, Gong and Liu 2023, algorithm 1, eq. (2) (straightness), theorem 3.5 (costs).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.checks import whole
from graphpde.flow.flow import Carried, Flow


class Pairs(NamedTuple):
    """Samples of the base and where a flow carries them, [*, n, c] both; batches for :class:`DataCoupling`."""

    x0: Tensor
    x1: Tensor


def reflow(flow: Flow, like: Tensor, rng: torch.Generator | None = None) -> Pairs:
    """Pairs that a flow makes, in the shape of ``like``: what the next one is trained on."""
    with torch.no_grad():
        x0 = flow.base.draw(like, rng)
        return Pairs(x0, flow.push(x0).final)


def straightness(flow: Flow, x0: Tensor, times: int = 32) -> float:
    r"""S = int_0^1 E \|x_1 - x_0 - v(t, x(t))\|^2 dt along the paths from x0: 0 where one Euler step is exact.

    The midpoint rule with so many times; the norm is over channels (and nodes, where a state is a sample).
    """
    count = whole("times", times)
    velocity = Carried(flow.velocity)
    middles = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    with torch.no_grad():
        path = flow.push(x0, torch.cat([middles.new_zeros(1), middles, middles.new_ones(1)]))
        total = 0.0
        for t, x in zip(path.times[1:-1], path.states[1:-1], strict=True):
            gap = path.final - x0 - velocity(t, x)
            total += float(gap.square().sum(-1).mean() if flow.kind == "node" else gap.square().sum((-1, -2)).mean())
    return total / count


def transport_cost(pairs: Pairs, power: float = 2.0) -> float:
    """E |x_1 - x_0|^p over nodes: no convex cost of this kind grows in exact rectification."""
    return float((pairs.x1 - pairs.x0).norm(dim=-1).pow(power).mean())
