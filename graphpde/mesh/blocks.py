"""Cells and facets with their geometry at quadrature points: what every integral is made of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from graphpde.core.relation import Relation
from graphpde.mesh.affine import AFFINE, affine
from graphpde.mesh.cells import CELLS
from graphpde.mesh.elements import Element


class Block(NamedTuple):
    """Cells (or facets) of one type with their geometry at quadrature points.

    Attributes:
        kind: cell type, by its nodes. ids: cell numbers [m]. dofs: unknowns [m, k].
        values: shape functions [q, k]. gradients: physical gradients [m, q, k, d]; on facets the tangential ones.
        volume: quadrature weights [m, q]. points: quadrature points [m, q, d].
    """

    kind: str
    ids: Tensor
    dofs: Tensor
    values: Tensor
    gradients: Tensor
    volume: Tensor
    points: Tensor


class Quadrature(NamedTuple):
    """Integrals against the shape functions as one sparse product.

    Attributes:
        points: quadrature points [q, d]. to_nodes: points -> unknowns. weight: N_i(x_q) times the volume of x_q, in own
            order [e].
    """

    points: Tensor
    to_nodes: Relation
    weight: Tensor

    def integrate(self, values: Tensor) -> Tensor:
        r"""\int f N_i [n, c] from the values f(x_q) [q, c]."""
        return self.to_nodes.propagate(values, weight=self.weight)

    def to(self, device: Any = None, dtype: torch.dtype | None = None) -> Quadrature:
        return Quadrature(
            self.points.to(device=device, dtype=dtype),
            self.to_nodes.to(device),
            self.weight.to(device=device, dtype=dtype),
        )


class Piece(NamedTuple):
    """Cells or facets of one type.

    Attributes:
        kind: cell type, by its nodes. ids: numbers [m]. nodes: mesh points [m, k]. dofs: unknowns [m, k].
    """

    kind: str
    ids: Tensor
    nodes: Tensor
    dofs: Tensor


def block(element: Element, piece: Piece, points: Tensor, degree: int | None) -> Block:
    """The piece with a rule exact for polynomials of ``degree``; None: what the stiffness needs."""
    kind, ids, nodes, dofs = piece
    x = points[nodes]
    shape = element.shape(kind, stiffness_degree(element, kind, x) if degree is None else degree)
    at = torch.einsum("qk,mkd->mqd", shape.values, x)
    if shape.gradients.shape[-1] == 0:
        flat = x.new_zeros(len(ids), 1, 1, points.shape[1])
        return Block(kind, ids, dofs, shape.values, flat, at.new_ones(len(ids), 1), at)
    if kind in AFFINE:  # one gradient for all points
        gradients, size = affine(x)
        return Block(
            kind, ids, dofs, shape.values,
            gradients[:, None].expand(-1, len(shape.weights), -1, -1), size[:, None] * shape.weights, at,
        )  # fmt: skip
    jacobian = jacobians(shape.gradients, x)
    if jacobian.shape[-1] == jacobian.shape[-2]:
        size, pseudo = torch.linalg.det(jacobian).abs(), torch.linalg.inv(jacobian).mT
    else:  # surfaces: grad N = J (J^T J)^-1 dN, the tangential gradient
        metric = jacobian.mT @ jacobian
        size, pseudo = torch.linalg.det(metric).clamp(min=0).sqrt(), jacobian @ torch.linalg.inv(metric)
    gradients = torch.einsum("mqdr,qkr->mqkd", pseudo, shape.gradients)
    return Block(kind, ids, dofs, shape.values, gradients, size * shape.weights, at)


def jacobians(gradients: Tensor, x: Tensor) -> Tensor:
    """d x / d xi [m, q, d, r] of cells with nodes x [m, k, d]; from differences, so that far from 0 nothing is lost."""
    return torch.einsum("qkr,mkd->mqdr", gradients, x - x[:, :1])


def stiffness_degree(element: Element, kind: str, x: Tensor) -> int:
    """Degree of the rule that the stiffness of cells with nodes x [m, k, d] is integrated with."""
    # the cofactors of a curved map times a gradient have degree 3, which the patch test needs
    return 3 if kind == "tetra10" and _is_curved(x) else element.rule_degree(CELLS[kind].corners)


def _is_curved(x: Tensor) -> bool:
    """Whether a side of quadratic tetrahedra with nodes x [m, 10, 3] has its middle node elsewhere."""
    ends = torch.tensor(CELLS["tetra"].edges)
    off = x[:, 4:] - (x[:, ends[:, 0]] + x[:, ends[:, 1]]) / 2
    size = (x[:, 1:4] - x[:, :1]).abs().amax((1, 2))
    return bool((off.detach().abs().amax((1, 2)) > 1e-10 * size.detach()).any())


def quadrature(blocks: list[Block], n: int, tests: Sequence[Tensor] | None = None) -> Quadrature:
    """Points and weights of the blocks for integrals against the shape functions of n unknowns.

    Args:
        tests: other test functions instead, [m, q, k] a block.
    """
    source, target, weight, start = [], [], [], 0
    for each, test in zip(blocks, [b.values for b in blocks] if tests is None else tests, strict=True):
        m, q = each.volume.shape
        shape = (m, q, each.dofs.shape[1])
        point = torch.arange(start, start + m * q).reshape(m, q, 1)
        source.append(point.expand(shape).reshape(-1))
        target.append(each.dofs[:, None].expand(shape).reshape(-1))
        weight.append((each.volume[..., None] * test).reshape(-1))
        start += m * q
    to_nodes = Relation.from_edges(torch.cat(source), torch.cat(target), start, n)
    points = torch.cat([each.points.flatten(0, 1) for each in blocks])
    return Quadrature(points, to_nodes, to_nodes.own(torch.cat(weight)))
