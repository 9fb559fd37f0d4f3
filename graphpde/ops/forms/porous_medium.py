"""Diffusion that stops where nothing is."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.errors import InputError
from graphpde.ops.form import FORMS, Form, Local, Values


@FORMS.add("porous-medium")
class PorousMedium(Form):
    """Gas in a porous medium u' = Laplace(|u|^(m-1) u), m > 1: fronts move at finite speed.

    The conductivity m |u|^(m-1) is zero where u is; ``floor`` keeps a Jacobian at 0 regular in steady problems.

    Args:
        domain: a space.
        exponent: m >= 1; 1 is the heat equation.
        floor: added to the conductivity, in length^2/time.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: an exponent below 1 or a negative floor.

    Reference: Vazquez 2007, The Porous Medium Equation, eq. (1.1).
    """

    units: ClassVar = {"exponent": "1", "floor": "length^2/time"}
    reference = "Vazquez 2007, The Porous Medium Equation"

    def __init__(self, domain: Any, exponent: float = 2.0, *, floor: float = 0.0, **options: Any):
        super().__init__(domain, **options)
        if not 1 <= exponent < float("inf") or not 0 <= floor < float("inf"):
            raise InputError(
                f"exponent = {exponent:g} and floor = {floor:g}, expected an exponent >= 1 and a floor >= 0"
            )
        self.exponent, self.floor = exponent, floor

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        kappa = self.floor + self.exponent * u.abs() ** (self.exponent - 1)
        return None, -kappa[..., None] * grad


def barenblatt(x: Tensor, t: float | Tensor, exponent: float = 2.0, height: float = 1.0) -> Tensor:
    r"""The solution that starts from a point, [k, d] -> [k].

    u = t^(-a) max(C - q |x|^2 t^(-2a/d), 0)^(1/(m-1)), a = d / (d (m-1) + 2), q = a (m-1) / (2 d m).

    Args:
        x: distances are from the origin, in d dimensions. t: > 0. exponent: m > 1. height: C.

    Reference: Barenblatt 1952; Vazquez 2007, section 1.1.
    """
    d, m = x.shape[-1], exponent
    a = d / (d * (m - 1) + 2)
    q = a * (m - 1) / (2 * d * m)
    t = torch.as_tensor(t, dtype=x.dtype, device=x.device)
    return t**-a * (height - q * (x**2).sum(-1) * t ** (-2 * a / d)).clamp(min=0) ** (1 / (m - 1))
