"""Gradients that are taken by undoing the steps one by one.

Reference: Kidger, Foster, Li and Lyons 2021 (efficient and accurate gradients for neural SDEs), algorithm 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from graphpde.dynamics.control import Leg
from graphpde.dynamics.loop import Loop, Tried
from graphpde.dynamics.reading import once, read_by, require_all_read, undo_detours
from graphpde.dynamics.reversible import Twin
from graphpde.dynamics.state import leaves, like
from graphpde.dynamics.stepper import STEPPERS, Carry, Stepper
from graphpde.errors import InputError
from graphpde.typing import State


def through(f: Any, stepper: Stepper, times: Tensor) -> Callable[..., tuple[State, Carry]]:
    """What takes gradients of a run by undoing its steps: exact to rounding, in the memory of one step.

    Raises:
        InputError: a stepper that cannot be undone, times that ask for gradients, or a function that does not say what
            it reads.
    """
    if not hasattr(stepper, "back"):
        able = ", ".join(name for name, kind in STEPPERS.items() if hasattr(kind, "back"))
        raise InputError(f"steps of {stepper.name} cannot be undone; use {able}, or grad='checkpoint'")
    if times.requires_grad:
        raise InputError("grad='reversible' gives no gradient in times; use grad='checkpoint'")
    given = read_by(f, "reversible")

    def interval(loop: Loop, start: Tensor, end: Tensor, u: State, carry: Carry) -> tuple[State, Carry]:
        if loop.f.fixed is not None:
            raise InputError("held values (Dirichlet conditions) are not undone; use grad='checkpoint'")
        if isinstance(u, Tensor) and loop.f.at(start, u) is not loop.f:
            raise InputError(f"{loop.f.label} is frozen anew for every step: not undone; use grad='checkpoint'")
        if not torch.is_grad_enabled():
            return loop.interval(start, end, u, carry)
        require_all_read(loop.f, start, u, given)
        if carry is None:
            carry = Twin(u, loop.f.rate(start, u))
        parts = [*leaves(u), *leaves(carry.value), *leaves(carry.slope)]
        found = _Reversed.apply(loop, (start, end, u), *parts, *given)
        third = len(leaves(u))
        u, value, slope = (like(u, found[k * third : (k + 1) * third]) for k in range(3))
        return u, Twin(value, slope)

    return interval


class _Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, loop: Loop, over: Any, *given: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        start, end, u = over
        third = len(leaves(u))
        u, carry = _state(u, given[: 3 * third])
        tried: list[Tried] = []
        leg: Leg | None = loop.pace.enter(start, end)
        while leg is not None:
            u, carry, leg = loop.some(leg, u, carry, tried=tried)
        ends = [*leaves(u), *leaves(carry.value), *leaves(carry.slope)]
        ctx.loop, ctx.u, ctx.count = loop, u, len(ends)
        ctx.legs = [leg for leg, stands in tried if stands is True]
        ctx.save_for_backward(*ends, *given[3 * third :])
        return tuple(x.clone() for x in ends)

    @staticmethod
    @once("reversible")
    def backward(ctx: Any, *grads: Tensor) -> Any:
        loop, stepper = ctx.loop, ctx.loop.stepper
        ends, read = ctx.saved_tensors[: ctx.count], ctx.saved_tensors[ctx.count :]
        u, carry = _state(ctx.u, ends)
        a, found = list(grads), [torch.zeros_like(w) for w in read]
        for leg in reversed(ctx.legs):
            u, carry = stepper.back(loop.f, leg.t, leg.dt, u, carry)
            with torch.enable_grad():
                free = [x.detach().requires_grad_() for x in (*leaves(u), *leaves(carry.value), *leaves(carry.slope))]
                step = stepper.step(loop.f, leg.t, leg.dt, *_state(ctx.u, free))
                ends = [*leaves(step.u), *leaves(step.carry.value), *leaves(step.carry.slope)]
                pulled = torch.autograd.grad(ends, (*free, *read), a, retain_graph=True, allow_unused=True)
            a = [torch.zeros_like(x) if g is None else g for g, x in zip(pulled, free)]
            for k, g in enumerate(pulled[len(free) :]):
                if g is not None:
                    found[k] = found[k] + g
        undo_detours(read, found)
        return None, None, *a, *found


def _state(u: State, parts: Sequence[Tensor]) -> tuple[State, Twin]:
    third = len(parts) // 3
    one, two, three = (like(u, parts[k * third : (k + 1) * third]) for k in range(3))
    return one, Twin(two, three)
