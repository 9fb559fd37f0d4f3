"""Finite elements: shape functions on reference cells, as tables of values and gradients at quadrature points."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import ClassVar, NamedTuple

from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS, REFERENCE
from graphpde.mesh.quadrature import rule
from graphpde.mesh.second_order import COMPLETE, MIDDLES
from graphpde.mesh.shape_functions import prism, pyramid, quadratic_simplex, simplex, tensor_product, vertex
from graphpde.registry import Registry

ELEMENTS: Registry[type[Element]] = Registry("element")

Functions = Callable[[Tensor], tuple[Tensor, Tensor]]

_TENSORS = ("quad", "hexahedron", "wedge", "pyramid")


def _halfway(kind: str) -> list[tuple[int, ...]]:
    """Number along each axis of every node of a complete quadratic cell: 0 or 1 at the ends, 2 between them."""
    corners = REFERENCE[CELLS[kind].corners]
    places = [*corners]
    for between in MIDDLES[kind]:
        along = zip(*(corners[c] for c in between), strict=True)
        places.append(tuple(v[0] if len(set(v)) == 1 else 2 for v in along))
    return places


def _quadratic_wedge() -> Functions:
    """Nodes as products of the nodes of a quadratic triangle and those of a line."""
    triangle = {frozenset([k]): k for k in range(3)} | {frozenset(CELLS["triangle"].edges[k]): 3 + k for k in range(3)}
    nodes = []
    for between in (*((k,) for k in range(6)), *MIDDLES["wedge18"]):
        levels = {c // 3 for c in between}
        nodes.append((triangle[frozenset(c % 3 for c in between)], levels.pop() if len(levels) == 1 else 2))
    return prism(quadratic_simplex(CELLS["triangle"].edges), nodes)


_LINEAR: dict[str, Functions] = {"vertex": vertex, "line": simplex, "triangle": simplex, "tetra": simplex}
_MULTILINEAR: dict[str, Functions] = {
    "quad": tensor_product(REFERENCE["quad"]),
    "hexahedron": tensor_product(REFERENCE["hexahedron"]),
    "wedge": prism(simplex, [(k % 3, k // 3) for k in range(6)]),
    "pyramid": pyramid,
}
_QUADRATIC: dict[str, Functions] = {
    "vertex": vertex,
    **{COMPLETE[kind]: quadratic_simplex(CELLS[kind].edges) for kind in ("line", "triangle", "tetra")},
}
_MULTIQUADRATIC: dict[str, Functions] = {
    "quad9": tensor_product(_halfway("quad9")),
    "hexahedron27": tensor_product(_halfway("hexahedron27")),
    "wedge18": _quadratic_wedge(),
}


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
        order: order of the L2 error of a smooth solution. degree: polynomial degree of N, which sets the quadrature.
        lumped: whether row-sum lumping keeps the order.
        cells: cell type, by its nodes, -> shape functions xi [q, r] -> (N, dN).
    """

    order: float
    degree: int
    lumped: bool
    cells: ClassVar[Mapping[str, Functions]]

    @classmethod
    def kind_on(cls, corners: str) -> str:
        """The cell type with the element's nodes on cells with these corners.

        Raises:
            MeshError: the element does not live there.
        """
        for kind in cls.cells:
            if CELLS[kind].corners == corners:
                return kind
        on = ", ".join(dict.fromkeys(CELLS[kind].corners for kind in cls.cells if kind != "vertex"))
        fitting = [
            name.__name__ for _, name in ELEMENTS.items() if any(CELLS[k].corners == corners for k in name.cells)
        ]
        remedy = f"use {' or '.join(fitting)}" if fitting else "remesh with cells from that list"
        raise MeshError(f"element {cls.__name__} lives on {on} cells, not on {corners} cells; {remedy}")

    def shape(self, kind: str, degree: int) -> Shape:
        """Shape functions on a cell type of ``cells`` at the points of a rule exact for polynomials of ``degree``.

        Raises:
            MeshError: the element does not live on this cell type.
        """
        if kind not in self.cells:
            kind = self.kind_on(CELLS[kind].corners)
        return _shape(self.cells[kind], CELLS[kind].corners, degree)

    def rule_degree(self, corners: str) -> int:
        """Degree of the rule that the stiffness needs: gradients of simplices lose a degree, those of others do not."""
        return 2 * self.degree if corners in _TENSORS else 2 * self.degree - 2


@cache
def _shape(functions: Functions, corners: str, degree: int) -> Shape:
    points, weights = rule(corners, degree)
    return Shape(*functions(points), weights)


@ELEMENTS.add("p1")
class P1(Element):
    """Continuous piecewise linear functions on intervals, triangles and tetrahedra, flat or curved in space."""

    order, degree, lumped = 2.0, 1, True
    cells: ClassVar = _LINEAR


@ELEMENTS.add("q1")
class Q1(Element):
    """Continuous (bi-, tri-)linear functions on quadrilaterals, hexahedra, wedges and pyramids.

    Triangles and tetrahedra of a mixed mesh carry P1, which conforms.
    """

    order, degree, lumped = 2.0, 1, True
    cells: ClassVar = {**_LINEAR, **_MULTILINEAR}


@ELEMENTS.add("p2")
class P2(Element):
    """Continuous piecewise quadratic functions on intervals, triangles and tetrahedra with straight or curved sides.

    Row-sum lumping would leave the vertices of triangles without mass.
    """

    order, degree, lumped = 3.0, 2, False
    cells: ClassVar = _QUADRATIC


@ELEMENTS.add("q2")
class Q2(Element):
    """Continuous (bi-, tri-)quadratic functions on quadrilaterals, hexahedra and wedges, with P2 on simplices between.

    The sides may be curved; pyramids have no such element.
    """

    order, degree, lumped = 3.0, 2, False
    cells: ClassVar = {**_QUADRATIC, **_MULTIQUADRATIC}
