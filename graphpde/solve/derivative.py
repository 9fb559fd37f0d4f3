"""Jacobians known by their action alone: no matrix is made, and none is needed by GMRES."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import jvp, vjp

from graphpde.core.jacobian import Action
from graphpde.errors import InputError

Residual = Callable[[Tensor], Tensor]


def derivative(residual: Residual, u: Tensor) -> Action:
    """The Jacobian of ``residual`` at u [*, n, c] by automatic differentiation: exact, one pass a product.

    Needs a residual made of operations that torch can differentiate; :func:`differences` needs only its values.
    """
    u = u.detach()
    backwards: list[Callable[[Tensor], tuple[Tensor]]] = []

    def product(v: Tensor) -> Tensor:
        out: Tensor = jvp(residual, (u,), (v.to(u),))[1]
        return out.detach()

    def transposed(w: Tensor) -> Tensor:
        if not backwards:  # the pass forward serves every product with the transpose
            backwards.append(vjp(residual, u)[1])
        return backwards[0](w.to(u))[0].detach()

    return Action(u.shape[-2], product, transposed)


def differences(residual: Residual, u: Tensor) -> Action:
    """The Jacobian of ``residual`` at u [*, n, c] by forward differences: J v = (F(u + e v) - F(u)) / e.

    Good to about half the digits, which Newton's method does not mind; it has no transpose.

    Reference: Knoll and Keyes 2004, J. Comput. Phys. 193, section 2.3.
    """
    u = u.detach()
    with torch.no_grad():
        here = residual(u)
    root = torch.finfo(u.dtype).eps ** 0.5

    @torch.no_grad()
    def product(v: Tensor) -> Tensor:
        length = float(v.norm())
        if length == 0.0:
            return torch.zeros_like(here)
        step = root * (1.0 + float(u.norm())) / length
        return (residual(u + step * v) - here) / step

    def transposed(w: Tensor) -> Tensor:
        raise InputError("a Jacobian by differences has no transpose; use derivative(residual, u) for adjoints")

    return Action(u.shape[-2], product, transposed)
