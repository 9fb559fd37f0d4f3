"""Values that are held at nodes: in time, clashing or not, and what they leave for the free ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch._C import _functorch

from graphpde.core.tracing import followed, following
from graphpde.errors import ConditionError
from graphpde.ops.values import require_finite, spread


class Constraint:
    """u = value(t) at some nodes.

    Args:
        nodes: sorted unique node numbers [k].
        value: t -> [k, 1 or c].
        label: for messages. constant: the value does not change in time. override: wins over another one.
        places: where the nodes lie [k, d], for messages.
        channels: the channels that are held, in ascending order, one column of ``value`` each; None = all.
    """

    def __init__(
        self,
        nodes: Tensor,
        value: Callable[[Tensor], Tensor],
        label: str,
        *,
        constant: bool = False,
        override: bool = False,
        places: Tensor | None = None,
        channels: tuple[int, ...] | None = None,
    ):
        self.nodes, self.value, self.label = nodes, value, label
        self.constant, self.override, self.places, self.channels = constant, override, places, channels

    def at_place(self, node: int) -> str:
        """`` at (0, 1)`` for one of its nodes; nothing where places are not known."""
        if self.places is None or not self.places.shape[1]:
            return ""
        place = self.places[int((self.nodes == node).nonzero()[0])].tolist()
        return " at (" + ", ".join(f"{x:.6g}" for x in place) + ")"

    def rate(self, t: Tensor) -> Tensor:
        """Time derivative of the value [k, 1 or c].

        The gradient of v . value(t) is linear in v, and its derivative along v is what is wanted: reverse mode twice
        costs a fraction of what torch's forward mode does on such small tensors.
        """
        if self.constant:
            return torch.zeros_like(self.value(t))
        if _functorch.maybe_current_level() is not None:  # vmap, jvp or grad around the whole run
            return torch.func.jvp(self.value, (t,), (torch.ones_like(t),))[1]
        keep = torch.is_grad_enabled() and (t.requires_grad or self._learned)
        with following():
            now = followed(t)
            value = self.value(now)
            v = torch.zeros_like(value, requires_grad=True)
            slope = None
            if value.requires_grad:
                slope = torch.autograd.grad((v * value).sum(), now, create_graph=True, allow_unused=True)[0]
            if slope is None or not slope.requires_grad:
                return torch.zeros_like(value)
            rate = torch.autograd.grad(slope, v, create_graph=keep)[0]
        return rate if keep else rate.detach()

    @cached_property
    def _learned(self) -> bool:
        """Whether the value reads a tensor that asks for gradients."""
        return self.value(torch.zeros((), dtype=torch.float64)).requires_grad

    def check(self, t: Tensor) -> None:
        """Values are finite and forward mode sees their dependence on time.

        Raises:
            ConditionError: otherwise; a function built on ``math`` instead of ``torch`` looks constant to forward mode.
        """
        now = require_finite(self.value(t).detach(), f"{self.label} at t={float(t):.6g}")
        if self.constant:
            return
        rate = self.rate(t).detach()
        wrong = ConditionError(
            f"the time derivative of {self.label} does not agree with its values; "
            f"write the value with torch functions of t"
        )
        # where the slope is zero just now, a value that hides its time would pass for a constant
        if not self._reads(t) and not torch.equal(self.value(t + 1e-3 * max(1.0, abs(float(t)))).detach(), now):
            raise wrong
        for scale in (1e-5, 1e-8, 1e-3):  # one is short enough for fast values and long enough for rounding
            h = scale * max(1.0, abs(float(t)))
            slope = (self.value(t + h).detach() - now) / h
            if torch.allclose(rate, slope, rtol=1e-2, atol=1e-3 * (1 + float(slope.abs().max()))):
                return
        raise wrong

    def _reads(self, t: Tensor) -> bool:
        """Whether differentiation sees that the value depends on time."""
        with following():
            now = followed(t.detach())
            value = self.value(now)
            return value.requires_grad and torch.autograd.grad(value.sum(), now, allow_unused=True)[0] is not None


class Fixed:
    """Several constraints as one: which entries of a state are fixed and their values in time.

    Values are [*, k, c], a row a node, or, where a constraint holds some channels alone, [*, k], one for each entry.

    Args:
        n: nodes of the state. t: when clashes are looked for. channels: of the state, needed to hold some of them.

    Attributes:
        mask: bool [n], or [n, c] where some channels alone are held. nodes: those with anything fixed.
        constant: whether no value changes in time.

    Raises:
        ConditionError: two constraints give different values on a shared node, or a channel that the state has not.
    """

    def __init__(self, constraints: Sequence[Constraint], n: int, t: Tensor, channels: int | None = None):
        constraints = sorted(constraints, key=lambda c: c.override)
        self.constraints = constraints
        partly = any(c.channels is not None for c in constraints)
        self._width = _checked_width(constraints, channels) if partly else None
        self.refuse_clashes(t)
        slots = [self._slots_of(c) for c in constraints]
        mask = torch.zeros(n * (self._width or 1), dtype=torch.bool, device=constraints[0].nodes.device)
        owner = torch.full(mask.shape, -1, dtype=torch.int64, device=mask.device)
        for k, mine in enumerate(slots):
            mask[mine] = True
            owner[mine] = k
        self._slots = mask.nonzero()[:, 0]
        self.mask = mask if self._width is None else mask.reshape(n, self._width)
        self.nodes = self._slots if self._width is None else self.mask.any(1).nonzero()[:, 0]
        # each slot takes its value from one constraint: the last one, so that overrides win
        self._parts = [(owner[mine] == k) for k, mine in enumerate(slots)]
        order = torch.cat([mine[part] for mine, part in zip(slots, self._parts, strict=True)])
        self._order = torch.argsort(order)
        self.constant = all(c.constant for c in constraints)

    def _slots_of(self, c: Constraint) -> Tensor:
        """The rows, or where channels are held alone the entries, of one constraint."""
        if self._width is None:
            return c.nodes
        held = torch.tensor(_channels(c, self._width), device=c.nodes.device)
        return (c.nodes[:, None] * self._width + held).reshape(-1)

    @property
    def whole(self) -> Tensor:
        """Nodes with every channel fixed, bool [n]."""
        return self.mask if self._width is None else self.mask.all(1)

    def refuse_clashes(self, t: Tensor) -> None:
        """Refuse two values for one node at time t.

        Raises:
            ConditionError: names both conditions, the first node, its place and both values.
        """
        for i, a in enumerate(self.constraints):
            for b in self.constraints[i + 1 :]:
                shared = a.nodes[torch.isin(a.nodes, b.nodes)]
                both = _shared_channels(a, b, self._width)
                if (b.override and not a.override) or not len(shared) or both == ([], []):
                    continue
                va, vb = a.value(t)[torch.isin(a.nodes, shared)], b.value(t)[torch.isin(b.nodes, shared)]
                if both is not None:
                    va, vb = (_columns_of(v, mine) for v, mine in zip((va, vb), both, strict=True))
                va, vb = torch.broadcast_tensors(va.detach(), vb.detach())
                differ = (va - vb).abs() > 1e-9 * (1 + va.abs())
                if bool(differ.any()):
                    k, channel = differ.nonzero()[0].tolist()
                    node = int(shared[k])
                    raise ConditionError(
                        f"{a.label} and {b.label} clash on {int(differ.any(1).sum())} shared nodes, first node "
                        f"{node}{a.at_place(node)} ({float(va[k, channel]):.6g} against {float(vb[k, channel]):.6g} "
                        f"at t={float(t):.6g}); set override=True on the one that wins (--override NAME)"
                    )

    def value(self, t: Tensor, like: Tensor) -> Tensor:
        """The fixed values with the channels and dtype of ``like``."""
        return self._gather([c.value(t) for c in self.constraints], like)

    def rate(self, t: Tensor, like: Tensor) -> Tensor:
        """Their time derivatives."""
        return self._gather([c.rate(t) for c in self.constraints], like)

    def _gather(self, values: list[Tensor], like: Tensor) -> Tensor:
        parts = []
        for v, c, part in zip(values, self.constraints, self._parts, strict=True):
            mine = like if c.channels is None else like[..., : len(c.channels)]
            rows = spread(v, mine, f"the value of {c.label}")
            parts.append((rows if self._width is None else rows.reshape(-1))[part])
        return torch.cat(parts)[self._order]

    def take(self, u: Tensor) -> Tensor:
        """The values of u [*, n, c] at the fixed entries."""
        return u[..., self._slots, :] if self._width is None else u.flatten(-2)[..., self._slots]

    def put(self, u: Tensor, values: Tensor) -> Tensor:
        """u with ``values`` at the fixed entries."""
        if self._width is None:
            return u.index_copy(-2, self._slots, values.expand(*u.shape[:-2], *values.shape[-2:]))
        flat = u.flatten(-2)
        return flat.index_copy(-1, self._slots, values.expand(*flat.shape[:-1], -1)).reshape(u.shape)

    def clear(self, u: Tensor) -> Tensor:
        """u with zeros at the fixed entries."""
        if self._width is None:
            return u.index_fill(-2, self._slots, 0.0)
        return u.flatten(-2).index_fill(-1, self._slots, 0.0).reshape(u.shape)

    def free(self, u: Tensor) -> Tensor:
        """The entries of u [*, n, c] that are not fixed: [*, k, c], or [*, k] where channels are held alone."""
        return u[..., ~self.mask, :] if self._width is None else u.flatten(-2)[..., ~self.mask.reshape(-1)]

    def lift(self, apply: Callable[[Tensor], Tensor], b: Tensor, values: Tensor) -> Tensor:
        """What the ``values`` leave of A u = b for the free entries, with zeros at the fixed ones.

        Not the values themselves: beside the entries of a small body they would drown the residual of an iterative
        solver, which would then stop before it began.
        """
        if not values.requires_grad and _functorch.maybe_current_level() is None and not bool(values.any()):
            return self.clear(b)
        return self.clear(b - apply(self.put(torch.zeros_like(b), values)))


def _checked_width(constraints: Sequence[Constraint], channels: int | None) -> int:
    first = next(c for c in constraints if c.channels is not None)
    if channels is None:
        raise ConditionError(f"{first.label} holds some channels alone, but no term says how many the state has")
    for c in constraints:
        bad = [k for k in c.channels or () if not 0 <= k < channels]
        if bad:
            raise ConditionError(f"{c.label} holds channel {bad[0]}, expected 0 to {channels - 1}")
    return channels


def _channels(c: Constraint, width: int) -> list[int]:
    return list(range(width)) if c.channels is None else list(c.channels)


def _shared_channels(a: Constraint, b: Constraint, width: int | None) -> tuple[list[int], list[int]] | None:
    """Columns of both values that speak of the same channels; None where both hold all of them."""
    if width is None:
        return None
    one, other = _channels(a, width), _channels(b, width)
    both = [k for k in one if k in other]
    return [one.index(k) for k in both], [other.index(k) for k in both]


def _columns_of(v: Tensor, which: list[int]) -> Tensor:
    return v if v.shape[-1] == 1 else v[..., which]
