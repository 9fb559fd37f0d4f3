"""Sides of a mesh that stand for curved ones: where the middles of their edges belong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.mesh.mesh import Mesh
from graphpde.mesh.rows import grouped, sorted_rows


class Bend(NamedTuple):
    """Edges whose middles lie on a curve or surface.

    Attributes:
        edges: point numbers [k, 2], or None: every edge, on a surface that is curved all over.
        onto: moves points [j, d] near the curve or surface onto it.
    """

    edges: Tensor | None
    onto: Callable[[Tensor], Tensor]

    def holds(self, corners: np.ndarray) -> np.ndarray:
        """Which edges [j, 2] or quadrilateral faces [j, 4] are bent [j]; a face is where its four edges are."""
        if self.edges is None:
            return np.ones(len(corners), dtype=bool)
        if corners.shape[1] == 2:
            return _among(corners, self.edges.numpy())
        pairs = np.concatenate([corners[:, [k, (k + 1) % 4]] for k in range(4)])
        return np.logical_and.reduce(_among(pairs, self.edges.numpy()).reshape(4, -1))


def bent(bends: Sequence[Bend], corners: np.ndarray, x: Tensor) -> Tensor:
    """The middles x [j, d] of edges [j, 2] or faces [j, 4], those of bent ones moved onto their curve or surface."""
    for bend in bends:
        mine = torch.from_numpy(np.flatnonzero(bend.holds(corners)))
        if len(mine):
            x = x.index_copy(0, mine, bend.onto(x[mine]).to(x.dtype))
    return x


def edges_of(mesh: Mesh, facets: Tensor) -> Tensor:
    """The edges [k, 2] round some facets of a mesh of simplices, quadrilaterals or hexahedra."""
    corners = mesh.facets.nodes[facets]
    width = corners.shape[1]
    if width == 2:
        return corners
    return torch.cat([corners[:, [k, (k + 1) % width]] for k in range(width)])


def onto_sphere(radius: float, x: Tensor) -> Tensor:
    """Points [k, d] moved onto the circle (d 2) or sphere (3) round the origin."""
    return radius * x / torch.linalg.vector_norm(x, dim=1, keepdim=True)


def upright(onto: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Points [k, 3] moved onto the cylinder over a plane curve."""
    return torch.cat([onto(x[:, :2]), x[:, 2:]], 1)


def in_numpy(onto: Callable[[np.ndarray], np.ndarray], x: Tensor) -> Tensor:
    """``onto`` of arrays for tensors; gradients end here."""
    return torch.from_numpy(onto(x.detach().numpy()))


def _among(rows: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which rows [j, w] stand, in any order of their entries, among the known ones [k, w]."""
    out = np.logical_and.reduce(np.isin(rows, known), axis=1)
    near = np.flatnonzero(out)  # sorting those alone is quick: a mesh has few edges on its rim
    _, group, _ = grouped(sorted_rows(np.concatenate([known, rows[near]])))
    held = np.zeros(int(group.max(initial=-1)) + 1, dtype=bool)
    held[group[: len(known)]] = True
    out[near] = held[group[len(known) :]]
    return out
