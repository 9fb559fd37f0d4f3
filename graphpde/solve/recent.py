"""Right-hand sides that follow one another: a good start for the next solve out of the last solutions."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor

from graphpde.solve.columns import add_to, dots, lengths

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
        rest, x = b.clone(), torch.zeros_like(b)
        basis: list[tuple[Tensor, Tensor, Tensor]] = []  # images orthogonal, with 1 / ||image||^2
        for image, value in reversed(self._pairs):
            if image.shape != b.shape or image.dtype != b.dtype:
                break
            whole = lengths(image)
            image, value = image.clone(), value.clone()
            for one, its, inverse in basis:
                share = dots(one, image) * inverse
                add_to(image, -share, one)
                add_to(value, -share, its)
            square = dots(image, image)
            inverse = torch.where(square > (_SPENT * whole) ** 2, 1 / torch.where(square > 0, square, 1.0), 0.0)
            basis.append((image, value, inverse))
            share = dots(image, rest) * inverse
            add_to(rest, -share, image)
            add_to(x, share, value)
        return x if basis and bool((lengths(rest) <= _POOR * lengths(b)).all()) else None
