"""How a step is computed: batches summed up for one step, and numbers of lower precision."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from graphpde.checks import whole
from graphpde.errors import InputError


@dataclass(frozen=True)
class Numerics:
    """How one step is computed.

    Args:
        accumulate: batches whose gradients are averaged in one step: memory of one, noise of many. Where every term is
            a mean over its batch and batches are alike in size, this is one large batch.
        precision: what matrix products and convolutions compute in (autocast); None is what the parameters have.
            ``torch.bfloat16`` for CPU and CUDA; ``torch.float16`` scales the loss so that small gradients do not
            vanish. Parameters, gradients and updates stay as they are.

    Raises:
        InputError: no batches, or another type.
    """

    accumulate: int = 1
    precision: torch.dtype | None = None

    def __post_init__(self) -> None:
        whole("accumulate", self.accumulate)
        if self.precision not in (None, torch.bfloat16, torch.float16):
            raise InputError(f"precision is {self.precision}, expected torch.bfloat16, torch.float16 or None")

    def autocast(self, device: torch.device) -> contextlib.AbstractContextManager[Any]:
        """Where the objective is evaluated."""
        if self.precision is None:
            return contextlib.nullcontext()
        return torch.autocast(device.type, self.precision)


class LossScale:
    """The factor of the loss that keeps gradients within what float16 can hold.

    Halved where they overflow (that step is left out), doubled after ``patience`` good steps.

    Args:
        factor: the first one; 1 never changes. patience: steps.

    Reference: Micikevicius et al. 2018, Mixed precision training, section 3.2.
    """

    def __init__(self, factor: float, patience: int = 2000):
        self.factor, self.patience, self.good = factor, patience, 0
        self.adapts = factor > 1

    def overflowed(self, loss: float, gradient: float) -> bool:
        """Whether a smaller factor may help against a gradient that is not finite; adapts the factor."""
        if not self.adapts:
            return False
        if math.isfinite(gradient):
            self.good += 1
            if self.good >= self.patience:
                self.factor, self.good = 2 * self.factor, 0
            return False
        self.good = 0
        if self.factor <= 1 or not math.isfinite(loss):
            return False
        self.factor /= 2
        return True

    def state(self) -> dict[str, float]:
        """For checkpoints."""
        return {"factor": self.factor, "good": self.good}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.factor, self.good = state["factor"], state["good"]
