"""Arithmetic on states: one tree-map for tensors and (named) tuples of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

from graphpde.core.blend import blend
from graphpde.typing import Scalar, State


def tree_map(f: Callable[..., Any], *states: State) -> State:
    """f on every leaf."""
    if isinstance(states[0], Tensor):
        return f(*states)
    return _pytree.tree_map(f, *states)


def leaves(u: State) -> list[Tensor]:
    """The tensors of a state."""
    return [u] if isinstance(u, Tensor) else _pytree.tree_leaves(u)


def like(u: State, parts: Sequence[Tensor]) -> State:
    """Tensors in the structure of a state."""
    return parts[0] if isinstance(u, Tensor) else _pytree.tree_unflatten(list(parts), _pytree.tree_structure(u))


def combine(u: State, factors: Sequence[Scalar], slopes: Sequence[State]) -> State:
    """u + sum of factor * slope; zero factors are skipped, and leaves of integers stay as they are."""
    used = [(f, s) for f, s in zip(factors, slopes, strict=False) if isinstance(f, Tensor) or f != 0.0]
    numbers = [f for f, _ in used if not isinstance(f, Tensor)]
    if len(numbers) == len(used):
        return tree_map(lambda x, *terms: blend(x, numbers, terms) if _moves(x) else x, u, *(s for _, s in used))
    for factor, slope in used:
        h = torch.as_tensor(factor)
        u = tree_map(lambda a, b, h=h: a + h.to(a) * b if _moves(a) else a, u, slope)
    return u


def _moves(x: Tensor) -> bool:
    return x.is_floating_point() or x.is_complex()


def is_finite(u: State) -> bool:
    """Whether every entry is finite, by one sum a leaf (an overflowing sum of finite numbers is looked at again)."""
    for x in leaves(u):
        if not x.is_floating_point():
            continue
        if not bool(torch.isfinite(x.detach().sum())) and not bool(torch.isfinite(x).all()):
            return False
    return True


def largest(u: State) -> float:
    """The largest modulus in the state."""
    return max((float(x.detach().abs().max()) for x in leaves(u) if x.numel()), default=0.0)


def first_bad_node(u: State) -> int:
    """The first node with a non-finite entry."""
    for x in leaves(u):
        bad = ~torch.isfinite(x)
        if bool(bad.any()):
            per_node = bad.any(-1) if bad.dim() > 1 else bad.reshape(-1)
            return int(per_node.reshape(-1, per_node.shape[-1]).any(0).nonzero()[0, 0])
    return -1
