"""The multilayer perceptron."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn

from graphpde.errors import InputError
from graphpde.nets.features import Features, drop
from graphpde.nets.linear import Linear


class Mlp(nn.Module):
    """Affine maps with a nonlinearity and dropout between them, [*, n, sizes[0]] -> [*, n, sizes[-1]].

    Args:
        sizes: channels from input to output, at least two. activation: between the maps. dropout: of what enters each.

    Raises:
        InputError: fewer than two sizes, or one below 1.
    """

    def __init__(self, *sizes: int, activation: Callable[[Tensor], Tensor] = torch.relu, dropout: float = 0.0):
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes = {sizes}, expected at least two positive numbers of channels")
        self.maps = nn.ModuleList(Linear(a, b) for a, b in pairwise(sizes))
        self.activation, self.dropout = activation, dropout

    def forward(self, x: Features) -> Tensor:
        for k, layer in enumerate(self.maps):
            if k:
                x = self.activation(x)  # type: ignore[arg-type]
            x = layer(drop(x, self.dropout, self.training))
        assert isinstance(x, Tensor)
        return x
