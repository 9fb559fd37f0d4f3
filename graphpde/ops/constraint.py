"""Values that are held at nodes: in time, clashing or not, and what they leave for the free ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor
from torch._C import _functorch

from graphpde.errors import ConditionError
from graphpde.ops.values import require_finite, spread


class Constraint:
    """u = value(t) at some nodes.

    Args:
        nodes: sorted unique node numbers [k].
        value: t -> [k, 1 or c].
        label: for messages. constant: the value does not change in time. override: wins over another one.
        places: where the nodes lie [k, d], for messages.
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
    ):
        self.nodes, self.value, self.label = nodes, value, label
        self.constant, self.override, self.places = constant, override, places

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
        with torch.enable_grad():
            now = t if t.requires_grad else t.detach().requires_grad_()
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
        with torch.enable_grad():
            now = t.detach().clone().requires_grad_()
            value = self.value(now)
            return value.requires_grad and torch.autograd.grad(value.sum(), now, allow_unused=True)[0] is not None


class Fixed:
    """Several constraints as one: which nodes are fixed and their values in time.

    Raises:
        ConditionError: two constraints give different values on a shared node.
    """

    def __init__(self, constraints: Sequence[Constraint], n: int, t: Tensor):
        constraints = sorted(constraints, key=lambda c: c.override)
        self.constraints = constraints
        self.refuse_clashes(t)
        self.mask = torch.zeros(n, dtype=torch.bool, device=constraints[0].nodes.device)
        owner = torch.full((n,), -1, dtype=torch.int64, device=self.mask.device)
        for k, c in enumerate(constraints):
            self.mask[c.nodes] = True
            owner[c.nodes] = k
        self.nodes = self.mask.nonzero()[:, 0]
        # each node takes its value from one constraint: the last one, so that overrides win
        self._parts = [(owner[c.nodes] == k) for k, c in enumerate(constraints)]
        order = torch.cat([c.nodes[part] for c, part in zip(constraints, self._parts, strict=True)])
        self._order = torch.argsort(order)
        self.constant = all(c.constant for c in constraints)

    def refuse_clashes(self, t: Tensor) -> None:
        """Refuse two values for one node at time t.

        Raises:
            ConditionError: names both conditions, the first node, its place and both values.
        """
        for i, a in enumerate(self.constraints):
            for b in self.constraints[i + 1 :]:
                shared = a.nodes[torch.isin(a.nodes, b.nodes)]
                if (b.override and not a.override) or not len(shared):
                    continue
                va, vb = a.value(t)[torch.isin(a.nodes, shared)], b.value(t)[torch.isin(b.nodes, shared)]
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
        """Values at ``nodes`` [k, c] with the channels and dtype of ``like``."""
        return self._gather([c.value(t) for c in self.constraints], like)

    def rate(self, t: Tensor, like: Tensor) -> Tensor:
        """Their time derivatives [k, c]."""
        return self._gather([c.rate(t) for c in self.constraints], like)

    def _gather(self, values: list[Tensor], like: Tensor) -> Tensor:
        trio = zip(values, self.constraints, self._parts, strict=True)
        parts = [spread(v, like, f"the value of {c.label}")[part] for v, c, part in trio]
        return torch.cat(parts)[self._order]

    def put(self, u: Tensor, values: Tensor) -> Tensor:
        """u with ``values`` [k, c] at the fixed nodes."""
        return u.index_copy(-2, self.nodes, values.expand(*u.shape[:-2], *values.shape[-2:]))

    def clear(self, u: Tensor) -> Tensor:
        """u with zeros at the fixed nodes."""
        return u.index_fill(-2, self.nodes, 0.0)

    def lift(self, apply: Callable[[Tensor], Tensor], b: Tensor, values: Tensor) -> Tensor:
        """What the ``values`` [k, c] leave of A u = b for the free nodes, with zeros at the fixed ones.

        Not the values themselves: beside the entries of a small body they would drown the residual of an iterative
        solver, which would then stop before it began.
        """
        if not values.requires_grad and _functorch.maybe_current_level() is None and not bool(values.any()):
            return self.clear(b)
        return self.clear(b - apply(self.put(torch.zeros_like(b), values)))
