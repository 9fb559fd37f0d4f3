"""Motions: M u'' = A u + C u' + b(t) + N(t, u, u') as M u' = M v, M v' = ..., the state [*, n, 2 d] u, then v."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.linear_operator import LinearOperator
from graphpde.ops.constraint import Constraint
from graphpde.ops.system import System


class SecondOrder(NamedTuple):
    """What a linear term of second order in time says of itself as ``second_order``, for steppers that use it.

    Attributes:
        pull: A on d channels, minus the stiffness. damping: C, minus the matrix of the damping, or None.
    """

    pull: LinearOperator
    damping: LinearOperator | None


def second_order(f: System) -> SecondOrder | None:
    """The parts of a system whose only operator is that of a term of second order; None for any other."""
    moving = [(factor, term) for factor, term in f.linear if term.operator is not None]
    if len(moving) != 1 or not isinstance(moving[0][0], float) or moving[0][0] != 1.0:
        return None
    told: Any = getattr(moving[0][1], "second_order", None)
    return told


def with_rates(held: Constraint, d: int) -> Constraint:
    """A constraint on the d channels of u as one on u and v: v is the rate of the value."""
    width = d if held.channels is None else len(held.channels)

    def both(t: Tensor) -> Tensor:
        value, rate = held.value(t), held.rate(t)
        if value.shape[1] == 1:
            value, rate = (x.expand(-1, width) for x in (value, rate))
        return torch.cat([value, rate], 1)

    channels = None if held.channels is None else (*held.channels, *(d + k for k in held.channels))
    return Constraint(
        held.nodes,
        both,
        held.label,
        constant=held.constant,
        override=held.override,
        places=held.places,
        channels=channels,
    )
