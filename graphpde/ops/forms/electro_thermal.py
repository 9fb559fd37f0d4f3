"""Currents that heat what they flow through."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.errors import InputError
from graphpde.ops.constant_gradients import squared
from graphpde.ops.form import FORMS, Coefficient, Form, LinearForm, Local, PartOf, Values, beside_gradients
from graphpde.ops.term import Mass, Term

CHANNELS = ("potential", "temperature")


@FORMS.add("electro-thermal")
class ElectroThermal(Form):
    r"""0 = div(sigma(T) grad V), rho c T' = div(k grad T) + sigma(T) |grad V|^2: Joule's heat.

    The state is [*, n, 2], "potential" and "temperature"; the potential has no time derivative. Neumann gives the
    current and the heat that enter. ``steady`` finds both by Newton's method; in time implicit steppers that know
    algebraic parts take both at once, and ``Staggered([0], [1])`` the current before the heat, linear problems both
    but for sigma.

    Args:
        domain: a space.
        electric: sigma > 0 in current/(voltage length): a number, or a function of the temperature [*, 1] -> [*, 1].
        thermal: k > 0 in power/(length temperature). capacity: rho c > 0 in energy/(volume temperature): numbers,
            {set: number}, one per cell or f(x).
        around: a temperature of the problem: its conductivity stands for all where solvers need a linear neighbour.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: a conductivity that is not a positive number at ``around``, other coefficients below zero.

    Reference: Kohlrausch 1900, Annalen der Physik 306; Cimatti 1989, Quart. Appl. Math. 47, 117-121.
    """

    channels = CHANNELS
    algebraic = ("potential",)
    units: ClassVar = {"thermal": "power/(length temperature)", "capacity": "energy/(volume temperature)"}
    reference = "Cimatti 1989, Quart. Appl. Math. 47"

    def __init__(
        self,
        domain: Any,
        electric: float | Callable[[Tensor], Tensor] = 1.0,
        thermal: Coefficient = 1.0,
        capacity: Coefficient = 1.0,
        *,
        around: float = 300.0,
        **options: Any,
    ):
        super().__init__(domain, thermal=thermal, capacity=capacity, **options)
        self._require("thermal", lambda v: v > 0, "finite numbers > 0")
        self._require("capacity", lambda v: v >= 0, "finite numbers >= 0")
        self.electric = electric
        at = torch.full((1, 1), float(around), dtype=self.domain.dtype, device=self.domain.device)
        found = self.sigma(at)
        if not isinstance(found, Tensor) or found.shape != at.shape:
            what = list(found.shape) if isinstance(found, Tensor) else found
            raise InputError(f"the electric conductivity of temperatures [1, 1] is {what}, expected a tensor [1, 1]")
        self.usual = float(found.detach())
        if not 0 < self.usual < float("inf"):
            raise InputError(f"the electric conductivity is {self.usual:g} at {around:g}, expected a finite number > 0")

    def sigma(self, temperature: Tensor) -> Tensor:
        """The electric conductivity [*, 1] at temperatures [*, 1]."""
        if callable(self.electric):
            return self.electric(temperature)
        return torch.full_like(temperature, float(self.electric))

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        sigma = self.sigma(u[..., 1:])
        heat = sigma * squared(grad[..., :1, :])
        return torch.cat([torch.zeros_like(heat), heat], -1), conduction(sigma[..., None], grad, p)

    def pieces(self) -> tuple[Conduction, Joule]:  # type: ignore[override]
        return Conduction(self), Joule(self)

    @property
    def mass(self) -> Mass:
        return self._capacity.operator

    @cached
    def _capacity(self) -> Capacity:
        return Capacity(self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Term:
        self.__dict__.pop("_capacity", None)
        return super()._apply(fn, recurse)


class Conduction(PartOf, LinearForm):
    """Of both, the electric one as it usually is."""

    symmetric = True

    @property
    def label(self) -> str:
        return self.whole[0].label

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return None, conduction(self.whole[0].usual, grad, p)


class Joule(PartOf):
    """The heat, and how much better or worse the current is conducted than usual."""

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        source, flux = self.whole[0].local(t, x, u, grad, p)
        assert flux is not None
        return source, flux - conduction(self.whole[0].usual, grad, p)

    def tensors(self) -> tuple[Tensor, ...]:
        return self.whole[0].tensors()


class Capacity(PartOf, LinearForm):
    """What heat the body takes up: the mass."""

    symmetric = True

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return torch.cat([torch.zeros_like(u[..., :1]), p["capacity"] * u[..., 1:]], -1), None


def conduction(sigma: Any, grad: Tensor, p: Values) -> Tensor:
    """The fluxes (-sigma grad V, -k grad T)."""
    k = p["thermal"]
    k = beside_gradients(k)
    return torch.cat([-sigma * grad[..., :1, :], -k * grad[..., 1:, :]], -2)
