"""Derivatives of a local function by the values and gradients at quadrature points.

Newton's method asks for them in every iteration and differentiates no further: plain reverse mode then costs half of
what the transforms of torch.func do, and it tells what a function does not depend on at all. Everybody else (gradients
through a Jacobian, forward mode, vmap, compilers) gets the transforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from graphpde.core.tracing import Route, route

Pair = tuple[Tensor | None, Tensor | None]


class Slopes(NamedTuple):
    """Derivatives of a source [.., a] and a flux [.., a, d] by a state [.., b] and its gradient [.., b, e], in a block.

    None for one that is zero everywhere, but never all of them.

    Attributes:
        source_u: [m, q, a, b]. source_grad: [m, q, a, b, e]. flux_u: [m, q, a, d, b]. flux_grad: [m, q, a, d, b, e].
    """

    source_u: Tensor | None
    source_grad: Tensor | None
    flux_u: Tensor | None
    flux_grad: Tensor | None


def gradient(total: Callable[[Tensor, Tensor], Tensor], u: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    """Derivatives of a sum over the points by u [*, m, q, c] and grad [*, m, q, c, d]."""
    if not _alone(u, grad):
        return cast(Any, torch.func.grad(total, argnums=(0, 1))(u, grad))
    with torch.enable_grad():
        at = _leaves(u, grad)
        found = _first(total(*at), at)
    return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(found, at, strict=True))  # type: ignore[return-value]


def slopes_of_energy(total: Callable[[Tensor, Tensor], Tensor], u: Tensor, grad: Tensor) -> Slopes | None:
    """Minus the second derivatives of a sum over the points; None where somebody watches."""
    if not _alone(u, grad):
        return None
    with torch.enable_grad():
        at = _leaves(u, grad)
        parts = _first(total(*at), at, create_graph=True)
        return _filled(_rows(parts[0], at, -1.0), _rows(parts[1], at, -1.0), u)


def slopes(local: Callable[[Tensor, Tensor], Pair], u: Tensor, grad: Tensor) -> Slopes:
    """Every row of the derivatives of source and flux at once: the pullback of a unit vector, the same at all points.

    Args:
        local: (u [m, q, c], grad [m, q, c, d]) -> source [m, q, c] and flux [m, q, c, d], None for one that is zero.
    """
    if not _alone(u, grad):
        return _transformed(local, u, grad)
    with torch.enable_grad():
        at = _leaves(u, grad)
        source, flux = local(*at)
        return _filled(_rows(source, at), _rows(flux, at), u)


def _alone(u: Tensor, grad: Tensor) -> bool:
    """Whether nobody differentiates what is computed from these values."""
    if torch.is_grad_enabled() or torch.is_inference_mode_enabled() or u.is_inference():
        return False
    return route(u, grad) is Route.DIRECT


def _leaves(u: Tensor, grad: Tensor) -> tuple[Tensor, Tensor]:
    return u.detach().requires_grad_(), grad.detach().requires_grad_()


def _first(total: Tensor, at: tuple[Tensor, Tensor], *, create_graph: bool = False) -> Pair:
    """First derivatives, None for independence."""
    if not total.requires_grad:
        return None, None
    by_u, by_grad = torch.autograd.grad(total, at, create_graph=create_graph, allow_unused=True)
    return by_u, by_grad


def _rows(part: Tensor | None, at: tuple[Tensor, Tensor], sign: float = 1.0) -> Pair:
    """Derivatives of a part [m, q, ...] by u and by grad, its own dimensions before theirs; None for independence."""
    if part is None or not part.requires_grad:
        return None, None
    shape = part.shape[2:]
    units = sign * torch.eye(math.prod(shape), dtype=part.dtype, device=part.device)
    rows = [
        torch.autograd.grad(part, at, unit.reshape(shape).expand_as(part), retain_graph=True, allow_unused=True)
        for unit in units
    ]
    by_u, by_grad = (None if each[0] is None else _stacked(each, shape) for each in zip(*rows, strict=True))
    return by_u, by_grad


def _stacked(rows: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Rows [m, q, ...] side by side, [m, q, (shape), ...], with the cells last in memory where they are so already."""
    if rows[0].stride(0) != 1:
        return torch.stack(tuple(rows), 2).unflatten(2, shape)
    return torch.stack([row.movedim(0, -1) for row in rows], 1).movedim(-1, 0).unflatten(2, shape)


def _filled(source: Pair, flux: Pair, u: Tensor) -> Slopes:
    """The slopes, with a zero where nothing depends on anything: it carries the shape of the local matrices."""
    if all(part is None for part in (*source, *flux)):
        source = u.new_zeros(*u.shape, u.shape[-1]), None
    return Slopes(*source, *flux)


def _transformed(local: Callable[[Tensor, Tensor], Pair], u: Tensor, grad: Tensor) -> Slopes:
    both: list[bool] = []

    def present(v: Tensor, g: Tensor) -> tuple[Tensor, ...]:
        found = local(v, g)
        both[:] = [part is not None for part in found]
        return tuple(part for part in found if part is not None)

    parts, pull = cast(Any, torch.func.vjp(present, u, grad))
    found = []
    for i, part in enumerate(parts):
        shape = part.shape[2:]
        rows = []
        for unit in torch.eye(math.prod(shape), dtype=u.dtype, device=u.device):
            others = [torch.zeros_like(other) for other in parts]
            others[i] = unit.reshape(shape).expand_as(part)
            rows.append(pull(tuple(others)))
        found.append([_stacked(each, shape) for each in zip(*rows, strict=True)])
    none = [None, None]
    return Slopes(*(found[0] if both[0] else none), *(found[-1] if both[1] else none))
