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

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from graphpde.dynamics.state import leaves
from graphpde.errors import InputError, SolveError
from graphpde.ops.system import System
from graphpde.ops.term import Term
from graphpde.typing import State

Solve = Callable[[Any, State, Tensor], Any]
"""solve(f, u0, times) -> Trajectory, without gradients."""


def by_adjoint(f: Any, u0: Tensor, times: Tensor, solve: Solve) -> Any:
    """The trajectory from u0 at ``times``, with gradients in u0, in ``times`` and in every tensor that f says it reads.

    Raises:
        InputError: a state of several tensors, a function that does not say what it reads, or held values.
    """
    if not isinstance(u0, Tensor):
        raise InputError("the adjoint takes one tensor as state, got several; use grad='checkpoint'")
    if not isinstance(f, nn.Module):
        raise InputError(
            "the adjoint gives gradients in the tensors that a Term or module says it reads, and a plain function says "
            "nothing; make it a Term with tensors(), or use grad='checkpoint'"
        )
    with torch.no_grad():
        path = solve(f, u0.detach(), times.detach())
        if System(f, path.domain, times[0].detach()).fixed is not None:
            raise InputError("the adjoint does not know held values (Dirichlet conditions); use grad='checkpoint'")
    if torch.is_grad_enabled():
        given = f.tensors() if isinstance(f, Term) else f.parameters()
        read = tuple({id(w): w for w in given if w.requires_grad}.values())  # one that is read twice is one
        _require_all_read(System(f, path.domain, times[0].detach()), times[0].detach(), u0.detach(), read)
        states = _Adjoint.apply(f, solve, path, u0, times, *read)
        return type(path)(path.times, states, path.domain, path.steps, path.statistics)
    return path


def _require_all_read(f: System, t: Tensor, u: Tensor, read: Sequence[Tensor]) -> None:
    """Refuse what is learned and not told of: its gradient would be missing without a word.

    Raises:
        InputError: the rate depends on a tensor that requires a gradient and that no term says it reads.
    """
    known = {id(w) for w in read}
    stops = {w.grad_fn for w in read if w.grad_fn is not None}
    seen: set[Any] = set()
    front = [f.rate(t, u).grad_fn]
    while front:
        node = front.pop()
        if node is None or node in stops or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None and id(leaf) not in known:
            raise InputError(
                f"the rate depends on a tensor of shape {list(leaf.shape)} that requires a gradient and no term says "
                "it reads, such as one in a plain function; make it part of a module, or use grad='checkpoint'"
            )
        front += [following for following, _ in node.next_functions]


_LOST = 0.3  # of the size of the state: beyond it the gradient has nothing to do with the run


class _Adjoint(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, f: Any, solve: Solve, path: Any, u0: Tensor, times: Tensor, *read: Tensor) -> Tensor:  # type: ignore[override]
        ctx.f, ctx.solve, ctx.domain = f, solve, path.domain
        ctx.save_for_backward(path.states, times, *read)
        return path.states.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, g: Tensor) -> Any:
        states, times, *read = ctx.saved_tensors
        with torch.enable_grad():  # what it merges must hang on the tensors that f reads
            system = System(ctx.f, ctx.domain, times[0].detach())
        backwards = _Backwards(system, read)
        size = float(g.abs().max()) or 1.0  # tolerances are absolute as well, and a loss may have any scale
        g = g / size
        a, found = g[-1], [torch.zeros_like(w) for w in read]
        in_time = torch.zeros_like(times)
        for k in range(len(times) - 1, 0, -1):
            in_time[k] = (g[k] * system.rate(times[k], states[k])).sum()
            backwards.until = times[k]
            path = ctx.solve(backwards, (states[k], a, *found), torch.stack([times[0] * 0, times[k] - times[k - 1]]))
            back, a, *found = (x[-1] for x in leaves(path.states))
            _require_return(back, states[k - 1], states[k])
            a = a + g[k - 1]
        _undo_detours(read, found)
        in_time[0] = -((a - g[0]) * system.rate(times[0], states[0])).sum()
        return None, None, None, a * size, in_time * size, *(w * size for w in found)


class _Backwards:
    """Rates of (u, a, dL/dw) in the time that is left, s = t_1 - t."""

    controlled = 2  # leaves whose error chooses the steps

    def __init__(self, system: System, read: Sequence[Tensor]):
        self.system, self.read, self.until = system, tuple(read), torch.zeros(())

    def __call__(self, s: Tensor, state: State) -> State:
        u, a, *_ = leaves(state)
        with torch.enable_grad():
            u = u.detach().requires_grad_()
            rate = self.system.rate(self.until - s, u)
            found = torch.autograd.grad(rate, (u, *self.read), a, retain_graph=True, allow_unused=True)
        parts = [torch.zeros_like(w) if g is None else g for g, w in zip(found, (u, *self.read), strict=True)]
        return (-rate.detach(), *parts)


def _require_return(back: Tensor, before: Tensor, after: Tensor) -> None:
    """Refuse a gradient along a path that did not lead back.

    Raises:
        SolveError: the state found backwards is far from the one it should be.
    """
    scale = max(float(before.norm()), float(after.norm()))
    off = float((back - before).norm())
    if not off <= _LOST * scale:
        raise SolveError(
            f"the adjoint lost its way: the state found backwards is {off / scale:.2g} of its size from where it came "
            "from; use grad='checkpoint', save more times, or tighten the tolerances"
        )


def _undo_detours(read: Sequence[Tensor], found: list[Tensor]) -> None:
    """Take off what reached one tensor through another that is read as well: autograd will send it there again."""
    made = [k for k, w in enumerate(read) if w.grad_fn is not None]
    for k in sorted(made, key=lambda k: -read[k].grad_fn._sequence_nr()):  # type: ignore[union-attr]
        others = [j for j in range(len(read)) if j != k]
        if not others:
            return
        through = torch.autograd.grad(
            read[k], [read[j] for j in others], found[k], retain_graph=True, allow_unused=True
        )
        for j, part in zip(others, through, strict=True):
            if part is not None:
                found[j] = found[j] - part
