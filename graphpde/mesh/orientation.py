"""Turning cells the right way round, and refusing those that have none."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.blocks import jacobians
from graphpde.mesh.cells import CELLS
from graphpde.mesh.elements import Q1, Q2, Element
from graphpde.mesh.geometry import wedge
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.second_order import turned

_FLAT = 1e-14  # a cell smaller than this times its longest edge to the power of its dimension has no area


def oriented(mesh: Mesh, element: Element | None = None) -> tuple[Mesh, list[str]]:
    """The mesh with positively oriented cells, and one sentence for each thing done.

    Surfaces and networks in higher-dimensional space have no sign and are only checked for size. Cells of second order
    are taken at their vertices, unless the element is of second order and the cells are complete.

    Args:
        element: whose quadrature points the Jacobian is looked at, on cells that are no simplices.

    Raises:
        MeshError: zero-size or folded cells, with their count and first numbers.
    """
    cells, notes, total, flat, folded, count = {}, [], 0, [], [], 0
    full = element is not None and element.degree > 1
    for kind, nodes in mesh.cells.items():
        linear = CELLS[kind].corners
        wide = nodes if full else nodes[:, : CELLS[linear].nodes]
        sizes, scale = _sizes(kind if full else linear, mesh.points[wide])
        bad = (sizes.abs().amax(1) <= _FLAT * scale).nonzero()[:, 0]
        flat += (bad + total).tolist()
        if mesh.space_dim == mesh.dim:
            negative = (sizes < 0).all(1)
            mixed = ~negative & (sizes <= 0).any(1)
            mixed[bad] = False
            folded += (mixed.nonzero()[:, 0] + total).tolist()
            count += int(negative.sum())
            if bool(negative.any()):
                order = turned(kind, _TURN[linear]) if full and kind != linear else _TURN[linear]
                wide = torch.where(negative[:, None], wide[:, order], wide)
        total += len(nodes)
        if kind != linear and not full:
            notes.append(f"{len(nodes)} {kind} cells are used at their vertices as {linear} cells")
        cells[kind] = wide if full else _with_corners(nodes, wide)
    if flat:
        remedy = "remove them in the mesh generator, or with 'graphpde repair'"
        if len(flat) == total and mesh.dim == 3:
            remedy = (
                "does the file call surface elements solids (8-node shells hexahedra)? Export it with their own type"
            )
        raise MeshError(f"{len(flat)} of {total} cells of '{mesh.name}' have zero size, first {flat[:3]}; {remedy}")
    if folded:
        flat_kinds = all(CELLS[kind].corners == "quad" for kind in mesh.cells)
        what = "quadrilaterals" if flat_kinds and not full else "cells"
        why = "are folded or not convex" if not full else "are folded: a node lies too far from the middle of its edge"
        raise MeshError(f"{len(folded)} {what} of '{mesh.name}' {why}, first {folded[:3]}; remesh them")
    if not count:
        return mesh, notes
    notes.append(f"{count} of {total} cells had negative orientation and were turned")
    return mesh.with_cells(cells if full else _linear(mesh, cells)), notes


def _linear(mesh: Mesh, cells: dict[str, Tensor]) -> dict[str, Tensor]:
    """Quadratic cells as linear ones: their mid-side nodes would no longer stand where the node order says."""
    out: dict[str, Tensor] = {}
    for kind, nodes in cells.items():
        linear = CELLS[kind].corners
        if linear in out:
            raise MeshError(
                f"'{mesh.name}' mixes linear and higher-order {linear} cells of negative orientation; "
                f"convert it to one order"
            )
        out[linear] = nodes[:, : CELLS[linear].nodes]
    return out


_TURN = {
    "vertex": [0],
    "line": [1, 0],
    "triangle": [0, 2, 1],
    "tetra": [0, 2, 1, 3],
    "quad": [0, 3, 2, 1],
    "hexahedron": [0, 3, 2, 1, 4, 7, 6, 5],
    "wedge": [0, 2, 1, 3, 5, 4],
    "pyramid": [0, 3, 2, 1, 4],
}


def _with_corners(nodes: Tensor, corners: Tensor) -> Tensor:
    return torch.cat([corners, nodes[:, corners.shape[1] :]], 1)


def _sizes(kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Signed sizes [m, q] and the scale to compare with [m].

    Of simplices that of the cell, of quadrilaterals at each corner, of other cells at the quadrature points (a brick
    with a collapsed edge is flat at its corners and sound inside).
    """
    linear = CELLS[kind].corners
    square = x.new_zeros(len(x))
    for i, j in combinations(range(CELLS[linear].nodes), 2):  # the longest edge or diagonal
        parts = [(c[:, i] - c[:, j]) ** 2 for c in x.unbind(-1)]
        square = torch.maximum(square, sum(parts[1:], parts[0]))
    if kind == "vertex":
        return x.new_ones(len(x), 1), x.new_ones(len(x))
    if kind == "quad":
        nxt, prev = x.roll(-1, 1) - x, x.roll(1, 1) - x
        return wedge(nxt, prev), square
    if kind in ("line", "triangle", "tetra"):
        edges = (x[:, 1:] - x[:, :1]).unbind(1)
        return wedge(*edges)[:, None], square ** (len(edges) / 2)
    element = Q1() if kind == linear else Q2()
    shape = element.shape(kind, element.rule_degree(linear))
    columns = jacobians(shape.gradients, x).unbind(-1)
    return wedge(*columns), square ** (len(columns) / 2)
