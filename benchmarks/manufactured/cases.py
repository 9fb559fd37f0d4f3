"""One row of the table of orders: a problem, a boundary condition, a method, an element, a family of meshes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.mesh import CellSpace, Mesh, Space
from graphpde.mesh.elements import Element


@dataclass(frozen=True)
class Level:
    """One mesh of a case: number of unknowns and of cells, the L2 error there and, where asked for, its gradient's."""

    unknowns: int
    cells: int
    error: float
    gradient: float | None = None


@dataclass(frozen=True)
class Case:
    """One row.

    Attributes:
        equation, cells, boundary, method: what the table says; together they name the row.
        mesh: refinement level -> mesh. levels: the levels that are run.
        solve: space -> final state [n, c], of which the first channel is compared.
        exact: the solution, taken at time ``end``.
        order: of the L2 error that theory promises. gradient: likewise of that of the gradient; None = not measured.
        tolerance: how far below the order the last halving may stay.
        lumped: the mass; None = the element's own choice. element: None = the natural one of the cells.
        averages: cell averages instead of elements. periodic: pairs of named sets.
    """

    equation: str
    cells: str
    boundary: str
    method: str
    mesh: Callable[[int], Mesh]
    levels: tuple[int, ...]
    solve: Callable[[Any], Tensor]
    exact: Callable[[Tensor, float], Tensor]
    end: float = 0.0
    order: float = 2.0
    gradient: float | None = None
    tolerance: float = 0.05
    lumped: bool | None = None
    element: Element | None = None
    averages: bool = False
    periodic: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> str:
        return f"{self.equation}, {self.cells}, {self.boundary}, {self.method}"

    def domain(self, level: int, element: Element | None = None) -> Graph:
        """The unknowns on one of the meshes."""
        if self.averages:
            return CellSpace(self.mesh(level), periodic=self.periodic)
        return Space(self.mesh(level), element or self.element, lumped=self.lumped, periodic=self.periodic)


def run(case: Case, levels: tuple[int, ...] | None = None, element: Element | None = None) -> list[Level]:
    """The case on each of its levels."""
    out = []
    for level in levels or case.levels:
        space: Any = case.domain(level, element)
        u = case.solve(space)[:, :1]

        def exact(x: Tensor) -> Tensor:
            return case.exact(x, case.end)

        if isinstance(space, CellSpace):
            out.append(Level(space.n, space.n, average_error(space, u, exact)))
            continue
        slope = None if case.gradient is None else gradient_error(space, u, exact)
        out.append(Level(space.n, space.mesh.n_cells, l2_error(space, u, exact), slope))
    return out


def observed_orders(errors: list[float]) -> list[float]:
    """Order at each halving of h."""
    return [math.log2(a / b) for a, b in pairwise(errors)]


def l2_error(space: Space, u: Tensor, exact: Callable[[Tensor], Tensor]) -> float:
    """L2 norm of u_h - u by a quadrature far beyond the degree of the element."""
    total = 0.0
    for block in space.blocks(2 * space.element.degree + 3):
        approximate = torch.einsum("qk,mk->mq", block.values, u[:, 0][block.dofs])
        difference = approximate - exact(block.points.flatten(0, 1)).reshape(approximate.shape)
        total += float((block.volume * difference**2).sum())
    return math.sqrt(total)


def gradient_error(space: Space, u: Tensor, exact: Callable[[Tensor], Tensor]) -> float:
    """L2 norm of grad u_h - grad u; on flat meshes of full dimension."""
    total = 0.0
    for block in space.blocks(2 * space.element.degree + 3):
        approximate = torch.einsum("mqkd,mk->mqd", block.gradients, u[:, 0][block.dofs])
        x = block.points.flatten(0, 1).clone().requires_grad_()
        (slope,) = torch.autograd.grad(exact(x).sum(), x)
        difference = approximate - slope.reshape(approximate.shape)
        total += float((block.volume * (difference**2).sum(-1)).sum())
    return math.sqrt(total)


def average_error(space: CellSpace, u: Tensor, exact: Callable[[Tensor], Tensor]) -> float:
    """Root mean square over the cells, by volume, of u_i - the average of u in cell i, times the root of the volume."""
    total = 0.0
    for block in Space(space.mesh).blocks(5):
        values = exact(block.points.flatten(0, 1)).reshape(block.volume.shape)
        size = block.volume.sum(1)
        mean = (block.volume * values).sum(1) / size
        total += float((size * (u[block.ids, 0] - mean) ** 2).sum())
    return math.sqrt(total)
