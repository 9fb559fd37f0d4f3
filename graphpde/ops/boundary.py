"""Conditions on named sets, node lists or predicates; they bind to a domain when a sum of terms has one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from graphpde.core.graph import Graph, Where
from graphpde.core.linear_operator import Diagonal, LinearOperator
from graphpde.errors import ConditionError
from graphpde.mesh.second_order import nodes_of
from graphpde.mesh.space import Space
from graphpde.ops.constraint import Constraint
from graphpde.ops.integration import Integration
from graphpde.ops.source import Load
from graphpde.ops.term import Condition, LinearTerm
from graphpde.ops.values import evaluate, is_constant, is_learned, positions, require_finite
from graphpde.typing import Field


class Placed(Condition):
    """A condition on a named set, node numbers or a predicate."""

    def __init__(self, where: Where):
        self.where = where
        if isinstance(where, str | int):
            self.place = f"'{where}'"
        else:
            self.place = getattr(where, "__name__", "a predicate") if callable(where) else "a node list"

    def _nodes_and_values(self, domain: Graph, value: Field) -> tuple[Tensor, Field]:
        """The nodes in ascending order, each once, and the value; one with a row for each node given is sorted along.

        Raises:
            UnknownName, ConditionError: no such set, or it is empty; rows for a node that is given twice.
        """
        given = domain.nodes_of(self.where)
        nodes, order = torch.sort(given)
        rows = isinstance(value, Tensor) and value.dim() == 2 and len(value) == len(given) > 1
        if bool((nodes.diff() == 0).any()):
            if rows:
                raise ConditionError(f"{self.place} names a node twice, so its values [k, c] may contradict each other")
            nodes = torch.unique(nodes)
        elif rows and isinstance(value, Tensor):
            value = value.to(order.device)[order]
        return nodes, value


class Dirichlet(Placed):
    """u = value on ``where``.

    Args:
        where: named set, node numbers (or a mask [n]) or predicate on positions [n, d] -> bool [n].
        value: a number, a tensor [c] or [k, c] (in the order of the nodes given), or f(x [k, d], t) -> [k] or [k, c]
            (use torch functions of t: explicit steppers take its time derivative).
        override: wins on nodes shared with another Dirichlet condition, which is an error otherwise unless both
            values agree.
        channels: hold these channels of the state alone; the value then has one for each of them. None = all.

    Raises:
        ConditionError: channels that are not in ascending order.
    """

    def __init__(self, where: Where, value: Field, *, override: bool = False, channels: Sequence[int] | None = None):
        super().__init__(where)
        self.value, self.override = value, override
        self.channels = None if channels is None else tuple(channels)
        if channels is not None and list(channels) != sorted(set(channels)):
            raise ConditionError(f"channels are {list(channels)}, expected some in ascending order, each once")

    def bind(self, domain: Graph) -> Constraint:
        """The constraint on the nodes of ``domain``.

        Raises:
            UnknownName, ConditionError: no such set, or it is empty; a node with two values.
        """
        nodes, value = self._nodes_and_values(domain, self.value)
        x, what = positions(domain, nodes), f"Dirichlet value on {self.place}"
        constant = is_constant(value)
        kept = evaluate(value, x, 0.0, what) if constant else None

        def at(t: Tensor) -> Tensor:
            return evaluate(value, x, t, what) if kept is None else kept

        label = f"Dirichlet on {self.place}"
        return Constraint(nodes, at, label, constant=constant, override=self.override, places=x, channels=self.channels)


class Neumann(Placed):
    """Inflow kappa du/dn = inflow on ``where``: per length in the plane, per area in space, per node on a graph.

    Args:
        where: a named set of facets, facet numbers or a predicate; on a graph without elements a set of nodes.
        inflow: number, the same for every channel, tensor [c] or f(x, t); positive brings u in. Of a body it is the
            traction.
    """

    def __init__(self, where: Where, inflow: Field):
        super().__init__(where)
        self.inflow = inflow

    def bind(self, domain: Graph) -> Load:
        """The load on ``domain``."""
        what = f"inflow on {self.place}"
        if isinstance(domain, Space):
            if isinstance(self.inflow, Tensor) and self.inflow.dim() == 2 and len(self.inflow) > 1:
                raise ConditionError(
                    f"{what} has {len(self.inflow)} rows, but facets are integrated at points of their own; "
                    f"give a number, a tensor [c] or a function f(x, t)"
                )
            _refuse_joined(domain, self.where, what)
            return Load(domain, self.inflow, where=self.where, what=what)
        nodes, inflow = self._nodes_and_values(domain, self.inflow)
        x = positions(domain, nodes)

        def at_nodes(t: Tensor) -> Tensor:
            v = evaluate(inflow, x, t, what)
            return v.new_zeros(domain.n, v.shape[-1]).index_copy(0, nodes, v)

        return Load(domain, inflow, vector=at_nodes, what=what)


class Robin(Placed):
    """kappa du/dn + a u = g on ``where``: exchange with something outside, as in Newton's law of cooling.

    With a surrounding value u0 that is g = a u0. On cell averages and on graphs likewise.

    Args:
        where: as for :class:`Neumann`.
        a: exchange coefficient >= 0, constant in time: a number, a tensor [c] or f(x, t) -> [k] or [k, c]; in
            length/time where u is what is stored, in W/(m^2 K) beside a conductivity in W/(m K).
        g: number, tensor [c] or f(x, t); positive brings u in.
    """

    def __init__(self, where: Where, a: Field, g: Field = 0.0):
        super().__init__(where)
        self.a, self.g = a, g

    def bind(self, domain: Graph) -> Exchange:
        """The term on ``domain``.

        Raises:
            ConditionError: a is negative, not finite or changes in time.
        """
        what = f"Robin condition on {self.place}"
        return Exchange(domain, self.a, Neumann(self.where, self.g).bind(domain), self.where, what)


class Exchange(LinearTerm):
    r"""-\int a u N_i over facets, and a load beside it; on a graph -a_i u_i.

    With lumped mass the boundary is lumped as well, so that it brings no new extrema. ``first``: how many channels it
    speaks of where the state has more; None = all.
    """

    def __init__(
        self,
        domain: Graph,
        a: Field,
        inflow: Load,
        where: Where,
        what: str,
        *,
        axisymmetric: bool = False,
        first: int | None = None,
    ):
        super().__init__()
        self.domain, self.a, self.inflow, self.what, self.where = domain, a, inflow, what, where
        self.axisymmetric, self.first = axisymmetric, first
        self._kept = None if is_learned(a) else self._build()

    @property
    def label(self) -> str:
        return self.what

    @property
    def operator(self) -> LinearOperator:
        return self._build() if self._kept is None else self._kept

    def load(self, t: Tensor, like: Tensor) -> Tensor | None:
        return self.inflow.load(t, like)

    def check(self, t: Tensor) -> None:
        """Refuse an inflow that is not finite at time t."""
        self.inflow.check(t)

    def within(self, channels: int) -> Exchange:
        d = self.first
        if d is None or channels <= d:
            return self
        assert self.domain is not None
        given, more = self.a, (0, channels - d)

        def of_places(x: Tensor, t: Tensor) -> Tensor:
            return torch.nn.functional.pad(evaluate(given, x, t, self.what).expand(len(x), d), more)

        constant = None if callable(given) else torch.as_tensor(given, dtype=torch.float64).expand(d)
        a = of_places if constant is None else torch.nn.functional.pad(constant, more)
        return Exchange(self.domain, a, self.inflow, self.where, self.what, axisymmetric=self.axisymmetric)

    def about_axis(self) -> Exchange:
        if self.axisymmetric:
            return self
        assert self.domain is not None
        inflow = self.inflow.about_axis()
        return Exchange(self.domain, self.a, inflow, self.where, self.what, axisymmetric=True)

    def tensors(self) -> tuple[Tensor, ...]:
        return (*((self.a,) if isinstance(self.a, Tensor) else ()), *self.inflow.tensors())

    def _coefficient(self, x: Tensor) -> Tensor:
        """a at points x [k, d] as [k, 1 or c]."""
        what = f"the exchange coefficient of the {self.what}"
        a = require_finite(evaluate(self.a, x, 0.0, what), what)
        if callable(self.a) and not torch.equal(a, evaluate(self.a, x, 1.0, what)):
            raise ConditionError(f"{what} changes in time, expected one constant in time; put the time into g")
        if bool((a.detach() < 0).any()):
            raise ConditionError(
                f"{what} is {float(a.detach().min()):g} somewhere, expected a >= 0: kappa du/dn + a u = g takes u out"
            )
        return a

    def _build(self) -> LinearOperator:
        domain = self.domain
        assert domain is not None
        if not isinstance(domain, Space):
            nodes = torch.unique(domain.nodes_of(self.where))
            a = self._coefficient(positions(domain, nodes))
            return Diagonal(-a.new_zeros(domain.n, a.shape[1]).index_copy(0, nodes, a))
        over = Integration(domain, 2 * domain.element.degree, self.where)
        local = []
        for b in over.blocks:
            a = self._coefficient(b.points.flatten(0, 1)).unflatten(0, b.volume.shape)
            a = a * b.points[..., :1] if self.axisymmetric else a
            if domain.lumped:
                local.append(torch.diag_embed(-torch.einsum("mqc,qi,mq->mci", a, b.values, b.volume)).movedim(1, -1))
            else:
                local.append(-torch.einsum("mqc,qi,qj,mq->mijc", a, b.values, b.values, b.volume))
        if local[0].shape[-1] == 1:
            local = [a[..., 0] for a in local]
        return over.assembled(local, symmetric=True)


def refuse_without_effect(conditions: Sequence[Placed], domain: Graph) -> None:
    """Refuse an inflow or an exchange all of whose facets (on a graph nodes) hold a value already.

    Sides that meet share nodes, not facets. Where only some facets hold a value, it wins there and the rest acts: so a
    flux may be given on the whole boundary beside a value on a part of it.

    Raises:
        ConditionError: names both conditions.
    """
    held = [c for c in conditions if isinstance(c, Dirichlet) and c.channels is None]
    for flux in (c for c in conditions if isinstance(c, Neumann | Robin)):
        for value in held:
            if _covers(value, flux, domain):
                raise without_effect(value, flux)


def without_effect(value: Placed, flux: Placed) -> ConditionError:
    """The error for a flux through facets that hold a value."""
    kind = type(flux).__name__
    return ConditionError(
        f"{kind} on {flux.place} has no effect: Dirichlet on {value.place} holds the value on all of it; "
        f"give one of the two"
    )


def _covers(value: Placed, flux: Placed, domain: Graph) -> bool:
    """Whether a value is held on every facet of a flux: by the facets of its set, else by the nodes of each facet."""
    if not isinstance(domain, Space):
        return bool(torch.isin(domain.nodes_of(flux.where), domain.nodes_of(value.where)).all())
    mesh, asked = domain.mesh, domain.facet_ids(flux.where).cpu()
    if isinstance(value.where, str | int) and mesh.tag(value.where).dim == mesh.dim - 1:
        return bool(torch.isin(asked, mesh.tag(value.where).ids.cpu()).all())
    tag = mesh.make_tag(mesh.dim - 1, asked)
    points = nodes_of(mesh, tag) if domain.element.degree > 1 else tag.nodes
    return bool(torch.isin(domain.dof_of_point.cpu()[points], domain.nodes_of(value.where).cpu()).all())


def _refuse_joined(space: Space, where: Where, what: str) -> None:
    """Refuse a flux through periodic sides: there is no boundary any more.

    Raises:
        ConditionError: a facet of ``where`` has been joined to its partner.
    """
    if not space.periodic:
        return
    ids = space.facet_ids(where)
    outer = torch.isin(ids, space.mesh.boundary_facets) & ~torch.isin(ids, space.mesh.tag("boundary").ids)
    if bool(outer.any()):
        raise ConditionError(
            f"{what} acts on {int(outer.sum())} facets of periodic sides, which are joined and no boundary any more"
        )
