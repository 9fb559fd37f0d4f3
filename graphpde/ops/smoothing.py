"""Smoothing kernels: bumps W(r) of finite reach that integrate to 1, by which particles carry fields.

Each is a sum of truncated powers a (k - x)_+^p of x = r / reach, so that its value, its slope and its integral over
space are known in closed form.

Reference: Schoenberg 1946 (splines); Wendland 1995; Dehnen and Aly 2012, Mon. Not. R. Astron. Soc. 425, table 1.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.checks import positive, whole
from graphpde.errors import InputError
from graphpde.ops.pair import Central, root


class Power(NamedTuple):
    """a (k - x)_+^p."""

    a: float
    k: float
    p: int


_CUBIC = (Power(1, 1, 3), Power(-4, 1 / 2, 3))
_QUINTIC = (Power(1, 1, 5), Power(-6, 2 / 3, 5), Power(15, 1 / 3, 5))
_C2 = (Power(5, 1, 4), Power(-4, 1, 5))
_C4 = (Power(56 / 3, 1, 6), Power(-88 / 3, 1, 7), Power(35 / 3, 1, 8))

SMOOTHINGS: dict[str, tuple[tuple[Power, ...], ...]] = {
    "cubic_spline": (_CUBIC, _CUBIC, _CUBIC),
    "quintic_spline": (_QUINTIC, _QUINTIC, _QUINTIC),
    "wendland_c2": ((Power(4, 1, 3), Power(-3, 1, 4)), _C2, _C2),
    "wendland_c4": ((Power(14, 1, 5), Power(-21, 1, 6), Power(8, 1, 7)), _C4, _C4),
}
"""Name -> powers in one, two and three dimensions, up to a factor."""

SPHERE = (2.0, 2 * math.pi, 4 * math.pi)
"""Surface of the unit ball in one, two and three dimensions."""


class Smoothing:
    """W(r) in d dimensions, 0 from ``reach`` on, with the integral 1 over space.

    Functions of the squared distance s = r^2, as those of :class:`~graphpde.ops.pair.Central`.

    Args:
        reach: radius of the support, > 0 in length: twice what is called h of the cubic spline and of Wendland's
            kernels, three times that of the quintic spline. d: 1, 2 or 3. kind: a name in ``SMOOTHINGS``; the Wendland
            kernels do not pair particles up, however many neighbours they have.

    Raises:
        InputError: a reach that is not > 0, another dimension, an unknown name.
    """

    def __init__(self, reach: float, d: int, kind: str = "wendland_c2"):
        positive("reach", reach, finite=True)
        if whole("d", d) > 3:
            raise InputError(f"d is {d}, expected 1, 2 or 3 dimensions")
        if kind not in SMOOTHINGS:
            raise InputError(f"kind='{kind}', expected one of: {', '.join(SMOOTHINGS)}")
        self.reach, self.d, self.kind = float(reach), d, kind
        powers = SMOOTHINGS[kind][d - 1]
        total = SPHERE[d - 1] * sum(a * k ** (p + d) * _beta(p + 1, d) for a, k, p in powers)
        self._powers = tuple(Power(a / (total * self.reach**d), k, p) for a, k, p in powers)

    @property
    def peak(self) -> float:
        """W(0) in 1/length^d."""
        return sum(a * k**p for a, k, p in self._powers)

    def value(self, s: Tensor) -> Tensor:
        """W for squared distances s, any shape."""
        x = root(s) / self.reach
        return sum((a * (k - x).clamp_min(0) ** p for a, k, p in self._powers), torch.zeros_like(x))

    def slope(self, s: Tensor) -> Tensor:
        """W'(r) / r for squared distances s: the gradient of W(|q|) is slope q."""
        x = root(s) / self.reach
        fall = sum((a * p * (k - x).clamp_min(0) ** (p - 1) for a, k, p in self._powers), torch.zeros_like(x))
        return -fall / (x * self.reach**2)


class Overlap(Central):
    """V = strength W(r), times the weight of the edge: half of sum_i m_i h_i with h_i = sum_j m_j W_ij.

    Args:
        smoothing: W. strength: in energy length^d / weight.
    """

    def __init__(self, smoothing: Smoothing, strength: float = 1.0):
        super().__init__()
        self.smoothing, self.strength, self.cutoff = smoothing, strength, smoothing.reach

    def value(self, s: Tensor) -> Tensor:
        return self.strength * self.smoothing.value(s)

    def slope(self, s: Tensor) -> Tensor:
        return self.strength * self.smoothing.slope(s)


def _beta(a: int, b: int) -> float:
    return math.gamma(a) * math.gamma(b) / math.gamma(a + b)
