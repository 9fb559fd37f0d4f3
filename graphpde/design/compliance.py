"""The compliance of a body whose cells differ in stiffness by factors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import ConditionError, InputError
from graphpde.ops.elasticity import Elasticity
from graphpde.ops.system import System
from graphpde.solve.linear import LinearSolver
from graphpde.typing import check_shape


class Compliance:
    r"""c(s) = f . u, the work of the loads, with K(s) u = f and K(s) = \sum_k s_k K_k over the cells.

    The matrices K_k of the full material, loads and supports are found once; an evaluation sums, factors and solves.
    The gradient is one more solve with the same factors, -u . K_k u: the compliance is its own adjoint.

    ``Compliance(Elasticity(space, E, nu) + Neumann("right", pull) + Dirichlet("left", 0.0))``, the sum as for
    :func:`~graphpde.dynamics.steady`.

    Args:
        total: one body, its loads, and supports at rest. method: linear solver; "auto" is direct in the plane, where
            multigrid on cells a billion times softer than others takes longer. rtol: of iterative solves.

    Attributes:
        space: of the displacement. load: f [n, d]. stiffest: K_k [m, k, k, d, d] for each block of cells.

    Raises:
        InputError: no body or two, something nonlinear, a load by temperature, no load. ConditionError: supports that
            move, or that leave the body free to.
    """

    def __init__(self, total: Any, *, method: str = "auto", rtol: float = 1e-10):
        now = torch.zeros((), dtype=torch.float64)
        self._system = f = System(total, None, now)
        bodies = [(factor, term) for factor, term in f.linear if isinstance(term, Elasticity)]
        if len(bodies) != 1 or f.nonlinear:
            raise InputError(f"the compliance is that of one linear Elasticity with loads, got {f.label}")
        (factor, body), self.rtol = bodies[0], rtol
        self.method = "direct" if method == "auto" and body.dim == 2 else method
        if body.temperature is not None:
            raise InputError("a temperature loads the body by its stiffness, which is sought; give other loads")
        f.refuse_free()
        self.space, self._points, self._near_null = body.domain, body.points, body.near_null()
        still = torch.zeros(self.space.n, body.dim, dtype=self.space.dtype, device=self.space.device)
        if f.fixed is not None and bool(f.fixed.value(now, still).any()):
            raise ConditionError(
                "a support moves, so that the work of the loads alone says nothing; hold it at 0 and load the body"
            )
        load = f.load(now, still)
        self.load = still if load is None else load if f.fixed is None else f.fixed.clear(load)
        if not bool(self.load.any()):
            raise InputError(
                "no load acts on the body, so its compliance is 0 whatever its shape; give a force, a traction or a "
                "pressure where nothing holds it"
            )
        self.stiffest = [-factor * a for a in _cell_matrices(body, now, still)]
        springs = [term.operator * -c for c, term in f.linear if term is not body and term.operator is not None]
        self._springs = sum(springs[1:], springs[0]) if springs else None

    def stiffness(self, factors: Tensor) -> LinearOperator:
        """K(s) of factors s [m], with the springs beside it."""
        factors = check_shape(factors, "m", "factors", m=self.space.mesh.n_cells).to(self.load)
        if not bool((factors.detach() > 0).all()):
            least = float(factors.detach().min())
            raise InputError(f"the least factor of stiffness is {least:g}, expected numbers > 0")
        local = [
            factors[block.ids][:, None, None, None, None] * a
            for block, a in zip(self._points.blocks, self.stiffest, strict=True)
        ]
        k = self._points.in_blocks(local, symmetric=True, near_null=self._near_null)
        return k if self._springs is None else k + self._springs

    def displacement(self, factors: Tensor) -> Tensor:
        """u [n, d]; differentiable."""
        a = self._system.pin(self.stiffness(factors))
        return LinearSolver(a, method=self.method, rtol=self.rtol)(self.load)

    def __call__(self, factors: Tensor) -> Tensor:
        """c, a number; differentiable."""
        return (self.load * self.displacement(factors)).sum()


def _cell_matrices(body: Elasticity, t: Tensor, u: Tensor) -> list[Tensor]:
    """The Jacobian of each cell [m, k, k, d, d], a tensor a block."""
    points = body.points
    slopes = [body._slopes(t, k, points, *fields) for k, fields in enumerate(points.fields(u))]
    return points.local_matrices(slopes)
