"""Streamline-upwind Petrov-Galerkin: advection and diffusion, weighted along the flow."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh.blocks import Block, Quadrature
from graphpde.mesh.per_cell import PerCell
from graphpde.mesh.space import Space
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.velocity import Velocity, at_quadrature, outflow
from graphpde.ops.term import LinearTerm, Mass
from graphpde.ops.values import evaluate, is_constant, is_learned, require_finite, spread
from graphpde.typing import Field

_LARGE, _SMALL = 1e3, 1e-2


@SCHEMES.add("supg")
class StreamlineUpwind(LinearTerm):
    r"""u' + v . grad u = div(kappa grad u) + f, tested with N_i + tau v . grad N_i.

    The whole residual is tested with the streamline part, its rate and source as well, so the scheme keeps its order
    where an upwind scheme has one: second on smooth fields, without the oscillations of the Galerkin scheme along the
    flow (small ones across it remain at steep layers). Inside the elements div(kappa grad u) is zero for P1, and left
    out for Q1, where it is zero on parallelograms. ``mass`` is the consistent one with its streamline part, and stands
    for the mass of the whole sum, so a reaction beside it is weighted in the same way.

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

    def __init__(self, domain: Any, velocity: Velocity, kappa: PerCell = 0.0, source: Field | None = None):
        super().__init__()
        space = as_graph(domain)
        if not isinstance(space, Space) or space.element.degree > 1:
            raise InputError(f"streamline upwinding needs a Space with P1 or Q1, got {domain!r}; take LimitedAdvection")
        self.domain: Space = space
        self.velocity, self.source = velocity, source
        self.kappa = space.cell_values(kappa, "kappa")
        bad = ~((self.kappa.detach() >= 0) & torch.isfinite(self.kappa.detach()))
        if bool(bad.any()):
            raise InputError(f"kappa is negative or not finite in {int(bad.sum())} cells, expected finite numbers >= 0")
        with torch.enable_grad():
            operator, mass, rule = self._build()
        self._learned = any(w.requires_grad for w in (*operator.tensors(), *mass.tensors()))
        self._kept = None if self._learned else (operator, mass, rule)
        self._constant: Tensor | None = None
        if source is not None and is_constant(source) and not is_learned(source) and not self._learned:
            self._constant = require_finite(self._load(torch.zeros((), dtype=torch.float64)), "source")

    @property
    def operator(self) -> LinearOperator:
        return self._built()[0]

    @property
    def mass(self) -> Mass:
        return self._built()[1]

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        if self.source is None:
            return None
        return spread(self._load(t) if self._constant is None else self._constant, like, "source")

    def tensors(self) -> tuple[Tensor, ...]:
        return tuple(w for w in (self.velocity, self.kappa, self.source) if isinstance(w, Tensor))

    def _load(self, t: Tensor) -> Tensor:
        rule = self._built()[2]
        assert self.source is not None
        return rule.integrate(evaluate(self.source, rule.points, t, "source"))

    def _built(self) -> tuple[Sparse, Sparse, Quadrature]:
        return self._build() if self._kept is None else self._kept

    def _build(self) -> tuple[Sparse, Sparse, Quadrature]:
        space = self.domain
        kappa = self.kappa.to("cpu", torch.float64)
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
            mass.append(torch.einsum("mqi,qj,mq->mij", block.values + test, block.values, volume))
            tests.append((block.values + test) * volume[..., None])
        matrix = space.assemble(stiff)
        matrix = Sparse(matrix.relation, matrix.weight, matrix.diag - outflow(space, self.velocity))
        where, kind = space.device, space.dtype
        rule = _quadrature(space, blocks, tests)
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


def _quadrature(space: Space, blocks: list[Block], tests: list[Tensor]) -> Quadrature:
    """The rule that integrates against the test functions, given times the volumes [m, q, k] a block."""
    source, target, start = [], [], 0
    for block, test in zip(blocks, tests, strict=True):
        m, q, _ = test.shape
        point = torch.arange(start, start + m * q).reshape(m, q, 1)
        source.append(point.expand(test.shape).reshape(-1))
        target.append(block.dofs[:, None].expand(test.shape).reshape(-1))
        start += m * q
    to_nodes = Relation.from_edges(torch.cat(source), torch.cat(target), start, space.n)
    points = torch.cat([block.points.flatten(0, 1) for block in blocks])
    return Quadrature(points, to_nodes, to_nodes.own(torch.cat([test.reshape(-1) for test in tests])))
