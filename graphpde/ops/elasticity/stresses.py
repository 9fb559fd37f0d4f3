"""What is read off stresses."""

from __future__ import annotations

import torch
from torch import Tensor


def von_mises(stress: Tensor) -> Tensor:
    """sqrt(3/2 s : s) of stresses [*, 3, 3], s their deviator: [*]."""
    mean = stress.diagonal(dim1=-2, dim2=-1).mean(-1)
    deviator = stress - mean[..., None, None] * torch.eye(3, dtype=stress.dtype, device=stress.device)
    return (1.5 * deviator.square().sum((-2, -1))).sqrt()
