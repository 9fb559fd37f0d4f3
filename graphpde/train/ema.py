"""An average of the parameters over the last steps, which often predicts better than the last ones do."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from graphpde.checks import number
from graphpde.errors import InputError
from graphpde.train.fit import Progress

if TYPE_CHECKING:
    from graphpde.train.checkpoint import Checkpoint


class Ema:
    r"""Exponential moving average: a hook with :math:`\bar p_k = \beta \bar p_{k-1} + (1 - \beta) p_k` from 0.

    What is used is :math:`\bar p_k / (1 - \beta^k)`, the mean of all steps with weights that fall by beta a step: the
    random start has no part in it. Buffers are those of the model, parameters those that require gradients in the first
    step; a step that was left out, for its gradient is not finite, does not count.

    Args:
        decay: beta; the average reaches back over about 1 / (1 - beta) steps.

    Reference: Polyak and Juditsky 1992; the correction is that of Kingma and Ba 2015, section 3.
    """

    def __init__(self, decay: float = 0.99):
        number("decay", decay, below=1)
        self.decay = decay
        self.begin()

    def begin(self, resume: Checkpoint | None = None) -> None:
        """Forget the steps of another fit."""
        self.steps, self._sums = 0, dict[str, Tensor]()

    @torch.no_grad()
    def __call__(self, progress: Progress) -> None:
        if not math.isfinite(progress.at.gradient):
            return
        new = dict(progress.model.named_parameters())
        if not self._sums:
            self._sums = {name: torch.zeros_like(p) for name, p in new.items() if p.requires_grad}
        self._sums = {name: total.to(new[name].device) for name, total in self._sums.items()}  # of a checkpoint: CPU
        sums = list(self._sums.values())
        torch._foreach_mul_(sums, self.decay)
        torch._foreach_add_(sums, [new[name] for name in self._sums], alpha=1 - self.decay)
        self.steps += 1

    def averages(self) -> dict[str, Tensor]:
        """The averaged parameters by name.

        Raises:
            InputError: no step was averaged yet.
        """
        if not self.steps:
            raise InputError("there is no average before the first step; give it to fit as a hook")
        return {name: total / (1 - self.decay**self.steps) for name, total in self._sums.items()}

    @contextmanager
    def swapped(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model with the averaged parameters; afterwards it has its own again."""
        averages = self.averages()
        own = {name: p.detach().clone() for name, p in model.named_parameters() if name in averages}
        _put(model, averages)
        try:
            yield model
        finally:
            _put(model, own)

    def state(self) -> dict[str, Any]:
        """For checkpoints."""
        return {"steps": self.steps, "sums": self._sums}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.steps = state["steps"]
        self._sums = {name: total.clone() for name, total in state["sums"].items()}


@torch.no_grad()
def _put(model: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, p in model.named_parameters():
        if name in values:
            p.copy_(values[name])
