"""Finite elements: shape functions on reference cells, as tables of values and gradients at quadrature points."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.quadrature import rule
from graphpde.registry import Registry

ELEMENTS: Registry[type[Element]] = Registry("element")


class Shape(NamedTuple):
    """Shape functions of one cell type at quadrature points.

    Attributes:
        values: N_k at the points [q, k]. gradients: dN_k/d xi [q, k, r]. weights: [q].
    """

    values: Tensor
    gradients: Tensor
    weights: Tensor


class Element:
    """What a finite element declares: the cell types it lives on, its order in L2, and its shape functions.

    Attributes:
        order: order of the L2 error of a smooth solution. cells: cell type -> shape functions xi [q, r] -> (N, dN).
        degree: polynomial degree of N, which sets the quadrature. lumped: whether row-sum lumping keeps the order.
    """

    order: float
    degree: int
    lumped: bool
    cells: ClassVar[dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]]]

    def shape(self, cell: str, degree: int) -> Shape:
        """Shape functions at the points of a rule exact for polynomials of ``degree``.

        Raises:
            MeshError: the element does not live on this cell type.
        """
        if cell not in self.cells:
            raise MeshError(
                f"element {type(self).__name__} lives on {', '.join(self.cells)}, not on {cell} cells; "
                f"they are read and drawn, but to simulate remesh with cells from that list"
            )
        points, weights = rule(cell, degree)
        return Shape(*self.cells[cell](points), weights)


def _vertex(xi: Tensor) -> tuple[Tensor, Tensor]:
    return xi.new_ones(len(xi), 1), xi.new_zeros(len(xi), 1, 0)


def _simplex(xi: Tensor) -> tuple[Tensor, Tensor]:
    """Barycentric coordinates: N_0 = 1 - sum xi, N_k = xi_k."""
    q, r = xi.shape
    gradient = torch.cat([-xi.new_ones(1, r), torch.eye(r, dtype=xi.dtype)])
    return torch.cat([1 - xi.sum(1, keepdim=True), xi], 1), gradient.expand(q, r + 1, r)


def _quad(xi: Tensor) -> tuple[Tensor, Tensor]:
    """Bilinear functions on [0, 1]^2, corners counter-clockwise from 0."""
    a, b = xi[:, 0], xi[:, 1]
    values = torch.stack([(1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b], 1)
    da = torch.stack([b - 1, 1 - b, b, -b], 1)
    db = torch.stack([a - 1, -a, a, 1 - a], 1)
    return values, torch.stack([da, db], 2)


@ELEMENTS.add("p1")
class P1(Element):
    """Continuous piecewise linear functions on intervals, triangles and tetrahedra, flat or curved in space."""

    order, degree, lumped = 2.0, 1, True
    cells: ClassVar = {"vertex": _vertex, "line": _simplex, "triangle": _simplex, "tetra": _simplex}


@ELEMENTS.add("q1")
class Q1(Element):
    """Continuous bilinear functions on quadrilaterals; triangles of a mixed mesh carry P1, which conforms."""

    order, degree, lumped = 2.0, 1, True
    cells: ClassVar = {"vertex": _vertex, "line": _simplex, "quad": _quad, "triangle": _simplex}
