"""Periodic sides: which points are one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.errors import MeshError
from graphpde.mesh.mesh import Mesh

_CLOSE = 1e-6  # of the size of the mesh: what export with few digits leaves


def joined(
    mesh: Mesh, pairs: Sequence[tuple[str | int, str | int]], nodes_of: Callable[[TagSet], Tensor]
) -> tuple[Mesh, Tensor]:
    """The mesh whose "boundary" leaves the periodic sides out, and the point that stands for each point [n].

    Each point of the second set is the point of the first set that lies one shift away; the shift is that of the
    centres of the two sets. Points that several pairs join (corners of a box) become one.

    Args:
        nodes_of: all nodes of a set of facets.

    Raises:
        MeshError: sets that are no facets, or whose points do not match.
    """
    partner = torch.arange(mesh.n)
    if not pairs:
        return mesh, partner
    if isinstance(pairs, str) or not all(isinstance(pair, tuple | list) and len(pair) == 2 for pair in pairs):
        raise MeshError(f"periodic = {pairs!r}, expected pairs of sets: [('left', 'right')]")
    links, facets = [], []
    for one, other in pairs:
        links.append(_matched(mesh, one, other, nodes_of))
        facets += [mesh.tag(one).ids, mesh.tag(other).ids]
    rows, columns = (np.concatenate([link[k] for link in links]) for k in range(2))
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    graph = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(mesh.n, mesh.n))
    _, label = connected_components(graph, directed=False)
    first = np.full(int(label.max()) + 1, mesh.n)
    np.minimum.at(first, label, np.arange(mesh.n))
    partner = torch.from_numpy(first[label])
    taken = torch.unique(torch.cat(facets))
    old = mesh.tag("boundary")
    left = old.ids[~torch.isin(old.ids, taken)]
    return mesh.with_tags(boundary=mesh.make_tag(mesh.dim - 1, left)), partner


def _matched(
    mesh: Mesh, one: str | int, other: str | int, nodes_of: Callable[[TagSet], Tensor]
) -> tuple[np.ndarray, np.ndarray]:
    """Points of the first set and their partners in the second."""
    sets = [mesh.tag(name) for name in (one, other)]
    for name, tag in zip((one, other), sets, strict=True):
        if tag.dim != mesh.dim - 1:
            raise MeshError(f"periodic set '{name}' has dimension {tag.dim}, expected facets: {mesh.dim - 1}")
    points = mesh.points.detach().numpy()
    a, b = (nodes_of(tag).numpy() for tag in sets)
    size = float(np.ptp(points, axis=0).max())
    what = f"periodic sets '{one}' and '{other}' of '{mesh.name}'"
    remedy = "the sides must be meshed alike, one shifted from the other"
    shared = int(torch.isin(sets[0].ids, sets[1].ids).sum())
    if shared or not len(a) + len(b):
        held = f"share {shared} facets" if shared else "are empty"
        raise MeshError(f"{what} {held}; expected two sides of the mesh, one shifted from the other")
    if len(a) != len(b):
        raise MeshError(f"{what} have {len(a)} and {len(b)} points; {remedy}")
    from scipy.spatial import cKDTree

    shift = points[b].min(0) / 2 + points[b].max(0) / 2 - points[a].min(0) / 2 - points[a].max(0) / 2
    distance, found = cKDTree(points[b]).query(points[a] + shift)
    far = distance > _CLOSE * size
    if far.any() or len(np.unique(found)) != len(b):
        worst = float(distance.max())
        raise MeshError(
            f"{what}: {int(far.sum())} of {len(a)} points have no partner (off by up to {worst:.3g}); {remedy}"
        )
    return a, b[found]
