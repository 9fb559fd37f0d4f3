"""Points that are meant to be one: which lie within a tolerance of each other, over any number of steps."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from graphpde.errors import MeshError
from graphpde.mesh.cells import CELLS
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.rows import grouped

_NEAR = 1e-9  # default tolerance as part of the diagonal of the box around all cells,
_PART = 1e-3  # and at most this part of the median edge: one stray point far away must not make all others coincide
_PAIRS = 8  # most pairs per point, beyond which a tolerance joins whole regions rather than points


class Coinciding(NamedTuple):
    """Groups of points that chains of steps within the tolerance connect.

    Attributes:
        place: for each point the lowest-numbered one of its group [n].
        tolerance: longest step. farthest: longest distance between a point and the one in whose place it is [1].
    """

    place: np.ndarray
    tolerance: float
    farthest: float


def coinciding(mesh: Mesh, points: np.ndarray, tolerance: float | None = None) -> Coinciding:
    """Which of ``points`` [k], numbers of points of the mesh, lie at most ``tolerance`` apart.

    Chains count: where a lies beside b and b beside c, all three are one group. The result does not depend on the order
    of the points.

    Args:
        tolerance: a length in the units of the mesh; None: 1e-9 of the diagonal of the box around these points, and no
            more than a thousandth of the median edge.

    Raises:
        MeshError: a tolerance that is negative, not finite, or so long that whole regions would become one point.
    """
    if tolerance is not None and not (math.isfinite(tolerance) and tolerance >= 0):
        raise MeshError(f"the tolerance for merging is {tolerance}, expected a length of 0 or more")
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    x = mesh.points.detach().numpy()
    exponent = int(np.frexp(np.abs(x[points]).max())[1])
    scaled = np.ldexp(x, -exponent)  # exact, and no square over- or underflows in the tree
    reach = _default(mesh, scaled, points) if tolerance is None else float(np.ldexp(tolerance, -exponent))
    first, group, _ = grouped((scaled[points] + 0.0).view(np.int64))  # + 0.0 makes -0 a zero
    tree = cKDTree(scaled[points[first]])
    pairs = (tree.count_neighbors(tree, reach) - len(first)) // 2
    if pairs > max(10**6, _PAIRS * len(first)):
        raise MeshError(
            f"a tolerance of {np.ldexp(reach, exponent):.3g} makes {pairs} pairs of the {len(points)} points of "
            f"'{mesh.name}' coincide; take one well below the length of its edges"
        )
    low, high = tree.query_pairs(reach, output_type="ndarray").T
    graph = coo_array((np.ones(len(low), dtype=np.int8), (low, high)), shape=(len(first), len(first)))
    count, part = connected_components(graph, directed=False)
    part = part[group]
    lowest = np.full(count, mesh.n)
    np.minimum.at(lowest, part, points)
    place = np.arange(mesh.n)
    place[points] = lowest[part]
    away = np.linalg.norm(scaled[points] - scaled[place[points]], axis=1).max()
    return Coinciding(place, float(np.ldexp(reach, exponent)), float(np.ldexp(away, exponent)))


def _default(mesh: Mesh, x: np.ndarray, points: np.ndarray) -> float:
    lengths = []
    for kind, nodes, _ in mesh.corners():
        ends = x[nodes.numpy()[:, CELLS[kind].edges]]
        lengths.append(np.linalg.norm(ends[:, :, 0] - ends[:, :, 1], axis=2).reshape(-1))
    length = np.concatenate(lengths)
    length = length[length > 0]
    diagonal = float(np.linalg.norm(np.ptp(x[points], axis=0)))
    return min(_NEAR * diagonal, _PART * float(np.median(length))) if len(length) else _NEAR * diagonal
