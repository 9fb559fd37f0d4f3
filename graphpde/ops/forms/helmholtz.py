"""Waves of one frequency."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.core.graph import Where
from graphpde.core.linear_operator import LinearOperator
from graphpde.ops.form import FORMS, Coefficient, LinearForm, Local, Values


@FORMS.add("helmholtz")
class Helmholtz(LinearForm):
    """Time-harmonic waves: F = Laplace u + k^2 u, so ``steady(Helmholtz(space, k) + Source(space, f) + ...)`` solves
    -Laplace u - k^2 u = f.

    A mesh width h resolves a wave with k h <= 0.6 or so, and pollution makes that stricter on long domains. Without
    absorption the equation is singular at the eigenvalues of the domain.

    Args:
        domain: a space.
        k: wave number in 1/length: a number, {set of cells: number}, one value per cell, or f(x, t) without time.
        absorbing: facets that let waves leave: du/dn = i k u (first-order impedance condition). The state then has two
            channels, the real and the imaginary part of u e^{-i omega t}.
        options: ``degree``, as for :class:`~graphpde.ops.form.Form`.

    Reference: Engquist and Majda 1977 (absorbing condition); Ihlenburg 1998, Finite Element Analysis of Acoustic
    Scattering (pollution).
    """

    units: ClassVar = {"k": "1/length"}
    reference = "Ihlenburg 1998, Finite Element Analysis of Acoustic Scattering"

    def __init__(self, domain: Any, k: Coefficient = 1.0, *, absorbing: Where | None = None, **options: Any):
        super().__init__(domain, k=k, **options)
        self.symmetric = True
        self.impedance: Impedance | None = None
        if absorbing is not None:
            self.channels = ("real", "imaginary")
            self.symmetric = False
            self.impedance = Impedance(domain, k, absorbing)

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        return p["k"] ** 2 * u, -grad

    @property
    def operator(self) -> LinearOperator:
        inside = super().operator
        return inside if self.impedance is None else inside + self.impedance.operator

    def tensors(self) -> tuple[Tensor, ...]:
        return (*super().tensors(), *(() if self.impedance is None else self.impedance.tensors()))


class Impedance(LinearForm):
    r"""What the condition du/dn = i k u adds: \int i k u N_i over facets, for the channels (real, imaginary).

    Args:
        domain: a space. k: wave number in 1/length, a number or f(x, t). where: the facets.
    """

    channels = ("real", "imaginary")

    def __init__(self, domain: Any, k: Coefficient, where: Where):
        super().__init__(domain, where=where, k=k)

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        real, imaginary = u[..., :1], u[..., 1:]
        return p["k"] * torch.cat([-imaginary, real], -1), None
