"""Velocities at quadrature points of cells and facets, and the flows they make through the sides of cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.core.linear_operator import Sparse
from graphpde.core.relation import Relation
from graphpde.errors import InputError, ShapeError
from graphpde.mesh.blocks import Block, block
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.elements import Q1
from graphpde.mesh.geometry import facet_normals
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.numbering import off_diagonal
from graphpde.mesh.pieces import facet_pieces
from graphpde.mesh.space import Space
from graphpde.typing import check_shape

Velocity = Tensor | Callable[[Tensor], Tensor]


def at_quadrature(velocity: Velocity, on: Block, cells: Tensor, space: Space) -> Tensor:
    """Velocity at the quadrature points of a block [m, q, d]; ``cells`` are those its entities belong to."""
    return at_points(velocity, on.points, cells, space.mesh.n_cells)


def at_points(velocity: Velocity, points: Tensor, cells: Tensor, n_cells: int) -> Tensor:
    """Velocity at points [m, q, d] of entities that belong to ``cells`` [m].

    Raises:
        ShapeError: neither [d] nor one row a cell nor a function with one row a point. InputError: not finite.
    """
    m, q, d = points.shape
    if callable(velocity):
        v = torch.as_tensor(velocity(points.reshape(-1, d)), dtype=torch.float64, device="cpu")
        return finite(check_shape(v, "k d", "velocity", k=m * q, d=d)).reshape(m, q, d)
    v = finite(torch.as_tensor(velocity, dtype=torch.float64, device="cpu"))
    if v.dim() == 1 and v.shape[0] == d:
        return v.expand(m, q, d)
    if v.dim() == 2 and tuple(v.shape) == (n_cells, d):
        return v[cells][:, None].expand(m, q, d)
    raise ShapeError(f"velocity has shape {list(v.shape)}, expected [{d}], [{n_cells}, {d}] or a function of x")


def finite(v: Tensor) -> Tensor:
    """``v`` if every entry is finite."""
    bad = int((~torch.isfinite(v)).sum())
    if bad:
        raise InputError(f"the velocity is not finite at {bad} of {v.numel()} entries")
    return v


def outflow(space: Space, velocity: Velocity) -> Tensor:
    r"""\int (v.n)^+ N_i over the boundary [n], lumped to the diagonal."""
    ids = _open(space)
    if not len(ids):
        return torch.zeros(space.n, dtype=torch.float64, device=space.device)
    blocks, corners = leaving(space, velocity, ids)
    return space.assemble_facets(blocks, [each[..., None] for each in corners])[:, 0]


def outflow_matrix(space: Space, velocity: Velocity) -> Sparse:
    r"""\int (v.n)^+ N_i N_j over the boundary, on the edges of the space.

    Lumped it would be of first order in the nodes there, and without smoothing that error travels back upstream.
    """
    src, dst = space.edges.pairs()
    sources, ends = [src], [dst]
    values = [torch.zeros(len(src), dtype=torch.float64, device=src.device)]
    diag = torch.zeros(space.n, 1, dtype=torch.float64, device=src.device)
    ids = _open(space)
    blocks, fluxes = _fluxes(space, velocity, ids) if len(ids) else ([], [])
    if blocks:
        local = [torch.einsum("qi,qj,mq->mij", b.values, b.values, q) for b, q in zip(blocks, fluxes, strict=True)]
        diag = space.assemble_facets(blocks, [a.diagonal(dim1=1, dim2=2)[..., None] for a in local])
        for b, a in zip(blocks, local, strict=True):
            off = off_diagonal(a.shape[1]).to(a.device)
            ends.append(b.dofs[:, :, None].expand(a.shape)[:, off].reshape(-1))
            sources.append(b.dofs[:, None].expand(a.shape)[:, off].reshape(-1))
            values.append(a[:, off].reshape(-1))
    # the edges of the space among them make the order that of the space
    pairs = Relation.from_edges(torch.cat(sources), torch.cat(ends), space.n, space.n, coalesce=True)
    return Sparse(space.edges, pairs.own(torch.cat(values)), diag[:, 0])


def leaving(space: Space, velocity: Velocity, ids: Tensor) -> tuple[list[Block], list[Tensor]]:
    r"""The facets ``ids`` by type, and \int (v.n)^+ N_i over each of them [m, k]."""
    blocks, fluxes = _fluxes(space, velocity, ids)
    return blocks, [torch.einsum("qk,mq->mk", b.values, q) for b, q in zip(blocks, fluxes, strict=True)]


def _open(space: Space) -> Tensor:
    """The facets of the boundary; periodic sides are none."""
    return space.mesh.tag("boundary").ids if space.periodic else space.mesh.boundary_facets


def _fluxes(space: Space, velocity: Velocity, ids: Tensor) -> tuple[list[Block], list[Tensor]]:
    """The facets by type, and the outflow (v.n)^+ at their quadrature points times the weights there [m, q]."""
    blocks, out = space.facets(ids), []
    for each, piece in zip(blocks, facet_pieces(space.mesh, space.element, ids), strict=True):
        v = at_quadrature(velocity, each, space.mesh.facets.cells[each.ids, 0], space)
        out.append(torch.relu((v * _normals(space.mesh, each, piece.nodes)).sum(-1)) * each.volume)
    return blocks, out


def _normals(mesh: Mesh, on: Block, nodes: Tensor) -> Tensor:
    """Unit normals at the quadrature points of facets [m, q, d], which may be curved.

    The normal of the flat facet less its part along the curved one, the tangential gradient of x -> n . x.
    """
    flat = facet_normals(mesh, on.ids)
    x = mesh.points[nodes]
    height = torch.einsum("mkd,md->mk", x - x[:, :1], flat)
    along = torch.einsum("mqkd,mk->mqd", on.gradients, height)
    return torch.nn.functional.normalize(flat[:, None] - along, dim=-1)


def side_flows(space: CellSpace, velocity: Velocity) -> Tensor:
    """Flow out of each cell through each of its sides [s] in measure per time.

    Two cells that share a facet see one flow with two signs: the mean of what each of them would say.
    """
    sides = space.sides
    if callable(velocity):
        mean = _facet_means(space, velocity)[sides.facet]
    else:
        mean = at_points(velocity, sides.centre[:, None], sides.cell, space.mesh.n_cells)[:, 0]
    flow = sides.area * (mean * sides.normal).sum(1)
    net = space.to_facets.propagate(flow[:, None])[sides.facet, 0]
    return torch.where(space.to_facets.degree[sides.facet] == 2, flow - net / 2, flow)


def _facet_means(space: CellSpace, velocity: Velocity) -> Tensor:
    """Mean velocity of each facet of the mesh [f, d], exact for quadratic ones on flat facets."""
    x = space.mesh.points
    owned = (space.to_facets.degree > 0).nonzero()[:, 0]
    out = x.new_zeros(len(space.mesh.facets.nodes), x.shape[1])
    for piece in facet_pieces(space.mesh, Q1(), owned):
        facets = block(Q1(), piece, x, 2 if piece.kind == "triangle" else 3)
        share = facets.volume / facets.volume.sum(1, keepdim=True)
        v = at_points(velocity, facets.points, piece.ids, 0)
        out = out.index_put((piece.ids,), (share[..., None] * v).sum(1))
    return out
