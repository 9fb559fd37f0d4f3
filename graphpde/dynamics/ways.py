"""The ways to the gradient of a run.

- "direct": autograd through every step; memory of all of them.
- "checkpoint", :class:`~graphpde.dynamics.Checkpoints`: the same gradient bit by bit in the memory of few states, for
  the price of taking the steps again; f must answer the same when it is asked again.
- "auto": "direct", and "checkpoint" for more than 500 equal steps in reverse mode, where no events or dense output keep
  the steps anyway.
- "adjoint": that of the exact solution, by the adjoint equation backwards, in memory that does not grow:
  :mod:`~graphpde.dynamics.adjoint` says when not to.
- "reversible": exact to rounding, by undoing the steps of a stepper that allows it, in the memory of one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphpde.core.tracing import transformed
from graphpde.dynamics.checkpointed import Checkpoints
from graphpde.dynamics.control import Equal, Pace
from graphpde.dynamics.loop import Loop
from graphpde.dynamics.stepper import Carry, Stepper
from graphpde.dynamics.undone import through as undoing
from graphpde.errors import InputError
from graphpde.typing import State

GRADS = ("auto", "direct", "checkpoint", "adjoint", "reversible")
LONG = 500
"""Equal steps beyond which "auto" keeps few states: their graph is then larger than most results are worth."""


def check_way(grad: str | Checkpoints, stepper: Stepper, control: Any, save: Any, events: Any) -> None:
    """Refuse what no gradient can be taken by.

    Raises:
        InputError: an unknown way; the adjoint of an implicit stepper, of steps for each sample, beside events, or
            where not every state may be kept.
    """
    if isinstance(grad, Checkpoints):
        return
    if not isinstance(grad, str) or grad not in GRADS:
        shown = f"'{grad}'" if isinstance(grad, str) else repr(grad)
        raise InputError(f"grad={shown}, expected one of: {', '.join(GRADS)}, or Checkpoints(states)")
    if grad != "adjoint":
        return
    if stepper.implicit:
        raise InputError(f"the adjoint equation is stepped explicitly, not by {stepper.name}; use grad='checkpoint'")
    if save is not None:
        raise InputError("the adjoint starts from the states at all times; leave save= out")
    if getattr(control, "each", None) is not None:
        raise InputError("the adjoint takes one step for all; use a control without each=, or grad='checkpoint'")
    if events:
        raise InputError("events end or mark a run whose steps are known; use grad='direct'")


def way_of(grad: str | Checkpoints, pace: Pace, looks: bool) -> str | Checkpoints:
    """The way that is taken: "auto" decided, "checkpoint" with its default.

    Args:
        looks: whether events or dense output keep the steps.
    """
    if grad == "checkpoint":
        return Checkpoints()
    if grad != "auto":
        return grad
    many = isinstance(pace, Equal) and sum(pace.counts) > LONG
    return Checkpoints() if many and not looks and torch.is_grad_enabled() and not transformed() else "direct"


def through(grad: str | Checkpoints, loop: Loop, f: Any, times: Tensor) -> Callable[..., tuple[State, Carry]]:
    """What takes the steps between two times, (loop, start, end, u, carry) -> (u, carry)."""
    if isinstance(grad, Checkpoints):
        return grad.through(loop)
    return undoing(f, loop.stepper, times) if grad == "reversible" else Loop.interval
