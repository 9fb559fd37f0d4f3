"""Sources that make any function a solution, by differentiating the strong form: independent of every weak form."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Solution = Callable[[Tensor, Tensor | float], Tensor]
Flux = Callable[[Tensor, Tensor], Tensor]
Rate = Callable[[Tensor], Tensor]


def source_of(u: Solution, flux: Flux, rate: Rate | None = None) -> Solution:
    r"""f = u' - div(flux(u, grad u)) - rate(u).

    Args:
        u: points [k, d], t -> [k], by functions that torch.func differentiates.
        flux: what is conducted, of one value [] and one gradient [d] -> [d]; heat is kappa grad u.
        rate: of one value.
    """

    def at(x: Tensor, t: Tensor) -> Tensor:
        def value(y: Tensor, s: Tensor) -> Tensor:
            return u(y[None], s)[0]

        def conducted(y: Tensor) -> Tensor:
            return flux(value(y, t), torch.func.grad(value)(y, t))

        found = torch.func.grad(value, argnums=1)(x, t) - torch.func.jacrev(conducted)(x).trace()
        return found if rate is None else found - rate(value(x, t))

    def f(x: Tensor, t: Tensor | float) -> Tensor:
        now = torch.as_tensor(t, dtype=x.dtype)
        return torch.func.vmap(at, in_dims=(0, None))(x, now)

    return f
