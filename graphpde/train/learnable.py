"""Positive quantities as parameters: what moves freely is their logarithm, or the inverse of softplus."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphpde.errors import InputError


class Positive(nn.Module):
    """A tensor that stays positive: ``Positive(start)()`` is what the solver reads.

    The parameter is ln(value): a step multiplies, so quantities of any size are learned alike, and penalties on
    :attr:`free` measure ratios.

    Args:
        start: a number or a tensor of any shape, positive: one value, one per cell, one per node.

    Raises:
        InputError: a start that is not positive and finite.
    """

    def __init__(self, start: Tensor | float):
        super().__init__()
        value = torch.as_tensor(start, dtype=None if isinstance(start, Tensor) else torch.float64).detach()
        if not bool((torch.isfinite(value) & (value > 0)).all()):
            raise InputError(f"a positive quantity starts at {float(value.min()):g}, expected finite numbers > 0")
        self.free = nn.Parameter(self.inverse(value.clone()))

    def inverse(self, value: Tensor) -> Tensor:
        """The parameter of a value."""
        return value.log()

    def forward(self) -> Tensor:
        return self.free.exp()


class SoftPositive(Positive):
    """The same by softplus, ln(1 + e^x): steps add where the value is large, so it does not run away.

    For quantities of the size of one.
    """

    def inverse(self, value: Tensor) -> Tensor:
        return value + torch.log(-torch.expm1(-value))

    def forward(self) -> Tensor:
        return nn.functional.softplus(self.free)


class PerTag(nn.Module):
    """One positive number for each named set of cells: ``Diffusion(space, PerTag({"steel": 1, "*": 1})())``.

    Args:
        start: by name; "*" is the rest.
    """

    def __init__(self, start: Mapping[str, float]):
        super().__init__()
        self.names = tuple(start)
        self.values = Positive(torch.tensor([float(v) for v in start.values()], dtype=torch.float64))

    def forward(self) -> dict[str, Tensor]:
        return dict(zip(self.names, self.values().unbind(), strict=True))
