r"""Gradients by the adjoint equation, integrated backwards: memory does not grow with the number of steps.

With L a function of u(t_1) and a = dL/du,

    du/dt = f(t, u, w),   da/dt = -a^T df/du,   dL/dw = \int_{t_0}^{t_1} a^T df/dw dt

and u is integrated backwards beside a. The gradient is that of the exact solution, not of the steps that were taken:
the two differ by the error of both integrations, so tolerances matter. Dissipative equations grow backwards in time:
where diffusion is fast and the interval long, u is lost and checkpointing is the right choice.

Reference: Chen et al. 2018 (Neural ODEs), algorithm 1; Kidger, Chen and Lyons 2021 (the error of dL/dw needs no
control).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from graphpde.dynamics.reading import once, read_by, require_all_read, undo_detours
from graphpde.dynamics.state import leaves, like, tree_map
from graphpde.errors import AdjointCaveat, InputError, SolveError
from graphpde.ops.system import System
from graphpde.typing import State

Solve = Callable[[Any, State, Tensor], Any]
"""solve(f, u0, times) -> Trajectory, without gradients."""


def by_adjoint(f: Any, u0: State, times: Tensor, solve: Solve) -> Any:
    """The trajectory from u0 at ``times``, with gradients in u0, in ``times`` and in every tensor that f says it reads.

    Raises:
        InputError: a function that does not say what it reads, or held values.
    """
    read = read_by(f, "adjoint")
    with torch.no_grad():
        path = solve(f, tree_map(lambda x: x.detach(), u0), times.detach())
        if System(f, path.domain, times[0].detach()).fixed is not None:
            raise InputError("the adjoint does not know held values (Dirichlet conditions); use grad='checkpoint'")
    if torch.is_grad_enabled():
        warn_of_adjoint()
        require_all_read(System(f, path.domain, times[0].detach()), times[0].detach(), u0, read)
        states = _Adjoint.apply(f, solve, path, times, *leaves(u0), *read)
        return type(path)(path.times, like(u0, states), path.domain, path.steps, path.statistics)
    return path


@cache
def warn_of_adjoint() -> None:
    """Say once what the gradient is, as :class:`~graphpde.errors.AdjointCaveat`."""
    warnings.warn(
        "grad='adjoint' gives the gradient of the exact solution, which differs from that of the steps by the error "
        "of both integrations: tighten the tolerances, or use grad='checkpoint' for that of the steps",
        AdjointCaveat,
        stacklevel=4,
    )


_LOST = 0.3  # of the size of the state: beyond it the gradient has nothing to do with the run


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Any, solve: Solve, path: Any, times: Tensor, *given: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        states = leaves(path.states)
        ctx.f, ctx.solve, ctx.domain, ctx.like, ctx.count = f, solve, path.domain, path.states, len(states)
        ctx.save_for_backward(*states, times, *given[len(states) :])
        return tuple(x.clone() for x in states)

    @staticmethod
    @once("adjoint")
    def backward(ctx: Any, *given: Tensor) -> Any:
        count = ctx.count
        states, (times, *read) = ctx.saved_tensors[:count], ctx.saved_tensors[count:]
        with torch.enable_grad():  # what it merges must hang on the tensors that f reads
            system = System(ctx.f, ctx.domain, times[0].detach())
        backwards = _Backwards(system, read, ctx.like)
        size = max(float(g.abs().max()) for g in given) or 1.0  # tolerances are absolute too, a loss has any scale
        g = [x / size for x in given]
        a, found = [x[-1] for x in g], [torch.zeros_like(w) for w in read]
        in_time = torch.zeros_like(times)
        for k in range(len(times) - 1, 0, -1):
            u = [x[k] for x in states]
            in_time[k] = _inner([x[k] for x in g], leaves(system.rate(times[k], like(ctx.like, u))))
            backwards.until = times[k]
            span = torch.stack([times[0] * 0, times[k] - times[k - 1]])
            back = [x[-1] for x in leaves(ctx.solve(backwards, (*u, *a, *found), span).states)]
            u, a, found = back[:count], back[count : 2 * count], back[2 * count :]
            _require_return(u, [x[k - 1] for x in states], [x[k] for x in states])
            a = [x + y[k - 1] for x, y in zip(a, g, strict=True)]
        undo_detours(read, found)
        first = leaves(system.rate(times[0], like(ctx.like, [x[0] for x in states])))
        in_time[0] = -_inner([x - y[0] for x, y in zip(a, g, strict=True)], first)
        return None, None, None, in_time * size, *(x * size for x in a), *(w * size for w in found)


class _Backwards:
    """Rates of (u, a, dL/dw) in the time that is left, s = t_1 - t; u and a have as many leaves as the state ``u``.

    Attributes:
        controlled: leaves whose error chooses the steps: dL/dw follows.
    """

    def __init__(self, system: System, read: Sequence[Tensor], u: State):
        self.system, self.read, self.u, self.until = system, tuple(read), u, torch.zeros(())
        self.count = len(leaves(u))
        self.controlled = 2 * self.count

    def __call__(self, s: Tensor, state: State) -> State:
        parts = leaves(state)
        with torch.enable_grad():
            u = [x.detach().requires_grad_() for x in parts[: self.count]]
            rate = leaves(self.system.rate(self.until - s, like(self.u, u)))
            a = parts[self.count : 2 * self.count]
            follow = [(r, y) for r, y in zip(rate, a, strict=True) if r.requires_grad]
            known = (*u, *self.read)
            found: Sequence[Tensor | None] = (None,) * len(known)
            if follow:
                rates, weights = zip(*follow, strict=True)
                found = torch.autograd.grad(rates, known, weights, retain_graph=True, allow_unused=True)
        grads = [torch.zeros_like(w) if g is None else g for g, w in zip(found, known, strict=True)]
        return (*(-r.detach() for r in rate), *grads)


def _inner(one: Sequence[Tensor], two: Sequence[Tensor]) -> Tensor:
    return torch.stack([(x * y).sum() for x, y in zip(one, two, strict=True)]).sum()


def _require_return(back: Sequence[Tensor], before: Sequence[Tensor], after: Sequence[Tensor]) -> None:
    """Refuse a gradient along a path that did not lead back.

    Raises:
        SolveError: the state found backwards is far from the one it should be.
    """
    scale = max(sum(float(x.square().sum()) for x in u) for u in (before, after)) ** 0.5
    off = sum(float((x - y).square().sum()) for x, y in zip(back, before, strict=True)) ** 0.5
    if not off <= _LOST * scale:
        raise SolveError(
            f"the adjoint lost its way: the state found backwards is {off / scale:.2g} of its size from where it came "
            "from; use grad='checkpoint', save more times, or tighten the tolerances"
        )
