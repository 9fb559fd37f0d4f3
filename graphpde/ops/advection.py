"""Upwind advection: transport by a velocity that never overshoots."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from graphpde.core.bridges import as_graph
from graphpde.core.graph import Graph
from graphpde.core.linear_operator import LinearOperator, Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
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

    On a graph: ``velocity`` is the signed flow rate q_e of each edge from source to destination in own order; an edge
    and its partner in the other direction are two pipes, so give one of them zero. The upstream node decides: for
    q > 0, m_j u_j' += q u_i and m_i u_i' -= q u_i; for q < 0 the other way round.

    Args:
        domain: Space, Graph, torch-geometric Data or networkx graph.
        velocity: Space: [d], [k, d] per cell, or f(x [k, d]) -> [k, d] in length/time. Graph: [e] in measure/time.

    Raises:
        ShapeError: the velocity has another shape. InputError: it is not finite.

    Reference: Kuzmin and Turek 2002, J. Comput. Phys. 175, section 4 (discrete upwinding).
    """

    def __init__(self, domain: Any, velocity: Velocity):
        super().__init__()
        self.domain = as_graph(domain)
        self.velocity = velocity
        with torch.enable_grad():  # whether anything is being learned must not depend on where the term is built
            operator = self._build()  # refuses now, not in the first step
        # a velocity that is being learned changes between calls: never cache what hangs on it
        learned = any(w.requires_grad for w in operator.tensors())
        self._cached: LinearOperator | None = None if learned else operator

    @property
    def operator(self) -> LinearOperator:
        return self._build() if self._cached is None else self._cached

    def _build(self) -> LinearOperator:
        on, v = self.domain, self.velocity
        assert on is not None
        return _on_space(on, v) if isinstance(on, Space) else _on_graph(on, v)

    def tensors(self) -> tuple[Tensor, ...]:
        return (self.velocity,) if isinstance(self.velocity, Tensor) else super().tensors()


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
    if not blocks:
        return torch.zeros(space.n, dtype=torch.float64, device=space.device)
    return space.assemble_facets(blocks, corners)[:, 0]


def _at_quadrature(velocity: Velocity, block: Block, cells: Tensor, space: Space) -> Tensor:
    """Velocity at the quadrature points of a block [m, q, d]; ``cells`` are the cells the entities belong to."""
    m, q, d = block.points.shape
    if callable(velocity):
        v = torch.as_tensor(velocity(block.points.reshape(-1, d)), dtype=torch.float64, device="cpu")
        return _finite(check_shape(v, "k d", "velocity", k=m * q, d=d)).reshape(m, q, d)
    v = _finite(torch.as_tensor(velocity, dtype=torch.float64, device="cpu"))
    if v.dim() == 1 and v.shape[0] == d:
        return v.expand(m, q, d)
    if v.dim() == 2 and tuple(v.shape) == (space.mesh.n_cells, d):
        return v[cells][:, None].expand(m, q, d)
    raise ShapeError(
        f"velocity has shape {list(v.shape)}, expected [{d}], [{space.mesh.n_cells}, {d}] or a function of x"
    )


def _on_graph(graph: Graph, velocity: Velocity) -> Sparse:
    if callable(velocity):
        raise InputError("the velocity on a graph is a function, expected the flow rate of each edge [e]")
    relation = graph.edges
    q = torch.as_tensor(velocity, dtype=None if isinstance(velocity, Tensor) else graph.dtype)
    q = _finite(check_shape(q, "e", "velocity", e=relation.n_edges))
    back = relation.transpose()
    arriving = torch.relu(q)
    leaving = torch.relu(-q)
    diag = -back.collect(back.own(arriving)[:, None])[:, 0] - relation.collect(leaving[:, None])[:, 0]
    if bool((q < 0).any()):  # what flows against its edge needs one that points its way
        src, dst = relation.pairs()
        relation = Relation.from_edges(torch.cat([src, dst]), torch.cat([dst, src]), graph.n, graph.n, coalesce=True)
        arriving = relation.own(torch.cat([arriving, leaving]))
    return Sparse(relation, arriving, diag)


def _finite(v: Tensor) -> Tensor:
    bad = int((~torch.isfinite(v)).sum())
    if bad:
        raise InputError(f"the velocity is not finite at {bad} of {v.numel()} entries")
    return v
