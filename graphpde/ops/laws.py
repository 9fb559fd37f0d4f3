"""Laws that samples are drawn from, with their log-densities: where flows, diffusions and chains begin."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor


class Law(Protocol):
    """A probability law on states."""

    def draw(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        """Independent samples with the shape, type and device of ``like`` [*, n, c]."""
        ...

    def log_density(self, x: Tensor, dims: int = 1) -> Tensor:
        """Of each sample: [*, n, 1] for nodes (dims = 1), [*, 1, 1] for states (dims = 2)."""
        ...


class Normal:
    """Independent standard normal entries."""

    def draw(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        return torch.randn(like.shape, generator=rng, dtype=like.dtype, device=like.device)

    def log_density(self, x: Tensor, dims: int = 1) -> Tensor:
        flat = x.flatten(-dims)
        each = -0.5 * flat.square().sum(-1) - 0.5 * flat.shape[-1] * math.log(2 * math.pi)
        return each.reshape(*each.shape, *[1] * dims)
