"""Reactions integrated at quadrature points: the consistent counterpart of a rate at the nodes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

from graphpde.ops.form import FORMS, Form, Local, Values


@FORMS.add("reaction")
class ReactionForm(Form):
    r"""A reaction as a form: \int r(u) N_i, r evaluated at the quadrature points.

    :class:`~graphpde.ops.reaction.Reaction` weighs r(u_i) with the mass instead, which is cheaper and keeps bounds;
    this one keeps the order of quadratic elements and fits an energy. With the default r = -u it is minus the
    consistent mass.

    Args:
        domain: a space. f: r, pointwise [*, c] -> [*, c], in units of u per time.
        options: ``degree`` and ``where``, as for :class:`~graphpde.ops.form.Form`.
    """

    units: ClassVar = {"f": "u / time"}
    reference = "Thomee 2006, Galerkin Finite Element Methods for Parabolic Problems"

    def __init__(self, domain: Any, f: Callable[[Tensor], Tensor] | None = None, **options: Any):
        super().__init__(domain, **options)
        self.f = f

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return -u if self.f is None else self.f(u), None
