"""Upwind advection: transport by a velocity that never overshoots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.errors import ShapeError
from graphpde.mesh.geometry import facet_normals
from graphpde.mesh.space import Block, Space
from graphpde.ops.term import LinearTerm
from graphpde.typing import check_shape

Velocity = Tensor | Callable[[Tensor], Tensor]


class Advection(LinearTerm):
    r"""Transport u' + div(v u) = 0 by first-order upwind fluxes, conservative in the interior.

    On a space: the Galerkin matrix k_ij = \int v . grad N_i N_j less the boundary flux, made monotone by the smallest
    symmetric diffusion d_ij = max(0, -k_ij, -k_ji) (discrete upwinding); with lumped mass no new extrema appear as
    long as v is free of divergence. What flows out leaves; what flows in carries the value of a Dirichlet condition
    there.

    On a graph: ``velocity`` is the signed flow rate q_e of each edge from source to destination in own order, one
    direction of each edge given as positive (a partner edge counts with the opposite sign through its own entry, so
    give zero there): the upstream node decides, m_j u_j' += q u_i, m_i u_i' -= q u_i.

    Args:
        domain: Space, Graph, torch-geometric Data or networkx graph.
        velocity: Space: [d], [k, d] per cell, or f(x [k, d]) -> [k, d] in length/time. Graph: [e] in measure/time.

    Raises:
        ShapeError: the velocity has another shape.

    Reference: Kuzmin and Turek 2002, J. Comput. Phys. 175, section 4 (discrete upwinding).
    """

    def __init__(self, domain: Any, velocity: Velocity):
        super().__init__()
        self.domain = as_graph(domain)
        self.velocity = velocity
        if isinstance(self.domain, Space):
            self._operator = _on_space(self.domain, velocity)
        else:
            self._operator = _on_graph(self.domain, velocity)

    @property
    def operator(self) -> LinearOperator:
        return self._operator

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else ()


def _on_space(space: Space, velocity: Velocity) -> Sparse:
    local = []
    for block in space.blocks(2):
        v = _at_quadrature(velocity, block, block.ids, space)
        along = torch.einsum("mqid,mqd->mqi", block.gradients.expand(-1, v.shape[1], -1, -1), v)
        local.append(torch.einsum("mqi,qj,mq->mij", along, block.values, block.volume))
    galerkin = space.assemble(local)
    k = galerkin.weight
    # both the sparsity and its transpose are sorted by (destination, source): k_ji stands where k_ij does
    reverse = space.edges.transpose().own(k)
    diffusion = torch.relu(torch.maximum(-k, -reverse))
    added = space.edges.collect(diffusion[:, None])[:, 0]
    diag = galerkin.diag - added - _outflow(space, velocity)
    return Sparse(space.edges, k + diffusion, diag).to(space.device, space.dtype)


def _outflow(space: Space, velocity: Velocity) -> Tensor:
    r"""\int (v.n)^+ N_i over the boundary [n], lumped to the diagonal."""
    blocks = space.facets(space.mesh.boundary_facets)
    corners = []
    for block in blocks:
        normal = facet_normals(space.mesh, block.ids)
        v = _at_quadrature(velocity, block, space.mesh.facets.cells[block.ids, 0], space)
        flux = torch.relu(torch.einsum("mqd,md->mq", v, normal)) * block.volume
        corners.append(torch.einsum("qk,mq->mk", block.values, flux)[..., None])
    return space.assemble_facets(blocks, corners)[:, 0] if blocks else space.measure.new_zeros(space.n)


def _at_quadrature(velocity: Velocity, block: Block, cells: Tensor, space: Space) -> Tensor:
    """Velocity at the quadrature points of a block [m, q, d]; ``cells`` are the cells the entities belong to."""
    m, q, d = block.points.shape
    if callable(velocity):
        v = torch.as_tensor(velocity(block.points.reshape(-1, d)))
        return check_shape(v, "k d", "velocity", k=m * q, d=d).to(torch.float64).reshape(m, q, d)
    v = torch.as_tensor(velocity, dtype=torch.float64)
    if v.dim() == 1 and v.shape[0] == d:
        return v.expand(m, q, d)
    if v.dim() == 2 and tuple(v.shape) == (space.mesh.n_cells, d):
        return v[cells][:, None].expand(m, q, d)
    raise ShapeError(
        f"velocity has shape {list(v.shape)}, expected [{d}], [{space.mesh.n_cells}, {d}] or a function of x"
    )


def _on_graph(graph: Graph, velocity: Velocity) -> Sparse:
    q = check_shape(torch.as_tensor(velocity), "e", "velocity", e=graph.edges.n_edges)
    back = graph.edges.transpose()
    arriving = torch.relu(q)
    leaving = torch.relu(-q)
    diag = -back.collect(back.own(arriving)[:, None])[:, 0] - graph.edges.collect(leaving[:, None])[:, 0]
    return Sparse(graph.edges, arriving, diag)
