"""Convolutions on points: weights that are functions of where a neighbour stands, in bases with a symmetry.

Reference: Winchenbach and Thuerey 2024, Symmetric Basis Convolutions for Learning Lagrangian Fluid Mechanics;
Ummenhofer et al. 2020 (linear basis); Prantl et al. 2022 (antisymmetric kernels).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import torch
from torch import Tensor, nn

from graphpde.checks import positive, whole
from graphpde.core.incidence import Incidence
from graphpde.errors import InputError, ShapeError
from graphpde.ops.ends import at_ends, ends
from graphpde.ops.pair import squared
from graphpde.ops.smoothing import Smoothing

SYMMETRIES = (None, "even", "odd")


def linear(x: Tensor, size: int) -> Tensor:
    """Hats about equally spaced centres on [-1, 1]: x [*] -> [*, size]."""
    return (1 - (x[..., None] - _centres(x, size)).abs() * (0.5 * (size - 1))).clamp_min(0)


def rbf(x: Tensor, size: int) -> Tensor:
    """Gaussians about equally spaced centres on [-1, 1], as wide as these are apart: x [*] -> [*, size]."""
    return torch.exp(-(((x[..., None] - _centres(x, size)) * (0.5 * (size - 1))) ** 2))


def fourier(x: Tensor, size: int) -> Tensor:
    """1, cos(pi x), sin(pi x), cos(2 pi x), ...: x [*] -> [*, size]."""
    k = torch.arange(1, size, device=x.device)
    turn = math.pi * ((k + 1) // 2).to(x) * x[..., None]
    return torch.cat([torch.ones_like(x)[..., None], torch.where(k % 2 == 1, turn.cos(), turn.sin())], -1)


BASES: dict[str, Callable[[Tensor, int], Tensor]] = {"linear": linear, "rbf": rbf, "fourier": fourier}


class ContinuousConv(nn.Module):
    r"""x'_i = sum_j phi((q_j - q_i) / reach) x_j over neighbours, phi a matrix of learned sums of basis functions.

    phi is a product basis: sum_{kl..} W_kl.. b_k(y_1) b_l(y_2) .., with W_kl.. [channels_out, channels]. With "even",
    phi(-y) = phi(y). With "odd", phi(-y) = -phi(y) and the message is phi (x_i + x_j) / 2: what one node is given the
    other loses, so that sums over all nodes vanish to rounding, trained or not. Otherwise a node hears itself as well.

    Args:
        channels: of x. channels_out: of x'. d: coordinates. reach: > 0 in length; offsets are divided by it.
        size: basis functions for each coordinate, >= 2. basis: a name in ``BASES``.
        symmetry: None, "even" or "odd". window: a factor W(r) / W(0) that makes phi end smoothly, or None.

    Raises:
        InputError: unknown names, numbers that are too small.
    """

    def __init__(
        self, channels: int, channels_out: int, d: int, reach: float, *, size: int = 7, basis: str = "fourier",
        symmetry: str | None = None, window: Smoothing | None = None,
    ):  # fmt: skip
        super().__init__()
        positive("reach", reach, finite=True)
        if basis not in BASES:
            raise InputError(f"basis='{basis}', expected one of: {', '.join(BASES)}")
        if symmetry not in SYMMETRIES:
            raise InputError(f"symmetry='{symmetry}', expected None, 'even' or 'odd'")
        self.channels, self.d, self.size = whole("channels", channels), whole("d", d), whole("size", size, 2)
        self.reach, self.basis, self.symmetry, self.window = float(reach), basis, symmetry, window
        count = self.size**self.d
        bound = 1 / math.sqrt(count * channels)
        self.weight = nn.Parameter(torch.empty(whole("channels_out", channels_out), count * channels))
        nn.init.uniform_(self.weight, -bound, bound)

    def forward(self, edges: Incidence, apart: Tensor, x: Tensor) -> Tensor:
        """x' [*, n, channels_out] from x [*, n, channels].

        Args:
            edges: the neighbours, each pair once. apart: q_head - q_tail [E, d] or [*, E, d], nearest images in a box;
                pairs beyond the reach, such as those of a list with a skin, add zeros.

        Raises:
            ShapeError: sizes that do not fit.
        """
        if x.dim() < 2 or x.shape[-2:] != (edges.n, self.channels):
            raise ShapeError(f"x has shape {list(x.shape)}, expected [*, {edges.n}, {self.channels}]")
        if apart.shape[-2:] != (edges.n_edges, self.d):
            raise ShapeError(f"apart has shape {list(apart.shape)}, expected [*, {edges.n_edges}, {self.d}]")
        tail, head = ends(edges, x)
        to_tail = self.functions(apart)
        if self.symmetry == "odd":
            return edges.divergence(-_product(to_tail, 0.5 * (tail + head))) @ self.weight.t()
        to_head = to_tail if self.symmetry == "even" else self.functions(-apart)
        own = self.functions(torch.zeros_like(apart[..., :1, :]))
        heard = at_ends(edges, _product(to_tail, head), _product(to_head, tail)) + _product(own, x)
        return heard @ self.weight.t()

    def functions(self, apart: Tensor) -> Tensor:
        """All basis functions of their symmetry at differences [*, d], 0 beyond the reach: [*, size^d]."""
        y = apart / self.reach
        found = self._basis(y)
        if self.symmetry is not None:
            other = self._basis(-y)
            found = 0.5 * (found + other if self.symmetry == "even" else found - other)
        s = squared(apart)
        if self.window is not None:
            found = found * (self.window.value(s) / self.window.peak)
        return torch.where(s <= self.reach**2, found, 0.0)

    def _basis(self, y: Tensor) -> Tensor:
        each = [BASES[self.basis](x, self.size) for x in y.unbind(-1)]
        return reduce(_product, each)

    def extra_repr(self) -> str:
        return f"{self.channels} -> {self.weight.shape[0]}, d={self.d}, {self.size} {self.basis}, {self.symmetry}"


def _product(a: Tensor, b: Tensor) -> Tensor:
    """All products [*, k], [*, l] -> [*, k l]."""
    return (a[..., :, None] * b[..., None, :]).flatten(-2)


def _centres(x: Tensor, size: int) -> Tensor:
    return torch.linspace(-1, 1, size, dtype=x.dtype, device=x.device)
