"""Who watches an operation: nobody, reverse mode, or a transform. Each needs another way through the same kernels."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch._C import _functorch, _len_torch_dispatch_stack
from torch.autograd import forward_ad
from torch.autograd.graph import saved_tensors_hooks

KEEPING = saved_tensors_hooks(lambda x: x, lambda x: x)
"""Within it autograd keeps tensors as usual: derivatives that are used up at once are no business of whoever keeps
those of the whole run elsewhere, such as checkpoints, which could not answer before the run is over."""


@contextmanager
def following() -> Iterator[None]:
    """Within it autograd follows what is done, inside inference mode too, for derivatives that are used up at once."""
    outside = torch.inference_mode(False) if torch.is_inference_mode_enabled() else nullcontext()
    with outside, torch.enable_grad(), KEEPING:
        yield


def plain(x: Tensor) -> Tensor:
    """The tensor, or within ``following`` a copy that autograd may keep of one that was made in inference mode."""
    return x.clone() if x.is_inference() else x


def followed(x: Tensor) -> Tensor:
    """The tensor, or one without its past, in which derivatives can be asked for within ``following``."""
    return x if x.requires_grad else plain(x).detach().requires_grad_()


def learned_by(outputs: Sequence[Tensor], stops: Sequence[Tensor] = ()) -> Iterator[Tensor]:
    """The tensors without a past that gradients of these outputs reach, but for those behind ``stops`` alone."""
    ends: set[Any] = {w.grad_fn for w in stops if w.grad_fn is not None}
    front = [x.grad_fn for x in outputs]
    while front:
        node = front.pop()
        if node is None or node in ends:
            continue
        ends.add(node)
        leaf = getattr(node, "variable", None)
        if leaf is not None:
            yield leaf
        front += [following for following, _ in node.next_functions]


class Route(enum.Enum):
    """How an operation is computed.

    Attributes:
        DIRECT: nobody watches; the kernel is called by itself, at a third of the cost.
        REVERSE: reverse mode alone, eager or compiled; a Function without forward mode, which compilers refuse.
        TRACED: no derivative, but somebody wants to see registered operators instead of addresses in memory.
        FULL: forward mode, vmap or another transform of torch.func.
        PLAIN: forward mode inside forward mode, or a transform inside a compiler: only plain torch operators are right.
            (jvp(jvp) through any autograd.Function with a jvp gives a zero tangent in torch 2.13.)
    """

    DIRECT = 0
    REVERSE = 1
    TRACED = 2
    FULL = 3
    PLAIN = 4


def route(*tensors: Tensor | None) -> Route:
    """The way for these inputs."""
    if torch.compiler.is_compiling():
        return _compiled(tensors)
    if _functorch.maybe_current_level() or forward_ad._current_level >= 0:
        return Route.PLAIN if _is_nested_forward() else Route.FULL
    wants = watched = False
    for t in tensors:
        if t is not None:
            # wrapped: the gradient of torch.func.vjp, taken after it returned, or gradients of a batch
            # (is_grads_batched), which come in the old kind of vmap that has no level
            if _functorch.is_functorch_wrapped_tensor(t) or _functorch.is_legacy_batchedtensor(t):
                return Route.FULL
            wants = wants or t.requires_grad
            kind = type(t)
            # fake, distributed or other wrapped tensors see operators by themselves and have no numbers at an address
            watched = watched or (kind is not Tensor and kind.__torch_dispatch__ is not Tensor.__torch_dispatch__)
    if wants and torch.is_grad_enabled():
        return Route.REVERSE
    return Route.TRACED if watched or _len_torch_dispatch_stack() else Route.DIRECT


def _compiled(tensors: tuple[Tensor | None, ...]) -> Route:
    if forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active():
        return Route.PLAIN
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in tensors):
        return Route.REVERSE
    return Route.TRACED


def transformed() -> bool:
    """Whether forward mode, a transform of torch.func or a compiler is at work."""
    active = bool(_functorch.maybe_current_level()) or forward_ad._current_level >= 0
    return active or torch.compiler.is_compiling()


def _is_nested_forward() -> bool:
    if forward_ad._current_level < 0 and not _functorch.maybe_current_level():
        return False
    stack = _functorch.get_interpreter_stack()
    return stack is not None and sum(i.key() == _functorch.TransformType.Jvp for i in stack) > 1
