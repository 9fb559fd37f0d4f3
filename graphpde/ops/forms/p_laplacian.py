"""The p-Laplacian: conductivity that is a power of the slope."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from graphpde.errors import InputError
from graphpde.ops.constant_gradients import over_channels, squared
from graphpde.ops.form import FORMS, Coefficient, Energy, Values


@FORMS.add("p-laplacian")
class PLaplacian(Energy):
    r"""u' = div(kappa (eps^2 + |grad u|^2)^((p-2)/2) grad u), the descent of \int kappa/p (eps^2 + |grad u|^2)^(p/2).

    Models sand piles (p large), glaciers (p = 4/3) and edges in pictures (p near 1). The channels are independent.

    Args:
        domain: a space.
        exponent: p > 1; 2 is the heat equation.
        kappa: factor >= 0: a number, {set: number}, one per cell or f(x, t).
        slope: eps > 0, in units of u per length: below it the equation is linear, and the Jacobian stays regular.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Raises:
        InputError: an exponent <= 1 or a negative slope.

    Reference: Lindqvist 2006, Notes on the p-Laplace equation, eq. (1.1).
    """

    units: ClassVar = {"exponent": "1", "kappa": "length^p / (u^(p-2) time)", "slope": "u / length"}
    reference = "Lindqvist 2006, Notes on the p-Laplace equation"
    convex = True

    def __init__(
        self, domain: Any, exponent: float = 4.0, kappa: Coefficient = 1.0, *, slope: float = 1e-3, **options: Any
    ):
        super().__init__(domain, kappa=kappa, **options)
        if not 1 < exponent < float("inf") or not 0 <= slope < float("inf"):
            raise InputError(
                f"exponent = {exponent:g} and slope = {slope:g}, expected an exponent > 1 and a slope >= 0"
            )
        self.exponent, self.slope = exponent, slope

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        size = self.slope**2 + squared(grad)
        return over_channels(p["kappa"] / self.exponent * size ** (self.exponent / 2))
