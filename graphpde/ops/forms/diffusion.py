"""Diffusion whose conductivity depends on the state."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

from graphpde.ops.form import FORMS, Form, Local, Values


@FORMS.add("nonlinear-diffusion")
class NonlinearDiffusion(Form):
    """Diffusion u' = div(kappa(u) grad u), or kappa(x, u, grad u).

    Args:
        domain: a space.
        kappa: kappa(u [*, c]) -> [*, c], in length^2/time, > 0 for a problem with one solution; default 1 + u^2.
        everywhere: kappa is called as kappa(x [m, q, d], u [*, m, q, c], grad [*, m, q, c, d]) and returns
            [*, m, q, c] or tensors [*, m, q, d, d] that act on every channel's gradient.
        options: ``degree`` and ``where``, as for :class:`~graphpde.ops.form.Form`.
    """

    units: ClassVar = {"kappa": "length^2/time"}
    reference = "Crank 1975, The Mathematics of Diffusion, chapter 7"

    def __init__(
        self, domain: Any, kappa: Callable[..., Tensor] | None = None, *, everywhere: bool = False, **options: Any
    ):
        super().__init__(domain, **options)
        self.kappa: Callable[..., Tensor] = kappa or _default
        self.everywhere = everywhere

    def local(self, t: Tensor, x: Tensor, u: Tensor, grad: Tensor, p: Values) -> Local:
        k = self.kappa(x, u, grad) if self.everywhere else self.kappa(u)
        if k.dim() == grad.dim():
            return None, -torch.einsum("...de,...ce->...cd", k, grad)
        return None, -k[..., None] * grad


def _default(u: Tensor) -> Tensor:
    return 1 + u * u
