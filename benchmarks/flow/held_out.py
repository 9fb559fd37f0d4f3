"""Flows fitted to samples, of which the best one on samples held out is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.train import Adam, Best, Cosine, Measure, fit


class Parts(NamedTuple):
    """Samples [k, c] to learn from, to choose by and to judge by."""

    train: Tensor
    val: Tensor
    test: Tensor


def parts(x: Tensor, seed: int) -> Parts:
    """80, 10 and 10 % of the rows, drawn by a seed."""
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))
    tenth = len(x) // 10
    test, val, train = x[order].split([tenth, tenth, len(x) - 2 * tenth])
    return Parts(train, val, test)


def fitted(
    model: nn.Module,
    objective: Any,
    data: Parts,
    nll: Callable[[nn.Module, Tensor], float],
    *,
    steps: int,
    batch: int,
    rate: float,
    every: int,
    seed: int,
    noise: float = 0.0,
) -> int:
    """Fit a model; it is left at the step with the best likelihood of the samples to choose by, which is returned.

    Args:
        nll: of a model and samples, in nats. noise: standard deviation of what is added to every batch.
    """

    class Batches:
        def drawn(self, rng: torch.Generator) -> Iterator[Tensor]:
            for _ in range(steps):
                x = data.train[torch.randint(0, len(data.train), (batch,), generator=rng)]
                yield x + noise * torch.randn(x.shape, generator=rng) if noise else x

    best = Best("nll", "min")
    measure = Measure(lambda model: {"nll": nll(model, data.val)}, every)
    rng = torch.Generator().manual_seed(seed)
    fit(model, objective, Batches(), update=Adam(rate, schedule=Cosine(steps)), steps=steps, rng=rng,
        hooks=(measure, best))  # fmt: skip
    best.restore(model)
    return best.step
