"""Mixtures that separate and keep what they are made of."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.core.linear_operator import Sparse
from graphpde.errors import InputError, ShapeError
from graphpde.mesh.space import Space
from graphpde.ops.constant_gradients import squared
from graphpde.ops.form import FORMS, Coefficient, Form, LinearForm, Local, PartOf, Values, beside_gradients
from graphpde.ops.term import Mass
from graphpde.solve.linear import LinearSolver

CHANNELS = ("c", "mu")


@FORMS.add("cahn-hilliard")
class CahnHilliard(Form):
    r"""c' = div(M grad mu), mu = W'(c) - kappa Laplace c, with W(c) = barrier (1 - s^2)^2, s = -1 and 1 in the wells.

    The state is [*, n, 2], the concentration and the chemical potential, which has no time derivative: steppers that
    know algebraic parts, such as BackwardEuler and TrBdf2, take it along, and ``start`` gives a first one. Where
    nothing is said nothing flows through the boundary, which interfaces meet at right angles; periodic spaces do as
    well. The integral of c is kept. The energy \int W + kappa/2 |grad c|^2 falls along the exact flow. With ``split``
    it falls in every step of BackwardEuler, however long: the concave part of W is taken at the start of the step
    (Eyre); the error of that makes long steps slow. Without, it does so for steps short beside kappa / (M W''^2).

    Interfaces are tanh(x / l), l = (width of the wells) sqrt(kappa / (8 barrier)), and need a few cells across.

    Args:
        domain: a space.
        mobility: M > 0 in length^2 c / (mu time). kappa: > 0 in mu length^2 / c. barrier: W between the wells, in
            energy per volume. Numbers, {set: number}, one per cell or f(x, t); the defaults give
            W = (1 - c^2)^2 / 4.
        wells: the two concentrations that coexist.
        split: whether steps split the energy.
        degree: as for :class:`~graphpde.ops.form.Form`; default: 4 times that of the element, for c^4.

    Raises:
        InputError: wells that are not in ascending order, coefficients that are not positive.

    Reference: Cahn and Hilliard 1958, J. Chem. Phys. 28; Eyre 1998, MRS Proceedings 529.
    """

    channels = CHANNELS
    algebraic = ("mu",)
    units: ClassVar = {"mobility": "length^2 c/(mu time)", "kappa": "mu length^2/c", "barrier": "energy/volume"}
    reference = "Cahn and Hilliard 1958, J. Chem. Phys. 28"

    def __init__(
        self,
        domain: Any,
        mobility: Coefficient = 1.0,
        kappa: Coefficient = 1.0,
        barrier: Coefficient = 0.25,
        *,
        wells: tuple[float, float] = (-1.0, 1.0),
        split: bool = False,
        degree: int | None = None,
    ):
        if degree is None and isinstance(domain, Space):
            degree = 4 * domain.element.degree
        super().__init__(domain, degree=degree, mobility=mobility, kappa=kappa, barrier=barrier)
        low, high = wells if isinstance(wells, Sequence) and len(wells) == 2 else (math.nan, math.nan)
        if not -float("inf") < low < high < float("inf"):
            raise InputError(f"wells = {wells!r}, expected two concentrations in ascending order")
        for name in ("mobility", "kappa", "barrier"):
            self._require(name, lambda v: v > 0, "finite numbers > 0")
        self.wells, self.split = (float(low), float(high)), split

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        source, flux = exchange(u, grad, p)
        return source - potential(u, p, self.wells), flux

    def pieces(self) -> tuple[Exchange, Wells]:  # type: ignore[override]
        return Exchange(self), Wells(self)

    @property
    def mass(self) -> Mass:
        return self._mass

    @cached
    def _mass(self) -> Sparse:
        """Consistent for c, by the rule of the form, which is what the energy falls by; none for mu."""
        one = self._one_mass
        each = torch.tensor([1.0, 0.0], dtype=one.diag.dtype, device=one.diag.device)
        return Sparse(one.relation, one.weight[:, None] * each, one.diag[:, None] * each, symmetric=True)

    @property
    def _one_mass(self) -> Sparse:
        blocks = self.points.blocks
        local = [torch.einsum("mq,qi,qj->mij", b.volume, b.values, b.values) for b in blocks]
        return self.points.assembled(local, symmetric=True)

    def start(self, c: Tensor, t: float = 0.0) -> Tensor:
        """The state [*, n, 2] with the concentration c [*, n, 1] and its chemical potential.

        Raises:
            ShapeError: not one concentration a node.
        """
        if c.dim() < 2 or tuple(c.shape[-2:]) != (self.domain.n, 1):
            raise ShapeError(f"the concentration has shape {list(c.shape)}, expected [*, {self.domain.n}, 1]")
        now = torch.as_tensor(t, dtype=torch.float64, device=c.device)
        open_row = self(now, torch.cat([c, torch.zeros_like(c)], -1))[..., 1:]
        return torch.cat([c, LinearSolver(self._one_mass, rtol=1e-12)(-open_row)], -1)

    def energy(self, u: Tensor, t: float | Tensor = 0.0) -> Tensor:
        r"""\int W(c) + kappa/2 |grad c|^2 [*] of states [*, n, 2]."""
        points, now = self.points, torch.as_tensor(t, dtype=torch.float64, device=u.device)
        parts = []
        for k, (v, g) in enumerate(self._fields(points, u)):
            p, (low, high) = self._at(now, k, points), self.wells
            s = (2 * v[..., :1] - low - high) / (high - low)
            parts.append((p["barrier"] * (1 - s * s) ** 2 + p["kappa"] / 2 * squared(g[..., :1, :]))[..., 0])
        return points.total(parts)


class Exchange(PartOf, LinearForm):
    """Flow down the potential, and its linear part: that of wells which are parabolas.

    The curvature of the wells stands here so that steps implicit in the linear part alone may be long.
    """

    @property
    def label(self) -> str:
        return self.whole[0].label

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        source, flux = exchange(u, grad, p)
        return source - parabola(u, p, self.whole[0].wells), flux


class Wells(PartOf):
    """What the wells add to that; in a step that is split, their concave part is that of the state ``behind``."""

    behind: Tensor | None = None

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        wells = self.whole[0].wells
        return parabola(u, p, wells) - potential(u, p, wells, concave=float(self.behind is None)), None

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        f = super().forward(t, u)
        return f if self.behind is None else f + self.behind

    def at(self, t: Tensor, u: Tensor) -> Wells:
        if not self.whole[0].split:
            return self
        points, fresh = self.points, copy.copy(self)
        parts: list[Local] = []
        for k, (v, _) in enumerate(self._fields(points, u)):
            p, wells = self._at(t, k, points), self.whole[0].wells
            parts.append((potential(v, p, wells, concave=0.0) - potential(v, p, wells), None))
        fresh.behind = points.integrate(parts)
        return fresh


def exchange(u: Tensor, grad: Tensor, p: Values) -> tuple[Tensor, Tensor]:
    """Source (0, mu) and flux (-M grad mu, -kappa grad c)."""
    mobility, kappa = beside_gradients(p["mobility"]), beside_gradients(p["kappa"])
    c, mu = grad[..., :1, :], grad[..., 1:, :]
    return torch.cat([torch.zeros_like(u[..., :1]), u[..., 1:]], -1), torch.cat([-mobility * mu, -kappa * c], -2)


def potential(u: Tensor, p: Values, wells: tuple[float, float], *, concave: float = 1.0) -> Tensor:
    """(0, W'(c)); W = barrier (s^4 + 1) - 2 barrier s^2, the second part times ``concave``."""
    low, high = wells
    c = u[..., :1]
    s = (2 * c - low - high) / (high - low)
    return torch.cat([torch.zeros_like(c), 8 / (high - low) * p["barrier"] * (s**3 - concave * s)], -1)


def parabola(u: Tensor, p: Values, wells: tuple[float, float]) -> Tensor:
    """(0, W'' c) with the curvature in the wells, 32 barrier / (high - low)^2."""
    low, high = wells
    c = u[..., :1]
    return torch.cat([torch.zeros_like(c), 32 / (high - low) ** 2 * p["barrier"] * c], -1)
