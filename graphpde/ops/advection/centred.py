"""Centred advection: no smoothing of its own."""

from __future__ import annotations

import torch
from torch import Tensor

from graphpde.core.graph import Graph
from graphpde.core.linear_operator import Sparse
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.advection.cells import centred_on_cells
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.upwind import Advection, both_ways, galerkin
from graphpde.ops.advection.velocity import Velocity


@SCHEMES.add("centred")
class CentredAdvection(Advection):
    r"""Transport u' + div(v u) = 0 by centred fluxes: of second order on smooth fields, oscillating at steep ones.

    On cell averages of triangles and tetrahedra of first order: the line between two centroids misses the middle of the
    facet; :class:`LimitedAdvection` reconstructs there.

    On a space the Galerkin matrix, on a cell space the linear interpolation of the two averages at each facet, on a
    graph the mean of both ends of each edge. Without diffusion the spectrum lies near the imaginary axis: explicit
    steps need a method that is stable there (``rk4``, ``bosh3``). What flows in carries the value of a Dirichlet
    condition there.

    Args and errors: as :class:`Advection`; quadratic elements are welcome.
    """

    def _on_cells(self, space: CellSpace, flow: Tensor) -> Sparse:
        return centred_on_cells(space, flow)

    def _on_space(self, space: Space, velocity: Velocity) -> Sparse:
        return galerkin(space, velocity).to(space.device, space.dtype)

    def _on_graph(self, graph: Graph, q: Tensor) -> Sparse:
        edges, back = graph.edges, graph.edges.transpose()
        gain = edges.collect(q[:, None]) - back.collect(back.own(q)[:, None])
        relation = both_ways(graph)
        return Sparse(relation, relation.own(torch.cat([q, -q])) / 2, gain[:, 0] / 2)
