"""Newest-vertex bisection: triangles halved where it is worth it, conforming, of bounded shapes."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.graph import TagSet
from graphpde.errors import MeshError, ShapeError
from graphpde.mesh.bends import Bend, bent
from graphpde.mesh.mesh import Mesh


class Bisected(NamedTuple):
    """A mesh with some triangles halved.

    Attributes:
        mesh: the finer mesh; old points keep their numbers, the first corner of a triangle is its newest one.
        owner: triangle of the coarser mesh that each one lies in [m].
        parents: the two old points between which each new one lies [k, 2].
    """

    mesh: Mesh
    owner: Tensor
    parents: Tensor

    def transfer(self, u: Tensor) -> Tensor:
        """Values at the points, [*, n, c] -> [*, n + k, c], linear along the halved edges: the same P1 function."""
        if u.dim() < 2 or u.shape[-2] != self.mesh.n - len(self.parents):
            raise ShapeError(
                f"the field has shape {list(u.shape)}, expected [*, {self.mesh.n - len(self.parents)}, c]: one row per "
                "point of the coarser mesh"
            )
        one, other = self.parents.unbind(1)
        return torch.cat([u, (u[..., one, :] + u[..., other, :]) / 2], -2)


def newest_first(mesh: Mesh) -> Mesh:
    """The mesh with the corner opposite the longest edge first in every triangle, turned, never mirrored.

    Do this once, before the first :func:`bisect`; what that returns is in order.

    Raises:
        MeshError: cells that are not triangles.
    """
    nodes = _triangles(mesh)
    x = mesh.points.detach()[nodes]
    lengths = (x[:, [1, 2, 0]] - x[:, [2, 0, 1]]).norm(dim=-1)  # opposite corners 0, 1, 2
    turn = (lengths.argmax(1)[:, None] + torch.arange(3)) % 3
    return mesh.with_cells({"triangle": nodes.gather(1, turn)}).with_bends(*mesh.bends)


def bisect(mesh: Mesh, marked: Tensor) -> Bisected:
    """Halve the marked triangles, and as many others as keep the mesh conforming.

    A triangle is cut from its first corner to the middle of the edge opposite, and at once again where one of the two
    halves has to be; all descendants of a triangle belong to four classes of similar ones. Named sets of every
    dimension go over, point data is interpolated linearly (integers: the value of one parent), cell data is repeated.
    New points on a rim or surface that stands for a curved one (``mesh.bends``) move onto it; to keep them on the
    chords bisect ``mesh.with_bends()``.

    Args:
        mesh: triangles in the order of :func:`newest_first`, in the plane or on a surface.
        marked: truth values [m] or numbers of triangles.

    Raises:
        MeshError: cells that are not triangles; numbers out of range. ShapeError: truth values of another length.

    Reference: Mitchell 1989, ACM Trans. Math. Softw. 15; closure by marked edges: Chen 2009 (iFEM).
    """
    nodes = _triangles(mesh)
    chosen = _chosen(marked, len(nodes))
    edges = mesh.entities(1).nodes[:, :2]
    owned = mesh.find(1, nodes[:, [[1, 2], [2, 0], [0, 1]]].reshape(-1, 2)).reshape(-1, 3)  # opposite corners 0, 1, 2
    cut = torch.zeros(len(edges), dtype=torch.bool)
    cut[owned[chosen, 0]] = True
    while True:
        needed = cut[owned].any(1) & ~cut[owned[:, 0]]
        if not bool(needed.any()):
            break
        cut[owned[needed, 0]] = True
    parents = edges[cut]
    middle = torch.full((len(edges),), -1)
    middle[cut] = torch.arange(mesh.n, mesh.n + len(parents))
    cells, owner = _halved(nodes, middle[owned])
    points = _interpolated(mesh.points, parents)
    if mesh.bends:
        points = torch.cat([mesh.points, bent(mesh.bends, parents.numpy(), points[mesh.n :])])
    fine = Mesh(
        points,
        {"triangle": cells},
        point_data={k: _interpolated(v, parents) for k, v in mesh.point_data.items()},
        cell_data={k: v[owner] for k, v in mesh.cell_data.items()},
        warnings=mesh.warnings,
        name=mesh.name,
    )
    fine = fine.with_tags(**_inherited(mesh, fine, middle, owner))
    return Bisected(fine.with_bends(*(_finer(mesh, bend, middle) for bend in mesh.bends)), owner, parents)


def _triangles(mesh: Mesh) -> Tensor:
    kinds = set(mesh.cells)
    if kinds != {"triangle"}:
        raise MeshError(
            f"'{mesh.name}' has {', '.join(sorted(kinds)) or 'no'} cells, bisection needs triangles only; cut "
            "quadrilaterals into triangles, or refine uniformly"
        )
    return mesh.cells["triangle"]


def _chosen(marked: Tensor, m: int) -> Tensor:
    if marked.dtype == torch.bool:
        if tuple(marked.shape) != (m,):
            raise ShapeError(f"marked has shape {list(marked.shape)}, expected one truth value a triangle: [{m}]")
        return marked
    if marked.numel() and not 0 <= int(marked.min()) <= int(marked.max()) < m:
        raise MeshError(
            f"marked triangles {int(marked.min())} to {int(marked.max())}, expected numbers from 0 to {m - 1}"
        )
    chosen = torch.zeros(m, dtype=torch.bool)
    chosen[marked.long()] = True
    return chosen


def _halved(nodes: Tensor, middle: Tensor) -> tuple[Tensor, Tensor]:
    """Triangles with their halves, and where each lies; middle [m, 3]: new point opposite each corner, -1 without."""
    whole = middle[:, 0] < 0
    out, owner = [nodes[whole]], [whole.nonzero()[:, 0]]
    rest = (~whole).nonzero()[:, 0]
    (a, b, c), (m, n, k) = nodes[rest].unbind(1), middle[rest].unbind(1)
    for one, two, side in ((a, b, k), (c, a, n)):  # the half (m, one, two), whose own edge opposite m may be cut
        again = side >= 0
        out.append(torch.stack([m, one, two], 1)[~again])
        owner.append(rest[~again])
        mm, p, q, s = (v[again] for v in (m, one, two, side))
        out += [torch.stack([s, mm, p], 1), torch.stack([s, q, mm], 1)]
        owner += [rest[again], rest[again]]
    cells, lies = torch.cat(out), torch.cat(owner)
    order = torch.sort(lies, stable=True).indices  # children stay where their parent was
    return cells[order], lies[order]


def _interpolated(values: Tensor, parents: Tensor) -> Tensor:
    if values.is_floating_point() or values.is_complex():
        return torch.cat([values, values[parents].mean(1)])
    return torch.cat([values, values[parents[:, 0]]])


def _finer(mesh: Mesh, bend: Bend, middle: Tensor) -> Bend:
    """The same curve along the edges of the finer mesh."""
    if bend.edges is None:
        return bend
    return Bend(_pieces(bend.edges, middle[mesh.find(1, bend.edges)]), bend.onto)


def _pieces(ends: Tensor, new: Tensor) -> Tensor:
    """Edges [k, 2], those with a new point [k] (-1 without) in halves."""
    split = new >= 0
    return torch.cat([ends[~split], *(torch.stack([ends[split, k], new[split]], 1) for k in (0, 1))])


def _inherited(mesh: Mesh, fine: Mesh, middle: Tensor, owner: Tensor) -> dict[str, TagSet]:
    """The named sets on the finer mesh."""
    out = {}
    for name, tag in mesh.tags.items():
        if tag.dim == 0:
            out[name] = tag
        elif tag.dim == 1:
            ends = mesh.entities(1).nodes[tag.ids, :2]
            out[name] = fine.make_tag(1, fine.find(1, _pieces(ends, middle[tag.ids])))
        else:
            chosen = torch.zeros(mesh.n_cells, dtype=torch.bool)
            chosen[tag.ids] = True
            out[name] = fine.make_tag(2, chosen[owner].nonzero()[:, 0])
    return out


def bulk(indicators: Tensor, theta: float = 0.5) -> Tensor:
    """The fewest cells whose indicators hold the share ``theta`` of the sum of squares: truth values [m].

    Raises:
        MeshError: theta not in (0, 1]; indicators negative or not finite.

    Reference: Doerfler 1996, SIAM J. Numer. Anal. 33.
    """
    if not 0 < theta <= 1:
        raise MeshError(f"theta = {theta}, expected a share above 0 and up to 1")
    square = indicators.detach().double() ** 2
    if not bool(torch.isfinite(square).all()) or bool((indicators < 0).any()):
        raise MeshError("indicators must be finite and not negative; check the solution they were made from")
    order = torch.sort(square, descending=True, stable=True).indices
    reached = square[order].cumsum(0)
    count = int((reached < theta * reached[-1] * (1 - 1e-12)).sum()) + 1 if len(reached) else 0
    marked = torch.zeros(len(square), dtype=torch.bool)
    marked[order[:count]] = True
    return marked & (square > 0)
