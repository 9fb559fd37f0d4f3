"""The affine map of features that may be sparse."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from graphpde.errors import ShapeError
from graphpde.nets.features import Features, SparseFeatures


class Linear(nn.Linear):
    """x W + b, x [*, n, f] or :class:`SparseFeatures` [n, f] -> [*, n, c].

    Raises:
        ShapeError: other features than it was made for.
    """

    def forward(self, x: Features) -> Tensor:  # type: ignore[override]
        if x.shape[-1] != self.in_features:
            raise ShapeError(f"x has {x.shape[-1]} features, this model was made for {self.in_features}")
        if not isinstance(x, SparseFeatures):
            return super().forward(x)
        y = x @ self.weight.t().contiguous()
        return y if self.bias is None else y + self.bias


def glorot(layer: nn.Linear) -> nn.Linear:
    """The layer with weights uniform in +- sqrt(6 / (in + out)) and no bias. Reference: Glorot and Bengio 2010."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        with torch.no_grad():
            layer.bias.zero_()
    return layer
