"""Conditions on named sets, node lists or predicates; they bind to a domain when a sum of terms has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from graphpde.core.graph import Graph, Where
from graphpde.errors import ConditionError
from graphpde.mesh.space import Space
from graphpde.ops.source import Load
from graphpde.ops.term import Condition
from graphpde.ops.values import evaluate, is_constant, require_finite, spread
from graphpde.typing import Field


class Placed(Condition):
    """A condition on a named set, node numbers or a predicate."""

    def __init__(self, where: Where):
        self.where = where
        if isinstance(where, str | int):
            self.place = f"'{where}'"
        else:
            self.place = getattr(where, "__name__", "a predicate") if callable(where) else "a node list"


class Dirichlet(Placed):
    """u = value on ``where``.

    Args:
        where: named set, node numbers or predicate on positions [n, d] -> bool [n].
        value: a number, a tensor [c] or [k, c], or f(x [k, d], t) -> [k] or [k, c] (use torch functions of t:
            explicit steppers take its time derivative).
        override: wins on nodes shared with another Dirichlet condition, which is an error otherwise unless both
            values agree.
    """

    def __init__(self, where: Where, value: Field, *, override: bool = False):
        super().__init__(where)
        self.value, self.override = value, override

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on the nodes of ``domain``.

        Raises:
            UnknownName, ConditionError: no such set, or it is empty.
        """
        nodes = torch.unique(domain.nodes_of(self.where))
        if domain.pos is None and callable(self.value):
            raise ConditionError(f"the condition on {self.place} is a function of position and the graph has none")
        x = torch.zeros(len(nodes), 0, device=domain.device) if domain.pos is None else domain.pos[nodes]
        value = self.value

        def at(t: Tensor) -> Tensor:
            return evaluate(value, x, t, f"Dirichlet value on {self.place}")

        return Constraint(nodes, at, f"Dirichlet on {self.place}", constant=is_constant(value), override=self.override)


class Neumann(Placed):
    """Inflow kappa du/dn = inflow on ``where``: per length in the plane, per area in space, per node on a graph.

    Args:
        where: a named set of facets or a predicate; on a graph without elements a set of nodes.
        inflow: number, tensor [c] or f(x, t); positive brings u in.
    """

    def __init__(self, where: Where, inflow: Field):
        super().__init__(where)
        self.inflow = inflow

    def bind(self, domain: Graph) -> Load:
        """The load on ``domain``."""
        what = f"inflow on {self.place}"
        if isinstance(domain, Space):
            domain.facet_ids(self.where)
            return Load(domain, self.inflow, where=self.where, what=what)
        nodes = domain.nodes_of(self.where)
        x = torch.zeros(len(nodes), 0) if domain.pos is None else domain.pos[nodes]

        def at_nodes(t: Tensor) -> Tensor:
            v = evaluate(self.inflow, x, t, what)
            return v.new_zeros(domain.n, v.shape[-1]).index_copy(0, nodes, v)

        return Load(domain, self.inflow, vector=at_nodes, what=what)


class Constraint:
    """u = value(t) at some nodes.

    Args:
        nodes: sorted unique node numbers [k].
        value: t -> [k, 1 or c].
        label: for messages. constant: the value does not change in time.
    """

    def __init__(
        self,
        nodes: Tensor,
        value: Callable[[Tensor], Tensor],
        label: str,
        *,
        constant: bool = False,
        override: bool = False,
    ):
        self.nodes, self.value, self.label = nodes, value, label
        self.constant, self.override = constant, override

    def rate(self, t: Tensor) -> Tensor:
        """Time derivative of the value [k, 1 or c], by forward mode."""
        if self.constant:
            return torch.zeros_like(self.value(t))
        return torch.func.jvp(self.value, (t,), (torch.ones_like(t),))[1]

    def check(self, t: Tensor) -> None:
        """Values are finite and forward mode sees their dependence on time.

        Raises:
            ConditionError: otherwise; a function built on ``math`` instead of ``torch`` looks constant to forward mode.
        """
        now = require_finite(self.value(t), f"{self.label} at t={float(t):.6g}")
        if self.constant:
            return
        h = 1e-5 * max(1.0, abs(float(t)))
        slope = (self.value(t + h) - now) / h
        if not torch.allclose(self.rate(t), slope, rtol=1e-2, atol=1e-3 * (1 + float(slope.abs().max()))):
            raise ConditionError(
                f"the time derivative of {self.label} does not agree with its values; "
                f"write the value with torch functions of t"
            )


class Fixed:
    """Several constraints as one: which nodes are fixed and their values in time.

    Raises:
        ConditionError: two constraints give different values on a shared node.
    """

    def __init__(self, constraints: Sequence[Constraint], n: int, t: Tensor):
        constraints = sorted(constraints, key=lambda c: c.override)
        _refuse_clashes(constraints, t)
        self.constraints = constraints
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

    def value(self, t: Tensor, like: Tensor) -> Tensor:
        """Values at ``nodes`` [k, c] with the channels and dtype of ``like``."""
        return self._gather([c.value(t) for c in self.constraints], like)

    def rate(self, t: Tensor, like: Tensor) -> Tensor:
        """Their time derivatives [k, c]."""
        return self._gather([c.rate(t) for c in self.constraints], like)

    def _gather(self, values: list[Tensor], like: Tensor) -> Tensor:
        parts = [spread(v, like)[part] for v, part in zip(values, self._parts, strict=True)]
        return torch.cat(parts)[self._order]

    def put(self, u: Tensor, values: Tensor) -> Tensor:
        """u with ``values`` [k, c] at the fixed nodes."""
        return u.index_copy(-2, self.nodes, values.expand(*u.shape[:-2], *values.shape))


def _refuse_clashes(constraints: Sequence[Constraint], t: Tensor) -> None:
    for i, a in enumerate(constraints):
        for b in constraints[i + 1 :]:
            if b.override and not a.override:
                continue
            shared = a.nodes[torch.isin(a.nodes, b.nodes)]
            if not len(shared):
                continue
            va, vb = a.value(t)[torch.isin(a.nodes, shared)], b.value(t)[torch.isin(b.nodes, shared)]
            va, vb = torch.broadcast_tensors(va, vb)
            differ = ((va - vb).abs() > 1e-9 * (1 + va.abs())).any(1)
            if bool(differ.any()):
                node = int(shared[differ][0])
                k = int(differ.nonzero()[0, 0])
                raise ConditionError(
                    f"{a.label} and {b.label} clash on {int(differ.sum())} shared nodes, first node {node} "
                    f"({float(va[k, 0]):.6g} against {float(vb[k, 0]):.6g}); set override=True on the one that wins"
                )
