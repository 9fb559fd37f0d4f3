"""Laws that samples are drawn from, with their log-densities: where flows, diffusions and chains begin."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

from graphpde.errors import InputError


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


class CentredNormal:
    """Standard normal positions of particles [*, n, d], their centre taken away: the law on the states with centre 0.

    Its density is that on this subspace of dimension (n - 1) d; it does not change when particles are turned or
    renumbered.

    Reference: Koehler, Klein and Noe 2020, section 4.3.
    """

    def draw(self, like: Tensor, rng: torch.Generator | None = None) -> Tensor:
        x = torch.randn(like.shape, generator=rng, dtype=like.dtype, device=like.device)
        return x - x.mean(-2, keepdim=True)

    def log_density(self, x: Tensor, dims: int = 2) -> Tensor:
        """Of each state [*, 1, 1].

        Raises:
            InputError: dims other than 2: the particles of one state are one sample.
        """
        require_states(dims)
        n, d = x.shape[-2:]
        square = x.square().sum((-1, -2), keepdim=True)
        return -0.5 * square - 0.5 * (n - 1) * d * math.log(2 * math.pi)


def require_states(dims: int) -> None:
    """Refuse densities of single nodes, of laws under which nodes depend on each other.

    Raises:
        InputError: dims is not 2.
    """
    if dims != 2:
        raise InputError(f"dims is {dims!r}, expected 2: the nodes of one state are one sample of this law")
