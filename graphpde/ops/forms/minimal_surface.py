"""Soap films over a domain."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from graphpde.ops.constant_gradients import over_channels, squared
from graphpde.ops.form import FORMS, Energy, Values


@FORMS.add("minimal-surface")
class MinimalSurface(Energy):
    r"""u' = div(grad u / sqrt(1 + |grad u|^2)), the descent of the area \int sqrt(1 + |grad u|^2) of the graph of u.

    Its steady state with given boundary values is the surface of least area; u is a length like x.

    Args:
        domain: a space in the plane (or on a line, or in space). ``degree`` as for :class:`~graphpde.ops.form.Form`.

    Reference: Lagrange 1762; Dierkes, Hildebrandt and Sauvigny 2010, Minimal Surfaces, section 2.2.
    """

    units: ClassVar = {}
    reference = "Dierkes, Hildebrandt and Sauvigny 2010, Minimal Surfaces"
    convex = True

    def density(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Tensor:
        return over_channels((1 + squared(grad)).sqrt())
