"""Who belongs to whom: pairs of base and data samples, whose own laws stay as they are.

A pair is an edge between two sets of samples; what the couplings differ in is how these edges are drawn.

Reference: Tong et al. 2024 (minibatch optimal transport), algorithm 3; Pooladian et al. 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from graphpde.checks import positive
from graphpde.errors import ShapeError
from graphpde.registry import Registry
from graphpde.solve.transport import assignment, sinkhorn, squared_distances


class Coupling(Protocol):
    """What flow matching asks of a coupling."""

    def __call__(self, x0: Tensor, x1: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Pairs (x0[i], x1[i]) from two batches of as many samples, along their first dimension."""
        ...


Cost = Callable[[Tensor, Tensor], Tensor]
"""Costs [n, k] of pairs from samples [n, d] and [k, d], their nodes and channels in one row."""

COUPLINGS: Registry[type[Coupling]] = Registry("coupling")


@COUPLINGS.add("independent")
class IndependentCoupling:
    """As they come: base and data independent of each other."""

    def __call__(self, x0: Tensor, x1: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        _check(x0, x1)
        return x0, x1


@COUPLINGS.add("data")
class DataCoupling(IndependentCoupling):
    """As they come, and they belong together: pairs of the data, or those that a flow has made (reflow)."""


@COUPLINGS.add("optimal")
class OptimalCoupling:
    """The exact assignment with the least sum of costs within the batch: every sample once.

    O(b^3) at worst for b samples. The law over many batches is a coupling of the two laws; as b grows it tends to the
    optimal one.

    Args:
        cost: of pairs, see ``Cost``; squared distances in a straight space unless given. On a manifold:
            ``manifold.squared_distances``.
    """

    def __init__(self, cost: Cost = squared_distances):
        self.cost = cost

    def __call__(self, x0: Tensor, x1: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        _check(x0, x1)
        with torch.no_grad():
            return x0, x1[assignment(self.cost(x0.flatten(1), x1.flatten(1)))]


@COUPLINGS.add("sinkhorn")
class SinkhornCoupling:
    """For every base sample a data sample drawn from the entropic plan of the batch.

    Args:
        blur: relative to the mean cost of the batch; large ones tend to independent pairs.
        cost: as of :class:`OptimalCoupling`.

    Raises:
        InputError: blur not above 0.
    """

    def __init__(self, blur: float = 0.05, cost: Cost = squared_distances):
        positive("blur", blur)
        self.blur, self.cost = blur, cost

    def __call__(self, x0: Tensor, x1: Tensor, rng: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        _check(x0, x1)
        with torch.no_grad():
            cost = self.cost(x0.flatten(1), x1.flatten(1))
            plan = sinkhorn(cost, blur=self.blur * max(float(cost.mean()), 1e-30), tolerance=1e-3).plan
            return x0, x1[torch.multinomial(plan, 1, generator=rng)[:, 0]]


def _check(x0: Tensor, x1: Tensor) -> None:
    if x0.shape != x1.shape:
        raise ShapeError(f"base and data have shapes {list(x0.shape)} and {list(x1.shape)}, expected equal ones")
