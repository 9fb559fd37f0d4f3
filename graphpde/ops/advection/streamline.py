"""Streamline-upwind Petrov-Galerkin: advection and diffusion, weighted along the flow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import InputError
from graphpde.mesh.blocks import Quadrature, quadrature
from graphpde.mesh.per_cell import PerCell
from graphpde.mesh.space import Space
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.velocity import Velocity, at_quadrature, outflow
from graphpde.ops.assembled import Assembled
from graphpde.ops.term import Mass
from graphpde.ops.values import evaluate, is_constant, is_learned, require_finite, spread
from graphpde.typing import Field

_LARGE, _SMALL = 1e3, 1e-2


@SCHEMES.add("supg")
class StreamlineUpwind(Assembled):
    r"""rho u' + v . grad u = div(kappa grad u) + f, tested with N_i + tau v . grad N_i.

    rho is the density of the space, 1 without one. It multiplies u' only, there and in the streamline part: as in the
    other schemes, rho u' + div(v u), a density makes v the flow of what rho counts through a unit of area (rho times
    the speed of the medium; in heat kappa is then conductivity, not diffusivity), and tau needs no rho.

    The whole residual is tested with the streamline part, its rate and source as well, so the scheme keeps its order
    where an upwind scheme has one: second on smooth fields, without the oscillations of the Galerkin scheme along the
    flow (small ones across it remain at steep layers). Inside the elements div(kappa grad u) is zero for P1, and left
    out for Q1, where it is zero on parallelograms. ``mass`` is the consistent one with its streamline part, and stands
    for the mass of the whole sum, so a reaction beside it is weighted in the same way. A :class:`Source` beside it
    would not be, and is refused: give f here.

    tau = xi / \sum_a |v . grad N_a| with xi = coth Pe - 1/Pe and Pe = |v|^2 / (kappa \sum_a |v . grad N_a|): exact at
    the nodes of a uniform interval without source.

    Args:
        domain: Space with P1 or Q1. velocity: as for :class:`Advection`; free of divergence.
        kappa: conductivity >= 0: a number, one per cell [m] or {set of cells: number}.
        source: f, a number, [c] or f(x [k, d], t) -> [k] or [k, c].

    What flows out leaves, what flows in carries the value of a Dirichlet condition there.

    Raises:
        InputError: another domain or element, kappa negative or not finite. ShapeError: sizes that do not fit.

    Reference: Brooks and Hughes 1982, Comput. Methods Appl. Mech. Engrg. 32, 199-259; Tezduyar and Park 1986, Comput.
    Methods Appl. Mech. Engrg. 59 (the length of an element along the flow).
    """

    _mass: Sparse | None = None
    _rule: Quadrature | None = None
    own_tests = True

    def __init__(self, domain: Any, velocity: Velocity, kappa: PerCell = 0.0, source: Field | None = None):
        super().__init__()
        space = as_graph(domain)
        if not isinstance(space, Space) or space.element.degree > 1:
            raise InputError(f"streamline upwinding needs a Space with P1 or Q1, got {domain!r}; take LimitedAdvection")
        self.domain: Space = space
        self.velocity, self.source = velocity, source
        self._given = kappa
        bad = ~((self.kappa.detach() >= 0) & torch.isfinite(self.kappa.detach()))
        if bool(bad.any()):
            raise InputError(f"kappa is negative or not finite in {int(bad.sum())} cells, expected finite numbers >= 0")
        self._assemble()
        self._constant: Tensor | None = None
        if source is not None and is_constant(source) and not is_learned(source) and self._cached is not None:
            self._constant = require_finite(self._load(torch.zeros((), dtype=torch.float64)), "source")

    @property
    def kappa(self) -> Tensor:
        """The conductivity of each cell as of now [m]: what is being learned may have changed."""
        return self.domain.cell_values(self._given, "kappa")

    @property
    def mass(self) -> Mass:
        return self._parts()[1] if self._mass is None else self._mass

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        if self.source is None:
            return None
        return spread(self._load(t) if self._constant is None else self._constant, like, "source")

    def tensors(self) -> tuple[Tensor, ...]:
        kappa = self._given.values() if isinstance(self._given, Mapping) else (self._given,)
        given = (w for w in (self.velocity, *kappa, self.source) if isinstance(w, Tensor))
        return tuple({id(w): w for w in (*given, *super().tensors())}.values())

    def _load(self, t: Tensor) -> Tensor:
        rule = self._parts()[2] if self._rule is None else self._rule
        assert self.source is not None
        return rule.integrate(evaluate(self.source, rule.points, t, "source"))

    def _assemble(self) -> None:
        with torch.enable_grad():
            operator, mass, rule = self._parts()
        if not any(w.requires_grad for w in (*operator.tensors(), *mass.tensors(), rule.weight)):
            # apart, so that each moves with the term
            self._cached, self._mass, self._rule = operator, mass, rule

    def _build(self) -> LinearOperator:
        return self._parts()[0]

    def _parts(self) -> tuple[Sparse, Sparse, Quadrature]:
        """The operator, the mass and the rule for sources, which hang on the same test functions."""
        space = self.domain
        kappa = self.kappa.to("cpu", torch.float64)
        density = None if space.density is None else space.density.to("cpu", torch.float64)
        stiff, mass, tests, blocks = [], [], [], space.blocks(2)
        for block in blocks:
            v = at_quadrature(self.velocity, block, block.ids, space)
            gradient = block.gradients.expand(-1, v.shape[1], -1, -1)
            along = torch.einsum("mqid,mqd->mqi", gradient, v)
            k = kappa[block.ids]
            test = _tau(v, along, k)[..., None] * along
            volume = block.volume.expand(v.shape[:2])
            weighted = gradient * (k[:, None] * volume)[..., None, None]
            part = torch.einsum("mqi,qj,mq->mij", along, block.values, volume)
            part = part - torch.einsum("mqid,mqjd->mij", weighted, gradient)
            stiff.append(part - torch.einsum("mqi,mqj,mq->mij", test, along, volume))
            tests.append(block.values + test)
            held = volume if density is None else volume * density[block.ids, None]
            mass.append(torch.einsum("mqi,qj,mq->mij", tests[-1], block.values, held))
        matrix = space.assemble(stiff)
        matrix = Sparse(matrix.relation, matrix.weight, matrix.diag - outflow(space, self.velocity))
        where, kind = space.device, space.dtype
        rule = quadrature(blocks, space.n, tests)
        return matrix.to(where, kind), space.assemble(mass).to(where, kind), rule.to(where, kind)


def _tau(v: Tensor, along: Tensor, kappa: Tensor) -> Tensor:
    """The time a particle needs through half an element, less what diffusion makes unnecessary [m, q]."""
    rate = along.abs().sum(-1)
    speed = (v * v).sum(-1)
    moving = (rate > 0) & (speed > 0)
    rate, speed = torch.where(moving, rate, 1.0), torch.where(moving, speed, 1.0)
    inverse = kappa[:, None] * rate / speed
    return torch.where(moving, _xi(inverse) / rate, 0.0)


def _xi(inverse: Tensor) -> Tensor:
    """coth Pe - 1/Pe from 1/Pe, by its limits where rounding or overflow would spoil it."""
    ordinary = (inverse > 1 / _LARGE) & (inverse < 1 / _SMALL)
    peclet = 1 / torch.where(ordinary, inverse, 1.0)
    middle = 1 / torch.tanh(peclet) - 1 / peclet
    small = 1 / (3 * torch.where(inverse >= 1 / _SMALL, inverse, 1.0))
    return torch.where(ordinary, middle, torch.where(inverse < 1, 1 - inverse, small - 3 * small**3 / 5))
