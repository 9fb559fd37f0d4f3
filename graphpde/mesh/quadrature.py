"""Quadrature rules on reference cells: points [q, r] and weights [q] summing to the reference measure."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from graphpde.errors import InputError

_T4 = (5 - 5**0.5) / 20

Points = list[tuple[list[float], float]]


def _orbit(value: float, weight: float, dim: int) -> Points:
    """The dim + 1 points whose barycentric coordinates are all ``value`` but one."""
    points = [[value] * dim] + [[1 - dim * value if i == j else value for i in range(dim)] for j in range(dim)]
    return [(point, weight) for point in points]


def _pairs(value: float, weight: float) -> Points:
    """The six points of a tetrahedron with barycentric coordinates (value, value, rest, rest)."""
    rest = 0.5 - value
    four = [[value if k in pair else rest for k in range(4)] for pair in combinations(range(4), 2)]
    return [(point[1:], weight) for point in four]


_ROOT = (38 - 44 * 0.4**0.5) ** 0.5
_SIX = [
    *_orbit((8 - 10**0.5 + _ROOT) / 18, (620 + (213125 - 53320 * 10**0.5) ** 0.5) / 7440, 2),
    *_orbit((8 - 10**0.5 - _ROOT) / 18, (620 - (213125 - 53320 * 10**0.5) ** 0.5) / 7440, 2),
]
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
_SYMMETRIC: dict[tuple[str, int], Points] = {
    ("triangle", 1): [([1 / 3, 1 / 3], 0.5)],
    ("triangle", 2): _orbit(1 / 6, 1 / 6, 2),
    ("triangle", 4): _SIX,
    ("triangle", 5): _RADON,
    ("tetra", 1): [([0.25] * 3, 1 / 6)],
    ("tetra", 2): _orbit(_T4, 1 / 24, 3),
    ("tetra", 5): _WALKINGTON,
}
"""(cell, degree) -> points and weights, fewer of them than products of Gauss rules have."""


@cache
def rule(cell: str, degree: int) -> tuple[Tensor, Tensor]:
    """A rule on the reference cell that integrates polynomials of ``degree`` exactly; all weights are positive.

    Reference cells: vertex; line [0, 1]; triangle and tetra with a corner at 0; quad [0, 1]^2; hexahedron [0, 1]^3;
    wedge = triangle x [0, 1]; pyramid over [0, 1]^2 with its apex at (0, 0, 1). On tensor products the degree holds in
    every variable, on the pyramid in the variables x / (1 - z) and y / (1 - z), in which its shape functions are
    polynomials.

    Reference: symmetric rules: Strang and Fix 1973, table 4.1 (triangle, degrees 1 to 4); Radon 1948, Monatsh. Math. 52
    (triangle, 5); Keast 1986 (tetrahedron, 2); Walkington 2000, Quadrature on simplices of arbitrary dimension
    (tetrahedron, 5). Beyond the table conical products of Gauss-Jacobi rules: Stroud 1971, Approximate Calculation of
    Multiple Integrals, section 2.4; nodes by Golub and Welsch 1969.

    Raises:
        InputError: no such reference cell, or a negative degree.
    """
    if degree < 0:
        raise InputError(f"degree = {degree}, expected a polynomial degree >= 0")
    fitting = [d for c, d in _SYMMETRIC if c == cell and d >= degree]
    if fitting:
        table = _SYMMETRIC[cell, min(fitting)]
        at, w = [point for point, _ in table], [weight for _, weight in table]
        return torch.tensor(at, dtype=torch.float64), torch.tensor(w, dtype=torch.float64)
    s = degree // 2 + 1
    if cell == "vertex":
        return torch.zeros(1, 0, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    if cell == "wedge":
        return _product(rule("triangle", degree), _gauss_jacobi(s, 0))
    if cell not in _POWERS:
        raise InputError(f"no quadrature on cell '{cell}'; known: vertex, wedge, {', '.join(_POWERS)}")
    points, weights = _gauss_jacobi(s, _POWERS[cell][0])
    for power in _POWERS[cell][1:]:
        points, weights = _product((points, weights), _gauss_jacobi(s, power))
    return _collapsed(cell, points), weights


_POWERS = {
    "line": (0,),
    "quad": (0, 0),
    "hexahedron": (0, 0, 0),
    "triangle": (0, 1),
    "pyramid": (0, 0, 2),
    "tetra": (0, 1, 2),
}
"""Cell -> the power of 1 - x in the weight of each variable of the unit cube that is mapped onto it."""


def _collapsed(cell: str, p: Tensor) -> Tensor:
    """Points of the unit cube on the cell."""
    if cell == "triangle":
        return torch.stack([p[:, 0] * (1 - p[:, 1]), p[:, 1]], 1)
    if cell == "pyramid":
        return torch.stack([p[:, 0] * (1 - p[:, 2]), p[:, 1] * (1 - p[:, 2]), p[:, 2]], 1)
    if cell == "tetra":
        rest = 1 - p[:, 2]
        return torch.stack([p[:, 0] * (1 - p[:, 1]) * rest, p[:, 1] * rest, p[:, 2]], 1)
    return p


def _product(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The product of two rules; the points of the first run fastest."""
    k, m = len(a[1]), len(b[1])
    points = torch.cat([a[0].repeat(m, 1), b[0].repeat_interleave(k, 0)], 1)
    return points, a[1].repeat(m) * b[1].repeat_interleave(k)


@cache
def _gauss_jacobi(s: int, power: int) -> tuple[Tensor, Tensor]:
    """s points on [0, 1] and weights that integrate polynomials of degree 2 s - 1 against (1 - x)^power exactly."""
    if power == 0:
        x, w = np.polynomial.legendre.leggauss(s)
    else:  # eigenvalues of the Jacobi matrix of the three-term recurrence
        k = np.arange(1, s, dtype=float)
        a, n = float(power), 2 * np.arange(s, dtype=float) + power
        diagonal = np.where(n == 0, -a / (a + 2), -(a**2) / np.where(n == 0, 1, n * (n + 2)))
        both = 4 * k**2 * (k + a) ** 2 / ((2 * k + a) ** 2 * ((2 * k + a) ** 2 - 1))
        x, vectors = np.linalg.eigh(np.diag(diagonal) + np.diag(both**0.5, 1) + np.diag(both**0.5, -1))
        w = vectors[0] ** 2 * 2 ** (a + 1) / (a + 1)
    points = torch.from_numpy((x + 1) / 2)[:, None]
    return points, torch.from_numpy(w / 2 ** (power + 1))
