"""Right-hand sides that follow one another: a good start for the next solve out of the last solutions."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from graphpde.solve.columns import dots, lengths, plus

_POOR = 0.5  # relative residual above which the last solutions say too little about a right-hand side
_SPENT = 1e-13  # share of an image that is left where it lies in the space of the younger ones


class Recent:
    """The last few right-hand sides A x_i and solutions x_i.

    The start for b is the combination of the x_i with the least residual in each column, at the cost of a few dot
    products. Time steps of smooth solutions then begin where polynomial extrapolation would, whatever the stepper.

    Args:
        size: pairs kept; each takes two vectors of memory, and twice that while a start is made.

    Reference: Fischer 1998, Comput. Methods Appl. Mech. Engrg. 163, here in the norm of the residual.
    """

    def __init__(self, size: int):
        self._pairs: deque[tuple[Tensor, Tensor]] = deque(maxlen=size)

    def add(self, image: Tensor, value: Tensor) -> None:
        """Remember x = ``value`` with A x = ``image``, [n, k] each."""
        self._pairs.append((image, value))

    def start(self, b: Tensor) -> Tensor | None:
        """A start [n, k] for the solution of A x = b, or None where none is much better than zero."""
        rest, x = b, torch.zeros_like(b)
        basis: list[tuple[Tensor, Tensor]] = []
        for image, value in reversed(self._pairs):
            if image.shape != b.shape or image.dtype != b.dtype:
                break
            whole = lengths(image)
            for one, its in basis:
                share = dots(one, image)
                image, value = plus(image, -share, one), plus(value, -share, its)
            left = lengths(image)
            factor = torch.where(left > _SPENT * whole, 1 / torch.where(left > 0, left, 1.0), 0.0)
            image, value = image * factor, value * factor
            basis.append((image, value))
            share = dots(image, rest)
            rest, x = plus(rest, -share, image), plus(x, share, value)
        return x if basis and bool((lengths(rest) <= _POOR * lengths(b)).all()) else None
