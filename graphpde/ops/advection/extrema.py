"""How far limited fluxes may carry a value: the bounds of its neighbours, wider where an extremum is smooth."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.errors import InputError

Bounds = tuple[float, float]

_SHARE = 0.25  # of a bend: between nodes a parabola rises by an eighth of it, and a crest passes over several


def checked(bounds: Bounds | None) -> Bounds | None:
    """The bounds as floats.

    Raises:
        InputError: not two numbers low < high.
    """
    if bounds is None:
        return None
    try:
        low, high = (float(b) for b in bounds)
    except (TypeError, ValueError):
        low = high = math.nan
    if not low < high:
        raise InputError(f"bounds = {bounds!r}, expected (low, high) with low < high, such as (0, 1) or (0, inf)")
    return low, high


def neighbours(relation: Relation, u: Tensor) -> tuple[Tensor, Tensor]:
    """Least and largest value among each node and those it listens to."""
    alone = (relation.degree == 0)[:, None]
    least = torch.where(alone, u, torch.minimum(u, relation.propagate(u, reduce="min")))
    return least, torch.where(alone, u, torch.maximum(u, relation.propagate(u, reduce="max")))


def widened(
    least: Tensor, most: Tensor, relation: Relation, bend: Tensor, inside: Tensor, bounds: Bounds
) -> tuple[Tensor, Tensor]:
    """Bounds moved by a share of the least bend round a node where all bend one way, never beyond the given ones.

    A jump bends up on one side and down on the other, so nothing is widened there.

    Args:
        bend: second difference of each node in units of u, negative at a maximum [*, n, c]. inside: where it can be
            trusted [n] bool; the others look at their neighbours alone.
    """
    known = inside[:, None]
    lowest = neighbours(relation, torch.where(known, bend, math.inf))[0]
    highest = neighbours(relation, torch.where(known, bend, -math.inf))[1]
    fall = torch.where(torch.isfinite(lowest), _SHARE * torch.relu(lowest), 0.0)
    rise = torch.where(torch.isfinite(highest), _SHARE * torch.relu(-highest), 0.0)
    low, high = bounds
    return (
        torch.minimum(least, (least - fall).clamp(min=low)),
        torch.maximum(most, (most + rise).clamp(max=high)),
    )


def portion(room: Tensor, wanted: Tensor) -> Tensor:
    """min(1, room / wanted), 1 where nothing is wanted."""
    asked = wanted > room
    return torch.where(asked, room / torch.where(asked, wanted, 1.0), 1.0)
