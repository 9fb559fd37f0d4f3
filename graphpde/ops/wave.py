"""The wave equation as a first-order system of two channels: u and its rate v."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph, Where
from graphpde.core.linear_operator import Diagonal, Sparse, as_matrix
from graphpde.errors import InputError, ShapeError
from graphpde.ops.assembled import Assembled
from graphpde.ops.bound import spectral_bound
from graphpde.ops.boundary import Constraint, Dirichlet
from graphpde.ops.diffusion import Diffusion
from graphpde.ops.second_order import SecondOrder, with_rates
from graphpde.typing import Field


class Wave(Assembled):
    r"""u_tt + damping u_t = div(speed^2 grad u) as M u' = M v, M v' = -K u - damping M v.

    The state is [*, n, 2]: u and v = u'. Both in one tensor, and not a pair, so that every implicit stepper, saved
    state and boundary condition works on it; the operator has a 2 x 2 block for each edge. Without a condition the
    boundary reflects and moves freely; :class:`Held` gives u there.

    Args:
        domain: Space, Graph, torch-geometric Data or networkx graph, as for ``Diffusion``.
        speed: c >= 0 in length/time: a number, or a tensor [k|1], one entry per cell (Space) or per edge (Graph).
        damping: >= 0 in 1/time.

    Raises:
        InputError: a speed or damping that is negative or not finite. ShapeError: entries for no cell or edge.
    """

    def __init__(self, domain: Any, speed: float | Tensor = 1.0, damping: float = 0.0):
        super().__init__()
        self.domain = as_graph(domain)
        if not isinstance(speed, Tensor | float | int):
            raise InputError(f"speed is a {type(speed).__name__}, expected a number or a tensor, one entry per cell")
        given = torch.as_tensor(speed).detach()
        if bool((given < 0).any()) or not bool(torch.isfinite(given).all()):
            raise InputError("speed is negative or not finite somewhere, expected finite numbers >= 0")
        if not 0 <= damping < float("inf"):
            raise InputError(f"damping = {damping:g}, expected a finite number >= 0")
        if isinstance(speed, Tensor) and speed.dim() > 1:
            raise ShapeError(f"speed has shape {list(speed.shape)}, expected a number or one entry per cell: [k]")
        self.damping = float(damping)
        self.stiffness = Diffusion(self.domain, speed**2)
        self._assemble()

    def tensors(self) -> tuple[Tensor, ...]:
        return self.stiffness.tensors()

    def _build(self) -> BlockSparse:
        stiff, mass = as_matrix(self.stiffness.operator), self.domain_mass
        assert isinstance(stiff, Sparse)
        if isinstance(mass, Sparse):
            beside, at = mass.weight, mass.diag
        else:
            beside, at = torch.zeros_like(stiff.weight), mass
        return BlockSparse(stiff.relation, self._blocks(stiff.weight, beside), self._blocks(stiff.diag, at))

    @property
    def domain_mass(self) -> Tensor | Sparse:
        """The mass of one channel: lumped [n] or consistent."""
        assert self.domain is not None
        return self.domain.mass  # type: ignore[return-value]

    def _blocks(self, stiff: Tensor, mass: Tensor) -> Tensor:
        """[[0, m], [k, -damping m]] for each entry [k]."""
        mass = mass.to(stiff.dtype)
        upper = torch.stack([torch.zeros_like(stiff), mass], -1)
        return torch.stack([upper, torch.stack([stiff, -self.damping * mass], -1)], -2)

    @property
    def second_order(self) -> SecondOrder:
        """Stiffness and damping apart."""
        mass = self.domain_mass
        drag = Diagonal(mass) if isinstance(mass, Tensor) else mass
        return SecondOrder(as_matrix(self.stiffness.operator), drag * -self.damping if self.damping else None)

    def energy(self, u: Tensor) -> Tensor:
        """(v . M v + u . K u) / 2, kept where nothing damps or drives, [*, n, 2] -> [*]."""
        position, rate = u[..., :1], u[..., 1:]
        mass = self.domain_mass
        moved = mass.to(u.dtype)[:, None] * rate if isinstance(mass, Tensor) else mass(rate)
        return ((rate * moved).sum((-2, -1)) - (position * self.stiffness.operator(position)).sum((-2, -1))) / 2

    def frequency_bound(self) -> float | None:
        """Upper bound of the angular frequencies, in 1/time: the square root of that of M^-1 K."""
        bound = spectral_bound(as_matrix(self.stiffness.operator), self.domain_mass)
        return None if bound is None else bound**0.5


class Held(Dirichlet):
    """u = value on ``where`` for a wave: the rate v is that of the value.

    Args:
        where, override: as for ``Dirichlet``. value: of u alone: a number or f(x [k, d], t) -> [k].
    """

    def __init__(self, where: Where, value: Field, *, override: bool = False):
        super().__init__(where, value, override=override)

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on both channels."""
        return with_rates(super().bind(domain), 1)
