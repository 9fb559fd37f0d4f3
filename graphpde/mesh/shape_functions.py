"""Shape functions on reference cells: xi [q, r] -> values [q, k] and gradients [q, k, r].

Nodes stand in the order of the cell table (that of VTK); :mod:`graphpde.mesh.quadrature` names the reference cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Functions = tuple[Tensor, Tensor]


def vertex(xi: Tensor) -> Functions:
    """The constant 1 at a point."""
    return xi.new_ones(len(xi), 1), xi.new_zeros(len(xi), 1, 0)


def simplex(xi: Tensor) -> Functions:
    """Barycentric coordinates: N_0 = 1 - sum xi, N_k = xi_k."""
    q, r = xi.shape
    gradient = torch.cat([-xi.new_ones(1, r), torch.eye(r, dtype=xi.dtype)])
    return torch.cat([1 - xi.sum(1, keepdim=True), xi], 1), gradient.expand(q, r + 1, r)


def quadratic_simplex(edges: Sequence[tuple[int, int]]) -> Callable[[Tensor], Functions]:
    """Quadratic Lagrange functions: L_i (2 L_i - 1) at corners, 4 L_i L_j in the middle of ``edges``."""
    i, j = (list(ends) for ends in zip(*edges, strict=True))

    def functions(xi: Tensor) -> Functions:
        value, slope = simplex(xi)
        corners = value * (2 * value - 1)
        middles = 4 * value[:, i] * value[:, j]
        at_corners = (4 * value - 1)[..., None] * slope
        at_middles = 4 * (value[:, i, None] * slope[:, j] + value[:, j, None] * slope[:, i])
        return torch.cat([corners, middles], 1), torch.cat([at_corners, at_middles], 1)

    return functions


def _linear(x: Tensor) -> tuple[Tensor, Tensor]:
    """Lagrange functions at 0 and 1, and their slopes, x [q] -> [q, 2] each."""
    one = torch.ones_like(x)
    return torch.stack([1 - x, x], 1), torch.stack([-one, one], 1)


def _quadratic(x: Tensor) -> tuple[Tensor, Tensor]:
    """Lagrange functions at 0, 1 and 1/2, and their slopes, x [q] -> [q, 3] each."""
    values = torch.stack([(1 - x) * (1 - 2 * x), x * (2 * x - 1), 4 * x * (1 - x)], 1)
    return values, torch.stack([4 * x - 3, 4 * x - 1, 4 - 8 * x], 1)


def tensor_product(nodes: Sequence[Sequence[int]]) -> Callable[[Tensor], Functions]:
    """Products of one function of each variable; node k takes number ``nodes[k][axis]`` along each axis.

    Numbers 0 and 1 are the ends, 2 the middle.
    """
    one = _quadratic if any(2 in node for node in nodes) else _linear

    def functions(xi: Tensor) -> Functions:
        r = xi.shape[1]
        parts = [one(xi[:, axis]) for axis in range(r)]
        chosen = [[node[axis] for node in nodes] for axis in range(r)]
        values = [parts[axis][0][:, chosen[axis]] for axis in range(r)]
        slopes = [parts[axis][1][:, chosen[axis]] for axis in range(r)]
        columns = []
        for axis in range(r):
            column = slopes[axis]
            for other in range(r):
                if other != axis:
                    column = column * values[other]
            columns.append(column)
        product = values[0]
        for v in values[1:]:
            product = product * v
        return product, torch.stack(columns, 2)

    return functions


def prism(triangle: Callable[[Tensor], Functions], nodes: Sequence[tuple[int, int]]) -> Callable[[Tensor], Functions]:
    """Products of functions on a triangle and on a line; node k takes numbers ``nodes[k]`` of them."""
    across, along = (list(numbers) for numbers in zip(*nodes, strict=True))
    one = _quadratic if 2 in along else _linear

    def functions(xi: Tensor) -> Functions:
        flat, slopes = triangle(xi[:, :2])
        line, rise = one(xi[:, 2])
        values = flat[:, across] * line[:, along]
        plane = slopes[:, across] * line[:, along, None]
        return values, torch.cat([plane, (flat[:, across] * rise[:, along])[..., None]], 2)

    return functions


def pyramid(xi: Tensor) -> Functions:
    """Rational functions, bilinear on the base and linear on the other faces: they fit beside tetrahedra and bricks.

    Reference: Bedrosian 1992, Int. J. Numer. Meth. Engng. 35, 95-108.
    """
    z = xi[:, 2]
    rest = 1 - z
    at_apex = rest.abs() < 1e-14  # the limit on the axis over (0, 0)
    safe = torch.where(at_apex, torch.ones_like(rest), rest)
    a, b = (torch.where(at_apex, torch.zeros_like(rest), xi[:, k] / safe) for k in range(2))
    base = [((1 - a) * (1 - b)), a * (1 - b), a * b, (1 - a) * b]
    values = torch.stack([f * rest for f in base] + [z], 1)
    one, none = torch.ones_like(z), torch.zeros_like(z)
    dx = torch.stack([b - 1, 1 - b, b, -b, none], 1)
    dy = torch.stack([a - 1, -a, a, 1 - a, none], 1)
    dz = torch.stack([a * b - 1, -a * b, a * b, -a * b, one], 1)
    return values, torch.stack([dx, dy, dz], 2)
