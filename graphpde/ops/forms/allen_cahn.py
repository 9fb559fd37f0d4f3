"""Phases that separate."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from graphpde.mesh.space import Space
from graphpde.ops.constant_gradients import over_channels, squared
from graphpde.ops.form import FORMS, Coefficient, Energy, Values


@FORMS.add("allen-cahn")
class AllenCahn(Energy):
    r"""u' = D Laplace u + r (u - u^3), the descent of \int D/2 |grad u|^2 + r/4 (1 - u^2)^2.

    Both parts are integrated at the same points, so the discrete energy falls along the flow. Interfaces between -1
    and 1 are tanh(x / (sqrt(2) l)) with l = sqrt(D / r) and need a few cells across.

    Args:
        domain: a space.
        diffusivity: D >= 0 in length^2/time. rate: r in 1/time. Numbers, {set: number}, one per cell or f(x, t).
        degree: as for :class:`~graphpde.ops.form.Form`; default: 4 times that of the element, for u^4.

    Reference: Allen and Cahn 1979.
    """

    units: ClassVar = {"diffusivity": "length^2/time", "rate": "1/time"}
    reference = "Allen and Cahn 1979, Acta Metallurgica 27"

    def __init__(
        self, domain: Any, diffusivity: Coefficient = 1e-3, rate: Coefficient = 1.0, *, degree: int | None = None
    ):
        if degree is None and isinstance(domain, Space):
            degree = 4 * domain.element.degree
        super().__init__(domain, degree=degree, diffusivity=diffusivity, rate=rate)

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        well = p["rate"] / 4 * (1 - u * u) ** 2
        return over_channels(p["diffusivity"] / 2 * squared(grad) + well)
