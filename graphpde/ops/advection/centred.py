"""Centred advection: no smoothing of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.linear_operator import Sparse
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.advection.cells import centred_on_cells, centred_through_facets
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.upwind import Advection, both_ways, galerkin
from graphpde.ops.advection.velocity import Velocity, outflow_matrix
from graphpde.ops.facet_flow import FacetFlow


@SCHEMES.add("centred")
class CentredAdvection(Advection):
    r"""Transport u' + div(v u) = 0 by centred fluxes, oscillating where the field is steep.

    On a space the Galerkin matrix, on a graph the mean of both ends of each edge. On a cell space each facet carries
    the mean of what the linear reconstructions of its cells say in its middle, an outflow that of its one cell. These
    fluxes are exact for linear functions on flat facets. On smooth fields linear elements show order two with their
    consistent mass, on random triangles and quadrilaterals too (theory is only sure of one), quadratic ones order two,
    and cell averages two on intervals and quadrilaterals.

    What flows in carries the value of a Dirichlet condition there. Without diffusion the spectrum lies near the
    imaginary axis: explicit steps need a method that is stable there (``rk4``, ``bosh3``). On cell averages of
    irregular triangles some modes grow: add diffusion, or take :class:`LimitedAdvection`.

    Args and errors: as :class:`Advection`; quadratic elements are welcome.

    Reference: Dupont 1973, SIAM J. Numer. Anal. 10 (order k of degree k is all that is sure of Galerkin transport).
    """

    def _on_cells(self, space: CellSpace, flow: Tensor) -> Sparse:
        return centred_on_cells(space, flow)

    def _through_facets(self, space: CellSpace, flow: Tensor) -> FacetFlow:
        return centred_through_facets(space, flow)

    def _on_space(self, space: Space, velocity: Velocity) -> Sparse:
        inner, out = galerkin(space, velocity), outflow_matrix(space, velocity)
        return Sparse(space.edges, inner.weight - out.weight, inner.diag - out.diag).to(space.device, space.dtype)

    def _on_graph(self, graph: Graph, q: Tensor) -> Sparse:
        edges, back = graph.edges, graph.edges.transpose()
        gain = edges.collect(q[:, None]) - back.collect(back.own(q)[:, None])
        relation = both_ways(graph)
        return Sparse(relation, relation.own(torch.cat([q, -q])) / 2, gain[:, 0] / 2)
