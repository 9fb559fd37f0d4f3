r"""Paths between a sample x_0 of the base and one x_1 of the data: x_t = a(t) x_1 + b(t) x_0 + sigma z, t from 0 to 1.

Reference: Lipman et al. 2023 (flow matching), section 4; Albergo and Vanden-Eijnden 2023 (interpolants), section 2;
Tong et al. 2024, table 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from graphpde.checks import number
from graphpde.errors import ShapeError
from graphpde.registry import Registry


class OnPath(NamedTuple):
    """Points on paths.

    Attributes:
        x: x_t. velocity: dx_t/dt for the given ends, what a velocity is trained towards.
    """

    x: Tensor
    velocity: Tensor


class Path(Protocol):
    """What flow matching asks of a path."""

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, rng: torch.Generator | None = None) -> OnPath:
        """Points at times t, which spread over the dimensions of x0 and x1."""
        ...


PATHS: Registry[type[Path]] = Registry("path")


class Interpolation:
    """A path by its two factors.

    Args:
        sigma: standard deviation of noise beside the mean path; 0 = the path ends in the data exactly.

    Raises:
        InputError: sigma below 0.
    """

    def __init__(self, sigma: float = 0.0):
        number("sigma", sigma)
        self.sigma = sigma

    def factors(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """a(t) and b(t)."""
        raise NotImplementedError(f"{type(self).__name__} does not define factors(t)")

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """a'(t) and b'(t)."""
        raise NotImplementedError(f"{type(self).__name__} does not define slopes(t)")

    def __call__(self, x0: Tensor, x1: Tensor, t: Tensor, rng: torch.Generator | None = None) -> OnPath:
        _check(t, x1)
        (a, b), (da, db) = self.factors(t), self.slopes(t)
        x = a * x1 + b * x0
        if self.sigma:
            x = x + self.sigma * torch.randn(x.shape, generator=rng, dtype=x.dtype, device=x.device)
        return OnPath(x, da * x1 + db * x0)


@PATHS.add("linear")
class LinearPath(Interpolation):
    """x_t = t x_1 + (1 - t) x_0: straight, at constant speed.

    Reference: Liu, Gong and Liu 2023 (rectified flow), eq. (1); Lipman et al. 2023, section 4.1 with sigma_min = 0.
    """

    def factors(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return t, 1 - t

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), -torch.ones_like(t)


@PATHS.add("variance_preserving")
class VariancePreservingPath(Interpolation):
    """x_t = sin(pi t/2) x_1 + cos(pi t/2) x_0: independent ends of unit variance keep it on the way.

    Reference: Albergo and Vanden-Eijnden 2023, eq. (5), the trigonometric interpolant.
    """

    def factors(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.sin(0.5 * math.pi * t), torch.cos(0.5 * math.pi * t)

    def slopes(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 0.5 * math.pi * torch.cos(0.5 * math.pi * t), -0.5 * math.pi * torch.sin(0.5 * math.pi * t)


def _check(t: Tensor, x: Tensor) -> None:
    if t.dim() and (t.dim() != x.dim() or any(k not in (1, n) for k, n in zip(t.shape, x.shape, strict=True))):
        ones = ", ".join(["1"] * (x.dim() - 1))
        raise ShapeError(
            f"the times have shape {list(t.shape)} and the ends {list(x.shape)}, expected one number or a shape that "
            f"spreads over the ends, such as [{x.shape[0] if x.dim() else 1}{', ' if ones else ''}{ones}]"
        )
