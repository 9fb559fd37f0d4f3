"""What an engineer must know before trusting a mesh: faults of points, cells and sets with their places, and quality.

``basics`` are the cheap ones that every import looks for; ``check_mesh`` adds those that take neighbours into account.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.mesh.cells import CELLS
from graphpde.mesh.geometry import connected_components, cross_norm, measures, signed_measures
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.rows import distinct, repeated
from graphpde.mesh.shape import corner_jacobians, negative_couplings, quality_measures

_FLAT = 1e-14  # measure of a cell relative to its diameter to the power of its dimension that counts as zero
_NEAR = 1e-8  # distance relative to the extent of the mesh below which two points are probably meant to be one
_ON = 1e-6  # distance from an edge relative to its length below which a point lies on it
_LONG = 300.0  # extent from which a length in millimetres is likely


class Finding(NamedTuple):
    """One thing about a mesh.

    Attributes:
        name: a short name, the same for every mesh. grave: whether results on such a mesh are wrong or impossible.
        text: one sentence with counts. cells, points: where, numbers [k]; empty where it is everywhere or nowhere.
    """

    name: str
    grave: bool
    text: str
    cells: Tensor
    points: Tensor


@dataclass(frozen=True)
class Check:
    """All findings about a mesh, the grave ones first, and measures of quality: name -> values [k]."""

    mesh: Mesh
    findings: tuple[Finding, ...]
    quality: dict[str, Tensor]

    def marked(self) -> Mesh:
        """The mesh with a set of points for each finding that has a place, under its name, instead of its own sets."""
        tags = {}
        for finding in self.findings:
            cells = self.mesh.entities(self.mesh.dim).nodes[finding.cells].reshape(-1)
            points = torch.unique(torch.cat([finding.points, cells[cells >= 0]]))
            if len(points):
                tags[finding.name] = TagSet(0, points, points)
        return Mesh(self.mesh.points, self.mesh.cells, tags=tags, name=self.mesh.name)

    @property
    def sound(self) -> bool:
        """Whether nothing grave was found."""
        return not any(finding.grave for finding in self.findings)


def check_mesh(mesh: Mesh) -> Check:
    """Look for everything that can be wrong with a mesh.

    Grave: cells of zero size, cells that name a point twice or stand on another's points, folded cells, hanging points.
    Remarks: mirrored cells (they are turned before a simulation), unused, coinciding and nearly coinciding points,
    parts that touch without being joined, non-manifold edges and faces, neighbours of opposite winding on a surface,
    separate parts, couplings by which the maximum principle is lost, boundary sets that lie inside the domain, boundary
    facets in no set, a suspicion about units.
    """
    found = [*basics(mesh), *_folded(mesh), *_near(mesh), *_hanging(mesh), *_winding(mesh), *_parts(mesh)]
    found += [*_couplings(mesh), *_sets(mesh), *_units(mesh)]
    return Check(mesh, tuple(sorted(found, key=lambda finding: not finding.grave)), quality_measures(mesh))


def basics(mesh: Mesh) -> list[Finding]:
    """Unused and coinciding points, repeated, flat and mirrored cells, non-manifold facets."""
    out = [*_points(mesh), *_repeated(mesh), *_sizes(mesh)]
    if mesh.dim > 1 and len(mesh.nonmanifold_facets):
        what = {2: "edges", 3: "faces"}[mesh.dim]
        points = _corners_of(mesh, mesh.nonmanifold_facets)
        out.append(
            _finding(
                "non-manifold", f"{len(mesh.nonmanifold_facets)} {what} belong to more than two cells", points=points
            )
        )
    return out


def _finding(
    name: str, text: str, *, grave: bool = False, cells: Tensor | None = None, points: Tensor | None = None
) -> Finding:
    none = torch.zeros(0, dtype=torch.int64)
    return Finding(name, grave, text, none if cells is None else cells, none if points is None else points)


def _corners_of(mesh: Mesh, facets: Tensor) -> Tensor:
    nodes = mesh.facets.nodes[facets].reshape(-1)
    return distinct(nodes, mesh.n)


def _points(mesh: Mesh) -> Iterator[Finding]:
    used = torch.zeros(mesh.n, dtype=torch.bool)
    for nodes in mesh.cells.values():
        used[nodes.reshape(-1)] = True
    unused = (~used).nonzero()[:, 0]
    if len(unused):
        yield _finding(
            "unused points", f"{len(unused)} of {mesh.n} points belong to no cell and carry no unknowns", points=unused
        )
    numbers = used.nonzero()[:, 0]
    same = repeated((mesh.points[used].numpy() + 0.0).view(np.int64))  # + 0.0 makes -0 a zero
    if len(same):
        yield _finding(
            "coinciding points",
            f"{len(same)} of {mesh.n} points coincide with another; cells that do not share a point are not "
            "joined there",
            points=numbers[torch.from_numpy(same)],
        )


def _repeated(mesh: Mesh) -> Iterator[Finding]:
    """Cells that name a point twice, and cells on the same points as another."""
    collapsed, twice = [], []
    for _, nodes, start in mesh.corners():
        rows = nodes.numpy()
        pairs = combinations(rows.T, 2)
        collapsed.append(np.flatnonzero(np.logical_or.reduce([a == b for a, b in pairs])) + start)
        twice.append(repeated(rows, any_order=True) + start)
    for name, parts, text in (
        ("collapsed cells", collapsed, "name a point twice"),
        ("repeated cells", twice, "stand on the same points as another"),
    ):
        cells = torch.from_numpy(np.sort(np.concatenate(parts)))
        if len(cells):
            yield _finding(name, f"{len(cells)} of {mesh.n_cells} cells {text}", grave=True, cells=cells)


def flat_cells(mesh: Mesh) -> Tensor:
    """Whether each cell has zero size [m]: its measure is at most 1e-14 times its diameter to the power of dim."""
    return torch.cat([_is_flat(kind, mesh.points[nodes]) for kind, nodes, _ in mesh.corners()])


def _is_flat(kind: str, x: Tensor) -> Tensor:
    """Whether cells with vertices x [k, w, d] have next to no size for their extent [k]."""
    limit = _FLAT * (x.amax(1) - x.amin(1)).amax(1) ** CELLS[kind].dim
    if kind != "quad" or x.shape[-1] < 3:
        return measures(kind, x) <= limit
    # half the product of the diagonals is never more than the area and costs a tenth
    flat = 0.5 * cross_norm(x[:, 2] - x[:, 0], x[:, 3] - x[:, 1]) <= limit
    rows = flat.nonzero()[:, 0]
    flat[rows] = measures(kind, x[rows]) <= limit[rows]
    return flat


def _sizes(mesh: Mesh) -> Iterator[Finding]:
    flat = flat_cells(mesh)
    if bool(flat.any()):
        cells = flat.nonzero()[:, 0]
        first = ", ".join(map(str, cells[:3].tolist()))
        text = f"{len(cells)} of {mesh.n_cells} cells have zero size, first {first}"
        yield _finding("zero size", text, grave=True, cells=cells)
    if mesh.dim == mesh.space_dim:
        negative = ((signed_measures(mesh) < 0) & ~flat).nonzero()[:, 0]
        if len(negative):
            text = f"{len(negative)} of {mesh.n_cells} cells have negative orientation"
            yield _finding("negative orientation", text, cells=negative)


def _extent(mesh: Mesh) -> float:
    x = mesh.points[mesh.used_points]
    return float((x.amax(0) - x.amin(0)).max())


def _folded(mesh: Mesh) -> Iterator[Finding]:
    """Cells with area or volume whose map turns over at a corner."""
    corners = corner_jacobians(mesh)
    if corners is None:
        return
    low, high = corners
    bad = ((low <= 1e-12) & (high >= -1e-12) & ~flat_cells(mesh)).nonzero()[:, 0]
    if len(bad):
        first = ", ".join(map(str, bad[:3].tolist()))
        text = f"{len(bad)} of {mesh.n_cells} cells are folded or not convex at a corner, first {first}"
        yield _finding("folded cells", text, grave=True, cells=bad)


def _near(mesh: Mesh) -> Iterator[Finding]:
    from scipy.spatial import cKDTree

    used = mesh.used_points
    x = mesh.points[used].numpy()
    reach = _NEAR * _extent(mesh)
    pairs = cKDTree(x).query_pairs(reach, output_type="ndarray")
    apart = (x[pairs[:, 0]] != x[pairs[:, 1]]).any(1)
    if apart.any():
        points = torch.unique(used[torch.from_numpy(pairs[apart].reshape(-1))])
        yield _finding(
            "nearly coinciding points",
            f"{int(apart.sum())} pairs of points lie within {reach:.2g} of each other without being equal; they are "
            "not joined",
            points=points,
        )


def _hanging(mesh: Mesh) -> Iterator[Finding]:
    """Boundary points in the interior of another cell's boundary edge: cells that meet there are not joined."""
    if mesh.dim < 2 or not len(mesh.boundary_facets) or bool(flat_cells(mesh).all()):
        return
    from scipy.spatial import cKDTree

    edges = _boundary_edges(mesh)
    nodes = np.unique(edges)
    x = mesh.points.numpy()
    start, along = x[edges[:, 0]], x[edges[:, 1]] - x[edges[:, 0]]
    length = np.linalg.norm(along, axis=1)
    edges, start, along, length = (values[length > 0] for values in (edges, start, along, length))
    near = cKDTree(x[nodes]).query_ball_point(start + along / 2, length / 2 * (1 - _ON))
    count = np.array([len(found) for found in near])
    edge = np.repeat(np.arange(len(edges)), count)
    if not len(edge):
        return
    node = nodes[np.concatenate([np.asarray(found, dtype=np.int64) for found in near])]
    beside = x[node] - start[edge]
    share = (beside * along[edge]).sum(1) / length[edge] ** 2
    off = np.linalg.norm(beside - share[:, None] * along[edge], axis=1)
    on = (off <= _ON * length[edge]) & (share > _ON) & (share < 1 - _ON)
    part = connected_components(mesh).labels.numpy()
    same = on & (part[node] == part[edges[edge, 0]])
    if same.any():
        points = torch.from_numpy(np.unique(node[same]))
        text = f"{len(points)} points hang on the edge of a cell that does not know them; the field tears there"
        yield _finding("hanging points", text, grave=True, points=points)
    if (on & ~same).any():
        points = torch.from_numpy(np.unique(node[on & ~same]))
        text = f"{len(points)} points lie on an edge of another part; the parts touch and are not joined"
        yield _finding("touching parts", text, points=points)


def _boundary_edges(mesh: Mesh) -> np.ndarray:
    nodes = mesh.facets.nodes[mesh.boundary_facets].numpy()
    if mesh.dim == 2:
        return nodes[:, :2]
    last = nodes.shape[1] - 1
    sides = [nodes[:, [k, k + 1]] for k in range(last)] + [nodes[:, [last, 0]]]
    if last == 3:  # triangles among quadrilaterals close at their third corner
        sides.append(nodes[:, [2, 0]][nodes[:, 3] < 0])
    edges = np.concatenate(sides)
    return np.unique(np.sort(edges[(edges >= 0).all(1)], axis=1), axis=0)


def _winding(mesh: Mesh) -> Iterator[Finding]:
    if mesh.dim != 2 or mesh.space_dim != 3:
        return
    ends, owner, _ = mesh.local_entities(1)
    low, high = ends.min(1), ends.max(1)
    order = np.lexsort((high, low))
    low, high, forward, owner = low[order], high[order], (ends[:, 0] < ends[:, 1])[order], owner[order]
    new = np.flatnonzero(np.concatenate([[True], (low[1:] != low[:-1]) | (high[1:] != high[:-1])]))
    pairs = new[np.diff(np.append(new, len(low))) == 2]
    against = pairs[forward[pairs] == forward[pairs + 1]]
    if len(against):
        cells = torch.from_numpy(np.unique(np.concatenate([owner[against], owner[against + 1]])))
        text = f"{len(against)} edges have neighbours of opposite winding; the surface has no consistent outside there"
        yield _finding("winding", text, cells=cells)


def _parts(mesh: Mesh) -> Iterator[Finding]:
    parts = connected_components(mesh)
    if parts.number > 1:
        sizes = torch.bincount(parts.labels[parts.labels >= 0])
        small = int(sizes.min())
        text = f"it falls into {parts.number} parts that share no point, the smallest of {small} points"
        yield _finding("separate parts", text)


def _couplings(mesh: Mesh) -> Iterator[Finding]:
    found = negative_couplings(mesh, ~flat_cells(mesh))
    if found is None:
        return
    bad, edges = found
    if len(bad):
        text = (
            f"{len(bad)} of {edges} edges have negative weight in the Laplacian (obtuse angles); the maximum principle "
            "does not hold on this mesh"
        )
        yield _finding("negative couplings", text, points=torch.unique(bad))


def _sets(mesh: Mesh) -> Iterator[Finding]:
    boundary = torch.zeros(len(mesh.facets.nodes), dtype=torch.bool)
    boundary[mesh.boundary_facets] = True
    named = torch.zeros_like(boundary)
    facet_sets = {name: tag for name, tag in mesh.tags.items() if tag.dim == mesh.dim - 1 and mesh.dim > 1}
    for name, tag in mesh.tags.items():
        if not len(tag.ids):
            yield _finding("empty sets", f"the set '{name}' is empty")
    for name, tag in facet_sets.items():
        named[tag.ids] = True
        inside = tag.ids[~boundary[tag.ids]]
        if len(inside) and len(inside) < len(tag.ids):
            text = f"{len(inside)} of {len(tag.ids)} facets of the set '{name}' lie inside the domain"
            yield _finding("sets inside", text, points=_corners_of(mesh, inside))
    rest = (boundary & ~named).nonzero()[:, 0]
    if facet_sets and len(rest):
        text = f"{len(rest)} of {len(mesh.boundary_facets)} boundary facets belong to no named set"
        yield _finding("unnamed boundary", text, points=_corners_of(mesh, rest))


def _units(mesh: Mesh) -> Iterator[Finding]:
    extent = _extent(mesh)
    if math.isfinite(extent) and extent > _LONG:
        text = f"it is {extent:.4g} long; if that is millimetres, materials in SI units do not fit: scale it by 0.001"
        yield _finding("units", text)
