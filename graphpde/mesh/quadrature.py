"""Quadrature rules on reference cells: points [q, r] and weights [q] summing to the reference measure."""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from graphpde.errors import InputError

_G2 = 0.5 - 0.5 / 3**0.5
_T4A, _T4B = 0.1381966011250105, 0.5854101966249685  # (5 -+ sqrt 5) / 20


@cache
def rule(cell: str, degree: int) -> tuple[Tensor, Tensor]:
    """A rule on the reference cell that integrates polynomials of ``degree`` exactly.

    Reference cells: vertex; line [0, 1]; triangle and tetra with a corner at 0; quad [0, 1]^2. Degrees up to 3 on
    lines and quads (two Gauss points a direction), up to 2 on simplices.

    Reference: Strang and Fix 1973, table 4.1 (triangle); Keast 1986 (tetrahedron); Gauss-Legendre otherwise.

    Raises:
        InputError: no rule of that degree in the table.
    """
    if cell == "vertex":
        return torch.zeros(1, 0, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    table = {
        ("line", 1): ([[0.5]], [1.0]),
        ("line", 3): ([[_G2], [1 - _G2]], [0.5, 0.5]),
        ("triangle", 1): ([[1 / 3, 1 / 3]], [0.5]),
        ("triangle", 2): ([[1 / 6, 1 / 6], [2 / 3, 1 / 6], [1 / 6, 2 / 3]], [1 / 6] * 3),
        ("tetra", 1): ([[0.25] * 3], [1 / 6]),
        ("tetra", 2): ([[_T4A] * 3, [_T4B, _T4A, _T4A], [_T4A, _T4B, _T4A], [_T4A, _T4A, _T4B]], [1 / 24] * 4),
        ("quad", 1): ([[0.5, 0.5]], [1.0]),
        ("quad", 3): ([[a, b] for b in (_G2, 1 - _G2) for a in (_G2, 1 - _G2)], [0.25] * 4),
    }
    fitting = [d for c, d in table if c == cell and d >= degree]
    if not fitting:
        raise InputError(
            f"no quadrature of degree {degree} on cell '{cell}'; known: {sorted(d for c, d in table if c == cell)}"
        )
    points, weights = table[cell, min(fitting)]
    return torch.tensor(points, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)
