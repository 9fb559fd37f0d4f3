"""Limited advection: second order where the field is smooth, no new extrema where it is not."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.advection.cell_correction import CellCorrection
from graphpde.ops.advection.edge_correction import EdgeCorrection
from graphpde.ops.advection.extrema import Bounds, checked
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.upwind import Advection
from graphpde.ops.advection.velocity import Velocity
from graphpde.ops.term import Term


@SCHEMES.add("limited")
class LimitedAdvection(Term):
    r"""Transport u' + div(v u) = 0, of second order where u is smooth, without new extrema.

    Upwind advection plus as much of the fluxes that it is too diffusive by as the neighbours allow; a nonlinear term,
    whose pieces are the linear upwind part (implicit steppers precondition with it) and the limited rest. Use it with
    strong-stability-preserving steps (``heun``) of at most half the positivity bound of the upwind scheme: where v is
    free of divergence no such step leaves the range of what is there and what flows in, on any cells.

    A smooth maximum that no neighbour exceeds is flattened a little in each step: there the scheme is of first order,
    and the L2 error of a wave falls like h^1.6. With ``bounds`` such extrema may rise again, up to the bounds: the
    order is two where u keeps away from them. Steep fronts far inside the bounds then overshoot, a square pulse by up
    to a fifth of its height; give bounds that the quantity has by nature.

    On a space, algebraic flux correction (:class:`~graphpde.ops.advection.edge_correction.EdgeCorrection`) with
    gradients in the fluxes. On a cell space, least-squares gradients over the cells that share a point (MUSCL): no
    value that reaches another cell is beyond those of these cells, or of the boundary, and what leaves a cell takes no
    more than keeps it between them.

    Args:
        domain: Space with P1 or Q1, or CellSpace. velocity: as for :class:`Advection`.
        bounds: (low, high) that u is known to keep, (0, 1) for a fraction, (0, inf) for a density; default: local
            extrema never grow.

    Raises:
        ShapeError, InputError: as :class:`Advection`; a graph without geometry; bounds that are not low < high.

    Reference: Kuzmin and Turek 2002, J. Comput. Phys. 175 (flux correction); Kuzmin 2020, Comput. Methods Appl. Mech.
    Eng. 361 (limits free of the step); Barth and Jespersen 1989, AIAA paper 89-0366 (reconstruction); Guermond,
    Nazarov, Popov and Tomas 2018, SIAM J. Sci. Comput. 40, section 4.7 (bounds widened by second differences).
    """

    def __init__(self, domain: Any, velocity: Velocity, bounds: Bounds | None = None):
        super().__init__()
        self.domain = as_graph(domain)
        if not isinstance(self.domain, Space | CellSpace):
            raise InputError(
                f"limited advection needs a Space or a CellSpace, got {self.domain!r}; on a graph take Advection"
            )
        self.velocity, self.bounds = velocity, checked(bounds)
        self._upwind: Term = Advection(self.domain, velocity)
        self._rest: Term = (
            CellCorrection(self.domain, velocity, self.bounds)
            if isinstance(self.domain, CellSpace)
            else EdgeCorrection(self.domain, velocity, self.bounds)
        )

    def pieces(self) -> tuple[Term, ...]:
        return self._upwind, self._rest

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self._upwind(t, u) + self._rest(t, u)

    def tensors(self) -> tuple[Tensor, ...]:
        return self._upwind.tensors()
