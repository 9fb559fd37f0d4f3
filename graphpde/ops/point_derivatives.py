"""Derivatives of a local function by the values and gradients at quadrature points.

Newton's method asks for them in every iteration and differentiates no further: plain reverse mode then costs half of
what the transforms of torch.func do, and it tells what a function does not depend on at all. Everybody else (gradients
through a Jacobian, forward mode, vmap, compilers) gets the transforms.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from graphpde.core.tracing import Route, learned_by, route

Pair = tuple[Tensor | None, Tensor | None]


class Slopes(NamedTuple):
    """Derivatives of a source [.., a] and a flux [.., a, d] by a state [.., b] and its gradient [.., b, e], in a block.

    None for one that is zero everywhere, but never all of them; m or q is 1 where all cells or points have the same.

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


def slopes_of_linear(
    local: Callable[[Tensor, Tensor], Pair], shape: Sequence[int], like: Tensor, share: Tensor | None = None
) -> Slopes:
    """The same of a function that is linear: its values for unit vectors, and derivatives of those are plain ones.

    Args:
        shape: (m, q, c, d), where m and q are 1 if nothing differs from cell to cell, or from point to point.
        like: a tensor of the device and dtype.
        share: of each point in its cell [q], where only the mean over the points of the flux by the gradient counts.
    """
    *points, c, d = shape
    own = (c,), (c, d)
    none = [like.new_zeros(*points, *k) for k in own]
    read = _read(local, none)
    found: list[list[Tensor | None]] = []
    for k in range(2):
        if not any(read[k]):
            found.append([None, None])
            continue
        columns = []
        for unit in _units(points, own[k], like):
            source, flux = local(*(unit if j == k else none[j] for j in range(2)))
            if k and flux is not None and share is not None:
                flux = (flux * share[:, None, None]).sum(1, keepdim=True)
            columns.append((source, flux))
        parts = zip(*columns, strict=True)
        found.append([_beside(part, own[k]) if r else None for part, r in zip(parts, read[k], strict=True)])
    by_u, by_grad = found
    return _filled((by_u[0], by_grad[0]), (by_u[1], by_grad[1]), none[0])


def _units(points: Sequence[int], own: Sequence[int], like: Tensor) -> Iterator[Tensor]:
    """Each unit vector of the dimensions ``own`` at all points [m, q, (own)], with the cells last in memory."""
    for k in range(math.prod(own)):
        unit = like.new_zeros(math.prod(own), *reversed(points))
        unit[k] = 1.0
        yield unit.unflatten(0, own).movedim((-1, -2), (0, 1))


def _beside(columns: Sequence[Tensor | None], own: Sequence[int]) -> Tensor:
    """Columns [m, q, ...] side by side as the last dimensions [m, q, ..., (own)], with the cells last in memory."""
    given = [column.movedim(0, -1) for column in columns if column is not None]
    return torch.stack(given, -2).movedim(-1, 0).unflatten(-1, own)


def _read(local: Callable[[Tensor, Tensor], Pair], zero: Sequence[Tensor]) -> list[list[bool]]:
    """Whether u, then grad, has a say in the source and in the flux; of a part that is there where that is not seen."""
    unseen = torch.is_inference_mode_enabled() or route(*zero) is not Route.DIRECT
    with nullcontext() if unseen else torch.enable_grad():
        at = zero if unseen else [x.detach().requires_grad_() for x in zero]
        parts = local(*at)
        reached = [[] if part is None or unseen else list(learned_by([part])) for part in parts]
    return [
        [
            part is not None and (unseen or any(leaf is x for leaf in leaves))
            for part, leaves in zip(parts, reached, strict=True)
        ]
        for x in at
    ]


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
