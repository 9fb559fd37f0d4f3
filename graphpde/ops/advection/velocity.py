"""Velocities at quadrature points of cells and facets, and the flows they make through the sides of cells."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from graphpde.errors import InputError, ShapeError
from graphpde.mesh.blocks import Block
from graphpde.mesh.cell_space import CellSpace
from graphpde.mesh.geometry import facet_normals
from graphpde.mesh.quadrature import rule
from graphpde.mesh.space import Space
from graphpde.typing import check_shape

Velocity = Tensor | Callable[[Tensor], Tensor]

_KIND_OF_WIDTH = {1: "vertex", 2: "line", 3: "triangle", 4: "quad"}


def at_quadrature(velocity: Velocity, block: Block, cells: Tensor, space: Space) -> Tensor:
    """Velocity at the quadrature points of a block [m, q, d]; ``cells`` are the cells the entities belong to."""
    return at_points(velocity, block.points, cells, space.mesh.n_cells)


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
    # periodic sides are no boundary
    ids = space.mesh.tag("boundary").ids if space.periodic else space.mesh.boundary_facets
    blocks = space.facets(ids) if len(ids) else []
    corners = []
    for block in blocks:
        normal = facet_normals(space.mesh, block.ids)
        v = at_quadrature(velocity, block, space.mesh.facets.cells[block.ids, 0], space)
        flux = torch.relu(torch.einsum("mqd,md->mq", v, normal)) * block.volume
        corners.append(torch.einsum("qk,mq->mk", block.values, flux)[..., None])
    if not blocks:
        return torch.zeros(space.n, dtype=torch.float64, device=space.device)
    return space.assemble_facets(blocks, corners)[:, 0]


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
    nodes, x = space.mesh.facets.nodes, space.mesh.points
    width = (nodes >= 0).sum(1)
    owned = space.to_facets.degree > 0
    out = x.new_zeros(len(nodes), x.shape[1])
    for k in torch.unique(width[owned]).tolist():
        rows = (owned & (width == k)).nonzero()[:, 0]
        corners = x[nodes[rows, :k]]
        shape, weight = _facet_rule(k, corners)
        v = at_points(velocity, torch.einsum("qk,mkd->mqd", shape, corners), rows, 0)
        out = out.index_put((rows,), (weight[..., None] * v).sum(1))
    return out


def _facet_rule(k: int, corners: Tensor) -> tuple[Tensor, Tensor]:
    """Values of the shape functions [q, k] and shares of the measure [m, q] at quadrature points of facets."""
    if k == 1:
        return corners.new_ones(1, 1), corners.new_ones(len(corners), 1)
    at, weight = rule(_KIND_OF_WIDTH[k], 3 if k != 3 else 2)
    if k < 4:
        shape = torch.cat([1 - at.sum(1, keepdim=True), at], 1)
        return shape, (weight / weight.sum()).expand(len(corners), -1)
    a, b = at.unbind(1)
    shape = torch.stack([(1 - a) * (1 - b), a * (1 - b), a * b, (1 - a) * b], 1)
    one = torch.einsum("q,md->mqd", 1 - b, corners[:, 1] - corners[:, 0])
    one = one + torch.einsum("q,md->mqd", b, corners[:, 2] - corners[:, 3])
    two = torch.einsum("q,md->mqd", 1 - a, corners[:, 3] - corners[:, 0])
    two = two + torch.einsum("q,md->mqd", a, corners[:, 2] - corners[:, 1])
    size = torch.linalg.vector_norm(torch.linalg.cross(one, two), dim=-1) * weight
    return shape, size / size.sum(1, keepdim=True)
