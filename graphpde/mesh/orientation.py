"""Turning cells the right way round, and refusing those that have none."""

from __future__ import annotations

from functools import reduce
from itertools import combinations

import torch
from torch import Tensor

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import wedge
from graphpde.mesh.mesh import Mesh

_FLAT = 1e-14  # a cell smaller than this times its longest edge to the power of its dimension has no area


def oriented(mesh: Mesh) -> tuple[Mesh, list[str]]:
    """The mesh with positively oriented cells, and one sentence for each thing done.

    Surfaces and networks in higher-dimensional space have no sign and are only checked for size. Quadratic cells are
    taken at their vertices.

    Raises:
        MeshError: zero-size cells or folded quadrilaterals, with their count and first numbers.
    """
    cells, notes, turned, total, flat, folded = {}, [], 0, 0, [], []
    start = 0
    for kind, nodes in mesh.cells.items():
        linear = CELLS[kind].corners
        corners = nodes[:, : CELLS[linear].nodes]
        if linear in ("line", "triangle", "tetra", "quad"):
            sizes, scale = _sizes(linear, mesh.points[corners])
            bad = (sizes.abs().amax(1) <= _FLAT * scale).nonzero()[:, 0]
            flat += (bad + start).tolist()
            negative = (sizes < 0).all(1)
            if mesh.space_dim == mesh.dim:
                mixed = ~negative & (sizes <= 0).any(1)
                mixed[bad] = False
                folded += (mixed.nonzero()[:, 0] + start).tolist()
                turned += int(negative.sum())
                corners = torch.where(negative[:, None], corners[:, _TURN[linear]], corners)
        total += len(nodes)
        if kind != linear:
            notes.append(f"{len(nodes)} {kind} cells are used at their vertices as {linear} cells")
        cells[kind] = nodes if torch.equal(corners, nodes[:, : corners.shape[1]]) else _with_corners(nodes, corners)
        start += len(nodes)
    if flat:
        raise MeshError(
            f"{len(flat)} of {total} cells of '{mesh.name}' have zero size, first {flat[:3]}; "
            f"remove them in the mesh generator"
        )
    if folded:
        raise MeshError(
            f"{len(folded)} quadrilaterals of '{mesh.name}' are folded or not convex, first {folded[:3]}; remesh them"
        )
    if not turned:
        return mesh, notes
    notes.append(f"{turned} of {total} cells had negative orientation and were turned")
    return mesh.with_cells(_linear(mesh, cells)), notes


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


_TURN = {"line": [1, 0], "triangle": [0, 2, 1], "tetra": [0, 2, 1, 3], "quad": [0, 3, 2, 1]}


def _with_corners(nodes: Tensor, corners: Tensor) -> Tensor:
    return torch.cat([corners, nodes[:, corners.shape[1] :]], 1)


def _sizes(kind: str, x: Tensor) -> tuple[Tensor, Tensor]:
    """Signed size at each corner of quads, else of the cell [m, 1 or 4], and the scale to compare with [m]."""
    pairs = combinations(x.unbind(1), 2)
    square = reduce(torch.maximum, (((a - b) ** 2).sum(-1) for a, b in pairs))  # of the longest edge or diagonal
    if kind == "quad":
        nxt, prev = x.roll(-1, 1) - x, x.roll(1, 1) - x
        return wedge(nxt, prev), square
    edges = (x[:, 1:] - x[:, :1]).unbind(1)
    return wedge(*edges)[:, None], square ** (len(edges) / 2)
