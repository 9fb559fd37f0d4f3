"""A stepper that can be run backwards exactly, and gradients that are taken by doing so.

Reference: Kidger, Foster, Li and Lyons 2021 (efficient and accurate gradients for neural SDEs), algorithms 1 and 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from graphpde.dynamics.adjoint import read_by, require_all_read
from graphpde.dynamics.control import Leg
from graphpde.dynamics.loop import Loop, Tried
from graphpde.dynamics.state import combine, leaves, like, tree_map
from graphpde.dynamics.stepper import STEPPERS, Carry, Step, Stepper
from graphpde.errors import InputError
from graphpde.ops.system import System
from graphpde.typing import Scalar, State


class _Twin(NamedTuple):
    """The second solution that is carried along, and its rate."""

    value: State
    slope: State


@STEPPERS.add("reversible_heun")
class ReversibleHeun:
    """Heun's rule with a second solution beside, u and w: order 2, and every step can be undone.

    w_1 = 2 u_0 - w_0 + dt f(w_0),   u_1 = u_0 + dt (f(w_0) + f(w_1)) / 2

    One evaluation a step. Stable on the imaginary axis up to dt |lambda| = 1 and nowhere else: for oscillations and for
    learned velocities without strong decay, not for diffusion.

    Reference: Kidger, Foster, Li and Lyons 2021, algorithm 1 without noise.
    """

    name, order, implicit, symplectic, stiff, accepts = "reversible_heun", 2.0, False, "no", "none", "undamped"
    error_power: float | None = 2.0

    def init(self, f: System, t: Tensor, u: State) -> Carry:
        if f.spectral_bound():
            raise InputError(f"{self.name} is unstable for decay of any speed, and {f.label} decays; use heun")
        return None

    def step(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> Step:
        twin = _Twin(u, f.rate(t, u)) if carry is None else carry
        value = f.reset(t + dt, combine(_mirrored(u, twin.value), [dt], [twin.slope]))
        slope = f.rate(t + dt, value)
        new = f.reset(t + dt, combine(u, [0.5 * dt, 0.5 * dt], [twin.slope, slope]))

        def error() -> State:
            return combine(tree_map(lambda x: x * 0, u), [-0.5 * dt, 0.5 * dt], [twin.slope, slope])

        return Step(new, error, _Twin(value, slope), {"evaluations": 1 + (carry is None)})

    def back(self, f: System, t: Tensor, dt: Scalar, u: State, carry: Carry) -> tuple[State, Carry]:
        """State and carry before the step from t to t + dt, but for rounding."""
        value = combine(_mirrored(u, carry.value), [-dt], [carry.slope])
        slope = f.rate(t, value)
        return combine(u, [-0.5 * dt, -0.5 * dt], [slope, carry.slope]), _Twin(value, slope)

    def real_extent(self) -> float:
        """Of learned velocities nothing is known; what is known to decay is refused."""
        return float("inf")


def _mirrored(u: State, w: State) -> State:
    return tree_map(lambda x, y: 2 * x - y, u, w)


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
    if not isinstance(f, nn.Module):
        raise InputError(
            "grad='reversible' gives gradients in the tensors that a Term or module says it reads, and a plain "
            "function says nothing; make it a Term with tensors(), or use grad='checkpoint'"
        )
    given = read_by(f)

    def interval(loop: Loop, start: Tensor, end: Tensor, u: State, carry: Carry) -> tuple[State, Carry]:
        if loop.f.fixed is not None:
            raise InputError("held values (Dirichlet conditions) are not undone; use grad='checkpoint'")
        if not torch.is_grad_enabled():
            return loop.interval(start, end, u, carry)
        require_all_read(loop.f, start, u, given)
        if carry is None:
            carry = _Twin(u, loop.f.rate(start, u))
        parts = [*leaves(u), *leaves(carry.value), *leaves(carry.slope)]
        found = _Reversed.apply(loop, (start, end, u), *parts, *given)
        third = len(leaves(u))
        u, value, slope = (like(u, found[k * third : (k + 1) * third]) for k in range(3))
        return u, _Twin(value, slope)

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
        ctx.loop, ctx.u, ctx.third, ctx.read = loop, u, third, given[3 * third :]
        ctx.legs = [leg for leg, stands in tried if stands is True]
        ctx.save_for_backward(*ends)
        return tuple(x.clone() for x in ends)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> Any:
        loop, stepper = ctx.loop, ctx.loop.stepper
        u, carry = _state(ctx.u, ctx.saved_tensors)
        a, found = list(grads), [torch.zeros_like(w) for w in ctx.read]
        for leg in reversed(ctx.legs):
            u, carry = stepper.back(loop.f, leg.t, leg.dt, u, carry)
            with torch.enable_grad():
                free = [x.detach().requires_grad_() for x in (*leaves(u), *leaves(carry.value), *leaves(carry.slope))]
                step = stepper.step(loop.f, leg.t, leg.dt, *_state(ctx.u, free))
                ends = [*leaves(step.u), *leaves(step.carry.value), *leaves(step.carry.slope)]
                pulled = torch.autograd.grad(ends, (*free, *ctx.read), a, retain_graph=True, allow_unused=True)
            a = [torch.zeros_like(x) if g is None else g for g, x in zip(pulled, free)]
            for k, g in enumerate(pulled[len(free) :]):
                if g is not None:
                    found[k] = found[k] + g
        return None, None, *a, *found


def _state(u: State, parts: Sequence[Tensor]) -> tuple[State, _Twin]:
    third = len(parts) // 3
    one, two, three = (like(u, parts[k * third : (k + 1) * third]) for k in range(3))
    return one, _Twin(two, three)
