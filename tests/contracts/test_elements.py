"""Every registered element on every cell type it names: partition of unity, gradients, quadrature, declared order."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from benchmarks.manufactured import CASES, run
from benchmarks.manufactured.cases import observed_orders
from graphpde.errors import InputError, MeshError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.elements import ELEMENTS, Element, Shape
from graphpde.mesh.quadrature import rule
from graphpde.mesh.second_order import MIDDLES

PAIRS = [(name, cell) for name, element in ELEMENTS.items() for cell in element.cells]
DEGREES = range(10)
TENSOR = ("line", "quad", "hexahedron")
REFERENCE = {
    "vertex": [[]],
    "line": [[0], [1]],
    "triangle": [[0, 0], [1, 0], [0, 1]],
    "quad": [[0, 0], [1, 0], [1, 1], [0, 1]],
    "tetra": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]],
    "hexahedron": [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [1, 1, 1], [0, 1, 1]],
    "wedge": [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 1], [0, 1, 1]],
    "pyramid": [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 0, 1]],
}


def reference_nodes(kind: str) -> torch.Tensor:
    """Where the nodes of a cell type lie on its reference cell."""
    corners = torch.tensor(REFERENCE[CELLS[kind].corners], dtype=torch.float64)
    corners = corners.reshape(len(REFERENCE[CELLS[kind].corners]), -1)
    return torch.cat([corners, *(corners[list(between)].mean(0)[None] for between in MIDDLES.get(kind, ()))])


def monomials(dim: int, degree: int) -> list[tuple[int, ...]]:
    return [e for e in itertools.product(range(degree + 1), repeat=dim) if sum(e) <= degree]


def exact_integral(cell: str, powers: tuple[int, ...]) -> float:
    if cell in TENSOR or not powers:
        return math.prod(1 / (k + 1) for k in powers)
    if cell == "wedge":
        return exact_integral("triangle", powers[:2]) / (powers[2] + 1)
    if cell == "pyramid":  # x = a (1 - z), y = b (1 - z)
        i, j, k = powers
        return math.factorial(k) * math.factorial(i + j + 2) / math.factorial(i + j + k + 3) / (i + 1) / (j + 1)
    return math.prod(math.factorial(k) for k in powers) / math.factorial(sum(powers) + len(powers))


@pytest.mark.parametrize("degree", DEGREES)
@pytest.mark.parametrize("cell", REFERENCE)
def test_rules_are_exact_to_their_degree(cell: str, degree: int) -> None:
    points, weights = rule(cell, degree)
    assert bool((weights > 0).all())
    for powers in monomials(points.shape[1], degree):
        found = float((weights * (points ** torch.tensor(powers)).prod(1)).sum())
        assert found == pytest.approx(exact_integral(cell, powers), abs=2e-15)


@pytest.mark.parametrize("cell", ["triangle", "tetra", "line", "quad"])
def test_rules_are_not_exact_beyond_what_they_need(cell: str) -> None:
    """Few points: the rule of degree 2 fails on some monomial of degree 4."""
    points, weights = rule(cell, 2)
    wrong = [
        abs(float((weights * (points ** torch.tensor(p)).prod(1)).sum()) - exact_integral(cell, p))
        for p in monomials(points.shape[1], 4)
    ]
    assert max(wrong) > 1e-4


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(InputError, match="no quadrature on cell 'octagon'; known: vertex, wedge, line"):
        rule("octagon", 1)
    with pytest.raises(InputError, match="degree = -1, expected a polynomial degree >= 0"):
        rule("line", -1)


@pytest.mark.parametrize(("name", "cell"), PAIRS)
class TestShapes:
    def element(self, name: str) -> Element:
        return ELEMENTS[name]()

    def test_partition_of_unity(self, name: str, cell: str) -> None:
        shape = self.element(name).shape(cell, 5)
        assert torch.allclose(shape.values.sum(1), torch.ones(len(shape.weights), dtype=torch.float64), atol=1e-15)
        assert float(shape.gradients.sum(1).abs().sum()) <= 1e-14

    def test_one_at_its_own_node_and_zero_at_the_others(self, name: str, cell: str) -> None:
        values, _ = self.element(name).cells[cell](reference_nodes(cell))
        assert torch.allclose(values, torch.eye(CELLS[cell].nodes, dtype=torch.float64), atol=1e-15)

    def test_gradients_are_derivatives(self, name: str, cell: str) -> None:
        shape = self.element(name).cells[cell]
        points, _ = rule(CELLS[cell].corners, 5)
        for axis in range(points.shape[1]):
            step = torch.zeros(points.shape[1], dtype=torch.float64)
            step[axis] = 1e-6
            slope = (shape(points + step)[0] - shape(points - step)[0]) / 2e-6
            assert torch.allclose(slope, shape(points)[1][..., axis], atol=1e-9)

    def test_spans_the_linear_functions(self, name: str, cell: str) -> None:
        points, _ = rule(CELLS[cell].corners, 5)
        values, _ = self.element(name).cells[cell](points)
        if points.shape[1]:
            coefficients = torch.linalg.lstsq(values, points).solution
            assert torch.allclose(values @ coefficients, points, atol=1e-13)

    def test_gradients_integrate_exactly(self, name: str, cell: str) -> None:
        """The rule an element asks for integrates products of its gradients (its stiffness) exactly."""
        element = self.element(name)
        low, high = (element.shape(cell, d) for d in (element.rule_degree(CELLS[cell].corners), 9))

        def stiffness(shape: Shape) -> torch.Tensor:
            return torch.einsum("qir,qjr,q->ij", shape.gradients, shape.gradients, shape.weights)

        assert torch.allclose(stiffness(low), stiffness(high), atol=1e-14)

    def test_complete_to_its_degree(self, name: str, cell: str) -> None:
        """Every polynomial of the declared degree is a combination of the shape functions, by its nodal values."""
        element = self.element(name)
        points, _ = rule(CELLS[cell].corners, 7)
        values, _ = element.cells[cell](points)
        nodes = reference_nodes(cell)
        for powers in monomials(points.shape[1], element.degree):
            p = torch.tensor(powers)
            assert torch.allclose(values @ (nodes**p).prod(1), (points**p).prod(1), atol=1e-14)


def test_unknown_cells_are_refused() -> None:
    for name, corners, others in (
        ("p1", "hexahedron", "Q1 or Q2"),
        ("p2", "quad", "Q1 or Q2"),
        ("q2", "pyramid", "Q1"),
    ):
        element = ELEMENTS[name]
        with pytest.raises(MeshError, match=rf"{element.__name__} lives on .*, not on {corners} cells; use {others}$"):
            element().shape(corners, 1)


FAMILIES = {"line": "interval", "triangle": "triangles", "quad": "quadrilaterals", "tetra": "tetrahedra"}
ON_FAMILY = [(name, FAMILIES[cell]) for name, cell in PAIRS if cell in FAMILIES]


def last_order(row: str, element: Element) -> float:
    case = CASES[row]
    levels = case.levels[:2] if case.cells == "tetrahedra" else case.levels[-2:]
    return observed_orders([level.error for level in run(case, levels, element)])[-1]


@pytest.mark.orders
@pytest.mark.parametrize(("name", "family"), ON_FAMILY)
def test_declared_order_is_observed(name: str, family: str) -> None:
    element = ELEMENTS[name]()
    assert last_order(f"Poisson, {family}, Dirichlet, steady", element) == pytest.approx(element.order, abs=0.05)


@pytest.mark.orders
@pytest.mark.parametrize(("name", "family"), [(name, family) for name, family in ON_FAMILY if ELEMENTS[name].lumped])
def test_lumping_keeps_the_declared_order(name: str, family: str) -> None:
    element = ELEMENTS[name]()
    assert last_order(f"heat, {family}, Dirichlet fixed, implicit", element) == pytest.approx(element.order, abs=0.05)
