"""Quadrature rules on reference cells: points [q, r] and weights [q] summing to the reference measure."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import torch
from torch import Tensor

from graphpde.errors import InputError

_G2 = 0.5 - 0.5 / 3**0.5
_G3 = ((0.5 - 0.15**0.5, 5 / 18), (0.5, 4 / 9), (0.5 + 0.15**0.5, 5 / 18))
_T4 = (5 - 5**0.5) / 20


def _orbit(value: float, weight: float, dim: int) -> list[tuple[list[float], float]]:
    """The dim + 1 points whose barycentric coordinates are all ``value`` but one."""
    points = [[value] * dim] + [[1 - dim * value if i == j else value for i in range(dim)] for j in range(dim)]
    return [(point, weight) for point in points]


def _pairs(value: float, weight: float) -> list[tuple[list[float], float]]:
    """The six points of a tetrahedron with barycentric coordinates (value, value, rest, rest)."""
    rest = 0.5 - value
    four = [[value if k in pair else rest for k in range(4)] for pair in combinations(range(4), 2)]
    return [(point[1:], weight) for point in four]


_RADON = [
    ([1 / 3, 1 / 3], 9 / 80),
    *_orbit((6 - 15**0.5) / 21, (155 - 15**0.5) / 2400, 2),
    *_orbit((6 + 15**0.5) / 21, (155 + 15**0.5) / 2400, 2),
]
_WALKINGTON = [
    *_orbit(0.31088591926330060980, 0.018781320953002641800, 3),
    *_orbit(0.092735250310891226402, 0.012248840519393658257, 3),
    *_pairs(0.045503704125649649492, 0.0070910034628469110730),
]
_RULES: dict[tuple[str, int], list[tuple[list[float], float]]] = {
    ("vertex", 99): [([], 1.0)],
    ("line", 1): [([0.5], 1.0)],
    ("line", 3): [([_G2], 0.5), ([1 - _G2], 0.5)],
    ("line", 5): [([a], w) for a, w in _G3],
    ("triangle", 1): [([1 / 3, 1 / 3], 0.5)],
    ("triangle", 2): _orbit(1 / 6, 1 / 6, 2),
    ("triangle", 5): _RADON,
    ("tetra", 1): [([0.25] * 3, 1 / 6)],
    ("tetra", 2): _orbit(_T4, 1 / 24, 3),
    ("tetra", 5): _WALKINGTON,
    ("quad", 1): [([0.5, 0.5], 1.0)],
    ("quad", 3): [([a, b], 0.25) for b in (_G2, 1 - _G2) for a in (_G2, 1 - _G2)],
    ("quad", 5): [([a, b], v * w) for b, w in _G3 for a, v in _G3],
}
"""(cell, degree) -> points and weights. A vertex is integrated exactly whatever the degree."""


@cache
def rule(cell: str, degree: int) -> tuple[Tensor, Tensor]:
    """A rule on the reference cell that integrates polynomials of ``degree`` exactly.

    Reference cells: vertex; line [0, 1]; triangle and tetra with a corner at 0; quad [0, 1]^2. Degrees up to 5: the
    lowest ones serve assembly, 5 the measuring of errors.

    Reference: Strang and Fix 1973, table 4.1 (triangle, degree 2); Radon 1948, Monatsh. Math. 52 (triangle, 5); Keast
    1986 (tetrahedron, 2); Walkington 2000, Quadrature on simplices of arbitrary dimension (tetrahedron, 5);
    Gauss-Legendre otherwise.

    Raises:
        InputError: no rule of that degree in the table.
    """
    known = sorted(d for c, d in _RULES if c == cell)
    fitting = [d for d in known if d >= degree]
    if not fitting:
        raise InputError(f"no quadrature of degree {degree} on cell '{cell}'; known: {known}")
    points, weights = zip(*_RULES[cell, fitting[0]])
    return torch.tensor(points, dtype=torch.float64), torch.tensor(weights, dtype=torch.float64)
