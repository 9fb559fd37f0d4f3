"""Burgers' equation: the simplest flow that steepens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.ops.constant_gradients import over_directions
from graphpde.ops.form import FORMS, Coefficient, Form, Local, Values, beside_gradients


@FORMS.add("burgers")
class Burgers(Form):
    """Viscous Burgers u' + div(b u^2 / 2) = div(nu grad u); in one dimension u' + u u_x = nu u_xx.

    Galerkin's method: layers of width nu / |u| need a few cells, else they oscillate. The flux form conserves the
    integral of u whatever the mesh; where nothing is said the total flux through the boundary is zero.

    Args:
        domain: a space.
        nu: viscosity > 0 in length^2/time (u is a velocity): a number, {set: number}, one per cell or f(x, t).
        direction: b [d]; default: (1, 0, ...).
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: a direction of another dimension.
    """

    units: ClassVar = {"nu": "length^2/time", "direction": "1"}
    reference = "Burgers 1948, A mathematical model illustrating the theory of turbulence"

    def __init__(
        self, domain: Any, nu: Coefficient = 0.01, *, direction: Sequence[float] | Tensor | None = None, **options: Any
    ):
        super().__init__(domain, nu=nu, **options)
        d = self.domain.mesh.space_dim
        b = [1.0] + [0.0] * (d - 1) if direction is None else direction
        self.direction = torch.as_tensor(b, dtype=torch.float64, device=self.domain.device)
        if self.direction.shape != (d,):
            raise InputError(f"the direction has shape {list(self.direction.shape)}, expected [{d}]")

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        carried = (u * u / 2)[..., None] * self.direction.to(u.dtype)
        return None, carried - beside_gradients(p["nu"]) * grad


@FORMS.add("vector-burgers")
class VectorBurgers(Form):
    """Viscous Burgers for a velocity u' + (u . grad) u = nu Laplace u, one channel a dimension.

    Args:
        domain: a space in d dimensions; the state has d channels.
        nu: viscosity > 0 in length^2/time.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.
    """

    units: ClassVar = {"nu": "length^2/time"}
    reference = "Burgers 1948, A mathematical model illustrating the theory of turbulence"

    def __init__(self, domain: Any, nu: Coefficient = 0.01, **options: Any):
        super().__init__(domain, nu=nu, **options)
        self.channels = ("u", "v", "w")[: self.domain.mesh.space_dim]

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return -over_directions(grad * u[..., None, :]), -beside_gradients(p["nu"]) * grad
