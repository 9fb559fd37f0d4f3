"""Points on a surface of triangles: the face that each lies in, its barycentric coordinates there, and ways over edges.

Barycentric coordinates keep a point on its face by construction; where one of them becomes 0 the point has come to an
edge and goes on in the face on the other side, unfolded into one plane with the first: a straight way on the surface.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from graphpde.core.cached import cached
from graphpde.errors import MeshError, ShapeError, SolveError
from graphpde.mesh.mesh import Mesh
from graphpde.mesh.repair.winding import winding


class OnSurface(NamedTuple):
    """Points on a surface.

    Attributes:
        face: the triangle of each [k]. weights: barycentric coordinates there [k, 3], >= 0 with sum 1.
    """

    face: Tensor
    weights: Tensor

    @property
    def rows(self) -> Tensor:
        """One tensor of both [k, 4]: the number of the face, then the weights."""
        return torch.cat([self.face[:, None].double(), self.weights.double()], 1)

    @staticmethod
    def of_rows(rows: Tensor) -> OnSurface:
        """The points of such rows."""
        return OnSurface(rows[:, 0].long(), rows[:, 1:].double())


class Faces:
    """The triangles of a surface, who lies across which edge, and their geometry.

    Edge i of a triangle is the one opposite of its corner i. Triangles that disagree with their neighbours are turned
    over, closed surfaces outward.

    Args:
        mesh: linear triangles in 2 or 3 dimensions, each edge in at most two of them.

    Attributes:
        mesh: the same with all triangles one way round.
        corners: point numbers [m, 3]. area: [m]. edge: numbers of the edges among ``mesh.facets`` [m, 3].
        across: the face over each edge [m, 3], -1 = none. seat: local number there of each corner [m, 3, 3]: of corner
            j over edge i; for j = i that of the corner which this face does not have.
        first: whether the face is the first owner of its edge [m, 3].

    Raises:
        MeshError: other cells, an edge in three triangles, a triangle without area, a surface with one side only.
    """

    def __init__(self, mesh: Mesh):
        if set(mesh.cells) != {"triangle"}:
            raise MeshError(f"'{mesh.name}' has {', '.join(mesh.cells)} cells, expected triangles alone")
        if len(mesh.nonmanifold_facets):
            raise MeshError(f"'{mesh.name}' has {len(mesh.nonmanifold_facets)} edges in three or more triangles")
        self.mesh = _one_way_round(mesh)
        self.corners = self.mesh.cells["triangle"]
        if not bool((self.area > 0).all()):
            raise MeshError(f"'{mesh.name}' has {int((self.area <= 0).sum())} triangles without area; repair it")
        m = len(self.corners)
        pairs = self.corners[:, [[1, 2], [2, 0], [0, 1]]]  # [m, 3, 2]
        self.edge = self.mesh.find(1, pairs.reshape(-1, 2)).reshape(m, 3)
        owners = self.mesh.facets.cells[self.edge]  # [m, 3, 2]
        me = torch.arange(m)[:, None]
        self.first = owners[..., 0] == me
        self.across = torch.where(self.first, owners[..., 1], owners[..., 0])
        theirs = self.corners[self.across.clamp(min=0)]  # [m, 3, 3]: corners of the face over edge i
        match = theirs[:, :, None, :] == self.corners[:, None, :, None]  # [m, i, j, local]
        own = torch.eye(3, dtype=torch.bool)[None]
        other = ~(match & ~own[..., None]).any(2)  # the local number that no shared corner has
        self.seat = torch.where(own, other.int().argmax(-1)[..., None], match.int().argmax(-1))

    @property
    def m(self) -> int:
        """Number of faces."""
        return len(self.corners)

    @cached
    def place(self) -> Tensor:
        """Positions of the corners [m, 3, d]."""
        return self.mesh.points[self.corners]

    @cached
    def radius(self) -> float:
        """Largest distance of a corner from the mean of all."""
        return float((self.place - self.place.mean((0, 1))).norm(dim=-1).max())

    @cached
    def parts(self) -> int:
        """How many parts there are between which no edge leads."""
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        rows, side = (self.across >= 0).nonzero(as_tuple=True)
        pairs = (rows.numpy(), self.across[rows, side].numpy())
        joined = coo_array((torch.ones(len(rows)).numpy(), pairs), shape=(self.m, self.m))
        return int(connected_components(joined, directed=False)[0])

    @cached
    def area(self) -> Tensor:
        x = self.place
        a, b = x[:, 1] - x[:, 0], x[:, 2] - x[:, 0]
        gram = (a * a).sum(1) * (b * b).sum(1) - (a * b).sum(1) ** 2
        return 0.5 * gram.clamp_min(0).sqrt()

    @cached
    def along(self) -> Tensor:
        """Edge i as a vector [m, 3, d], from the corner after i to the one after that."""
        return self.place[:, [2, 0, 1]] - self.place[:, [1, 2, 0]]

    @cached
    def gradient(self) -> Tensor:
        """Of the barycentric coordinates [m, 3, d]: towards the corner, 1 / height long."""
        e = self.along
        unit = e / e.norm(dim=-1, keepdim=True)
        to = self.place - self.place[:, [1, 2, 0]]
        height = to - (to * unit).sum(-1, keepdim=True) * unit
        return height / (height * height).sum(-1, keepdim=True)

    @cached
    def outward(self) -> Tensor:
        """Unit vectors out of the face over edge i, in its plane [m, 3, d]."""
        return -self.gradient / self.gradient.norm(dim=-1, keepdim=True)

    def position(self, at: OnSurface) -> Tensor:
        """Where the points lie [k, d]."""
        return (at.weights[..., None] * self.place[at.face].to(at.weights)).sum(-2)

    def interpolate(self, values: Tensor, at: OnSurface) -> Tensor:
        """Values at the points of the mesh [n, c], linear on the faces, at points of the surface [k, c].

        Raises:
            ShapeError: not one row for each point of the mesh.
        """
        if values.dim() != 2 or len(values) != self.mesh.n:
            raise ShapeError(f"the values have shape {list(values.shape)}, expected [{self.mesh.n}, c]")
        return (at.weights.to(values)[..., None] * values[self.corners[at.face]]).sum(-2)

    def draw(self, count: int, rng: torch.Generator | None = None, density: Tensor | None = None) -> OnSurface:
        """Independent points, uniform by area or with a density >= 0 given at the points of the mesh [n].

        The density is linear on each face: of the share of a corner, weights are drawn from Dirichlet(2, 1, 1).
        """
        share = torch.ones(self.m, 3, dtype=torch.float64) if density is None else density.double()[self.corners]
        cell = torch.multinomial(_normal(self.area[:, None] * share).flatten(), count, True, generator=rng)
        e = -torch.log(1 - torch.rand(count, 4, dtype=torch.float64, generator=rng))
        w = e[:, :3].clone()
        if density is not None:
            w[torch.arange(count), cell % 3] += e[:, 3]
        return OnSurface(cell // 3, w / w.sum(1, keepdim=True))

    def cross(self, at: OnSurface, edge: Tensor, which: Tensor) -> OnSurface:
        """The points of ``which`` [k] bool, on local edge [k] of their face, seen from the face across."""
        face, weights = at.face.clone(), at.weights.clone()
        rows = which.nonzero()[:, 0]
        f, i = at.face[rows], edge[rows]
        seat = self.seat[f, i]
        w = at.weights[rows].clone()
        w[torch.arange(len(rows)), i] = 0.0
        weights[rows] = torch.zeros_like(w).scatter(1, seat, w)
        face[rows] = self.across[f, i]
        return OnSurface(face, weights)

    def walk(self, at: OnSurface, way: Tensor, most: int = 10_000) -> OnSurface:
        """Straight ahead by ``way`` [k, d], a vector in the plane of the face; over edges as if they were unfolded.

        At an edge without a face across, the way ends.

        Raises:
            SolveError: a way crosses more than ``most`` edges.
        """
        face, weights, way = at.face, at.weights.clone(), way.clone()
        going = torch.ones(len(face), dtype=torch.bool)
        for _ in range(most):
            rate = (self.gradient[face].to(way) * way[:, None]).sum(-1)  # of the weights, over the whole way
            rate = rate - rate.mean(1, keepdim=True)  # their sum stays 1
            left = torch.where(rate < 0, weights / -rate.clamp(max=-1e-300), torch.inf)
            share, edge = left.min(1)
            stop = going & (share >= 1)
            step = torch.where(going, share.clamp(max=1), 0.0)
            weights = (weights + step[:, None] * rate).clamp_min(0)
            weights = weights / weights.sum(1, keepdim=True)
            way = way * (1 - step)[:, None]
            over = going & ~stop
            going = over & (self.across[face, edge] >= 0)
            if not bool(going.any()):
                return OnSurface(face, weights)
            way = self._unfolded(face, edge, way, going)
            face, weights = self.cross(OnSurface(face, weights), edge, going)
        raise SolveError(f"a way of length up to {float(way.norm(dim=1).max()):.3g} still goes on after {most} edges")

    def _unfolded(self, face: Tensor, edge: Tensor, way: Tensor, which: Tensor) -> Tensor:
        """The same way in the face across."""
        rows = which.nonzero()[:, 0]
        f, i = face[rows], edge[rows]
        along = self.along[f, i].to(way)
        along = along / along.norm(dim=1, keepdim=True)
        out = self.outward[f, i].to(way)
        inside = -self.outward[self.across[f, i], self.seat[f, i, i]].to(way)
        a, b = (way[rows] * along).sum(1, keepdim=True), (way[rows] * out).sum(1, keepdim=True)
        turned = way.clone()
        turned[rows] = a * along + b * inside
        return turned


def _one_way_round(mesh: Mesh) -> Mesh:
    found = winding(mesh)
    if found.parts:
        raise MeshError(
            f"'{mesh.name}' has one side only: {int(found.one_sided.sum())} triangles cannot be turned the same way "
            f"round (a Moebius strip or a Klein bottle), expected a surface with two sides"
        )
    if not bool(found.wrong.any()):
        return mesh
    corners = mesh.cells["triangle"]
    return mesh.with_cells({"triangle": torch.where(found.wrong[:, None], corners[:, [0, 2, 1]], corners)})


def _normal(shares: Tensor) -> Tensor:
    total = float(shares.sum())
    if not total > 0 or bool((shares < 0).any()):
        raise MeshError(
            f"the density has the integral {total:g} and minimum {float(shares.min()):g}, expected > 0 and >= 0"
        )
    return shares / total
