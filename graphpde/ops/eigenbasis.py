"""The smoothest modes of a domain as a basis: fields to coefficients and back, and filters between.

Nodes and modes form a bipartite graph with all edges; to analyse is to send messages one way, to synthesise the other.
What is written in coefficients is the same on every mesh of one geometry, up to the error of the modes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.cached import cached
from graphpde.core.graph import Graph
from graphpde.errors import InputError
from graphpde.ops.spectral import modes
from graphpde.ops.system import mass_operator
from graphpde.typing import Scalar, check_shape


@dataclass(frozen=True, eq=False)
class EigenBasis:
    """Modes v_k with -Laplace v_k = lambda_k v_k and v^T M v = 1.

    Attributes:
        values: lambda [k] >= 0, rising, in 1/length^2. vectors: [n, k]. weighted: M v [n, k].
    """

    values: Tensor
    vectors: Tensor
    weighted: Tensor

    @property
    def n(self) -> int:
        """Number of nodes."""
        return self.vectors.shape[0]

    @property
    def k(self) -> int:
        """Number of modes."""
        return self.vectors.shape[1]

    def analyse(self, u: Tensor) -> Tensor:
        """Coefficients v^T M u, [*, n, c] -> [*, k, c].

        Raises:
            ShapeError: a field on another domain.
        """
        check_shape(u, "* n c", "the field", n=self.n)
        return (u.mT @ self._in(u.dtype)[1]).mT  # one product for all fields, not one for each

    def synthesise(self, a: Tensor) -> Tensor:
        """The field of coefficients, [*, k, c] -> [*, n, c].

        Raises:
            ShapeError: coefficients of another basis.
        """
        check_shape(a, "* k c", "the coefficients", k=self.k)
        return (a.mT @ self._in(a.dtype)[0].mT).mT

    def filtered(self, u: Tensor, factors: Tensor) -> Tensor:
        """sum_k factor_k v_k (v_k, u): factors [k, 1] or [k, c], [*, n, c] -> [*, n, c]."""
        return self.synthesise(factors.to(u) * self.analyse(u))

    def heat(self, u: Tensor, time: Scalar | Tensor) -> Tensor:
        """exp(time Laplace) u of what the modes hold; times >= 0, one number or one for each channel [c].

        Raises:
            InputError: a time below 0, or not finite.
        """
        time = torch.as_tensor(time, dtype=self.values.dtype, device=self.values.device)
        if not bool((torch.isfinite(time) & (time >= 0)).all()):
            raise InputError(f"the times go down to {float(time.detach().min()):g}, expected finite numbers >= 0")
        return self.filtered(u, torch.exp(-self.values[:, None] * time))

    def _in(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        if dtype not in self._kinds:
            self._kinds[dtype] = (self.vectors.to(dtype), self.weighted.to(dtype))
        return self._kinds[dtype]

    @cached
    def _kinds(self) -> dict[torch.dtype, tuple[Tensor, Tensor]]:
        return {}


_KNOWN: WeakKeyDictionary[Graph, dict[int, EigenBasis]] = WeakKeyDictionary()


def eigenbasis(domain: Any, k: int) -> EigenBasis:
    """The basis of the k smoothest modes of a domain, worked out once for each.

    Args:
        domain: Space, Graph, torch-geometric Data or networkx graph. k: how many; the nodes, where there are fewer.

    Raises:
        InputError: k below 1, or a directed graph. SolveError: the modes were not found.
    """
    graph = as_graph(domain)
    known = _KNOWN.setdefault(graph, {})
    count = min(k, graph.n)
    if count not in known:
        with torch.no_grad():
            found = modes(graph, count)
            v = found.vectors.detach()
            mass = mass_operator(graph.mass, v)
            values = found.values.detach().clamp(min=0.0)
            known[count] = EigenBasis(values, v, mass.matvec(v))
    return known[count]
