"""Sources and boundary loads: what is added whatever the state is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph, Where
from graphpde.mesh.blocks import Quadrature
from graphpde.mesh.space import Space
from graphpde.ops.term import LinearTerm
from graphpde.ops.values import evaluate, is_constant, is_learned, positions, require_finite, spread
from graphpde.typing import Field


class Load(LinearTerm):
    r"""A load b_i(t) = \int f N_i over cells or facets; on a graph without elements b_i = m_i f(x_i, t).

    Args:
        domain: where. f: the density. where: facets of a space; None = the whole domain.
        vector: t -> [n, c] overrides the integration. what: for messages.
        times: what f is multiplied by where it is evaluated, [q, 1 or c] at the points of ``domain.quadrature(where)``,
            or at the nodes where f is given there.
        partial: whether channels that ``times`` or ``vector`` lack have no load; else the state must have as many.
    """

    def __init__(
        self,
        domain: Graph,
        f: Field,
        *,
        where: Where | None = None,
        vector: Callable[[Tensor], Tensor] | None = None,
        what: str = "source",
        times: Tensor | None = None,
        partial: bool = False,
    ):
        super().__init__()
        self.domain, self.f, self.where, self.what = domain, f, where, what
        self._vector, self._times, self._partial = vector, times, partial
        self._rule: Quadrature | None = None
        if isinstance(domain, Space) and vector is None and not (where is None and _per_node(f, domain.n)):
            self._rule = domain.quadrature(where)
        self._constant: Tensor | None = None
        if is_constant(f) and not is_learned(f):
            self._constant = require_finite(self._at(torch.zeros((), dtype=torch.float64, device=domain.device)), what)

    @property
    def label(self) -> str:
        return self.what

    def load(self, t: Tensor, like: Tensor) -> Tensor:
        b = self._at(t) if self._constant is None else self._constant
        return spread(b, like, self.what)

    @property
    def autonomous(self) -> bool:
        return self._constant is not None

    def check(self, t: Tensor) -> None:
        """Refuse a load that is not finite at time t.

        Raises:
            ConditionError: with the count and the first node.
        """
        if self._constant is None:
            require_finite(self._at(t).detach(), f"{self.what} at t={float(t):.6g}")

    def within(self, channels: int) -> Load:
        if not self._partial:
            return self
        assert self.domain is not None
        vector, times = self._vector, self._times
        if vector is not None:
            return Load(self.domain, self.f, what=self.what, vector=lambda t: _widened(vector(t), channels))
        assert times is not None
        times = _widened(times, channels)
        return Load(self.domain, self.f, where=self.where, what=self.what, times=times)

    def about_axis(self) -> Load:
        if self.axisymmetric or self._vector is not None:
            return self
        radius = (positions(self.domain) if self._rule is None else self._rule.points)[:, :1]  # type: ignore[arg-type]
        times = radius if self._times is None else radius * self._times
        ring = Load(self.domain, self.f, where=self.where, what=self.what, times=times)  # type: ignore[arg-type]
        ring.axisymmetric = True
        return ring

    def _weighted(self, v: Tensor) -> Tensor:
        return v if self._times is None else v * self._times.to(v.dtype)

    def _at(self, t: Tensor) -> Tensor:
        if self._vector is not None:
            return self._vector(t)
        if self._rule is not None:
            return self._rule.integrate(self._weighted(evaluate(self.f, self._rule.points, t, self.what)))
        domain, f = self.domain, self.f
        assert domain is not None
        if isinstance(f, Tensor) and _per_node(f, domain.n):
            f = f.reshape(domain.n, -1)
        v = self._weighted(evaluate(f, positions(domain), t, self.what))
        if isinstance(domain, Space) and domain.element.degree > 1:  # lumped masses vanish at vertices
            return domain.consistent_mass(v.expand(domain.n, -1))
        return domain.measure.to(v.dtype)[:, None] * v

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.f,) if isinstance(self.f, Tensor) else ()


class Source(Load):
    r"""A source f added to du/dt: \int f N_i, by quadrature on a space.

    Beside :class:`StreamlineUpwind`, which tests with other functions, it is refused: give the source there.

    Args:
        domain: space, graph, PyG data or networkx graph.
        f: number, tensor ([c], or one value per node [n] or [n, c]: then m_i f_i, with the consistent mass on elements
            of second order), or f(x [k, d], t) -> [k] or [k, c], in units of u per time.
    """

    plain_load = True

    def __init__(self, domain: Any, f: Field):
        super().__init__(as_graph(domain), f, what="source")


def _widened(v: Tensor, channels: int) -> Tensor:
    """[k, c] followed by zeros up to so many channels."""
    return torch.nn.functional.pad(v, (0, max(channels - v.shape[1], 0)))


def _per_node(f: Field, n: int) -> bool:
    return isinstance(f, Tensor) and f.dim() >= 1 and f.shape[0] == n
