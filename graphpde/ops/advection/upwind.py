"""Upwind advection: transport by a velocity that never overshoots."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.space import Space
from graphpde.ops.advection.cells import upwind_on_cells, upwind_through_facets, with_inflow
from graphpde.ops.advection.schemes import SCHEMES
from graphpde.ops.advection.velocity import Velocity, at_quadrature, finite, outflow, side_flows
from graphpde.ops.assembled import Assembled
from graphpde.ops.facet_flow import FacetFlow
from graphpde.ops.term import Term
from graphpde.typing import Scalar, check_shape


@SCHEMES.add("upwind")
class Advection(Assembled):
    r"""Transport u' + div(v u) = 0 by first-order upwind fluxes, conservative in the interior.

    On a space: the Galerkin matrix k_ij = \int v . grad N_i N_j less the boundary flux, made monotone by the smallest
    symmetric diffusion d_ij = max(0, -k_ij, -k_ji) (discrete upwinding); with lumped mass no new extrema appear as
    long as v is free of divergence. What flows out leaves; what flows in carries the value of a Dirichlet condition
    there.

    On a space with a density rho it is rho u' + div(v u) = 0, v the flow of what rho counts through a unit of area.

    On a cell space: each facet carries the average of the cell it flows out of; the rest as above.

    On a graph: ``velocity`` is the signed flow rate q_e of each edge from source to destination in own order; an edge
    and its partner in the other direction are two pipes, so give one of them zero. The upstream node decides: for
    q > 0, m_j u_j' += q u_i and m_i u_i' -= q u_i; for q < 0 the other way round.

    Args:
        domain: Space, CellSpace, Graph, torch-geometric Data or networkx graph.
        velocity: Space, CellSpace: [d], [k, d] per cell, or f(x [k, d]) -> [k, d] in length/time. Graph: [e] in
            measure/time.

    Raises:
        ShapeError: the velocity has another shape. InputError: it is not finite, or a space of quadratic elements.

    Reference: Kuzmin and Turek 2002, J. Comput. Phys. 175, section 4 (discrete upwinding).
    """

    def __init__(self, domain: Any, velocity: Velocity):
        super().__init__()
        self.domain = as_graph(domain)
        self.velocity = velocity
        self._assemble()

    def with_boundary(self, conditions: Any, factor: Scalar = 1.0) -> Term:
        if not isinstance(self.domain, CellSpace):
            return self
        flow = side_flows(self.domain, self.velocity)
        operator = self._on_cells(self.domain, flow) if self._cached is None else self._cached
        through = partial(self._through_facets, self.domain, flow)
        return with_inflow(self.domain, operator, flow, conditions, self.label, through)

    def _build(self) -> LinearOperator:
        on, v = self.domain, self.velocity
        assert on is not None
        if isinstance(on, CellSpace):
            return self._on_cells(on, side_flows(on, v))
        return self._on_space(on, v) if isinstance(on, Space) else self._on_graph(on, graph_flows(on, v))

    def _on_cells(self, space: CellSpace, flow: Tensor) -> Sparse:
        return upwind_on_cells(space, flow)

    def _through_facets(self, space: CellSpace, flow: Tensor) -> FacetFlow:
        return upwind_through_facets(space, flow)

    def _on_space(self, space: Space, velocity: Velocity) -> Sparse:
        return upwind_on_space(space, velocity)[0]

    def _on_graph(self, graph: Graph, q: Tensor) -> Sparse:
        relation = graph.edges
        back = relation.transpose()
        arriving = torch.relu(q)
        leaving = torch.relu(-q)
        diag = -back.collect(back.own(arriving)[:, None])[:, 0] - relation.collect(leaving[:, None])[:, 0]
        if bool((q < 0).any()):  # what flows against its edge needs one that points its way
            relation = both_ways(graph)
            arriving = relation.own(torch.cat([arriving, leaving]))
        return Sparse(relation, arriving, diag)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else super().tensors()


def galerkin(space: Space, velocity: Velocity) -> Sparse:
    r"""The matrix k_ij = \int v . grad N_i N_j, with nothing taken off where it flows out."""
    local = []
    for block in space.blocks(2 * space.element.degree):
        v = at_quadrature(velocity, block, block.ids, space)
        along = torch.einsum("mqid,mqd->mqi", block.gradients.expand(-1, v.shape[1], -1, -1), v)
        local.append(torch.einsum("mqi,qj,mq->mij", along, block.values, block.volume))
    return space.assemble(local)


def upwind_on_space(space: Space, velocity: Velocity) -> tuple[Sparse, Tensor]:
    """The monotone matrix, and the diffusion d_ij of each edge that makes it so [e].

    Raises:
        InputError: quadratic elements, whose mass no diffusion makes monotone.
    """
    if space.element.degree > 1:
        raise InputError(
            f"upwinding needs linear elements, got {type(space.element).__name__}; take P1, Q1 or a CellSpace, or "
            f"CentredAdvection"
        )
    centred = galerkin(space, velocity)
    k = centred.weight
    # both the sparsity and its transpose are sorted by (destination, source): k_ji stands where k_ij does
    reverse = space.edges.transpose().own(k)
    diffusion = torch.relu(torch.maximum(-k, -reverse))
    added = space.edges.collect(diffusion[:, None])[:, 0]
    diag = centred.diag - outflow(space, velocity) - added
    monotone = Sparse(space.edges, k + diffusion, diag).to(space.device, space.dtype)
    return monotone, diffusion.to(space.device, space.dtype)


def graph_flows(graph: Graph, velocity: Velocity) -> Tensor:
    """The flow rate of each edge [e]."""
    if callable(velocity):
        raise InputError("the velocity on a graph is a function, expected the flow rate of each edge [e]")
    q = torch.as_tensor(velocity, dtype=None if isinstance(velocity, Tensor) else graph.dtype)
    return finite(check_shape(q, "e", "velocity", e=graph.edges.n_edges))


def both_ways(graph: Graph) -> Relation:
    """Each edge and its reverse, coalesced: the given edges are the own ones, then their reverses."""
    src, dst = graph.edges.pairs()
    return Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), graph.n, graph.n, coalesce=True)
