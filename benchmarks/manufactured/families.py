"""Rows on one family of meshes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from benchmarks.manufactured import equations as eq
from benchmarks.manufactured.cases import Case
from benchmarks.manufactured.fields import Exact, Travelling
from graphpde.dynamics import CrankNicolson, Rk4
from graphpde.mesh import Mesh
from graphpde.mesh.elements import Element


class Family:
    """Rows on one family of meshes, all with one element."""

    def __init__(
        self, cells: str, mesh: Callable[[int], Mesh], levels: tuple[int, ...], element: Element | None = None
    ):
        self.cells, self.mesh, self.levels, self.element = cells, mesh, levels, element
        self.order = 2.0 if element is None else element.order

    def row(self, equation: str, boundary: str, method: str, solve: eq.Solve, exact: Any, **more: Any) -> Case:
        mesh = more.pop("mesh", self.mesh)
        given = {"element": self.element, **more}
        return Case(equation, self.cells, boundary, method, mesh, self.levels, solve, exact, **given)

    def steady(self, boundary: str, exact: Exact, conditions: eq.Conditions, kappa: Any = None, **more: Any) -> Case:
        given = {"gradient": self.order - 1, "order": self.order, **more}
        return self.row("Poisson", boundary, "steady", eq.poisson(exact, conditions, kappa), exact, **given)

    def implicit(
        self,
        boundary: str,
        exact: Exact,
        conditions: eq.Conditions,
        end: float,
        steps: int,
        kappa: Any = None,
        **more: Any,
    ) -> Case:
        method = "implicit" if more.get("lumped") is None else "implicit, consistent mass"
        solve = eq.heat(exact, conditions, CrankNicolson(), end, steps=steps, kappa=kappa)
        return self.row("heat", boundary, method, solve, exact, end=end, **{"order": self.order, **more})

    def explicit(
        self, boundary: str, exact: Exact, conditions: eq.Conditions, end: float, kappa: Any = None, **more: Any
    ) -> Case:
        solve = eq.heat(exact, conditions, Rk4(), end, kappa=kappa)
        return self.row("heat", boundary, "explicit", solve, exact, end=end, **more)

    def upwind(self, inlet: Callable[[Tensor], Tensor], end: float) -> Case:
        exact = Travelling()
        solve = eq.transport(exact, inlet, end)
        return self.row("advection", "inflow given", "explicit", solve, exact, end=end, order=1.0)
