"""Bodies that something inside makes swell while it spreads: heat, or the water between grains.

Displacements and that field are channels of one state, so that every condition, stepper and solver takes both at once.
Taken one after the other they are ``Staggered`` of graphpde.dynamics.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from graphpde.core.block_operator import BlockSparse
from graphpde.core.cached import cached
from graphpde.core.jacobian import Action
from graphpde.core.linear_operator import LinearOperator
from graphpde.errors import InputError
from graphpde.ops.elasticity.linear import Elasticity
from graphpde.ops.elasticity.rigid import free_motions
from graphpde.ops.form import Coefficient, LinearForm, Local, Values, beside_gradients
from graphpde.ops.incompressible import at_corners, between, corner_means, to_corners
from graphpde.ops.integration import Integration
from graphpde.ops.point_derivatives import Slopes
from graphpde.ops.term import Free, Mass, Term


class Swelling(LinearForm):
    """What heat and pore water have in common: sigma = law(e) - b s and (capacity s + share b : e)' = div(k grad s).

    The state is [*, n, d + 1], displacements and the field s. The displacements have no time derivative: the body is at
    rest at every moment.

    Args:
        body: the elastic body, without a temperature of its own.
        share: of the work of b that feeds the field. coefficients: "capacity" and "conductivity", among others.

    Attributes:
        field: the name of s. told: how messages name the coefficients, where by other names.
    """

    field: ClassVar[str] = ""
    told: ClassVar[Mapping[str, str]] = {}

    def __init__(self, body: Elasticity, share: float = 1.0, **coefficients: Coefficient):
        if not isinstance(body, Elasticity):
            raise InputError(f"the body is {body!r}, expected Elasticity(space, E, nu)")
        if body.temperature is not None:
            raise InputError("the body has a temperature of its own, but the state holds one; leave it out")
        super().__init__(body.domain, degree=body.degree, **{**body._given, **coefficients})
        self.body, self.share, self.dim = body, share, body.dim
        self.channels = (*body.channels, self.field)
        self.algebraic = body.channels
        self.axisymmetric = body.axisymmetric
        self._require("capacity", lambda v: v >= 0, "finite numbers >= 0", self.told.get("capacity"))
        self._require("conductivity", lambda v: v > 0, "finite numbers > 0", self.told.get("conductivity"))

    def swell(self, p: Values, like: Tensor) -> Tensor:
        """b, the stress [3, 3] or [m, q, 3, 3] that holds the size of a body with s = 1."""
        raise NotImplementedError

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        d, k = self.dim, p["conductivity"]
        stress = self.stress_of(x, u, grad, p)
        source, pull = self.body._pull(x, stress)
        assert pull is not None
        spread = -beside_gradients(k) * grad[..., d:, :]
        spread = spread * x[..., :1, None] if self.axisymmetric else spread
        if source is not None:
            source = torch.nn.functional.pad(source, (0, 1))
        return source, torch.cat([pull, spread], -2)

    def stress_of(self, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        """law(e) - b s [*, m, q, 3, 3]."""
        d = self.dim
        e = self.body.strain(x, u[..., :d], grad[..., :d, :])
        return self.body.law(e, p) - self.swell(p, e) * u[..., d, None, None]

    def stored(self, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        """capacity s + share b : e [*, m, q, 1], about an axis with the radius."""
        d = self.dim
        e = self.body.strain(x, u[..., :d], grad[..., :d, :])
        work = (self.swell(p, e) * e).sum((-2, -1))[..., None]
        held = p["capacity"] * u[..., d:] + self.share * work
        return held * x[..., :1] if self.axisymmetric else held

    def stress(self, u: Tensor, t: float | Tensor = 0.0) -> list[Tensor]:
        """sigma [*, m, q, 3, 3] at the quadrature points of each block of cells."""
        now, points = torch.as_tensor(t, dtype=torch.float64, device=u.device), self.points
        return [
            self.stress_of(points.blocks[k].points, *at, self._at(now, k, points))
            for k, at in enumerate(self._fields(points, u))
        ]

    @property
    def mass(self) -> Mass:
        return self._stored.operator

    @cached
    def _stored(self) -> Stored:
        return Stored(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Term:
        for name in ("_stored", "last_tests"):
            self.__dict__.pop(name, None)
        return super()._apply(fn, recurse)

    def free(self, held: Tensor | None, supports: Sequence[LinearOperator]) -> Free:
        d = self.dim
        mine = held if held is None or held.dim() == 1 else held[:, :d]
        beside = [_alone(s) if s.channels == d + 1 else s for s in supports]
        return free_motions(self.domain, mine, beside, axisymmetric=self.axisymmetric)


class ThermoElasticity(Swelling):
    r"""Heat and the stress it makes: 0 = div sigma + f and rho c T' + T_0 b : e' = div(k grad T) + q.

    sigma = law(e - alpha T 1) with the law and the expansion alpha of the body, and b = law(alpha 1). The temperature
    is counted from that at which nothing is stressed. Deformations are slow beside sound, so the body is at rest at
    every moment. The state is [*, n, d + 1], displacements and "temperature"; Neumann gives tractions
    and the heat that enters, Source forces and heat per volume. What stretches cools where T_0 is given.

    Without it heat does not feel the body, and the staggered way is the same: evolve ``Diffusion`` alone, and at any
    time take ``steady(Elasticity(..., temperature=T) + ...)``.

    Args:
        body: Elasticity(space, E, nu, expansion=alpha), of any kind or material.
        conductivity: k > 0 in power/(length temperature). capacity: rho c >= 0 in energy/(volume temperature); of a
            body at constant strain. Numbers, {set: number}, one per cell or f(x).
        absolute: T_0 > 0, the absolute temperature without stress; 0 = none of the work becomes heat.

    Raises:
        InputError: no Elasticity, one with a temperature, coefficients that are not positive.

    Reference: Biot 1956, J. Appl. Phys. 27, 240-253.
    """

    units: ClassVar = {
        **Elasticity.units,
        "conductivity": "power/(length temperature)",
        "capacity": "energy/(volume temperature)",
    }
    reference = "Biot 1956, J. Appl. Phys. 27, 240-253"
    field = "temperature"

    def __init__(
        self, body: Elasticity, conductivity: Coefficient = 1.0, capacity: Coefficient = 1.0, absolute: float = 0.0
    ):
        if not 0 <= absolute < float("inf"):
            raise InputError(f"absolute = {absolute:g}, expected a temperature >= 0")
        super().__init__(body, float(absolute), conductivity=conductivity, capacity=capacity)

    def near_null(self) -> Tensor:
        """Those of the body [n, d + 1, q], without the temperature."""
        return torch.nn.functional.pad(self.body.near_null(), (0, 0, 0, 1))

    def swell(self, p: Values, like: Tensor) -> Tensor:
        return self.body.law(beside_gradients(p["expansion"]) * self.body._inside(like), p)


class PoroElasticity(Swelling):
    r"""Soil and the water in it: 0 = div(law(e) - b p 1) + f and (p S + b div u)' = div(k grad p) + q (Biot).

    The state is [*, n, d + 1], displacements and "pressure". Neumann gives the total traction; where nothing is said
    no water passes. On spaces of second order the pressure is linear (Taylor and Hood's pair, as in
    :class:`~graphpde.ops.incompressible.Stokes`): it follows what is held. On first order both are linear, and the
    pressure oscillates in the first steps, as long as the water has not left a layer of a few cells.

    Args:
        body: Elasticity(space, E, nu) of the drained soil, not in plane stress.
        permeability: k > 0, over the viscosity of the water, in length^4/(force time).
        storage: S >= 0 in area/force, what pressure squeezes in beside the change of volume.
        biot: b in (0, 1], how much of the pressure the grains do not carry.

    Raises:
        InputError: no such body, coefficients out of range.

    Reference: Biot 1941, J. Appl. Phys. 12, 155-164; Wang 2000, Theory of Linear Poroelasticity, chapter 4.
    """

    units: ClassVar = {
        **Elasticity.units,
        "conductivity": "length^4/(force time)",
        "capacity": "area/force",
    }
    reference = "Biot 1941, J. Appl. Phys. 12, 155-164"
    field = "pressure"
    told: ClassVar = {"conductivity": "permeability", "capacity": "storage"}

    def __init__(
        self, body: Elasticity, permeability: Coefficient = 1.0, storage: Coefficient = 0.0, biot: float = 1.0
    ):
        if not 0 < biot <= 1:
            raise InputError(f"biot = {biot:g}, expected a number above 0 and at most 1")
        if getattr(body, "kind", "") == "plane_stress":
            raise InputError("in plane stress water would leave through the faces; take kind='plane_strain'")
        super().__init__(body, conductivity=permeability, capacity=storage)
        self.biot = float(biot)

    @cached
    def last_tests(self) -> LinearOperator | None:  # type: ignore[override]
        """Loads on the pressure of second order as those of linear functions."""
        return to_corners(self.domain) if self.domain.element.degree > 1 else None

    def swell(self, p: Values, like: Tensor) -> Tensor:
        return self.biot * torch.eye(3, dtype=like.dtype, device=like.device)

    def _matrix(self, points: Integration, slopes: Sequence[Slopes]) -> LinearOperator:
        matrix = linear_pressure(points, slopes, self.dim)
        if self.domain.element.degree == 1:
            return matrix
        means = corner_means(self.domain)
        at = torch.zeros(self.dim + 1, self.dim + 1, dtype=matrix.diag.dtype, device=matrix.diag.device)
        at[-1, -1] = 1
        weight = matrix.weight - means.weight[:, None, None] * at
        return BlockSparse(matrix.relation, weight, matrix.diag - means.diag[:, None, None] * at)


class Stored(LinearForm):
    """What a :class:`Swelling` stores, tested by its field: the mass."""

    def __init__(self, whole: Swelling):
        super().__init__(whole.domain, degree=whole.degree, **whole._given)
        self.channels, self.whole = whole.channels, (whole,)  # not a part of this one

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        held = self.whole[0].stored(x, u, grad, p)
        return torch.cat([torch.zeros_like(u[..., :-1]), held], -1), None

    def _matrix(self, points: Integration, slopes: Sequence[Slopes]) -> LinearOperator:
        if isinstance(self.whole[0], PoroElasticity):
            return linear_pressure(points, slopes, self.whole[0].dim)
        return super()._matrix(points, slopes)


def _alone(support: LinearOperator) -> LinearOperator:
    """A support of displacements and field as one of the displacements."""

    def pull(u: Tensor) -> Tensor:
        return support(torch.nn.functional.pad(u, (0, 1)))[..., :-1]

    return Action(support.n, pull, pull)


def linear_pressure(points: Integration, slopes: Sequence[Slopes], d: int) -> BlockSparse:
    """The matrix of displacements and a pressure that is linear, whatever the order of the space."""
    local = points.local_matrices(slopes)
    if points.space.element.degree > 1:
        local = [at_corners(a, between(b.kind, a), d) for b, a in zip(points.blocks, local, strict=True)]
    return points.in_blocks(local)
